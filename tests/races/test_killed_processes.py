"""A process that is killed (SIGKILL) at a step of a logout or of a refresh, and what is then so."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from races.held import DEADLINE, Gate
from races.held_process import process
from races.joined_site import Site
from tornado.httpclient import AsyncHTTPClient

from clefstorm.sessions import SessionStore
from clefstorm.testing import Answer, Clock

pytestmark = pytest.mark.gen_test(timeout=60)


@pytest.fixture
def store(open_store: Any, clock: Clock) -> SessionStore:
    """What outlives a process: a file. The test's own process has it open, too."""
    return open_store(clock)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "sessions.sqlite"


# -- a logout ----------------------------------------------------------------------------------

LogOut = Callable[[Site, AsyncHTTPClient, str, str], Awaitable[Any]]


async def _own(site: Site, http: AsyncHTTPClient, url: str, token: str) -> int:
    return (await site.browser.post(f"{url}/auth/logout", follow=False)).status


async def _backchannel(site: Site, http: AsyncHTTPClient, url: str, token: str) -> int:
    return (await site.post_logout_token(token, http, url=url)).code


@pytest.mark.parametrize("step", ["before_revoke", "revoked", "rung"])
@pytest.mark.parametrize(
    ("log_out", "reason", "answer"),
    [
        pytest.param(_own, "logout", 303, id="own"),
        pytest.param(_backchannel, "backchannel", 200, id="backchannel"),
    ],
)
async def test_process_killed_in_a_logout(
    site: Site,
    file: Path,
    http_client: AsyncHTTPClient,
    step: str,
    log_out: LogOut,
    reason: str,
    answer: int,
) -> None:
    """Wherever it was killed: the session is gone, at the latest when the logout is sent again,
    and each tab learns of it: one at the restarted process, and one at a process that lived on.

    Guarded by endings.Endings._end (revoked before anybody is told: law 1),
    sqlite.SQLiteSessionStore._look (what another process revoked is told here),
    logouts.Logouts._receive (the token is remembered only after it was carried out) and
    sqlite_writer.SQLiteWriter._begin (a revocation is on the disk when it is answered).
    """
    session = await site.sign_in()
    elsewhere = site.poll()
    token = await site.provider.logout_token("app", sub=site.sub, sid=site.sid)
    held = log_out.__name__.strip("_") if step == "before_revoke" else step
    async with process(file, site, held) as killed:
        polling = site.poll(killed.url)
        await killed.says("tab")
        logging_out = asyncio.ensure_future(log_out(site, http_client, killed.url, token))
        await killed.says("at", held)
        await killed.kill()
        await asyncio.gather(polling, logging_out, return_exceptions=True)
    alive = await site.rp.sessions.read(session.key)
    assert (alive is not None) == (step == "before_revoke")
    async with process(file, site) as restarted:
        if alive:
            back = site.poll(restarted.url)
            await restarted.says("tab")
            assert not elsewhere.done()
            assert await log_out(site, http_client, restarted.url, token) == answer
            assert (await back).json() == {"state": "signed_out", "reason": reason}
        else:
            assert (await site.poll(restarted.url)).json()["state"] == "signed_out"
            assert await log_out(site, http_client, restarted.url, token) == answer
        assert (await elsewhere).json() == {"state": "signed_out", "reason": reason}
        assert (await site.browser.get(f"{restarted.url}/")).text == "nobody"
    assert await site.sessions() == []


# -- a refresh ---------------------------------------------------------------------------------


async def _stale(site: Site) -> str:
    """Sign in with an access token that has to be refreshed at once; return it."""
    site.provider.grants.access_token_lifetime = 25
    session = await site.sign_in()
    site.provider.grants.access_token_lifetime = 3600
    assert session.tokens is not None
    return session.tokens.access_token


def _refreshes(site: Site) -> list[str | None]:
    """What the provider answered to refreshes: None, or an error."""
    return [
        request.error for request in site.provider.requests if request.grant_type == "refresh_token"
    ]


async def test_holder_killed_before_the_provider_heard(site: Site, file: Path) -> None:
    """A process that is killed in mid-refresh is replaced when its lease ends, and whoever waited
    gets the tokens. Guarded by leases.Lease.take."""
    stale = await _stale(site)
    async with process(file, site, lease=1) as killed, process(file, site, lease=1) as other:
        site.provider.answer_instead["token"] = Answer(hang=True)
        asking = asyncio.ensure_future(site.browser.fetch(f"{killed.url}/token"))
        while not await site.rp.sessions.peek(f"refresh:{await _key(site)}"):
            await asyncio.sleep(0.01)
        waiting = asyncio.ensure_future(site.browser.fetch(f"{other.url}/token"))
        await other.says("asked", 1)
        await killed.kill()
        del site.provider.answer_instead["token"]
        await asyncio.gather(asking, return_exceptions=True)
        fresh = (await waiting).text
    assert fresh != stale
    session = await site.session()
    assert session is not None
    assert session.tokens is not None
    assert session.tokens.access_token == fresh
    assert _refreshes(site) == [None]


async def test_holder_killed_after_the_provider_has_rotated(site: Site, file: Path) -> None:
    """An answer that was lost after the rotation ends honestly: the old refresh token is refused,
    all that came of it is revoked at the provider, the session ends, and its tabs are told.

    Guarded by refreshing.Refresher._call.
    """
    await _stale(site)
    elsewhere = site.poll()
    async with process(file, site, lease=1) as killed, process(file, site, lease=1) as other:
        gate = Gate()

        async def held(answer: Any) -> None:
            await gate.hold()

        site.provider.tamper["token"] = held
        asking = asyncio.ensure_future(site.browser.fetch(f"{killed.url}/token"))
        await gate.reached()
        await killed.kill()
        await asyncio.gather(asking, return_exceptions=True)
        del site.provider.tamper["token"]
        gate.open()
        polling = site.poll(other.url)
        await other.says("tab")
        refused = await site.browser.fetch(f"{other.url}/token")
        assert (refused.status, refused.text) == (401, "refresh_refused")
        assert (await polling).json() == {"state": "signed_out", "reason": "refresh_refused"}
    assert (await elsewhere).json() == {"state": "signed_out", "reason": "refresh_refused"}
    assert await site.sessions() == []
    assert _refreshes(site)[-1] == "invalid_grant"


async def _key(site: Site) -> str:
    session = await site.session()
    assert session is not None
    return session.key


async def test_a_thousand_requests_make_one_refresh(
    site: Site, file: Path, http_client: AsyncHTTPClient
) -> None:
    """A thousand requests that come to four processes while the token has to be refreshed make
    one refresh, and each gets its result; the provider, which revokes all when a refresh token
    comes twice, has nothing to revoke. Guarded by leases.Lease.take."""
    stale = await _stale(site)
    all_asked = asyncio.Event()

    async def held(answer: Any) -> None:
        await asyncio.wait_for(all_asked.wait(), DEADLINE)

    site.provider.tamper["token"] = held
    cookie = site.browser.cookies.header(site.url, same_site=True, safe_navigation=True)
    async with (
        process(file, site) as one,
        process(file, site) as two,
        process(file, site) as three,
        process(file, site) as four,
    ):
        processes = (one, two, three, four)
        asking = [
            asyncio.ensure_future(
                http_client.fetch(
                    f"{at.url}/token",
                    headers={"Cookie": cookie or ""},
                    connect_timeout=30,
                    request_timeout=30,
                )
            )
            for _ in range(250)
            for at in processes
        ]
        for at in processes:
            await at.says("asked", 250)
        assert not any(request.done() for request in asking)
        all_asked.set()
        answers = await asyncio.gather(*asking)
    assert {answer.code for answer in answers} == {200}
    (fresh,) = {answer.body.decode() for answer in answers}
    assert fresh != stale
    assert _refreshes(site) == [None]
    # And what it brought is good: the next refresh works.
    session = await site.session()
    assert session is not None
    assert (await site.rp.refresh(session)).tokens != session.tokens
