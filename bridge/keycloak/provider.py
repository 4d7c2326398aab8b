"""The OpenID provider of one package: discovery, signing keys, the exchange of a code."""

from collections.abc import Callable
from datetime import datetime, timedelta

import httpx

from bridge.config import HttpSettings, PackageSettings
from bridge.errors import KeycloakAnswerInvalid, KeycloakUnavailable, OutcomeUnknown
from bridge.keycloak.documents import Elapsed, KeptDocument
from bridge.keycloak.http import fetch_json, post_form_once
from bridge.model import KeycloakTokens
from bridge.oidc.authorization import CheckedCode
from bridge.oidc.id_token import Expected, IdTokenClaims, verify_id_token
from bridge.oidc.keys import SigningKeys, UnknownKey, check_jwks
from bridge.oidc.metadata import ProviderMetadata, build_metadata_url, check_metadata
from bridge.oidc.token import build_client_authorization, build_code_request, check_token_answer

METADATA_LIFE = timedelta(minutes=10)
KEYS_LIFE = timedelta(hours=1)
KEYS_PAUSE = timedelta(seconds=10)
"""An unknown `kid` refreshes the keys at most this often, or anybody could make us ask without end."""
OK = 200
OVERLOADED = (408, 429)


class Provider:
    """Caches metadata and keys of one issuer; holds the package's client secret.

    Both caches are filled when first needed: a Keycloak that is down is no reason not to start. A stale document is
    used on while a new one cannot be had.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        package: PackageSettings,
        limits: HttpSettings,
        *,
        now: Callable[[], datetime],
        elapsed: Elapsed,
    ) -> None:
        """Take the shared client, the package's settings, the limits of calls and the two clocks."""
        self._http = http
        self._package = package
        self._total = limits.total_timeout
        self._now = now
        self._metadata = KeptDocument(self._fetch_new_metadata, life=METADATA_LIFE, elapsed=elapsed)
        self._keys = KeptDocument(self._fetch_new_keys, life=KEYS_LIFE, elapsed=elapsed)

    async def fetch_metadata(self) -> ProviderMetadata:
        """Return the checked discovery document, at most ten minutes old while Keycloak can be reached.

        Raises:
            KeycloakUnavailable: it cannot be had and none is known yet.
            KeycloakAnswerInvalid: it is not one of this issuer.
        """
        return await self._metadata.get()

    async def exchange_code(self, code: CheckedCode, *, redirect_uri: str, code_verifier: str) -> KeycloakTokens:
        """Exchange a code, sending it exactly once: Keycloak answers a second time by ending the first one's tokens.

        Raises:
            KeycloakUnavailable: nothing was sent; the code is still good.
            OutcomeUnknown: it was sent, and the answer is lost or says nothing about the code (5xx, 429, no JSON).
            TokenResponseRefused: Keycloak said no, or sent no ID token.
        """
        metadata = await self.fetch_metadata()
        answer = await post_form_once(
            self._http,
            metadata.token_endpoint,
            form=build_code_request(code, redirect_uri=redirect_uri, code_verifier=code_verifier),
            headers=self._client_authorization(),
            total=self._total,
        )
        if answer.body is None or answer.status in OVERLOADED or answer.status >= 500:  # noqa: PLR2004 - RFC 9110 15.6
            raise OutcomeUnknown(evidence={"endpoint": metadata.token_endpoint, "status": answer.status})
        return check_token_answer(answer.status, answer.body)

    async def prepare(self) -> ProviderMetadata:
        """Have metadata and keys at hand before a code is exchanged, so that what comes after it cannot lack them.

        Raises:
            KeycloakUnavailable: one of them cannot be had and none is known yet.
            KeycloakAnswerInvalid: as `fetch_metadata`.
        """
        metadata = await self.fetch_metadata()
        await self._keys.get()
        return metadata

    async def verify_id_token(self, tokens: KeycloakTokens, expected: Expected) -> IdTokenClaims:
        """Verify an ID token, fetching the keys once more when it names one that is not known (key rotation).

        Raises:
            IdTokenRefused: see `bridge.oidc.id_token`.
            KeycloakUnavailable: the keys cannot be had.
        """
        keys = await self._keys.get()
        try:
            return self._verify(tokens, expected, keys)
        except UnknownKey:
            return self._verify(tokens, expected, await self._keys.get_newer(pause=KEYS_PAUSE))

    def _verify(self, tokens: KeycloakTokens, expected: Expected, keys: SigningKeys) -> IdTokenClaims:
        return verify_id_token(tokens.id_token, expected, keys=keys, access_token=tokens.access_token, now=self._now())

    async def _fetch_new_metadata(self) -> ProviderMetadata:
        issuer = self._package.issuer
        return check_metadata(await self._fetch(build_metadata_url(issuer), "discovery"), issuer=issuer)

    async def _fetch_new_keys(self) -> SigningKeys:
        metadata = await self.fetch_metadata()
        return check_jwks(await self._fetch(metadata.jwks_uri, "jwks"))

    async def _fetch(self, url: str, what: str) -> object:
        answer = await fetch_json(self._http, url, total=self._total)
        if answer.status >= 500:  # noqa: PLR2004 - RFC 9110 section 15.6
            raise KeycloakUnavailable(evidence={"endpoint": url, "status": answer.status}, retry_after=10)
        if answer.status != OK or answer.body is None:
            raise KeycloakAnswerInvalid(
                hint=f"The {what} document is not there: is the realm's name in the issuer right?",
                evidence={"endpoint": url, "status": answer.status},
            )
        return answer.body

    def _client_authorization(self) -> dict[str, str]:
        secret = self._package.client_secret.get_secret_value()
        return {"Authorization": build_client_authorization(self._package.client_id, secret)}
