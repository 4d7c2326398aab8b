"""`make demo` in a fresh copy: addresses, a person in a real browser, the mirror row by row, and the end of it all."""

import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.demo.keycloak_server import KeycloakServer
from tests.e2e.bridge_process import free_port
from tests.e2e.chromium import open_page

pytestmark = pytest.mark.xdist_group("demo")
"""One worker runs these, so that there is one demo."""

TOP = Path(__file__).resolve().parents[2]
START_SECONDS = 400.0


@dataclass(frozen=True)
class Demo:
    """A running demo."""

    process: subprocess.Popen[str]
    directory: Path
    log: Path
    bridge: str
    app: str
    keycloak: str

    def rows(self, query: str) -> list[dict[str, Any]]:
        """Read from the demo's database as an application does."""
        with sqlite3.connect(f"file:{self.directory}/.demo/bridge.db?mode=ro", uri=True) as db:
            db.row_factory = sqlite3.Row
            return [dict(row) for row in db.execute(query)]


def clean_environment() -> dict[str, str]:
    """Return this environment without what would point the copy elsewhere, or measure it."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("KEYCLOAK_", "COV"))}


def copy_working_tree(target: Path) -> None:
    """Copy what a clone of the present state would hold."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=TOP,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (TOP / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(TOP / name, target / name)


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """Run `make demo` in a directory with a blank in its name, on ports that are free."""
    directory = tmp_path_factory.mktemp("fresh clone")
    copy_working_tree(directory)
    ports = {name: str(free_port()) for name in ("PORT", "APP_PORT", "KEYCLOAK_PORT")}
    log = directory / "demo.log"
    with (
        log.open("w") as output,
        subprocess.Popen(
            ["make", "--no-print-directory", "demo"],
            cwd=directory,
            env={**clean_environment(), **ports},
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process,
    ):
        try:
            deadline = time.monotonic() + START_SECONDS
            while "Ctrl-C ends all of it." not in log.read_text(encoding="utf-8"):
                assert process.poll() is None, log.read_text(encoding="utf-8")
                assert time.monotonic() < deadline, log.read_text(encoding="utf-8")
                time.sleep(0.2)
            addresses = [f"http://127.0.0.1:{ports[name]}" for name in ("PORT", "APP_PORT", "KEYCLOAK_PORT")]
            running = Demo(process, directory, log, *addresses)
            yield running
            check_ctrl_c_ends_all_it_began(running)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGINT)
            process.wait(timeout=60)


def admin_people(demo: Demo) -> dict[str, dict[str, Any]]:
    """Read everybody with their groups from the Admin API, one call a person: slow, simple, not the product's way."""
    found: dict[str, dict[str, Any]] = {}
    environ = {
        "KEYCLOAK_URL": demo.keycloak,
        "KEYCLOAK_ADMIN": "admin",
        "KEYCLOAK_ADMIN_PASSWORD": "admin",
    }
    with KeycloakServer(log=demo.log.with_suffix(".keycloak"), environ=environ) as keycloak:
        for person in keycloak.admin("GET", "/realms/demo/users?max=1000").json():
            groups = keycloak.admin("GET", f"/realms/demo/users/{person['id']}/groups?max=1000").json()
            found[person["id"]] = {**person, "groups": {group["path"].lstrip("/") for group in groups}}
    return found


def test_the_mirror_equals_the_admin_api_row_by_row(demo: Demo) -> None:
    people = admin_people(demo)
    rows = {row["Sub"]: row for row in demo.rows("SELECT * FROM sys_user")}
    assert len(people) == 200
    assert rows.keys() == people.keys()
    for sub, person in people.items():
        row = rows[sub]
        assert row["User"] == person["username"]
        assert row["Uuid"] == sub
        assert row["Email"] == person.get("email")
        assert (row["FirstName"], row["LastName"]) == (person.get("firstName"), person.get("lastName"))
        assert bool(row["Active"]) is person["enabled"]
        assert bool(row["EmailVerified"]) is person["emailVerified"]
        assert set((row["Usergroups"] or "").split(",")) - {""} == person["groups"]
        assert row["MirroredUsergroups"] == row["Usergroups"]
        assert (row["Package"], row["Realm"], row["Origin"]) == ("demo", "demo", "keycloak")
        assert row["RegisterDate"].startswith(
            time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(person["createdTimestamp"] // 1000))
        )
        assert row["MissingSince"] is None


async def test_alice_signs_in_sees_the_page_and_signs_out_everywhere(demo: Demo) -> None:
    async with open_page() as page:
        await page.goto(demo.app)
        await page.fill("#username", "alice")
        await page.fill("#password", "alice")
        await page.click("#kc-login")
        await page.wait_for_url(f"{demo.app}/**")
        shown = await page.inner_text("body")
        assert "alice@example.com" in shown
        assert "staff/support" in shown
        (session,) = demo.rows("SELECT * FROM sys_usersession WHERE Origin = 'bridge' AND IsActive = 1")
        assert (session["User"], session["SessionType"]) == ("alice", "web")
        assert session["SessionId"] in re.sub(r"\s", "", shown)
        await page.get_by_role("button", name="Sign out").click()
        await page.wait_for_url(f"{demo.app}/goodbye")
        (session,) = demo.rows(f"SELECT * FROM sys_usersession WHERE SessionId = '{session['SessionId']}'")
        assert (session["IsActive"], session["InvalidatedReason"]) == (0, "logout")
        await page.goto(demo.app)
        await page.wait_for_selector("#kc-login")
        assert page.url.startswith(demo.keycloak)


async def test_the_pages_of_the_bridge_fit_a_phone(demo: Demo) -> None:
    async with open_page(width=360, height=640) as page:
        for path in ("/me", "/logout", "/callback/demo?state=r.x&code=y", "/nothing"):
            await page.goto(demo.bridge + path)
            width = await page.evaluate("document.documentElement.scrollWidth")
            assert width <= 360, path
            assert await page.locator("h1").count() == 1


def test_a_second_sync_run_writes_no_row(demo: Demo) -> None:
    """Counted in the database itself, by triggers, not by our own counter."""
    tables = ("sys_user", "sys_usersession")
    with sqlite3.connect(demo.directory / ".demo" / "bridge.db") as db:
        db.execute("CREATE TABLE IF NOT EXISTS written (n INTEGER)")
        for table in tables:
            for verb in ("INSERT", "UPDATE", "DELETE"):
                name = f"count_{table}_{verb}"
                db.execute(f"CREATE TRIGGER {name} AFTER {verb} ON {table} BEGIN INSERT INTO written VALUES (1); END")
    command = [".venv/bin/keycloak-bridge", "--config", ".demo/keycloak-bridge.toml", "sync", "run", "--json"]
    for _ in range(2):
        # The first run may still have a session of another test to mirror.
        demo_rows = demo.rows("SELECT COUNT(*) AS n FROM written")[0]["n"]
        ended = subprocess.run(
            command, cwd=demo.directory, env=clean_environment(), capture_output=True, text=True, check=False
        )
        assert ended.returncode == 0, ended.stderr
    report = json.loads(ended.stdout)
    assert demo.rows("SELECT COUNT(*) AS n FROM written")[0]["n"] == demo_rows
    assert report["counts"]["users_unchanged"] == 200


def test_a_taken_port_is_one_clear_sentence(demo: Demo) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = subprocess.run(
            ["make", "--no-print-directory", "demo"],
            cwd=demo.directory,
            env={**clean_environment(), "PORT": port},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert ended.returncode != 0
    assert port in ended.stderr
    assert "PORT" in ended.stderr


def check_ctrl_c_ends_all_it_began(demo: Demo) -> None:
    """Send the signal a terminal sends, and look for anything that is left; called when the last test is done."""
    os.killpg(demo.process.pid, signal.SIGINT)
    demo.process.wait(timeout=60)
    assert "All of the demo has ended." in demo.log.read_text(encoding="utf-8")
    for address in (demo.bridge, demo.app, demo.keycloak):
        with pytest.raises(httpx.TransportError):
            httpx.get(address, trust_env=False)
