"""The command `keycloak-bridge`: composition root above service and worker, and the only module that knows both.

Heavy modules are imported inside the commands, so that `--help` answers at once. Exit status: 0 done, 1 failed, 2 wrong
usage or configuration, 3 incomplete or held.
"""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bridge import __version__

if TYPE_CHECKING:
    from bridge.config import Settings
    from sync.worker import RunReport

DONE, FAILED, WRONG_CONFIGURATION, INCOMPLETE = 0, 1, 2, 3
SEVERITY = (DONE, INCOMPLETE, FAILED, WRONG_CONFIGURATION)
MOST_CONFLICTS = 20

app = typer.Typer(
    name="keycloak-bridge",
    help="Sign-in through Keycloak for applications that ask two SQL tables, and a true mirror of Keycloak in them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
sync_app = typer.Typer(help="Mirror Keycloak's users, groups and sessions into the tables.", no_args_is_help=True)
app.add_typer(sync_app, name="sync")

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="The TOML file; else KEYCLOAK_BRIDGE_CONFIG, else ./keycloak-bridge.toml."),
]
PackageOption = Annotated[list[str] | None, typer.Option("--package", help="Only this package; may be repeated.")]


def _show_version(*, wanted: bool) -> None:
    if wanted:
        typer.echo(f"keycloak-bridge {__version__}")
        raise typer.Exit


@app.callback()
def main(
    context: typer.Context,
    config: ConfigOption = None,
    *,
    version: Annotated[  # noqa: ARG001 - typer calls the callback
        bool, typer.Option("--version", callback=lambda value: _show_version(wanted=value), is_eager=True)
    ] = False,
) -> None:
    """Keep the path of the configuration for the command that follows."""
    context.obj = config


@app.command()
def serve(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(help="Instead of the host in `listen`.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535, help="Instead of the port in `listen`.")] = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="Processes that share the port.")] = 1,
) -> None:
    """Run the web service: sign-in, callback, sign-out."""
    with _told():
        from bridge.web.server import run  # noqa: PLC0415 - heavy

        run(_load(context), config=context.obj, host=host, port=port, workers=workers)


@app.command()
def migrate(context: typer.Context) -> None:
    """Bring the database to the schema of this version."""
    with _told():
        from bridge.storage.migrate import newest_revision, upgrade  # noqa: PLC0415 - heavy

        upgrade(_load(context).database.url.get_secret_value())
        typer.echo(f"The database is at schema {newest_revision()}.")


@app.command()
def check(
    context: typer.Context,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
) -> None:
    """Tell whether configuration, database and Keycloak are in order, and how to mend what is not."""
    with _told():
        import json  # noqa: PLC0415 - only for this command
        from dataclasses import asdict  # noqa: PLC0415 - as above

        from rich.console import Console  # noqa: PLC0415 - heavy
        from rich.text import Text  # noqa: PLC0415 - heavy

        from bridge.flows.check import run_check  # noqa: PLC0415 - heavy

        findings = asyncio.run(run_check(_load(context)))
        if as_json:
            typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
        else:
            console = Console()
            for finding in findings:
                word, style = ("ok    ", "green") if finding.ok else ("not ok", "bold red")
                # A line is to be copied: it is never wrapped, and nothing in it is taken for markup.
                line = Text.assemble((word, style), f"  {finding.subject}: {finding.message}")
                console.print(line, soft_wrap=True)
                if finding.mend is not None:
                    console.print(Text(f"        {finding.mend}"), soft_wrap=True)
        if any(not finding.ok for finding in findings):
            raise typer.Exit(FAILED)


@sync_app.command("run")
def sync_run(
    context: typer.Context,
    package: PackageOption = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Read users, groups and sessions once and write what has changed."""
    with _told():
        settings = _load(context)
        names = _choose_packages(settings, package or [])
        worst = DONE
        for name in names:
            with _told(go_on=len(names) > 1) as outcome:
                report = asyncio.run(_mirror(settings, name))
                _show_report(report, as_json=as_json)
                outcome.status = report.exit_status
            worst = max(worst, outcome.status, key=SEVERITY.index)
        raise typer.Exit(worst)


def _choose_packages(settings: "Settings", asked: list[str]) -> list[str]:
    from bridge.errors import ConfigurationError  # noqa: PLC0415 - only when a command runs

    able = [name for name, package in settings.packages.items() if package.sync is not None]
    for name in asked or ["-"] * (not able):
        if name not in able:
            raise ConfigurationError(
                f"There is nothing to mirror for the package {name}." if asked else "No package has a sync section.",
                hint="Add [packages.NAME.sync] with client_id and client_secret of a service account.",
            )
    return asked or able


async def _mirror(settings: "Settings", name: str) -> "RunReport":
    import os  # noqa: PLC0415 - only when a command runs
    import socket  # noqa: PLC0415 - as above
    from datetime import UTC, datetime  # noqa: PLC0415 - as above

    from bridge.keycloak.admin import open_admin  # noqa: PLC0415 - heavy
    from bridge.storage.database import check_clock, open_database  # noqa: PLC0415 - heavy
    from bridge.storage.migrate import check_schema  # noqa: PLC0415 - heavy
    from sync.progress import show_progress  # noqa: PLC0415 - heavy
    from sync.worker import run_once  # noqa: PLC0415 - heavy

    package = settings.packages[name]
    if package.sync is None:
        raise AssertionError("only packages with a sync section are chosen")
    url = settings.database.url.get_secret_value()
    realm = package.issuer.rsplit("/", 1)[-1]
    async with (
        open_database(url, pool_size=settings.database.pool_size, longest=settings.database.timeout) as database,
        open_admin(package.issuer, package.sync, settings.http) as admin,
    ):
        async with database.reading() as db:
            await check_clock(db)
            await check_schema(db)
        with show_progress(package=name, realm=realm) as progress:
            return await run_once(
                database,
                admin,
                package=name,
                issuer=package.issuer,
                holder=f"{socket.gethostname()}:{os.getpid()}",
                now=lambda: datetime.now(tz=UTC),
                progress=progress,
            )


def _show_report(report: "RunReport", *, as_json: bool) -> None:
    from dataclasses import asdict  # noqa: PLC0415 - only when a command runs

    if as_json:
        import orjson  # noqa: PLC0415 - as above

        typer.echo(orjson.dumps(asdict(report)).decode())
        return
    counts = asdict(report.counts)
    typer.echo(f"{report.package}: {report.status}, {report.changed} rows changed, {len(report.conflicts)} conflicts.")
    typer.echo("  " + ", ".join(f"{name.replace('_', ' ')} {number}" for name, number in counts.items()))
    for conflict in report.conflicts[:MOST_CONFLICTS]:
        typer.echo(f"  not mirrored: {conflict.name}: {conflict.reason}")
    for reason in report.reasons:
        typer.echo(f"  incomplete: {reason}")


def _load(context: typer.Context) -> "Settings":
    from bridge.config import load_settings  # noqa: PLC0415 - heavy
    from bridge.telemetry import configure_logging  # noqa: PLC0415 - heavy

    configure_logging()
    return load_settings(context.obj)


@dataclass
class _Outcome:
    """What a part of a command came to."""

    status: int = DONE


@contextmanager
def _told(*, go_on: bool = False) -> Iterator[_Outcome]:
    """Turn an error into its sentence and hint on standard error, and into the exit status.

    With `go_on` the command continues with its next part, and the status is in the outcome.
    """
    from bridge.errors import BridgeError, ConfigurationError  # noqa: PLC0415 - only when a command runs

    outcome = _Outcome()
    try:
        yield outcome
    except BridgeError as error:
        typer.secho(error.message, fg="red", err=True)
        if error.hint:
            typer.echo(f"  {error.hint}", err=True)
        for name, value in error.evidence.items():
            typer.echo(f"  {name}: {value}", err=True)
        outcome.status = WRONG_CONFIGURATION if isinstance(error, ConfigurationError) else FAILED
        if not go_on:
            raise typer.Exit(outcome.status) from None
    except KeyboardInterrupt:
        sys.exit(130)
