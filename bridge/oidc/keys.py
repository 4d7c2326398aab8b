"""The provider's signing keys (RFC 7517): which are usable, and which one a token names."""

from dataclasses import dataclass

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey

from bridge.errors import IdTokenRefused, KeycloakAnswerInvalid

MOST_KEYS = 100
KINDS: dict[str, type[RSAKey] | type[ECKey]] = {"RSA": RSAKey, "EC": ECKey}
"""Only asymmetric kinds: an `oct` key in a JWKS would let anybody who reads it sign (ASVS 9.1.2)."""

TYPES = {"RS": "RSA", "PS": "RSA", "ES": "EC"}

SigningKey = RSAKey | ECKey


class UnknownKey(IdTokenRefused):
    """The sign-in service signed with a key that it does not publish. Please try again."""

    code = "unknown_key"


@dataclass(frozen=True)
class SigningKeys:
    """The usable keys of one issuer."""

    keys: tuple[SigningKey, ...]

    def find(self, kid: str | None, algorithm: str) -> SigningKey:
        """Return the key a token's header names; without `kid` only a single fitting key will do.

        Raises:
            UnknownKey: there is no such key, or more than one fits (OpenID Connect Core 1.0 section 10.1).
        """
        kind = TYPES.get(algorithm[:2])
        fitting = [key for key in self.keys if key.key_type == kind and kid in (None, key.kid)]
        if len(fitting) != 1:
            raise UnknownKey(evidence={"kid": kid, "alg": algorithm, "fitting_keys": len(fitting)})
        return fitting[0]


def check_jwks(document: object) -> SigningKeys:
    """Return the signing keys of a JWKS; keys for encryption and of unknown kinds are passed over (RFC 7517 section 5).

    Raises:
        KeycloakAnswerInvalid: the document is no JWKS or holds too many keys.
    """
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list) or len(listed) > MOST_KEYS:
        raise KeycloakAnswerInvalid(evidence={"jwks": "no list of at most 100 keys"})
    found: list[SigningKey] = []
    for entry in listed:
        kind = KINDS.get(str(entry.get("kty"))) if isinstance(entry, dict) else None
        if kind is None or entry.get("use", "sig") != "sig":
            continue
        try:
            found.append(kind.import_key(entry))
        except (JoseError, ValueError, TypeError, KeyError):
            continue
    return SigningKeys(tuple(found))
