"""What the tests need from the machine: `python -m tests.prerequisites` finds out what is missing and installs it.

As root on Debian (or a system with its package manager) it says what is missing and installs it. Elsewhere it prints
the one line to run and goes on; the tests that need it are then skipped, see `tests.skipping`. Uses the standard
library only and knows nothing of pytest.
"""
# ruff: noqa: T201 - it speaks to the person who runs the tests

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers.programs import ProgramMissing, mariadb_program, postgresql_program

JAVA_MAJOR = 17
_POLICY = Path("/usr/sbin/policy-rc.d")
_SERVICES = ("postgresql", "mariadb")
_DENY = "#!/bin/sh\n# Of the tests of keycloak-bridge: while packages are installed, no service is started.\nexit 101\n"


@dataclass(frozen=True)
class Prerequisite:
    """Something the tests need; `missing` says in plain words what is not there, or gives None."""

    title: str
    packages: tuple[str, ...]
    missing: Callable[[], str | None]


def main() -> int:
    """Install what is missing where that is possible, else say how; the tests run in any case."""
    lacking = find_missing()
    if not lacking:
        print("The tests find everything they need on this machine.")
        return 0
    print("The tests need what this machine does not have:")
    for prerequisite, reason in lacking:
        print(f"  {prerequisite.title}: {reason}")
    packages = sorted({package for prerequisite, _ in lacking for package in prerequisite.packages})
    if not shutil.which("apt-get"):
        print(f"Install them with your system's package manager; Debian's names are: {' '.join(packages)}")
    elif os.geteuid() != 0:
        print(f"To install them: sudo apt-get install --no-install-recommends {' '.join(packages)}")
    else:
        _install(packages)
    return 0


def find_missing() -> list[tuple[Prerequisite, str]]:
    """Return what is missing, each with the reason."""
    reasons = ((prerequisite, prerequisite.missing()) for prerequisite in PREREQUISITES.values())
    return [(prerequisite, reason) for prerequisite, reason in reasons if reason is not None]


def _install(packages: list[str]) -> None:
    print(f"Installing them: {' '.join(packages)} ...", flush=True)
    quiet = ("apt-get", "--quiet=2", "-o", "Dpkg::Use-Pty=0")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with _services_not_started():
        for command in (("update",), ("install", "--yes", "--no-install-recommends", *packages)):
            done = subprocess.run(
                [*quiet, *command], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
            )
            if done.returncode != 0:
                sys.stdout.buffer.write(done.stdout)
                print(f"apt-get {command[0]} failed with status {done.returncode}; the tests go on without.")
    for prerequisite, reason in find_missing():
        print(f"Still missing: {prerequisite.title}: {reason}")


@contextmanager
def _services_not_started() -> Iterator[None]:
    """Keep Debian's own servers off their ports: neither started now nor when the machine starts again."""
    there = {service for service in _SERVICES if Path(f"/lib/systemd/system/{service}.service").exists()}
    before = _POLICY.read_bytes() if _POLICY.exists() else None
    mode = _POLICY.stat().st_mode & 0o777 if before is not None else 0o755
    _POLICY.write_text(_DENY, encoding="utf-8")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        if before is None:
            _POLICY.unlink()
        else:
            _POLICY.write_bytes(before)
            _POLICY.chmod(mode)
    added = [service for service in _SERVICES if service not in there and _has_systemd()]
    for service in added:
        subprocess.run(["systemctl", "--quiet", "disable", service], check=False)


def _has_systemd() -> bool:
    return Path("/run/systemd/system").is_dir()


def _first_missing(find: Callable[[str], Path], names: tuple[str, ...]) -> str | None:
    try:
        for name in names:
            find(name)
    except ProgramMissing as error:
        return str(error)
    return None


def _missing_postgresql() -> str | None:
    return _first_missing(postgresql_program, ("initdb", "postgres"))


def _missing_mariadb() -> str | None:
    return _first_missing(mariadb_program, ("mariadb-install-db", "mariadbd"))


def _missing_chromium() -> str | None:
    return None if shutil.which("chromium") else "the program chromium is not on the PATH"


def _missing_git() -> str | None:
    return None if shutil.which("git") else "the program git is not on the PATH"


def _missing_java() -> str | None:
    if os.environ.get("KEYCLOAK_URL") or _docker_answers():
        return None
    home = os.environ.get("JAVA_HOME")
    java = str(Path(home, "bin", "java")) if home else shutil.which("java")
    if java is None or not Path(java).is_file():
        return f"the program {java or 'java'} was not found; Keycloak needs Java {JAVA_MAJOR} or newer"
    said = subprocess.run([java, "-version"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    version = re.search(rb'version "(\d+)', said.stdout)
    if version is None or int(version[1]) < JAVA_MAJOR:
        found = version[1].decode() if version else "unreadable"
        return f"{java} has version {found}; Keycloak needs Java {JAVA_MAJOR} or newer"
    return None


def _missing_maven() -> str | None:
    if os.environ.get("KEYCLOAK_URL") or os.environ.get("KEYCLOAK_HOME") or _docker_answers():
        return None
    return None if shutil.which("mvn") else "the program mvn is not on the PATH; it fetches Keycloak"


def _docker_answers() -> bool:
    if not shutil.which("docker"):
        return False
    try:
        done = subprocess.run(["docker", "info"], capture_output=True, timeout=10, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


PREREQUISITES = {
    "postgresql": Prerequisite("PostgreSQL", ("postgresql",), _missing_postgresql),
    "mariadb": Prerequisite("MariaDB", ("mariadb-server",), _missing_mariadb),
    # A page without any font shows nothing that a person, or a test, could read.
    "chromium": Prerequisite("Chromium", ("chromium", "fonts-dejavu-core"), _missing_chromium),
    "git": Prerequisite("git", ("git",), _missing_git),
    "java": Prerequisite("Java", ("default-jre-headless",), _missing_java),
    "maven": Prerequisite("Maven", ("maven",), _missing_maven),
}
"""By name; `tests.skipping.require` takes these names."""


if __name__ == "__main__":
    sys.exit(main())
