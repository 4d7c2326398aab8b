"""What is known of a table beyond its SQL: purpose, writers, how long rows stay, what they relate to.

`describe` keeps it in `Table.info` and `Column.info`; `bridge.storage.schema` makes documents and the export of it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import sqlalchemy as sa

ALL = "*"
"""Every column of the table."""
FACTS = "facts"
WRITTEN_BY = "written_by"
MARIADB_DEFAULT = "mariadb_default"
"""What a migration has set on MariaDB alone; SQLAlchemy has no word for it."""


class Writer(StrEnum):
    """Who writes a column, by the name that documents use."""

    SIGN_IN = "sign-in"
    ACTIVITY = "activity"
    ROTATION = "rotation"
    CODE_EXCHANGE = "code exchange"
    TOKEN_REFRESH = "token refresh"  # noqa: S105 - the name of a writer
    PERSON = "person"
    SIGN_OUT = "sign-out"
    SYNC = "sync"
    CLEAN_UP = "clean-up"
    SERVICE = "service"
    LIBRARY = "library"
    SESSION_COMMAND = "session command"
    USER_COMMAND = "user command"
    USERGROUPS_COMMAND = "usergroups command"
    KEYS_COMMAND = "keys command"
    DATABASE = "database"
    APPLICATION = "application"


WRITERS: Mapping[Writer, str] = {
    Writer.SIGN_IN: "Somebody signs in through the bridge, or tries to.",
    Writer.ACTIVITY: "A session of the bridge is used. Written in batches, some seconds later.",
    Writer.ROTATION: "The bridge gives a session in use a new credential.",
    Writer.CODE_EXCHANGE: "A native app exchanges its one-time code for tokens. There is no sign-in for apps in this "
    "version.",
    Writer.TOKEN_REFRESH: "A native app uses its refresh token, or the bridge refreshes Keycloak's tokens. Neither "
    "happens in this version.",
    Writer.PERSON: "Somebody names or trusts a device, or changes a preference. There are no pages for that in this "
    "version.",
    Writer.SIGN_OUT: "The bridge ends a session: a sign-out, an end from a list of sessions, a cap, a theft, "
    "or a logout that Keycloak tells of.",
    Writer.SYNC: "The sync mirrors users, groups and sessions of Keycloak.",
    Writer.CLEAN_UP: "The periodic clean-up ends what has expired and deletes what is kept no longer.",
    Writer.SERVICE: "The running service, for its own work.",
    Writer.LIBRARY: "A program makes or uses sessions through the library bridge.storage.",
    Writer.SESSION_COMMAND: "An operator uses a command of the group session.",
    Writer.USER_COMMAND: "An operator uses a command of the group user.",
    Writer.USERGROUPS_COMMAND: "An operator uses a command of the group usergroups.",
    Writer.KEYS_COMMAND: "An operator uses a command of the group keys.",
    Writer.DATABASE: "The database itself, by a default or a trigger.",
    Writer.APPLICATION: "An application, by SQL of its own.",
}


@dataclass(frozen=True)
class Relation:
    """Columns that mean rows of another table, where no foreign key says so."""

    columns: tuple[str, ...]
    table: str
    referred: tuple[str, ...]
    meaning: str
    many_to_many: bool = False


@dataclass(frozen=True)
class Facts:
    """What documents say of a table. In `kept`, `{name}` stands for the retention setting of that name."""

    purpose: str
    kept: str
    public: bool
    relations: tuple[Relation, ...]
    notes: tuple[str, ...]


def describe(
    table: sa.Table,
    *,
    purpose: str,
    kept: str,
    written_by: Mapping[Writer, str],
    relations: Sequence[Relation] = (),
    notes: Sequence[str] = (),
    public: bool = False,
) -> None:
    """Note facts about a table; `written_by` names the columns of each writer, separated by blanks, or `ALL`.

    Raises:
        KeyError: a writer is said to write a column that the table does not have.
    """
    table.info[FACTS] = Facts(purpose, kept, public, tuple(relations), tuple(notes))
    for writer, names in written_by.items():
        for name in table.columns.keys() if names == ALL else names.split():
            column = table.columns[name]
            column.info[WRITTEN_BY] = (*column.info.get(WRITTEN_BY, ()), writer)
