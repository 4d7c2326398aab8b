"""The authorization request and its answer (OpenID Connect Core 1.0 section 3.1.2, RFC 9207)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from authlib.common.urls import add_params_to_uri

from bridge.errors import AnswerRefused, AuthorizationFailed, DuplicatedParameter, LoginTimedOut
from bridge.oidc import pkce
from bridge.oidc.metadata import ProviderMetadata

PROMPTS = frozenset({"login", "select_account", "create"})
LONGEST_CODE = 4096
TRANSIENT_ERRORS = frozenset({"temporarily_unavailable"})


@dataclass(frozen=True)
class LoginHints:
    """Wishes of an application about one sign-in; everything else in its request is ignored."""

    prompt: str | None = None
    login_hint: str | None = None
    ui_locales: str | None = None
    max_age: int | None = None


@dataclass(frozen=True)
class AuthorizationRequest:
    """The parts of a request that are fresh for every sign-in (RFC 9700 section 2.1.1)."""

    state: str = field(repr=False)
    nonce: str = field(repr=False)
    code_verifier: str = field(repr=False)


@dataclass(frozen=True)
class CheckedCode:
    """A code from an answer whose issuer was checked; the only kind that may be exchanged."""

    value: str = field(repr=False)


def check_parameters(pairs: Sequence[tuple[str, str]]) -> dict[str, str]:
    """Return the parameters of a request by name; none may appear twice (RFC 6749 section 3.1).

    Raises:
        DuplicatedParameter: naming the parameter.
    """
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in found:
            raise DuplicatedParameter(evidence={"parameter": name[:100]})
        found[name] = value
    return found


def build_authorization_url(
    metadata: ProviderMetadata,
    request: AuthorizationRequest,
    *,
    client_id: str,
    redirect_uri: str,
    scopes: Sequence[str],
    hints: LoginHints,
) -> str:
    """Return the address that sends a browser to the provider (OpenID Connect Core 1.0 section 3.1.2.1)."""
    parameters = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "scope": " ".join(scopes),
        "state": request.state,
        "nonce": request.nonce,
        "code_challenge": pkce.build_code_challenge(request.code_verifier),
        "code_challenge_method": pkce.METHOD,
        "prompt": hints.prompt,
        "login_hint": hints.login_hint,
        "ui_locales": hints.ui_locales,
        "max_age": None if hints.max_age is None else str(hints.max_age),
    }
    given = [(name, value) for name, value in parameters.items() if value is not None]
    url: str = add_params_to_uri(metadata.authorization_endpoint, given)
    return url


def check_authorization_answer(parameters: Mapping[str, str], metadata: ProviderMetadata) -> CheckedCode:
    """Check who answered and what: the issuer first, on errors too (RFC 9207 section 2.4), then the code.

    Raises:
        AnswerRefused: another issuer answered, or the answer has neither code nor error. The sign-in stays pending.
        LoginTimedOut: the person took too long there; a new start helps.
        AuthorizationFailed: the provider says that the sign-in ended without success.
    """
    found = parameters.get("iss")
    if found != metadata.issuer and (found is not None or metadata.iss_parameter_supported):
        raise AnswerRefused(evidence={"expected_iss": metadata.issuer, "found_iss": found})
    error = parameters.get("error")
    if error:
        kind = LoginTimedOut if _is_transient(parameters) else AuthorizationFailed
        raise kind(
            _explain(error),
            evidence={"error": error, "error_description": parameters.get("error_description")},
        )
    code = parameters.get("code")
    if not code or len(code) > LONGEST_CODE:
        raise AnswerRefused(evidence={"missing": "code"})
    return CheckedCode(code)


def _is_transient(parameters: Mapping[str, str]) -> bool:
    """Whether an error answer only means that the person took too long at Keycloak, so that a new start helps."""
    description = parameters.get("error_description") or ""
    return parameters.get("error") in TRANSIENT_ERRORS or description == "authentication_expired"


def _explain(error: str) -> str | None:
    """Return a sentence for the errors a person can do something about; the rest keep the class's own."""
    return {
        "access_denied": "The sign-in was cancelled. You can start again from your application.",
        "login_required": "The sign-in service wants you to sign in again. Please start again from your application.",
    }.get(error)
