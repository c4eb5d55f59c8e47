"""With Tornado's xsrf_cookies and cross-origin protection both on, everything works unchanged.

The application of this folder has both on in every test; here nobody attacks it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from urllib.parse import urlencode

import pytest
from attacks.site import Site, until
from clef.clef_names import wave_address
from conformance.stage import CLIENT_SECRET, PROTECTED, said

from clefstorm.bus.socket_frames import CloseCode
from clefstorm.registry import build_client
from clefstorm.testing import Browser


@asynccontextmanager
async def all_ears(site: Site, browser: Browser) -> AsyncIterator[Callable[[], Awaitable[str]]]:
    """An event stream, a poll and, where nginx is not in between, a socket of one browser.

    Gives what waits until each has told of the logout, and answers with the reason.
    """
    before = site.rp.bus.statistics().subscribers
    poll = asyncio.ensure_future(browser.fetch(f"{site.site}/auth/poll"))
    async with AsyncExitStack() as opened:
        events = await opened.enter_async_context(browser.stream(f"{site.site}/auth/events"))
        assert (await events.next(10)).event == "hello"
        await until(lambda: site.rp.bus.statistics().subscribers == before + 2)
        socket = None
        if not site.path:  # this nginx passes no WebSocket on
            socket = await opened.enter_async_context(site.news(browser))
            await site.rp.bus.publish("news", "all is well")
            while '"all is well"' not in str(await socket.read_message()):
                pass

        async def told() -> str:
            reason = (await events.next(10)).json()["reason"]
            assert (await poll).json() == {"state": "signed_out", "reason": reason}
            if socket is not None:
                while await socket.read_message() is not None:
                    pass
                assert socket.close_code == CloseCode.SIGNED_OUT
            return str(reason)

        yield told


@pytest.mark.parametrize(
    ("setting", "mode"),
    [
        pytest.param("memory", "query", id="query"),
        pytest.param("memory-tls", "form_post", id="form_post"),
        pytest.param("sqlite-nginx", "query", id="query_nginx", marks=pytest.mark.needs("nginx")),
        pytest.param(
            "sqlite-nginx", "form_post", id="form_post_nginx", marks=pytest.mark.needs("nginx")
        ),
    ],
    indirect=["setting"],
)
async def test_the_whole_story(site: Site, mode: str) -> None:
    """Login, the user's logout, the provider's by either channel, Clef's, and all who listen."""
    assert PROTECTED == {"xsrf_cookies": True, "cross_origin_protection": True}
    site.configure(response_mode=mode, frontchannel_logout=True)
    alice = site.browser

    # The user's own logout, over the provider and back.
    page = await site.sign_in()
    assert (page.status, page.text) == (200, "here"), said(page)
    async with all_ears(site, alice) as told:
        page = await site.sign_out()
        assert (page.status, page.text) == (200, "here"), said(page)
        assert await told() == "logout"
    assert await site.user() is None

    # The provider's word, from server to server.
    await site.sign_in()
    async with all_ears(site, alice) as told:
        [delivery] = await site.provider.sign_out("alice")
        assert delivery.status == 200
        assert await told() == "backchannel"

    # The provider's word in a frame.
    await site.sign_in()
    async with all_ears(site, alice) as told:
        sent = {"iss": site.provider.issuer, "sid": await site.sid()}
        frame = await site.new_browser().get(
            f"{site.site}/auth/frontchannel-logout?{urlencode(sent)}",
            initiator=site.provider.issuer,
            headers={"Sec-Fetch-Dest": "iframe"},
        )
        assert frame.status == 200
        assert await told() == "frontchannel"

    # Clef: its wave, and its webhook.
    site.register(clef_logout_uri=f"{site.site}/auth/clef-logout")
    options = {"provider": "clef", "client_id": "app", "client_secret": CLIENT_SECRET}
    options["redirect_uri"] = f"{site.site}/auth/callback"
    options["api_url"] = site.provider.api_url
    site.clients["clef"] = build_client("clef", options)
    bob = site.new_browser()
    shown = await bob.get(site.login_url(provider="clef"))
    await bob.get(wave_address(shown.text), initiator=shown)
    page = await bob.submit(form="demo-accounts", button="bob")
    assert (page.status, page.text) == (200, "here"), said(page)
    assert await site.user(bob) == str(site.provider.account("bob").clef_id)
    async with all_ears(site, bob) as told:
        await site.provider.sign_out("bob")
        assert await told() == "backchannel"

    # Forms of the application itself.
    await site.sign_in()
    page = await alice.get(f"{site.site}/auth/logout")
    form = {"_xsrf": page.forms[0].fields["_xsrf"]}
    page = await alice.post(f"{site.site}/form", form, initiator=page)
    assert (page.status, page.text) == (200, "saved")
    await until(lambda: site.rp.bus.statistics().subscribers == 0)
