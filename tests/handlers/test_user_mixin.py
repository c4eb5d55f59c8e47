"""UserMixin, authenticated and user_of over HTTP."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import tornado.web
from mounted import NAVIGATION, OLD_XHR, SECRET, XHR, SignedIn
from tornado.httpclient import AsyncHTTPClient, HTTPResponse
from tornado.web import Application, RequestHandler

from clefstorm.errors import StoreUnavailable
from clefstorm.handlers import UserMixin, authenticated, login_routes, user_of
from clefstorm.relying_party import RelyingParty
from clefstorm.sessions import MemorySessionStore

SignIn = Callable[..., Awaitable[SignedIn]]


class Forgetful(UserMixin, RequestHandler):
    """Its prepare does not call super()'s."""

    def prepare(self) -> None:  # type: ignore[override]
        pass

    def get(self) -> None:
        self.finish(str(self.current_user))


class NotAwaiting(UserMixin, RequestHandler):
    """Its prepare calls super()'s and drops the coroutine."""

    def prepare(self) -> None:  # type: ignore[override]
        super().prepare().close()

    def get(self) -> None:
        self.finish(str(self.current_user))


class Base(RequestHandler):
    """A host's base handler, whose prepare knows the user already when it runs."""

    async def prepare(self) -> None:
        self.seen = self.current_user


class Hosted(UserMixin, Base):
    def get(self) -> None:
        self.finish(f"prepared for {self.seen.sub if self.seen else 'nobody'}")


class Mapped(UserMixin, RequestHandler):
    """Puts the application's own user into current_user."""

    async def prepare(self) -> None:
        await super().prepare()
        self.current_user = {"id": 7} if self.current_user else None

    @authenticated
    def get(self) -> None:
        self.finish(self.current_user)


class Plain(RequestHandler):
    """Uses nothing but the request's cookies."""

    rp: RelyingParty

    async def get(self) -> None:
        session = await user_of(self, self.rp)
        self.finish(session.sub if session else "nobody")


class TornadoGuarded(UserMixin, RequestHandler):
    @tornado.web.authenticated
    def get(self) -> None:
        self.finish(self.current_user.sub)


class Cached(UserMixin, RequestHandler):
    def get(self) -> None:
        self.set_header("Cache-Control", "private, max-age=60")
        self.finish("mine")


class Broken(UserMixin, RequestHandler):
    def get(self) -> None:
        raise tornado.web.HTTPError(418)


class ErrorPage(UserMixin, RequestHandler):
    """Its error page asks who is signed in, and is shown before prepare runs (no xsrf token)."""

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        self.finish(f"{status_code} for {self.current_user}")

    def post(self) -> None:
        self.finish("not reached")


@pytest.fixture
def app(rp: RelyingParty, app: Application) -> Application:
    app.add_handlers(
        ".*",
        [
            (r"/forgetful", Forgetful),
            (r"/not-awaiting", NotAwaiting),
            (r"/hosted", Hosted),
            (r"/mapped", Mapped),
            (r"/plain", type("BoundPlain", (Plain,), {"rp": rp})),
            (r"/tornado", TornadoGuarded),
            (r"/cached", Cached),
            (r"/broken", Broken),
            (r"/error-page", ErrorPage),
        ],
    )
    return app


@pytest.fixture
def ask(http_client: AsyncHTTPClient, base_url: str) -> Callable[..., Awaitable[HTTPResponse]]:
    async def ask(path: str, method: str = "GET", **options: Any) -> HTTPResponse:
        return await http_client.fetch(base_url + path, raise_error=False, method=method, **options)

    return ask


Ask = Callable[..., Awaitable[HTTPResponse]]


async def test_user_is_loaded(ask: Ask, sign_in: SignIn) -> None:
    """current_user is the LoginSession of the cookie, and None without one."""
    alice = await sign_in()
    assert (await ask("/", headers=alice.headers())).body == b"alice"
    assert (await ask("/")).body == b"nobody"


async def test_user_of_needs_only_cookies(ask: Ask, sign_in: SignIn) -> None:
    """user_of works in any handler of any application."""
    alice = await sign_in()
    assert (await ask("/plain", headers=alice.headers())).body == b"alice"
    assert (await ask("/plain")).body == b"nobody"


async def test_an_ended_session_is_nobody(ask: Ask, sign_in: SignIn, rp: RelyingParty) -> None:
    """A revoked session's cookie signs nobody in."""
    alice = await sign_in()
    await rp.revoke(alice.session.key)
    assert (await ask("/", headers=alice.headers())).body == b"nobody"


async def test_base_class_prepare_runs_with_the_user(ask: Ask, sign_in: SignIn) -> None:
    """The mixin runs a host's own prepare after it has loaded the user."""
    alice = await sign_in()
    answer = await ask("/hosted", headers=alice.headers())
    assert answer.body == b"prepared for alice"


async def test_current_user_may_be_replaced(ask: Ask, sign_in: SignIn) -> None:
    """An application may put its own user there; without one, authenticated still refuses."""
    alice = await sign_in()
    assert json.loads((await ask("/mapped", headers=alice.headers())).body) == {"id": 7}
    assert (await ask("/mapped", headers=XHR)).code == 401


@pytest.mark.parametrize("path", ["/forgetful", "/not-awaiting"])
async def test_prepare_without_super_is_a_clear_error(
    ask: Ask, sign_in: SignIn, caplog: pytest.LogCaptureFixture, path: str
) -> None:
    """A subclass that forgets super().prepare() gets an error that says so, not "nobody"."""
    alice = await sign_in()
    answer = await ask(path, headers=alice.headers())
    assert answer.code == 500
    assert "await super().prepare()" in caplog.text
    assert "prepare_skipped" in caplog.text


async def test_missing_setting_is_a_clear_error(
    http_server: Any, rp: RelyingParty, app: Application, ask: Ask, caplog: Any
) -> None:
    """Without the setting "clefstorm" the error names what to write."""
    del app.settings["clefstorm"]
    assert (await ask("/")).code == 500
    assert "clefstorm=rp" in caplog.text
    assert "relying_party_missing" in caplog.text


async def test_error_page_before_prepare_has_no_user(ask: Ask, app: Application) -> None:
    """An error page that is shown before prepare ran may ask for the user: there is none."""
    app.settings["xsrf_cookies"] = True
    answer = await ask("/error-page", "POST", body="")
    assert answer.body == b"403 for None"


class UnreachableStore(MemorySessionStore):
    async def read(self, key: str) -> Any:
        raise StoreUnavailable("it is down")


async def test_unreachable_store_lets_nobody_in(
    ask: Ask, sign_in: SignIn, rp: RelyingParty
) -> None:
    """When nothing is known about a session the answer is 503, not "nobody"."""
    alice = await sign_in()
    assert (await ask("/", headers=alice.headers())).code == 200
    rp.sessions = UnreachableStore()
    answer = await ask("/", headers=alice.headers())
    assert (answer.code, answer.headers["Retry-After"]) == (503, "5")


@pytest.mark.parametrize(
    ("path", "signed_in", "expected"),
    [
        pytest.param("/", True, "no-store", id="page_with_user"),
        pytest.param("/", False, "no-store", id="page_without_user"),
        pytest.param("/broken", True, "no-store", id="error_page_with_user"),
        pytest.param("/cached", True, "private, max-age=60", id="handler_says_otherwise"),
    ],
)
async def test_pages_with_a_user_are_not_stored(
    ask: Ask, sign_in: SignIn, path: str, signed_in: bool, expected: str | None
) -> None:
    """Pages that know users are no-store by default (DESIGN section 5), the stranger's copy too:
    Back would show it to somebody who is signed in by then."""
    alice = await sign_in()
    answer = await ask(path, headers=alice.headers() if signed_in else {})
    assert answer.headers.get("Cache-Control") == expected


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_navigation_goes_to_the_login(ask: Ask, sign_in: SignIn, method: str) -> None:
    """A page that is opened without a user redirects to the login, which comes back to it."""
    alice = await sign_in()
    assert (await ask("/inside?a=1&b=2", headers=alice.headers())).body == b"inside: alice"
    answer = await ask("/inside?a=1&b=2", method, headers=NAVIGATION)
    assert answer.code == 302
    assert answer.headers["Location"] == "/auth/login?next=%2Finside%3Fa%3D1%26b%3D2"
    assert answer.headers["Cache-Control"] == "no-store"


async def test_unreturnable_address_goes_to_the_start(ask: Ask) -> None:
    """Where the address itself may not follow a login, the user comes back to "/"."""
    answer = await ask("/inside//evil.example/..%2f%2f", headers=NAVIGATION)
    assert answer.headers["Location"] == "/auth/login?next=%2F"


@pytest.mark.parametrize("headers", [XHR, OLD_XHR, {}], ids=["fetch", "old_xhr", "bare"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_script_gets_401_and_the_login_url(
    ask: Ask, sign_in: SignIn, headers: dict[str, str], method: str
) -> None:
    """XHR is answered with 401 and the login URL, never with a redirect."""
    body = {"body": ""} if method == "POST" else {}
    alice = await sign_in()
    assert (await ask("/inside", method, headers=alice.headers() | headers, **body)).code == 200
    answer = await ask("/inside", method, headers=headers, **body)
    assert answer.code == 401
    assert json.loads(answer.body) == {"error": "signed_out", "login_url": "/auth/login"}
    assert answer.headers["WWW-Authenticate"] == 'Cookie realm="login"'
    assert answer.headers["Cache-Control"] == "no-store"


async def test_form_of_a_signed_out_user_is_not_lost_silently(ask: Ask, sign_in: SignIn) -> None:
    """A form that is sent without a user gets a page that says so, not a redirect."""
    alice = await sign_in()
    assert (await ask("/inside", "POST", headers=alice.headers(), body="a=1")).body == b"saved"
    answer = await ask("/inside", "POST", headers=NAVIGATION, body="a=1")
    assert answer.code == 401
    assert b"nothing was changed" in answer.body
    assert b'href="/auth/login" target="_blank"' in answer.body
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


async def test_tornados_own_decorator_works(ask: Ask, sign_in: SignIn) -> None:
    """@tornado.web.authenticated uses the mixin's user and login URL."""
    alice = await sign_in()
    assert (await ask("/tornado", headers=alice.headers())).body == b"alice"
    answer = await ask("/tornado", headers=NAVIGATION)
    assert (answer.code, answer.headers["Location"]) == (302, "/auth/login?next=%2Ftornado")


async def test_login_url_setting_is_kept(ask: Ask, app: Application) -> None:
    """login_url means what Tornado's users expect; with a query it is used as it is."""
    app.settings["login_url"] = "/enter"
    answer = await ask("/inside", headers=NAVIGATION)
    assert answer.headers["Location"] == "/enter?next=%2Finside"
    app.settings["login_url"] = "/enter?provider=google"
    answer = await ask("/inside", headers=NAVIGATION)
    assert answer.headers["Location"] == "/enter?provider=google"


async def test_no_provider_no_login_url(ask: Ask, app: Application, caplog: Any) -> None:
    """Where there is neither a provider nor login_url, the error says what is missing."""
    app.settings["clefstorm"] = rp = RelyingParty({}, MemorySessionStore(), secret=SECRET)
    assert (await ask("/inside", headers=NAVIGATION)).code == 500
    assert "login_url_missing" in caplog.text
    assert "clefstorm.configure(" in caplog.text
    await rp.close()


@pytest.mark.parametrize(
    ("prefix", "told"), [("/auth", False), ("", False), ("/login", True), ("/a/auth", True)]
)
def test_routes_without_their_callback_are_told(
    rp: RelyingParty, caplog: Any, prefix: str, told: bool
) -> None:
    """Routes to which no redirect_uri leads are warned of, by both names."""
    login_routes(rp, prefix)
    [client] = rp.clients.values()
    for name in (f"{prefix}/callback", client.provider.redirect_uri):
        assert (name in caplog.text) is told


async def test_routes_may_come_before_their_provider(caplog: Any) -> None:
    """Mounted without any provider, the routes say nothing: it may still be configured."""
    rp = RelyingParty({}, MemorySessionStore(), secret=SECRET)
    assert login_routes(rp, "/anywhere")
    assert caplog.text == ""
    await rp.close()


def test_routes_are_pairs(rp: RelyingParty) -> None:
    """Hosts take (path, class) pairs; a prefix may end in a slash, or be the root."""
    for prefix in ("/auth", "/auth/"):
        routes = login_routes(rp, prefix)
        assert all(len(route) == 2 for route in routes)
        assert routes[0][0] == "/auth/login"
    assert login_routes(rp, "")[0][0] == login_routes(rp, "/")[0][0] == "/login"
