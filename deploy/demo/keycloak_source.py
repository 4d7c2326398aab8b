"""Where Keycloak comes from, in this order: a running one, an unpacked one, a Docker engine, Maven and Java."""

import fcntl
import re
import shutil
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

VERSION = "26.7.5"
IMAGE = f"quay.io/keycloak/keycloak:{VERSION}"
_ARTIFACT = f"org.keycloak:keycloak-quarkus-dist:{VERSION}:zip"
_COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy"
_OLDEST_JAVA = 17
_CHOICES = f"""Provide one of these:
  KEYCLOAK_URL    a Keycloak that runs, with KEYCLOAK_ADMIN and KEYCLOAK_ADMIN_PASSWORD of its master realm
  KEYCLOAK_HOME   an unpacked Keycloak {VERSION} distribution, and Java {_OLDEST_JAVA} or newer
  Docker          a running engine (`docker info` succeeds)
  Maven and Java  `mvn` on the PATH and Java {_OLDEST_JAVA} or newer: Keycloak {VERSION} is fetched once"""


class KeycloakMissing(Exception):
    """There is no Keycloak to use here; the message says what is missing and what to provide."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"No Keycloak to use: {reason}.\n{_CHOICES}")


@dataclass(frozen=True)
class RunningServer:
    """A Keycloak that somebody else started."""

    url: str
    admin_username: str
    admin_password: str


@dataclass(frozen=True)
class Distribution:
    """An unpacked Keycloak, which we never write to, and the Java that runs it."""

    home: Path
    java: str


@dataclass(frozen=True)
class DockerEngine:
    """A Docker engine that answers."""

    docker: str


def find_source(environ: Mapping[str, str]) -> RunningServer | Distribution | DockerEngine:
    """Return the first source that the environment offers, fetching the distribution if that is the one."""
    if environ.get("KEYCLOAK_URL"):
        return _running_server(environ)
    if environ.get("KEYCLOAK_HOME"):
        home = check_distribution(Path(environ["KEYCLOAK_HOME"]).expanduser(), named="KEYCLOAK_HOME")
        return Distribution(home=home, java=find_java(environ))
    docker = shutil.which("docker", path=environ.get("PATH"))
    if docker and _engine_answers(docker):
        return DockerEngine(docker=docker)
    return Distribution(home=_fetched(environ), java=find_java(environ))


def cache_directory(environ: Mapping[str, str]) -> Path:
    """Return the directory for what may be fetched or built again."""
    base = environ.get("XDG_CACHE_HOME") or Path(environ.get("HOME") or Path.home()) / ".cache"
    return Path(base) / "keycloak-bridge"


def check_distribution(home: Path, *, named: str) -> Path:
    """Return the absolute path when it is a distribution; `named` is what the person set."""
    for part in ("bin/kc.sh", "lib/quarkus-run.jar", "lib/quarkus"):
        if not (home / part).exists():
            raise KeycloakMissing(f"{named}={home} is no Keycloak distribution, {part} is not there")
    return home.resolve()


def find_java(environ: Mapping[str, str]) -> str:
    """Return the Java to run: that of JAVA_HOME, else the one on the PATH; it must be new enough."""
    java_home = environ.get("JAVA_HOME")
    java = shutil.which(f"{java_home}/bin/java" if java_home else "java", path=environ.get("PATH"))
    if java is None:
        where = f"JAVA_HOME={java_home} has no bin/java" if java_home else "no `java` on the PATH, JAVA_HOME is not set"
        raise KeycloakMissing(f"Java is missing ({where})")
    answer = subprocess.run([java, "-version"], capture_output=True, text=True, check=False, env=dict(environ))
    found = re.search(r'version "(?:1\.)?(\d+)[^"]*"', answer.stderr + answer.stdout)
    if found is None:
        raise KeycloakMissing(f"{java} does not say its version")
    if int(found[1]) < _OLDEST_JAVA:
        raise KeycloakMissing(f"Java is too old ({java} is Java {found[1]}, at least {_OLDEST_JAVA} is needed)")
    return java


def _running_server(environ: Mapping[str, str]) -> RunningServer:
    username, password = environ.get("KEYCLOAK_ADMIN"), environ.get("KEYCLOAK_ADMIN_PASSWORD")
    if not username or not password:
        raise KeycloakMissing("KEYCLOAK_URL is set, but not both KEYCLOAK_ADMIN and KEYCLOAK_ADMIN_PASSWORD")
    return RunningServer(environ["KEYCLOAK_URL"].rstrip("/"), username, password)


def _engine_answers(docker: str) -> bool:
    try:
        return subprocess.run([docker, "info"], capture_output=True, check=False, timeout=15).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _fetched(environ: Mapping[str, str]) -> Path:
    """Return the distribution in the cache, fetching it first when it is not there yet."""
    find_java(environ)  # before 170 MB are fetched in vain
    cache = cache_directory(environ)
    home = cache / f"keycloak-{VERSION}"
    if home.is_dir():
        return check_distribution(home, named="the cache")
    maven = shutil.which("mvn", path=environ.get("PATH"))
    if maven is None:
        raise KeycloakMissing("Maven is missing (no `mvn` on the PATH), and no Docker engine answers")
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache / "fetch.lock"):
        if not home.is_dir():  # else another process has fetched it while we waited
            _fetch(maven, home, environ)
    return check_distribution(home, named="the cache")


def _fetch(maven: str, home: Path, environ: Mapping[str, str]) -> None:
    """Unpack beside the destination and rename: whoever sees the directory sees all of it."""
    with tempfile.TemporaryDirectory(dir=home.parent, prefix="fetching-") as directory:
        command = [maven, "-B", "-q", _COPY, f"-Dartifact={_ARTIFACT}", f"-DoutputDirectory={directory}"]
        answer = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(environ), cwd=directory)
        archives = list(Path(directory).glob("*.zip"))
        if answer.returncode or not archives:
            last = "\n".join((answer.stdout + answer.stderr).strip().splitlines()[-8:])
            raise KeycloakMissing(f"Maven could not fetch {_ARTIFACT}:\n{last}\n")
        with zipfile.ZipFile(archives[0]) as archive:
            archive.extractall(directory)
        (Path(directory) / f"keycloak-{VERSION}").rename(home)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock that ends with the process, however that ends."""
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
