"""Sessions without a browser: a key that a program shows as a bearer, made by an administrator."""

import secrets
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from bridge.errors import IdentityMissing, SessionLimitReached, SessionRefused, UserDisabled, UserUnknown
from bridge.flows.ending import note_ended
from bridge.model import AtCap, LoginMethod, NewSession, Origin, SessionPolicy, SessionType, User, digest
from bridge.model.sessions import Device
from bridge.storage import security_events, user_sessions, users
from bridge.storage.database import Database, Db
from bridge.storage.security_events import SecurityEvent
from bridge.storage.session_input import check_new_session, may_be_asked_for

WITHOUT_BROWSER = (SessionType.API, SessionType.CONSOLE)
MOST_LIVING = 100_000
"""Sessions that a plan looks at; nobody has as many of one type."""


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
    ended: tuple[str, ...]
    """The handles of older sessions that the cap has ended for it."""
    key: str = field(repr=False)


@dataclass(frozen=True)
class PlannedKey:
    """What making a key would bring: until when it would be good, and the sessions that the cap would end."""

    expires_at: datetime
    ended: tuple[str, ...]


async def create_key(
    database: Database, wanted: KeyWanted, *, policy: SessionPolicy, created_by: str, now: datetime
) -> MadeKey:
    """Open a session of type api or console for a person that Keycloak knows, and return its key.

    Raises:
        UserUnknown, UserDisabled, IdentityMissing: there is nobody whom the key could stand for.
        SessionRefused: the type needs a browser, the lifetime is beyond the policy's, or the name cannot be stored.
        SessionLimitReached: the cap is reached, and the policy refuses.
    """
    lifetime, key = _check_lifetime(wanted, policy), secrets.token_urlsafe(32)

    async def step(db: Db) -> MadeKey:
        # Held: the sync may disable the person at this moment, and must find the session then, or be seen here.
        user = await _get_person(db, wanted, lock=True)
        opened = _describe_session(user, wanted, key=key, now=now, lifetime=lifetime)
        created = await user_sessions.create_session(db, opened, policy=policy)
        await note_ended(db, created.ended, reason=user_sessions.SESSION_LIMIT, invalidated_by=user.username, now=now)
        entry = SecurityEvent(
            "key_created",
            wanted.package,
            identity=user.identity,
            username=user.username,
            session_id=opened.session_id,
            evidence={"session_type": wanted.session_type, "created_by": created_by},
        )
        await security_events.append(db, entry, now=now)
        return MadeKey(opened.session_id, opened.expires_at, tuple(one.session_id for one in created.ended), key)

    return await database.write(step)


async def plan_key(database: Database, wanted: KeyWanted, *, policy: SessionPolicy, now: datetime) -> PlannedKey:
    """Return what `create_key` would do at this moment, and write nothing.

    Raises:
        UserUnknown, UserDisabled, IdentityMissing, SessionRefused, SessionLimitReached: as `create_key` does.
    """
    lifetime = _check_lifetime(wanted, policy)
    async with database.reading() as db:
        user = await _get_person(db, wanted)
        opened = _describe_session(user, wanted, key="", now=now, lifetime=lifetime)
        check_new_session(opened)
        living = await user_sessions.get_user_sessions(
            db, user.username, package=wanted.package, now=now, session_type=wanted.session_type, limit=MOST_LIVING
        )
    counted = sorted((one.created_at, one.session_id) for one in living if one.origin == Origin.BRIDGE)
    surplus = max(0, len(counted) - policy.max_sessions + 1)
    if surplus and policy.at_cap is AtCap.REFUSE:
        raise SessionLimitReached(evidence={"session_type": wanted.session_type, "max_sessions": policy.max_sessions})
    return PlannedKey(opened.expires_at, tuple(session_id for _, session_id in counted[:surplus]))


def _check_lifetime(wanted: KeyWanted, policy: SessionPolicy) -> timedelta:
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
    return lifetime


async def _get_person(db: Db, wanted: KeyWanted, *, lock: bool = False) -> User:
    known = may_be_asked_for(wanted.username)
    user = await users.find_by_name(db, wanted.username, package=wanted.package, lock=lock) if known else None
    if user is None:
        raise UserUnknown(evidence={"username": wanted.username, "package": wanted.package})
    if not user.active:
        raise UserDisabled(evidence={"username": wanted.username, "package": wanted.package})
    return user


def _describe_session(user: User, wanted: KeyWanted, *, key: str, now: datetime, lifetime: timedelta) -> NewSession:
    if user.identity is None:
        raise IdentityMissing(evidence={"username": user.username, "package": user.package})
    return NewSession(
        session_id=secrets.token_hex(32),
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
