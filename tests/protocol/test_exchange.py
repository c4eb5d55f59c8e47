"""Requests, responses, and the asks of a flow."""

from __future__ import annotations

import pytest
from protocol.expecting import refusal

from clefstorm.errors import ProtocolViolation
from clefstorm.protocol.exchange import (
    KeysWanted,
    MetadataWanted,
    Request,
    Response,
    done,
    fetch,
)
from clefstorm.protocol.jwks import KeySet, keys_of
from clefstorm.protocol.metadata import ProviderMetadata, metadata_of

METADATA = ProviderMetadata(
    issuer="https://id.example",
    authorization_endpoint="https://id.example/authorize",
    token_endpoint="https://id.example/token",
)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        pytest.param("https://id.example:8443/a", "https://id.example:8443/a", id="plain"),
        pytest.param("https://id.example/a?s3cret=s3cret", "https://id.example/a", id="query"),
        pytest.param("https://id.example/a#s3cret", "https://id.example/a", id="fragment"),
        pytest.param("https://u:s3cret@id.example/a", "https://id.example/a", id="user_info"),
        pytest.param("https://u:s3@cret@id.example/a", "https://id.example/a", id="two_ats"),
    ],
)
def test_request_shows_no_secret(url: str, shown: str) -> None:
    """A secret reaches no log, repr or exception (DESIGN, law 4): not URL, headers nor body."""
    request = Request(
        method="POST", url=url, headers={"Authorization": "s3cret"}, body=b"code=s3cret"
    )
    assert request.shown_url == shown
    assert str(request) == f"POST {shown}"
    assert "s3" not in repr(request)
    assert repr(request) == "Request(method='POST', max_bytes=1048576)"


def test_response_shows_no_secret() -> None:
    """Evidence never holds a whole response (DESIGN, section 3); nor does its repr."""
    response = Response(status=200, headers={"set-cookie": "s3cret"}, body=b"s3cret")
    assert repr(response) == "Response(status=200)"
    assert str(response) == repr(response)


@pytest.mark.parametrize(
    ("headers", "media_type"),
    [
        ({}, ""),
        ({"content-type": "application/json"}, "application/json"),
        ({"content-type": " Application/JSON ; charset=utf-8"}, "application/json"),
    ],
)
def test_media_type(headers: dict[str, str], media_type: str) -> None:
    """Media types are compared without case and parameters (RFC 9110, section 8.3.1)."""
    assert Response(status=200, headers=headers).media_type == media_type


def test_done_asks_for_nothing() -> None:
    """``done`` is a flow that returns at once."""
    with pytest.raises(StopIteration) as end:
        next(done(3))
    assert end.value.value == 3


def test_fetch() -> None:
    """``fetch`` yields its request and returns the response; nothing else answers it."""
    request, response = Request(method="GET", url="https://id.example/"), Response(status=204)
    flow = fetch(request)
    assert next(flow) is request
    with pytest.raises(StopIteration) as end:
        flow.send(response)
    assert end.value.value is response
    flow = fetch(request)
    next(flow)
    with pytest.raises(TypeError, match="not ProviderMetadata"):
        flow.send(METADATA)


def test_metadata_of() -> None:
    """``metadata_of`` asks for an issuer's metadata; nothing else answers it."""
    flow = metadata_of("https://id.example")
    assert next(flow) == MetadataWanted("https://id.example")
    with pytest.raises(StopIteration) as end:
        flow.send(METADATA)
    assert end.value.value is METADATA
    flow = metadata_of("https://id.example")
    next(flow)
    with pytest.raises(TypeError, match="ProviderMetadata"):
        flow.send(Response(status=200))


@pytest.mark.parametrize("kid", ["k1", None])
def test_keys_of(kid: str | None) -> None:
    """``keys_of`` asks for the keys by the key id of the token (Core, section 10.1.1)."""
    keys = KeySet(())
    flow = keys_of("https://id.example/jwks", kid)
    assert next(flow) == KeysWanted("https://id.example/jwks", kid)
    with pytest.raises(StopIteration) as end:
        flow.send(keys)
    assert end.value.value is keys
    flow = keys_of("https://id.example/jwks", kid)
    next(flow)
    with pytest.raises(TypeError, match="KeySet"):
        flow.send(METADATA)


def test_keys_of_nowhere() -> None:
    """A provider whose metadata has no jwks_uri can sign nothing for us (Discovery, section 3)."""
    next(keys_of("https://id.example/jwks", None))
    with refusal(ProtocolViolation, "jwks_uri_missing"):
        next(keys_of(None, "k1"))
