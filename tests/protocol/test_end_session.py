"""RP-initiated logout: the URL at the provider."""

from __future__ import annotations

import dataclasses
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from clefstorm.protocol.end_session import build_end_session_url
from clefstorm.protocol.metadata import ProviderMetadata

METADATA = ProviderMetadata(
    issuer="https://id.example",
    authorization_endpoint="https://id.example/authorize",
    token_endpoint="https://id.example/token",
    end_session_endpoint="https://id.example/end",
)
ALL = {
    "id_token_hint": "a.b.c",
    "client_id": "app",
    "post_logout_redirect_uri": "https://app.example/auth/logged-out?x=y&z",
    "state": "s&t=u#v",
}


def build(metadata: ProviderMetadata = METADATA, **changes: Any) -> str:
    url = build_end_session_url(metadata, **{**ALL, **changes})
    assert url is not None
    return url


def parameters_of(url: str) -> dict[str, str]:
    pairs = parse_qsl(urlsplit(url).query, keep_blank_values=True, strict_parsing=True)
    assert len(pairs) == len(dict(pairs))
    return dict(pairs)


def test_all_parameters() -> None:
    """id_token_hint, client_id, post_logout_redirect_uri and state go into the query of the
    end_session_endpoint (RP-Initiated Logout 1.0, section 2).
    """
    url = build()
    assert url.startswith("https://id.example/end?")
    assert parameters_of(url) == ALL
    assert "#" not in url


def test_query_of_the_endpoint() -> None:
    """The endpoint may have a query of its own, which is kept (section 2.1: a URL)."""
    metadata = dataclasses.replace(METADATA, end_session_endpoint="https://id.example/end?p=q")
    assert parameters_of(build(metadata)) == {"p": "q", **ALL}


@pytest.mark.parametrize(
    ("changes", "left"),
    [
        pytest.param(
            {"id_token_hint": None},
            {"client_id", "post_logout_redirect_uri", "state"},
            id="no_hint",
        ),
        pytest.param(
            {"state": None},
            {"id_token_hint", "client_id", "post_logout_redirect_uri"},
            id="no_state",
        ),
        pytest.param(
            {"post_logout_redirect_uri": None}, {"id_token_hint", "client_id"}, id="no_redirect"
        ),
        pytest.param(
            {"post_logout_redirect_uri": None, "id_token_hint": None, "state": None},
            {"client_id"},
            id="client_alone",
        ),
    ],
)
def test_what_is_left_out(changes: dict[str, Any], left: set[str]) -> None:
    """All but the endpoint is optional, and state is passed back to the post_logout_redirect_uri
    alone (section 3), so it is not sent without one.
    """
    assert set(parameters_of(build(**changes))) == left


def test_no_endpoint() -> None:
    """A provider without end_session_endpoint (section 2.1) can't be asked, and is sent nothing."""
    metadata = dataclasses.replace(METADATA, end_session_endpoint=None)
    assert build_end_session_url(METADATA, **ALL) is not None
    assert build_end_session_url(metadata, **ALL) is None
