"""API handlers over HTTP: the right status and WWW-Authenticate for each request (RFC 6750, 3)."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import urlencode

import pytest
from protocol.expecting import refusal
from tokens import API, Issuer, asked, server_of
from tornado.httpclient import AsyncHTTPClient, HTTPResponse
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPHeaders
from tornado.ioloop import IOLoop
from tornado.web import Application, HTTPError, RequestHandler

from clefstorm.errors import ConfigurationError
from clefstorm.handlers import BearerMixin, UserMixin, authenticated, requires
from clefstorm.relying_party import Happening
from clefstorm.resource_server import ResourceServer
from clefstorm.testing import Answer, Clock, Provider

PROTECTED = {"xsrf_cookies": True, "cross_origin_protection": True}
METADATA = f"{API}/.well-known/oauth-protected-resource"


class Who(BearerMixin, RequestHandler):
    """Says who calls; its preflight is its own."""

    async def get(self) -> None:
        self.finish({"sub": self.current_user.sub})

    def post(self) -> None:
        self.finish({"sub": self.current_user.sub, "body": self.request.body.decode()})

    def head(self) -> None:
        self.finish()

    def options(self) -> None:
        self.set_header("Access-Control-Allow-Origin", "*")
        self.finish({"user": None if self.current_user is None else self.current_user.sub})


class Base(RequestHandler):
    """A host's base handler, whose prepare knows the caller already when it runs."""

    async def prepare(self) -> None:
        self.seen = self.current_user


class Hosted(BearerMixin, Base):
    def get(self) -> None:
        self.finish({"seen": self.seen.sub})


class Own(BearerMixin, RequestHandler):
    """A prepare of its own goes on only after a good token; it maps the caller."""

    async def prepare(self) -> None:
        await super().prepare()
        self.current_user = {"id": self.current_user.sub}

    @authenticated
    def get(self) -> None:
        self.set_header("Cache-Control", "private")
        self.finish(self.current_user)

    @requires(scopes=["read"])
    def post(self) -> None:
        self.finish("never")


class Forgetful(BearerMixin, RequestHandler):
    """A prepare that leads nowhere."""

    def prepare(self) -> None:
        self.set_header("X-Prepared", str(self.current_user is not None))

    def delete(self) -> None:
        self.finish("deleted")


class Heir(Forgetful):
    """An inherited prepare, and one of its own that is as forgetful."""

    def prepare(self) -> None:
        self.set_header("X-Prepared", "heir")


class Hasty(BearerMixin, RequestHandler):
    """A prepare that doesn't wait."""

    def prepare(self) -> None:
        super().prepare().close()

    def delete(self) -> None:
        self.finish("deleted")


class Reversed(Base, BearerMixin):
    """The bases in the wrong order: the host's prepare comes first, and leads nowhere."""

    def delete(self) -> None:
        self.finish("deleted")


class Tenant(BearerMixin, RequestHandler):
    """Refuses by itself, after the token."""

    async def prepare(self) -> None:
        await super().prepare()
        raise HTTPError(418)


class Plain(BearerMixin, RequestHandler):
    """No prepare of its own."""


class Diamond(Plain, Tenant):
    """The prepare of a second base runs, as Python has it."""

    def delete(self) -> None:
        self.finish("deleted")


class Guarded(BearerMixin, RequestHandler):
    @requires(scopes={"read", "write"})
    async def get(self) -> None:
        self.finish("read and written")

    @requires(roles=["admin"], roles_claim="realm_access.roles")
    def post(self) -> None:
        self.finish("administered")

    @requires(acr=["gold", "silver"], max_age=300)
    async def put(self) -> None:
        self.finish("paid")

    @requires(max_age=300)
    def delete(self) -> None:
        self.finish("deleted")


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> dict[str, Any]:
    return getattr(request, "param", PROTECTED)


@pytest.fixture
def app(server: ResourceServer, settings: dict[str, Any]) -> Application:
    return Application(
        [
            (f"/{handler.__name__.lower()}", handler)
            for handler in (
                *(Who, Hosted, Own, Forgetful, Heir, Hasty, Reversed, Tenant, Diamond, Guarded),
            )
        ],
        clefstorm_resource_server=server,
        **settings,
    )


Ask = Callable[..., Awaitable[HTTPResponse]]


@pytest.fixture
def ask(
    app: Application, http_client: AsyncHTTPClient, http_server: HTTPServer, base_url: str
) -> Ask:
    async def ask(
        path: str, token: str | None = None, *, method: str = "GET", **options: Any
    ) -> HTTPResponse:
        headers = HTTPHeaders(options.pop("headers", {}))
        if token is not None:
            headers.add("Authorization", f"Bearer {token}")
        if method in ("POST", "PUT"):
            options.setdefault("body", "")
        return await http_client.fetch(
            base_url + path, method=method, headers=headers, raise_error=False, **options
        )

    return ask


def challenge_of(answer: HTTPResponse) -> str:
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers.get_list("Set-Cookie") == []
    assert "Location" not in answer.headers
    return answer.headers["WWW-Authenticate"]


@pytest.mark.parametrize("client_id", ["signed", "opaque"])
async def test_a_good_token(ask: Ask, issuer: Issuer, client_id: str) -> None:
    """The method runs, and current_user is who calls; nothing of it is cached."""
    token = await issuer.access_token(client_id)
    answer = await ask("/who", token)
    assert (answer.code, json.loads(answer.body)) == (
        200,
        {"sub": issuer.provider.account("alice").sub},
    )
    assert answer.headers["Cache-Control"] == "no-store"


async def test_no_token(ask: Ask, issuer: Issuer) -> None:
    """Without credentials: 401, and a challenge that names no error."""
    assert (await ask("/who", await issuer.access_token())).code == 200
    answer = await ask("/who")
    assert (answer.code, challenge_of(answer)) == (401, 'Bearer realm="api"')
    assert "error" not in json.loads(answer.body)
    # Another scheme than Bearer is no bearer token.
    answer = await ask("/who", headers={"Authorization": "Basic YTpi"})
    assert (answer.code, challenge_of(answer)) == (401, 'Bearer realm="api"')


@pytest.mark.parametrize("query", ["?access_token={token}", "?token={token}"])
async def test_a_token_in_the_query_is_none(ask: Ask, issuer: Issuer, query: str) -> None:
    """The Authorization header alone brings a token: not the query."""
    token = await issuer.access_token()
    assert (await ask("/who", token)).code == 200
    answer = await ask("/who" + query.format(token=token))
    assert (answer.code, challenge_of(answer)) == (401, 'Bearer realm="api"')


async def test_a_token_in_the_body_is_none(ask: Ask, issuer: Issuer) -> None:
    """The Authorization header alone brings a token: not a form, and not a cookie."""
    token = await issuer.access_token()
    form = urlencode({"access_token": token})
    assert (await ask("/who", token, method="POST", body="a=b")).code == 200
    answer = await ask("/who", method="POST", body=form)
    assert (answer.code, challenge_of(answer)) == (401, 'Bearer realm="api"')
    answer = await ask("/who", headers={"Cookie": f"access_token={token}"})
    assert (answer.code, challenge_of(answer)) == (401, 'Bearer realm="api"')


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(["Bearer {token}", "Bearer {token}"], id="twice"),
        pytest.param(["Basic YTpi", "Bearer {token}"], id="two_schemes"),
        pytest.param(["Bearer {token}, Bearer {token}"], id="joined"),
        pytest.param(["Bearer"], id="scheme_alone"),
        pytest.param(['Bearer "{token}"'], id="quoted"),
    ],
)
async def test_malformed(
    ask: Ask, issuer: Issuer, happenings: list[Happening], headers: list[str]
) -> None:
    """Credentials that can't be read, or twice: 400 and invalid_request."""
    token = await issuer.access_token()
    assert (await ask("/who", token)).code == 200
    sent = HTTPHeaders()
    for header in headers:
        sent.add("Authorization", header.format(token=token))
    answer = await ask("/who", headers=sent)
    assert answer.code == 400
    assert challenge_of(answer).startswith('Bearer realm="api", error="invalid_request"')
    assert json.loads(answer.body)["error"] == "invalid_request"
    assert [one.event for one in happenings] == ["bearer_refused"]


@pytest.mark.parametrize("where", ["query", "body"])
async def test_two_ways_at_once(ask: Ask, issuer: Issuer, where: str) -> None:
    """A token in the header and another elsewhere: 400 and invalid_request (section 2)."""
    token = await issuer.access_token()
    form = urlencode({"access_token": token})
    assert (await ask("/who", token, method="POST", body="a=b")).code == 200
    answer = await (
        ask(f"/who?{form}", token)
        if where == "query"
        else ask("/who", token, method="POST", body=form)
    )
    assert answer.code == 400
    assert 'error="invalid_request"' in challenge_of(answer)


@pytest.mark.parametrize(
    ("client_id", "why"),
    [
        pytest.param("stranger", "aud_missing_us", id="another_audience"),
        pytest.param("nowhere", "claim_missing", id="no_audience"),
    ],
)
async def test_a_bad_token(
    ask: Ask,
    issuer: Issuer,
    happenings: list[Happening],
    caplog: pytest.LogCaptureFixture,
    client_id: str,
    why: str,
) -> None:
    """401 and invalid_token; why, stands in the audit log alone, and the token nowhere."""
    caplog.set_level("DEBUG")
    assert (await ask("/who", await issuer.access_token())).code == 200
    token = await issuer.access_token(client_id)
    answer = await ask("/who", token)
    assert answer.code == 401
    assert challenge_of(answer) == (
        'Bearer realm="api", error="invalid_token", '
        'error_description="the access token is not good here"'
    )
    assert why not in answer.body.decode()
    assert f"bearer_refused code={why}" in caplog.text
    assert token not in caplog.text
    assert [(one.event, one.facts["code"]) for one in happenings] == [("bearer_refused", why)]


async def test_an_expired_token(ask: Ask, issuer: Issuer, clock: Clock) -> None:
    """A token ends with its last second (and the leeway of a minute)."""
    token = await issuer.access_token()
    clock.advance(3659)
    assert (await ask("/who", token)).code == 200
    clock.advance(1)
    assert (await ask("/who", token)).code == 401


async def test_an_id_token(ask: Ask, issuer: Issuer) -> None:
    """An id token opens no API."""
    tokens = await issuer.tokens()
    assert (await ask("/who", tokens["access_token"])).code == 200
    assert (await ask("/who", tokens["id_token"])).code == 401


@pytest.mark.parametrize(
    ("client_id", "endpoint"),
    [
        pytest.param("signed", "jwks", id="no_keys"),
        pytest.param("signed", "discovery", id="no_metadata"),
        pytest.param("opaque", "introspect", id="no_introspection"),
    ],
)
async def test_a_provider_that_is_down(
    ask: Ask, issuer: Issuer, provider: Provider, client_id: str, endpoint: str
) -> None:
    """What can't be judged is not let in: 503 and Retry-After, and no word about the token."""
    token = await issuer.access_token(client_id)
    provider.answer_instead[endpoint] = Answer(status=500)
    answer = await ask("/who", token)
    assert (answer.code, answer.headers["Retry-After"]) == (503, "5")
    assert "WWW-Authenticate" not in answer.headers
    assert answer.headers["Cache-Control"] == "no-store"
    del provider.answer_instead[endpoint]
    assert (await ask("/who", token)).code == 200


async def test_our_own_mistake(
    ask: Ask, issuer: Issuer, app: Application, provider: Provider, clock: Clock, io_loop: IOLoop
) -> None:
    """Credentials of ours that the provider refuses say nothing about the token: 503."""
    token = await issuer.access_token("opaque")
    assert (await ask("/who", token)).code == 200
    app.settings["clefstorm_resource_server"] = wrong = server_of(
        provider, clock, client_secret="wrong"
    )
    assert (await ask("/who", token)).code == 503
    await wrong.close()


@pytest.mark.parametrize("settings", [{}, PROTECTED], ids=["plain", "protected"], indirect=True)
async def test_forged_requests_need_no_protection(ask: Ask, issuer: Issuer) -> None:
    """A token is sent by no browser by itself, so a POST from anywhere passes with one."""
    cross_site = {"Origin": "https://spa.example.com", "Sec-Fetch-Site": "cross-site"}
    token = await issuer.access_token()
    answer = await ask("/who", token, method="POST", body="news", headers=cross_site)
    assert (answer.code, json.loads(answer.body)["body"]) == (200, "news")
    assert (await ask("/who", method="POST", headers=cross_site)).code == 401


async def test_a_preflight_needs_no_token(ask: Ask, issuer: Issuer) -> None:
    """An OPTIONS request has no user and passes; with a bad token it is refused like any other."""
    answer = await ask("/who", method="OPTIONS")
    assert (answer.code, json.loads(answer.body)) == (200, {"user": None})
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert (await ask("/who", await issuer.access_token(), method="OPTIONS")).code == 200
    assert (await ask("/who", "bad", method="OPTIONS")).code == 401
    # Where the application has no preflight, there is none.
    assert (await ask("/guarded", method="OPTIONS")).code == 405


async def test_a_head_request(ask: Ask, issuer: Issuer) -> None:
    """HEAD is answered like GET."""
    assert (await ask("/who", await issuer.access_token(), method="HEAD")).code == 200
    assert (await ask("/who", method="HEAD")).code == 401


async def test_prepare_of_others(ask: Ask, issuer: Issuer) -> None:
    """A host's prepare runs with the caller known, one of a subclass only after a good token."""
    alice = issuer.provider.account("alice").sub
    token = await issuer.access_token()
    assert json.loads((await ask("/hosted", token)).body) == {"seen": alice}
    answer = await ask("/own", token)
    assert json.loads(answer.body) == {"id": alice}
    assert answer.headers["Cache-Control"] == "private"
    assert (await ask("/own")).code == 401
    assert (await ask("/own", "bad")).code == 401


@pytest.mark.parametrize("path", ["/forgetful", "/heir", "/hasty", "/reversed"])
async def test_no_prepare_leads_past_the_token(ask: Ask, issuer: Issuer, path: str) -> None:
    """Whichever prepare a handler has, nothing runs without a good token, and all of it with one.

    Tornado's protection against forged requests is off here, so nothing else would stop them.
    """
    answer = await ask(path, await issuer.access_token(), method="DELETE")
    assert (answer.code, answer.body) == (200, b"deleted")
    prepared = {"/forgetful": "True", "/heir": "heir"}
    assert answer.headers.get("X-Prepared") == prepared.get(path)
    for bad in (None, "bad"):
        answer = await ask(path, bad, method="DELETE")
        assert answer.code == 401
        assert "X-Prepared" not in answer.headers


async def test_a_token_is_judged_once(
    ask: Ask, issuer: Issuer, app: Application, provider: Provider, clock: Clock
) -> None:
    """However many prepares stand in a row, one question is asked."""
    app.settings["clefstorm_resource_server"] = server = server_of(
        provider, clock, introspection_lifetime=0
    )
    assert (await ask("/own", await issuer.access_token("opaque"))).code == 200
    assert asked(provider, "/introspect") == 1
    await server.close()


async def test_a_refusal_of_a_second_base(ask: Ask, issuer: Issuer) -> None:
    """What the application refuses in a prepare stays refused, wherever that prepare stands."""
    token = await issuer.access_token()
    assert (await ask("/forgetful", token, method="DELETE")).code == 200
    for path in ("/tenant", "/diamond"):
        assert (await ask(path, token, method="DELETE")).code == 418
        assert (await ask(path, method="DELETE")).code == 401


async def test_a_replaced_user(ask: Ask, issuer: Issuer, caplog: pytest.LogCaptureFixture) -> None:
    """requires can't judge what the application has put in the token's place, and says so."""
    token = await issuer.access_token()
    assert (await ask("/own", token)).code == 200
    assert (await ask("/own", token, method="POST")).code == 500
    assert "current_user_replaced" in caplog.text


async def test_missing_setting_is_a_clear_error(
    ask: Ask, app: Application, caplog: pytest.LogCaptureFixture
) -> None:
    """Without the setting the error names what to write."""
    assert (await ask("/who")).code == 401
    del app.settings["clefstorm_resource_server"]
    assert (await ask("/who", "a")).code == 500
    assert "clefstorm_resource_server=clefstorm.ResourceServer(" in caplog.text


def test_cookies_or_tokens() -> None:
    """No handler takes both: without protection against forged requests cookies mean nothing."""
    assert type("Fine", (BearerMixin, RequestHandler), {})
    with refusal(ConfigurationError, "mixins_exclude"):
        type("Both", (UserMixin, BearerMixin, RequestHandler), {})


async def test_scopes(ask: Ask, issuer: Issuer, happenings: list[Happening]) -> None:
    """All scopes that are required must have been granted; else 403, and which they are."""
    both = await issuer.access_token(scope="read write")
    assert (await ask("/guarded", both)).body == b"read and written"
    answer = await ask("/guarded", await issuer.access_token(scope="read"))
    assert answer.code == 403
    assert challenge_of(answer) == (
        'Bearer realm="api", error="insufficient_scope", '
        'error_description="the access token does not permit this", scope="read write"'
    )
    assert json.loads(answer.body)["scope"] == "read write"
    (denied,) = happenings
    assert (denied.event, denied.facts) == (
        "access_denied",
        {
            "code": "scope_missing",
            "sub": issuer.provider.account("alice").sub,
            "client_id": "signed",
        },
    )


async def test_roles(ask: Ask, issuer: Issuer) -> None:
    """A role that is missing is 403; which one, the answer does not say."""

    def promote(token: Any) -> None:
        token.claims["realm_access"] = {"roles": ["admin"]}

    issuer.provider.tamper["access_token"] = promote
    answer = await ask("/guarded", await issuer.access_token(), method="POST")
    assert answer.body == b"administered"
    del issuer.provider.tamper["access_token"]
    answer = await ask("/guarded", await issuer.access_token(), method="POST")
    assert answer.code == 403
    assert "insufficient_scope" in challenge_of(answer)
    assert "scope=" not in challenge_of(answer).replace("insufficient_scope", "")
    assert "admin" not in answer.body.decode() + challenge_of(answer)


async def test_step_up(ask: Ask, issuer: Issuer) -> None:
    """A sign-in that is too weak is 401 with what is needed (RFC 9470, section 3)."""

    def strengthen(token: Any) -> None:
        token.claims["acr"] = "silver"

    issuer.provider.tamper["access_token"] = strengthen
    token = await issuer.access_token()
    assert (await ask("/guarded", token, method="PUT")).body == b"paid"
    del issuer.provider.tamper["access_token"]
    answer = await ask("/guarded", await issuer.access_token(), method="PUT")
    assert answer.code == 401
    assert challenge_of(answer) == (
        'Bearer realm="api", error="insufficient_user_authentication", '
        'error_description="the user has to sign in again, or in another way", '
        'acr_values="gold silver", max_age="300"'
    )
    assert json.loads(answer.body)["error"] == "insufficient_user_authentication"


@pytest.mark.parametrize("client_id", ["signed", "opaque"])
async def test_an_old_sign_in(ask: Ask, issuer: Issuer, clock: Clock, client_id: str) -> None:
    """A sign-in that is too long ago is 401 with max_age, by a claim or by introspection."""
    token = await issuer.access_token(client_id)
    clock.advance(360)
    assert (await ask("/guarded", token, method="DELETE")).body == b"deleted"
    clock.advance(1)
    answer = await ask("/guarded", token, method="DELETE")
    assert answer.code == 401
    assert challenge_of(answer).endswith('max_age="300"')
    assert "acr_values" not in challenge_of(answer)


async def test_metadata_of_the_resource(
    ask: Ask, issuer: Issuer, app: Application, provider: Provider, clock: Clock
) -> None:
    """Each challenge says where the resource's metadata is, when there is any (RFC 9728, 5.1)."""
    assert "resource_metadata" not in challenge_of(await ask("/who"))
    app.settings["clefstorm_resource_server"] = server = server_of(
        provider, clock, realm="books", resource_metadata=METADATA
    )
    challenge = f'Bearer realm="books", resource_metadata="{METADATA}"'
    assert challenge_of(await ask("/who")) == challenge
    assert challenge_of(await ask("/who", "bad")).startswith(f'{challenge}, error="invalid_token"')
    await server.close()


async def test_the_provider_is_spared(ask: Ask, issuer: Issuer) -> None:
    """Requests without credentials, or with unreadable ones, ask nobody anything."""
    assert (await ask("/who", await issuer.access_token("opaque"))).code == 200
    before = asked(issuer.provider, "/introspect")
    for headers in ({}, {"Authorization": "Bearer"}, {"Authorization": "Basic YTpi"}):
        assert (await ask("/who", headers=headers)).code in (400, 401)
    assert asked(issuer.provider, "/introspect") == before
