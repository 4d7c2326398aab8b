"""What nobody can come back to is deleted, and nothing else."""

from datetime import timedelta

from bridge.config.policy import RetentionSettings
from bridge.flows.cleanup import delete_old
from tests.browser import Browser
from tests.integration.service import APPLICATION, Service


async def test_old_logins_go_and_a_late_duplicate_is_still_known_for_a_day(service: Service, browser: Browser) -> None:
    """S8: a consumed state keeps its digest for 24 hours, a pending one its hour and an hour more."""
    callback = await browser.go_to_keycloak()
    await browser.get(callback)
    await browser.get("/login")
    for hours, left in ((1, 2), (3, 1), (25.1, 0)):
        await delete_old(service.database, RetentionSettings(), now=service.clock() + timedelta(hours=hours))
        assert await service.count("oauth_state") == left
        if left:
            assert (await browser.get(callback)).headers["location"] == APPLICATION


async def test_expired_credentials_go(service: Service, browser: Browser) -> None:
    await browser.sign_in()
    for hours in (7, 9, 31):
        # A day longer than it lives: a clock that is wrong for a while must not sign anybody out.
        await delete_old(service.database, RetentionSettings(), now=service.clock() + timedelta(hours=hours))
        assert await service.count("session_credential") == 1
    await delete_old(service.database, RetentionSettings(), now=service.clock() + timedelta(hours=33))
    assert await service.count("session_credential") == 0
