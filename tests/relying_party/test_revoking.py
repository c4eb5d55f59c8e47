"""Refresh tokens of ended sessions, revoked at the provider by option; in given time."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from clefstorm.errors import (
    ClefStormError,
    ConfigurationError,
    ConnectFailed,
    LoginDenied,
    ProtocolViolation,
    ProviderError,
    SessionEnded,
)
from clefstorm.relying_party import RelyingParty
from clefstorm.relying_party.revoking import LONGEST_CLOSING, MOST_AT_ONCE, WAITS
from clefstorm.relying_party.tidying import EVERY, TOGETHER
from clefstorm.testing.clock import Clock
from clefstorm.testing.fixtures import clock as clock
from clefstorm.testing.fixtures import given_time_io_loop as given_time_io_loop

pytestmark = pytest.mark.gen_test(timeout=86400)

ISSUER = "https://id.example.com"
UNREACHABLE = ConnectFailed("nobody there")
UNAVAILABLE = ProtocolViolation("not now", code="revocation_unavailable")
REFUSED = ProviderError("no", error="invalid_client", code="revocation_refused")


@pytest.fixture
def given_clock(clock: Clock) -> Clock:
    return clock


@pytest.fixture
def io_loop(given_time_io_loop: IOLoop) -> IOLoop:
    return given_time_io_loop


class Provider:
    """The provider's revocation endpoint: what it was told, when, and what it answers."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.tokens: list[str] = []
        self.times: list[float] = []
        self.answers: list[ClefStormError | None] = []
        self.open = asyncio.Event()
        self.open.set()
        self.busy = self.busiest = 0

    async def revoke(self, token: str, *, token_type_hint: str | None = None) -> None:
        assert token_type_hint == "refresh_token"
        self.tokens.append(token)
        self.times.append(self._clock())
        self.busy += 1
        self.busiest = max(self.busy, self.busiest)
        try:
            await self.open.wait()
            await asyncio.sleep(0)
        finally:
            self.busy -= 1
        answer = self.answers.pop(0) if self.answers else None
        if answer is not None:
            raise answer


@pytest.fixture
def provider(clock: Clock, io_loop: IOLoop) -> Provider:
    return Provider(clock)


class Heard:
    """What a party told its listeners about revocations."""

    def __init__(self, party: RelyingParty) -> None:
        self.facts: list[dict[str, str]] = []
        party.listeners.append(self._hear)

    def _hear(self, happening: Any) -> None:
        if happening.event.startswith("token_revo"):
            self.facts.append({"event": happening.event, **happening.facts})

    @property
    def events(self) -> list[str]:
        return [fact["event"] for fact in self.facts]


@pytest.fixture
def revoking(make_party: Any, provider: Provider) -> Any:
    """A maker of parties that revoke."""

    def make(**options: Any) -> RelyingParty:
        party = make_party(**{"revoke_tokens": True, **options})
        party.client().revoke = provider.revoke
        return party

    return make


async def settled(provider: Provider, heard: Heard, count: int) -> None:
    """Wait until so many revocations have ended, well or not; given time passes meanwhile."""
    async with asyncio.timeout(600):
        while len(heard.events) < count:
            await asyncio.sleep(5)


async def by_logout(party: RelyingParty, visitor: Any, wire: Any, session: Any) -> None:
    await party.log_out(visitor.session_id)


async def by_revoke(party: RelyingParty, visitor: Any, wire: Any, session: Any) -> None:
    assert await party.revoke(session.key, reason="admin")


async def by_revoke_user(party: RelyingParty, visitor: Any, wire: Any, session: Any) -> None:
    assert await party.revoke_user(ISSUER, "alice") == 1


async def by_the_provider(party: RelyingParty, visitor: Any, wire: Any, session: Any) -> None:
    assert await party.receive_logout(wire.logout_token(sub="alice")) == 1


async def by_a_new_login(party: RelyingParty, visitor: Any, wire: Any, session: Any) -> None:
    await visitor.sign_in(sub="alice")


WAYS = {
    "logout": by_logout,
    "administrator": by_revoke,
    "everywhere": by_revoke_user,
    "back_channel": by_the_provider,
    "replaced": by_a_new_login,
}


@pytest.mark.parametrize("end", WAYS.values(), ids=WAYS)
async def test_each_end(revoking, make_visitor, provider, wire, end) -> None:
    """However a session is ended, its refresh token is revoked, once."""
    party = revoking()
    heard, visitor = Heard(party), make_visitor(party)
    session = (await visitor.sign_in()).session
    await end(party, visitor, wire, session)
    await settled(provider, heard, 1)
    assert provider.tokens == [session.tokens.refresh_token]
    assert heard.facts == [{"event": "token_revoked", "session": session.key[:8]}]


@pytest.mark.parametrize(("idle", "lifetime"), [(600, 9e4), (None, 600)], ids=["idle", "absolute"])
async def test_ends_by_time(revoking, make_visitor, provider, given_clock, idle, lifetime) -> None:
    """A session that nobody ended is found when the store is tidied, beside the next login."""
    party = revoking(idle=idle, lifetime=lifetime)
    heard, visitor = Heard(party), make_visitor(party)
    session = (await visitor.sign_in()).session
    given_clock.advance(max(600, EVERY))
    assert provider.tokens == []
    await make_visitor(party).sign_in(sub="bob")
    await settled(provider, heard, 1)
    assert provider.tokens == [session.tokens.refresh_token]


async def test_not_by_default(make_party, make_visitor, provider) -> None:
    """Offline tokens normally live on (Back-Channel Logout 1.0, 2.7): it is an option."""
    party = make_party()
    party.client().revoke = provider.revoke
    visitor = make_visitor(party)
    await visitor.sign_in()
    await party.log_out(visitor.session_id)
    await asyncio.sleep(60)
    assert provider.tokens == []


async def test_nobody_waits(revoking, make_visitor, provider) -> None:
    """The logout has answered, and the tab was told, while the provider has not."""
    party = revoking()
    heard, visitor = Heard(party), make_visitor(party)
    session = (await visitor.sign_in()).session
    provider.open.clear()
    with party.watch(session.key) as tab:
        assert (await party.log_out(visitor.session_id)).url
        assert (await tab.next(timeout=1)).message == {"reason": "logout"}
    assert await party.read_session(session.key) is None
    assert heard.events == []
    provider.open.set()
    await settled(provider, heard, 1)


async def test_dead_in_the_store_before_the_provider_is_asked(
    revoking, make_visitor, provider
) -> None:
    """A provider that calls back at once finds the session ended."""
    party = revoking()
    heard, visitor = Heard(party), make_visitor(party)
    session = (await visitor.sign_in()).session
    found: list[Any] = []

    async def look(token: str, **hint: Any) -> None:
        found.append(await party.read_session(session.key))

    party.client().revoke = look
    await party.revoke(session.key)
    await settled(provider, heard, 1)
    assert found == [None]


@pytest.mark.parametrize("first", [UNREACHABLE, UNAVAILABLE], ids=["unreachable", "unavailable"])
async def test_tries_again(revoking, make_visitor, provider, first) -> None:
    """What may work later is tried three times in all, with more time between (RFC 7009, 2.2.1)."""
    party = revoking()
    heard, visitor = Heard(party), make_visitor(party)
    session = (await visitor.sign_in()).session
    provider.answers = [first, UNREACHABLE, None]
    await party.revoke(session.key)
    await settled(provider, heard, 1)
    assert heard.events == ["token_revoked"]
    between = [later - earlier for earlier, later in pairwise(provider.times)]
    assert between == pytest.approx(list(WAITS))


@pytest.mark.parametrize(
    ("answers", "tries", "code"),
    [
        pytest.param([UNREACHABLE] * 3, 3, "connect_failed", id="never_there"),
        pytest.param([REFUSED], 1, "revocation_refused", id="refused"),
        pytest.param(
            [ConfigurationError("x", code="revocation_unsupported")],
            1,
            "revocation_unsupported",
            id="unsupported",
        ),
        pytest.param(
            [ProtocolViolation("x", code="revocation_answer_status")],
            1,
            "revocation_answer_status",
            id="nonsense",
        ),
    ],
)
async def test_gives_up(revoking, make_visitor, provider, answers, tries, code) -> None:
    """In the end it is recorded, with a code and without the token."""
    party = revoking()
    heard, visitor = Heard(party), make_visitor(party)
    session = (await visitor.sign_in()).session
    provider.answers = list(answers)
    await party.revoke(session.key)
    await settled(provider, heard, 1)
    assert len(provider.tokens) == tries
    assert heard.facts == [
        {"event": "token_revocation_failed", "session": session.key[:8], "code": code}
    ]


async def test_many_at_once(revoking, make_visitor, provider) -> None:
    """An administrator who ends many sessions does not storm the provider."""
    party = revoking()
    heard = Heard(party)
    for _ in range(3 * MOST_AT_ONCE):
        await make_visitor(party).sign_in()
    provider.open.clear()
    assert await party.revoke_user(ISSUER, "alice") == 3 * MOST_AT_ONCE
    await asyncio.sleep(1)
    assert provider.busy == MOST_AT_ONCE
    provider.open.set()
    await settled(provider, heard, 3 * MOST_AT_ONCE)
    assert provider.busiest == MOST_AT_ONCE
    assert len(set(provider.tokens)) == 3 * MOST_AT_ONCE


async def test_close_makes_no_more_tries(revoking, make_visitor, provider, given_clock) -> None:
    """An application that closes waits for what is under way, and not for another try."""
    party = revoking()
    heard, visitor = Heard(party), make_visitor(party)
    session = (await visitor.sign_in()).session
    provider.answers = [UNREACHABLE]
    await party.revoke(session.key)
    async with asyncio.timeout(0.1):
        while not provider.tokens:
            await asyncio.sleep(0.001)
    began = given_clock()
    await party.close()
    assert given_clock() - began < WAITS[0]
    assert heard.events == ["token_revocation_failed"]


async def test_close_waits_a_little(revoking, make_visitor, provider, given_clock) -> None:
    """A provider that hangs keeps an application for ten seconds, and is given up."""
    party = revoking()
    heard, visitor = Heard(party), make_visitor(party)
    session = (await visitor.sign_in()).session
    provider.open.clear()
    await party.revoke(session.key)
    began = given_clock()
    await party.close()
    assert given_clock() - began == pytest.approx(LONGEST_CLOSING, abs=1)
    assert heard.facts[0]["code"] == "closed"


async def test_a_token_that_is_dead_already(revoking, make_visitor, provider, wire) -> None:
    """A provider that no longer knows the refresh token is not told to forget it."""
    party = revoking()
    visitor = make_visitor(party)
    session = (await visitor.sign_in()).session
    wire.refresh_tokens.clear()
    with pytest.raises(SessionEnded):
        await party.refresh(session)
    await asyncio.sleep(60)
    assert provider.tokens == []


async def test_a_refresh_overtaken_by_a_logout(revoking, make_visitor, provider, wire) -> None:
    """The tokens that came too late are revoked too; nobody would ever use or drop them."""
    party = revoking()
    heard, visitor = Heard(party), make_visitor(party)
    session = (await visitor.sign_in()).session

    async def meanwhile() -> None:
        wire.meanwhile = None
        await party.revoke(session.key)

    wire.meanwhile = meanwhile
    with pytest.raises(SessionEnded):
        await party.refresh(session)
    await settled(provider, heard, 2)
    (fresh,) = wire.refresh_tokens
    assert sorted(provider.tokens) == sorted([session.tokens.refresh_token, fresh])


async def test_a_refreshed_id_token_of_somebody_else(
    revoking, make_visitor, provider, wire
) -> None:
    """The session ends, and so do the tokens that came with the wrong word."""
    party = revoking()
    heard, visitor = Heard(party), make_visitor(party)
    session = (await visitor.sign_in()).session
    wire.refreshed_claims = {"sub": "mallory"}
    with pytest.raises(SessionEnded):
        await party.refresh(session)
    await settled(provider, heard, 1)
    assert provider.tokens == list(wire.refresh_tokens)


async def test_a_user_whom_the_application_refuses(revoking, make_visitor, provider, wire) -> None:
    """The tokens of a login that became no session are revoked."""

    def refuse(session: Any) -> None:
        raise LoginDenied("not you")

    party = revoking(on_login=refuse)
    heard, visitor = Heard(party), make_visitor(party)
    with pytest.raises(LoginDenied):
        await visitor.sign_in()
    await settled(provider, heard, 1)
    assert provider.tokens == list(wire.refresh_tokens)


async def test_a_login_overtaken_by_a_logout(revoking, make_visitor, provider, wire) -> None:
    """So are those of a login that a logout was faster than."""
    party = revoking()
    heard, visitor = Heard(party), make_visitor(party)

    async def meanwhile() -> None:
        wire.meanwhile = None
        await party.receive_logout(wire.logout_token(sub="alice", sid="s1"))

    wire.meanwhile = meanwhile
    with pytest.raises(SessionEnded):
        await visitor.sign_in(sid="s1")
    await settled(provider, heard, 1)
    assert provider.tokens == list(wire.refresh_tokens)


LIFETIME = 10 * EVERY


async def aged(party: RelyingParty, make_visitor: Any, clock: Clock, count: int) -> None:
    """Leave so many sessions in the store that are past their end."""
    visitor = make_visitor(party)
    session = (await visitor.sign_in()).session
    await party._tidying.close()
    for number in range(count - 1):
        tokens = replace(session.tokens, refresh_token=f"refresh-{number}")
        await party.sessions.create(replace(session, key=f"key-{number}", tokens=tokens))
    clock.advance(LIFETIME)


async def test_many_that_are_past_their_end(revoking, make_visitor, provider, given_clock) -> None:
    """The next hundred stay in the store until the last are done, and come then."""
    party = revoking(lifetime=LIFETIME)
    heard = Heard(party)
    await aged(party, make_visitor, given_clock, 2 * TOGETHER + 1)
    provider.open.clear()
    await make_visitor(party).sign_in()
    await asyncio.sleep(60)
    assert len(party._revoker._under_way) == TOGETHER
    assert len(party.sessions._rows) == TOGETHER + 2
    provider.open.set()
    await settled(provider, heard, 2 * TOGETHER + 1)
    await party._tidying.close()
    assert len(set(provider.tokens)) == 2 * TOGETHER + 1


async def test_what_a_close_leaves_for_the_next_start(
    revoking, make_visitor, provider, given_clock
) -> None:
    """While the provider hangs, a close takes no more sessions out, and drops none unrevoked."""
    party = revoking(lifetime=LIFETIME)
    heard = Heard(party)
    await aged(party, make_visitor, given_clock, TOGETHER + 5)
    provider.open.clear()
    left: list[int] = []

    async def close() -> None:
        left.append(len(party.sessions._rows))

    party.sessions.close = close
    await make_visitor(party).sign_in()
    await asyncio.sleep(1)
    began = given_clock()
    await party.close()
    assert given_clock() - began == pytest.approx(LONGEST_CLOSING, abs=1)
    assert left == [5 + 1]
    assert [fact["code"] for fact in heard.facts] == ["closed"] * TOGETHER


async def test_none_begins_after_the_close(revoking, make_visitor, provider) -> None:
    """A token that comes too late is told as not revoked: nobody would wait for it."""
    party = revoking()
    heard, visitor = Heard(party), make_visitor(party)
    session = (await visitor.sign_in()).session
    await party._revoker.close()
    party._revoker.revoke(session)
    assert party._revoker._under_way == set()
    assert [fact["code"] for fact in heard.facts] == ["closed"]


async def test_not_at_another_provider(revoking, make_visitor, provider, wire) -> None:
    """An alias that was given to another provider brings it no token of the old one's users:
    none to revoke, none to refresh, and no hint at a logout."""
    party = revoking()
    heard, visitor = Heard(party), make_visitor(party)
    session = (await visitor.sign_in()).session
    assert party.client_of(session) is party.client()
    wire.metadata = replace(wire.metadata, issuer="https://other.example.com")
    client = party.client()
    client.provider = replace(wire.provider, issuer="https://other.example.com")
    with pytest.raises(ConfigurationError) as refused:
        await party.refresh(session)
    assert refused.value.code == "alias_reassigned"
    assert refused.value.evidence["expected"] == ISSUER
    start = await party.log_out(visitor.session_id, return_to="/bye")
    assert start.url == "/bye"
    await settled(provider, heard, 1)
    assert heard.facts[0]["code"] == "alias_reassigned"
    assert provider.tokens == []
    assert wire.requests == ["authorization_code"]
