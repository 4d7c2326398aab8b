"""Bridges killed at any statement or moment, many times on each database; what they leave behind must be whole.

Nothing is compared in time here: one wrong row and it has failed. `tests/integration/test_killed.py` does a few rounds.
"""

import secrets
import time
from collections.abc import Callable
from pathlib import Path

from bridge.telemetry import configure_logging
from tests.bench.databases import DatabaseKind, open_databases
from tests.bench.figures import BenchmarkFailed
from tests.bench.machine import python_version
from tests.bench.page import Result
from tests.integration.killing import Killing, open_double

ROUNDS = 200
COUNTS = ("kills at a touch", "kills at a moment", "done", "logins under way")
_NOTES = """\
* A process signs people in, rotates, refreshes, signs out, cleans up and changes sealing keys, two things at a time,
  until SIGKILL ends it: before or after a statement or commit of a random number (*at a touch*), or at a random moment.
* After each kill the invariants are looked at, logins that were under way come back, and the next start finishes what
  was begun. *Done* counts what somebody had been given by then; all of it was there.
"""


def measure(directory: Path, *, rounds: int, say: Callable[[str], None]) -> Result:
    """Kill and look, on each database.

    Raises:
        BenchmarkFailed: something was half done; with the seed.
    """
    configure_logging(level="error")
    with open_databases(directory, say=say, mariadb=True) as kinds:
        rows = [_kill(kind, directory, rounds=rounds, say=say) for kind in kinds]
        versions = [python_version(), *(kind.version for kind in kinds)]
    return Result(
        name="killed",
        title="Killed at any statement",
        columns=("database", *COUNTS, "wrong", "seconds"),
        rows=rows,
        notes=_NOTES,
        versions=versions,
    )


def _kill(kind: DatabaseKind, directory: Path, *, rounds: int, say: Callable[[str], None]) -> list[str]:
    say(f"Killing, {kind.title} ...")
    place = directory / kind.title
    place.mkdir()
    began, seed = time.perf_counter(), secrets.randbelow(10**6)
    with open_double() as double:
        killing = Killing(kind.create("killed"), double, place, seed)
        for number in range(1, rounds + 1):
            try:
                killing.round(number)
            except AssertionError as wrong:
                raise BenchmarkFailed(f"{kind.title}, KILLED_SEED={seed}, round {number}: {wrong}") from wrong
    seconds = time.perf_counter() - began
    return [kind.title, *(f"{killing.tally[name]:,}" for name in COUNTS), "0", f"{seconds:,.0f}"]
