"""How far a run is: a bar where somebody looks at a terminal, log lines elsewhere."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from bridge.telemetry import get_logger
from sync.job import Progress

LINE_EVERY = 10_000


class BarProgress:
    """One bar a stage on standard error."""

    def __init__(self, bars: Bars) -> None:
        """Take bars that are being shown; `show_progress` does."""
        self._bars = bars
        self._stage = bars.add_task("connecting", total=None)

    def stage(self, name: str, total: int | None) -> None:
        """Begin a new bar and leave the finished ones above it."""
        self._end()
        self._stage = self._bars.add_task(name, total=total)

    def advance(self, n: int = 1) -> None:
        """Move the bar."""
        self._bars.advance(self._stage, n)

    def _end(self) -> None:
        task = self._bars.tasks[-1]
        self._bars.update(self._stage, total=max(task.completed, 1), completed=max(task.completed, 1))


class LineProgress:
    """A log line when a stage begins and after each so many steps."""

    def __init__(self, *, package: str, realm: str) -> None:
        """Take what every line names."""
        self._log = get_logger().bind(package=package, realm=realm)
        self._name = ""
        self._total: int | None = None
        self._done = 0

    def stage(self, name: str, total: int | None) -> None:
        """Write that a stage begins."""
        self._name, self._total, self._done = name, total, 0
        self._log.info("sync_stage", stage=name, total=total)

    def advance(self, n: int = 1) -> None:
        """Write a line when another ten thousand are done."""
        before, self._done = self._done, self._done + n
        if before // LINE_EVERY != self._done // LINE_EVERY:
            self._log.info("sync_progress", stage=self._name, done=self._done, total=self._total)


@contextmanager
def show_progress(*, package: str, realm: str) -> Iterator[Progress]:
    """Show the progress of a run as fits where standard error goes."""
    if not sys.stderr.isatty():
        yield LineProgress(package=package, realm=realm)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bars(*columns, console=Console(stderr=True)) as bars:
        yield BarProgress(bars)
