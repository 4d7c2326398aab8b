"""The provider's signing keys (RFC 7517)."""

import pytest
from joserfc.jwk import OctKey, OKPKey

from bridge.errors import KeycloakAnswerInvalid
from bridge.oidc.keys import UnknownKey, check_jwks
from tests.unit.id_tokens import ec_key, public, rsa_key

RSA = public(rsa_key())
GARBAGE: list[object] = [None, 5, "text", [], {}, {"kty": "RSA"}, {"kty": "EC", "crv": "P-256"}, {"kty": "new"}]
TYPES: list[object] = [
    {"kty": None},
    {"kty": ["RSA"]},
    {"kty": {}},
    {**RSA, "n": 5},
    {**RSA, "e": "!"},
    {**RSA, "n": ""},
]


def test_keys_of_the_kinds_we_verify_with_are_taken() -> None:
    """C4, C6 (RFC 7517 5)."""
    edwards = OKPKey.generate_key("Ed25519", {"kid": "ed"})
    found = check_jwks({"keys": [RSA, public(ec_key()), edwards.as_dict(private=False)], "unknown": 1})
    assert [key.kid for key in found.keys] == ["rsa", "ec"]
    assert found.find("rsa", "RS256").kid == "rsa"
    assert found.find("rsa", "PS512").kid == "rsa"
    assert found.find("ec", "ES256").kid == "ec"


def test_symmetric_key_is_never_taken() -> None:
    """V24, V31: with an `oct` key in a JWKS anybody who reads it could sign (ASVS 9.1.2)."""
    secret = OctKey.generate_key(256, {"kid": "oct", "alg": "HS256"}).as_dict()
    assert check_jwks({"keys": [secret]}).keys == ()


@pytest.mark.parametrize("use", ["enc", "other", "", None, 5])
def test_key_for_another_use_is_passed_over(use: object) -> None:
    """C6, V31: Keycloak publishes a key for encryption beside those for signing (RFC 7517 4.2)."""
    assert check_jwks({"keys": [public(rsa_key(), use=use)]}).keys == ()


def test_key_may_lack_a_use_or_say_sig() -> None:
    found = check_jwks({"keys": [RSA, public(rsa_key("second"), use="sig")]})
    assert [key.kid for key in found.keys] == ["rsa", "second"]


@pytest.mark.parametrize("entry", GARBAGE + TYPES)
def test_garbage_among_the_keys_is_passed_over(entry: object) -> None:
    """V31 (RFC 7517 5: implementations should ignore what they do not understand)."""
    assert [key.kid for key in check_jwks({"keys": [entry, RSA]}).keys] == ["rsa"]


@pytest.mark.parametrize("document", [None, [], "text", 5, {}, [RSA], {"keys": None}, {"keys": RSA}, {"keys": "x"}])
def test_document_that_is_no_jwks_is_refused(document: object) -> None:
    """V31, F5: an array, an HTML page or a single key is no JWKS."""
    with pytest.raises(KeycloakAnswerInvalid, match="cannot be read") as caught:
        check_jwks(document)
    assert caught.value.code == "keycloak_answer_invalid"
    assert caught.value.evidence == {"jwks": "no list of at most 100 keys"}


def test_more_than_100_keys_are_refused() -> None:
    """V31: whoever answers cannot make us work without end."""
    assert len(check_jwks({"keys": [RSA] * 100}).keys) == 100
    with pytest.raises(KeycloakAnswerInvalid, match="cannot be read") as caught:
        check_jwks({"keys": [{}] * 101})
    assert caught.value.evidence == {"jwks": "no list of at most 100 keys"}


def test_empty_jwks_is_one_without_the_key() -> None:
    """F8: every key was removed; the caller may fetch again."""
    with pytest.raises(UnknownKey, match="does not publish") as caught:
        check_jwks({"keys": []}).find("rsa", "RS256")
    assert caught.value.evidence == {"kid": "rsa", "alg": "RS256", "fitting_keys": 0}


def test_kid_published_twice_is_refused() -> None:
    """V31: which of the two signed, nobody can say."""
    keys = check_jwks({"keys": [RSA, public(rsa_key("second"), kid="rsa")]})
    with pytest.raises(UnknownKey, match="does not publish") as caught:
        keys.find("rsa", "RS256")
    assert caught.value.code == "unknown_key"
    assert caught.value.evidence == {"kid": "rsa", "alg": "RS256", "fitting_keys": 2}


def test_kid_of_an_rsa_and_an_ec_key_is_told_apart_by_the_algorithm() -> None:
    """V24: ES/RS swap; the algorithm decides the kind of key, never the other way round."""
    keys = check_jwks({"keys": [RSA, public(ec_key(), kid="rsa")]})
    assert keys.find("rsa", "RS256").key_type == "RSA"
    assert keys.find("rsa", "ES256").key_type == "EC"


@pytest.mark.parametrize("algorithm", ["none", "HS256", "", "XX256"])
def test_algorithm_without_an_asymmetric_kind_finds_nothing(algorithm: str) -> None:
    """C4, V24."""
    with pytest.raises(UnknownKey, match="does not publish"):
        check_jwks({"keys": [RSA]}).find("rsa", algorithm)


def test_missing_kid_finds_a_single_fitting_key_and_no_more() -> None:
    """C6; oidcc-client-test-kid-absent-single-jwks and -multiple-jwks (Core 10.1)."""
    assert check_jwks({"keys": [RSA, public(ec_key())]}).find(None, "RS256").kid == "rsa"
    with pytest.raises(UnknownKey, match="does not publish"):
        check_jwks({"keys": [RSA, public(rsa_key("second"))]}).find(None, "RS256")
