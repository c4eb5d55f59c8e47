"""Front-Channel Logout in a real browser, which keeps cookies from the frames of other sites."""

from __future__ import annotations

import pytest
from playwright.async_api import Browser, Page, expect
from rows import Row
from stage import Stage
from test_three_logouts import front_channel_answer
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.gen_test(timeout=60)]


@pytest.fixture(params=["memory"])
def setting(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def row() -> Row:
    return front_channel_answer


async def sign_in(browser: Browser, stage: Stage) -> Page:
    stage.register(
        frontchannel_logout_uri=f"{stage.site}/auth/frontchannel-logout",
        backchannel_logout_uri=None,
    )
    stage.configure(frontchannel_logout=True)
    page = await (await browser.new_context()).new_page()
    await page.goto(stage.login_url())
    await page.locator("button[name=account][value=alice]").click()
    await page.wait_for_url(f"{stage.site}/here")
    return page


async def test_the_provider_frames_us(chromium_browser: Browser, stage: Stage) -> None:
    """A logout at the provider ends our session, through a frame that gets no cookie of ours."""
    page = await sign_in(chromium_browser, stage)
    await page.goto(f"{stage.provider.issuer}/end_session")
    async with page.expect_response(lambda answer: "frontchannel-logout" in answer.url) as loaded:
        await page.locator("button[value=sign-out]").click()
    answer = await loaded.value
    assert answer.status == 200
    assert "cookie" not in await answer.request.all_headers()
    assert [h.facts["reason"] for h in stage.events("signed_out")] == ["frontchannel"]
    await page.goto(f"{stage.site}/auth/logout")
    await expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()


async def test_our_logout_comes_back_through_the_frames(
    chromium_browser: Browser, stage: Stage
) -> None:
    """After our own logout the provider frames us, and then leads back to our page."""
    page = await sign_in(chromium_browser, stage)
    await page.goto(f"{stage.site}/auth/logout?next=/here")
    async with page.expect_response(lambda answer: "frontchannel-logout" in answer.url) as loaded:
        await page.get_by_role("button", name="Sign out").click()
    assert (await loaded.value).status == 200
    await page.wait_for_url(f"{stage.site}/here")
    assert not stage.provider.sessions


async def test_nobody_else_frames_us(chromium_browser: Browser, stage: Stage) -> None:
    """A page of another site gets no frame of ours to show."""
    url = f"{stage.site}/auth/frontchannel-logout?iss={stage.provider.issuer}&sid=x"

    class Evil(RequestHandler):
        def get(self) -> None:
            self.finish(f'<iframe src="{url}"></iframe>')

    sock, port = bind_unused_port()
    server = HTTPServer(Application([("/", Evil)]))
    server.add_socket(sock)
    page = await (await chromium_browser.new_context()).new_page()
    async with page.expect_console_message(
        lambda message: "frame-ancestors" in message.text, timeout=20_000
    ):
        await page.goto(f"http://127.0.0.1:{port}/")
    server.stop()
    await server.close_all_connections()
