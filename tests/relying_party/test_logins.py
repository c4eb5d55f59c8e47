"""A login through the relying party: what opens a session, and what must not."""

from __future__ import annotations

import pytest

from clefstorm.client import AsyncClient
from clefstorm.errors import (
    AuthorizationRefused,
    ConfigurationError,
    LoginDenied,
    ProtocolViolation,
    RequestRefused,
    SessionEnded,
    StoreUnavailable,
    TokenRefused,
    UnknownAlias,
)
from clefstorm.relying_party import LoginDeclined, RelyingParty
from clefstorm.relying_party.pending import MOST_PENDING
from clefstorm.sessions import MemorySessionStore, session_key


async def test_a_login_opens_a_session(visitor) -> None:
    """A good callback opens a session of the user and leads to the page that was asked for."""
    done = await visitor.sign_in(sub="alice", sid="s1", return_to="/inbox?folder=2")
    session = await visitor.session()
    assert (session.sub, session.sid, done.return_to) == ("alice", "s1", "/inbox?folder=2")
    assert session == done.session


async def test_a_client_secret_may_have_any_name(visitor) -> None:
    """A provider that signs with the client secret may call that key what it likes."""
    visitor.wire.kid = "whatever"
    assert (await visitor.sign_in()).session.sub == "alice"


async def test_a_session_id_is_new_at_every_login(visitor) -> None:
    """A session id that the browser brought is never the one after a login (no fixation)."""
    visitor.cookies[visitor.relying_party.cookies.session] = "chosen-by-somebody-else"
    await visitor.sign_in()
    assert visitor.session_id != "chosen-by-somebody-else"
    assert await visitor.relying_party.session("chosen-by-somebody-else") is None


async def test_a_second_login_revokes_the_first(visitor) -> None:
    """The browser's previous session is revoked in the store by its next login."""
    await visitor.sign_in()
    first = visitor.session_id
    await visitor.sign_in()
    assert await visitor.relying_party.session(first) is None
    assert await visitor.session() is not None


async def test_a_form_post_login_revokes_the_session_its_callback_does_not_bring(visitor) -> None:
    """The pending record carries the old session, for a cross-site POST has no session cookie."""
    await visitor.sign_in()
    first = visitor.session_id
    answer = visitor.wire.approve(await visitor.begin())
    del visitor.cookies[visitor.relying_party.cookies.session]
    await visitor.finish(answer)
    assert await visitor.relying_party.session(first) is None


async def test_two_tabs_may_sign_in_at_once(visitor) -> None:
    """Each login has its own cookie, so that two begun in one browser both end well."""
    one, two = await visitor.begin(return_to="/one"), await visitor.begin(return_to="/two")
    assert (await visitor.finish(visitor.wire.approve(one))).return_to == "/one"
    assert (await visitor.finish(visitor.wire.approve(two))).return_to == "/two"


async def test_pending_logins_are_capped_and_the_oldest_goes(visitor, given_clock) -> None:
    """A browser holds at most MOST_PENDING logins; one more drops the oldest."""
    urls = []
    for _ in range(MOST_PENDING + 1):
        urls.append(await visitor.begin())
        given_clock.advance(1)
    assert len(visitor.cookies) == MOST_PENDING
    with pytest.raises(RequestRefused) as refused:
        await visitor.finish(visitor.wire.approve(urls[0]))
    assert refused.value.code == "state_other_browser"
    assert (await visitor.finish(visitor.wire.approve(urls[1]))).session.sub == "alice"


async def test_pending_logins_leave_room_for_other_headers(visitor) -> None:
    """Logins with the longest return paths can't fill the 8 kB that many servers accept."""
    for number in range(MOST_PENDING + 1):
        await visitor.begin(return_to=f"/{number}{'a' * 1400}")
    size = sum(len(name) + len(value) for name, value in visitor.cookies.items())
    assert len(visitor.cookies) > 1
    assert size < 8000


async def test_a_login_whose_old_session_cannot_be_ended_leaves_none_behind(visitor) -> None:
    """When the store fails at the end, nobody holds a session that no browser knows."""
    await visitor.sign_in()
    store = visitor.relying_party.sessions
    revoke, calls = store.revoke, []

    async def broken_once(key, *, reason):
        calls.append(reason)
        if len(calls) == 1:
            raise StoreUnavailable("no")
        return await revoke(key, reason=reason)

    store.revoke = broken_once
    with pytest.raises(StoreUnavailable):
        await visitor.sign_in()
    assert calls == ["replaced", "login_failed"]
    assert len(await store.list_sub(visitor.wire.provider.issuer, "alice")) == 1
    assert (await visitor.session()).sub == "alice"


async def test_the_alias_of_a_session_is_its_name_in_the_mapping(make_visitor, wire) -> None:
    """Whatever alias a client was made with, a login finds it by the application's name for it."""
    client = AsyncClient(wire.provider, clock=wire.clock)
    client._runner = wire
    party = RelyingParty(
        {"main": client},
        sessions=MemorySessionStore(clock=wire.clock),
        secret="s" * 32,
        clock=wire.clock,
    )
    visitor = make_visitor(party)
    parameters = wire.approve(await visitor.begin(alias="main"))
    assert (await visitor.finish(parameters)).session.alias == "main"
    await party.close()


async def test_a_pending_login_costs_the_store_nothing(visitor) -> None:
    """Visitors who only begin a login leave nothing in the store."""
    await visitor.begin()
    assert await visitor.relying_party.sessions.prune() == 0


def _without(name):
    return lambda parameters: [pair for pair in parameters if pair[0] != name]


def _with(name, value):
    return lambda parameters: [*_without(name)(parameters), (name, value)]


REFUSED_CALLBACKS = [
    pytest.param(_without("state"), "state_missing", id="without_state"),
    pytest.param(_with("state", "x.y.z"), "state_invalid", id="wrong_state"),
    pytest.param(_with("state", ""), "state_missing", id="empty_state"),
    pytest.param(lambda p: [*p, ("state", "again")], "parameter_repeated", id="two_states"),
    pytest.param(lambda p: [*p, ("code", "again")], "parameter_repeated", id="two_codes"),
    pytest.param(_without("code"), "code_missing", id="without_code"),
    pytest.param(_without("iss"), "iss_missing", id="without_iss_where_it_is_announced"),
    pytest.param(_with("iss", "https://evil.example"), "iss_mismatch", id="iss_of_another"),
    pytest.param(lambda p: [*p, ("error", "x")], "code_and_error", id="code_and_error"),
]


@pytest.mark.parametrize(("mangle", "code"), REFUSED_CALLBACKS)
async def test_a_mangled_callback_is_refused(visitor, another_visitor, mangle, code) -> None:
    """A callback that was tampered with opens no session, and the untouched one does."""
    await another_visitor.sign_in()
    parameters = visitor.wire.approve(await visitor.begin())
    with pytest.raises(RequestRefused) as refused:
        await visitor.finish(mangle(parameters))
    assert refused.value.code == code
    assert visitor.session_id is None
    assert visitor.wire.requests == ["authorization_code"]  # the other visitor's


async def test_a_callback_in_another_browser_is_refused(visitor, another_visitor) -> None:
    """A callback counts only in the browser that began it (login CSRF, RFC 9700, 4.7.1)."""
    parameters = visitor.wire.approve(await visitor.begin())
    with pytest.raises(RequestRefused) as refused:
        await another_visitor.finish(parameters)
    assert refused.value.code == "state_other_browser"
    assert (await visitor.finish(parameters)).session.sub == "alice"


async def test_the_cookie_of_one_login_does_not_serve_another(visitor) -> None:
    """A pending cookie is sealed for its own state: renamed for another one it opens nothing."""
    first, second = await visitor.begin(), await visitor.begin()
    names = list(visitor.cookies)
    visitor.cookies[names[1]] = visitor.cookies[names[0]]
    with pytest.raises(RequestRefused) as refused:
        await visitor.finish(visitor.wire.approve(second))
    assert refused.value.code == "state_other_browser"
    assert (await visitor.finish(visitor.wire.approve(first))).session.sub == "alice"


async def test_an_expired_state_is_refused(visitor, given_clock) -> None:
    """A login has ten minutes; at 600 seconds it is over, a second before it is not."""
    late, on_time = await visitor.begin(), await visitor.begin()
    given_clock.advance(599)
    assert (await visitor.finish(visitor.wire.approve(on_time))).session.sub == "alice"
    given_clock.advance(1)
    with pytest.raises(RequestRefused) as refused:
        await visitor.finish(visitor.wire.approve(late))
    assert refused.value.code == "state_expired"


async def test_an_expired_state_is_named_also_when_its_cookie_is_gone(visitor, given_clock) -> None:
    """Browsers drop the cookie at the same time; the user still learns that it took too long."""
    parameters = visitor.wire.approve(await visitor.begin())
    visitor.cookies.clear()
    given_clock.advance(601)
    with pytest.raises(RequestRefused) as refused:
        await visitor.finish(parameters)
    assert refused.value.code == "state_expired"


async def test_a_used_state_is_refused(visitor, another_visitor) -> None:
    """A state is used once, even while its cookie is still there (RFC 9700, 4.5.3)."""
    parameters = visitor.wire.approve(await visitor.begin())
    another_visitor.cookies.update(visitor.cookies)
    await visitor.finish(parameters)
    with pytest.raises(RequestRefused) as refused:
        await another_visitor.finish(parameters)
    assert refused.value.code == "state_used"


async def test_a_used_state_without_its_cookie_is_named_used(visitor) -> None:
    """After the login the cookie is gone; a repetition without the session says what it is."""
    parameters = visitor.wire.approve(await visitor.begin())
    await visitor.finish(parameters)
    visitor.cookies.clear()
    with pytest.raises(RequestRefused) as refused:
        await visitor.finish(parameters)
    assert refused.value.code == "state_used"


async def test_a_reloaded_callback_goes_to_its_page(visitor) -> None:
    """A browser that reloads the callback which signed it in goes to its page again."""
    parameters = visitor.wire.approve(await visitor.begin(return_to="/inbox"))
    done = await visitor.finish(parameters)
    again = await visitor.finish(parameters)
    assert (again.return_to, again.session_id) == ("/inbox", None)
    assert again.session.key == done.session.key
    assert visitor.wire.requests == ["authorization_code"]


async def test_a_reloaded_callback_is_refused_to_another_session(visitor) -> None:
    """The same callback in a browser that is signed in by another login is refused."""
    parameters = visitor.wire.approve(await visitor.begin())
    await visitor.finish(parameters)
    await visitor.sign_in(sub="bob")
    with pytest.raises(RequestRefused) as refused:
        await visitor.finish(parameters)
    assert refused.value.code == "state_used"
    assert (await visitor.session()).sub == "bob"


async def test_an_error_answer_opens_nothing_and_ends_nothing(visitor) -> None:
    """The provider's no is an AuthorizationRefused; the session that the browser has stays."""
    await visitor.sign_in()
    parameters = _with("error", "access_denied")(
        _without("code")(visitor.wire.approve(await visitor.begin()))
    )
    with pytest.raises(AuthorizationRefused) as refused:
        await visitor.finish(parameters)
    assert refused.value.error == "access_denied"
    assert (await visitor.session()).sub == "alice"


async def test_a_silent_login_is_answered_not_refused(visitor) -> None:
    """login_required to prompt=none is an answer (Core, section 3.1.2.6)."""
    parameters = _with("error", "login_required")(
        _without("code")(visitor.wire.approve(await visitor.begin(prompt="none", return_to="/x")))
    )
    declined = await visitor.finish(parameters)
    assert isinstance(declined, LoginDeclined)
    assert (declined.error, declined.return_to) == ("login_required", "/x")


async def test_the_same_error_is_refused_to_a_login_that_was_not_silent(visitor) -> None:
    """login_required without prompt=none is a refusal like any other."""
    parameters = _with("error", "login_required")(
        _without("code")(visitor.wire.approve(await visitor.begin()))
    )
    with pytest.raises(AuthorizationRefused):
        await visitor.finish(parameters)


async def test_a_code_of_another_login_is_refused_by_its_nonce(visitor) -> None:
    """A code injected from another login brings another nonce (RFC 9700, section 4.5)."""
    stolen = dict(visitor.wire.approve(await visitor.begin()))["code"]
    parameters = _with("code", stolen)(visitor.wire.approve(await visitor.begin()))
    with pytest.raises(ProtocolViolation) as refused:
        await visitor.finish(parameters)
    assert refused.value.code == "nonce_mismatch"


async def test_a_code_the_provider_does_not_know_is_refused(visitor) -> None:
    """invalid_grant at the exchange opens no session."""
    parameters = _with("code", "made-up")(visitor.wire.approve(await visitor.begin()))
    with pytest.raises(TokenRefused) as refused:
        await visitor.finish(parameters)
    assert refused.value.error == "invalid_grant"
    assert visitor.session_id is None


async def test_a_provider_that_answers_rubbish_costs_nobody_a_session(visitor) -> None:
    """A 500 from the token endpoint leaves the browser's session as it was."""
    await visitor.sign_in()
    parameters = visitor.wire.approve(await visitor.begin())
    visitor.wire.token_status = 500
    with pytest.raises(ProtocolViolation) as refused:
        await visitor.finish(parameters)
    assert refused.value.code == "token_answer_status"
    assert (await visitor.session()).sub == "alice"


async def test_a_logout_that_overtakes_a_login_wins(visitor) -> None:
    """A logout token that arrives during the exchange leaves no session behind (tombstone)."""

    async def logout() -> None:
        await visitor.relying_party.receive_logout(visitor.wire.logout_token(sid="s1"))

    visitor.wire.meanwhile = logout
    with pytest.raises(SessionEnded) as refused:
        await visitor.sign_in(sid="s1")
    assert refused.value.code == "session_tombstoned"
    visitor.wire.meanwhile = None
    assert (await visitor.sign_in(sid="s2")).session.sid == "s2"


async def test_on_login_may_refuse(make_party, make_visitor, wire) -> None:
    """LoginDenied in on_login leaves no session; everybody else still gets in."""

    def on_login(session):
        if session.sub == "mallory":
            raise LoginDenied("not on the list")

    party = make_party(on_login=on_login)
    with pytest.raises(LoginDenied) as refused:
        await make_visitor(party).sign_in(sub="mallory")
    assert refused.value.code == "login_denied"
    assert await party.sessions.list_sub(wire.provider.issuer, "mallory") == []
    assert (await make_visitor(party).sign_in(sub="alice")).session.sub == "alice"


@pytest.mark.parametrize("as_coroutine", [False, True], ids=["plain", "coroutine"])
async def test_on_login_gives_the_session_its_data(make_party, make_visitor, as_coroutine) -> None:
    """The mapping that on_login returns is the session's data from the first request on."""

    async def later(session):
        return {"user_id": 7}

    party = make_party(on_login=later if as_coroutine else lambda session: {"user_id": 7})
    visitor = make_visitor(party)
    await visitor.sign_in()
    assert (await visitor.session()).data == {"user_id": 7}


@pytest.mark.parametrize("answer", ["text", 5, True, [("user_id", 7)]])
async def test_on_login_returns_a_mapping_or_none(make_party, make_visitor, wire, answer) -> None:
    """Whatever else on_login returns is the application's mistake, and opens no session."""
    visitor = make_visitor(make_party(on_login=lambda session: None))
    await visitor.sign_in()
    assert (await visitor.session()).data == {}
    party = make_party(on_login=lambda session: answer)
    with pytest.raises(ConfigurationError) as refused:
        await make_visitor(party).sign_in()
    assert refused.value.code == "on_login_answer"
    assert await party.sessions.list_sub(wire.provider.issuer, "alice") == []


@pytest.mark.parametrize(
    ("options", "code"),
    [
        pytest.param({"on_login": "text"}, "on_login_invalid", id="on_login_text"),
        *(
            pytest.param({name: value}, f"{name}_invalid", id=f"{name}_{value}")
            for name in ("idle", "lifetime")
            for value in ("60", 0, -1, float("nan"), float("inf"), True)
        ),
        pytest.param({"lifetime": None}, "lifetime_invalid", id="lifetime_none"),
        pytest.param({"clients": {"default": "client"}}, "clients_invalid", id="client_text"),
        pytest.param({"clients": ["client"]}, "clients_invalid", id="clients_list"),
    ],
)
def test_options_are_judged_at_once(options, code, tmp_path) -> None:
    """A wrong option is an error of the start, before anything is written."""
    with pytest.raises(ConfigurationError) as refused:
        RelyingParty(path=tmp_path, **options)
    assert refused.value.code == code
    assert list(tmp_path.iterdir()) == []


async def test_an_unknown_alias_is_named(party) -> None:
    """A login with an alias that nobody configured says which one, and which there are."""
    with pytest.raises(UnknownAlias) as refused:
        await party.begin_login("nobody")
    assert refused.value.evidence == {"alias": "nobody", "configured": "default"}


async def test_only_a_local_path_may_follow(party) -> None:
    """A return path that leaves the site is refused before anybody is sent to the provider."""
    assert (await party.begin_login(return_to="/here")).url
    with pytest.raises(RequestRefused) as refused:
        await party.begin_login(return_to="https://evil.example/")
    assert refused.value.code == "return_path_refused"


async def test_secrets_stay_out_of_what_is_printed(visitor) -> None:
    """No repr on the way of a login shows a cookie's value, a session id, a code or a token."""
    start = await visitor.relying_party.begin_login()
    done = await visitor.sign_in()
    shown = repr(start) + repr(done) + repr(visitor.relying_party.client())
    for secret in (
        start.cookie_value,
        start.url,
        done.session_id,
        done.session.tokens.access_token,
    ):
        assert secret not in shown
    assert session_key(done.session_id) == done.session.key
