"""Cookies: names, attributes and strict reading (RFC 6265bis section 4.1.3; ASVS 3.3).

Every cookie has the prefix `__Host-`: Secure, no Domain, Path=/. A browser may hold

    __Host-kb-{package}           the session's credential, one a package
    __Host-kb_login_{16 hex}      the binding of one pending login, named after its state's digest
    __Host-kb_logout_{16 hex}     where a sign-out returns to

Packages have no underscore, so that the names never meet.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from starlette.requests import Request
from starlette.responses import Response

from bridge.model import digest

LOGIN_PREFIX = "__Host-kb_login_"
LOGOUT_PREFIX = "__Host-kb_logout_"
OURS = "__Host-kb"
MOST_PENDING = 5
MOST_DELETIONS = 20
PENDING_LIFE = timedelta(hours=24)
"""A day, like the digests of consumed states: a late duplicate is still recognised as this browser's."""
LOGOUT_LIFE = timedelta(minutes=10)
LOGIN_NAME = re.compile(LOGIN_PREFIX + "[0-9a-f]{16}")
TOKEN = re.compile(r"^[A-Za-z0-9_-]{22,64}$")
BINDING = re.compile(r"^(\d{1,12})\.([A-Za-z0-9_-]{43})$")


def session_name(package: str) -> str:
    """Return the name of a package's session cookie."""
    return f"__Host-kb-{package}"


def read_all(request: Request) -> Mapping[str, Sequence[str]]:
    """Return the values of every cookie by exact name, in order.

    Read here rather than by the framework, which unescapes quoted values, strips odd bytes before a name and lets the
    last of several win: each of these lets a planted cookie pass for ours.
    """
    found: dict[str, list[str]] = {}
    for header in request.headers.getlist("cookie"):
        for part in header.split(";"):
            name, separator, value = part.strip(" \t").partition("=")
            if separator:
                found.setdefault(name, []).append(value)
    return found


def read_session(request: Request, package: str) -> str | None:
    """Return the credential of a package's session cookie; several different ones count as none."""
    values = set(read_all(request).get(session_name(package), ()))
    value = values.pop() if len(values) == 1 else ""
    return value if TOKEN.match(value) else None


def read_binding(request: Request, state: str) -> str | None:
    """Return the binding of the pending login with this state."""
    values = set(read_all(request).get(_login_name(digest(state)), ()))
    match = BINDING.match(values.pop()) if len(values) == 1 else None
    return match[2] if match else None


def keeps_cookies(request: Request) -> bool:
    """Whether the browser sent any cookie of ours."""
    return any(name.startswith(OURS) for name in read_all(request))


def set_session(response: Response, package: str, credential: str, *, expires_at: datetime, now: datetime) -> None:
    """Give the browser the credential of a session; it ends with the session."""
    _set(response, session_name(package), credential, max_age=int((expires_at - now).total_seconds()))


def delete_session(response: Response, package: str) -> None:
    """Take the session cookie of a package away."""
    _set(response, session_name(package), "", max_age=0)


def set_binding(request: Request, response: Response, *, state_digest: str, binding: str, now: datetime) -> None:
    """Bind a pending login to this browser; of more than five the oldest goes."""
    pending = {}
    for name, values in read_all(request).items():
        match = BINDING.match(values[0]) if LOGIN_NAME.fullmatch(name) else None
        if match is not None:
            pending[name] = int(match[1])
    surplus = len(pending) + 1 - MOST_PENDING
    for name in sorted(pending, key=lambda name: pending[name])[: min(max(surplus, 0), MOST_DELETIONS)]:
        _set(response, name, "", max_age=0)
    value = f"{int(now.timestamp())}.{binding}"
    _set(response, _login_name(state_digest), value, max_age=int(PENDING_LIFE.total_seconds()))


def set_logout(response: Response, *, state: str, return_to: str) -> None:
    """Remember where a sign-out returns to. The address is checked again when it is used."""
    # An address may hold characters that a cookie may not.
    value = urlsafe_b64encode(return_to.encode()).decode()
    _set(response, _logout_name(state), value, max_age=int(LOGOUT_LIFE.total_seconds()))


def read_logout(request: Request, state: str) -> str | None:
    """Return where the sign-out with this state returns to."""
    values = set(read_all(request).get(_logout_name(state), ()))
    try:
        return urlsafe_b64decode(values.pop()).decode() if len(values) == 1 else None
    except ValueError:
        return None


def delete_logout(response: Response, state: str) -> None:
    """Forget a sign-out that came back."""
    _set(response, _logout_name(state), "", max_age=0)


def _login_name(state_digest: str) -> str:
    return LOGIN_PREFIX + state_digest[:16]


def _logout_name(state: str) -> str:
    return LOGOUT_PREFIX + digest(state)[:16]


def _set(response: Response, name: str, value: str, *, max_age: int) -> None:
    response.set_cookie(name, value, max_age=max_age, path="/", secure=True, httponly=True, samesite="lax")
