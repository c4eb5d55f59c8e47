"""Pushed authorization requests: when, what is sent, and which answers count (RFC 9126)."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol.expecting import refusal

from clefstorm.errors import ConfigurationError, ProtocolViolation, ProviderError
from clefstorm.protocol.exchange import Response
from clefstorm.protocol.metadata import ProviderMetadata
from clefstorm.protocol.pushed_authorization import (
    LONGEST_REQUEST_LIFETIME,
    LONGEST_REQUEST_URI,
    build_pushed_authorization_url,
    build_pushed_request,
    pushed_endpoint,
    read_pushed_response,
)

PAR = "https://id.example/par"
SILENT = ProviderMetadata(
    issuer="https://id.example",
    authorization_endpoint="https://id.example/authorize?tenant=a",
    token_endpoint="https://id.example/token",
)
OFFERED = replace(SILENT, pushed_authorization_request_endpoint=PAR)
REQUIRED = replace(OFFERED, require_pushed_authorization_requests=True)
URI = "urn:ietf:params:oauth:request_uri:6esc_11ACC5bwc014ltc14eY22c"
GOOD = {"request_uri": URI, "expires_in": 60}


def answer(value: Any, *, status: int = 201) -> Response:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return Response(status=status, body=body)


@pytest.mark.parametrize(
    ("metadata", "wanted", "endpoint"),
    [
        pytest.param(SILENT, None, None, id="not_offered"),
        pytest.param(SILENT, False, None, id="not_offered_not_wanted"),
        pytest.param(OFFERED, None, PAR, id="offered"),
        pytest.param(OFFERED, True, PAR, id="offered_and_wanted"),
        pytest.param(OFFERED, False, None, id="offered_and_switched_off"),
        pytest.param(REQUIRED, None, PAR, id="required"),
        pytest.param(REQUIRED, True, PAR, id="required_and_wanted"),
    ],
)
def test_when(metadata: ProviderMetadata, wanted: bool | None, endpoint: str | None) -> None:
    """Wherever it is offered, unless it is switched off (section 5)."""
    assert pushed_endpoint(metadata, wanted=wanted) == endpoint


@pytest.mark.parametrize(
    ("metadata", "wanted", "code"),
    [
        pytest.param(REQUIRED, False, "pushed_requests_required", id="required_but_off"),
        pytest.param(SILENT, True, "pushed_requests_unsupported", id="wanted_but_not_offered"),
        pytest.param(
            replace(REQUIRED, pushed_authorization_request_endpoint=None),
            None,
            "pushed_requests_unsupported",
            id="required_without_an_endpoint",
        ),
    ],
)
def test_when_it_cannot_be(metadata: ProviderMetadata, wanted: bool | None, code: str) -> None:
    """A configuration that the provider can't go with is an error, and nothing else is tried."""
    assert pushed_endpoint(REQUIRED, wanted=None) == PAR
    with refusal(ConfigurationError, code):
        pushed_endpoint(metadata, wanted=wanted)


def test_request() -> None:
    """All parameters and the client's proof go into the body of one POST (section 2.1)."""
    request = build_pushed_request(
        PAR,
        {"response_type": "code", "client_id": "app", "state": "s p"},
        ({"Authorization": "Basic x"}, {"client_id": "app"}),
    )
    assert (request.method, request.url) == ("POST", PAR)
    assert request.headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert request.headers["Authorization"] == "Basic x"
    assert parse_qs((request.body or b"").decode()) == {
        "response_type": ["code"],
        "client_id": ["app"],
        "state": ["s p"],
    }


def test_url() -> None:
    """The browser carries client_id and request_uri (section 4), and the endpoint's own query."""
    url = build_pushed_authorization_url(SILENT, client_id="app", request_uri=URI)
    assert url.startswith("https://id.example/authorize?")
    assert parse_qs(urlsplit(url).query) == {
        "tenant": ["a"],
        "client_id": ["app"],
        "request_uri": [URI],
    }


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(GOOD, id="as_in_the_specification"),
        pytest.param({**GOOD, "more": 1}, id="with_more"),
        pytest.param({**GOOD, "request_uri": "https://id.example/requests/1"}, id="https"),
        pytest.param({**GOOD, "expires_in": 5}, id="short"),
        pytest.param({**GOOD, "expires_in": 86400}, id="a_day"),
    ],
)
def test_answer(value: dict[str, Any]) -> None:
    """A 201 with a request_uri and its lifetime (section 2.2)."""
    assert read_pushed_response(answer(value)) == value["request_uri"]


@pytest.mark.parametrize(
    ("response", "code"),
    [
        pytest.param(answer(GOOD, status=200), "pushed_answer_status", id="status_200"),
        pytest.param(answer(GOOD, status=302), "pushed_answer_status", id="status_302"),
        pytest.param(answer(b"<html>", status=500), "pushed_answer_status", id="status_500"),
        pytest.param(answer(b"<html>", status=400), "pushed_answer_status", id="error_no_json"),
        pytest.param(answer({}, status=400), "pushed_answer_status", id="error_without_a_word"),
        pytest.param(answer(b"<html>"), "json_invalid", id="no_json"),
        pytest.param(answer([]), "json_not_object", id="a_list"),
        pytest.param(
            answer(b'{"request_uri":"urn:a","request_uri":"urn:b","expires_in":9}'),
            "json_duplicate_name",
            id="request_uri_twice",
        ),
        *(
            pytest.param(answer({**GOOD, **change}), "pushed_answer_member", id=name)
            for name, change in {
                "request_uri_missing": {"request_uri": None},
                "request_uri_empty": {"request_uri": ""},
                "request_uri_no_uri": {"request_uri": "a"},
                "request_uri_with_space": {"request_uri": "urn:a b"},
                "request_uri_with_newline": {"request_uri": "urn:a\n"},
                "request_uri_beyond_ascii": {"request_uri": "urn:ä"},
                "request_uri_number": {"request_uri": 7},
                "request_uri_list": {"request_uri": [URI]},
                "request_uri_too_long": {"request_uri": "urn:" + "a" * 2048},
                "expires_in_missing": {"expires_in": None},
                "expires_in_zero": {"expires_in": 0},
                "expires_in_negative": {"expires_in": -1},
                "expires_in_true": {"expires_in": True},
                "expires_in_text": {"expires_in": "60"},
                "expires_in_fraction": {"expires_in": 0.5},
                "expires_in_for_ever": {"expires_in": 86401},
            }.items()
        ),
    ],
)
def test_answer_refused(response: Response, code: str) -> None:
    """A request_uri comes from a strict 201 and from nowhere else."""
    assert read_pushed_response(answer(GOOD)) == URI
    with refusal(ProtocolViolation, code):
        read_pushed_response(response)


@pytest.mark.parametrize("status", [400, 401, 403, 413, 429])
def test_refused_by_the_provider(status: int) -> None:
    """An OAuth error is the provider's no (section 2.3), whose words don't quote our secrets."""
    words = {"error": "invalid_request", "error_description": "not with s3cret"}
    with refusal(ProviderError, "pushed_request_refused") as caught:
        read_pushed_response(answer(words, status=status), secrets=("s3cret", None))
    assert isinstance(caught.value, ProviderError)
    assert (caught.value.error, caught.value.error_description) == ("invalid_request", "not with …")


@given(status=st.sampled_from([200, 201, 400, 401, 500]), body=st.binary(max_size=200))
def test_only_errors_of_ours(status: int, body: bytes) -> None:
    """Any bytes are a request_uri or an error of ours."""
    with suppress(ProtocolViolation, ProviderError):
        assert read_pushed_response(Response(status=status, body=body))


def test_bounds_of_an_answer() -> None:
    """The longest request_uri and lifetime that we take, and the shortest lifetime that can be
    used, are taken; one more or less is not (sections 2.2 and 7.3 leave both to the provider).
    """
    longest = "urn:x:".ljust(LONGEST_REQUEST_URI, "y")
    assert read_pushed_response(answer({**GOOD, "request_uri": longest})) == longest
    for lifetime in (1, LONGEST_REQUEST_LIFETIME):
        assert read_pushed_response(answer({**GOOD, "expires_in": lifetime})) == URI
    for bad in (
        {"request_uri": f"{longest}y"},
        {"expires_in": 0},
        {"expires_in": LONGEST_REQUEST_LIFETIME + 1},
    ):
        with refusal(ProtocolViolation, "pushed_answer_member"):
            read_pushed_response(answer({**GOOD, **bad}))
