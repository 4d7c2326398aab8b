"""The tables, as SQLAlchemy Core sees them. Private to `bridge.storage` and the migrations.

`sys_user` and `sys_usersession` are public: applications read and write them, so their names and meanings are fixed.
The others are ours alone.
"""

from bridge.storage.tables.columns import metadata
from bridge.storage.tables.sign_in import keycloak_grant, oauth_state, session_credential
from bridge.storage.tables.sys_user import sys_user
from bridge.storage.tables.sys_usersession import sys_usersession
from bridge.storage.tables.work import lease, security_event, sync_run

__all__ = [
    "keycloak_grant",
    "lease",
    "metadata",
    "oauth_state",
    "security_event",
    "session_credential",
    "sync_run",
    "sys_user",
    "sys_usersession",
]
