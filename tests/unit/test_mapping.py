"""Representations of the Admin API to objects."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from bridge.errors import KeycloakAnswerInvalid
from bridge.keycloak import mapping

USER: dict[str, Any] = {
    "id": "0b8f6a4e-0000-4000-8000-000000000001",
    "username": "alice",
    "enabled": True,
    "email": "alice@example.com",
    "emailVerified": True,
    "firstName": "Alice",
    "lastName": "Ames",
    "createdTimestamp": 1_700_000_000_123,
    "access": {"manage": False},
    "aFieldOfALaterVersion": [1, 2],
}
SESSION: dict[str, Any] = {
    "id": "-abc",
    "username": "alice",
    "userId": USER["id"],
    "ipAddress": "192.0.2.1",
    "start": 1_700_000_000_000,
    "lastAccess": 1_700_000_060_000,
    "rememberMe": True,
    "clients": {"uuid-2": "shop", "uuid-1": "bridge"},
}
REALM: dict[str, Any] = {
    "ssoSessionIdleTimeout": 1800,
    "ssoSessionMaxLifespan": 36000,
    "ssoSessionIdleTimeoutRememberMe": 0,
    "ssoSessionMaxLifespanRememberMe": 86400,
    "offlineSessionIdleTimeout": 2592000,
    "offlineSessionMaxLifespanEnabled": False,
    "offlineSessionMaxLifespan": 5184000,
}


def test_a_user_with_fields_nobody_knows() -> None:
    user = mapping.to_user(USER)
    assert (user.sub, user.username, user.enabled, user.email_verified) == (USER["id"], "alice", True, True)
    assert user.created_at == datetime(2023, 11, 14, 22, 13, 20, 123000, UTC)


def test_absent_and_empty_values_are_none() -> None:
    user = mapping.to_user({"id": "1", "username": "x", "email": "", "firstName": None})
    assert (user.email, user.first_name, user.last_name, user.created_at) == (None, None, None, None)
    assert (user.enabled, user.email_verified) == (True, False)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("id", None, "a text"),
        ("id", "", "a text"),
        ("username", 7, "a text"),
        ("enabled", "true", "true or false"),
        ("email", ["a"], "a text"),
        ("createdTimestamp", "yesterday", "a number"),
        ("createdTimestamp", True, "a number"),
        ("createdTimestamp", 10**30, "a time in milliseconds"),
    ],
)
def test_a_malformed_user_is_refused_by_field(field: str, value: object, expected: str) -> None:
    with pytest.raises(KeycloakAnswerInvalid, match=f"a {field} that is not {expected}") as refused:
        mapping.to_user(USER | {field: value})
    assert refused.value.code == "keycloak_answer_invalid"
    assert refused.value.evidence["field"] == field


@pytest.mark.parametrize("found", [None, [], "alice", 1])
def test_what_is_no_object_is_refused(found: object) -> None:
    with pytest.raises(KeycloakAnswerInvalid, match="a user that is not an object"):
        mapping.to_user(found)


def test_a_group_knows_whether_it_can_have_children() -> None:
    assert not mapping.to_group({"id": "1", "name": "a", "subGroupCount": 0}, parent_id=None).may_have_children
    assert mapping.to_group({"id": "1", "name": "a", "subGroupCount": 2}, parent_id="p").may_have_children
    # Older servers do not count: better one call too many.
    assert mapping.to_group({"id": "1", "name": "a"}, parent_id=None).may_have_children


def test_statistics_are_strings() -> None:
    stats = mapping.to_stats({"id": "u", "clientId": "shop", "active": "12", "offline": "3"})
    assert (stats.active, stats.offline) == (12, 3)
    with pytest.raises(KeycloakAnswerInvalid, match="active that is not a number"):
        mapping.to_stats({"id": "u", "clientId": "shop", "active": "many"})


def test_a_session_of_several_clients() -> None:
    session = mapping.to_session(SESSION, offline=True)
    assert session.client_ids == {"bridge", "shop"}
    assert session.last_access_at - session.started_at == timedelta(minutes=1)
    assert (session.offline, session.remember_me, session.transient) == (True, True, False)


def test_a_session_without_clients() -> None:
    assert mapping.to_session(SESSION | {"clients": {}}, offline=False).client_ids == frozenset()


def test_the_limits_of_a_realm() -> None:
    limits = mapping.to_realm_limits(REALM)
    assert limits.online == mapping.SessionLimits(timedelta(minutes=30), timedelta(hours=10))
    # The longer of the normal and the remembered limit counts.
    assert limits.remembered == mapping.SessionLimits(timedelta(minutes=30), timedelta(days=1))
    assert limits.offline == mapping.SessionLimits(timedelta(days=30), None)
    ending = mapping.to_realm_limits(REALM | {"offlineSessionMaxLifespanEnabled": True})
    assert ending.offline.longest == timedelta(days=60)


@pytest.mark.parametrize("found", [-1, "3", None, 1.5, True])
def test_a_count_is_a_number(found: object) -> None:
    with pytest.raises(KeycloakAnswerInvalid):
        mapping.to_count(found, "/users/count")
