"""Requests to the server and its answers, over whichever connection there is at the moment.

LAW: what was asked is answered once, or fails with an error; a lost connection alone fails
nothing. Knows no connection but a callable that sends, and no time.

Source: docs/reference/frames.rst.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from clefstorm.bus import Notification
from clefstorm.bus.numbered import Inbox, Outbox
from clefstorm.bus.socket_frames import LARGEST_ANSWER
from clefstorm.errors import BusClosed, BusError, ProtocolViolation, SlowSubscriber

MOST_HELD = 4000
"""Frames that the server has not acknowledged: then no more is sent until it does."""

_CLASSES: Mapping[str, type[BusError]] = {
    "bus_closed": BusClosed,
    "slow_subscriber": SlowSubscriber,
}


class Listener(Protocol):
    """A subscription, as the channel sees it."""

    def arrived(self, notification: Notification) -> bool: ...
    def end(self, reason: BusError) -> None: ...


class Channel:
    """One numbered conversation. ``send`` is the connection's, None while there is none."""

    def __init__(self) -> None:
        self.send: Callable[[str], None] | None = None
        self.closed: Callable[[], BusError] | None = None  # makes the error of those who ask now
        self._outbox, self._inbox = Outbox(largest=LARGEST_ANSWER), Inbox()
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self.listeners: dict[int, Listener] = {}

    @property
    def received(self) -> int:
        return self._inbox.received

    def tell(self, kind: str, **members: Any) -> int:
        """Send a frame that has no answer, now or when there is a connection; its number.

        Raises ConfigurationError as `write_frame`, and BusError.
        """
        if self.closed is not None:
            raise self.closed()
        if len(self._outbox) >= MOST_HELD:
            raise BusError(
                "too much waits for the server to acknowledge it: ask less often",
                code="too_many_unacknowledged",
            )
        text = self._outbox.put(kind, **members)
        if self.send is not None:
            self.send(text)
        return self._outbox.last

    def ask(self, kind: str, **members: Any) -> tuple[int, asyncio.Future[Any]]:
        """Send a request; its number, and the answer to come. Raises as `tell`."""
        number = self.tell(kind, **members)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        return number, answer

    def forget(self, number: int, answer: asyncio.Future[Any]) -> None:
        """Nobody waits for this answer any more."""
        if self._answers.get(number) is answer:  # else the number is a new conversation's
            del self._answers[number]

    def begin(self, send: Callable[[str], None], *, largest: int) -> None:
        """There is a connection, and a session whose server reads frames of so many bytes."""
        self._outbox.largest = largest
        self.resume(send, 0)

    def resume(self, send: Callable[[str], None], received: int) -> None:
        """There is a connection again; the server has this much of what was sent."""
        self._outbox.acknowledge(received)
        self.send = send
        for text in self._outbox.held():
            send(text)

    def renew(self, reason: Callable[[], BusError]) -> None:
        """Begin a new conversation; what was asked in the old one fails for this reason."""
        self.send = None
        self._outbox = Outbox(largest=self._outbox.largest)
        self._inbox = Inbox()
        answers, self._answers = self._answers, {}
        for answer in answers.values():
            if not answer.done():
                answer.set_exception(reason())

    def receive(self, frame: Mapping[str, Any]) -> None:
        """Take a frame of the server's. Raises ProtocolViolation for one out of order."""
        kind, number = frame["type"], frame.get("n")
        if number is None:
            raise ProtocolViolation("no frame of a conversation", code="frame_out_of_order")
        if kind == "ack":
            self._outbox.acknowledge(number)
            return
        if self._inbox.take(number):
            to = frame["to"]
            if kind in ("reply", "error"):
                answer = self._answers.pop(to, None)
                if answer is not None and not answer.done():
                    if kind == "reply":
                        answer.set_result(frame["value"])
                    else:
                        answer.set_exception(_error(frame))
            elif (listener := self.listeners.get(to)) is not None:
                if kind == "end":
                    listener.end(_error(frame))
                else:
                    listener.arrived(Notification(frame["id"], frame["key"], frame["message"]))
        if self.send is not None:
            self.send(f'{{"type":"ack","n":{self._inbox.received}}}')


def _error(frame: Mapping[str, Any]) -> BusError:
    return _CLASSES.get(frame["code"], BusError)(frame["message"], code=frame["code"])
