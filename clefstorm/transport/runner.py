"""The async driver of flows: answers what a flow asks for, until it returns.

LAW: decides nothing of a login. A flow sees answers and errors where it asked; whoever runs it
sees its result or its error; and no flow is left open, whatever happens.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

from clefstorm.errors import ConnectFailed, DeadlineExceeded
from clefstorm.protocol.exchange import (
    Answer,
    Ask,
    Flow,
    KeysWanted,
    MetadataWanted,
    Request,
    Response,
)
from clefstorm.transport.connection import AsyncConnection, read_timeout
from clefstorm.transport.documents import DocumentCache
from clefstorm.transport.http_client import tls_context
from clefstorm.transport.origin import Origin, read_url

MOST_CONNECTIONS = 50
"""Origins to which a connection is kept; beyond, the one that was idle longest goes."""

T = TypeVar("T")


class AsyncRunner:
    """Runs flows over one AsyncConnection for each origin and one cache of documents.

    ``verify`` and ``timeout`` (seconds, for one request) are those of AsyncConnection; ``clock``
    gives epoch seconds for the cache. Usable before a loop runs. Raises ConfigurationError.
    """

    def __init__(
        self,
        *,
        verify: bool | str = True,
        timeout: float | tuple[float, float] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        # Judged now: a wrong setting shows when it is made, and files are read before a loop runs.
        tls_context(verify)
        read_timeout(timeout)
        self._verify = verify
        self._timeout = timeout
        self._connections: OrderedDict[Origin, AsyncConnection] = OrderedDict()
        self._documents = DocumentCache(self._send, clock=clock)
        self._closed = False

    async def run(self, flow: Flow[T], *, deadline: float = 10.0) -> T:
        """Return what the flow returns, within ``deadline`` seconds for all that it asks.

        What goes wrong with an ask is raised in the flow, where it asked; so is DeadlineExceeded
        (code ``flow_deadline``), once: a flow that asks on after that is closed. A call that is
        cancelled closes the flow. Raises what the flow raises.
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
                return await self._documents.keys(ask.jwks_uri, ask.kid)
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
        return await self._connection(origin).send(request)

    def _connection(self, origin: Origin) -> AsyncConnection:
        connection = self._connections.get(origin)
        if connection is None:
            connection = self._connections[origin] = AsyncConnection(
                str(origin), verify=self._verify, timeout=self._timeout
            )
        self._connections.move_to_end(origin)
        if len(self._connections) > MOST_CONNECTIONS:
            for other, kept in self._connections.items():
                if not kept.sending and kept is not connection:
                    self._connections.pop(other).close()
                    break
        return connection

    async def close(self) -> None:
        """Close the connections; what is under way, and later runs, fail with ConnectFailed."""
        self._closed = True
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()


def _resume(flow: Flow[Any], answer: Answer | None, failure: Exception | None) -> Ask:
    """Start the flow, or let it go on from where it asked, to what it asks next."""
    if failure is not None:
        return flow.throw(failure)
    return next(flow) if answer is None else flow.send(answer)
