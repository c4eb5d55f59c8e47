"""An application with a Clef alias beside its OpenID one, and the embedded provider for both."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from clef_names import APP_ID, APP_SECRET, CALLBACK
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.web import Application, RequestHandler

from clefstorm import ClefStorm, UserMixin, wave_button
from clefstorm.handlers import login_routes
from clefstorm.registry import build_client
from clefstorm.relying_party import Happening, RelyingParty
from clefstorm.sessions import MemorySessionStore
from clefstorm.testing import Provider
from clefstorm.testing.fixtures import browser as browser
from clefstorm.testing.fixtures import new_browser as new_browser
from clefstorm.testing.fixtures import provider as provider


class Home(UserMixin, RequestHandler):
    """Says who is there, and shows strangers a wave of its own."""

    async def get(self) -> None:
        user = self.current_user
        self.finish(f"hello {user.name}" if user else await wave_button(self, "clef"))


@pytest.fixture
def rp(io_loop: IOLoop) -> Iterator[RelyingParty]:
    party = RelyingParty({}, MemorySessionStore(), secret="a secret of a test, 32 bytes or more")
    yield party
    io_loop.run_sync(party.close)


@pytest.fixture
def happenings(rp: RelyingParty) -> list[Happening]:
    heard: list[Happening] = []
    rp.listeners.append(heard.append)
    return heard


@pytest.fixture
def app(rp: RelyingParty) -> Application:
    return Application(
        [(r"/", Home), *login_routes(rp, "/auth")],
        clefstorm=rp,
        xsrf_cookies=True,
        cross_origin_protection=True,
    )


@pytest.fixture
def site(
    provider: Provider, rp: RelyingParty, http_server: HTTPServer, http_port: int, io_loop: IOLoop
) -> Iterator[str]:
    """The application's address; its alias "clef" is registered with the embedded provider."""
    here = f"http://127.0.0.1:{http_port}"
    provider.add_client(
        APP_ID,
        APP_SECRET,
        [f"{here}/auth/callback", CALLBACK],
        clef_logout_uri=f"{here}/auth/clef-logout",
    )
    options = {
        "provider": "clef",
        "client_id": APP_ID,
        "client_secret": APP_SECRET,
        "redirect_uri": f"{here}/auth/callback",
        "api_url": provider.api_url,
    }
    client = build_client("clef", options)
    rp._setting._clients["clef"] = client  # type: ignore[index]
    yield here
    io_loop.run_sync(client.close)


@pytest.fixture
def make_storm(io_loop: IOLoop, provider: Provider) -> Iterator[Callable[..., ClefStorm]]:
    """``make_storm(token_ttl=0)``: a client of the embedded Clef API with these attributes."""
    provider.add_client(APP_ID, APP_SECRET, [CALLBACK], clef_logout_uri="http://127.0.0.1:9/hook")
    made: list[ClefStorm] = []

    def make_storm(api_key: str = APP_ID, api_password: str = APP_SECRET, **attributes: object):
        storm = ClefStorm(api_key, api_password)
        storm.api_url = provider.api_url
        for name, value in attributes.items():
            setattr(storm, name, value)
        made.append(storm)
        return storm

    yield make_storm
    for storm in made:
        io_loop.run_sync(storm.close)


@pytest.fixture
def storm(make_storm: Callable[..., ClefStorm]) -> ClefStorm:
    return make_storm()


@pytest.fixture
def new_code(provider: Provider) -> Callable[..., object]:
    """``await new_code("alice")``: a code, as after an approval at the provider."""

    async def new_code(username: str = "alice", app_id: str = APP_ID) -> str:
        _, session = await provider.sign_in(username, previous=None, user_agent="test")
        return provider.clef.issue_code(session, app_id=app_id)

    return new_code
