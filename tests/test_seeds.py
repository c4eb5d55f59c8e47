"""The interfaces that clefstorm grew from: every name, parameter and default, found.

One row for each class, method, function, attribute and exception of the five documents:
ClefStorm 0.1 (with its bus), sleepwalker's connections, diaspy's connection, Eternaltwin's
configuration, Diffusion's session. Their examples run in test_seed_examples.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import reduce
from types import MappingProxyType
from typing import Any

import pytest

import clefstorm
from clefstorm.client import AsyncClient, Client
from clefstorm.keys import HS256Key
from clefstorm.registry import build_client

NO_DEFAULT = inspect.Parameter.empty


@dataclass(frozen=True)
class Call:
    """Something called with these parameters, positionally and in this order."""

    path: str
    parameters: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))


def call(path: str, *required: str, **defaults: object) -> Any:
    parameters = dict.fromkeys(required, NO_DEFAULT) | defaults
    return pytest.param(Call(path, parameters), id=path)


CLEFSTORM = [
    call("AsyncBus"),
    call("AsyncBus.notify", "key", "message"),
    call("AsyncBus.notifyall", "key", "message"),
    call("AsyncBus.waitforkey", "key", timeout=None),
    call("AsyncBus.waitforkeys", "keys", timeout=None),
    call("ClefStorm", "api_key", "api_password", logger=None),
    call("ClefStorm.generate_button", "redirect_url", "state", typ="login", style=None),
    call("ClefStorm.get", "rel_url", "params"),
    call("ClefStorm.get_and_parse", "rel_url", "params"),
    call("ClefStorm.get_info", "access_token"),
    call("ClefStorm.get_logged_out_clef_id", "logout_token"),
    call("ClefStorm.get_token", "code"),
    call("ClefStorm.notify_logout", "clef_id"),
    call("ClefStorm.post", "rel_url", "params"),
    call("ClefStorm.post_and_parse", "rel_url", "params"),
    call("ClefStorm.wait_for_logout", "clef_id", "timeout"),
    call("ClefWaveStyle", color="blue", style="button", custom=None, embed=None),
]

SLEEPWALKER = [
    call("Connection", "hostname", auth=None, port=None, verify=True, timeout=None),
    call("Connection.add_headers", "headers"),
    call("Connection.get_url", "uri"),
    call("Connection.json_request", "method", "uri", body=None, params=None, extra_headers=None),
    call("ConnectionManager"),
    call("ConnectionManager.add", "host", "auth", "conn"),
    call("ConnectionManager.add_conn_hook", "hook"),
    call("ConnectionManager.clear_hooks"),
    call("ConnectionManager.find", "host", "auth"),
    call("ConnectionManager.reset"),
    call("ConnectionHook.connect", "host", "auth"),
]

DIASPY = [
    call("PodConnection", "pod", "username", "password"),
    call("PodConnection.login"),
    call("PodConnection.logout"),
    call("PodConnection.get_token", fetch=False),
]

ETERNALTWIN = [
    call("keys.HS256Key", "secret"),
    call("keys.RS256Key", public_key=None, private_key=None),
    call("keys.ES256Key", public_key=None, private_key=None),
    call("keys.PS256Key", public_key=None, private_key=None),
    call("keys.EdDSAKey", public_key=None, private_key=None),
    *(
        row
        for handler in ("connections", "async_connections")
        for row in (
            call(f"{handler}.get_connection", alias=None),
            call(f"{handler}.create_connection", "alias"),
            call(f"{handler}.add_connection", "alias", "client"),
            call(f"{handler}.remove_connection", "alias"),
            call(f"{handler}.__getitem__", "alias"),
        )
    ),
]

DIFFUSION = [
    call("Session", "url", principal="", credentials=None, properties=None),
    call("Session.connect", properties=None),
    call("Session.close"),
    call("Session.ping_server"),
    call("Credentials", value=b""),
]


def test_configure_takes_aliases() -> None:
    """``configure(**{alias: options})``: its keywords are the aliases, and that is all."""
    [parameter] = inspect.signature(clefstorm.configure).parameters.values()
    assert parameter.kind is parameter.VAR_KEYWORD


@pytest.mark.parametrize("kind", [AsyncClient, Client])
def test_users_are_searched_as_before(kind: type[AsyncClient | Client]) -> None:
    """``client.user.search("text")`` of either client, with its part of the list by name."""
    client = kind(build_client("default", OPTIONS).provider, verify=True)
    query, *rest = inspect.signature(client.user.search).parameters.values()
    assert (query.name, query.default) == ("query", None)
    assert query.kind is query.POSITIONAL_OR_KEYWORD
    assert {"offset", "limit"} <= {parameter.name for parameter in rest}
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in rest)


def found(path: str) -> Any:
    return reduce(getattr, path.split("."), clefstorm)


@pytest.mark.parametrize("row", CLEFSTORM + SLEEPWALKER + DIASPY + ETERNALTWIN + DIFFUSION)
def test_is_called_as_before(row: Call) -> None:
    """What the old documents name is there, with their parameters, order and defaults.

    What was added since is keyword-only and has a default, so that no old call breaks.
    """
    parameters = dict(inspect.signature(found(row.path)).parameters)
    parameters.pop("self", None)
    for (name, default), parameter in zip(
        row.parameters.items(), parameters.values(), strict=False
    ):
        assert parameter.name == name
        assert parameter.kind is parameter.POSITIONAL_OR_KEYWORD
        assert parameter.default == default
        assert type(parameter.default) is type(default)
    added = list(parameters.values())[len(row.parameters) :]
    assert len(parameters) - len(added) == len(row.parameters)
    for parameter in added:
        assert parameter.kind in (parameter.KEYWORD_ONLY, parameter.VAR_KEYWORD)
        assert parameter.default is not NO_DEFAULT or parameter.kind is parameter.VAR_KEYWORD


@pytest.mark.parametrize("verb", ["get", "post", "put", "delete"])
def test_pod_speaks_every_verb(verb: str) -> None:
    """A pod connection sends all that diaspy's objects send."""
    first = next(iter(list(inspect.signature(found(f"PodConnection.{verb}")).parameters)[1:]))
    assert first == "path"


ENCODER = {
    "skipkeys": False,
    "ensure_ascii": True,
    "check_circular": True,
    "allow_nan": True,
    "sort_keys": False,
    "indent": None,
    "separators": None,
    "encoding": "utf-8",
    "default": None,
}


def test_the_json_encoder_takes_every_option() -> None:
    """Connection.JsonEncoder has each option of the old one, with its default."""
    assert clefstorm.Connection.JsonEncoder().encode({"a": [1]}) == '{"a": [1]}'
    parameters = inspect.signature(clefstorm.Connection.JsonEncoder).parameters
    assert {name: parameter.default for name, parameter in parameters.items()} == ENCODER


@pytest.mark.parametrize(
    ("path", "builtin"),
    [
        pytest.param("BusTimeoutError", TimeoutError, id="BusTimeoutError"),
        pytest.param("ClefAPIError", Exception, id="ClefAPIError"),
        pytest.param("errors.ConnectFailed", ConnectionError, id="ConnectionError"),
        pytest.param("errors.UnknownAlias", KeyError, id="KeyError"),
    ],
)
def test_exceptions(path: str, builtin: type[Exception]) -> None:
    """Each exception is there, an error of ours and of the kind that callers caught."""
    assert issubclass(found(path), builtin)
    assert issubclass(found(path), clefstorm.ClefStormError)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        pytest.param("ClefStorm.api_url", "https://clef.io/api/v1/", id="api_url"),
        pytest.param("ClefStorm.token_ttl", 3000.0, id="token_ttl"),
        pytest.param("ClefStorm.validate_cert", True, id="validate_cert"),
        # It names the version that speaks: 0.1.2 then.
        pytest.param("ClefStorm.user_agent", "ClefStorm 1.0", id="user_agent"),
    ],
)
def test_class_attributes(path: str, value: object) -> None:
    """What could be set on the class has the value that it had."""
    assert found(path) == value


@pytest.mark.parametrize("name", ["data", "services", "session_id", "state"])
def test_session_attributes(name: str) -> None:
    """A remote session has the attributes of the old one before it is connected, too."""
    session = clefstorm.Session("ws://127.0.0.1:1/auth/bus")
    assert hasattr(session, name)


def test_connections_are_opened_by_with_and_async_with() -> None:
    """``async with Session(…)`` is the recommended way."""
    assert hasattr(clefstorm.Session, "__aenter__")
    assert hasattr(clefstorm.Session, "__aexit__")


def test_a_hook_must_say_how_to_connect() -> None:
    """ConnectionHook is subclassed, and ``connect`` must be implemented."""
    with pytest.raises(TypeError, match="connect"):
        clefstorm.ConnectionHook()  # type: ignore[abstract]


OPTIONS = {
    "url": "https://eternaltwin.org/api/v1/",
    "client_id": "myclient",
    "client_secret": "mysecret",
    "redirect_uri": "https://myapp.com/callback",
    "state_key": HS256Key("my key of thirty-two bytes or so"),
    "allow_redirects": True,
    "timeout": 1,
    "verify_ssl": False,
}


@pytest.mark.parametrize("option", OPTIONS)
def test_eternaltwin_options(option: str) -> None:
    """Each option of the old configuration is known, alone or with what it needs."""
    needed = ("url", "client_id", "client_secret", "redirect_uri")
    build_client("default", {name: OPTIONS[name] for name in {*needed, option}})


def test_credentials_type_is_shown_as_before() -> None:
    """The examples of Credentials print what they printed."""
    cred1, cred2 = clefstorm.Credentials("bar"), clefstorm.Credentials(b"bla")
    assert repr(cred1.type) == "<CredentialsType.PLAIN_PASSWORD: 1>"
    assert repr(cred2.type) == "<CredentialsType.CUSTOM: 2>"
    assert (cred1.password, cred2.password) == ("AQNiYXI=", "AgNibGE=")
    assert tuple(cred1) == (1, b"bar")
