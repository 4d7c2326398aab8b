"""How one Keycloak is run: from a working directory of its own, or in a container.

A Keycloak writes beside its program: data, and what it builds on its first start. So each server gets a directory with
copies of the small parts and a link to the big one, and the unpacked distribution stays as it came. What was built is
kept in the cache, because the next start is ready in a third of the time when it finds it.
"""

import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from deploy.demo.keycloak_source import IMAGE, Distribution, DockerEngine, cache_directory
from deploy.demo.ports import HOST

# One build serves both: the database that survives a restart differs by its address only, which is no build option.
# WRITE_DELAY=0 makes an answered request survive a kill.
_DATABASE = "--db=dev-mem"
_FILE_DATABASE = "--db-url=jdbc:h2:file:{data}/keycloak;NON_KEYWORDS=VALUE;WRITE_DELAY=0"
_BUILD = ("--health-enabled=true", "--metrics-enabled=true")
_RUN_TIME_ONLY = ("--db-", "--hostname", "--http-", "--log")
_CONTAINER_HOME = "/opt/keycloak"


class Launch(Protocol):
    """One way to run Keycloak; the same object serves for several starts."""

    def command(self, *, port: int, management_port: int) -> list[str]:
        """Return the command that runs Keycloak in the foreground."""

    def environment(self, bootstrap: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of the command; `bootstrap` holds what Keycloak itself is to see."""

    def keep(self) -> None:
        """Save what makes the next start faster; called when the server is ready."""

    def kill(self) -> None:
        """End what killing the command would leave behind."""

    def remove(self) -> None:
        """Remove the data."""


class WorkingHome:
    """A distribution with a working directory of its own, which `remove` deletes."""

    def __init__(
        self,
        distribution: Distribution,
        *,
        environ: Mapping[str, str],
        persistent: bool,
        options: Sequence[str],
        providers: Sequence[Path],
    ) -> None:
        self._distribution = distribution
        self._environ = environ
        self._persistent = persistent
        self._options = options
        self.directory = Path(tempfile.mkdtemp(prefix="keycloak-"))
        _assemble(distribution.home, self.directory)
        for provider in providers:
            shutil.copy2(provider, self.directory / "providers")
        self._built = cache_directory(environ) / "built" / self._build_key(providers)
        if self._built.is_dir():
            shutil.copytree(self._built, self.directory / "lib" / "quarkus", dirs_exist_ok=True)

    def command(self, *, port: int, management_port: int) -> list[str]:
        """Return the command that runs Keycloak in the foreground."""
        options = _options(self.directory / "data", persistent=self._persistent, extra=self._options)
        addresses = [f"--http-host={HOST}", f"--http-port={port}", f"--http-management-port={management_port}"]
        start = ["/bin/sh", str(self.directory / "bin" / "kc.sh"), "start-dev"]
        return [*start, *addresses, f"--hostname=http://{HOST}:{port}", *options]

    def environment(self, bootstrap: Mapping[str, str]) -> dict[str, str]:
        """Return our own environment without what would change Keycloak behind our back."""
        heap = self._environ.get("JAVA_OPTS_KC_HEAP", "-Xms256m -Xmx1g")
        ours = {k: v for k, v in self._environ.items() if not k.startswith(("KC_", "KEYCLOAK_", "JAVA_"))}
        return {**ours, "JAVA": self._distribution.java, "JAVA_OPTS_KC_HEAP": heap, **bootstrap}

    def keep(self) -> None:
        """Put what was built into the cache, unless it is there already."""
        if self._built.is_dir():
            return
        self._built.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._built.parent, prefix="saving-") as directory:
            copy = Path(directory) / "quarkus"
            shutil.copytree(self.directory / "lib" / "quarkus", copy)
            try:
                copy.rename(self._built)
            except OSError:
                # Another server was ready first and saved the same; renaming onto its directory fails.
                if not self._built.is_dir():
                    raise

    def kill(self) -> None:
        """Leave it to the caller: the processes are all in one group."""

    def remove(self) -> None:
        """Delete the working directory."""
        shutil.rmtree(self.directory, ignore_errors=True)

    def _build_key(self, providers: Sequence[Path]) -> str:
        """Name the build by all that goes into it; a wrong hit is harmless, Keycloak then builds anew."""
        home = self._distribution.home
        parts = [str(home), (home / "version.txt").read_text(encoding="utf-8"), self._distribution.java]
        parts += [option for option in self._options if not option.startswith(_RUN_TIME_ONLY)]
        jars = sorted([*providers, *(home / "providers").glob("*.jar")])
        parts += [f"{jar} {jar.stat().st_mtime_ns}" for jar in jars]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


class Container:
    """The image of the same version in a Docker engine."""

    def __init__(
        self, engine: DockerEngine, *, persistent: bool, options: Sequence[str], providers: Sequence[Path]
    ) -> None:
        self._docker = engine.docker
        self._persistent = persistent
        self._options = options
        self._providers = providers
        self._name = f"keycloak-bridge-{os.getpid()}-{id(self):x}"

    def command(self, *, port: int, management_port: int, system: str = platform.system()) -> list[str]:
        """Return the command that runs the container in the foreground.

        On Linux it shares the network of the host, so that Keycloak reaches the bridge on the loopback address with its
        back-channel logouts. Elsewhere the engine is a virtual machine: there the ports are passed on.
        """
        if system == "Linux":
            network, http_host, inside = ["--network=host"], HOST, (port, management_port)
        else:
            inside = (8080, 9000)
            published = [f"--publish={HOST}:{port}:{inside[0]}", f"--publish={HOST}:{management_port}:{inside[1]}"]
            network, http_host = published, "0.0.0.0"  # noqa: S104  inside the container; published on loopback only
        volumes = [f"--volume={jar.resolve()}:{_CONTAINER_HOME}/providers/{jar.name}:ro" for jar in self._providers]
        if self._persistent:
            volumes.append(f"--volume={self._name}:{_CONTAINER_HOME}/data")
        run = [self._docker, "run", "--rm", f"--name={self._name}", *network, *volumes]
        variables = ["--env=KC_BOOTSTRAP_ADMIN_USERNAME", "--env=KC_BOOTSTRAP_ADMIN_PASSWORD"]
        addresses = [f"--http-host={http_host}", f"--http-port={inside[0]}", f"--http-management-port={inside[1]}"]
        options = _options(Path(_CONTAINER_HOME, "data"), persistent=self._persistent, extra=self._options)
        return [*run, *variables, IMAGE, "start-dev", *addresses, f"--hostname=http://{HOST}:{port}", *options]

    def environment(self, bootstrap: Mapping[str, str]) -> dict[str, str]:
        """Return the environment of the `docker` command, which passes the bootstrap variables on."""
        return {**os.environ, **bootstrap}

    def keep(self) -> None:
        """Do nothing: what a container builds dies with it."""

    def kill(self) -> None:
        """Kill the container, which the `docker` command would leave running."""
        subprocess.run([self._docker, "kill", self._name], capture_output=True, check=False)

    def remove(self) -> None:
        """Remove the volume of the data."""
        subprocess.run([self._docker, "volume", "rm", "--force", self._name], capture_output=True, check=False)


def _options(data: Path, *, persistent: bool, extra: Sequence[str]) -> list[str]:
    """Return the options that do not depend on the port; a database among `extra` replaces ours."""
    database = [_DATABASE] if not persistent else [_DATABASE, _FILE_DATABASE.format(data=data)]
    if any(option.startswith("--db=") for option in extra):
        database = []
    return [*_BUILD, *database, *extra]


def _assemble(home: Path, directory: Path) -> None:
    """Copy the parts that Keycloak writes to or locates itself by; link the 170 MB of libraries."""
    (directory / "bin").mkdir()
    (directory / "data").mkdir()
    shutil.copy2(home / "bin" / "kc.sh", directory / "bin")
    for part in ("conf", "providers", "lib/quarkus", "lib/app"):
        shutil.copytree(home / part, directory / part)
    for source in (*home.iterdir(), *(home / "lib").iterdir()):
        place = directory / source.relative_to(home)
        if place.exists():
            continue
        if source.is_dir():
            place.symlink_to(source)
        else:
            shutil.copy2(source, place)
