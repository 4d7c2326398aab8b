"""Does Keycloak take the secrets of the configuration? Asked without touching anybody's session.

The bridge's own client offers a code that was never given out: Keycloak looks at the client first, so `invalid_grant`
means that the secret is right (RFC 6749 section 5.2). The sync's client asks for its service account's token. Sending
and checking are apart; the answers are those of Keycloak 26.7.
"""

from dataclasses import dataclass
from datetime import timedelta

import httpx
from pydantic import SecretStr

from bridge.errors import KeycloakError
from bridge.keycloak.findings import Finding, look_up, report_failure, show_client, show_secret, update_client
from bridge.keycloak.http import Answer, post_form_once
from bridge.oidc.authorization import CheckedCode
from bridge.oidc.token import build_client_authorization, build_code_request

MADE_UP_CODE = CheckedCode("keycloak-bridge-check")
MADE_UP_VERIFIER = "keycloak-bridge-check".ljust(43, "-")
OK = 200
BAD_CLIENT = "Invalid client or Invalid client credentials"
NO_SERVICE_ACCOUNT = "Client not enabled to retrieve service account"
PUBLIC_CLIENT = "Public client not allowed to retrieve service account"


@dataclass(frozen=True)
class Credentials:
    """A client of the configuration; `section` is where it stands there."""

    section: str
    realm: str
    client_id: str
    client_secret: SecretStr

    @property
    def subject(self) -> str:
        """What findings about the secret are called."""
        return f"{self.section}.client_secret"


@dataclass(frozen=True)
class TokenEndpoint:
    """Where to ask, with what, and for how long at most."""

    http: httpx.AsyncClient
    url: str
    total: timedelta

    async def ask(self, form: dict[str, str], credentials: Credentials) -> Answer:
        """Send a form as a client, once.

        Raises:
            KeycloakUnavailable: nothing was sent.
            OutcomeUnknown: the answer was lost.
        """
        secret = credentials.client_secret.get_secret_value()
        headers = {"Authorization": build_client_authorization(credentials.client_id, secret)}
        return await post_form_once(self.http, self.url, form=form, headers=headers, total=self.total)


async def try_secret(endpoint: TokenEndpoint, credentials: Credentials, *, redirect_uri: str) -> Finding:
    """Offer a code that no sign-in ever got, and tell what Keycloak thinks of the secret."""
    form = build_code_request(MADE_UP_CODE, redirect_uri=redirect_uri, code_verifier=MADE_UP_VERIFIER)
    try:
        return check_secret(await endpoint.ask(form, credentials), credentials)
    except KeycloakError as error:
        return report_failure(credentials.subject, error)


async def try_service_account(endpoint: TokenEndpoint, credentials: Credentials) -> tuple[Finding, str | None]:
    """Ask for the service account's token (RFC 6749 section 4.4), and return it too; no user is involved."""
    try:
        answer = await endpoint.ask({"grant_type": "client_credentials"}, credentials)
    except KeycloakError as error:
        return report_failure(credentials.subject, error), None
    return check_service_token(answer, credentials)


def check_secret(answer: Answer, credentials: Credentials) -> Finding:
    """Tell whether Keycloak took the secret and only then refused the code."""
    if _member(answer, "error") == "invalid_grant":
        return Finding(credentials.subject, ok=True, message=f"Keycloak accepts the secret of {credentials.client_id}.")
    return _explain(answer, credentials)


def check_service_token(answer: Answer, credentials: Credentials) -> tuple[Finding, str | None]:
    """Tell whether the service account got a token, and return it."""
    token = _member(answer, "access_token")
    if answer.status == OK and token is not None:
        message = f"The service account of {credentials.client_id} gets a token."
        return Finding(credentials.subject, ok=True, message=message), token
    if _member(answer, "error_description") in (NO_SERVICE_ACCOUNT, PUBLIC_CLIENT):
        return _no_service_account(credentials), None
    return _explain(answer, credentials), None


def _no_service_account(credentials: Credentials) -> Finding:
    client = look_up(credentials.realm, credentials.client_id)
    return Finding(
        f"{credentials.section}.client_id",
        ok=False,
        message=f"The client {credentials.client_id} has no service account.",
        mend=update_client(credentials.realm, client, "publicClient=false", "serviceAccountsEnabled=true"),
    )


def _explain(answer: Answer, credentials: Credentials) -> Finding:
    """Tell the refusals apart: a wrong secret is `unauthorized_client`, all else `invalid_client`."""
    error, description = _member(answer, "error"), _member(answer, "error_description")
    realm, client_id = credentials.realm, credentials.client_id
    mend: str | None = show_client(realm, client_id)
    if (error, description) == ("unauthorized_client", BAD_CLIENT):
        message = f"Keycloak holds another secret for {client_id}. This shows it, for {credentials.subject}:"
        mend = show_secret(realm, client_id)
    elif (error, description) == ("invalid_client", BAD_CLIENT):
        message = f"The realm {realm} has no enabled client {client_id}. This shows whether it is there at all:"
    else:
        said = f"{error}, {description}" if error else "nothing that can be read"
        message = f"Keycloak does not accept {client_id}: status {answer.status}, {said}."
        mend = mend if error else None
    return Finding(credentials.subject, ok=False, message=message, mend=mend)


def _member(answer: Answer, name: str) -> str | None:
    value = answer.body.get(name) if isinstance(answer.body, dict) else None
    return value if isinstance(value, str) else None
