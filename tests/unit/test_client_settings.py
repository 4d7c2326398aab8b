"""Each rule for the bridge's own client, broken alone."""

import shlex
from typing import Any

import pytest

from bridge.keycloak.client_settings import Registration, check_client_settings, report_missing_client
from bridge.keycloak.findings import Finding

UUID = "11111111-2222-3333-4444-555555555555"
CALLBACK = "https://sso.example.com/callback/shop"
DONE = "https://sso.example.com/logout/done/shop"
WANTED = Registration("packages.shop client bridge", "shop", "bridge", CALLBACK, DONE)


def representation(**changes: object) -> dict[str, Any]:
    """Return what Keycloak shows of a client in order; `attributes` are merged, None removes a member."""
    attributes = {"pkce.code.challenge.method": "S256", "post.logout.redirect.uris": DONE}
    given = changes.pop("attributes", {})
    assert isinstance(given, dict)
    shown: dict[str, Any] = {
        "id": UUID,
        "clientId": "bridge",
        "enabled": True,
        "clientAuthenticatorType": "client-secret",
        "redirectUris": [CALLBACK],
        "bearerOnly": False,
        "consentRequired": True,
        "standardFlowEnabled": True,
        "implicitFlowEnabled": False,
        "directAccessGrantsEnabled": False,
        "serviceAccountsEnabled": False,
        "publicClient": False,
        "frontchannelLogout": False,
        "attributes": {name: value for name, value in {**attributes, **given}.items() if value is not None},
        **changes,
    }
    return {name: value for name, value in shown.items() if value is not None}


def broken(**changes: object) -> list[Finding]:
    return [finding for finding in check_client_settings(representation(**changes), WANTED) if not finding.ok]


def only_broken(**changes: object) -> tuple[str, list[str]]:
    """Return the message of the one broken rule and the changes of its line, read as a shell reads it."""
    (finding,) = broken(**changes)
    assert finding.subject == "packages.shop client bridge"
    assert finding.mend is not None
    words = shlex.split(finding.mend)
    assert words[:6] == ["kcadm.sh", "update", f"clients/{UUID}", "-r", "shop", "-s"]
    return finding.message, words[6:]


def test_a_client_in_order_has_a_finding_a_rule_and_none_is_broken() -> None:
    found = check_client_settings(representation(), WANTED)
    assert [finding.mend for finding in found] == [None] * 12
    assert broken() == []


@pytest.mark.parametrize(
    ("name", "wrong", "right"),
    [
        ("enabled", False, "true"),
        ("standardFlowEnabled", False, "true"),
        ("publicClient", True, "false"),
        ("bearerOnly", True, "false"),
        ("implicitFlowEnabled", True, "false"),
        ("directAccessGrantsEnabled", True, "false"),
        ("serviceAccountsEnabled", True, "false"),
        ("frontchannelLogout", True, "false"),
    ],
)
def test_a_flag_the_wrong_way_is_named_and_turned(name: str, wrong: object, right: str) -> None:
    message, changes = only_broken(**{name: wrong})
    assert message.startswith(f"{name} is {str(wrong).lower()} and must be {right}: ")
    assert changes == [f"{name}={right}"]


def test_a_flag_that_is_left_out_is_off() -> None:
    assert broken(bearerOnly=None) == []
    assert only_broken(enabled=None)[1] == ["enabled=true"]


def test_another_way_to_authenticate_is_named() -> None:
    message, changes = only_broken(clientAuthenticatorType="client-jwt")
    assert "clientAuthenticatorType is client-jwt" in message
    assert changes == ["clientAuthenticatorType=client-secret"]


@pytest.mark.parametrize(("method", "said"), [(None, "not required"), ("plain", "required with plain")])
def test_pkce_without_s256_is_named(method: str | None, said: str) -> None:
    message, changes = only_broken(attributes={"pkce.code.challenge.method": method})
    assert said in message
    assert changes == ['attributes."pkce.code.challenge.method"=S256']


def test_a_client_without_attributes_lacks_pkce_and_the_post_logout_address() -> None:
    shown = {name: value for name, value in representation().items() if name != "attributes"}
    found = [finding.message for finding in check_client_settings(shown, WANTED) if not finding.ok]
    assert found == [
        "PKCE is not required; S256 must be.",
        f"The post-logout redirect URI {DONE} is not registered.",
    ]


def test_a_missing_redirect_uri_is_added_to_those_there_are() -> None:
    message, changes = only_broken(redirectUris=["https://old.example.com/callback/shop"])
    assert message == f"The redirect URI {CALLBACK} is not registered."
    assert changes == [f'redirectUris=["https://old.example.com/callback/shop","{CALLBACK}"]']


@pytest.mark.parametrize("near", [f"{CALLBACK}/", CALLBACK.upper(), CALLBACK.removesuffix("p"), f"{CALLBACK}?x"])
def test_a_redirect_uri_that_is_nearly_ours_does_not_count(near: str) -> None:
    assert only_broken(redirectUris=[near])[0] == f"The redirect URI {CALLBACK} is not registered."


def test_no_redirect_uris_at_all_are_no_list_to_trip_over() -> None:
    assert only_broken(redirectUris=None)[1] == [f'redirectUris=["{CALLBACK}"]']


def test_a_wildcard_beside_our_redirect_uri_is_taken_out() -> None:
    message, changes = only_broken(redirectUris=[CALLBACK, "https://sso.example.com/*"])
    assert message.startswith("A redirect URI with a wildcard is registered")
    assert message.endswith("https://sso.example.com/*")
    assert changes == [f'redirectUris=["{CALLBACK}"]']


def test_a_wildcard_that_covers_our_address_does_not_stand_for_it() -> None:
    """RFC 9700 section 2.1: redirect URIs are compared exactly."""
    missing, wildcard = broken(redirectUris=["https://sso.example.com/*"])
    assert missing.mend == wildcard.mend
    assert missing.mend is not None
    assert shlex.split(missing.mend)[-1] == f'redirectUris=["{CALLBACK}"]'


def test_a_relative_redirect_uri_is_read_below_the_root_url() -> None:
    assert broken(redirectUris=["/callback/shop"], rootUrl="https://sso.example.com/") == []
    assert len(broken(redirectUris=["/callback/shop"])) == 1


def test_a_missing_post_logout_address_is_added_to_those_there_are() -> None:
    message, changes = only_broken(attributes={"post.logout.redirect.uris": "https://a.example.com/##+"})
    assert message == f"The post-logout redirect URI {DONE} is not registered."
    assert changes == [f'attributes."post.logout.redirect.uris"=https://a.example.com/##+##{DONE}']


def test_our_post_logout_address_among_others_is_found() -> None:
    assert broken(attributes={"post.logout.redirect.uris": f"https://a.example.com/##{DONE}"}) == []


@pytest.mark.parametrize("listed", ["-", f"-##{DONE}", "", None])
def test_a_post_logout_list_that_allows_nothing_is_replaced(listed: str | None) -> None:
    message, changes = only_broken(attributes={"post.logout.redirect.uris": listed})
    assert message == f"The post-logout redirect URI {DONE} is not registered."
    assert changes == [f'attributes."post.logout.redirect.uris"={DONE}']


def test_a_wildcard_beside_our_post_logout_address_is_taken_out() -> None:
    message, changes = only_broken(attributes={"post.logout.redirect.uris": f"{DONE}##https://x.example.com/*"})
    assert message.startswith("A post-logout redirect URI with a wildcard is registered")
    assert changes == [f'attributes."post.logout.redirect.uris"={DONE}']


def test_several_broken_rules_are_all_found() -> None:
    found = broken(enabled=False, frontchannelLogout=True, redirectUris=[])
    assert [finding.message.split()[0] for finding in found] == ["enabled", "frontchannelLogout", "The"]


def test_a_client_that_is_not_registered_is_registered_by_one_line() -> None:
    finding = report_missing_client(WANTED)
    assert (finding.ok, "The realm shop has no client bridge." in finding.message) == (False, True)
    assert finding.mend is not None
    words = shlex.split(finding.mend)
    assert words[:5] == ["kcadm.sh", "create", "clients", "-r", "shop"]
    assert {
        "clientId=bridge",
        "publicClient=false",
        f'redirectUris=["{CALLBACK}"]',
        'attributes."pkce.code.challenge.method"=S256',
        f'attributes."post.logout.redirect.uris"={DONE}',
    } <= set(words[5:])
    assert "secret" not in finding.mend
