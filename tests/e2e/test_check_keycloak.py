"""Every `kcadm.sh` line that `check` prints is run for real: something is broken, the line mends it."""

import asyncio
import base64
import json
import os
import secrets
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from bridge.config import Settings
from bridge.flows.check import Finding, run_check
from deploy.demo.keycloak_server import KeycloakServer
from deploy.demo.keycloak_source import Distribution, KeycloakMissing, find_source
from deploy.demo.realm import BRIDGE_SECRET, SYNC_SECRET, load_realm
from tests.skipping import skip_because

PUBLIC_URL = "http://127.0.0.1:8000"
SYNC_ROLES = {
    *("view-users", "query-users", "query-groups", "view-events", "view-clients", "query-clients", "view-realm"),
}
# Its Java lives for seconds: compiling well costs more than it brings.
QUICK_JAVA = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"


class Shell:
    """A shell in which `kcadm.sh` is signed in as the administrator, as the guide tells the operator to be."""

    def __init__(self, directory: Path, home: Path, server: KeycloakServer) -> None:
        directory.mkdir()
        program = directory / "kcadm.sh"
        # It keeps who is signed in below the home directory of the user that Java finds by itself.
        options = f"-Duser.home={directory} {QUICK_JAVA}"
        script = f'#!/bin/sh\nKC_OPTS="{options}" exec sh {shlex.quote(str(home))}/bin/kcadm.sh "$@"\n'
        program.write_text(script, encoding="utf-8")
        program.chmod(0o755)
        self._environment = {**os.environ, "PATH": f"{directory}:{os.environ['PATH']}"}
        who = ["--realm", "master", "--user", server.admin_username, "--password", server.admin_password]
        self.run(shlex.join(["kcadm.sh", "config", "credentials", "--server", server.url, *who]))

    def run(self, line: str) -> str:
        """Run a line as it was printed and return what it says."""
        answer = subprocess.run(
            ["/bin/sh", "-c", line], env=self._environment, capture_output=True, text=True, check=False
        )
        assert answer.returncode == 0, f"{line}\n{answer.stdout}{answer.stderr}"
        return answer.stdout


@pytest.fixture(scope="module")
def shell(real_keycloak: KeycloakServer, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    try:
        source = find_source(os.environ)
    except KeycloakMissing as missing:
        skip_because(str(missing))
    if not isinstance(source, Distribution):
        skip_because("kcadm.sh is in an unpacked distribution only, and Keycloak comes from elsewhere here")
    return Shell(tmp_path_factory.mktemp("kcadm") / "bin", source.home, real_keycloak)


@dataclass(frozen=True)
class Demo:
    """A realm of one test, and the configuration for it."""

    server: KeycloakServer
    name: str
    settings: Settings

    def check(self) -> list[Finding]:
        """Run the check and return what is not in order."""
        return [finding for finding in asyncio.run(run_check(self.settings)) if not finding.ok]

    def with_package(self, **changes: object) -> "Demo":
        """Return the same realm with other settings of its package."""
        values = settings_of(self.settings.packages["demo"].issuer, self.settings.database.url.get_secret_value())
        values["packages"]["demo"].update(changes)
        return Demo(self.server, self.name, Settings.model_validate(values))

    def admin(self, method: str, path: str, body: object = None) -> Any:
        """Call the Admin API of the realm."""
        answer = self.server.admin(method, f"/realms/{self.name}{path}", body)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def client(self, client_id: str) -> dict[str, Any]:
        """Return a client as Keycloak shows it."""
        found: list[dict[str, Any]] = self.admin("GET", f"/clients?clientId={client_id}")
        return found[0]

    def change_client(self, client_id: str, **changes: object) -> None:
        """Change a client; attributes are merged."""
        shown = self.client(client_id)
        attributes = {**shown["attributes"], **dict(changes.pop("attributes", {}))}  # type: ignore[call-overload]
        self.admin("PUT", f"/clients/{shown['id']}", {**shown, "attributes": attributes, **changes})

    def set_roles(self, wanted: set[str]) -> None:
        """Give the service account exactly these roles."""
        roles = f"/clients/{self.client('realm-management')['id']}/roles"
        account = self.admin("GET", f"/clients/{self.client('bridge-sync')['id']}/service-account-user")["id"]
        place = f"/users/{account}/role-mappings/clients/{self.client('realm-management')['id']}"
        if held := self.admin("GET", place):
            self.admin("DELETE", place, held)
        self.admin("POST", place, [role for role in self.admin("GET", roles) if role["name"] in wanted])


def settings_of(issuer: str, database_url: str) -> dict[str, Any]:
    return {
        "public_url": PUBLIC_URL,
        "database": {"url": database_url},
        "sealing": {"keys": [base64.urlsafe_b64encode(bytes(range(32))).decode()]},
        "packages": {
            "demo": {
                "issuer": issuer,
                "client_id": "bridge",
                "client_secret": BRIDGE_SECRET,
                "sync": {"client_id": "bridge-sync", "client_secret": SYNC_SECRET},
            }
        },
    }


@pytest.fixture
def demo(real_keycloak: KeycloakServer, sqlite_template: Path) -> Iterator[Demo]:
    name = f"check-{secrets.token_hex(4)}"
    # The people are not looked at, and take most of the time it takes to make the realm.
    realm = load_realm(name=name, bridge_url=PUBLIC_URL, package="demo")
    realm["users"] = [person for person in realm["users"] if "serviceAccountClientId" in person]
    real_keycloak.create_realm(realm)
    values = settings_of(f"{real_keycloak.url}/realms/{name}", f"sqlite:///{sqlite_template}")
    demo = Demo(real_keycloak, name, Settings.model_validate(values))
    assert demo.check() == []
    yield demo
    real_keycloak.admin("DELETE", f"/realms/{name}")


def mend(demo: Demo, shell: Shell) -> list[str]:
    """Run each line that is printed, once and in order, and return them."""
    lines = list(dict.fromkeys(finding.mend or "no line" for finding in demo.check()))
    for line in lines:
        shell.run(line)
    return lines


def test_every_setting_of_the_client_is_mended_by_its_line(demo: Demo, shell: Shell) -> None:
    demo.change_client(
        "bridge",
        standardFlowEnabled=False,
        implicitFlowEnabled=True,
        directAccessGrantsEnabled=True,
        serviceAccountsEnabled=True,
        frontchannelLogout=True,
        redirectUris=["https://old.example.com/it's/callback", f"{PUBLIC_URL}/*"],
        attributes={
            "pkce.code.challenge.method": "plain",
            "post.logout.redirect.uris": "https://old.example.com/done##https://old.example.com/*##+",
        },
    )
    found = demo.check()
    assert len(found) == 10
    assert len(mend(demo, shell)) == 8
    assert demo.check() == []
    shown = demo.client("bridge")
    assert set(shown["redirectUris"]) == {"https://old.example.com/it's/callback", f"{PUBLIC_URL}/callback/demo"}
    assert shown["attributes"]["post.logout.redirect.uris"] == (
        f"https://old.example.com/done##+##{PUBLIC_URL}/logout/done/demo"
    )


def test_a_client_that_cannot_use_its_secret_is_mended(demo: Demo, shell: Shell) -> None:
    broken: list[tuple[dict[str, object], str, str]] = [
        ({"enabled": False}, "no enabled client", "enabled is false"),
        ({"bearerOnly": True}, "Bearer-only not allowed", "bearerOnly is true"),
        ({"clientAuthenticatorType": "client-jwt"}, "client_assertion_type", "clientAuthenticatorType is client-jwt"),
    ]
    for changes, said_first, said_then in broken:
        demo.change_client("bridge", **changes)
        secret, setting = demo.check()
        assert said_first in secret.message
        assert said_then in setting.message
        shell.run(setting.mend or "")
        assert demo.check() == []


def test_a_public_client_is_made_confidential_and_then_has_a_new_secret(demo: Demo, shell: Shell) -> None:
    demo.change_client("bridge", publicClient=True)
    (public,) = demo.check()
    assert public.message.startswith("publicClient is true")
    shell.run(public.mend or "")
    (secret,) = demo.check()
    fresh = json.loads(shell.run(secret.mend or ""))["value"]
    assert demo.with_package(client_secret=fresh).check() == []


def test_the_line_for_a_wrong_secret_shows_the_one_to_configure(demo: Demo, shell: Shell) -> None:
    demo.change_client("bridge", secret="changed-at-keycloak")
    demo.change_client("bridge-sync", secret="changed-as-well")
    first, second = demo.check()
    assert (first.subject, second.subject) == ("packages.demo.client_secret", "packages.demo.sync.client_secret")
    shown = [json.loads(shell.run(finding.mend or ""))["value"] for finding in (first, second)]
    mended = demo.with_package(client_secret=shown[0], sync={"client_id": "bridge-sync", "client_secret": shown[1]})
    assert mended.check() == []


def test_a_client_that_is_not_there_is_registered_by_its_line(demo: Demo, shell: Shell) -> None:
    demo.admin("DELETE", f"/clients/{demo.client('bridge')['id']}")
    secret, missing = demo.check()
    assert json.loads(shell.run(secret.mend or "")) == []
    shell.run(missing.mend or "")
    (wrong,) = demo.check()
    fresh = json.loads(shell.run(wrong.mend or ""))["value"]
    assert demo.with_package(client_secret=fresh).check() == []


def test_each_missing_role_is_given_by_its_line(demo: Demo, shell: Shell) -> None:
    demo.set_roles({"query-clients"})
    found = demo.check()
    assert {finding.subject.rpartition(" ")[2] for finding in found} == SYNC_ROLES - {"query-clients"}
    assert len(mend(demo, shell)) == 6
    assert demo.check() == []


def test_a_role_is_missed_unless_another_contains_it(demo: Demo) -> None:
    """Of the seven, view-users contains query-users and query-groups, view-clients contains query-clients."""
    for role in sorted(SYNC_ROLES):
        demo.set_roles(SYNC_ROLES - {role})
        lines = [finding.mend or "" for finding in demo.check()]
        assert [line.rpartition(" ")[2] for line in lines] == ([] if role.startswith("query-") else [role])


def test_roles_that_can_write_are_taken_by_their_lines(demo: Demo, shell: Shell) -> None:
    demo.set_roles({*SYNC_ROLES, "manage-users", "realm-admin"})
    assert [line.rpartition(" ")[2] for line in mend(demo, shell)] == ["realm-admin"]
    assert [line.rpartition(" ")[2] for line in mend(demo, shell)] == ["manage-users"]
    assert demo.check() == []


def test_a_service_account_that_is_off_is_switched_on_and_given_its_roles(demo: Demo, shell: Shell) -> None:
    demo.change_client("bridge-sync", serviceAccountsEnabled=False)
    (finding,) = demo.check()
    assert finding.message == "The client bridge-sync has no service account."
    shell.run(finding.mend or "")
    # Switching it off has deleted the account, so the new one has no roles.
    assert len(demo.check()) == len(SYNC_ROLES) + 1
    demo.set_roles(SYNC_ROLES)
    assert demo.check() == []


def test_a_scope_that_keeps_the_roles_from_the_token_is_mended(demo: Demo, shell: Shell) -> None:
    demo.change_client("bridge-sync", fullScopeAllowed=False)
    found = demo.check()
    assert len(found) == len(SYNC_ROLES) + 1
    assert "No role works" in found[-1].message
    shell.run(found[-1].mend or "")
    assert demo.check() == []


def test_a_token_that_names_no_role_hides_none_of_those_that_work(demo: Demo) -> None:
    demo.change_client("bridge-sync", attributes={"client.use.lightweight.access.token.enabled": "true"})
    assert demo.check() == []
    demo.change_client("bridge-sync", attributes={"client.use.lightweight.access.token.enabled": "false"})
    (scope,) = (one["id"] for one in demo.admin("GET", "/client-scopes") if one["name"] == "roles")
    demo.admin("DELETE", f"/clients/{demo.client('bridge-sync')['id']}/default-client-scopes/{scope}")
    assert demo.check() == []


def test_a_check_leaves_no_session_and_signs_nobody_out(demo: Demo) -> None:
    demo.check()
    assert demo.admin("GET", "/client-session-stats") == []
    kinds = {event["type"] for event in demo.admin("GET", "/events")}
    assert kinds == {"CODE_TO_TOKEN_ERROR", "CLIENT_LOGIN"}


def test_a_changed_hostname_is_told_with_the_issuer_to_write(demo: Demo) -> None:
    demo.admin("PUT", "", {"attributes": {"frontendUrl": "https://sso.example.com"}})
    (finding,) = demo.check()
    assert finding.mend == f'Set in [packages.demo]: issuer = "https://sso.example.com/realms/{demo.name}"'
