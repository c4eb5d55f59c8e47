"""The wave button in a real browser: it signs in, and the webhook signs out every tab."""

from __future__ import annotations

import pytest
from playwright.async_api import BrowserContext, Page, expect

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.gen_test(timeout=60)]


async def sign_in_by_wave(context: BrowserContext, demo, *, start: str = "/") -> Page:
    """Press the wave that the provider's script has drawn, and approve at the provider."""
    page = await context.new_page()
    await page.goto(f"{demo.application}{start}")
    await page.get_by_role("link", name="Log in with a wave").click()
    await page.wait_for_url(f"{demo.provider}/clef/wave?**")
    await page.locator("button[name=account][value=alice]").click()
    await page.wait_for_url(f"{demo.application}/")
    await expect(page.get_by_text("Alice Archer", exact=True)).to_be_visible()
    return page


async def test_the_wave_signs_in_and_the_webhook_signs_out_every_tab(
    chromium_browser, demo
) -> None:
    """Two profiles, two tabs in one: the logout at the provider reaches all three by webhook."""
    anna, bert = [await chromium_browser.new_context() for _ in range(2)]
    first = await sign_in_by_wave(anna, demo)
    third = await sign_in_by_wave(bert, demo)
    second = await anna.new_page()
    await second.goto(demo.application)
    await expect(third.locator("#log li", has_text="A tab listens")).to_have_count(2)
    operator = await (await chromium_browser.new_context()).new_page()
    await operator.goto(f"{demo.provider}/admin")
    await operator.locator("form[name=sign-out-alice] button").click()
    for page in (first, second, third):
        # Far less than the 20 seconds after which a tab would look by itself: it was told.
        await page.wait_for_url(f"{demo.application}/bye", timeout=6000)
        await expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()
    await operator.reload()
    await expect(operator.get_by_text("/auth/clef-logout").first).to_be_visible()


async def test_the_login_page_draws_the_wave_under_its_policy(chromium_browser, demo) -> None:
    """The page of the login route has a strict policy, and nothing in it is violated."""
    context = await chromium_browser.new_context()
    refused: list[str] = []
    context.on("console", lambda message: refused.append(message.text))
    await sign_in_by_wave(context, demo, start="/auth/login?provider=clef&next=/")
    assert not [text for text in refused if "Content Security Policy" in text]


async def test_openid_beside_it(chromium_browser, demo) -> None:
    """The other button of the same page signs in by OpenID Connect."""
    page = await (await chromium_browser.new_context()).new_page()
    await page.goto(demo.application)
    await expect(page.get_by_role("link", name="Log in with a wave")).to_be_visible()
    await page.get_by_role("link", name="Sign in").click()
    await page.wait_for_url(f"{demo.provider}/authorize?**")
