"""Clocks 50 seconds apart: the provider's from ours, and those of two processes of ours."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from clef.clef_names import wave_address
from races.held import Gate, looked_at
from races.joined_site import CLIENT_SECRET, Site
from relying_party.conftest import ISSUER, Visitor, Wire
from tornado.httpclient import AsyncHTTPClient

from clefstorm.errors import RequestRefused, SessionEnded
from clefstorm.registry import build_client
from clefstorm.testing import Clock, Page

APART = 50.0

# -- the provider's ----------------------------------------------------------------------------


@pytest.fixture(params=[APART, -APART], ids=["provider_ahead", "we_are_ahead"])
def provider_ahead(request: pytest.FixtureRequest) -> float:
    return float(request.param)


async def test_login_refresh_and_logout(
    site: Site, http_client: AsyncHTTPClient, clock: Clock
) -> None:
    """Nobody is turned away, and a logout works; guarded by the leeway in jwt.check_times."""
    session = await site.sign_in()
    fresh = await site.rp.refresh(session)
    assert fresh.tokens != session.tokens
    polling = site.poll()
    token = await site.provider.logout_token("app", sub=site.sub, sid=site.sid)
    assert (await site.post_logout_token(token, http_client)).code == 200
    assert (await polling).json() == {"state": "signed_out", "reason": "backchannel"}
    await site.provider.end_session(site.provider.sessions[0])
    assert await site.sign_in()
    # And the same token again ends nothing.
    assert (await site.post_logout_token(token, http_client)).code == 200
    assert await site.who() == site.sub


@pytest.mark.parametrize("everywhere", [False, True], ids=["provider", "administrator"])
async def test_logout_of_a_subject_and_logins_around_it(
    site: Site, http_client: AsyncHTTPClient, clock: Clock, everywhere: bool
) -> None:
    """A logout of all of a user ends the login that is under way, and not the one after it.

    The provider's is compared with the id token by the provider's own clock (the tombstone of
    (iss, sub)), an administrator's by no clock at all (create's mark): guarded by
    SQLiteTombstones.refuse and MemorySessionStore._refuse_overtaken and _refuse_tombstoned.
    """
    await site.sign_in()
    callback = await site.walk_to_callback()
    gate = Gate()

    async def held(answer: Any) -> None:
        await gate.hold()

    site.provider.tamper["token"] = held
    opening = asyncio.ensure_future(site.open(callback))
    await gate.reached()
    del site.provider.tamper["token"]
    if everywhere:
        assert await site.rp.revoke_user(site.provider.issuer, site.sub) == 1
    else:
        clock.advance(1)
        token = await site.provider.logout_token("app", sub=site.sub)
        assert (await site.post_logout_token(token, http_client)).code == 200
    gate.open()
    assert (await opening).status == 403
    assert await site.sessions() == []
    assert (await site.open(await site.walk_to_callback())).status == 303
    assert await site.who() == site.sub


async def test_clef_says_no_time(site: Site, clock: Clock) -> None:
    """Clef's logout has no time of its own, so ours is not put in its place: also when our clock
    is set back meanwhile, it ends the login under way. Guarded by ClefProvider.check_logout,
    whose notice has no iat, and by create's mark."""
    provider, browser = site.provider, site.browser
    provider.add_client(
        "clef-app",
        CLIENT_SECRET,
        [f"{site.url}/auth/callback"],
        clef_logout_uri=f"{site.url}/auth/clef-logout",
    )
    options = {
        "provider": "clef",
        "client_id": "clef-app",
        "client_secret": CLIENT_SECRET,
        "redirect_uri": f"{site.url}/auth/callback",
        "api_url": provider.api_url,
    }
    clef = site.add_alias("clef", build_client("clef", options))
    clef.clock = clock

    async def approve() -> Page:
        page = await browser.get(f"{site.url}/auth/login?provider=clef")
        await browser.get(wave_address(page.text), initiator=page)
        return await browser.submit(form="demo-accounts", button="alice", follow=True)

    async def log_out(answer: Any) -> None:
        clock.now -= APART
        deliveries = await provider.sign_out("alice")
        assert [delivery.status for delivery in deliveries] == [200]

    provider.tamper["clef_info"] = log_out
    assert (await approve()).status == 403
    assert await site.who() == "nobody"
    del provider.tamper["clef_info"]
    assert (await approve()).status == 200
    assert await site.who() == str(provider.account("alice").clef_id)


# -- two processes of ours, on one file ----------------------------------------------------------


@pytest.fixture(params=[APART, -APART], ids=["other_ahead", "other_behind"])
def apart(request: pytest.FixtureRequest) -> float:
    return float(request.param)


@pytest.fixture
def other_clock(clock: Clock, apart: float) -> Clock:
    """The clock of the other process; a test that moves one moves both."""
    return Clock(clock() + apart)


@pytest.fixture
def here(make_visitor: Any, open_store: Any, clock: Clock) -> Visitor:
    return make_visitor(open_store(clock), clock=clock)


@pytest.fixture
def there(make_visitor: Any, open_store: Any, other_clock: Clock) -> Visitor:
    return make_visitor(open_store(other_clock), clock=other_clock)


def _same_browser(one: Visitor, other: Visitor) -> None:
    other.cookies = one.cookies


@pytest.mark.parametrize("begun_here", [True, False], ids=["here_to_there", "there_to_here"])
async def test_login_that_one_begins_and_the_other_finishes(
    here: Visitor, there: Visitor, wire: Wire, begun_here: bool
) -> None:
    """A login may come back to the other process, and the session is the same in both; guarded
    by state.check_state, which judges the end of a state and not its beginning."""
    begins, finishes = (here, there) if begun_here else (there, here)
    _same_browser(here, there)
    await finishes.finish(wire.approve(await begins.begin()))
    assert (await begins.session()).sub == (await finishes.session()).sub == "alice"


async def test_logout_that_one_receives_and_the_other_tells(
    here: Visitor, there: Visitor, wire: Wire
) -> None:
    """A logout token that comes there ends the session here, and is told to its tabs.

    Guarded by SQLiteSessionStore._watch, which goes by the order of the revocations and by no
    clock.
    """
    done = await here.sign_in(sid="s1")
    await there.session()  # so that it has had its first look
    with here.relying_party.watch(done.session.key) as tab:
        await here.session()
        assert await there.relying_party.receive_logout(wire.logout_token(sid="s1")) == 1
        assert (await tab.next(timeout=20)).message == {"reason": "backchannel"}


async def test_administrator_there_and_logins_here(
    here: Visitor, there: Visitor, wire: Wire
) -> None:
    """ "Sign out everywhere" there ends the login under way here, and not the next one.

    Guarded by SQLiteTombstones.refuse: create's mark is an order, not a time.
    """
    gate = Gate()
    wire.meanwhile = gate.hold
    signing_in = asyncio.ensure_future(here.sign_in())
    await gate.reached()
    assert await there.relying_party.revoke_user(ISSUER, "alice") == 0
    gate.open()
    with pytest.raises(SessionEnded):
        await signing_in
    assert (await here.sign_in()).session.sub == "alice"


async def test_refresh_here_and_there(here: Visitor, there: Visitor, wire: Wire) -> None:
    """The lease of the one is believed by the other, whatever its clock says: one refresh.

    Guarded by leases.Lease._expires, which leaves room for CLOCKS_APART.
    """
    session = (await here.sign_in()).session
    gate = Gate()
    wire.meanwhile = gate.hold
    refreshing = asyncio.ensure_future(here.relying_party.refresh(session))
    await gate.reached()
    waiting = asyncio.ensure_future(there.relying_party.refresh(session))
    await looked_at(there.relying_party.sessions)
    assert not waiting.done()
    gate.open()
    assert (await refreshing).tokens == (await waiting).tokens
    assert wire.requests == ["authorization_code", "refresh_token"]


async def test_used_state_is_remembered_by_every_clock(
    here: Visitor, there: Visitor, wire: Wire, clock: Clock, other_clock: Clock
) -> None:
    """What the one that is ahead tidies away is not yet acceptable to the one behind.

    Guarded by the CLOCKS_APART in logins.Logins._finish.
    """
    parameters = wire.approve(await here.begin())
    cookies = dict(here.cookies)
    await here.finish(parameters)
    for each in (clock, other_clock):
        each.advance(599)  # the last second of the state, by the clock here
    await there.relying_party.sessions.prune()
    with pytest.raises(RequestRefused) as refused:
        await here.relying_party.finish_login(parameters, cookies=cookies)
    assert refused.value.code == "state_used"


async def test_logout_token_is_remembered_by_every_clock(
    here: Visitor, there: Visitor, wire: Wire, clock: Clock, other_clock: Clock
) -> None:
    """The same for a logout token: sent again, it does not end a session that came later.

    Guarded by the CLOCKS_APART in logouts.Logouts._receive.
    """
    token = wire.logout_token(sub="alice")
    assert await here.relying_party.receive_logout(token) == 0
    for each in (clock, other_clock):
        each.advance(120 + 59)  # within the leeway, by the clock here
    await there.relying_party.sessions.prune()
    await here.sign_in()
    assert await here.relying_party.receive_logout(token) == 0
    assert (await here.session()).sub == "alice"
