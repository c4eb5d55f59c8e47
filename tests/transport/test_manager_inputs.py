"""What a manager of connections is given: what is refused, and what it is then told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from protocol.expecting import refusal

from clefstorm import Client
from clefstorm.errors import ConfigurationError, ConnectFailed, URLError
from clefstorm.protocol.exchange import Flow, Request, fetch
from clefstorm.providers import OpenIDProvider
from clefstorm.transport import (
    NO_AUTH,
    AsyncConnection,
    Connection,
    ConnectionHook,
    ConnectionManager,
)
from clefstorm.transport.runner import AsyncRunner

HOST = "https://api.example"


class Returning(ConnectionHook):
    """Returns the same for every host."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def connect(self, host: str, auth: Any) -> Any:
        return self.connection


@pytest.mark.parametrize("kind", [Connection, AsyncConnection])
@pytest.mark.parametrize(
    "other",
    [
        pytest.param("http://127.0.0.1", id="plain_http"),
        pytest.param("https://other.example", id="host"),
        pytest.param("https://api.example:8443", id="port"),
    ],
)
def test_a_connection_is_kept_for_its_own_host(kind: type[Connection], other: str) -> None:
    """A connection under another host's name would send there what is meant for this one."""
    manager = ConnectionManager()
    ours, foreign = kind(HOST, NO_AUTH), kind(other, NO_AUTH)
    manager.add(f"{HOST}:443", NO_AUTH, ours)
    assert manager.find(HOST, NO_AUTH) is ours
    with refusal(URLError, "origin_mismatch") as caught:
        manager.add(HOST, NO_AUTH, foreign)
    assert caught.value.evidence == {"expected": HOST, "got": str(foreign.origin)}
    assert manager.find(HOST, NO_AUTH) is ours
    manager.reset()
    manager.add_conn_hook(Returning(foreign))
    with refusal(ConnectFailed, "hook_failed") as failed:
        manager.find(HOST, NO_AUTH)
    assert failed.value.evidence["reason"] == "origin_mismatch"
    assert manager.find(other, NO_AUTH) is foreign


class OneArgument(ConnectionHook):
    def connect(self, host: str) -> Any:  # type: ignore[override]
        """Takes too little."""


class OneMore(ConnectionHook):
    def connect(self, host: str, auth: Any, *, verify: bool) -> Any:  # type: ignore[override]
        """Wants too much."""


@pytest.mark.parametrize("hook", [OneArgument(), OneMore()], ids=lambda hook: type(hook).__name__)
def test_a_hook_of_the_wrong_signature(hook: ConnectionHook) -> None:
    """A connect that can't be called is told when it is added, with what it takes."""
    manager = ConnectionManager()
    manager.add_conn_hook(Returning(None))
    with pytest.raises(ConfigurationError, match=r"connect takes \(host, auth\)") as caught:
        manager.add_conn_hook(hook)
    assert caught.value.code == "hook_invalid"


class Reading(ConnectionHook):
    """Fails within somebody else's file."""

    def connect(self, host: str, auth: Any) -> Any:
        return json.loads("{")


class Building(ConnectionHook):
    """Fails within a file of ours."""

    def connect(self, host: str, auth: Any) -> Any:
        return ["".join(x) for x in 5]  # type: ignore[attr-defined]


@pytest.mark.parametrize("hook", [Reading, Building])
def test_where_a_hook_failed(hook: type[ConnectionHook]) -> None:
    """The place is the last line of the hook's own file, wherever the exception came from."""
    manager = ConnectionManager()
    manager.add_conn_hook(hook())
    with refusal(ConnectFailed, "hook_failed") as caught:
        manager.find(HOST, NO_AUTH)
    line = hook.connect.__code__.co_firstlineno + 1
    assert caught.value.evidence["at"] == f"test_manager_inputs.py:{line}"


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"connection_class": 5}, id="class_number"),
        pytest.param({"connection_class": None}, id="class_none"),
        pytest.param({"idle_seconds": "x"}, id="idle_text"),
        pytest.param({"idle_seconds": None}, id="idle_none"),
        pytest.param({"max_connections": "5"}, id="max_text"),
        pytest.param({"max_connections": 1.5}, id="max_float"),
    ],
)
def test_settings_of_the_wrong_type(options: dict[str, Any]) -> None:
    """What is no class and no number is refused when the manager is made."""
    ConnectionManager(connection_class=AsyncConnection, idle_seconds=5, max_connections=5)
    with refusal(ConfigurationError, "manager_invalid"):
        ConnectionManager(**options)


def test_what_is_no_manager() -> None:
    """A client judges its manager when it is made, and names the class that it needs."""
    provider = OpenIDProvider(
        issuer="https://id.example",
        client_id="app",
        redirect_uri="https://app.example/auth/callback",
    )
    Client(provider, manager=ConnectionManager(connection_class=AsyncConnection))
    with refusal(ConfigurationError, "manager_invalid") as caught:
        Client(provider, manager=5)  # type: ignore[arg-type]
    assert "connection_class=AsyncConnection" in caught.value.message


def ask(url: str) -> Flow[int]:
    return (yield from fetch(Request(method="GET", url=url))).status


async def test_a_client_needs_something_that_sends() -> None:
    """A hook's text, which no client can send over, is told as what it is."""
    manager = ConnectionManager()
    manager.add_conn_hook(Returning("a text"))
    with refusal(ConfigurationError, "connection_blocks") as caught:
        await AsyncRunner(manager=manager).run(ask(HOST))
    assert caught.value.evidence == {"host": HOST, "got": "str"}
