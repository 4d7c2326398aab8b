"""The figures that rows live by: the lockout, and limits and retentions as they are when nobody sets them."""

from collections.abc import Mapping
from datetime import timedelta

from bridge.config.policy import PolicySettings, RetentionSettings
from bridge.storage import lockouts

UNITS = (("d", timedelta(days=1)), ("h", timedelta(hours=1)), ("m", timedelta(minutes=1)), ("s", timedelta(seconds=1)))
WORDS = {"d": "day", "h": "hour", "m": "minute", "s": "second"}


def spell(value: object) -> object:
    """Return a value of the settings as it is written there: `8h`, `none`; numbers and texts stay."""
    if value is None:
        return "none"
    return "".join(map(str, _parts(value))) if isinstance(value, timedelta) else value


def session_figures() -> dict[str, dict[str, object]]:
    """Return the default limits of each type of session, by setting."""
    policy = PolicySettings().model_dump()
    return {kind: {name: spell(value) for name, value in limits.items()} for kind, limits in policy.items()}


def retention_figures() -> dict[str, object]:
    """Return the default retentions, by setting."""
    return {name: spell(value) for name, value in RetentionSettings().model_dump().items()}


def lockout_figures() -> list[dict[str, object]]:
    """Return the steps of the lockout."""
    return [{"failures": failures, "locked": spell(locked)} for failures, locked in lockouts.STEPS.items()]


def retention_words() -> Mapping[str, str]:
    """Return the default retentions in words, each with the setting that changes it."""
    return {
        name: f"{_in_words(value)} (setting `retention.{name}`)"
        for name, value in RetentionSettings().model_dump().items()
    }


def _in_words(duration: timedelta) -> str:
    number, unit = _parts(duration)
    return f"{number} {WORDS[unit]}{'s' * (number != 1)}"


def _parts(duration: timedelta) -> tuple[int, str]:
    """Return a duration in the largest unit that gives a whole number."""
    for unit, length in UNITS:
        if not duration % length:
            return duration // length, unit
    raise ValueError(f"{duration} is no whole number of seconds")
