"""The commands for sessions: `session list|show|end|count|create|cleanup`."""

from typing import TYPE_CHECKING, Annotated

import typer

from bridge.cli.opening import Opened, run
from bridge.cli.options import DryRunOption, JsonOption, PackageOption, choose_package
from bridge.cli.output import Column, show_fields, show_json, show_rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from bridge.flows.session_keys import KeyWanted, MadeKey
    from bridge.model import UserSession
    from bridge.storage.user_sessions import CleanedUp

ALL = 100_000
COLUMNS = (
    Column("session_id", whole=True),
    Column("username"),
    Column("session_type"),
    Column("origin"),
    Column("device_name"),
    Column("last_ip_address"),
    Column("created_at"),
    Column("last_activity"),
    Column("expires_at"),
)

group = typer.Typer(help="Look at sessions, end them, and make keys for programs.", no_args_is_help=True)

UserOption = Annotated[str | None, typer.Option("--user", help="Only sessions of this user name.")]
TypeOption = Annotated[str | None, typer.Option("--type", help="Only this type: web, api, mobile or console.")]
ReasonOption = Annotated[str, typer.Option("--reason", help="Why; stays in the row and in the audit trail.")]


@group.command("list")
def list_sessions(
    context: typer.Context,
    user: UserOption = None,
    session_type: TypeOption = None,
    package: PackageOption = None,
    *,
    ended: Annotated[bool, typer.Option("--ended", help="Also sessions that have ended.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=ALL, help="At most so many, the newest.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """List living sessions, the newest first."""

    async def step(opened: Opened) -> "Sequence[UserSession]":
        from bridge.storage import user_sessions  # noqa: PLC0415 - heavy

        async with opened.database.reading() as db:
            return await user_sessions.get_user_sessions(
                db,
                user,
                package=choose_package(opened.settings, package),
                now=opened.now(),
                session_type=_check_type(session_type),
                ended=ended,
                limit=limit,
            )

    columns = (*COLUMNS, Column("is_active")) if ended else COLUMNS
    rows = _describe(run(context, step))
    show_rows(rows, columns, as_json=as_json, empty="There is no such session.")


@group.command("show")
def show_session(
    context: typer.Context,
    session_id: Annotated[str, typer.Argument(help="The session's handle, as the list shows it.")],
    package: PackageOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Show everything that is known of one session."""

    async def step(opened: Opened) -> "UserSession":
        from bridge.flows.session_administration import get_session  # noqa: PLC0415 - heavy

        name = choose_package(opened.settings, package)
        return await get_session(opened.database, session_id, package=name, now=opened.now())

    show_fields(_describe([run(context, step)])[0], as_json=as_json)


@group.command("end")
def end_sessions(
    context: typer.Context,
    session_id: Annotated[str | None, typer.Argument(help="The session's handle.")] = None,
    user: Annotated[str | None, typer.Option("--user", help="All sessions of this user name instead.")] = None,
    session_type: TypeOption = None,
    package: PackageOption = None,
    *,
    reason: ReasonOption = "admin",
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """End one session, or all of a user; whoever uses it is refused within a second."""
    if (session_id is None) == (user is None):
        raise typer.BadParameter("Name one session, or a user with --user.")

    async def step(opened: Opened) -> "Sequence[UserSession]":
        name, kind = choose_package(opened.settings, package), _check_type(session_type)
        if session_id is not None:
            return await _end_one(opened, session_id, package=name, reason=reason, dry_run=dry_run)
        return await _end_all(opened, str(user), package=name, session_type=kind, reason=reason, dry_run=dry_run)

    ended = run(context, step)
    empty = "There was no active session to end."
    show_rows(_describe(ended), COLUMNS, as_json=as_json, title="Would end:" if dry_run else "Ended:", empty=empty)


async def _end_one(
    opened: Opened, session_id: str, *, package: str, reason: str, dry_run: bool
) -> "Sequence[UserSession]":
    from bridge.flows import session_administration  # noqa: PLC0415 - heavy

    now = opened.now()
    found = await session_administration.get_session(opened.database, session_id, package=package, now=now)
    if dry_run:
        return [found] if found.is_active else []
    ended = await session_administration.end_one(
        opened.database, session_id, package=package, ended_by=_operator(), reason=reason, now=now
    )
    return [ended] if ended is not None else []


async def _end_all(
    opened: Opened, user: str, *, package: str, session_type: str | None, reason: str, dry_run: bool
) -> "Sequence[UserSession]":
    from bridge.flows import session_administration  # noqa: PLC0415 - heavy
    from bridge.storage import user_sessions  # noqa: PLC0415 - heavy

    now = opened.now()
    if not dry_run:
        return await session_administration.end_all(
            opened.database,
            user,
            package=package,
            session_type=session_type,
            ended_by=_operator(),
            reason=reason,
            now=now,
        )
    async with opened.database.reading() as db:
        rows = await user_sessions.get_user_sessions(
            db, user, package=package, now=now, session_type=session_type, ended=True, limit=ALL
        )
    return [row for row in rows if row.is_active]


@group.command("count")
def count_sessions(
    context: typer.Context,
    user: Annotated[str, typer.Argument(help="The user name.")],
    package: PackageOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Count a user's living sessions with the bridge by type, beside how many there may be."""

    async def step(opened: Opened) -> list[dict[str, object]]:
        from bridge.flows.policies import build_policies  # noqa: PLC0415 - heavy
        from bridge.storage.user_sessions import count_concurrent  # noqa: PLC0415 - heavy

        name, now, rows = choose_package(opened.settings, package), opened.now(), []
        async with opened.database.reading() as db:
            for kind, policy in build_policies(opened.settings.policy).items():
                number = await count_concurrent(db, user, package=name, session_type=kind, now=now)
                rows.append({"session_type": kind, "sessions": number, "most": policy.max_sessions})
        return rows

    columns = [Column(name) for name in ("session_type", "sessions", "most")]
    show_rows(run(context, step), columns, as_json=as_json)


@group.command("create")
def create_key(
    context: typer.Context,
    user: Annotated[str, typer.Argument(help="Whom the key stands for: a user name that Keycloak knows.")],
    session_type: Annotated[str, typer.Option("--type", help="api, for a program; console, for a terminal.")],
    package: PackageOption = None,
    *,
    name: Annotated[str | None, typer.Option(help="What the key is for, as lists show it.")] = None,
    lifetime: Annotated[str | None, typer.Option(help="Shorter than the policy's, such as 12h or 7d.")] = None,
    trusted: Annotated[bool, typer.Option("--trusted", help="The device is known and trusted.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make a key for a program, and print it once: it is shown as `Authorization: Bearer KEY`."""

    async def step(opened: Opened) -> "MadeKey":
        from bridge.flows.session_keys import KeyWanted  # noqa: PLC0415 - heavy
        from bridge.model import SessionType  # noqa: PLC0415 - only this command

        wanted = KeyWanted(
            username=user,
            package=choose_package(opened.settings, package),
            session_type=SessionType(str(_check_type(session_type))),
            device_name=name,
            lifetime=_read_duration(lifetime),
            is_trusted=trusted,
        )
        return await _create(opened, wanted)

    made = run(context, step)
    if as_json:
        fields = {"session_id": made.session_id, "expires_at": made.expires_at, "ended": made.ended, "key": made.key}
        show_json(fields)
        return
    typer.echo(made.key)
    ended = f" {made.ended} older ones were ended." if made.ended else ""
    typer.echo(f"The key of session {made.session_id}, until {made.expires_at:%Y-%m-%d %H:%M} UTC.{ended}", err=True)
    typer.echo("It is not stored anywhere and cannot be shown again.", err=True)


async def _create(opened: Opened, wanted: "KeyWanted") -> "MadeKey":
    from bridge.flows.policies import build_policies  # noqa: PLC0415 - heavy
    from bridge.flows.session_keys import create_key  # noqa: PLC0415 - heavy

    policy = build_policies(opened.settings.policy)[wanted.session_type]
    return await create_key(opened.database, wanted, policy=policy, created_by=_operator(), now=opened.now())


def _read_duration(text: str | None) -> "timedelta | None":
    from bridge.config.values import parse_duration  # noqa: PLC0415 - heavy

    try:
        return None if text is None else parse_duration(text)
    except ValueError as error:
        raise typer.BadParameter(f"{text}: {error}.") from None


@group.command("cleanup")
def clean_up(context: typer.Context, *, dry_run: DryRunOption = False, as_json: JsonOption = False) -> None:
    """End what time has ended, and delete what is long over; the running service does so by itself."""

    async def step(opened: Opened) -> "CleanedUp":
        from bridge.flows.cleanup import count_overdue, delete_old, end_overdue, find_sure_time  # noqa: PLC0415 - heavy

        retention, now = opened.settings.retention, await find_sure_time(opened.database, now=opened.now())
        if dry_run:
            return await count_overdue(opened.database, retention, now=now)
        await delete_old(opened.database, retention, now=now)
        return await end_overdue(opened.database, retention, now=now)

    done = run(context, step)
    show_fields({"expired": done.expired, "idle": done.idle, "deleted": done.deleted}, as_json=as_json)


def _check_type(session_type: str | None) -> str | None:
    from bridge.model import SessionType  # noqa: PLC0415 - only when a command runs

    if session_type is not None and session_type not in set(SessionType):
        raise typer.BadParameter(f"{session_type} is no session type; there are {', '.join(SessionType)}.")
    return session_type


def _describe(sessions: "Sequence[UserSession]") -> list[dict[str, object]]:
    from dataclasses import asdict  # noqa: PLC0415 - only when a command runs

    return [asdict(one) for one in sessions]


def _operator() -> str:
    """Return who runs the command, for the audit trail."""
    import getpass  # noqa: PLC0415 - only when something is written

    try:
        return f"command:{getpass.getuser()}"[:150]
    except (KeyError, OSError):
        return "command"
