"""Tables full of people and sessions, made by the database itself: a million rows in a minute or two.

    40 rows in turn    alive, ended, mirrored, written by an application, and of each kind that the clean-up works on

Digests are random, as real ones are, so that an index finds no order in them. A tenth of the rows is due: a fortieth
has expired, one was idle too long, one expired and one ended so long ago that it goes. Another tenth looks the same but
is an application's own, which the clean-up must pass over; it is older, so that it stands in front of what is due.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from bridge.storage import statistics
from bridge.storage.database import Database, Db, open_database

PACKAGE = "bench"
ISSUER = "https://keycloak.example/realms/bench"
SESSIONS_EACH = 10
IN_ONE_GO = 50_000
HISTORY_FROM = 9_000_000
"""Numbers of the rows that `make_history` adds."""
LONGEST = timedelta(minutes=30)
AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36"
HOUR, DAY = 3_600, 86_400


@dataclass(frozen=True)
class State:
    """What a row of one kind says; times are seconds from now, in SQL where `x` is some number below 3,600."""

    share: int
    origin: str
    created: str
    expires: str
    idle: str = "NULL"
    ended: str = "NULL"
    """When it became inactive; an active row has none."""
    reason: str = "NULL"


STATES = {
    "over": State(1, "'bridge'", f"-{8 * HOUR + 10} - x", "-10 - x"),
    "idle": State(1, "'bridge'", f"-{2 * HOUR} - x", f"{6 * HOUR} - x", idle="-10 - x"),
    "long_over": State(
        1, "'bridge'", f"-{9 * DAY}", f"-{7 * DAY + 10} - x", ended=f"-{7 * DAY} - x", reason="'expired'"
    ),
    "long_ended": State(1, "'bridge'", f"-{60 * DAY}", f"{30 * DAY}", ended=f"-{30 * DAY + 10} - x", reason="'logout'"),
    "others_over": State(2, "'local'", f"-{40 * DAY}", f"-{39 * DAY} - x"),
    "others_ended": State(2, "'local'", f"-{40 * DAY}", f"-{39 * DAY} - x", ended=f"-{39 * DAY} - x"),
    "mirrored": State(6, "'keycloak'", f"-{HOUR} - x", f"{HOUR} + x"),
    "mirrored_late": State(1, "'keycloak'", f"-{9 * HOUR}", "-10 - x"),
    "ended": State(11, "'bridge'", f"-{9 * HOUR} - x * 100", f"-{HOUR} - x * 100", ended="-x * 100", reason="'logout'"),
    "alive": State(14, "'bridge'", f"-{HOUR} - x", f"{7 * HOUR} - x", idle=f"{HOUR} + x"),
}
PASSED_OVER = ("others_over", "others_ended")


@dataclass(frozen=True)
class Spelling:
    """How one database says it: the numbers n from :first to :last, digests, and moments in seconds from :now."""

    numbers: str
    digest: str
    moment: str
    finish: str


SPELLINGS = {
    "sqlite": Spelling(
        "WITH RECURSIVE number(n) AS (SELECT :first UNION ALL SELECT n + 1 FROM number WHERE n < :last) "
        "SELECT n FROM number",
        "lower(hex(randomblob(32)))",
        "strftime('%Y-%m-%d %H:%M:%S.000000', :now, ({0}) || ' seconds')",
        "",
    ),
    "postgresql": Spelling(
        "SELECT n FROM generate_series(CAST(:first AS integer), CAST(:last AS integer)) AS number(n)",
        "md5(n || '{0}') || md5(n || '{0}+')",
        "CAST(:now AS timestamptz) + ({0}) * interval '1 second'",
        "VACUUM ANALYZE",
    ),
    "mysql": Spelling(
        "SELECT CAST(seq AS SIGNED) AS n FROM seq_0_to_9999999 WHERE seq BETWEEN :first AND :last",
        "SHA2(n || '{0}', 256)",
        "CAST(:now AS DATETIME(6)) + INTERVAL ({0}) SECOND",
        "ANALYZE TABLE sys_user, sys_usersession, session_credential, keycloak_grant",
    ),
}


async def make_sessions(url: str, *, number: int, now: datetime) -> None:
    """Fill an empty migrated database with so many sessions, their people, credentials and grants."""
    async with open_database(url, pool_size=1, longest=LONGEST) as database:
        spelling, people = SPELLINGS[database.dialect.name], count_people(number)
        await _insert(database, _people(spelling), first=0, last=people - 1)
        sessions = _sessions(spelling, f"n % {people}", kinds=tuple(STATES))
        for first in range(0, number, IN_ONE_GO):
            await _insert(database, sessions, first=first, last=min(number, first + IN_ONE_GO) - 1, now=now)
        await _insert(database, _CREDENTIALS)
        await _insert(database, _GRANTS.format(now=spelling.moment.format(0)), now=now)
        await finish(database)


async def make_history(url: str, person: int, *, number: int, now: datetime) -> None:
    """Add so many ended sessions of one person."""
    async with open_database(url, pool_size=1, longest=LONGEST) as database:
        statement = _sessions(SPELLINGS[database.dialect.name], str(person), kinds=("ended",))
        await _insert(database, statement, first=HISTORY_FROM, last=HISTORY_FROM + number - 1, now=now)
        await finish(database)


async def finish(database: Database) -> None:
    """Let a server count its rows and clear away what was deleted, as it does in time; SQLite as we tell it."""
    await database.write(statistics.refresh)
    statement = SPELLINGS[database.dialect.name].finish
    if statement:
        async with database.reading(patient=True) as db:
            free = await db.execution_options(isolation_level="AUTOCOMMIT")
            await free.execute(sa.text(statement))


def count_people(number: int) -> int:
    """Return of how many people so many sessions are; it shares no factor with 40, so that everybody has all kinds."""
    return number // SESSIONS_EACH + 1


def count_rows(number: int, *kinds: str) -> int:
    """Return how many of so many rows are of these kinds."""
    return sum(STATES[kind].share for kind in kinds) * number // sum(state.share for state in STATES.values())


def username(person: int) -> str:
    """Return the name of a person."""
    return f"u{person}"


def sub(person: int) -> str:
    """Return the subject of a person."""
    return f"00000000-0000-4000-8000-{100_000_000_000 + person}"


async def _insert(database: Database, statement: str, **parameters: object) -> None:
    dialect, now = database.dialect.name, parameters.get("now")
    if isinstance(now, datetime) and dialect != "postgresql":
        parameters["now"] = now.replace(tzinfo=None).isoformat(" ", "seconds")

    async def step(db: Db) -> None:
        if dialect == "mysql":
            await db.execute(sa.text("SET SESSION sql_mode = 'ANSI,STRICT_TRANS_TABLES'"))
        await db.execute(sa.text(statement), parameters)

    await database.write(step)


def _people(spelling: Spelling) -> str:
    return f"""
        INSERT INTO sys_user ("User", "Uuid", "Package", "Active", "Email", "Usergroups", "Issuer", "Sub", "Origin")
        SELECT 'u' || person, {_SUB}, '{PACKAGE}', 1, 'u' || person || '@example.com', 'staff,sales',
            '{ISSUER}', {_SUB}, 'keycloak'
        FROM (SELECT n AS person FROM ({spelling.numbers}) AS numbers) AS people
    """


def _sessions(spelling: Spelling, person: str, *, kinds: Sequence[str]) -> str:
    def moment(field: str) -> str:
        return spelling.moment.format(_pick(kinds, field))

    columns = {
        "SessionId": spelling.digest.format("s"),
        "User": "'u' || person",
        "Package": f"'{PACKAGE}'",
        "SessionToken": spelling.digest.format("t"),
        "SessionType": "'web'",
        "IpAddress": "'192.0.2.' || (n % 250)",
        "UserAgent": f"'{AGENT}'",
        "CreatedAt": moment("created"),
        "LastActivity": moment("created"),
        "ExpiresAt": moment("expires"),
        "IdleExpiresAt": moment("idle"),
        "IsActive": f"CASE WHEN ({_pick(kinds, 'ended')}) IS NULL THEN 1 ELSE 0 END",
        "InvalidatedAt": moment("ended"),
        "InvalidatedReason": _pick(kinds, "reason"),
        "LoginMethod": "'password'",
        "Issuer": f"'{ISSUER}'",
        "Realm": "'bench'",
        "Sub": _SUB,
        "Sid": spelling.digest.format("k"),
        "ClientId": "'bridge'",
        "Origin": _pick(kinds, "origin"),
        "OauthStateId": spelling.digest.format("o"),
        "DeviceName": "'Chrome on Linux'",
        "DeviceFingerprint": f"'{'0' * 63}' || (n % 3)",
        "UpdatedAt": moment("created"),
    }
    names = ", ".join(f'"{name}"' for name in columns)
    rows = f"SELECT n, {person} AS person, n % {HOUR} AS x FROM ({spelling.numbers}) AS numbers"
    return f"INSERT INTO sys_usersession ({names}) SELECT {', '.join(columns.values())} FROM ({rows}) AS made"


def _pick(kinds: Sequence[str], field: str) -> str:
    """Return the SQL of a field, which goes by the number of the row."""
    all_kinds, before, branches = sum(STATES[kind].share for kind in kinds), 0, ""
    for kind in kinds:
        before += STATES[kind].share
        branches += f" WHEN n % {all_kinds} < {before} THEN {getattr(STATES[kind], field)}"
    none = "''" if field in ("origin", "reason") else "0"
    return f"CASE{branches} WHEN n < 0 THEN {none} END"


_SUB = "'00000000-0000-4000-8000-' || (100000000000 + person)"
_CREDENTIALS = """
    INSERT INTO session_credential (digest, session_id, kind, created_at, expires_at)
    SELECT "SessionToken", "SessionId", 'cookie', "CreatedAt", "ExpiresAt" FROM sys_usersession
    WHERE "IsActive" = 1 AND "Origin" = 'bridge'
"""
# Of their usual size only where the clean-up deletes them.
_GRANTS = f"""
    INSERT INTO keycloak_grant (session_id, sealed_id_token, sealed_refresh_token, version, updated_at)
    SELECT "SessionId",
        CASE WHEN "ExpiresAt" < {{now}} OR "IdleExpiresAt" < {{now}} THEN '{"x" * 1400}' ELSE 'x' END,
        CASE WHEN "ExpiresAt" < {{now}} OR "IdleExpiresAt" < {{now}} THEN '{"x" * 900}' ELSE 'x' END,
        0, "CreatedAt" FROM sys_usersession
    WHERE "IsActive" = 1 AND "Origin" = 'bridge'
"""
