"""The limits of sessions, from the settings."""

from collections.abc import Mapping
from dataclasses import replace

from bridge.config.policy import PolicySettings, SessionLimits
from bridge.model import AtCap, SessionPolicy, SessionType


def build_policies(settings: PolicySettings) -> Mapping[str, SessionPolicy]:
    """Return the limits of each session type."""
    web, mobile = settings.web, settings.mobile
    return {
        str(SessionType.WEB): replace(_build_policy(web), rotation=web.rotation),
        str(SessionType.API): _build_policy(settings.api),
        str(SessionType.MOBILE): replace(_build_policy(mobile), refresh_lifetime=mobile.refresh_lifetime),
        str(SessionType.CONSOLE): _build_policy(settings.console),
    }


def _build_policy(limits: SessionLimits) -> SessionPolicy:
    """Return what a type has in common with all others: nothing is rotated but the cookie of a browser."""
    return SessionPolicy(
        lifetime=limits.lifetime,
        idle=limits.idle,
        max_sessions=limits.max_sessions,
        at_cap=AtCap(limits.at_cap),
        rotation=None,
    )
