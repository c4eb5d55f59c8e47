"""The bus: keyed notifications, with timeouts, to whoever waits for them.

LAW: keys, messages, time; knows nothing of login. The standard library only.

    timers | retention | frames     one timer for many deadlines | what is held for who comes back
    subscription                    one reader of what is published
    async_bus                       AsyncBus
"""

from __future__ import annotations

from clefstorm.bus.async_bus import AsyncBus, BusStatistics
from clefstorm.bus.retention import Notification
from clefstorm.bus.subscription import Subscription

__all__ = ["AsyncBus", "BusStatistics", "Notification", "Subscription"]
