"""Frames that are neither lost nor doubled when a connection is: one end's two directions.

Each end numbers what it sends from 1 on and holds it until the other has acknowledged it. After a
lost connection each says how far it has received, and is sent the rest.

LAW: numbers and texts; knows no connection, no time, and not what a frame means.

Source: own; the idea is that of TCP's sequence numbers and of XMPP Stream Management (XEP-0198).
"""

from __future__ import annotations

from collections import deque
from typing import Any

from clefstorm.bus.socket_frames import write_frame
from clefstorm.errors import ProtocolViolation


class Outbox:
    """What was sent and not yet acknowledged. ``largest``: bytes of one frame."""

    def __init__(self, *, largest: int) -> None:
        self.largest = largest
        self.last = 0  # the number of the newest frame
        self.size = 0  # characters held
        self._held: deque[tuple[int, str]] = deque()

    def __len__(self) -> int:
        return len(self._held)

    def put(self, kind: str, **members: Any) -> str:
        """Number a frame, hold it, and return its text. Raises as `write_frame`."""
        text = write_frame(kind, largest=self.largest, n=self.last + 1, **members)
        self.last += 1
        self.size += len(text)
        self._held.append((self.last, text))
        return text

    def acknowledge(self, number: int) -> None:
        """The other end has all up to this number. Raises ProtocolViolation for one not sent."""
        if number > self.last:
            raise ProtocolViolation(
                "a frame was acknowledged that was never sent", code="frame_out_of_order"
            )
        while self._held and self._held[0][0] <= number:
            self.size -= len(self._held.popleft()[1])

    def held(self) -> list[str]:
        """What the other end has not acknowledged, oldest first."""
        return [text for _, text in self._held]


class Inbox:
    """How far the other end's frames have come."""

    def __init__(self) -> None:
        self.received = 0

    def take(self, number: int) -> bool:
        """Whether this frame is new; False for one that came before.

        Raises ProtocolViolation when one before it is missing.
        """
        if number > self.received + 1:
            raise ProtocolViolation(
                "a frame is missing",
                code="frame_out_of_order",
                expected=self.received + 1,
                got=number,
            )
        if number <= self.received:
            return False
        self.received = number
        return True
