"""The ends of sessions: the user's own, the provider's word, an administrator's."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from urllib.parse import parse_qs, urlsplit

import pytest

from clefstorm.errors import (
    BusTimeoutError,
    ClefStormError,
    ConfigurationError,
    ProtocolViolation,
    RequestRefused,
    SessionEnded,
)
from clefstorm.sessions import Revocation


def _watch(visitor, session):
    return visitor.relying_party.watch(session.key)


async def test_a_logout_token_by_sid_ends_that_session_alone(visitor, another_visitor) -> None:
    """With sid, exactly that session ends (Back-Channel Logout 1.0, section 2.7)."""
    await visitor.sign_in(sid="s1")
    await another_visitor.sign_in(sid="s2")
    ended = await visitor.relying_party.receive_logout(visitor.wire.logout_token(sid="s1"))
    assert ended == 1
    assert await visitor.session() is None
    assert await another_visitor.session() is not None


async def test_a_logout_token_by_sub_ends_all_of_the_user(visitor, another_visitor) -> None:
    """Without sid, all sessions of the subject end, also those stored without a sid."""
    await visitor.sign_in(sid="s1")
    await another_visitor.sign_in()
    ended = await visitor.relying_party.receive_logout(visitor.wire.logout_token(sub="alice"))
    assert ended == 2
    assert (await visitor.session(), await another_visitor.session()) == (None, None)


async def test_a_logout_token_ends_nobody_else(visitor, another_visitor) -> None:
    """Other subjects of the same provider stay signed in."""
    await visitor.sign_in(sub="alice")
    await another_visitor.sign_in(sub="bob")
    await visitor.relying_party.receive_logout(visitor.wire.logout_token(sub="alice"))
    assert (await another_visitor.session()).sub == "bob"


async def test_a_sid_of_another_subject_ends_nothing(visitor) -> None:
    """Where both stand, the session's subject has to be the token's."""
    await visitor.sign_in(sub="alice", sid="s1")
    token = visitor.wire.logout_token(sid="s1", sub="bob")
    assert await visitor.relying_party.receive_logout(token) == 0
    assert (await visitor.session()).sub == "alice"


async def test_every_tab_is_told(visitor) -> None:
    """Whoever watches the session hears its end, with the reason, after the store knows."""
    done = await visitor.sign_in(sid="s1")
    with _watch(visitor, done.session) as one, _watch(visitor, done.session) as two:
        await visitor.relying_party.receive_logout(visitor.wire.logout_token(sid="s1"))
        told = [(await tab.next(timeout=1)).message for tab in (one, two)]
    assert told == [{"reason": "backchannel"}] * 2


async def test_the_store_knows_before_anyone_is_told(visitor) -> None:
    """Law 1: at the moment of the ring the session is dead in the store already."""
    done = await visitor.sign_in(sid="s1")
    bus, found = visitor.relying_party.bus, []
    publish = bus.publish

    async def spy(key, message):
        found.append(await visitor.session())
        return await publish(key, message)

    bus.publish = spy
    await visitor.relying_party.receive_logout(visitor.wire.logout_token(sid="s1"))
    assert found == [None]
    assert done.session.sub == "alice"


async def test_the_same_logout_token_again_does_nothing(visitor) -> None:
    """A replayed token ends no session that was opened since (section 2.6, jti)."""
    await visitor.sign_in()
    token = visitor.wire.logout_token(sub="alice")
    assert await visitor.relying_party.receive_logout(token) == 1
    await visitor.sign_in()
    assert await visitor.relying_party.receive_logout(token) == 0
    assert (await visitor.session()).sub == "alice"


async def test_a_token_is_remembered_as_long_as_it_could_pass(
    make_party, make_visitor, wire, given_clock
) -> None:
    """A replay is recognised until exp + leeway, however large the alias's leeway is."""
    wire.provider = replace(wire.provider, leeway=600)
    visitor = make_visitor(make_party())
    token = wire.logout_token(sub="alice")
    assert await visitor.relying_party.receive_logout(token) == 0
    given_clock.advance(120 + 599)
    await visitor.sign_in()
    assert await visitor.relying_party.receive_logout(token) == 0
    assert (await visitor.session()).sub == "alice"
    given_clock.advance(1)
    with pytest.raises(ProtocolViolation) as refused:
        await visitor.relying_party.receive_logout(token)
    assert refused.value.code == "token_expired"


async def test_a_sid_that_means_all_also_stops_its_own_login(
    make_party, make_visitor, wire
) -> None:
    """Where one sid means all of the user, a login of that sid that is under way ends too."""
    wire.provider = replace(wire.provider, logout_sid_means_all=True)
    party = make_party()
    visitor, other = make_visitor(party), make_visitor(party)
    await other.sign_in(sid="s2")

    async def logout() -> None:
        await party.receive_logout(wire.logout_token(sid="s1", sub="alice"))

    wire.meanwhile = logout
    with pytest.raises(SessionEnded):
        await visitor.sign_in(sid="s1")
    assert await other.session() is None


async def test_a_caller_that_is_cancelled_does_not_silence_the_bell(visitor) -> None:
    """Once the store has revoked, the tabs are told, whoever lost patience meanwhile."""
    done = await visitor.sign_in()
    store, revoking, go = visitor.relying_party.sessions, asyncio.Event(), asyncio.Event()
    revoke = store.revoke

    async def slow(key, *, reason):
        ended = await revoke(key, reason=reason)
        revoking.set()
        await go.wait()
        return ended

    store.revoke = slow
    with _watch(visitor, done.session) as tab:
        leaving = asyncio.ensure_future(visitor.relying_party.revoke(done.session.key))
        await revoking.wait()
        leaving.cancel()
        await asyncio.sleep(0)
        go.set()
        assert (await tab.next(timeout=1)).message == {"reason": "revoked"}


async def test_a_token_that_was_not_carried_out_works_again(visitor) -> None:
    """Revoke first, then remember: a store that fails in between leaves a token that works."""
    await visitor.sign_in(sid="s1")
    token, store = visitor.wire.logout_token(sid="s1"), visitor.relying_party.sessions
    revoke_sid = store.revoke_sid

    async def broken(*args, **options):
        raise ClefStormError("no", code="broken")

    store.revoke_sid = broken
    with pytest.raises(ClefStormError):
        await visitor.relying_party.receive_logout(token)
    store.revoke_sid = revoke_sid
    assert await visitor.relying_party.receive_logout(token) == 1


FOREIGN = [
    pytest.param({"iss": "https://other.example"}, id="another_issuer"),
    pytest.param({"aud": "another-client"}, id="another_client"),
]


@pytest.mark.parametrize("changes", FOREIGN)
async def test_a_logout_token_for_somebody_else_is_refused(visitor, changes) -> None:
    """A token that is for no alias of ours ends nothing."""
    await visitor.sign_in()
    with pytest.raises(RequestRefused) as refused:
        await visitor.relying_party.receive_logout(
            visitor.wire.logout_token(sub="alice", **changes)
        )
    assert refused.value.code == "logout_token_foreign"
    assert await visitor.session() is not None


BAD = [
    pytest.param({"sub": None}, "sub_and_sid_missing", id="neither_sub_nor_sid"),
    pytest.param({"nonce": "n"}, "nonce_prohibited", id="nonce"),
    pytest.param({"events": {}}, "event_missing", id="no_event"),
    pytest.param({"exp": 1}, "token_expired", id="expired"),
]


@pytest.mark.parametrize(("changes", "code"), BAD)
async def test_a_bad_logout_token_ends_nothing(visitor, changes, code) -> None:
    """A logout token that fails a check ends nothing, and the same one unharmed does."""
    await visitor.sign_in()
    good = {"sub": "alice"}
    with pytest.raises(ProtocolViolation) as refused:
        await visitor.relying_party.receive_logout(visitor.wire.logout_token(**{**good, **changes}))
    assert refused.value.code == code
    assert await visitor.session() is not None
    assert await visitor.relying_party.receive_logout(visitor.wire.logout_token(**good)) == 1


async def test_an_id_token_is_no_logout_token(visitor) -> None:
    """An id token, rightly signed, sent to the webhook ends nothing (RFC 8725, 3.11)."""
    done = await visitor.sign_in()
    with pytest.raises(ProtocolViolation):
        await visitor.relying_party.receive_logout(done.session.tokens.id_token)
    assert await visitor.session() is not None


async def test_the_users_own_logout_ends_here_and_goes_to_the_provider(visitor) -> None:
    """The session is dead at once; the browser takes its id token to the issuer (section 2)."""
    done = await visitor.sign_in()
    start = await visitor.relying_party.log_out(visitor.session_id, return_to="/bye")
    assert await visitor.session() is None
    parts = urlsplit(start.url)
    sent = {name: values[0] for name, values in parse_qs(parts.query).items()}
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == "https://id.example.com/end"
    assert sent["id_token_hint"] == done.session.tokens.id_token
    assert sent["client_id"] == "app"
    assert sent["post_logout_redirect_uri"] == "https://app.example.com/auth/logged-out"
    back = {start.cookie_name: start.cookie_value}
    assert visitor.relying_party.finish_logout(sent["state"], back) == "/bye"


@pytest.mark.parametrize(
    ("state", "cookie"),
    [
        pytest.param("another", True, id="another_state"),
        pytest.param(None, True, id="no_state"),
        pytest.param("right", False, id="no_cookie"),
    ],
)
async def test_a_return_that_nobody_began_goes_home(visitor, state, cookie) -> None:
    """Without the state and the cookie of the same logout the way back is the front page."""
    await visitor.sign_in()
    start = await visitor.relying_party.log_out(visitor.session_id, return_to="/bye")
    sent = parse_qs(urlsplit(start.url).query)["state"][0]
    cookies = {start.cookie_name: start.cookie_value} if cookie else {}
    state = sent if state == "right" else state
    assert visitor.relying_party.finish_logout(state, cookies) == "/"


async def test_a_logout_without_a_session_goes_to_its_page(visitor) -> None:
    """Signing out twice is no error."""
    start = await visitor.relying_party.log_out(None, return_to="/bye")
    assert (start.url, start.cookie_name) == ("/bye", None)


async def test_a_provider_that_is_down_keeps_nobody_signed_in(visitor) -> None:
    """The local end stands, whatever the provider does."""
    await visitor.sign_in()

    async def down(flow, *, deadline):
        raise ClefStormError("down", code="connect_failed")

    visitor.wire.run = down
    start = await visitor.relying_party.log_out(visitor.session_id, return_to="/bye")
    assert start.url == "/bye"
    assert await visitor.session() is None


async def test_a_return_path_that_leaves_the_site_logs_nobody_out(visitor) -> None:
    """The path is judged before anything ends."""
    await visitor.sign_in()
    with pytest.raises(RequestRefused):
        await visitor.relying_party.log_out(visitor.session_id, return_to="//evil.example")
    assert await visitor.session() is not None


async def test_an_administrators_revoke_ends_one_session(visitor, another_visitor) -> None:
    """revoke ends the session of a key, tells its tabs, and says whether there was one."""
    done = await visitor.sign_in()
    await another_visitor.sign_in()
    with _watch(visitor, done.session) as tab:
        assert await visitor.relying_party.revoke(done.session.key) is True
        assert (await tab.next(timeout=1)).message == {"reason": "revoked"}
    assert await visitor.relying_party.revoke(done.session.key) is False
    assert await another_visitor.session() is not None


async def test_sign_out_everywhere_ends_all_of_the_user(visitor, another_visitor) -> None:
    """revoke_user ends every session of (iss, sub), and a login of the same second is good."""
    done = await visitor.sign_in()
    await another_visitor.sign_in()
    assert len(await visitor.relying_party.devices(done.session)) == 2
    ended = await visitor.relying_party.revoke_user(done.session.iss, "alice")
    assert ended == 2
    await visitor.sign_in()
    assert (await visitor.session()).sub == "alice"


async def test_a_revocation_by_another_process_rings_here(visitor) -> None:
    """What the store hears from another process reaches this process's tabs."""
    done = await visitor.sign_in()
    store, heard = visitor.relying_party.sessions, []
    store.start = heard.append  # the start below hands over the listener
    visitor.relying_party._started = False
    with _watch(visitor, done.session) as tab:
        heard[0](Revocation(done.session.key, "revoked"))
        assert (await tab.next(timeout=1)).message == {"reason": "revoked"}


async def test_nobody_is_told_of_a_session_that_goes_on(visitor, another_visitor) -> None:
    """A tab of another session hears nothing."""
    done = await visitor.sign_in(sid="s1")
    await another_visitor.sign_in(sid="s2")
    with _watch(visitor, done.session) as tab:
        await visitor.relying_party.receive_logout(visitor.wire.logout_token(sid="s2"))
        with pytest.raises(BusTimeoutError):
            await tab.next(timeout=0)


async def test_the_listeners_hear_what_happened_without_secrets(visitor) -> None:
    """An audit log gets each decision with its alias and code, and nothing that signs in."""
    heard = []
    visitor.relying_party.listeners.append(heard.append)
    done = await visitor.sign_in(sid="s1")
    token = visitor.wire.logout_token(sid="s1")
    await visitor.relying_party.receive_logout(token)
    with pytest.raises(RequestRefused):
        await visitor.finish([("state", "x"), ("code", "the-code")])
    assert [happening.event for happening in heard] == [
        "login_started",
        "signed_in",
        "logout_received",
        "signed_out",
        "login_refused",
    ]
    for secret in (token, done.session_id, done.session.tokens.access_token, "the-code"):
        assert secret not in repr(heard)


async def test_the_listeners_hear_who_and_where(visitor) -> None:
    """Who signed in or out is told; a refused login tells its alias as soon as that is known."""
    heard = []
    visitor.relying_party.listeners.append(heard.append)
    await visitor.sign_in(sid="s1")
    await visitor.relying_party.receive_logout(visitor.wire.logout_token(sid="s1"))
    parameters = visitor.wire.approve(await visitor.begin())
    visitor.wire.token_status = 500
    with pytest.raises(ProtocolViolation):
        await visitor.finish(parameters)
    with pytest.raises(ConfigurationError):
        await visitor.relying_party.begin_login(extra={"nonce": "mine"})
    with pytest.raises(RequestRefused):
        await visitor.finish([("state", "x"), ("code", "c")])
    told = [(each.event, each.alias, each.facts.get("sub")) for each in heard]
    assert [each for each in told if each[0].startswith("signed")] == [
        ("signed_in", "default", "alice"),
        ("signed_out", "default", "alice"),
    ]
    refused = [(each.alias, each.facts["code"]) for each in heard if each.event == "login_refused"]
    assert refused == [
        ("default", "token_answer_status"),
        ("default", "extra_parameter_reserved"),
        (None, "state_invalid"),
    ]


async def test_a_failing_listener_stops_no_logout(visitor, caplog) -> None:
    """Who only watches can't keep a session alive: its failure is logged, and the rest goes on."""
    await visitor.sign_in()

    def broken(happening):
        raise RuntimeError("the log is full")

    visitor.relying_party.listeners.append(broken)
    assert await visitor.relying_party.receive_logout(visitor.wire.logout_token(sub="alice")) == 1
    assert await visitor.session() is None
    assert "a listener failed at logout_received" in caplog.text
