"""The signature of an ID token and its header: which algorithm, which key, and nothing that chooses a key by itself."""

import hmac
import json
from collections.abc import Callable
from hashlib import sha256

import pytest

from bridge.oidc.id_token import ALGORITHMS
from bridge.oidc.keys import SigningKeys, UnknownKey, check_jwks
from tests.unit.id_tokens import (
    Key,
    build_claims,
    ec_key,
    encode,
    public,
    published,
    refusal,
    rsa_key,
    sign,
    verify,
)


def unknown_key(id_token: str, *, keys: SigningKeys | None = None) -> dict[str, object]:
    """Return the evidence of a refusal that says: fetch the keys again, they may be outdated."""
    with pytest.raises(UnknownKey, match="signed with a key that it does not publish") as caught:
        verify(id_token, keys=keys)
    assert caught.value.code == "unknown_key"
    return caught.value.evidence


def write(header: object, payload: bytes = b"{}", signature: bytes = b"signature") -> str:
    """Write a token by hand."""
    content = header if isinstance(header, bytes) else json.dumps(header).encode()
    return f"{encode(content)}.{encode(payload)}.{encode(signature)}"


@pytest.mark.parametrize(("key", "algorithm"), [(rsa_key(), "RS256"), (rsa_key(), "PS256"), (ec_key(), "ES256")])
def test_signature_by_an_allowed_algorithm_is_accepted(key: Key, algorithm: str) -> None:
    """oidcc-client-test-idtoken-sig-rs256 (Core 3.1.3.7 (6))."""
    assert verify(sign(build_claims(), key=key, signed_as=algorithm)).sub


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", "HS256", "RS384", "ES384", "EdDSA", "rs256"])
def test_algorithm_outside_the_list_is_refused(algorithm: str) -> None:
    """C4, V24; invalid-alternate-alg: only listed algorithms count, whatever signed (Core 3.1.3.7 (7), ASVS 9.1.1)."""
    assert refusal(sign(build_claims(), alg=algorithm)) == {
        "claim": "alg",
        "expected": list(ALGORITHMS),
        "found": algorithm,
    }


@pytest.mark.parametrize("signature", [b"", b"signature"])
def test_unsigned_id_token_is_refused(signature: bytes) -> None:
    """C4, V24; oidcc-client-test-idtoken-sig-none and invalid-null-alg."""
    id_token = write({"alg": "none"}, json.dumps(build_claims()).encode(), signature)
    assert refusal(id_token)["found"] == "none"


@pytest.mark.parametrize("form", ["pem", "der", "jwk"])
def test_hmac_with_the_public_key_is_refused(form: str) -> None:
    """C4, V24: anybody knows the public key, so that with HS256 anybody could sign (CVE-2024-37568)."""
    key = rsa_key()
    secret = {
        "pem": key.as_pem(private=False),
        "der": key.as_der(private=False),
        "jwk": json.dumps(public(key)).encode(),
    }
    unsigned = write({"alg": "HS256", "kid": key.kid, "typ": "JWT"}, json.dumps(build_claims()).encode())
    signing_input = unsigned.rpartition(".")[0]
    signature = hmac.new(secret[form], signing_input.encode(), sha256).digest()
    assert refusal(f"{signing_input}.{encode(signature)}")["found"] == "HS256"


def test_really_signed_token_of_an_unlisted_algorithm_is_refused() -> None:
    """C4; oidcc-client-test-rp-backchannel wrong-alg: RS384 is sound and still not what was agreed."""
    assert refusal(sign(build_claims(), signed_as="RS384"))["found"] == "RS384"


@pytest.mark.parametrize("algorithm", [["RS256"], 5, True, {}])
def test_algorithm_that_is_no_text_is_refused(algorithm: object) -> None:
    """V32: garbage in the header is refused like a wrong value."""
    assert refusal(sign(build_claims(), alg=algorithm))["found"] == algorithm


def test_algorithm_of_another_kind_of_key_finds_no_key() -> None:
    """V24: an ES256 header that names an RSA key does not choose that key."""
    evidence = unknown_key(sign(build_claims(), key=rsa_key(), alg="ES256"))
    assert evidence == {"kid": "rsa", "alg": "ES256", "fitting_keys": 0}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        pytest.param({"alg": "PS256"}, "UnsupportedKeyAlgorithmError", id="other algorithm in the JWK"),
        pytest.param({"alg": "RSA-OAEP"}, "UnsupportedKeyAlgorithmError", id="key for encryption by its alg"),
        pytest.param({"key_ops": ["encrypt"]}, "UnsupportedKeyOperationError", id="key for encryption by its key_ops"),
    ],
)
def test_key_published_for_another_purpose_is_refused(changes: dict[str, object], reason: str) -> None:
    """C6, V24: allowed algorithm in the header, but the JWK says another (RFC 7517 4.4)."""
    keys = check_jwks({"keys": [public(rsa_key(), **changes)]})
    assert refusal(sign(build_claims()), keys=keys) == {"signature": reason}


def test_curve_that_the_algorithm_does_not_have_is_refused() -> None:
    """V24: ES256 means P-256 (RFC 7518 3.4)."""
    key = ec_key("ec384", "P-384")
    id_token = sign(build_claims(), key=ec_key(), signed_as="ES256", kid="ec384")
    assert refusal(id_token, keys=published(key)) == {"signature": "InvalidKeyCurveError"}


@pytest.mark.parametrize("kind", ["at+jwt", "logout+jwt", "application/at+jwt", "JWE", "", 5, ["JWT"]])
def test_token_that_calls_itself_another_type_is_refused(kind: object) -> None:
    """C14, V30: access and logout tokens are no ID tokens (RFC 8725 3.11, RFC 9068 2.1)."""
    assert refusal(sign(build_claims(), typ=kind)) == {"claim": "typ", "expected": "JWT", "found": kind}


@pytest.mark.parametrize("kind", ["JWT", "jwt", None])
def test_type_is_jwt_in_any_case_or_absent(kind: str | None) -> None:
    """RFC 7519 5.1: `typ` is optional, and media types know no case."""
    assert verify(sign(build_claims(), typ=kind)).sub


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("jwk", public(rsa_key("attacker"), n="AQAB"), id="jwk"),
        pytest.param("jku", "https://evil.example/jwks", id="jku"),
        pytest.param("x5u", "https://evil.example/cert", id="x5u"),
        pytest.param("x5c", ["MIIB"], id="x5c"),
        pytest.param("crit", ["exp"], id="crit"),
        pytest.param("crit", [], id="empty crit"),
        pytest.param("crit", 5, id="crit that is no list"),
        pytest.param("b64", True, id="b64"),
    ],
)
def test_header_that_brings_or_names_a_key_is_refused(name: str, value: object) -> None:
    """C5, V25, V26: no header chooses the key, and no critical extension is known here (RFC 7515 4.1, ASVS 9.1.3)."""
    evidence = refusal(sign(build_claims(), {name: value}))
    assert evidence == {"claim": f"header {name}", "expected": "absent", "found": "present"}


def test_unencoded_payload_is_refused() -> None:
    """V26: b64=false is an extension that nobody agreed on (RFC 7797)."""
    evidence = refusal(sign(build_claims(), b64=False, crit=["b64"]))
    assert evidence["claim"] == "header crit"


def test_compressed_token_is_refused() -> None:
    """V32: nothing is unpacked (CVE-2024-28180)."""
    assert refusal(sign(build_claims(), zip="DEF")) == {"signature": "UnsupportedHeaderError"}


def test_unknown_kid_says_that_the_keys_may_be_outdated() -> None:
    """C6; oidcc-client-test-signing-key-rotation: the caller fetches the keys once and tries again (Core 10.1.1)."""
    evidence = unknown_key(sign(build_claims(), kid="new"))
    assert evidence == {"kid": "new", "alg": "RS256", "fitting_keys": 0}


def test_key_of_another_realm_with_the_same_kid_is_refused() -> None:
    """V30: the signature decides, not the name of the key."""
    stranger = sign(build_claims(), key=rsa_key("stranger"), kid="rsa")
    assert refusal(stranger) == {"signature": "BadSignatureError"}


@pytest.mark.parametrize("key", [rsa_key(), ec_key()])
def test_kid_may_be_absent_when_a_single_key_fits(key: Key) -> None:
    """C6; oidcc-client-test-kid-absent-single-jwks: one RSA key beside one EC key is a single fitting key."""
    algorithm = "RS256" if key is rsa_key() else "ES256"
    assert verify(sign(build_claims(), key=key, signed_as=algorithm, kid=None)).sub


def test_absent_kid_is_refused_when_several_keys_fit() -> None:
    """C6; oidcc-client-test-kid-absent-multiple-jwks (Core 10.1)."""
    evidence = unknown_key(sign(build_claims(), kid=None), keys=published(rsa_key(), rsa_key("second")))
    assert evidence == {"kid": None, "alg": "RS256", "fitting_keys": 2}


@pytest.mark.parametrize("kid", [5, ["rsa"], True])
def test_kid_that_is_no_text_is_refused(kid: object) -> None:
    """V32: it does not count as absent."""
    assert refusal(sign(build_claims(), kid=kid)) == {"signature": "InvalidHeaderValueError"}


@pytest.mark.parametrize(("key", "algorithm"), [(rsa_key(), "RS256"), (rsa_key(), "PS256"), (ec_key(), "ES256")])
@pytest.mark.parametrize("spoil", [lambda s: s[:-8] + "AAAAAAAA", lambda s: s[:20], lambda _: ""])
def test_broken_signature_is_refused(key: Key, algorithm: str, spoil: Callable[[str], str]) -> None:
    """C4; oidcc-client-test-invalid-sig-rs256 and -es256."""
    head, _, signature = sign(build_claims(), key=key, signed_as=algorithm).rpartition(".")
    assert refusal(f"{head}.{spoil(signature)}") == {"signature": "BadSignatureError"}


def test_changed_claims_break_the_signature() -> None:
    """C4: a signature belongs to its claims (RFC 7515 5.2)."""
    header, _, signature = sign(build_claims()).split(".")
    changed = encode(json.dumps(build_claims(sub="somebody else")).encode())
    assert refusal(f"{header}.{changed}.{signature}") == {"signature": "BadSignatureError"}


@pytest.mark.parametrize(
    "id_token",
    [
        pytest.param("", id="nothing"),
        pytest.param("not a token", id="no JWT"),
        pytest.param("a.b", id="two parts"),
        pytest.param("a.b.c.d.e", id="five parts, encrypted"),
        pytest.param("..", id="empty parts"),
        pytest.param("é.e30.e30", id="not ASCII"),
        pytest.param("\ud800", id="lone surrogate"),
        pytest.param(write(b"[]"), id="header is an array"),
        pytest.param(write(b'"alg"'), id="header is a text"),
        pytest.param(write(b'["alg"]'), id="header is an array of names"),
        pytest.param(write(b'[["alg", "RS256"]]'), id="header is an array of pairs"),
        pytest.param(write(b"null"), id="header is null"),
        pytest.param(write(b"\xff"), id="header is no UTF-8"),
        pytest.param(write(b"{}"), id="header is empty"),
        pytest.param(write(b"[" * 300), id="deep header"),
        pytest.param("A" * 1_000_000, id="1 MB"),
        pytest.param(write({"alg": "RS256", "kid": "k" * 1_000_000}), id="1 MB of header"),
        pytest.param(write({"alg": "RS256"}, b" " * 1_000_000), id="1 MB of payload"),
    ],
)
def test_text_that_is_no_jwt_is_refused(id_token: str) -> None:
    """V32: garbage and giants are refused before anything is computed."""
    evidence = refusal(id_token)
    assert evidence["id_token"] == "unreadable"
    assert set(evidence) == {"id_token", "reason"}


def test_truncated_id_token_is_refused() -> None:
    """F5: an answer that was cut on its way."""
    id_token = sign(build_claims())
    assert refusal(id_token[: id_token.rindex(".")])["id_token"] == "unreadable"


def test_header_with_a_member_twice_is_read_as_its_last() -> None:
    """V24: an `alg` hidden behind another one is the one that counts, and it is refused (RFC 7515 4)."""
    assert refusal(write(b'{"alg":"RS256","alg":"none"}'))["found"] == "none"
