"""What a user agent tells of the device behind a session. Nothing here does I/O.

    user agent  ->  first 2,000 characters, without control characters  ->  ua-parser (Rust)  ->  Device

A user agent is a claim of the visitor, good for a list of one's own sessions and for hints, never for a decision about
access. What cannot be told from it is None. Kinds of device, told only where the user agent says so:

    desktop    a browser on a computer; Safari on an iPad calls itself a Mac and counts as one
    mobile     a phone
    tablet     a tablet; browsers on Android leave the word Mobile out there
    tv         a television, or a box, stick or game console at one
    bot        a crawler that says so
"""

import hashlib
import json
import re
from functools import cache
from itertools import takewhile

# The Rust core by name: where it is missing, ua_parser falls back by itself to patterns in Python, 70 times as slow.
from ua_parser import OS, Parser, Result, UserAgent, load_lazy_builtins
from ua_parser.regex import Resolver

from bridge.errors import RequestRefused
from bridge.model.sessions import Device

LONGEST_USER_AGENT = 2000
LONGEST_GIVEN = 255
LONGEST_FAMILY = 100
LONGEST_VERSION = 50

UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, line separators, surrogates, and marks that turn the direction of the text around them."""
KINDS = (
    # In this order: an iPad's user agent says Mobile too, and so does that of a stick in a television.
    ("tablet", re.compile(r"\biPad")),
    ("mobile", re.compile(r"\b(?:iPhone|iPod)")),
    ("tv", re.compile(r"(?<![A-Z0-9])TV(?![a-z])|\b(?:BRAVIA|CrKey|Roku)|; AFT[A-Z]")),
    ("tv", re.compile(r"\b(?:Xbox|PlayStation [3-9]|PLAYSTATION 3|Nintendo (?:Switch|Wii))")),
    ("tablet", re.compile(r"\bTablet\b(?! PC)")),
    ("mobile", re.compile(r"\b(?:Mobi|Phone\b)")),
)
HEADSET = re.compile(r"\bVR\b")
BROWSERS = ("Mozilla/", "Opera/")
"""How user agents of browsers begin. Programs without a screen name a system too, and are no desktop."""
COMPUTERS = ("Windows", "Mac OS X", "Mac OS", "Chrome OS")
UNIX = ("Linux", "Ubuntu", "Debian", "Fedora", "Red Hat", "Gentoo", "FreeBSD", "OpenBSD", "NetBSD")


class DeviceRefused(RequestRefused):
    """The name or the identifier of the device cannot be kept as it stands. Please choose a shorter, plain one."""

    code = "device_refused"


def describe_device(user_agent: str | None, *, device_id: str | None = None, device_name: str | None = None) -> Device:
    """Return what is known of the device, every value fit for its column of `sys_usersession`.

    The user agent is a header and never refused: only its first 2,000 characters are read, and a value in it that fits
    no column is unknown. What an app gives as `device_id` and `device_name` is kept as it is, or refused; blank is not
    given. Without a name the device is called after browser and system, such as "Firefox on Linux".

    The fingerprint is a digest of kind, system and browser without their versions, and of `device_id`, so that an
    update makes no new device. It is a hint and no proof: others share it, and whoever writes a user agent can copy it.

    Raises:
        DeviceRefused: a given value is longer than 255 characters, or holds characters that cannot be kept.
    """
    given_id = _check_given("device_id", device_id)
    given_name = _check_given("device_name", device_name)
    agent = UNPRINTABLE.sub(" ", (user_agent or "")[:LONGEST_USER_AGENT])
    found = _load_parser().parse(agent)
    browser, browser_version = _read_program(found.user_agent)
    system, system_version = _read_program(found.os)
    kind = _find_kind(agent, found)
    return Device(
        name=given_name or _build_name(browser, system),
        device_id=given_id,
        device_type=kind,
        operating_system=system,
        operating_system_version=system_version,
        browser=browser,
        browser_version=browser_version,
        fingerprint=_digest_facts(kind, system, browser, given_id),
    )


def warm_up() -> None:
    """Load the patterns now, so that the first sign-in does not pay for it."""
    _load_parser().parse("Mozilla/5.0")


@cache
def _load_parser() -> Parser:
    # No cache of results: a visitor can make up any number of user agents, and parsing one costs microseconds.
    return Parser(Resolver(load_lazy_builtins()))


def _check_given(field: str, value: str | None) -> str | None:
    if value is None or not value.strip():
        return None
    if len(value) > LONGEST_GIVEN:
        raise DeviceRefused(
            f"The {field} is {len(value)} characters long; at most {LONGEST_GIVEN} can be kept.",
            evidence={"field": field, "length": len(value), "longest": LONGEST_GIVEN},
        )
    if UNPRINTABLE.search(value):
        raise DeviceRefused(f"The {field} holds characters that cannot be kept.", evidence={"field": field})
    return value


def _read_program(found: UserAgent | OS | None) -> tuple[str | None, str | None]:
    """Return name and version of a browser or a system; without a name there is no version either."""
    name = _fit(found.family, LONGEST_FAMILY) if found else None
    if found is None or name is None:
        return None, None
    parts = takewhile(bool, (found.major, found.minor, found.patch, found.patch_minor))
    return name, _fit(".".join(part or "" for part in parts), LONGEST_VERSION)


def _fit(text: str, longest: int) -> str | None:
    # Half of a name would be another name.
    text = text.strip()
    return text if text and text != "Other" and len(text) <= longest else None


def _find_kind(agent: str, found: Result) -> str | None:
    if found.device and found.device.family == "Spider":
        return "bot"
    for kind, pattern in KINDS:
        if pattern.search(agent):
            return kind
    system = found.os.family if found.os else None
    if not agent.startswith(BROWSERS) or HEADSET.search(agent):
        return None
    if system == "Android":
        return "tablet"
    return "desktop" if system in COMPUTERS + UNIX else None


def _build_name(browser: str | None, system: str | None) -> str | None:
    # An Android app without a name of its own has Android for both.
    return " on ".join(dict.fromkeys(part for part in (browser, system) if part)) or None


def _digest_facts(*facts: str | None) -> str | None:
    # JSON keeps the facts apart: nothing that is given can look like two of them.
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest() if any(facts) else None
