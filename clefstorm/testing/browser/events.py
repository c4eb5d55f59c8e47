"""Server-sent events as a browser reads them.

LAW: never reconnects by itself: a test says when. Source: HTML Standard, section 9.2.6
(interpreting an event stream).
"""

from __future__ import annotations

import asyncio
import codecs
import json
import re
from collections import deque
from dataclasses import dataclass
from typing import Any

from tornado.httputil import HTTPHeaders

from clefstorm.errors import ConnectFailed, DeadlineExceeded
from clefstorm.testing.browser.wire import Exchange

_LINE = re.compile(r"\r\n|\n|\r(?!\Z)")


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event: its name (``message`` when it has none), its text, the last id seen so far."""

    event: str
    data: str
    id: str

    def json(self) -> Any:
        """Return the data read as JSON."""
        return json.loads(self.data)


class EventParser:
    """Makes events of bytes; ``retry_ms`` is the last reconnection time that was given.

    ``comments`` counts the lines that keep a connection alive.
    """

    def __init__(self) -> None:
        self.retry_ms: int | None = None
        self.comments = 0
        self.last_id = ""
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
        self._rest = ""
        self._event = ""
        self._data: list[str] = []

    def feed(self, chunk: bytes) -> list[ServerEvent]:
        """Return the events that these bytes complete."""
        *lines, self._rest = _LINE.split(self._rest + self._decoder.decode(chunk))
        return [event for line in lines if (event := self._line(line)) is not None]

    def _line(self, line: str) -> ServerEvent | None:
        if not line:
            event = ServerEvent(self._event or "message", "\n".join(self._data), self.last_id)
            complete = bool(self._data)
            self._event, self._data = "", []
            return event if complete else None
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._event = value
        elif name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self.last_id = value
        elif name == "retry" and value.isascii() and value.isdigit():
            self.retry_ms = int(value)
        elif not name:
            self.comments += 1
        return None


class EventStream:
    """An open EventSource: ``async for event in stream`` until the server ends it.

    ``status`` and ``headers`` are the answer's. As in a browser, anything else than 200 with
    text/event-stream has no events (``accepted``).
    """

    def __init__(self, exchange: Exchange) -> None:
        self.parser = EventParser()
        self._exchange = exchange
        self._ready: deque[ServerEvent] = deque()

    @property
    def status(self) -> int:
        """The status of the answer."""
        return self._exchange.status

    @property
    def headers(self) -> HTTPHeaders:
        """The headers of the answer."""
        return self._exchange.headers

    @property
    def accepted(self) -> bool:
        """Whether a browser takes the answer for an event stream."""
        media_type = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        return self.status == 200 and media_type == "text/event-stream"

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> ServerEvent:
        while not self._ready:
            chunk = await self._exchange.chunk() if self.accepted else None
            if chunk is None:
                raise StopAsyncIteration
            self._ready.extend(self.parser.feed(chunk))
        return self._ready.popleft()

    async def next(self, timeout: float | None = None) -> ServerEvent:
        """Return the next event. ``timeout`` is in seconds, None waits for ever.

        Raises DeadlineExceeded, and ConnectFailed (``stream_ended``) when no more will come.
        """
        try:
            async with asyncio.timeout(timeout):
                return await anext(self)
        except StopAsyncIteration:
            raise ConnectFailed("the event stream has ended", code="stream_ended") from None
        except TimeoutError:
            raise DeadlineExceeded("no event came in time", expected=timeout) from None
