"""The tables, as SQLAlchemy Core sees them. Private to `bridge.storage` and the migrations.

sys_user, sys_usersession     public: applications read and write them, so names and meanings are fixed
people                        history of people, group codes, preferences
sign_in                       pending logins, credentials, one-time codes, grants, logout tokens
audit                         security events, revocations, lockouts
keys                          sealing and signing keys
work                          leases, and what the sync remembers
"""

from bridge.storage.tables.audit import login_lockout, security_event, session_revocation
from bridge.storage.tables.columns import metadata
from bridge.storage.tables.keys import sealing_key, signing_key
from bridge.storage.tables.people import def_usergroup, sys_user_history, sys_user_preferences
from bridge.storage.tables.sign_in import (
    exchange_code,
    keycloak_grant,
    logout_token_seen,
    logout_tombstone,
    oauth_state,
    session_credential,
)
from bridge.storage.tables.sys_user import sys_user
from bridge.storage.tables.sys_usersession import sys_usersession
from bridge.storage.tables.work import lease, sync_cursor, sync_dirty, sync_plan, sync_run, sync_shard, sync_stage

__all__ = [
    "def_usergroup",
    "exchange_code",
    "keycloak_grant",
    "lease",
    "login_lockout",
    "logout_token_seen",
    "logout_tombstone",
    "metadata",
    "oauth_state",
    "sealing_key",
    "security_event",
    "session_credential",
    "session_revocation",
    "signing_key",
    "sync_cursor",
    "sync_dirty",
    "sync_plan",
    "sync_run",
    "sync_shard",
    "sync_stage",
    "sys_user",
    "sys_user_history",
    "sys_user_preferences",
    "sys_usersession",
]
