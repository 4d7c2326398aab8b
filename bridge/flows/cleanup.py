"""Delete what nobody can come back to, so that a public login page does not grow a table without end."""

from datetime import datetime

from bridge.storage import oauth_states, session_credentials
from bridge.storage.database import Database


async def delete_old_logins(database: Database, *, now: datetime) -> None:
    """Delete forgotten logins and credentials past their end; consumed logins stay a day, for late duplicates.

    Any number of replicas may do so at once.
    """
    await database.write(lambda db: oauth_states.delete_old(db, now=now))
    await database.write(lambda db: session_credentials.delete_expired(db, now=now))
