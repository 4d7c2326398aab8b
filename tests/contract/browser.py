"""A browser for either server: keeps cookies, follows the login form, stops at the redirect back to the client."""

from __future__ import annotations

import base64
import hashlib
import html
import re
import secrets
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import httpx

from tests.contract.servers import CALLBACK, TLS, Keycloak, Person


@dataclass(frozen=True)
class Visit:
    """What an authorization request came to, and the verifier that belongs to it."""

    answer: httpx.Response
    verifier: str
    redirect_uri: str

    @property
    def params(self) -> dict[str, str]:
        """The parameters of the redirect."""
        assert self.answer.status_code == 302, self.answer.text
        return dict(httpx.URL(self.answer.headers["location"]).params)

    @property
    def form(self) -> dict[str, str]:
        """The token request that exchanges the code."""
        return {
            "grant_type": "authorization_code",
            "code": self.params["code"],
            "redirect_uri": self.redirect_uri,
            "code_verifier": self.verifier,
        }


class Browser:
    """One cookie jar."""

    def __init__(self, keycloak: Keycloak) -> None:
        self._keycloak = keycloak
        self._http = httpx.Client(timeout=30, verify=TLS)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def authorize(self, **changes: str | None) -> Visit:
        """Send an authorization request; a change of None leaves a parameter out."""
        verifier = secrets.token_urlsafe(48)
        digest = hashlib.sha256(verifier.encode()).digest()
        asked: dict[str, str | None] = {
            "client_id": "bridge",
            "redirect_uri": CALLBACK,
            "response_type": "code",
            "scope": "openid profile email",
            "state": "state-1",
            "nonce": "nonce-1",
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        asked |= changes
        params = {name: value for name, value in asked.items() if value is not None}
        answer = self._get(f"{self._keycloak.endpoint}/auth", params)
        return Visit(answer, verifier, asked["redirect_uri"] or "")

    def log_in(self, person: Person, password: str | None = None, **changes: str | None) -> Visit:
        """Send an authorization request and fill in the form it shows."""
        visit = self.authorize(**changes)
        assert visit.answer.status_code == 200, visit.answer.text
        return Visit(self.submit(visit.answer, person, password), visit.verifier, visit.redirect_uri)

    def submit(self, page: httpx.Response, person: Person, password: str | None = None) -> httpx.Response:
        """Fill in the login form of a page and send it."""
        for field in ("password", "kc-login"):
            assert f'id="{field}"' in page.text
        action = re.search(r'<form[^>]*action="([^"]+)"', page.text)
        assert action is not None
        form = {"username": person.username, "password": password or person.username, "credentialId": ""}
        answer = self._http.post(html.unescape(action[1]), data=form)
        self._unlock_cookies()
        return answer

    def log_out(self, **params: str) -> httpx.Response:
        """Go to the logout endpoint."""
        return self._get(f"{self._keycloak.endpoint}/logout", params)

    def _get(self, url: str, params: dict[str, str]) -> httpx.Response:
        answer = self._http.get(url, params=params)
        self._unlock_cookies()
        return answer

    def _unlock_cookies(self) -> None:
        """Clear the Secure flag: Keycloak sets it over http too, and Python's jar would not send the cookies back."""
        for cookie in self._http.cookies.jar:
            cookie.secure = False
