"""Web login on the three databases: what is written, what the browser gets, and every kind of duplicate."""

import asyncio

import httpx

from tests.browser import Browser, query
from tests.double import KeycloakDouble
from tests.integration.service import APPLICATION, KEY, Service, running

TOKEN_ENDPOINT = "openid-connect/token"
COOKIE = "__Host-kb-demo"


def exchanges(double: KeycloakDouble) -> int:
    return sum(event["type"] in ("CODE_TO_TOKEN", "CODE_TO_TOKEN_ERROR") for event in double.events)


async def test_login_begins_with_fresh_values_and_one_binding_cookie(service: Service, browser: Browser) -> None:
    """A1, A2, A5, A13: code flow, S256, fresh state and nonce, 303, nothing cached."""
    first, second = [await browser.get(f"/login?return_to={APPLICATION}") for _ in range(2)]
    assert [answer.status_code for answer in (first, second)] == [303, 303]
    one, other = query(first.headers["location"]), query(second.headers["location"])
    assert one["response_type"] == "code"
    assert one["code_challenge_method"] == "S256"
    assert one["scope"] == "openid profile email"
    assert one["redirect_uri"] == f"{service.url}/callback/demo"
    for name in ("state", "nonce", "code_challenge"):
        assert len(one[name]) >= 43
        assert one[name] != other[name]
    cookie = first.headers["set-cookie"]
    assert cookie.startswith("__Host-kb_login_")
    assert {"Secure", "HttpOnly", "Path=/", "SameSite=lax"} <= {part.strip() for part in cookie.split(";")}
    assert "Domain" not in cookie
    assert first.headers["cache-control"] == "no-store"
    assert len(browser.names("__Host-kb_login_")) == 2


async def test_login_ends_with_user_session_credential_and_grant(
    service: Service, browser: Browser, double: KeycloakDouble
) -> None:
    answer = await browser.sign_in(f"/login?return_to={APPLICATION}shop")
    assert answer.status_code == 303
    assert answer.headers["location"] == f"{APPLICATION}shop"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert exchanges(double) == 1
    (user,) = await service.rows("SELECT * FROM sys_user")
    alice = double.realm.user("alice")
    assert alice is not None
    assert (user["User"], user["Sub"], user["Uuid"]) == ("alice", alice.id, alice.id)
    assert (user["Issuer"], user["Realm"], user["Package"]) == (double.issuer, "demo", "demo")
    assert (user["Email"], user["FirstName"], user["Active"]) == ("alice@example.com", "Alice", 1)
    assert (user["Origin"], user["RowVersion"], user["Usergroups"]) == ("keycloak", 1, None)
    (session,) = await service.rows("SELECT * FROM sys_usersession")
    assert (session["User"], session["SessionType"], session["IsActive"]) == ("alice", "web", 1)
    assert (session["Origin"], session["ClientId"], session["Sub"]) == ("bridge", "bridge", alice.id)
    assert (session["LoginMethod"], session["IpAddress"]) == ("sso", "127.0.0.1")
    assert len(session["SessionId"]) == 64
    assert await service.count("session_credential") == 1
    assert await service.count("keycloak_grant") == 1
    events = [row["event"] for row in await service.rows("SELECT event FROM security_event")]
    assert events == ["signed_in"]


async def test_no_secret_seen_on_the_wire_is_stored(service: Service, browser: Browser, double: KeycloakDouble) -> None:
    callback = await browser.go_to_keycloak()
    await browser.get(callback)
    exchange = next(one for one in double.requests if one.path.endswith(TOKEN_ENDPOINT) and one.method == "POST")
    secrets = [*query(callback).values(), exchange.form["code_verifier"], browser.cookie(COOKIE), KEY]
    secrets += ["bridge-demo-secret"]
    secrets.remove(double.issuer)
    secrets.remove(query(callback)["session_state"])
    rows = [
        str(row)
        for table in (
            "sys_user",
            "sys_usersession",
            "session_credential",
            "keycloak_grant",
            "oauth_state",
            "security_event",
        )
        for row in await service.rows(f"SELECT * FROM {table}")
    ]
    stored = "\n".join(rows)
    assert len(rows) >= 6
    for secret in secrets:
        assert secret
        assert secret not in stored
    assert "eyJ" not in stored


async def test_me_tells_who_is_signed_in(service: Service, browser: Browser) -> None:
    await browser.sign_in()
    answer = await browser.get("/me", headers={"Accept": "application/json"})
    assert answer.status_code == 200
    body = answer.json()
    assert body["package"] == "demo"
    assert body["user"]["username"] == "alice"
    assert body["user"]["groups"] == []
    (session,) = await service.rows('SELECT "SessionId" FROM sys_usersession')
    assert body["session"]["id"] == session["SessionId"]
    assert "Alice" in (await browser.get("/me")).text


async def test_a_hundred_callbacks_at_once_make_one_exchange_and_one_session(
    service: Service, browser: Browser, double: KeycloakDouble
) -> None:
    """B1, F18, V18: the duplicates get the first one's outcome, and credentials that work."""
    callback = await browser.go_to_keycloak()
    answers = await asyncio.gather(*(browser.get(callback) for _ in range(100)))
    assert {answer.status_code for answer in answers} == {303}
    assert {answer.headers["location"] for answer in answers} == {APPLICATION}
    assert exchanges(double) == 1
    assert await service.count("sys_usersession") == 1
    credentials = {answer.headers["set-cookie"].split(";")[0] for answer in answers}
    assert len(credentials) == 100
    for credential in (min(credentials), max(credentials)):
        async with httpx.AsyncClient(trust_env=False) as program:
            me = await program.get(f"{service.url}/me", headers={"Cookie": credential})
        assert me.json()["user"]["username"] == "alice"


async def test_more_waiters_than_a_state_may_have_are_told_to_wait(
    double: KeycloakDouble, migrated_database_url: str
) -> None:
    patient = {"connect_timeout": "5s", "read_timeout": "60s", "total_timeout": "60s"}
    async with running(double, migrated_database_url, http=patient) as service, Browser(service.url) as browser:
        hold = double.faults.hold(TOKEN_ENDPOINT)
        callback = await browser.go_to_keycloak()
        first = asyncio.create_task(browser.get(callback))
        await asyncio.to_thread(hold.wait_for_arrival)
        waiting = [asyncio.create_task(browser.get(callback)) for _ in range(140)]
        done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        assert {task.result().status_code for task in done} == {429}
        hold.release()
        answers = await asyncio.gather(first, *waiting)
        refused = [answer for answer in answers if answer.status_code == 429]
        assert len(refused) == 12
        assert all(answer.headers["retry-after"] for answer in refused)
        assert exchanges(double) == 1
        assert await service.count("sys_usersession") == 1


async def test_reload_and_back_button_share_the_session(
    service: Service, browser: Browser, double: KeycloakDouble
) -> None:
    callback = await browser.go_to_keycloak()
    await browser.get(callback)
    again = await browser.get(callback)
    assert (again.status_code, again.headers["location"]) == (303, APPLICATION)
    assert (await browser.get("/me")).status_code == 200
    assert exchanges(double) == 1
    assert await service.count("sys_usersession") == 1
    assert await service.count("session_credential") == 2
    events = [row["event"] for row in await service.rows("SELECT event FROM security_event ORDER BY id")]
    assert events == ["signed_in", "duplicate_callback"]


async def test_a_late_duplicate_is_only_sent_on(service: Service, browser: Browser, double: KeycloakDouble) -> None:
    callback = await browser.go_to_keycloak()
    await browser.get(callback)
    service.clock.advance(seconds=61)
    again = await browser.get(callback)
    assert (again.status_code, again.headers["location"]) == (303, APPLICATION)
    assert "set-cookie" not in again.headers
    assert exchanges(double) == 1
    assert await service.count("session_credential") == 1


async def test_a_duplicate_after_sign_out_brings_nothing_back(service: Service, browser: Browser) -> None:
    callback = await browser.go_to_keycloak()
    await browser.get(callback)
    token = (await browser.get("/me", headers={"Accept": "application/json"})).json()["form_token"]
    await browser.post("/logout", {"form_token": token})
    again = await browser.get(callback)
    assert again.status_code == 303
    assert COOKIE not in again.headers.get("set-cookie", "")
    assert (await browser.get("/me")).status_code == 401
    assert await service.count("session_credential") == 0


async def test_two_tabs_that_start_together_both_sign_in(service: Service, browser: Browser) -> None:
    first, second = [await browser.go_to_keycloak(f"/login?return_to={APPLICATION}{tab}") for tab in ("a", "b")]
    answers = await asyncio.gather(browser.get(first), browser.get(second))
    assert [answer.headers["location"] for answer in answers] == [f"{APPLICATION}a", f"{APPLICATION}b"]
    assert (await browser.get("/me")).status_code == 200
    assert await service.count("sys_user") == 1


async def test_a_new_login_ends_the_session_this_browser_had(service: Service, browser: Browser) -> None:
    """E2, V9: a new token at every login, and the one presented is dead."""
    await browser.sign_in()
    old = browser.cookie(COOKIE)
    await browser.sign_in()
    assert browser.cookie(COOKIE) != old
    async with httpx.AsyncClient(trust_env=False) as thief:
        assert (await thief.get(f"{service.url}/me", headers={"Cookie": f"{COOKIE}={old}"})).status_code == 401
    rows = await service.rows('SELECT "IsActive", "InvalidatedReason" FROM sys_usersession ORDER BY "IsActive"')
    assert [(row["IsActive"], row["InvalidatedReason"]) for row in rows] == [(0, "replaced"), (1, None)]
    assert await service.count("keycloak_grant") == 1


async def test_claims_that_are_absent_leave_what_is_known(
    service: Service, browser: Browser, double: KeycloakDouble
) -> None:
    await browser.sign_in()
    await service.write("""UPDATE sys_user SET "Usergroups" = 'staff', "Store" = '7'""")
    double.faults.id_token({"email": None, "given_name": None})
    await browser.sign_in()
    (user,) = await service.rows("SELECT * FROM sys_user")
    assert (user["Email"], user["FirstName"]) == ("alice@example.com", "Alice")
    assert (user["Usergroups"], user["Store"], user["RowVersion"]) == ("staff", "7", 2)


async def test_a_renamed_person_keeps_row_and_sessions(
    service: Service, browser: Browser, double: KeycloakDouble
) -> None:
    await browser.sign_in()
    async with Browser(service.url) as elsewhere:
        await elsewhere.sign_in()
        double.realm.change_user("alice", username="alicia")
        await browser.sign_in()
        assert (await elsewhere.get("/me", headers={"Accept": "application/json"})).json()["user"][
            "username"
        ] == "alicia"
    assert [row["User"] for row in await service.rows('SELECT "User" FROM sys_user')] == ["alicia"]
