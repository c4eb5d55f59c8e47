"""One fetch for all who wait, in several event loops at once: documents and access tokens."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from clefstorm.keys import generate_key
from clefstorm.protocol.exchange import Request, Response
from clefstorm.transport import ClientCredentials, DocumentCache
from clefstorm.transport.authorizing import FromTokenEndpoint
from clefstorm.transport.single_flight import SingleFlight

PATIENCE = 20.0
JWK = generate_key("ES256").to_jwk()
JWKS = "https://id.example/jwks"


def keys(kid: str) -> Response:
    document = {"keys": [{**JWK, "kid": kid}]}
    return Response(status=200, headers={}, body=json.dumps(document).encode())


class Far:
    """What is asked from several loops; each thread's answers wait for its gate."""

    def __init__(self, *answers: Response) -> None:
        self.answers = list(answers)
        self.asked: Counter[str] = Counter()
        self.arrived = threading.Semaphore(0)
        self.gates = {"a": threading.Event(), "b": threading.Event()}

    async def send(self, _request: Request) -> Response:
        answer = self.answers.pop(0)
        thread = threading.current_thread().name
        self.asked[thread] += 1
        self.arrived.release()
        assert await asyncio.to_thread(self.gates[thread].wait, PATIENCE)
        return answer


class Thread:
    """A thread that runs one coroutine in a loop of its own."""

    def __init__(self, name: str, call: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        self._result: Any = None
        self._thread = threading.Thread(target=self._run, args=(call,), name=name)
        self._thread.start()

    def _run(self, call: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        try:
            self._result = asyncio.run(call())
        except Exception as error:
            self._result = error

    def result(self) -> Any:
        self._thread.join(PATIENCE)
        if isinstance(self._result, Exception):
            raise self._result
        return self._result


def test_a_document_in_two_loops() -> None:
    """Each loop waits for a fetch of its own, and all of them keep what it brought."""
    far = Far(keys("k"), keys("k"))
    cache = DocumentCache(far.send)
    threads = []
    for name in "ab":
        threads.append(Thread(name, lambda: cache.keys(JWKS, "k")))
        assert far.arrived.acquire(timeout=PATIENCE)
    for gate in far.gates.values():
        gate.set()
    for thread in threads:
        assert thread.result().knows("k")
    assert asyncio.run(cache.keys(JWKS, "k")).knows("k")
    assert far.asked == {"a": 1, "b": 1}


def test_an_older_document_does_not_replace_a_newer_one() -> None:
    """A fetch that began earlier, in another loop, and ends later brings nothing."""
    far = Far(keys("old"), keys("new"))
    cache = DocumentCache(far.send)
    first = Thread("a", lambda: cache.keys(JWKS, None))
    assert far.arrived.acquire(timeout=PATIENCE)
    second = Thread("b", lambda: cache.keys(JWKS, None))
    assert far.arrived.acquire(timeout=PATIENCE)
    far.gates["b"].set()
    assert second.result().knows("new")
    far.gates["a"].set()
    assert first.result().knows("new")
    assert asyncio.run(cache.keys(JWKS, "new")).knows("new")
    assert not far.answers
    assert far.asked == {"a": 1, "b": 1}


def test_a_token_in_two_loops() -> None:
    """Whoever asks in a loop joins the fetch of that loop, whatever other loops do meanwhile."""
    token = Response(
        status=200,
        headers={},
        body=b'{"access_token": "t", "token_type": "Bearer", "expires_in": 3600}',
    )
    far = Far(*[token] * 3)
    client = ClientCredentials("app", "secret", "https://id.example/token")
    source = FromTokenEndpoint(client, far.send, lambda: 0.0)
    others_ask = threading.Event()

    async def twice() -> list[str | None]:
        first = asyncio.ensure_future(source.authorization())
        assert await asyncio.to_thread(others_ask.wait, PATIENCE)
        second = asyncio.ensure_future(source.authorization())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        far.gates["a"].set()
        return await asyncio.gather(first, second)

    a = Thread("a", twice)
    assert far.arrived.acquire(timeout=PATIENCE)
    b = Thread("b", source.authorization)
    assert far.arrived.acquire(timeout=PATIENCE)
    others_ask.set()
    assert a.result() == ["Bearer t"] * 2
    far.gates["b"].set()
    assert b.result() == "Bearer t"
    assert far.asked == {"a": 1, "b": 1}


async def test_under_way() -> None:
    """It is under way from the first who joins until its end, or until the last has left."""
    gate, ended = asyncio.Event(), []

    async def work() -> str:
        try:
            await gate.wait()
        finally:
            ended.append(flight.under_way)
        return "brought"

    flight = SingleFlight(work)
    assert not flight.under_way
    one, two = (asyncio.ensure_future(flight.join()) for _ in range(2))
    await asyncio.sleep(0)
    assert flight.under_way
    one.cancel()
    await asyncio.sleep(0)
    assert flight.under_way
    two.cancel()
    for left in (one, two):
        with pytest.raises(asyncio.CancelledError):
            await left
    assert ended == [False]
    assert not flight.under_way
    gate.set()
    assert await flight.join() == "brought"
    assert not flight.under_way
