"""How long sessions may live and how many there may be, by type, and how long what is over stays in the tables."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from bridge.config.section import Section
from bridge.config.values import Duration, OptionalDuration, parse_optional_duration, refuse_out_of_range

SHORTEST_IDLE = timedelta(minutes=1)
"""Activity is written in batches; a shorter limit would end sessions that are in use."""


def _refuse_short_idle(value: timedelta | None) -> timedelta | None:
    if value is not None and value < SHORTEST_IDLE:
        raise ValueError('it must be at least 1m, as activity is written in batches; or "none"')
    return value


_Idle = Annotated[
    timedelta | None,
    AfterValidator(_refuse_short_idle),
    AfterValidator(refuse_out_of_range),
    BeforeValidator(parse_optional_duration),
]
_Count = Annotated[int, Field(ge=1, le=1000)]


class SessionLimits(Section):
    """What limits sessions of every type. Idle limits and caps bind sessions of the bridge only."""

    not_available = frozenset({"follow_keycloak"})

    lifetime: Duration
    idle: _Idle
    max_sessions: _Count
    at_cap: Literal["end_oldest", "refuse"] = Field(
        default="end_oldest", examples=['at_cap = "end_oldest"  # or "refuse"']
    )


class WebPolicySettings(SessionLimits):
    """People in a browser; the value of their cookie is replaced now and then."""

    lifetime: Duration = Field(default=timedelta(hours=8), examples=['lifetime = "8h"'])
    idle: _Idle = Field(default=timedelta(hours=1), examples=['idle = "1h"  # or "none"'])
    max_sessions: _Count = Field(default=3, examples=["max_sessions = 3"])
    rotation: OptionalDuration = Field(default=timedelta(hours=1), examples=['rotation = "1h"  # or "none"'])


class ApiPolicySettings(SessionLimits):
    """Programs with a key. It is printed once, and nothing carries another to its holder."""

    lifetime: Duration = Field(default=timedelta(days=30), examples=['lifetime = "30d"'])
    idle: _Idle = Field(default=None, examples=['idle = "none"  # or "7d"'])
    max_sessions: _Count = Field(default=10, examples=["max_sessions = 10"])


class MobilePolicySettings(SessionLimits):
    """Native and mobile apps, which hold a refresh token."""

    lifetime: Duration = Field(default=timedelta(days=90), examples=['lifetime = "90d"'])
    idle: _Idle = Field(default=timedelta(days=30), examples=['idle = "30d"'])
    max_sessions: _Count = Field(default=5, examples=["max_sessions = 5"])
    refresh_lifetime: Duration = Field(default=timedelta(days=30), examples=['refresh_lifetime = "30d"'])


class ConsolePolicySettings(SessionLimits):
    """People at a terminal, with a key."""

    lifetime: Duration = Field(default=timedelta(hours=12), examples=['lifetime = "12h"'])
    idle: _Idle = Field(default=timedelta(hours=1), examples=['idle = "1h"  # or "none"'])
    max_sessions: _Count = Field(default=1, examples=["max_sessions = 1"])


class PolicySettings(Section):
    """Limits by session type."""

    web: WebPolicySettings = Field(default_factory=WebPolicySettings, examples=['[policy.web]\nlifetime = "8h"'])
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
