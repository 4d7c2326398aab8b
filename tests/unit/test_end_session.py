"""Sign-out at the provider by redirect (RP-Initiated Logout 1.0)."""

from dataclasses import replace
from urllib.parse import parse_qsl, urlsplit

import pytest

from bridge.oidc.logout import build_end_session_url
from tests.unit.test_authorization import ISSUER, METADATA, TRICKY

OFFERED = replace(METADATA, end_session_endpoint=f"{ISSUER}/logout")


@pytest.mark.parametrize("text", ["text", TRICKY])
def test_sign_out_carries_hint_return_address_and_state(text: str) -> None:
    """H11; oidcc-client-test-rp-init-logout (RP-Initiated Logout 2)."""
    uri = f"https://sso.example.com/logout/done/{text}"
    url = build_end_session_url(OFFERED, client_id=text, id_token_hint=text, post_logout_redirect_uri=uri, state=text)
    assert url is not None
    assert url.startswith(f"{ISSUER}/logout?")
    assert parse_qsl(urlsplit(url).query, strict_parsing=True) == [
        ("id_token_hint", text),
        ("client_id", text),
        ("post_logout_redirect_uri", uri),
        ("state", text),
    ]


def test_sign_out_without_a_hint_leaves_it_out() -> None:
    url = build_end_session_url(
        OFFERED, client_id="c", id_token_hint=None, post_logout_redirect_uri="https://a/", state="s"
    )
    assert url == f"{ISSUER}/logout?client_id=c&post_logout_redirect_uri=https%3A%2F%2Fa%2F&state=s"


def test_provider_without_an_endpoint_gets_no_sign_out() -> None:
    answer = build_end_session_url(METADATA, client_id="c", id_token_hint="h", post_logout_redirect_uri="u", state="s")
    assert answer is None
