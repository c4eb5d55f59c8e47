"""JSON requests: a Python value to a request, and the answer to a value or an error by status.

LAW: values in, values or errors out. No error quotes the body, the parameters or the answer;
what a failure's answer held is in the error's own ``headers`` and ``body``.
Source: RFC 8259; RFC 9110, section 15; the interface of sleepwalker's Connection.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence, Set, ValuesView
from dataclasses import fields, is_dataclass
from datetime import date, time
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from clefstorm.errors import ConfigurationError, ProtocolViolation, class_of_status
from clefstorm.protocol.exchange import Request, Response
from clefstorm.protocol.redirects import REDIRECTS
from clefstorm.protocol.strict_json import is_unicode, read_json
from clefstorm.transport.wire import check_headers


class ValueEncoder(json.JSONEncoder):
    """Writes more kinds of values than Python's own encoder, whose options it has.

    datetime, date and time as ISO 8601; Decimal, UUID and paths as their text; an Enum as its
    value; a dataclass as an object of its fields; any Mapping, Sequence, set and view of a dict,
    sets in order where their members have one. bytes are text in ``encoding``; None refuses
    them. ``default`` is asked for whatever else there is. To write more kinds, override
    ``default`` in a subclass, as ``JsonEncoder`` of a subclass of the connection.
    """

    def __init__(
        self,
        skipkeys: bool = False,
        ensure_ascii: bool = True,
        check_circular: bool = True,
        allow_nan: bool = True,
        sort_keys: bool = False,
        indent: int | str | None = None,
        separators: tuple[str, str] | None = None,
        encoding: str | None = "utf-8",
        default: Callable[[Any], Any] | None = None,
    ) -> None:
        super().__init__(
            skipkeys=skipkeys,
            ensure_ascii=ensure_ascii,
            check_circular=check_circular,
            allow_nan=allow_nan,
            sort_keys=sort_keys,
            indent=indent,
            separators=separators,
        )
        self.encoding = encoding
        self._default = default

    def default(self, o: Any) -> Any:
        """Return what JSON can say of ``o``. Raises ConfigurationError (``body_not_json``)."""
        match o:
            case Enum():
                return o.value
            case date() | time():
                return o.isoformat()
            case Decimal():
                if not (self.allow_nan or o.is_finite()):
                    raise _not_json("a number that JSON does not have", o)
                return str(o)
            case UUID() | PurePath():
                return str(o)
            case bytes() | bytearray() | memoryview():
                return self._text(bytes(o))
            case Mapping():
                return dict(o)
            case set() | frozenset():
                return _in_order(o)
            case Sequence() | Set() | ValuesView():
                return list(o)
        if is_dataclass(o) and not isinstance(o, type):
            return {field.name: getattr(o, field.name) for field in fields(o)}
        if self._default is not None:
            return self._default(o)
        raise _not_json("JSON has no form for it; JsonEncoder.default can give it one", o)

    def _text(self, raw: bytes) -> str:
        try:
            if self.encoding is not None:
                return raw.decode(self.encoding)
        except UnicodeDecodeError:
            pass  # The exception holds the bytes, and must not be chained to ours.
        raise _not_json("these bytes are not text; encode them, in base64 say", raw)


def _in_order(members: Iterable[Any]) -> list[Any]:
    try:
        return sorted(members)
    except TypeError:
        return list(members)


def _not_json(reason: str, value: object) -> ConfigurationError:
    return ConfigurationError(
        f"not to be written as JSON: {reason}", code="body_not_json", got=type(value).__name__
    )


def _written(value: Any, encoder: json.JSONEncoder) -> str:
    try:
        return encoder.encode(value)
    except (TypeError, ValueError, RecursionError) as error:
        # Their own words may quote the value.
        kind = type(error).__name__
    raise ConfigurationError(
        "not to be written as JSON: NaN, a key that is no text, or a value within itself",
        code="body_not_json",
        reason=kind,
    )


def _parameter(name: str, value: Any, encoder: json.JSONEncoder) -> str:
    """Return a value as JSON writes it, a text without its quotes."""
    written = _written(value, encoder)
    if written[0] in "[{":
        raise ConfigurationError(
            "a parameter is one value, or a sequence of values that are each sent",
            code="parameter_invalid",
            name=name,
            got=type(value).__name__,
        )
    text = str(json.loads(written)) if written[0] == '"' else written
    if not is_unicode(f"{name}{text}"):
        raise ConfigurationError(
            "a parameter must be Unicode text", code="parameter_invalid", name=name
        )
    return text


def _with_query(url: str, params: Mapping[str, Any] | None, encoder: json.JSONEncoder) -> str:
    """Return the URL with parameters added; None leaves one out, a sequence repeats it."""
    if not isinstance(params, Mapping | None):
        raise ConfigurationError(
            "params map names to values", code="parameter_invalid", got=type(params).__name__
        )
    pairs = [
        (name, _parameter(name, each, encoder))
        for name, value in (params or {}).items()
        for each in (value if isinstance(value, list | tuple | set | frozenset) else (value,))
        if each is not None
    ]
    if not pairs:
        return url
    return f"{url}{'&' if '?' in url else '?'}{urlencode(pairs)}"


def build_json_request(
    method: str,
    url: str,
    body: Any,
    params: Mapping[str, Any] | None,
    extra_headers: Mapping[str, str] | None,
    *,
    encoder: json.JSONEncoder,
    max_bytes: int,
) -> Request:
    """Build the request; ``body`` None sends none.

    Raises ConfigurationError (``body_not_json``, ``parameter_invalid``, ``header_invalid``,
    ``header_reserved``, ``max_bytes_invalid``).
    """
    if not isinstance(max_bytes, int) or max_bytes < 1:
        raise ConfigurationError(
            "max_bytes is a number of bytes, 1 or more", code="max_bytes_invalid", got=max_bytes
        )
    headers = {"accept": "application/json"}
    content = None
    if body is not None:
        headers["content-type"] = "application/json"
        written = _written(body, encoder)
        if not is_unicode(written):
            raise _not_json("there is half of a surrogate pair in it", body)
        content = written.encode()
    if extra_headers is not None:
        headers |= check_headers(extra_headers)
    return Request(
        method=method,
        url=_with_query(url, params, encoder),
        headers=headers,
        body=content,
        max_bytes=max_bytes,
    )


def read_json_response(response: Response, **evidence: Any) -> Any:
    """Return the JSON value of a success, None when there is no content.

    Raises HTTPStatusError by the status of anything else, ProtocolViolation for a success that
    is not JSON; both with ``evidence``.
    """
    if 200 <= response.status < 300:
        if response.status == 204 or not response.body:
            return None
        try:
            return read_json(response.body)
        except ProtocolViolation as error:
            error.add_evidence(status=response.status, **evidence)
            raise
    try:
        body = read_json(response.body)
    except ProtocolViolation:
        body = response.body.decode("utf-8", "replace")
    hint = ", and redirects are not followed" if response.status in REDIRECTS else ""
    raise class_of_status(response.status)(
        f"the server answered {response.status}{hint}",
        status=response.status,
        headers=response.headers,
        body=body,
        **evidence,
    )
