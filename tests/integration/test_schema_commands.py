"""The schema commands as an operator meets them: without a configuration and without a database."""

import json
from pathlib import Path

import yaml

from bridge.storage.schema.pages import build_pages
from bridge.storage.schema.statements import build_script
from tests.integration.test_commands import run


def test_docs_writes_the_pages_where_it_is_told_and_then_has_nothing_to_do(tmp_path: Path) -> None:
    first = run("schema", "docs", "--out", "docs/tables", cwd=tmp_path)
    second = run("schema", "docs", "--out", "docs/tables", cwd=tmp_path)

    number = len(build_pages())
    assert (first.returncode, first.stdout) == (0, f"docs/tables: {number} pages written.\n")
    assert (second.returncode, second.stdout) == (0, "docs/tables: all pages are up to date.\n")
    assert {path.name for path in (tmp_path / "docs/tables").iterdir()} == set(build_pages())


def test_docs_check_names_stale_pages_and_the_command_that_mends_them(tmp_path: Path) -> None:
    run("schema", "docs", cwd=tmp_path)
    fresh = run("schema", "docs", "--check", cwd=tmp_path)
    (tmp_path / "schema" / "lease.md").write_text("changed", encoding="utf-8")
    stale = run("schema", "docs", "--check", cwd=tmp_path)

    assert (fresh.returncode, fresh.stdout) == (0, "")
    assert (stale.returncode, stale.stdout) == (1, "schema/lease.md: not up to date\n")
    assert stale.stderr == "Run: keycloak-bridge schema docs --out schema\n"
    assert (tmp_path / "schema" / "lease.md").read_text(encoding="utf-8") == "changed"


def test_docs_in_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")

    ended = run("schema", "docs", "--out", "file/schema", cwd=tmp_path)

    assert ended.returncode == 1
    assert ended.stderr == "file/schema cannot be written: Not a directory\n"


def test_export_writes_yaml_to_standard_output_and_json_to_a_file(tmp_path: Path) -> None:
    printed = run("schema", "export", cwd=tmp_path)
    written = run("schema", "export", "--format", "json", "--out", "schema.json", cwd=tmp_path)

    assert (printed.returncode, written.returncode, written.stdout) == (0, 0, "")
    assert yaml.safe_load(printed.stdout) == json.loads((tmp_path / "schema.json").read_text(encoding="utf-8"))


def test_export_to_a_place_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    ended = run("schema", "export", "--out", "missing/schema.yaml", cwd=tmp_path)

    assert ended.returncode == 1
    assert ended.stderr == "missing/schema.yaml cannot be written: No such file or directory\n"


def test_queries_prints_all_operations_or_one(tmp_path: Path) -> None:
    every = run("schema", "queries", "--dialect", "mariadb", cwd=tmp_path)
    one = run("schema", "queries", "--dialect", "postgresql", "--name", "get_active_session", cwd=tmp_path)

    assert (every.returncode, every.stdout) == (0, build_script("mariadb"))
    assert one.stdout.startswith("-- get_active_session\n")
    assert one.stdout in build_script("postgresql")


def test_queries_of_an_unknown_name_or_database_are_wrong_usage(tmp_path: Path) -> None:
    name = run("schema", "queries", "--dialect", "sqlite", "--name", "drop_session", cwd=tmp_path)
    dialect = run("schema", "queries", "--dialect", "oracle", cwd=tmp_path)

    assert (name.returncode, dialect.returncode) == (2, 2)
    assert "drop_session" in name.stderr
    assert "create_session" in name.stderr
    assert "mariadb" in dialect.stderr
