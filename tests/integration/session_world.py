"""The bridge, the census and an application at one database, as the session model's counterpart; its clock is set.

create, come_in, rotate, exchange, refresh, ...     what the flows of the bridge do
application_*, census_*                             what others do to the same tables
look                                                everything that can be seen, in the words of the model
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast

import sqlalchemy as sa

from bridge.config.policy import RetentionSettings
from bridge.errors import NotSignedIn, SessionLimitReached
from bridge.flows.activity import Activities
from bridge.flows.cleanup import count_overdue, delete_old, end_overdue
from bridge.flows.relying_party import RelyingParty
from bridge.flows.signed_in import Presented, get_signed_in, rotate_if_due
from bridge.model import AtCap, ClientFacts, Identity, NewSession, SessionPolicy, SessionType, digest
from bridge.storage import mirrored_sessions, session_credentials, token_families, user_sessions
from bridge.storage.database import Database, Db
from bridge.storage.mirrored_sessions import Columns
from bridge.storage.session_rows import ActiveSession
from bridge.storage.tables import security_event, session_credential, session_revocation, sys_user, sys_usersession
from bridge.storage.token_families import TokenPair
from bridge.storage.user_sessions import CleanedUp
from tests.integration.session_model import CENSUS, KEYCLOAK, LOCAL, Limits, Person, Session
from tests.integration.session_shown import Shown

T = TypeVar("T")
ISSUER = "https://kc.example/realms/demo"
NOWHERE = ClientFacts(None, None)
BEGIN = datetime(2026, 11, 21, 10, 0, 0, 123456, tzinfo=UTC)
PEOPLE = (Person("alice", "demo"), Person("bob", "demo"), Person("alice", "other"))
MINUTES, HOURS, DAYS = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
LIMITS = {
    "web": Limits(8 * HOURS, idle=HOURS, most=2, rotation=20 * MINUTES),
    "api": Limits(30 * DAYS, idle=None, most=2),
    "mobile": Limits(20 * DAYS, idle=2 * DAYS, most=2),
    "console": Limits(12 * HOURS, idle=HOURS, most=1, rotation=20 * MINUTES),
}
s, k = sys_usersession.c, session_credential.c


class World:
    """All who write sessions. The event loop runs only while one of them does."""

    def __init__(self, database: Database, loop: asyncio.AbstractEventLoop) -> None:
        self.database, self.loop, self.now = database, loop, BEGIN
        self.policies = {
            kind: SessionPolicy(one.lifetime, one.idle, one.most, rotation=one.rotation, refresh_lifetime=one.refresh)
            for kind, one in LIMITS.items()
        }
        self.retention = RetentionSettings()
        self.restart()

    def restart(self) -> None:
        """Forget what was noted and not written, as a process that ends does."""
        self.activities = Activities(self.database, self.policies)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def write(self, step: Callable[[Db], Awaitable[T]]) -> T:
        return self.run(self.database.write(step))

    def execute(self, *statements: sa.Executable) -> None:
        async def step(db: Db) -> None:
            for statement in statements:
                await db.execute(statement)

        self.write(step)

    def begin(self, people: Iterable[Person]) -> None:
        """Empty the tables and the memory, and let people be there."""
        self.restart()
        tables = (sys_usersession, sys_user, session_revocation, security_event)
        rows = [
            {
                "User": person.name, "Package": person.package, "Uuid": self.identity(person).uuid, "Origin": KEYCLOAK,
                "Issuer": ISSUER, "Sub": self.identity(person).sub,
            }
            for person in people
        ]  # fmt: skip
        self.execute(*(sa.delete(table) for table in tables), *(sa.insert(sys_user).values(row) for row in rows))

    def identity(self, person: Person) -> Identity:
        return Identity(ISSUER, digest(person.name), person.package)

    def party(self, package: str) -> RelyingParty:
        """Return the bridge of a package, as far as these flows look at it."""
        unused = cast("Any", None)
        return RelyingParty(
            package=package, settings=unused, public_url="", policies=self.policies, claim_life=timedelta(0),
            provider=unused, database=self.database, sealer=unused, outcomes=unused, activities=self.activities,
            places=unused, now=lambda: self.now, is_user_gone=None,
        )  # fmt: skip

    # The bridge.

    def create(self, new: Session, credential: str, *, refuses: bool) -> list[str] | None:
        policy = replace(self.policies[new.kind], at_cap=AtCap.REFUSE if refuses else AtCap.END_OLDEST)
        opened = NewSession(
            session_id=new.id,
            session_type=SessionType(new.kind),
            credential_digest=digest(credential),
            identity=self.identity(new.person),
            username=new.person.name,
            sid=new.sid,
            created_at=new.created,
            expires_at=new.expires,
        )
        try:
            created = self.write(lambda db: user_sessions.create_session(db, opened, policy=policy))
        except SessionLimitReached:
            return None
        return [one.session_id for one in created.ended]

    def add_cookie(self, session_id: str, credential: str) -> datetime | None:
        return self.write(
            lambda db: session_credentials.add_cookie_to_active(
                db, session_id, credential_digest=digest(credential), now=self.now
            )
        )

    def come_in(self, credential: str, package: str) -> ActiveSession | None:
        presented = Presented(credential, is_bearer=False)
        try:
            return self.run(get_signed_in(self.party(package), presented, client=NOWHERE))
        except NotSignedIn:
            return None

    def rotate(self, found: ActiveSession, credential: str) -> str | None:
        return self.run(rotate_if_due(self.party(found.session.package), found, credential=credential))

    def exchange(self, session_id: str, person: Person, access: str, refresh: str, *, access_lives: timedelta) -> None:
        pair, policy = self._pair(access, refresh, access_lives), self.policies["mobile"]

        async def step(db: Db) -> None:
            (session,) = await user_sessions.get_user_sessions(
                db, person.name, package=person.package, now=self.now, session_id=session_id
            )
            await token_families.open_family(db, session, pair, policy=policy, now=self.now)

        self.write(step)

    def refresh(
        self, old: str, access: str, new: str, *, sealed: str, access_lives: timedelta
    ) -> tuple[str, str | None]:
        pair, policy = replace(self._pair(access, new, access_lives), sealed=sealed), self.policies["mobile"]
        done = self.write(lambda db: token_families.rotate(db, digest(old), pair, policy=policy, now=self.now))
        return str(done.outcome), done.sealed

    def _pair(self, access: str, refresh: str, access_lives: timedelta) -> TokenPair:
        return TokenPair(digest(access), digest(refresh), self.now + access_lives)

    def flush(self) -> None:
        self.run(self.activities.flush(now=self.now))

    def end(self, session_id: str, *, by: str | None, reason: str) -> bool:
        ended = self.write(
            lambda db: user_sessions.invalidate_session(db, session_id, invalidated_by=by, reason=reason, now=self.now)
        )
        return ended is not None

    def end_all(self, person: Person, *, reason: str, kind: str | None, keep: str | None) -> set[str]:
        ended = self.write(
            lambda db: user_sessions.invalidate_user_sessions(
                db,
                person.name,
                package=person.package,
                invalidated_by=person.name,
                reason=reason,
                now=self.now,
                session_type=kind,
                keep=keep,
            )
        )
        return {one.session_id for one in ended}

    def clean_up(self, *, limit: int) -> tuple[int, int, int]:
        return _counts(self.run(end_overdue(self.database, self.retention, now=self.now, limit=limit)))

    def forget(self, *, limit: int) -> None:
        self.run(delete_old(self.database, self.retention, now=self.now, limit=limit))

    # Others.

    def application_opens(self, new: Session) -> None:
        columns = {"SessionId": new.id, "User": new.person.name, "Package": new.person.package, "SessionType": new.kind}
        self.execute(sa.insert(sys_usersession).values(CreatedAt=new.created, ExpiresAt=new.expires, **columns))

    def application_ends(self, session_id: str, *, reason: str | None) -> None:
        told = {"InvalidatedAt": self.now, "InvalidatedReason": reason} if reason is not None else {}
        self.execute(sa.update(sys_usersession).where(s.SessionId == session_id).values(IsActive=False, **told))

    def application_deletes(self, session_id: str) -> None:
        self.execute(sa.delete(sys_usersession).where(s.SessionId == session_id))

    def switch(self, person: Person, *, active: bool) -> None:
        of_person = (sys_user.c.User == person.name, sys_user.c.Package == person.package)
        self.execute(sa.update(sys_user).where(*of_person).values(Active=active))

    def census_finds(self, new: Session) -> None:
        identity = self.identity(new.person)
        columns = {
            "User": new.person.name, "Package": new.person.package, "SessionType": new.kind, "CreatedAt": new.created,
            "LastActivity": new.used, "ExpiresAt": new.expires, "Issuer": ISSUER, "Sub": identity.sub, "Sid": new.sid,
            "Origin": KEYCLOAK,
        }  # fmt: skip
        self._census(creates={new.id: columns}, changes={})

    def census_sees(self, session_id: str, *, expires: datetime) -> None:
        """Move the end of a session on; one that the census itself had ended is back."""
        alive = {"IsActive": True, "InvalidatedAt": None, "InvalidatedBy": None, "InvalidatedReason": None}
        self._census(creates={}, changes={session_id: {"ExpiresAt": expires, "LastActivity": self.now, **alive}})

    def census_misses(self, session_id: str) -> None:
        self.write(lambda db: mirrored_sessions.end_sessions(db, [session_id], reason=CENSUS, now=self.now))

    def _census(self, *, creates: Mapping[str, Columns], changes: Mapping[str, Columns]) -> None:
        self.write(
            lambda db: mirrored_sessions.write_sessions(
                db, creates=creates, changes=changes, revived_after=CENSUS, now=self.now
            )
        )

    # What there is to see.

    def look(self, given: Mapping[str, str], people: Iterable[Person], counted: Iterable[tuple[Person, str]]) -> Shown:
        """Look with all credentials, given with the packages they are for."""

        async def see() -> Shown:
            async with self.database.reading() as db:
                opened = {text: await self._open(db, text, package) for text, package in given.items()}
                return Shown(
                    opened={text: session_id for text, session_id in opened.items() if session_id},
                    listed={person: await self._list(db, person) for person in people},
                    counted={(person, kind): await self._count(db, person, kind) for person, kind in counted},
                    rows=await self._rows(db),
                    credentials=await self._credentials(db),
                    overdue=_counts(await count_overdue(self.database, self.retention, now=self.now)),
                )

        return self.run(see())

    async def _open(self, db: Db, credential: str, package: str) -> str | None:
        found = await user_sessions.get_active_session(db, digest(credential), package=package, now=self.now)
        return found.session.session_id if found else None

    async def _list(self, db: Db, person: Person) -> list[str]:
        found = await user_sessions.get_user_sessions(db, person.name, package=person.package, now=self.now)
        return [one.session_id for one in found]

    async def _count(self, db: Db, person: Person, kind: str) -> int:
        return await user_sessions.count_concurrent(
            db, person.name, package=person.package, session_type=kind, now=self.now
        )

    async def _rows(self, db: Db) -> dict[str, tuple[object, ...]]:
        always = (s.User, s.Package, s.SessionType, s.Origin, s.ExpiresAt, s.IsActive)
        ended = (s.InvalidatedAt, s.InvalidatedBy, s.InvalidatedReason)
        used = (s.LastActivity, s.IdleExpiresAt, s.RotationCount, s.LastRotatedAt)
        found = {row[0]: tuple(row[1:]) for row in await db.execute(sa.select(s.SessionId, *always, *ended, *used))}
        return {
            session_id: row if row[3] != LOCAL and row[5] else row[: -len(used)] for session_id, row in found.items()
        }

    async def _credentials(self, db: Db) -> dict[str, tuple[object, ...]]:
        columns = (k.kind, k.expires_at, k.first_used_at, k.superseded_by)
        of_active = sa.select(k.digest, *columns).join(sys_usersession).where(s.IsActive == sa.literal_column("1"))
        return {row[0]: tuple(row[1:]) for row in await db.execute(of_active)}


def _counts(done: CleanedUp) -> tuple[int, int, int]:
    return done.expired, done.idle, done.deleted
