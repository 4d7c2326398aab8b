"""The commands for sessions: `session list|show|end|count|create|cleanup`."""

from typing import TYPE_CHECKING, Annotated

import typer

from bridge.cli.opening import Opened, name_operator, run
from bridge.cli.options import DryRunOption, JsonOption, PackageOption, choose_package
from bridge.cli.output import Column, show_fields, show_rows
from bridge.cli.session_keys import create_key
from bridge.model import SessionType

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from bridge.model import UserSession

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
TypeOption = Annotated[SessionType | None, typer.Option("--type", help="Only sessions of this type.")]
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
                session_type=session_type,
                ended=ended,
                limit=limit + 1,
            )

    columns = (*COLUMNS, Column("is_active")) if ended else COLUMNS
    found = run(context, step)
    show_rows(_describe(found[:limit]), columns, as_json=as_json, empty="There is no such session.")
    if len(found) > limit:
        typer.echo(f"There are more than {limit}; see --limit, --user and --type.", err=True)


@group.command("show")
def show_session(
    context: typer.Context,
    session_id: Annotated[str, typer.Argument(help="The session's handle, as the list shows it.")],
    package: PackageOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Show the whole row of one session, without the digests of what opens it."""

    async def step(opened: Opened) -> "Mapping[str, object]":
        from bridge.flows import session_administration  # noqa: PLC0415 - heavy

        name = choose_package(opened.settings, package)
        return await session_administration.show_session(opened.database, session_id, package=name)

    show_fields(run(context, step), as_json=as_json)


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
    if session_id is not None and session_type is not None:
        raise typer.BadParameter("--type goes with --user, and not with one session.")

    async def step(opened: Opened) -> "Sequence[UserSession]":
        name = choose_package(opened.settings, package)
        if session_id is not None:
            return await _end_one(opened, session_id, package=name, reason=reason, dry_run=dry_run)
        return await _end_all(
            opened, str(user), package=name, session_type=session_type, reason=reason, dry_run=dry_run
        )

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
        opened.database, session_id, package=package, ended_by=name_operator(), reason=reason, now=now
    )
    return [ended] if ended is not None else []


async def _end_all(
    opened: Opened, user: str, *, package: str, session_type: SessionType | None, reason: str, dry_run: bool
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
            ended_by=name_operator(),
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


group.command("create")(create_key)


@group.command("cleanup")
def clean_up(context: typer.Context, *, dry_run: DryRunOption = False, as_json: JsonOption = False) -> None:
    """End what time has ended, and delete what is long over; the running service does so by itself."""

    async def step(opened: Opened) -> dict[str, int]:
        from dataclasses import asdict  # noqa: PLC0415 - only when a command runs

        from bridge.flows import cleanup  # noqa: PLC0415 - heavy

        database, retention = opened.database, opened.settings.retention
        now = await cleanup.find_sure_time(database, now=opened.now())
        if dry_run:
            private_rows = await cleanup.count_old(database, retention, now=now)
            done = await cleanup.count_overdue(database, retention, now=now)
        else:
            private_rows = await cleanup.delete_old(database, retention, now=now)
            done = await cleanup.end_overdue(database, retention, now=now)
        return {**asdict(done), "private_rows": private_rows}

    show_fields(run(context, step), as_json=as_json)


def _describe(sessions: "Sequence[UserSession]") -> list[dict[str, object]]:
    from dataclasses import asdict  # noqa: PLC0415 - only when a command runs

    return [asdict(one) for one in sessions]
