"""The limits of sessions, from the settings."""

from collections.abc import Mapping

from bridge.config.policy import PolicySettings
from bridge.model import AtCap, SessionPolicy, SessionType


def build_policies(settings: PolicySettings) -> Mapping[str, SessionPolicy]:
    """Return the limits of each session type."""
    sections = {
        SessionType.WEB: settings.web,
        SessionType.API: settings.api,
        SessionType.MOBILE: settings.mobile,
        SessionType.CONSOLE: settings.console,
    }
    return {
        str(kind): SessionPolicy(
            lifetime=section.lifetime,
            idle=section.idle,
            max_sessions=section.max_sessions,
            at_cap=AtCap(section.at_cap),
            rotation=section.rotation,
            refresh_lifetime=section.refresh_lifetime,
        )
        for kind, section in sections.items()
    }
