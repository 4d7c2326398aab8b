"""A document of the provider that is kept: fetched when needed, used on when stale, never asked for in a stampede."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Generic, TypeVar

from bridge.errors import KeycloakError

T = TypeVar("T")

RETRY_STALE = timedelta(seconds=10)
RETRY_MISSING = timedelta(seconds=1)


class KeptDocument(Generic[T]):
    """The last good version of a document; one fetch at a time.

    While a new version cannot be had the old one is used on and asked for again after a pause; while there is none,
    all who ask within a second of a failure share it instead of waiting for the same time-out one after the other.
    """

    def __init__(self, fetch: Callable[[], Awaitable[T]], *, now: Callable[[], datetime]) -> None:
        """Take how to fetch and check the document, and the clock."""
        self._fetch = fetch
        self._now = now
        self._lock = asyncio.Lock()
        self._kept: tuple[datetime, T] | None = None
        self._failed: tuple[datetime, KeycloakError] | None = None

    async def get(self, *, older_than: timedelta) -> T:
        """Return the document; one of at least this age is fetched anew when that works.

        Raises:
            KeycloakError: it cannot be had, and there is no older version.
        """
        async with self._lock:
            now = self._now()
            if self._kept is not None and (now - self._kept[0] < older_than or self._failed_within(RETRY_STALE, now)):
                return self._kept[1]
            if self._kept is None and self._failed is not None and self._failed_within(RETRY_MISSING, now):
                raise self._failed[1]
            try:
                document = await self._fetch()
            except KeycloakError as failure:
                self._failed = (self._now(), failure)
                if self._kept is None:
                    raise
                return self._kept[1]
            self._kept, self._failed = (self._now(), document), None
            return document

    def _failed_within(self, pause: timedelta, now: datetime) -> bool:
        return self._failed is not None and now - self._failed[0] < pause
