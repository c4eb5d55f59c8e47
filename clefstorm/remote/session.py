"""Session: the bus of a server from another process, over a WebSocket that may be lost.

LAW: each state is reached once its work is done, and told; nobody waits for ever on a session
that is over. A lost connection is the session's own business as long as the server keeps it.

Source: the Session of the Diffusion client for names and states; docs/reference/frames.rst.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from clefstorm.bus.socket_frames import CloseCode
from clefstorm.bus.timers import Timeout
from clefstorm.errors import (
    BusClosed,
    BusError,
    ClefStormError,
    ConfigurationError,
    TransportError,
)
from clefstorm.protocol.credentials import Credentials
from clefstorm.remote.channel import Channel
from clefstorm.remote.greeting import Greeting, checked
from clefstorm.remote.link import Link
from clefstorm.remote.remote_bus import Key, RemoteBus, RemoteSubscription
from clefstorm.remote.states import SessionState

_FIRST_DELAY, _LONGEST_DELAY = 0.25, 10.0  # seconds between two attempts, before the jitter

_log = logging.getLogger("clefstorm.remote")


@dataclass(frozen=True, slots=True)
class Services:
    """What a session offers: ``session.services.bus``."""

    bus: RemoteBus


class Session:
    """A client session on the bus of a server, which `login_routes` mounts as "bus".

    As an ``async with`` block, or with ``connect`` and ``close``. ``url`` is a WebSocket URL;
    ``principal`` and ``credentials`` are judged by the server's authenticator; ``properties`` are
    texts that it is told, and after ``connect`` also those that the server has set, whose names
    begin with ``$``. ``data`` is the application's own dict. ``listeners`` are called with the old
    and the new `SessionState` at each change.

    A connection that is lost is made again, with growing pauses, until ``close`` or until the
    server says no. ``sleep``, ``clock`` (seconds that only grow) and ``jitter`` (0 to 1) are for
    tests. Raises ConfigurationError for a URL, credentials or properties that can't serve; with
    credentials the URL is a wss:// one, unless its host is loopback.
    """

    def __init__(
        self,
        url: str,
        principal: str = "",
        credentials: Credentials | None = None,
        properties: Mapping[str, str] | None = None,
        *,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._greeting = Greeting(url, principal, credentials, properties)
        self._fixed: Mapping[str, str] = {}
        self._sleep, self._clock, self._jitter = sleep, clock, jitter
        self.data: dict[str, Any] = {}
        self.listeners: list[Callable[[SessionState, SessionState], None]] = []
        self._channel = Channel()
        self._channel.closed = _not_connected
        self.services = Services(bus=RemoteBus(self._channel))
        self._state = SessionState.INITIALISING
        self._session_id: str | None = None
        self._secret = ""
        self._grace = 0.0
        self._link: Link | None = None
        self._life: asyncio.Task[None] | None = None

    @property
    def session_id(self) -> str | None:
        """The name that the server gave the session; None before. It resumes nothing."""
        return self._session_id

    @property
    def state(self) -> SessionState:
        return self._state

    @property
    def properties(self) -> Mapping[str, str]:
        """What was given, and what the server has set."""
        return {**self._greeting.properties, **self._fixed}

    # -- life ------------------------------------------------------------------------------------

    async def __aenter__(self) -> Session:
        await self.connect()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def connect(self, properties: Mapping[str, str] | None = None) -> None:
        """Connect to the server. ``properties`` are added to the session's, or replace them.

        One attempt of at most ten seconds. A closed session may be connected again, as a new one.
        Raises TransportError when no connection comes about, BusError (``credentials_refused`` and
        others) when the server says no, ProtocolViolation when it is not ours, ConfigurationError.
        """
        if self._state is not SessionState.INITIALISING and not self._state.closed:
            raise ConfigurationError("this session is connected", code="session_connected")
        self._greeting.properties = checked({**self._greeting.properties, **(properties or {})})
        self._enter(SessionState.CONNECTING)
        try:
            link = await self._hello()
        except BusError:
            self._enter(SessionState.CLOSED_BY_SERVER)
            raise
        except BaseException:
            self._enter(SessionState.CLOSED_FAILED)
            raise
        self._enter(SessionState.CONNECTED_ACTIVE)
        self._life = asyncio.create_task(self._live(link))

    async def close(self) -> None:
        """Close the session: the server lets go of it at once. May be repeated.

        Calls that wait get BusClosed.
        """
        life, self._life = self._life, None
        if life is not None:
            life.cancel()
            await asyncio.wait([life])
        if self._state in (SessionState.CONNECTED_ACTIVE, SessionState.RECOVERING_RECONNECT):
            self._end(SessionState.CLOSED_BY_CLIENT, _closed)
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    async def ping_server(self) -> float:
        """Send the user ping to the server; the seconds until its answer.

        All that was asked for before has reached the server when this returns.
        """
        began = self._clock()
        await self.services.bus.ping()
        return self._clock() - began

    # -- the bus ---------------------------------------------------------------------------------

    async def notify(self, key: Key, message: Any) -> bool:
        """As `RemoteBus.notify`."""
        return await self.services.bus.notify(key, message)

    async def notifyall(self, key: Key, message: Any) -> int:
        """As `RemoteBus.notifyall`."""
        return await self.services.bus.notifyall(key, message)

    async def publish(self, key: Key, message: Any) -> str:
        """As `RemoteBus.publish`."""
        return await self.services.bus.publish(key, message)

    async def waitforkey(self, key: Key, timeout: Timeout = None) -> Any:
        """As `RemoteBus.waitforkey`."""
        return await self.services.bus.waitforkey(key, timeout)

    async def waitforkeys(self, keys: Iterable[Key], timeout: Timeout = None) -> tuple[Key, Any]:
        """As `RemoteBus.waitforkeys`."""
        return await self.services.bus.waitforkeys(keys, timeout)

    async def subscribe(self, keys: Iterable[Key], after: str | None = None) -> RemoteSubscription:
        """As `RemoteBus.subscribe`."""
        return await self.services.bus.subscribe(keys, after)

    # -- inside ----------------------------------------------------------------------------------

    async def _live(self, link: Link) -> None:
        """Read what the server sends, and come back when the connection is lost."""
        try:
            while True:
                while (frame := await link.read()) is not None:
                    self._channel.receive(frame)
                self._channel.send = self._link = None
                refusal = link.refusal()
                if refusal is not None:
                    raise refusal
                self._enter(SessionState.RECOVERING_RECONNECT)
                link = await self._recover()
                self._enter(SessionState.CONNECTED_ACTIVE)
        except BusError as error:
            self._end(SessionState.CLOSED_BY_SERVER, _again(error))
        except ClefStormError as error:
            self._end(SessionState.CLOSED_FAILED, _again(error))
            await link.close(CloseCode.BAD_FRAME)
        except Exception:
            _log.exception("a remote session has failed")
            failed = BusError("the session has failed; see the log", code="session_failed")
            self._end(SessionState.CLOSED_FAILED, _again(failed))
            await link.close()

    async def _recover(self) -> Link:
        """Connect until it succeeds. Raises BusError when the server says no."""
        lost_at, attempt = self._clock(), 0
        while True:
            delay = min(_FIRST_DELAY * 2**attempt, _LONGEST_DELAY)
            await self._sleep(delay * (0.5 + self._jitter() / 2))
            attempt = min(attempt + 1, 10)
            if self._clock() - lost_at > self._grace:
                self._lose()
            try:
                if not self._secret:
                    return await self._hello()
                return await self._resume()
            except TransportError as error:
                _log.info("no connection to the server yet: %s", error)
            except BusError as error:
                if error.code != "session_lost":
                    raise
                self._lose()
                attempt = 0

    def _lose(self) -> None:
        """The server has the session no longer: the next one will be new."""
        if self._secret:
            self._secret = ""
            self._channel.renew(_lost)

    async def _hello(self) -> Link:
        link, welcome = await self._greeting.hello()
        self._link = link
        self._session_id, self._secret = welcome["session"], welcome["secret"]
        self._fixed, self._grace = welcome["properties"], welcome["grace"]
        self._channel.closed = None
        self._channel.begin(link.send, largest=welcome["frame_bytes"])
        self.services.bus.subscribe_again()
        return link

    async def _resume(self) -> Link:
        link, resumed = await self._greeting.resume(
            self._session_id, self._secret, self._channel.received
        )
        self._link = link
        self._channel.resume(link.send, resumed["received"])
        return link

    def _end(self, state: SessionState, reason: Callable[[], BusError]) -> None:
        self._secret = ""
        self._channel.closed = reason
        self._channel.renew(reason)
        self.services.bus.end(reason)
        self._enter(state)

    def _enter(self, state: SessionState) -> None:
        old, self._state = self._state, state
        for listener in list(self.listeners):
            try:
                listener(old, state)
            except Exception:
                _log.exception("a listener of a remote session's state has failed")


def _again(error: ClefStormError) -> Callable[[], BusError]:
    """Each who asks gets an error of its own, for an exception collects tracebacks."""
    kind = type(error) if isinstance(error, BusError) else BusError
    return lambda: kind(error.message, code=error.code)


def _closed() -> BusError:
    return BusClosed("the session was closed", code="session_closed")


def _not_connected() -> BusError:
    return BusClosed("connect the session first", code="session_not_connected")


def _lost() -> BusError:
    return BusError(
        "the server no longer has the session, so what it brought meanwhile is gone, and whether "
        "what was asked was carried out is unknown: read the truth again, and ask again",
        code="session_lost",
    )
