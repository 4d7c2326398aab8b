"""The Markdown documents as tests read them: sections, tables, fenced blocks, code marks."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "deploy" / "docs"
DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.glob("*.md"))]


def read(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def blocks(text: str, kind: str) -> list[str]:
    """Return the fenced blocks whose info string is exactly `kind`."""
    return re.findall(rf"^```{kind}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def section(text: str, heading: str) -> str:
    """Return what stands below a heading, up to the next one of the same or a higher level."""
    level = heading.split(" ", maxsplit=1)[0]
    _, found, rest = text.partition(f"\n{heading}\n")
    assert found, f"there is no heading {heading!r}"
    return re.split(rf"^#{{1,{len(level)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def rows(text: str, *, columns: int) -> list[list[str]]:
    """Return the rows of all tables with so many columns, without their heads."""
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in text.splitlines() if line[:2] == "| "]
    wide = [row for row in cells if len(row) == columns]
    heads = {index for index, row in enumerate(wide) if set("".join(row)) <= set("-| ")}
    return [row for index, row in enumerate(wide) if index not in heads and index + 1 not in heads]


def code(text: str) -> list[str]:
    return re.findall(r"`([^`\n]+)`", text)
