"""The address of a visitor: the peer's own, or what a trusted proxy says of it (X-Forwarded-For).

Read from the right: each proxy appends whom it saw, so the first address that is not one of our proxies is the
visitor's, and whatever stands further left is what that visitor wrote.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


@dataclass(frozen=True)
class ClientAddress:
    """An address, as far as it is known; `is_shared`: it is that of a proxy which stands for many people."""

    text: str | None
    is_shared: bool = False


def find_client_address(peer: str | None, forwarded: Sequence[str], *, trusted: Sequence[Network]) -> ClientAddress:
    """Return the visitor's address; `forwarded` are the X-Forwarded-For headers in order.

    A header of a host that is not trusted is not believed. The address of a trusted proxy itself stands for many
    people. So does that of a host without a public address which sends the header where no proxy is named at all; where
    one is, a visitor must not get rid of the lockout by writing such a header.
    """
    found = read_address(peer)
    if found is None:
        return ClientAddress(None)
    hops = [text for header in forwarded for text in header.split(",")]
    while _is_among(found, trusted):
        hop = read_hop(hops.pop()) if hops else None
        if hop is None:
            return ClientAddress(str(found), is_shared=True)
        found = hop
    return ClientAddress(str(found), is_shared=not trusted and bool(hops) and not found.is_global)


def read_hop(text: str) -> Address | None:
    """Return the address of an entry of X-Forwarded-For; some proxies write `1.2.3.4:56` or `[2001:db8::1]:56`."""
    text = text.strip()
    if text.startswith("["):
        return read_address(text[1:].partition("]")[0])
    host, _, port = text.partition(":")
    return read_address(host if port.isdecimal() and "." in host else text)


def read_address(text: str | None) -> Address | None:
    """Return an IP address without its zone (RFC 4007), IPv4 visitors of an IPv6 socket as IPv4; None if it is none."""
    try:
        found = ip_address((text or "").partition("%")[0])
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


def _is_among(address: Address, networks: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)
