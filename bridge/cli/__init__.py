"""The command `keycloak-bridge`: composition root above service and worker, and the only package that knows both.

    keycloak-bridge [--config FILE]  ->  a group (one module each)  ->  opening.run(context, step)  ->  output.show_rows

    service, sync        the commands; a module holds one group, and groups do not know each other
    session_keys         the longest command of the group `session`
    opening              settings, and a database that is fit, for one step of a command
    options              options that mean the same in every command
    output               tables for people, JSON for programs
    outcome              errors as sentences, and the exit status

Exit status: 0 done, 1 failed, 2 wrong usage or configuration, 3 incomplete or held. An error of ours that leaves a
command is told by `outcome`; commands do not catch it. Heavy modules are imported inside functions, so that `--help`
and completion answer at once.
"""

from typing import Annotated

import typer

from bridge import __version__
from bridge.cli.keys import group as keys_group
from bridge.cli.options import ConfigOption
from bridge.cli.outcome import TellingGroup
from bridge.cli.schema import group as schema_group
from bridge.cli.service import check, migrate, serve
from bridge.cli.sessions import group as session_group
from bridge.cli.sync import group as sync_group
from bridge.cli.usergroups import group as usergroups_group
from bridge.cli.users import group as user_group

app = typer.Typer(
    name="keycloak-bridge",
    cls=TellingGroup,
    help="Sign-in through Keycloak for applications that ask two SQL tables, and a true mirror of Keycloak in them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


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


for command in (serve, migrate, check):
    app.command()(command)
app.add_typer(sync_group, name="sync")
app.add_typer(session_group, name="session")
app.add_typer(user_group, name="user")
app.add_typer(usergroups_group, name="usergroups")
app.add_typer(schema_group, name="schema")
app.add_typer(keys_group, name="keys")
