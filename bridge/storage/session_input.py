"""What may be stored of a session, and asked for: refused when it is wrong, never cut silently.

    a value to store, a time, a type, a number, a duration    SessionRefused, before anything is read or written
    a text to look for that no database can hold              finds nothing, like any other that is not there

Two things come from visitors and must not keep anybody from signing in, so they have rules instead: a user agent is
cut at 2,000 characters (its digest is over the whole) and loses control characters; an address loses its zone.
"""

import re
from dataclasses import fields
from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import ip_address

from bridge.errors import SessionRefused
from bridge.model import Device, LoginMethod, NewSession, SessionPolicy, SessionType, digest
from bridge.storage.tables import sys_usersession

LONGEST_USER_AGENT = 2000
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
UNKNOWN_TO_DATABASES = re.compile("[\x00\ud800-\udfff]")
"""PostgreSQL refuses the first in any text, and what is half of a character is no UTF-8."""
HEXADECIMAL = re.compile("[0-9a-f]{64}")
LARGEST_NUMBER = 1_000_000
"""Of rows at once, or of findings in one use: more is a mistake, and no column's sum overflows."""
LONGEST_DURATION = timedelta(days=36_525)
"""A hundred years: what is added to a time, or taken from it, stays in the calendar."""
_COLUMNS = {
    "username": "User",
    "client_id": "ClientId",
    "sid": "Sid",
    "acr": "Acr",
    "oauth_state_id": "OauthStateId",
    "device.name": "DeviceName",
    "device.device_id": "DeviceId",
    "device.device_type": "DeviceType",
    "device.operating_system": "OperatingSystem",
    "device.operating_system_version": "OperatingSystemVersion",
    "device.browser": "Browser",
    "device.browser_version": "BrowserVersion",
    "device.fingerprint": "DeviceFingerprint",
    "place.city": "LocationCity",
    "place.country": "LocationCountry",
    "identity.issuer": "Issuer",
    "identity.sub": "Sub",
    "identity.package": "Package",
}
_NEVER_EMPTY = frozenset({"User", "Issuer", "Sub", "Package"})
"""Whose session it is: an empty text is nobody."""


def clean_user_agent(agent: str | None) -> str | None:
    """Return a user agent as it may be stored: bounded, and without characters that a database refuses."""
    return UNPRINTABLE.sub("\ufffd", agent[:LONGEST_USER_AGENT]) or None if agent else None


def digest_user_agent(agent: str | None) -> str | None:
    """Return the digest of the whole user agent, so that two long ones are told apart."""
    return digest(agent.encode("utf-8", "replace").decode()) if agent else None


def may_be_asked_for(*texts: str | None) -> bool:
    """Return whether a database can look for these texts; what it cannot look for, it does not hold."""
    return not any(UNKNOWN_TO_DATABASES.search(text) for text in texts if text)


def check_address(address: str | None) -> str | None:
    """Return an address in its shortest form and without a zone (RFC 4007), or None when there is none.

    Raises:
        SessionRefused: the text is no IP address.
    """
    if address is None:
        return None
    try:
        return str(ip_address(address.partition("%")[0]))
    except ValueError:
        raise SessionRefused(f"{address[:60]!r} is no IP address.", evidence={"field": "ip_address"}) from None


def check_time(moment: datetime, *, field: str) -> datetime:
    """Return a moment that has a time zone.

    Raises:
        SessionRefused: it has none, and guessing one would shift the session's end.
    """
    if moment.tzinfo is None:
        raise SessionRefused(f"{field} has no time zone.", evidence={"field": field})
    return moment


def check_type(session_type: str | None) -> None:
    """Refuse a session type that there is not; None asks for all of them.

    Raises:
        SessionRefused: naming those there are; a misspelt one would look like a person without sessions.
    """
    _check_choice(session_type, among=SessionType, what="session type")


def _check_choice(value: str | None, *, among: type[StrEnum], what: str) -> None:
    if value is not None and value not in set(among):
        raise SessionRefused(f"{str(value)[:60]!r} is no {what}; there are {', '.join(among)}.")


def check_digest(value: str | None, *, field: str) -> None:
    """Refuse what is no SHA-256 in lowercase hexadecimal: a raw credential must not get into the tables by mistake.

    Raises:
        SessionRefused: naming the field, never the value.
    """
    if value is not None and not HEXADECIMAL.fullmatch(value):
        raise SessionRefused(f"{field} must be 64 hexadecimal characters.", evidence={"field": field})


def check_number(value: int, *, field: str) -> None:
    """Refuse a number that is negative, or larger than could be meant.

    Raises:
        SessionRefused: naming the field and the value.
    """
    if not 0 <= value <= LARGEST_NUMBER:
        raise SessionRefused(f"{field} is {value}, and must be from 0 to {LARGEST_NUMBER:,}.")


def check_duration(value: timedelta, *, field: str) -> None:
    """Refuse a duration that is negative, or leads out of the calendar.

    Raises:
        SessionRefused: naming the field and the value.
    """
    if not timedelta(0) <= value <= LONGEST_DURATION:
        raise SessionRefused(f"{field} is {value}, and must be from 0 to {LONGEST_DURATION.days:,} days.")


def check_policy(policy: SessionPolicy) -> None:
    """Refuse limits under which no session could live.

    Raises:
        SessionRefused: there may be none, or it would be idle at once.
    """
    if policy.max_sessions < 1:
        raise SessionRefused(f"max_sessions is {policy.max_sessions}, and must be 1 or more.")
    if policy.idle is not None:
        check_duration(policy.idle, field="idle")
        if not policy.idle:
            raise SessionRefused("The session would be idle when it begins.")


def check_end(*, invalidated_by: str | None, reason: str, now: datetime) -> None:
    """Refuse what cannot be written down of the end of a session.

    Raises:
        SessionRefused: the time has no zone, or a text does not fit.
    """
    check_time(now, field="now")
    check_text(invalidated_by, column="InvalidatedBy")
    check_text(reason, column="InvalidatedReason")


def check_clean_up(*, now: datetime, expired_for: timedelta, inactive_for: timedelta, limit: int) -> None:
    """Refuse what a clean-up cannot go by; a negative duration would delete what is not over yet.

    Raises:
        SessionRefused: the time has no zone, or one of the others is out of range.
    """
    check_time(now, field="now")
    check_duration(expired_for, field="expired_for")
    check_duration(inactive_for, field="inactive_for")
    check_number(limit, field="limit")


def check_text(value: str | None, *, column: str) -> str | None:
    """Return a text that fits its column and holds only what can be stored.

    Raises:
        SessionRefused: it is too long, or holds control characters or broken Unicode.
    """
    if value is None:
        return None
    longest = getattr(sys_usersession.c[column].type, "length", None)
    if longest is not None and len(value) > longest:
        raise SessionRefused(
            f"{column} is {len(value)} characters long, and at most {longest} can be stored.",
            evidence={"column": column, "length": len(value), "longest": longest},
        )
    if UNPRINTABLE.search(value):
        raise SessionRefused(f"{column} holds characters that cannot be stored.", evidence={"column": column})
    return value


def check_new_session(opened: NewSession) -> None:
    """Refuse a session whose row could not be what was meant.

    Raises:
        SessionRefused: naming what is wrong; nothing was written.
    """
    check_type(opened.session_type)
    _check_choice(opened.login_method, among=LoginMethod, what="login method")
    for name in ("created_at", "expires_at"):
        check_time(getattr(opened, name), field=name)
    if opened.auth_time is not None:
        check_time(opened.auth_time, field="auth_time")
    if opened.expires_at <= opened.created_at:
        raise SessionRefused("The session would end before it begins.", evidence={"expires_at": opened.expires_at})
    for name in ("session_id", "credential_digest"):
        check_digest(getattr(opened, name), field=name)
    for path, column in _COLUMNS.items():
        value: object = opened
        for part in path.split("."):
            value = getattr(value, part)
        check_text(value if isinstance(value, str) else None, column=column)
        if column in _NEVER_EMPTY and not value:
            raise SessionRefused(f"{column} is empty.", evidence={"column": column})
    check_text(opened.place.text, column="Location")
    check_address(opened.ip_address)


def device_columns(device: Device) -> dict[str, str | None]:
    """Return the columns of what is known of a device."""
    return {
        _COLUMNS[f"device.{one.name}"]: getattr(device, one.name)
        for one in fields(device)
        if f"device.{one.name}" in _COLUMNS
    }
