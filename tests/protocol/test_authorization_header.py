"""The Authorization header that we send, and what can't be in it."""

from __future__ import annotations

import pytest
from protocol.expecting import refusal

from clefstorm.errors import ConfigurationError
from clefstorm.protocol.authorization_header import build_basic, is_bearer_token


def test_basic() -> None:
    """User and password joined by a colon, as UTF-8 in base64 (RFC 7617, section 2; the second
    is the example of section 2.1). A colon in the password is part of it.
    """
    assert build_basic("Aladdin", "open sesame") == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="
    assert build_basic("test", "123\u00a3") == "Basic dGVzdDoxMjPCow=="
    assert build_basic("a", "b:c") == "Basic YTpiOmM="


@pytest.mark.parametrize(
    ("user", "password"),
    [
        pytest.param("u:v", "s3cret", id="colon_in_the_user"),
        pytest.param("u", "s3cret\n", id="newline"),
        pytest.param("u\x7f", "s3cret", id="delete"),
        pytest.param("u", "s3cret\ud800", id="half_a_pair"),
    ],
)
def test_refused(user: str, password: str) -> None:
    """The user has no colon, neither has a control character (RFC 7617, section 2); and the
    refusal does not quote them.
    """
    assert build_basic("u", "s3cret").startswith("Basic ")
    with refusal(ConfigurationError, "auth_invalid") as caught:
        build_basic(user, password)
    assert "s3cret" not in f"{caught.value} {caught.value.evidence}"


def test_what_can_be_sent_as_a_bearer_token() -> None:
    """One word of visible ASCII, such as large providers give, and no value of another type."""
    assert is_bearer_token("!~9|/+=.-_")
    for value in ("", "a b", "a\n", "\u00e4", b"a", None):
        assert not is_bearer_token(value)
