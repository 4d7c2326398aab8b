"""Types, digests, numbers, durations and limits that the session operations take, and those that they refuse."""

import re
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from bridge.errors import SessionRefused
from bridge.model import SessionPolicy, SessionType, digest
from bridge.storage.schema.statements import OPERATIONS
from bridge.storage.session_input import check_digest, check_duration, check_number, check_policy, check_type
from bridge.storage.session_queries import PARAMETERS

LIMITS = SessionPolicy(lifetime=timedelta(hours=8), idle=None, max_sessions=1)


def accepts(check: Callable[[], None]) -> bool:
    try:
        check()
    except SessionRefused:
        return False
    return True


def test_a_type_is_asked_for_by_its_name_or_not_at_all() -> None:
    for kind in (None, "web", "api", "mobile", "console", *SessionType):
        check_type(kind)
    with pytest.raises(SessionRefused, match=r"^'desktop' is no session type; there are web, api, mobile, console\.$"):
        check_type("desktop")


def test_applications_are_told_which_types_they_may_give() -> None:
    """Their statement is plain SQL, and the database takes any text."""
    (told,) = re.findall(r"`SessionType` must be ([^.]*)\.", OPERATIONS["create_session"])
    assert re.findall(r"`(\w+)`", told) == list(SessionType)
    assert PARAMETERS["session_type"] == "web, api, mobile or console, and no other"


@pytest.mark.parametrize("value", ["", "K" * 43, "a" * 63, "A" * 64, "a" * 64 + "\n", "\ud800"])
def test_what_is_no_digest_is_refused_and_not_repeated(value: str) -> None:
    """It may be a credential, and the message may be logged."""
    with pytest.raises(SessionRefused) as refused:
        check_digest(value, field="rotated_to")
    assert refused.value.message == "rotated_to must be 64 hexadecimal characters."
    assert refused.value.evidence == {"field": "rotated_to"}


def test_a_digest_may_be_absent() -> None:
    check_digest(None, field="rotated_to")
    check_digest(digest("credential"), field="rotated_to")


@pytest.mark.parametrize(("number", "fits"), [(-1, False), (0, True), (1_000_000, True), (1_000_001, False)])
def test_a_number_is_not_negative_and_has_a_bound(number: int, fits: bool) -> None:  # noqa: FBT001 - a column of a table
    assert accepts(lambda: check_number(number, field="limit")) is fits


@pytest.mark.parametrize(
    ("duration", "fits"),
    [
        (timedelta(microseconds=-1), False),
        (timedelta(), True),
        (timedelta(days=36_525), True),
        (timedelta(days=36_525, microseconds=1), False),
        (timedelta.max, False),
    ],
)
def test_a_duration_is_not_negative_and_has_a_bound(duration: timedelta, fits: bool) -> None:  # noqa: FBT001 - as above
    assert accepts(lambda: check_duration(duration, field="expired_for")) is fits


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"max_sessions": 0}, "max_sessions is 0, and must be 1 or more."),
        ({"idle": timedelta()}, "The session would be idle when it begins."),
        ({"idle": -timedelta(days=1)}, "idle is -1 day, 0:00:00, and must be from 0 to 36,525 days."),
    ],
)
def test_limits_that_no_session_could_live_under_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SessionRefused) as refused:
        check_policy(replace(LIMITS, **changes))
    assert refused.value.message == message


def test_limits_of_the_smallest_kind_are_accepted() -> None:
    check_policy(LIMITS)
    check_policy(replace(LIMITS, idle=timedelta(microseconds=1)))
