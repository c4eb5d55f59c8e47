"""A server answered a JSON request with a status that is no success.

LAW: the table of statuses stands here alone. What the answer held is in ``headers`` and ``body``
for whoever asks for it; no str, repr or evidence shows it.
Source: RFC 9110, section 15; RFC 6585, section 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clefstorm.errors.error import ClefStormError


class HTTPStatusError(ClefStormError):
    """The answer's status is not between 200 and 299.

    ``status`` is that number. ``headers`` are the answer's, names in lower case; ``body`` is the
    JSON value that it holds, else its text: they may hold secrets, and are yours to show.
    """

    default_code = "http_status"

    def __init__(
        self,
        message: str,
        *,
        status: int,
        headers: Mapping[str, str] | None = None,
        body: Any = "",
        code: str | None = None,
        **evidence: object,
    ) -> None:
        super().__init__(message, code=code, status=status, **evidence)
        self.status = status
        self.headers: Mapping[str, str] = {} if headers is None else headers
        self.body = body


class ClientError(HTTPStatusError):
    """400 to 499: the server finds fault with the request."""

    default_code = "client_error"


class BadRequest(ClientError):
    """400: the request is malformed, or its content is not what the server wants."""

    default_code = "bad_request"


class Unauthorized(ClientError):
    """401: credentials are missing, wrong or expired."""

    default_code = "unauthorized"


class Forbidden(ClientError):
    """403: these credentials may not do this."""

    default_code = "forbidden"


class NotFound(ClientError):
    """404: there is nothing at this path, or none that we may know of."""

    default_code = "not_found"


class MethodNotAllowed(ClientError):
    """405: the header ``allow`` says which methods there are."""

    default_code = "method_not_allowed"


class Conflict(ClientError):
    """409: the state of what is there forbids it."""

    default_code = "conflict"


class Gone(ClientError):
    """410: it was there, and won't be again."""

    default_code = "gone"


class UnsupportedMediaType(ClientError):
    """415: the server does not take this kind of body."""

    default_code = "unsupported_media_type"


class TooManyRequests(ClientError):
    """429: the header ``retry-after``, where there is one, says when to try again."""

    default_code = "too_many_requests"


class ServerError(HTTPStatusError):
    """500 to 599: the server failed."""

    default_code = "server_error"


class InternalServerError(ServerError):
    """500: the server failed, and says no more."""

    default_code = "internal_server_error"


class BadGateway(ServerError):
    """502: what is behind the server gave no usable answer."""

    default_code = "bad_gateway"


class ServiceUnavailable(ServerError):
    """503: overloaded or in maintenance; the header ``retry-after`` may say for how long."""

    default_code = "service_unavailable"


class GatewayTimeout(ServerError):
    """504: what is behind the server did not answer in time."""

    default_code = "gateway_timeout"


_BY_STATUS: Mapping[int, type[HTTPStatusError]] = {
    400: BadRequest,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    405: MethodNotAllowed,
    409: Conflict,
    410: Gone,
    415: UnsupportedMediaType,
    429: TooManyRequests,
    500: InternalServerError,
    502: BadGateway,
    503: ServiceUnavailable,
    504: GatewayTimeout,
}
_BY_HUNDRED: Mapping[int, type[HTTPStatusError]] = {4: ClientError, 5: ServerError}


def class_of_status(status: int) -> type[HTTPStatusError]:
    """Return the nearest class for a status that is no success."""
    return _BY_STATUS.get(status) or _BY_HUNDRED.get(status // 100, HTTPStatusError)
