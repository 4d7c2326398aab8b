"""The pages of the schema: one for each table, one for the statements, and the way in with diagrams and figures."""

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from bridge.storage.migrate import newest_revision
from bridge.storage.schema import statements, table_page
from bridge.storage.schema.description import TableDescription, describe_tables
from bridge.storage.schema.diagram import SUBJECTS, draw
from bridge.storage.schema.figures import lockout_figures, retention_figures, session_figures
from bridge.storage.schema.markdown import build_table, mark, marks
from bridge.storage.tables.facts import WRITERS

INDEX = "README.md"
MARKER = "<!-- Made by keycloak-bridge schema docs: changes made here are lost. -->"


def build_pages() -> dict[str, str]:
    """Return the text of every page by its file name."""
    tables = describe_tables()
    pages = {f"{table.name}.md": table_page.build_page(table, tables) for table in tables}
    pages |= {"queries.md": statements.build_page(), INDEX: _index(tables)}
    return {name: "\n".join([MARKER, *lines, ""]) for name, lines in pages.items()}


def find_stale(directory: Path) -> list[str]:
    """Return the names of pages that are missing, differ from this version's, or are of a table that is gone."""
    pages = build_pages()
    stale = [name for name, text in pages.items() if _read(directory / name) != text]
    return sorted(stale + _left_over(directory, pages))


def write_pages(directory: Path) -> int:
    """Write all pages, delete those of tables that are gone, and return how many files have changed.

    Raises:
        OSError: the directory cannot be made or written.
    """
    pages = build_pages()
    stale = find_stale(directory)
    directory.mkdir(parents=True, exist_ok=True)
    for name in stale:
        if name in pages:
            (directory / name).write_text(pages[name], encoding="utf-8")
        else:
            (directory / name).unlink()
    return len(stale)


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _left_over(directory: Path, pages: Collection[str]) -> list[str]:
    """Return pages that an earlier version made; other files in the directory are somebody else's."""
    others = (path for path in directory.glob("*.md") if path.name not in pages)
    return [path.name for path in others if (_read(path) or "").startswith(MARKER)]


def _index(tables: Sequence[TableDescription]) -> list[str]:
    public = [table for table in tables if table.public]
    private = [table for table in tables if not table.public]
    return [
        "# The schema",
        "",
        f"All tables of the bridge, as `keycloak-bridge migrate` makes them (schema `{newest_revision()}`): what each",
        "is for, its columns, who writes them, and how long rows are kept.",
        "",
        "* [Public tables](#public-tables)",
        "* [Private tables](#private-tables)",
        "* [How tables relate](#how-tables-relate)",
        "* [Who writes](#who-writes)",
        "* [Limits and retention](#limits-and-retention)",
        "* [Session statements](queries.md): the eight session operations as SQL",
        "",
        "`keycloak-bridge schema export` gives the same as YAML or JSON, for programs.",
        "",
        "Reading the pages:",
        "",
        "* Times are UTC with microseconds. Flags are 1 and 0. Texts compare exactly: `José` is not `jose`.",
        "* *empty* says whether a column may be NULL.",
        '* On PostgreSQL, names with capital letters need quotes: `"User"`, `"IsActive"`.',
        "* The public tables have no foreign keys, so that every statement of an application works. What belongs",
        "  together all the same is under *Related tables*.",
        "",
        "## Public tables",
        "",
        "Applications read them, and write what is theirs. Names and meanings stay in later versions.",
        "",
        *_list(public),
        "",
        "## Private tables",
        "",
        "For the bridge alone; they may change with any version. `keycloak_bridge_schema` holds the revision.",
        "",
        *_list(private),
        "",
        "## How tables relate",
        "",
        "Only columns that identify a row or relate to another are drawn. A solid line is a foreign key. A dotted one",
        "is kept by the bridge.",
        *_diagrams(tables),
        "",
        "## Who writes",
        "",
        *build_table(("writer", "when"), [(str(writer), when) for writer, when in WRITERS.items()]),
        "",
        "## Limits and retention",
        "",
        *_figures(),
    ]


def _list(tables: Iterable[TableDescription]) -> list[str]:
    rows = [(f"[{mark(table.name)}]({table.name}.md)", table.title, table.kept) for table in tables]
    return build_table(("table", "holds", "kept"), rows)


def _diagrams(tables: Sequence[TableDescription]) -> list[str]:
    lines: list[str] = []
    for subject, names in SUBJECTS.items():
        lines += ["", f"### {subject}", "", "```mermaid", *draw(tables, names), "```"]
    drawn = {name for names in SUBJECTS.values() for name in names}
    alone = [table.name for table in tables if table.name not in drawn]
    return [*lines, "", f"These stand alone: {marks(alone)}."]


def _figures() -> list[str]:
    sessions = session_figures()
    settings = list(dict.fromkeys(name for limits in sessions.values() for name in limits))
    limits = [[mark(name), *(str(sessions[kind].get(name, "-")) for kind in sessions)] for name in settings]
    retention = [(mark(f"retention.{name}"), str(value)) for name, value in retention_figures().items()]
    lockout = [(str(step["failures"]), str(step["locked"])) for step in lockout_figures()]
    return [
        "Limits of sessions when nothing is set; the setting is `policy.TYPE.LIMIT`, and a type with `-` has none.",
        "Idle limits, caps and rotation bind sessions of the bridge only.",
        "",
        *build_table(("limit", *sessions), limits),
        "",
        "How long rows that are over stay:",
        "",
        *build_table(("setting", "default"), retention),
        "",
        "Failures of one client from one address lock it out there; no setting changes that:",
        "",
        *build_table(("failures", "locked for"), lockout),
    ]
