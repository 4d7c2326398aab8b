"""`session list|show|end|count` as an operator meets them: what they print, what they change, how they end."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from bridge.model import digest
from bridge.storage.tables import security_event, session_credential, sys_usersession
from tests.integration.command_house import NEW, OLD, OTHER, PROGRAM, House, s, with_sessions

ATTACK = "\x1b]0;owned\x07\x1b[2J\r\u202e"


@pytest.fixture
async def house(sqlite_database_url: str, tmp_path: Path) -> AsyncIterator[House]:
    async with with_sessions(sqlite_database_url, tmp_path) as one:
        yield one


async def test_list_shows_living_sessions_newest_first(house: House) -> None:
    ended = await house.command.run("session", "list")

    head, *lines = ended.out.splitlines()
    assert (ended.status, ended.err) == (0, "")
    assert head.split()[:4] == ["SESSION", "ID", "USERNAME", "SESSION"]
    assert [line.split()[:3] for line in lines] == [
        [NEW, "alice", "web"],
        [OLD, "alice", "web"],
        [PROGRAM, "alice", "api"],
        [OTHER, "bob", "web"],
    ]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--user", "alice"), [NEW, OLD, PROGRAM]),
        (("--user", "alice", "--type", "web"), [NEW, OLD]),
        (("--type", "api"), [PROGRAM]),
        (("--limit", "2"), [NEW, OLD]),
        (("--limit", "4"), [NEW, OLD, PROGRAM, OTHER]),
        (("--user", "Alice"), []),
        (("--user", "nobody"), []),
        (("--package", "demo", "--type", "console"), []),
    ],
)
async def test_list_is_narrowed_by_its_options(house: House, words: tuple[str, ...], expected: list[str]) -> None:
    ended = await house.command.run("session", "list", *words, "--json")
    assert ended.status == 0
    assert [row["session_id"] for row in ended.json] == expected


async def test_an_empty_list_is_a_sentence_and_for_programs_an_empty_list(house: House) -> None:
    assert (await house.command.run("session", "list", "--user", "nobody")).out == "There is no such session.\n"
    assert (await house.command.run("session", "list", "--user", "nobody", "--json")).json == []


async def test_list_shows_sessions_that_have_ended_only_when_asked(house: House) -> None:
    await house.write(sa.update(sys_usersession).where(s.SessionId == OLD).values(IsActive=False))

    living = await house.command.run("session", "list", "--user", "alice", "--json")
    both = await house.command.run("session", "list", "--user", "alice", "--ended")

    assert [row["session_id"] for row in living.json] == [NEW, PROGRAM]
    assert [(line.split()[0], line.split()[-1]) for line in both.out.splitlines()[1:]] == [
        (NEW, "yes"),
        (OLD, "no"),
        (PROGRAM, "yes"),
    ]


async def test_what_an_application_wrote_does_not_steer_the_terminal(house: House) -> None:
    """V5.2: a device name is whatever its row says."""
    await house.write(sa.update(sys_usersession).where(s.SessionId == NEW).values(DeviceName=f"{ATTACK}[bold]x[/bold]"))

    shown = [
        await house.command.run("session", *words) for words in (("list",), ("show", NEW), ("show", NEW, "--json"))
    ]

    for ended in shown:
        assert not set(ended.out) & {"\x1b", "\x07", "\r", "\u202e"}
    assert r"\x1b]0;owned\x07\x1b[2J\r\u202e[bold]x[/bold]" in shown[0].out
    assert shown[2].json["DeviceName"] == f"{ATTACK}[bold]x[/bold]"
    assert shown[2].out.isascii()


async def test_show_tells_the_whole_row_of_one_session_but_what_opens_it_ended_or_not(house: House) -> None:
    living = await house.command.run("session", "show", NEW, "--json")
    assert living.status == 0
    columns = [column.name for column in sys_usersession.columns]
    assert list(living.json) == [name for name in columns if name not in ("SessionToken", "RefreshToken")]
    assert (living.json["User"], living.json["LastIpAddress"]) == ("alice", "192.0.2.7")
    assert living.json["CreatedAt"].endswith("+00:00")

    await house.command.run("session", "end", NEW, "--reason", "lost laptop")
    ended = await house.command.run("session", "show", NEW)
    shown = dict(line.split(maxsplit=1) for line in ended.out.splitlines())
    assert list(shown) == list(living.json)
    assert (shown["IsActive"], shown["InvalidatedReason"], shown["Realm"]) == ("no", "lost laptop", "demo")
    assert digest(NEW) not in living.out + ended.out


async def test_a_list_that_is_cut_says_so(house: House) -> None:
    cut = await house.command.run("session", "list", "--limit", "3", "--json")
    assert (len(cut.json), cut.err) == (3, "There are more than 3; see --limit, --user and --type.\n")
    assert (await house.command.run("session", "list", "--limit", "4")).err == ""


@pytest.mark.parametrize("words", [("show",), ("end",), ("end", "--dry-run")])
async def test_a_session_that_is_not_there_is_a_failure(house: House, words: tuple[str, ...]) -> None:
    ended = await house.command.run("session", *words, "e" * 64)
    assert (ended.status, ended.out) == (1, "")
    assert ended.err.startswith("There is no such session here.\n")


async def test_end_ends_one_session_with_what_opens_it_and_says_so_in_the_audit_trail(house: House) -> None:
    ended = await house.command.run("session", "end", NEW, "--reason", "lost laptop", "--json")

    assert (ended.status, [row["session_id"] for row in ended.json]) == (0, [NEW])
    assert await house.active() == {OLD, PROGRAM, OTHER}
    row = await house.row(NEW)
    assert row.InvalidatedReason == "lost laptop"
    assert row.InvalidatedBy.startswith("command")
    async with house.database.reading() as db:
        credentials = list((await db.execute(sa.select(session_credential.c.session_id))).scalars())
        event = (await db.execute(sa.select(security_event))).one()
    assert NEW not in credentials
    assert (event.event, event.username, event.session_id) == ("session_ended", "alice", NEW)
    assert json.loads(event.evidence) == {"reason": "lost laptop", "invalidated_by": row.InvalidatedBy}


async def test_ending_twice_is_no_failure(house: House) -> None:
    await house.command.run("session", "end", NEW)
    again = await house.command.run("session", "end", NEW)
    assert (again.status, again.out) == (0, "There was no active session to end.\n")
    assert (await house.command.run("session", "end", NEW, "--json")).json == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--user", "alice"), {OTHER}),
        (("--user", "alice", "--type", "web"), {PROGRAM, OTHER}),
        (("--user", "nobody"), {OLD, NEW, PROGRAM, OTHER}),
    ],
)
async def test_end_ends_all_sessions_of_a_user_and_dry_run_only_tells(
    house: House, words: tuple[str, ...], expected: set[str]
) -> None:
    before = await house.active()
    told = await house.command.run("session", "end", *words, "--dry-run", "--json")
    assert await house.active() == before

    done = await house.command.run("session", "end", *words, "--json")

    assert await house.active() == expected
    assert {row["session_id"] for row in done.json} == {row["session_id"] for row in told.json} == before - expected


async def test_dry_run_says_for_people_what_would_end(house: House) -> None:
    told = await house.command.run("session", "end", NEW, "--dry-run")
    assert told.out.startswith("Would end:\n")
    assert NEW in told.out
    assert NEW in await house.active()


async def test_count_stands_beside_how_many_there_may_be(house: House) -> None:
    ended = await house.command.run("session", "count", "alice", "--json")
    assert ended.json == [
        {"session_type": "web", "sessions": 2, "most": 3},
        {"session_type": "api", "sessions": 1, "most": 10},
        {"session_type": "mobile", "sessions": 0, "most": 5},
        {"session_type": "console", "sessions": 0, "most": 1},
    ]


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (("list", "--package", "nowhere"), 2, "There is no package nowhere."),
        (("list", "--type", "desktop"), 2, "'desktop' is not one of 'web', 'api', 'mobile', 'console'."),
        (("end", "--user", "alice", "--type", "desktop"), 2, "'desktop' is not one of 'web'"),
        (("end", NEW, "--type", "api"), 2, "--type goes with --user, and not with one session."),
        (("end", NEW, "--type", "web", "--dry-run"), 2, "--type goes with --user, and not with one session."),
        (("list", "--limit", "0"), 2, "Invalid value for '--limit'"),
        (("end", NEW, "--reason", "x" * 101), 1, "InvalidatedReason is 101 characters long, and at most 100"),
        (("end",), 2, "Name one session, or a user with --user."),
        (("end", NEW, "--user", "alice"), 2, "Name one session, or a user with --user."),
        (("show",), 2, "Missing argument"),
    ],
)
async def test_what_cannot_be_done_says_what_is_wrong(
    house: House, words: tuple[str, ...], status: int, message: str
) -> None:
    ended = await house.command.run("session", *words)
    assert (ended.status, ended.out) == (status, "")
    assert message in " ".join(ended.err.split())


async def test_of_several_packages_one_must_be_named_and_others_stay_out_of_sight(house: House) -> None:
    house.command.configure(house.url, "demo", "guests")

    unnamed = await house.command.run("session", "list")
    assert (unnamed.status, unnamed.out) == (2, "")
    assert "There is more than one package.\n  Name one with --package: demo, guests." in unnamed.err
    assert len((await house.command.run("session", "list", "--package", "demo", "--json")).json) == 4
    assert (await house.command.run("session", "list", "--package", "guests", "--json")).json == []
    foreign = await house.command.run("session", "end", NEW, "--package", "guests")
    assert (foreign.status, NEW in await house.active()) == (1, True)


async def test_a_database_that_is_gone_is_one_sentence(house: House) -> None:
    house.command.configure("postgresql://u:pa55@127.0.0.1:1/x")
    ended = await house.command.run("session", "list")
    assert (ended.status, ended.out) == (1, "")
    assert "database of the bridge cannot be reached" in ended.err
    assert "pa55" not in ended.err
