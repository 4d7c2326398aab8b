"""What may be stored of people, groups and preferences: refused when it is wrong, never cut.

Each check returns nothing and raises with the name and the value, before anything is written.
"""

import re
from collections.abc import Mapping
from typing import NoReturn

from bridge.errors import EntryRefused, PreferenceRefused, UsergroupRefused, UserRefused

UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters, and halves of characters that are no valid Unicode."""
UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
"""What no database takes, also in a text of several lines."""
EMAIL = re.compile(r"[^\s@,;<>\"]+@[^\s@,;<>\"]+")
LONGEST_CODE = 255
LONGEST_GROUP_NAME = 255
LONGEST_DESCRIPTION = 2000
LONGEST_PATH = 1000
LONGEST_PREFERENCE_NAME = 150
LARGEST_PREFERENCE = 64 * 1024
LONGEST_OF_USER = {
    "User": 150,
    "Email": 255,
    "FirstName": 255,
    "LastName": 255,
    "DisplayName": 512,
    "Store": 50,
}
SHOWN = 60


def check_code(code: str) -> None:
    """Refuse a group code that could not stand in a list separated by commas, or not be told from another.

    Raises:
        UsergroupRefused: naming the code.
    """
    kind, what = UsergroupRefused, f"The group code {show(code)}"
    _check_text(code, what=what, longest=LONGEST_CODE, kind=kind)
    if "," in code:
        _refuse(kind, f"{what} holds a comma, which separates codes in sys_user.Usergroups.")


def check_usergroup(code: str, *, name: str, description: str | None, keycloak_path: str | None) -> None:
    """Refuse a group that cannot be stored as it stands.

    Raises:
        UsergroupRefused: naming the code and what is wrong.
    """
    check_code(code)
    kind, of_group = UsergroupRefused, f"of the group {show(code)}"
    _check_text(name, what=f"The name {of_group}", longest=LONGEST_GROUP_NAME, kind=kind)
    if description is not None:
        _check_lines(description, what=f"The description {of_group}", longest=LONGEST_DESCRIPTION, kind=kind)
    if keycloak_path is not None:
        _check_text(keycloak_path, what=f"The keycloak_path {of_group}", longest=LONGEST_PATH, kind=kind)
        if not keycloak_path.startswith("/"):
            _refuse(kind, f"The keycloak_path {of_group} must begin with a slash, as Keycloak shows it.")


def check_user(columns: Mapping[str, str | None]) -> None:
    """Refuse texts that do not fit their columns of `sys_user`.

    Raises:
        UserRefused: naming the column and what is wrong.
    """
    for column, value in columns.items():
        if value is not None:
            _check_text(value, what=f"{column} {show(value)}", longest=LONGEST_OF_USER[column], kind=UserRefused)
    email = columns.get("Email")
    if email is not None and not EMAIL.fullmatch(email):
        _refuse(UserRefused, f"Email {show(email)} is no e-mail address.")


def check_password(text: str) -> None:
    """Refuse a password that nobody could type; no message ever holds it.

    Raises:
        UserRefused: it is empty, or holds control characters or broken Unicode.
    """
    if not text or UNPRINTABLE.search(text):
        _refuse(UserRefused, "The password is empty, or holds control characters or broken Unicode.")


def check_preference(name: str, value: str | None = None) -> None:
    """Refuse a preference that cannot be stored as it stands.

    Raises:
        PreferenceRefused: naming the preference and what is wrong.
    """
    what = f"The name {show(name)} of a preference"
    _check_text(name, what=what, longest=LONGEST_PREFERENCE_NAME, kind=PreferenceRefused)
    if value is None:
        return
    if UNSTORABLE.search(value):
        _refuse(PreferenceRefused, f"The value of {show(name)} holds characters that cannot be stored.")
    if (size := len(value.encode())) > LARGEST_PREFERENCE:
        _refuse(
            PreferenceRefused,
            f"The value of {show(name)} has {size} bytes, and at most {LARGEST_PREFERENCE} can be stored.",
        )


def is_storable(text: str) -> bool:
    """Whether a database could hold the text at all; one that it cannot is nobody's name."""
    return UNSTORABLE.search(text) is None


def show(text: str) -> str:
    """Return a text as a message may show it: quoted, bounded, and nothing in it that steers a terminal."""
    return repr(text) if len(text) <= SHOWN else f"{text[:SHOWN]!r}..."


def _check_text(text: str, *, what: str, longest: int, kind: type[EntryRefused]) -> None:
    if not text:
        _refuse(kind, f"{what} is empty.")
    if UNPRINTABLE.search(text):
        _refuse(kind, f"{what} holds control characters or broken Unicode.")
    if text != text.strip():
        _refuse(kind, f"{what} begins or ends with a blank.")
    _check_length(text, what=what, longest=longest, kind=kind)


def _check_lines(text: str, *, what: str, longest: int, kind: type[EntryRefused]) -> None:
    if UNSTORABLE.search(text):
        _refuse(kind, f"{what} holds characters that cannot be stored.")
    _check_length(text, what=what, longest=longest, kind=kind)


def _check_length(text: str, *, what: str, longest: int, kind: type[EntryRefused]) -> None:
    if len(text) > longest:
        _refuse(kind, f"{what} has {len(text)} characters, and at most {longest} can be stored.")


def _refuse(kind: type[EntryRefused], message: str) -> NoReturn:
    raise kind(message)
