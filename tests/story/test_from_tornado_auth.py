"""The page for those who leave tornado.auth: both of its programs run, and it says what is so."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from parts.page_programs import programs, running, text_of, with_free_ports
from tornado.httpclient import AsyncHTTPClient
from tornado.web import Application

from clefstorm.testing import Browser, Provider
from clefstorm.testing.fixtures import provider as provider

PAGE = text_of("how-to/from_tornado_auth.rst")


@pytest.fixture
def app() -> Application:
    names: dict[str, Any] = {}
    exec(compile(programs(PAGE)["before.py"], "before.py", "exec"), names)
    return Application(
        [(r"/", names["Home"]), (r"/login", names["Login"]), (r"/logout", names["Logout"])],
        google_oauth={"key": "the-key", "secret": "x"},
        cookie_secret="the old application's secret",
        login_url="/login",
    )


async def test_before(http_client: AsyncHTTPClient, http_port: int) -> None:
    """The old handler asks the provider without state, PKCE and nonce, as the table says."""
    answer = await http_client.fetch(f"http://127.0.0.1:{http_port}/login", raise_error=False)
    to = urlsplit(answer.headers["Location"])
    assert (to.scheme, to.netloc) == ("https", "accounts.google.com")
    assert set(parse_qs(to.query)) == {"response_type", "redirect_uri", "client_id", "scope"}
    answer = await http_client.fetch(f"http://127.0.0.1:{http_port}/", raise_error=False)
    assert answer.headers["Location"].startswith("/login")


@pytest.fixture
def application(provider: Provider, tmp_path: Path) -> Iterator[str]:
    """The new program, with the embedded provider in Google's place, and another port."""
    text, ports = with_free_ports(PAGE, "8300")
    code = programs(text)["after.py"]
    for google in ("https://accounts.google.com", "https://openidconnect.googleapis.com/v1"):
        code = code.replace(google, provider.issuer)
    (tmp_path / "after.py").write_text(code, encoding="utf-8")
    here = f"http://127.0.0.1:{ports['8300']}"
    provider.add_client(
        "the-key.apps.googleusercontent.com", "the-secret", [f"{here}/auth/callback"]
    )
    env = {**os.environ, "GOOGLE_SECRET": "the-secret"}
    with running(tmp_path, ["after.py"], env=env) as [said]:
        assert "http://" in said
        yield here


@pytest.mark.gen_test(timeout=60)
async def test_after(application: str, provider: Provider) -> None:
    """The new program signs in, drops the old cookie, calls an API, and signs out."""
    async with Browser() as browser:
        page = await browser.get(f"{application}/", follow=False)
        page = await browser.get(f"{application}{page.headers['Location']}", follow=False)
        asked = parse_qs(urlsplit(page.headers["Location"]).query)
        assert {"state", "nonce", "code_challenge"} < set(asked)
        await browser.get(page.headers["Location"])
        page = await browser.submit(form="demo-accounts", button="alice")
        assert "<h1>Hello Alice Archer</h1>" in page.text
        assert 'user="";' in page.headers["Set-Cookie"]
        assert page.headers["Cache-Control"] == "no-store"
        page = await browser.get(f"{application}/profile")
        assert json.loads(page.text)["sub"] == provider.account("alice").sub
        await browser.get(f"{application}/auth/logout?next=/bye")
        page = await browser.submit()
        assert "signed out" in page.text.lower(), (page.url, page.text)
        page = await browser.get(f"{application}/", follow=False)
        assert page.status == 302
