"""The commands about people: `user list`, `show`, `create`, `preferences`, `erase`."""

import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from bridge.cli.opening import Opened, name_operator, run
from bridge.cli.options import DryRunOption, JsonOption, PackageOption, choose_package
from bridge.cli.outcome import FAILED
from bridge.cli.output import Column, show_fields, show_json, show_rows, visible

if TYPE_CHECKING:
    from bridge.flows.people import Erased, NewUser
    from bridge.model import User
    from bridge.storage.user_history import UserChange

CHANGES_SHOWN = 100
UserArgument = Annotated[str, typer.Argument(metavar="USER", help="The user name, exactly as it stands in sys_user.")]

group = typer.Typer(help="Look at people, enter, change and erase them.", no_args_is_help=True)


@group.command("list")
def list_users(
    context: typer.Context,
    package: PackageOption = None,
    *,
    active: Annotated[
        bool | None, typer.Option("--active/--inactive", help="Only those who may sign in, or who may not.")
    ] = None,
    search: Annotated[
        str | None, typer.Option(help="Part of a name or an e-mail address, as it stands; or a whole Uuid.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=100_000, help="The most people to show.")] = 100,
    as_json: JsonOption = False,
) -> None:
    """List people by name."""

    async def step(opened: Opened) -> "list[User]":
        from bridge.flows import people  # noqa: PLC0415 - heavy

        chosen = choose_package(opened.settings, package)
        return await people.list_users(opened.database, package=chosen, limit=limit + 1, active=active, search=search)

    found = run(context, step)
    columns = [Column("username"), Column("active"), Column("email"), Column("display_name"), Column("usergroups")]
    rows = [_summary(user) for user in found[:limit]]
    show_rows(rows, [*columns, Column("uuid", whole=True)], as_json=as_json, empty="There is nobody.")
    if len(found) > limit:
        typer.echo(f"There are more than {limit}; see --limit and --search.", err=True)


@group.command("show")
def show_user(
    context: typer.Context,
    username: UserArgument,
    package: PackageOption = None,
    *,
    history: Annotated[bool, typer.Option("--history", help="Show what changed, newest first.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Show a person's row without passwords, groups, and how many sessions are alive."""
    from bridge.flows import people  # noqa: PLC0415 - heavy

    async def step(opened: Opened) -> people.UserDetails:
        chosen = choose_package(opened.settings, package)
        most = CHANGES_SHOWN if history else 0
        return await people.show_user(opened.database, username, package=chosen, now=opened.now(), history=most)

    found = run(context, step)
    changes = [_change(entry) for entry in found.history]
    fields: dict[str, object] = {**found.row, "Usergroups": list(found.usergroups), "sessions": found.sessions}
    if as_json:
        show_json(fields | ({"history": changes} if history else {}))
        return
    show_fields(fields, as_json=False)
    if history:
        columns = [Column(name) for name in ("at", "change", "cause", "username", "before", "after")]
        typer.echo()
        show_rows(changes, columns, as_json=False, title="History", empty="There is no history.")


@group.command("create")
def create_user(
    context: typer.Context,
    username: UserArgument,
    package: PackageOption = None,
    *,
    email: Annotated[str | None, typer.Option(help="The e-mail address.")] = None,
    first_name: Annotated[str | None, typer.Option(help="The given name.")] = None,
    last_name: Annotated[str | None, typer.Option(help="The family name.")] = None,
    display_name: Annotated[str | None, typer.Option(help="The full name; else given and family name.")] = None,
    store: Annotated[str | None, typer.Option(help="The store identifier.")] = None,
    usergroup: Annotated[
        list[str] | None, typer.Option("--group", help="The code of a group that there is; may be repeated.")
    ] = None,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read a password for old applications; it is kept sealed.")
    ] = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Enter a person who is not at Keycloak, for old applications; nobody can sign in through the bridge with it."""
    from bridge.flows.people import NewUser  # noqa: PLC0415 - heavy

    new = NewUser(
        username,
        email=email,
        first_name=first_name,
        last_name=last_name,
        display_name=display_name,
        store=store,
        usergroups=tuple(usergroup or ()),
        legacy_password=_read_password() if password_stdin else None,
    )
    found = run(context, lambda opened: _create(opened, new, package=package, dry_run=dry_run))
    if as_json:
        show_json(found)
        return
    done = "would be created" if dry_run else "is created"
    uuid = "" if dry_run else f" with the Uuid {found['Uuid']}"
    typer.echo(f"{visible(username)} {done} in {found['Package']}{uuid}.")


async def _create(opened: Opened, new: "NewUser", *, package: str | None, dry_run: bool) -> dict[str, Any]:
    from bridge.flows import people  # noqa: PLC0415 - heavy
    from bridge.flows.sealing_keys import build_sealer, check_keys  # noqa: PLC0415 - heavy

    chosen = choose_package(opened.settings, package)
    sealer = build_sealer(opened.settings.sealing)
    if new.legacy_password is not None and not dry_run:
        await check_keys(opened.database, sealer, now=opened.now())
    row = await people.create_user(
        opened.database,
        new,
        package=chosen,
        sealer=sealer,
        created_by=name_operator(),
        now=opened.now(),
        dry_run=dry_run,
    )
    return {"created": not dry_run, **row}


@group.command("preferences")
def change_preferences(
    context: typer.Context,
    username: UserArgument,
    package: PackageOption = None,
    *,
    values: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Set one; may be repeated.")
    ] = None,
    removed: Annotated[
        list[str] | None, typer.Option("--unset", metavar="NAME", help="Remove one; may be repeated.")
    ] = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show the preferences of a person, or change some of them: all or none."""
    from bridge.flows import people  # noqa: PLC0415 - heavy

    wanted = _read_values(values or [])

    async def step(opened: Opened) -> tuple[set[str], dict[str, str]]:
        who = {"username": username, "package": choose_package(opened.settings, package)}
        changed: set[str] = set()
        if wanted or removed:
            changed = await people.change_preferences(
                opened.database, **who, values=wanted, removed=removed or [], now=opened.now(), dry_run=dry_run
            )
        return changed, await people.get_preferences(opened.database, **who)

    changed, found = run(context, step)
    if not (wanted or removed):
        rows = [{"name": name, "value": value} for name, value in found.items()]
        show_rows(rows, [Column("name"), Column("value")], as_json=as_json, empty="There are no preferences.")
    elif as_json:
        show_json({"changed": sorted(changed), "written": bool(changed) and not dry_run})
    else:
        names = ": " + ", ".join(map(visible, sorted(changed))) if changed else ""
        typer.echo(f"{len(changed)} preferences {'would be' if dry_run else 'were'} changed{names}.")


@group.command("erase")
def erase_user(
    context: typer.Context,
    username: UserArgument,
    package: PackageOption = None,
    *,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Delete a person with history, sessions, preferences and audit entries, for good."""
    from bridge.flows import people  # noqa: PLC0415 - heavy

    async def erase(opened: Opened, *, look: bool) -> people.Erased:
        chosen = choose_package(opened.settings, package)
        return await people.erase_user(
            opened.database, username, package=chosen, erased_by=name_operator(), now=opened.now(), dry_run=look
        )

    if not (yes or dry_run):
        if not sys.stdin.isatty():
            raise typer.BadParameter("There is no terminal to ask at; say --yes to erase for good.")
        _show_erased(run(context, lambda opened: erase(opened, look=True)), username, done=False, err=True)
        if not typer.confirm("Erase for good?", err=True):
            typer.echo("Nothing was erased.", err=True)
            raise typer.Exit(FAILED)
    found = run(context, lambda opened: erase(opened, look=dry_run))
    if as_json:
        show_json({"erased": not dry_run, "counts": found.counts, "mirrored": found.mirrored})
    else:
        _show_erased(found, username, done=not dry_run)


def _show_erased(erased: "Erased", username: str, *, done: bool, err: bool = False) -> None:
    numbers = ", ".join(f"{name.replace('_', ' ')} {number}" for name, number in erased.counts.items())
    typer.echo(f"{visible(username)} {'is' if done else 'would be'} erased: {numbers}.", err=err)
    if erased.mirrored:
        typer.echo("The next sync brings this person back while Keycloak has them: delete them there first.", err=err)


def _summary(user: "User") -> dict[str, object]:
    return {
        "username": user.username,
        "package": user.package,
        "uuid": user.uuid,
        "active": user.active,
        "email": user.email,
        "first_name": user.first_name,
        "last_name": user.last_name,
        "display_name": user.display_name,
        "usergroups": list(user.usergroups),
        "mirrored": user.identity is not None,
    }


def _change(entry: "UserChange") -> dict[str, object]:
    from dataclasses import asdict  # noqa: PLC0415 - only for this command

    return asdict(entry)


def _read_values(texts: list[str]) -> dict[str, str]:
    """Return what --set gives, by name."""
    values: dict[str, str] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not separator:
            raise typer.BadParameter(f"{text!r} is not NAME=VALUE.", param_hint="--set")
        if name in values:
            raise typer.BadParameter(f"{name!r} is there twice.", param_hint="--set")
        values[name] = value
    return values


def _read_password() -> str:
    """Read one line from standard input."""
    if sys.stdin.isatty():
        raise typer.BadParameter("It would be seen on the screen; pipe it in.", param_hint="--password-stdin")
    try:
        return sys.stdin.buffer.read().decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise typer.BadParameter("It is not UTF-8.", param_hint="--password-stdin") from None
