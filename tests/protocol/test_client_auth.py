"""Client authentication: which method, and what it puts where."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any
from urllib.parse import unquote_plus

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from protocol.expecting import refusal

from clefstorm.errors import ConfigurationError
from clefstorm.jws import read_base64url
from clefstorm.keys import ES256Key, HS256Key, Key, KeyList, VerificationKey, generate_key
from clefstorm.protocol.client_auth import (
    ClientAuthenticator,
    choose_method,
    client_authentication,
)
from clefstorm.protocol.metadata import ProviderMetadata


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
        pytest.param("tls_client_auth", (), "s", "auth_method_unknown", id="unknown"),
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


KEY = generate_key("ES256", kid="k1")
OTHER = generate_key("RS256", kid="k2")
METADATA = ProviderMetadata(
    issuer="https://id.example",
    authorization_endpoint="https://id.example/authorize",
    token_endpoint="https://id.example/token",
)
NOW = 1_700_000_000.0
SECRET = "a secret of the client, long enough for HS512, which wants sixty-four bytes"


@pytest.mark.parametrize(
    ("configured", "supported", "secret", "method"),
    [
        pytest.param(None, (), None, "private_key_jwt", id="key_alone"),
        pytest.param(None, (), "s", "private_key_jwt", id="key_before_secret"),
        pytest.param("private_key_jwt", (), None, "private_key_jwt", id="configured"),
        pytest.param(
            None, ("client_secret_basic", "private_key_jwt"), "s", "private_key_jwt", id="announced"
        ),
    ],
)
def test_method_with_a_key(
    configured: str | None, supported: tuple[str, ...], secret: str | None, method: str
) -> None:
    """A client_key is there to be used: private_key_jwt (Core 1.0, section 9)."""
    assert method == choose_method(
        configured, supported=supported, client_secret=secret, client_key=KEY
    )


def test_secret_in_an_assertion_comes_last() -> None:
    """Of the ways that use a secret the common ones are taken first, then client_secret_jwt."""
    announced = ("private_key_jwt", "client_secret_jwt")
    assert choose_method(None, supported=announced, client_secret="s") == "client_secret_jwt"
    both = ("client_secret_jwt", "client_secret_post")
    assert choose_method(None, supported=both, client_secret="s") == "client_secret_post"


@pytest.mark.parametrize(
    ("configured", "supported", "secret", "key", "code"),
    [
        pytest.param("private_key_jwt", (), "s", None, "client_key_missing", id="keyless"),
        pytest.param("client_secret_jwt", (), None, None, "client_secret_missing", id="secretless"),
        pytest.param("client_secret_jwt", (), "s", KEY, "client_key_unused", id="jwt_and_key"),
        pytest.param("client_secret_basic", (), "s", KEY, "client_key_unused", id="basic_and_key"),
        pytest.param("none", (), None, KEY, "client_key_unused", id="public_and_key"),
        pytest.param(
            None, ("client_secret_basic",), "s", KEY, "auth_method_unsupported", id="no_fallback"
        ),
        pytest.param(
            "private_key_jwt",
            ("client_secret_basic",),
            None,
            KEY,
            "auth_method_unsupported",
            id="private_key_jwt_not_announced",
        ),
        pytest.param(
            "client_secret_jwt",
            ("client_secret_basic",),
            "s",
            None,
            "auth_method_unsupported",
            id="client_secret_jwt_not_announced",
        ),
    ],
)
def test_assertion_method_refused(
    configured: str | None,
    supported: tuple[str, ...],
    secret: str | None,
    key: Key | None,
    code: str,
) -> None:
    """What lacks its key, or what the provider does not announce, is never replaced by less."""
    assert choose_method(None, supported=("private_key_jwt",), client_secret=None, client_key=KEY)
    with refusal(ConfigurationError, code):
        choose_method(configured, supported=supported, client_secret=secret, client_key=key)


def assertion_of(client: ClientAuthenticator, endpoint: str, **metadata: Any) -> Any:
    """Header and claims of the assertion that this client sends to the endpoint."""
    headers, fields = client.authenticate(replace(METADATA, **metadata), endpoint, NOW)
    assert headers == {}
    assert set(fields) == {"client_id", "client_assertion_type", "client_assertion"}
    assert fields["client_id"] == "app"
    assert fields["client_assertion_type"] == (
        "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    )
    header, claims, _ = fields["client_assertion"].split(".")
    return json.loads(read_base64url(header)), json.loads(read_base64url(claims))


def test_private_key_jwt() -> None:
    """The assertion names the issuer, also at other endpoints (draft-ietf-oauth-rfc7523bis, 4)."""
    client = ClientAuthenticator(client_id="app", client_key=KEY)
    for endpoint in (METADATA.token_endpoint, "https://other.example/revoke"):
        header, claims = assertion_of(client, endpoint)
        assert (header["alg"], header["kid"]) == ("ES256", "k1")
        assert header["typ"] == "client-authentication+jwt"
        assert claims["aud"] == METADATA.issuer


def test_token_endpoint_as_audience() -> None:
    """For a provider of the old school: its token endpoint, and the typ that it knows."""
    client = ClientAuthenticator(client_id="app", client_key=KEY, audience="token_endpoint")
    header, claims = assertion_of(client, "https://id.example/par")
    assert (claims["aud"], header["typ"]) == (METADATA.token_endpoint, "JWT")


@pytest.mark.parametrize(
    "endpoint",
    [
        pytest.param("https://evil.example/par", id="host"),
        pytest.param("https://id.example.evil.example/par", id="host_that_begins_so"),
        pytest.param("https://id.example:8443/par", id="port"),
        pytest.param("http://id.example/par", id="scheme"),
    ],
)
def test_token_endpoint_as_audience_stays_at_its_origin(endpoint: str) -> None:
    """A provider that names another's token endpoint is sent no assertion that is good there
    (the audience injection of 2025).
    """
    client = ClientAuthenticator(client_id="app", client_key=KEY, audience="token_endpoint")
    assert client.authenticate(METADATA, METADATA.token_endpoint, NOW)
    with refusal(ConfigurationError, "client_assertion_origin"):
        client.authenticate(METADATA, endpoint, NOW)


@pytest.mark.parametrize("alg", [None, "HS256", "HS384", "HS512"])
def test_client_secret_jwt(alg: str | None) -> None:
    """The secret signs under the one algorithm that is pinned, HS256 unless another one is."""
    client = ClientAuthenticator(
        client_id="app", client_secret=SECRET, method="client_secret_jwt", signing_alg=alg
    )
    _, fields = client.authenticate(METADATA, METADATA.token_endpoint, NOW)
    claims = jwt.decode(
        fields["client_assertion"],
        SECRET.encode(),
        [alg or "HS256"],
        audience=METADATA.issuer,
        options={"verify_exp": False, "verify_iat": False},
    )
    assert claims["iss"] == "app"
    assert SECRET not in str(fields)


def test_client_secret_jwt_because_it_is_announced() -> None:
    """Chosen by the provider's announcement, it works the same."""
    client = ClientAuthenticator(client_id="app", client_secret=SECRET)
    header, _ = assertion_of(
        client,
        METADATA.token_endpoint,
        token_endpoint_auth_methods_supported=("client_secret_jwt",),
    )
    assert header["alg"] == "HS256"


@pytest.mark.parametrize(
    ("pinned", "announced", "named"),
    [
        pytest.param(None, (), "EdDSA", id="nothing_said"),
        pytest.param(None, ("RS256", "Ed25519"), "Ed25519", id="new_name_alone"),
        pytest.param(None, ("Ed25519", "EdDSA"), "EdDSA", id="both"),
        pytest.param("Ed25519", (), "Ed25519", id="pinned"),
        pytest.param("Ed25519", ("EdDSA", "Ed25519"), "Ed25519", id="pinned_of_both"),
    ],
)
def test_two_names_of_one_algorithm(
    pinned: str | None, announced: tuple[str, ...], named: str
) -> None:
    """An Ed25519 key signs under the name that the provider knows (RFC 9864, 2.2)."""
    key = generate_key("EdDSA", kid="ed")
    client = ClientAuthenticator(client_id="app", client_key=key, signing_alg=pinned)
    said = replace(METADATA, token_endpoint_auth_signing_alg_values_supported=announced)
    _, fields = client.authenticate(said, METADATA.token_endpoint, NOW)
    header, _, signature = fields["client_assertion"].split(".")
    assert json.loads(read_base64url(header))["alg"] == named
    signed = fields["client_assertion"].rpartition(".")[0].encode()
    assert VerificationKey.of(key).verifies(signed, read_base64url(signature), alg=named)
    with refusal(ConfigurationError, "client_alg_unsupported"):
        client.check(replace(said, token_endpoint_auth_signing_alg_values_supported=("ES256",)))


def test_every_request_has_its_own_assertion() -> None:
    """jti is never used twice."""
    client = ClientAuthenticator(client_id="app", client_key=KEY)
    jtis = {assertion_of(client, METADATA.token_endpoint)[1]["jti"] for _ in range(20)}
    assert len(jtis) == 20


def test_rotation_signs_with_the_first_key_that_can() -> None:
    """Of a KeyList the newest that has its private half."""
    public = ES256Key(public_key=_public_pem(generate_key("ES256")))
    client = ClientAuthenticator(client_id="app", client_key=KeyList(public, OTHER, KEY))
    header, _ = assertion_of(client, METADATA.token_endpoint)
    assert (header["alg"], header["kid"]) == ("RS256", "k2")


def _public_pem(key: Key) -> bytes:
    return key.verifying_material().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


@pytest.mark.parametrize(
    ("options", "code"),
    [
        pytest.param({"client_key": "text"}, "client_key_invalid", id="key_no_key"),
        pytest.param({"client_key": HS256Key("s" * 32)}, "client_key_invalid", id="key_shared"),
        pytest.param(
            {"client_key": ES256Key(public_key=_public_pem(KEY))},
            "client_key_invalid",
            id="key_public",
        ),
        pytest.param(
            {"client_key": KEY, "signing_alg": "RS256"}, "client_alg_invalid", id="alg_of_no_key"
        ),
        pytest.param(
            {
                "client_secret": SECRET,
                "method": "client_secret_jwt",
                "signing_alg": "ES256",
            },
            "client_alg_invalid",
            id="alg_not_hmac",
        ),
        pytest.param(
            {"client_secret": SECRET, "method": "client_secret_jwt", "signing_alg": "none"},
            "client_alg_invalid",
            id="alg_none",
        ),
        pytest.param({"signing_alg": "HS256"}, "client_alg_invalid", id="alg_of_a_public_client"),
        pytest.param(
            {"client_key": KEY, "audience": "https://b.example"},
            "client_assertion_audience_invalid",
            id="audience",
        ),
        pytest.param({"method": "private_key_jwt"}, "client_key_missing", id="keyless"),
    ],
)
def test_authenticator_refused(options: dict[str, Any], code: str) -> None:
    """What can't work is told of when it is configured."""
    assert ClientAuthenticator(client_id="app", client_key=KEY, signing_alg="ES256")
    with refusal(ConfigurationError, code):
        ClientAuthenticator(client_id="app", **options)


@pytest.mark.parametrize(
    ("metadata", "code"),
    [
        pytest.param({"issuer": ""}, "issuer_missing", id="issuer_unknown"),
        pytest.param(
            {"token_endpoint_auth_methods_supported": ("client_secret_post",)},
            "auth_method_unsupported",
            id="method",
        ),
        pytest.param(
            {"token_endpoint_auth_signing_alg_values_supported": ("RS256", "PS256")},
            "client_alg_unsupported",
            id="alg",
        ),
    ],
)
def test_not_for_this_provider(metadata: dict[str, Any], code: str) -> None:
    """What the provider announces not to take is told of before anything is sent."""
    client = ClientAuthenticator(client_id="app", client_key=KEY)
    assert client.check(METADATA) == "private_key_jwt"
    with refusal(ConfigurationError, code):
        client.check(replace(METADATA, **metadata))
    with refusal(ConfigurationError, code):
        client.authenticate(replace(METADATA, **metadata), METADATA.token_endpoint, NOW)


def test_nothing_secret_in_a_repr() -> None:
    """The client can be printed."""
    client = ClientAuthenticator(client_id="app", client_secret=SECRET, client_key=KEY)
    assert SECRET not in repr(client)


@pytest.mark.parametrize("value", ["", " app", "app\n", "\ud800", None, 7])
@pytest.mark.parametrize("name", ["client_id", "client_secret"])
def test_credentials_that_are_none(name: str, value: Any) -> None:
    """A file's newline or an unset variable is told of by the option's own name, at the start."""
    good: dict[str, Any] = {"client_id": "app", "client_secret": "s" * 32}
    assert ClientAuthenticator(**good).client_id == "app"
    if (name, value) == ("client_secret", None):
        assert ClientAuthenticator(**{**good, name: value}).client_secret is None
        return
    with refusal(ConfigurationError, f"{name}_invalid"):
        ClientAuthenticator(**{**good, name: value})


def test_a_secret_is_measured_only_for_what_signs_with_it() -> None:
    """HMAC needs a long secret (RFC 7518, section 3.2), and basic authentication none such."""
    short: dict[str, Any] = {"client_id": "app", "client_secret": "s"}
    assert ClientAuthenticator(**short).client_secret == "s"
    for more in ({"method": "client_secret_jwt"}, {"signing_alg": "HS512"}):
        with pytest.warns(UserWarning, match="RFC 7518, section 3.2"):
            ClientAuthenticator(**short, **more)
