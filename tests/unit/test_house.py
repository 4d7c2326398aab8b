"""Rules of the tree itself that no linter checks."""

import ast
import os
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.skipping import require

ROOT = Path(__file__).resolve().parents[2]
MOST_LINES = 300
TOP_LEVEL = {
    ".ci",
    ".gitignore",
    "CHANGELOG.md",
    "LICENSE",
    "Makefile",
    "README.md",
    "bridge",
    "deploy",
    "migrations",
    "pyproject.toml",
    "requirements.lock",
    "sync",
    "tests",
}
# Put together here, so that this file does not hold what it looks for. uv's --no-emit-... option holds no address.
INDEX_ADDRESS = re.compile(
    "|".join(
        [
            "(?<!no-emit-)" + "index" + "[-_]" + "url",
            "--" + "find-links",
            r"pypi\." + r"org/simple",
            "files" + r"\.pythonhosted",
            "tool.uv" + r"\.(index|sources)",
        ]
    ),
    re.IGNORECASE,
)
HEAVY = ("sqlalchemy", "fastapi", "keycloak", "httpx", "pydantic_settings")
ENDINGS_OF_BINARIES = (".png", ".ico", ".woff2", ".jar", ".mmdb")


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Give the paths of all files that are ours: everything that `.gitignore` does not name."""
    require("git")
    # An empty repository of our own: it works in a checkout that belongs to another user, and in a plain copy too.
    empty = tmp_path_factory.mktemp("git")
    subprocess.run(["git", "init", "--quiet", str(empty)], check=True)
    command = ("git", f"--git-dir={empty / '.git'}", f"--work-tree={ROOT}")
    listed = subprocess.run(
        [*command, "ls-files", "-z", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        encoding="utf-8",
    )
    paths = [path for path in listed.stdout.split("\0") if path]
    assert "bridge/__init__.py" in paths, "the list of files is not that of this tree"
    return paths


@cache
def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def test_no_python_file_is_longer_than_a_person_reads_at_once(tree: list[str]) -> None:
    lengths = {path: len(read(path).splitlines()) for path in tree if path.endswith(".py")}
    assert {path: lines for path, lines in lengths.items() if lines > MOST_LINES} == {}


def test_the_top_level_holds_the_fixed_list_and_nothing_else(tree: list[str]) -> None:
    assert {path.split("/")[0] for path in tree} - TOP_LEVEL == set()


def test_no_file_names_the_address_of_a_package_index(tree: list[str]) -> None:
    texts = {path: read(path) for path in tree if not path.endswith(ENDINGS_OF_BINARIES)}
    assert [path for path, text in texts.items() if INDEX_ADDRESS.search(text)] == []


def test_the_lock_holds_no_address_and_a_hash_for_every_package() -> None:
    lock = re.sub(r"\\\n\s*", "", read("requirements.lock"))
    pins = [line for line in lock.splitlines() if line and not line.lstrip().startswith("#")]
    assert "://" not in lock
    assert [line.split("==")[0] for line in pins if "--hash=sha256:" not in line] == []


def test_every_package_opens_with_a_docstring(tree: list[str]) -> None:
    ours = [Path(path) for path in tree if path.startswith(("bridge/", "sync/")) and path.endswith(".py")]
    packages = {path.parent / "__init__.py" for path in ours}
    silent = [
        str(path)
        for path in packages
        if not (ROOT / path).is_file() or ast.get_docstring(ast.parse(read(str(path)))) is None
    ]
    assert silent == []


def test_help_imports_nothing_heavy() -> None:
    """The command answers at once because it imports what a command needs inside that command."""
    report = f"import sys\nprint('imported:', *sorted(set(sys.modules) & set({HEAVY!r})), file=sys.stderr)"
    program = (
        "import atexit, sys\n"
        f"atexit.register(lambda: exec({report!r}))\n"
        "sys.argv = ['keycloak-bridge', '--help']\n"
        "from bridge.cli import app\n"
        "app()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert [line for line in done.stderr.splitlines() if line.startswith("imported:")] == ["imported:"]
