"""Cookies: strict reading, and every attribute by name on the raw header."""

from datetime import UTC, datetime, timedelta

import pytest
from starlette.requests import Request
from starlette.responses import Response

from bridge.model import digest
from bridge.web import cookies

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
CREDENTIAL = "c" * 43
BINDING = "b" * 43
STATE = "state-1"
NAME = "__Host-kb-staff"
LOGIN_NAME = "__Host-kb_login_" + digest(STATE)[:16]
LOGOUT_NAME = "__Host-kb_logout_" + digest(STATE)[:16]


def request(*headers: str | bytes) -> Request:
    """Make a request with these Cookie headers, byte by byte."""
    raw = [(b"cookie", header if isinstance(header, bytes) else header.encode("latin-1")) for header in headers]
    return Request({"type": "http", "method": "GET", "path": "/", "headers": raw})


def set_cookies(response: Response) -> dict[str, tuple[str, dict[str, str]]]:
    """Read the Set-Cookie headers: name to value and attributes, these in small letters."""
    found = {}
    for name, header in response.raw_headers:
        if name == b"set-cookie":
            pair, *attributes = header.decode("latin-1").split("; ")
            key, _, value = pair.partition("=")
            assert key not in found, "a cookie is set once a response"
            found[key] = (value, {(part := one.partition("="))[0].lower(): part[2] for one in attributes})
    return found


def assert_safe(attributes: dict[str, str], *, max_age: int) -> None:
    """E4: Secure, HttpOnly, Path=/, SameSite=Lax, an end, and neither Domain nor anything else."""
    assert attributes == {"secure": "", "httponly": "", "path": "/", "samesite": "lax", "max-age": str(max_age)}


def test_session_cookie_has_the_attributes_of_a_host_cookie() -> None:
    """E4 (rfc6265bis 4.1.3, ASVS 3.3.1 to 3.3.4); it ends with the session."""
    response = Response()
    cookies.set_session(response, "staff", CREDENTIAL, expires_at=NOW + timedelta(hours=8), now=NOW)
    [(name, (value, attributes))] = set_cookies(response).items()
    assert (name, value) == (NAME, CREDENTIAL)
    assert_safe(attributes, max_age=8 * 3600)


def test_deleted_session_cookie_has_the_same_attributes() -> None:
    """E4: a browser refuses to overwrite a __Host- cookie with anything else."""
    response = Response()
    cookies.delete_session(response, "staff")
    [(name, (value, attributes))] = set_cookies(response).items()
    assert (name, value.strip('"')) == (NAME, "")
    assert_safe(attributes, max_age=0)


def test_session_cookie_is_read_back() -> None:
    assert cookies.read_session(request(f"a=1; {NAME}={CREDENTIAL}; b=2"), "staff") == CREDENTIAL


@pytest.mark.parametrize(
    "header", ["", "a=1", f"__Host-kb-other={CREDENTIAL}", NAME, f"{NAME}=", f"x{NAME}={CREDENTIAL}"]
)
def test_missing_session_cookie_reads_as_none(header: str) -> None:
    assert cookies.read_session(request(header), "staff") is None
    assert cookies.read_session(request(), "staff") is None


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([f"{NAME}={CREDENTIAL}; {NAME}={'e' * 43}"], id="in one header"),
        pytest.param([f"{NAME}={'e' * 43}; {NAME}={CREDENTIAL}"], id="in the other order"),
        pytest.param([f"{NAME}={CREDENTIAL}", f"{NAME}={'e' * 43}"], id="in two headers"),
        pytest.param([f"{NAME}={CREDENTIAL}; {NAME}="], id="one of them empty"),
        pytest.param([f'{NAME}="{CREDENTIAL}; a=1; {NAME}={CREDENTIAL}"'], id="sandwich of quotes"),
    ],
)
def test_several_session_cookies_count_as_none(headers: list[str]) -> None:
    """V51: nobody can say which of them is ours."""
    assert cookies.read_session(request(*headers), "staff") is None


def test_the_same_session_cookie_twice_is_one() -> None:
    assert cookies.read_session(request(f"{NAME}={CREDENTIAL}; {NAME}={CREDENTIAL}"), "staff") == CREDENTIAL


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(f'"{CREDENTIAL}"', id="quoted"),
        pytest.param('"' + "\\143" * 43 + '"', id="octal escapes"),
        pytest.param(CREDENTIAL + "=", id="padded"),
        pytest.param(CREDENTIAL + "%20", id="escaped"),
        pytest.param(CREDENTIAL + " x", id="blank"),
        pytest.param(CREDENTIAL + "\xa0", id="odd byte"),
        pytest.param("c" * 21, id="short"),
        pytest.param("c" * 65, id="long"),
    ],
)
def test_session_cookie_of_another_form_reads_as_none(value: str) -> None:
    """V22, V47, V51: nothing is unquoted, unescaped or cut to fit."""
    assert cookies.read_session(request(f"{NAME}={value}"), "staff") is None


@pytest.mark.parametrize(
    "before", [b"\xa0", b"\x85", b"\xc2\xa0", b"\x0b", b"\x0c", b"\x1c", b"=", b'"', b"\\", b"__Host-x,", b"\x00"]
)
def test_byte_before_the_name_makes_it_another_cookie(before: bytes) -> None:
    """V51: Python strips these bytes, a browser does not count the cookie as __Host- with them."""
    planted = request(before + f"{NAME}={CREDENTIAL}".encode())
    assert cookies.read_session(planted, "staff") is None
    assert cookies.keeps_cookies(planted) is False


@pytest.mark.parametrize("name", [NAME.lower(), NAME.upper(), "__Secure-kb-staff", "kb-staff"])
def test_cookie_name_is_compared_to_the_character(name: str) -> None:
    """V51: a prefix in other letters is no prefix for every browser."""
    assert cookies.read_session(request(f"{name}={CREDENTIAL}"), "staff") is None


def test_blanks_and_tabs_around_a_pair_do_not_count() -> None:
    """rfc6265bis 5.6: they are no part of the name."""
    assert cookies.read_session(request(f"a=1;  \t{NAME}={CREDENTIAL} "), "staff") == CREDENTIAL


def test_names_of_the_three_kinds_never_meet() -> None:
    """V14: the artefact of a pending login is no session."""
    assert cookies.session_name("staff") == NAME
    binding = request(f"{LOGIN_NAME}=1.{BINDING}; {LOGOUT_NAME}=L2E=")
    assert cookies.read_session(binding, "staff") is None
    assert "_" not in cookies.session_name("staff").removeprefix("__Host-")


@pytest.mark.parametrize(
    ("header", "expected"),
    [("", False), ("a=1", False), ("__Host-kb", False), (f"{NAME}=", True), (f"{LOGIN_NAME}=x", True)],
)
def test_browser_keeps_cookies_when_it_sends_one_of_ours(header: str, expected: bool) -> None:  # noqa: FBT001 - a table
    assert cookies.keeps_cookies(request(header)) is expected


def test_cookies_are_read_by_name_in_order() -> None:
    found = cookies.read_all(request("a=1; b=2=3; a=; c", "a=4"))
    assert found == {"a": ["1", "", "4"], "b": ["2=3"]}


@pytest.mark.parametrize("return_to", ["/", "/a", "/ab", "/abc", "https://shop.example.com/?a=1;b=2#é,\"'"])
def test_return_address_of_a_sign_out_survives_the_cookie(return_to: str) -> None:
    """H11: also as the quotes of a value that http.cookies quotes, since browsers send them back."""
    response = Response()
    cookies.set_logout(response, state=STATE, return_to=return_to)
    [(name, (value, attributes))] = set_cookies(response).items()
    assert name == LOGOUT_NAME
    assert_safe(attributes, max_age=600)
    assert cookies.read_logout(request(f"{name}={value}"), STATE) == return_to
    assert cookies.read_logout(request(f"{name}={value}"), "another state") is None


@pytest.mark.parametrize("value", ["A", "é", "/w==", f"L2E=; {LOGOUT_NAME}=L2I="])
def test_return_address_that_cannot_be_read_is_none(value: str) -> None:
    """H11: a broken or planted cookie does not break the sign-out."""
    assert cookies.read_logout(request(f"{LOGOUT_NAME}={value}"), STATE) is None
    assert cookies.read_logout(request(), STATE) is None


def test_sign_out_cookie_is_deleted_with_its_attributes() -> None:
    response = Response()
    cookies.delete_logout(response, STATE)
    [(name, (_, attributes))] = set_cookies(response).items()
    assert name == LOGOUT_NAME
    assert_safe(attributes, max_age=0)
