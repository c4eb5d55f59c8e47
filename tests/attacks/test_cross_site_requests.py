"""Requests that a page of another site causes, to all that a browser's cookie opens.

Every row sends the victim's cookies along, as browsers did before SameSite and as those of a
sister site still do: what is refused here is refused without their help.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from attacks.site import EVIL, HELLO, Site, refused_with, until
from tornado.httpclient import HTTPClientError

from clefstorm.testing import Browser, Page

# {origin}, {host}: the application's own; {scheme}: the other of http and https.
FOREIGN: dict[str, dict[str, str]] = {
    "cross_site": {"Sec-Fetch-Site": "cross-site", "Origin": EVIL},
    "cross_site_without_origin": {"Sec-Fetch-Site": "cross-site"},
    "cross_site_with_our_origin": {"Sec-Fetch-Site": "cross-site", "Origin": "{origin}"},
    "sister_site": {"Sec-Fetch-Site": "same-site", "Origin": "{scheme}://sister.example"},
    "sister_site_without_origin": {"Sec-Fetch-Site": "same-site"},
    "unknown_word": {"Sec-Fetch-Site": "same-origin, cross-site"},
    "empty_word": {"Sec-Fetch-Site": ""},
    "old_browser": {"Origin": EVIL},
    "null": {"Origin": "null"},
    "null_cross_site": {"Sec-Fetch-Site": "cross-site", "Origin": "null"},
    "other_port": {"Origin": "{scheme}://127.0.0.1:1"},
    "no_port": {"Origin": "{scheme}://127.0.0.1"},
    "host_as_prefix": {"Origin": "{origin}.evil.example"},
    "host_as_userinfo": {"Origin": "{origin}@evil.example"},
    "host_as_path": {"Origin": "https://evil.example/{host}"},
    "host_in_fragment": {"Origin": "https://evil.example#{host}"},
    "two_origins": {"Origin": "{origin} https://evil.example"},
    "empty_origin": {"Origin": ""},
    "file": {"Origin": "file://"},
    "extension": {"Origin": "moz-extension://{host}.evil"},
}
foreign = pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)


def filled(site: Site, headers: dict[str, str]) -> dict[str, str]:
    scheme, _, host = site.origin.partition("://")
    return {
        name: value.format(origin=site.origin, host=host, scheme=scheme)
        for name, value in headers.items()
    }


OWN = {
    "same_origin": {"Sec-Fetch-Site": "same-origin", "Origin": "{origin}"},
    "old_browser": {"Origin": "{origin}"},
}
own = pytest.mark.parametrize("headers", OWN.values(), ids=OWN)


async def ask(site: Site, page: str, headers: dict[str, str], **more: Any) -> Page:
    """Send a request with all of Alice's cookies."""
    return await site.send(
        page,
        more.pop("body", ""),
        method=more.pop("method", "GET"),
        headers={"Cookie": site.cookie_header(), **filled(site, headers), **more},
    )


# -- what is read ----------------------------------------------------------------------------------


@own
async def test_own_pages_read(site: Site, alice: Browser, headers: dict[str, str]) -> None:
    """The twin of all below: our own pages are answered, in browsers with fetch metadata or not."""
    assert (await ask(site, "me", headers)).json()["sub"] == site.sub()
    poll = asyncio.ensure_future(ask(site, "poll", headers))
    stream = asyncio.ensure_future(ask(site, "events", headers))
    await until(lambda: site.rp.bus.statistics().subscribers == 2)
    assert (await ask(site, "logout", headers, method="POST", body=xsrf(site))).status == 303
    assert (await poll).json() == {"state": "signed_out", "reason": "logout"}
    assert (await stream).text.endswith('event: logout\ndata: {"reason":"logout"}\n\n')
    assert await site.user() is None


def xsrf(site: Site) -> str:
    """Tornado's field for forms, where the cookie is there already."""
    value = site.browser.cookies.get("_xsrf")
    if value is None:
        value = "2|00000000|" + "0" * 32 + "|1600000000"
        site.plant(site.browser, "_xsrf", value)
    return f"_xsrf={value}"


@foreign
@pytest.mark.parametrize("page", ["me", "poll", "events"])
async def test_other_sites_read_nothing(
    site: Site, alice: Browser, page: str, headers: dict[str, str]
) -> None:
    """Neither who is signed in nor when that ends is told to a page of another site."""
    assert (await ask(site, "me", {})).json()["sub"] == site.sub()
    async with site.nothing_changes():
        answer = await ask(site, page, headers)
        refused_with(answer, 403)
        assert answer.json()["error"] == "cross_site"
        assert site.sub() not in answer.text
        assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize("page", ["me", "poll", "events", "logout", "login", "callback"])
async def test_no_preflight_is_answered(site: Site, alice: Browser, page: str) -> None:
    """No answer of ours carries a word of CORS: other sites' scripts may not ask more than GET."""
    async with site.nothing_changes():
        answer = await ask(
            site,
            page,
            {"Origin": EVIL, "Sec-Fetch-Site": "cross-site"},
            method="OPTIONS",
            **{
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "x-xsrftoken",
            },
        )
        assert answer.status == 405
        assert not [name for name in answer.headers if name.startswith("Access-Control")]


@pytest.mark.parametrize("credentials", ["include", "same-origin"])
@pytest.mark.parametrize("page", ["me", "poll", "events"])
async def test_script_of_another_site(
    site: Site, alice: Browser, page: str, credentials: str
) -> None:
    """The same by a real browser's rules: a fetch from another site's page."""
    twin = await alice.fetch(f"{site.site}/auth/me")
    assert twin.json()["sub"] == site.sub()
    async with site.nothing_changes():
        answer = await alice.fetch(
            f"{site.site}/auth/{page}", initiator=EVIL, credentials=credentials
        )
        refused_with(answer, 403)


# -- what is done ----------------------------------------------------------------------------------


@foreign
async def test_other_sites_sign_nobody_out(
    site: Site, alice: Browser, headers: dict[str, str]
) -> None:
    """A form of another site signs nobody out, even with the right field of Tornado's."""
    body = xsrf(site)
    async with site.nothing_changes():
        answer = await ask(site, "logout", headers, method="POST", body=body)
        refused_with(answer, 403)
    own_page = {"Sec-Fetch-Site": "same-origin"}
    assert (await ask(site, "logout", own_page, method="POST", body=body)).status == 303
    assert await site.user() is None


@pytest.mark.parametrize(
    "body",
    ["", "next=/", "_xsrf=", "_xsrf=x", "_xsrf=2|00000000|" + "1" * 32 + "|1600000000"],
    ids=["none", "other_fields", "empty", "rubbish", "of_somebody_else"],
)
async def test_logout_without_the_field(site: Site, alice: Browser, body: str) -> None:
    """Where a browser says nothing of where a form comes from, the field is what counts."""
    good = xsrf(site)
    async with site.nothing_changes():
        refused_with(await ask(site, "logout", {}, method="POST", body=body), 403)
    assert (await ask(site, "logout", {}, method="POST", body=good)).status == 303
    assert await site.user() is None


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, id="link"),
        pytest.param({"Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}, id="image"),
        pytest.param({"Sec-Fetch-Mode": "cors", "Sec-Fetch-Dest": "empty"}, id="fetch"),
        pytest.param({"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, id="frame"),
        pytest.param({"Sec-Purpose": "prefetch", "Sec-Fetch-Mode": "no-cors"}, id="prefetch"),
        pytest.param({"Accept": "image/*"}, id="old_browsers_image"),
    ],
)
@pytest.mark.parametrize("page", ["logout", "logged-out", "login", "clef-logout"])
async def test_nothing_is_done_by_a_get(
    site: Site, alice: Browser, page: str, headers: dict[str, str]
) -> None:
    """A link, an image, a frame or a prefetch of a page of ours signs nobody out."""
    xsrf(site)
    async with site.nothing_changes():
        await ask(site, page, {"Sec-Fetch-Site": "cross-site", **headers})
        await alice.get(f"{site.site}/auth/{page}", initiator=EVIL, headers=headers, follow=False)
        for name in site.held(alice, site.rp.cookies.login):
            alice.cookies.discard(name)  # a link may begin a login: that is what it is for


async def test_form_of_another_site(site: Site, alice: Browser) -> None:
    """The same by a real browser's rules: a form that posts itself from another site's page."""
    async with site.nothing_changes():
        for page in ("logout", "login", "logged-out", "me"):
            answer = await alice.post(
                f"{site.site}/auth/{page}", {"next": "/"}, initiator=EVIL, follow=False
            )
            assert answer.status in (403, 405)
            assert "Set-Cookie" not in answer.headers
    assert (await site.sign_out()).text == "here"
    assert await site.user() is None


async def test_form_of_the_application(site: Site, alice: Browser) -> None:
    """The application's own forms are under Tornado's two protections, which stay on."""
    form = {"_xsrf": xsrf(site).partition("=")[2]}
    page = f"{site.site}/here"
    async with site.nothing_changes():
        for headers in ({"Origin": EVIL}, {"Sec-Fetch-Site": "cross-site"}):
            sent = {"Sec-Fetch-Site": "same-site", **headers}
            answer = await alice.post(f"{site.site}/form", form, initiator=page, headers=sent)
            assert answer.status == 403
        assert (await alice.post(f"{site.site}/form", {}, initiator=page)).status == 403
    answer = await alice.post(f"{site.site}/form", form, initiator=page)
    assert (answer.status, answer.text) == (200, "saved")


# -- the socket ------------------------------------------------------------------------------------

sockets = pytest.mark.parametrize("setting", ["memory", "memory-tls"], indirect=True)


async def greeted(site: Site, headers: dict[str, str]) -> str:
    """Open the socket, say hello, and answer what came back, or the status that it began with."""
    try:
        async with site.socket(headers) as socket:
            socket.write_message(json.dumps(HELLO))
            text = await socket.read_message()
    except HTTPClientError as refused:
        return f"{refused.code} {refused.response.body.decode()}"
    if text is None:
        return f"closed {socket.close_code} {socket.close_reason}"
    await until(lambda: site.rp.bus.statistics().subscribers == 0)
    return str(json.loads(text)["type"])


@sockets
@own
async def test_own_pages_open_the_socket(
    site: Site, alice: Browser, headers: dict[str, str]
) -> None:
    """The twin: a page of ours is welcome with its user's cookie, and without is nobody."""
    sent = filled(site, headers)
    assert await greeted(site, sent) == "closed 4401 credentials_refused"
    assert await greeted(site, {"Cookie": site.cookie_header(), **sent}) == "welcome"


@sockets
@foreign
async def test_other_sites_open_no_socket(
    site: Site, alice: Browser, headers: dict[str, str]
) -> None:
    """Cross-site WebSocket hijacking: the handshake is refused before a word is exchanged."""
    sent = filled(site, headers)
    async with site.nothing_changes():
        refusal = await greeted(site, {"Cookie": site.cookie_header(), **sent})
        assert refusal.startswith('403 {"error": "cross_site"'), refusal
