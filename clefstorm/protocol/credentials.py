"""Credentials: what a remote session shows the server, and its bytes on the wire.

LAW: values in, values or errors out; no repr, error or log shows the value.

Source: the Credentials of the Diffusion client for the names and the bytes: a type byte, the
value's length as an unsigned LEB128 number, the value; nothing at all for an empty value.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Iterator
from contextlib import suppress
from enum import IntEnum

from clefstorm.errors import ConfigurationError, ProtocolViolation
from clefstorm.protocol.strict_json import is_unicode


class CredentialsType(IntEnum):
    """What the bytes of a value are."""

    NONE = 0  # there is no value
    PLAIN_PASSWORD = 1  # a text, in UTF-8
    CUSTOM = 2  # bytes whose meaning the application knows


class Credentials:
    """A wrapper of a password (str) or of bytes that only the application understands.

    ``type`` says which; ``tuple(credentials)`` is (type, bytes of the value); ``bytes(…)`` is the
    form on the wire. Two are equal when type and value are, compared in constant time, so that a
    server may write ``credentials == Credentials(expected)``. Raises ConfigurationError for a
    value that is neither, or a text that is not Unicode.
    """

    __slots__ = ("_value", "type")

    def __init__(self, value: str | bytes = b"") -> None:
        if not isinstance(value, str | bytes):
            raise ConfigurationError(
                "the value of credentials is a str or bytes",
                code="credentials_invalid",
                got=type(value).__name__,
            )
        if not value:
            self.type = CredentialsType.NONE
        elif isinstance(value, str):
            self.type = CredentialsType.PLAIN_PASSWORD
        else:
            self.type = CredentialsType.CUSTOM
        if isinstance(value, str):
            if not is_unicode(value):
                raise ConfigurationError(
                    "a password must be Unicode text", code="credentials_invalid"
                )
            value = value.encode("utf-8")
        self._value = value

    @property
    def password(self) -> str:
        """The form on the wire in base64; "" when there is no value."""
        return base64.b64encode(bytes(self)).decode("ascii")

    def __bytes__(self) -> bytes:
        if not self._value:
            return b""
        return bytes([self.type]) + _leb128(len(self._value)) + self._value

    @classmethod
    def from_password(cls, password: str) -> Credentials:
        """Read what `password` wrote. Raises ProtocolViolation for anything else."""
        with suppress(UnicodeEncodeError, binascii.Error):
            return cls.from_bytes(base64.b64decode(password.encode("ascii"), validate=True))
        raise _malformed()  # Not within that block: the exception holds the password.

    @classmethod
    def from_bytes(cls, raw: bytes) -> Credentials:
        """Read the form on the wire. Raises ProtocolViolation for anything else."""
        start = 1
        while start < len(raw) and raw[start] & 0x80:
            start += 1
        value = raw[start + 1 :]
        with suppress(UnicodeDecodeError):
            found = cls(value.decode("utf-8") if raw[:1] == b"\x01" else value)
            # There is one way to write a value, so that what was read needs no further check.
            if bytes(found) == raw:
                return found
        raise _malformed()

    def __iter__(self) -> Iterator[int | bytes]:
        yield int(self.type)
        yield self._value

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Credentials):
            return NotImplemented
        return hmac.compare_digest(bytes(self), bytes(other))

    def __hash__(self) -> int:
        return hash(bytes(self))

    def __repr__(self) -> str:
        return f"<Credentials {self.type.name}>"


def _leb128(number: int) -> bytes:
    """Seven bits a byte, the lowest first; the top bit says that more follow."""
    written = bytearray()
    while number > 0x7F:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)


def _malformed() -> ProtocolViolation:
    return ProtocolViolation("these are no credentials", code="credentials_malformed")
