"""Web login: to Keycloak and back (OpenID Connect Core 1.0 section 3.1, RFC 7636, RFC 9207, RFC 9700).

    start   1 check return_to            2 fresh state, nonce, verifier and binding
            3 remember, unless too many have failed here (see `lockout`); redirect

    finish  1 find the state, check package, binding and expiry
            2 check who answered, and what
            3 claim the state: one conditional UPDATE, committed before any outward call
            4 exchange the code, once
            5 verify the ID token
            6 user, session, credential, grant and outcome in one transaction

A callback that comes again (double click, reload, back button, proxy retry) does not get past step 3: it waits for the
outcome of the first and shares its session. Keycloak never sees a code twice; it would end the good login. Neither such
a callback nor a late or unknown one is a failure that counts.
"""

import hmac
import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import uuid4

from bridge.errors import (
    AnswerRefused,
    AuthorizationFailed,
    BridgeError,
    CookiesRefused,
    KeycloakUnavailable,
    LoginTimedOut,
    OtherBrowser,
    OutcomeUnknown,
    SignInInterrupted,
    StateExpired,
    StateOfOtherPackage,
    StateUnknown,
    StorageError,
)
from bridge.flows import lockout
from bridge.flows.duplicates import Callback, SignedIn, close_with_error, share_outcome
from bridge.flows.relying_party import RelyingParty
from bridge.flows.return_to import check_return_to
from bridge.flows.session import VerifiedSignIn, open_session
from bridge.model import ClientFacts, KeycloakTokens, PendingLogin, digest
from bridge.oidc import pkce
from bridge.oidc.authorization import (
    AuthorizationRequest,
    CheckedCode,
    LoginHints,
    build_authorization_url,
    check_authorization_answer,
)
from bridge.oidc.id_token import Expected
from bridge.sealing import SealBroken
from bridge.storage import oauth_states
from bridge.storage.database import Db
from bridge.telemetry import get_logger

STATE_LIFE = timedelta(minutes=60)
"""A password reset by mail takes its time."""
RESTARTED = "r."
"""Begins the state of a login that was begun by itself; it is never restarted again, also when it is forgotten."""
TABLE = "oauth_state"
MENDED_BY_A_NEW_START = (StateExpired, LoginTimedOut, OutcomeUnknown, SignInInterrupted, SealBroken, StorageError)
"""Failures that say nothing about the person: a new login with a new code may well succeed."""

log = get_logger()


@dataclass(frozen=True)
class Started:
    """A login that leaves for Keycloak: where to send the browser, and its binding cookie."""

    url: str
    state_digest: str
    binding: str = field(repr=False)


async def start(
    rp: RelyingParty,
    client: ClientFacts,
    *,
    return_to: str | None = None,
    hints: LoginHints | None = None,
    restarted: bool = False,
) -> Started:
    """Begin a login and return where to send the browser.

    Raises:
        ReturnToRefused: the address to return to is foreign.
        LockedOut: too many logins from this address have failed; it says when to come back.
        KeycloakUnavailable, KeycloakAnswerInvalid: there is no usable discovery document.
        StorageError: nothing was written.
    """
    hints = hints or LoginHints()
    return_to = check_return_to(
        return_to or rp.default_return_to, public_url=rp.public_url, allowed=rp.settings.return_to
    )
    metadata = await rp.provider.fetch_metadata()
    request = _build_request(restarted=restarted)
    state_digest, binding, now = digest(request.state), secrets.token_urlsafe(32), rp.now()
    place = {"table": TABLE, "row": state_digest}
    login = PendingLogin(
        state_digest=state_digest,
        package=rp.package,
        binding_digest=digest(binding),
        sealed_nonce=rp.sealer.seal(request.nonce, column="sealed_nonce", **place),
        sealed_code_verifier=rp.sealer.seal(request.code_verifier, column="sealed_code_verifier", **place),
        return_to=return_to,
        prompt=hints.prompt,
        login_hint=hints.login_hint,
        ui_locales=hints.ui_locales,
        max_age=hints.max_age,
        created_at=now,
        expires_at=now + STATE_LIFE,
        restarted=restarted,
    )
    await _remember(rp, client, login)
    url = build_authorization_url(
        metadata,
        request,
        client_id=rp.settings.client_id,
        redirect_uri=rp.redirect_uri,
        scopes=rp.settings.scopes,
        hints=hints,
    )
    return Started(url, state_digest, binding)


def _build_request(*, restarted: bool) -> AuthorizationRequest:
    return AuthorizationRequest(
        state=(RESTARTED if restarted else "") + secrets.token_urlsafe(32),
        nonce=secrets.token_urlsafe(32),
        code_verifier=pkce.build_code_verifier(),
    )


async def _remember(rp: RelyingParty, client: ClientFacts, login: PendingLogin) -> None:
    """Write the login down unless its client is locked here; a login that begins again by itself is a new one too."""
    name = lockout.name_client(rp.package, rp.settings.client_id)

    async def step(db: Db) -> datetime | None:
        ends = None
        if not client.address_is_shared:
            ends = await lockout.find_lock(db, client=name, address=client.ip_address, now=login.created_at)
        if ends is None:
            await oauth_states.add(db, login)
        return ends

    ends = await rp.database.write(step)
    if ends is not None:
        raise lockout.locked_out(ends, now=login.created_at)


async def finish(rp: RelyingParty, callback: Callback) -> SignedIn | Started:
    """Finish a login: a session, or a new start where that helps (never twice in a row).

    Raises:
        SignInRefused: the person is told why and what to do; the docstrings of its kinds are the texts.
        KeycloakUnavailable: nothing was sent; the same callback may be repeated.
        LockedOut: it would have to begin again, and may not now.
        StorageError: nothing was written.
    """
    state = callback.parameters.get("state")
    if not state:
        raise AnswerRefused(evidence={"missing": "state"})
    async with rp.database.reading() as db:
        login = await oauth_states.find(db, digest(state))
    if login is None:
        if state.startswith(RESTARTED):
            raise StateUnknown
        return await start(rp, callback.client, restarted=True)
    _check_browser(rp, callback, login)
    try:
        return await _finish_known(rp, callback, login)
    except MENDED_BY_A_NEW_START as failure:
        # With a living Keycloak session that is one redirect and no question.
        if login.restarted:
            raise
        log.info("login_restarted", package=rp.package, error=failure.code)
        return await start(rp, callback.client, return_to=login.return_to, hints=_hints_of(login), restarted=True)


def _check_browser(rp: RelyingParty, callback: Callback, login: PendingLogin) -> None:
    """Refuse a callback that belongs to another package or another browser; the state stays as it is (RFC 9700 4.7)."""
    if login.package != rp.package:
        raise StateOfOtherPackage(evidence={"expected": login.package, "found": rp.package})
    if callback.binding is None:
        raise OtherBrowser if callback.keeps_cookies else CookiesRefused
    if not hmac.compare_digest(digest(callback.binding), login.binding_digest):
        raise OtherBrowser


async def _finish_known(rp: RelyingParty, callback: Callback, login: PendingLogin) -> SignedIn:
    """Steps 2 and 3, after which only the holder of the claim goes on."""
    if login.consumed_at is not None or login.claim_id is not None:
        return await share_outcome(rp, callback, login)
    if login.expires_at <= rp.now():
        raise StateExpired
    try:
        code = check_authorization_answer(callback.parameters, await rp.provider.prepare())
    except AuthorizationFailed as failure:
        await close_with_error(rp, callback, login, failure, claim_id=None)
        raise
    except AnswerRefused as failure:
        await _count(rp, callback, failure)
        raise
    claim_id, now = str(uuid4()), rp.now()
    claimed = await rp.database.write(
        lambda db: oauth_states.claim(db, login.state_digest, claim_id=claim_id, deadline=now + rp.claim_life, now=now)
    )
    if not claimed:
        return await share_outcome(rp, callback, login)
    return await _finish_claimed(rp, callback, login, claim_id=claim_id, code=code)


async def _finish_claimed(
    rp: RelyingParty, callback: Callback, login: PendingLogin, *, claim_id: str, code: CheckedCode
) -> SignedIn:
    """Steps 4 to 6. Whatever fails ends this login; only a connection that was never opened gives the claim back."""
    try:
        tokens, nonce = await _exchange(rp, login, code)
    except KeycloakUnavailable:
        await rp.database.write(lambda db: oauth_states.release(db, login.state_digest, claim_id=claim_id))
        raise
    except BridgeError as failure:
        await close_with_error(rp, callback, login, failure, claim_id=claim_id)
        await _count(rp, callback, failure)
        raise
    # From here on the code is spent: nothing gives the claim back.
    expected = Expected(rp.settings.issuer, rp.settings.client_id, nonce, max_age=login.max_age)
    try:
        claims = await rp.provider.verify_id_token(tokens, expected)
        opened = await open_session(
            rp, VerifiedSignIn(login, claim_id, claims, tokens, callback.client, callback.session_credential)
        )
    except Exception as failure:
        # Also for a mistake of ours: duplicates would wait for an outcome that never comes.
        await close_with_error(rp, callback, login, failure, claim_id=claim_id)
        await _count(rp, callback, failure)
        raise
    return SignedIn(login.return_to, opened.expires_at, opened.credential)


async def _count(rp: RelyingParty, callback: Callback, failure: Exception) -> None:
    """Count a callback that failed as guesses do."""
    if lockout.is_failure(failure) and not callback.client.address_is_shared:
        name = lockout.name_client(rp.package, rp.settings.client_id)
        await lockout.note_failure(rp.database, client=name, address=callback.client.ip_address, now=rp.now())


async def _exchange(rp: RelyingParty, login: PendingLogin, code: CheckedCode) -> tuple[KeycloakTokens, str]:
    place = {"table": TABLE, "row": login.state_digest}
    nonce = rp.sealer.open(login.sealed_nonce, column="sealed_nonce", **place)
    verifier = rp.sealer.open(login.sealed_code_verifier, column="sealed_code_verifier", **place)
    return await rp.provider.exchange_code(code, redirect_uri=rp.redirect_uri, code_verifier=verifier), nonce


def _hints_of(login: PendingLogin) -> LoginHints:
    """Return the application's wishes of a login that begins again: a wanted re-authentication is still wanted."""
    return LoginHints(login.prompt, login.login_hint, login.ui_locales, login.max_age)
