"""The pages of the schema: up to date in this repository, complete, and readable."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from bridge.keycloak.mapping import KeycloakSession, KeycloakUser, RealmLimits, SessionLimits
from bridge.model import Identity
from bridge.storage import lockouts, oauth_states, session_credentials, session_revocations
from bridge.storage.schema import pages
from bridge.storage.schema.description import TableDescription, describe_tables
from bridge.storage.schema.diagram import SUBJECTS, draw
from bridge.storage.schema.figures import spell
from bridge.storage.schema.markdown import build_table
from bridge.storage.tables.facts import WRITERS, Writer
from sync import reconcile
from tests.documents import DOCS, ROOT

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PAGES = pages.build_pages()
TABLES = {table.name: table for table in describe_tables()}


def written_by(table: str, *writers: Writer) -> set[str]:
    """Return the columns of a table that one of these writes."""
    return {column.name for column in TABLES[table].columns if not set(writers).isdisjoint(column.written_by)}


def test_the_pages_in_this_repository_are_those_of_the_tables() -> None:
    place = DOCS / "schema"

    stale = pages.find_stale(place)
    assert stale == [], f"run: keycloak-bridge schema docs --out {place.relative_to(ROOT)}"


@pytest.mark.parametrize("name", TABLES)
def test_every_column_has_a_writer(name: str) -> None:
    nobody = {column.name for column in TABLES[name].columns if not column.written_by}

    assert nobody == set()


def test_every_writer_is_explained_and_writes_something() -> None:
    assert set(WRITERS) == set(Writer)
    assert {writer for table in TABLES.values() for writer in table.written_by} == set(Writer)


def test_the_sync_is_named_for_the_columns_that_the_mirror_owns() -> None:
    identity = Identity("https://keycloak.example.com/realms/staff", "1", "staff")
    user = KeycloakUser("1", "alice", True, None, True, None, None, NOW)  # noqa: FBT003 - a representation
    online = SessionLimits(timedelta(hours=1), None)
    session = KeycloakSession("s", "1", False, None, NOW, NOW, False, frozenset(), False)  # noqa: FBT003 - as above
    person = reconcile.wanted_columns(reconcile.Person(user, ()), identity)
    decided = reconcile.decide_session(
        session, None, owner=person, identity=identity, limits=RealmLimits(online, online, online)
    )

    assert written_by("sys_user", Writer.SYNC) == set(person) | {"RowVersion", "UpdatedAt"}
    assert written_by("sys_usersession", Writer.SYNC) == set(decided.columns) | {"SessionId", "UpdatedAt"}


def test_relations_name_columns_that_exist_on_both_sides() -> None:
    for table in TABLES.values():
        for one in table.relations:
            assert set(one.columns) <= {column.name for column in table.columns}
            assert set(one.referred) <= {column.name for column in TABLES[one.table].columns}
            assert len(one.columns) == len(one.referred)


def test_every_relation_is_drawn() -> None:
    drawn = {line for names in SUBJECTS.values() for line in draw(describe_tables(), names)}

    for table in TABLES.values():
        for one in table.relations:
            ends = (f"    {one.table} ", f'{table.name} : "{", ".join(one.columns)}"')
            assert any(line.startswith(ends[0]) and line.endswith(ends[1]) for line in drawn), (table.name, one)


def test_diagrams_are_entity_relationship_diagrams_of_mermaid() -> None:
    """The grammar of Mermaid's erDiagram, as far as it is used; one line that is not of it spoils the drawing."""
    entity = r"    \w+ \{|        [a-z_]+(\(\d+\))? \w+( (PK|FK)(, FK)?)?|    \}"
    relation = r"    \w+ (\|\||\|o|\}o)(--|\.\.)(o\||o\{) \w+ : \"[\w, ]+\""

    for names in SUBJECTS.values():
        first, *lines = draw(describe_tables(), names)
        assert first == "erDiagram"
        assert [line for line in lines if not re.fullmatch(f"{entity}|{relation}", line)] == []


def test_a_foreign_key_is_drawn_solid_and_another_relation_dotted() -> None:
    lines = draw(describe_tables(), SUBJECTS["Sessions"])

    assert '    sys_usersession ||--o{ session_credential : "session_id"' in lines
    assert '    sys_user ||..o{ sys_usersession : "User, Package"' in lines
    assert '    sys_usersession ||--o| keycloak_grant : "session_id"' in lines


def test_every_table_has_a_page_and_every_page_is_linked() -> None:
    linked = {link for text in PAGES.values() for link in re.findall(r"\]\(([\w.]+)(?:#[\w-]+)?\)", text)}

    assert set(PAGES) == {f"{name}.md" for name in TABLES} | {"README.md", "queries.md"}
    assert linked == set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_links_within_pages_lead_to_headings(name: str) -> None:
    for page, anchor in re.findall(r"\]\(([\w.]*)#([\w-]+)\)", PAGES[name]):
        headings = re.findall(r"^#+ (.+)$", PAGES[page or name], re.MULTILINE)
        assert anchor in {heading.strip("`").lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("table", [pytest.param(table, id=table.name) for table in TABLES.values()])
def test_a_page_has_everything_about_its_table(table: TableDescription) -> None:
    page = PAGES[f"{table.name}.md"]
    names = [column.name for column in table.columns]
    names += [name for index in table.indexes for name in index.names.values()]
    names += [rule.name for rule in (*table.unique, *table.checks)] + [key.name for key in table.foreign_keys]
    names += [trigger.name for trigger in table.triggers]

    assert [name for name in names if f"`{name}`" not in page] == []
    assert "Kept: " in page
    assert table.purpose in page


def test_tables_of_a_page_stand_aligned_and_keep_bars_inside_cells() -> None:
    lines = build_table(("name", "meaning"), [("a", "one"), ("longer", "this|that")])

    assert lines == [
        "| name   | meaning |",
        "| ------ | --- |",
        "| a      | one |",
        r"| longer | this\|that |",
    ]


def test_what_differs_on_mariadb_is_said() -> None:
    page = PAGES["sys_usersession.md"]

    assert re.search(r"\| `idx_sys_usersession_active_expiry` +\| none +\| `\"IsActive\" = 1` +\| `ExpiresAt` \|", page)
    assert re.search(r"`idx_cleanup` +\| `\"IsActive\" = 0`; on MariaDB all +\|", page)
    assert "`SessionToken` (on MariaDB the first 255 characters)" in page
    assert re.search(r"\| `LastActivity` +\| time +\| yes +\| MariaDB: `CURRENT_TIMESTAMP\(6\)` +\|", page)


def test_missing_changed_and_left_over_pages_are_stale_and_other_files_are_left_alone(tmp_path: Path) -> None:
    number = pages.write_pages(tmp_path)
    (tmp_path / "lease.md").unlink()
    (tmp_path / "sys_user.md").write_text("changed", encoding="utf-8")
    (tmp_path / "gone_table.md").write_text(f"{pages.MARKER}\n# gone\n", encoding="utf-8")
    (tmp_path / "notes.md").write_text("mine", encoding="utf-8")

    assert number == len(PAGES)
    assert pages.find_stale(tmp_path) == ["gone_table.md", "lease.md", "sys_user.md"]
    assert pages.write_pages(tmp_path) == 3
    assert pages.find_stale(tmp_path) == []
    assert {path.name for path in tmp_path.iterdir()} == {*PAGES, "notes.md"}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (timedelta(hours=8), "8h"),
        (timedelta(days=30), "30d"),
        (timedelta(minutes=90), "90m"),
        (timedelta(seconds=61), "61s"),
        (None, "none"),
        (3, 3),
    ],
)
def test_figures_are_spelt_as_settings_are(value: object, text: object) -> None:
    assert spell(value) == text


def test_a_duration_that_settings_cannot_spell_is_refused() -> None:
    with pytest.raises(ValueError, match="no whole number of seconds"):
        spell(timedelta(microseconds=1))


@pytest.mark.parametrize(
    ("table", "words", "constant", "value"),
    [
        ("oauth_state", "24 hours after its outcome", oauth_states.KEEP_CONSUMED, timedelta(hours=24)),
        ("session_credential", "a day after it expires", session_credentials.KEEP_EXPIRED, timedelta(days=1)),
        ("session_revocation", "1 hour", session_revocations.RETENTION, timedelta(hours=1)),
        ("login_lockout", "24 hours after the last failure", lockouts.FORGOTTEN_AFTER, timedelta(hours=24)),
    ],
)
def test_a_page_says_how_long_the_clean_up_leaves_rows(
    table: str, words: str, constant: timedelta, value: timedelta
) -> None:
    assert constant == value, "the clean-up has changed: change `kept` beside the table too"
    assert words in TABLES[table].kept


def test_a_retention_that_a_setting_changes_names_it() -> None:
    assert TABLES["sys_user_history"].kept == "365 days (setting `retention.user_history`)."
