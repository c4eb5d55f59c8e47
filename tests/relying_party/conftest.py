"""A relying party joined to a small provider by a fake wire: all real but the network."""

from __future__ import annotations

import json
import secrets
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from clefstorm.bus import AsyncBus
from clefstorm.client import AsyncClient
from clefstorm.keys import HS256Key
from clefstorm.protocol.exchange import MetadataWanted, Request, Response
from clefstorm.protocol.jwt import build_jwt
from clefstorm.protocol.metadata import ProviderMetadata
from clefstorm.providers import OpenIDProvider
from clefstorm.relying_party import LoginDone, RelyingParty
from clefstorm.sessions import MemorySessionStore
from clefstorm.testing.clock import Clock

ISSUER = "https://id.example.com"
SECRET = "the-secret-of-the-client-is-long-enough"
LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"


class Wire:
    """Stands in for a runner: answers a flow's asks as the provider would, without a network."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.codes: dict[str, dict[str, Any]] = {}
        self.refresh_tokens: dict[str, dict[str, Any]] = {}
        self.requests: list[str] = []
        self.token_status = 200
        self.kid: str | None = None
        self.refreshed_claims: dict[str, Any] | None = None
        self.meanwhile: Callable[[], Awaitable[None]] | None = None
        self.provider = OpenIDProvider(
            issuer=ISSUER,
            client_id="app",
            client_secret=SECRET,
            redirect_uri="https://app.example.com/auth/callback",
            post_logout_redirect_uri="https://app.example.com/auth/logged-out",
            id_token_signed_response_alg="HS256",
        )
        self.metadata = ProviderMetadata(
            issuer=ISSUER,
            authorization_endpoint=f"{ISSUER}/authorize",
            token_endpoint=f"{ISSUER}/token",
            end_session_endpoint=f"{ISSUER}/end",
            authorization_response_iss_parameter_supported=True,
        )

    async def run(self, flow: Any, *, deadline: float) -> Any:
        answer: Any = None
        try:
            while True:
                ask = flow.send(answer)
                match ask:
                    case MetadataWanted():
                        answer = self.metadata
                    case Request():
                        answer = await self._answer(ask)
                    case _:
                        raise AssertionError(ask)
        except StopIteration as stop:
            return stop.value

    async def close(self) -> None:
        pass

    async def _answer(self, request: Request) -> Response:
        form = {
            name: values[0] for name, values in parse_qs((request.body or b"").decode()).items()
        }
        self.requests.append(form["grant_type"])
        if self.meanwhile is not None:
            await self.meanwhile()
        if self.token_status != 200:
            return Response(status=self.token_status, body=b"<h1>Oops</h1>")
        if form["grant_type"] == "authorization_code":
            found = self.codes.pop(form["code"], None)
        else:
            found = self.refresh_tokens.pop(form["refresh_token"], None)
        if found is None:
            return Response(status=400, body=b'{"error": "invalid_grant"}')
        claims = {**found, "iat": int(self.clock()), "exp": int(self.clock()) + 3600}
        answer = {
            "access_token": f"access-{len(self.requests)}",
            "token_type": "Bearer",
            "expires_in": 300,
            "refresh_token": secrets.token_urlsafe(8),
            "id_token": self.sign(claims),
        }
        self.refresh_tokens[str(answer["refresh_token"])] = found
        if form["grant_type"] == "refresh_token":
            del answer["id_token"]
            if self.refreshed_claims is not None:
                answer["id_token"] = self.sign({**claims, **self.refreshed_claims})
        return Response(status=200, body=json.dumps(answer).encode())

    def sign(self, claims: dict[str, Any], *, typ: str = "JWT") -> str:
        return build_jwt(claims, HS256Key(SECRET, kid=self.kid), typ=typ)

    def logout_token(self, **changes: Any) -> str:
        claims = {
            "iss": ISSUER,
            "aud": "app",
            "iat": int(self.clock()),
            "exp": int(self.clock()) + 120,
            "jti": secrets.token_urlsafe(8),
            "events": {LOGOUT_EVENT: {}},
            **changes,
        }
        return self.sign(
            {name: value for name, value in claims.items() if value is not None}, typ="logout+jwt"
        )

    def approve(self, url: str, *, sub: str = "alice", sid: str | None = None) -> list[Any]:
        """Sign in at the provider; return the parameters that the browser comes back with."""
        sent = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        code = secrets.token_urlsafe(8)
        claims = {"iss": ISSUER, "aud": "app", "sub": sub, "nonce": sent["nonce"], "sid": sid}
        self.codes[code] = {name: value for name, value in claims.items() if value is not None}
        return [("code", code), ("state", sent["state"]), ("iss", ISSUER)]


class Visitor:
    """A browser's cookies, and the walk through a login."""

    def __init__(self, relying_party: RelyingParty, wire: Wire) -> None:
        self.relying_party = relying_party
        self.wire = wire
        self.cookies: dict[str, str] = {}

    @property
    def session_id(self) -> str | None:
        return self.cookies.get(self.relying_party.cookies.session)

    async def begin(self, alias: str | None = None, **options: Any) -> str:
        start = await self.relying_party.begin_login(alias, cookies=self.cookies, **options)
        for name in start.drop:
            del self.cookies[name]
        self.cookies[start.cookie_name] = start.cookie_value
        return start.url

    async def finish(self, parameters: list[Any]) -> Any:
        done = await self.relying_party.finish_login(parameters, cookies=self.cookies)
        for name in done.clear:
            del self.cookies[name]
        if isinstance(done, LoginDone) and done.session_id is not None:
            self.cookies[self.relying_party.cookies.session] = done.session_id
        return done

    async def sign_in(self, *, sub: str = "alice", sid: str | None = None, **options: Any) -> Any:
        return await self.finish(self.wire.approve(await self.begin(**options), sub=sub, sid=sid))

    async def session(self) -> Any:
        return await self.relying_party.session(self.session_id)


@pytest.fixture
def given_clock() -> Clock:
    return Clock()


@pytest.fixture
def wire(given_clock: Clock) -> Wire:
    return Wire(given_clock)


@pytest.fixture
def make_party(given_clock: Clock, wire: Wire, io_loop: Any) -> Any:
    """Return a maker of relying parties on memory stores, closed at the end."""
    made = []

    def make(**options: Any) -> RelyingParty:
        client = AsyncClient(wire.provider, clock=given_clock)
        client._runner = wire  # type: ignore[assignment]
        options.setdefault("sessions", MemorySessionStore(clock=given_clock))
        options.setdefault("bus", AsyncBus())
        party = RelyingParty({"default": client}, secret="s" * 32, clock=given_clock, **options)
        made.append(party)
        return party

    yield make
    for party in made:
        io_loop.run_sync(party.close)


@pytest.fixture
def party(make_party: Any) -> RelyingParty:
    return make_party()


@pytest.fixture
def make_visitor(wire: Wire) -> Callable[[RelyingParty], Visitor]:
    """Return a maker of browsers without cookies."""
    return lambda party: Visitor(party, wire)


@pytest.fixture
def visitor(party: RelyingParty, wire: Wire) -> Visitor:
    return Visitor(party, wire)


@pytest.fixture
def another_visitor(party: RelyingParty, wire: Wire) -> Visitor:
    return Visitor(party, wire)
