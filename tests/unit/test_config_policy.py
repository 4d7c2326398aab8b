"""Limits of sessions and retentions: what nobody has set, what is read, and what a wrong one is told."""

from datetime import timedelta
from pathlib import Path

import pytest

from bridge.config.policy import PolicySettings, WebPolicySettings
from bridge.flows.policies import build_policies
from bridge.model import AtCap, SessionPolicy, SessionType
from tests.unit.settings import GOOD, load, refusal

pytestmark = pytest.mark.usefixtures("environment_of_nobody")

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
DEFAULTS = {
    "web": SessionPolicy(lifetime=8 * HOUR, idle=HOUR, max_sessions=3, rotation=HOUR),
    "api": SessionPolicy(lifetime=30 * DAY, idle=None, max_sessions=10, rotation=None),
    "mobile": SessionPolicy(lifetime=90 * DAY, idle=30 * DAY, max_sessions=5, rotation=None),
    "console": SessionPolicy(lifetime=12 * HOUR, idle=HOUR, max_sessions=1, rotation=None),
}


def add(*lines: str) -> str:
    """Give the good configuration with more lines at its end."""
    return "\n".join((GOOD, *lines, ""))


def test_each_type_of_session_has_limits_of_its_own(tmp_path: Path) -> None:
    policies = build_policies(load(tmp_path).policy)

    assert policies == DEFAULTS
    assert set(policies) == set(SessionType)
    assert {policy.at_cap for policy in policies.values()} == {AtCap.END_OLDEST}
    assert {policy.refresh_lifetime for policy in policies.values()} == {30 * DAY}


@pytest.mark.parametrize("kind", list(SessionType))
def test_every_limit_of_a_type_can_be_set(tmp_path: Path, kind: str) -> None:
    own = {"web": ['rotation = "5m"'], "mobile": ['refresh_lifetime = "3d"']}.get(kind, [])
    lines = ('lifetime = "2h"', 'idle = "10m"', "max_sessions = 7", 'at_cap = "refuse"', *own)
    policies = build_policies(load(tmp_path, add(f"[policy.{kind}]", *lines)).policy)

    minute = timedelta(minutes=1)
    assert policies[kind] == SessionPolicy(
        lifetime=2 * HOUR,
        idle=10 * minute,
        max_sessions=7,
        at_cap=AtCap.REFUSE,
        rotation=5 * minute if kind == "web" else None,
        refresh_lifetime=3 * DAY if kind == "mobile" else 30 * DAY,
    )
    assert {name: policy for name, policy in policies.items() if name != kind} == {
        name: policy for name, policy in DEFAULTS.items() if name != kind
    }


@pytest.mark.parametrize("kind", list(SessionType))
def test_one_limit_that_is_set_leaves_the_others_of_its_type(tmp_path: Path, kind: str) -> None:
    found = build_policies(load(tmp_path, add(f"[policy.{kind}]", "max_sessions = 9")).policy)[kind]

    assert found.max_sessions == 9
    assert (found.lifetime, found.idle, found.rotation) == (
        DEFAULTS[kind].lifetime,
        DEFAULTS[kind].idle,
        DEFAULTS[kind].rotation,
    )


@pytest.mark.parametrize("name", ["idle", "rotation"])
def test_none_takes_a_limit_away(tmp_path: Path, name: str) -> None:
    settings = load(tmp_path, add("[policy.web]", f'{name} = "none"'))
    assert getattr(settings.policy.web, name) is None


def test_the_shortest_idle_limit_is_a_minute(tmp_path: Path) -> None:
    assert load(tmp_path, add("[policy.web]", 'idle = "1m"')).policy.web.idle == timedelta(minutes=1)


def test_settings_that_were_read_can_be_checked_again() -> None:
    settings = PolicySettings(web=WebPolicySettings(idle=None, at_cap="refuse"))
    assert PolicySettings.model_validate(settings.model_dump()) == settings


def test_retentions_have_defaults_and_can_be_set(tmp_path: Path) -> None:
    given = load(tmp_path).retention
    assert (given.expired_sessions, given.inactive_sessions) == (7 * DAY, 30 * DAY)
    assert (given.user_history, given.security_events) == (365 * DAY, 365 * DAY)

    names = ("expired_sessions", "inactive_sessions", "user_history", "security_events")
    lines = (f'{name} = "{days}d"' for days, name in enumerate(names, start=1))
    changed = load(tmp_path, add("[retention]", *lines)).retention
    assert list(changed.model_dump().values()) == [DAY, 2 * DAY, 3 * DAY, 4 * DAY]


@pytest.mark.parametrize(
    ("header", "line", "expected"),
    [
        ("[policy.web]", 'idle = "never"', "policy.web.idle = 'never': it must be a number with a unit: s, m, h or d"),
        ("[policy.web]", "idle = 0", "policy.web.idle = 0: it must be a number with a unit: s, m, h or d"),
        ("[policy.web]", "idle = false", "policy.web.idle = False: it must be a number with a unit"),
        ("[policy.web]", 'idle = "0s"', "policy.web.idle = '0s': it must be at least 1m, as activity is written in"),
        ("[policy.console]", 'idle = "59s"', "policy.console.idle = '59s': it must be at least 1m"),
        ("[policy.web]", 'rotation = "off"', "policy.web.rotation = 'off': it must be a number with a unit"),
    ],
)
def test_a_wrong_limit_says_that_none_is_possible(tmp_path: Path, header: str, line: str, expected: str) -> None:
    message = refusal(tmp_path, add(header, line))
    assert expected in message
    assert '; or "none".\n      Example: ' in message


@pytest.mark.parametrize(
    ("header", "line", "expected"),
    [
        ("[policy.web]", 'at_cap = "end"', "policy.web.at_cap = 'end': Input should be 'end_oldest' or 'refuse'."),
        ("[policy.api]", "at_cap = true", "policy.api.at_cap = True: Input should be 'end_oldest' or 'refuse'."),
        ("[policy.web]", "max_sessions = 0", "policy.web.max_sessions = 0: Input should be greater than or equal to 1"),
        ("[policy.web]", "max_sessions = 1001", "policy.web.max_sessions = 1001: Input should be less than or equal"),
        ("[policy.web]", 'max_sessions = "none"', "policy.web.max_sessions = 'none': Input should be a valid integer"),
        ("[policy.web]", 'rotation = "0s"', "policy.web.rotation = '0s': it must be longer than 0s and at most"),
        ("[policy.web]", 'idle = "4000d"', "policy.web.idle = '4000d': it must be longer than 0s and at most 3650d."),
        ("[policy.api]", 'lifetime = "none"', "policy.api.lifetime = 'none': it must be a number with a unit"),
        ("[policy.mobile]", 'refresh_lifetime = "none"', "policy.mobile.refresh_lifetime = 'none': it must be"),
        ("[retention]", 'expired_sessions = "0d"', "retention.expired_sessions = '0d': it must be longer than 0s"),
        ("[retention]", 'user_history = "none"', "retention.user_history = 'none': it must be a number with a unit"),
    ],
)
def test_a_wrong_value_is_shown_with_what_is_possible(tmp_path: Path, header: str, line: str, expected: str) -> None:
    message = refusal(tmp_path, add(header, line))
    assert expected in message
    assert "      Example: " in message


@pytest.mark.parametrize(
    ("kind", "name", "example"),
    [
        ("web", "lifetime", 'lifetime = "8h"'),
        ("api", "lifetime", 'lifetime = "30d"'),
        ("mobile", "lifetime", 'lifetime = "90d"'),
        ("console", "lifetime", 'lifetime = "12h"'),
        ("api", "max_sessions", "max_sessions = 10"),
        ("api", "idle", 'idle = "none"  # or "7d"'),
        ("mobile", "idle", 'idle = "30d"'),
    ],
)
def test_the_example_of_a_wrong_limit_is_one_of_its_type(tmp_path: Path, kind: str, name: str, example: str) -> None:
    message = refusal(tmp_path, add(f"[policy.{kind}]", f'{name} = "wrong"'))
    assert f"      Example: {example}" in message.splitlines()


def test_a_type_that_there_is_not_is_refused(tmp_path: Path) -> None:
    message = refusal(tmp_path, add("[policy.desktop]", 'lifetime = "1h"'))
    assert "  policy.desktop: there is no setting of this name; please check the spelling." in message


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("web", "refresh_lifetime"),
        ("api", "rotation"),
        ("api", "refresh_lifetime"),
        ("mobile", "rotation"),
        ("console", "rotation"),
        ("console", "refresh_lifetime"),
    ],
)
def test_a_limit_that_would_do_nothing_for_a_type_is_refused(tmp_path: Path, kind: str, name: str) -> None:
    message = refusal(tmp_path, add(f"[policy.{kind}]", f'{name} = "1h"'))
    assert f"  policy.{kind}.{name}: there is no setting of this name; please check the spelling." in message


def test_limits_can_be_set_by_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEYCLOAK_BRIDGE__POLICY__API__IDLE", "7d")
    monkeypatch.setenv("KEYCLOAK_BRIDGE__POLICY__WEB__IDLE", "none")
    monkeypatch.setenv("KEYCLOAK_BRIDGE__POLICY__CONSOLE__MAX_SESSIONS", "2")
    monkeypatch.setenv("KEYCLOAK_BRIDGE__RETENTION__EXPIRED_SESSIONS", "12h")

    settings = load(tmp_path)

    assert (settings.policy.api.idle, settings.policy.web.idle) == (7 * DAY, None)
    assert settings.policy.console.max_sessions == 2
    assert settings.retention.expired_sessions == 12 * HOUR
