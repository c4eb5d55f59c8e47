"""The callback: what is refused, how it is said, and what survives."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from mounted import PROTECTED, Settings
from tornado.ioloop import IOLoop

from clefstorm.errors import LoginDenied, StoreUnavailable
from clefstorm.relying_party import RelyingParty
from clefstorm.testing import Answer, Browser, Clock, Page, Provider

pytestmark = pytest.mark.gen_test(timeout=60)


@pytest.fixture
def settings(request: pytest.FixtureRequest) -> Settings:
    return Settings(application=PROTECTED, **getattr(request, "param", {}))


class Login:
    """Alice's browser: signed in, and at the end of one more login, before its callback."""

    def __init__(self, browser: Browser, bobs: Browser, provider: Provider, app_url: str) -> None:
        self.browser = browser
        self.bobs = bobs
        self.provider = provider
        self.app_url = app_url
        self.parameters: dict[str, str] = {}

    async def begin(self) -> None:
        """Sign both in, then walk Alice to the callback's door."""
        await self.browser.sign_in(self.provider, "alice", f"{self.app_url}/inside")
        await self.bobs.sign_in(self.provider, "bob", f"{self.app_url}/inside")
        await self.begin_again()

    async def begin_again(self) -> None:
        """Walk Alice to the callback's door; the provider asks nothing any more."""
        start = await self.browser.get(f"{self.app_url}/auth/login?next=/inside", follow=False)
        answer = await self.browser.get(
            start.headers["Location"], initiator=self.app_url, follow=False
        )
        self.parameters = dict(parse_qsl(urlsplit(answer.headers["Location"]).query))

    async def finish(self, browser: Browser | None = None, **changes: str | None) -> Page:
        """Open the callback; ``changes`` replace parameters, None leaves one out."""
        sent = {**self.parameters, **changes}
        query = urlencode({name: value for name, value in sent.items() if value is not None})
        return await self.open(query, browser)

    async def open(self, query: str, browser: Browser | None = None) -> Page:
        """Open the callback with this query."""
        return await (browser or self.browser).get(
            f"{self.app_url}/auth/callback?{query}",
            initiator=f"{self.provider.issuer}/",
            follow=False,
        )

    async def nobody_lost_a_session(self) -> None:
        """Both users are as they were."""
        for browser, name in ((self.browser, "alice"), (self.bobs, "bob")):
            page = await browser.get(f"{self.app_url}/inside", follow=False)
            assert page.text == f"inside: {self.provider.account(name).sub}"


@pytest.fixture
def login(
    io_loop: IOLoop,
    new_browser: Callable[[], Browser],
    provider: Provider,
    joined_rp: RelyingParty,
    app_url: str,
) -> Login:
    login = Login(new_browser(), new_browser(), provider, app_url)
    io_loop.run_sync(login.begin)
    return login


def assert_refused(page: Page, status: int, code: str, caplog: pytest.LogCaptureFixture) -> None:
    """A clear page, safe and not stored, whose code and reference the log has too."""
    assert page.status == status
    assert page.headers["Content-Type"].startswith("text/html")
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert page.headers["X-Frame-Options"] == "DENY"
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "Set-Cookie" not in page.headers
    assert "Traceback" not in page.text
    assert 'href="login"' in page.text
    shown = re.search(r"Code <code>(\w+)</code>, reference <code>(\w+)</code>", page.text)
    assert shown is not None
    assert shown[1] == code
    lines = [line for line in caplog.messages if f"reference={shown[2]}" in line]
    assert len(lines) == 1
    assert f"{status} GET /auth/callback " in lines[0]
    assert f"code={code}" in lines[0]


async def test_the_twin_works(login: Login) -> None:
    """With nothing changed the login succeeds: a new id, and on to its page."""
    page = await login.finish()
    assert (page.status, page.headers["Location"]) == (303, "/inside")
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert page.headers["Cache-Control"] == "no-store"
    assert len(page.headers.get_list("Set-Cookie")) == 2  # the session's, and the login's is gone
    await login.nobody_lost_a_session()


Walk = Callable[[Login, Any], Awaitable[Page]]


async def _twice(login: Login, clock: Clock) -> Page:
    query = urlencode([*login.parameters.items(), ("state", login.parameters["state"])])
    return await login.open(query)


async def _expired(login: Login, clock: Clock) -> Page:
    clock.advance(601)
    return await login.finish()


async def _used(login: Login, clock: Clock) -> Page:
    await login.finish()
    query = urlencode(login.parameters)
    await login.begin_again()
    await login.finish()
    return await login.open(query)


@pytest.mark.parametrize(
    ("walk", "status", "code"),
    [
        pytest.param(lambda o, c: o.open(""), 400, "state_missing", id="nothing"),
        pytest.param(lambda o, c: o.finish(state=None), 400, "state_missing", id="state_missing"),
        pytest.param(lambda o, c: o.finish(state="x.y.z"), 400, "state_invalid", id="state_wrong"),
        pytest.param(
            lambda o, c: o.finish(state=o.parameters["state"][:-2]),
            400,
            "state_invalid",
            id="state_cut",
        ),
        pytest.param(
            lambda o, c: o.finish(browser=o.bobs), 400, "state_other_browser", id="other_browser"
        ),
        pytest.param(_expired, 400, "state_expired", id="state_expired"),
        pytest.param(_used, 400, "state_used", id="state_used"),
        pytest.param(_twice, 400, "parameter_repeated", id="state_twice"),
        pytest.param(lambda o, c: o.finish(code=None), 400, "code_missing", id="code_missing"),
        pytest.param(lambda o, c: o.finish(code="wrong"), 400, "token_refused", id="code_wrong"),
        pytest.param(
            lambda o, c: o.finish(code="x" * 9000), 400, "parameter_too_long", id="code_too_long"
        ),
        pytest.param(lambda o, c: o.finish(iss=None), 400, "iss_missing", id="iss_missing"),
        pytest.param(
            lambda o, c: o.finish(iss="https://evil.example"), 400, "iss_mismatch", id="iss_wrong"
        ),
        pytest.param(
            lambda o, c: o.finish(error="access_denied"), 400, "code_and_error", id="code_and_error"
        ),
        pytest.param(
            lambda o, c: o.finish(code=None, error="access_denied"),
            403,
            "authorization_refused",
            id="access_denied",
        ),
        pytest.param(lambda o, c: o.open("state=%ff"), 400, "parameters_malformed", id="not_utf8"),
        pytest.param(lambda o, c: o.open("a=1&" * 101), 400, "parameters_malformed", id="too_many"),
    ],
)
async def test_refused_callbacks(
    login: Login,
    clock: Clock,
    caplog: pytest.LogCaptureFixture,
    walk: Walk,
    status: int,
    code: str,
) -> None:
    """A callback that is not right gets a clear page, a line in the log, and ends no session."""
    page = await walk(login, clock)
    assert_refused(page, status, code, caplog)
    await login.nobody_lost_a_session()


async def test_reloaded_callback_goes_to_its_page(login: Login) -> None:
    """A browser that reloads a used callback and is signed in by it goes to its page."""
    await login.finish()
    page = await login.finish()
    assert (page.status, page.headers["Location"]) == (303, "/inside")
    assert "Set-Cookie" not in page.headers


async def test_script_is_told_in_json(login: Login, caplog: pytest.LogCaptureFixture) -> None:
    """What no navigation asked for is answered in JSON."""
    answer = await login.browser.fetch(f"{login.app_url}/auth/callback?state=wrong")
    told = answer.json()
    assert (answer.status, told["error"]) == (400, "state_invalid")
    assert told["message"]
    assert f"reference={told['reference']}" in caplog.text


async def test_providers_html_is_text(login: Login) -> None:
    """An error from the provider with HTML in its text is shown as text."""
    page = await login.finish(
        code=None, error="access_denied", error_description="<script>alert(1)</script>"
    )
    assert page.status == 403
    assert "<script" not in page.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.text


async def test_form_body_of_a_get_and_query_of_a_post_do_not_count(login: Login) -> None:
    """Parameters are read only where the specification puts them."""
    page = await login.browser.post(
        f"{login.app_url}/auth/callback?{urlencode(login.parameters)}",
        {},
        initiator=login.app_url,
        follow=False,
    )
    assert page.status == 400
    assert "state_missing" in page.text
    assert (await login.finish()).status == 303


@pytest.mark.parametrize("method", ["HEAD", "PUT", "DELETE"])
async def test_other_methods_use_nothing_up(login: Login, method: str) -> None:
    """A link checker's HEAD does not use up the state."""
    url = f"{login.app_url}/auth/callback?{urlencode(login.parameters)}"
    answer = await login.browser.fetch(url, method=method)
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, POST")
    assert (await login.finish()).status == 303


# -- the provider's faults ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("endpoint", "fault", "code"),
    [
        pytest.param("token", Answer(status=500, body="<h1>Oops</h1>"), None, id="token_500"),
        pytest.param("token", Answer(status=200, body="<h1>Hi</h1>"), None, id="token_html"),
        pytest.param("token", Answer(body=b"{}"), None, id="token_empty"),
        pytest.param("token", Answer(body=b"[" * 100_000), None, id="token_deep"),
        pytest.param(
            "token",
            Answer(status=302, headers={"Location": "https://evil.example/"}),
            None,
            id="token_redirect",
        ),
        pytest.param("token", Answer(body=b"x" * 2_000_000), "answer_too_large", id="token_large"),
        pytest.param(
            "token",
            Answer(status=401, body={"error": "invalid_client"}),
            "token_refused",
            id="invalid_client",
        ),
        pytest.param("jwks", Answer(status=500), "jwks_status", id="jwks_500"),
        pytest.param("jwks", Answer(body=b"rubbish"), "json_invalid", id="jwks_rubbish"),
        pytest.param("jwks", Answer(body={"keys": []}), "jwks_no_usable_key", id="jwks_empty"),
    ],
)
async def test_provider_faults_at_the_callback(
    login: Login,
    joined_rp: RelyingParty,
    caplog: pytest.LogCaptureFixture,
    endpoint: str,
    fault: Answer,
    code: str | None,
) -> None:
    """A provider that answers rubbish, a redirect or 500 is a 502 page, and loses no session."""
    if endpoint == "jwks":
        login.provider.rotate_keys()
    login.provider.answer_instead[endpoint] = fault
    page = await login.finish()
    shown = re.search(r"Code <code>(\w+)", page.text)
    assert shown is not None
    assert_refused(page, 502, code or shown[1], caplog)
    assert "evil.example" not in page.text
    del login.provider.answer_instead[endpoint]
    await login.nobody_lost_a_session()
    if endpoint == "token":
        await login.begin_again()
        assert (await login.finish()).status == 303


@pytest.mark.parametrize("settings", [{"client": {"deadline": 0.3}}], indirect=True)
async def test_slow_provider_at_the_callback(
    login: Login, caplog: pytest.LogCaptureFixture
) -> None:
    """A provider that does not answer: 502 when the deadline is over."""
    login.provider.answer_instead["token"] = Answer(hang=True)
    assert_refused(await login.finish(), 502, "flow_deadline", caplog)
    await login.nobody_lost_a_session()


async def test_provider_that_is_down(login: Login, caplog: pytest.LogCaptureFixture) -> None:
    """A provider that is down: 502 at the callback."""
    await login.provider.stop()
    assert_refused(await login.finish(), 502, "connect_refused", caplog)
    await login.nobody_lost_a_session()


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        pytest.param(Answer(status=500), 502, id="500"),
        pytest.param(Answer(body="<h1>Hi</h1>"), 502, id="html"),
        pytest.param(Answer(body={"issuer": "https://evil.example"}), 502, id="other_issuer"),
        pytest.param(
            Answer(status=301, headers={"Location": "https://evil.example"}), 502, id="redirect"
        ),
        pytest.param(Answer(hang=True), 502, id="hangs"),
    ],
)
@pytest.mark.parametrize("settings", [{"client": {"deadline": 0.3}}], indirect=True)
async def test_provider_faults_at_the_login(
    browser: Browser,
    provider: Provider,
    joined_rp: RelyingParty,
    app_url: str,
    fault: Answer,
    status: int,
) -> None:
    """A provider whose metadata can't be had is a 502 page at the login, and sets no cookie."""
    provider.answer_instead["discovery"] = fault
    page = await browser.get(f"{app_url}/auth/login", follow=False)
    assert page.status == status
    assert "Set-Cookie" not in page.headers
    assert "evil.example" not in page.text


# -- our own no ----------------------------------------------------------------------------------


def _not_carol(session: Any) -> None:
    if session.claims.get("name", "").startswith("Carol"):
        raise LoginDenied("only the invited")


@pytest.mark.parametrize("settings", [{"party": {"on_login": _not_carol}}], indirect=True)
async def test_on_login_may_refuse(
    browser: Browser, provider: Provider, joined_rp: RelyingParty, app_url: str
) -> None:
    """LoginDenied is a 403 page; whom on_login lets in comes in."""
    page = await browser.sign_in(provider, "carol", f"{app_url}/inside")
    assert page.status == 403
    assert "login_denied" in page.text
    assert (await browser.get(f"{app_url}/")).text == "nobody"


async def test_unreachable_store(
    login: Login, joined_rp: RelyingParty, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the store can't be reached: 503 and when to come back; the session is as it was."""

    async def unreachable(*args: Any, **more: Any) -> Any:
        raise StoreUnavailable("it is down")

    with monkeypatch.context() as patch:
        patch.setattr(joined_rp.sessions, "put_once", unreachable)
        page = await login.finish()
    assert page.status == 503
    assert page.headers["Retry-After"] == "5"
    assert "Set-Cookie" not in page.headers
    await login.nobody_lost_a_session()


async def test_foreign_exception_shows_nothing(
    login: Login,
    joined_rp: RelyingParty,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A fault of our own is a 500 page without a stack trace; the log has it, by reference."""

    async def broken(*args: Any, **more: Any) -> Any:
        raise RuntimeError("the-inside-of-things")

    with monkeypatch.context() as patch:
        patch.setattr(joined_rp.sessions, "put_once", broken)
        page = await login.finish()
    assert_refused(page, 500, "internal_error", caplog)
    assert "the-inside-of-things" not in page.text
    assert "the-inside-of-things" in caplog.text
    await login.nobody_lost_a_session()


async def test_huge_cookie_header(login: Login) -> None:
    """A cookie header up to what Tornado lets through changes nothing for ours."""
    for more in ("x=" + "y" * 60_000, "; ".join(f"c{n}={n}" for n in range(5000))):
        page = await login.browser.fetch(
            f"{login.app_url}/auth/me", headers={"Cookie": more}, credentials="omit"
        )
        assert page.json()["signed_in"] is False
        cookies = login.browser.cookies.header(login.app_url, same_site=True, safe_navigation=True)
        page = await login.browser.fetch(
            f"{login.app_url}/auth/me", headers={"Cookie": f"{more}; {cookies}"}
        )
        assert page.json()["signed_in"] is True


async def test_no_log_has_the_callbacks_query(
    login: Login, caplog: pytest.LogCaptureFixture
) -> None:
    """Tornado's access log shows the path only; code and state are in no line (law 4)."""
    with caplog.at_level(logging.DEBUG):
        caplog.clear()
        await login.finish()
        await login.finish(state="wrong")
        await login.finish(code=None, error="access_denied")
        await login.open("state=%ff&code=" + login.parameters["code"])
    access = [record for record in caplog.records if record.name == "tornado.access"]
    lines = [record.getMessage() for record in access if "callback" in record.getMessage()]
    assert len(lines) == 4
    assert all(re.match(r"\d+ GET /auth/callback \(127.0.0.1\)", line) for line in lines)
    for secret in (login.parameters["code"], login.parameters["state"]):
        assert secret not in caplog.text


async def test_own_log_function_sees_no_query(login: Login, app: Any) -> None:
    """An application's own log_function finds no query in the request either."""
    seen: list[str] = []
    app.settings["log_function"] = lambda handler: seen.append(
        f"{handler.request.uri} {handler.request!r} {handler.request.query} "
        f"{handler.request.arguments} {handler.request.full_url()}"
    )
    await login.finish()
    assert "/auth/callback" in seen[-1]
    assert login.parameters["code"] not in seen[-1]
