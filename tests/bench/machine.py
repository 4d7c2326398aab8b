"""What a figure was measured on: the machine and the versions."""

import os
import platform
import re
import sqlite3
from pathlib import Path

_MEMORY = re.compile(r"^MemTotal:\s+(\d+) kB", re.MULTILINE)
_PROCESSOR = re.compile(r"^model name\s*:\s*(.+)", re.MULTILINE)


def describe_machine() -> str:
    """Return processor, cores and memory in one line."""
    processor = _find(_PROCESSOR, Path("/proc/cpuinfo")) or platform.processor() or platform.machine()
    kilobytes = _find(_MEMORY, Path("/proc/meminfo"))
    memory = f", {int(kilobytes) / (1 << 20):.0f} GiB of memory" if kilobytes else ""
    return f"{processor}, {_cores()} cores{memory}"


def python_version() -> str:
    """Return the Python that runs us, and with us the bridge."""
    return f"{platform.python_implementation()} {platform.python_version()}"


def sqlite_version() -> str:
    """Return the SQLite that Python is linked with."""
    return f"SQLite {sqlite3.sqlite_version}"


def _cores() -> int:
    # Fewer than the machine has where we are confined to some of them.
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _find(pattern: re.Pattern[str], path: Path) -> str | None:
    try:
        found = pattern.search(path.read_text(encoding="utf-8"))
    except OSError:
        return None
    return found[1].strip() if found else None
