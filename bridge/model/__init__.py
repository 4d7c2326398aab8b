"""What both processes talk about: people, their sessions, pending logins. Frozen, no I/O, no framework.

    people     identities, profiles, rows of sys_user          sessions   rows of sys_usersession, and what they may do
    logins     logins on their way to Keycloak and back

Times are aware datetimes in UTC. Digests are SHA-256 as 64 hexadecimal characters.
"""

from bridge.model.logins import KeycloakTokens, PendingLogin, digest
from bridge.model.people import Identity, Profile, User
from bridge.model.sessions import (
    Activity,
    AtCap,
    ClientFacts,
    Device,
    LoginMethod,
    NewSession,
    Origin,
    Place,
    SessionPolicy,
    SessionType,
    UserSession,
)

__all__ = [
    "Activity",
    "AtCap",
    "ClientFacts",
    "Device",
    "Identity",
    "KeycloakTokens",
    "LoginMethod",
    "NewSession",
    "Origin",
    "PendingLogin",
    "Place",
    "Profile",
    "SessionPolicy",
    "SessionType",
    "User",
    "UserSession",
    "digest",
]
