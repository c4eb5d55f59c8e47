"""configure() and the aliases: what they promise, and whether their errors say what to do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from protocol.expecting import refusal

import clefstorm
from clefstorm.client import AsyncClient
from clefstorm.errors import ConfigurationError, UnknownAlias
from clefstorm.keys import ES256Key, HS256Key, generate_key
from clefstorm.providers import EternaltwinProvider, OAuth2Provider, OpenIDProvider
from clefstorm.registry import (
    Connections,
    async_connections,
    build_client,
    configure,
    connections,
)

SECRET = "a-secret-of-thirty-two-characters"
OPENID: dict[str, Any] = {
    "issuer": "https://id.example",
    "client_id": "app",
    "client_secret": SECRET,
    "redirect_uri": "https://app.example/auth/callback",
}
OAUTH2: dict[str, Any] = {
    "authorization_endpoint": "https://code.example/authorize",
    "token_endpoint": "https://code.example/token",
    "userinfo_endpoint": "https://code.example/user",
    "client_id": "app",
    "redirect_uri": "https://app.example/auth/callback",
}


def test_configure() -> None:
    """configure(**{alias: options}) makes a client for each alias (DESIGN, section 5)."""
    configure(default=OPENID, code=OAUTH2)
    client = async_connections["default"]
    assert isinstance(client, AsyncClient)
    assert isinstance(client.provider, OpenIDProvider)
    assert (client.alias, client.provider.client_id) == ("default", "app")
    code = async_connections["code"]
    assert isinstance(code.provider, OAuth2Provider)
    assert code.alias == "code"
    assert clefstorm.async_connections is async_connections


def test_configure_replaces_everything() -> None:
    """configure replaces everything (WIRE, Eternaltwin); without aliases it resets."""
    configure(default=OPENID)
    configure(code=OAUTH2)
    assert list(async_connections) == ["code"]
    configure()
    assert list(async_connections) == []


def test_configure_changes_nothing_on_an_error() -> None:
    """All options are judged before anything is replaced, so an error changes nothing."""
    configure(default=OPENID)
    before = async_connections["default"]
    with refusal(ConfigurationError, "option_missing"):
        configure(default=OAUTH2, other={})
    assert list(async_connections) == ["default"]
    assert async_connections["default"] is before


def test_mapping() -> None:
    """Item access, membership, length and iteration are those of a mapping."""
    configure(default=OPENID, code=OAUTH2)
    assert (len(async_connections), list(async_connections)) == (2, ["default", "code"])
    assert "default" in async_connections
    assert "other" not in async_connections
    assert async_connections.get("other") is None
    assert set(async_connections.values()) == {
        async_connections["default"],
        async_connections["code"],
    }


def test_get_connection() -> None:
    """get_connection(alias=None) means "default" (WIRE, Eternaltwin)."""
    configure(default=OPENID, code=OAUTH2)
    assert async_connections.get_connection() is async_connections["default"]
    assert async_connections.get_connection("code") is async_connections["code"]


@pytest.mark.parametrize("configured", [{}, {"default": OPENID, "code": OAUTH2}])
def test_unknown_alias(configured: dict[str, Any]) -> None:
    """The KeyError names the alias (WIRE, Eternaltwin), and what is configured instead."""
    configure(**configured)
    for look_up in (
        lambda: async_connections["gogle"],
        lambda: async_connections.get_connection("gogle"),
        lambda: async_connections.remove_connection("gogle"),
    ):
        with refusal(UnknownAlias, "unknown_alias") as caught:
            look_up()
        assert isinstance(caught.value, KeyError)
        assert "'gogle'" in caught.value.message
        assert caught.value.evidence["configured"] == (", ".join(configured) or "none")


def test_create_and_remove() -> None:
    """create_connection(alias, **options) adds and returns; remove_connection forgets."""
    registry = Connections(AsyncClient)
    client = registry.create_connection("code", **OAUTH2)
    assert registry["code"] is client
    registry.remove_connection("code")
    assert "code" not in registry
    assert "code" not in async_connections


def test_add_connection() -> None:
    """A client that is added takes the alias as its own: its logins are finished under it."""
    registry = Connections(AsyncClient)
    client = build_client("x", OPENID)
    registry.add_connection("default", client)
    assert registry["default"] is client
    assert client.alias == "default"
    registry.add_connection("default", client)
    registry.add_connection("other", build_client("z", OPENID))
    assert list(registry) == ["default", "other"]
    another = build_client("y", OPENID)
    registry.add_connection("default", another)
    assert registry["default"] is another


def test_add_connection_twice() -> None:
    """One client under two aliases could not know which one a login began under."""
    registry = Connections(AsyncClient)
    client = build_client("x", OPENID)
    registry.add_connection("one", client)
    with refusal(ConfigurationError, "alias_taken"):
        registry.add_connection("two", client)
    assert list(registry) == ["one"]
    assert client.alias == "one"


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"timeout": 3}, id="timeout"),
        pytest.param({"timeout": (1, 2.5)}, id="timeout_pair"),
        pytest.param({"timeout": None}, id="timeout_none"),
        pytest.param({"deadline": 20}, id="deadline"),
        pytest.param({"verify_ssl": False}, id="verify_ssl"),
        pytest.param({"state_key": HS256Key(b"k" * 32)}, id="state_key"),
        pytest.param({"state_key": generate_key("ES256")}, id="state_key_pair"),
        pytest.param({"state_key": None}, id="state_key_none"),
        pytest.param({"allow_redirects": True}, id="allow_redirects"),
        pytest.param({"timeout": [1, 2.5]}, id="timeout_list"),
        pytest.param({"scope": "openid email"}, id="scope"),
        pytest.param({"userinfo": False, "leeway": 10}, id="switches"),
    ],
)
def test_options(options: dict[str, Any]) -> None:
    """Options of the client stand beside those of the provider."""
    client = build_client("default", {**OPENID, **options})
    assert client.state_key is options.get("state_key")


def public_half() -> ES256Key:
    pair = generate_key("ES256")
    assert isinstance(pair, ES256Key)
    pem = pair.verifying_material().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return ES256Key(public_key=pem)


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        pytest.param(
            {**OPENID, "client_sceret": "x"},
            "option_unknown",
            "did you mean client_secret?",
            id="misspelled",
        ),
        pytest.param({**OPENID, "zzz": "x"}, "option_unknown", "zzz", id="unknown"),
        pytest.param(
            {**OPENID, "url": "https://twin.example"},
            "option_unknown",
            "belongs to the provider eternaltwin",
            id="of_another_kind",
        ),
        pytest.param(
            {**OPENID, "_secret_keys": ()}, "option_unknown", "_secret_keys", id="private"
        ),
        pytest.param({}, "option_missing", "issuer, client_id, redirect_uri", id="nothing"),
        pytest.param(
            {**OPENID, "issuer": ...}, "option_missing", "expected: issuer", id="no_issuer"
        ),
        pytest.param(
            {**OPENID, "client_id": ...}, "option_missing", "client_id", id="no_client_id"
        ),
        pytest.param(
            {**OPENID, "redirect_uri": ...}, "option_missing", "redirect_uri", id="no_redirect_uri"
        ),
        pytest.param(
            {**OAUTH2, "authorization_endpoint": ...},
            "option_missing",
            "authorization_endpoint",
            id="no_authorization",
        ),
        pytest.param(
            {**OAUTH2, "token_endpoint": ...},
            "option_missing",
            "token_endpoint",
            id="no_token_endpoint",
        ),
        pytest.param(
            {**OAUTH2, "userinfo_endpoint": ...},
            "option_missing",
            "userinfo_endpoint",
            id="no_userinfo",
        ),
        pytest.param(
            {**OPENID, "issuer": "id.example"},
            "issuer_invalid",
            "https address",
            id="issuer_without_scheme",
        ),
        pytest.param(
            {**OPENID, "issuer": "https://id.example/.well-known/openid-configuration"},
            "issuer_invalid",
            "leave /.well-known/openid-configuration out",
            id="issuer_is_the_document",
        ),
        pytest.param(
            {**OPENID, "redirect_uri": "/auth/callback"},
            "redirect_uri_invalid",
            "full address",
            id="path",
        ),
        pytest.param(
            {**OPENID, "client_secret": ""}, "client_secret_invalid", "not empty", id="empty_secret"
        ),
        pytest.param(
            {**OPENID, "client_secret": SECRET + "\n"},
            "client_secret_invalid",
            "white space",
            id="newline",
        ),
        pytest.param(
            {**OPENID, "state_key": "secret"},
            "state_key_invalid",
            "clefstorm.keys",
            id="state_key_text",
        ),
        pytest.param(
            {**OPENID, "state_key": public_half()},
            "state_key_invalid",
            "sign",
            id="state_key_public",
        ),
        pytest.param({**OPENID, "timeout": 0}, "timeout_invalid", "seconds", id="timeout_zero"),
        pytest.param({**OPENID, "timeout": "5"}, "timeout_invalid", "seconds", id="timeout_text"),
        *(
            pytest.param(
                {**OPENID, "deadline": value}, "deadline_invalid", "seconds", id=f"deadline_{value}"
            )
            for value in (0, -1, None, "10", float("nan"), float("inf"))
        ),
        pytest.param("https://id.example", "options_invalid", "mapping", id="text"),
        pytest.param(None, "options_invalid", "mapping", id="none"),
    ],
)
def test_errors_say_what_to_do(options: Any, code: str, says: str) -> None:
    """A configuration error names the alias and the option, says what to do, and shows no
    secret (DESIGN, section 3: evidence).
    """
    configure(corp=OPENID)
    if isinstance(options, dict):
        options = {name: value for name, value in options.items() if value is not ...}
    with refusal(ConfigurationError, code) as caught:
        configure(corp=options)
    told = str(caught.value)
    assert says in told
    assert caught.value.evidence["alias"] == "corp"
    assert SECRET not in told


KINDS: dict[str, dict[str, Any]] = {
    "openid": OPENID,
    "oauth2": OAUTH2,
    "clef": {**OPENID, "issuer": ...},
    "eternaltwin": {**OPENID, "issuer": ..., "url": "https://twin.example/api/v1/"},
}
TYPED = [
    *("client_id", "client_secret", "redirect_uri", "scope", "state_key", "timeout", "deadline"),
    *("verify_ssl", "allow_redirects", "response_mode", "token_endpoint_auth_method"),
    *("authorization_parameters", "provider"),
]


@pytest.mark.parametrize("option", TYPED)
@pytest.mark.parametrize("value", [object(), 5, ["x", 1]], ids=["object", "number", "list"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_type_names_the_option(kind: str, option: str, value: Any) -> None:
    """A wrong type is an error that names alias and option."""
    good = {name: v for name, v in KINDS[kind].items() if v is not ...} | {"provider": kind}
    assert build_client("corp", good)
    if (option, value) in (("timeout", 5), ("deadline", 5)):
        return
    with pytest.raises(ConfigurationError) as caught:
        build_client("corp", {**good, option: value})
    assert option in str(caught.value)
    assert caught.value.evidence["alias"] == "corp"


odd = st.sampled_from(
    [
        None,
        "",
        " ",
        "x",
        b"x",
        0,
        -1,
        1.5,
        float("nan"),
        True,
        [],
        ["x"],
        {},
        {"a": 1},
        object(),
        (1, 2),
    ]
)


@settings(
    max_examples=300, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
@given(
    base=st.sampled_from([OPENID, OAUTH2]),
    changes=st.dictionaries(
        st.sampled_from(
            [
                *OPENID,
                *OAUTH2,
                "scope",
                "token_endpoint_auth_method",
                "response_mode",
                "authorization_parameters",
                "post_logout_redirect_uri",
                "id_token_signed_response_alg",
                "trusted_audiences",
                "userinfo",
                "leeway",
                "subject_claim",
                "state_key",
                "timeout",
                "deadline",
                "verify_ssl",
                "allow_redirects",
                "url",
                "host",
                "port",
                "provider",
            ]
        ),
        odd,
        max_size=3,
    ),
)
def test_only_errors_of_ours(base: dict[str, Any], changes: dict[str, Any]) -> None:
    """Whatever is configured, only a ConfigurationError comes out."""
    with contextlib.suppress(ConfigurationError):
        build_client("default", {**base, **changes})


def test_alias_that_is_none() -> None:
    """An alias is a text, and not an empty one."""
    build_client("corp", OPENID)
    for alias in ("", None, 5):
        with refusal(ConfigurationError, "alias_invalid"):
            build_client(alias, OPENID)  # type: ignore[arg-type]


def test_url_that_is_none() -> None:
    """Only a url with the path of the Eternaltwin API makes an alias one of those; what can't be
    read as a URL is an option that an OpenID alias has not.
    """
    twin = {**OPENID, "issuer": ..., "url": "https://twin.example/api/v1/"}
    options = {name: value for name, value in twin.items() if value is not ...}
    assert type(build_client("twin", options).provider) is EternaltwinProvider
    with refusal(ConfigurationError, "option_unknown") as caught:
        build_client("twin", {**options, "url": "https://[::1/api/v1/"})
    assert "url" in str(caught.value)


@pytest.mark.parametrize("reference", [{"file": "x"}, {"env": "X"}], ids=["file", "env"])
def test_no_reference_stands_for_an_alias(
    reference: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a reference names is a text, and an alias is a table."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").write_text("x")
    (tmp_path / "x").chmod(0o600)
    monkeypatch.setenv("X", "x")
    configure(default=OPENID)
    with pytest.raises(ConfigurationError) as caught:
        configure(default=reference)
    assert caught.value.code == "option_unknown"
    assert list(connections) == ["default"]


def test_a_change_under_way_does_not_undo_another() -> None:
    """``configure`` waits for whoever adds or removes, so that nothing old is written back."""
    handler = Connections(AsyncClient)
    client = build_client("new", OPENID)
    handler.replace({"a": client})
    held_while_waiting: list[list[str]] = []

    @contextlib.contextmanager
    def changing() -> Iterator[None]:
        held_while_waiting.append(list(handler))
        yield

    handler._changing = changing()  # type: ignore[assignment]
    handler.replace({"new": client})
    assert (held_while_waiting, list(handler)) == ([["a"]], ["new"])
