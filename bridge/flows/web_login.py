"""Web login: to Keycloak and back (OpenID Connect Core 1.0 section 3.1, RFC 7636, RFC 9207, RFC 9700).

    start   1 check return_to            2 fresh state, nonce, verifier and binding      3 remember, redirect

    finish  1 find the state, check package, binding and expiry
            2 check who answered, and what
            3 claim the state: one conditional UPDATE, committed before any outward call
            4 exchange the code, once
            5 verify the ID token
            6 user, session, credential, grant and outcome in one transaction

A callback that comes again (double click, reload, back button, proxy retry) does not get past step 3: it waits for the
outcome of the first and shares its session. Keycloak never sees a code twice; it would end the good login.
"""

import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import uuid4

from bridge.errors import (
    AnswerRefused,
    AuthorizationFailed,
    BridgeError,
    CookiesRefused,
    KeycloakUnavailable,
    OtherBrowser,
    OutcomeUnknown,
    SignInInterrupted,
    StateExpired,
    StateOfOtherPackage,
    StateUnknown,
    find_error,
)
from bridge.flows.return_to import check_return_to
from bridge.flows.session import RelyingParty, VerifiedSignIn, build_credential, open_session
from bridge.model import ClientFacts, Identity, PendingLogin, digest
from bridge.oidc import pkce
from bridge.oidc.authorization import (
    AuthorizationRequest,
    CheckedCode,
    LoginHints,
    build_authorization_url,
    check_authorization_answer,
    is_transient,
)
from bridge.oidc.id_token import Expected
from bridge.storage import oauth_states, security_events, session_credentials
from bridge.storage.database import Db
from bridge.storage.security_events import SecurityEvent

STATE_LIFE = timedelta(minutes=60)
"""A password reset by mail takes its time."""
DUPLICATE_LIFE = timedelta(seconds=60)
RESTARTED = "r."
"""Begins the state of a login that was begun by itself; it is never restarted again, also when it is forgotten."""
TABLE = "oauth_state"


@dataclass(frozen=True)
class Started:
    """A login that leaves for Keycloak: where to send the browser, and its binding cookie."""

    url: str
    state_digest: str
    binding: str = field(repr=False)


@dataclass(frozen=True)
class SignedIn:
    """A login that came back: where to go on, and the credential unless the browser keeps the one it has."""

    return_to: str
    expires_at: datetime | None
    credential: str | None = field(repr=False)


@dataclass(frozen=True)
class Callback:
    """A browser that came back from Keycloak, as the route saw it."""

    parameters: Mapping[str, str]
    binding: str | None = field(repr=False)
    """The binding cookie of this very state."""
    keeps_cookies: bool
    """Whether the browser sent any cookie of ours."""
    session_credential: str | None = field(repr=False)
    client: ClientFacts


async def start(
    rp: RelyingParty, *, return_to: str | None = None, hints: LoginHints | None = None, restarted: bool = False
) -> Started:
    """Begin a login and return where to send the browser.

    Raises:
        ReturnToRefused: the address to return to is foreign.
        KeycloakUnavailable, KeycloakAnswerInvalid: there is no usable discovery document.
        StorageError: nothing was written.
    """
    hints = hints or LoginHints()
    return_to = check_return_to(
        return_to or rp.default_return_to, public_url=rp.public_url, allowed=rp.settings.return_to
    )
    metadata = await rp.provider.fetch_metadata()
    request = AuthorizationRequest(
        state=(RESTARTED if restarted else "") + secrets.token_urlsafe(32),
        nonce=secrets.token_urlsafe(32),
        code_verifier=pkce.build_code_verifier(),
    )
    state_digest, binding, now = digest(request.state), secrets.token_urlsafe(32), rp.now()
    place = {"table": TABLE, "row": state_digest}
    login = PendingLogin(
        state_digest=state_digest,
        package=rp.package,
        binding_digest=digest(binding),
        sealed_nonce=rp.sealer.seal(request.nonce, column="sealed_nonce", **place),
        sealed_code_verifier=rp.sealer.seal(request.code_verifier, column="sealed_code_verifier", **place),
        return_to=return_to,
        max_age=hints.max_age,
        created_at=now,
        expires_at=now + STATE_LIFE,
        restarted=restarted,
    )
    await rp.database.write(lambda db: oauth_states.add(db, login))
    url = build_authorization_url(
        metadata,
        request,
        client_id=rp.settings.client_id,
        redirect_uri=rp.redirect_uri,
        scopes=rp.settings.scopes,
        hints=hints,
    )
    return Started(url, state_digest, binding)


async def finish(rp: RelyingParty, callback: Callback) -> SignedIn | Started:
    """Finish a login: a session, or a new start where that helps (never twice in a row).

    Raises:
        SignInRefused: the person is told why and what to do; the docstrings of its kinds are the texts.
        KeycloakUnavailable: nothing was sent; the same callback may be repeated.
        StorageError: nothing was written.
    """
    state = callback.parameters.get("state")
    if not state:
        raise AnswerRefused(evidence={"missing": "state"})
    login = await _find(rp, digest(state))
    if login is None:
        if state.startswith(RESTARTED):
            raise StateUnknown
        return await start(rp, restarted=True)
    _check_browser(rp, callback, login)
    if login.consumed_at is not None or login.claim_id is not None:
        return await _share_outcome(rp, callback, login)
    if login.expires_at <= rp.now():
        return await _restart(rp, login, StateExpired())
    try:
        code = check_authorization_answer(callback.parameters, await rp.provider.prepare())
    except AuthorizationFailed as failure:
        await _close_with_error(rp, callback, login, failure, claim_id=None)
        if is_transient(callback.parameters):
            return await _restart(rp, login, failure)
        raise
    claim_id = str(uuid4())
    if not await _claim(rp, login, claim_id):
        return await _share_outcome(rp, callback, login)
    return await _finish_claimed(rp, callback, login, claim_id=claim_id, code=code)


def _check_browser(rp: RelyingParty, callback: Callback, login: PendingLogin) -> None:
    """Refuse a callback that belongs to another package or another browser; the state stays as it is (RFC 9700 4.7)."""
    if login.package != rp.package:
        raise StateOfOtherPackage(evidence={"expected": login.package, "found": rp.package})
    if callback.binding is None:
        raise OtherBrowser if callback.keeps_cookies else CookiesRefused
    if not hmac.compare_digest(digest(callback.binding), login.binding_digest):
        raise OtherBrowser


async def _finish_claimed(
    rp: RelyingParty, callback: Callback, login: PendingLogin, *, claim_id: str, code: CheckedCode
) -> SignedIn | Started:
    """Steps 4 to 6, which only the holder of the claim takes."""
    place = {"table": TABLE, "row": login.state_digest}
    try:
        nonce = rp.sealer.open(login.sealed_nonce, column="sealed_nonce", **place)
        verifier = rp.sealer.open(login.sealed_code_verifier, column="sealed_code_verifier", **place)
        tokens = await rp.provider.exchange_code(code, redirect_uri=rp.redirect_uri, code_verifier=verifier)
    except KeycloakUnavailable:
        await rp.database.write(lambda db: oauth_states.release(db, login.state_digest, claim_id=claim_id))
        raise
    except OutcomeUnknown as failure:
        await _close_with_error(rp, callback, login, failure, claim_id=claim_id)
        return await _restart(rp, login, failure)
    except BridgeError as failure:
        await _close_with_error(rp, callback, login, failure, claim_id=claim_id)
        raise
    # From here on the code is spent: whatever fails ends this login, and nothing gives the claim back.
    expected = Expected(rp.settings.issuer, rp.settings.client_id, nonce, max_age=login.max_age)
    try:
        claims = await rp.provider.verify_id_token(tokens, expected)
        opened = await open_session(
            rp, VerifiedSignIn(login, claim_id, claims, tokens, callback.client, callback.session_credential)
        )
    except BridgeError as failure:
        await _close_with_error(rp, callback, login, failure, claim_id=claim_id)
        raise
    return SignedIn(login.return_to, opened.expires_at, opened.credential)


async def _share_outcome(rp: RelyingParty, callback: Callback, login: PendingLogin) -> SignedIn | Started:
    """Give a duplicate the outcome of the first callback: the same session, the same error, or the way on."""
    known = login if login.consumed_at is not None else await rp.outcomes.wait(login.state_digest)
    if known is None:
        raise StateUnknown
    if known.session_id is not None:
        return await _share_session(rp, callback, known, session_id=known.session_id)
    if known.error_code is not None:
        raise find_error(known.error_code)
    if known.claim_id is None:
        raise KeycloakUnavailable(retry_after=10)
    return await _restart(rp, known, SignInInterrupted(evidence={"claim_deadline": known.claim_deadline}))


async def _share_session(rp: RelyingParty, callback: Callback, login: PendingLogin, *, session_id: str) -> SignedIn:
    now, credential = rp.now(), build_credential()
    if login.consumed_at is None or now - login.consumed_at > DUPLICATE_LIFE:
        return SignedIn(login.return_to, None, None)

    async def step(db: Db) -> datetime | None:
        expires_at = await session_credentials.add_cookie_to_active(
            db, session_id, credential_digest=digest(credential), now=now
        )
        if expires_at is not None:
            entry = SecurityEvent(
                "duplicate_callback", rp.package, session_id=session_id, ip_address=callback.client.ip_address
            )
            await security_events.append(db, entry, now=now)
        return expires_at

    expires_at = await rp.database.write(step)
    return SignedIn(login.return_to, expires_at, credential if expires_at is not None else None)


async def _restart(rp: RelyingParty, login: PendingLogin, failure: BridgeError) -> Started:
    """Begin again once by itself: with a living Keycloak session that is one redirect and no question."""
    if login.restarted:
        raise failure
    return await start(rp, return_to=login.return_to, hints=LoginHints(max_age=login.max_age), restarted=True)


async def _find(rp: RelyingParty, state_digest: str) -> PendingLogin | None:
    async with rp.database.reading() as db:
        return await oauth_states.find(db, state_digest)


async def _claim(rp: RelyingParty, login: PendingLogin, claim_id: str) -> bool:
    now = rp.now()
    return await rp.database.write(
        lambda db: oauth_states.claim(db, login.state_digest, claim_id=claim_id, deadline=now + rp.claim_life, now=now)
    )


async def _close_with_error(
    rp: RelyingParty, callback: Callback, login: PendingLogin, failure: BridgeError, *, claim_id: str | None
) -> None:
    now = rp.now()

    async def step(db: Db) -> None:
        if await oauth_states.close_with_error(
            db, login.state_digest, claim_id=claim_id, error_code=failure.code, now=now
        ):
            entry = SecurityEvent(
                "sign_in_failed",
                rp.package,
                identity=Identity(rp.settings.issuer, "", rp.package),
                ip_address=callback.client.ip_address,
                evidence={"code": failure.code, **failure.evidence},
            )
            await security_events.append(db, entry, now=now)

    await rp.database.write(step)
