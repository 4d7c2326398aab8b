"""Options that mean the same in every command, as types of parameters: `package: PackageOption = None`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bridge.errors import ConfigurationError

if TYPE_CHECKING:
    from bridge.config import Settings

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="The TOML file; else KEYCLOAK_BRIDGE_CONFIG, else ./keycloak-bridge.toml."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else; times are in UTC.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Tell what would be done, and change nothing.")]
PackageOption = Annotated[
    str | None,
    typer.Option("--package", metavar="NAME", help="The package; with only one configured it may be left out."),
]
"""One package; `choose_package` makes a name of it."""
PackagesOption = Annotated[list[str] | None, typer.Option("--package", help="Only this package; may be repeated.")]


def choose_package(settings: "Settings", asked: str | None) -> str:
    """Return the name of the package that was asked for, else of the only one there is.

    Raises:
        ConfigurationError: there is none of this name, or there are several and none was named.
    """
    names = sorted(settings.packages)
    if asked in settings.packages:
        return asked
    if asked is None and len(names) == 1:
        return names[0]
    raise ConfigurationError(
        "There is more than one package." if asked is None else f"There is no package {asked}.",
        hint=f"Name one with --package: {', '.join(names)}.",
    )
