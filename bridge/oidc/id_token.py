"""Our own policy for ID tokens (OpenID Connect Core 1.0 sections 3.1.3.7 and 3.1.3.8).

joserfc verifies the signature and nothing more; everything a token must say is checked here, spelled out even where a
library has the same default.
"""

import hmac
import unicodedata
from base64 import urlsafe_b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256

from joserfc import jws, jwt
from joserfc.errors import JoseError

from bridge.errors import IdTokenRefused
from bridge.oidc.keys import SigningKeys

ALGORITHMS: Sequence[str] = ("RS256", "PS256", "ES256")
"""Never `none`, never a symmetric one: the client secret is no signing key here (ASVS 9.1.1)."""

LEEWAY_SECONDS = 60
OLDEST_IAT_SECONDS = 600
LONGEST_SUB = 255
LONGEST_TEXT = 255
KEY_HEADERS = ("jwk", "jku", "x5u", "x5c", "crit", "b64")


@dataclass(frozen=True)
class IdTokenClaims:
    """Claims of a token whose signature and contents were checked; only such a value makes a session."""

    sub: str
    sid: str | None
    issued_at: datetime
    auth_time: datetime | None
    acr: str | None
    claims: Mapping[str, object]

    def text(self, name: str, *, longest: int = LONGEST_TEXT) -> str | None:
        """Return a claim that is a text of 1 to `longest` characters without controls, else None.

        None means unknown: what cannot be kept whole is not kept, and nothing is ever cut to fit.
        """
        return _usable(self.claims.get(name), longest)


@dataclass(frozen=True)
class Expected:
    """What an ID token of this sign-in must say."""

    issuer: str
    client_id: str
    nonce: str
    max_age: int | None = None


def verify_id_token(
    id_token: str, expected: Expected, *, keys: SigningKeys, access_token: str, now: datetime
) -> IdTokenClaims:
    """Verify signature and contents of an ID token.

    Raises:
        UnknownKey: the key is not among `keys`; they may be outdated.
        IdTokenRefused: anything else is wrong. The evidence names the claim, what was expected and found.
    """
    claims = _verify_signature(id_token, keys)
    _check_audience(claims, expected)
    _check_times(claims, now)
    nonce = claims.get("nonce")
    if not isinstance(nonce, str) or not hmac.compare_digest(_bytes(nonce), _bytes(expected.nonce)):
        raise _refused("nonce", "the one of this sign-in", "missing" if nonce is None else "another")
    _check_at_hash(claims, access_token)
    sub = claims.get("sub")
    if not isinstance(sub, str) or not 0 < len(sub) <= LONGEST_SUB or not sub.isprintable():
        raise _refused("sub", "1 to 255 printable characters", sub)
    return IdTokenClaims(
        sub=sub,
        sid=_usable(claims.get("sid"), LONGEST_TEXT),
        issued_at=datetime.fromtimestamp(_numeric_date(claims, "iat"), tz=UTC),
        auth_time=_check_auth_time(claims, expected.max_age, now),
        acr=_usable(claims.get("acr"), LONGEST_TEXT),
        claims=claims,
    )


def _usable(value: object, longest: int) -> str | None:
    """Return a text that every database takes: no control characters, no half surrogates."""
    if not isinstance(value, str) or not 0 < len(value) <= longest:
        return None
    return None if any(unicodedata.category(char) in ("Cc", "Cs") for char in value) else value


def _verify_signature(id_token: str, keys: SigningKeys) -> Mapping[str, object]:
    try:
        header = jws.extract_compact(id_token.encode()).headers()
        algorithm = header.get("alg")
    except (JoseError, ValueError, AttributeError, RecursionError) as error:  # no JSON object, or one without end
        raise IdTokenRefused(evidence={"id_token": "unreadable", "reason": type(error).__name__}) from None
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise _refused("alg", list(ALGORITHMS), algorithm)
    # An access or logout token is not an ID token, although the same key signs them (RFC 8725 section 3.11).
    if str(header.get("typ", "JWT")).upper() != "JWT":
        raise _refused("typ", "JWT", header.get("typ"))
    for name in KEY_HEADERS:
        if name in header:
            raise _refused(f"header {name}", "absent", "present")
    kid = header.get("kid")
    key = keys.find(kid if isinstance(kid, str) else None, algorithm)
    try:
        token = jwt.decode(id_token, key, algorithms=[algorithm])
    except (JoseError, ValueError, RecursionError) as error:  # the last: arrays in arrays without end
        raise IdTokenRefused(evidence={"signature": type(error).__name__}) from None
    return token.claims


def _check_audience(claims: Mapping[str, object], expected: Expected) -> None:
    """Issuer, audience and authorized party; untrusted further audiences are refused (Core 3.1.3.7 (2) to (5))."""
    if claims.get("iss") != expected.issuer:
        raise _refused("iss", expected.issuer, claims.get("iss"))
    audience = claims.get("aud")
    if audience not in (expected.client_id, [expected.client_id]):
        raise _refused("aud", expected.client_id, audience)
    if claims.get("azp", expected.client_id) != expected.client_id:
        raise _refused("azp", expected.client_id, claims.get("azp"))
    # Keycloak also says in the payload what kind of token it is.
    if claims.get("typ", "ID") != "ID":
        raise _refused("typ claim", "ID", claims.get("typ"))


def _check_times(claims: Mapping[str, object], now: datetime) -> None:
    seconds = now.timestamp()
    expires = _numeric_date(claims, "exp")
    if expires + LEEWAY_SECONDS <= seconds:
        raise _refused("exp", f"after {int(seconds)}", expires)
    issued = _numeric_date(claims, "iat")
    if not seconds - OLDEST_IAT_SECONDS <= issued <= seconds + LEEWAY_SECONDS:
        raise _refused("iat", f"about {int(seconds)}; look at the clocks of both machines", issued)
    if "nbf" in claims and _numeric_date(claims, "nbf") > seconds + LEEWAY_SECONDS:
        raise _refused("nbf", f"before {int(seconds)}", claims["nbf"])


def _numeric_date(claims: Mapping[str, object], name: str) -> float:
    """Return a NumericDate (RFC 7519 section 2) inside the years that a datetime can hold."""
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 253_402_300_800:  # noqa: PLR2004 - year 10000
        raise _refused(name, "seconds since 1970", value)
    return value


def _check_auth_time(claims: Mapping[str, object], max_age: int | None, now: datetime) -> datetime | None:
    """auth_time is required and checked when the request asked for `max_age` (Core 3.1.3.7 (13))."""
    if "auth_time" not in claims and max_age is None:
        return None
    seconds = _numeric_date(claims, "auth_time")
    if seconds > now.timestamp() + LEEWAY_SECONDS:
        raise _refused("auth_time", "in the past", seconds)
    if max_age is not None and seconds + max_age + LEEWAY_SECONDS < now.timestamp():
        raise _refused("auth_time", f"at most {max_age} s ago", seconds)
    return datetime.fromtimestamp(seconds, tz=UTC)


def _check_at_hash(claims: Mapping[str, object], access_token: str) -> None:
    """When present, at_hash is the left half of the access token's hash (Core 3.1.3.8); ALGORITHMS all end with 256."""
    if "at_hash" not in claims:
        return
    hashed = sha256(_bytes(access_token)).digest()
    expected = urlsafe_b64encode(hashed[: len(hashed) // 2]).rstrip(b"=").decode()
    found = claims["at_hash"]
    if not isinstance(found, str) or not hmac.compare_digest(_bytes(found), _bytes(expected)):
        raise _refused("at_hash", "the hash of the access token", "another")


def _bytes(text: str) -> bytes:
    """Encode a text that came as JSON, which may hold half a surrogate pair."""
    return text.encode(errors="surrogatepass")


def _refused(claim: str, expected: object, found: object) -> IdTokenRefused:
    return IdTokenRefused(evidence={"claim": claim, "expected": expected, "found": found})
