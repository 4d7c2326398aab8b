"""The commands for sealing keys: `keys list`, `keys rotate`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from bridge.cli.opening import Opened, name_operator, run
from bridge.cli.options import DryRunOption, JsonOption
from bridge.cli.outcome import DONE, INCOMPLETE
from bridge.cli.output import Column, show_json, show_rows, visible

if TYPE_CHECKING:
    from bridge.flows.key_rotation import Progress, RotationReport
    from bridge.flows.sealing_keys import KeyUse
    from bridge.storage.sealed_values import ValueCounts

KEY_COLUMNS = (
    Column("key_id", whole=True),
    Column("seals"),
    Column("configured"),
    Column("in_use_since"),
    Column("values"),
)
REPORT_COLUMNS = (
    Column("column", whole=True),
    Column("already"),
    Column("resealed"),
    Column("overtaken"),
    Column("foreign"),
    Column("unopenable"),
)
UNOPENABLE = (
    "Values that none of the keys opens were left as they are: their key is not among sealing.keys, or they were "
    "damaged or moved. See keycloak-bridge keys list."
)

group = typer.Typer(help="The keys that seal secrets in the tables.", no_args_is_help=True)


@group.command("list")
def list_keys(context: typer.Context, *, as_json: JsonOption = False) -> None:
    """List the sealing keys by id, and how many values each has sealed; no key is ever shown."""

    async def step(opened: Opened) -> "tuple[list[KeyUse], dict[str, ValueCounts]]":
        from bridge.flows import sealing_keys  # noqa: PLC0415 - heavy

        return await sealing_keys.list_keys(opened.database, sealing_keys.build_sealer(opened.settings.sealing))

    from dataclasses import asdict  # noqa: PLC0415 - only when a command runs

    uses, counts = run(context, step)
    foreign = {name: one.foreign for name, one in counts.items() if one.foreign}
    unreadable = {name: one.unreadable for name, one in counts.items() if one.unreadable}
    if as_json:
        show_json({"keys": [asdict(use) for use in uses], "foreign": foreign, "unreadable": unreadable})
        return
    show_rows([asdict(use) for use in uses], KEY_COLUMNS, as_json=False)
    for name, number in foreign.items():
        typer.echo(f"{name}: {number} values of other programs begin with ~.")
    for name, number in unreadable.items():
        typer.echo(f"{name}: {number} values are not sealed as they should be.")


@group.command("rotate")
def rotate(
    context: typer.Context,
    lost: Annotated[
        list[str] | None,
        typer.Option("--lost", metavar="KEY_ID", help="Forget this key, which is gone for good; may be repeated."),
    ] = None,
    *,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Seal everything under the first key of sealing.keys, so that the other keys can be taken out."""
    if lost and dry_run:
        raise typer.BadParameter("--lost and --dry-run exclude each other.")

    async def step(opened: Opened) -> "RotationReport":
        from bridge.flows.key_rotation import plan_rotation, rotate_keys  # noqa: PLC0415 - heavy
        from bridge.flows.sealing_keys import build_sealer  # noqa: PLC0415 - heavy

        sealer = build_sealer(opened.settings.sealing)
        with _show_progress() as progress:
            if dry_run:
                return await plan_rotation(opened.database, sealer, now=opened.now, progress=progress)
            return await rotate_keys(
                opened.database,
                sealer,
                holder=_holder(),
                rotated_by=name_operator(),
                now=opened.now,
                progress=progress,
                lost=lost or (),
            )

    report = run(context, step)
    _show_report(report, lost=lost or [], dry_run=dry_run, as_json=as_json)
    raise typer.Exit(INCOMPLETE if report.unopenable else DONE)


def _show_report(report: "RotationReport", *, lost: list[str], dry_run: bool, as_json: bool) -> None:
    from dataclasses import asdict  # noqa: PLC0415 - only when a command runs

    if as_json:
        show_json(asdict(report) | {"unopenable": report.unopenable, "written": not dry_run})
        return
    title = f"Sealed under the key {report.key_id}{' (nothing was written)' if dry_run else ''}"
    show_rows([asdict(one) for one in report.columns], REPORT_COLUMNS, as_json=False, title=title)
    for key_id in report.forgotten:
        way_on = "it is forgotten" if key_id in lost else "it can be taken out of sealing.keys"
        typer.echo(f"The key {key_id} is needed no more: {way_on}.")
    for key_id in sorted(set(lost) - set(report.forgotten)):
        typer.echo(f"There was no key {visible(key_id)} to forget.", err=True)
    if report.unopenable:
        typer.secho(UNOPENABLE, fg="red", err=True)


@contextmanager
def _show_progress() -> "Iterator[Progress]":
    """Show a bar for each column on standard error; nothing where that is no terminal."""
    from rich.console import Console  # noqa: PLC0415 - heavy
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bars:
        tasks = {}

        def show(column: str, done: int, total: int) -> None:
            if column not in tasks:
                tasks[column] = bars.add_task(column)
            bars.update(tasks[column], completed=done, total=total)

        yield show


def _holder() -> str:
    import os  # noqa: PLC0415 - only when a command runs
    import socket  # noqa: PLC0415 - as above

    return f"{socket.gethostname()}:{os.getpid()}"
