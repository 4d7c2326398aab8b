"""What commands print: tables for people, JSON for programs, and nothing that steers a terminal."""

import io
import json
import re
import sys
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone

import pytest

from bridge.cli.output import Column, show_fields, show_rows, visible
from bridge.model import SessionType

ID = "0123456789abcdef0123456789abcdef"
COLUMNS = (Column("session_id", whole=True), Column("username"), Column("user_agent"))
ROW: Mapping[str, object] = {
    "session_id": ID,
    "username": "alice",
    "user_agent": "Firefox on Linux, in its newest version",
}
"""Its table is 81 wide."""
ATTACK = "\x1b]0;owned\x07\x9b2J\u202e\r\n"


class Terminal(io.StringIO):
    """Standard output that says it is a terminal."""

    def isatty(self) -> bool:
        return True

    def text(self) -> str:
        """Return what was written, without the bold of headings."""
        return re.sub(r"\x1b\[[01]m", "", self.getvalue())


@pytest.fixture
def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], Terminal]:
    """Give the function that puts a terminal of so many columns in the place of standard output."""

    def put(columns: int) -> Terminal:
        terminal = Terminal()
        monkeypatch.setattr(sys, "stdout", terminal)
        for name in ("FORCE_COLOR", "TTY_COMPATIBLE"):
            monkeypatch.delenv(name, raising=False)
        for name, value in {"COLUMNS": str(columns), "TERM": "xterm", "NO_COLOR": "1"}.items():
            monkeypatch.setenv(name, value)
        return terminal

    return put


def test_a_pipe_gets_every_value_whole_in_aligned_columns_without_trailing_blanks(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    agent = "x" * 300
    show_rows([ROW, {**ROW, "username": "山田", "user_agent": agent}], COLUMNS, as_json=False, title="Sessions")
    assert capsys.readouterr().out.splitlines() == [
        "Sessions",
        "SESSION ID                        USERNAME  USER AGENT",
        f"{ID}  alice     Firefox on Linux, in its newest version",
        # Each of these characters is two columns wide.
        f"{ID}  山田      {agent}",
    ]


@pytest.mark.parametrize("width", [60, 30])
def test_a_narrow_terminal_folds_text_and_never_an_id(on_terminal: Callable[[int], Terminal], width: int) -> None:
    terminal = on_terminal(width)
    show_rows([ROW], COLUMNS, as_json=False)
    written = terminal.text()
    assert ID in written
    assert len(written.splitlines()) > 2
    shown = "".join(line[len(ID) :] for line in written.splitlines()[1:])
    assert "".join(shown.split()) == "alice" + "".join(str(ROW["user_agent"]).split())
    if width > 52:
        assert max(len(line) for line in written.splitlines()) <= width


def test_a_wide_terminal_has_one_line_a_row(on_terminal: Callable[[int], Terminal]) -> None:
    terminal = on_terminal(100)
    show_rows([ROW, ROW], COLUMNS, as_json=False)
    assert len(terminal.text().splitlines()) == 3


@pytest.mark.parametrize("width", [None, 200])
@pytest.mark.parametrize("show", [show_rows, show_fields])
def test_data_neither_steers_the_terminal_nor_counts_as_markup(
    show: Callable[..., None],
    width: int | None,
    on_terminal: Callable[[int], Terminal],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A user agent is written by whoever sends the request (CWE-150)."""
    terminal = on_terminal(width) if width else None
    row = {"session_id": ID, "username": "[red]alice[/red] :smile:", "user_agent": ATTACK}
    arguments = ([row], COLUMNS) if show is show_rows else (row,)
    show(*arguments, as_json=False, title=f"Sessions of [bold]{ATTACK}")
    written = terminal.text() if terminal else capsys.readouterr().out
    assert all(char.isprintable() for char in written.replace("\n", ""))
    assert "[red]alice[/red] :smile:" in written
    assert written.count(r"\x1b]0;owned\x07\x9b2J\u202e\r\n") == 2
    assert "Sessions of [bold]" in written


def test_visible_leaves_letters_and_spaces_of_every_script() -> None:
    assert visible("Zoë Müller 山田\u3000太郎 \U0001f642\xa0") == "Zoë Müller 山田\u3000太郎 \U0001f642\xa0"
    assert visible("a\u200bb\u2028c\x7f\ud800") == r"a\u200bb\u2028c\x7f\ud800"


def test_values_are_shown_as_people_read_them(capsys: pytest.CaptureFixture[str]) -> None:
    moment = datetime(2026, 3, 1, 12, 30, 15, 987654, tzinfo=timezone(timedelta(hours=2)))
    fields = {
        "last_activity": moment,
        "is_active": True,
        "is_trusted": False,
        "location": None,
        "session_type": SessionType.WEB,
        "groups": ("/staff", "/it\n"),
        "preferences": {"theme": "dark", "seen": moment},
        "rotations": 3,
    }
    show_fields(fields, as_json=False)
    shown = dict(line.split("  ", 1) for line in capsys.readouterr().out.splitlines())
    assert {name: value.strip() for name, value in shown.items()} == {
        "last activity": "2026-03-01 10:30:15Z",
        "is active": "yes",
        "is trusted": "no",
        "location": "-",
        "session type": "web",
        "groups": r"/staff, /it\n",
        "preferences": "theme=dark, seen=2026-03-01 10:30:15Z",
        "rotations": "3",
    }


def test_a_field_is_never_folded(on_terminal: Callable[[int], Terminal]) -> None:
    terminal = on_terminal(20)
    show_fields({"session_id": ID}, as_json=False)
    assert terminal.text() == f"session id  {ID}\n"


def test_a_name_that_the_encoding_lacks_is_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="latin-1"))
    show_rows([{"username": "Łucja"}], [Column("username")], as_json=False)
    show_fields({"username": "Łucja"}, as_json=False)
    sys.stdout.flush()
    assert written.getvalue().count(rb"\u0141ucja") == 2


def test_json_has_all_fields_times_in_utc_and_nothing_that_steers_a_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    moment = datetime(2026, 3, 1, 12, 30, tzinfo=timezone(timedelta(hours=2)))
    row = {
        **ROW,
        "user_agent": ATTACK,
        "at": moment,
        "idle": timedelta(minutes=1),
        "type": SessionType.WEB,
        "groups": frozenset({"b", "a"}),
    }
    show_rows((row,), COLUMNS[:1], as_json=True, title="Sessions")
    written = capsys.readouterr().out
    assert written.isascii()
    assert "\x1b" not in written
    assert json.loads(written) == [
        {**row, "at": "2026-03-01T10:30:00+00:00", "idle": 60.0, "type": "web", "groups": ["a", "b"]}
    ]


def test_one_thing_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    show_fields(ROW, as_json=True, title="Session")
    assert json.loads(capsys.readouterr().out) == ROW


def test_an_empty_list_is_a_sentence_for_people_and_a_list_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    show_rows([], COLUMNS, as_json=False, title="Sessions", empty="Nobody is signed in.")
    assert capsys.readouterr().out == "Nobody is signed in.\n"
    show_rows([], COLUMNS, as_json=True, title="Sessions", empty="Nobody is signed in.")
    assert json.loads(capsys.readouterr().out) == []


@pytest.mark.parametrize("as_json", [False, True])
def test_a_time_without_zone_is_refused_rather_than_guessed_at(*, as_json: bool) -> None:
    with pytest.raises(ValueError, match="without time zone"):
        show_fields({"at": datetime(2026, 3, 1)}, as_json=as_json)  # noqa: DTZ001 - what is refused


def test_what_has_no_form_in_json_is_refused_by_its_type() -> None:
    with pytest.raises(TypeError, match="bytes has no form in JSON"):
        show_fields({"secret": b"geheim"}, as_json=True)
