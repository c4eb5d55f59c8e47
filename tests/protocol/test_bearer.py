"""The header that brings a bearer token, and the challenge that refuses one: RFC 6750."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol.expecting import refusal

from clefstorm.errors import ConfigurationError, RequestRefused
from clefstorm.protocol.bearer import build_challenge, read_bearer
from clefstorm.protocol.jwt import LONGEST_TOKEN


@pytest.mark.parametrize(
    "header",
    [
        "Bearer abc.DEF-123_~+/==",
        "bearer abc.DEF-123_~+/==",
        "BEARER  abc.DEF-123_~+/==",
        " Bearer abc.DEF-123_~+/== ",
    ],
)
def test_the_token(header: str) -> None:
    """The scheme is known in any case, and the token is what follows it."""
    assert read_bearer([header]) == "abc.DEF-123_~+/=="
    assert read_bearer([header.replace("abc", "X.X").replace("==", "X")]) == "X.X.DEF-123_~+/X"


@pytest.mark.parametrize("headers", [[], [""], ["Basic YTpi"], ["DPoP abc"], ["Bearerabc"]])
def test_no_token(headers: list[str]) -> None:
    """Nothing, and another scheme, bring no bearer token; that is not an error yet."""
    assert read_bearer(headers) is None


@pytest.mark.parametrize(
    ("code", "headers"),
    [
        pytest.param("authorization_repeated", ["Bearer a", "Bearer a"], id="twice"),
        pytest.param("authorization_repeated", ["Basic a", "Bearer a"], id="two_schemes"),
        pytest.param("bearer_malformed", ["Bearer"], id="scheme_alone"),
        pytest.param("bearer_malformed", ["Bearer "], id="empty"),
        pytest.param("bearer_malformed", ["Bearer a, Bearer b"], id="joined"),
        pytest.param("bearer_malformed", ["Bearer a b"], id="two_tokens"),
        pytest.param("bearer_malformed", ['Bearer "a"'], id="quoted"),
        pytest.param("bearer_malformed", ["Bearer a=b"], id="padding_inside"),
        pytest.param("bearer_malformed", ["Bearer ="], id="padding_alone"),
        pytest.param("bearer_malformed", ["Bearer \u00e4"], id="not_ascii"),
        pytest.param("bearer_malformed", ["Bearer a\x00"], id="control_character"),
        pytest.param("bearer_malformed", ["Bearer a\x0b"], id="space_of_another_kind_behind"),
        pytest.param("bearer_malformed", ["Bearer \ta"], id="tab_before"),
        pytest.param("bearer_too_long", [f"Bearer {'a' * (LONGEST_TOKEN + 1)}"], id="too_long"),
    ],
)
def test_what_is_refused(code: str, headers: list[str]) -> None:
    """Exactly one token, of the characters that a token has, and bounded."""
    assert read_bearer([f"Bearer {'a' * LONGEST_TOKEN}"])
    with refusal(RequestRefused, code) as refused:
        read_bearer(headers)
    assert refused.value.evidence.get("got") is None


@given(st.lists(st.text(max_size=30) | st.text(max_size=30).map("Bearer {}".format), max_size=2))
def test_any_headers(headers: list[str]) -> None:
    """Whatever the headers say, only errors of ours come out."""
    with contextlib.suppress(RequestRefused):
        read_bearer(headers)


def test_a_challenge() -> None:
    """Parameters stand in the order given, quoted; None leaves one out."""
    assert build_challenge("Bearer") == "Bearer"
    challenge = build_challenge("Bearer", realm='the "api"\\', error=None, scope="a b")
    assert challenge == 'Bearer realm="the \\"api\\"\\\\", scope="a b"'


@pytest.mark.parametrize("value", ["a\r\nSet-Cookie: b=c", "a\x00", "\u00e4", "\x7f"])
def test_what_no_header_carries(value: str) -> None:
    """A challenge can't be broken out of."""
    assert build_challenge("Bearer", realm="~ !")
    with refusal(ConfigurationError, "challenge_invalid"):
        build_challenge("Bearer", realm=value)
