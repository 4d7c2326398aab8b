"""A real Chromium, Debian's, driven by playwright."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Page, async_playwright

from tests.skipping import require

EXECUTABLE = "/usr/bin/chromium"
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@asynccontextmanager
async def open_page(*, width: int = 1100, height: int = 800) -> AsyncIterator[Page]:
    """Open a window with a cookie jar of its own."""
    require("chromium")
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=EXECUTABLE, args=list(ARGUMENTS))
        try:
            context = await chromium.new_context(viewport={"width": width, "height": height})
            yield await context.new_page()
        finally:
            await chromium.close()
