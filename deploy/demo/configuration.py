"""What the bridge of the demo is told: its configuration file, its key and its database, all in one directory."""

import base64
import json
import secrets
import tomllib
from dataclasses import dataclass
from pathlib import Path

from deploy.demo.ports import HOST
from deploy.demo.realm import BRIDGE_SECRET, SYNC_SECRET

REALM = "demo"
_TEMPLATE = """\
# Written anew by each `make demo`.
public_url = {bridge_url}
listen = {listen}

[database]
url = {database_url}

[sealing]
keys = [{key}]

[packages.demo]
issuer = {issuer}
client_id = "bridge"
client_secret = {bridge_secret}
return_to = [{app_url}]

[packages.demo.sync]
client_id = "bridge-sync"
client_secret = {sync_secret}
"""


@dataclass(frozen=True)
class DemoAddresses:
    """The three addresses of the demo."""

    bridge_port: int
    app_port: int
    keycloak_url: str

    @property
    def bridge_url(self) -> str:
        """Where the bridge is."""
        return f"http://{HOST}:{self.bridge_port}"

    @property
    def app_url(self) -> str:
        """Where the application is."""
        return f"http://{HOST}:{self.app_port}"

    @property
    def issuer(self) -> str:
        """The issuer of the demo realm."""
        return f"{self.keycloak_url}/realms/{REALM}"


@dataclass(frozen=True)
class DemoFiles:
    """The files of the demo; deleting the directory deletes all of its state."""

    directory: Path

    @property
    def configuration(self) -> Path:
        """The configuration of the bridge."""
        return self.directory / "keycloak-bridge.toml"

    @property
    def key(self) -> Path:
        """The sealing key, kept from one run to the next as the database is."""
        return self.directory / "sealing.key"

    @property
    def database(self) -> Path:
        """The SQLite database."""
        return self.directory / "bridge.db"

    def log(self, name: str) -> Path:
        """Return the log file of one program."""
        return self.directory / f"{name}.log"


def write_configuration(files: DemoFiles, addresses: DemoAddresses) -> None:
    """Write the configuration; make a key when there is none; drop the database of another issuer."""
    _drop_other_issuer(files, addresses.issuer)
    if not files.key.exists():
        files.key.touch(mode=0o600)
        files.key.write_text(base64.urlsafe_b64encode(secrets.token_bytes(32)).decode() + "\n", encoding="ascii")
    values = {
        "bridge_url": addresses.bridge_url,
        "listen": f"{HOST}:{addresses.bridge_port}",
        "database_url": f"sqlite:///{files.database.absolute()}",
        "key": f"file:{files.key.absolute()}",
        "issuer": addresses.issuer,
        "bridge_secret": BRIDGE_SECRET,
        "sync_secret": SYNC_SECRET,
        "app_url": f"{addresses.app_url}/",
    }
    # A JSON string is a TOML string too.
    quoted = {name: json.dumps(value, ensure_ascii=False) for name, value in values.items()}
    files.configuration.write_text(_TEMPLATE.format_map(quoted), encoding="utf-8")


def _drop_other_issuer(files: DemoFiles, issuer: str) -> None:
    """Delete the database when it mirrors another Keycloak: its people would hold the names of the new ones."""
    if not files.configuration.exists():
        return
    try:
        before = tomllib.loads(files.configuration.read_text(encoding="utf-8"))["packages"]["demo"]["issuer"]
    except (tomllib.TOMLDecodeError, KeyError):
        before = None
    if before != issuer:
        for part in files.directory.glob(f"{files.database.name}*"):
            part.unlink()
