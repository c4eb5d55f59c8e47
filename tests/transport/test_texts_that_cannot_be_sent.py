"""Texts and files that can't be sent, with what they are refused by, and nothing of them kept."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from protocol.expecting import refusal
from transport.json_server import JSONServer, Twin
from transport.test_auth import HERE, home, write

from clefstorm.errors import ConfigurationError, URLError
from clefstorm.transport import Bearer, ClientCredentials, Connection

__all__ = ["home"]  # A fixture of another file.

HALF = "s3cret\ud800"


def holds_nothing(error: BaseException) -> bool:
    return error.__cause__ is error.__context__ is None and "s3cret" not in str(error)


@pytest.mark.parametrize(
    ("make", "good"),
    [
        pytest.param(lambda text: Connection(HERE, ("ann", text)), "pässword", id="password"),
        pytest.param(lambda text: Connection(HERE, (text, "x")), "änn", id="user"),
        pytest.param(lambda text: ClientCredentials("app", text, HERE), "s", id="client_secret"),
        pytest.param(lambda text: ClientCredentials(text, "s", HERE), "app", id="client_id"),
        pytest.param(Bearer, "Atza|visible+ASCII", id="bearer"),
    ],
)
def test_half_a_pair(make: Callable[[str], Any], good: str) -> None:
    """Half of a surrogate pair has no bytes: a variable that is not UTF-8 makes such a text."""
    make(good)
    with refusal(ConfigurationError, "auth_invalid") as caught:
        make(HALF)
    assert holds_nothing(caught.value)


@pytest.mark.parametrize("control", ["\0", "\t", "\n", "\r", "\x1f", "\x7f"], ids=ascii)
def test_basic_without_control_characters(control: str) -> None:
    """User and password of basic auth have no control characters (RFC 7617, 2)."""
    Connection(HERE, ("ann", "a \x80 b"))
    for pair in ((f"a{control}", "s3cret"), ("ann", f"s3cret{control}")):
        with refusal(ConfigurationError, "auth_invalid") as caught:
            Connection(HERE, pair)
        assert holds_nothing(caught.value)


@pytest.mark.parametrize(
    ("body", "params", "code"),
    [
        pytest.param(None, {"q": HALF}, "parameter_invalid", id="value"),
        pytest.param(None, {"q": ["a", HALF]}, "parameter_invalid", id="one_of_values"),
        pytest.param(None, {"q\ud800": "a"}, "parameter_invalid", id="name"),
        pytest.param({"q": HALF}, None, "body_not_json", id="body"),
    ],
)
def test_a_request(json_server: JSONServer, twin: Twin, body: Any, params: Any, code: str) -> None:
    """Parameters and bodies are Unicode; the refusal does not hold them."""

    class Plain(twin.kind):  # type: ignore[name-defined,misc]
        class JsonEncoder(twin.kind.JsonEncoder):  # type: ignore[name-defined,misc]
            def __init__(self, **options: Any) -> None:
                super().__init__(ensure_ascii=False, **options)

    connection = Plain(json_server.url, ("ann", "x"))
    twin.call(connection.json_request, "PUT", "/", {"q": "ü"}, {"q": "ü"})
    with refusal(ConfigurationError, code) as caught:
        twin.call(connection.json_request, "PUT", "/", body, params)
    assert holds_nothing(caught.value)


def test_a_fragment_is_refused(twin: Twin) -> None:
    """Parameters that are added behind a fragment would stay here with it (RFC 9110, 7.1)."""
    connection = twin.kind(HERE, ("ann", "x"))
    assert connection.get_url("/users?x=1").endswith("/users?x=1")
    for url in ("/users#x", f"{HERE}/users#x", "/users#"):
        with refusal(URLError, "url_invalid"):
            connection.get_url(url)


@pytest.mark.parametrize("verify", [[], {}, None, 1], ids=repr)
def test_verify_is_judged(verify: Any) -> None:
    """What can't be a path is an error of ours, hashable or not."""
    with refusal(ConfigurationError, "verify_invalid"):
        Connection(HERE, ("ann", "x"), verify=verify)


def ask(twin: Twin) -> None:
    twin.call(twin.kind(HERE).json_request, "GET", "/")


def test_netrc_that_is_broken_is_not_kept(
    home: Path, twin: Twin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error of a netrc file neither quotes it nor holds it in its context."""
    for text in (b"machine x login a s3cret b", b"machine x login a password s3cret\xff"):
        path = write(home / f"netrc{len(text)}", text)
        monkeypatch.setenv("NETRC", str(path))
        with refusal(ConfigurationError, "netrc_invalid") as caught:
            ask(twin)
        assert holds_nothing(caught.value)


@pytest.mark.parametrize("kind", ["pipe", "large"])
def test_netrc_that_is_no_small_file(
    home: Path, twin: Twin, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A named pipe would hold the process for ever, and a file has an end within reason."""
    path = home / f"netrc-{kind}"
    if kind == "pipe":
        os.mkfifo(path, 0o600)
    else:
        write(path, "#" * 65_537)
    monkeypatch.setenv("NETRC", str(path))
    with refusal(ConfigurationError, "netrc_unreadable") as caught:
        ask(twin)
    assert holds_nothing(caught.value)


def test_nobody_has_no_netrc(home: Path, twin: Twin, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without HOME, and unknown to the machine, a user has no netrc file."""

    def unknown(_uid: int) -> None:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", unknown)
    with refusal(ConfigurationError, "credentials_missing"):
        ask(twin)
