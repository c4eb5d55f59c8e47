"""The text of the bus on the wire: the answer of a long poll, and server-sent events.

LAW: values in, bytes out, and back. Whatever a message holds, it can't end a field, a line or an
event, nor a script element around it: JSON in ASCII, without "<". Reading is strict and bounded.

Source: WHATWG HTML, 9.2 "Server-sent events" (text/event-stream); RFC 8259 (JSON).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from clefstorm.errors import ConfigurationError, ProtocolViolation

SSE_KEEP_ALIVE: Final = b":\n\n"
"""A comment, which no browser shows to the page; it keeps proxies from closing a quiet stream."""

LONGEST_EVENT: Final = 1 << 20  # bytes of one event that a reader accepts

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}", re.ASCII)
_ID = re.compile(r"[!-~]{1,200}", re.ASCII)  # it comes back in a header, Last-Event-ID
_LONGEST_RETRY = 86_400_000  # milliseconds: a day
_RETRY = re.compile(r"[0-9]{1,8}", re.ASCII)
_LINE_END = re.compile(rb"\r\n|\n|\r")


def _json(value: Any) -> str:
    try:
        text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(
            "a message for the wire must be JSON", code="frame_not_json", cause=error
        ) from None
    return text.replace("<", "\\u003c")


def poll_answer(state: str, **members: Any) -> bytes:
    """The body of a long poll's answer: a JSON object of ``state`` and the other members.

    Raises ConfigurationError for what JSON does not have.
    """
    return _json({"state": state, **members}).encode("ascii")


def sse_event(
    event: str, data: Any, *, id: str | None = None, retry_ms: int | None = None
) -> bytes:
    """One server-sent event whose data is the JSON of ``data``.

    ``id``: what a browser sends back as Last-Event-ID; None leaves its last one as it was.
    ``retry_ms``: milliseconds until it reconnects; None leaves that to it. Raises
    ConfigurationError for a name, an id or data that cannot stand in an event.
    """
    lines = []
    if not (isinstance(event, str) and _NAME.fullmatch(event)):
        raise ConfigurationError("not a name for an event", code="frame_event", got=event)
    lines.append(f"event: {event}")
    if id is not None:
        if not (isinstance(id, str) and _ID.fullmatch(id)):
            raise ConfigurationError("not an id for an event", code="frame_id", got=id)
        lines.append(f"id: {id}")
    if retry_ms is not None:
        if type(retry_ms) is not int or not 0 <= retry_ms <= _LONGEST_RETRY:
            raise ConfigurationError(
                "retry_ms is a number of milliseconds", code="frame_retry", got=retry_ms
            )
        lines.append(f"retry: {retry_ms}")
    lines.append(f"data: {_json(data)}\n\n")
    return "\n".join(lines).encode("ascii")


@dataclass(frozen=True, slots=True)
class ServerSentEvent:
    """One event as it was read. ``id``: the last one seen in the stream, None before the first.
    ``retry_ms``: what the stream asked for last."""

    event: str
    data: Any
    id: str | None
    retry_ms: int | None


class SSEReader:
    """Reads an event stream as its bytes arrive, in whatever pieces.

    For our own streams: every event has JSON for data, and a field that is none of event, data,
    id and retry is refused, so that a page of HTML is not read as silence.
    """

    def __init__(self, *, longest_event: int = LONGEST_EVENT) -> None:
        self._longest_event = longest_event
        self._rest: list[bytes] = []  # of a line whose end has not come
        self._after_cr = False  # a line feed that follows belongs to the last line's end
        self._size = 0  # of the event so far, in bytes without line ends
        self._event = "message"
        self._data: list[str] = []
        self._id: str | None = None
        self._retry_ms: int | None = None

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """The events that this chunk completes. Raises ProtocolViolation for what is none."""
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
            self._after_cr = False
        if chunk:
            self._after_cr = chunk.endswith(b"\r")
        events = []
        *lines, rest = _LINE_END.split(chunk)
        for line in lines:
            self._count(line)
            self._rest.append(line)
            line = b"".join(self._rest)
            self._rest.clear()
            if line:
                self._field(line)
                continue
            if self._data:
                events.append(ServerSentEvent(self._event, self._value(), self._id, self._retry_ms))
            self._event, self._data, self._size = "message", [], 0
        if rest:
            self._count(rest)
            self._rest.append(rest)
        return events

    def _count(self, piece: bytes) -> None:
        self._size += len(piece)
        if self._size > self._longest_event:
            self._refuse("an event is too long", "sse_too_long")

    def _field(self, line: bytes) -> None:
        try:
            name, _, value = line.decode("utf-8").partition(":")
        except UnicodeDecodeError:
            self._refuse("not UTF-8", "sse_invalid")
        value = value.removeprefix(" ")
        if name == "event":
            self._event = value or "message"
        elif name == "data":
            self._data.append(value)
        elif name == "id":
            if "\0" not in value:
                self._id = value or None
        elif name == "retry":
            if not _RETRY.fullmatch(value) or int(value) > _LONGEST_RETRY:
                self._refuse("no number of milliseconds", "sse_retry", got=value)
            self._retry_ms = int(value)
        elif name:  # without a name it is a comment
            self._refuse("an unknown field", "sse_field", got=name)

    def _value(self) -> Any:
        try:
            return json.loads("\n".join(self._data), parse_constant=self._no_constant)
        except (ValueError, RecursionError):
            self._refuse("its data is not JSON", "sse_data")

    def _no_constant(self, name: str) -> NoReturn:
        raise ValueError(name)

    def _refuse(self, what: str, code: str, **evidence: object) -> NoReturn:
        raise ProtocolViolation(f"not one of our event streams: {what}", code=code, **evidence)


def read_sse(stream: bytes, *, longest_event: int = LONGEST_EVENT) -> list[ServerSentEvent]:
    """The events of a whole stream; one that is not complete at its end is dropped, as the
    specification says. Raises ProtocolViolation for what is no stream of ours."""
    return SSEReader(longest_event=longest_event).feed(stream)
