"""What `check` finds, against the Keycloak double and SQLite."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bridge.config import Settings
from bridge.flows.check import Finding, run_check
from tests.double import KeycloakDouble
from tests.double.records import SYNC_ROLES
from tests.integration.service import build_settings
from tests.servers import MariadbServer

LINE = "kcadm.sh add-roles -r demo --uusername service-account-bridge-sync --cclientid realm-management --rolename "


def package(double: KeycloakDouble, **changes: object) -> dict[str, Any]:
    values = {"issuer": double.issuer, "client_id": "bridge", "client_secret": "bridge-demo-secret"}
    service = {"client_id": "bridge-sync", "client_secret": "sync-demo-secret"}
    return {name: value for name, value in {**values, "sync": service, **changes}.items() if value is not None}


@pytest.fixture
def settings(double: KeycloakDouble, sqlite_database_url: str) -> Settings:
    return build_settings(double, sqlite_database_url)


@pytest.fixture
def settings_with(double: KeycloakDouble, sqlite_database_url: str) -> Callable[..., Settings]:
    def build(**changes: object) -> Settings:
        return build_settings(double, sqlite_database_url, packages={"demo": package(double, **changes)})

    return build


async def broken(settings: Settings) -> list[Finding]:
    return [finding for finding in await run_check(settings) if not finding.ok]


async def only_broken(settings: Settings) -> Finding:
    (finding,) = await broken(settings)
    return finding


def client(double: KeycloakDouble) -> Any:
    found = double.realm.client("bridge")
    assert found is not None
    return found


async def test_everything_in_order_is_told_line_by_line_and_nobody_is_signed_out(
    double: KeycloakDouble, settings: Settings
) -> None:
    sid = double.realm.add_session("alice", "bridge")
    found = await run_check(settings)
    assert [finding for finding in found if not finding.ok] == []
    subjects = [finding.subject for finding in found]
    assert subjects[:8] == [
        "configuration",
        "database",
        "database schema",
        "database clock",
        "database triggers",
        "sealing keys",
        "packages.demo.issuer",
        "packages.demo.client_secret",
    ]
    assert {f"packages.demo.sync role {role}" for role in SYNC_ROLES} <= set(subjects)
    assert subjects[-1] == "packages.demo client bridge"
    assert double.realm.sessions.find(sid) is not None
    assert {one.method for one in double.requests if "/admin/" in one.path} == {"GET"}


async def test_a_wrong_secret_is_told_and_the_rest_is_still_checked(
    double: KeycloakDouble, settings_with: Callable[..., Settings]
) -> None:
    finding = await only_broken(settings_with(client_secret="something-else"))
    assert finding.subject == "packages.demo.client_secret"
    assert "another secret for bridge" in finding.message
    assert finding.mend is not None
    assert finding.mend.endswith("/client-secret -r demo")
    assert "something-else" not in f"{finding}"
    assert double.count("GET", "/clients") > 0


async def test_a_wrong_secret_of_the_service_account_leaves_out_what_it_would_read(
    double: KeycloakDouble, settings_with: Callable[..., Settings]
) -> None:
    settings = settings_with(sync={"client_id": "bridge-sync", "client_secret": "something-else"})
    finding = await only_broken(settings)
    assert finding.subject == "packages.demo.sync.client_secret"
    assert [one.path for one in double.requests if "/admin/" in one.path] == []


async def test_a_client_that_is_no_service_account_is_told(settings_with: Callable[..., Settings]) -> None:
    settings = settings_with(sync={"client_id": "bridge", "client_secret": "bridge-demo-secret"})
    finding = await only_broken(settings)
    assert finding.message == "The client bridge has no service account."


async def test_a_disabled_client_is_told_twice_and_one_line_enables_it(
    double: KeycloakDouble, settings: Settings
) -> None:
    client(double).enabled = False
    secret, enabled = await broken(settings)
    assert "no enabled client bridge" in secret.message
    assert enabled.mend == f"kcadm.sh update clients/{client(double).uuid} -r demo -s enabled=true"


async def test_a_client_that_is_not_there_is_registered_by_a_line(settings_with: Callable[..., Settings]) -> None:
    secret, missing = await broken(settings_with(client_id="nobody"))
    assert "no enabled client nobody" in secret.message
    assert (missing.mend or "").startswith("kcadm.sh create clients -r demo -s clientId=nobody ")


async def test_keycloak_down_is_told_and_the_database_is_still_checked(
    double: KeycloakDouble, settings: Settings
) -> None:
    double.stop()
    found = await run_check(settings)
    assert [(finding.subject, finding.ok) for finding in found] == [
        ("configuration", True),
        ("database", True),
        ("database schema", True),
        ("database clock", True),
        ("database triggers", True),
        ("sealing keys", True),
        ("packages.demo.issuer", False),
    ]
    assert "Is Keycloak running" in found[-1].message
    assert "Start Keycloak" in (found[-1].mend or "")


async def test_another_issuer_is_told_with_the_setting_to_write(double: KeycloakDouble, settings: Settings) -> None:
    double.faults.discovery({"issuer": "https://sso.example.com/realms/demo"})
    finding = await only_broken(settings)
    assert finding.subject == "packages.demo.issuer"
    assert finding.mend == 'Set in [packages.demo]: issuer = "https://sso.example.com/realms/demo"'


async def test_a_provider_without_s256_is_told(double: KeycloakDouble, settings: Settings) -> None:
    double.faults.discovery({"code_challenge_methods_supported": ["plain"]})
    assert "does not offer PKCE with S256" in (await only_broken(settings)).message


async def test_a_realm_that_is_not_there_is_told(settings_with: Callable[..., Settings]) -> None:
    settings = settings_with()
    wrong = settings_with(issuer=f"{settings.packages['demo'].issuer}x")
    assert "is the realm's name in the issuer right?" in (await only_broken(wrong)).message


async def test_a_token_endpoint_that_breaks_off_is_told_for_both_clients(
    double: KeycloakDouble, settings: Settings
) -> None:
    double.faults.reset("token")
    assert [finding.subject for finding in await broken(settings)] == [
        "packages.demo.client_secret",
        "packages.demo.sync.client_secret",
    ]


async def test_a_database_without_schema_is_told_and_keycloak_is_still_checked(
    double: KeycloakDouble, tmp_path: Path
) -> None:
    settings = build_settings(double, f"sqlite:///{tmp_path}/empty.db")
    finding = await only_broken(settings)
    assert (finding.subject, finding.mend) == ("database schema", "keycloak-bridge migrate")
    assert "The database is at schema none" in finding.message


async def test_a_database_that_cannot_be_reached_is_told(double: KeycloakDouble, tmp_path: Path) -> None:
    settings = build_settings(double, f"sqlite:///{tmp_path}/no/such/directory/bridge.db")
    found = await run_check(settings)
    assert [finding.subject for finding in found[:3]] == ["configuration", "database", "packages.demo.issuer"]
    assert not found[1].ok
    assert "unable to open database file" in found[1].message


async def test_the_clock_of_the_database_is_told(double: KeycloakDouble, migrated_database_url: str) -> None:
    found = {finding.subject: finding for finding in await run_check(build_settings(double, migrated_database_url))}
    assert found["database schema"].ok
    assert found["database clock"].ok


async def test_a_mariadb_that_keeps_another_time_is_told(
    double: KeycloakDouble, mariadb_server: MariadbServer, mariadb_template: Callable[[str], str]
) -> None:
    url = mariadb_template("check_clock")
    mariadb_server.execute(["SET GLOBAL time_zone = '+02:00'"])
    try:
        finding = await only_broken(build_settings(double, url))
    finally:
        mariadb_server.execute(["SET GLOBAL time_zone = '+00:00'"])
        mariadb_server.drop_database("check_clock")
    assert finding.subject == "database clock"
    assert "default_time_zone = '+00:00'" in (finding.mend or "")


@pytest.mark.parametrize(
    ("lost", "missing"),
    [
        ({"view-users"}, ["view-users"]),
        ({"view-users", "query-users"}, ["view-users", "query-users"]),
        ({"view-users", "query-groups"}, ["view-users", "query-groups"]),
        ({"view-events"}, ["view-events"]),
        ({"view-realm"}, ["view-realm"]),
    ],
)
async def test_each_missing_role_is_told_with_its_own_line(
    double: KeycloakDouble, settings: Settings, lost: set[str], missing: list[str]
) -> None:
    """As at Keycloak, view-users does what query-users and query-groups do."""
    double.realm.set_roles("bridge-sync", SYNC_ROLES - lost)
    assert [finding.mend for finding in await broken(settings)] == [f"{LINE}{role}" for role in missing]


async def test_without_view_clients_the_client_is_not_taken_for_missing(
    double: KeycloakDouble, settings: Settings
) -> None:
    double.realm.set_roles("bridge-sync", SYNC_ROLES - {"view-clients", "query-clients"})
    assert [finding.mend for finding in await broken(settings)] == [f"{LINE}view-clients", f"{LINE}query-clients"]
    # With query-clients alone Keycloak answers an empty list, which this server does not do by itself.
    double.faults.non_object("clients", body="[]")
    assert [finding.mend for finding in await broken(settings)] == [f"{LINE}view-clients"]


async def test_without_any_role_the_scope_of_the_client_is_named_too(
    double: KeycloakDouble, settings: Settings
) -> None:
    double.realm.set_roles("bridge-sync", set())
    found = await broken(settings)
    assert len(found) == len(SYNC_ROLES) + 1
    assert (found[-1].mend or "").endswith("-r demo -s fullScopeAllowed=true")


async def test_a_role_that_can_write_is_too_much(double: KeycloakDouble, settings: Settings) -> None:
    double.realm.set_roles("bridge-sync", SYNC_ROLES | {"manage-users"})
    finding = await only_broken(settings)
    assert finding.mend == LINE.replace("add-roles", "remove-roles") + "manage-users"


async def test_a_read_that_fails_is_not_taken_for_a_missing_role(double: KeycloakDouble, settings: Settings) -> None:
    double.faults.status("events", 400, body='{"error": "odd"}')
    finding = await only_broken(settings)
    assert (finding.subject, finding.mend) == ("packages.demo.sync role view-events", None)
    assert "error: odd" in finding.message


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (400, '{"error": "odd"}', "error: odd"),
        (200, '[{"clientId": "other"}, 1]', "has no client"),
        (200, "{}", "no cl"),
    ],
)
async def test_a_client_that_cannot_be_read_is_told(
    double: KeycloakDouble, settings: Settings, status: int, body: str, said: str
) -> None:
    as_json = {"content-type": "application/json"}
    # The service account's own client is asked for twice before.
    double.faults.status("clients", 200, body='[{"clientId": "bridge-sync"}]', headers=as_json, times=2)
    double.faults.status("clients", status, body=body, headers=as_json)
    finding = await only_broken(settings)
    assert (finding.subject, said in finding.message) == ("packages.demo client bridge", True)


async def test_a_missing_redirect_uri_is_told_with_its_line(double: KeycloakDouble, settings: Settings) -> None:
    client(double).redirect_uris.clear()
    finding = await only_broken(settings)
    assert finding.message == "The redirect URI http://127.0.0.1:8000/callback/demo is not registered."
    assert finding.mend == (
        f"kcadm.sh update clients/{client(double).uuid} -r demo "
        """-s 'redirectUris=["http://127.0.0.1:8000/callback/demo"]'"""
    )


async def test_without_a_sync_section_it_is_told_what_could_not_be_checked(
    double: KeycloakDouble, settings_with: Callable[..., Settings]
) -> None:
    client(double).redirect_uris.clear()
    found = await run_check(settings_with(sync=None))
    assert all(finding.ok for finding in found)
    assert found[-1].message.startswith("Not checked: enabled, the flows, PKCE, http://127.0.0.1:8000/callback/demo")
    assert "there is no [packages.demo.sync]" in found[-1].message


async def test_every_package_is_checked(double: KeycloakDouble, sqlite_database_url: str) -> None:
    double.add_realm("other")
    packages = {
        "other": package(double, issuer=f"{double.url}/realms/other", client_secret="x"),
        "demo": package(double),
    }
    found = await run_check(build_settings(double, sqlite_database_url, packages=packages))
    assert [finding.subject for finding in found if not finding.ok] == ["packages.other.client_secret"]
    assert found[-1].subject == "packages.demo client bridge"
