"""Lockout: who fails too often is refused for a while, by client and address together, never by client alone.

    a sign-in begins, or a key opens nothing     find_lock, check_not_locked    refused while a lock lasts
    a code, an answer or a key is refused        note_failure                   counted; it may begin a lock
    somebody signs in                            note_success                   the counter is gone

The 5th failure locks for 5 minutes, the 10th for 30 minutes, the 20th and each later one for 24 hours. The counter
outlives its locks, so that the next step is reached; 24 hours after the last failure it is forgotten. What is right
always passes: a living session, a key that opens one, and the right code with the right state.
"""

import math
from dataclasses import replace
from datetime import datetime, timedelta
from ipaddress import IPv6Address, IPv6Network, ip_address

from bridge.errors import AnswerRefused, IdTokenRefused, LockedOut, TokenResponseRefused
from bridge.storage import lockouts, security_events
from bridge.storage.database import Database, Db
from bridge.storage.lockouts import FORGOTTEN_AFTER, STEPS, Lockout
from bridge.storage.security_events import SecurityEvent
from bridge.telemetry import get_logger

LAST_STEP = max(STEPS)
NO_ADDRESS = "none"
LONGEST_CLIENT = 255
LONGEST_IN_MINUTES = 90

log = get_logger()


def name_client(package: str, client_id: str) -> str:
    """Return what stands for a client of a package in the counters; other packages may have a client of this name.

    The package alone stands for its bearer keys, so that whoever guesses keys locks nobody's sign-in.
    """
    return f"{package}:{client_id}"[:LONGEST_CLIENT]


def is_failure(error: Exception) -> bool:
    """Whether a callback failed in the way guesses do: the code was refused, or the answer or ID token is not right.

    A cancelled or late sign-in is none, nor is what somebody else is to blame for (Keycloak, the configuration).
    """
    if isinstance(error, TokenResponseRefused):
        return error.evidence.get("error") == "invalid_grant"
    return isinstance(error, AnswerRefused | IdTokenRefused)


async def find_lock(db: Db, *, client: str, address: str | None, now: datetime) -> datetime | None:
    """Return until when a client is locked at an address; to be called in a writing transaction.

    A clock that was set back since makes no lock longer than its step: what is beyond that is cut off here.
    """
    bucket = _bucket(address)
    known = await lockouts.find(db, client=client, address=bucket)
    ends = _find_end(known, now)
    if known is not None and ends is not None and ends != known.locked_until:
        await lockouts.shorten(db, client=client, address=bucket, locked_until=ends)
    return ends


async def check_not_locked(database: Database, *, client: str, address: str | None, now: datetime) -> None:
    """Refuse a client that is locked at this address.

    Raises:
        LockedOut: with when to come back.
        StorageError: the counter cannot be read.
    """
    async with database.reading() as db:
        known = await lockouts.find(db, client=client, address=_bucket(address))
    ends = _find_end(known, now)
    if ends is None:
        return
    if known is not None and ends != known.locked_until:
        await database.write(lambda db: find_lock(db, client=client, address=address, now=now))
    raise locked_out(ends, now=now)


def locked_out(until: datetime, *, now: datetime) -> LockedOut:
    """Return the error that says when to come back."""
    seconds = max(1, math.ceil((until - now).total_seconds()))
    return LockedOut(
        f"Too many attempts have failed from your address. Please try again in {_in_words(seconds)}.",
        retry_after=seconds,
    )


async def note_failure(database: Database, *, client: str, address: str | None, now: datetime) -> None:
    """Count a failure, and lock when it is one too many.

    Raises:
        StorageError: nothing was counted.
    """
    bucket = _bucket(address)

    async def step(db: Db) -> Lockout:
        known = await lockouts.find(db, client=client, address=bucket, lock=True)
        counter = _count(known, client=client, address=bucket, now=now)
        await (lockouts.add if known is None else lockouts.change)(db, counter)
        if _find_step(counter.failures) is not None:
            entry = SecurityEvent(
                "locked_out",
                client.partition(":")[0],
                ip_address=address,
                evidence={"client": client, "failures": counter.failures, "locked_until": counter.locked_until},
            )
            await security_events.append(db, entry, now=now)
        return counter

    counter = await database.write(step)
    log.info("attempt_failed", client=client, address=counter.address, failures=counter.failures)


async def note_success(db: Db, *, client: str, address: str | None) -> None:
    """Forget the failures of a client at an address."""
    await lockouts.forget(db, client=client, address=_bucket(address))


def _bucket(address: str | None) -> str:
    """Return what is counted together: an IPv4 address, or the /64 that one IPv6 host may choose its addresses from."""
    try:
        found = ip_address((address or "").partition("%")[0])
    except ValueError:
        return NO_ADDRESS
    if isinstance(found, IPv6Address):
        return str(found.ipv4_mapped or IPv6Network((found, 64), strict=False))
    return str(found)


def _count(known: Lockout | None, *, client: str, address: str, now: datetime) -> Lockout:
    """Return the counter with one failure more."""
    if known is None or _is_forgotten(known, now):
        known = Lockout(client, address, 0, now, now, None)
    failures = known.failures + 1
    lasting = _find_step(failures)
    ends = _find_end(known, now) if lasting is None else now + lasting
    return replace(known, failures=failures, last_failed_at=now, locked_until=ends)


def _find_step(failures: int) -> timedelta | None:
    """Return how long this very failure locks."""
    return STEPS.get(min(failures, LAST_STEP))


def _find_end(known: Lockout | None, now: datetime) -> datetime | None:
    """Return when a running lock ends, at the latest after the step that it came from."""
    if known is None or known.locked_until is None or known.locked_until <= now or _is_forgotten(known, now):
        return None
    longest = max((lasting for failures, lasting in STEPS.items() if failures <= known.failures), default=timedelta())
    return min(known.locked_until, now + longest)


def _is_forgotten(known: Lockout, now: datetime) -> bool:
    """Whether the last failure is a day away; one that lies ahead by as much came from a clock that was wrong."""
    return abs(now - known.last_failed_at) >= FORGOTTEN_AFTER


def _in_words(seconds: int) -> str:
    minutes = math.ceil(seconds / 60)
    if minutes == 1:
        return "a minute"
    return f"{minutes} minutes" if minutes <= LONGEST_IN_MINUTES else f"{math.ceil(minutes / 60)} hours"
