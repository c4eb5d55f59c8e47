"""AsyncBus: routes keyed messages, with timeouts, to whoever waits for them, in one process.

Here are publishing, subscribing and the bus as a whole; waiting and waking stand in waiting.py.

LAW: keys, messages, time; knows nothing of login. What is published reaches every subscriber in
order, or the subscriber is told that it missed something.

Source: own.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any

from clefstorm.bus.retention import Limits, Retention
from clefstorm.bus.subscription import Subscription
from clefstorm.bus.waiting import Waiting, closed_bus, distinct
from clefstorm.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class BusStatistics:
    """Where a bus stands (waiting, keys, subscribers, retained, retained_bytes) and what it has
    done since it was made (the others)."""

    waiting: int  # calls of waitforkey and waitforkeys that wait now
    keys: int  # keys that somebody waits for
    subscribers: int
    retained: int  # published notifications that are held
    retained_bytes: int
    delivered: int  # messages handed to waiters, and queued for subscribers
    dropped: int  # published notifications that retention let go of, or never held
    cut_off: int  # subscribers that were too slow


class AsyncBus(Waiting):
    """A notification bus for one event loop.

    Any hashable may be a key; keys are equal as a dict has it, so 1, 1.0 and True are one key.
    Made with or without a running loop, it belongs to the loop of its first call, and moves to
    another only when nobody waits on it any more or that loop is closed (what was retained is then
    forgotten). All calls must be made on the loop's thread: from another one use
    ``loop.call_soon_threadsafe(bus.notifyall, key, message)``.

    What `publish` retains for those who come back: at most ``retain_count`` notifications of
    ``retain_bytes`` bytes in all, for ``retain_age`` seconds; 0 retains nothing. A subscriber may
    fall behind by ``subscriber_queue`` notifications before it is cut off. Raises
    ConfigurationError for a limit that is none.
    """

    def __init__(
        self,
        *,
        retain_count: int = 1000,
        retain_bytes: int = 1 << 20,
        retain_age: float = 300.0,
        subscriber_queue: int = 1000,
    ) -> None:
        super().__init__()
        if (
            isinstance(subscriber_queue, bool)
            or not isinstance(subscriber_queue, int)
            or subscriber_queue < 1
        ):
            raise ConfigurationError(
                "subscriber_queue must be 1 or more", code="queue_limit", got=subscriber_queue
            )
        self._subscriber_queue = subscriber_queue
        self._subscriptions: set[Subscription] = set()
        self._subscribers: dict[Hashable, dict[Subscription, None]] = {}
        self._limits = Limits(retain_count, retain_bytes, retain_age)
        self._retention = Retention(self._limits)
        self._queued = self._cut_off = self._dropped = 0

    async def publish(self, key: Hashable, message: Any) -> str:
        """`notifyall`, and hand the message to the subscribers of ``key``, and retain it.

        Returns the notification's id. A message counts its own length (str in UTF-8, bytes), any
        other that of its JSON; a single one above ``retain_bytes`` is delivered but not retained.
        Raises BusClosed.
        """
        now = self._enter_loop().time()
        notification = self._retention.add(key, message, now)
        self.notifyall(key, message)
        sequence = self._retention.sequence
        slow = []
        for subscription in self._subscribers.get(key, ()):
            if subscription.deliver(sequence, notification):
                self._queued += 1
            else:
                slow.append(subscription)
        for subscription in slow:
            subscription.cut_off()
        self._cut_off += len(slow)
        return notification.id

    def subscribe(self, keys: Iterable[Hashable], after: str | None = None) -> Subscription:
        """Read what is published under ``keys`` from now on, registered when this returns.

        ``after``: an id of this bus, to have what is still held since then first; None: nothing
        from before. Where something since may be gone, or the id is not one of this bus,
        ``missed`` of the result is True, and all that is held and could be newer is replayed.
        Call it in the running loop. Raises BusClosed, and ConfigurationError as `waitforkeys`.
        """
        now = self._enter_loop().time()
        keys = distinct(keys)
        retention = self._retention
        replay, missed = ([], False) if after is None else retention.since(keys, after, now)
        subscription = Subscription(
            keys,
            deadlines=self._deadlines,
            replay=replay,
            missed=missed,
            room=self._subscriber_queue,
            position=retention.id_of,
            depart=self._depart,
        )
        self._queued += len(replay)
        self._subscriptions.add(subscription)
        for key in keys:
            self._subscribers.setdefault(key, {})[subscription] = None
        return subscription

    def _depart(self, subscription: Subscription) -> None:
        self._subscriptions.discard(subscription)
        for key in subscription.keys:
            subscribers = self._subscribers[key]
            del subscribers[subscription]
            if not subscribers:
                del self._subscribers[key]

    def statistics(self) -> BusStatistics:
        """Counts for operators and tests; cheap."""
        if self._loop is not None:
            self._retention.prune(self._loop.time())
        return BusStatistics(
            waiting=self._waiting,
            keys=len(self._waiters),
            subscribers=len(self._subscriptions),
            retained=len(self._retention),
            retained_bytes=self._retention.held_bytes,
            delivered=self._woken - self._returned + self._queued,
            dropped=self._dropped + self._retention.dropped,
            cut_off=self._cut_off,
        )

    async def close(self) -> None:
        """End: whoever waits gets BusClosed, and so does each later wait, publish or subscribe;
        notify and notifyall find nobody. May be repeated."""
        self._closed = True
        self._forget_all()
        self._loop = None

    @property
    def _in_use(self) -> bool:
        return super()._in_use or bool(self._subscriptions)

    def _forget_all(self) -> None:
        super()._forget_all()
        for subscription in list(self._subscriptions):
            subscription.end(closed_bus())
        # A new epoch for each loop, also where the process was forked before its loop began.
        self._dropped += self._retention.dropped + len(self._retention)
        self._retention = Retention(self._limits)
