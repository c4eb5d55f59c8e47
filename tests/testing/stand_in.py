"""The least of an application: it registers with a provider and notes what arrives."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

import jwt
from tornado.httpclient import AsyncHTTPClient, HTTPResponse
from tornado.httpserver import HTTPServer
from tornado.httputil import HTTPHeaders
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler

from clefstorm.testing import Browser, Page, Provider

SECRET = "a secret of the stand-in, long enough for HMAC"
VERIFIER = "a-verifier-of-forty-three-characters-or-more"


def s256(verifier: str) -> str:
    digest = hashlib.sha256(verifier.encode()).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def basic(client_id: str, client_secret: str) -> dict[str, str]:
    pair = base64.b64encode(f"{client_id}:{client_secret}".encode()).decode()
    return {"Authorization": f"Basic {pair}"}


class _Callback(RequestHandler):
    def initialize(self, app: StandIn) -> None:
        self.app = app

    def get(self) -> None:
        self.note({name: self.get_query_argument(name) for name in self.request.query_arguments})

    def post(self) -> None:
        self.note({name: self.get_body_argument(name) for name in self.request.body_arguments})

    def note(self, answer: dict[str, str]) -> None:
        self.app.answers.append(answer)
        self.app.origins.append(self.request.headers.get("Origin"))
        self.write("back at the application")


class _BackChannel(RequestHandler):
    def initialize(self, app: StandIn) -> None:
        self.app = app

    def post(self) -> None:
        self.app.logout_tokens.append(self.get_body_argument("logout_token"))
        self.set_status(self.app.logout_status)
        self.set_header("Location", "/callback")


@dataclass
class StandIn:
    """On 127.0.0.1, another site than the provider's localhost."""

    http: AsyncHTTPClient
    provider: Provider
    answers: list[dict[str, str]] = field(default_factory=list)
    origins: list[str | None] = field(default_factory=list)
    logout_tokens: list[str] = field(default_factory=list)
    logout_status: int = 200
    url: str = ""
    _server: HTTPServer | None = None

    async def start(self, **registration: Any) -> None:
        bound = {"app": self}
        self._server = HTTPServer(
            Application([("/callback", _Callback, bound), ("/gone", _BackChannel, bound)])
        )
        sockets = bind_sockets(0, "127.0.0.1")
        self._server.add_sockets(sockets)
        self.url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
        self.register("app", **registration)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.stop()
            await self._server.close_all_connections()

    @property
    def callback(self) -> str:
        return f"{self.url}/callback"

    def register(self, client_id: str, **changes: Any) -> None:
        self.provider.add_client(
            client_id,
            **{
                "client_secret": SECRET,
                "redirect_uris": [self.callback],
                "post_logout_redirect_uris": [f"{self.url}/callback?bye"],
                "backchannel_logout_uri": f"{self.url}/gone",
                **changes,
            },
        )

    def authorization(self, **changes: str | None) -> str:
        """The URL to sign in at; a parameter that is changed to None is left out."""
        parameters = {
            "response_type": "code",
            "client_id": "app",
            "redirect_uri": self.callback,
            "scope": "openid profile email",
            "state": "the state",
            "nonce": "the nonce",
            "code_challenge": s256(VERIFIER),
            "code_challenge_method": "S256",
            **changes,
        }
        given = {name: value for name, value in parameters.items() if value is not None}
        return f"{self.provider.issuer}/authorize?{urlencode(given)}"

    async def code(self, browser: Browser, username: str = "alice", **changes: str | None) -> str:
        """Sign in and return the code."""
        await browser.sign_in(self.provider, username, self.authorization(**changes))
        return self.answers[-1]["code"]

    async def post(
        self, path: str, form: Mapping[str, str | None], headers: dict[str, str] | None = None
    ) -> HTTPResponse:
        """Call an endpoint of the provider with a form; a field that is None is left out."""
        given = {name: value for name, value in form.items() if value is not None}
        return await self.http.fetch(
            f"{self.provider.issuer}{path}",
            method="POST",
            headers=HTTPHeaders(headers or {}),
            body=urlencode(given),
            raise_error=False,
        )

    async def redeem(
        self, code: str, *, headers: dict[str, str] | None = None, **changes: str | None
    ) -> HTTPResponse:
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.callback,
            "code_verifier": VERIFIER,
            **changes,
        }
        return await self.post("/token", form, basic("app", SECRET) if headers is None else headers)

    async def refresh(self, refresh_token: str, **changes: str | None) -> HTTPResponse:
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token, **changes}
        return await self.post("/token", form, basic("app", SECRET))

    async def tokens(
        self, browser: Browser, username: str = "alice", **changes: str | None
    ) -> dict[str, Any]:
        """Sign in, redeem the code, return the token answer."""
        response = await self.redeem(await self.code(browser, username, **changes))
        assert response.code == 200, response.body
        answer: dict[str, Any] = json.loads(response.body)
        return answer

    async def userinfo(self, access_token: str) -> HTTPResponse:
        return await self.http.fetch(
            f"{self.provider.issuer}/userinfo",
            headers=HTTPHeaders({"Authorization": f"Bearer {access_token}"}),
            raise_error=False,
        )

    async def claims(self, token: str, *, key: Any = None) -> dict[str, Any]:
        """The claims of a token, verified by somebody else's code with the published keys."""
        alg = jwt.get_unverified_header(token)["alg"]
        if key is None:
            response = await self.http.fetch(f"{self.provider.issuer}/jwks")
            kid = jwt.get_unverified_header(token)["kid"]
            key = jwt.PyJWKSet.from_json(response.body.decode())[kid]
        options: Any = {"verify_exp": False, "verify_iat": False}
        claims: dict[str, Any] = jwt.decode(
            token, key, algorithms=[alg], audience="app", options=options
        )
        return claims


def error_of(response: HTTPResponse) -> str:
    error: str = json.loads(response.body)["error"]
    return error


def heading(page: Page) -> str:
    return page.text.partition("<h1>")[2].partition("</h1>")[0]
