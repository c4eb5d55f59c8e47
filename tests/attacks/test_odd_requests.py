"""Requests that say something in an odd place: methods, hosts, queries, types, repetitions."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from attacks.site import EVIL, Site, parameters_of, refused_with
from conformance.stage import FORM, shown_code

from clefstorm.testing import Browser, Page

in_memory = pytest.mark.parametrize("setting", ["memory"], indirect=True)

NAVIGATION = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "same-origin"}


async def ask(site: Site, page: str, **more: Any) -> Page:
    """Send a request of the browser at the stage, with its cookies."""
    headers = {**NAVIGATION, "Cookie": site.cookie_header(), **more.pop("headers", {})}
    return await site.send(page, more.pop("body", ""), headers=headers, **more)


def xsrf(site: Site) -> str:
    """The value of Tornado's cookie and field."""
    value = "2|00000000|" + "0" * 32 + "|1600000000"
    site.plant(site.browser, "_xsrf", value)
    return value


# -- methods ---------------------------------------------------------------------------------------

ROUTES = {
    "login": {"GET"},
    "callback": {"GET", "POST"},
    "logout": {"GET", "POST"},
    "logged-out": {"GET"},
    "backchannel-logout": {"POST"},
    "frontchannel-logout": {"GET"},
    "clef-logout": {"POST"},
    "poll": {"GET"},
    "events": {"GET"},
    "me": {"GET"},
    "bus": {"GET"},
    "clefstorm.js": {"GET", "HEAD"},
}
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW")


def test_every_route_is_asked(site: Site) -> None:
    """The table above has all that is mounted."""
    mounted = [path for path, _ in site.routes() if path.startswith("/auth/")]
    assert {path.rpartition("/")[2].replace("\\", "") for path in mounted} == set(ROUTES)


@in_memory
@pytest.mark.parametrize("page", ROUTES)
async def test_methods(site: Site, alice: Browser, page: str) -> None:
    """What is no method of a page does nothing there, whatever good things it brings along."""
    token = await site.provider.logout_token("app", sub=site.sub(), sid=await site.sid())
    good = {"iss": site.provider.issuer, "sid": await site.sid(), "logout_token": token}
    login = parameters_of(await site.to_the_callback())
    text = urlencode(good if page != "callback" else login)
    field = f"&_xsrf={xsrf(site)}"
    for method in METHODS:
        if method in ROUTES[page]:
            continue
        async with site.nothing_changes():
            answer = await ask(site, page, method=method, query=f"?{text}", body=text + field)
            refused_with(answer, 405)
            if method != "BREW":
                assert set(answer.headers["Allow"].split(", ")) == ROUTES[page]
    assert (await site.open_callback(site.callback_url(login))).status == 303
    assert (await site.post_logout_token(token)).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"X-HTTP-Method-Override": "POST"},
        {"X-Method-Override": "POST"},
        {"X-HTTP-Method": "POST"},
        {},
    ],
    ids=["override", "method_override", "method", "field"],
)
async def test_method_overrides(site: Site, alice: Browser, headers: dict[str, str]) -> None:
    """A GET that calls itself a POST is a GET."""
    field = xsrf(site)
    async with site.nothing_changes():
        query = f"?_method=POST&_xsrf={field}&next=/"
        answer = await ask(site, "logout", method="GET", query=query, headers=headers)
        assert (answer.status, "Sign out?" in answer.text) == (200, True)
    assert (await ask(site, "logout", body=f"_xsrf={field}")).status == 303
    assert await site.user() is None


# -- hosts -----------------------------------------------------------------------------------------

HOSTS: dict[str, dict[str, str]] = {
    "host": {"Host": "evil.example"},
    "host_and_port": {"Host": "evil.example:443"},
    "forwarded_host": {"X-Forwarded-Host": "evil.example"},
    "forwarded": {"Forwarded": "host=evil.example;proto=https;for=6.6.6.6"},
    "forwarded_proto": {"X-Forwarded-Proto": "https", "X-Scheme": "https"},
    "forwarded_for": {"X-Forwarded-For": "6.6.6.6", "X-Real-IP": "6.6.6.6"},
    "forwarded_prefix": {"X-Forwarded-Prefix": "//evil.example", "X-Script-Name": "//evil"},
    "original_url": {"X-Original-URL": "/auth/logout", "X-Rewrite-URL": "/auth/logout"},
}


@in_memory
@pytest.mark.parametrize("headers", HOSTS.values(), ids=HOSTS)
async def test_host_headers(
    site: Site,
    alice: Browser,
    headers: dict[str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Without xheaders no header says who we are, or who is asking: what is configured counts."""
    twin = await ask(site, "login", method="GET", query="?next=/here")
    assert twin.status == 303
    for page, query in (("login", "?next=/here"), ("logout", "?next=/here"), ("logged-out", "")):
        answer = await ask(site, page, method="GET", query=query, headers=headers)
        assert "evil" not in answer.headers.get("Location", "") + answer.text
        for line in answer.headers.get_list("Set-Cookie"):
            assert "evil" not in line
            assert "Secure" not in line
        if page == "login":
            sent = parameters_of(answer.headers["Location"])
            assert sent["redirect_uri"] == f"{site.site}/auth/callback"
    url = urlsplit(await site.to_the_callback())
    answer = await ask(site, "callback", method="GET", query=f"?{url.query}", headers=headers)
    assert (answer.status, answer.headers["Location"]) == (303, "/here")
    bad = await ask(site, "callback", method="GET", headers=headers)
    assert bad.status == 400
    assert "6.6.6.6" not in caplog.text


@in_memory
async def test_host_of_the_attacker_is_no_origin_of_ours(site: Site, alice: Browser) -> None:
    """An Origin that matches what X-Forwarded-Host claims is still another site's."""
    field = f"_xsrf={xsrf(site)}"
    headers = {"X-Forwarded-Host": "evil.example", "Origin": EVIL, "Cookie": site.cookie_header()}
    async with site.nothing_changes():
        refused_with(await site.send("me", "", method="GET", headers=headers), 403)
        refused_with(await site.send("logout", field, headers=headers), 403)
    own = {**headers, "Origin": site.origin}
    assert (await site.send("logout", field, headers=own)).status == 303


@pytest.mark.parametrize("setting", ["memory-tls"], indirect=True)
async def test_an_http_page_of_our_host_is_foreign(site: Site, alice: Browser) -> None:
    """Over https an Origin of plain http with our own host is the network's, not ours."""
    cookie = {"Cookie": site.cookie_header()}
    own = await site.send("me", "", method="GET", headers={**cookie, "Origin": site.origin})
    assert own.json()["sub"] == site.sub()
    http = site.origin.replace("https:", "http:")
    async with site.nothing_changes():
        refused_with(
            await site.send("me", "", method="GET", headers={**cookie, "Origin": http}), 403
        )


# -- where a parameter stands ----------------------------------------------------------------------


async def test_logout_token_in_the_query(site: Site, alice: Browser) -> None:
    """A logout token counts in the body of a POST alone, where no log and no Referer has it."""
    token = await site.provider.logout_token("app", sub=site.sub())
    form = urlencode({"logout_token": token})
    async with site.nothing_changes():
        refused_with(await site.send("backchannel-logout", "", query=f"?{form}"), 400)
        refused_with(await site.send("backchannel-logout", "a=1", query=f"?{form}"), 400)
        refused_with(await site.send("backchannel-logout", "", query=f"?{form}", method="GET"), 405)
        cookie = {"Cookie": form}
        refused_with(await site.send("backchannel-logout", "a=1", headers=cookie), 400)
    assert (await site.send("backchannel-logout", form)).status == 200
    assert await site.user() is None


async def test_callback_of_two_halves(site: Site, alice: Browser) -> None:
    """A POST's callback is its form, a GET's is its query: neither is made up from the other."""
    sent = parameters_of(await site.to_the_callback())
    state, rest = {"state": sent.pop("state")}, sent
    async with site.nothing_changes(writes=1):  # the second of them used the state up
        for query, body, code in (
            (state, rest, "state_missing"),
            (rest, state, "iss_missing"),
            ({**state, **rest}, {}, "state_missing"),
        ):
            page = await ask(site, "callback", query=f"?{urlencode(query)}", body=urlencode(body))
            refused_with(page, 400)
            assert shown_code(page) == code
    assert (await site.open_callback(await site.to_the_callback())).status == 303


TYPES = [
    pytest.param("text/plain", id="text"),
    pytest.param("application/json", id="json"),
    pytest.param("multipart/form-data; boundary=b", id="multipart"),
    pytest.param("application/x-www-form-urlencoded-not", id="almost"),
    pytest.param("application/xml", id="xml"),
    pytest.param("", id="none"),
    pytest.param("text/plain, application/x-www-form-urlencoded", id="two"),
    pytest.param("application/x-www-form-urlencoded, text/plain", id="two_the_other_way"),
]


@pytest.mark.parametrize("content_type", TYPES)
async def test_content_types(site: Site, alice: Browser, content_type: str) -> None:
    """What is no form does nothing: the types that other sites may send unasked are not read."""
    field = xsrf(site)
    token = await site.provider.logout_token("app", sub=site.sub())
    login = parameters_of(await site.to_the_callback())
    bodies = {
        "logout": f"_xsrf={field}",
        "backchannel-logout": urlencode({"logout_token": token}),
        "callback": urlencode(login),
        "clef-logout": "logout_token=x",
    }
    async with site.nothing_changes():
        for page, body in bodies.items():
            refused_with(await ask(site, page, body=body, content_type=content_type), 415)
    good = await ask(site, "callback", body=bodies["callback"], content_type=f"{FORM} ;charset=x")
    assert good.status == 303
    again = await ask(site, "backchannel-logout", body=bodies["backchannel-logout"])
    assert again.status == 200


# -- repetitions -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["state", "code", "iss"])
@pytest.mark.parametrize("other", ["same", "other", "empty", "before"])
async def test_polluted_callback(site: Site, alice: Browser, name: str, other: str) -> None:
    """A parameter that stands twice is none, whichever a reader would have believed."""
    sent = parameters_of(await site.to_the_callback())
    extra = (name, {"same": sent[name], "empty": ""}.get(other, "x"))
    pairs = [extra, *sent.items()] if other == "before" else [*sent.items(), extra]
    async with site.nothing_changes(writes=0 if name == "state" else 1):
        page = await site.open_callback(f"{site.site}/auth/callback?{urlencode(pairs)}")
        refused_with(page, 400)
        assert shown_code(page) == "parameter_repeated"
    assert (await site.open_callback(await site.to_the_callback())).status == 303


@pytest.mark.parametrize(
    "query",
    [
        "next=/here&next=//evil.example",
        "next=//evil.example&next=/here",
        "next=/here&next=/here",
        "provider=default&provider=second",
        "prompt=none&prompt=login",
        "max_age=1&max_age=2",
        "acr_values=a&acr_values=b",
    ],
)
async def test_polluted_login(site: Site, query: str) -> None:
    """The same at the login page: nothing is begun."""
    assert (await site.sign_in()).text == "here"
    async with site.nothing_changes():
        page = await site.browser.get(f"{site.site}/auth/login?{query}", follow=False)
        refused_with(page, 400)
        assert shown_code(page) == "parameter_repeated"


@pytest.mark.parametrize(
    ("page", "body"),
    [
        pytest.param("logout", "next=/&next=/&_xsrf={xsrf}", id="next"),
        pytest.param("logout", "_xsrf={xsrf}&_xsrf={xsrf}", id="xsrf"),
        pytest.param("backchannel-logout", "logout_token={token}&logout_token={token}", id="same"),
        pytest.param("backchannel-logout", "logout_token=x&logout_token={token}", id="other"),
        pytest.param("backchannel-logout", "logout_token={token}&logout_token=", id="empty"),
        pytest.param("backchannel-logout", "logout_token[]={token}", id="brackets"),
        pytest.param("backchannel-logout", "a=1;logout_token={token}", id="semicolon"),
        pytest.param("backchannel-logout", "LOGOUT_TOKEN={token}", id="upper"),
        pytest.param("backchannel-logout", "logout_token%00={token}", id="null"),
        pytest.param("backchannel-logout", "+logout_token={token}", id="space"),
        pytest.param("backchannel-logout", "a&" * 101 + "logout_token={token}", id="flood"),
    ],
)
async def test_polluted_forms(site: Site, alice: Browser, page: str, body: str) -> None:
    """The same in forms, and for names that are only almost the right one."""
    token = await site.provider.logout_token("app", sub=site.sub())
    text = body.format(xsrf=xsrf(site), token=token)
    async with site.nothing_changes():
        refused_with(await ask(site, page, body=text), 400)
    assert (await site.send("backchannel-logout", f"logout_token={token}&a=1&a=2")).status == 200
    assert await site.user() is None


async def test_polluted_front_channel(site: Site, alice: Browser) -> None:
    """And in the frame of the front-channel logout."""
    site.configure(frontchannel_logout=True)
    good = urlencode({"iss": site.provider.issuer, "sid": await site.sid()})
    page = "frontchannel-logout"
    async with site.nothing_changes():
        for extra in ("&sid=x", "&sid=", "&iss=https://evil.example"):
            refused_with(await ask(site, page, method="GET", query=f"?{good}{extra}"), 400)
    assert (await ask(site, page, method="GET", query=f"?{good}")).status == 200
    assert await site.user() is None
