"""The published notifications that the bus still holds, for those who come back.

LAW: bounded in count, bytes and age, and honest: what was let go of is known, so that nobody is
told that nothing was missed. Given every time it needs; knows no loop and no subscriber.

Source: own; the idea of resuming after an id is that of Last-Event-ID (WHATWG HTML, 9.2).
"""

from __future__ import annotations

import json
import os
import re
from collections import deque
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any

from clefstorm.errors import ConfigurationError

_ID = re.compile(r"([0-9a-f]{16})-(0|[1-9][0-9]{0,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Notification:
    """One published message: ``id`` is "epoch-sequence", to be given back as ``after``."""

    id: str
    key: Hashable
    message: Any


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is held: ``count`` notifications, ``bytes`` of their messages, ``age`` seconds.

    0 for any of them holds nothing. Raises ConfigurationError for a limit that is none.
    """

    count: int
    bytes: int
    age: float

    def __post_init__(self) -> None:
        for name in ("count", "bytes", "age"):
            value = getattr(self, name)
            kinds = int | float if name == "age" else int
            # Written so that nan is refused too.
            if isinstance(value, bool) or not isinstance(value, kinds) or not value >= 0:
                raise ConfigurationError(
                    f"retain_{name} must be 0 or more", code="retention_limit", got=value
                )

    @property
    def hold_nothing(self) -> bool:
        return not (self.count and self.bytes and self.age)


def size_of(message: Any) -> int:
    """What a message counts for, in bytes: as it is for str (in UTF-8) and bytes, else as JSON."""
    if isinstance(message, bytes | bytearray):
        return len(message)
    if isinstance(message, str):
        return len(message.encode("utf-8", "surrogatepass"))
    try:
        return len(json.dumps(message, default=repr))
    except (TypeError, ValueError, RecursionError):  # keys that JSON has not, cycles, depth
        return len(repr(message))


@dataclass(frozen=True, slots=True)
class _Held:
    sequence: int
    notification: Notification
    size: int
    since: float


class Retention:
    """Numbers notifications and holds the newest. One epoch: another object is another epoch."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._epoch = os.urandom(8).hex()
        self._all: deque[_Held] = deque()
        self._of_key: dict[Hashable, deque[_Held]] = {}
        self._dropped_through = 0  # the sequence of the newest notification let go of
        self.sequence = 0  # of the newest notification
        self.held_bytes = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._all)

    def id_of(self, sequence: int | None = None) -> str:
        """The id of this sequence; None: of the newest notification."""
        return f"{self._epoch}-{self.sequence if sequence is None else sequence}"

    def add(self, key: Hashable, message: Any, now: float) -> Notification:
        """Number a message and hold it as far as the limits allow."""
        hash(key)  # an unhashable key must fail before anything has changed
        size = 0 if self._limits.hold_nothing else size_of(message)
        self.sequence += 1
        notification = Notification(self.id_of(self.sequence), key, message)
        if self._limits.hold_nothing or size > self._limits.bytes:
            # Too large to hold at all: that must not push out everything else.
            self._dropped_through = self.sequence
            self.dropped += 1
            return notification
        held = _Held(self.sequence, notification, size, now)
        self._all.append(held)
        self._of_key.setdefault(key, deque()).append(held)
        self.held_bytes += size
        self.prune(now)
        return notification

    def prune(self, now: float) -> None:
        """Let go of what is beyond the limits."""
        limits = self._limits
        while self._all and (
            len(self._all) > limits.count
            or self.held_bytes > limits.bytes
            or now - self._all[0].since >= limits.age
        ):
            oldest = self._all.popleft()
            key = oldest.notification.key
            of_key = self._of_key[key]
            of_key.popleft()  # the oldest of all is the oldest of its key
            if not of_key:
                del self._of_key[key]
            self.held_bytes -= oldest.size
            self.dropped += 1
            self._dropped_through = max(self._dropped_through, oldest.sequence)

    def since(
        self, keys: Iterable[Hashable], after: str, now: float
    ) -> tuple[list[tuple[int, Notification]], bool]:
        """(sequence, notification) of these keys held since ``after``, oldest first; and whether
        something may have been missed.

        An id of another epoch, or none of ours, comes before everything that is held.
        """
        self.prune(now)
        match = _ID.fullmatch(after) if isinstance(after, str) else None
        if match is None or match[1] != self._epoch:
            last, missed = 0, True
        else:
            last = int(match[2])
            missed = last < self._dropped_through or last > self.sequence
        found: list[tuple[int, Notification]] = []
        for key in keys:
            for held in reversed(self._of_key.get(key, ())):
                if held.sequence <= last:
                    break
                found.append((held.sequence, held.notification))
        found.sort(key=lambda pair: pair[0])
        return found, missed
