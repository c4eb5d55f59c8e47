"""The two handlers side by side: blocking ``connections`` and ``async_connections``."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from protocol.expecting import refusal

import clefstorm
from clefstorm.client import AsyncClient, Client
from clefstorm.errors import ConfigurationError, UnknownAlias
from clefstorm.keys import HS256Key, KeyList
from clefstorm.registry import Connections, async_connections, configure, connections

OPTIONS: dict[str, Any] = {
    "issuer": "https://id.example",
    "client_id": "app",
    "redirect_uri": "https://app.example/auth/callback",
}
HANDLERS = [
    pytest.param(connections, Client, id="connections"),
    pytest.param(async_connections, AsyncClient, id="async_connections"),
]


def test_the_names() -> None:
    """Both handlers and configure are imported from the registry, and from clefstorm itself."""
    assert clefstorm.connections is connections
    assert clefstorm.async_connections is async_connections
    assert clefstorm.configure is configure


def test_configure_speaks_to_both() -> None:
    """configure(**{alias: options}) replaces everything in both handlers at once; the twins of
    an alias share its provider.
    """
    connections.create_connection("old", **OPTIONS)
    configure(default=OPTIONS, test=OPTIONS)
    assert list(connections) == list(async_connections) == ["default", "test"]
    assert isinstance(connections["test"], Client)
    assert isinstance(async_connections["test"], AsyncClient)
    assert connections["test"].provider is async_connections["test"].provider
    assert connections["test"].alias == async_connections["test"].alias == "test"


def test_an_error_changes_neither() -> None:
    """All options are judged before anything is replaced, in either handler."""
    configure(default=OPTIONS)
    before = connections["default"], async_connections["default"]
    with refusal(ConfigurationError, "verify_unreadable"):
        configure(other=OPTIONS, default={**OPTIONS, "verify_ssl": "no-such-file.pem"})
    assert (connections["default"], async_connections["default"]) == before
    assert len(connections) == len(async_connections) == 1


@pytest.mark.parametrize(("handler", "client_class"), HANDLERS)
def test_each_handler_has_its_own(handler: Connections[Any], client_class: type) -> None:
    """create_connection makes the handler's kind of client, and the other does not learn of it."""
    client = handler.create_connection("extra", **OPTIONS)
    assert type(client) is client_class
    assert handler.get_connection("extra") is handler["extra"] is client
    other = async_connections if handler is connections else connections
    assert "extra" not in other
    handler.remove_connection("extra")
    assert "extra" not in handler


@pytest.mark.parametrize(("handler", "client_class"), HANDLERS)
def test_item_access(handler: Connections[Any], client_class: type) -> None:
    """Setting and deleting an item are add_connection and remove_connection."""
    client = handler.create_connection("one", **OPTIONS)
    del handler["one"]
    handler["two"] = client
    assert (list(handler), client.alias) == (["two"], "two")
    with refusal(UnknownAlias, "unknown_alias"):
        del handler["one"]


@pytest.mark.parametrize(("handler", "client_class"), HANDLERS)
def test_unknown_alias_names_the_near_one(handler: Connections[Any], client_class: type) -> None:
    """The KeyError names the alias, and suggests the one that was meant."""
    configure(google=OPTIONS, github=OPTIONS)
    assert handler.get_connection("google")
    with refusal(UnknownAlias, "unknown_alias") as caught:
        handler.get_connection("gogle")
    assert "'gogle'; did you mean 'google'?" in caught.value.message
    with pytest.raises(KeyError, match="'default'"):
        handler.get_connection()


def test_a_client_of_the_other_kind() -> None:
    """A blocking client among the async ones would only be noticed at the first login."""
    configure(default=OPTIONS)
    with refusal(ConfigurationError, "client_invalid"):
        async_connections.add_connection("x", connections["default"])  # type: ignore[arg-type]
    with refusal(ConfigurationError, "client_invalid"):
        connections["x"] = async_connections["default"]  # type: ignore[assignment]
    assert "x" not in {*connections, *async_connections}


def test_the_repr_shows_aliases_alone() -> None:
    """A secret reaches no repr (DESIGN, law 4)."""
    configure(default={**OPTIONS, "client_secret": "the-secret-of-this-test"})
    assert repr(connections) == "<Connections of Client: default>"
    assert "the-secret" not in repr(dict(connections))


async def test_a_blocking_call_in_a_loop_says_so() -> None:
    """A blocking call inside a running loop says so clearly, and names the way out; in a thread
    it works.
    """
    configure(default=OPTIONS)
    provider_of_test = {
        "authorization_endpoint": "https://code.example/authorize",
        "token_endpoint": "https://code.example/token",
        "userinfo_endpoint": "https://code.example/user",
        "client_id": "app",
        "redirect_uri": "https://app.example/auth/callback",
    }
    client = connections.create_connection("code", **provider_of_test)
    key = HS256Key(b"k" * 32)
    begun: list[Any] = []
    thread = threading.Thread(target=lambda: begun.append(client.begin_login(key)))
    thread.start()
    thread.join()
    assert begun[0].url.startswith("https://code.example/authorize?")
    with refusal(ConfigurationError, "blocking_in_loop") as caught:
        client.begin_login(key)
    assert "async" in caught.value.message


def test_a_short_secret_warns_and_works() -> None:
    """What the old configuration shows: HS256Key("mykey") is warned of, and works."""
    with pytest.warns(UserWarning, match="5 bytes"):
        key = HS256Key("mykey")
    configure(default={**OPTIONS, "state_key": key})
    assert async_connections["default"].state_keys == (key,)
    with pytest.warns(UserWarning, match="5 bytes"):
        configure(default={**OPTIONS, "state_key": {"alg": "HS256", "secret": "mykey"}})


def test_the_old_configuration() -> None:
    """The options that the eternaltwin package documents, as they stand there, configure both."""
    with pytest.warns(UserWarning, match="5 bytes"):
        key = HS256Key("mykey")
    configure(
        default={
            "url": "https://eternaltwin.org/api/v1/",
            "client_id": "myclient",
            "client_secret": "mysecret",
            "redirect_uri": "https://myapp.com/callback",
            "state_key": key,
            "allow_redirects": True,
        },
        test={
            "url": 'http://localhost:50321/api/v1"',
            "client_id": "myclient",
            "client_secret": "mysecret",
            "redirect_uri": "https://localhost:8080/callback",
            "state_key": key,
            "timeout": 1,
            "verify_ssl": False,
        },
    )
    assert connections.get_connection().provider.issuer == "https://eternaltwin.org"
    assert async_connections.get_connection("test").provider.issuer == "http://localhost:50321"


def test_key_list() -> None:
    """A KeyList rotates: the first that can sign signs, all verify."""
    new, old = HS256Key(b"n" * 32), HS256Key(b"o" * 32)
    configure(default={**OPTIONS, "state_key": KeyList(new, old)})
    assert connections["default"].state_keys == (new, old)
    configure(default={**OPTIONS, "state_key": [new, old]})
    assert connections["default"].state_keys == (new, old)
