"""Where the servers' programs lie; Debian keeps some of them outside the PATH. Uses the standard library only."""

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

_POSTGRESQL = Path("/usr/lib/postgresql")
_SYSTEM = (Path("/usr/sbin"), Path("/usr/local/sbin"))


class ProgramMissing(Exception):
    """A program is not installed; the message names it and the Debian package that has it."""


def postgresql_program(name: str) -> Path:
    """Return a program of the newest PostgreSQL here.

    Raises:
        ProgramMissing: with the package to install.
    """
    return _find(name, _newest_first(_POSTGRESQL), package="postgresql")


def mariadb_program(name: str) -> Path:
    """Return a program of MariaDB.

    Raises:
        ProgramMissing: with the package to install.
    """
    return _find(name, _SYSTEM, package="mariadb-server")


def _find(name: str, directories: Iterable[Path], *, package: str) -> Path:
    for directory in directories:
        if (directory / name).is_file():
            return directory / name
    found = shutil.which(name)
    if found is None:
        raise ProgramMissing(f"the program {name} was not found; it is in Debian's package {package}")
    return Path(found)


def _newest_first(parent: Path) -> list[Path]:
    versions = [path for path in parent.glob("*/bin") if re.fullmatch(r"\d+", path.parent.name)]
    return sorted(versions, key=lambda path: int(path.parent.name), reverse=True)
