"""Who may sign in: disabled people, names held by others, people re-created under an old name."""

from bridge.storage.tables import security_event
from tests.browser import Browser
from tests.double import KeycloakDouble
from tests.integration.service import APPLICATION, Service
from tests.integration.stored_sessions import read


async def test_a_disabled_row_is_refused(service: Service, browser: Browser) -> None:
    await browser.sign_in()
    await service.write('UPDATE sys_user SET "Active" = 0')
    assert (await browser.get("/me")).status_code == 401
    answer = await browser.sign_in()
    assert answer.status_code == 403
    assert "disabled" in answer.text
    assert await service.count("sys_usersession") == 1
    (failed,) = await read(service.database, security_event, event="sign_in_failed")
    # Where the erasure of a person looks for it.
    assert (failed["username"], "alice" in failed["evidence"]) == ("alice", False)


async def test_a_user_disabled_at_keycloak_is_refused(
    sqlite_service: Service, sqlite_browser: Browser, double: KeycloakDouble
) -> None:
    callback = await sqlite_browser.go_to_keycloak()
    double.realm.change_user("alice", enabled=False)
    answer = await sqlite_browser.get(callback)
    assert answer.status_code in (403, 502)
    assert await sqlite_service.count("sys_usersession") == 0


async def test_a_name_held_by_a_hand_written_row_is_refused(service: Service, browser: Browser) -> None:
    """A hand-written row is never adopted, and logs nobody in."""
    await service.write(
        """INSERT INTO sys_user ("User", "Uuid", "Package", "Active") VALUES ('alice', 'u', 'demo', 1)"""
    )
    answer = await browser.sign_in()
    assert answer.status_code == 409
    assert "already belongs to another account" in answer.text
    (row,) = await service.rows("SELECT * FROM sys_user")
    assert (row["Uuid"], row["Sub"], row["RowVersion"]) == ("u", None, 0)
    assert await service.count("sys_usersession") == 0


async def test_a_recreated_person_gets_the_name_and_nothing_else(
    service: Service, browser: Browser, double: KeycloakDouble
) -> None:
    """V37: the holder is read at Keycloak, and steps aside with ended sessions when that id is gone."""
    await browser.sign_in()
    await service.write("""UPDATE sys_user SET "Usergroups" = 'admins'""")
    double.realm.delete_user("alice")
    new_id = double.realm.add_user("alice", email="alice@example.com")
    double.sign_in_as("alice")
    async with Browser(service.url) as elsewhere:
        assert (await elsewhere.sign_in()).headers["location"] == APPLICATION
    rows = {row["Sub"] == new_id: row for row in await service.rows("SELECT * FROM sys_user")}
    assert rows[True]["User"] == "alice"
    assert rows[True]["Usergroups"] is None
    assert rows[False]["User"].startswith("alice~")
    assert (await browser.get("/me")).status_code == 401
    ended = await service.rows('SELECT "Sub" FROM sys_usersession WHERE "IsActive" = 1')
    assert [row["Sub"] for row in ended] == [new_id]


async def test_a_living_holder_of_the_name_is_a_conflict(
    service: Service, browser: Browser, double: KeycloakDouble
) -> None:
    await browser.sign_in()
    double.sign_in_as("bob")
    double.faults.id_token({"preferred_username": "alice"})
    async with Browser(service.url) as elsewhere:
        answer = await elsewhere.sign_in()
    assert answer.status_code == 409
    assert (await browser.get("/me")).status_code == 200


async def test_a_username_longer_than_the_column_is_refused_not_cut(
    sqlite_service: Service, sqlite_browser: Browser, double: KeycloakDouble
) -> None:
    double.faults.id_token({"preferred_username": "a" * 151})
    answer = await sqlite_browser.sign_in()
    assert answer.status_code == 409
    assert await sqlite_service.count("sys_user") == 0
