"""One run of the sync: where it reads and writes, under which lease, how far it is, and what it has found so far."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from bridge.keycloak.admin import Admin
from bridge.model import Identity
from bridge.storage.database import Database
from bridge.storage.leases import Lease
from sync.reconcile import Conflict

Clock = Callable[[], datetime]
"""Whatever tells the time, in UTC."""


class Progress(Protocol):
    """Whoever is told how far a run is."""

    def stage(self, name: str, total: int | None) -> None:
        """Begin a stage of so many steps; None when nobody knows."""
        ...

    def advance(self, n: int = 1) -> None:
        """Say that steps of the stage are done."""
        ...


@dataclass
class Counts:
    """What a run has read and written so far."""

    users_read: int = 0
    users_created: int = 0
    users_updated: int = 0
    users_unchanged: int = 0
    users_missing: int = 0
    sessions_read: int = 0
    sessions_created: int = 0
    sessions_updated: int = 0
    sessions_ended: int = 0
    sessions_skipped: int = 0


@dataclass
class Job:
    """One run: where it reads and writes, under which lease, and what it has found so far."""

    database: Database
    admin: Admin
    lease: Lease
    run_id: str
    package: str
    issuer: str
    now: Clock
    progress: Progress
    counts: Counts = field(default_factory=Counts)
    conflicts: dict[str, Conflict] = field(default_factory=dict)
    incomplete: list[str] = field(default_factory=list)
    codes: dict[str, str] = field(default_factory=dict)
    """Group codes by group id; `group_ids` are all groups of the tree, also those that can have no code."""
    group_ids: set[str] = field(default_factory=set)
    groups_read_again: bool = False
    groups_lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def realm(self) -> str:
        """The realm's name, as log lines give it."""
        return self.issuer.rsplit("/", 1)[-1]

    def identity(self, sub: str) -> Identity:
        """Return the identity of a user of this run's realm and package."""
        return Identity(self.issuer, sub, self.package)
