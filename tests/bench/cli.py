"""How long `keycloak-bridge --help` takes, installed from a built wheel, beside a Python that does nothing."""

import os
import re
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.bench.figures import BenchmarkFailed, build_ratio, build_spread
from tests.bench.machine import python_version
from tests.bench.page import KEPT, MISSED, Result
from tests.bench.service import find_command

LIMIT_SECONDS = 0.5
ROUNDS = 10
_ROOT = Path(__file__).resolve().parents[2]
_NOTES = """\
* Seconds of wall time: least, median and greatest of {rounds} rounds; every file was read once before.
* The command comes from {origin}, and takes {times:.1f} times as long as starting Python.
"""
_PIN = re.compile(r"^([A-Za-z0-9_.-]+==[^\s;\\]+)", re.MULTILINE)


def measure(directory: Path, *, rounds: int, say: Callable[[str], None]) -> Result:
    """Run the benchmark."""
    say("Installing the wheel into an empty environment ...")
    command, origin = _install(directory, say=say)
    ours, bare = [str(command), "--help"], [str(command.with_name("python")), "-c", "pass"]
    _check_help(ours, directory)
    _run(bare, directory)
    helped: list[float] = []
    nothing: list[float] = []
    for _ in range(rounds):
        nothing.append(_run(bare, directory))
        helped.append(_run(ours, directory))
    median = build_spread(helped).median
    within = KEPT if median < LIMIT_SECONDS else MISSED
    return Result(
        name="cli",
        title="Start of the command",
        columns=("command", "least", "median", "greatest", "limit", ""),
        rows=[
            ["keycloak-bridge --help", *build_spread(helped).cells(3), f"{LIMIT_SECONDS:.3f}", within],
            ["python -c pass", *build_spread(nothing).cells(3), "", ""],
        ],
        notes=_NOTES.format(rounds=rounds, origin=origin, times=build_ratio(helped, nothing).median),
        versions=[python_version()],
    )


def _install(directory: Path, *, say: Callable[[str], None]) -> tuple[Path, str]:
    """Return the command of the built wheel, else of the environment that runs us, and words for which it is."""
    try:
        _said([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(directory)], cwd=_ROOT)
        (wheel,) = directory.glob("*.whl")
        return _install_wheel(directory, wheel), "a built wheel in an environment of its own"
    except BenchmarkFailed as failure:
        say(f"No wheel could be installed, so the environment of the benchmark is measured: {failure}")
        return find_command(), "the environment of the benchmark, installed in place"


def _install_wheel(directory: Path, wheel: Path) -> Path:
    # The hashes of the lock are for the packages it names; ours has none, and one mode excludes the other.
    pins = _PIN.findall((_ROOT / "requirements.lock").read_text(encoding="utf-8"))
    constraints = directory / "constraints.txt"
    constraints.write_text("\n".join(pins), encoding="utf-8")
    environment = directory / "environment"
    python = str(environment / "bin" / "python")
    uv = shutil.which("uv")
    venv.create(environment, with_pip=uv is None)
    if uv is None:
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    else:
        install = [uv, "pip", "install", "--quiet", "--compile-bytecode", "--python", python]
    _said([*install, "--constraint", str(constraints), str(wheel)], cwd=directory)
    return environment / "bin" / "keycloak-bridge"


def _check_help(command: Sequence[str], directory: Path) -> None:
    said = _said(command, cwd=directory)
    for name in ("serve", "migrate", "check", "sync"):
        if not re.search(rf"^\W*{name}\s", said, re.MULTILINE):
            raise BenchmarkFailed(f"keycloak-bridge --help does not name the command {name}")


def _run(command: Sequence[str], directory: Path) -> float:
    began = time.perf_counter()
    done = subprocess.run(command, cwd=directory, env=_environment(), capture_output=True, check=False)
    seconds = time.perf_counter() - began
    if done.returncode:
        raise BenchmarkFailed(f"{' '.join(command)} ended with status {done.returncode}")
    return seconds


def _said(command: Sequence[str], *, cwd: Path) -> str:
    done = subprocess.run(
        command, cwd=cwd, env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if done.returncode:
        raise BenchmarkFailed(f"{' '.join(command)} ended with status {done.returncode}: {done.stdout[-500:]}")
    return done.stdout


def _environment() -> dict[str, str]:
    """Return our environment without what would lead Python or the command elsewhere."""
    ours = ("KEYCLOAK_BRIDGE", "PYTHON", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}
