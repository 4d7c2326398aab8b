"""A benchmark's result as text: for the terminal, and as its section of the page of all benchmarks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

KEPT, MISSED = "kept", "missed"
PAGE = Path(__file__).resolve().parents[2] / "deploy" / "docs" / "benchmarks.md"


@dataclass(frozen=True)
class Table:
    """A table of figures."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Result:
    """What one benchmark found: a table or more, and what somebody must know to read them."""

    name: str
    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: str
    versions: Sequence[str]
    further: Sequence[Table] = ()

    @property
    def has_missed(self) -> bool:
        """Whether a limit that is promised was not kept."""
        return any(MISSED in row for rows in (self.rows, *(table.rows for table in self.further)) for row in rows)


def build_text(result: Result, *, command: str, machine: str, day: date) -> str:
    """Return the section: tables, notes, then where, when and how it was measured."""
    facts = f"{machine}.\n{', '.join(result.versions)}.\n{day.isoformat()}, by `{command}`."
    tables = (Table(result.columns, result.rows), *result.further)
    drawn = "\n\n".join(_table(table.columns, table.rows) for table in tables)
    return f"## {result.title}\n\n{drawn}\n\n{result.notes}\nMeasured on {facts}\n"


def replace_section(name: str, text: str, *, page: Path = PAGE) -> None:
    """Put the text between the markers of this section and leave the rest of the page as it is.

    Raises:
        ValueError: the page lacks the markers.
    """
    begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->\n"
    old = page.read_text(encoding="utf-8")
    before, found, rest = old.partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise ValueError(f"{page} lacks the lines {begin.strip()} and {end.strip()}")
    page.write_text(f"{before}{begin}{text}{end}{after}", encoding="utf-8")


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table that also stands straight on a terminal; numbers are on the right."""
    widths = [max(len(line[place]) for line in (columns, *rows)) for place in range(len(columns))]
    right = [all(row[place][:1].isdigit() for row in rows) for place in range(len(columns))]
    rule = ["-" * (width - 1) + ":" if last else "-" * width for width, last in zip(widths, right, strict=True)]
    lines = [columns, rule, *rows]
    return "\n".join(f"| {' | '.join(_aligned(line, widths, right))} |" for line in lines)


def _aligned(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> list[str]:
    return [
        cell.rjust(width) if last else cell.ljust(width) for cell, width, last in zip(cells, widths, right, strict=True)
    ]
