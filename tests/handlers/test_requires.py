"""requires on handlers with a cookie: permissions, and signing in again or better."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any, cast
from urllib.parse import parse_qs, urlsplit

import pytest
from mounted import NAVIGATION, OLD_XHR, XHR, Settings, SignedIn
from protocol.expecting import refusal
from tornado.httpclient import AsyncHTTPClient, HTTPResponse
from tornado.web import Application, RequestHandler

from clefstorm.client import AsyncClient
from clefstorm.errors import ConfigurationError
from clefstorm.handlers import UserMixin, requires
from clefstorm.protocol.token_endpoint import Tokens
from clefstorm.registry import build_client
from clefstorm.relying_party import Happening, RelyingParty
from clefstorm.testing import Browser, Clock, Provider, TokenDraft

SignIn = Callable[..., Awaitable[SignedIn]]


class Admin(UserMixin, RequestHandler):
    @requires(roles=["admin"], roles_claim="realm_access.roles")
    async def get(self, what: str) -> None:
        self.finish(f"administered {what}")

    @requires(claims={"email_verified": True, "department": ["sales", "support"]})
    def post(self, what: str) -> None:
        self.finish("sent")

    @requires(scopes=["read", "write"])
    def put(self, what: str) -> None:
        self.finish("put")


class Vault(UserMixin, RequestHandler):
    @requires(acr=["gold", "silver"])
    def get(self) -> None:
        self.finish("treasure")

    @requires(acr="gold", max_age=300)
    async def post(self) -> None:
        self.finish("paid")


class Recent(UserMixin, RequestHandler):
    @requires(max_age=300)
    def get(self) -> str | None:
        self.finish("recent")


class Prompting(UserMixin, RequestHandler):
    @requires(acr="gold", prompt="login")
    def get(self) -> None:
        self.finish("prompted")


class Both(UserMixin, RequestHandler):
    @requires(roles=["admin"], acr="gold")
    def get(self) -> None:
        self.finish("both")


class Mapped(UserMixin, RequestHandler):
    async def prepare(self) -> None:
        await super().prepare()
        self.current_user = {"roles": ["admin"]}

    @requires(roles=["admin"])
    def get(self) -> None:
        self.finish("never")


@pytest.fixture
def app(app: Application) -> Application:
    app.add_handlers(
        ".*",
        [
            (r"/admin/(.*)", Admin),
            (r"/vault", Vault),
            (r"/recent", Recent),
            (r"/prompting", Prompting),
            (r"/both", Both),
            (r"/mapped", Mapped),
        ],
    )
    return app


Ask = Callable[..., Awaitable[HTTPResponse]]


@pytest.fixture
def ask(http_client: AsyncHTTPClient, base_url: str) -> Ask:
    async def ask(path: str, method: str = "GET", **options: Any) -> HTTPResponse:
        if method in ("POST", "PUT"):
            options.setdefault("body", "")
        return await http_client.fetch(base_url + path, raise_error=False, method=method, **options)

    return ask


def query_of(url: str) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


ADMIN = {"sub": "alice", "realm_access": {"roles": ["admin", "boss"]}}


async def test_a_role(ask: Ask, sign_in: SignIn) -> None:
    """The method runs for a user with the role, and gets its arguments."""
    alice = await sign_in(claims=ADMIN)
    answer = await ask("/admin/us", headers=alice.headers(**NAVIGATION))
    assert (answer.code, answer.body) == (200, b"administered us")


@pytest.mark.parametrize(
    "claims",
    [
        pytest.param({"sub": "alice"}, id="no_claim"),
        pytest.param({"realm_access": {"roles": ["boss"]}}, id="another_role"),
        pytest.param({"realm_access": {"roles": "administrator"}}, id="part_of_a_text"),
        pytest.param({"roles": ["admin"]}, id="another_claim"),
        pytest.param({"realm_access": ["admin"]}, id="another_type"),
    ],
)
async def test_a_role_that_is_missing(
    ask: Ask, sign_in: SignIn, happenings: list[Happening], claims: dict[str, Any]
) -> None:
    """403: a page for a person, JSON for a script; what is missing only the audit log says."""
    assert (await ask("/admin/a", headers=(await sign_in(claims=ADMIN)).headers())).code == 200
    bob = await sign_in("bob", claims=claims)
    page = await ask("/admin/a", headers=bob.headers(**NAVIGATION))
    assert page.code == 403
    assert page.headers["Content-Type"].startswith("text/html")
    assert page.headers["Cache-Control"] == "no-store"
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    assert b"not open to your account" in page.body
    for script in (XHR, OLD_XHR):
        answer = await ask("/admin/a", headers=bob.headers(**script))
        assert (answer.code, json.loads(answer.body)) == (403, {"error": "access_denied"})
    assert b"admin" not in page.body
    denied = [one for one in happenings if one.event == "access_denied"]
    assert len(denied) == 3
    assert denied[0].alias == "default"
    assert denied[0].facts == {
        "code": "role_missing",
        "session": bob.session.key[:8],
        "sub": "bob",
    }


async def test_claims(ask: Ask, sign_in: SignIn) -> None:
    """Every claim has its value, or one of the values."""
    good = {"email_verified": True, "department": "support"}
    alice = await sign_in(claims=good)
    assert (await ask("/admin/a", "POST", headers=alice.headers())).body == b"sent"
    for wrong in ({"email_verified": "true"}, {"department": "it"}):
        bob = await sign_in("bob", claims=good | wrong)
        assert (await ask("/admin/a", "POST", headers=bob.headers())).code == 403


@pytest.mark.parametrize(
    ("granted", "status"),
    [
        pytest.param("read write openid", 200, id="granted"),
        pytest.param("openid read", 403, id="one_of_two"),
        pytest.param("", 403, id="nothing"),
        pytest.param("readwrite", 403, id="other_words"),
    ],
)
async def test_scopes(ask: Ask, sign_in: SignIn, granted: str, status: int) -> None:
    """Scopes are those that the provider granted with the access token."""
    alice = await sign_in(tokens=Tokens(access_token="t", scope=granted))
    assert (await ask("/admin/a", "PUT", headers=alice.headers())).code == status


async def test_scopes_of_the_configuration(
    ask: Ask, sign_in: SignIn, rp: RelyingParty, settings: Settings
) -> None:
    """What the application asks for by now was not granted to who signed in before."""
    alice = await sign_in(tokens=Tokens(access_token="t", scope="read write"))
    assert (await ask("/admin/a", "PUT", headers=alice.headers())).code == 200
    clients = cast(dict[str, AsyncClient], rp.clients)
    options = {
        "issuer": clients["default"].provider.issuer,
        "client_id": "app",
        "redirect_uri": settings.redirect_uri,
        "scope": "openid read write",
    }
    clients["default"] = build_client("default", options)
    for tokens in (None, Tokens(access_token="t"), Tokens(access_token="t", scope="openid")):
        bob = await sign_in("bob", tokens=tokens)
        assert (await ask("/admin/a", "PUT", headers=bob.headers())).code == 403


async def test_an_alias_that_is_another_provider_s_now(ask: Ask, sign_in: SignIn) -> None:
    """How a user signed in is known from the provider that opened the session, and no other."""
    good = await sign_in(claims={"acr": "gold"})
    assert (await ask("/vault", headers=good.headers(**NAVIGATION))).code == 200
    moved = await sign_in("bob", claims={"acr": "gold"}, iss="https://former.example.com")
    assert (await ask("/vault", headers=moved.headers(**NAVIGATION))).code == 403


async def test_nobody_is_asked_to_sign_in(ask: Ask) -> None:
    """Without a session requires answers as authenticated does."""
    page = await ask("/admin/a?b=1", headers=NAVIGATION)
    assert (page.code, page.headers["Location"]) == (
        302,
        "/auth/login?next=%2Fadmin%2Fa%3Fb%3D1",
    )
    answer = await ask("/vault", headers=XHR)
    assert (answer.code, json.loads(answer.body)["error"]) == (401, "signed_out")


@pytest.mark.parametrize(
    ("path", "claims", "wanted"),
    [
        pytest.param("/vault", {}, {"acr_values": "gold silver"}, id="acr_missing"),
        pytest.param("/vault", {"acr": "iron"}, {"acr_values": "gold silver"}, id="acr_too_weak"),
        pytest.param("/vault", {"acr": ["gold"]}, {"acr_values": "gold silver"}, id="acr_list"),
        pytest.param("/recent", {}, {"max_age": "300"}, id="auth_time_missing"),
        pytest.param("/recent", {"auth_time": 1}, {"max_age": "300"}, id="auth_time_too_old"),
    ],
)
async def test_step_up(
    ask: Ask, sign_in: SignIn, clock: Clock, path: str, claims: dict[str, Any], wanted: dict
) -> None:
    """A page goes to the login of the same provider with what is needed, and comes back."""
    good = await sign_in(claims={"acr": "silver", "auth_time": clock() - 300})
    assert (await ask(path, headers=good.headers(**NAVIGATION))).code == 200
    weak = await sign_in("bob", claims=claims)
    page = await ask(path, headers=weak.headers(**NAVIGATION))
    assert page.code == 302
    location = page.headers["Location"]
    assert urlsplit(location).path == "/auth/login"
    assert query_of(location) == {"provider": "default", "next": path, **wanted}
    assert page.headers["Cache-Control"] == "no-store"


async def test_prompt_of_a_step_up(ask: Ask, sign_in: SignIn) -> None:
    """prompt goes along where the handler wants it."""
    weak = await sign_in()
    page = await ask("/prompting", headers=weak.headers(**NAVIGATION))
    assert query_of(page.headers["Location"])["prompt"] == "login"
    page = await ask("/vault", headers=weak.headers(**NAVIGATION))
    assert "prompt" not in query_of(page.headers["Location"])


async def test_step_up_of_a_script(ask: Ask, sign_in: SignIn) -> None:
    """A script gets 401 with what is needed, and the address where its page may have it."""
    weak = await sign_in()
    for script in (XHR, OLD_XHR):
        answer = await ask("/vault", headers=weak.headers(**script))
        assert answer.code == 401
        assert answer.headers["WWW-Authenticate"] == (
            'Cookie realm="login", error="insufficient_user_authentication", '
            'acr_values="gold silver"'
        )
        assert json.loads(answer.body) == {
            "error": "insufficient_user_authentication",
            "acr_values": "gold silver",
            "login_url": "/auth/login?provider=default&acr_values=gold+silver",
        }


async def test_step_up_of_a_form(ask: Ask, sign_in: SignIn, clock: Clock) -> None:
    """A form that was sent is not lost by a redirect: its page says that nothing was done."""
    good = await sign_in(claims={"acr": "gold", "auth_time": clock()})
    sent = await ask("/vault", "POST", headers=good.headers(**NAVIGATION))
    assert sent.body == b"paid"
    weak = await sign_in("bob", claims={"acr": "gold", "auth_time": 1})
    page = await ask("/vault", "POST", headers=weak.headers(**NAVIGATION))
    assert page.code == 401
    assert b"nothing was changed" in page.body
    assert b"acr_values=gold&amp;max_age=300" in page.body
    assert 'max_age="300"' in page.headers["WWW-Authenticate"]


async def test_step_up_helps_nobody_without_permission(ask: Ask, sign_in: SignIn) -> None:
    """Who lacks the role is told so, and not sent to sign in again for nothing."""
    weak = await sign_in(claims={"roles": ["admin"]})
    assert (await ask("/both", headers=weak.headers(**NAVIGATION))).code == 302
    bob = await sign_in("bob")
    assert (await ask("/both", headers=bob.headers(**NAVIGATION))).code == 403


OAUTH2 = {
    "authorization_endpoint": "https://oauth.example.com/authorize",
    "token_endpoint": "https://oauth.example.com/token",
    "userinfo_endpoint": "https://oauth.example.com/me",
    "client_id": "app",
    "redirect_uri": "http://localhost/auth/callback",
}


async def test_no_loop_where_nobody_can_say(
    ask: Ask, sign_in: SignIn, rp: RelyingParty, clock: Clock
) -> None:
    """Without id tokens no sign-in can be proved better: 403, also where a profile says so."""
    cast(dict[str, AsyncClient], rp.clients)["plain"] = build_client("plain", OAUTH2)
    claims = {"acr": "gold", "auth_time": clock()}
    good = await sign_in(claims=claims)
    assert (await ask("/vault", headers=good.headers(**NAVIGATION))).code == 200
    for alias in ("plain", "gone"):
        for held in (claims, {}):
            bob = await sign_in("bob", alias=alias, claims=held)
            page = await ask("/vault", headers=bob.headers(**NAVIGATION))
            assert page.code == 403


async def test_a_replaced_user(ask: Ask, sign_in: SignIn, caplog: pytest.LogCaptureFixture) -> None:
    """requires can't judge what the application has put in the session's place, and says so."""
    alice = await sign_in(claims={"roles": ["admin"]})
    assert (await ask("/both", headers=alice.headers(**NAVIGATION))).code == 302
    assert (await ask("/mapped", headers=alice.headers(**NAVIGATION))).code == 500
    assert "current_user_replaced" in caplog.text


def test_mistakes_show_at_once() -> None:
    """What can't be meant fails when the handler is written."""
    assert requires(roles=["admin"])
    with refusal(ConfigurationError, "requires_nothing"):
        requires()
    with refusal(ConfigurationError, "prompt_invalid"):
        requires(acr="gold", prompt="none")


def test_the_method_stays_itself() -> None:
    """The decorated method keeps its name and its words."""

    def get(self: RequestHandler) -> None:
        """What it does."""

    decorated = requires(scopes=["read"])(get)
    assert (decorated.__name__, decorated.__doc__) == ("get", "What it does.")


# -- with a provider ----------------------------------------------------------------------------


class Strength:
    """What the provider's id tokens say of the sign-in."""

    def __init__(self, provider: Provider) -> None:
        self.acr: str | None = None
        self.auth_time: float | None = None
        provider.tamper["id_token"] = self

    def __call__(self, token: TokenDraft) -> None:
        if self.acr is not None:
            token.claims["acr"] = self.acr
        if self.auth_time is not None:
            token.claims["auth_time"] = self.auth_time


@pytest.fixture
def strength(provider: Provider) -> Strength:
    return Strength(provider)


def seen(provider: Provider, path: str) -> int:
    return sum(one.path == path for one in provider.requests)


async def test_a_step_up_that_succeeds(
    browser: Browser,
    provider: Provider,
    joined_rp: RelyingParty,
    app_url: str,
    strength: Strength,
) -> None:
    """The browser signs in better and is back on its page; the weaker session is gone."""
    await browser.sign_in(provider, "alice", f"{app_url}/inside")
    iss, sub = provider.issuer, provider.account("alice").sub
    (weak,) = await joined_rp.sessions.list_sub(iss, sub)
    strength.acr = "silver"
    page = await browser.get(f"{app_url}/vault")
    assert (page.url, page.text) == (f"{app_url}/vault", "treasure")
    (strong,) = await joined_rp.sessions.list_sub(iss, sub)
    assert strong.key != weak.key
    assert strong.claims["acr"] == "silver"


async def test_what_the_provider_is_asked(
    browser: Browser, provider: Provider, joined_rp: RelyingParty, app_url: str
) -> None:
    """acr_values and max_age reach the authorization request."""
    await browser.sign_in(provider, "alice", f"{app_url}/inside")
    page = await browser.get(
        f"{app_url}/auth/login?next=/vault&acr_values=gold+silver&max_age=300", follow=False
    )
    query = query_of(page.headers["Location"])
    assert (query["acr_values"], query["max_age"]) == ("gold silver", "300")


@pytest.mark.parametrize(
    ("acr", "status"),
    [
        pytest.param("gold", 200, id="gold"),
        pytest.param("iron", 403, id="too_weak"),
        pytest.param(None, 403, id="not_said"),
        pytest.param("gold silver", 403, id="both_words"),
    ],
)
async def test_no_loop_after_a_step_up(
    browser: Browser,
    provider: Provider,
    joined_rp: RelyingParty,
    happenings: list[Happening],
    app_url: str,
    strength: Strength,
    acr: str | None,
    status: int,
) -> None:
    """A provider that does not do what was asked ends at a 403 that says so; nobody goes round."""
    await browser.sign_in(provider, "alice", f"{app_url}/inside")
    rounds = seen(provider, "/authorize")
    strength.acr = acr
    page = await browser.get(f"{app_url}/vault")
    assert page.status == status
    assert seen(provider, "/authorize") == rounds + 1
    if status == 403:
        assert "needs another sign-in" in page.text
        assert happenings[-1].event == "login_refused"
        assert happenings[-1].facts["code"] == "acr_unmet"
    # The session that the browser had is untouched by a refusal.
    assert (await browser.get(f"{app_url}/inside")).status == 200


@pytest.mark.parametrize(
    ("late", "status"),
    [pytest.param(300, 200, id="recent"), pytest.param(361, 403, id="too_old")],
)
async def test_no_loop_over_an_old_sign_in(
    browser: Browser,
    provider: Provider,
    joined_rp: RelyingParty,
    app_url: str,
    clock: Clock,
    strength: Strength,
    late: int,
    status: int,
) -> None:
    """A provider that brings an old auth_time back all the same ends at a 403 that says so."""
    strength.auth_time = clock() - 1000
    await browser.sign_in(provider, "alice", f"{app_url}/inside")
    rounds = seen(provider, "/authorize")
    strength.auth_time = clock() - late
    page = await browser.get(f"{app_url}/recent")
    assert page.status == status
    assert seen(provider, "/authorize") == rounds + 1
    assert ("needs another sign-in" in page.text) == (status == 403)


async def test_an_old_sign_in_is_renewed(
    browser: Browser, provider: Provider, joined_rp: RelyingParty, app_url: str, clock: Clock
) -> None:
    """After max_age the provider asks its user again, and then the page opens."""
    await browser.sign_in(provider, "alice", f"{app_url}/recent")
    clock.advance(361)
    page = await browser.get(f"{app_url}/recent")
    assert page.url.startswith(provider.issuer)
    page = await browser.sign_in(provider, "alice", f"{app_url}/recent")
    assert (page.url, page.text) == (f"{app_url}/recent", "recent")


@pytest.mark.parametrize("value", ["+", "%00", "a" * 501, "a%0d%0ab"])
async def test_acr_values_that_can_not_be_sent(
    browser: Browser, joined_rp: RelyingParty, app_url: str, value: str
) -> None:
    """The login page takes words, and not too many."""
    path = f"{app_url}/auth/login?acr_values="
    assert (await browser.get(path + "a" * 500, follow=False)).status == 303
    page = await browser.get(path + value, follow=False)
    assert page.status == 400
    assert "acr_values_malformed" in page.text


async def test_acr_values_at_a_provider_without_id_tokens(
    browser: Browser, joined_rp: RelyingParty, app_url: str
) -> None:
    """Who can't say how users signed in is not asked for it."""
    cast(dict[str, AsyncClient], joined_rp.clients)["plain"] = build_client(
        "plain", {**OAUTH2, "redirect_uri": f"{app_url}/auth/callback"}
    )
    login = f"{app_url}/auth/login?provider=plain"
    assert (await browser.get(login, follow=False)).status == 303
    page = await browser.get(f"{login}&acr_values=gold", follow=False)
    assert page.status == 400
    assert "acr_unsupported" in page.text
