"""The safe forms of the code flow with a certified provider that nobody here wrote.

Client assertions, pushed requests, revocation, encrypted tokens and signed userinfo, each in a
mounted application, driven by a browser without scripts.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from parts.walker import Walker
from tornado.web import Application, RequestHandler

import clefstorm
from clefstorm.bus import AsyncBus
from clefstorm.errors import ProviderError, TokenRefused
from clefstorm.jwe import generate_decryption_key
from clefstorm.keys import Key, KeyList, generate_key
from clefstorm.protocol.token_endpoint import Tokens
from clefstorm.registry import build_client
from clefstorm.sessions import MemorySessionStore

pytestmark = [pytest.mark.needs("oidc-provider"), pytest.mark.gen_test(timeout=30)]

SECRET = "a-client-secret-for-these-tests-alone"
SCOPE = "openid profile email offline_access"


class Home(clefstorm.UserMixin, RequestHandler):
    @clefstorm.authenticated
    async def get(self) -> None:
        self.write({"sub": self.current_user.sub, "email": self.current_user.email})


class Mounted:
    """An application of one alias, registered at the provider, with a browser before it."""

    def __init__(self, start: Any, http_port: int, http_client: Any) -> None:
        self._start = start
        self.url = f"http://127.0.0.1:{http_port}"
        self.walker = Walker(http_client)
        self.party: clefstorm.RelyingParty
        self.provider: Any

    def set_up(
        self, registered: dict[str, Any], options: dict[str, Any], **of_party: Any
    ) -> clefstorm.RelyingParty:
        self.provider = self._start(
            {
                "client_id": "app",
                "redirect_uris": [f"{self.url}/auth/callback"],
                "post_logout_redirect_uris": [f"{self.url}/auth/logged-out"],
                "backchannel_logout_uri": f"{self.url}/auth/backchannel-logout",
                "backchannel_logout_session_required": True,
                **registered,
            }
        )
        client = build_client(
            "default",
            {
                "issuer": self.provider.issuer,
                "client_id": "app",
                "redirect_uri": f"{self.url}/auth/callback",
                "post_logout_redirect_uri": f"{self.url}/auth/logged-out",
                "scope": SCOPE,
                **options,
            },
        )
        self.party = clefstorm.RelyingParty(
            {"default": client},
            sessions=MemorySessionStore(),
            bus=AsyncBus(),
            secret="s" * 32,
            **of_party,
        )
        return self.party

    async def sign_in(self) -> clefstorm.LoginSession:
        # Refresh tokens are for offline_access, which needs a consent (Core, section 11).
        login = f"{self.url}/auth/login?next=/&prompt=consent"
        page = await self.provider.sign_in(self.walker, login, account="anna")
        assert page.code == 200, page.body
        assert json.loads(page.body) == {"sub": "anna", "email": "anna@example.com"}
        (session,) = await self.party.sessions.list_sub(self.provider.issuer, "anna")
        return session

    async def refused(self) -> str:
        """The page that says why a login did not work."""
        login = f"{self.url}/auth/login?next=/&prompt=consent"
        page = await self.provider.sign_in(self.walker, login, account="anna")
        assert page.code >= 400
        return page.body.decode()


@pytest.fixture
def app() -> Application:
    return Application([(r"/", Home)], xsrf_cookies=False)


@pytest.fixture
def mounted(start_oidc_provider, http_port, http_client, app, io_loop):
    mounted = Mounted(start_oidc_provider, http_port, http_client)
    set_up = mounted.set_up

    def mount(*args: Any, **of_party: Any) -> clefstorm.RelyingParty:
        party = set_up(*args, **of_party)
        app.add_handlers(r".*", clefstorm.login_routes(party, "/auth"))
        app.settings["clefstorm"] = party
        return party

    mounted.set_up = mount
    yield mounted
    io_loop.run_sync(mounted.party.close)


def jwks(*keys: Any) -> dict[str, Any]:
    return {"keys": [key.to_jwk() for key in keys]}


def private_key_jwt(key: Key) -> dict[str, Any]:
    return {"token_endpoint_auth_method": "private_key_jwt", "jwks": jwks(key)}


BY_SECRET = {"client_secret": SECRET}


@pytest.mark.parametrize("audience", [None, "issuer", "token_endpoint"])
@pytest.mark.parametrize("alg", ["RS256", "PS256", "ES256", "EdDSA"])
async def test_private_key_jwt(mounted, alg, audience) -> None:
    """A login, a refresh and a revocation, each proved by an assertion of its own."""
    key = generate_key(alg, kid="ours")
    party = mounted.set_up(
        private_key_jwt(key), {"client_key": key, "client_assertion_audience": audience}
    )
    session = await mounted.sign_in()
    session = await party.refresh(session)
    client = party.client()
    await client.revoke(session.tokens.refresh_token, token_type_hint="refresh_token")
    with pytest.raises(TokenRefused) as refused:
        await client.refresh(session.tokens)
    assert refused.value.error == "invalid_grant"


async def test_a_retired_key(mounted) -> None:
    """After a rotation the new key signs; with the old one alone the provider says no."""
    old, new = generate_key("ES256", kid="old"), generate_key("ES256", kid="new")
    mounted.set_up(private_key_jwt(new), {"client_key": KeyList(new, old)})
    await mounted.sign_in()


async def test_an_unknown_key(mounted) -> None:
    """An assertion by a key that is not registered is invalid_client, and says no more."""
    mounted.set_up(
        private_key_jwt(generate_key("ES256", kid="theirs")),
        {"client_key": generate_key("ES256", kid="ours")},
    )
    assert "pushed_request_refused" in await mounted.refused()


async def test_client_secret_jwt(mounted) -> None:
    """The secret signs, and is sent nowhere."""
    party = mounted.set_up(
        {"client_secret": SECRET, "token_endpoint_auth_method": "client_secret_jwt"},
        {"client_secret": SECRET, "token_endpoint_auth_method": "client_secret_jwt"},
    )
    session = await mounted.sign_in()
    assert (await party.refresh(session)).tokens != session.tokens


async def test_pushed_requests_required(mounted) -> None:
    """The browser carries the client_id and a request_uri, and nothing of the request."""
    party = mounted.set_up({**BY_SECRET, "require_pushed_authorization_requests": True}, BY_SECRET)
    start = await party.begin_login()
    sent = parse_qs(urlsplit(start.url).query)
    assert set(sent) == {"client_id", "request_uri"}
    await mounted.sign_in()


async def test_pushed_requests_switched_off(mounted) -> None:
    """Where the client has to push and doesn't, the provider refuses, and so do we in the end."""
    party = mounted.set_up(
        {**BY_SECRET, "require_pushed_authorization_requests": True},
        {**BY_SECRET, "pushed_authorization_requests": False},
    )
    start = await party.begin_login()
    assert "code_challenge" in parse_qs(urlsplit(start.url).query)
    assert "Pushed Authorization Request" in await mounted.refused()


async def test_a_push_refused(mounted) -> None:
    """What the provider says to a bad request is an error of ours with its words."""
    party = mounted.set_up(BY_SECRET, BY_SECRET)
    assert (await party.begin_login()).url
    with pytest.raises(ProviderError) as refused:
        await party.begin_login(prompt="nonsense")
    assert (refused.value.code, refused.value.error) == (
        "pushed_request_refused",
        "invalid_request",
    )


async def test_tokens_are_revoked_at_a_logout(mounted) -> None:
    """With revoke_tokens the offline token of an ended session is dead at the provider too."""
    party = mounted.set_up(BY_SECRET, BY_SECRET, revoke_tokens=True)
    session = await mounted.sign_in()
    told = asyncio.Event()
    party.listeners.append(lambda heard: told.set() if heard.event == "token_revoked" else None)
    await party.revoke(session.key)
    await asyncio.wait_for(told.wait(), 10)
    with pytest.raises(TokenRefused) as refused:
        await party.client().refresh(session.tokens)
    assert refused.value.error == "invalid_grant"


async def test_tokens_live_on_by_default(mounted) -> None:
    """Without it an offline token is dropped and not revoked (Back-Channel Logout 1.0, 2.7)."""
    party = mounted.set_up(BY_SECRET, BY_SECRET)
    session = await mounted.sign_in()
    await party.revoke(session.key)
    fresh: Tokens = await party.client().refresh(session.tokens)
    assert fresh.access_token


ENCRYPTIONS = {
    "rsa": ("RSA-OAEP-256", "A256GCM"),
    "rsa_default_enc": ("RSA-OAEP-256", None),
    "ecdh_direct": ("ECDH-ES", "A128GCM"),
    "ecdh_wrapped": ("ECDH-ES+A256KW", "A256CBC-HS512"),
}


@pytest.mark.parametrize(("alg", "enc"), ENCRYPTIONS.values(), ids=ENCRYPTIONS)
async def test_encrypted_tokens(mounted, http_client, alg, enc) -> None:
    """Id tokens, refreshed ones, logout tokens and userinfo, signed and then encrypted to us."""
    key = generate_decryption_key(alg, kid="to-us")
    agreed = {
        "id_token_encrypted_response_alg": alg,
        "userinfo_signed_response_alg": "RS256",
        "userinfo_encrypted_response_alg": alg,
    }
    if enc is not None:
        agreed |= {"id_token_encrypted_response_enc": enc, "userinfo_encrypted_response_enc": enc}
    party = mounted.set_up(
        {**BY_SECRET, **agreed, "jwks": jwks(key)}, {**BY_SECRET, **agreed, "decryption_key": key}
    )
    session = await mounted.sign_in()
    assert session.tokens.id_token.count(".") == 2  # kept as it is signed, for the hint
    session = await party.refresh(session)
    assert session.tokens.id_token.count(".") == 2
    with party.watch(session.key) as tab:
        await mounted.provider.sign_out(mounted.walker)
        assert (await tab.next(timeout=10)).message == {"reason": "backchannel"}
    (delivery,) = await mounted.provider.deliveries(http_client)
    assert delivery["error"] is None


async def test_a_logout_from_here_after_an_encrypted_login(mounted) -> None:
    """The hint is the signed token without the encryption, and the provider knows it."""
    key = generate_decryption_key("ECDH-ES", kid="to-us")
    agreed = {"id_token_encrypted_response_alg": "ECDH-ES"}
    mounted.set_up(
        {**BY_SECRET, **agreed, "jwks": jwks(key)}, {**BY_SECRET, **agreed, "decryption_key": key}
    )
    await mounted.sign_in()
    confirm = await mounted.walker.get(f"{mounted.url}/auth/logout?next=/")
    sent = await mounted.walker.submit(confirm, stop_at=f"{mounted.provider.issuer}/")
    page = await mounted.provider.sign_out(mounted.walker, sent.headers["Location"])
    assert page.effective_url.startswith(mounted.provider.issuer) or page.code == 200


async def test_an_unencrypted_token_where_encryption_was_agreed(mounted) -> None:
    """A provider that forgets to encrypt is refused (Core 1.0, 3.1.3.7, step 1)."""
    key = generate_decryption_key("ECDH-ES", kid="to-us")
    mounted.set_up(
        BY_SECRET,
        {**BY_SECRET, "id_token_encrypted_response_alg": "ECDH-ES", "decryption_key": key},
    )
    assert "jwt_not_encrypted" in await mounted.refused()


async def test_an_encrypted_token_where_none_was_agreed(mounted) -> None:
    """And one that encrypts to a client that never asked for it, too."""
    key = generate_decryption_key("ECDH-ES", kid="to-us")
    agreed = {"id_token_encrypted_response_alg": "ECDH-ES"}
    mounted.set_up({**BY_SECRET, **agreed, "jwks": jwks(key)}, BY_SECRET)
    assert "jwt_encrypted" in await mounted.refused()


@pytest.mark.parametrize("alg", ["RS256", "ES256"])
async def test_signed_userinfo(mounted, alg) -> None:
    """Userinfo that is a signed token (Core 1.0, section 5.3.2)."""
    agreed = {"userinfo_signed_response_alg": alg}
    mounted.set_up({**BY_SECRET, **agreed}, {**BY_SECRET, **agreed})
    await mounted.sign_in()


async def test_signed_userinfo_where_none_was_agreed(mounted) -> None:
    """Without the option it is refused, and with it an unsigned one is."""
    mounted.set_up({**BY_SECRET, "userinfo_signed_response_alg": "RS256"}, BY_SECRET)
    assert "userinfo_signed" in await mounted.refused()
