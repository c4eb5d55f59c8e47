"""Who am I, and the script, over HTTP."""

from __future__ import annotations

import gzip
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import rjsmin
from mounted import SignedIn
from tornado.httpclient import AsyncHTTPClient

import clefstorm.handlers
from clefstorm.testing import Clock

SignIn = Callable[..., Awaitable[SignedIn]]
STATIC = Path(clefstorm.handlers.__file__).parent / "static"


async def test_me(http_client: AsyncHTTPClient, base_url: str, sign_in: SignIn) -> None:
    """Scripts learn who is signed in and nothing secret; or where to sign in."""
    alice = await sign_in(claims={"name": "Alice", "email": ["not", "text"]})
    answer = await http_client.fetch(f"{base_url}/auth/me", headers=alice.headers())
    told = json.loads(answer.body)
    assert told.pop("user")
    assert told == {
        "signed_in": True,
        "provider": "default",
        "sub": "alice",
        "name": "Alice",
        "preferred_username": None,
        "email": None,
        "picture": None,
    }
    assert answer.headers["Cache-Control"] == "no-store"
    assert alice.session_id not in answer.body.decode()
    answer = await http_client.fetch(f"{base_url}/auth/me")
    assert json.loads(answer.body) == {"signed_in": False, "login_url": "/auth/login"}


async def test_tag_is_of_the_user(
    http_client: AsyncHTTPClient, base_url: str, sign_in: SignIn
) -> None:
    """Two sessions of one user have one tag, two users two."""
    tags = []
    for sub in ("alice", "alice", "bob"):
        browser = await sign_in(sub)
        answer = await http_client.fetch(f"{base_url}/auth/me", headers=browser.headers())
        tags.append(json.loads(answer.body)["user"])
    assert tags[0] == tags[1] != tags[2]


async def test_asking_is_no_activity(
    http_client: AsyncHTTPClient, base_url: str, sign_in: SignIn, clock: Clock
) -> None:
    """A page that asks on a timer does not keep its session alive; a page that is opened does."""
    for path, alive in (("/auth/me", False), ("/", True)):
        alice = await sign_in(idle=100.0)
        clock.advance(90)
        await http_client.fetch(base_url + path, headers=alice.headers())
        clock.advance(90)
        answer = await http_client.fetch(f"{base_url}/auth/me", headers=alice.headers())
        assert json.loads(answer.body)["signed_in"] is alive


async def test_me_is_not_for_other_sites(
    http_client: AsyncHTTPClient, base_url: str, sign_in: SignIn
) -> None:
    """Another site's page is refused, and no cookie is touched."""
    alice = await sign_in()
    answer = await http_client.fetch(
        f"{base_url}/auth/me",
        headers=alice.headers(Sec_Fetch_Site="cross-site"),
        raise_error=False,
    )
    assert (answer.code, json.loads(answer.body)["error"]) == (403, "cross_site")
    assert "Set-Cookie" not in answer.headers


# -- clefstorm.js --------------------------------------------------------------------------------


async def test_script_is_served_and_kept(http_client: AsyncHTTPClient, base_url: str) -> None:
    """Browsers keep the script for a while, and ask with its ETag after."""
    url = f"{base_url}/auth/clefstorm.js"
    answer = await http_client.fetch(url)
    assert answer.body == (STATIC / "clefstorm.js").read_bytes()
    assert answer.headers["Content-Type"] == "text/javascript; charset=utf-8"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"].startswith("public, max-age=")
    etag = answer.headers["Etag"]
    answer = await http_client.fetch(url, headers={"If-None-Match": etag}, raise_error=False)
    assert (answer.code, answer.body) == (304, b"")
    answer = await http_client.fetch(url, method="HEAD")
    assert (answer.code, answer.headers["Etag"]) == (200, etag)


def test_served_script_is_its_source_minified() -> None:
    """The committed file is what rjsmin makes of its readable source."""
    source = (STATIC / "clefstorm.src.js").read_text("utf-8")
    served = (STATIC / "clefstorm.js").read_text("utf-8")
    assert served == rjsmin.jsmin(source, keep_bang_comments=True), (
        "in clefstorm/handlers/static: python -m rjsmin -b < clefstorm.src.js > clefstorm.js"
    )


def test_served_script_is_small_and_plain() -> None:
    """3 kB by gzip -9; nothing that a Content-Security-Policy forbids."""
    served = (STATIC / "clefstorm.js").read_bytes()
    assert len(gzip.compress(served, 9)) <= 3000
    for word in (b"eval(", b"Function(", b"innerHTML", b"document.write", b"setAttribute"):
        assert word not in served


@pytest.mark.parametrize("path", ["/auth/nothing", "/auth/", "/auth/clefstorm.src.js"])
async def test_nothing_else_is_served(
    http_client: AsyncHTTPClient, base_url: str, path: str
) -> None:
    """Only the routes are served; the folder of the script is not."""
    assert (await http_client.fetch(base_url + path, raise_error=False)).code == 404
