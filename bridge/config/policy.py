"""How long sessions may live and how many there may be, by type, and how long what is over stays in the tables."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from bridge.config.section import Section
from bridge.config.values import Duration, parse_duration

SHORTEST_IDLE = timedelta(minutes=1)
"""Activity is written in batches; a shorter limit would end sessions that are in use."""
NONE = "none"


def _parse_optional(value: object) -> object:
    if value in (NONE, None):
        return None
    try:
        return parse_duration(value)
    except ValueError as error:
        raise ValueError(f'{error}; or "none"') from None


def _refuse_short_idle(value: timedelta | None) -> timedelta | None:
    if value is not None and value < SHORTEST_IDLE:
        raise ValueError('it must be at least 1m, as activity is written in batches; or "none"')
    return value


_Optional = Annotated[
    timedelta | None, Field(gt=timedelta(0), le=timedelta(days=3650)), BeforeValidator(_parse_optional)
]
_Idle = Annotated[
    timedelta | None,
    Field(le=timedelta(days=3650)),
    AfterValidator(_refuse_short_idle),
    BeforeValidator(_parse_optional),
]


class SessionPolicySettings(Section):
    """Limits of sessions of one type. Idle limits, caps and rotation bind sessions of the bridge only."""

    not_available = frozenset({"follow_keycloak"})

    lifetime: Duration = Field(default=timedelta(hours=8), examples=['lifetime = "8h"'])
    idle: _Idle = Field(default=timedelta(hours=1), examples=['idle = "1h"  # or "none"'])
    max_sessions: int = Field(default=3, ge=1, le=1000, examples=["max_sessions = 3"])
    at_cap: Literal["end_oldest", "refuse"] = Field(
        default="end_oldest", examples=['at_cap = "end_oldest"  # or "refuse"']
    )
    rotation: _Optional = Field(default=timedelta(hours=1), examples=['rotation = "1h"  # or "none"'])
    refresh_lifetime: Duration = Field(default=timedelta(days=30), examples=['refresh_lifetime = "30d"'])


class ApiPolicySettings(SessionPolicySettings):
    """Programs with a key."""

    lifetime: Duration = Field(default=timedelta(days=30), examples=['lifetime = "30d"'])
    idle: _Idle = Field(default=None, examples=['idle = "none"  # or "7d"'])
    max_sessions: int = Field(default=10, ge=1, le=1000, examples=["max_sessions = 10"])
    # A key is printed once, and nothing carries another to its holder.
    rotation: _Optional = Field(default=None, examples=['rotation = "none"'])


class MobilePolicySettings(SessionPolicySettings):
    """Native and mobile apps."""

    lifetime: Duration = Field(default=timedelta(days=90), examples=['lifetime = "90d"'])
    idle: _Idle = Field(default=timedelta(days=30), examples=['idle = "30d"'])
    max_sessions: int = Field(default=5, ge=1, le=1000, examples=["max_sessions = 5"])


class ConsolePolicySettings(SessionPolicySettings):
    """People at a terminal."""

    lifetime: Duration = Field(default=timedelta(hours=12), examples=['lifetime = "12h"'])
    max_sessions: int = Field(default=1, ge=1, le=1000, examples=["max_sessions = 1"])
    rotation: _Optional = Field(default=None, examples=['rotation = "none"'])


class PolicySettings(Section):
    """Limits by session type."""

    web: SessionPolicySettings = Field(
        default_factory=SessionPolicySettings, examples=['[policy.web]\nlifetime = "8h"']
    )
    api: ApiPolicySettings = Field(default_factory=ApiPolicySettings, examples=['[policy.api]\nlifetime = "30d"'])
    mobile: MobilePolicySettings = Field(
        default_factory=MobilePolicySettings, examples=['[policy.mobile]\nlifetime = "90d"']
    )
    console: ConsolePolicySettings = Field(
        default_factory=ConsolePolicySettings, examples=['[policy.console]\nlifetime = "12h"']
    )


class RetentionSettings(Section):
    """How long what is over stays in the tables before it is deleted."""

    expired_sessions: Duration = Field(default=timedelta(days=7), examples=['expired_sessions = "7d"'])
    inactive_sessions: Duration = Field(default=timedelta(days=30), examples=['inactive_sessions = "30d"'])
    user_history: Duration = Field(default=timedelta(days=365), examples=['user_history = "365d"'])
    security_events: Duration = Field(default=timedelta(days=365), examples=['security_events = "365d"'])
