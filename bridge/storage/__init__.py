"""SQL: one file a noun; functions take `db` first and return objects of `bridge.model`.

    database   opens the engine; `reading()` and `write(step)` are the only ways to a connection
    tables/    what the tables look like; private to storage and the migrations
    migrate    brings a database to the newest schema

Queries live here and nowhere else. Flows decide when to commit; nothing here calls outward.

What is imported below is for other programs too, and stays as it is (deploy/docs/library.md). Five lines inside an
`async def` list who is signed in:

    from datetime import UTC, datetime
    from bridge.storage import open_database, user_sessions
    async with open_database("postgresql://shop@db.example.com/sso") as database, database.reading() as db:
        for one in await user_sessions.get_user_sessions(db, "alice", package="staff", now=datetime.now(tz=UTC)):
            print(one.session_id, one.device_name, one.last_activity)

Modules in here import each other by their own names, never what this one gives.
"""

from bridge.model import (
    Activity,
    AtCap,
    Device,
    Identity,
    LoginMethod,
    NewSession,
    Origin,
    Place,
    SessionPolicy,
    SessionType,
    User,
    UserSession,
    digest,
)
from bridge.storage import user_sessions
from bridge.storage.database import Database, Db, check_clock, open_database
from bridge.storage.migrate import check_schema
from bridge.storage.session_rows import ActiveSession
from bridge.storage.user_sessions import CleanedUp, CreatedSession
from bridge.storage.users import find_by_name as find_user

__all__ = [
    "ActiveSession",
    "Activity",
    "AtCap",
    "CleanedUp",
    "CreatedSession",
    "Database",
    "Db",
    "Device",
    "Identity",
    "LoginMethod",
    "NewSession",
    "Origin",
    "Place",
    "SessionPolicy",
    "SessionType",
    "User",
    "UserSession",
    "check_clock",
    "check_schema",
    "digest",
    "find_user",
    "open_database",
    "user_sessions",
]
