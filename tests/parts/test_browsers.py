"""The real browser and an application of the test live on one loop."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser
from tornado.httpserver import HTTPServer
from tornado.web import Application, RequestHandler

pytestmark = pytest.mark.needs("chromium")


class Visits(RequestHandler):
    def get(self) -> None:
        count = int(self.get_cookie("visits", "0")) + 1
        self.set_cookie("visits", str(count))
        self.write(f"<title>visits</title><p>{count}</p><script>document.title += '!'</script>")


@pytest.fixture
def app() -> Application:
    return Application([(r"/", Visits)])


async def test_contexts_are_profiles(
    chromium_browser: Browser, http_server: HTTPServer, base_url: str
) -> None:
    """Two contexts share no cookies, two tabs of one context do, and scripts run."""
    anna, bert = [await chromium_browser.new_context() for _ in range(2)]
    seen = []
    for context in (anna, anna, bert):
        page = await context.new_page()
        await page.goto(base_url)
        seen.append((await page.title(), await page.inner_text("p")))
    assert seen == [("visits!", "1"), ("visits!", "2"), ("visits!", "1")]
