"""The main job in a real browser: sign in, sign out at the provider, and every tab leaves."""

from __future__ import annotations

import pytest
from playwright.async_api import BrowserContext, Page, expect

pytestmark = [pytest.mark.needs("chromium"), pytest.mark.gen_test(timeout=60)]

WITHOUT_EVENT_SOURCE = "delete window.EventSource"
WITHOUT_WEB_LOCKS = "Object.defineProperty(navigator, 'locks', { value: undefined })"


async def sign_in(context: BrowserContext, demo, *, account: str = "alice") -> Page:
    """Open the demo and sign in through the provider's page."""
    page = await context.new_page()
    await page.goto(demo.application)
    await page.get_by_role("link", name="Sign in").click()
    await page.wait_for_url(f"{demo.provider}/**")
    await page.locator(f"button[name=account][value={account}]").click()
    await page.wait_for_url(f"{demo.application}/")
    await expect(page.get_by_text("Signed in through")).to_be_visible()
    return page


async def wait_until_tabs_listen(page: Page, browsers: int) -> None:
    """Wait until the live log shows that so many browsers hold a connection."""
    await expect(page.locator("#log li", has_text="A tab listens")).to_have_count(browsers)


async def sign_out_at_the_provider(context: BrowserContext, demo, *, account: str = "alice"):
    page = await context.new_page()
    await page.goto(f"{demo.provider}/admin")
    await page.locator(f"form[name=sign-out-{account}] button").click()
    await expect(page.locator(f"form[name=sign-out-{account}]")).to_have_count(0)


async def assert_all_leave(demo, *pages: Page) -> None:
    for page in pages:
        # Far less than the 20 seconds after which a tab would look by itself: it was told.
        await page.wait_for_url(f"{demo.application}/bye", timeout=6000)
        await expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()


async def two_profiles_and_three_tabs(browser, demo, *scripts: str):
    """Sign in twice: two tabs in the first profile, one in the second."""
    anna, bert = [await browser.new_context() for _ in range(2)]
    for context in (anna, bert):
        for script in scripts:
            await context.add_init_script(script)
    first = await sign_in(anna, demo)
    third = await sign_in(bert, demo)
    second = await anna.new_page()
    await second.goto(demo.application)
    await expect(second.get_by_text("Signed in through")).to_be_visible()
    return anna, bert, [first, second, third]


async def test_a_logout_at_the_provider_reaches_every_tab(chromium_browser, demo) -> None:
    """Two profiles, two tabs in one of them: signed out at the provider, all three leave."""
    anna, bert, tabs = await two_profiles_and_three_tabs(chromium_browser, demo)
    await wait_until_tabs_listen(tabs[2], browsers=2)
    operator = await chromium_browser.new_context()
    await sign_out_at_the_provider(operator, demo)
    await assert_all_leave(demo, *tabs)
    for context in (anna, bert):
        page = await context.new_page()
        await page.goto(demo.application)
        await expect(page.get_by_role("link", name="Sign in")).to_be_visible()


async def test_a_logout_reaches_every_tab_by_long_poll(chromium_browser, demo) -> None:
    """The same without EventSource: the tabs poll, and all three leave."""
    *_, tabs = await two_profiles_and_three_tabs(chromium_browser, demo, WITHOUT_EVENT_SOURCE)
    await wait_until_tabs_listen(tabs[2], browsers=2)
    await expect(tabs[2].locator("#log li", has_text="transport=poll")).to_have_count(2)
    await sign_out_at_the_provider(await chromium_browser.new_context(), demo)
    await assert_all_leave(demo, *tabs)


async def test_a_logout_reaches_every_tab_without_web_locks(chromium_browser, demo) -> None:
    """Without Web Locks each tab has a connection of its own, and all three leave."""
    *_, tabs = await two_profiles_and_three_tabs(chromium_browser, demo, WITHOUT_WEB_LOCKS)
    await wait_until_tabs_listen(tabs[2], browsers=3)
    await sign_out_at_the_provider(await chromium_browser.new_context(), demo)
    await assert_all_leave(demo, *tabs)


async def test_a_long_chat_line_on_a_small_screen(chromium_browser, demo) -> None:
    """On a telephone the newest line is in sight, and of a long one its beginning: who said it."""
    context = await chromium_browser.new_context(viewport={"width": 390, "height": 844})
    page = await sign_in(context, demo)
    for text in (*("short",) * 9, "a long line " * 25):
        await page.get_by_label("Say something").fill(text)
        await page.get_by_role("button", name="Send").click()
        line = page.locator("#chat li").last
        await expect(line).to_have_text(f"Alice Archer {text.strip()}")
        box = await page.locator("#chat").bounding_box()
        who = await line.locator("b").bounding_box()
        assert box["y"] <= who["y"]
        assert who["y"] + who["height"] <= box["y"] + box["height"]


async def test_the_console_stays_clean(chromium_browser, demo) -> None:
    """Nothing that the demo's pages ask for is missing, their icon included."""
    context = await chromium_browser.new_context()
    missing = []
    context.on("response", lambda answer: answer.status >= 400 and missing.append(answer.url))
    page = await sign_in(context, demo)
    assert await page.locator("link[rel=icon]").count() == 1
    assert missing == []


async def test_another_user_stays(chromium_browser, demo) -> None:
    """Whoever was not signed out keeps the page."""
    alice = await sign_in(await chromium_browser.new_context(), demo, account="alice")
    bob = await sign_in(await chromium_browser.new_context(), demo, account="bob")
    await sign_out_at_the_provider(await chromium_browser.new_context(), demo, account="alice")
    await assert_all_leave(demo, alice)
    await expect(bob.locator("#log li", has_text="A session ended")).to_have_count(1)
    await expect(bob.get_by_text("Signed in through")).to_be_visible()


async def test_signing_out_here_leaves_the_other_browser(chromium_browser, demo) -> None:
    """The user's own logout ends this browser's session, here and at the provider."""
    here = await sign_in(await chromium_browser.new_context(), demo)
    other = await sign_in(await chromium_browser.new_context(), demo)
    await here.get_by_role("button", name="Sign out here").click()
    await assert_all_leave(demo, here)
    await expect(other.locator("#log li", has_text="A session ended")).to_have_count(1)
    await expect(other.get_by_text("Signed in through")).to_be_visible()
    await here.goto(demo.application)
    await here.get_by_role("link", name="Sign in").click()
    await expect(here.locator("button[name=account][value=alice]")).to_be_visible()


async def test_signing_out_everywhere_reaches_the_other_browser(chromium_browser, demo) -> None:
    """Signing out everywhere is one POST; the other browser's tab leaves by itself."""
    here = await sign_in(await chromium_browser.new_context(), demo)
    other = await sign_in(await chromium_browser.new_context(), demo)
    await wait_until_tabs_listen(here, browsers=2)
    await here.get_by_role("button", name="Sign out everywhere").click()
    await assert_all_leave(demo, here, other)


async def test_a_sign_in_survives_a_restart(chromium_browser, demos) -> None:
    """Ports, keys and sessions are kept: after Ctrl-C and a new start the user is signed in."""
    demo = demos.start()
    context = await chromium_browser.new_context()
    page = await sign_in(context, demo)
    assert demo.stop() == 0
    again = demos.start()
    assert (again.application, again.provider) == (demo.application, demo.provider)
    await page.goto(again.application)
    await expect(page.get_by_text("Signed in through")).to_be_visible()
    await sign_out_at_the_provider(await chromium_browser.new_context(), again)
    await assert_all_leave(again, page)


async def test_what_the_terminal_shows(chromium_browser, demos) -> None:
    """A login, its live tab and Ctrl-C leave no traceback, and with --verbose a line for each
    request, without what came in its query."""
    demo = demos.start("--verbose")
    page = await sign_in(await chromium_browser.new_context(), demo)
    await wait_until_tabs_listen(page, browsers=1)
    assert demo.stop() == 0
    said = demos.log.read_text()
    assert "GET /auth/callback" in said
    assert "Traceback" not in said
    assert "state=" not in said


async def test_a_line_of_chat_reaches_the_other_browser(chromium_browser, demo) -> None:
    """The chat goes over the bus from a handler of the application's own."""
    alice = await sign_in(await chromium_browser.new_context(), demo, account="alice")
    bob = await sign_in(await chromium_browser.new_context(), demo, account="bob")
    await alice.get_by_label("Say something").fill("Hello <b>Bob</b>")
    await alice.get_by_role("button", name="Send").click()
    for page in (alice, bob):
        await expect(page.locator("#chat li")).to_have_text(["Alice Archer Hello <b>Bob</b>"])
    # A form that a script has sent is nothing that the farewell would have to wait for.
    await sign_out_at_the_provider(await chromium_browser.new_context(), demo)
    await assert_all_leave(demo, alice)


async def test_back_after_a_logout_shows_no_signed_in_page(chromium_browser, demo) -> None:
    """The Back button never brings the signed-in page to the screen again."""
    page = await sign_in(await chromium_browser.new_context(), demo)
    await page.goto(f"{demo.application}/bye")
    await page.go_back()
    await expect(page.locator("#log li", has_text="A tab listens")).to_have_count(2)
    await sign_out_at_the_provider(await chromium_browser.new_context(), demo)
    await assert_all_leave(demo, page)
    await page.go_back()
    await expect(page.get_by_text("Signed in through")).not_to_be_visible()
