"""Clef API v1 on the wire: what each call sends, to the letter, and what its refusals hide."""

from __future__ import annotations

import json
from typing import Any

import pytest
from protocol.expecting import refusal
from providers.driving import drive

from clefstorm.errors import ClefAPIError, ConfigurationError
from clefstorm.protocol.clef_api import LONGEST_VALUE, ClefAPI, read_answer
from clefstorm.protocol.exchange import Flow, Request, Response

API = ClefAPI(api_url="https://clef.example/api/v1/", app_id="app", app_secret="s3cret")
FORM = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}


def sent(flow: Flow[Any], **answer: Any) -> tuple[Request, Any]:
    """The one request of a call, and its result."""
    body = json.dumps({"success": True, **answer}).encode()
    driven = drive(flow, lambda ask: Response(status=200, body=body))
    (request,) = driven.asks
    assert isinstance(request, Request)
    return request, driven.result


def test_the_three_calls() -> None:
    """Code and logout token go with the credentials into the form of a POST, the access token
    into the query of a GET; 1 is an id like any other.
    """
    request, token = sent(API.authorize("c&d"), access_token="at")
    assert (request.method, request.url, token) == ("POST", f"{API.api_url}authorize", "at")
    assert request.body == b"code=c%26d&app_id=app&app_secret=s3cret"
    assert request.headers == FORM
    request, info = sent(API.info("a t"), info={"id": 1})
    assert (request.method, request.url) == ("GET", f"{API.api_url}info?access_token=a+t")
    assert (request.headers, request.body, info) == ({"Accept": FORM["Accept"]}, None, {"id": 1})
    request, clef_id = sent(API.logged_out("lt"), clef_id=1)
    assert (request.method, request.url, clef_id) == ("POST", f"{API.api_url}logout", 1)
    assert request.body == b"logout_token=lt&app_id=app&app_secret=s3cret"
    assert request.headers == FORM


def test_a_call_without_parameters() -> None:
    """No parameters, no question mark."""
    assert API.request("GET", "info", {}).url == f"{API.api_url}info"


@pytest.mark.parametrize(
    "value", [True, None, 1.5, b"x", "x" * (LONGEST_VALUE + 1)], ids=lambda value: str(value)[:5]
)
def test_parameters_that_cannot_be_sent(value: Any) -> None:
    """A parameter is a text or an integer, as long as LONGEST_VALUE at most."""
    for good in ("", "x" * LONGEST_VALUE, 7):
        assert API.request("GET", "info", {"a": good})
    with refusal(ConfigurationError, "parameter_invalid"):
        API.request("GET", "info", {"a": value})


def test_a_secret_within_a_secret() -> None:
    """The longest is hidden first, so that no rest of it is left; an empty one hides nothing."""
    body = json.dumps({"success": False, "error": "no s3cret-and-more, b s3cret"}).encode()
    for secrets in (["s3cret", "s3cret-and-more", "b", ""], ["b", "s3cret-and-more", "s3cret"]):
        with pytest.raises(ClefAPIError) as caught:
            read_answer(Response(status=403, body=body), secrets=secrets)
        assert "no …, … …" in str(caught.value)
