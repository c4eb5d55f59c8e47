"""EternaltwinProvider and its API, without a network."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from protocol.expecting import refusal
from providers.driving import NOW, REDIRECT, as_json, clock, drive

from clefstorm.errors import ConfigurationError, ProtocolViolation, ProviderError, TokenRefused
from clefstorm.keys import HS256Key
from clefstorm.protocol.eternaltwin import EternaltwinUser
from clefstorm.protocol.exchange import Ask, Flow, Request, Response
from clefstorm.protocol.token_endpoint import Tokens
from clefstorm.providers import EternaltwinProvider, SignedIn
from clefstorm.registry import build_client

SECRET = "a-secret-of-thirty-two-characters"
KEY = HS256Key(b"k" * 32)
OPTIONS: dict[str, Any] = {
    "url": "https://twin.example/api/v1/",
    "client_id": "game@clients",
    "client_secret": SECRET,
    "redirect_uri": REDIRECT,
}
USER: dict[str, Any] = {
    "id": "9f310484-963b-446b-af69-797feec6813f",
    "display_name": {"current": {"value": "Ann"}},
    "is_administrator": True,
    "created_at": "2020-02-03T04:05:06.789Z",
    "deleted_at": None,
}
ANN = EternaltwinUser(
    id=USER["id"],
    display_name="Ann",
    is_administrator=True,
    created_at=datetime(2020, 2, 3, 4, 5, 6, 789000, tzinfo=UTC),
)
TOKENS = {"access_token": "at", "token_type": "Bearer", "expires_in": 60, "refresh_token": "rt"}


def provider(**changes: Any) -> EternaltwinProvider:
    options = {**OPTIONS, **changes}
    return EternaltwinProvider(**{n: v for n, v in options.items() if v is not ...})


class Server:
    """Answers well, until a test changes ``token`` or ``self``."""

    def __init__(self) -> None:
        self.token = as_json(TOKENS)
        self.self = as_json({"type": "AccessToken", "user": USER})
        self.asked: list[Request] = []

    def __call__(self, ask: Ask) -> Response:
        assert isinstance(ask, Request)
        self.asked.append(ask)
        return self.token if ask.method == "POST" else self.self


def redeem(server: Server) -> SignedIn:
    held = provider()
    begun = drive(held.begin_login(KEY, clock=clock), server).result
    grant = drive(held.check_callback([("code", "the-code")], begun.pending), server).result
    return drive(held.redeem(grant, clock=clock), server).result


def test_sign_in() -> None:
    """The token call has plain basic auth and a JSON body; the API then names the user."""
    server = Server()
    signed_in = redeem(server)
    token, me = server.asked
    assert (token.method, token.url) == ("POST", "https://twin.example/oauth/token")
    assert token.headers == {
        "Accept": "application/json",
        "Authorization": "Basic Z2FtZUBjbGllbnRzOmEtc2VjcmV0LW9mLXRoaXJ0eS10d28tY2hhcmFjdGVycw==",
        "Content-Type": "application/json",
    }
    body = json.loads(token.body or b"")
    assert len(body.pop("code_verifier")) == 43
    assert body == {"grant_type": "authorization_code", "code": "the-code"}
    assert me.url == "https://twin.example/api/v1/auth/self"
    assert me.headers["Authorization"] == "Bearer at"
    assert (signed_in.identity.iss, signed_in.identity.sub) == ("https://twin.example", USER["id"])
    assert signed_in.identity.claims == {
        "sub": USER["id"],
        "name": "Ann",
        "is_administrator": True,
        "created_at": "2020-02-03T04:05:06.789000+00:00",
    }
    assert (signed_in.tokens.refresh_token, signed_in.tokens.expires_at) == ("rt", NOW + 60)


def test_refresh() -> None:
    """A refresh is the same call with another grant; the old refresh token stays until replaced."""
    server = Server()
    server.token = as_json({**TOKENS, "refresh_token": None})
    fresh = drive(
        provider().refresh(Tokens(access_token="x", refresh_token="old"), clock=clock), server
    ).result
    assert json.loads(server.asked[0].body or b"") == {
        "grant_type": "refresh_token",
        "refresh_token": "old",
    }
    assert (fresh.access_token, fresh.refresh_token) == ("at", "old")
    with refusal(ConfigurationError, "refresh_token_missing"):
        drive(provider().refresh(Tokens(access_token="x"), clock=clock), server)


def test_a_server_that_quotes_secrets() -> None:
    """What a refusal quotes of the request reaches no exception (DESIGN, law 4)."""
    server = Server()
    quoted = {"error": "invalid_grant", "error_description": f"the-code for {SECRET} is old"}
    server.token = as_json(quoted, status=400)
    with refusal(TokenRefused, "token_refused") as caught:
        redeem(server)
    assert caught.value.error_description == "… for … is old"


@pytest.mark.parametrize(
    ("shape", "origin"),
    [
        pytest.param({"url": "https://twin.example"}, "https://twin.example", id="url_alone"),
        pytest.param(
            {"url": "https://Twin.example/x/y/"}, "https://twin.example", id="path_is_left_out"
        ),
        pytest.param({"host": "twin.example"}, "https://twin.example", id="host"),
        pytest.param(
            {"scheme": "http", "host": "localhost", "port": 50320, "prefix": "/api/v1/"},
            "http://localhost:50320",
            id="parts",
        ),
        pytest.param({"host": "::1", "port": 1, "scheme": "http"}, "http://[::1]:1", id="ipv6"),
    ],
)
def test_address(shape: dict[str, Any], origin: str) -> None:
    """Paths are joined to the configured address from the host's root."""
    held = provider(**{"url": ..., **shape})
    assert (held.issuer, held.api.origin) == (origin, origin)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        pytest.param({"client_secret": ...}, "client_secret_missing", id="no_secret"),
        pytest.param({"client_id": "a:b"}, "client_id_invalid", id="colon"),
        pytest.param({"issuer": "https://twin.example"}, "option_not_for_eternaltwin", id="issuer"),
        pytest.param(
            {"token_endpoint_auth_method": "client_secret_post"},
            "option_not_for_eternaltwin",
            id="auth_method",
        ),
        pytest.param({"response_mode": "form_post"}, "option_not_for_eternaltwin", id="form_post"),
        pytest.param({"url": ...}, "option_missing", id="no_address"),
        pytest.param({"host": "twin.example"}, "url_and_host", id="url_and_host"),
        pytest.param({"port": 80}, "url_and_host", id="url_and_port"),
        pytest.param({"url": "twin.example"}, "url_invalid", id="no_scheme"),
        pytest.param({"url": "http://twin.example/"}, "url_invalid", id="plain_http"),
        pytest.param({"url": 5}, "url_invalid", id="number"),
        pytest.param({"url": ..., "host": 5}, "host_invalid", id="host"),
        pytest.param({"url": ..., "host": "a", "scheme": None}, "scheme_invalid", id="scheme"),
        pytest.param({"url": ..., "host": "a", "prefix": 1}, "prefix_invalid", id="prefix"),
        pytest.param({"url": ..., "host": "a", "port": "80"}, "port_invalid", id="port_text"),
        pytest.param({"url": ..., "host": "a", "port": True}, "port_invalid", id="port_bool"),
        pytest.param({"url": ..., "host": "a", "port": 0}, "url_invalid", id="port_0"),
        pytest.param({"url": ..., "host": "a/b@c"}, "host_invalid", id="host_with_more"),
    ],
)
def test_bad_options(changes: dict[str, Any], code: str) -> None:
    """A wrong option fails when it is configured, and shows no secret."""
    assert provider()
    with refusal(ConfigurationError, code) as caught:
        provider(**changes)
    assert SECRET not in str(caught.value)


def test_the_kind_is_recognised() -> None:
    """An address of the API makes the alias an Eternaltwin one; so does a host."""
    for shape in ({"url": OPTIONS["url"]}, {"host": "twin.example"}):
        options = {**{n: v for n, v in OPTIONS.items() if n != "url"}, **shape}
        assert isinstance(build_client("x", options).provider, EternaltwinProvider)
    with refusal(ConfigurationError, "option_unknown"):
        build_client("x", {**OPTIONS, "url": "https://twin.example/"})
    named = {**OPTIONS, "url": "https://twin.example/", "provider": "eternaltwin"}
    assert isinstance(build_client("x", named).provider, EternaltwinProvider)


API = provider().api


def search(query: Any = None, offset: Any = 0, limit: Any = 20, token: Any = None) -> Flow[Any]:
    return API.search(query, offset=offset, limit=limit, access_token=token)


PAGE: dict[str, Any] = {"items": [USER], "count": 7, "offset": 2, "limit": 1}
CALLS = [
    pytest.param(lambda: API.me("at"), "auth/self", {"type": "AccessToken", "user": USER}, id="me"),
    pytest.param(lambda: API.get(USER["id"], "at"), f"users/{USER['id']}", USER, id="get"),
    pytest.param(
        lambda: API.search("an n&", offset=2, limit=1, access_token="at"),
        "users?q=an+n%26&limit=1&offset=2",
        PAGE,
        id="search",
    ),
]


@pytest.mark.parametrize(("call", "path", "answer"), CALLS)
def test_calls(call: Callable[[], Flow[Any]], path: str, answer: dict[str, Any]) -> None:
    """Each call is a GET below /api/v1/ with the user's token, answered by values of ours."""
    driven = drive(call(), lambda ask: as_json(answer))
    [request] = driven.asks
    assert isinstance(request, Request)
    assert (request.method, request.url) == ("GET", f"https://twin.example/api/v1/{path}")
    assert request.headers["Authorization"] == "Bearer at"
    found = driven.result
    if "items" in answer:
        assert (found.items, found.count, found.offset, found.limit) == ((ANN,), 7, 2, 1)
    else:
        assert found == ANN


def test_calls_without_a_token() -> None:
    """Users are public: without a token no Authorization goes along, and None searches all."""
    driven = drive(search(), lambda ask: as_json({**PAGE, "items": []}))
    [request] = driven.asks
    assert request.url.endswith("/users?limit=20&offset=0")
    assert "Authorization" not in request.headers


@pytest.mark.parametrize(
    ("status", "error", "code"),
    [
        pytest.param(401, ProviderError, "eternaltwin_refused", id="401"),
        pytest.param(403, ProviderError, "eternaltwin_refused", id="403"),
        pytest.param(404, ProviderError, "user_unknown", id="404"),
        pytest.param(302, ProtocolViolation, "eternaltwin_status", id="302"),
        pytest.param(500, ProtocolViolation, "eternaltwin_status", id="500"),
    ],
)
@pytest.mark.parametrize(("call", "path", "answer"), CALLS)
def test_statuses(
    call: Callable[[], Flow[Any]],
    path: str,
    answer: dict[str, Any],
    status: int,
    error: type[Exception],
    code: str,
) -> None:
    """A status that is no success is an error with a code, whatever the body says."""
    with refusal(error, code):
        drive(call(), lambda ask: as_json(answer, status=status))


@pytest.mark.parametrize(
    "user",
    [
        pytest.param(None, id="null"),
        pytest.param([], id="list"),
        pytest.param({**USER, "id": 5}, id="id_number"),
        pytest.param({**USER, "id": ""}, id="id_empty"),
        pytest.param({**USER, "id": "x" * 256}, id="id_long"),
        pytest.param({**USER, "display_name": "Ann"}, id="name_text"),
        pytest.param({**USER, "display_name": {"current": {"value": None}}}, id="name_null"),
        pytest.param({**USER, "is_administrator": "yes"}, id="administrator_text"),
        pytest.param({**USER, "created_at": 5}, id="created_number"),
        pytest.param({**USER, "created_at": "yesterday"}, id="created_word"),
        pytest.param({**USER, "deleted_at": "0001-01-01T00:00:00+23:59"}, id="deleted_overflow"),
    ],
)
def test_users_that_break_the_rules(user: Any) -> None:
    """A user with a member of the wrong type is nobody."""
    with refusal(ProtocolViolation, "eternaltwin_member"):
        drive(search(limit=1), lambda ask: as_json({**PAGE, "items": [user]}))


def test_what_a_user_may_leave_out() -> None:
    """Only the id and the name are needed; a time without a zone is UTC."""
    user = {"id": "u", "display_name": {"current": {"value": "Ann"}}, "created_at": "2020-01-01"}
    found = drive(API.get("u", None), lambda ask: as_json(user)).result
    assert (found.is_administrator, found.deleted_at) == (None, None)
    assert found.created_at == datetime(2020, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "page",
    [
        pytest.param({**PAGE, "items": None}, id="no_items"),
        pytest.param({**PAGE, "items": [USER, USER]}, id="more_than_asked"),
        pytest.param({**PAGE, "count": -1}, id="negative"),
        pytest.param({**PAGE, "count": True}, id="bool"),
        pytest.param({**PAGE, "offset": "0"}, id="text"),
        pytest.param({**PAGE, "limit": None}, id="null"),
    ],
)
def test_pages_that_break_the_rules(page: dict[str, Any]) -> None:
    """A page with a member of the wrong type, or with more than was asked for, is refused."""
    with refusal(ProtocolViolation, "eternaltwin_member"):
        drive(search("a", limit=1), lambda ask: as_json(page))


@pytest.mark.parametrize(
    ("call", "code"),
    [
        *(
            pytest.param(lambda user_id=user_id: API.get(user_id, None), "user_id_invalid", id=name)
            for name, user_id in (
                ("empty", ""),
                ("up", ".."),
                ("slash", "a/b"),
                ("query", "a?b"),
                ("percent", "a%2Fb"),
                ("newline", "a\n"),
                ("long", "a" * 256),
                ("number", 5),
            )
        ),
        pytest.param(lambda: search(query=5), "query_invalid", id="query_number"),
        pytest.param(lambda: search(query="x" * 1001), "query_invalid", id="query_long"),
        pytest.param(lambda: search(offset=-1), "offset_invalid", id="offset_negative"),
        pytest.param(lambda: search(limit=101), "limit_invalid", id="limit_large"),
        pytest.param(lambda: search(limit=True), "limit_invalid", id="limit_bool"),
        pytest.param(lambda: search(limit="20"), "limit_invalid", id="limit_text"),
        pytest.param(lambda: search(token="a b"), "access_token_invalid", id="token_space"),
        pytest.param(lambda: search(token=""), "access_token_invalid", id="token_empty"),
        pytest.param(lambda: API.me("a\r\nX: y"), "access_token_invalid", id="token_newline"),
    ],
)
def test_bad_arguments(call: Callable[[], Flow[Any]], code: str) -> None:
    """A wrong argument is refused before anything is sent."""
    with refusal(ConfigurationError, code):
        drive(call(), lambda ask: pytest.fail("something was sent"))
