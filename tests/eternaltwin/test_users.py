"""``client.user`` on both clients, and the calls with ``using``, against the embedded API."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from protocol.expecting import refusal
from tornado.web import RequestHandler

from clefstorm.errors import (
    ConfigurationError,
    ProtocolViolation,
    ProviderError,
    RequestRefused,
    UnknownAlias,
)
from clefstorm.eternaltwin import EternaltwinUser, User
from clefstorm.protocol.token_endpoint import Tokens
from clefstorm.providers import BegunLogin
from clefstorm.registry import async_connections, connections
from clefstorm.testing import Browser, Provider

BORN = datetime(2020, 1, 1, tzinfo=UTC)
Call = Callable[..., Awaitable[Any]]


@pytest.fixture(params=["blocking", "async"])
def call(request: pytest.FixtureRequest, _configured: None) -> Call:
    """``await call("get", id)``: that call of ``client.user`` on the one or the other client."""

    async def call(name: str, *given: Any, **more: Any) -> Any:
        if request.param == "async":
            return await getattr(async_connections.get_connection().user, name)(*given, **more)
        blocking = connections.get_connection().user
        return await asyncio.to_thread(getattr(blocking, name), *given, **more)

    return call


@pytest.fixture(params=["blocking", "async"])
def of_users(request: pytest.FixtureRequest, _configured: None) -> Call:
    """``await of_users("get", id, using=…)``: that call of User, or its twin."""

    async def of_users(name: str, *given: Any, **more: Any) -> Any:
        if request.param == "async":
            return await getattr(User, f"a{name}")(*given, **more)
        return await asyncio.to_thread(getattr(User, name), *given, **more)

    return of_users


def shown(provider: Provider, username: str) -> EternaltwinUser:
    account = provider.account(username)
    return EternaltwinUser(
        id=account.sub,
        display_name=account.shown_name,
        is_administrator=False,
        created_at=BORN,
    )


async def sign_in(provider: Provider, browser: Browser, begun: BegunLogin) -> dict[str, str]:
    """Press alice's button; the parameters of the callback."""
    await browser.get(begun.url)
    page = await browser.submit(form="demo-accounts", button="alice", follow=False)
    query = parse_qs(urlsplit(page.headers["Location"]).query)
    return {name: values[0] for name, values in query.items()}


async def test_get_and_search(provider, call: Call) -> None:
    """Users are public: by id, and by a part of the name, page for page."""
    assert await call("get", provider.account("bob").sub) == shown(provider, "bob")
    page = await call("search", "a", offset=1, limit=2)
    names = [user.display_name for user in page.items]
    assert (names, page.count) == (["Bob Baker", "Carol Carver"], 4)
    assert (page.offset, page.limit) == (1, 2)
    assert (await call("search", "nobody of this name")).items == ()
    assert [user.display_name for user in (await call("search", "ARCHER")).items] == [
        "Alice Archer"
    ]
    assert (await call("search")).count == 4


async def test_me(provider, browser, call: Call) -> None:
    """A token says whose it is, as Tokens and as a text."""
    client = async_connections.get_connection()
    begun = await client.begin_login(client.state_keys[0])
    answer = await sign_in(provider, browser, begun)
    grant = await client.check_callback([("code", answer["code"])], begun.pending)
    tokens = (await client.redeem(grant)).tokens
    assert await call("me", tokens) == shown(provider, "alice")
    assert await call("me", tokens.access_token) == shown(provider, "alice")
    assert await call("get", provider.account("bob").sub, tokens) == shown(provider, "bob")


async def test_errors(provider, call: Call) -> None:
    """No such user, and a token that is nobody's, are errors of ours."""
    with refusal(ProviderError, "user_unknown"):
        await call("get", "nobody")
    for name, given in (("me", ()), ("get", (provider.account("bob").sub,)), ("search", ("a",))):
        with refusal(ProviderError, "eternaltwin_refused"):
            await call(name, *given, token="not-a-token")


@pytest.mark.parametrize("handler", [connections, async_connections], ids=["blocking", "async"])
async def test_another_kind_of_provider(handler) -> None:
    """For a provider without those calls there is a clear error."""
    client = handler.create_connection(
        "openid",
        issuer="https://id.example",
        client_id="app",
        redirect_uri="https://app.example/auth/callback",
    )
    with refusal(ConfigurationError, "user_calls_unsupported") as caught:
        _ = client.user
    assert caught.value.evidence["alias"] == "openid"
    handler.remove_connection("openid")


@pytest.mark.usefixtures("_configured")
async def test_a_blocking_call_in_a_loop_says_so() -> None:
    """The blocking client in a coroutine is refused before anything is sent."""
    with refusal(ConfigurationError, "blocking_in_loop"):
        connections.get_connection().user.search("user")
    with refusal(ConfigurationError, "blocking_in_loop"):
        User.search("user")


async def test_using(provider, options, of_users: Call) -> None:
    """``using`` chooses the alias, and "default" is meant without it."""
    other = {**options, "url": "http://127.0.0.1:9/api/v1/", "timeout": 1}
    for handler in (connections, async_connections):
        handler.create_connection("elsewhere", **other)
    bob = await of_users("get", provider.account("bob").sub)
    assert (bob.display_name, bob.is_authenticated, bob.tokens) == ("Bob Baker", False, None)
    found = await of_users("search", "b", using="default", limit=1)
    assert [user.display_name for user in found] == ["Bob Baker"]
    assert await of_users("count", "a") == 4
    with pytest.raises(ConnectionError):
        await of_users("count", "a", using="elsewhere")
    with refusal(UnknownAlias, "unknown_alias"):
        await of_users("get", "x", using="elswhere")


async def test_a_sign_in_by_hand(provider, browser, of_users: Call) -> None:
    """start_authorization, and with what comes back from_authorization_code: a user with tokens."""
    begun = await of_users("start_authorization")
    answer = await sign_in(provider, browser, begun)
    alice = await of_users("from_authorization_code", answer["code"], answer["state"], begun)
    assert (alice.display_name, alice.created_at) == ("Alice Archer", BORN)
    assert (alice.is_authenticated, alice.is_administrator) == (True, False)
    assert (await of_users("from_token", alice.tokens)) == alice
    assert alice.tokens.access_token not in repr(alice)


async def test_a_sign_in_of_somebody_else(provider, browser, options, of_users: Call) -> None:
    """A callback is judged by the state that was kept for this browser."""
    mine, other = [await of_users("start_authorization") for _ in range(2)]
    answer = await sign_in(provider, browser, other)
    with refusal(RequestRefused, "state_other_browser"):
        await of_users("from_authorization_code", answer["code"], answer["state"], mine)
    with refusal(RequestRefused, "state_other_browser"):
        await of_users("from_authorization_code", answer["code"], "\ud800", mine)
    with refusal(RequestRefused, "code_missing"):
        await of_users("from_authorization_code", "", mine.state, mine)
    for handler in (connections, async_connections):
        url = provider.api_url.replace("localhost", "127.0.0.1")
        handler.create_connection("other", **{**options, "url": url})
    with refusal(RequestRefused, "state_other_provider"):
        await of_users("from_authorization_code", answer["code"], other.state, other, using="other")
    alice = await of_users("from_authorization_code", answer["code"], other.state, other)
    assert alice.display_name == "Alice Archer"


async def test_no_state_key(options, of_users: Call) -> None:
    """A sign-in by hand needs a state_key of the alias; the error says so."""
    plain = {name: value for name, value in options.items() if name != "state_key"}
    for handler in (connections, async_connections):
        handler.create_connection("default", **plain)
    with refusal(ConfigurationError, "state_key_missing"):
        await of_users("start_authorization")


class Moved(RequestHandler):
    """An API that has moved: to ``/new`` of this host, and from there to another one."""

    def get(self, path: str) -> None:
        if path.startswith("users/away"):
            self.redirect("http://127.0.0.2:9/api/v1/users/x", status=307)
        else:
            self.redirect(f"/new/{path}", status=308)


class Arrived(RequestHandler):
    def get(self, path: str) -> None:
        assert self.request.headers["Authorization"] == "Bearer the-token"
        self.finish({"id": path, "display_name": {"current": {"value": "Moved"}}})


async def test_allow_redirects(app, http_server, http_port: int, options) -> None:
    """allow_redirects follows within the origin, token and all; never elsewhere, and not unless
    it is asked for.
    """
    app.add_handlers(".*", [(r"/api/v1/(.*)", Moved), (r"/new/users/(.*)", Arrived)])
    moved = {**options, "url": f"http://127.0.0.1:{http_port}/api/v1/"}
    tokens = Tokens(access_token="the-token")
    follows = async_connections.create_connection("follows", **moved, allow_redirects=True)
    stays = async_connections.create_connection("stays", **moved)
    assert (await follows.user.get("ann", tokens)).id == "ann"
    for client, path, status in ((stays, "ann", "308"), (follows, "away", "307")):
        with refusal(ProtocolViolation, "eternaltwin_status") as caught:
            await client.user.get(path, tokens)
        assert caught.value.evidence["got"] == status
    for client in (follows, stays):
        await client.close()
    with refusal(ConfigurationError, "allow_redirects_invalid"):
        async_connections.create_connection("x", **moved, allow_redirects="yes")
