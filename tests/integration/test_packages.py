"""Several packages on one host: one session each, and none of them touches another's."""

from collections.abc import AsyncIterator

import pytest

from tests.browser import Browser, query
from tests.double import KeycloakDouble
from tests.integration.service import APPLICATION, Service, running

PROGRAM = {"Accept": "application/json"}


def package(double: KeycloakDouble, *, client_id: str) -> dict[str, object]:
    return {
        "issuer": double.issuer,
        "client_id": client_id,
        "client_secret": "bridge-demo-secret",
        "return_to": [APPLICATION],
    }


@pytest.fixture
async def two(double: KeycloakDouble, sqlite_database_url: str) -> AsyncIterator[Service]:
    """A bridge with the packages `demo` and `other`, each a client of its own of one realm."""
    packages = {"demo": package(double, client_id="bridge"), "other": package(double, client_id="bridge-two")}
    double.realm.add_client("bridge-two", secret="bridge-demo-secret", redirect_uris=[])
    async with running(double, sqlite_database_url, packages=packages) as service:
        client = double.realm.client("bridge-two")
        assert client is not None
        client.redirect_uris.append(f"{service.url}/callback/other")
        yield service


async def test_each_package_has_a_session_of_its_own(two: Service) -> None:
    async with Browser(two.url) as browser:
        for name in ("demo", "other"):
            answer = await browser.sign_in(f"/login?package={name}")
            assert answer.headers["set-cookie"].startswith(f"__Host-kb-{name}=")
        for name in ("demo", "other"):
            me = await browser.get(f"/me?package={name}", headers=PROGRAM)
            assert me.json()["package"] == name
        token = (await browser.get("/me?package=demo", headers=PROGRAM)).json()["form_token"]
        await browser.post("/logout", {"package": "demo", "form_token": token})
        assert (await browser.get("/me?package=demo", headers=PROGRAM)).status_code == 401
        assert (await browser.get("/me?package=other", headers=PROGRAM)).status_code == 200


async def test_a_session_of_another_package_counts_as_none(two: Service) -> None:
    async with Browser(two.url) as browser:
        await browser.sign_in("/login?package=demo")
        cookie = f"__Host-kb-other={browser.cookie('__Host-kb-demo')}"
    async with Browser(two.url) as thief:
        answer = await thief.get("/me?package=other", headers={**PROGRAM, "Cookie": cookie})
    assert answer.status_code == 401


async def test_a_state_of_one_package_is_refused_at_the_callback_of_another(
    two: Service, double: KeycloakDouble
) -> None:
    """A7, V11: each package has its own redirect URI, compared at the callback."""
    async with Browser(two.url) as browser:
        callback = await browser.go_to_keycloak("/login?package=demo")
        answer = await browser.get(callback.replace("/callback/demo", "/callback/other"), headers=PROGRAM)
        assert answer.json()["error"] == "state_of_other_package"
        assert double.count("POST", "/token") == 0
        assert (await browser.get(callback)).headers["location"] == APPLICATION


async def test_the_package_must_be_named_when_there_are_several(two: Service) -> None:
    async with Browser(two.url) as browser:
        for path in ("/login", "/me", "/logout"):
            answer = await browser.get(path, headers=PROGRAM)
            assert answer.status_code == 404
            assert "?package=NAME" in answer.json()["message"]
        begun = await browser.get("/login?package=other")
        assert query(begun.headers["location"])["client_id"] == "bridge-two"
