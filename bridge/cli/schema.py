"""The commands of the schema: `schema docs`, `schema export`, `schema queries`. None of them asks a database."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bridge.cli.outcome import FAILED
from bridge.errors import BridgeError

group = typer.Typer(help="Tell what the tables are, for people and for programs.", no_args_is_help=True)


class Format(StrEnum):
    """How the definition is written."""

    YAML = "yaml"
    JSON = "json"


class Dialect(StrEnum):
    """Whose SQL is written."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"
    MARIADB = "mariadb"


@group.command("docs")
def write_docs(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the pages are.")] = Path("schema"),
    *,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; tell which pages are not up to date.")] = False,
) -> None:
    """Write a page for each table, with diagrams and statements, in Markdown."""
    from bridge.storage.schema import pages  # noqa: PLC0415 - heavy

    if not check:
        with _writing(out):
            number = pages.write_pages(out)
        typer.echo(f"{out}: {number} pages written." if number else f"{out}: all pages are up to date.")
        return
    stale = pages.find_stale(out)
    for name in stale:
        typer.echo(f"{out / name}: not up to date")
    if stale:
        typer.echo(f"Run: keycloak-bridge schema docs --out {out}", err=True)
        raise typer.Exit(FAILED)


@group.command("export")
def export(
    form: Annotated[Format, typer.Option("--format", help="How it is written.")] = Format.YAML,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Instead of standard output.")] = None,
) -> None:
    """Write the definition of all tables, with what they are for and the limits that rows live by."""
    from bridge.storage.schema.export import export_json, export_yaml  # noqa: PLC0415 - heavy

    text = export_yaml() if form is Format.YAML else export_json()
    if out is None:
        typer.echo(text, nl=False)
    else:
        with _writing(out):
            out.write_text(text, encoding="utf-8")


@group.command("queries")
def print_queries(
    dialect: Annotated[Dialect, typer.Option("--dialect", help="Whose SQL.")],
    name: Annotated[str | None, typer.Option("--name", help="Only this operation.")] = None,
) -> None:
    """Print the session operations as plain SQL, with parameters as `:name`."""
    from bridge.storage.schema.statements import OPERATIONS, build_script  # noqa: PLC0415 - heavy

    if name is not None and name not in OPERATIONS:
        raise typer.BadParameter(
            f"There is no operation {name}; there are {', '.join(OPERATIONS)}.", param_hint="--name"
        )
    typer.echo(build_script(dialect, name), nl=False)


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    """Say which place cannot be written, and why.

    Raises:
        BridgeError: the file system refuses.
    """
    try:
        yield
    except OSError as error:
        raise BridgeError(f"{out} cannot be written: {error.strerror or error}") from error
