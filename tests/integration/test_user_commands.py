"""The commands about people, as an operator meets them: what they print, change and refuse."""

import asyncio
import json
import os
import pty
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from bridge.storage.database import Database, open_database
from bridge.storage.tables import sys_user
from tests.double import KeycloakDouble
from tests.integration.commanding import Run, commands, in_demo, write_config


@pytest.fixture
def config(sqlite_template: Path, tmp_path: Path, double: KeycloakDouble) -> Path:
    return write_config(double, sqlite_template, tmp_path)


@pytest.fixture
def run(config: Path) -> Iterator[Run]:
    with commands(config) as one:
        yield one


@pytest.fixture
async def database(config: Path) -> AsyncIterator[Database]:
    async with open_database(f"sqlite:///{config.parent}/bridge.db") as opened:
        yield opened


def create(run: Run, username: str, *words: str) -> Any:
    return in_demo(run, "user", "create", username, *words)


def as_process(config: Path, *words: str | bytes, **options: Any) -> "subprocess.Popen[bytes]":
    """Start the command as a shell does."""
    command = [sys.executable, "-m", "bridge", "--config", str(config), *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def test_a_person_is_created_listed_and_shown(run: Run, config: Path) -> None:
    file = config.parent / "groups.toml"
    file.write_text('[[usergroup]]\ncode = "stock"\n[[usergroup]]\ncode = "till"\n', encoding="utf-8")
    run("usergroups", "seed", str(file), "--package", "demo")
    made = create(run, "till", "--email", "till@example.com", "--group", "stock", "--group", "till", "--store", "1")
    (listed,) = in_demo(run, "user", "list")
    assert (listed["username"], listed["uuid"], listed["package"]) == ("till", made["Uuid"], "demo")
    assert (listed["active"], listed["usergroups"], listed["mirrored"]) == (True, ["stock", "till"], False)
    shown = in_demo(run, "user", "show", "till", "--history")
    assert (shown["User"], shown["Usergroups"], shown["sessions"]) == ("till", ["stock", "till"], 0)
    assert [entry["change"] for entry in shown["history"]] == ["created"]
    assert "Password" not in shown
    assert "history" not in in_demo(run, "user", "show", "till")


def test_people_read_tables_and_fields(run: Run) -> None:
    create(run, "till", "--email", "till@example.com")
    listed = run("user", "list", "--package", "demo").stdout
    assert listed.splitlines()[0].split() == ["USERNAME", "ACTIVE", "EMAIL", "DISPLAY", "NAME", "USERGROUPS", "UUID"]
    assert listed.splitlines()[1].startswith("till      yes     till@example.com")
    shown = run("user", "show", "till", "--package", "demo", "--history").stdout
    assert "Email               till@example.com" in shown
    assert "User=till" in shown
    assert "assword" not in shown
    assert "History" not in run("user", "show", "till", "--package", "demo").stdout
    made = run("user", "create", "bob", "--package", "guests").stdout
    assert made.startswith("bob is created in guests with the Uuid ")


def test_a_list_is_searched_literally_and_cut_aloud(run: Run) -> None:
    for name in ("a%b", "aXb", "zoe"):
        create(run, name)
    assert [one["username"] for one in in_demo(run, "user", "list", "--search", "a%")] == ["a%b"]
    assert in_demo(run, "user", "list", "--inactive") == []
    assert len(in_demo(run, "user", "list", "--active")) == 3
    cut = run("user", "list", "--package", "demo", "--limit", "2", "--json")
    assert (len(json.loads(cut.stdout)), cut.stderr) == (2, "There are more than 2; see --limit and --search.\n")
    assert run("user", "list", "--package", "demo", "--limit", "3").stderr == ""


def test_a_package_must_be_named_where_there_are_several(run: Run) -> None:
    ended = run("user", "list")
    assert ended.exit_code == 2
    assert "--package: demo, guests" in ended.stderr
    assert run("user", "list", "--package", "nobody").exit_code == 2


async def test_a_password_is_read_from_standard_input_and_kept_sealed(run: Run, database: Database) -> None:
    words = ("user", "create", "till", "--password-stdin")
    made = await asyncio.to_thread(in_demo, run, *words, stdin="correct horse\n")
    async with database.reading() as db:
        sealed = (await db.execute(sa.select(sys_user.c.Password))).scalar_one()
    assert sealed.startswith("~v1.")
    shown = await asyncio.to_thread(in_demo, run, "user", "show", "till", "--history")
    listed = await asyncio.to_thread(in_demo, run, "user", "list")
    for printed in (made, shown, listed):
        assert sealed not in str(printed)
        assert "Password" not in str(printed)


def test_a_bad_password_is_refused_without_being_shown(run: Run) -> None:
    for stdin, status, said in (
        (b"\xff\n", 2, "It is not UTF-8"),
        (b"\n", 1, "is empty"),
        (b"a\0b", 1, "is empty, or"),
    ):
        told = in_demo(run, "user", "create", "till", "--password-stdin", status=status, stdin=stdin)
        assert said in told
    told = in_demo(run, "user", "create", "till", "--password-stdin", status=1, stdin="geheim" * 100)
    assert "too long" in told
    assert "geheim" not in told
    assert in_demo(run, "user", "list") == []


def test_what_is_wrong_with_a_person_is_one_sentence(run: Run) -> None:
    create(run, "till")
    for words, said in (
        (("till",), "There is a person 'till' in the package demo already."),
        (("x" * 151,), "has 151 characters, and at most 150"),
        (("bob", "--email", "nobody"), "Email 'nobody' is no e-mail address."),
        (("bob", "--group", "a,b"), "The group code 'a,b' holds a comma"),
        (("bob", "--group", "night", "--group", "day"), "The package demo has no group of this code: 'night', 'day'."),
        (("bob", "--group", "night"), "Make it with keycloak-bridge usergroups seed;"),
        (("a\x1b[2J",), "'a\\x1b[2J' holds control characters"),
    ):
        told = in_demo(run, "user", "create", *words, status=1)
        assert said in told
        assert "Traceback" not in told
    assert "There is no person 'nobody'" in in_demo(run, "user", "show", "nobody", status=1)
    assert [one["username"] for one in in_demo(run, "user", "list")] == ["till"]


def test_dry_runs_change_nothing(run: Run) -> None:
    assert create(run, "till", "--dry-run")["created"] is False
    assert "would be created" in run("user", "create", "till", "--package", "demo", "--dry-run").stdout
    assert in_demo(run, "user", "list") == []
    create(run, "till")
    in_demo(run, "user", "preferences", "till", "--set", "a=1", "--dry-run")
    assert in_demo(run, "user", "erase", "till", "--dry-run")["erased"] is False
    assert in_demo(run, "user", "preferences", "till") == []
    assert len(in_demo(run, "user", "list")) == 1


def test_preferences_are_shown_and_changed(run: Run) -> None:
    create(run, "till")
    assert in_demo(run, "user", "preferences", "till") == []
    changed = in_demo(run, "user", "preferences", "till", "--set", "theme=dark", "--set", "sum=1+1=2", "--unset", "x")
    assert changed == {"changed": ["sum", "theme"], "written": True}
    assert in_demo(run, "user", "preferences", "till") == [
        {"name": "sum", "value": "1+1=2"},
        {"name": "theme", "value": "dark"},
    ]
    again = in_demo(run, "user", "preferences", "till", "--set", "theme=dark")
    assert again == {"changed": [], "written": False}
    ended = run("user", "preferences", "till", "--package", "demo", "--unset", "sum")
    assert ended.stdout == "1 preferences were changed: sum.\n"


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("--set", "theme"), 2, "'theme' is not NAME=VALUE"),
        (("--set", "a=1", "--set", "a=2"), 2, "'a' is there twice"),
        (("--set", "a=1", "--unset", "a"), 1, "cannot be set and removed at once"),
        (("--set", "a=" + "x" * 65537), 1, "has 65537 bytes, and at most 65536"),
        (("--set", "=1"), 1, "is empty"),
        (("--unset", "n" * 151), 1, "has 151 characters"),
    ],
)
def test_bad_preferences_change_nothing(run: Run, words: tuple[str, ...], status: int, said: str) -> None:
    create(run, "till")
    in_demo(run, "user", "preferences", "till", "--set", "kept=yes")
    told = in_demo(run, "user", "preferences", "till", "--set", "new=1", "--unset", "kept", *words, status=status)
    assert said in " ".join(told.split())
    assert in_demo(run, "user", "preferences", "till") == [{"name": "kept", "value": "yes"}]


def test_erasing_without_a_terminal_needs_yes(run: Run) -> None:
    create(run, "till")
    assert "--yes" in in_demo(run, "user", "erase", "till", status=2, stdin="y\n")
    assert len(in_demo(run, "user", "list")) == 1
    erased = in_demo(run, "user", "erase", "till", "--yes")
    assert erased["erased"] is True
    assert (erased["counts"]["user"], erased["counts"]["history"], erased["mirrored"]) == (1, 1, False)
    assert in_demo(run, "user", "list") == []
    assert "There is no person" in in_demo(run, "user", "erase", "till", "--yes", status=1)


def test_erasing_a_mirrored_person_says_that_the_sync_brings_them_back(run: Run) -> None:
    assert run("sync", "run").exit_code == 0
    ended = run("user", "erase", "alice", "--package", "demo", "--yes")
    assert ended.exit_code == 0
    assert ended.stdout.startswith("alice is erased: ")
    assert "The next sync brings this person back while Keycloak has them" in ended.stdout
    assert [one["username"] for one in in_demo(run, "user", "list")] == ["bob"]
    assert run("sync", "run").exit_code == 0
    assert [one["username"] for one in in_demo(run, "user", "list")] == ["alice", "bob"]


@pytest.mark.parametrize(("answer", "status", "left"), [(b"n\n", 1, 1), (b"y\n", 0, 0)])
def test_erasing_at_a_terminal_asks_first(run: Run, config: Path, answer: bytes, status: int, left: int) -> None:
    create(run, "till")
    ours, theirs = pty.openpty()
    try:
        erasing = as_process(config, "user", "erase", "till", "--package", "demo", stdin=theirs)
        os.write(ours, answer)
        said, told = erasing.communicate(timeout=60)
    finally:
        os.close(ours)
        os.close(theirs)
    assert erasing.returncode == status, told
    assert b"till would be erased: " in told
    assert b"Erase for good?" in told
    assert (b"is erased" in said) is (left == 0)
    assert len(in_demo(run, "user", "list")) == left


def test_a_password_is_not_read_where_it_would_be_seen(run: Run, config: Path) -> None:
    ours, theirs = pty.openpty()
    try:
        creating = as_process(config, "user", "create", "till", "--password-stdin", stdin=theirs)
        _, told = creating.communicate(timeout=60)
    finally:
        os.close(ours)
        os.close(theirs)
    assert creating.returncode == 2
    assert b"It would be seen on the screen" in told
    assert in_demo(run, "user", "list") == []


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (("user", "show", b"\xff"), 1),
        (("user", "create", b"\xff"), 1),
        (("user", "list", "--search", b"\xff"), 1),
        (("user", "preferences", b"\xff"), 1),
        (("user", "erase", b"\xff", "--yes"), 1),
    ],
)
def test_words_that_are_no_text_end_with_a_sentence(config: Path, words: tuple[str | bytes, ...], status: int) -> None:
    started = as_process(config, *words, "--package", "demo", stdin=subprocess.DEVNULL)
    _, told = started.communicate(timeout=60)
    assert started.returncode == status, told
    assert b"Traceback" not in told
    assert told.strip()
