"""How a page hears of its user's logout: a long poll, or a stream of server-sent events.

LAW: register on the bus first, read the store after; so what is lost on the way costs a page its
immediate farewell, never its logout. Waiting is not activity.
Source: DESIGN, law 1; WHATWG HTML, section 9.2 (server-sent events).
"""

from __future__ import annotations

import asyncio
from functools import partial
from typing import ClassVar

from tornado.iostream import StreamClosedError

from clefstorm.bus import Subscription
from clefstorm.bus.frames import SSE_KEEP_ALIVE, poll_answer, sse_event
from clefstorm.errors import BusClosed, BusError, BusTimeoutError, StoreUnavailable
from clefstorm.handlers.cookies import read_cookie
from clefstorm.handlers.handler import JSON_TYPE, Handler
from clefstorm.handlers.origin import refuse_foreign
from clefstorm.handlers.tabs import Tabs
from clefstorm.handlers.whoami import user_tag
from clefstorm.relying_party import RelyingParty
from clefstorm.sessions import LoginSession, session_key

RECONNECT_MS = 3000
"""When a page comes back that lost its stream, or whose server stops; it adds its own jitter."""
NOBODY = "signed_out"
"""The reason when there is no live session and nothing was heard of its end."""
SHORTEST_WAIT = 0.05
"""Seconds between two looks at a session whose end is due."""


async def end_of_session(
    rp: RelyingParty, subscription: Subscription, session: LoginSession, *, seconds: float
) -> str | None:
    """Return why the session has ended, None when it is still alive after ``seconds``.

    ``subscription`` is what `RelyingParty.watch` gave before the session was read. The store is
    read again at the end, so that a lost notification is made good. Raises BusClosed,
    StoreUnavailable.
    """
    now = asyncio.get_running_loop().time
    until = now() + seconds
    while True:
        wait = min(until - now(), session.ends_at - rp.clock())
        try:
            news = await subscription.next(max(wait, SHORTEST_WAIT))
        except BusTimeoutError:
            current = await rp.read_session(session.key)
            if current is None:
                return "expired" if rp.clock() >= session.ends_at else NOBODY
            if now() >= until:
                return None
            session = current
        else:
            return str(news.message["reason"])


class LiveHandler(Handler):
    """What both have in common: the wait for the end of the browser's session."""

    transport: ClassVar[str]
    tabs: ClassVar[Tabs]
    poll_hold: ClassVar[float]
    keep_alive: ClassVar[float]

    def initialize(self) -> None:
        super().initialize()
        # A compressor for each parked connection would cost more than all the rest of it.
        self.request.headers.pop("Accept-Encoding", None)
        self._subscription: Subscription | None = None

    def wants_page(self) -> bool:
        return False

    async def get(self) -> None:
        rp = self.relying_party
        names = rp.cookies
        refuse_foreign(self.request, secure=names.secure)
        session_id = read_cookie(self.request.headers, names.session)
        if session_id is None:
            self.say_farewell(NOBODY)
            return
        key = session_key(session_id)
        with rp.watch(key) as self._subscription:
            session = await rp.read_session(key)
            if session is None:
                self.say_farewell(NOBODY)
                return
            try:
                await self.accompany(session)
            except StreamClosedError:
                pass  # the browser left while we wrote
            except BusClosed as error:
                if error.code != "subscription_closed":
                    raise
                # on_connection_close closed it: the browser left while we waited

    def on_connection_close(self) -> None:
        super().on_connection_close()
        if self._subscription is not None:
            self._subscription.close()

    async def accompany(self, session: LoginSession) -> None:
        """Hold the connection of a signed-in browser."""
        raise NotImplementedError

    def say_farewell(self, reason: str) -> None:
        """Tell the page that its session has ended, and finish."""
        raise NotImplementedError

    async def wait_for_end(self, session: LoginSession, *, seconds: float) -> str | None:
        """As `end_of_session`, for the browser's own."""
        assert self._subscription is not None
        return await end_of_session(
            self.relying_party, self._subscription, session, seconds=seconds
        )

    def tab_opened(self, session: LoginSession) -> None:
        """Count the tab, and tell the listeners when it is not one that came back."""
        if self.tabs.enter(session.key, self.transport):
            self._record("tab_opened", session)()

    def tab_closed(self, session: LoginSession) -> None:
        """Count the tab no longer."""
        self.tabs.leave(session.key, self.transport)
        self._record("tab_closed", session)()

    def _record(self, event: str, session: LoginSession) -> partial[None]:
        # Not a method of ours is bound: what lingers must not keep the handler in memory.
        return partial(
            self.relying_party.record,
            event,
            alias=session.alias,
            transport=self.transport,
            session=session.key[:8],
        )


class PollHandler(LiveHandler):
    """GET: ``{"state": "signed_out", "reason"}`` as soon as it is so, or after a while
    ``{"state": "signed_in", "user"}``: then the page asks again. 503 when the server stops."""

    transport = "poll"

    async def accompany(self, session: LoginSession) -> None:
        self.tab_opened(session)
        alive = False
        try:
            reason = await self.wait_for_end(session, seconds=self.poll_hold)
            alive = reason is None
        finally:
            if alive:
                gone = self._record("tab_closed", session)
                self.tabs.linger(session.key, self.transport, gone)
            else:
                self.tab_closed(session)
        if reason is None:
            self._answer(poll_answer("signed_in", user=user_tag(session)))
        else:
            self.say_farewell(reason)

    def say_farewell(self, reason: str) -> None:
        self._answer(poll_answer("signed_out", reason=reason))

    def _answer(self, answer: bytes) -> None:
        self.set_header("Content-Type", JSON_TYPE)
        self.finish(answer)


class EventsHandler(LiveHandler):
    """GET: an event stream. ``hello`` {"user"} when it stands, ``logout`` {"reason"} at the end,
    ``retry`` {"after"} (milliseconds) when the server stops or can't tell."""

    transport = "sse"

    async def accompany(self, session: LoginSession) -> None:
        self.tab_opened(session)
        try:
            self._begin()
            self.write(sse_event("hello", {"user": user_tag(session)}, retry_ms=RECONNECT_MS))
            await self.flush()
            seconds = self.keep_alive
            while (reason := await self.wait_for_end(session, seconds=seconds)) is None:
                self.write(SSE_KEEP_ALIVE)
                await self.flush()
            self.finish(sse_event("logout", {"reason": reason}))
        except (BusError, StoreUnavailable) as error:
            if error.code == "subscription_closed":
                raise
            self.finish(sse_event("retry", {"after": RECONNECT_MS}))
        finally:
            self.tab_closed(session)

    def say_farewell(self, reason: str) -> None:
        self._begin()
        self.finish(sse_event("logout", {"reason": reason}))

    def _begin(self) -> None:
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("X-Accel-Buffering", "no")
