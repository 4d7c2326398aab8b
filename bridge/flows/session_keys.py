"""Sessions without a browser: a key that a program shows as a bearer, made by an administrator."""

import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bridge.errors import IdentityMissing, SessionRefused, UserDisabled, UserUnknown
from bridge.flows.ending import note_ended
from bridge.model import LoginMethod, NewSession, SessionPolicy, SessionType, User, digest
from bridge.model.sessions import Device
from bridge.storage import security_events, user_sessions, users
from bridge.storage.database import Database, Db
from bridge.storage.security_events import SecurityEvent
from bridge.storage.session_input import may_be_asked_for

WITHOUT_BROWSER = (SessionType.API, SessionType.CONSOLE)


@dataclass(frozen=True)
class KeyWanted:
    """Whose key, for what, and until when."""

    username: str
    package: str
    session_type: SessionType
    device_name: str | None = None
    lifetime: timedelta | None = None
    """Shorter than the policy's; None takes that one."""
    is_trusted: bool = False


@dataclass(frozen=True)
class MadeKey:
    """A session and its key, which exists here and with whoever is given it."""

    session_id: str
    expires_at: datetime
    ended: int
    """How many older sessions the cap has ended for it."""
    key: str = field(repr=False)


async def create_key(
    database: Database, wanted: KeyWanted, *, policy: SessionPolicy, created_by: str, now: datetime
) -> MadeKey:
    """Open a session of type api or console for a person that Keycloak knows, and return its key.

    Raises:
        UserUnknown, UserDisabled, IdentityMissing: there is nobody whom the key could stand for.
        SessionRefused: the type needs a browser, or the lifetime is beyond the policy's.
        SessionLimitReached: the cap is reached, and the policy refuses.
    """
    if wanted.session_type not in WITHOUT_BROWSER:
        raise SessionRefused(
            f"A session of type {wanted.session_type} needs a sign-in; keys are of type api or console."
        )
    lifetime = policy.lifetime if wanted.lifetime is None else wanted.lifetime
    if not timedelta(0) < lifetime <= policy.lifetime:
        raise SessionRefused(
            f"The lifetime must be positive and within the policy's {policy.lifetime}.",
            hint=f"Raise policy.{wanted.session_type}.lifetime, or ask for less.",
        )
    key, session_id = secrets.token_urlsafe(32), secrets.token_hex(32)

    async def step(db: Db) -> MadeKey:
        user = await _get_person(db, wanted)
        if user.identity is None:
            raise IdentityMissing(evidence={"username": user.username, "package": user.package})
        opened = NewSession(
            session_id=session_id,
            session_type=wanted.session_type,
            credential_digest=digest(key),
            identity=user.identity,
            username=user.username,
            created_at=now,
            expires_at=now + lifetime,
            login_method=LoginMethod.API_KEY,
            device=Device(name=wanted.device_name),
            is_trusted=wanted.is_trusted,
        )
        created = await user_sessions.create_session(db, opened, policy=policy)
        await note_ended(db, created.ended, reason=user_sessions.SESSION_LIMIT, invalidated_by=user.username, now=now)
        entry = SecurityEvent(
            "key_created",
            wanted.package,
            identity=user.identity,
            username=user.username,
            session_id=session_id,
            evidence={"session_type": wanted.session_type, "created_by": created_by},
        )
        await security_events.append(db, entry, now=now)
        return MadeKey(session_id, opened.expires_at, len(created.ended), key)

    return await database.write(step)


async def _get_person(db: Db, wanted: KeyWanted) -> User:
    known = may_be_asked_for(wanted.username)
    # Held: the sync may disable the person at this moment, and must find the session then, or be seen here.
    user = await users.find_by_name(db, wanted.username, package=wanted.package, lock=True) if known else None
    if user is None:
        raise UserUnknown(evidence={"username": wanted.username, "package": wanted.package})
    if not user.active:
        raise UserDisabled(evidence={"username": wanted.username, "package": wanted.package})
    return user
