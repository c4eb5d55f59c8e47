"""Cookies: sessions fixed before the login, others tossed beside ours, foreign and damaged ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from attacks.site import Site, parameters_of, refused_with
from conformance.stage import shown_code
from tornado.ioloop import IOLoop

from clefstorm.relying_party import RelyingParty
from clefstorm.sessions import MemorySessionStore, session_key
from clefstorm.testing import Browser

OTHER_SECRET = "a secret of another application, 32 bytes or more"


# -- fixation --------------------------------------------------------------------------------------


@pytest.mark.parametrize("planted", ["made_up", "ended", "attackers", "victims_own"])
async def test_session_fixation(site: Site, mallory: Browser, planted: str) -> None:
    """A session cookie that was there before the login is worth nothing after it."""
    name = site.rp.cookies.session
    ids = {"made_up": "x" * 43, "attackers": site.held(mallory, name)[name]}
    if planted in ("ended", "victims_own"):
        assert (await site.sign_in()).text == "here"
        ids[planted] = site.held(site.browser, name)[name]
        if planted == "ended":
            await site.rp.revoke(session_key(ids[planted]))
    site.plant(site.browser, name, ids[planted])
    assert (await site.sign_in()).text == "here"
    fresh = site.held(site.browser, name)[name]
    assert fresh != ids[planted]
    assert len(fresh) == 43
    assert await site.user() == site.sub()
    knows_it = site.new_browser()
    site.plant(knows_it, name, ids[planted])
    assert await site.user(knows_it) is None
    assert (await knows_it.get(f"{site.site}/form", follow=False)).status == 302


async def test_no_session_before_the_login(site: Site) -> None:
    """Nothing but the login gives a browser a session cookie; pages of ours to strangers do not."""
    for path in ("/here", "/auth/me", "/auth/logout", "/auth/logged-out", "/auth/poll"):
        assert (await site.browser.get(site.site + path)).status == 200
    await site.browser.get(site.login_url(), follow=False)
    held = [c.name for c in site.browser.cookies if c.name != "_xsrf"]
    assert len(held) == 1
    assert held[0].startswith(site.rp.cookies.login)
    assert (await site.sign_in()).text == "here"
    assert site.session_cookie is not None


async def test_flags_of_our_cookies(site: Site) -> None:
    """HttpOnly, Lax, the whole host and no other; over https also Secure, by a __Host- name."""
    assert (await site.sign_in()).text == "here"
    start = await site.browser.get(site.login_url(), follow=False)
    done = await site.open_callback(await site.to_the_callback())
    out = await site.sign_out(follow=False)
    lines = [line for page in (start, done, out) for line in page.headers.get_list("Set-Cookie")]
    ours = [line for line in lines if not line.startswith("_xsrf")]
    assert len(ours) >= 4
    for line in ours:
        name, _, rest = line.partition("=")
        flags = {flag.strip().lower() for flag in rest.split(";")[1:]}
        assert {"httponly", "path=/", "samesite=lax"} <= flags, line
        assert not any(flag.startswith("domain") for flag in flags), line
        if site.site.startswith("https:"):
            assert name.startswith("__Host-clefstorm")
            assert "secure" in flags


# -- tossing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "toss",
    [
        pytest.param("{name}={theirs}; {name}={ours}", id="theirs_first"),
        pytest.param("{name}={ours}; {name}={theirs}", id="ours_first"),
        pytest.param("{name}={ours}; a=b; {name}={theirs}; {name}={ours}", id="between"),
        pytest.param("{name}=; {name}={ours}", id="an_empty_one"),
        pytest.param('{name}="{theirs}"; {name}={ours}', id="a_quoted_one"),
        pytest.param("{name}={ours}x; {name}={ours}", id="almost_the_same"),
        pytest.param("{name}={theirs}\t; {name}={ours}", id="white_space"),
        pytest.param("{name} ={theirs};{name}= {ours}", id="spaces_around"),
    ],
)
async def test_tossed_session_cookie(
    site: Site, alice: Browser, mallory: Browser, toss: str
) -> None:
    """Two session cookies of one name are none: nobody is taken for anybody."""
    name = site.rp.cookies.session
    ours, theirs = site.held(alice, name)[name], site.held(mallory, name)[name]

    async def who(cookie: str) -> str | None:
        answer = await site.send("me", "", method="GET", headers={"Cookie": cookie})
        assert "Set-Cookie" not in answer.headers
        sub: str | None = answer.json().get("sub")
        return sub

    assert await who(f"{name}={ours}") == site.sub()
    assert await who(f"a=b; {name}={ours}; {name}={ours}") == site.sub()
    async with site.nothing_changes(mallory):
        assert await who(toss.format(name=name, ours=ours, theirs=theirs)) is None


@pytest.mark.parametrize("path", ["/auth", "/auth/callback", "/here"])
async def test_session_cookie_tossed_for_a_path(site: Site, mallory: Browser, path: str) -> None:
    """The attacker's session, planted for one of our paths, becomes nobody's there."""
    name = site.rp.cookies.session
    site.plant(site.browser, name, site.held(mallory, name)[name], path="/")
    assert (await site.sign_in()).text == "here"
    assert await site.user() == site.sub()
    fresh = site.session_cookie
    if name.startswith("__Host-"):
        theirs = f"{name}={'x' * 43}; Path={path}; Secure"
        site.browser.cookies.receive(site.site, theirs)
        assert [refused.name for refused in site.browser.cookies.refused] == [name]
        assert await site.user() == site.sub()
        return
    mallorys = site.new_browser()
    await site.sign_in("bob", browser=mallorys)
    site.plant(site.browser, name, site.held(mallorys, name)[name], path=path)
    for page in ("/auth/me", "/here", "/auth/callback"):
        sent = site.browser.cookies.header(site.site + page)
        assert sent is not None
        answer = await site.send("me", "", method="GET", headers={"Cookie": sent})
        assert answer.json().get("sub") in (None, site.sub())
    site.browser.cookies.discard(name)
    assert fresh is not None
    site.plant(site.browser, name, fresh)
    assert await site.user() == site.sub()


@pytest.mark.parametrize("order", ["theirs_first", "ours_first", "replaced"])
async def test_tossed_pending_login(
    site: Site, alice: Browser, mallory: Browser, order: str
) -> None:
    """The attacker's login, sealed well, under the name of the victim's, is not the victim's."""
    await site.to_the_callback(mallory)
    [theirs] = site.held(mallory, site.rp.cookies.login).values()
    url = await site.to_the_callback()
    [(name, ours)] = site.held(alice, site.rp.cookies.login).items()
    pairs = {
        "theirs_first": f"{name}={theirs}; {name}={ours}",
        "ours_first": f"{name}={ours}; {name}={theirs}",
        "replaced": f"{name}={theirs}",
    }
    query = "?" + url.partition("?")[2]
    async with site.nothing_changes(mallory):
        page = await site.send(
            "callback",
            "",
            query=query,
            method="GET",
            headers={"Cookie": pairs[order], "Accept": "text/html"},
        )
        refused_with(page, 400)
        assert shown_code(page) == "state_other_browser"
    assert (await site.open_callback(url)).status == 303


async def test_pending_login_tossed_beside_a_good_one(site: Site, alice: Browser) -> None:
    """Rubbish under the beginning of our names breaks off no login."""
    for place in range(20):
        site.plant(alice, f"{site.rp.cookies.login}rubbish{place}", "x" * 50)
    assert (await site.sign_in()).text == "here"
    assert len(site.events("signed_in")) == 2


# -- what another application made -----------------------------------------------------------------


@pytest.fixture
def other(site: Site, io_loop: IOLoop) -> Iterator[RelyingParty]:
    """Another application of the same provider, with a secret and a store of its own."""
    party = RelyingParty(
        site.clients, MemorySessionStore(clock=site.clock), secret=OTHER_SECRET, clock=site.clock
    )
    yield party
    io_loop.run_sync(party.close)


def test_names_differ_by_application(site: Site, other: RelyingParty) -> None:
    """Over http, where ports of one host share their cookies, each application has its names."""
    https = site.site.startswith("https:")
    assert (other.cookies.session == site.rp.cookies.session) == https
    assert (other.cookies.login == site.rp.cookies.login) == https


async def test_session_of_another_application(
    site: Site, alice: Browser, mallory: Browser, other: RelyingParty
) -> None:
    """A session id of another application, its cookie renamed, signs nobody in."""
    start = await other.begin_login(return_to="/here")
    answer = await mallory.get(start.url, initiator=site.site, follow=False)
    done = await other.finish_login(
        list(parameters_of(answer.headers["Location"]).items()),
        cookies={start.cookie_name: start.cookie_value},
    )
    theirs = done.session_id
    assert theirs is not None
    assert await other.session(theirs) is not None
    stranger = site.new_browser()
    site.plant(stranger, site.rp.cookies.session, theirs)
    async with site.nothing_changes(stranger):
        assert await site.user(stranger) is None
        page = await stranger.get(f"{site.site}/form", follow=False)
        assert page.status == 302


async def test_pending_login_of_another_application(
    site: Site, alice: Browser, other: RelyingParty
) -> None:
    """A login that another application began, with state and cookie, is not one of ours."""
    start = await other.begin_login(return_to="/here")
    assert (await site.open_callback(await site.to_the_callback())).status == 303
    answer = await alice.get(start.url, initiator=site.site, follow=False)
    suffix = start.cookie_name.removeprefix(other.cookies.login)
    site.plant(alice, site.rp.cookies.login + suffix, start.cookie_value)
    async with site.nothing_changes():
        page = await site.open_callback(answer.headers["Location"])
        refused_with(page, 400)
        assert shown_code(page) == "state_invalid"


# -- damaged ones ----------------------------------------------------------------------------------

DAMAGE: dict[str, Callable[[str], str]] = {
    "cut": lambda value: value[:-1],
    "longer": lambda value: value + "A",
    "one_letter": lambda value: ("B" if value[0] == "A" else "A") + value[1:],
    "empty": lambda value: "",
    "upper": lambda value: value.swapcase(),
    "doubled": lambda value: value + value,
    "percent": lambda value: "%" + value,
    "null": lambda value: value + "%00",
    "path": lambda value: "../" + value,
    "wildcard": lambda value: "*" * 43,
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
async def test_damaged_session_cookie(
    site: Site, alice: Browser, damage: Callable[[str], str]
) -> None:
    """A session id is right in every letter, or of nobody; the answer is the same as for none."""
    name = site.rp.cookies.session
    value = site.held(alice, name)[name]
    nobody = await site.send("me", "", method="GET")
    async with site.nothing_changes():
        answer = await site.send(
            "me", "", method="GET", headers={"Cookie": f"{name}={damage(value)}"}
        )
        assert (answer.status, answer.body) == (200, nobody.body)
        assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("damage", ["cut", "longer", "one_letter", "empty", "upper"])
async def test_damaged_pending_login(site: Site, alice: Browser, damage: str) -> None:
    """A pending login that was changed in one letter is none."""
    assert (await site.open_callback(await site.to_the_callback())).status == 303
    url = await site.to_the_callback()
    [(name, value)] = site.held(alice, site.rp.cookies.login).items()
    began, dot, sealed = value.partition(".")
    site.plant(alice, name, began + dot + DAMAGE[damage](sealed))
    async with site.nothing_changes():
        page = await site.open_callback(url)
        refused_with(page, 400)
        assert shown_code(page) == "state_other_browser"
    site.plant(alice, name, value)
    assert (await site.open_callback(url)).status == 303
