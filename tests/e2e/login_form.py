"""Signing in at a real Keycloak without a picture: the login form filled in by its fields."""

import html
import re

import httpx

from tests.browser import Browser


async def pass_login_form(browser: Browser, page: httpx.Response, *, username: str) -> httpx.Response:
    """Send Keycloak's login form with the password of the demo's people; return the redirect to the bridge."""
    action = re.search(r'<form[^>]* id="kc-form-login"[^>]* action="([^"]+)"', page.text)
    assert action is not None, page.text[:2000]
    form = {"username": username, "password": username, "credentialId": ""}
    return await browser.http.post(html.unescape(action[1]), data=form)


async def go_to_callback(browser: Browser, path: str = "/login", *, username: str = "alice") -> str:
    """Begin a login, sign in at Keycloak when asked, and return the address of the callback."""
    begun = await browser.get(path)
    assert begun.status_code == 303, begun.text
    answered = await browser.follow(begun, until=f"{browser.base}/callback/")
    if not answered.is_redirect:
        answered = await pass_login_form(browser, answered, username=username)
    assert answered.headers["location"].startswith(f"{browser.base}/callback/"), answered.headers
    return str(answered.headers["location"])
