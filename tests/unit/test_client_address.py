"""Whose address a request has: the peer's, unless a proxy that is configured says otherwise (F1, V42, V49)."""

from ipaddress import ip_network

import pytest

from bridge.web.client_address import ClientAddress, find_client_address

PROXY = [ip_network("10.0.0.0/24"), ip_network("fd00::/8")]


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        pytest.param("203.0.113.7", [], "203.0.113.7", id="no proxy"),
        pytest.param("8.8.8.8", ["198.51.100.1"], "8.8.8.8", id="a stranger is not believed"),
        pytest.param("10.0.0.9", ["198.51.100.1"], "198.51.100.1", id="one proxy"),
        pytest.param("10.0.0.9", ["198.51.100.1, 10.0.0.4"], "198.51.100.1", id="two proxies"),
        pytest.param("10.0.0.9", ["6.6.6.6, 8.8.4.4"], "8.8.4.4", id="the visitor wrote the first"),
        pytest.param("10.0.0.9", ["6.6.6.6", "8.8.4.4"], "8.8.4.4", id="several headers"),
        pytest.param("::ffff:10.0.0.9", ["2001:db8::1%eth0"], "2001:db8::1", id="both families"),
        pytest.param("fd00::1", ["::ffff:198.51.100.1"], "198.51.100.1", id="an IPv4 visitor of an IPv6 proxy"),
        pytest.param("10.0.0.9", ["198.51.100.1:4711"], "198.51.100.1", id="with the port"),
        pytest.param("10.0.0.9", ["[2001:db8::1]:4711"], "2001:db8::1", id="IPv6 with the port"),
        pytest.param("10.0.0.9", ["[2001:db8::1]"], "2001:db8::1", id="IPv6 in brackets"),
        pytest.param("10.0.0.9", ["2001:db8::1:4711"], "2001:db8::1:4711", id="without brackets it is no port"),
        pytest.param(
            "10.0.0.9", ["x, 192.168.7.1"], "192.168.7.1", id="a visitor of the house with a header of its own"
        ),
        pytest.param("192.168.7.1", ["198.51.100.1"], "192.168.7.1", id="a visitor of the house, without the proxy"),
        pytest.param("/run/bridge.sock", ["198.51.100.1"], None, id="a Unix socket has no address"),
        pytest.param(None, [], None, id="nobody"),
    ],
)
def test_the_address_is_what_the_last_trusted_proxy_saw(
    peer: str | None, forwarded: list[str], expected: str | None
) -> None:
    assert find_client_address(peer, forwarded, trusted=PROXY) == ClientAddress(expected)


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        pytest.param("10.0.0.9", ["198.51.100.1, unknown"], "10.0.0.9", id="what is no address ends the search"),
        pytest.param("10.0.0.9", ["10.0.0.5"], "10.0.0.5", id="proxies alone"),
        pytest.param("10.0.0.9", [], "10.0.0.9", id="the proxy says nothing"),
        pytest.param("10.0.0.9", [""], "10.0.0.9", id="the proxy says nothing, at length"),
    ],
)
def test_the_address_of_a_proxy_stands_for_many_people(peer: str, forwarded: list[str], expected: str) -> None:
    """Counting failures by it would lock everybody out."""
    assert find_client_address(peer, forwarded, trusted=PROXY) == ClientAddress(expected, is_shared=True)


@pytest.mark.parametrize(
    ("peer", "forwarded", "is_shared"),
    [
        ("127.0.0.1", ["198.51.100.1"], True),
        ("192.168.1.4", ["198.51.100.1"], True),
        ("100.64.0.1", ["198.51.100.1"], True),  # in a network of a provider (RFC 6598)
        ("192.168.1.4", [], False),
        ("8.8.8.8", ["198.51.100.1"], False),
    ],
)
def test_where_no_proxy_is_named_one_is_known_by_its_header(
    peer: str, forwarded: list[str], *, is_shared: bool
) -> None:
    """A public address with that header may be anybody, who would be rid of the lockout by it."""
    assert find_client_address(peer, forwarded, trusted=[]) == ClientAddress(peer, is_shared=is_shared)
