"""A callback that comes again: it shares the outcome of the first, and never reaches Keycloak.

wait for the outcome (nobody holds a database connection meanwhile)
  -> a session: a credential of its own for it, for 60 seconds and only while the session lives; later just the way on
  -> an error: the same error
  -> none by the deadline: the first one died, the login counts as failed
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bridge.errors import BridgeError, KeycloakUnavailable, SignInInterrupted, StateUnknown, find_error
from bridge.flows.relying_party import RelyingParty, build_credential
from bridge.model import ClientFacts, PendingLogin, digest
from bridge.storage import oauth_states, security_events, session_credentials
from bridge.storage.database import Db
from bridge.storage.security_events import SecurityEvent

DUPLICATE_LIFE = timedelta(seconds=60)


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


@dataclass(frozen=True)
class SignedIn:
    """A login that came back: where to go on, and the credential unless the browser keeps the one it has."""

    return_to: str
    expires_at: datetime | None
    credential: str | None = field(repr=False)


async def share_outcome(rp: RelyingParty, callback: Callback, login: PendingLogin) -> SignedIn:
    """Give a duplicate the outcome of the first callback.

    Raises:
        BridgeError: the error that the first one ended with.
        SignInInterrupted: the first one was not heard of again.
        KeycloakUnavailable: the first one could not send anything; the callback may be repeated.
        StateUnknown, TooManyWaiting: see `bridge.flows.outcomes`.
    """
    known = login if login.consumed_at is not None else await rp.outcomes.wait(login.state_digest)
    if known is None:
        raise StateUnknown
    if known.session_id is not None:
        return await _share_session(rp, callback, known, session_id=known.session_id)
    if known.error_code is not None:
        raise find_error(known.error_code)
    if known.claim_id is None:
        raise KeycloakUnavailable(retry_after=10)
    raise SignInInterrupted(evidence={"claim_deadline": known.claim_deadline})


async def close_with_error(
    rp: RelyingParty, callback: Callback, login: PendingLogin, failure: Exception, *, claim_id: str | None
) -> None:
    """Record the error as the outcome, for duplicates and for the audit trail."""
    now = rp.now()
    code = failure.code if isinstance(failure, BridgeError) else BridgeError.code
    evidence = dict(failure.evidence) if isinstance(failure, BridgeError) else {"error": type(failure).__name__}
    # In its own column: there a person's erasure finds it.
    username = evidence.pop("username", None)

    async def step(db: Db) -> None:
        if await oauth_states.close_with_error(db, login.state_digest, claim_id=claim_id, error_code=code, now=now):
            entry = SecurityEvent(
                "sign_in_failed",
                rp.package,
                username=None if username is None else str(username),
                ip_address=callback.client.ip_address,
                evidence={"code": code, **evidence},
            )
            await security_events.append(db, entry, now=now)

    await rp.database.write(step)


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
