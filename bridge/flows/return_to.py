"""Where a sign-in or sign-out may send people back to: never anywhere that was not configured (open redirects)."""

import re
from collections.abc import Sequence
from urllib.parse import unquote

from bridge.config.values import parse_origin
from bridge.errors import ReturnToRefused

LONGEST = 2000
ABSOLUTE = re.compile(
    r'^(?P<origin>https?://(?:[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?)(?P<path>/[^?#<>"]*)?(?:\?[^#]*)?(?:#.*)?$'
)
RELATIVE = re.compile(r'^(?P<path>/[^?#<>"]*)(?:\?[^#]*)?(?:#.*)?$')
PRINTABLE = re.compile(r"[\x21-\x7e]+")


def check_return_to(value: str, *, public_url: str, allowed: Sequence[str]) -> str:
    """Return `value` when a browser may be sent there: a path of ours, or an origin and path prefix that is allowed.

    The whole address must have the plain form; nothing is repaired, because browsers, proxies and URL libraries repair
    differently (a backslash, a tab, an encoded slash). A prefix ends on a segment boundary: `/shop` does not allow
    `/shopping`.

    Raises:
        ReturnToRefused: anything else. RFC 9700 section 4.11.1.
    """
    refused = ReturnToRefused(
        hint="Add the origin and path to return_to of the package, for example https://shop.example.com/.",
        evidence={"return_to": re.split("[?#]", value)[0][:200]},
    )
    if len(value) > LONGEST or not PRINTABLE.fullmatch(value) or "\\" in value:
        raise refused
    relative = RELATIVE.match(value)
    if relative is not None:
        if _is_plain_path(relative["path"]):
            return value
        raise refused
    absolute = ABSOLUTE.match(value)
    if absolute is None:
        raise refused
    path = absolute["path"] or "/"
    places = [(public_url, "/"), *(parse_origin(entry) for entry in allowed)]
    if _is_plain_path(path) and any(absolute["origin"] == o and _is_below(path, prefix) for o, prefix in places):
        return value
    raise refused


def _is_plain_path(path: str) -> bool:
    """Whether every reader sees the same segments: no empty first one, no dots, no encoded separators or controls."""
    decoded = unquote(path, errors="replace")
    if path.startswith("//") or any(ord(char) < 0x20 or char in "\\\x7f\ufffd" for char in decoded):  # noqa: PLR2004 - ASCII controls
        return False
    if decoded.count("/") != path.count("/"):
        return False
    return not any(segment in (".", "..") for segment in decoded.split("/"))


def _is_below(path: str, prefix: str) -> bool:
    return prefix == "/" or path == prefix.rstrip("/") or path.startswith(prefix.rstrip("/") + "/")
