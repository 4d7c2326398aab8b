"""The rules for the bridge's own client at Keycloak (pure): a ClientRepresentation in, findings out.

    registration as Keycloak shows it  +  what the configuration asks of it  ->  one finding a rule, with its line

Each rule is checked by itself, so that one line mends one thing; a line that sets a list keeps what else is in it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bridge.keycloak.findings import Finding, attribute_value, create_client, list_value, update_client

PKCE = "pkce.code.challenge.method"
PKCE_METHOD = "S256"
POST_LOGOUT = "post.logout.redirect.uris"
SEPARATOR = "##"
"""Between the addresses in the attribute POST_LOGOUT."""
NONE_ALLOWED = "-"
"""In POST_LOGOUT: no address at all; it would win over any other beside it."""
AUTHENTICATOR = "client-secret"

FLAGS = (
    ("enabled", True, "Keycloak refuses every sign-in of a client that is not"),
    ("standardFlowEnabled", True, "sign-ins use the authorization code flow"),
    ("publicClient", False, "a public client has no secret, and is given a new one when it is mended"),
    ("bearerOnly", False, "a bearer-only client cannot sign anybody in"),
    ("implicitFlowEnabled", False, "the implicit flow puts tokens into addresses"),
    ("directAccessGrantsEnabled", False, "with it passwords can be tried without the login page"),
    ("serviceAccountsEnabled", False, "the bridge acts for people only; the sync has a client of its own"),
    ("frontchannelLogout", False, "with it Keycloak sends no back-channel logout token"),
)
"""Setting, what it must be, and why. One that Keycloak leaves out is off."""


@dataclass(frozen=True)
class Registration:
    """What the configuration asks of a client."""

    subject: str
    realm: str
    client_id: str
    redirect_uri: str
    post_logout_redirect_uri: str


def check_client_settings(found: Mapping[str, object], wanted: Registration) -> list[Finding]:
    """Compare a ClientRepresentation with what the bridge needs, rule by rule."""
    return [
        *(_check_flag(found, wanted, name=name, must_be=must_be, reason=why) for name, must_be, why in FLAGS),
        _check_authenticator(found, wanted),
        _check_pkce(found, wanted),
        *_check_redirect_uris(found, wanted),
        *_check_post_logout_uris(found, wanted),
    ]


def report_missing_client(wanted: Registration) -> Finding:
    """Return the finding for a client that is not registered, with the line that registers it in full."""
    line = create_client(
        wanted.realm,
        wanted.client_id,
        "standardFlowEnabled=true",
        "directAccessGrantsEnabled=false",
        "frontchannelLogout=false",
        list_value("redirectUris", [wanted.redirect_uri]),
        attribute_value(PKCE, PKCE_METHOD),
        attribute_value(POST_LOGOUT, wanted.post_logout_redirect_uri),
    )
    message = (
        f"The realm {wanted.realm} has no client {wanted.client_id}. This registers it; Keycloak makes its secret:"
    )
    return Finding(wanted.subject, ok=False, message=message, mend=line)


def _check_flag(found: Mapping[str, object], wanted: Registration, *, name: str, must_be: bool, reason: str) -> Finding:
    value = found.get(name, False)
    if value is must_be:
        return _in_order(wanted, f"{name} is {_word(must_be)}.")
    message = f"{name} is {_word(value)} and must be {_word(must_be)}: {reason}."
    return _broken(found, wanted, message, f"{name}={_word(must_be)}")


def _check_authenticator(found: Mapping[str, object], wanted: Registration) -> Finding:
    value = found.get("clientAuthenticatorType")
    if value == AUTHENTICATOR:
        return _in_order(wanted, "It authenticates by its secret.")
    message = f"clientAuthenticatorType is {value} and must be {AUTHENTICATOR}: the bridge sends a secret."
    return _broken(found, wanted, message, f"clientAuthenticatorType={AUTHENTICATOR}")


def _check_pkce(found: Mapping[str, object], wanted: Registration) -> Finding:
    value = _attribute(found, PKCE)
    if value == PKCE_METHOD:
        return _in_order(wanted, f"PKCE is required with {PKCE_METHOD}.")
    message = f"PKCE is {f'required with {value}' if value else 'not required'}; {PKCE_METHOD} must be."
    return _broken(found, wanted, message, attribute_value(PKCE, PKCE_METHOD))


def _check_redirect_uris(found: Mapping[str, object], wanted: Registration) -> list[Finding]:
    given = found.get("redirectUris")
    registered = [uri for uri in given if isinstance(uri, str)] if isinstance(given, list) else []
    findings = _check_addresses(found, wanted, "redirect URI", registered, address=wanted.redirect_uri)
    change = list_value("redirectUris", _mended(registered, wanted.redirect_uri))
    return [_with_line(finding, found, wanted, change) for finding in findings]


def _check_post_logout_uris(found: Mapping[str, object], wanted: Registration) -> list[Finding]:
    given = [uri for uri in (_attribute(found, POST_LOGOUT) or "").split(SEPARATOR) if uri]
    usable = [] if NONE_ALLOWED in given else given
    address = wanted.post_logout_redirect_uri
    findings = _check_addresses(found, wanted, "post-logout redirect URI", usable, address=address)
    change = attribute_value(POST_LOGOUT, SEPARATOR.join(_mended(usable, address)))
    return [_with_line(finding, found, wanted, change) for finding in findings]


def _check_addresses(
    found: Mapping[str, object], wanted: Registration, kind: str, registered: Sequence[str], *, address: str
) -> list[Finding]:
    """Check that our address is registered as it is, and that nothing is registered by a wildcard."""
    root = found.get("rootUrl")
    absolute = [f"{str(root).rstrip('/')}{uri}" if root and uri.startswith("/") else uri for uri in registered]
    wildcards = [uri for uri in registered if uri.endswith("*")]
    there = address in absolute
    text = f"The {kind} {address} is {'registered.' if there else 'not registered.'}"
    findings = [Finding(wanted.subject, ok=there, message=text)]
    if wildcards:
        shown = " ".join(wildcards)
        text = f"A {kind} with a wildcard is registered, and lets codes or people go elsewhere: {shown}"
        findings.append(Finding(wanted.subject, ok=False, message=text))
    return findings


def _mended(registered: Sequence[str], address: str) -> list[str]:
    kept = [uri for uri in registered if not uri.endswith("*")]
    return kept if address in kept else [*kept, address]


def _with_line(finding: Finding, found: Mapping[str, object], wanted: Registration, change: str) -> Finding:
    return finding if finding.ok else _broken(found, wanted, finding.message, change)


def _in_order(wanted: Registration, message: str) -> Finding:
    return Finding(wanted.subject, ok=True, message=message)


def _broken(found: Mapping[str, object], wanted: Registration, message: str, change: str) -> Finding:
    line = update_client(wanted.realm, str(found.get("id")), change)
    return Finding(wanted.subject, ok=False, message=message, mend=line)


def _attribute(found: Mapping[str, object], name: str) -> str | None:
    attributes = found.get("attributes")
    value = attributes.get(name) if isinstance(attributes, dict) else None
    return value if isinstance(value, str) else None


def _word(value: object) -> str:
    return str(value).lower()
