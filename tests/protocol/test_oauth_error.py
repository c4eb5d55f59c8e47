"""What of a provider's error may stand in an exception."""

from __future__ import annotations

from urllib.parse import quote, quote_plus

import pytest

from clefstorm.protocol.oauth_error import OAuthError, oauth_error_of

SECRET = "S3cret+abc/1 =z"


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(f"invalid_grant refresh_token={SECRET}", id="sentence"),
        pytest.param("c0de-of-the-login", id="secret_itself"),
        pytest.param("invalid_grant.c0de-of-the-login", id="secret_within"),
        pytest.param("e" * 61, id="long"),
        pytest.param("invalid_grant\n", id="newline"),
        pytest.param("", id="empty"),
        pytest.param(7, id="number"),
    ],
)
def test_an_error_is_a_short_word(error: object) -> None:
    """An error that is no code, or quotes a secret, is no OAuth error."""
    secrets = [SECRET, "c0de-of-the-login", None, ""]
    for word in ("invalid_grant", "AADSTS50013", "urn.example-1"):
        assert oauth_error_of({"error": word}, secrets) == OAuthError(word, None)
    assert oauth_error_of({"error": error}, secrets) is None


@pytest.mark.parametrize(
    ("quoted", "shown"),
    [
        pytest.param(SECRET, "bad … here", id="as_it_is"),
        pytest.param(quote_plus(SECRET), "…", id="as_in_a_form"),
        pytest.param(quote(SECRET), "…", id="as_in_a_url"),
        pytest.param(quote_plus(SECRET).lower().replace("s3", "S3"), "…", id="small_hex"),
        pytest.param("another", "bad another here", id="no_secret"),
    ],
)
def test_a_description_shows_no_secret(quoted: str, shown: str) -> None:
    """A secret that a provider quotes is cut out, or all is, in whichever spelling it comes."""
    said = {"error": "invalid_grant", "error_description": f"bad {quoted} here"}
    assert oauth_error_of(said, [SECRET]) == OAuthError("invalid_grant", shown)
