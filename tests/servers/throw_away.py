"""A server in a temporary directory that ends with us, however we end."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from deploy.demo.ports import free_port

READY_SECONDS = 60.0
STOP_SECONDS = 10.0
_LAST_LINES = 15
_MEMORY = Path("/dev/shm")
_MEMORY_NEEDED = 2 << 30
_PORT_ATTEMPTS = 5
_PORT_TAKEN = ("Address already in use", "could not bind")
# The watcher reads a pipe whose other end only we hold. However we die the pipe closes; then it ends the server and
# removes the directory. It has a session of its own, so that the Ctrl-C of a terminal does not reach it.
_WATCHER = """
read -r _
kill -s "$2" "$1"
for _ in 1 2 3 4 5 6 7 8 9 10; do kill -0 "$1" || break; sleep 0.2; done
kill -s KILL "$1"
rm -rf -- "$3"
"""


class ServerFailed(Exception):
    """A program of a server failed; the message quotes the end of what it said."""


@contextmanager
def open_directory(prefix: str, *, owner: str | None) -> Iterator[Path]:
    """Give a new directory that belongs to `owner` (to us when None), and remove it with all it holds."""
    directory = Path(tempfile.mkdtemp(prefix=prefix, dir=_fast_place()))
    try:
        if owner is not None:
            shutil.chown(directory, owner, owner)
        yield directory
    finally:
        # A child of the server that is just ending may still write; nobody needs what it leaves.
        shutil.rmtree(directory, ignore_errors=True)


def run_to_end(command: Sequence[str | Path], *, directory: Path, owner: str | None) -> None:
    """Run a program that prepares a server.

    Raises:
        ServerFailed: it ended with another status than 0.
    """
    done = subprocess.run(
        command,
        cwd=directory,
        env=_environment(),
        user=owner,
        group=owner,
        extra_groups=None if owner is None else [],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        raise ServerFailed(f"{Path(command[0]).name} failed with status {done.returncode}:\n{_end_of(done.stdout)}")


@contextmanager
def run_on_free_port(
    command: Callable[[int], Sequence[str | Path]],
    *,
    directory: Path,
    owner: str | None,
    is_ready: Callable[[], bool],
    stop_signal: signal.Signals,
) -> Iterator[int]:
    """Run the server until the block ends and give its port; `command` makes the command line for a port.

    Raises:
        ServerFailed: it ended while it was starting, or was not ready in time.
    """
    for attempt in range(1, _PORT_ATTEMPTS + 1):
        port = free_port()
        log = directory / "log"
        server = _ThrowAwayServer(command(port), directory, log, owner, stop_signal)
        try:
            # Somebody else may take the port between our look and the server's own bind; then another one is tried.
            if not server.wait_until(is_ready) and attempt < _PORT_ATTEMPTS and _is_port_taken(log):
                continue
            server.check_running()
            yield port
            return
        finally:
            server.stop()


class _ThrowAwayServer:
    """The process and its watcher."""

    def __init__(
        self,
        command: Sequence[str | Path],
        directory: Path,
        log: Path,
        owner: str | None,
        stop_signal: signal.Signals,
    ) -> None:
        self._name = Path(command[0]).name
        self._log = log
        self._stop_signal = stop_signal
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                cwd=directory,
                env=_environment(),
                user=owner,
                group=owner,
                extra_groups=None if owner is None else [],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._watcher = subprocess.Popen(
            ["/bin/sh", "-c", _WATCHER, "watcher", str(self._process.pid), stop_signal.name[3:], str(directory)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def wait_until(self, is_ready: Callable[[], bool]) -> bool:
        """Return whether it became ready; False when the process ended before or the time is over."""
        deadline = time.monotonic() + READY_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            if is_ready():
                return True
            time.sleep(0.01)
        if self._process.poll() is None:
            raise ServerFailed(f"{self._name} was not ready after {READY_SECONDS:.0f} seconds:\n{self._last_lines()}")
        return False

    def check_running(self) -> None:
        """Raise `ServerFailed` with the end of the log when the process has ended."""
        status = self._process.poll()
        if status is not None:
            raise ServerFailed(f"{self._name} ended with status {status}:\n{self._last_lines()}")

    def stop(self) -> None:
        """End the process and the watcher."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(self._stop_signal)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        # Killed before its pipe closes: it must not act on a number that may belong to another process by then.
        self._watcher.kill()
        self._watcher.wait()
        if self._watcher.stdin is not None:
            self._watcher.stdin.close()

    def _last_lines(self) -> str:
        return _end_of(self._log.read_text(encoding="utf-8", errors="replace"))


def owner_when_root(user: str) -> str | None:
    """Return the user a server runs as: the package's own when we are root, else None for ourselves."""
    return user if os.geteuid() == 0 else None


def _fast_place() -> Path | None:
    """Return the memory file system where there is room in it, else None for the system's temporary directory."""
    # A copy of a database is two hundred small files; in memory it takes a tenth of the time.
    if os.environ.get("TMPDIR") or not os.access(_MEMORY, os.W_OK | os.X_OK):
        return None
    return _MEMORY if shutil.disk_usage(_MEMORY).free > _MEMORY_NEEDED else None


def _environment() -> dict[str, str]:
    """Return our environment without the variables that would steer the servers' programs elsewhere."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "MYSQL", "MARIADB"))}
    return ours | {"LC_ALL": "C", "TZ": "UTC"}


def _is_port_taken(log: Path) -> bool:
    text = log.read_text(encoding="utf-8", errors="replace")
    return any(sign in text for sign in _PORT_TAKEN)


def _end_of(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines()[-_LAST_LINES:]) or "    (nothing said)"
