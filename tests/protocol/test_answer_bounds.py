"""How much of an answer each request agrees to read."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from providers.driving import drive

from clefstorm.protocol.eternaltwin import LARGEST_LIST, EternaltwinAPI
from clefstorm.protocol.exchange import LARGEST_ANSWER, Flow, Request, Response
from clefstorm.protocol.identity import LARGEST_PROFILE, build_userinfo_request
from clefstorm.protocol.introspection import LARGEST_INTROSPECTION, build_introspection_request
from clefstorm.protocol.metadata import LARGEST_DOCUMENT, discovery_request
from clefstorm.protocol.pushed_authorization import LARGEST_PUSHED_ANSWER, build_pushed_request
from clefstorm.protocol.revocation import LARGEST_REVOCATION_ANSWER, build_revocation_request
from clefstorm.protocol.token_endpoint import (
    LARGEST_TOKEN_ANSWER,
    build_client_credentials_request,
    build_refresh_request,
)

URL = "https://id.example/there"
NOBODY: tuple[dict[str, str], dict[str, str]] = ({}, {})
TWIN = EternaltwinAPI(origin="https://twin.example")
ANN = b'{"id": "ann", "display_name": {"current": {"value": "Ann"}}}'


def asked(flow: Flow[object]) -> Request:
    """The one request that the flow sends."""
    (request,) = drive(flow, lambda ask: Response(status=200, body=ANN)).asks
    assert isinstance(request, Request)
    return request


@pytest.mark.parametrize(
    ("build", "most"),
    [
        pytest.param(
            lambda: discovery_request("https://id.example"), LARGEST_DOCUMENT, id="metadata"
        ),
        pytest.param(
            lambda: build_refresh_request(URL, "rt", NOBODY),
            LARGEST_TOKEN_ANSWER,
            id="token_endpoint",
        ),
        pytest.param(
            lambda: build_client_credentials_request(URL, None, NOBODY),
            LARGEST_TOKEN_ANSWER,
            id="client_credentials",
        ),
        pytest.param(lambda: build_userinfo_request(URL, "at"), LARGEST_PROFILE, id="userinfo"),
        pytest.param(
            lambda: build_introspection_request(URL, "at", authentication=NOBODY),
            LARGEST_INTROSPECTION,
            id="introspection",
        ),
        pytest.param(
            lambda: build_revocation_request(
                URL, "rt", token_type_hint=None, authentication=NOBODY
            ),
            LARGEST_REVOCATION_ANSWER,
            id="revocation",
        ),
        pytest.param(
            lambda: build_pushed_request(URL, {}, NOBODY), LARGEST_PUSHED_ANSWER, id="pushed"
        ),
        pytest.param(
            lambda: TWIN.token_request({"code": "c"}, client_id="game", client_secret="s"),
            LARGEST_TOKEN_ANSWER,
            id="eternaltwin_token",
        ),
        pytest.param(lambda: asked(TWIN.get("ann", "at")), LARGEST_LIST, id="eternaltwin_user"),
    ],
)
def test_bound(build: Callable[[], Request], most: int) -> None:
    """Everything from outside is bounded, and by what it is good for: no answer of these is
    kept that is larger, and none may be larger than an answer that nobody bounded.
    """
    assert build().max_bytes == most
    assert 0 < most <= LARGEST_ANSWER
