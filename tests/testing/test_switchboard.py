"""The embedded provider's faults that have a name, and what it does at a front-channel logout."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import urlencode, urlsplit

import pytest
from stand_in import StandIn, heading
from test_testing_docs import example
from tornado.httpclient import HTTPClientError

from clefstorm.errors import ConfigurationError
from clefstorm.testing import FAULTS, Answer, Browser, Provider


async def test_a_fault_is_switched_on_and_off(browser: Browser, stand_in: StandIn) -> None:
    """From ``misbehave`` to ``behave`` the tokens are wrong, before and after they are right."""
    issuers = []
    provider = stand_in.provider
    for switch in (provider.behave, lambda: provider.misbehave("iss_wrong"), provider.behave):
        switch()
        claims = await stand_in.claims((await stand_in.tokens(browser))["id_token"])
        issuers.append(claims["iss"])
    mine = stand_in.provider.issuer
    assert issuers == [mine, "https://evil.example", mine]


async def test_the_page_s_faults(stand_in: StandIn) -> None:
    """The example of docs/reference/testing.rst is run as it stands."""
    exec(example('provider.misbehave("nonce_wrong")'), {"provider": stand_in.provider})
    assert set(stand_in.provider.tamper) == {"id_token", "logout_token", "userinfo"}
    stand_in.provider.behave()
    assert not stand_in.provider.tamper


def test_behave_takes_out_the_test_s_own_hooks(stand_in: StandIn) -> None:
    """One call, and nothing of a test is left."""
    stand_in.provider.answer_instead["token"] = Answer(status=503)
    stand_in.provider.tamper["jwks"] = lambda jwks: None
    stand_in.provider.behave()
    assert not stand_in.provider.answer_instead
    assert not stand_in.provider.tamper


@pytest.mark.parametrize(("name", "at"), [(n, at) for n, places in FAULTS.items() for at in places])
def test_each_fault_can_be_switched_on_where_it_says(name: str, at: str) -> None:
    """FAULTS says where; the first place is the usual one."""
    assert len(FAULTS) > 250  # as the page says
    provider = Provider()
    provider.misbehave(name, at=at)
    assert at in provider.tamper
    provider.behave()
    provider.misbehave(name)
    assert FAULTS[name][0] in provider.tamper


@pytest.mark.parametrize(
    ("name", "at"),
    [
        pytest.param("iss_wrnog", None, id="misspelled"),
        pytest.param("iss_wrong", "userinfo", id="not_there"),
        pytest.param("iss_wrong", "nowhere", id="no_place"),
    ],
)
def test_an_unknown_fault_is_an_error(name: str, at: str | None) -> None:
    """A misspelled fault is not a silent one."""
    with pytest.raises(ConfigurationError) as refused:
        Provider().misbehave(name, at=at)
    assert refused.value.code == "fault_unknown"


async def ask(stand_in: StandIn, answer: Answer, seconds: float = 10.0) -> bytes:
    stand_in.provider.answer_instead["jwks"] = answer
    response = await stand_in.http.fetch(
        f"{stand_in.provider.issuer}/jwks", request_timeout=seconds, connect_timeout=seconds
    )
    return response.body


async def test_an_answer_in_drops(stand_in: StandIn) -> None:
    """Byte by byte, the whole comes in the end; who does not wait, leaves."""
    assert await ask(stand_in, Answer(body=b"drop", drip=0.001)) == b"drop"
    with pytest.raises(HTTPClientError):
        await ask(stand_in, Answer(body=b"drop", drip=60.0), seconds=0.2)


async def test_an_answer_without_end(stand_in: StandIn) -> None:
    """It begins anew until the caller has had enough."""
    stand_in.provider.answer_instead["jwks"] = Answer(body=b"x" * 10**5, endless=True)
    reader, writer = await asyncio.open_connection("127.0.0.1", stand_in.provider.port)
    writer.write(b"GET /jwks HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert len(await reader.readexactly(10**6)) == 10**6
    writer.close()
    await writer.wait_closed()


async def test_an_answer_that_is_cut_off(stand_in: StandIn) -> None:
    """The connection closes before the last byte."""
    with pytest.raises(HTTPClientError):
        await ask(stand_in, Answer(body=b"x" * 100, cut=True))


# -- front-channel logout --------------------------------------------------------------------------


def register(stand_in: StandIn, **changes: object) -> None:
    stand_in.register("app", frontchannel_logout_uri=f"{stand_in.url}/callback?front=1", **changes)


async def sign_out(stand_in: StandIn, browser: Browser) -> object:
    tokens = await stand_in.tokens(browser)
    parameters = {
        "id_token_hint": tokens["id_token"],
        "post_logout_redirect_uri": f"{stand_in.url}/callback?bye",
        "state": "x",
    }
    return await browser.get(f"{stand_in.provider.issuer}/end_session?{urlencode(parameters)}")


async def test_the_logout_page_frames_the_clients(browser: Browser, stand_in: StandIn) -> None:
    """Each client's URL is framed with iss and sid, its own query kept; then the way leads back
    (Front-Channel Logout 1.0, sections 2 and 3)."""
    register(stand_in)
    page = await sign_out(stand_in, browser)
    assert heading(page) == "You are signed out"
    assert f"frame-src {stand_in.url}" in page.headers["Content-Security-Policy"]
    assert f'href="{stand_in.url}/callback?bye&amp;state=x"' in page.text
    stand_in.answers.clear()
    [frame] = await browser.load_frames()
    assert frame.text == "back at the application"
    [seen] = stand_in.answers
    assert (seen["front"], seen["iss"]) == ("1", stand_in.provider.issuer)
    assert len(seen["sid"]) >= 22
    again = await browser.get(f"{stand_in.provider.issuer}/end_session")
    assert not again.frames


async def test_a_client_that_wants_no_session_is_named_none(
    browser: Browser, stand_in: StandIn
) -> None:
    """With frontchannel_logout_session_required False the URL stands as it was registered."""
    register(stand_in, frontchannel_logout_session_required=False)
    page = await sign_out(stand_in, browser)
    assert page.frames == (f"{stand_in.url}/callback?front=1",)


async def test_nobody_is_framed_without_a_uri(browser: Browser, stand_in: StandIn) -> None:
    """A client without one is left alone, and the browser goes straight back."""
    page = await sign_out(stand_in, browser)
    assert page.url == f"{stand_in.url}/callback?bye&state=x"


async def test_discovery_says_so(stand_in: StandIn) -> None:
    """The metadata announces it (Front-Channel Logout 1.0, section 3)."""
    response = await stand_in.http.fetch(
        f"{stand_in.provider.issuer}/.well-known/openid-configuration"
    )
    document = json.loads(response.body)
    assert document["frontchannel_logout_supported"] is True
    assert document["frontchannel_logout_session_supported"] is True


async def test_frames_of_others_get_no_cookie(browser: Browser, stand_in: StandIn) -> None:
    """A frame of another origin is loaded without cookies, one of the page's own with them."""
    await browser.sign_in(stand_in.provider, "alice", stand_in.authorization())
    with pytest.raises(ConfigurationError) as refused:
        await Browser().load_frames()
    assert refused.value.code == "no_page"
    stand_in.provider.answer_instead["userinfo"] = Answer(
        headers={"Content-Type": "text/html", "Set-Cookie": "a=1"},
        body=f'<iframe src="{stand_in.provider.issuer}/jwks"></iframe><iframe></iframe>',
    )
    page = await browser.get(f"{stand_in.provider.issuer}/userinfo")
    assert [urlsplit(url).path for url in page.frames] == ["/jwks"]
    [frame] = await browser.load_frames(page)
    assert frame.status == 200
    stand_in.provider.answer_instead["jwks"] = Answer(headers={"Set-Cookie": "b=2"})
    await browser.load_frames(page)
    assert browser.cookies.get("b") == "2"
    other = await browser.get(
        f"{stand_in.provider.issuer.replace('localhost', '127.0.0.1')}/userinfo"
    )
    stand_in.provider.answer_instead["jwks"] = Answer(headers={"Set-Cookie": "c=3"})
    await browser.load_frames(other)
    assert browser.cookies.get("c") is None
