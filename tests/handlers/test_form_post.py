"""response_mode=form_post, which needs https: the provider's page posts across sites."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
import trustme
from mounted import PROTECTED, Settings
from tornado.httpserver import HTTPServer
from tornado.web import Application

from clefstorm.client import AsyncClient
from clefstorm.registry import build_client
from clefstorm.relying_party import RelyingParty
from clefstorm.testing import Browser, Page, Provider


@pytest.fixture
def settings(https_port: int) -> Settings:
    return Settings(
        redirect_uri=f"https://127.0.0.1:{https_port}/auth/callback", application=PROTECTED
    )


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ssl_options(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture
def rp_over_tls(
    provider: Provider, https_server: HTTPServer, app: Application, settings: Settings
) -> RelyingParty:
    rp: RelyingParty = app.settings["clefstorm"]
    provider.add_client("app", "secret-of-the-client", [settings.redirect_uri])
    cast(dict[str, AsyncClient], rp.clients)["default"] = build_client(
        "default",
        {
            "issuer": provider.issuer,
            "client_id": "app",
            "client_secret": "secret-of-the-client",
            "redirect_uri": settings.redirect_uri,
            "response_mode": "form_post",
        },
    )
    return rp


@pytest.fixture
def site(https_port: int) -> str:
    return f"https://127.0.0.1:{https_port}"


@pytest.fixture
def tls_browser(authority: trustme.CA, tmp_path: Path, io_loop: object) -> Callable[[], Browser]:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    return lambda: Browser(ca_certs=str(tmp_path / "ca.pem"))


async def to_the_form(browser: Browser, provider: Provider, start_url: str) -> Page:
    """Walk to the page of the provider that posts to the callback."""
    page = await browser.get(start_url)
    while "form-post" not in {form.name for form in page.forms}:
        names = {form.name for form in page.forms}
        assert names, page.text
        if "agree" in names:
            page = await browser.submit(page, form="agree", button="go-on")
        else:
            page = await browser.submit(
                page,
                form="sign-in",
                username="alice",
                password=provider.account("alice").password,
            )
    return page


async def test_form_post_login(
    tls_browser: Callable[[], Browser], provider: Provider, rp_over_tls: RelyingParty, site: str
) -> None:
    """The login works with xsrf_cookies and cross-origin protection on; cookies are __Host-."""
    async with tls_browser() as browser:
        form = await to_the_form(browser, provider, f"{site}/inside?a=1")
        pending = [c for c in browser.cookies if c.name.startswith("__Host-clefstorm-login-")]
        assert [(c.same_site, c.secure, c.http_only) for c in pending] == [("None", True, True)]
        page = await browser.submit(form, form="form-post")
        assert page.url == f"{site}/inside?a=1"
        assert page.text.startswith("inside: ")
        ours = [c for c in browser.cookies if c.name.startswith("__Host-")]
        assert [(c.name, c.same_site, c.secure, c.http_only, c.path) for c in ours] == [
            ("__Host-clefstorm", "Lax", True, True, "/")
        ]
        assert not browser.cookies.refused


async def test_form_post_from_a_hidden_origin(
    tls_browser: Callable[[], Browser], provider: Provider, rp_over_tls: RelyingParty, site: str
) -> None:
    """A provider whose pages hide their origin sends "Origin: null"."""
    async with tls_browser() as browser:
        form = await to_the_form(browser, provider, f"{site}/inside")
        page = await browser.post(
            f"{site}/auth/callback",
            form.form("form-post").fields,
            initiator=form,
            headers={"Origin": "null"},
        )
        assert page.text.startswith("inside: ")


async def test_form_post_to_another_browser(
    tls_browser: Callable[[], Browser], provider: Provider, rp_over_tls: RelyingParty, site: str
) -> None:
    """The exemption opens no door: a form that a page of evil posts signs nobody in."""
    async with tls_browser() as browser, tls_browser() as victim:
        form = await to_the_form(browser, provider, f"{site}/inside")
        page = await victim.post(
            f"{site}/auth/callback",
            form.form("form-post").fields,
            initiator="https://evil.example",
            follow=False,
        )
        assert page.status == 400
        assert "state_other_browser" in page.text
        assert "Set-Cookie" not in page.headers
        assert (await victim.get(f"{site}/")).text == "nobody"
        page = await browser.submit(form, form="form-post")
        assert page.text.startswith("inside: ")


async def test_new_login_ends_the_old_session(
    tls_browser: Callable[[], Browser], provider: Provider, rp_over_tls: RelyingParty, site: str
) -> None:
    """The cross-site POST brings no session cookie, and yet the old session is replaced."""
    async with tls_browser() as browser:
        form = await to_the_form(browser, provider, f"{site}/inside")
        await browser.submit(form, form="form-post")
        old = next(c.value for c in browser.cookies if c.name == "__Host-clefstorm")
        form = await to_the_form(browser, provider, f"{site}/auth/login")
        await browser.submit(form, form="form-post")
        assert await rp_over_tls.session(old) is None
        assert (await browser.get(f"{site}/")).text != "nobody"
