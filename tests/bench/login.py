"""Full sign-ins a second through the bridge, beside the bare authorization and exchange at the same Keycloak.

bridge    GET /login -> 303 -> authorize (single sign-on cookie) -> 302 -> GET /callback (its exchange) -> 303, session
bare                           authorize (single sign-on cookie) -> 302 -> POST token, the answer read

One client program drives both, in turn. At the end the sessions in SQL must be as many as the sign-ins made.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from bridge.storage.database import open_database
from deploy.demo.keycloak_server import KeycloakServer
from deploy.demo.ports import HOST, free_port
from tests.bench.databases import DatabaseKind, open_databases, read_value
from tests.bench.figures import build_ratio, build_spread, expect
from tests.bench.machine import python_version
from tests.bench.page import Result
from tests.bench.realms import open_realm, read_version, username
from tests.bench.service import running_bridge
from tests.bench.visitors import Person, Place, come_in, open_http, sign_in_barely, sign_in_through_bridge

GOAL = 0.75
ROUNDS = 10
PEOPLE = 20
IN_FLIGHT = (1, 4)
SIGN_INS = 100
"""How many each half of a round makes with one in flight; twice as many with more."""
WARM_UP_KEYCLOAK, WARM_UP = 3000, 100
"""Sign-ins that nobody counts the time of: a Java server is slow at first, and caches are empty."""
_NOTES = """\
* Sign-ins a second: least, median and greatest of {rounds} rounds; *ratio* is the median of each round's own ratio.
* {people} people with a living single sign-on session at Keycloak sign in again and again; each time their browser has
  no session at the bridge yet. Before that, {warm_up:,} sign-ins warm Keycloak up.
* Client, bridge (one worker process), Keycloak (its database in memory) and database share the cores.
* PostgreSQL is a throw-away server that does not wait for the disk; SQLite is a file, set up as in real use.
"""
SignIn = Callable[[httpx.AsyncClient, Place, Person], Awaitable[None]]


@dataclass
class Rates:
    """Sign-ins a second, one number a round."""

    in_flight: int
    bridge: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)


def measure(directory: Path, *, rounds: int, say: Callable[[str], None]) -> Result:
    """Run the benchmark."""
    port = free_port()
    bridge_url = f"http://{HOST}:{port}"
    rows: list[list[str]] = []
    with (
        open_databases(directory, say=say) as kinds,
        KeycloakServer(port=0, log=directory / "keycloak.log") as keycloak,
        open_realm(keycloak, name="bench-login", signing_in=PEOPLE, bridge_url=bridge_url) as issuer,
    ):
        place = Place(issuer, bridge_url)
        people = asyncio.run(_open_sessions(place))
        for kind in kinds:
            say(f"Signing people in, {kind.title} ...")
            url = kind.create("login")
            with running_bridge(directory, port=port, issuer=issuer, database_url=url):
                measured = asyncio.run(_measure_rounds(place, people, url, rounds=rounds))
            rows.extend(_row(kind, rates) for rates in measured)
        versions = [python_version(), read_version(keycloak), *(kind.version for kind in kinds)]
    return Result(
        name="login",
        title="Sign-in",
        columns=("database", "in flight", *_three("bridge"), *_three("bare"), "ratio", "goal"),
        rows=rows,
        notes=_NOTES.format(rounds=rounds, people=PEOPLE, warm_up=WARM_UP_KEYCLOAK),
        versions=versions,
    )


async def _open_sessions(place: Place) -> list[Person]:
    async with open_http(max(IN_FLIGHT)) as http:
        people = [await come_in(http, place, username(number)) for number in range(PEOPLE)]
        await _drive(sign_in_barely, http, place, people, number=WARM_UP_KEYCLOAK, in_flight=max(IN_FLIGHT))
    return people


async def _measure_rounds(place: Place, people: Sequence[Person], url: str, *, rounds: int) -> list[Rates]:
    measured: list[Rates] = []
    made = 0
    async with open_http(max(IN_FLIGHT)) as http:
        for in_flight in IN_FLIGHT:
            rates, number = Rates(in_flight), SIGN_INS * min(in_flight, 2)
            for sign_in in (sign_in_barely, sign_in_through_bridge):
                await _drive(sign_in, http, place, people, number=WARM_UP, in_flight=in_flight)
            for _ in range(rounds):
                for sign_in, found in ((sign_in_barely, rates.bare), (sign_in_through_bridge, rates.bridge)):
                    seconds = await _drive(sign_in, http, place, people, number=number, in_flight=in_flight)
                    found.append(number / seconds)
            made += WARM_UP + rounds * number
            measured.append(rates)
    await _check_sessions(url, made=made, people=len(people))
    return measured


async def _drive(
    sign_in: SignIn, http: httpx.AsyncClient, place: Place, people: Sequence[Person], *, number: int, in_flight: int
) -> float:
    """Make `number` sign-ins, `in_flight` at a time, and return the seconds; one person is never at two of them."""

    async def work(worker: int) -> None:
        own = people[worker::in_flight]
        for turn in range(worker, number, in_flight):
            await sign_in(http, place, own[turn // in_flight % len(own)])

    began = time.perf_counter()
    await asyncio.gather(*(work(worker) for worker in range(in_flight)))
    return time.perf_counter() - began


async def _check_sessions(url: str, *, made: int, people: int) -> None:
    """Count in SQL what the sign-ins left there."""
    async with open_database(url, pool_size=1) as database:
        for what, wanted, query in (
            ("sessions", made, """SELECT COUNT(*) FROM sys_usersession WHERE "IsActive" = 1 AND "Origin" = 'bridge'"""),
            ("people with a session", people, 'SELECT COUNT(DISTINCT "User") FROM sys_usersession'),
            ("session credentials", made, "SELECT COUNT(*) FROM session_credential"),
            ("logins that ended with a session", made, "SELECT COUNT(session_id) FROM oauth_state"),
            ("sealed grants", made, "SELECT COUNT(*) FROM keycloak_grant"),
        ):
            expect(what, wanted=wanted, found=await read_value(database, query))


def _three(name: str) -> tuple[str, str, str]:
    return (f"{name} least", "median", "greatest")


def _row(kind: DatabaseKind, rates: Rates) -> list[str]:
    ratio = build_ratio(rates.bridge, rates.bare).median
    figures = (*build_spread(rates.bridge).cells(), *build_spread(rates.bare).cells())
    return [kind.title, str(rates.in_flight), *figures, f"{ratio:.2f}", f"{GOAL:.2f}"]
