"""What all commands share: settings, database and package of a step, how it ends, and completion by the shell."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog
import typer
from typer.testing import CliRunner, Result

from bridge.cli import app, main
from bridge.cli.opening import Opened, run
from bridge.cli.options import JsonOption, PackageOption, choose_package
from bridge.cli.outcome import INCOMPLETE, TellingGroup
from bridge.cli.output import Column, show_rows
from bridge.errors import ConfigurationError, KeycloakUnavailable
from tests.servers import MariadbServer
from tests.skipping import skip_because
from tests.unit.settings import load, spoil

ATTACK = "\x1b]0;owned\x07\r\n"
GUESTS = """
[packages.guests]
issuer = "https://keycloak.example.com/realms/guests"
client_id = "bridge"
client_secret = "geheim"

[packages.staff]"""


@pytest.fixture
def config(sqlite_template: Path, tmp_path: Path) -> Path:
    """A configuration of one package, `staff`, with a migrated database."""
    shutil.copyfile(sqlite_template, tmp_path / "bridge.db")
    path = tmp_path / "bridge.toml"
    database = f'url = "sqlite:///{tmp_path}/bridge.db"'
    path.write_text(spoil('url = "postgresql://bridge:geheim-database@db.example.com/sso"', database), encoding="utf-8")
    return path


@pytest.fixture
def invoke(config: Path) -> Iterator[Callable[..., Result]]:
    """Give the function that runs a command of the test's own the way `keycloak-bridge` runs its commands."""
    before = structlog.get_config()

    def invoke(command: Callable[..., None], *words: str) -> Result:
        probe = typer.Typer(cls=TellingGroup)
        probe.callback()(main)
        probe.command("probe")(command)
        return CliRunner().invoke(probe, ["--config", str(config), "probe", *words])

    yield invoke
    # The command has pointed the logs at a stream that ends with the runner.
    structlog.configure(**before)


def complete(words: str) -> list[str]:
    """Return what a shell is offered after these words."""
    environment = {
        "_KEYCLOAK_BRIDGE_COMPLETE": "complete_bash",
        "COMP_WORDS": f"keycloak-bridge {words}",
        "COMP_CWORD": str(words.count(" ") + 1),
    }
    answer = CliRunner().invoke(app, prog_name="keycloak-bridge", env=environment)
    assert answer.exit_code == 0
    return answer.stdout.split()


def test_a_step_gets_settings_the_open_database_and_the_time(invoke: Callable[..., Result]) -> None:
    def command(context: typer.Context, package: PackageOption = None, *, as_json: JsonOption = False) -> None:
        async def step(opened: Opened) -> Mapping[str, object]:
            async with opened.database.reading() as db:
                return {"package": choose_package(opened.settings, package), "on": db.dialect.name, "at": opened.now()}

        show_rows([run(context, step)], [Column("package")], as_json=as_json)

    before = datetime.now(tz=UTC)
    (row,) = json.loads(invoke(command, "--json").stdout)
    assert before <= datetime.fromisoformat(row.pop("at")) <= datetime.now(tz=UTC)
    assert row == {"package": "staff", "on": "sqlite"}
    assert invoke(command).stdout == "PACKAGE\nstaff\n"
    unknown = invoke(command, "--package", "nobody", "--json")
    assert (unknown.exit_code, unknown.stdout) == (2, "")
    assert unknown.stderr == "There is no package nobody.\n  Name one with --package: staff.\n"


def test_an_error_of_a_step_is_a_sentence_with_its_hint_and_evidence_and_ends_with_1(
    invoke: Callable[..., Result],
) -> None:
    def command(context: typer.Context) -> None:
        async def step(_: Opened) -> None:
            raise KeycloakUnavailable("It is gone.\nReally \x1b[2J.", hint="Wait.", evidence={"said": ATTACK})

        run(context, step)

    answer = invoke(command)
    assert (answer.exit_code, answer.stdout) == (1, "")
    assert answer.stderr.splitlines() == [
        "It is gone.",
        r"Really \x1b[2J.",
        "  Wait.",
        r"  said: \x1b]0;owned\x07\r\n",
    ]


def test_a_database_without_schema_is_refused_before_the_step(invoke: Callable[..., Result], config: Path) -> None:
    def command(context: typer.Context) -> None:
        async def step(_: Opened) -> None:
            raise AssertionError("the step has begun")

        run(context, step)

    (config.parent / "bridge.db").unlink()
    answer = invoke(command)
    assert answer.exit_code == 1
    assert answer.stderr.endswith("  Run: keycloak-bridge migrate\n")


def test_a_mariadb_that_keeps_another_time_is_refused_before_the_step(
    invoke: Callable[..., Result],
    mariadb_server: MariadbServer,
    mariadb_template: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def command(context: typer.Context) -> None:
        async def step(_: Opened) -> None:
            raise AssertionError("the step has begun")

        run(context, step)

    monkeypatch.setenv("KEYCLOAK_BRIDGE__DATABASE__URL", mariadb_template("command_clock"))
    mariadb_server.execute(["SET GLOBAL time_zone = '+02:00'"])
    try:
        answer = invoke(command)
    finally:
        mariadb_server.execute(["SET GLOBAL time_zone = '+00:00'"])
        mariadb_server.drop_database("command_clock")
    assert answer.exit_code == 1
    assert "MariaDB's time zone is +02:00" in answer.stderr


@pytest.mark.parametrize(
    ("end", "status"),
    [
        (typer.Exit(INCOMPLETE), 3),
        (typer.BadParameter("no"), 2),
        (ConfigurationError("no"), 2),
    ],
)
def test_a_command_ends_with_its_status(invoke: Callable[..., Result], end: Exception, status: int) -> None:
    def command() -> None:
        raise end

    assert invoke(command).exit_code == status


def test_ctrl_c_stops_a_step_and_ends_with_130(invoke: Callable[..., Result]) -> None:
    def command(context: typer.Context) -> None:
        async def step(_: Opened) -> None:
            signal.raise_signal(signal.SIGINT)
            await asyncio.Event().wait()

        run(context, step)

    # Whoever runs the tests in the background of a shell has told their process to ignore it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert invoke(command).exit_code == 130
    finally:
        signal.signal(signal.SIGINT, before)


def test_of_several_packages_one_must_be_named(tmp_path: Path) -> None:
    settings = load(tmp_path, spoil("[packages.staff]", GUESTS))
    assert choose_package(settings, "guests") == "guests"
    with pytest.raises(ConfigurationError, match="There is more than one package") as caught:
        choose_package(settings, None)
    assert caught.value.hint == "Name one with --package: guests, staff."


def test_completion_names_commands_groups_and_options() -> None:
    assert set(complete("")) >= {"serve", "migrate", "check", "sync"}
    assert complete("sync r") == ["run"]
    assert set(complete("sync run --")) >= {"--package", "--json", "--help"}
    assert set(complete("--")) >= {"--config", "--version", "--install-completion", "--show-completion"}


def test_completion_offers_the_types_of_sessions() -> None:
    assert complete("session list --type ") == ["web", "api", "mobile", "console"]
    assert complete("session end --user alice --type c") == ["console"]
    assert complete("session create alice --type ") == ["api", "console"]


def test_bash_completes_after_install_completion(tmp_path: Path) -> None:
    bash = shutil.which("bash") or skip_because("the program bash is not on the PATH")
    program = Path(sys.executable).with_name("keycloak-bridge")
    script = """
        keycloak-bridge --install-completion >/dev/null && source "$HOME/.bashrc" || exit
        COMP_WORDS=(keycloak-bridge sync r) COMP_CWORD=2
        _keycloak_bridge_completion keycloak-bridge && echo "${COMPREPLY[@]}"
    """
    environment = {"HOME": str(tmp_path), "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run([bash, "--norc", "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("run\n", "")
