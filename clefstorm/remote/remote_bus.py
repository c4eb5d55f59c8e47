"""The verbs of the bus, on the bus of a server.

LAW: the promises of AsyncBus as far as a network allows, and where it does not, an error that
says so. Keys and messages are judged before anything is sent.

Source: DESIGN, section 6; docs/reference/frames.rst.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from clefstorm.bus import Notification, Subscription
from clefstorm.bus.socket_frames import check_key, check_keys
from clefstorm.bus.timers import Deadlines, Timeout, seconds_of
from clefstorm.errors import BusError, BusTimeoutError, DeadlineExceeded, ProtocolViolation
from clefstorm.remote.channel import Channel

ANSWER_SECONDS = 60.0
"""How long an answer that needs no event may take, coming back from a lost connection included."""
_LAST_WORD = 5.0  # seconds for the answer to "no longer", while the connection stands
_ROOM = 1000  # notifications that a subscriber may be behind

Key = str | int


class RemoteSubscription(Subscription):
    """As the bus's own, made by `RemoteBus.subscribe`; close it when done.

    ``missed`` is set again when the session was lost and begun anew, so look at it after each
    notification, and read the truth again when it is True.
    """

    def __init__(
        self, keys: tuple[Key, ...], *, position: str, missed: bool, deadlines: Deadlines
    ) -> None:
        super().__init__(
            keys,
            deadlines=deadlines,
            replay=(),
            missed=missed,
            room=_ROOM,
            position=lambda sequence: self._handed,
            depart=lambda subscription: self._leave(),
        )
        self.after = self._handed = position  # what has come so far, what was handed out so far
        self.leave: Callable[[], None] | None = None
        self.count = 0

    @property
    def position(self) -> str:
        """The id to give as ``after`` when coming back: all before it was handed out or missed."""
        return self._handed

    async def next(self, timeout: Timeout = None) -> Notification:
        """As `Subscription.next`. Raises also BusError when the session is over."""
        notification = await super().next(timeout)
        self._handed = notification.id
        return notification

    def began(self, answer: Any, *, since: int) -> None:
        """For the bus: the server's answer to the subscribing, after so many notifications."""
        position = answer.get("position") if isinstance(answer, dict) else None
        if not isinstance(position, str):
            raise _malformed()
        self.missed = self.missed or answer.get("missed") is not False
        if self.count == since:
            self.after = position
            if not self._queue:
                self._handed = position

    def arrived(self, notification: Notification) -> bool:
        """For the channel: queue a notification, or be cut off."""
        self.count += 1
        self.after = notification.id
        if self.deliver(self.count, notification):
            return True
        self.cut_off()
        return False

    def _leave(self) -> None:
        if self.leave is not None:
            self.leave()


class RemoteBus:
    """The server's bus as far as the principal may touch it; of one `Session`, its service.

    Every method raises BusError (``key_forbidden``, ``session_lost`` when the session could not be
    resumed: whether it was carried out is then unknown), BusClosed, ConfigurationError for a key
    or a message that can't go over the wire.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._deadlines: Deadlines | None = None

    async def notify(self, key: Key, message: Any) -> bool:
        """Wake one waiter of the key, the one that has waited longest; False when nobody waits."""
        return bool(await self._tell("notify", key, message))

    async def notifyall(self, key: Key, message: Any) -> int:
        """Wake all waiters of the key; their number."""
        return int(await self._tell("notifyall", key, message))

    async def publish(self, key: Key, message: Any) -> str:
        """`notifyall`, and retain it for those who come back; the notification's id."""
        return str(await self._tell("publish", key, message))

    async def waitforkey(self, key: Key, timeout: Timeout = None) -> Any:
        """Wait for the key; the message. ``timeout``: relative seconds or a timedelta; None: for
        ever; 0 or less: ends at once.

        A connection that is lost meanwhile ends nothing and loses nothing. Raises BusTimeoutError.
        """
        return (await self.waitforkeys([key], timeout))[1]

    async def waitforkeys(self, keys: Iterable[Key], timeout: Timeout = None) -> tuple[Key, Any]:
        """Wait for any of the keys; the (key, message) that came first. As `waitforkey`."""
        wanted = check_keys(keys)
        seconds = seconds_of(timeout)
        if seconds is not None and seconds <= 0:
            raise BusTimeoutError()
        number, answer = self._channel.ask("wait", keys=wanted)
        try:
            await asyncio.wait([answer], timeout=seconds)
            if not answer.done():
                self._channel.tell("cancel", to=number)
                # A message that is on its way already still counts.
                await asyncio.wait([answer], timeout=_LAST_WORD if self._channel.send else 0)
            elif not answer.cancelled() and answer.exception() is None:
                return _pair(answer.result())
            if not answer.done():
                raise BusTimeoutError()
            return _pair(answer.result())
        except BusError as error:
            if error.code == "wait_cancelled":
                raise BusTimeoutError() from None
            raise
        except asyncio.CancelledError:
            if not answer.done() and self._channel.closed is None:
                self._channel.tell("cancel", to=number)
            raise
        finally:
            self._channel.forget(number, answer)

    async def subscribe(self, keys: Iterable[Key], after: str | None = None) -> RemoteSubscription:
        """Read what is published under the keys from now on, registered when this returns:
        ``with await session.subscribe([...]) as news``.

        ``after``: as `AsyncBus.subscribe`.
        """
        wanted = check_keys(keys)
        number, answer = self._channel.ask("subscribe", keys=wanted, after=after)
        if self._deadlines is None:
            self._deadlines = Deadlines(asyncio.get_running_loop())
        subscription = RemoteSubscription(
            tuple(wanted), position=after or "", missed=False, deadlines=self._deadlines
        )
        # Before the answer: the first events may come in one piece with it.
        self._listen(number, subscription)
        try:
            subscription.began(await self._answer_of(number, answer), since=0)
        except BaseException:
            subscription.close()
            raise
        return subscription

    async def ping(self) -> None:
        """Ask the server for a sign of life; all that was asked before has arrived there."""
        await self._answer_of(*self._channel.ask("ping"))

    # -- for the session -------------------------------------------------------------------------

    def subscribe_again(self) -> None:
        """The session is a new one: have the subscriptions that were open go on, or say missed."""
        listeners, self._channel.listeners = self._channel.listeners, {}
        for subscription in listeners.values():
            assert isinstance(subscription, RemoteSubscription)
            after = subscription.after
            if not after:  # its call has failed with the old session
                subscription.leave = None
                continue
            number, answer = self._channel.ask(
                "subscribe", keys=list(subscription.keys), after=after
            )
            self._listen(number, subscription)
            since = subscription.count
            answer.add_done_callback(partial(self._again, subscription, since))

    def _again(
        self, subscription: RemoteSubscription, since: int, answer: asyncio.Future[Any]
    ) -> None:
        error = None if answer.cancelled() else answer.exception()
        if error is None and not answer.cancelled():
            subscription.began(answer.result(), since=since)
        elif isinstance(error, BusError) and error.code != "session_lost":
            subscription.end(error)  # else it is tried with the next session

    def end(self, reason: Callable[[], BusError]) -> None:
        """The session is over."""
        for subscription in list(self._channel.listeners.values()):
            subscription.end(reason())
        if self._deadlines is not None:
            self._deadlines.close()
            self._deadlines = None

    # -- inside ----------------------------------------------------------------------------------

    def _listen(self, number: int, subscription: RemoteSubscription) -> None:
        channel = self._channel
        channel.listeners[number] = subscription

        def leave() -> None:
            if channel.listeners.get(number) is subscription:
                del channel.listeners[number]
                if channel.closed is None:
                    channel.tell("cancel", to=number)

        subscription.leave = leave

    async def _tell(self, kind: str, key: Key, message: Any) -> Any:
        asked = self._channel.ask(kind, key=check_key(key), message=message)
        return await self._answer_of(*asked)

    async def _answer_of(self, number: int, answer: asyncio.Future[Any]) -> Any:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await answer
        except TimeoutError:
            raise DeadlineExceeded(
                "the server did not answer in time; whether it was carried out is unknown",
                code="answer_timeout",
            ) from None
        finally:
            self._channel.forget(number, answer)


def _pair(value: Any) -> tuple[Key, Any]:
    if not isinstance(value, dict) or value.keys() != {"key", "message"}:
        raise _malformed()
    return value["key"], value["message"]


def _malformed() -> ProtocolViolation:
    return ProtocolViolation("the server's answer is not one", code="frame_malformed")
