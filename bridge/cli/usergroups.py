"""The commands about group codes: `usergroups seed`, `usergroups list`."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bridge.cli.opening import Opened, load, run
from bridge.cli.options import DryRunOption, JsonOption, PackageOption, choose_package
from bridge.cli.outcome import DONE, INCOMPLETE, SEVERITY, tell
from bridge.cli.output import Column, show_json, show_rows, visible
from bridge.errors import BridgeError, ConfigurationError

if TYPE_CHECKING:
    from bridge.config import Settings
    from bridge.storage.usergroups import Seeded, Usergroup

AllOption = Annotated[bool, typer.Option("--all", help="All packages that are configured.")]

group = typer.Typer(help="The groups that codes in sys_user.Usergroups mean.", no_args_is_help=True)


@dataclass(frozen=True)
class Report:
    """What seeding did for one package; `refused` are paths of Keycloak that can be no code."""

    package: str
    seeded: "Seeded"
    refused: tuple[str, ...] = ()


@group.command("list")
def list_groups(
    context: typer.Context, package: PackageOption = None, *, every: AllOption = False, as_json: JsonOption = False
) -> None:
    """List the groups of a package by code, those that are not active too."""
    _check_exclusive(package, every=every)

    async def step(opened: Opened) -> "dict[str, list[Usergroup]]":
        from bridge.storage import usergroups  # noqa: PLC0415 - heavy

        chosen = _choose_packages(opened.settings, package, every=every)
        async with opened.database.reading() as db:
            return {name: await usergroups.list_groups(db, package=name) for name in chosen}

    rows = [{"package": name, **asdict(one)} for name, groups in run(context, step).items() for one in groups]
    columns = [Column(name) for name in ("code", "name", "active", "keycloak_path", "description")]
    if every:
        columns.insert(0, Column("package"))
    show_rows(rows, columns, as_json=as_json, empty="There are no groups; see usergroups seed.")


@group.command("seed")
def seed(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="A TOML file of groups.")] = None,
    package: PackageOption = None,
    *,
    every: AllOption = False,
    from_keycloak: Annotated[
        bool, typer.Option("--from-keycloak", help="Keycloak's groups instead of a file.")
    ] = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Write groups that are missing and change those that differ; what is not named stays as it is."""
    if (file is None) is not from_keycloak:
        raise typer.BadParameter("Name a FILE, or say --from-keycloak.")
    _check_exclusive(package, every=every)
    settings = load(context)
    packages = _choose_packages(settings, package, every=every)
    if file is None:
        found, status = _seed_from_keycloak(context, _mirrored(settings, packages, every=every), dry_run=dry_run)
    else:
        found, status = _seed_from_file(context, file, packages, dry_run=dry_run), DONE
    if as_json:
        rows = [{"package": one.package, **asdict(one.seeded), "refused": one.refused} for one in found]
        show_json([row | {"written": not dry_run} for row in rows])
    else:
        _show_seeded(found, dry_run=dry_run)
    raise typer.Exit(status)


def _check_exclusive(package: str | None, *, every: bool) -> None:
    if every and package is not None:
        raise typer.BadParameter("--all and --package exclude each other.")


def _choose_packages(settings: "Settings", package: str | None, *, every: bool) -> list[str]:
    return sorted(settings.packages) if every else [choose_package(settings, package)]


def _seed_from_file(context: typer.Context, file: Path, packages: list[str], *, dry_run: bool) -> list[Report]:
    from bridge.flows import usergroups  # noqa: PLC0415 - heavy

    groups = usergroups.read_file(file)

    async def step(opened: Opened) -> "dict[str, Seeded]":
        return await usergroups.seed_groups(
            opened.database, groups, packages=packages, now=opened.now(), dry_run=dry_run
        )

    return [Report(name, seeded) for name, seeded in run(context, step).items()]


def _seed_from_keycloak(context: typer.Context, packages: list[str], *, dry_run: bool) -> tuple[list[Report], int]:
    async def step(opened: Opened) -> tuple[list[Report], int]:
        found, worst = list[Report](), DONE
        for name in packages:
            # One realm that cannot be read must not keep the others from being seeded.
            try:
                report, status = await _seed_package(opened, name, dry_run=dry_run)
                found.append(report)
            except BridgeError as error:
                status = tell(error)
            worst = max(worst, status, key=SEVERITY.index)
        return found, worst

    return run(context, step)


async def _seed_package(opened: Opened, name: str, *, dry_run: bool) -> tuple[Report, int]:
    from bridge.flows import usergroups  # noqa: PLC0415 - heavy
    from bridge.keycloak.admin import open_admin  # noqa: PLC0415 - heavy

    package = opened.settings.packages[name]
    if package.sync is None:
        raise AssertionError("only packages with a sync section are chosen")
    async with open_admin(package.issuer, package.sync, opened.settings.http) as admin:
        found = await usergroups.seed_from_keycloak(
            opened.database, admin, package=name, now=opened.now(), dry_run=dry_run
        )
    return Report(name, found.seeded, found.refused), INCOMPLETE if found.refused else DONE


def _mirrored(settings: "Settings", packages: list[str], *, every: bool) -> list[str]:
    """Return the packages whose realm can be read; of those that were named, all must be."""
    able = [name for name in packages if settings.packages[name].sync is not None]
    if able != packages and not (every and able):
        raise ConfigurationError(
            f"The groups of {', '.join(packages)} cannot be read at Keycloak.",
            hint="Add [packages.NAME.sync] with client_id and client_secret of a service account.",
        )
    return able


def _show_seeded(found: list[Report], *, dry_run: bool) -> None:
    for report in found:
        codes = asdict(report.seeded)
        numbers = ", ".join(f"{len(of_kind)} {kind}" for kind, of_kind in codes.items())
        typer.echo(f"{report.package}: {numbers}{' (nothing was written)' if dry_run else ''}.")
        for kind in ("created", "updated"):
            for code in codes[kind]:
                typer.echo(f"  {kind}: {visible(code)}")
        for path in report.refused:
            typer.echo(f"  left out: {visible(path)} cannot be a group code", err=True)
