"""What visitors send that is no text, too long or of another shape: it stops nobody, and ends in no fault of ours.

At the end, every column that an ordinary sign-in fills.
"""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from urllib.parse import urlsplit

import httpx
import pytest

from bridge.model import Origin, SessionType, digest
from bridge.storage.tables import session_credential, sys_user, sys_usersession
from bridge.storage.tables.facts import Writer
from tests.browser import Browser
from tests.double import KeycloakDouble
from tests.integration.replicas import Replica, ask, replica
from tests.integration.service import APPLICATION, Service
from tests.integration.stored_sessions import HOURS, new_session, open_one, read
from tests.integration.test_schema_writers import not_default, written_by
from tests.unit.test_places import write_database

MEGABYTE = 1_000_000


@pytest.fixture
async def service(double: KeycloakDouble, sqlite_database_url: str) -> AsyncIterator[Replica]:
    async with replica(double, sqlite_database_url) as one:
        yield one


@pytest.fixture(scope="module")
def city_database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A place database that knows where this machine is."""
    names = {"city": {"names": {"en": "Loopback"}}, "country": {"names": {"en": "Nowhere"}}}
    path = tmp_path_factory.mktemp("geoip") / "city.mmdb"
    return str(write_database(path, {"127.0.0.0/8": names}))


async def raw(service: Service, head: bytes) -> bytes:
    """Send a request head as it is, and return the status line of the answer; nothing when the connection is closed."""
    parts = urlsplit(service.url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(head + b"\r\nHost: x\r\nConnection: close\r\n\r\n")
        return (await reader.read()).split(b"\r\n", 1)[0]
    except ConnectionError:
        return b""
    finally:
        writer.close()


async def test_a_user_agent_of_a_megabyte_signs_in(double: KeycloakDouble, migrated_database_url: str) -> None:
    """S12: through the wire and into each database."""
    agent = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0 " + "x" * MEGABYTE
    async with replica(double, migrated_database_url) as service, Browser(service.url) as browser:
        callback = await browser.go_to_keycloak()
        answer = await browser.get(callback, headers={"User-Agent": agent})
        assert answer.headers["location"] == APPLICATION
        assert (await browser.get("/me", headers={"User-Agent": agent})).status_code == 200
        (row,) = await read(service.database)
        assert row["UserAgent"] == agent[:2000]
        assert row["UserAgentHash"] == digest(agent)
        assert (row["Browser"], row["OperatingSystem"]) == ("Firefox", "Linux")


async def test_bytes_that_are_no_text_in_a_header_stop_nobody(service: Replica) -> None:
    """Headers are bytes; what is beyond ASCII is read as Latin-1, and the rest of the request is as good as before."""
    async with Browser(service.url) as browser:
        await browser.sign_in()
        cookie = str(browser.cookie("__Host-kb-demo")).encode()
    for junk in (b"\xff\xfe\xed\xa0\x80", b"\xc3\xa9" * 1000, b"\x7f"):
        head = b"GET /me HTTP/1.1\r\nUser-Agent: " + junk + b"\r\nCookie: __Host-kb-demo=" + cookie
        status = await raw(service, head)
        # httptools refuses a control character for us.
        assert status.startswith(b"HTTP/1.1 400" if junk == b"\x7f" else b"HTTP/1.1 200")
    agent = b"caf\xe9 \xff"
    async with Browser(service.url) as browser:
        callback = await browser.go_to_keycloak()
        answer = await browser.http.get(callback, headers=[(b"User-Agent", agent), (b"Accept", b"text/html")])
        assert answer.headers["location"] == APPLICATION
    rows = await read(service.database)
    assert rows[-1]["UserAgent"] == agent.decode("latin-1")


STRANGE = ("%00", "%ff%fe", "%ed%a0%80", "%0d%0aSet-Cookie:%20x=y", "%e2%80%ae", "..%2f..%2fetc", "'%22%3E%3Cscript%3E")
PATHS = (
    "/me?package={}",
    "/login?package={}",
    "/login?return_to={}",
    "/login?login_hint={}&ui_locales={}",
    "/login?prompt={}&max_age={}",
    "/callback/{}",
    "/callback/demo?state={}&code={}",
    "/callback/demo?error={}&state={}",
    "/logout?return_to={}",
    "/logout/done/{}?state={}",
    "/logout/done/demo?state={}",
    "/{}",
)


@pytest.mark.parametrize("accept", ["text/html", "application/json"])
async def test_strange_addresses_end_in_no_fault_of_ours(service: Replica, accept: str) -> None:
    """V40, S13: with and without a session; nothing that was sent becomes a header of the answer."""
    async with Browser(service.url) as browser:
        await browser.sign_in()
        browser.http.headers["Accept"] = accept
        for path in (path.replace("{}", strange) for path in PATHS for strange in STRANGE):
            answer = await browser.get(path)
            assert answer.status_code < 500, path
            assert "x" not in {one.split("=")[0] for one in answer.headers.get_list("set-cookie")}, path
            assert "<script>" not in answer.text, path
        assert (await browser.get("/me")).status_code == 200


async def test_strange_cookies_are_none_and_end_in_no_fault_of_ours(service: Replica) -> None:
    """V47, V51, V52."""
    for value in ("\x00", "\xff" * 43, "A" * 43 + ";", '"' + "A" * 43 + '"', "A" * 4000, "=" * 43, "\\145" * 10):
        head = f"GET /me HTTP/1.1\r\nAccept: application/json\r\nCookie: __Host-kb-demo={value}".encode("latin-1")
        status = await raw(service, head)
        assert status.startswith((b"HTTP/1.1 401", b"HTTP/1.1 400"))
    many = "; ".join(f"c{number}=v" for number in range(1000))
    assert (await ask(service, Cookie=f"{many}; __Host-kb-demo={'A' * 43}")).status_code == 401


async def test_many_people_at_once_see_each_only_what_is_theirs(service: Replica) -> None:
    """V58: connections of visitors and of the database are used again and again, by everybody."""
    now = service.clock()
    keys = {f"person {number}": f"{number}".ljust(43, "k") for number in range(8)}
    for username, key in keys.items():
        opened = new_session(key, username=username, created_at=now, expires_at=now + 8 * HOURS)
        await open_one(service.database, opened)
    async with httpx.AsyncClient(limits=httpx.Limits(max_connections=6), timeout=60) as http:

        async def look(username: str) -> str:
            headers = {"Accept": "application/json", "Cookie": f"__Host-kb-demo={keys[username]}"}
            return str((await http.get(f"{service.url}/me", headers=headers)).json()["user"]["username"])

        asked = list(keys) * 15
        assert await asyncio.gather(*(look(username) for username in asked)) == asked


async def test_every_column_that_a_sign_in_fills_holds_what_is_known(
    double: KeycloakDouble, migrated_database_url: str, city_database: str
) -> None:
    """By the claims, the wire, the user agent and a place database; columns that nobody fills yet are empty."""
    agent = (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/150.0.0.0 Safari/537.36"
    )
    places = {"database": city_database}
    began = datetime.now(tz=UTC)
    double.sign_in_as("alice", types_password=True)
    double.faults.id_token({"amr": ["pwd"]})
    async with replica(double, migrated_database_url, geoip=places) as service, Browser(service.url) as browser:
        browser.http.headers["User-Agent"] = agent
        await browser.sign_in()
        (row,) = await read(service.database)
        (state,) = await service.rows("SELECT * FROM oauth_state")
        (user,) = await read(service.database, sys_user)
        (credential,) = await read(service.database, session_credential)
        sessions = list(double.realm.sessions.online.values())
        cookie = str(browser.cookie("__Host-kb-demo"))
    # Where it is named as a writer, and nowhere else; this is the person's first device, so nothing is suspicious.
    filled = not_default(row, sys_usersession) | {"IsActive", "SuspiciousActivityCount"}
    assert filled == written_by("sys_usersession", Writer.SIGN_IN)
    (keycloak,) = [one for one in sessions if one.id == row["Sid"]]
    moments = [row.pop(name) for name in ("CreatedAt", "LastActivity", "UpdatedAt")]
    assert began <= moments[0] <= datetime.now(tz=UTC)
    assert set(moments) == {moments[0]}
    assert row.pop("ExpiresAt") == moments[0] + 8 * HOURS == credential["expires_at"]
    assert row.pop("IdleExpiresAt") == moments[0] + HOURS
    assert row.pop("AuthTime") == datetime.fromtimestamp(keycloak.auth_time, tz=UTC)
    assert len(row.pop("SessionId")) == 64
    assert len(row.pop("DeviceFingerprint")) == 64
    known = {name: value for name, value in row.items() if value is not None}
    assert known == {
        "User": "alice",
        "Package": "demo",
        "SessionToken": digest(cookie),
        "SessionType": SessionType.WEB,
        "IpAddress": "127.0.0.1",
        "LastIpAddress": "127.0.0.1",
        "UserAgent": agent,
        "UserAgentHash": digest(agent),
        "IsActive": True,
        "LoginMethod": "password",
        "Issuer": double.issuer,
        "Realm": "demo",
        "Sub": user["Sub"],
        "Sid": keycloak.id,
        "Acr": "1",
        "ClientId": "bridge",
        "ClientsAccessed": "bridge",
        "LastClientAccessed": "bridge",
        "LastClientAccessedAt": moments[0],
        "Origin": Origin.BRIDGE,
        "OauthStateId": state["state_digest"],
        "DeviceName": "Chrome on Windows",
        "DeviceType": "desktop",
        "OperatingSystem": "Windows",
        "OperatingSystemVersion": "10",
        "Browser": "Chrome",
        "BrowserVersion": "150.0.0.0",
        "Location": "Loopback, Nowhere",
        "LocationCity": "Loopback",
        "LocationCountry": "Nowhere",
        "RotationCount": 0,
        "SuspiciousActivityCount": 0,
        "Offline": False,
        "TokensExchanged": False,
        "RememberMe": False,
        "IsTrusted": False,
    }
