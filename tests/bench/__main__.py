"""The command line of the benchmarks; see the package for what they are."""
# ruff: noqa: T201 - it speaks to the person who runs it

import argparse
import signal
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import httpx

from bridge.errors import BridgeError
from deploy.demo.child import ChildFailed
from deploy.demo.keycloak_source import KeycloakMissing
from deploy.demo.ports import PortTaken
from tests.bench import cli, killed, login, storage, sync
from tests.bench.figures import BenchmarkFailed
from tests.bench.machine import describe_machine
from tests.bench.page import Result, build_text, replace_section
from tests.servers import ServerFailed

NAMES = ("login", "sync", "storage", "cli", "killed")
FAILURES = (BenchmarkFailed, BridgeError, ChildFailed, KeycloakMissing, PortTaken, ServerFailed, httpx.HTTPError)
INTERRUPTED = 128 + signal.SIGINT


def main(arguments: list[str]) -> int:
    """Run the benchmarks that were asked for; 1 when one could not be measured, or missed a limit."""
    # Leaves the blocks that stop servers and remove directories, as Ctrl-C does.
    # A shell that starts us in the background would have it ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    asked = _parser().parse_args(arguments)
    status = 0
    for name in asked.names or NAMES:
        try:
            result = _measure(name, asked)
        except FAILURES as failure:
            _say(f"{name}: {type(failure).__name__}: {failure}")
            status = 1
            continue
        command = " ".join(["python -m tests.bench", name, *_options(name, asked)])
        text = build_text(result, command=command, machine=describe_machine(), day=datetime.now(tz=UTC).date())
        print(text, flush=True)
        if result.has_missed:
            _say(f"{name}: a promised limit was missed")
            status = 1
        if asked.write:
            replace_section(name, text)
    return status


def _measure(name: str, asked: argparse.Namespace) -> Result:
    with tempfile.TemporaryDirectory(prefix="bridge-bench-") as place:
        directory = Path(place)
        if name == "login":
            return login.measure(directory, rounds=asked.rounds or login.ROUNDS, say=_say)
        if name == "sync":
            return sync.measure(directory, rounds=asked.rounds or sync.ROUNDS, users=asked.users, say=_say)
        if name == "storage":
            return storage.measure(directory, rounds=asked.rounds or storage.ROUNDS, sessions=asked.sessions, say=_say)
        if name == "killed":
            return killed.measure(directory, rounds=asked.rounds or killed.ROUNDS, say=_say)
        return cli.measure(directory, rounds=asked.rounds or cli.ROUNDS, say=_say)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure what is promised in ratios.")
    parser.add_argument("names", nargs="*", metavar="|".join(NAMES), help="which; all of them without", type=_name)
    parser.add_argument("--rounds", type=_positive, help="how often each pair is measured")
    parser.add_argument("--users", type=_enough, default=sync.PEOPLE, help="people in the realm of sync (%(default)s)")
    parser.add_argument(
        "--sessions", type=_divisible, default=storage.SESSIONS, help="sessions of storage (%(default)s)"
    )
    parser.add_argument("--write", action="store_true", help="put the tables into deploy/docs/benchmarks.md")
    return parser


def _options(name: str, asked: argparse.Namespace) -> list[str]:
    options = ["--rounds", str(asked.rounds)] if asked.rounds else []
    if name == "sync" and asked.users != sync.PEOPLE:
        options += ["--users", str(asked.users)]
    if name == "storage" and asked.sessions != storage.SESSIONS:
        options += ["--sessions", str(asked.sessions)]
    return options


def _name(text: str) -> str:
    if text not in NAMES:
        raise argparse.ArgumentTypeError(f"{text} is none of {', '.join(NAMES)}")
    return text


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


def _enough(text: str) -> int:
    number = int(text)
    if number < sync.WITH_SESSION:
        raise argparse.ArgumentTypeError(f"{text} is less than the {sync.WITH_SESSION} who have a session")
    return number


def _divisible(text: str) -> int:
    number = int(text)
    if number < storage.STEP or number % storage.STEP:
        raise argparse.ArgumentTypeError(f"{text} is no multiple of {storage.STEP:,}")
    return number


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
