"""What an ID token must say: issuer, audience, nonce, subject and the rest of OpenID Connect Core 3.1.3.7."""

from base64 import urlsafe_b64encode
from datetime import UTC, datetime
from hashlib import sha256

import pytest
from joserfc.errors import JoseError

from bridge.errors import IdTokenRefused
from tests.unit.id_tokens import (
    ACCESS_TOKEN,
    CLIENT_ID,
    ISSUER,
    NONCE,
    SECONDS,
    Key,
    build_claims,
    ec_key,
    public,
    published,
    refusal,
    rsa_key,
    sign,
    verify,
)

AT_HASH = urlsafe_b64encode(sha256(ACCESS_TOKEN.encode()).digest()[:16]).rstrip(b"=").decode()


def test_verified_claims_hold_what_a_session_needs() -> None:
    """oidcc-client-test: a provider that does everything right."""
    claims = verify(sign(build_claims(name="Alice", empty="", number=5)))
    assert claims.sub == "0f0b8c4e-1c1e-4b3a-9d0a-6a8f1f0f0001"
    assert claims.sid == "keycloak-session"
    assert claims.acr == "1"
    assert claims.auth_time == datetime.fromtimestamp(SECONDS, tz=UTC)
    assert claims.text("name") == "Alice"
    assert [claims.text(name) for name in ("empty", "number", "absent")] == [None, None, None]


@pytest.mark.parametrize("name", ["azp", "typ", "auth_time", "sid", "acr", "at_hash", "nbf"])
def test_id_token_may_lack_an_optional_claim(name: str) -> None:
    claims = verify(sign(build_claims(without=name)))
    assert name not in claims.claims


def test_claims_nobody_asked_for_are_ignored() -> None:
    """oidcc-client-test-rp-backchannel modules send an extra claim that must be ignored (Core 2)."""
    assert verify(sign(build_claims(foobar={"a": [1]}))).sub


@pytest.mark.parametrize(
    "issuer",
    [
        pytest.param("https://keycloak.example.com/realms/other", id="other"),
        pytest.param(ISSUER + "/", id="trailing slash"),
        pytest.param(ISSUER[:-1], id="substring"),
        pytest.param(ISSUER + "2", id="superstring"),
        pytest.param(ISSUER.upper(), id="case"),
        pytest.param([ISSUER], id="array"),
        pytest.param(None, id="null"),
    ],
)
def test_id_token_of_another_issuer_is_refused(issuer: object) -> None:
    """C1, V28; oidcc-client-test-invalid-iss (Core 3.1.3.7 (2))."""
    evidence = refusal(sign(build_claims(iss=issuer)))
    assert evidence == {"claim": "iss", "expected": ISSUER, "found": issuer}


def test_id_token_without_an_issuer_is_refused() -> None:
    """C1; invalid-missing-iss (Core 2: iss is required)."""
    assert refusal(sign(build_claims(without="iss"))) == {"claim": "iss", "expected": ISSUER, "found": None}


@pytest.mark.parametrize(
    "audience",
    [
        pytest.param("shop", id="other"),
        pytest.param([CLIENT_ID, "shop"], id="array with an extra one"),
        pytest.param(["shop"], id="array of another"),
        pytest.param([], id="empty array"),
        pytest.param([CLIENT_ID, CLIENT_ID], id="twice"),
        pytest.param("bridge shop", id="list in a text"),
        pytest.param({CLIENT_ID: True}, id="object"),
        pytest.param(None, id="null"),
    ],
)
def test_id_token_for_another_audience_is_refused(audience: object) -> None:
    """C2, V29; oidcc-client-test-invalid-aud and invalid-secondary-aud (Core 3.1.3.7 (3))."""
    evidence = refusal(sign(build_claims(aud=audience)))
    assert evidence == {"claim": "aud", "expected": CLIENT_ID, "found": audience}


def test_id_token_without_an_audience_is_refused() -> None:
    """C2, V29; oidcc-client-test-missing-aud."""
    assert refusal(sign(build_claims(without="aud"))) == {"claim": "aud", "expected": CLIENT_ID, "found": None}


def test_audience_may_be_an_array_of_this_client_alone() -> None:
    """C2; valid-aud-as-array (RFC 7519 4.1.3)."""
    assert verify(sign(build_claims(aud=[CLIENT_ID]))).sub


@pytest.mark.parametrize("azp", ["shop", "", None, [CLIENT_ID]])
def test_id_token_made_for_another_authorized_party_is_refused(azp: object) -> None:
    """C3, V29: azp, when present, is our client_id (Core 3.1.3.7 (5))."""
    assert refusal(sign(build_claims(azp=azp))) == {"claim": "azp", "expected": CLIENT_ID, "found": azp}


@pytest.mark.parametrize("kind", ["Bearer", "Refresh", "Offline", "Logout", "id", None])
def test_token_of_another_kind_is_refused_as_id_token(kind: object) -> None:
    """C14, V30: an access token is no ID token, although the same key signed it (RFC 8725 3.12)."""
    assert refusal(sign(build_claims(typ=kind))) == {"claim": "typ claim", "expected": "ID", "found": kind}


@pytest.mark.parametrize("nonce", ["another", NONCE + "x", NONCE[:-1], "", 5, [NONCE], "\ud800", "ﬀ"])
def test_id_token_with_another_nonce_is_refused(nonce: object) -> None:
    """C8; oidcc-client-test-nonce-invalid (Core 3.1.3.7 (11)). The evidence does not hold the nonce."""
    evidence = refusal(sign(build_claims(nonce=nonce)))
    assert evidence == {"claim": "nonce", "expected": "the one of this sign-in", "found": "another"}


def test_id_token_without_a_nonce_is_refused() -> None:
    """C8; invalid-missing-nonce (Core 3.1.3.7 (11))."""
    evidence = refusal(sign(build_claims(without="nonce")))
    assert evidence == {"claim": "nonce", "expected": "the one of this sign-in", "found": "missing"}


@pytest.mark.parametrize("sub", ["", "s" * 256, 5, True, None, ["s"], "a\x00b", "a\nb", "\ud800"])
def test_id_token_with_an_unusable_subject_is_refused(sub: object) -> None:
    """C9: at most 255 characters, and such as every database can keep (Core 2)."""
    evidence = refusal(sign(build_claims(sub=sub)))
    assert evidence == {"claim": "sub", "expected": "1 to 255 printable characters", "found": sub}


def test_id_token_without_a_subject_is_refused() -> None:
    """C9; oidcc-client-test-missing-sub (Core 2)."""
    assert refusal(sign(build_claims(without="sub")))["claim"] == "sub"


@pytest.mark.parametrize("sub", ["s", "s" * 255, "f:1:josé", "a b"])
def test_subject_may_be_any_text_of_up_to_255_characters(sub: str) -> None:
    assert verify(sign(build_claims(sub=sub))).sub == sub


@pytest.mark.parametrize(("claim", "value"), [("sid", ""), ("sid", "s" * 256), ("sid", 5), ("acr", 1), ("acr", None)])
def test_sid_or_acr_of_an_unusable_form_counts_as_unknown(claim: str, value: object) -> None:
    assert getattr(verify(sign(build_claims({claim: value}))), claim) is None


@pytest.mark.parametrize(("key", "algorithm"), [(rsa_key(), "RS256"), (rsa_key(), "PS256"), (ec_key(), "ES256")])
def test_right_at_hash_is_accepted(key: Key, algorithm: str) -> None:
    """C11: at_hash is the left half of the access token's SHA-256 for these algorithms (Core 3.1.3.8)."""
    assert verify(sign(build_claims(at_hash=AT_HASH), key=key, signed_as=algorithm)).sub


@pytest.mark.parametrize(("key", "algorithm"), [(rsa_key(), "RS256"), (ec_key(), "ES256")])
@pytest.mark.parametrize("at_hash", [AT_HASH[:-1], AT_HASH.upper(), AT_HASH + "==", "", 5, None, "\ud800", "é"])
def test_wrong_at_hash_is_refused(key: Key, algorithm: str, at_hash: object) -> None:
    """C11, V27; oidcc-client-test-invalid-athash (Core 3.1.3.8)."""
    evidence = refusal(sign(build_claims(at_hash=at_hash), key=key, signed_as=algorithm))
    assert evidence == {"claim": "at_hash", "expected": "the hash of the access token", "found": "another"}


def test_at_hash_of_another_access_token_is_refused() -> None:
    """C11: an ID token belongs to the access token it came with (Core 3.1.3.8)."""
    with pytest.raises(IdTokenRefused, match="proof of identity") as caught:
        verify(sign(build_claims(at_hash=AT_HASH)), access_token="another\ud800")
    assert caught.value.code == "id_token_refused"
    assert caught.value.evidence["claim"] == "at_hash"


@pytest.mark.parametrize("payload", [b"[1]", b'"text"', b"5", b"null", b"{", b"\xff", b"", b'{"exp": ' + b"9" * 5000])
def test_payload_that_is_no_json_object_is_refused(payload: bytes) -> None:
    """V31, RFC 7519 7.2 (10): the claims are a JSON object."""
    assert refusal(sign(payload)) == {"signature": "InvalidPayloadError"}


@pytest.mark.parametrize("payload", [b"[" * 90_000, b'{"a":' * 18_000])
def test_payload_of_endless_depth_is_refused(payload: bytes) -> None:
    """V32: deep JSON is refused and overflows nothing."""
    assert refusal(sign(payload)) == {"signature": "RecursionError"}


def test_large_token_of_many_groups_is_accepted() -> None:
    """A person in 1,500 groups can sign in."""
    assert verify(sign(build_claims(groups=["g" * 50] * 1500))).sub


def test_errors_of_the_library_never_leave() -> None:
    """K4: whoever calls us catches our errors alone; theirs are named in the evidence."""
    with pytest.raises(IdTokenRefused, match="proof of identity") as caught:
        verify("not a token")
    assert not isinstance(caught.value, JoseError)
    assert caught.value.__cause__ is None


def test_private_parts_of_a_key_are_not_published() -> None:
    """The helpers of these tests publish what a provider does."""
    assert "d" not in public(rsa_key())
    assert [key.kid for key in published(rsa_key(), ec_key()).keys] == ["rsa", "ec"]
