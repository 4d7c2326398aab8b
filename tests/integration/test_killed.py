"""A bridge killed at any statement leaves nothing half done behind, and the next start finishes what it had begun.

KILLED_ROUNDS=200 kills more; KILLED_SEED repeats a run that failed, as far as what happens at once can be repeated.
"""

import os
import secrets
from pathlib import Path

from tests.integration.killing import Killing, open_double

ROUNDS = int(os.environ.get("KILLED_ROUNDS", "20"))
SEED = int(os.environ.get("KILLED_SEED", secrets.randbelow(10**6)))


def test_whatever_is_killed_leaves_whole_sessions(migrated_database_url: str, tmp_path: Path) -> None:
    """Login, rotation, refresh, ending, clean-up and change of keys, at a random touch of the database or moment."""
    with open_double() as double:
        killing = Killing(migrated_database_url, double, tmp_path, SEED)
        for number in range(1, ROUNDS + 1):
            try:
                killing.round(number)
            except BaseException as failure:
                failure.add_note(f"KILLED_SEED={SEED}, in round {number}")
                raise
