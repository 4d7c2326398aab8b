"""Compare people with their rows and write the differences, in transactions that hold the lease.

judge -> create, update: at once (at most 500 a transaction)
      -> unchanged: nothing is written
      -> to read again: its row is newer than what was read, or a group would go: read alone, then judged again
      -> its name is held by another identity: put aside for `settle_names`, where swaps and chains are seen whole
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from bridge.errors import KeycloakAnswerInvalid
from bridge.keycloak import pages
from bridge.storage import leases, mirrored_users
from bridge.storage.database import Db
from bridge.storage.mirrored_users import UserBatch
from sync.job import Job
from sync.reconcile import (
    Columns,
    Conflict,
    Decision,
    Kind,
    Person,
    decide_name,
    decide_user,
    group_codes,
    without_name,
)

BATCH = 500
ROUNDS = 4
"""How often somebody whose row or name moves meanwhile is read again in one run."""
UNKNOWN_GROUPS = "users are in groups that the list of groups does not show; their group codes were left as they are"


@dataclass(frozen=True)
class Verdicts:
    """What came of comparing: rows to write, and who must be read again, or waits for a name."""

    batch: UserBatch
    reread: set[str]
    contested: set[str]


async def apply_people(job: Job, people: Mapping[str, Person], noted: Mapping[str, int]) -> tuple[set[str], set[str]]:
    """Write what differs. Return who waits for a name, and who turned out to be gone.

    `noted` are the versions of the rows from before these people were read.
    """
    contested: set[str] = set()
    gone: set[str] = set()
    for _ in range(ROUNDS):
        verdicts = await _judge(job, people, noted)
        contested |= verdicts.contested
        again = verdicts.reread | await _write(job, verdicts.batch)
        noted = await current_versions(job, again)
        people = await read_again(job, again)
        gone |= again - people.keys()
        if not people:
            return contested, gone
    # Whoever still moves is left to the next run; nothing older than the row was written.
    job.incomplete.append(f"{len(people)} users changed faster than they could be read")
    return contested, gone


async def settle_names(job: Job, waiting: Iterable[str]) -> set[str]:
    """Write those whose names were held, with everybody who must move for it, in one transaction.

    Return who turned out to be gone. A holder who is gone at Keycloak is retired in the same transaction.
    """
    subs, gone = set(waiting), set[str]()
    for _ in range(ROUNDS):
        if not subs:
            break
        noted = await current_versions(job, subs)
        people = await read_again(job, subs)
        gone |= subs - people.keys()
        retired = await _follow_holders(job, people, noted)
        verdicts = await _settled(job, people, noted, retired)
        subs = (verdicts.reread | await _write(job, verdicts.batch)) - retired
    if subs:
        job.incomplete.append(f"{len(subs)} user names changed faster than they could be read")
    return gone


async def read_again(job: Job, subs: Iterable[str]) -> dict[str, Person]:
    """Read users and their groups one by one; who is gone is left out."""

    async def work(sub: str) -> tuple[list[str], Person | None]:
        user = await pages.fetch_user(job.admin, sub)
        group_ids = None if user is None else await pages.fetch_user_groups(job.admin, sub)
        if user is None or group_ids is None:
            return [], None
        if user.sub != sub:
            raise KeycloakAnswerInvalid(evidence={"expected": sub, "found": user.sub})
        known = await _know_groups(job, set(group_ids))
        codes = sorted({job.codes[group_id] for group_id in group_ids if group_id in job.codes})
        return [], Person(user, tuple(codes), confirmed=True, unknown_groups=not known)

    found = pages.spread(sorted(subs), work, width=job.admin.in_flight)
    return {person.user.sub: person async for person in found}


async def read_groups(job: Job) -> None:
    """Read the group tree; what an earlier reading showed and this one does not is kept."""
    groups = await pages.fetch_groups(job.admin)
    codes, conflicts = group_codes(groups)
    job.codes |= codes
    job.group_ids |= {group.group_id for group in groups}
    job.conflicts |= {conflict.name: conflict for conflict in conflicts}


async def _know_groups(job: Job, held: set[str]) -> bool:
    """Whether the tree shows these groups; once in a run it is read again, since its pages shift while groups move."""
    async with job.groups_lock:
        if not held <= job.group_ids and not job.groups_read_again:
            job.groups_read_again = True
            await read_groups(job)
    if not held <= job.group_ids and UNKNOWN_GROUPS not in job.incomplete:
        job.incomplete.append(UNKNOWN_GROUPS)
    return held <= job.group_ids


async def current_versions(job: Job, subs: Iterable[str]) -> dict[str, int]:
    """Return the versions of rows as they are now, before their people are read again."""
    return {sub: int(str(row["RowVersion"])) for sub, row in (await _rows(job, subs)).items()}


async def _judge(job: Job, people: Mapping[str, Person], noted: Mapping[str, int]) -> Verdicts:
    rows = await _rows(job, people)
    decisions = {
        sub: decide_user(person, rows.get(sub), identity=job.identity(sub), noted=noted.get(sub))
        for sub, person in people.items()
    }
    names = {sub: people[sub].user.username for sub, decision in decisions.items() if "User" in decision.columns}
    holders = await _holders(job, names.values())
    contested: set[str] = set()
    for sub, name in names.items():
        holder = holders.get(name)
        named = decide_name(decisions[sub], username=name, holder=holder, identity=job.identity(sub))
        if named.kind is Kind.REREAD:
            contested.add(sub)
        decisions[sub] = named
    reread = {sub for sub, decision in decisions.items() if decision.kind is Kind.REREAD} - contested
    job.counts.users_unchanged += sum(decision.kind is Kind.UNCHANGED for decision in decisions.values())
    return Verdicts(_batch(job, decisions, noted), reread, contested)


async def _follow_holders(job: Job, people: dict[str, Person], noted: dict[str, int]) -> frozenset[str]:
    """Add to `people` who holds a name that another needs, until all are found; return holders gone at Keycloak."""
    retired: set[str] = set()
    while True:
        holders = await _holders(job, (person.user.username for person in people.values()))
        subs = {str(row["Sub"]) for row in holders.values() if _is_ours(job, row)}
        unknown = subs - people.keys() - retired
        if not unknown:
            return frozenset(retired)
        noted |= await current_versions(job, unknown)
        found = await read_again(job, unknown)
        retired |= unknown - found.keys()
        people |= found


async def _settled(
    job: Job, people: Mapping[str, Person], noted: Mapping[str, int], retired: frozenset[str]
) -> Verdicts:
    rows = await _rows(job, people)
    holders = await _holders(job, (person.user.username for person in people.values()))
    decisions = {
        sub: decide_user(person, rows.get(sub), identity=job.identity(sub), noted=noted.get(sub))
        for sub, person in people.items()
    }
    # Whoever cannot move keeps a name that another may wait for, and so on along the chain.
    while True:
        moving = {sub for sub, decision in decisions.items() if "User" in decision.columns}
        unsure = {sub for sub, decision in decisions.items() if decision.kind is Kind.REREAD}
        stuck = {
            sub
            for sub in moving
            if (row := holders.get(people[sub].user.username)) is not None
            and not (_is_ours(job, row) and str(row["Sub"]) in moving | unsure | retired)
        }
        if not stuck:
            return Verdicts(_batch(job, decisions, noted, retired=retired), unsure, set())
        for sub in stuck:
            held = Conflict(people[sub].user.username, "the name is held by a row that keeps it")
            decisions[sub] = without_name(decisions[sub], held)


def _is_ours(job: Job, row: Columns) -> bool:
    return row["Issuer"] == job.issuer and row["Sub"] is not None


def _batch(
    job: Job, decisions: Mapping[str, Decision], noted: Mapping[str, int], *, retired: frozenset[str] = frozenset()
) -> UserBatch:
    for sub, decision in decisions.items():
        if decision.conflict is not None:
            job.conflicts[sub] = decision.conflict
    return UserBatch(
        creates={sub: decision.columns for sub, decision in decisions.items() if decision.kind is Kind.CREATE},
        changes={sub: decision.columns for sub, decision in decisions.items() if decision.kind is Kind.UPDATE},
        retired=retired,
        noted=noted,
    )


async def _write(job: Job, batch: UserBatch) -> set[str]:
    """Write a batch under the lease and count it; return who must be read again."""
    if not (batch.creates or batch.changes or batch.retired):
        return set()

    async def step(db: Db) -> set[str]:
        await leases.guard(db, job.lease)
        return await mirrored_users.write_batch(
            db, batch, issuer=job.issuer, package=job.package, run_id=job.run_id, now=job.now()
        )

    lost = await job.database.write(step)
    job.counts.users_created += len(batch.creates.keys() - lost)
    job.counts.users_updated += len((batch.changes.keys() | batch.retired) - lost)
    return lost


async def _rows(job: Job, subs: Iterable[str]) -> dict[str, Columns]:
    async with job.database.reading() as db:
        return await mirrored_users.read_rows(db, subs, issuer=job.issuer, package=job.package)


async def _holders(job: Job, usernames: Iterable[str]) -> dict[str, Columns]:
    async with job.database.reading() as db:
        return await mirrored_users.find_holders(db, usernames, package=job.package)
