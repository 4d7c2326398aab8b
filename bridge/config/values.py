"""Values of settings that need more than a type: durations, issuers, origins, sealing keys."""

import base64
import binascii
import re
from datetime import timedelta
from ipaddress import ip_address
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, SecretStr

SEALING_KEY_BYTES = 32
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)(s|m|h|d)")
LONGEST = timedelta(days=3650)
OUT_OF_RANGE = "it must be longer than 0s and at most 3650d"
NONE = "none"

LOOPBACK_NAMES = ("localhost",)


def is_loopback(host: str) -> bool:
    """Whether a host name means this machine (RFC 6761 section 6.3: `localhost` and names below it)."""
    if host in LOOPBACK_NAMES or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def parse_duration(value: object) -> timedelta:
    """Read `90s`, `30m`, `8h` or `30d`.

    Raises:
        ValueError: the text is no duration, or one that no clock could count.
    """
    if isinstance(value, timedelta):
        return value
    match = DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("it must be a number with a unit: s, m, h or d")
    try:
        return timedelta(seconds=float(match[1]) * UNITS[match[2]])
    except OverflowError:
        raise ValueError(OUT_OF_RANGE) from None


def parse_optional_duration(value: object) -> timedelta | None:
    """Read a duration, or `none`.

    Raises:
        ValueError: the text is neither.
    """
    if value in (NONE, None):
        return None
    try:
        return parse_duration(value)
    except ValueError as error:
        raise ValueError(f'{error}; or "none"') from None


def refuse_out_of_range(value: timedelta | None) -> timedelta | None:
    """Accept a duration of any length that makes sense in a setting, and None.

    Raises:
        ValueError: it is 0s, or longer than ten years.
    """
    if value is not None and not timedelta(0) < value <= LONGEST:
        raise ValueError(OUT_OF_RANGE)
    return value


Duration = Annotated[timedelta, AfterValidator(refuse_out_of_range), BeforeValidator(parse_duration)]
OptionalDuration = Annotated[
    timedelta | None, AfterValidator(refuse_out_of_range), BeforeValidator(parse_optional_duration)
]


def refuse_bad_issuer(value: str) -> str:
    """Accept an issuer identifier (OpenID Connect Discovery 1.0 section 3): a URL without query and fragment.

    It is compared character by character with what Keycloak says, so nothing is normalised here.

    Raises:
        ValueError: the text is no issuer identifier, or ends with a slash (Keycloak's never does).
    """
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("it must be the address of a realm, as Keycloak's discovery document spells it")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("http is allowed for a loopback address only; secrets and tokens would travel in clear")
    if "/realms/" not in parts.path or value.endswith("/"):
        raise ValueError("it must end with /realms/NAME, without a slash behind it")
    return value


def parse_origin(value: str) -> tuple[str, str]:
    """Split an allowed return address into its origin and path prefix.

    Raises:
        ValueError: the text is no http(s) address with at least the path `/`.
    """
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment or "@" in value:
        raise ValueError(f'"{value}" must be an origin and a path prefix, such as https://shop.example.com/')
    if not parts.path.startswith("/"):
        raise ValueError(f'"{value}" needs a path; a single slash at the end allows the whole site')
    return f"{parts.scheme}://{parts.netloc.lower()}", parts.path


def decode_key(value: str) -> bytes:
    """Read a sealing key: 32 bytes in base64url or base64, with or without padding.

    Raises:
        ValueError: the text is no such key. The message never holds it.
    """
    text = value.strip().replace("+", "-").replace("/", "_").rstrip("=")
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("it is not base64url text") from None
    if len(key) != SEALING_KEY_BYTES:
        raise ValueError(f"it holds {len(key)} bytes, and a key has {SEALING_KEY_BYTES}")
    return key


def refuse_bad_key(value: SecretStr) -> SecretStr:
    """Check a sealing key without ever showing it.

    Raises:
        ValueError: see `decode_key`.
    """
    decode_key(value.get_secret_value())
    return value
