"""What a command prints: tables for people, JSON for programs.

What people see may have been written by anybody (a user agent, a name): nothing in it is taken for markup, and no
character of it steers the terminal. JSON holds the values as they are, in ASCII, so it steers no terminal either.
"""

import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

NARROWEST = 8
"""A column that is folded stays this wide, as wide as its heading, or as its longest text if that is shorter."""
GAP = 2


@dataclass(frozen=True)
class Column:
    """A column for people: the name of a field, and whether its text must stay whole (an id, to be copied)."""

    name: str
    whole: bool = False

    @property
    def heading(self) -> str:
        """The name as it stands above the column."""
        return self.name.replace("_", " ").upper()


def show_rows(
    rows: Sequence[Mapping[str, object]],
    columns: Sequence[Column],
    *,
    as_json: bool,
    title: str | None = None,
    empty: str = "There is nothing to show.",
) -> None:
    """Print a list: the columns for people, or all fields of every row as JSON; `empty` is the sentence for none.

    On a terminal, texts are folded to its width and columns that are `whole` are not; elsewhere every line is whole.
    """
    if as_json:
        show_json(list(rows))
        return
    console = _open_console()
    if not rows:
        _print_line(console, empty)
        return
    if title is not None:
        _print_line(console, title, style="bold")
    cells = [[_text(row[column.name]) for column in columns] for row in rows]
    if sys.stdout.isatty():
        _print_table(console, columns, cells)
    else:
        _print_aligned([[column.heading for column in columns], *cells])


def show_fields(fields: Mapping[str, object], *, as_json: bool, title: str | None = None) -> None:
    """Print one thing: a line for each field, which is never folded, or one JSON object."""
    if as_json:
        show_json(fields)
        return
    console = _open_console()
    if title is not None:
        _print_line(console, title, style="bold")
    widest = max((len(name) for name in fields), default=0)
    for name, value in fields.items():
        _print_line(console, f"{name.replace('_', ' '):<{widest + GAP}}", _text(value))


def show_json(document: object) -> None:
    """Print a JSON document; times become ISO 8601 in UTC."""
    import json  # noqa: PLC0415 - only for programs

    typer.echo(json.dumps(document, indent=2, default=_for_json))


def visible(text: str) -> str:
    r"""Return the text with every character written out that is not to be seen, an escape as `\x1b`."""
    if text.isprintable():
        return text
    return "".join(char if _is_harmless(char) else repr(char)[1:-1] for char in text)


def visible_lines(text: str) -> str:
    """Return a text of several lines like `visible` does, and leave the lines."""
    return "\n".join(map(visible, text.split("\n")))


def _is_harmless(char: str) -> bool:
    """Whether it is printed as it is; spaces of other scripts are, controls and marks of direction are not."""
    from unicodedata import category  # noqa: PLC0415 - hardly ever needed

    return char.isprintable() or category(char) == "Zs"


def _text(value: object) -> str:
    """Return a value as people read it."""
    match value:
        case Mapping():
            return ", ".join(f"{_word(name)}={_text(inner)}" for name, inner in value.items())
        case Collection() if not isinstance(value, str | bytes):
            return ", ".join(map(_text, value))
    return _word(value)


def _word(value: object) -> str:
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return f"{_in_utc(value):%Y-%m-%d %H:%M:%SZ}"
        case Enum():
            return visible(str(value.value))
    return visible(str(value))


def _for_json(value: object) -> Any:
    match value:
        case datetime():
            return _in_utc(value).isoformat()
        case timedelta():
            return value.total_seconds()
        case Enum():
            return value.value
        case Mapping():
            return dict(value)
        case set() | frozenset():
            return sorted(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def _in_utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise ValueError(f"a time without time zone cannot be shown: {moment}")
    return moment.astimezone(UTC)


def _open_console() -> "Console":
    from rich.console import Console  # noqa: PLC0415 - heavy

    if isinstance(sys.stdout, TextIOWrapper):
        # A name that the terminal's encoding lacks must not end the command; standard error is like that by itself.
        sys.stdout.reconfigure(errors="backslashreplace")
    return Console()


def _print_line(console: "Console", *texts: str, style: str = "") -> None:
    from rich.text import Text  # noqa: PLC0415 - heavy

    console.print(Text(visible("".join(texts)), style=style), soft_wrap=True)


def _print_table(console: "Console", columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> None:
    """Print for a terminal; lines are longer than it is wide where only `whole` columns are left to narrow."""
    from rich.cells import cell_len  # noqa: PLC0415 - heavy
    from rich.table import Table  # noqa: PLC0415 - heavy
    from rich.text import Text  # noqa: PLC0415 - heavy

    narrowest = -GAP
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for column, texts in zip(columns, zip(*cells, strict=True), strict=True):
        longest = max(map(cell_len, (column.heading, *texts)))
        least = longest if column.whole else max(len(column.heading), min(longest, NARROWEST))
        narrowest += least + GAP
        table.add_column(column.heading, min_width=least, no_wrap=column.whole, overflow="fold")
    for row in cells:
        table.add_row(*map(Text, row))
    if console.width < narrowest:
        # Left to itself, a table that cannot be as narrow as that leaves columns out.
        table.width = narrowest
    console.print(table, soft_wrap=True)


def _print_aligned(lines: Sequence[Sequence[str]]) -> None:
    """Print for a file or another program; a table of rich would take a hundred times as long."""
    from rich.cells import cell_len, set_cell_size  # noqa: PLC0415 - heavy

    widths = [max(map(cell_len, texts)) for texts in zip(*lines, strict=True)]
    for line in lines:
        padded = (set_cell_size(text, width) for text, width in zip(line, widths, strict=True))
        typer.echo((" " * GAP).join(padded).rstrip())
