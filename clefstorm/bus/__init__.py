"""The bus: keyed notifications, with timeouts, to whoever waits for them.

LAW: keys, messages, time; knows nothing of login. The standard library only.

    timers | retention | frames   deadlines | what is held for who comes back | text on the wire
    waiting                       waiting for a key, and waking
    subscription                  one reader of what is published
    async_bus                     AsyncBus: the whole
"""

from __future__ import annotations

from clefstorm.bus.async_bus import AsyncBus, BusStatistics
from clefstorm.bus.frames import (
    SSE_KEEP_ALIVE,
    ServerSentEvent,
    SSEReader,
    poll_answer,
    read_sse,
    sse_event,
)
from clefstorm.bus.retention import Notification
from clefstorm.bus.subscription import Subscription

__all__ = [
    "SSE_KEEP_ALIVE",
    "AsyncBus",
    "BusStatistics",
    "Notification",
    "SSEReader",
    "ServerSentEvent",
    "Subscription",
    "poll_answer",
    "read_sse",
    "sse_event",
]
