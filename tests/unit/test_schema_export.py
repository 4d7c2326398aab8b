"""The exported definition: one document in two spellings, the same every time."""

import json
import os
import subprocess
import sys

import pytest
import yaml

from bridge.config.policy import PolicySettings, RetentionSettings
from bridge.storage.migrate import newest_revision
from bridge.storage.schema.description import describe_tables
from bridge.storage.schema.export import build_document, export_json, export_yaml
from tests.documents import ROOT


def test_yaml_and_json_round_trip_to_the_same_document() -> None:
    document = build_document()

    assert yaml.safe_load(export_yaml()) == document
    assert json.loads(export_json()) == document


@pytest.mark.parametrize("form", ["yaml", "json"])
def test_the_export_does_not_depend_on_the_process(form: str) -> None:
    """The order of sets differs from process to process; the document's must not."""
    command = [sys.executable, "-m", "bridge", "schema", "export", "--format", form]
    texts = {
        subprocess.run(
            command, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }

    assert texts == {export_yaml() if form == "yaml" else export_json()}


def test_the_export_holds_every_table_column_and_index() -> None:
    document = build_document()

    assert document["schema"] == newest_revision()
    assert list(document["tables"]) == [table.name for table in describe_tables()]
    for table in describe_tables():
        exported = document["tables"][table.name]
        assert list(exported["columns"]) == [column.name for column in table.columns]
        assert [index["names"] for index in exported["indexes"]] == [dict(index.names) for index in table.indexes]
        assert [trigger["name"] for trigger in exported["triggers"]] == [one.name for one in table.triggers]


def test_the_export_describes_a_column_on_each_database() -> None:
    columns = build_document()["tables"]["sys_usersession"]["columns"]

    assert columns["LastActivity"]["types"] == {
        "mariadb": "DATETIME(6)",
        "postgresql": "TIMESTAMP WITH TIME ZONE",
        "sqlite": "VARCHAR(26)",
    }
    assert columns["LastActivity"]["default"] == {"mariadb": "CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6)"}
    assert columns["IsActive"]["default"] == dict.fromkeys(("mariadb", "postgresql", "sqlite"), "1")
    assert columns["SessionId"]["nullable"] is False
    assert columns["Offline"]["written_by"] == ["sync"]


def test_the_export_describes_foreign_keys_and_what_belongs_together_without_them() -> None:
    tables = build_document()["tables"]

    (key,) = tables["session_credential"]["foreign_keys"]
    assert key == {
        "name": "fk_session_credential_sys_usersession",
        "columns": ["session_id"],
        "table": "sys_usersession",
        "referred": ["SessionId"],
        "on_delete": "cascade",
    }
    related = {(tuple(one["columns"]), one["table"]) for one in tables["sys_usersession"]["related"]}
    assert {(("User", "Package"), "sys_user"), (("Issuer", "Sub", "Package"), "sys_user")} <= related


def test_the_export_holds_the_limits_that_settings_begin_with() -> None:
    policy = build_document()["policy"]

    assert policy["sessions"]["web"]["lifetime"] == "8h"
    assert policy["sessions"]["api"]["idle"] == "none"
    assert [kind for kind, limits in policy["sessions"].items() if "rotation" in limits] == ["web"]
    assert [kind for kind, limits in policy["sessions"].items() if "refresh_lifetime" in limits] == ["mobile"]
    assert set(policy["sessions"]) == set(PolicySettings.model_fields)
    assert set(policy["retention"]) == set(RetentionSettings.model_fields)
    assert policy["lockout"][0] == {"failures": 5, "locked": "5m"}


def test_no_sentence_of_the_export_carries_the_marks_of_pages() -> None:
    assert "`" not in export_yaml()
