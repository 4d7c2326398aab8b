"""Settings: one TOML file, any value also from the environment, secrets by reference.

    file (keycloak-bridge.toml)  +  KEYCLOAK_BRIDGE__SECTION__KEY  ->  load_settings()  ->  Settings

An error names the setting and the value (never a secret) and shows an example. Unknown keys are errors; settings of
features that this version does not have are refused by name rather than ignored. Nothing here opens a connection.
"""

from bridge.config.load import load_settings
from bridge.config.sections import HttpSettings, PackageSettings, Settings, SyncSettings

__all__ = ["HttpSettings", "PackageSettings", "Settings", "SyncSettings", "load_settings"]
