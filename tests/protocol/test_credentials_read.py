"""Credentials as a server holds them: refused by name, and found in a table."""

from __future__ import annotations

from protocol.expecting import refusal

from clefstorm.errors import ConfigurationError, ProtocolViolation
from clefstorm.protocol.credentials import Credentials


def test_refusals_by_name() -> None:
    """Each way to refuse has one stable code: ours for a value that is none, the other side's for
    bytes that are none.
    """
    assert Credentials.from_bytes(bytes(Credentials("bar"))) == Credentials("bar")
    with refusal(ConfigurationError, "credentials_invalid"):
        Credentials(7)  # type: ignore[arg-type]
    with refusal(ConfigurationError, "credentials_invalid"):
        Credentials("\ud800")
    with refusal(ProtocolViolation, "credentials_malformed"):
        Credentials.from_bytes(b"\x01\x04bar")
    with refusal(ProtocolViolation, "credentials_malformed"):
        Credentials.from_password("AQNiYXI")


def test_hash() -> None:
    """Credentials that are equal have one hash, and others have others: a set of them works."""
    known = {Credentials("bar"), Credentials(b"bar"), Credentials("bar"), Credentials("baz")}
    assert len(known) == 3
    assert len({hash(credentials) for credentials in known}) == 3
