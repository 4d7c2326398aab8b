"""The command `session create`, which makes a key for a program; `sessions` puts it into its group."""

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from bridge.cli.opening import Opened, name_operator, run
from bridge.cli.options import DryRunOption, JsonOption, PackageOption, choose_package
from bridge.cli.output import show_json, visible
from bridge.model import SessionType

if TYPE_CHECKING:
    from datetime import timedelta

    from bridge.flows.session_keys import KeyWanted, MadeKey, PlannedKey


class KeyType(StrEnum):
    """The types of sessions that begin without a browser, for help and completion."""

    API = SessionType.API
    CONSOLE = SessionType.CONSOLE


def create_key(
    context: typer.Context,
    user: Annotated[str, typer.Argument(help="Whom the key stands for: a user name that Keycloak knows.")],
    session_type: Annotated[KeyType, typer.Option("--type", help="api, for a program; console, for a terminal.")],
    package: PackageOption = None,
    *,
    name: Annotated[str | None, typer.Option(help="What the key is for, as lists show it.")] = None,
    lifetime: Annotated[str | None, typer.Option(help="Shorter than the policy's, such as 12h or 7d.")] = None,
    trusted: Annotated[bool, typer.Option("--trusted", help="The device is known and trusted.")] = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Make a key for a program, and print it once: it is shown as `Authorization: Bearer KEY`."""

    async def step(opened: Opened) -> "MadeKey | PlannedKey":
        from bridge.flows.session_keys import KeyWanted  # noqa: PLC0415 - heavy

        wanted = KeyWanted(
            username=user,
            package=choose_package(opened.settings, package),
            session_type=SessionType(session_type),
            device_name=name,
            lifetime=_read_duration(lifetime),
            is_trusted=trusted,
        )
        return await _create(opened, wanted, dry_run=dry_run)

    from bridge.flows.session_keys import MadeKey  # noqa: PLC0415 - heavy

    done = run(context, step)
    if as_json:
        from dataclasses import asdict  # noqa: PLC0415 - only when a command runs

        show_json({"created": not dry_run, **asdict(done)})
    elif isinstance(done, MadeKey):
        _show_made(done)
    else:
        ended = f" It would end {', '.join(done.ended)}." if done.ended else ""
        typer.echo(f"A key would be made for {visible(user)}, until {done.expires_at:%Y-%m-%d %H:%M} UTC.{ended}")


async def _create(opened: Opened, wanted: "KeyWanted", *, dry_run: bool) -> "MadeKey | PlannedKey":
    from bridge.flows import session_keys  # noqa: PLC0415 - heavy
    from bridge.flows.policies import build_policies  # noqa: PLC0415 - heavy

    policy, now = build_policies(opened.settings.policy)[wanted.session_type], opened.now()
    if dry_run:
        return await session_keys.plan_key(opened.database, wanted, policy=policy, now=now)
    return await session_keys.create_key(opened.database, wanted, policy=policy, created_by=name_operator(), now=now)


def _show_made(made: "MadeKey") -> None:
    """Print the key alone on standard output, so that it can go straight into a file."""
    typer.echo(made.key)
    ended = f" It has ended {', '.join(made.ended)}." if made.ended else ""
    typer.echo(f"The key of session {made.session_id}, until {made.expires_at:%Y-%m-%d %H:%M} UTC.{ended}", err=True)
    typer.echo("It is not stored anywhere and cannot be shown again.", err=True)


def _read_duration(text: str | None) -> "timedelta | None":
    from bridge.config.values import parse_duration  # noqa: PLC0415 - heavy

    try:
        return None if text is None else parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text}: {error}.") from None
