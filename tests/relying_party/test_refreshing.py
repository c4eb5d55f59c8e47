"""Fresh access tokens: one refresh for all who ask, and none that raises the dead."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from clefstorm.errors import (
    ConfigurationError,
    ConnectFailed,
    DocumentViolation,
    ProtocolViolation,
    SessionEnded,
    StoreUnavailable,
)


async def test_a_good_token_is_not_refreshed(visitor, given_clock) -> None:
    """With more than 30 seconds left, the token at hand is returned."""
    session = (await visitor.sign_in()).session
    given_clock.advance(300 - 30)
    assert await visitor.relying_party.access_token(session) == session.tokens.access_token
    assert visitor.wire.requests == ["authorization_code"]


async def test_a_token_that_ends_soon_is_refreshed(visitor, given_clock) -> None:
    """With less than 30 seconds left, the caller gets a new token, kept with its rotation."""
    session = (await visitor.sign_in()).session
    given_clock.advance(300 - 29)
    fresh = await visitor.relying_party.access_token(session)
    kept = (await visitor.session()).tokens
    assert fresh == kept.access_token != session.tokens.access_token
    assert kept.refresh_token != session.tokens.refresh_token
    assert kept.id_token == session.tokens.id_token


async def test_many_callers_make_one_refresh(visitor, given_clock) -> None:
    """Whoever asks while a refresh is under way shares its result."""
    session = (await visitor.sign_in()).session
    given_clock.advance(300)
    party = visitor.relying_party
    got = await asyncio.gather(*(party.access_token(session) for _ in range(50)))
    assert len(set(got)) == 1
    assert visitor.wire.requests == ["authorization_code", "refresh_token"]


async def test_two_processes_make_one_refresh(make_party, make_visitor, wire, given_clock) -> None:
    """A lease in the shared store lets one process call; the other takes what it brought."""
    one = make_party()
    other = make_party(sessions=one.sessions)
    session = (await make_visitor(one).sign_in()).session
    given_clock.advance(300)
    got = await asyncio.gather(one.access_token(session), other.access_token(session))
    assert got[0] == got[1]
    assert wire.requests == ["authorization_code", "refresh_token"]


async def test_a_caller_that_leaves_does_not_stop_the_refresh(visitor, given_clock) -> None:
    """A cancelled caller costs nobody the rotated token."""
    session = (await visitor.sign_in()).session
    given_clock.advance(300)
    started, go = asyncio.Event(), asyncio.Event()

    async def meanwhile() -> None:
        started.set()
        await go.wait()

    visitor.wire.meanwhile = meanwhile
    leaving = asyncio.ensure_future(visitor.relying_party.access_token(session))
    await started.wait()
    staying = asyncio.ensure_future(visitor.relying_party.access_token(session))
    leaving.cancel()
    await asyncio.sleep(0)
    go.set()
    assert await staying == (await visitor.session()).tokens.access_token
    assert visitor.wire.requests == ["authorization_code", "refresh_token"]


async def test_a_session_that_ends_during_its_refresh_stays_dead(visitor, given_clock) -> None:
    """The refresh is saved by compare and set: it can't write a dead session back."""
    session = (await visitor.sign_in()).session
    given_clock.advance(300)

    async def end() -> None:
        await visitor.relying_party.revoke(session.key)

    visitor.wire.meanwhile = end
    with pytest.raises(SessionEnded):
        await visitor.relying_party.access_token(session)
    assert await visitor.session() is None


async def test_data_that_is_saved_during_a_refresh_is_kept(visitor, given_clock) -> None:
    """A conflict of versions loses neither the new tokens nor the application's data."""
    session = (await visitor.sign_in()).session
    given_clock.advance(300)

    async def save() -> None:
        await visitor.relying_party.set_data(session, {"theme": "dark"})

    visitor.wire.meanwhile = save
    fresh = await visitor.relying_party.access_token(session)
    kept = await visitor.session()
    assert (kept.data, kept.tokens.access_token) == ({"theme": "dark"}, fresh)


async def test_a_refresh_that_is_saved_while_data_is_set_is_kept(visitor, given_clock) -> None:
    """set_data on a stale session keeps the tokens that a refresh has brought."""
    session = (await visitor.sign_in()).session
    given_clock.advance(300)
    fresh = await visitor.relying_party.access_token(session)
    saved = await visitor.relying_party.set_data(session, {"theme": "dark"})
    assert saved.tokens.access_token == fresh


async def test_data_of_an_ended_session_is_refused(visitor) -> None:
    """set_data does not bring a session back."""
    session = (await visitor.sign_in()).session
    await visitor.relying_party.revoke(session.key)
    with pytest.raises(SessionEnded):
        await visitor.relying_party.set_data(session, {})


async def test_invalid_grant_ends_the_session_and_tells_its_tabs(visitor, given_clock) -> None:
    """A grant that is gone for good is a logout: store first, then every tab."""
    session = (await visitor.sign_in()).session
    given_clock.advance(300)
    visitor.wire.refresh_tokens.clear()
    with visitor.relying_party.watch(session.key) as tab:
        with pytest.raises(SessionEnded) as refused:
            await visitor.relying_party.access_token(session)
        assert (await tab.next(timeout=1)).message == {"reason": "refresh_refused"}
    assert refused.value.code == "refresh_refused"
    assert await visitor.session() is None


async def test_a_provider_that_is_down_ends_nothing(visitor, given_clock) -> None:
    """A 500 is no word about the grant: the session stays and the next try works."""
    session = (await visitor.sign_in()).session
    given_clock.advance(300)
    visitor.wire.token_status = 500
    with pytest.raises(ProtocolViolation):
        await visitor.relying_party.access_token(session)
    visitor.wire.token_status = 200
    assert await visitor.relying_party.access_token(session)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        pytest.param({"sub": "bob"}, "sub_changed", id="another_subject"),
        pytest.param({"nonce": "another"}, "nonce_changed", id="another_nonce"),
        pytest.param({"iss": "https://other.example"}, "iss_mismatch", id="another_issuer"),
    ],
)
async def test_a_refreshed_id_token_of_another_ends_the_session(
    visitor, given_clock, changes, code
) -> None:
    """Core, section 12.2: same iss, sub, aud and nonce, or the session ends."""
    session = (await visitor.sign_in()).session
    visitor.wire.refreshed_claims = {}
    given_clock.advance(300)
    session = await visitor.relying_party.refresh(session)
    visitor.wire.refreshed_claims = changes
    with pytest.raises(SessionEnded) as refused:
        await visitor.relying_party.refresh(session)
    assert refused.value.code == "refreshed_id_token_refused"
    assert refused.value.evidence["reason"] == code
    assert await visitor.session() is None


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(DocumentViolation("503", code="jwks_status"), id="keys_503"),
        pytest.param(ConnectFailed("down"), id="keys_unreachable"),
    ],
)
async def test_keys_that_cannot_be_had_end_nothing(visitor, given_clock, failure) -> None:
    """Without keys the new id token is not judged: the session stays, its rotated tokens are
    kept, and what is known of the user is what the last good id token said."""
    session = (await visitor.sign_in()).session
    client = visitor.relying_party.client()

    async def no_keys(fresh, identity, **previous):
        raise failure

    client.identify_refreshed = no_keys
    fresh = await visitor.relying_party.refresh(session)
    assert fresh.tokens.refresh_token != session.tokens.refresh_token
    assert (fresh.tokens.id_token, fresh.claims) == (session.tokens.id_token, session.claims)
    assert (await visitor.session()).tokens == fresh.tokens


async def test_a_claim_that_is_gone(visitor) -> None:
    """What the last id token said, and the one of a refresh no longer says, is no claim of the
    session; a refresh without an id token says nothing of it."""
    visitor.wire.refreshed_claims = {"roles": ["admin"]}
    party, session = visitor.relying_party, (await visitor.sign_in()).session
    session = await party.refresh(session)
    assert session.claims["roles"] == ["admin"]
    visitor.wire.refreshed_claims = None
    session = await party.refresh(session)
    assert session.claims["roles"] == ["admin"]
    visitor.wire.refreshed_claims = {}
    session = await party.refresh(session)
    assert "roles" not in session.claims
    assert session.claims["sub"] == "alice"


async def test_a_store_that_fails_after_the_save_hides_no_result(visitor) -> None:
    """Giving the lease back is a courtesy: when it fails, the saved tokens are still returned."""
    session = (await visitor.sign_in()).session

    async def broken(*args, **options):
        raise StoreUnavailable("no")

    visitor.relying_party.sessions.extend = broken
    assert (await visitor.relying_party.refresh(session)).tokens != session.tokens


async def test_a_refreshed_id_token_brings_its_claims(visitor) -> None:
    """What the provider says of the user now replaces what it said before."""
    session = (await visitor.sign_in()).session
    visitor.wire.refreshed_claims = {"name": "Alice A."}
    assert (await visitor.relying_party.refresh(session)).name == "Alice A."


async def test_without_a_refresh_token_a_good_token_is_used_to_its_end(
    visitor, given_clock
) -> None:
    """What can't be refreshed is used while it lasts; then the error says what to ask for."""
    session = (await visitor.sign_in()).session
    tokens = replace(session.tokens, refresh_token=None)
    session = await visitor.relying_party.sessions.save(replace(session, tokens=tokens))
    given_clock.advance(299)
    assert await visitor.relying_party.access_token(session) == tokens.access_token
    given_clock.advance(1)
    with pytest.raises(ConfigurationError) as refused:
        await visitor.relying_party.access_token(session)
    assert refused.value.code == "refresh_token_missing"
    assert await visitor.session() is not None


async def test_an_ended_session_has_no_access_token(visitor) -> None:
    """access_token of a session that was signed out is SessionEnded, not an old token."""
    session = (await visitor.sign_in()).session
    await visitor.relying_party.revoke(session.key)
    with pytest.raises(SessionEnded):
        await visitor.relying_party.access_token(session)


async def test_a_lease_whose_holder_died_is_free_again(visitor, given_clock) -> None:
    """A process that died in its refresh stops the others for the lease's 30 seconds alone."""
    session = (await visitor.sign_in()).session
    store, name = visitor.relying_party.sessions, f"refresh:{session.key}"
    assert await store.put_once(name, value="dead", expires=given_clock() + 30)
    waiting = asyncio.ensure_future(visitor.relying_party.refresh(session))
    await asyncio.sleep(0)
    assert not waiting.done()
    given_clock.advance(30)
    assert (await waiting).tokens != session.tokens
    assert await store.peek(name) is None


async def test_a_refresh_that_was_cancelled_is_begun_anew(visitor, given_clock) -> None:
    """Who waited for it is told, and the next who asks gets a fresh token."""
    session = (await visitor.sign_in()).session
    given_clock.advance(300)
    party = visitor.relying_party
    waiting = asyncio.create_task(party.access_token(session))
    while not party._refresher._running:
        await asyncio.sleep(0)
    party._refresher._running[session.key].cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert party._refresher._running == {}
    assert await party.access_token(session) != session.tokens.access_token
