"""The server's half of remote sessions: what each waits for, and what it has not yet received.

A session outlives its connection by the grace time. Its waits and subscriptions go on meanwhile,
and what they bring is held for the client that comes back with the session's secret.

LAW: every key is judged before the bus is asked; everything that a client can pile up is bounded.
Knows no HTTP: a connection is two callables.

Source: own; docs/reference/frames.rst.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from clefstorm.bus import AsyncBus, Subscription
from clefstorm.bus.numbered import Inbox, Outbox
from clefstorm.bus.socket_frames import LARGEST_ANSWER, CloseCode
from clefstorm.errors import BusClosed, BusError, ClefStormError, ConfigurationError
from clefstorm.handlers.bus_access import BusAccess, BusLimits

_LATER: Final = object()  # the answer to a request comes when there is one
_EVENTS_HELD = 200  # frames, and below characters, unacknowledged: then subscriptions hold back
_EVENT_SPACE = 1 << 20
_SPACE = 16 << 20  # characters unacknowledged in all


@dataclass(frozen=True, slots=True)
class Wire:
    """One connection: ``send`` a text, ``close`` with a code and a reason."""

    send: Callable[[str], None]
    close: Callable[[CloseCode, str], None]


class BusSession:
    """One remote session. Its ``id`` names it in logs; ``secret`` alone resumes it."""

    def __init__(
        self,
        bus: AsyncBus,
        access: BusAccess,
        limits: BusLimits,
        *,
        properties: Mapping[str, str],
        on_end: Callable[[BusSession], None],
    ) -> None:
        self.id = secrets.token_urlsafe(24)
        self.secret = secrets.token_urlsafe(32)
        self.properties = {**properties, **access.properties, "$SessionId": self.id}
        self._followers: list[asyncio.Task[None]] = []
        self._watching: list[Subscription] = []
        self._bus, self._access, self._limits = bus, access, limits
        self._on_end = on_end
        self._outbox, self._inbox = Outbox(largest=LARGEST_ANSWER), Inbox()
        self._wire: Wire | None = None
        self._expiry: asyncio.TimerHandle | None = None
        self._waits: dict[int, asyncio.Task[None]] = {}
        self._subscriptions: dict[int, Subscription] = {}
        self._pumps: set[asyncio.Task[None]] = set()
        self._room = asyncio.Event()
        self._room.set()
        self._ended = False

    @property
    def received(self) -> int:
        """The number of the newest frame that came."""
        return self._inbox.received

    def follow(
        self, watching: Subscription, wait: Callable[[], Awaitable[tuple[CloseCode, str]]]
    ) -> None:
        """End the session when ``wait`` returns, with that code and reason; it reads
        ``watching``, which is the session's own from now on."""

        async def follower() -> None:
            self.end(*await wait())

        self._watching.append(watching)
        self._followers.append(asyncio.create_task(follower()))

    # -- connections -----------------------------------------------------------------------------

    def attach(self, wire: Wire, greeting: str, *, received: int = 0) -> None:
        """Talk over this connection from now on: the greeting, then what the client lacks.

        Raises ProtocolViolation when it claims to have received more than was sent.
        """
        self._outbox.acknowledge(received)
        self._make_room()
        old, self._wire = self._wire, wire
        if self._expiry is not None:
            self._expiry.cancel()
            self._expiry = None
        if old is not None:
            old.close(CloseCode.RESUMED_ELSEWHERE, "resumed_elsewhere")
        wire.send(greeting)
        for text in self._outbox.held():
            wire.send(text)

    def detach(self, wire: Wire) -> None:
        """This connection is gone: keep the session for the grace time."""
        if self._wire is not wire or self._ended:
            return
        self._wire = None
        loop = asyncio.get_running_loop()
        self._expiry = loop.call_later(self._limits.grace, self.end, CloseCode.SESSION_LOST, "")

    def leave(self, wire: Wire) -> None:
        """The client said good-bye over this connection."""
        if self._wire is wire:
            self._wire = None
            self.end(CloseCode.NORMAL, "")

    def end(self, code: CloseCode, reason: str) -> None:
        """Let go of everything, and close the connection if there is one. May be repeated."""
        if self._ended:
            return
        self._ended = True
        if self._expiry is not None:
            self._expiry.cancel()
        for subscription in (*self._subscriptions.values(), *self._watching):
            subscription.close()
        for task in (*self._waits.values(), *self._pumps, *self._followers):
            if task is not asyncio.current_task():
                task.cancel()
        if self._wire is not None:
            self._wire.close(code, reason)
            self._wire = None
        self._on_end(self)

    # -- frames ----------------------------------------------------------------------------------

    async def receive(self, frame: Mapping[str, Any]) -> None:
        """Do what a frame asks for. Raises ProtocolViolation for one out of order."""
        number, kind = frame["n"], frame["type"]
        if self._ended:
            return
        if kind == "ack":
            self._outbox.acknowledge(number)
            self._make_room()
            return
        if self._inbox.take(number):
            try:
                value = await self._answer(kind, frame)
            except ClefStormError as error:
                self._refuse(number, error)
            else:
                if value is not _LATER:
                    self._put("reply", to=number, value=value)
        if self._wire is not None:
            self._wire.send(f'{{"type":"ack","n":{self._inbox.received}}}')

    async def _answer(self, kind: str, frame: Mapping[str, Any]) -> Any:
        match kind:
            case "notify" | "notifyall" | "publish":
                self._access.check_notify(frame["key"])
                told = getattr(self._bus, kind)(frame["key"], frame["message"])
                return await told if kind == "publish" else told
            case "wait":
                self._access.check_wait(frame["keys"])
                self._bound(len(self._waits), self._limits.waits, "waits")
                task = asyncio.create_task(self._wait(frame["n"], frame["keys"]))
                self._waits[frame["n"]] = task
                await asyncio.sleep(0)  # it waits before the next frame is read
                return _LATER
            case "subscribe":
                self._access.check_wait(frame["keys"])
                self._bound(len(self._subscriptions), self._limits.subscriptions, "subscriptions")
                return self._subscribe(frame["n"], frame["keys"], frame["after"])
            case "cancel":
                if (wait := self._waits.get(frame["to"])) is not None:
                    wait.cancel()
                elif (subscription := self._subscriptions.get(frame["to"])) is not None:
                    subscription.close()
                return _LATER
        return True  # to a ping

    def _bound(self, count: int, most: int, what: str) -> None:
        if count >= most:
            raise BusError(
                f"this session has too many {what}: end some first", code=f"too_many_{what}"
            )

    async def _wait(self, number: int, keys: list[str | int]) -> None:
        try:
            key, message = await self._bus.waitforkeys(keys)
            self._put("reply", to=number, value={"key": key, "message": message})
        except asyncio.CancelledError:
            # Not an error of this task's: the client or the session has ended it.
            self._refuse(number, BusError("the wait was cancelled", code="wait_cancelled"))
        except ClefStormError as error:
            self._refuse(number, error)
        finally:
            self._waits.pop(number, None)

    def _subscribe(self, number: int, keys: list[str | int], after: str | None) -> Any:
        subscription = self._bus.subscribe(keys, after)
        self._subscriptions[number] = subscription
        pump = asyncio.create_task(self._pump(number, subscription))
        self._pumps.add(pump)
        pump.add_done_callback(self._pumps.discard)
        return {"missed": subscription.missed, "position": subscription.position}

    async def _pump(self, number: int, subscription: Subscription) -> None:
        try:
            while True:
                news = await subscription.next()
                await self._room.wait()  # who is too slow is cut off by the bus itself
                self._put("event", to=number, id=news.id, key=news.key, message=news.message)
        except (BusError, ConfigurationError) as error:
            if error.code != "subscription_closed":
                self._refuse(number, error, kind="end")
        finally:
            subscription.close()
            self._subscriptions.pop(number, None)

    def _refuse(self, number: int, error: ClefStormError, *, kind: str = "error") -> None:
        if error.code == "bus_closed":
            self.end(CloseCode.GOING_AWAY, error.code)  # the client looks for who comes next
        else:
            self._put(kind, to=number, code=error.code, message=error.message)

    def _put(self, kind: str, **members: Any) -> None:
        if self._ended:
            return
        text = self._outbox.put(kind, **members)
        if self._wire is not None:
            self._wire.send(text)
        self._make_room()
        if len(self._outbox) > self._limits.unacknowledged or self._outbox.size > _SPACE:
            self.end(CloseCode.TOO_MANY, "too_many_unacknowledged")

    def _make_room(self) -> None:
        if len(self._outbox) < _EVENTS_HELD and self._outbox.size < _EVENT_SPACE:
            self._room.set()
        else:
            self._room.clear()


class BusSessions:
    """All remote sessions of one endpoint."""

    def __init__(self, limits: BusLimits) -> None:
        self.limits = limits
        self._of_id: dict[str, BusSession] = {}

    def __len__(self) -> int:
        return len(self._of_id)

    def open(
        self, bus: AsyncBus, access: BusAccess, *, properties: Mapping[str, str]
    ) -> BusSession:
        """Begin a session. Raises BusError (``too_many_sessions``)."""
        if len(self) >= self.limits.sessions:
            raise BusError("there are too many remote sessions", code="too_many_sessions")
        session = BusSession(bus, access, self.limits, properties=properties, on_end=self._forget)
        self._of_id[session.id] = session
        return session

    def find(self, session_id: str, secret: str) -> BusSession:
        """Return the session to resume. Raises BusClosed (``session_lost``)."""
        session = self._of_id.get(session_id)
        if session is None or not hmac.compare_digest(session.secret.encode(), secret.encode()):
            raise BusClosed("there is no such session to resume", code="session_lost")
        return session

    def _forget(self, session: BusSession) -> None:
        del self._of_id[session.id]
