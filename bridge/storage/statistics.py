"""What SQLite's planner goes by. Servers count their rows by themselves; SQLite does so only when it is told to, and
without numbers it may read all sessions of a package to find one.
"""

from bridge.storage.database import Db

ROWS_LOOKED_AT = 1000
"""Of each index: enough to tell a selective one from the others, and a matter of milliseconds."""


async def refresh(db: Db) -> None:
    """Let SQLite look at its indexes; other databases need nothing."""
    if db.dialect.name == "sqlite":
        await db.exec_driver_sql(f"PRAGMA analysis_limit = {ROWS_LOOKED_AT}")
        await db.exec_driver_sql("ANALYZE")
