"""A good configuration file for the tests, and how to spoil it."""

from base64 import urlsafe_b64encode
from pathlib import Path

import pytest

from bridge.config import Settings, load_settings
from bridge.errors import ConfigurationError

KEY = urlsafe_b64encode(b"k" * 32).decode()
CLIENT_SECRET = "geheim-client"
GOOD = f"""
public_url = "https://sso.example.com"

[database]
url = "postgresql://bridge:geheim-database@db.example.com/sso"

[sealing]
keys = ["{KEY}"]

[packages.staff]
issuer = "https://keycloak.example.com/realms/staff"
client_id = "bridge"
client_secret = "{CLIENT_SECRET}"
return_to = ["https://shop.example.com/"]

[packages.staff.sync]
client_id = "bridge-sync"
client_secret = "geheim-sync"
"""
SECRETS = ["geheim", KEY]


def spoil(old: str, new: str) -> str:
    """Give the good configuration with one line replaced."""
    assert GOOD.count(old) == 1
    return GOOD.replace(old, new)


def load(tmp_path: Path, text: str = GOOD) -> Settings:
    """Load a configuration from a file of this text."""
    path = tmp_path / "bridge.toml"
    path.write_text(text, encoding="utf-8")
    return load_settings(path)


def refusal(tmp_path: Path, text: str = GOOD) -> str:
    """Return the message of a configuration that is refused, having checked that it holds no secret."""
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, text)
    assert caught.value.code == "configuration"
    told = f"{caught.value} {caught.value.hint} {caught.value.evidence} {caught.value!r}"
    assert not any(secret in told for secret in SECRETS)
    return caught.value.message
