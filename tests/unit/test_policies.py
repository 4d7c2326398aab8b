"""The limits of sessions: what holds without settings, and that each setting arrives where it is meant."""

from datetime import timedelta

import pytest

from bridge.config.policy import PolicySettings
from bridge.flows.policies import build_policies
from bridge.model import AtCap, SessionPolicy, SessionType

HOURS, DAYS = timedelta(hours=1), timedelta(days=1)
DEFAULTS = {
    "web": SessionPolicy(8 * HOURS, HOURS, 3, AtCap.END_OLDEST, HOURS, 30 * DAYS),
    "api": SessionPolicy(30 * DAYS, None, 10, AtCap.END_OLDEST, None, 30 * DAYS),
    "mobile": SessionPolicy(90 * DAYS, 30 * DAYS, 5, AtCap.END_OLDEST, HOURS, 30 * DAYS),
    "console": SessionPolicy(12 * HOURS, HOURS, 1, AtCap.END_OLDEST, None, 30 * DAYS),
}
CHANGED = {
    "lifetime": "2h",
    "idle": "5m",
    "max_sessions": 7,
    "at_cap": "refuse",
    "rotation": "10m",
    "refresh_lifetime": "3d",
}


def test_without_settings_each_type_has_its_limits() -> None:
    assert build_policies(PolicySettings()) == DEFAULTS
    assert set(DEFAULTS) == set(SessionType)


@pytest.mark.parametrize("kind", list(SessionType))
def test_settings_of_one_type_change_that_type_alone(kind: SessionType) -> None:
    policies = build_policies(PolicySettings.model_validate({str(kind): CHANGED}))
    expected = SessionPolicy(2 * HOURS, timedelta(minutes=5), 7, AtCap.REFUSE, timedelta(minutes=10), 3 * DAYS)
    assert policies == {**DEFAULTS, str(kind): expected}


@pytest.mark.parametrize("kind", list(SessionType))
def test_a_limit_may_be_taken_away(kind: SessionType) -> None:
    policies = build_policies(PolicySettings.model_validate({str(kind): {"idle": "none", "rotation": "none"}}))
    assert (policies[kind].idle, policies[kind].rotation) == (None, None)
