"""The whole life of a session with a certified provider that nobody here wrote (oidc-provider)."""

from __future__ import annotations

import json

import pytest
from parts.walker import Walker
from tornado.web import Application, RequestHandler

import clefstorm
from clefstorm.bus import AsyncBus
from clefstorm.registry import build_client
from clefstorm.sessions import MemorySessionStore

pytestmark = [pytest.mark.needs("oidc-provider"), pytest.mark.gen_test(timeout=30)]

SECRET = "a-client-secret-for-these-tests-alone"
SCOPE = "openid profile email offline_access"


class Home(clefstorm.UserMixin, RequestHandler):
    @clefstorm.authenticated
    async def get(self) -> None:
        relying_party = self.settings["clefstorm"]
        if self.get_query_argument("refresh", None):
            await relying_party.refresh(self.current_user)
        self.write(
            {
                "sub": self.current_user.sub,
                "email": self.current_user.email,
                "token": await relying_party.access_token(self.current_user),
            }
        )


class Bye(RequestHandler):
    def get(self) -> None:
        self.write("bye")


# What the provider signs with, and what the application pins: Ed25519 has two names (RFC 9864).
PINNED = {"RS256": "RS256", "ES256": None, "Ed25519": "EdDSA"}


@pytest.fixture(params=PINNED)
def alg(request) -> str:
    return request.param


@pytest.fixture
def provider(start_oidc_provider, http_port, alg):
    here = f"http://127.0.0.1:{http_port}"
    return start_oidc_provider(
        {
            "client_id": "app",
            "client_secret": SECRET,
            "redirect_uris": [f"{here}/auth/callback"],
            "post_logout_redirect_uris": [f"{here}/auth/logged-out"],
            "backchannel_logout_uri": f"{here}/auth/backchannel-logout",
            "backchannel_logout_session_required": True,
            "id_token_signed_response_alg": alg,
        }
    )


@pytest.fixture
def relying_party(provider, http_port, io_loop, alg):
    here = f"http://127.0.0.1:{http_port}"
    client = build_client(
        "default",
        {
            "issuer": provider.issuer,
            "client_id": "app",
            "client_secret": SECRET,
            "redirect_uri": f"{here}/auth/callback",
            "post_logout_redirect_uri": f"{here}/auth/logged-out",
            "scope": SCOPE,
            "id_token_signed_response_alg": PINNED[alg],
            "authorization_parameters": {"acr_values": "0"},
        },
    )
    party = clefstorm.RelyingParty(
        {"default": client}, sessions=MemorySessionStore(), bus=AsyncBus(), secret="s" * 32
    )
    yield party
    io_loop.run_sync(party.close)


@pytest.fixture
def app(relying_party) -> Application:
    return Application(
        [(r"/", Home), (r"/bye", Bye), *clefstorm.login_routes(relying_party, "/auth")],
        clefstorm=relying_party,
        xsrf_cookies=False,
    )


@pytest.fixture
def base_url(http_port) -> str:
    """The application's address; the provider's issuer says localhost, which is another site."""
    return f"http://127.0.0.1:{http_port}"


@pytest.fixture
def walker(http_client) -> Walker:
    return Walker(http_client)


def _login_url(base_url: str) -> str:
    # Refresh tokens are for offline_access, which needs a consent (Core, section 11).
    return f"{base_url}/auth/login?next=/&prompt=consent"


async def test_a_login(provider, walker, base_url) -> None:
    """Code flow with PKCE required, each common algorithm: the user is signed in."""
    page = await provider.sign_in(walker, _login_url(base_url), account="anna")
    assert page.code == 200
    shown = json.loads(page.body)
    assert (shown["sub"], shown["email"]) == ("anna", "anna@example.com")


async def test_a_refresh(provider, walker, base_url) -> None:
    """A refresh brings another access token, twice over, with the rotation kept."""
    page = await provider.sign_in(walker, _login_url(base_url), account="anna")
    tokens = [json.loads(page.body)["token"]]
    for _ in range(2):
        page = await walker.get(f"{base_url}/?refresh=1")
        tokens.append(json.loads(page.body)["token"])
    assert len(set(tokens)) == 3


async def test_a_logout_from_here(provider, walker, base_url, http_client) -> None:
    """RP-initiated logout ends both sessions and returns to the page that was asked for."""
    await provider.sign_in(walker, _login_url(base_url), account="anna")
    confirm = await walker.get(f"{base_url}/auth/logout?next=/bye")
    sent = await walker.submit(confirm, stop_at=f"{provider.issuer}/")
    page = await provider.sign_out(walker, sent.headers["Location"])
    assert (page.effective_url, page.body) == (f"{base_url}/bye", b"bye")
    assert json.loads((await walker.get(f"{base_url}/auth/me")).body)["signed_in"] is False


async def test_a_logout_there(provider, walker, base_url, http_client, relying_party) -> None:
    """Its back-channel logout call is accepted, and the session's tabs are told."""
    await provider.sign_in(walker, _login_url(base_url), account="anna")
    (session,) = await relying_party.sessions.list_sub(provider.issuer, "anna")
    with relying_party.watch(session.key) as tab:
        await provider.sign_out(walker)
        assert (await tab.next(timeout=10)).message == {"reason": "backchannel"}
    (delivery,) = await provider.deliveries(http_client)
    assert (delivery["error"], delivery["sid"]) == (None, session.sid)
    assert json.loads((await walker.get(f"{base_url}/auth/me")).body)["signed_in"] is False


async def test_a_user_who_says_no(provider, walker, base_url) -> None:
    """access_denied, with HTML in its description, is a plain page that shows it as text."""
    page = await provider.decline(walker, _login_url(base_url))
    assert page.code == 403
    assert b"authorization_refused" in page.body
    assert b"<script" not in page.body
