"""A document of the provider that is kept: fetched when needed, used on when stale, never asked for in a stampede."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Generic, TypeVar

from bridge.errors import KeycloakError

T = TypeVar("T")
Elapsed = Callable[[], float]
"""Seconds from a clock that never jumps, such as `time.monotonic`."""

RETRY_STALE = 10.0
RETRY_MISSING = 1.0
NEVER = float("-inf")


class KeptDocument(Generic[T]):
    """The last good version of a document; one fetch at a time.

    While a new version cannot be had the old one is used on and asked for again after a pause; while there is none,
    all who ask within a second of a failure share it instead of waiting for the same time-out one after the other.
    """

    def __init__(self, fetch: Callable[[], Awaitable[T]], *, life: timedelta, elapsed: Elapsed) -> None:
        """Take how to fetch and check the document, how long it is good, and the clock for durations."""
        self._fetch = fetch
        self._life = life.total_seconds()
        self._elapsed = elapsed
        self._lock = asyncio.Lock()
        self._kept: tuple[float, T] | None = None
        self._failed: tuple[float, KeycloakError] | None = None
        self._demanded = NEVER

    async def get(self) -> T:
        """Return the document, fetched anew when its life is over and that works.

        Raises:
            KeycloakError: it cannot be had, and there is no older version.
        """
        if self._kept is not None and (self._is_good() or self._lock.locked()):
            return self._kept[1]  # stale, while somebody else is fetching: nobody has to wait for that
        async with self._lock:
            if self._kept is not None and self._is_good():
                return self._kept[1]
            if self._kept is None and self._failed is not None and self._failed_within(RETRY_MISSING):
                raise self._failed[1]
            return await self._fetch_anew()

    async def get_newer(self, *, pause: timedelta) -> T:
        """Return a version fetched now, unless one was demanded within `pause`: anybody can make us ask this way.

        Raises:
            KeycloakError: as `get`.
        """
        async with self._lock:
            if self._kept is not None and self._elapsed() - self._demanded < pause.total_seconds():
                return self._kept[1]
            self._demanded = self._elapsed()
            return await self._fetch_anew()

    async def _fetch_anew(self) -> T:
        try:
            document = await self._fetch()
        except KeycloakError as failure:
            self._failed = (self._elapsed(), failure)
            if self._kept is None:
                raise
            return self._kept[1]
        self._kept, self._failed = (self._elapsed(), document), None
        return document

    def _is_good(self) -> bool:
        if self._kept is not None and self._elapsed() - self._kept[0] < self._life:
            return True
        return self._failed_within(RETRY_STALE)

    def _failed_within(self, pause: float) -> bool:
        return self._failed is not None and self._elapsed() - self._failed[0] < pause
