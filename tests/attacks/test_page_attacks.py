"""Attacks on what we show: frames, script in what others say, caches, by every page and answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any
from urllib.parse import quote

import pytest
from attacks.site import EVIL, Site, parameters_of
from conformance.stage import CLIENT_SECRET

from clefstorm.errors import StoreUnavailable
from clefstorm.registry import build_client
from clefstorm.testing import Answer, Browser, Page

Show = Callable[[Site, pytest.MonkeyPatch], Awaitable[Page]]
SHOWN: dict[str, tuple[int, Show]] = {}
TOLD: dict[str, tuple[int, Show]] = {}


def page(status: int) -> Callable[[Show], Show]:
    """A page that we show, with the status that it has."""

    def add(show: Show) -> Show:
        SHOWN[show.__name__] = (status, show)
        return show

    return add


def answer(status: int) -> Callable[[Show], Show]:
    """An answer of ours that is no page."""

    def add(show: Show) -> Show:
        TOLD[show.__name__] = (status, show)
        return show

    return add


async def opened(site: Site, path: str, browser: Browser | None = None, **headers: str) -> Page:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return await (browser or site.browser).get(site.site + path, headers=sent, follow=False)


@page(200)
async def logout_question(site: Site, patch: pytest.MonkeyPatch) -> Page:
    return await opened(site, "/auth/logout")


@page(200)
async def farewell(site: Site, patch: pytest.MonkeyPatch) -> Page:
    return await opened(site, "/auth/logged-out")


@page(200)
async def nothing_to_sign_out(site: Site, patch: pytest.MonkeyPatch) -> Page:
    return await opened(site, "/auth/logout", site.new_browser())


@page(200)
async def wave(site: Site, patch: pytest.MonkeyPatch) -> Page:
    client = build_client(
        "clef",
        {
            "provider": "clef",
            "client_id": "app",
            "client_secret": CLIENT_SECRET,
            "redirect_uri": f"{site.site}/auth/callback",
            "api_url": site.provider.api_url,
        },
    )
    site.clients["clef"] = client
    return await opened(site, "/auth/login?provider=clef")


@page(400)
async def callback_of_nothing(site: Site, patch: pytest.MonkeyPatch) -> Page:
    return await opened(site, "/auth/callback")


@page(400)
async def unknown_provider(site: Site, patch: pytest.MonkeyPatch) -> Page:
    return await opened(site, "/auth/login?provider=nobody")


@page(400)
async def leaving_next(site: Site, patch: pytest.MonkeyPatch) -> Page:
    return await opened(site, "/auth/logout?next=//evil.example")


@page(400)
async def front_channel_of_nobody(site: Site, patch: pytest.MonkeyPatch) -> Page:
    return await opened(site, "/auth/frontchannel-logout?iss=https://evil.example&sid=1")


@page(403)
async def login_in_a_frame(site: Site, patch: pytest.MonkeyPatch) -> Page:
    return await opened(site, "/auth/login", Sec_Fetch_Dest="iframe", Sec_Fetch_Site="cross-site")


@page(403)
async def refused_by_the_provider(site: Site, patch: pytest.MonkeyPatch) -> Page:
    sent = parameters_of(await site.to_the_callback())
    said = {"error": "access_denied", "state": sent["state"], "iss": sent["iss"]}
    return await site.open_callback(site.callback_url(said))


@page(403)
async def logout_from_elsewhere(site: Site, patch: pytest.MonkeyPatch) -> Page:
    return await site.browser.post(f"{site.site}/auth/logout", {}, initiator=EVIL, follow=False)


@page(405)
async def wrong_method(site: Site, patch: pytest.MonkeyPatch) -> Page:
    return await site.browser.post(f"{site.site}/auth/login", {}, follow=False)


@page(413)
async def too_large(site: Site, patch: pytest.MonkeyPatch) -> Page:
    form = {"next": "/" + "x" * 100_000}
    return await site.browser.post(f"{site.site}/auth/logout", form, follow=False)


@page(415)
async def no_form(site: Site, patch: pytest.MonkeyPatch) -> Page:
    return await site.send(
        "logout", "x", content_type="text/plain", headers={"Accept": "text/html"}
    )


@page(502)
async def broken_provider(site: Site, patch: pytest.MonkeyPatch) -> Page:
    url = await site.to_the_callback()
    site.provider.answer_instead["token"] = Answer(status=500, body="<h1>Oops</h1>")
    return await site.open_callback(url)


@page(503)
async def store_that_is_down(site: Site, patch: pytest.MonkeyPatch) -> Page:
    async def unreachable(*args: Any, **more: Any) -> Any:
        raise StoreUnavailable("it is down")

    patch.setattr(site.rp.sessions, "read", unreachable)
    return await opened(site, "/auth/logout")


@page(401)
async def form_of_a_stranger(site: Site, patch: pytest.MonkeyPatch) -> Page:
    browser = site.new_browser()
    await browser.get(f"{site.site}/auth/me")
    site.plant(browser, "_xsrf", "2|00000000|" + "0" * 32 + "|1600000000")
    form = {"_xsrf": "2|00000000|" + "0" * 32 + "|1600000000"}
    return await browser.post(f"{site.site}/form", form, follow=False)


@answer(200)
async def me(site: Site, patch: pytest.MonkeyPatch) -> Page:
    return await site.browser.fetch(f"{site.site}/auth/me")


@answer(200)
async def me_of_a_stranger(site: Site, patch: pytest.MonkeyPatch) -> Page:
    return await site.new_browser().fetch(f"{site.site}/auth/me")


@answer(200)
async def poll_of_a_stranger(site: Site, patch: pytest.MonkeyPatch) -> Page:
    return await site.new_browser().fetch(f"{site.site}/auth/poll")


@answer(200)
async def events_of_a_stranger(site: Site, patch: pytest.MonkeyPatch) -> Page:
    return await site.new_browser().fetch(f"{site.site}/auth/events")


@answer(200)
async def back_channel(site: Site, patch: pytest.MonkeyPatch) -> Page:
    return await site.post_logout_token(await site.provider.logout_token("app", sub="nobody"))


@answer(400)
async def back_channel_refused(site: Site, patch: pytest.MonkeyPatch) -> Page:
    return await site.post_logout_token("a.b.c")


@answer(400)
async def clef_webhook_refused(site: Site, patch: pytest.MonkeyPatch) -> Page:
    return await site.send("clef-logout", "logout_token=x")


@answer(401)
async def login_of_a_script(site: Site, patch: pytest.MonkeyPatch) -> Page:
    return await site.browser.fetch(f"{site.site}/auth/login")


@answer(403)
async def me_for_another_site(site: Site, patch: pytest.MonkeyPatch) -> Page:
    return await site.browser.fetch(f"{site.site}/auth/me", initiator=EVIL)


@answer(302)
async def page_for_users(site: Site, patch: pytest.MonkeyPatch) -> Page:
    return await opened(site, "/form", site.new_browser())


@answer(303)
async def login(site: Site, patch: pytest.MonkeyPatch) -> Page:
    return await opened(site, "/auth/login")


@answer(303)
async def callback(site: Site, patch: pytest.MonkeyPatch) -> Page:
    return await site.open_callback(await site.to_the_callback())


@answer(303)
async def logout(site: Site, patch: pytest.MonkeyPatch) -> Page:
    return await site.sign_out(follow=False)


@answer(200)
async def page_of_a_user(site: Site, patch: pytest.MonkeyPatch) -> Page:
    return await opened(site, "/form")


@answer(200)
async def page_for_anybody(site: Site, patch: pytest.MonkeyPatch) -> Page:
    return await opened(site, "/here")


shown = pytest.mark.parametrize(
    ("status", "show"), [pytest.param(*row, id=name) for name, row in SHOWN.items()]
)
everything = pytest.mark.parametrize(
    ("status", "show"), [pytest.param(*row, id=name) for name, row in (SHOWN | TOLD).items()]
)


# -- clickjacking ----------------------------------------------------------------------------------


@shown
async def test_clickjacking(
    site: Site, alice: Browser, status: int, show: Show, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No page of ours can be framed by anybody, in old browsers and new, nor sniffed as script."""
    seen = await show(site, monkeypatch)
    assert seen.status == status
    assert seen.headers["Content-Type"].startswith("text/html")
    assert seen.headers.get_list("X-Frame-Options") == ["DENY"]
    [policy] = seen.headers.get_list("Content-Security-Policy")
    assert "frame-ancestors 'none'" in policy
    assert "base-uri 'none'" in policy
    assert seen.headers["X-Content-Type-Options"] == "nosniff"


async def test_front_channel_page_is_framed_by_its_issuer_alone(site: Site, alice: Browser) -> None:
    """The one page that has to be framed is for the issuer's pages, empty, and without script."""
    site.configure(frontchannel_logout=True)
    path = "/auth/frontchannel-logout?sid=of-nobody&iss="
    seen = await opened(site, path + site.provider.issuer)
    assert (seen.status, seen.body) == (200, b"")
    policy = f"default-src 'none'; frame-ancestors {site.provider.issuer}"
    assert seen.headers["Content-Security-Policy"] == policy
    async with site.nothing_changes():
        for iss in (EVIL, "*", f"{site.provider.issuer} {EVIL}", f"{site.provider.issuer};x", ""):
            refused = await opened(site, path + iss.replace(" ", "%20").replace(";", "%3B"))
            assert refused.status == 400
            assert refused.headers["X-Frame-Options"] == "DENY"
            assert EVIL not in refused.headers["Content-Security-Policy"]


@pytest.mark.parametrize("into", ["iframe", "frame", "embed", "object", "fencedframe", "image"])
async def test_login_begins_in_no_frame(site: Site, into: str) -> None:
    """Another site that loads the login into a part of its page gets no redirect and no cookie."""
    twin = await opened(site, "/auth/login", Sec_Fetch_Dest="document", Sec_Fetch_Site="cross-site")
    assert twin.status == 303
    stranger = site.new_browser()
    async with site.nothing_changes(stranger):
        framed = {"Sec_Fetch_Dest": into, "Sec_Fetch_Site": "cross-site"}
        refused = await opened(site, "/auth/login", stranger, **framed)
        assert refused.status == 403
        assert "Set-Cookie" not in refused.headers


# -- script ----------------------------------------------------------------------------------------

PAYLOADS = {
    "script": "<script>alert(1)</script>",
    "attribute": "\"'><img src=x onerror=alert(1)>",
    "template": "{{ 'pwn'*3 }}{% raw 'pwn'*3 %}${'pwn'*3}",
    "comment": "--><svg/onload=alert(1)><!--",
    "style": "</style><script>alert(1)</script>",
    "title": "</title></textarea><script>alert(1)</script>",
    "wide": "\uff1cscript\uff1ealert(1)\uff1c/script\uff1e",
    "utf7": "+ADw-script+AD4-alert(1)+ADw-/script+AD4-",
}
payloads = pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
in_memory = pytest.mark.parametrize("setting", ["memory"], indirect=True)


class _Elements(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.urls: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.urls += [value or "" for name, value in attrs if name in ("href", "src", "action")]


OURS = {
    *("html", "head", "meta", "title", "style", "body", "main", "h1", "p", "blockquote"),
    *("nav", "a", "form", "input", "button", "footer", "code"),
}


def harmless(seen: Page, payload: str) -> None:
    """The page has our elements alone, and a policy under which no script runs anyway."""
    if not seen.headers.get("Content-Type", "").startswith("text/html"):
        assert seen.headers.get("Content-Type", "application/json").startswith("application/json")
        assert seen.headers["X-Content-Type-Options"] == "nosniff"
        return
    assert "charset=UTF-8" in seen.headers["Content-Type"]
    elements = _Elements(seen.text)
    assert elements.tags <= OURS
    assert not {name for name in elements.attributes if name.startswith("on")}
    assert all(url.startswith(("/", "../", "login")) for url in elements.urls), elements.urls
    policy = seen.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert "script-src" not in policy
    assert not [name for name, value in seen.headers.get_all() if payload in value]
    assert "pwnpwn" not in seen.text


@in_memory
@payloads
@pytest.mark.parametrize("name", ["error", "error_description", "error_uri", "code", "iss", "x"])
async def test_script_in_the_providers_answer(
    site: Site, alice: Browser, name: str, payload: str
) -> None:
    """What a provider says is text: in errors, descriptions, and wherever nobody expects it."""
    sent = parameters_of(await site.to_the_callback())
    if name.startswith("error"):
        sent = {"state": sent["state"], "iss": sent["iss"], "error": "access_denied"}
    seen = await site.open_callback(site.callback_url({**sent, name: payload}))
    assert seen.status in ((303,) if name == "x" else (400, 403))
    harmless(seen, payload)
    assert await site.user() == site.sub()


@in_memory
@payloads
@pytest.mark.parametrize(
    "path",
    [
        "/auth/callback?state=",
        "/auth/login?next=",
        "/auth/login?next=/",
        "/auth/login?provider=",
        "/auth/login?max_age=",
        "/auth/login?acr_values=",
        "/auth/login?login_hint=",
        "/auth/logout?next=/",
        "/auth/logout?next=/?",
        "/auth/logged-out?state=",
        "/auth/frontchannel-logout?sid=1&iss=",
        "/auth/clefstorm.js?x=",
    ],
)
async def test_script_in_the_address(site: Site, alice: Browser, path: str, payload: str) -> None:
    """What stands in a link to us is text, on every page that looks at it."""
    seen = await opened(site, path + quote(payload))
    assert seen.status in (200, 303, 400)
    if path.startswith("/auth/clefstorm.js"):
        assert payload not in seen.text
        return
    harmless(seen, payload)
    assert payload not in seen.headers.get("Location", "")


@in_memory
@payloads
async def test_script_in_claims(site: Site, payload: str) -> None:
    """Names, mails and pictures with markup are JSON for scripts, never a page of ours."""
    account = replace(
        site.provider.account("alice"),
        claims={"name": payload, "picture": payload, "preferred_username": payload},
        email=payload,
    )
    site.provider.accounts["alice"] = account
    assert (await site.sign_in()).text == "here"
    seen = await me(site, pytest.MonkeyPatch())
    assert seen.json()["name"] == payload
    assert seen.headers["Content-Type"] == "application/json; charset=utf-8"
    harmless(seen, payload)
    question = await opened(site, "/auth/logout")
    harmless(question, payload)
    assert payload not in question.text


# -- caches ----------------------------------------------------------------------------------------


@everything
async def test_caches(
    site: Site, alice: Browser, status: int, show: Show, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No cache keeps an answer that may depend on who asks: no-store keeps it out of Back, too."""
    seen = await show(site, monkeypatch)
    assert seen.status == status
    assert seen.headers.get_list("Cache-Control") == ["no-store"]
    assert not {"Expires", "Last-Modified", "Age"} & set(seen.headers)


async def test_what_is_cached_is_the_same_for_everybody(site: Site, alice: Browser) -> None:
    """The script alone may be kept by caches: no cookie comes with it, and no word of the user."""
    hers = await opened(site, "/auth/clefstorm.js")
    anybodys = await opened(site, "/auth/clefstorm.js", site.new_browser())
    assert hers.headers["Cache-Control"].startswith("public")
    assert hers.body == anybodys.body
    assert "Set-Cookie" not in hers.headers
    assert hers.headers["Cross-Origin-Resource-Policy"] == "same-origin"


async def test_a_cache_that_ignores_cookies(site: Site, alice: Browser, mallory: Browser) -> None:
    """An address of ours with a file's name at its end is nothing, so no cache mistakes it."""
    assert site.sub() in (await opened(site, "/auth/me")).text
    for path in ("/auth/me/x.css", "/auth/me;x.js", "/auth/me%2Fx.png", "/auth/me%00.js"):
        seen = await site.browser.fetch(f"{site.site}{path}")
        assert seen.status in (400, 404), path
        assert site.sub() not in seen.text
