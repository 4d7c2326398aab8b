"""What may be stored of a session: refused when it is wrong, never cut silently.

Two things come from visitors and must not keep anybody from signing in, so they have rules instead: a user agent is
cut at 2,000 characters (its digest is over the whole) and loses control characters; an address loses its zone.
"""

import re
from dataclasses import fields
from datetime import datetime
from ipaddress import ip_address

from bridge.errors import SessionRefused
from bridge.model import Device, NewSession, SessionType, digest
from bridge.storage.tables import sys_usersession

LONGEST_USER_AGENT = 2000
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
UNKNOWN_TO_DATABASES = re.compile("[\x00\ud800-\udfff]")
"""PostgreSQL refuses the first in any text, and what is half of a character is no UTF-8."""
HEXADECIMAL = re.compile("[0-9a-f]{64}")
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
    if opened.session_type not in set(SessionType):
        kinds = ", ".join(SessionType)
        raise SessionRefused(f"{str(opened.session_type)[:60]!r} is no session type; there are {kinds}.")
    for name in ("created_at", "expires_at"):
        check_time(getattr(opened, name), field=name)
    if opened.auth_time is not None:
        check_time(opened.auth_time, field="auth_time")
    if opened.expires_at <= opened.created_at:
        raise SessionRefused("The session would end before it begins.", evidence={"expires_at": opened.expires_at})
    for name in ("session_id", "credential_digest"):
        if not HEXADECIMAL.fullmatch(getattr(opened, name)):
            raise SessionRefused(f"{name} must be 64 hexadecimal characters.", evidence={"field": name})
    for path, column in _COLUMNS.items():
        value: object = opened
        for part in path.split("."):
            value = getattr(value, part)
        check_text(value if isinstance(value, str) else None, column=column)
    check_text(opened.place.text, column="Location")
    check_address(opened.ip_address)


def device_columns(device: Device) -> dict[str, str | None]:
    """Return the columns of what is known of a device."""
    return {
        _COLUMNS[f"device.{one.name}"]: getattr(device, one.name)
        for one in fields(device)
        if f"device.{one.name}" in _COLUMNS
    }
