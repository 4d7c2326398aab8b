"""Forms that change something (ASVS 3.5.1)."""

from typing import Any, cast

import pytest
from starlette.requests import Request

from bridge.config import PackageSettings
from bridge.errors import FormRefused
from bridge.flows.relying_party import RelyingParty
from bridge.web.forms import build_form_token, check_form_token, check_origin

CREDENTIAL = "c" * 43
UNUSED = cast("Any", None)
"""A form check asks the relying party for nothing but its addresses."""
RP = RelyingParty(
    package="staff",
    settings=PackageSettings(
        issuer="https://keycloak.example.com/realms/staff",
        client_id="bridge",
        client_secret="secret",  # type: ignore[arg-type]  # pydantic makes a SecretStr of it
        return_to=["https://shop.example.com/cart/"],
    ),
    public_url="https://sso.example.com",
    policies=UNUSED,
    claim_life=UNUSED,
    provider=UNUSED,
    database=UNUSED,
    sealer=UNUSED,
    outcomes=UNUSED,
    activities=UNUSED,
    places=UNUSED,
    now=UNUSED,
    is_user_gone=None,
)
MESSAGE = "This form has expired or was sent from another site. Please load the page again and retry."


def request(*, site: str | None = None, origin: str | None = None) -> Request:
    """Make a form's request with what a browser says about the page that sent it."""
    headers = [(b"sec-fetch-site", site), (b"origin", origin)]
    raw = [(name, value.encode()) for name, value in headers if value is not None]
    return Request({"type": "http", "method": "POST", "path": "/logout", "headers": raw})


def refusal(form: Request, *, form_token: str | None = None) -> FormRefused:
    """Return the error of a form that is refused, having checked that it holds no token."""
    good = build_form_token(CREDENTIAL)

    def check() -> None:
        check_origin(form, RP)
        check_form_token(CREDENTIAL, good if form_token is None else form_token)

    with pytest.raises(FormRefused) as caught:
        check()
    assert (caught.value.code, caught.value.status, caught.value.message) == ("form_refused", 403, MESSAGE)
    assert good not in str(caught.value.evidence)
    assert CREDENTIAL not in str(caught.value.evidence)
    return caught.value


@pytest.mark.parametrize(
    ("site", "origin"),
    [
        pytest.param("same-origin", "https://sso.example.com", id="our page"),
        pytest.param("same-origin", None, id="our page, referrer withheld"),
        pytest.param("same-site", "https://shop.example.com", id="an application beside us"),
        pytest.param("cross-site", "https://shop.example.com", id="an application elsewhere"),
        pytest.param(None, "https://sso.example.com", id="older browser"),
        pytest.param(None, "https://shop.example.com", id="older browser, application"),
        pytest.param("none", None, id="typed by the person"),
        pytest.param(None, None, id="program"),
    ],
)
def test_form_from_a_known_page_is_accepted(site: str | None, origin: str | None) -> None:
    check_origin(request(site=site, origin=origin), RP)
    check_form_token(CREDENTIAL, build_form_token(CREDENTIAL))


@pytest.mark.parametrize(
    ("site", "origin"),
    [
        ("cross-site", "https://evil.example"),
        ("same-site", "https://evil.example.com"),
        ("cross-site", None),
        ("same-site", None),
        ("cross-site", "null"),
        (None, "null"),
        (None, "https://evil.example"),
        (None, "https://shop.example.com.evil.example"),
        (None, "https://shop.example.com/cart/"),
        (None, "http://sso.example.com"),
        (None, "https://sso.example.com:8443"),
        ("none", "https://evil.example"),
        ("nonsense", None),
        ("", None),
    ],
)
def test_form_from_a_foreign_page_is_refused(site: str | None, origin: str | None) -> None:
    """H12, J1, V10: with the right token too (ASVS 3.5.1)."""
    error = refusal(request(site=site, origin=origin))
    known = ["https://shop.example.com", "https://sso.example.com"]
    assert error.evidence == {"origin": origin, "sec_fetch_site": site, "known": known}


@pytest.mark.parametrize("form_token", ["", "x", "é", build_form_token("d" * 43), build_form_token(CREDENTIAL)[:-1]])
def test_form_of_another_session_is_refused(form_token: str) -> None:
    """H12, J1: a token of the attacker's own session does not fit the victim's."""
    assert refusal(request(site="same-origin"), form_token=form_token).evidence == {"form_token": "another"}


def test_form_token_shows_nothing_of_the_credential() -> None:
    """E6, K1: what stands in a page cannot be used as a cookie."""
    form_token = build_form_token(CREDENTIAL)
    assert form_token == build_form_token(CREDENTIAL)
    assert form_token != build_form_token("d" * 43)
    assert CREDENTIAL not in form_token
    assert len(form_token) == 64
