"""Numbers of several rounds: least, median and greatest, and how two series of the same rounds compare."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


class BenchmarkFailed(Exception):
    """What was measured did not do its work, so that its time says nothing; the message says what was expected."""


@dataclass(frozen=True)
class Spread:
    """What one measurement came to over all rounds."""

    least: float
    median: float
    greatest: float

    def cells(self, digits: int = 0) -> tuple[str, str, str]:
        """Return the three numbers as cells of a table."""
        return (f"{self.least:,.{digits}f}", f"{self.median:,.{digits}f}", f"{self.greatest:,.{digits}f}")


def build_spread(values: Sequence[float]) -> Spread:
    """Return least, median and greatest of one value a round."""
    return Spread(min(values), statistics.median(values), max(values))


def build_ratio(ours: Sequence[float], bare: Sequence[float]) -> Spread:
    """Compare round by round: a slow minute of the machine is in both halves of its round."""
    return build_spread([one / other for one, other in zip(ours, bare, strict=True)])


def expect(what: str, *, wanted: object, found: object) -> None:
    """Refuse a measurement whose work was not done.

    Raises:
        BenchmarkFailed: the two differ.
    """
    if wanted != found:
        raise BenchmarkFailed(f"{what}: expected {wanted}, found {found}")
