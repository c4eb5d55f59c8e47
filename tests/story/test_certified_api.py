"""An API whose access tokens are given out by a certified provider that nobody here wrote."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from parts.certified import CertifiedProvider
from parts.walker import Walker
from protocol.expecting import refusal
from tornado.httpclient import AsyncHTTPClient, HTTPResponse
from tornado.ioloop import IOLoop
from tornado.web import Application, RequestHandler

import clefstorm
from clefstorm.errors import ProtocolViolation
from clefstorm.registry import build_client
from clefstorm.sessions import LoginSession, MemorySessionStore

pytestmark = [pytest.mark.needs("oidc-provider"), pytest.mark.gen_test(timeout=30)]

API = "https://api.example.com"
OTHER = "https://other.example.com"
SECRET = "a-client-secret-for-these-tests-alone"


class Home(clefstorm.UserMixin, RequestHandler):
    @clefstorm.authenticated
    async def get(self) -> None:
        self.write(await self.settings["clefstorm"].access_token(self.current_user))


class Api(clefstorm.BearerMixin, RequestHandler):
    @clefstorm.requires(scopes=["read"])
    def get(self) -> None:
        self.write({"sub": self.current_user.sub, "client_id": self.current_user.client_id})

    @clefstorm.requires(scopes=["read", "write"])
    def post(self) -> None:
        self.write("written")


@pytest.fixture(params=["jwt", "opaque"])
def token_format(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def certified(start_oidc_provider: Any, http_port: int, token_format: str) -> CertifiedProvider:
    api = {"scope": "read write", "accessTokenFormat": token_format}
    provider: CertifiedProvider = start_oidc_provider(
        {
            "client_id": "app",
            "client_secret": SECRET,
            "redirect_uris": [f"http://127.0.0.1:{http_port}/auth/callback"],
        },
        {
            "client_id": "api",
            "client_secret": SECRET,
            "redirect_uris": [],
            "grant_types": [],
            "response_types": [],
        },
        resources={API: api, OTHER: api},
    )
    return provider


@pytest.fixture
def resource() -> str:
    """The API that the application asks tokens for."""
    return API


@pytest.fixture
def relying_party(
    certified: CertifiedProvider, http_port: int, io_loop: IOLoop, resource: str
) -> Iterator[clefstorm.RelyingParty]:
    client = build_client(
        "default",
        {
            "issuer": certified.issuer,
            "client_id": "app",
            "client_secret": SECRET,
            "redirect_uri": f"http://127.0.0.1:{http_port}/auth/callback",
            "scope": "openid offline_access read",
            "authorization_parameters": {"resource": resource},
            "userinfo": False,
        },
    )
    party = clefstorm.RelyingParty({"default": client}, MemorySessionStore(), secret="s" * 32)
    yield party
    io_loop.run_sync(party.close)


@pytest.fixture
def server(certified: CertifiedProvider, io_loop: IOLoop) -> Iterator[clefstorm.ResourceServer]:
    server = clefstorm.ResourceServer(
        certified.issuer, audience=API, client_id="api", client_secret=SECRET
    )
    yield server
    io_loop.run_sync(server.close)


@pytest.fixture
def app(relying_party: clefstorm.RelyingParty, server: clefstorm.ResourceServer) -> Application:
    return Application(
        [(r"/", Home), (r"/api", Api), *clefstorm.login_routes(relying_party, "/auth")],
        clefstorm=relying_party,
        clefstorm_resource_server=server,
    )


@pytest.fixture
def here(http_port: int) -> str:
    return f"http://127.0.0.1:{http_port}"


async def signed_in(
    certified: CertifiedProvider,
    http_client: AsyncHTTPClient,
    here: str,
    relying_party: clefstorm.RelyingParty,
) -> tuple[str, LoginSession]:
    """A login of anna's: the access token that her page got, and her session."""
    walker = Walker(http_client)
    login = f"{here}/auth/login?next=/&prompt=consent"
    page = await certified.sign_in(walker, login, account="anna")
    assert page.code == 200, page.body
    (session,) = await relying_party.sessions.list_sub(certified.issuer, "anna")
    return page.body.decode(), session


async def ask(http: AsyncHTTPClient, url: str, token: str, **options: Any) -> HTTPResponse:
    headers = {"Authorization": f"Bearer {token}"}
    return await http.fetch(url, headers=headers, raise_error=False, **options)


async def test_an_api(
    certified: CertifiedProvider,
    http_client: AsyncHTTPClient,
    here: str,
    relying_party: clefstorm.RelyingParty,
    token_format: str,
) -> None:
    """A token of its own kind opens the API as far as its scope goes, and no further."""
    token, _ = await signed_in(certified, http_client, here, relying_party)
    assert (token.count(".") == 2) == (token_format == "jwt")
    answer = await ask(http_client, f"{here}/api", token)
    assert (answer.code, json.loads(answer.body)) == (200, {"sub": "anna", "client_id": "app"})
    answer = await ask(http_client, f"{here}/api", token, method="POST", body="")
    assert answer.code == 403
    assert 'scope="read write"' in answer.headers["WWW-Authenticate"]


async def test_other_tokens(
    certified: CertifiedProvider,
    http_client: AsyncHTTPClient,
    here: str,
    relying_party: clefstorm.RelyingParty,
    server: clefstorm.ResourceServer,
) -> None:
    """The id token and the refresh token of the same login open nothing."""
    token, session = await signed_in(certified, http_client, here, relying_party)
    assert (await ask(http_client, f"{here}/api", token)).code == 200
    assert session.tokens is not None
    for other in (session.tokens.id_token, session.tokens.refresh_token):
        assert other is not None
        assert (await ask(http_client, f"{here}/api", other)).code == 401
        with pytest.raises(ProtocolViolation) as refused:
            await server.check(other)
        assert type(refused.value) is ProtocolViolation


@pytest.mark.parametrize("resource", [OTHER])
async def test_a_token_for_another_api(
    certified: CertifiedProvider,
    http_client: AsyncHTTPClient,
    here: str,
    relying_party: clefstorm.RelyingParty,
    server: clefstorm.ResourceServer,
    io_loop: IOLoop,
) -> None:
    """A token that the same provider gave for another API opens nothing here."""
    token, _ = await signed_in(certified, http_client, here, relying_party)
    other = clefstorm.ResourceServer(
        certified.issuer, audience=OTHER, client_id="api", client_secret=SECRET
    )
    assert (await other.check(token)).sub == "anna"
    await other.close()
    assert (await ask(http_client, f"{here}/api", token)).code == 401
    with refusal(ProtocolViolation, "aud_missing_us"):
        await server.check(token)
