"""Column types and rules that hold for all tables on SQLite, PostgreSQL and MariaDB.

Identifiers compare binary (`José` is not `jose` is not `jose `), times are UTC with microseconds, flags are 0 and 1.
"""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine

MARIADB_TABLE: dict[str, Any] = {
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_nopad_bin",
    "mysql_engine": "InnoDB",
}
"""`utf8mb4_bin` would pad: 'jose' = 'jose '."""

metadata = sa.MetaData(
    naming_convention={
        "ix": "idx_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC with microseconds; a naive value is refused rather than guessed at.

    PostgreSQL timestamptz, MariaDB datetime(6), SQLite text `YYYY-MM-DD HH:MM:SS.ffffff` (which sorts).
    """

    impl = sa.DateTime
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return the column type of one database."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(sa.TIMESTAMP(timezone=True))
        if dialect.name == "mysql":
            return dialect.type_descriptor(mysql.DATETIME(fsp=6))
        return dialect.type_descriptor(sa.String(26))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> Any:
        """Turn an aware datetime into what the driver takes.

        Raises:
            ValueError: the value has no time zone.
        """
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("a time without a time zone cannot be stored")
        moment = value.astimezone(UTC)
        if dialect.name == "postgresql":
            return moment
        naive = moment.replace(tzinfo=None)
        return naive if dialect.name == "mysql" else naive.isoformat(" ", timespec="microseconds")

    def process_result_value(self, value: Any, _dialect: Dialect) -> datetime | None:
        """Turn what the driver gives into an aware datetime in UTC."""
        if value is None:
            return None
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


class Flag(TypeDecorator[bool]):
    """Yes or no as 1 or 0, so that `IsActive = 1` works in everybody's SQL."""

    impl = sa.SmallInteger
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """Return tinyint(1) on MariaDB, smallint elsewhere."""
        if dialect.name == "mysql":
            return dialect.type_descriptor(mysql.TINYINT(display_width=1))
        return dialect.type_descriptor(sa.SmallInteger())

    def process_bind_param(self, value: bool | None, _dialect: Dialect) -> int | None:  # noqa: FBT001 - SQLAlchemy's signature
        """Turn a bool into 0 or 1."""
        return None if value is None else int(value)

    def process_result_value(self, value: Any, _dialect: Dialect) -> bool | None:
        """Turn 0 or 1 into a bool."""
        return None if value is None else bool(value)


class database_now(FunctionElement[datetime]):  # noqa: N801 - reads as the SQL function it is
    """The database's own clock; leases use no other."""

    type = UtcDateTime()
    inherit_cache = True


@compiles(database_now)
def _sqlite_now(_element: database_now, _compiler: SQLCompiler, **_: Any) -> str:
    return "strftime('%Y-%m-%d %H:%M:%f000', 'now')"


@compiles(database_now, "postgresql")
def _postgresql_now(_element: database_now, _compiler: SQLCompiler, **_: Any) -> str:
    return "clock_timestamp()"


@compiles(database_now, "mysql")
def _mariadb_now(_element: database_now, _compiler: SQLCompiler, **_: Any) -> str:
    return "UTC_TIMESTAMP(6)"


class statement_now(FunctionElement[datetime]):  # noqa: N801 - reads as the SQL function it is
    """The database's clock when a statement begins: an index can serve a comparison with it."""

    type = UtcDateTime()
    inherit_cache = True


@compiles(statement_now)
def _statement_now(_element: statement_now, compiler: SQLCompiler, **_: Any) -> str:
    names = {"postgresql": "statement_timestamp()", "mysql": "UTC_TIMESTAMP(6)"}
    return names.get(compiler.dialect.name, "strftime('%Y-%m-%d %H:%M:%f000', 'now')")


class database_ago(FunctionElement[datetime]):  # noqa: N801 - reads as the SQL function it is
    """A moment so many days before now, by the database's own clock."""

    type = UtcDateTime()
    inherit_cache = True

    def __init__(self, days: int) -> None:
        """Take the days; they become part of the statement."""
        self.days = days
        super().__init__(sa.literal_column(str(days)))


@compiles(database_ago)
def _sqlite_ago(element: database_ago, _compiler: SQLCompiler, **_: Any) -> str:
    return f"strftime('%Y-%m-%d %H:%M:%f000', 'now', '-{element.days} days')"


@compiles(database_ago, "postgresql")
def _postgresql_ago(element: database_ago, _compiler: SQLCompiler, **_: Any) -> str:
    return f"statement_timestamp() - interval '{element.days} days'"


@compiles(database_ago, "mysql")
def _mariadb_ago(element: database_ago, _compiler: SQLCompiler, **_: Any) -> str:
    return f"DATE_SUB(UTC_TIMESTAMP(6), INTERVAL {element.days} DAY)"


def varchar(length: int) -> sa.String:
    """Return a text that compares binary everywhere (on MariaDB by the table's collation)."""
    return sa.String(length).with_variant(sa.String(length, collation="C"), "postgresql")


def char(length: int) -> sa.String:
    """Return a text of fixed length; varchar where char would pad with blanks (PostgreSQL)."""
    return varchar(length).with_variant(mysql.CHAR(length), "mysql")


def long_text() -> sa.Text:
    """Return a text without a limit; on MariaDB mediumtext, as text ends at 64 KB there."""
    return sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql")


def big_number() -> sa.BigInteger:
    """Return a number that can count by itself (SQLite does so with INTEGER only)."""
    return sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def flag_check(*names: str) -> list[sa.CheckConstraint]:
    """Return the rule that flags are 0 or 1, one constraint a column."""
    return [sa.CheckConstraint(sa.column(name).in_([0, 1]), name=f"{name}_flag") for name in names]


def index(table: str, short: str, *columns: Any, mariadb: bool = True, **options: Any) -> sa.Index:
    """Return an index whose name carries the table where names are global; MariaDB keeps the short one (in `info`).

    With `mariadb=False` it is not made there.
    """
    info = {"mariadb": f"idx_{short}", "not_on_mariadb": not mariadb}
    return sa.Index(f"idx_{table}_{short}", *columns, info=info, **options)
