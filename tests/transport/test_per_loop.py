"""One connection in several event loops, in turn and at once, with either client."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest
from tornado.httpclient import HTTPClientError, HTTPRequest

from clefstorm.errors import ConnectFailed
from clefstorm.protocol.exchange import Request
from clefstorm.transport import NO_AUTH, AsyncConnection
from clefstorm.transport.http_client import make_client
from clefstorm.transport.per_loop import PerLoop

PATIENCE = 20.0


def test_one_for_each_loop() -> None:
    """Each loop has its own thing; that of a closed loop is ended when next somebody asks."""
    ended: list[object] = []
    things: PerLoop[object] = PerLoop(object, ended.append)

    async def twice() -> object:
        thing = things.here()
        assert things.here() is thing
        return thing

    first = asyncio.run(twice())
    assert ended == []
    second = asyncio.run(twice())
    assert ended == [first]
    assert second is not first
    things.end()
    assert ended == [first, second]


async def test_forgotten() -> None:
    """What was forgotten is replaced, and is not ended again."""
    ended: list[object] = []
    things: PerLoop[object] = PerLoop(object, ended.append)
    first = things.here()
    assert things.forget(first)
    second = things.here()
    assert second is not first
    assert not things.forget(first)
    assert things.here() is second
    things.end()
    assert ended == [second]


def test_a_closed_loop_that_two_threads_see() -> None:
    """What served a closed loop is ended by one of those who ask next, however many ask at once."""
    ended: list[object] = []
    things: PerLoop[object] = PerLoop(object)

    async def ask() -> object:
        return things.here()

    def end(thing: object) -> None:
        ended.append(thing)
        if len(ended) == 1:  # While another thread asks, and sees the second closed loop.
            thread = threading.Thread(target=lambda: asyncio.run(ask()))
            thread.start()
            thread.join()

    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    served = [loop.run_until_complete(ask()) for loop in (first, second)]
    first.close()
    second.close()
    things._end = end
    asyncio.run(ask())
    assert ended[:2] == served
    things.end()
    assert len(ended) == len(set(ended)) == 4


@pytest.mark.usefixtures("each_client")
async def test_a_closed_client_fetches_no_more() -> None:
    """Nobody is asked who a closed client was for."""
    client = make_client(verify=True, max_clients=1)
    client.close()
    with socket.create_server(("127.0.0.1", 0)) as sock:
        sock.settimeout(0)
        with pytest.raises(HTTPClientError):
            await client.fetch(HTTPRequest(f"http://127.0.0.1:{sock.getsockname()[1]}"))
        with pytest.raises(BlockingIOError):
            sock.accept()


@pytest.mark.usefixtures("each_client")
def test_waiting_for_a_place_in_two_loops() -> None:
    """Who waits for a place in one loop doesn't keep others from waiting in the next."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        connection = AsyncConnection(url, NO_AUTH, timeout=0.1, max_clients=1)

        async def crowd() -> list[BaseException | None]:
            sends = [connection.send(Request(method="GET", url=url)) for _ in range(3)]
            return await asyncio.gather(*sends, return_exceptions=True)  # type: ignore[arg-type]

        for _ in range(2):
            codes = [getattr(error, "code", None) for error in asyncio.run(crowd())]
            assert codes == ["deadline_exceeded"] * 3


@pytest.mark.usefixtures("each_client")
def test_closed_from_another_thread() -> None:
    """close() ends the calls of every loop at once, from whichever thread."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        connection = AsyncConnection(url, NO_AUTH, timeout=10)
        codes: list[str] = []

        async def send() -> None:
            with pytest.raises(ConnectFailed) as caught:
                await connection.send(Request(method="GET", url=url))
            codes.append(caught.value.code)

        threads = [threading.Thread(target=lambda: asyncio.run(send())) for _ in range(2)]
        for thread in threads:
            thread.start()
        peers = [sock.accept()[0] for _ in threads]
        for peer in peers:
            peer.recv(1)
        connection.close()
        for thread in threads:
            thread.join(PATIENCE)
        assert codes == ["connection_closed"] * 2
        for peer in peers:
            peer.close()
