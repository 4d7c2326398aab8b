"""Every column that holds values sealed under a key of the configuration, and how they change keys.

Values are recognised by what they begin with, `v1.{key id}.` or in the legacy columns of sys_user `~v1.{key id}.`; only
opening one proves that it is whole. A change is written where the value is still the one that was read: whoever writes
another in between (a refresh, a new password, the end of a login) wins.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Table, and_, bindparam, case, func, or_, select, update

from bridge.sealing import KEY_ID_LENGTH, LEGACY_PREFIX, LEGACY_TABLE, VERSION
from bridge.storage.database import Db
from bridge.storage.tables import keycloak_grant, oauth_state, signing_key, sys_user

KEY_ID = re.compile(f"[0-9a-f]{{{KEY_ID_LENGTH}}}")


@dataclass(frozen=True)
class SealedColumn:
    """A column of sealed values; `key` is the primary key, `row` the columns that name the row to the seal."""

    table: str
    column: str
    key: tuple[str, ...]
    row: tuple[str, ...]

    @property
    def name(self) -> str:
        """Table and column, as people write them."""
        return f"{self.table}.{self.column}"

    @property
    def is_legacy(self) -> bool:
        """Whether other programs write into it too, so that `~` and our shape make a value ours."""
        return self.table == LEGACY_TABLE


@dataclass(frozen=True)
class SealedValue:
    """One value as it was read; empty texts stand for parts of `row` that the table does not know."""

    key: tuple[str, ...]
    row: tuple[str, ...]
    sealed: str = field(repr=False)


@dataclass(frozen=True)
class ValueCounts:
    """Values of a column: how many by key id, and those that do not look like ours."""

    by_key: Mapping[str, int]
    foreign: int = 0
    """In legacy columns: values of other programs that begin with `~`."""
    unreadable: int = 0
    """Elsewhere: values that no seal has made."""


SEALED_COLUMNS = (
    SealedColumn("oauth_state", "sealed_nonce", ("state_digest",), ("state_digest",)),
    SealedColumn("oauth_state", "sealed_code_verifier", ("state_digest",), ("state_digest",)),
    SealedColumn("keycloak_grant", "sealed_id_token", ("session_id",), ("session_id",)),
    SealedColumn("keycloak_grant", "sealed_refresh_token", ("session_id",), ("session_id",)),
    SealedColumn("signing_key", "sealed_private_key", ("key_id",), ("key_id",)),
    SealedColumn("sys_user", "Password", ("User", "Package"), ("Package", "Uuid")),
    SealedColumn("sys_user", "loginpassword", ("User", "Package"), ("Package", "Uuid")),
)
"""What is sealed under a credential that nobody stores (session_credential, exchange_code) needs no key of ours."""

_TABLES: Mapping[str, Table] = {table.name: table for table in (oauth_state, keycloak_grant, signing_key, sys_user)}


async def count_values(db: Db, column: SealedColumn) -> ValueCounts:
    """Count the values of a column by the key that their beginning names. It reads the whole column."""
    value = _value(column)
    body = func.substr(value, len(_mark(column)) + 1)
    begins = func.substr(body, 1, len(VERSION) + 1) == f"{VERSION}."
    ends = func.substr(body, len(VERSION) + 1 + KEY_ID_LENGTH + 1, 1) == "."
    named = case((and_(begins, ends), func.substr(body, len(VERSION) + 2, KEY_ID_LENGTH)), else_="")
    each = select(named.label("key_id")).where(_is_sealed(column)).subquery()
    by_key: dict[str, int] = {}
    others = 0
    for key_id, number in await db.execute(select(each.c.key_id, func.count()).group_by(each.c.key_id)):
        if KEY_ID.fullmatch(key_id):
            by_key[key_id] = number
        else:
            others += number
    return ValueCounts(by_key, foreign=others) if column.is_legacy else ValueCounts(by_key, unreadable=others)


async def read_batch(
    db: Db, column: SealedColumn, *, key_id: str, after: Sequence[str] | None, limit: int
) -> list[SealedValue]:
    """Return values that are not under this key, in the order of the primary key, from behind `after` on."""
    value, head = _value(column), f"{_mark(column)}{VERSION}.{key_id}."
    keys, row = _columns(column, column.key), _columns(column, column.row)
    query = (
        select(*(part.label(f"key_{number}") for number, part in enumerate(keys)), *row, value)
        .where(_is_sealed(column), func.substr(value, 1, len(head)) != head)
        .order_by(*keys)
        .limit(limit)
    )
    if after is not None:
        query = query.where(_behind(keys, after))
    width = len(keys)
    return [
        SealedValue(tuple(found[:width]), tuple(part or "" for part in found[width:-1]), found[-1])
        for found in await db.execute(query)
    ]


async def write_back(db: Db, column: SealedColumn, changes: Mapping[SealedValue, str], *, now: datetime) -> int:
    """Put new seals on values, at most 500 at a time, and return how many still were the ones that were read."""
    table, value, keys = _TABLES[column.table], _value(column), _columns(column, column.key)
    # Locked and compared first: drivers do not tell how many rows a statement with many parameters has changed.
    locked = select(*keys, value).where(keys[0].in_([one.key[0] for one in changes])).with_for_update()
    current = {tuple(found[:-1]): found[-1] for found in await db.execute(locked)}
    unchanged = [one for one in changes if current.get(one.key) == one.sealed]
    values: dict[str, Any] = {column.column: bindparam("new")}
    if column.is_legacy:
        # The mirror must see that the row has moved. Nothing that revocations tell of changes.
        values |= {"RowVersion": table.c.RowVersion + 1, "UpdatedAt": now}
    elif "updated_at" in table.c:
        values["updated_at"] = now
    this = [part == bindparam(f"key_{number}") for number, part in enumerate(keys)]
    statement = update(table).where(*this, value == bindparam("old")).values(values)
    parameters = [
        {"new": changes[one], "old": one.sealed, **{f"key_{number}": part for number, part in enumerate(one.key)}}
        for one in unchanged
    ]
    if parameters:
        await db.execute(statement, parameters)
    return len(parameters)


def _mark(column: SealedColumn) -> str:
    return LEGACY_PREFIX if column.is_legacy else ""


def _value(column: SealedColumn) -> Column[Any]:
    return _TABLES[column.table].c[column.column]


def _columns(column: SealedColumn, names: Sequence[str]) -> list[Column[Any]]:
    return [_TABLES[column.table].c[name] for name in names]


def _is_sealed(column: SealedColumn) -> ColumnElement[bool]:
    """Whether there is a value: a login that is over keeps an empty text, a legacy column anything without `~`."""
    value = _value(column)
    return func.substr(value, 1, 1) == LEGACY_PREFIX if column.is_legacy else value != ""


def _behind(keys: Sequence[Column[Any]], after: Sequence[str]) -> ColumnElement[bool]:
    """Whether a primary key comes after another; spelt so that every database walks along its index."""
    first, *rest = zip(keys, after, strict=True)
    column, known = first
    if not rest:
        return column > known
    return and_(column >= known, or_(column > known, _behind(*zip(*rest, strict=True))))
