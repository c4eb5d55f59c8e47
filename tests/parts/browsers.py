"""A real headless Chromium, driven by playwright's async API on the test's own loop.

So the application under test, the identity provider and the browser's driver live in one test:

    async def test_both_tabs_leave(chromium_browser, http_server, base_url):
        context = await chromium_browser.new_context()      # a browser profile of its own
        page = await context.new_page()
        await page.goto(base_url)

LAW: waits for what the page shows (``expect``, ``wait_for_url``), never for a time.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from parts.needs import need
from playwright.async_api import Browser, async_playwright
from tornado.ioloop import IOLoop

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of the browser's program. Without one the test is skipped (fails under CI=true)."""
    need("node")  # which drives it
    return need("chromium")


@pytest.fixture
def chromium_browser(chromium: str, io_loop: IOLoop) -> Iterator[Browser]:
    """A fresh browser. ``await chromium_browser.new_context()`` is a profile of its own.

    Await its API in the coroutine test itself: it runs on ``io_loop``, where the servers of the
    test run too. Everything still open is closed after the test.
    """
    playwright = io_loop.run_sync(async_playwright().start)

    async def launch() -> Browser:
        return await playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)

    browser = io_loop.run_sync(launch)
    yield browser
    io_loop.run_sync(browser.close)
    io_loop.run_sync(playwright.stop)
