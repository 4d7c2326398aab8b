"""Who is signed in: the session behind a credential, its use, and the replacement of a cookie's credential."""

from dataclasses import dataclass, field
from datetime import datetime

from bridge.errors import NotSignedIn
from bridge.flows import lockout
from bridge.flows.relying_party import RelyingParty, build_credential
from bridge.model import ClientFacts, digest
from bridge.storage import session_credentials, user_sessions
from bridge.storage.session_rows import ActiveSession
from bridge.storage.session_statements import COOKIE


@dataclass(frozen=True)
class Presented:
    """A credential as a request shows it; None when there is none, or nothing that could be one."""

    credential: str | None = field(repr=False)
    is_bearer: bool
    """Shown by a program, and not kept by a browser."""


async def get_signed_in(rp: RelyingParty, presented: Presented, *, client: ClientFacts) -> ActiveSession:
    """Return the living session of a credential and its person, and note that it was used.

    Raises:
        NotSignedIn: there is none.
        LockedOut: it is a key that opens nothing, and too many of those came from there.
        StorageError: nobody can know.
    """
    found, now = None, rp.now()
    credential_digest = digest(presented.credential or "")
    if presented.credential is not None:
        async with rp.database.reading() as db:
            found = await user_sessions.get_active_session(db, credential_digest, package=rp.package, now=now)
    if found is None:
        if presented.is_bearer:
            await _count_unknown_key(rp, client, now)
        raise NotSignedIn
    await rp.activities.note(found, credential_digest=credential_digest, ip_address=client.ip_address, now=now)
    return found


async def _count_unknown_key(rp: RelyingParty, client: ClientFacts, now: datetime) -> None:
    """Count a key that opens nothing, unless its client is locked here already.

    Raises:
        LockedOut: it is.
    """
    if client.address_is_shared:
        return
    await lockout.check_not_locked(rp.database, client=rp.package, address=client.ip_address, now=now)
    await lockout.note_failure(rp.database, client=rp.package, address=client.ip_address, now=now)


async def rotate_if_due(rp: RelyingParty, found: ActiveSession, *, credential: str) -> str | None:
    """Return a new credential for the browser when its present one is old enough, else None.

    To be called only where the answer reaches the browser. Of several requests at once one gets it; a new credential
    that was never used was lost on its way, and is replaced in turn.
    """
    session, known, now = found.session, found.credential, rp.now()
    policy = rp.policies.get(session.session_type)
    if policy is None or policy.rotation is None or known.kind != COOKIE:
        return None
    began = known.created_at if known.superseded_by is None else session.last_rotated_at or known.created_at
    if now - began < policy.rotation:
        return None
    successor = build_credential()
    won = await rp.database.write(
        lambda db: session_credentials.supersede(
            db,
            session.session_id,
            old=digest(credential),
            seen=known.superseded_by,
            new=digest(successor),
            expires_at=session.expires_at,
            now=now,
        )
    )
    return successor if won else None
