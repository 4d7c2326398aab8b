"""The rules of the mirror, without any database or Keycloak."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from bridge.keycloak.mapping import KeycloakSession, KeycloakUser, RealmLimits, SessionLimits
from bridge.model import Identity
from sync.reconcile import (
    Person,
)

ISSUER = "https://keycloak.example.com/realms/demo"
NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
ME = Identity(ISSUER, "0b8f6a4e-0000-4000-8000-000000000001", "shop")
LIMITS = RealmLimits(
    online=SessionLimits(timedelta(minutes=30), timedelta(hours=10)),
    remembered=SessionLimits(timedelta(days=1), timedelta(days=2)),
    offline=SessionLimits(timedelta(days=30), None),
)


USER = KeycloakUser(
    sub=ME.sub,
    username="alice",
    enabled=True,
    email="alice@example.com",
    email_verified=True,
    first_name="Alice",
    last_name="Ames",
    created_at=NOW,
)
SESSION = KeycloakSession(
    sid="sid",
    sub=ME.sub,
    offline=False,
    ip_address="192.0.2.1",
    started_at=NOW,
    last_access_at=NOW,
    remember_me=False,
    client_ids=frozenset({"shop", "bridge"}),
    transient=False,
)


def person(*codes: str, confirmed: bool = False, **changes: Any) -> Person:
    return Person(replace(USER, **changes), codes, confirmed)
