"""The server's end of a remote session: one WebSocket on the bus of the relying party.

LAW: deny by default. Nobody gets a session whom the application's authenticator did not let in;
a page of another site is refused before it is heard; a session of a signed-in browser ends with
its login. Register on the bus first, read the store after.

Source: own; DESIGN, section 6 and law 1; RFC 6455, sections 7.4 and 10.2.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, ClassVar, TypeAlias

from tornado.websocket import WebSocketClosedError, WebSocketHandler

from clefstorm.bus import Subscription
from clefstorm.bus.socket_frames import (
    FROM_CLIENT,
    LARGEST_ANSWER,
    VERSION,
    CloseCode,
    read_frame,
    write_frame,
)
from clefstorm.errors import (
    BusError,
    ClefStormError,
    ProtocolViolation,
    RequestRefused,
    StoreUnavailable,
)
from clefstorm.handlers.bus_access import BusAccess
from clefstorm.handlers.bus_revocation import until_revoked, watch_principal
from clefstorm.handlers.bus_sessions import BusSession, BusSessions, Wire
from clefstorm.handlers.cookies import read_cookie
from clefstorm.handlers.handler import Handler
from clefstorm.handlers.live import end_of_session
from clefstorm.handlers.origin import refuse_foreign
from clefstorm.protocol.credentials import Credentials
from clefstorm.relying_party import RelyingParty
from clefstorm.sessions import LoginSession, session_key

Authenticator: TypeAlias = Callable[
    [str, Credentials, "BusSocketHandler"], Awaitable[BusAccess | None]
]
"""``async (principal, credentials, handler) -> BusAccess``, or None: nobody whom we know."""

_log = logging.getLogger("clefstorm.handlers")


class BusSocketHandler(Handler, WebSocketHandler):
    """What an authenticator is given to look at: the ``request``, who is signed in in the browser
    (``user``), and the ``properties`` that the client asks for."""

    authenticate: ClassVar[Authenticator]
    bus_sessions: ClassVar[BusSessions]
    keep_alive: ClassVar[float]

    user: LoginSession | None = None
    properties: Mapping[str, str] = {}

    def initialize(self) -> None:
        super().initialize()
        self._session: BusSession | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._wire = Wire(self._send, self._hang_up)

    def wants_page(self) -> bool:
        return False

    # Tornado asks for these; the application's settings are for its own sockets.
    @property
    def ping_interval(self) -> float:
        return self.bus_sessions.limits.keep_alive

    @property
    def ping_timeout(self) -> float:
        return self.bus_sessions.limits.keep_alive

    @property
    def max_message_size(self) -> int:
        return self.bus_sessions.limits.largest_frame

    async def get(self, *args: Any, **kwargs: Any) -> None:
        refuse_foreign(self.request, secure=self.relying_party.cookies.secure)
        await super().get(*args, **kwargs)

    def open(self, *args: str, **kwargs: str) -> None:
        self.set_nodelay(True)
        self._deadline = asyncio.get_running_loop().call_later(
            self.bus_sessions.limits.handshake,
            self._hang_up,
            CloseCode.HANDSHAKE_TIMEOUT,
            "handshake_timeout",
        )

    async def on_message(self, message: str | bytes) -> None:
        try:
            frame = read_frame(message, FROM_CLIENT)
            if self._session is None:
                await self._begin(frame)
            elif frame["type"] in ("hello", "resume"):
                raise ProtocolViolation("the session has begun already", code="frame_out_of_order")
            else:
                await self._session.receive(frame)
        except ProtocolViolation as error:
            self._end(CloseCode.BAD_FRAME, error)
        except (BusError, RequestRefused, StoreUnavailable) as error:
            self._end(_CODES.get(error.code, CloseCode.CREDENTIALS_REFUSED), error)

    def on_close(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        if self._session is not None:
            if self.close_code == CloseCode.NORMAL:
                self._session.leave(self._wire)
            else:
                self._session.detach(self._wire)

    # -- the first frame -------------------------------------------------------------------------

    async def _begin(self, frame: Mapping[str, Any]) -> None:
        if frame["type"] not in ("hello", "resume"):
            raise ProtocolViolation("a session begins with hello", code="frame_out_of_order")
        if frame["version"] != VERSION:
            raise ProtocolViolation(
                "we don't speak this version", code="version_unknown", expected=VERSION
            )
        if frame["type"] == "hello":
            session = await self._welcome(frame)
        else:
            session = self._resume(frame)
        assert self._deadline is not None
        self._deadline.cancel()
        self._session = session
        if self.ws_connection is None or self.ws_connection.is_closing():
            # It left while we judged; who was not welcomed can't come back.
            if frame["type"] == "hello":
                session.leave(self._wire)
            else:
                session.detach(self._wire)

    def _resume(self, frame: Mapping[str, Any]) -> BusSession:
        session = self.bus_sessions.find(frame["session"], frame["secret"])
        greeting = write_frame("resumed", largest=LARGEST_ANSWER, received=session.received)
        session.attach(self._wire, greeting, received=frame["received"])
        return session

    async def _welcome(self, hello: Mapping[str, Any]) -> BusSession:
        limits = self.bus_sessions.limits
        if any(name.startswith("$") for name in hello["properties"]):
            raise ProtocolViolation("only the server sets a property with $", code="property_fixed")
        credentials = Credentials.from_password(hello["credentials"])
        self.properties = hello["properties"]
        principal = hello["principal"]
        with contextlib.ExitStack() as registered:
            # Registered first, judged after: whoever is revoked meanwhile is not let in.
            revoked = registered.enter_context(watch_principal(self.relying_party.bus, principal))
            signed_out = await self._read_user()
            if signed_out is not None:
                registered.enter_context(signed_out)
            access = await type(self).authenticate(principal, credentials, self)
            if access is None:
                raise RequestRefused(
                    "principal and credentials were not accepted", code="credentials_refused"
                )
            session = self.bus_sessions.open(
                self.relying_party.bus,
                access,
                properties={**self.properties, "$Principal": principal},
            )
            registered.pop_all()  # the session's own from now on
        session.follow(revoked, partial(until_revoked, revoked))
        if signed_out is not None and self.user is not None:
            judge = partial(_until_signed_out, self.relying_party, signed_out, self.user)
            session.follow(signed_out, partial(judge, self.keep_alive))
        greeting = write_frame(
            "welcome",
            largest=LARGEST_ANSWER,
            version=VERSION,
            session=session.id,
            secret=session.secret,
            properties=session.properties,
            grace=limits.grace,
            frame_bytes=limits.largest_frame,
        )
        session.attach(self._wire, greeting)
        return session

    async def _read_user(self) -> Subscription | None:
        """Learn who is signed in in the browser; the registration for the end of that."""
        rp = self.relying_party
        session_id = read_cookie(self.request.headers, rp.cookies.session)
        if session_id is None:
            return None
        key = session_key(session_id)
        watching = rp.watch(key)
        try:
            self.user = await rp.read_session(key)
        finally:
            if self.user is None:
                watching.close()
        return watching if self.user is not None else None

    # -- the connection --------------------------------------------------------------------------

    def _send(self, text: str) -> None:
        with contextlib.suppress(WebSocketClosedError):
            self.write_message(text).add_done_callback(_seen)

    def _hang_up(self, code: CloseCode, reason: str) -> None:
        self.close(int(code), reason)

    def _end(self, code: CloseCode, error: ClefStormError) -> None:
        _log.warning(
            "remote session refused (%s) code=%s: %s", self.request.remote_ip, error.code, error
        )
        if self._session is not None:
            self._session.end(code, error.code)
        self._hang_up(code, error.code)


def _seen(sent: asyncio.Future[None]) -> None:
    """What is lost with the connection is still held by the session."""
    if not sent.cancelled():
        sent.exception()


_CODES = {
    "session_lost": CloseCode.SESSION_LOST,
    "too_many_sessions": CloseCode.TOO_MANY,
    "store_unavailable": CloseCode.STORE_UNAVAILABLE,
    "bus_closed": CloseCode.GOING_AWAY,
}


async def _until_signed_out(
    rp: RelyingParty, watching: Subscription, user: LoginSession, seconds: float
) -> tuple[CloseCode, str]:
    """Wait for the end of the browser's login, looking into the store now and then."""
    try:
        while await end_of_session(rp, watching, user, seconds=seconds) is None:
            pass
    except StoreUnavailable as error:  # nothing is known: deny
        return CloseCode.STORE_UNAVAILABLE, error.code
    except BusError as error:
        return CloseCode.GOING_AWAY, error.code
    return CloseCode.SIGNED_OUT, "signed_out"
