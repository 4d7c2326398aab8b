"""Durations of settings: what is read, and what a wrong one is told."""

import tomllib
from pathlib import Path

import pytest

from tests.unit.settings import GOOD, load, refusal

pytestmark = pytest.mark.usefixtures("environment_of_nobody")

TOO_SHORT_OR_LONG = "it must be longer than 0s and at most 3650d"


def insert(header: str, line: str) -> str:
    """Give the good configuration with one more line in a section."""
    return GOOD.replace(header, f"{header}\n{line}", 1) if header in GOOD else f"{GOOD}\n{header}\n{line}\n"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0.001s", 0.001), ("90s", 90), ("1.5m", 90), ("8h", 28800), ("30d", 2_592_000), ("3650d", 315_360_000)],
)
def test_duration_is_a_number_with_a_unit(tmp_path: Path, text: str, seconds: float) -> None:
    settings = load(tmp_path, insert("[policy.web]", f'lifetime = "{text}"'))
    assert settings.policy.web.lifetime.total_seconds() == seconds


@pytest.mark.parametrize(
    "value",
    [
        *('"8"', '"8 h"', '"h"', '"abc"', '"-1h"', '"1e3s"', '"8h\\n"', "8", "true", '""'),
        *('"999999999999d"', f'"{"9" * 400}s"'),
    ],
)
def test_duration_that_is_none_is_refused(tmp_path: Path, value: str) -> None:
    message = refusal(tmp_path, insert("[policy.web]", f"lifetime = {value}"))
    shown = repr(tomllib.loads(f"value = {value}")["value"])
    assert f"  policy.web.lifetime = {shown}: it must be a number with a unit: s, m, h or d.\n" in message
    assert '      Example: lifetime = "8h"' in message


@pytest.mark.parametrize("value", ["0s", "0.000d", "3650.001d", "5000d", "999999999s", "999999999.999d"])
@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("[policy.web]", "lifetime"),
        ("[policy.web]", "rotation"),
        ("[policy.mobile]", "refresh_lifetime"),
        ("[retention]", "user_history"),
        ("[http]", "read_timeout"),
        ("[database]", "timeout"),
    ],
)
def test_duration_that_is_too_short_or_too_long_is_refused(tmp_path: Path, header: str, name: str, value: str) -> None:
    """V32: a giant one does not overflow."""
    message = refusal(tmp_path, insert(header, f'{name} = "{value}"'))
    assert f"  {header.strip('[]')}.{name} = '{value}': {TOO_SHORT_OR_LONG}" in message
    assert f"      Example: {name} = " in message
