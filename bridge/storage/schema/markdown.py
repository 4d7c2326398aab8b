"""Markdown that people read as text too: tables whose columns stand below each other."""

from collections.abc import Iterable, Sequence


def mark(text: object) -> str:
    """Return a name or a piece of SQL as code."""
    return f"`{text}`"


def marks(names: Iterable[object]) -> str:
    """Return names as code, separated by commas."""
    return ", ".join(map(mark, names))


def build_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table; the last column is not padded, as it holds sentences."""
    cells = [list(head), *([cell.replace("|", r"\|") for cell in row] for row in rows)]
    widths = [max(3, *(len(row[place]) for row in cells)) for place in range(len(head) - 1)]
    lines = [_line(row, widths) for row in cells]
    rule = _line(["-" * width for width in widths] + ["---"], widths)
    return [lines[0], rule, *lines[1:]]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = [cell.ljust(width) for cell, width in zip(cells, widths, strict=False)]
    return f"| {' | '.join([*padded, cells[-1]])} |"
