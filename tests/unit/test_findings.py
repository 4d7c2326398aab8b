"""The lines for the shell, and what answers of Keycloak are taken to mean."""

import base64
import json
import shlex

import pytest
from pydantic import SecretStr

from bridge.keycloak import findings
from bridge.keycloak.credentials import BAD_CLIENT, Credentials, check_secret, check_service_token
from bridge.keycloak.findings import Finding
from bridge.keycloak.http import Answer
from bridge.keycloak.permissions import check_scope, check_surplus, read_roles

SECRET = "a-secret-that-must-not-be-shown"
BRIDGE = Credentials("packages.shop", "shop", "bridge", SecretStr(SECRET))
SYNC = Credentials("packages.shop.sync", "shop", "bridge-sync", SecretStr(SECRET))


def refusal(status: int, error: str, description: str = BAD_CLIENT) -> Answer:
    return Answer(status, {"error": error, "error_description": description})


def token(claims: object) -> str:
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"head.{body}.signature"


def token_with(*roles: str) -> str:
    return token({"resource_access": {"realm-management": {"roles": list(roles)}}})


def test_the_realm_is_the_last_part_of_the_issuer() -> None:
    assert findings.find_realm("https://sso.example.com/auth/realms/two%20words") == "two words"


def test_a_line_survives_the_shell_whatever_the_names_hold() -> None:
    line = findings.update_client("it's", "uuid", findings.list_value("redirectUris", ["https://a/'$(x)'"]))
    words = shlex.split(line)
    assert words == ["kcadm.sh", "update", "clients/uuid", "-r", "it's", "-s", "redirectUris=[\"https://a/'$(x)'\"]"]


def test_a_line_without_the_client_uuid_asks_for_it() -> None:
    line = findings.update_client("shop", findings.look_up("shop", "my client"), "enabled=true")
    assert line == (
        "kcadm.sh update clients/$(kcadm.sh get clients -r shop -q 'clientId=my client' "
        "--fields id --format csv --noquotes) -r shop -s enabled=true"
    )


def test_a_service_account_is_named_in_lower_case() -> None:
    assert "--uusername service-account-bridge-sync " in findings.add_role("shop", "Bridge-Sync", "view-users")


def test_a_refused_code_means_that_the_secret_is_right() -> None:
    assert check_secret(refusal(400, "invalid_grant", "Code not valid"), BRIDGE).ok


@pytest.mark.parametrize(
    ("answer", "said", "line"),
    [
        (refusal(401, "unauthorized_client"), "another secret", "/client-secret -r shop"),
        (refusal(401, "invalid_client"), "no enabled client bridge", "--fields clientId,enabled"),
        (refusal(400, "invalid_client", "Bearer-only not allowed"), "Bearer-only not allowed", "clientId,enabled"),
        (refusal(403, "invalid_request", "HTTPS required"), "status 403, invalid_request, HTTPS required", "get"),
    ],
)
def test_a_refused_client_is_explained_without_its_secret(answer: Answer, said: str, line: str) -> None:
    finding = check_secret(answer, BRIDGE)
    assert (finding.subject, finding.ok) == ("packages.shop.client_secret", False)
    assert said in finding.message
    assert line in (finding.mend or "")
    assert SECRET not in f"{finding}"


@pytest.mark.parametrize("answer", [Answer(502, None), Answer(200, []), Answer(200, {"access_token": 1})])
def test_an_answer_that_says_nothing_is_not_taken_for_a_refusal(answer: Answer) -> None:
    finding = check_secret(answer, BRIDGE)
    assert (finding.ok, finding.mend) == (False, None)
    assert f"status {answer.status}, nothing that can be read" in finding.message
    assert check_service_token(answer, SYNC)[1] is None


@pytest.mark.parametrize(
    "description",
    ["Client not enabled to retrieve service account", "Public client not allowed to retrieve service account"],
)
def test_a_client_without_service_account_is_told_from_a_wrong_secret(description: str) -> None:
    finding, access_token = check_service_token(refusal(401, "unauthorized_client", description), SYNC)
    assert (finding.subject, finding.ok, access_token) == ("packages.shop.sync.client_id", False, None)
    assert (finding.mend or "").endswith("-r shop -s publicClient=false -s serviceAccountsEnabled=true")


def test_the_roles_of_a_token_are_those_of_realm_management() -> None:
    assert read_roles(token_with("view-users", "view-realm")) == {"view-users", "view-realm"}
    other = {"resource_access": {"account": {"roles": ["manage-account"]}}}
    for nothing in ("opaque", "a.b.c", "a.!.c", token([]), token({}), token(other), token({"resource_access": 1})):
        assert read_roles(nothing) == frozenset()


@pytest.mark.parametrize("role", ["manage-users", "manage-organizations", "impersonation", "create-client"])
def test_a_role_that_can_write_is_taken_away(role: str) -> None:
    (finding,) = check_surplus(token_with("view-users", role), SYNC)
    assert not finding.ok
    assert finding.mend == (
        "kcadm.sh remove-roles -r shop --uusername service-account-bridge-sync --cclientid realm-management "
        f"--rolename {role}"
    )


def test_of_the_role_that_contains_all_others_only_it_is_named() -> None:
    (finding,) = check_surplus(token_with("realm-admin", "manage-users", "impersonation"), SYNC)
    assert (finding.mend or "").endswith("--rolename realm-admin")


def test_roles_that_only_read_are_no_surplus() -> None:
    (finding,) = check_surplus(token_with("view-users", "query-realms", "view-identity-providers"), SYNC)
    assert finding.ok


def test_a_token_that_names_no_role_is_no_proof_of_least_privilege() -> None:
    (finding,) = check_surplus("opaque", SYNC)
    assert (finding.ok, "not seen" in finding.message) == (True, True)


def test_the_scope_of_the_client_is_suspected_only_when_no_role_works() -> None:
    good, bad = Finding("a", ok=True, message=""), Finding("b", ok=False, message="")
    assert check_scope({"view-users": good, "view-realm": bad}, SYNC) == []
    (finding,) = check_scope({"view-users": bad, "view-realm": bad}, SYNC)
    assert (finding.mend or "").endswith("-s fullScopeAllowed=true")
