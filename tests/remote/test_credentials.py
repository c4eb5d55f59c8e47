"""Credentials: the examples of the seed, every length, and reading them back."""

from __future__ import annotations

import base64

import pytest

import clefstorm
from clefstorm.errors import ConfigurationError, ProtocolViolation
from clefstorm.remote import Credentials, CredentialsType


def test_a_password() -> None:
    """A str is a plain password: type byte, length, UTF-8."""
    cred1 = clefstorm.Credentials("bar")
    assert repr(cred1.type) == "<CredentialsType.PLAIN_PASSWORD: 1>"
    assert cred1.password == "AQNiYXI="
    assert tuple(cred1) == (1, b"bar")


def test_bytes() -> None:
    """Bytes are the application's own."""
    cred2 = Credentials(b"bla")
    assert repr(cred2.type) == "<CredentialsType.CUSTOM: 2>"
    assert cred2.password == "AgNibGE="
    assert tuple(cred2) == (2, b"bla")


@pytest.mark.parametrize("value", [(), ("",), (b"",)], ids=["default", "str", "bytes"])
def test_nothing(value: tuple[str | bytes, ...]) -> None:
    """An empty value is no bytes at all."""
    none = Credentials(*value)
    assert none.type is CredentialsType.NONE
    assert (bytes(none), none.password, tuple(none)) == (b"", "", (0, b""))
    assert Credentials.from_password("") == none


@pytest.mark.parametrize(
    ("length", "written"),
    [
        (1, b"\x01"),
        (127, b"\x7f"),
        (128, b"\x80\x01"),
        (255, b"\xff\x01"),
        (16383, b"\xff\x7f"),
        (16384, b"\x80\x80\x01"),
        (300_000, b"\xe0\xa7\x12"),
    ],
)
def test_length_is_leb128(length: int, written: bytes) -> None:
    """The length is an unsigned LEB128 number, however long the value is."""
    value = b"x" * length
    assert bytes(Credentials(value)) == b"\x02" + written + value
    assert Credentials.from_bytes(bytes(Credentials(value))) == Credentials(value)


def test_length_counts_bytes() -> None:
    """Not characters."""
    credentials = Credentials("é€")
    assert bytes(credentials) == b"\x01\x05\xc3\xa9\xe2\x82\xac"
    assert Credentials.from_password(credentials.password) == credentials


def test_equality() -> None:
    """Type and value make two equal, and nothing else does."""
    assert Credentials("bar") == Credentials("bar")
    assert hash(Credentials("bar")) == hash(Credentials("bar"))
    assert Credentials("bar") != Credentials(b"bar")
    assert Credentials("bar") != Credentials("baz")
    assert Credentials("bar") != "bar"


def test_the_value_is_never_shown() -> None:
    """No repr, format or error shows it."""
    credentials = Credentials("hunter2")
    for text in (repr(credentials), str(credentials), f"{credentials}", f"{[credentials]}"):
        assert "hunter2" not in text
        assert credentials.password not in text


@pytest.mark.parametrize("value", [None, 7, ["x"], "\ud800"], ids=["none", "int", "list", "half"])
def test_a_value_that_is_none(value: object) -> None:
    """Anything but text and bytes is refused, without being quoted."""
    with pytest.raises(ConfigurationError, match="credentials_invalid"):
        Credentials(value)  # type: ignore[arg-type]


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("AQNiYXI", id="padding"),
        pytest.param("AQNi\nYXI=", id="newline"),
        pytest.param("é", id="not_ascii"),
        pytest.param(_b64(b"\x01"), id="no_length"),
        pytest.param(_b64(b"\x03\x01x"), id="unknown_type"),
        pytest.param(_b64(b"\x00\x00"), id="type_none"),
        pytest.param(_b64(b"\x01\x00"), id="empty_but_written"),
        pytest.param(_b64(b"\x01\x04bar"), id="too_short"),
        pytest.param(_b64(b"\x01\x02bar"), id="too_long"),
        pytest.param(_b64(b"\x01\x83\x00bar"), id="length_not_shortest"),
        pytest.param(_b64(b"\x01\x80\x80\x80"), id="length_without_end"),
        pytest.param(_b64(b"\x01\x01\xff"), id="not_utf8"),
    ],
)
def test_what_is_none(text: str) -> None:
    """There is one way to write credentials; anything else is refused."""
    assert Credentials.from_password("AQNiYXI=") == Credentials("bar")
    with pytest.raises(ProtocolViolation, match="credentials_malformed"):
        Credentials.from_password(text)
