"""Sign-out: here first, then at Keycloak (OpenID Connect RP-Initiated Logout 1.0).

    1 find the session of the credential   2 end it with all that opens it   3 send the browser to Keycloak

The local session is dead before the browser leaves, so that nothing that happens on the way brings it back.
"""

import secrets
from dataclasses import dataclass, field
from datetime import datetime

from bridge.errors import KeycloakError
from bridge.flows.ending import end_session
from bridge.flows.relying_party import RelyingParty
from bridge.flows.return_to import check_return_to
from bridge.model import Origin, UserSession, digest
from bridge.oidc.logout import build_end_session_url
from bridge.sealing import SealBroken
from bridge.storage import keycloak_grants, user_sessions
from bridge.storage.database import Db


@dataclass(frozen=True)
class SignedOut:
    """A sign-out: where the browser goes next, and the state by which its return is recognised."""

    url: str | None
    """Keycloak's end_session_endpoint; None when there was no session, or Keycloak cannot be asked."""
    return_to: str | None
    alive_at_keycloak: bool
    """Whether a session was ended here that may live on there, because Keycloak could not be asked."""
    state: str = field(repr=False)


async def sign_out(rp: RelyingParty, *, credential: str | None, return_to: str | None) -> SignedOut:
    """End the session of a credential and return where to send the browser.

    Raises:
        ReturnToRefused: the address to return to is foreign; nothing was ended.
        StorageError: nothing was ended.
    """
    if return_to is not None:
        check_return_to(return_to, public_url=rp.public_url, allowed=rp.settings.return_to)
    state = secrets.token_urlsafe(16)
    ended = await _end(rp, credential) if credential else None
    if ended is None:
        return SignedOut(None, return_to, alive_at_keycloak=False, state=state)
    session_id, sealed = ended
    try:
        metadata = await rp.provider.fetch_metadata()
        url = build_end_session_url(
            metadata,
            client_id=rp.settings.client_id,
            id_token_hint=_open_hint(rp, session_id, sealed),
            post_logout_redirect_uri=rp.post_logout_redirect_uri,
            state=state,
        )
    except KeycloakError:
        # The person is signed out here; the page says that the session at Keycloak may still live.
        url = None
    return SignedOut(url, return_to, alive_at_keycloak=url is None, state=state)


async def _end(rp: RelyingParty, credential: str) -> tuple[str, str | None] | None:
    now = rp.now()

    async def step(db: Db) -> tuple[str, str | None] | None:
        found = await user_sessions.get_active_session(db, digest(credential), package=rp.package, now=now)
        if found is None:
            return None
        session, user = found.session, found.user
        sealed = await keycloak_grants.find_sealed_id_token(db, session.session_id)
        # What another tab opened with the same session of Keycloak ends too: its callback must not bring anybody back.
        for one in await _with_same_sid(db, session, now=now):
            await end_session(db, one.session_id, reason="logout", invalidated_by=user.username, now=now)
        return session.session_id, sealed

    return await rp.database.write(step)


async def _with_same_sid(db: Db, session: UserSession, *, now: datetime) -> list[UserSession]:
    """Return the sessions of the bridge, of a session's type, that share its `sid` at Keycloak; itself among them."""
    if session.issuer is None or session.sid is None:
        return [session]
    sid = (session.issuer, session.sid)
    found = await user_sessions.get_user_sessions(db, None, package=session.package, now=now, sid=sid)
    # Compared here: an application may have written a type that there is not, and nobody could ask for it.
    return [one for one in found if one.origin == Origin.BRIDGE and one.session_type == session.session_type]


def _open_hint(rp: RelyingParty, session_id: str, sealed: str | None) -> str | None:
    """Return the id_token; without one Keycloak asks the person to confirm, which is better than no sign-out."""
    if sealed is None:
        return None
    try:
        return rp.sealer.open(sealed, table=keycloak_grants.TABLE, column="sealed_id_token", row=session_id)
    except SealBroken:
        return None
