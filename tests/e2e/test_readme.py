"""The README's way from an empty directory to a running service, with its own commands, at a real Keycloak."""

import os
import re
import subprocess
import sys
from pathlib import Path

from deploy.demo.keycloak_server import KeycloakServer
from deploy.demo.realm import BRIDGE_SECRET, SYNC_SECRET, load_realm

README = Path(__file__).resolve().parents[2] / "README.md"
BRIDGE = "http://127.0.0.1:8000"


def blocks(language: str) -> list[str]:
    """Return the fenced blocks of the README in one language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def test_the_commands_of_the_readme_lead_to_a_service_in_order(real_keycloak: KeycloakServer, tmp_path: Path) -> None:
    realm = f"readme-{os.getpid()}"
    real_keycloak.create_realm(load_realm(name=realm, bridge_url=BRIDGE, package="staff"))
    issuer = f"{real_keycloak.url}/realms/{realm}"
    smallest, complete = blocks("toml")
    assert 'issuer = "https://keycloak.example.com/realms/staff"' in smallest
    configuration = re.sub(r"https://keycloak\.example\.com/realms/staff", issuer, complete)
    configuration = configuration.replace("postgresql://bridge@db.example.com/sso", "sqlite:///bridge.db")
    configuration = configuration.replace("https://sso.example.com", BRIDGE)
    (tmp_path / "keycloak-bridge.toml").write_text(configuration, encoding="utf-8")

    _two_commands, _install, make_key, secrets, prepare, serve = blocks("sh")
    assert "keycloak-bridge serve" in serve
    exports = secrets.replace("the secret of the client bridge-sync", SYNC_SECRET)
    exports = exports.replace("the secret of the client bridge", BRIDGE_SECRET)
    ended = subprocess.run(
        ["sh", "-eu", "-c", make_key + exports + prepare],
        cwd=tmp_path,
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
        timeout=180,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "not ok" not in ended.stdout
    assert "staff: complete, 200 rows changed, 0 conflicts." in ended.stdout
