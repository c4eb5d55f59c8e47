"""Redirects that may be followed, and those that may not."""

from __future__ import annotations

import gc
import inspect
from typing import Any

import pytest
from providers.driving import drive

from clefstorm.errors import ConnectFailed
from clefstorm.protocol.exchange import Answer, Ask, Flow, Request, Response, fetch
from clefstorm.protocol.metadata import ProviderMetadata, metadata_of
from clefstorm.protocol.redirects import MOST_REDIRECTS, follow_redirects

START = "https://id.example/api/v1/users"
BEARER = {"Authorization": "Bearer the-token"}


def get(url: str = START, *, method: str = "GET", body: bytes | None = None) -> Flow[Response]:
    return fetch(Request(method=method, url=url, headers=BEARER, body=body))


def redirect(location: str, *, status: int = 302) -> Response:
    return Response(status=status, headers={"location": location})


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("location", "url"),
    [
        pytest.param("https://id.example/there", "https://id.example/there", id="absolute"),
        pytest.param("https://ID.example:443/there", "https://ID.example:443/there", id="same"),
        pytest.param("/there?a=b", "https://id.example/there?a=b", id="path"),
        pytest.param("there", "https://id.example/api/v1/there", id="relative"),
        pytest.param("//id.example/there", "https://id.example/there", id="no_scheme"),
        pytest.param("/there#part", "https://id.example/there", id="fragment"),
    ],
)
def test_followed(status: int, location: str, url: str) -> None:
    """A GET follows a redirect within its origin, with its headers."""

    def answers(ask: Ask) -> Answer:
        assert isinstance(ask, Request)
        return redirect(location, status=status) if ask.url == START else Response(status=200)

    driven = drive(follow_redirects(get()), answers)
    assert driven.result.status == 200
    assert [(ask.url, ask.headers) for ask in driven.asks] == [(START, BEARER), (url, BEARER)]


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        pytest.param({}, redirect("https://evil.example/"), id="other_host"),
        pytest.param({}, redirect("https://id.example.evil.example/"), id="longer_host"),
        pytest.param({}, redirect("https://id.example:8443/"), id="other_port"),
        pytest.param({}, redirect("http://id.example/"), id="plain_http"),
        pytest.param({}, redirect("//evil.example/"), id="no_scheme"),
        pytest.param({}, redirect("https://id.example@evil.example/"), id="user_info"),
        pytest.param({}, redirect("https://evil.example\\@id.example/"), id="backslash"),
        pytest.param({}, redirect("file:///etc/passwd"), id="file"),
        pytest.param({}, redirect("https://[bad/"), id="malformed"),
        pytest.param({}, redirect(""), id="empty"),
        pytest.param({}, Response(status=302), id="no_location"),
        pytest.param({}, redirect("/there", status=300), id="choices"),
        pytest.param({}, redirect("/there", status=304), id="not_modified"),
        pytest.param({}, redirect("/there", status=200), id="success"),
        pytest.param(
            {"method": "POST", "body": b"code=c"}, redirect("/there", status=307), id="post"
        ),
        pytest.param({"method": "POST"}, redirect("/there", status=303), id="post_303"),
        pytest.param({"body": b"{}"}, redirect("/there"), id="get_with_body"),
    ],
)
def test_not_followed(asked: dict[str, Any], answer: Response) -> None:
    """Nothing goes to another origin, and no body twice: the flow sees the answer as it is."""
    driven = drive(follow_redirects(get(**asked)), lambda ask: answer)
    assert driven.result is answer
    assert len(driven.asks) == 1


def test_bounded() -> None:
    """A server that redirects for ever is asked six times (DESIGN, law 8)."""
    driven = drive(follow_redirects(get()), lambda ask: redirect("/again"))
    assert driven.result.status == 302
    assert len(driven.asks) == MOST_REDIRECTS + 1


def test_other_asks_go_through() -> None:
    """Metadata and keys are answered by the driver, and errors are raised where the flow asked."""
    metadata = ProviderMetadata(
        issuer="https://id.example",
        authorization_endpoint="https://id.example/a",
        token_endpoint="https://id.example/t",
    )

    def flow() -> Flow[str]:
        assert (yield from metadata_of("https://id.example")) is metadata
        try:
            yield from get()
        except ConnectFailed as error:
            return error.code
        return "nothing was raised"

    failure = ConnectFailed("no", code="connect_refused")

    def answers(ask: Ask) -> Answer | Exception:
        return failure if isinstance(ask, Request) else metadata

    assert drive(follow_redirects(flow()), answers).result == "connect_refused"


def test_what_the_flow_raises() -> None:
    """What the flow raises is what its driver sees; a driver that gives up closes the flow."""

    def broken() -> Flow[None]:
        yield from get()
        raise LookupError

    with pytest.raises(LookupError):
        drive(follow_redirects(broken()), lambda ask: Response(status=200))
    inner = get()
    outer = follow_redirects(inner)
    next(outer)
    outer.close()
    assert inspect.getgeneratorstate(inner) == inspect.GEN_CLOSED
    gc.collect()
