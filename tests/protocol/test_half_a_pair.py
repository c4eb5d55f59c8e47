"""Half of a surrogate pair can't be sent; the refusal neither quotes nor holds the text."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from protocol.expecting import refusal

from clefstorm.errors import ConfigurationError, ProtocolViolation
from clefstorm.protocol.credentials import Credentials
from clefstorm.protocol.eternaltwin import EternaltwinAPI
from clefstorm.protocol.pod import build_call

HALF = "s3cret\ud800"
POD = "https://pod.example"


def search(text: str) -> Any:
    api = EternaltwinAPI(origin="https://et.example")
    return next(api.search(text, offset=0, limit=1, access_token=None))


@pytest.mark.parametrize(
    ("build", "code"),
    [
        pytest.param(Credentials, "credentials_invalid", id="credentials"),
        pytest.param(search, "query_invalid", id="search"),
        pytest.param(lambda text: build_call(POD, "POST", "x", text), "data_invalid", id="data"),
        pytest.param(
            lambda text: build_call(POD, "POST", "x", {"a": text}), "data_invalid", id="form"
        ),
        pytest.param(
            lambda text: build_call(POD, "GET", "x", params={"a": text}), "data_invalid", id="query"
        ),
    ],
)
def test_what_we_build(build: Callable[[str], Any], code: str) -> None:
    """What an application wants to send is an error of ours, and leaves no trace of itself."""
    assert build("ünï")
    with refusal(ConfigurationError, code) as caught:
        build(HALF)
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("sent", ["AQJz/w==", "AQJz\udcff", "A"], ids=["utf8", "ascii", "base64"])
def test_credentials_that_we_read(sent: str) -> None:
    """What a client sends as its password is not held by the error about it."""
    assert Credentials.from_password(Credentials("ünï").password) == Credentials("ünï")
    with refusal(ProtocolViolation, "credentials_malformed") as caught:
        Credentials.from_password(sent)
    assert caught.value.__cause__ is caught.value.__context__ is None
