"""Races of a refresh, on each store: one call to the provider, and nothing raised from the dead."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from races.held import Gate, hold_before, looked_at
from relying_party.conftest import ISSUER, Visitor, Wire

from clefstorm.errors import (
    ConnectFailed,
    DeadlineExceeded,
    ProtocolViolation,
    SessionEnded,
    StoreUnavailable,
    TokenRefused,
)
from clefstorm.relying_party.leases import Lease
from clefstorm.sessions import LoginSession, SessionStore
from clefstorm.testing import Clock

EXPIRED = 300


@pytest.fixture
def another_process(
    make_visitor: Any, store: SessionStore, open_store: Any, clock: Clock
) -> Visitor:
    """A relying party of another process: on the same file, or else on the same store."""
    shared = store if "Memory" in type(store).__name__ else open_store(clock)
    return make_visitor(shared)


# -- one of them -------------------------------------------------------------------------------


async def test_two_refreshes(visitor: Visitor, another_process: Visitor, wire: Wire) -> None:
    """Of two processes one calls the provider; the other waits, and takes what it brought.

    Guarded by leases.Lease.take.
    """
    session = (await visitor.sign_in()).session
    gate = Gate()
    wire.meanwhile = gate.hold
    first = asyncio.ensure_future(visitor.relying_party.refresh(session))
    await gate.reached()
    second = asyncio.ensure_future(another_process.relying_party.refresh(session))
    await looked_at(another_process.relying_party.sessions)
    gate.open()
    assert (await first).tokens == (await second).tokens
    assert wire.requests == ["authorization_code", "refresh_token"]


async def test_a_refresh_that_ended_between_look_and_lease(
    visitor: Visitor, another_process: Visitor, wire: Wire
) -> None:
    """Who gets the lease just after another has finished does not call again.

    Guarded by refreshing.Refresher._once, which reads again under its lease.
    """
    session = (await visitor.sign_in()).session
    gate = Gate()
    hold_before(another_process.relying_party.sessions, "peek", gate)
    late = asyncio.ensure_future(another_process.relying_party.refresh(session))
    await gate.reached()
    if visitor.relying_party.sessions is another_process.relying_party.sessions:
        del visitor.relying_party.sessions.peek  # one store: hold the late one alone
    fresh = await visitor.relying_party.refresh(session)
    gate.open()
    assert (await late).tokens == fresh.tokens
    assert wire.requests == ["authorization_code", "refresh_token"]


# -- and a logout ------------------------------------------------------------------------------

LogOut = Callable[[Visitor, LoginSession], Awaitable[Any]]

LOGOUTS: dict[str, LogOut] = {
    "own": lambda visitor, session: visitor.relying_party.log_out(visitor.session_id),
    "sid": lambda visitor, session: visitor.relying_party.receive_logout(
        visitor.wire.logout_token(sid="s1")
    ),
    "sub": lambda visitor, session: visitor.relying_party.receive_logout(
        visitor.wire.logout_token(sub="alice")
    ),
    "administrator": lambda visitor, session: visitor.relying_party.revoke(session.key),
    "everywhere": lambda visitor, session: visitor.relying_party.revoke_user(ISSUER, "alice"),
}


@pytest.mark.parametrize("step", ["during_the_call", "before_the_save"])
@pytest.mark.parametrize("log_out", LOGOUTS.values(), ids=LOGOUTS)
async def test_logout_during_a_refresh(
    visitor: Visitor, wire: Wire, log_out: LogOut, step: str
) -> None:
    """A refresh does not write back a session that was logged out meanwhile; whoever waited hears
    SessionEnded. Guarded by SQLiteRows.save and MemorySessionStore.save: only what is alive."""
    session = (await visitor.sign_in(sid="s1")).session
    gate = Gate()
    if step == "during_the_call":
        wire.meanwhile = gate.hold
    else:
        hold_before(visitor.relying_party.sessions, "save", gate)
    refreshing = asyncio.ensure_future(visitor.relying_party.refresh(session))
    await gate.reached()
    wire.meanwhile = None
    assert await log_out(visitor, session)
    gate.open()
    with pytest.raises(SessionEnded):
        await refreshing
    assert await visitor.session() is None
    assert await visitor.relying_party.sessions.list_sub(ISSUER, "alice") == []


async def test_logout_while_waiting_for_the_lease(
    visitor: Visitor, another_process: Visitor, wire: Wire
) -> None:
    """Who waits for another's refresh does not wait for a session that has ended meanwhile.

    Guarded by refreshing.Refresher._read, at each look.
    """
    session = (await visitor.sign_in()).session
    gate = Gate()
    wire.meanwhile = gate.hold
    first = asyncio.ensure_future(visitor.relying_party.refresh(session))
    await gate.reached()
    waiting = asyncio.ensure_future(another_process.relying_party.refresh(session))
    await looked_at(another_process.relying_party.sessions)
    assert await visitor.relying_party.revoke(session.key)
    with pytest.raises(SessionEnded):
        await waiting
    gate.open()
    with pytest.raises(SessionEnded):
        await first


async def test_logout_between_two_saves_of_data(visitor: Visitor) -> None:
    """The application's data, saved over a refresh, does not bring back a session that was logged
    out before the second try. Guarded by the look in party.RelyingParty.set_data."""
    session = (await visitor.sign_in()).session
    await visitor.relying_party.refresh(session)
    store, gate = visitor.relying_party.sessions, Gate()
    hold_before(store, "read", gate)
    saving = asyncio.ensure_future(visitor.relying_party.set_data(session, {"theme": "dark"}))
    await gate.reached()
    assert await visitor.relying_party.revoke(session.key)
    gate.open()
    with pytest.raises(SessionEnded):
        await saving
    assert await visitor.session() is None


# -- a lease that was lost ---------------------------------------------------------------------


async def _lose_lease(store: SessionStore, session: LoginSession) -> None:
    """As it is when its holder stood still for so long that it was taken for dead."""
    assert await store.take(f"refresh:{session.key}")


async def test_refused_after_another_was_faster(
    visitor: Visitor, another_process: Visitor, wire: Wire
) -> None:
    """Who stood still and comes too late to the provider does not end a session whose tokens
    another has refreshed. Guarded by the look at current.tokens in refreshing.Refresher._call."""
    session = (await visitor.sign_in()).session
    gate = Gate()
    wire.meanwhile = gate.hold
    slow = asyncio.ensure_future(visitor.relying_party.refresh(session))
    await gate.reached()
    wire.meanwhile = None
    await _lose_lease(visitor.relying_party.sessions, session)
    fresh = await another_process.relying_party.refresh(session)
    gate.open()
    assert (await slow).tokens == fresh.tokens
    assert (await visitor.session()).tokens == fresh.tokens


async def test_late_save_does_not_replace_newer_tokens(
    visitor: Visitor, another_process: Visitor, wire: Wire
) -> None:
    """Who stood still with tokens in hand does not write them over those that came later, from a
    provider that accepts an old refresh token for a while. Guarded by refreshing._save."""
    session = (await visitor.sign_in()).session
    spent = dict(wire.refresh_tokens)
    store = visitor.relying_party.sessions
    gate, save = Gate(), store.save
    hold_before(store, "save", gate)
    slow = asyncio.ensure_future(visitor.relying_party.refresh(session))
    await gate.reached()
    store.save = save  # type: ignore[method-assign]
    await _lose_lease(store, session)
    wire.refresh_tokens.update(spent)
    fresh = await another_process.relying_party.refresh(session)
    gate.open()
    assert (await slow).tokens == fresh.tokens
    assert (await visitor.session()).tokens == fresh.tokens
    assert wire.requests == ["authorization_code", "refresh_token", "refresh_token"]


# -- a store that fails --------------------------------------------------------------------------


@pytest.mark.parametrize("written", [False, True], ids=["nothing_written", "written_all_the_same"])
async def test_rotated_tokens_outlast_a_store_that_is_busy(
    visitor: Visitor, wire: Wire, written: bool
) -> None:
    """A store that can't write for a moment costs no rotated token: the save is tried again.

    Guarded by the second except in refreshing.Refresher._save.
    """
    session = (await visitor.sign_in()).session
    store, failures = visitor.relying_party.sessions, 3
    save = store.save

    async def busy(fresh: LoginSession) -> LoginSession:
        nonlocal failures
        failures -= 1
        if failures:
            if written:
                await save(fresh)
            raise StoreUnavailable("locked", code="store_locked")
        return await save(fresh)

    store.save = busy  # type: ignore[method-assign]
    fresh = await visitor.relying_party.refresh(session)
    assert fresh == await visitor.session()
    assert fresh.tokens.refresh_token in wire.refresh_tokens


async def test_store_that_is_closed_is_not_waited_for(visitor: Visitor) -> None:
    """A store that was closed under a refresh says so at once."""
    session = (await visitor.sign_in()).session
    store = visitor.relying_party.sessions

    async def closed(fresh: LoginSession) -> LoginSession:
        raise StoreUnavailable("closed", code="store_closed")

    store.save = closed  # type: ignore[method-assign]
    with pytest.raises(StoreUnavailable):
        await visitor.relying_party.refresh(session)


# -- a provider that fails -----------------------------------------------------------------------


def _status(visitor: Visitor) -> None:
    visitor.wire.token_status = 503


def _unreachable(visitor: Visitor) -> None:
    async def down() -> None:
        raise ConnectFailed("refused")

    visitor.wire.meanwhile = down


def _no(visitor: Visitor) -> None:
    async def no() -> None:
        raise TokenRefused("not now", error="invalid_client")

    visitor.wire.meanwhile = no


FAILURES = [
    pytest.param(_status, ProtocolViolation, id="503"),
    pytest.param(_unreachable, ConnectFailed, id="unreachable"),
    pytest.param(_no, TokenRefused, id="client_refused"),
]


@pytest.mark.parametrize(("fail", "error"), FAILURES)
async def test_provider_that_is_down_signs_nobody_out(
    visitor: Visitor, clock: Clock, fail: Callable[[Visitor], None], error: type[Exception]
) -> None:
    """While the access token is good it serves; after its end the call fails, the session stays,
    and when the provider is back a refresh works. Guarded by party.access_token's except."""
    session = (await visitor.sign_in()).session
    fail(visitor)
    clock.advance(EXPIRED - 1)
    assert await visitor.relying_party.access_token(session) == session.tokens.access_token
    clock.advance(1)
    with pytest.raises(error):
        await visitor.relying_party.access_token(session)
    assert (await visitor.session()).sub == "alice"
    visitor.wire.token_status, visitor.wire.meanwhile = 200, None
    fresh = await visitor.relying_party.access_token(session)
    assert fresh == (await visitor.session()).tokens.access_token != session.tokens.access_token


async def test_invalid_grant_is_no_passing_failure(visitor: Visitor, clock: Clock) -> None:
    """A grant that is gone ends the session at once, though its access token has a second left,
    and its tabs are told. Guarded by refreshing.Refresher._call."""
    session = (await visitor.sign_in()).session
    visitor.wire.refresh_tokens.clear()
    clock.advance(EXPIRED - 1)
    with visitor.relying_party.watch(session.key) as tab:
        with pytest.raises(SessionEnded) as refused:
            await visitor.relying_party.access_token(session)
        assert (await tab.next(timeout=20)).message == {"reason": "refresh_refused"}
    assert refused.value.code == "refresh_refused"
    assert await visitor.session() is None


# -- what a refresh brings -----------------------------------------------------------------------

OTHERS = [
    pytest.param({"iss": "https://other.example"}, "iss_mismatch", id="iss"),
    pytest.param({"sub": "bob"}, "sub_changed", id="sub"),
    pytest.param({"aud": "another"}, "aud_missing_us", id="aud"),
    pytest.param({"azp": "app"}, "azp_changed", id="azp_new"),
    pytest.param({"azp": "another"}, "azp_mismatch", id="azp_of_another"),
    pytest.param({"auth_time": 1_700_000_001}, "auth_time_changed", id="auth_time"),
    pytest.param({"nonce": "another"}, "nonce_changed", id="nonce"),
]


@pytest.mark.parametrize(("changes", "reason"), OTHERS)
async def test_refreshed_id_token_of_another_login(
    visitor: Visitor, wire: Wire, changes: dict[str, Any], reason: str
) -> None:
    """Core, section 12.2: iss, sub, aud, azp and auth_time stay, a nonce is absent or equal; or
    the session ends and its tabs are told. Guarded by id_token.check_refreshed_id_token."""
    parameters = wire.approve(await visitor.begin())
    wire.codes[dict(parameters)["code"]]["auth_time"] = 1_700_000_000
    session = (await visitor.finish(parameters)).session
    wire.refreshed_claims = {}
    session = await visitor.relying_party.refresh(session)
    wire.refreshed_claims = changes
    with visitor.relying_party.watch(session.key) as tab:
        with pytest.raises(SessionEnded) as refused:
            await visitor.relying_party.refresh(session)
        assert (await tab.next(timeout=20)).message == {"reason": "refresh_refused"}
    assert refused.value.evidence["reason"] == reason
    assert await visitor.session() is None


async def test_refresh_is_no_activity(make_visitor: Any, store: SessionStore, clock: Clock) -> None:
    """A session whose tokens are refreshed ends as if nobody had been there, for nobody was.

    Guarded by refreshing.Refresher, which leaves ``seen`` as it is.
    """
    visitor = make_visitor(store, idle=100.0)
    session = (await visitor.sign_in()).session
    clock.advance(99)
    fresh = await visitor.relying_party.refresh(session)
    assert (fresh.seen, fresh.ends_at) == (session.seen, session.ends_at)
    clock.advance(1)
    assert await visitor.session() is None


async def test_activity_during_a_refresh_is_kept(visitor: Visitor, clock: Clock) -> None:
    """Nor does a refresh take away what a request noted meanwhile; guarded by the stores' save,
    which keeps the later ``seen``."""
    session = (await visitor.sign_in()).session
    clock.advance(60)
    gate = Gate()
    visitor.wire.meanwhile = gate.hold
    refreshing = asyncio.ensure_future(visitor.relying_party.refresh(session))
    await gate.reached()
    assert await visitor.session() is not None
    gate.open()
    assert (await refreshing).seen == clock()
    assert replace(session, seen=clock()).ends_at == (await visitor.session()).ends_at


async def test_holder_that_never_finishes(
    visitor: Visitor, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody waits for ever: a caller whose token is good goes on with it, another is told.

    Guarded by give_up in refreshing.Refresher._once.
    """
    session = (await visitor.sign_in()).session
    store = visitor.relying_party.sessions
    assert await store.put_once(f"refresh:{session.key}", value="busy", expires=9e9)
    monkeypatch.setattr(Lease, "LASTS", -1.0)  # so that all patience is over at the first look
    clock.advance(EXPIRED - 1)
    assert await visitor.relying_party.access_token(session) == session.tokens.access_token
    clock.advance(1)
    with pytest.raises(DeadlineExceeded) as refused:
        await visitor.relying_party.access_token(session)
    assert refused.value.code == "refresh_deadline"
    assert await visitor.session() is not None


async def test_session_without_tokens_has_nothing_to_refresh(visitor: Visitor) -> None:
    """An application that dropped the tokens keeps its session, and is told that there are none."""
    session = (await visitor.sign_in()).session
    session = await visitor.relying_party.sessions.save(replace(session, tokens=None))
    with pytest.raises(SessionEnded) as refused:
        await visitor.relying_party.refresh(session)
    assert refused.value.code == "tokens_missing"
    assert await visitor.session() == session
