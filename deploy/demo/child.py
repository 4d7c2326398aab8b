"""A child process with a log file, which ends when we end it and does not outlive us."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

STOP_SECONDS = 15.0
_LAST_LINES = 15
# The watcher reads a pipe whose other end only we hold. However we die, the pipe closes; then it ends the group.
_WATCHER = "read -r _; kill -s TERM -- -$1 || exit 0; sleep 15; kill -s KILL -- -$1"


class ChildFailed(Exception):
    """A process of the demo ended or did not become ready; the message quotes the end of its log."""


class Child:
    """One running command in a process group of its own, so that Ctrl-C reaches us first and we end it in order."""

    def __init__(
        self, name: str, command: Sequence[str], *, log: Path, env: Mapping[str, str], cwd: Path | None = None
    ) -> None:
        self.name = name
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log_start = log.stat().st_size if log.exists() else 0
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(env),
                cwd=cwd,
                start_new_session=True,
            )
        self._watcher = subprocess.Popen(
            ["/bin/sh", "-c", _WATCHER, "watcher", str(self._process.pid)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process.poll() is None

    def stop(self) -> None:
        """Ask the group to end, and insist after a while."""
        self._signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait()
        self._dismiss_watcher()

    def kill(self) -> None:
        """End the group at once, as a crash would."""
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._dismiss_watcher()

    def failure(self, what: str) -> ChildFailed:
        """Return the error to raise: what happened, the last lines of this run's log, and where the log is."""
        status = self._process.poll()
        ended = "" if status is None else f" (exit status {status})"
        return ChildFailed(f"{self.name} {what}{ended}. The end of its log, {self._log}:\n{self._last_lines()}")

    def _last_lines(self) -> str:
        with self._log.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read().decode("utf-8", "replace").splitlines()
        return "\n".join(f"    {line}" for line in lines[-_LAST_LINES:]) or "    (nothing written)"

    def _signal(self, number: signal.Signals) -> None:
        # The group is signalled even when its leader has gone: others in it may live.
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return
        except PermissionError:
            # macOS answers so for a group of which only a zombie is left.
            if sys.platform != "darwin":
                raise

    def _dismiss_watcher(self) -> None:
        self._watcher.kill()
        self._watcher.wait()
        if self._watcher.stdin is not None:
            self._watcher.stdin.close()


def wait_until(child: Child, answers: Callable[[], bool], *, seconds: float) -> None:
    """Return when `answers()` is true; raise `ChildFailed` when the child ends first or the time is over."""
    deadline = time.monotonic() + seconds
    while not answers():
        if not child.running:
            raise child.failure("ended while it was starting")
        if time.monotonic() > deadline:
            raise child.failure(f"was not ready after {seconds:.0f} seconds")
        time.sleep(0.2)
