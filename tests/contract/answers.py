"""Reading answers of the token endpoint."""

from __future__ import annotations

import base64
import json

import httpx

from tests.contract.browser import Browser
from tests.contract.servers import Keycloak, Person


def segment(token: str, place: int) -> dict[str, object]:
    """Decode one part of a JWT without checking it."""
    part = token.split(".")[place]
    decoded: dict[str, object] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return decoded


def refused(answer: httpx.Response, description: str, *, error: str = "invalid_grant", status: int = 400) -> bool:
    """Say whether an answer is exactly this OAuth error."""
    return (answer.status_code, answer.json()) == (status, {"error": error, "error_description": description})


def tokens(keycloak: Keycloak, browser: Browser, person: Person, **changes: str | None) -> dict[str, str]:
    """Log in by the form and exchange the code."""
    answer = keycloak.token(browser.log_in(person, **changes).form)
    assert answer.status_code == 200, answer.text
    held: dict[str, str] = answer.json()
    return held
