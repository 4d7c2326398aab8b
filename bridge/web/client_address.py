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

    A header of a peer that is not trusted is not believed. When no proxy is configured at all and the header comes
    from a private address, a proxy is there that nobody named.
    """
    found = read_address(peer)
    if found is None:
        return ClientAddress(None)
    if not _is_among(found, trusted):
        unnamed = not trusted and bool(forwarded) and (found.is_private or found.is_loopback)
        return ClientAddress(str(found), is_shared=unnamed)
    for text in reversed([one for header in forwarded for one in header.split(",")]):
        hop = read_address(text.strip())
        if hop is None:
            break
        found = hop
        if not _is_among(hop, trusted):
            break
    return ClientAddress(str(found))


def read_address(text: str | None) -> Address | None:
    """Return an IP address without its zone (RFC 4007), IPv4 visitors of an IPv6 socket as IPv4; None if it is none."""
    try:
        found = ip_address((text or "").partition("%")[0])
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if isinstance(found, IPv6Address) else found


def _is_among(address: Address, networks: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)
