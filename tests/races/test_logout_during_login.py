"""A logout at each step of a login, over HTTP, on each store: nothing signed in survives it.

Each row says which line guards it; taken out, the row fails.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest
from races.held import Gate, hold_after, hold_before
from races.joined_site import CLIENT_SECRET, Site
from tornado.httpclient import AsyncHTTPClient

from clefstorm.errors import BusTimeoutError
from clefstorm.providers.provider import LOGIN_LIFETIME
from clefstorm.sessions import LoginSession
from clefstorm.testing import Clock

# -- the steps ---------------------------------------------------------------------------------

Hold = Callable[[Site, Gate], None]

STEPS: dict[str, Hold] = {
    "state_used": lambda site, gate: hold_after(
        site.rp.sessions, "put_once", gate, lambda name: name.startswith("state:")
    ),
    "token": lambda site, gate: site.provider.tamper.__setitem__("token", _held(gate)),
    "userinfo": lambda site, gate: site.provider.tamper.__setitem__("userinfo", _held(gate)),
    "saved": lambda site, gate: hold_after(site.rp.sessions, "create", gate),
    "finished": lambda site, gate: hold_after(site.rp, "finish_login", gate),
}
"""How a login is held: when its state is used, while the token endpoint and then userinfo think
about their answer (the tokens are made already), when its session is saved, and when all is done
but the answer with its cookie."""


def _held(gate: Gate) -> Callable[[Any], Awaitable[None]]:
    async def held(answer: Any) -> None:
        await gate.hold()

    return held


# -- the logouts -------------------------------------------------------------------------------

LogOut = Callable[[Site, LoginSession, AsyncHTTPClient], Awaitable[None]]


async def _own(site: Site, old: LoginSession, http: AsyncHTTPClient) -> None:
    # Not on to the provider: its own logout would end the login as well.
    answer = await site.browser.post(f"{site.url}/auth/logout", follow=False)
    assert answer.status == 303


async def _sid(site: Site, old: LoginSession, http: AsyncHTTPClient) -> None:
    token = await site.provider.logout_token("app", sub=site.sub, sid=site.sid)
    assert (await site.post_logout_token(token, http)).code == 200


async def _sub(site: Site, old: LoginSession, http: AsyncHTTPClient) -> None:
    site.clock.advance(1)  # later than an id token that was made before, by the provider's iat
    token = await site.provider.logout_token("app", sub=site.sub)
    assert (await site.post_logout_token(token, http)).code == 200


async def _frontchannel(site: Site, old: LoginSession, http: AsyncHTTPClient) -> None:
    assert await site.rp.receive_frontchannel_logout(site.provider.issuer, site.sid)


async def _administrator_one(site: Site, old: LoginSession, http: AsyncHTTPClient) -> None:
    assert await site.rp.revoke(old.key)


async def _administrator_all(site: Site, old: LoginSession, http: AsyncHTTPClient) -> None:
    assert await site.rp.revoke_user(site.provider.issuer, site.sub)


# -- the table ---------------------------------------------------------------------------------


@dataclass
class Race:
    """``ends``: "refused" (the login), "dead" (what it saved), or "later": the login came after."""

    log_out: LogOut
    step: str | None
    ends: str
    guard: str


FATE = "endings.Endings.replace and _log_out: the fate that both write, and the first decides"
HEIR = "endings.Endings.was_replaced, asked by logouts.Logouts.log_out"
SID = "the tombstone of (iss, sid): SQLiteTombstones.refuse, MemorySessionStore._refuse_tombstoned"
SUB = "the tombstone of (iss, sub) and iat, in the same two places"
MARK = "create(mark=…): SQLiteTombstones.refuse, MemorySessionStore._refuse_overtaken"
STORE = "revoke in the store, which the new session is in by then"
ALIVE = "logins.Logins._alive: only a session that was alive when the callback came is replaced"
AFTER = "create(mark=…) compares with the mark of the callback, which is newer"


def _race(log_out: LogOut, step: str | None, ends: str, guard: str) -> Any:
    name = log_out.__name__.strip("_")
    return pytest.param(Race(log_out, step, ends, guard), id=f"{name}-{step or 'before'}")


RACES = [
    # Its own browser's: only what is under way by then goes with it.
    _race(_own, None, "later", ALIVE),
    _race(_own, "state_used", "refused", FATE),
    _race(_own, "token", "refused", FATE),
    _race(_own, "userinfo", "refused", FATE),
    _race(_own, "saved", "refused", FATE),
    _race(_own, "finished", "dead", HEIR),
    # The provider's session is over, whenever its id token was issued.
    _race(_sid, None, "refused", SID),
    _race(_sid, "state_used", "refused", SID),
    _race(_sid, "token", "refused", SID),
    _race(_sid, "userinfo", "refused", SID),
    _race(_sid, "saved", "dead", STORE),
    _race(_sid, "finished", "dead", STORE),
    # An id token that the provider issues after this logout is a new login's.
    _race(_sub, None, "later", SUB),
    _race(_sub, "state_used", "later", SUB),
    _race(_sub, "token", "refused", SUB),
    _race(_sub, "userinfo", "refused", SUB),
    _race(_sub, "saved", "dead", STORE),
    _race(_sub, "finished", "dead", STORE),
    # Nobody vouches for it, so it leaves no tombstone: it ends sessions, and what replaces them.
    _race(_frontchannel, None, "later", ALIVE),
    _race(_frontchannel, "state_used", "refused", FATE),
    _race(_frontchannel, "token", "refused", FATE),
    _race(_frontchannel, "userinfo", "refused", FATE),
    _race(_frontchannel, "saved", "refused", FATE),
    _race(_frontchannel, "finished", "dead", STORE),
    _race(_administrator_one, None, "later", ALIVE),
    _race(_administrator_one, "state_used", "refused", FATE),
    _race(_administrator_one, "token", "refused", FATE),
    _race(_administrator_one, "userinfo", "refused", FATE),
    _race(_administrator_one, "saved", "refused", FATE),
    _race(_administrator_one, "finished", "dead", FATE),
    _race(_administrator_all, None, "later", AFTER),
    _race(_administrator_all, "state_used", "refused", MARK),
    _race(_administrator_all, "token", "refused", MARK),
    _race(_administrator_all, "userinfo", "refused", MARK),
    _race(_administrator_all, "saved", "dead", STORE),
    _race(_administrator_all, "finished", "dead", STORE),
]


@pytest.mark.parametrize("race", RACES)
async def test_logout_during_a_login(
    site: Site, race: Race, clock: Clock, http_client: AsyncHTTPClient
) -> None:
    """A browser that is signed in signs in again, and is logged out meanwhile: both sessions are
    over, and the open page of the old one is told. Guarded by what the row says."""
    old = await site.sign_in()
    polling = site.poll()
    callback = await site.walk_to_callback()
    if race.step is None:
        await race.log_out(site, old, http_client)
        answer = await site.open(callback)
    else:
        gate = Gate()
        STEPS[race.step](site, gate)
        opening = asyncio.ensure_future(site.open(callback))
        await gate.reached()
        await race.log_out(site, old, http_client)
        gate.open()
        answer = await opening
    assert (await polling).json()["state"] == "signed_out"
    assert await site.rp.read_session(old.key) is None
    assert answer.status == (403 if race.ends == "refused" else 303)
    if race.ends == "later":
        assert len(await site.sessions()) == 1
        assert await site.who() == site.sub
    else:
        assert await site.sessions() == []
        assert await site.who() == "nobody"
        # And whoever signs in anew is let in; by a sid that ended only the provider's new session.
        clock.advance(1)
        await site.provider.end_session(site.provider.sessions[0])
        assert (await site.sign_in()).sub == site.sub


async def test_provider_is_faster_than_the_callback(site: Site) -> None:
    """The provider's own back-channel logout arrives before the callback has answered: 200 to the
    provider, and to the browser no session. Guarded by the tombstone of (iss, sid)."""
    await site.sign_in()
    callback = await site.walk_to_callback()

    async def end(answer: Any) -> None:
        del site.provider.tamper["userinfo"]
        (delivery,) = await site.provider.end_session(site.provider.sessions[0])
        assert delivery.status == 200

    site.provider.tamper["userinfo"] = end
    answer = await site.open(callback)
    assert (answer.status, await site.sessions()) == (403, [])
    assert "Set-Cookie" not in answer.headers
    assert await site.who() == "nobody"


@pytest.mark.parametrize("answered", [(0, 1), (1, 0)], ids=["in_order", "crossing"])
async def test_two_tabs_sign_in_at_once(site: Site, answered: tuple[int, int]) -> None:
    """Two callbacks of one browser at the same time: both tabs get in, the session that the
    browser had before has ended once, and a logout finds the session that the browser holds.

    Guarded by pending.PendingLogins.cookie_name (a cookie for each login) and by
    endings.Endings.replace, for which another login is no logout.
    """
    old = await site.sign_in()
    polling = site.poll()
    callbacks = [await site.walk_to_callback() for _ in answered]
    gates, waiting = [Gate(), Gate()], iter((0, 1))

    async def held(answer: Any) -> None:
        await gates[next(waiting)].hold()

    site.provider.tamper["token"] = held
    tabs = []
    for callback, gate in zip(callbacks, gates, strict=True):
        tabs.append(asyncio.ensure_future(site.open(callback)))
        await gate.reached()
    for tab in answered:
        gates[tab].open()
        assert (await tabs[tab]).status == 303
    assert (await polling).json() == {"state": "signed_out", "reason": "replaced"}
    assert await site.rp.read_session(old.key) is None
    holds = await site.session()
    assert holds is not None
    assert await site.who() == site.sub
    await site.browser.post(f"{site.url}/auth/logout", follow=False)
    assert await site.who() == "nobody"
    assert await site.rp.read_session(holds.key) is None


@pytest.mark.parametrize("log_out", [_own, _administrator_one], ids=["own", "administrator"])
@pytest.mark.parametrize("done", [1, 2], ids=["one_finished", "both_finished"])
async def test_logout_while_two_tabs_sign_in(
    site: Site, log_out: LogOut, done: int, http_client: AsyncHTTPClient
) -> None:
    """Two callbacks of one browser, and a logout of the session that it still holds, when one or
    both are finished and neither has answered: nothing signed in is left, whichever was first.

    Guarded by endings.Endings._fate, which keeps every heir and takes none after a logout.
    """
    old = await site.sign_in()
    callbacks = [await site.walk_to_callback() for _ in (0, 1)]
    asked, answering = [Gate(), Gate()], [Gate(), Gate()]
    to_ask, to_answer = iter(asked), iter(answering)
    site.provider.tamper["token"] = lambda answer: next(to_ask).hold()
    finish_login = site.rp.finish_login

    async def held(*args: Any, **options: Any) -> Any:
        finished = await finish_login(*args, **options)
        await next(to_answer).hold()
        return finished

    site.rp.finish_login = held  # type: ignore[method-assign]
    tabs = []
    for callback, gate in zip(callbacks, asked, strict=True):
        tabs.append(asyncio.ensure_future(site.open(callback)))
        await gate.reached()
    for tab in range(done):
        asked[tab].open()
        await answering[tab].reached()
    await log_out(site, old, http_client)
    for gate in (*asked, *answering):
        gate.open()
    statuses = [(await tab).status for tab in tabs]
    assert statuses == ([303, 403] if done == 1 else [303, 303])
    assert await site.sessions() == []
    assert await site.who() == "nobody"


async def test_heirs_that_come_at_the_same_moment(site: Site) -> None:
    """However many tabs finish at once, a logout finds every session that they opened.

    Guarded by the compare-and-set of endings.Endings._fate.
    """
    old, endings = await site.sign_in(), site.rp._endings
    heirs = {f"heir-{number}" for number in range(9)}
    await asyncio.gather(*(endings._fate(old.key, heir) for heir in heirs))
    found = await endings._fate(old.key, "")
    assert found is not None
    assert set(found.split()) == heirs
    assert await endings._fate(old.key, "too-late") == ""


async def test_a_fate_that_expires_while_it_is_read(site: Site, clock: Clock) -> None:
    """What was written down so long ago that it is forgotten binds nobody.

    Guarded by endings.Endings._fate, which begins anew then.
    """
    old, endings, store = await site.sign_in(), site.rp._endings, site.rp.sessions
    assert await endings._fate(old.key, "first") is None
    clock.advance(1)
    peek = store.peek

    async def late(name: str) -> str | None:
        clock.advance(LOGIN_LIFETIME - 0.5)
        store.peek = peek  # type: ignore[method-assign]
        return await peek(name)

    store.peek = late  # type: ignore[method-assign]
    assert await endings._fate(old.key, "second") is None
    assert await endings._fate(old.key, "") == "second"


async def test_an_old_id_is_worth_nothing_of_the_next_user(
    site: Site, http_client: AsyncHTTPClient
) -> None:
    """Who noted the session id of a shared machine's browser gets nothing of who signs in there
    next, and doesn't sign them out; of the same user's next session, nothing but its end.

    Guarded by logouts.Logouts.log_out, for which a session that is over has no id token, and by
    endings.Endings.replace, for which another user's session is no heir.
    """

    async def post(cookie: str) -> str:
        answer = await http_client.fetch(
            f"{site.url}/auth/logout",
            method="POST",
            body="",
            headers={"Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"},
            follow_redirects=False,
            raise_error=False,
        )
        assert answer.code == 303
        return answer.headers["Location"]

    def cookie() -> str:
        held = site.browser.cookies.header(site.url, same_site=True, safe_navigation=True)
        assert held is not None
        return held

    # Without a back channel, by which the provider would end Bob's session before Alice's begins.
    site.provider.add_client("app", CLIENT_SECRET, [f"{site.url}/auth/callback"])
    login = f"{site.url}/auth/login"
    await site.browser.sign_in(site.provider, "bob", login)
    of_bob = cookie()
    await site.browser.sign_in(site.provider, "alice", f"{login}?prompt=login")
    assert await post(of_bob) == "/"
    assert await site.who() == site.sub
    older = cookie()
    await site.browser.sign_in(site.provider, "alice", f"{login}?prompt=login")
    assert await post(older) == "/"
    assert await site.who() == "nobody"
    await site.sign_in()
    assert "id_token_hint=" in await post(cookie())


async def test_one_callback_twice_at_once(site: Site) -> None:
    """The same callback in two tabs at the same time: the state serves one of them.

    Guarded by the put_once in logins.Logins._finish.
    """
    await site.sign_in()
    callback = await site.walk_to_callback()
    gate = Gate()
    site.provider.tamper["token"] = _held(gate)
    tab = asyncio.ensure_future(site.open(callback))
    await gate.reached()
    again = await site.open(callback)
    gate.open()
    assert ((await tab).status, again.status) == (303, 400)
    assert "state_used" in again.text
    assert [request.error for request in site.provider.requests if request.path == "/token"] == [
        None,
        None,
    ]
    assert len(await site.sessions()) == 1


async def test_logout_that_died_halfway_is_finished_by_the_next_login(site: Site) -> None:
    """A process that ends after it has written the fate of a session and before it revoked: the
    next login is refused once, as overtaken, and ends the session; the one after it goes well.

    Guarded by endings.Endings.replace, which revokes also when a logout was first.
    """
    old = await site.sign_in()
    endings = site.rp._endings
    await endings._fate(old.key, "")
    assert (await site.open(await site.walk_to_callback())).status == 403
    assert await site.sessions() == []
    assert (await site.open(await site.walk_to_callback())).status == 303
    assert await site.who() == site.sub


@pytest.mark.parametrize("second", [_own, _sid, _administrator_all], ids=lambda f: f.__name__)
async def test_two_logouts_at_once(
    site: Site, http_client: AsyncHTTPClient, second: LogOut
) -> None:
    """A logout that another overtakes is answered as if it had been first; the session has ended
    once, for the first reason, and was told once. Guarded by the stores' revoke, which returns
    what this call has ended, and by endings.Endings._end, which rings for that alone."""
    session = await site.sign_in()
    heard: list[str] = []
    site.rp.listeners.append(
        lambda happening: (
            heard.append(happening.facts["reason"]) if happening.event == "signed_out" else None
        )
    )
    gate, revoke = Gate(), site.rp.sessions.revoke
    hold_before(site.rp.sessions, "revoke", gate)
    first = asyncio.ensure_future(site.browser.post(f"{site.url}/auth/logout", follow=False))
    await gate.reached()
    site.rp.sessions.revoke = revoke  # type: ignore[method-assign]
    with site.rp.watch(session.key) as tab:
        await second(site, session, http_client)
        gate.open()
        assert (await first).status == 303
        reason = (await tab.next(timeout=20)).message["reason"]
        with pytest.raises(BusTimeoutError):
            await tab.next(timeout=0)
    assert heard == [reason]
    assert await site.sessions() == []
    # And one more, of nobody.
    await _own(site, session, http_client)


@pytest.mark.parametrize("poll_hold", [0.01])
async def test_logout_between_two_polls(site: Site, poll_hold: float) -> None:
    """A logout that is told while nobody waits is known to the next poll.

    Guarded by live.LiveHandler.get and live.end_of_session: both ask the store (law 1).
    """
    session = await site.sign_in()
    assert (await site.poll()).json()["state"] == "signed_in"
    await site.rp.revoke(session.key, reason="backchannel")
    assert (await site.poll()).json()["state"] == "signed_out"


@pytest.mark.parametrize("path", ["poll", "events"])
async def test_logout_between_the_look_and_the_wait(site: Site, path: str) -> None:
    """A logout after a page's connection has read the store and before it waits is not lost.

    Guarded by live.LiveHandler.get: it registers on the bus before it reads (law 1).
    """
    session = await site.sign_in()
    gate = Gate()
    hold_after(site.rp, "read_session", gate)
    asking = asyncio.ensure_future(site.browser.fetch(f"{site.url}/auth/{path}"))
    await gate.reached()
    await site.rp.revoke(session.key, reason="backchannel")
    gate.open()
    assert '"reason":"backchannel"' in (await asking).text.replace(" ", "")
