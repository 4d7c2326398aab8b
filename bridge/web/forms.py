"""Forms that change something: a token bound to the session, and a known place of origin (ASVS 3.5.1).

The token is derived from the credential itself, so that it needs no storage, dies with the session, and cannot be made
by anybody who does not hold the cookie.
"""

import hmac
from hashlib import sha256

from starlette.requests import Request

from bridge.config.values import parse_origin
from bridge.errors import FormRefused
from bridge.flows.relying_party import RelyingParty

LABEL = b"keycloak-bridge form"


def build_form_token(credential: str) -> str:
    """Return the token that a form of this session carries."""
    return hmac.new(credential.encode(), LABEL, sha256).hexdigest()


def check_form_token(credential: str, form_token: str) -> None:
    """Check that a form was made for this session.

    Raises:
        FormRefused: the token is another one.
    """
    found = form_token.encode(errors="surrogatepass")
    if not hmac.compare_digest(build_form_token(credential).encode(), found):
        raise FormRefused(evidence={"form_token": "another"})


def check_origin(request: Request, rp: RelyingParty) -> None:
    """Check that a form was sent from a page of ours or of an application of the package.

    Raises:
        FormRefused: the page that sent it is foreign.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site == "same-origin":
        return
    known = {rp.public_url, *(parse_origin(entry)[0] for entry in rp.settings.return_to)}
    if origin is None and site in (None, "none"):
        return
    if origin not in known:
        raise FormRefused(evidence={"origin": origin, "sec_fetch_site": site, "known": sorted(known)})
