"""Where people may be sent back to: an open redirect is refused in every spelling (RFC 9700 4.11.1)."""

import re

import pytest

from bridge.config.values import parse_origin
from bridge.errors import ReturnToRefused
from bridge.flows.return_to import check_return_to

PUBLIC_URL = "https://sso.example.com"
ALLOWED = [
    "https://shop.example.com/",
    "https://apps.example.com:8443/shop/",
    "http://[::1]:8080/",
    "http://localhost/x",
]

OFF_SITE = [
    "//evil.example",
    "///evil.example",
    "////evil.example",
    "/\\evil.example",
    "/path?next=\\evil.example",
    "/path#\\evil.example",
    "\\/evil.example",
    "\\\\evil.example",
    "/\\/evil.example",
    "/./\\evil.example",
    "/a/../\\evil.example",
    "/.//evil.example",
    "/..//evil.example",
    "/%5cevil.example",
    "/%5C%5Cevil.example",
    "/%2fevil.example",
    "/%2F%2Fevil.example",
    "//%2fevil.example",
    "/%09/evil.example",
    "/\t/evil.example",
    "\t//evil.example",
    "/%0a/evil.example",
    "/%0d%0a//evil.example",
    "/%00/evil.example",
    "/%7f/evil.example",
    "/%ff/evil.example",
    "/<>//evil.example",
    '/"//evil.example',
    "https:evil.example",
    "https:/evil.example",
    "https:///evil.example",
    "https:\\\\evil.example",
    "http:0xd8.072.54990",
    "http:evil.example",
    "evil.example",
    "evil.example/path",
    ".evil.example",
    "@evil.example",
    "?next=1",
    "#fragment",
    "",
    " ",
    " /path",
    "/path ",
    "/pa th",
    "javascript:alert(1)",
    "JaVaScRiPt:alert(1)",
    "java\tscript:alert(1)",
    "javascript&colon;alert(1)",
    "&#106;avascript:alert(1)",
    "javascript://shop.example.com/%0aalert(1)",
    "data:text/html,x",
    "ftp://shop.example.com/",
    "blob:https://shop.example.com/",
]
"""V1: absolute, scheme-relative, backslashes, tabs, encoded slashes and controls, other schemes."""

NOT_ASCII = [
    "〱evil.example",
    "/〱evil.example",
    "〵evil.example",
    "/〵evil.example",
    "https://shop。example。com/",
    "https://shop\uff0eexample\uff0ecom/",
    "https://evil.example\uff0f.shop.example.com/",
    "https://\u017fhop.example.com/",
    "/é",
    "/\u2028",
    "/\u202e",
    "/\x85/evil.example",
    "/\xa0/evil.example",
    "\ufeff/path",
    "\ud800",
    "/\ud800",
    "https://shop.example.com/\udfff",
]
"""V1, V4: characters that some reader turns into a dot, a slash or nothing, and lone surrogates."""

LINE_BREAKS = ["\r", "\n", "\r\n", "\x00", "\x0b", "\x0c", "\x1b", "\x7f"]

OTHER_PLACES = [
    "https://evil.example/",
    "https://shop.example.com.evil.example/",
    "https://evilshop.example.com/",
    "https://shop.example.comevil/",
    "https://example.com/",
    "https://shop.example.com./",
    "https://shop.example.com../",
    "https://shop.example.com:443/",
    "https://shop.example.com:8443/",
    "https://shop.example.com:/",
    "https://shop.example.com:99999999/",
    "http://shop.example.com/",
    "http://sso.example.com/",
    "https://sso.example.com:8443/",
    "https://sso.example.com.evil.example/",
    "https://SHOP.example.com/",
    "HTTPS://shop.example.com/",
    "https://shop.example.com@evil.example/",
    "https://evil.example@shop.example.com/",
    "https://user:password@shop.example.com/",
    "https://shop.example.com:443@evil.example/",
    "https://evil.example#@shop.example.com/",
    "https://evil.example?@shop.example.com/",
    "https://evil.example\\@shop.example.com/",
    "https://shop.example.com%2eevil.example/",
    "https://shop.example.com%00.evil.example/",
    "https://shop.example.com%2f@evil.example/",
    "https://shop_example.com/",
    "https://[::1",
    "https://[::1/",
    "http://::1:8080/",
    "http://[::1]/",
    "http://[::1%25eth0]:8080/",
    "http://[0:0:0:0:0:0:0:1]:8080/",
    "http://[::ffff:127.0.0.1]:8080/",
    "http://127.1/",
    "http://0x7f000001/",
    "http://2130706433/",
    "//shop.example.com/",
    "https://shop.example.com//evil.example",
    "https://shop.example.com/../x",
    "https://shop.example.com/%2e%2e/x",
    "https://shop.example.com/%5c",
    "https://shop.example.com/a%2Fb",
]
"""V1, V2, V4: userinfo, other port, suffix, prefix, trailing dots, addresses spelled otherwise, unterminated IPv6."""

OUTSIDE_THE_PREFIX = [
    "https://apps.example.com:8443/",
    "https://apps.example.com:8443",
    "https://apps.example.com:8443/shopping",
    "https://apps.example.com:8443/Shop/",
    "https://apps.example.com:8443/shop.evil/",
    "https://apps.example.com:8443/shop%2f..%2fadmin",
    "https://apps.example.com:8443/shop/../admin",
    "https://apps.example.com:8443/shop/%2e%2e/admin",
    "https://apps.example.com:8443/shop/.%2E/admin",
    "https://apps.example.com:8443/shop/./",
    "https://apps.example.com:8443//shop/",
    "https://apps.example.com:8443?/shop/",
    "https://apps.example.com:8443#/shop/",
    "https://apps.example.com/shop/",
    "http://localhost/xy",
    "http://localhost/",
]

ACCEPTED = [
    "/",
    "/path",
    "/path/",
    "/path/to/page.html",
    "/path?query=1&other=a%20b",
    "/path#fragment",
    "/path?query#fragment?more#end",
    "/path?next=//evil.example",
    "/path?next=https%3A%2F%2Fevil.example%2F",
    "/path?a=%2F%5C%0D%0A",
    '/path?filter={"a":[1]}|<b>',
    "/path#/route/of/an/app",
    "/a%20b",
    "/caf%C3%A9",
    "/%22quoted%22",
    "/.well-known/x",
    "/...",
    "/a//b",
    "/@alice",
    "/a;v=1,2!$&'()*+=:~_-",
    "https://sso.example.com",
    "https://sso.example.com/",
    "https://sso.example.com/account",
    "https://shop.example.com",
    "https://shop.example.com/",
    "https://shop.example.com/cart?id=1#top",
    "https://shop.example.com?id=1",
    "https://shop.example.com#top",
    "https://shop.example.com/@alice",
    "https://apps.example.com:8443/shop",
    "https://apps.example.com:8443/shop/",
    "https://apps.example.com:8443/shop/a%20b",
    "https://apps.example.com:8443/shop?x=1",
    "http://[::1]:8080",
    "http://[::1]:8080/x",
    "http://localhost/x",
    "http://localhost/x/y",
]


def refusal(value: str, *, allowed: list[str] | None = None) -> ReturnToRefused:
    """Return the error of an address that is refused."""
    with pytest.raises(ReturnToRefused) as caught:
        check_return_to(value, public_url=PUBLIC_URL, allowed=ALLOWED if allowed is None else allowed)
    assert caught.value.code == "return_to_refused"
    assert caught.value.status == 400
    assert caught.value.message == "The address to return to is not one that this sign-in may send you to."
    # Never the query: it is the application's, and may hold what no log should.
    assert caught.value.evidence == {"return_to": re.split("[?#]", value)[0][:200]}
    return caught.value


@pytest.mark.parametrize("value", OFF_SITE)
def test_return_to_refuses_what_could_leave_the_site(value: str) -> None:
    """V1, A11 (CVE-2020-5233, CVE-2021-32786 and the like)."""
    refusal(value)


@pytest.mark.parametrize("value", NOT_ASCII)
def test_return_to_refuses_characters_outside_ascii(value: str) -> None:
    """V1, V4 (CVE-2022-31093): refused as an address, never an error of the server."""
    refusal(value)


@pytest.mark.parametrize("character", LINE_BREAKS)
@pytest.mark.parametrize("template", ["{}", "/{}", "/a{}", "/a{}b", "/a?x{}", "/a?x{}y", "/a#x{}", "{}/a"])
def test_return_to_refuses_line_breaks_and_controls_anywhere(template: str, character: str) -> None:
    """V1: at the very end too, where `$` of a regular expression overlooks a line feed."""
    refusal(template.format(character))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\t", " "])
@pytest.mark.parametrize(
    "start", ["https://shop.example.com", "https://shop.example.com/", "https://shop.example.com/?a"]
)
def test_return_to_refuses_line_breaks_behind_an_allowed_address(start: str, end: str) -> None:
    """V1: CR/LF would split the Location header."""
    refusal(start + end)


@pytest.mark.parametrize("value", OTHER_PLACES)
def test_return_to_refuses_other_places_and_other_spellings(value: str) -> None:
    """V1, V2, A11: the origin is compared to the character, nothing is repaired."""
    refusal(value)


@pytest.mark.parametrize("value", OUTSIDE_THE_PREFIX)
def test_return_to_refuses_what_lies_outside_the_prefix(value: str) -> None:
    """A11: `/shop` does not allow `/shopping`, nor a way out of it."""
    refusal(value)


@pytest.mark.parametrize("value", ["https://shop.example.com/", "https://shop.example.com"])
def test_return_to_refuses_every_origin_when_none_is_allowed(value: str) -> None:
    """A11: the default is our own pages."""
    error = refusal(value, allowed=[])
    assert error.hint == "Add the origin and path to return_to of the package, for example https://shop.example.com/."


@pytest.mark.parametrize("value", ACCEPTED)
def test_return_to_accepts_plain_paths_and_allowed_places_unchanged(value: str) -> None:
    assert check_return_to(value, public_url=PUBLIC_URL, allowed=ALLOWED) == value


@pytest.mark.parametrize("prefix", ["https://apps.example.com/shop", "https://apps.example.com/shop/"])
@pytest.mark.parametrize("path", ["", "/", "/cart"])
def test_prefix_means_the_same_with_and_without_a_slash_at_its_end(prefix: str, path: str) -> None:
    value = f"https://apps.example.com/shop{path}"
    assert check_return_to(value, public_url=PUBLIC_URL, allowed=[prefix]) == value
    refusal("https://apps.example.com/shopping", allowed=[prefix])


def test_return_to_has_at_most_2000_characters() -> None:
    """S12: what is stored has an end."""
    longest = "/" + "a" * 1999
    assert check_return_to(longest, public_url=PUBLIC_URL, allowed=[]) == longest
    refusal(longest + "a")


def test_host_in_the_configuration_may_be_spelled_with_capitals() -> None:
    """Browsers send small letters; an operator need not know that."""
    assert parse_origin("https://Shop.Example.com/Path") == ("https://shop.example.com", "/Path")
    value = "https://shop.example.com/Path/x"
    assert check_return_to(value, public_url=PUBLIC_URL, allowed=["https://Shop.Example.com/Path"]) == value
