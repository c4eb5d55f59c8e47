"""Client authentication: which method, and what it puts where."""

from __future__ import annotations

import base64
from urllib.parse import unquote_plus

import pytest
from protocol.expecting import refusal

from clefstorm.errors import ConfigurationError
from clefstorm.protocol.client_auth import choose_method, client_authentication


@pytest.mark.parametrize(
    ("configured", "supported", "secret", "method"),
    [
        pytest.param(None, (), "s", "client_secret_basic", id="provider_says_nothing"),
        pytest.param(None, ("client_secret_basic",), "s", "client_secret_basic", id="basic"),
        pytest.param(None, ("client_secret_post",), "s", "client_secret_post", id="post_alone"),
        pytest.param(
            None,
            ("private_key_jwt", "client_secret_post", "client_secret_basic"),
            "s",
            "client_secret_basic",
            id="basic_before_post",
        ),
        pytest.param(None, (), None, "none", id="public_client"),
        pytest.param(None, ("client_secret_basic",), None, "none", id="public_whatever_is_said"),
        pytest.param(
            "client_secret_post",
            ("client_secret_basic",),
            "s",
            "client_secret_post",
            id="configured",
        ),
        pytest.param("none", (), None, "none", id="none_configured"),
        pytest.param("none", (), "s", "none", id="none_configured_beside_a_secret"),
    ],
)
def test_method(
    configured: str | None, supported: tuple[str, ...], secret: str | None, method: str
) -> None:
    """The configured method wins; else one that the provider supports, client_secret_basic when
    its metadata is silent (Discovery 1.0, section 3: "If omitted, the default is …").
    """
    assert choose_method(configured, supported=supported, client_secret=secret) == method


@pytest.mark.parametrize(
    ("configured", "supported", "secret", "code"),
    [
        pytest.param("client_secret_jwt", (), "s", "auth_method_unknown", id="unknown"),
        pytest.param(
            "client_secret_basic", (), None, "client_secret_missing", id="basic_secretless"
        ),
        pytest.param("client_secret_post", (), None, "client_secret_missing", id="post_secretless"),
        pytest.param(None, ("private_key_jwt",), "s", "auth_method_unsupported", id="nothing_fits"),
        pytest.param(
            None, ("none",), "s", "auth_method_unsupported", id="never_less_than_a_secret"
        ),
    ],
)
def test_method_refused(
    configured: str | None, supported: tuple[str, ...], secret: str | None, code: str
) -> None:
    """A confidential client never falls back to less (RFC 6749, section 3.2.1), and what can't
    work is the configuration's fault.
    """
    assert choose_method(None, supported=(), client_secret="s") == "client_secret_basic"
    with refusal(ConfigurationError, code) as caught:
        choose_method(configured, supported=supported, client_secret=secret)
    assert "client_secret" in str(caught.value)


@pytest.mark.parametrize(
    ("client_id", "secret"),
    [
        pytest.param("app", "secret", id="plain"),
        pytest.param("urn:app", "a:b", id="colon"),
        pytest.param("app", "a%2Bb+c d/=&", id="reserved"),
        pytest.param("äpp", "gehe\u00efm\N{SNOWMAN}", id="beyond_ascii"),
    ],
)
def test_basic(client_id: str, secret: str) -> None:
    """The client identifier and password are encoded with application/x-www-form-urlencoded
    before they become user name and password (RFC 6749, section 2.3.1, appendix B).
    """
    headers, fields = client_authentication(
        "client_secret_basic", client_id=client_id, client_secret=secret
    )
    assert fields == {}
    assert list(headers) == ["Authorization"]
    scheme, _, encoded = headers["Authorization"].partition(" ")
    user, colon, password = base64.b64decode(encoded).decode("ascii").partition(":")
    assert (scheme, colon) == ("Basic", ":")
    assert (unquote_plus(user), unquote_plus(password)) == (client_id, secret)
    assert ":" not in user + password


def test_basic_space() -> None:
    """In application/x-www-form-urlencoded a space is a plus (RFC 6749, appendix B)."""
    headers, _ = client_authentication("client_secret_basic", client_id="a b", client_secret="%&+")
    assert base64.b64decode(headers["Authorization"][6:]) == b"a+b:%25%26%2B"


def test_post() -> None:
    """client_secret_post puts both into the body and nothing into a header (6749, 2.3.1): a
    client uses one way of authentication in a request (section 2.3).
    """
    assert client_authentication("client_secret_post", client_id="app", client_secret="s") == (
        {},
        {"client_id": "app", "client_secret": "s"},
    )


@pytest.mark.parametrize("secret", [None, "s3cret"])
def test_none(secret: str | None) -> None:
    """A public client sends its client_id (RFC 6749, section 4.1.3), and never a secret."""
    assert client_authentication("none", client_id="app", client_secret=secret) == (
        {},
        {"client_id": "app"},
    )


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_no_secret_no_credentials(method: str) -> None:
    """Without a secret nothing that looks like one is sent."""
    assert client_authentication(method, client_id="app", client_secret=None) == (
        {},
        {"client_id": "app"},
    )
