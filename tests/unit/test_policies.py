"""The limits of sessions: what holds without settings, and that each setting arrives where it is meant."""

from dataclasses import replace
from datetime import timedelta

import pytest

from bridge.config.policy import PolicySettings
from bridge.flows.policies import build_policies
from bridge.model import AtCap, SessionPolicy, SessionType

MINUTES, HOURS, DAYS = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
DEFAULTS = {
    "web": SessionPolicy(8 * HOURS, HOURS, 3, AtCap.END_OLDEST, HOURS, 30 * DAYS),
    "api": SessionPolicy(30 * DAYS, None, 10, AtCap.END_OLDEST, None, 30 * DAYS),
    "mobile": SessionPolicy(90 * DAYS, 30 * DAYS, 5, AtCap.END_OLDEST, None, 30 * DAYS),
    "console": SessionPolicy(12 * HOURS, HOURS, 1, AtCap.END_OLDEST, None, 30 * DAYS),
}
CHANGED = {"lifetime": "2h", "idle": "5m", "max_sessions": 7, "at_cap": "refuse"}


def test_without_settings_each_type_has_its_limits() -> None:
    assert build_policies(PolicySettings()) == DEFAULTS
    assert set(DEFAULTS) == set(SessionType)


@pytest.mark.parametrize("kind", list(SessionType))
def test_settings_of_one_type_change_that_type_alone(kind: SessionType) -> None:
    policies = build_policies(PolicySettings.model_validate({str(kind): CHANGED}))
    expected = replace(DEFAULTS[kind], lifetime=2 * HOURS, idle=5 * MINUTES, max_sessions=7, at_cap=AtCap.REFUSE)
    assert policies == {**DEFAULTS, str(kind): expected}


def test_a_cookie_is_replaced_as_often_as_the_settings_of_the_web_say() -> None:
    policies = build_policies(PolicySettings.model_validate({"web": {"rotation": "10m"}}))
    assert policies == {**DEFAULTS, "web": replace(DEFAULTS["web"], rotation=10 * MINUTES)}


def test_a_refresh_token_waits_as_long_as_the_settings_of_apps_say() -> None:
    policies = build_policies(PolicySettings.model_validate({"mobile": {"refresh_lifetime": "3d"}}))
    assert policies == {**DEFAULTS, "mobile": replace(DEFAULTS["mobile"], refresh_lifetime=3 * DAYS)}


@pytest.mark.parametrize("kind", list(SessionType))
def test_the_idle_limit_of_every_type_may_be_taken_away(kind: SessionType) -> None:
    policies = build_policies(PolicySettings.model_validate({str(kind): {"idle": "none"}}))
    assert policies[kind].idle is None


def test_cookies_may_stay_as_they_are() -> None:
    assert build_policies(PolicySettings.model_validate({"web": {"rotation": "none"}}))["web"].rotation is None
