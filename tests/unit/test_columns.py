"""Column types, by binding without a database: what each driver gets, and what comes back."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Dialect, make_url
from sqlalchemy.schema import CreateIndex, CreateTable

from bridge.storage.database import DRIVERS
from bridge.storage.tables.columns import (
    MARIADB_TABLE,
    Flag,
    UtcDateTime,
    big_number,
    char,
    database_now,
    flag_check,
    index,
    long_text,
    varchar,
)

SQLITE, POSTGRESQL, MARIADB = (make_url(f"{driver}://").get_dialect()() for driver in DRIVERS.values())
ALL = [SQLITE, POSTGRESQL, MARIADB]
MOMENT = datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=UTC)


@pytest.mark.parametrize("dialect", ALL, ids=lambda dialect: dialect.name)
def test_time_without_a_zone_is_refused(dialect: Dialect) -> None:
    """S9: a naive time is refused rather than guessed at."""
    with pytest.raises(ValueError, match="a time without a time zone cannot be stored"):
        UtcDateTime().process_bind_param(MOMENT.replace(tzinfo=None), dialect)


@pytest.mark.parametrize(
    ("dialect", "bound"),
    [
        (SQLITE, "2026-03-01 12:00:00.000005"),
        (POSTGRESQL, MOMENT),
        (MARIADB, MOMENT.replace(tzinfo=None)),
    ],
    ids=lambda value: getattr(value, "name", None),
)
@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=5, minutes=30)), timezone(timedelta(hours=-8))])
def test_time_of_any_zone_is_bound_as_utc(dialect: Dialect, bound: object, zone: timezone) -> None:
    """S9: UTC on every database, with microseconds."""
    given = UtcDateTime().process_bind_param(MOMENT.astimezone(zone), dialect)
    assert given == bound
    assert getattr(given, "tzinfo", None) == getattr(bound, "tzinfo", None)


@pytest.mark.parametrize(
    ("dialect", "stored"),
    [
        (SQLITE, "2026-03-01 12:00:00.000005"),
        (POSTGRESQL, MOMENT),
        (POSTGRESQL, MOMENT.astimezone(timezone(timedelta(hours=2)))),
        (MARIADB, MOMENT.replace(tzinfo=None)),
    ],
    ids=lambda value: getattr(value, "name", None),
)
def test_time_comes_back_aware_and_in_utc(dialect: Dialect, stored: object) -> None:
    """S9: comparing it with the clock never fails."""
    read = UtcDateTime().process_result_value(stored, dialect)
    assert read == MOMENT
    assert read is not None
    assert read.tzinfo is UTC


@pytest.mark.parametrize("dialect", ALL, ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("kind", [UtcDateTime(), Flag()], ids=["time", "flag"])
def test_null_stays_null(dialect: Dialect, kind: UtcDateTime | Flag) -> None:
    assert kind.process_bind_param(None, dialect) is None
    assert kind.process_result_value(None, dialect) is None


def test_texts_of_times_sort_like_the_times() -> None:
    """SQLite compares texts: whole seconds are written with microseconds too."""
    steps = [MOMENT + timedelta(microseconds=5 * i, days=i) for i in range(-3, 100)]
    texts = [
        UtcDateTime().process_bind_param(moment.replace(microsecond=i % 2), SQLITE) for i, moment in enumerate(steps)
    ]
    assert texts == sorted(texts)
    assert {len(text) for text in texts} == {26}


@pytest.mark.parametrize(
    ("dialect", "expected"),
    [
        (SQLITE, ["VARCHAR(26)", "SMALLINT", "VARCHAR(9)", "VARCHAR(9)", "TEXT", "INTEGER"]),
        (
            POSTGRESQL,
            ["TIMESTAMP WITH TIME ZONE", "SMALLINT", *['VARCHAR(9) COLLATE "C"'] * 2, "TEXT", "BIGINT"],
        ),
        (MARIADB, ["DATETIME(6)", "TINYINT(1)", "VARCHAR(9)", "CHAR(9)", "MEDIUMTEXT", "BIGINT"]),
    ],
    ids=["sqlite", "postgresql", "mariadb"],
)
def test_types_of_each_database(dialect: Dialect, expected: list[str]) -> None:
    """S1, S4: identifiers compare binary, and a sealed token has room."""
    kinds: list[sa.types.TypeEngine[Any]] = [UtcDateTime(), Flag(), varchar(9), char(9), long_text(), big_number()]
    assert [kind.compile(dialect=dialect) for kind in kinds] == expected


def test_mariadb_tables_compare_binary_without_padding() -> None:
    """S4, V36: `jose` is not `José` is not `jose `."""
    table = sa.Table("t", sa.MetaData(), sa.Column("a", varchar(9)), **MARIADB_TABLE)
    sql = str(CreateTable(table).compile(dialect=MARIADB))
    assert "COLLATE utf8mb4_nopad_bin" in sql
    assert "ENGINE=InnoDB" in sql


@pytest.mark.parametrize("dialect", ALL, ids=lambda dialect: dialect.name)
def test_flag_is_bound_as_0_or_1_and_comes_back_as_a_bool(dialect: Dialect) -> None:
    """`IsActive = 1` works in everybody's SQL."""
    flag = Flag()
    assert [flag.process_bind_param(value, dialect) for value in (True, False)] == [1, 0]
    assert type(flag.process_bind_param(True, dialect)) is int  # noqa: FBT003 - SQLAlchemy's signature
    assert [flag.process_result_value(value, dialect) for value in (1, 0)] == [True, False]
    assert type(flag.process_result_value(1, dialect)) is bool


@pytest.mark.parametrize("dialect", ALL, ids=lambda dialect: dialect.name)
def test_flags_have_a_rule_each(dialect: Dialect) -> None:
    table = sa.Table("t", sa.MetaData(), sa.Column("A", Flag), sa.Column("B", Flag), *flag_check("A", "B"))
    sql = str(CreateTable(table).compile(dialect=dialect)).replace("`", '"')
    assert 'CONSTRAINT "A_flag" CHECK ("A" IN (0, 1))' in sql
    assert 'CONSTRAINT "B_flag" CHECK ("B" IN (0, 1))' in sql


@pytest.mark.parametrize(
    ("dialect", "expected"),
    [
        (SQLITE, "SELECT strftime('%Y-%m-%d %H:%M:%f000', 'now') AS now"),
        (POSTGRESQL, "SELECT clock_timestamp() AS now"),
        (MARIADB, "SELECT UTC_TIMESTAMP(6) AS now"),
    ],
    ids=["sqlite", "postgresql", "mariadb"],
)
def test_clock_of_the_database_is_in_utc_with_fractions(dialect: Dialect, expected: str) -> None:
    """S9, F16: leases use one clock."""
    sql = str(sa.select(database_now().label("now")).compile(dialect=dialect))
    assert " ".join(sql.split()) == expected


def test_index_carries_its_table_where_names_are_global() -> None:
    table = sa.Table("t", sa.MetaData(), sa.Column("a", sa.Integer), index("t", "short", "a", unique=True))
    [found] = table.indexes
    assert str(CreateIndex(found).compile(dialect=SQLITE)) == "CREATE UNIQUE INDEX idx_t_short ON t (a)"
    assert found.info == {"mariadb": "idx_short", "not_on_mariadb": False}
