"""The async driver of flows: answers what a flow asks for, until it returns.

LAW: decides nothing of a login. A flow sees answers and errors where it asked; whoever runs it
sees its result or its error; and no flow is left open, whatever happens.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

from clefstorm.errors import ConfigurationError, ConnectFailed, DeadlineExceeded
from clefstorm.protocol.exchange import (
    Answer,
    Ask,
    Flow,
    KeysWanted,
    MetadataWanted,
    Request,
    Response,
)
from clefstorm.transport.auth import NO_AUTH
from clefstorm.transport.connection import AsyncConnection, Connection
from clefstorm.transport.documents import DocumentCache
from clefstorm.transport.http_client import tls_context
from clefstorm.transport.manager import ConnectionManager
from clefstorm.transport.origin import read_url
from clefstorm.transport.wire import read_timeout

T = TypeVar("T")


def check_deadline(deadline: float) -> float:
    """Return the seconds that a flow may take. Raises ConfigurationError (``deadline_invalid``)."""
    if not isinstance(deadline, (int, float)) or not 0 < deadline < math.inf:
        raise ConfigurationError(
            "deadline is in seconds, more than 0", code="deadline_invalid", got=deadline
        )
    return deadline


class AsyncRunner:
    """Runs flows over the connections of a manager and one cache of documents.

    Its requests go without credentials of a connection (NO_AUTH): a flow's are its own. Without a
    ``manager`` it has one of AsyncConnections, for which ``verify`` and ``timeout`` (seconds, for
    one request) hold; a given one decides both, makes AsyncConnections too, and is its owner's to
    ``reset``. ``clock`` gives epoch seconds for the cache. Usable before a loop runs. Raises
    ConfigurationError.
    """

    def __init__(
        self,
        *,
        verify: bool | str = True,
        timeout: float | tuple[float, float] | None = None,
        clock: Callable[[], float] = time.time,
        manager: ConnectionManager | None = None,
    ) -> None:
        # Judged now: a wrong setting shows when it is made, and files are read before a loop runs.
        tls_context(verify)
        read_timeout(timeout)
        if not isinstance(manager, ConnectionManager | None):
            raise ConfigurationError(
                "manager is a ConnectionManager with connection_class=AsyncConnection",
                code="manager_invalid",
                got=type(manager).__name__,
            )
        if manager is not None and (verify is not True or timeout is not None):
            raise ConfigurationError(
                "verify and timeout are those of the manager's connections: set them there",
                code="manager_decides",
            )
        self._own_manager = manager is None
        self._manager = manager or ConnectionManager(
            connection_class=partial(AsyncConnection, verify=verify, timeout=timeout)
        )
        self._documents = DocumentCache(self._send, clock=clock)
        self._closed = False

    async def run(self, flow: Flow[T], *, deadline: float = 10.0) -> T:
        """Return what the flow returns, within ``deadline`` seconds for all that it asks.

        What goes wrong with an ask is raised in the flow, where it asked; so is DeadlineExceeded
        (code ``flow_deadline``), once: a flow that asks on after that is closed. A call that is
        cancelled closes the flow. Raises what the flow raises, and ConfigurationError (code
        ``connection_blocks``) when the manager's connections are not asynchronous.
        """
        ends = asyncio.get_running_loop().time() + deadline
        answer: Answer | None = None
        failure: Exception | None = None
        late: DeadlineExceeded | None = None
        try:
            while True:
                try:
                    ask = _resume(flow, answer, failure)
                except StopIteration as end:
                    result: T = end.value
                    return result
                if late is not None:
                    raise late
                answer = failure = None
                try:
                    async with asyncio.timeout_at(ends) as limit:
                        answer = await self._answer(ask)
                except Exception as error:
                    failure = error
                if limit.expired():
                    failure = late = DeadlineExceeded(
                        "the step took longer than its deadline",
                        code="flow_deadline",
                        seconds=deadline,
                    )
        finally:
            flow.close()
            # The exceptions' tracebacks hold this frame, so it must not hold them.
            failure = late = None

    async def _answer(self, ask: Ask) -> Answer:
        match ask:
            case Request():
                return await self._send(ask)
            case MetadataWanted():
                return await self._documents.metadata(ask.issuer)
            case KeysWanted():
                return await self._documents.keys(
                    ask.jwks_uri, ask.kid, first_hand=ask.first_hand, instead_of=ask.instead_of
                )
        raise TypeError(f"a flow can't ask for {type(ask).__name__}")

    async def _send(self, request: Request) -> Response:
        origin, _ = read_url(request.url)
        if self._closed:
            raise ConnectFailed(
                "the connections were closed",
                code="connection_closed",
                host=origin,
                method=request.method,
            )
        connection = await self._manager.find_async(str(origin), NO_AUTH)
        send = getattr(connection, "send", None)
        if isinstance(connection, Connection) or not callable(send):
            raise ConfigurationError(
                "the manager's connections block, or are none: give it "
                "connection_class=AsyncConnection, and let its hooks return those",
                code="connection_blocks",
                host=origin,
                got=type(connection).__name__,
            )
        response: Response = await send(request)
        return response

    async def close(self) -> None:
        """Close the connections, but not those of a given manager.

        Later runs fail with ConnectFailed (``connection_closed``); so does what is under way, or
        over a given manager's connections it comes to its own end.
        """
        self._closed = True
        if self._own_manager:
            self._manager.reset()


def _resume(flow: Flow[Any], answer: Answer | None, failure: Exception | None) -> Ask:
    """Start the flow, or let it go on from where it asked, to what it asks next."""
    if failure is not None:
        return flow.throw(failure)
    return next(flow) if answer is None else flow.send(answer)
