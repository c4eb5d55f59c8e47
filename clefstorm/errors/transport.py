"""No usable answer arrived."""

from __future__ import annotations

from clefstorm.errors.error import ClefStormError


class TransportError(ClefStormError):
    """No usable answer arrived from the other side."""

    default_code = "transport"


class ConnectFailed(TransportError, ConnectionError):
    """No connection: refused, cut, unresolved, or TLS could not be agreed."""

    default_code = "connect_failed"


class DeadlineExceeded(TransportError, TimeoutError):
    """The step took longer than its deadline, however far it had come."""

    default_code = "deadline_exceeded"


class AnswerTooLarge(TransportError):
    """The answer, after decompression, is larger than what we agreed to read."""

    default_code = "answer_too_large"
