"""The commands of the mirror: `sync run`."""

from typing import TYPE_CHECKING, Annotated

import typer

from bridge.cli.opening import load, open_fit_database
from bridge.cli.options import PackagesOption
from bridge.cli.outcome import DONE, SEVERITY, tell
from bridge.cli.output import visible
from bridge.errors import BridgeError, ConfigurationError

if TYPE_CHECKING:
    from bridge.config import Settings
    from sync.worker import RunReport

MOST_CONFLICTS = 20

group = typer.Typer(help="Mirror Keycloak's users, groups and sessions into the tables.", no_args_is_help=True)


@group.command("run")
def run_sync(
    context: typer.Context,
    package: PackagesOption = None,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Read users, groups and sessions once and write what has changed."""
    import asyncio  # noqa: PLC0415 - heavy

    settings = load(context)
    worst = DONE
    for name in _choose_packages(settings, package or []):
        # One package that fails must not keep the others from being mirrored.
        try:
            report = asyncio.run(_mirror(settings, name))
            _show_report(report, as_json=as_json)
            status = report.exit_status
        except BridgeError as error:
            status = tell(error)
        worst = max(worst, status, key=SEVERITY.index)
    raise typer.Exit(worst)


def _choose_packages(settings: "Settings", asked: list[str]) -> list[str]:
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
    from sync.progress import show_progress  # noqa: PLC0415 - heavy
    from sync.worker import run_once  # noqa: PLC0415 - heavy

    package = settings.packages[name]
    if package.sync is None:
        raise AssertionError("only packages with a sync section are chosen")
    realm = package.issuer.rsplit("/", 1)[-1]
    async with (
        open_admin(package.issuer, package.sync, settings.http) as admin,
        open_fit_database(settings, connections=settings.database.pool_size) as database,
    ):
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

        # One report a line: a run of several packages prints several.
        typer.echo(orjson.dumps(asdict(report)).decode())
        return
    counts = asdict(report.counts)
    typer.echo(f"{report.package}: {report.status}, {report.changed} rows changed, {len(report.conflicts)} conflicts.")
    typer.echo("  " + ", ".join(f"{name.replace('_', ' ')} {number}" for name, number in counts.items()))
    for conflict in report.conflicts[:MOST_CONFLICTS]:
        typer.echo(f"  not mirrored: {visible(conflict.name)}: {visible(conflict.reason)}")
    for reason in report.reasons:
        typer.echo(f"  incomplete: {visible(reason)}")
