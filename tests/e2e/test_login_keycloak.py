"""Sign-in at a real Keycloak: each kind of duplicate makes one exchange, counted in Keycloak's own events."""

import asyncio
from pathlib import Path

import sqlalchemy as sa

from bridge.storage.database import open_database
from deploy.demo.keycloak_server import KeycloakServer
from tests.browser import Browser
from tests.e2e.bridge_process import APPLICATION, BridgeProcess, build_bridge
from tests.e2e.chromium import open_page
from tests.e2e.login_form import go_to_callback


async def count_sessions(database_url: str) -> int:
    async with open_database(database_url) as database, database.reading() as db:
        return int((await db.execute(sa.text("SELECT COUNT(*) FROM sys_usersession"))).scalar_one())


def exchanges(bridge: BridgeProcess) -> tuple[int, int]:
    return len(bridge.events("CODE_TO_TOKEN")), len(bridge.events("CODE_TO_TOKEN_ERROR"))


async def test_a_hundred_callbacks_at_once_make_one_exchange_at_keycloak(
    real_keycloak: KeycloakServer, database_url: str, tmp_path: Path
) -> None:
    """B1, F18: on SQLite, PostgreSQL and MariaDB."""
    bridge = await asyncio.to_thread(build_bridge, real_keycloak, tmp_path, database_url=database_url)
    with bridge.serving():
        async with Browser(bridge.url) as browser:
            callback = await go_to_callback(browser)
            answers = await asyncio.gather(*(browser.get(callback) for _ in range(100)))
            assert {answer.status_code for answer in answers} == {303}
            assert {answer.headers["location"] for answer in answers} == {APPLICATION}
            assert all("__Host-kb-demo=" in answer.headers["set-cookie"] for answer in answers)
            me = await browser.get("/me", headers={"Accept": "application/json"})
            assert me.json()["user"]["username"] == "alice"
    assert exchanges(bridge) == (1, 0)
    assert await count_sessions(database_url) == 1


async def test_two_workers_share_one_exchange(
    real_keycloak: KeycloakServer, migrated_database_url: str, tmp_path: Path
) -> None:
    """The claim is in the database, so that it holds between processes too."""
    bridge = await asyncio.to_thread(build_bridge, real_keycloak, tmp_path, database_url=migrated_database_url)
    with bridge.serving("--workers", "2"):
        async with Browser(bridge.url) as browser:
            callback = await go_to_callback(browser)
            answers = await asyncio.gather(*(browser.get(callback) for _ in range(60)))
    assert {answer.status_code for answer in answers} == {303}
    assert exchanges(bridge) == (1, 0)
    assert await count_sessions(migrated_database_url) == 1


async def test_double_click_reload_and_back_button_in_a_real_browser(
    real_keycloak: KeycloakServer, tmp_path: Path
) -> None:
    database_url = f"sqlite:///{tmp_path}/bridge.db"
    bridge = await asyncio.to_thread(build_bridge, real_keycloak, tmp_path, database_url=database_url)
    with bridge.serving():
        async with open_page() as page:
            callbacks: list[str] = []
            page.on("request", lambda one: callbacks.append(one.url) if "/callback/" in one.url else None)
            await page.goto(f"{bridge.url}/login?return_to=/me")
            await page.fill("#username", "alice")
            await page.fill("#password", "alice")
            await page.dblclick("#kc-login")
            await page.wait_for_url(f"{bridge.url}/me")
            assert "Alice" in await page.inner_text("main")
            await page.goto(callbacks[0])
            await page.wait_for_url(f"{bridge.url}/me")
            await page.reload()
            assert "Alice" in await page.inner_text("main")
            await page.goto(f"{bridge.url}/livez")
            await page.go_back()
            assert "Alice" in await page.inner_text("main")
    assert exchanges(bridge) == (1, 0)
    assert await count_sessions(database_url) == 1


async def test_two_tabs_that_start_together_both_sign_in(real_keycloak: KeycloakServer, tmp_path: Path) -> None:
    database_url = f"sqlite:///{tmp_path}/bridge.db"
    bridge = await asyncio.to_thread(build_bridge, real_keycloak, tmp_path, database_url=database_url)
    with bridge.serving():
        async with open_page() as first:
            second = await first.context.new_page()
            for page in (first, second):
                await page.goto(f"{bridge.url}/login?return_to=/me")
            await first.fill("#username", "bob")
            await first.fill("#password", "bob")
            await first.click("#kc-login")
            for page in (first, second):
                # Keycloak's form in the second tab notices by itself that the first has signed in.
                await page.wait_for_url(f"{bridge.url}/me")
                assert "bob" in await page.inner_text("main")
    assert exchanges(bridge) == (2, 0)


async def test_the_sign_out_page_leads_back_to_an_application_on_another_host(
    real_keycloak: KeycloakServer, tmp_path: Path
) -> None:
    """Chromium holds `form-action` against every redirect: to Keycloak, back, and on to the application."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\nConnection: close\r\n\r\nthe shop")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as shop:
        application = f"http://shop.localhost:{shop.sockets[0].getsockname()[1]}/"
        database_url = f"sqlite:///{tmp_path}/bridge.db"
        bridge = await asyncio.to_thread(
            build_bridge, real_keycloak, tmp_path, database_url=database_url, application=application
        )
        with bridge.serving():
            async with open_page() as page:
                await page.goto(f"{bridge.url}/login")
                await page.fill("#username", "alice")
                await page.fill("#password", "alice")
                await page.click("#kc-login")
                await page.wait_for_url(application)
                await page.goto(f"{bridge.url}/logout?return_to={application}bye")
                await page.get_by_role("button", name="Sign out").click()
                await page.wait_for_url(f"{application}bye")
                await page.goto(f"{bridge.url}/me")
                assert "not signed in" in await page.inner_text("main")
