"""The sweep: all users of a realm with their groups, provably all of them, into `sys_user`.

1 note the versions of the rows          5 write people window by window
2 check that people can be seen          6 settle names that were held
3 read groups and service accounts       7 walk the plain list when the windows do not hold everybody
4 read who is in which group             8 mark who was not seen, if nothing is missing from the reading
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing

from bridge.keycloak import pages
from bridge.keycloak.mapping import KeycloakClient, KeycloakUser
from bridge.storage import leases, mirrored_users
from bridge.storage.database import Db
from bridge.storage.mirrored_users import UserBatch
from sync.apply import BATCH, apply_people, read_again, read_groups, settle_names
from sync.job import Job
from sync.reconcile import Person

CALLS_A_USER = 2
CALLS_A_GROUP = 2
COUNTINGS = 3
ACCOUNT_NAME = "service-account-"
"""How Keycloak begins the username behind a service account; people may be called so too."""


class Sweep:
    """What one sweep knows while it runs."""

    def __init__(self, job: Job, noted: Mapping[str, int], service_accounts: frozenset[str]) -> None:
        """Take the versions of the rows from before anything was read."""
        self._job = job
        self._noted = noted
        self.service_accounts = service_accounts
        self._accounts_read_again = False
        self._codes_of: dict[str, list[str]] | None = {}
        self._contested: set[str] = set()
        self.seen: set[str] = set()

    async def read_memberships(self, expected: int) -> None:
        """Read who is in which group; by member lists, or later by user when that costs fewer calls."""
        job = self._job
        if len(job.codes) * CALLS_A_GROUP > expected * CALLS_A_USER:
            self._codes_of = None
            return
        codes_of: dict[str, list[str]] = defaultdict(list)
        job.progress.stage("groups", len(job.codes))
        async with aclosing(pages.read_members(job.admin, job.codes)) as memberships:
            async for group_id, subs in memberships:
                for sub in subs:
                    codes_of[sub].append(job.codes[group_id])
                job.progress.advance()
        self._codes_of = dict(codes_of)

    async def write_people(self, users: Iterable[KeycloakUser]) -> None:
        """Compare and write the people of one window that were not seen before."""
        users = await self._people(users)
        new = [user for user in users if user.sub not in self.seen]
        for first in range(0, len(new), BATCH):
            part = new[first : first + BATCH]
            people = await self._with_codes(part)
            contested, gone = await apply_people(self._job, people, self._noted)
            self._contested |= contested
            self.seen |= people.keys() - gone
            self._job.progress.advance(len(part))

    async def settle(self) -> None:
        """Write those whose names were held by another identity."""
        self.seen -= await settle_names(self._job, self._contested)
        self._contested = set()

    async def mark_absent(self) -> None:
        """Set MissingSince on rows that were there before and were not seen; nothing else happens to them here."""
        absent = sorted(self._noted.keys() - self.seen)
        for first in range(0, len(absent), BATCH):
            await self._mark(absent[first : first + BATCH])

    async def _people(self, users: Iterable[KeycloakUser]) -> list[KeycloakUser]:
        """Leave service accounts out; of an unknown one the client may be newer than our list of clients."""
        people = [user for user in users if user.sub not in self.service_accounts]
        new = (user for user in people if user.sub not in self._noted)
        if self._accounts_read_again or not any(user.username.startswith(ACCOUNT_NAME) for user in new):
            return people
        self._accounts_read_again = True
        admin = self._job.admin
        self.service_accounts |= await pages.fetch_service_accounts(admin, await pages.fetch_clients(admin))
        return [user for user in people if user.sub not in self.service_accounts]

    async def _mark(self, subs: Sequence[str]) -> None:
        job = self._job
        async with job.database.reading() as db:
            rows = await mirrored_users.read_rows(db, subs, issuer=job.issuer, package=job.package)
        now = job.now()
        changes = {sub: {"MissingSince": now} for sub, row in rows.items() if row["MissingSince"] is None}
        if not changes:
            return

        async def step(db: Db) -> set[str]:
            await leases.guard(db, job.lease)
            batch = UserBatch(changes=changes, noted=self._noted)
            return await mirrored_users.write_batch(
                db, batch, issuer=job.issuer, package=job.package, run_id=job.run_id, now=now
            )

        job.counts.users_missing += len(changes.keys() - await job.database.write(step))

    async def _with_codes(self, users: Sequence[KeycloakUser]) -> dict[str, Person]:
        if self._codes_of is None:
            return await read_again(self._job, [user.sub for user in users])
        codes_of = self._codes_of
        return {user.sub: Person(user, tuple(sorted(set(codes_of.get(user.sub, ()))))) for user in users}


async def sweep(job: Job, clients: Sequence[KeycloakClient]) -> None:
    """Run one sweep; why it is not complete, if it is not, stands in `job.incomplete`."""
    async with job.database.reading(patient=True) as db:
        noted = await mirrored_users.note_versions(db, issuer=job.issuer, package=job.package)
    await pages.check_users_visible(job.admin)
    await read_groups(job)
    service_accounts = await pages.fetch_service_accounts(job.admin, clients)
    expected = await pages.count_users(job.admin)
    running = Sweep(job, noted, service_accounts)
    await running.read_memberships(expected)
    job.progress.stage("people", expected)
    incomplete = listed = 0
    async with aclosing(pages.read_windows(job.admin, now=job.now())) as windows:
        async for window in windows:
            incomplete += not window.complete
            listed += len(window.users)
            await running.write_people(window.users)
    await running.settle()
    if incomplete:
        job.incomplete.append(f"{incomplete} windows of users did not hold as many as Keycloak counted")
    await _prove_complete(job, running, listed)
    job.counts.users_read = len(running.seen)
    if noted and not running.seen:
        job.incomplete.append("Keycloak listed nobody, while there are rows of its people")
    if not job.incomplete:
        await running.mark_absent()


async def _prove_complete(job: Job, running: Sweep, listed_in_windows: int) -> None:
    """Compare the plain number of users with that of the windows; read the plain list when they differ.

    The windows must also have listed as many as Keycloak counts in them: they do not overlap, so nobody counts twice.

    Users without a creation time are in no window. People come and go between two counts: they are taken together, and
    again when they differ.
    """
    for _ in range(COUNTINGS):
        plain = await pages.count_users(job.admin)
        timed = await pages.count_users(job.admin, after=0)
        if plain == timed - len(running.service_accounts) and timed == listed_in_windows:
            return
    for _ in range(COUNTINGS):
        listed: set[str] = set()
        async with aclosing(pages.read_plain_list(job.admin)) as windows:
            async for window in windows:
                listed |= {user.sub for user in window.users}
                await running.write_people(window.users)
        await running.settle()
        if len(listed) == await pages.count_users(job.admin):
            return
    job.incomplete.append("the list of users does not hold as many as Keycloak counts")
