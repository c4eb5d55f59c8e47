"""AsyncRunner: what a flow is sent, what is raised in it, and how it ends."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transport.raw_server import Behaviour, Serve, answer, forever

from clefstorm.errors import (
    ConfigurationError,
    ConnectFailed,
    DeadlineExceeded,
    ProtocolViolation,
    TransportError,
)
from clefstorm.keys import generate_key
from clefstorm.protocol.exchange import (
    Flow,
    Request,
    fetch,
)
from clefstorm.protocol.jwks import keys_of
from clefstorm.protocol.metadata import metadata_of
from clefstorm.transport import (
    NO_AUTH,
    AsyncConnection,
    AsyncRunner,
    Connection,
    ConnectionHook,
    ConnectionManager,
)


def get(url: str) -> Request:
    return Request(method="GET", url=url)


def status_of(*urls: str) -> Flow[list[int]]:
    statuses = []
    for url in urls:
        response = yield from fetch(get(url))
        statuses.append(response.status)
    return statuses


async def test_a_flow_that_asks_for_nothing() -> None:
    """A flow that only computes returns its value."""
    assert await AsyncRunner().run(status_of()) == []


async def test_requests_are_answered(serve: Serve) -> None:
    """Each Request is answered with its Response; the flow's value is the result."""
    good, gone = await serve(answer()), await serve(answer(status="404 Not Found"))
    runner = AsyncRunner()
    assert await runner.run(status_of(good.url, gone.url, good.url)) == [200, 404, 200]
    await runner.close()


async def test_verify_is_the_connections(
    serve: Serve, server_tls: Callable[..., ssl.SSLContext], ca_file: str
) -> None:
    """Each connection believes whom the runner was told to believe."""
    server = await serve(answer(), tls=server_tls("127.0.0.1"))
    assert await AsyncRunner(verify=ca_file).run(status_of(server.url)) == [200]
    with pytest.raises(ConnectFailed):
        await AsyncRunner().run(status_of(server.url))


async def test_metadata_and_keys_are_answered_from_the_cache(serve: Serve) -> None:
    """MetadataWanted and KeysWanted are answered, and fetched once for many flows."""
    jwk = {**generate_key("ES256").to_jwk(), "kid": "a"}

    async def behave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = server.heads[-1].split()[1]
        document: dict[str, Any] = {"keys": [jwk]}
        if asked == "/.well-known/openid-configuration":
            document = {"issuer": server.url, "jwks_uri": server.url + "/jwks"}
            for name in ("authorization_endpoint", "token_endpoint"):
                document[name] = server.url
        writer.write(answer(json.dumps(document).encode()))

    server = await serve(behave)
    runner = AsyncRunner()

    def flow() -> Flow[bool]:
        metadata = yield from metadata_of(server.url)
        keys = yield from keys_of(metadata.jwks_uri, "a")
        return keys.knows("a")

    assert await runner.run(flow())
    assert await runner.run(flow())
    assert len(server.heads) == 2


async def test_the_clock_is_the_caches(serve: Serve) -> None:
    """What the runner keeps ages by the clock that it was given."""
    jwks = json.dumps({"keys": [generate_key("ES256").to_jwk()]}).encode()
    server = await serve(answer(jwks))
    now = 0.0
    runner = AsyncRunner(clock=lambda: now)
    for now in (0.0, 3599.0, 3600.0):  # noqa: B007
        await runner.run(keys_of(server.url, None))
    assert len(server.heads) == 2


async def test_errors_are_raised_where_the_flow_asked(serve: Serve) -> None:
    """A flow may catch what went wrong with one ask, and go on with another."""
    broken, good = await serve(b"rubbish\r\n\r\n"), await serve(answer())

    def flow() -> Flow[tuple[str, int]]:
        try:
            yield from fetch(get(broken.url))
        except TransportError as error:
            response = yield from fetch(get(good.url))
            return error.code, response.status
        return "", 0

    assert await AsyncRunner().run(flow()) == ("answer_broken", 200)


async def test_an_error_that_the_flow_lets_pass_is_the_runs(serve: Serve) -> None:
    """What a flow does not catch, run raises, with nothing chained to it."""
    broken = await serve(answer(status="500 Oh"))
    runner = AsyncRunner()
    for flow, code in (
        (metadata_of(broken.url), "metadata_status"),
        (keys_of(broken.url, "a"), "jwks_status"),
    ):
        with pytest.raises(ProtocolViolation) as caught:
            await runner.run(flow)
        assert caught.value.code == code
        assert caught.value.__context__ is None
    with pytest.raises(ConfigurationError) as refused:
        await runner.run(status_of("ftp://id.example"))
    assert refused.value.code == "url_invalid"


async def test_a_flow_that_asks_for_something_else() -> None:
    """An ask that nobody knows is the flow's own error."""

    def flow() -> Any:
        yield "a pony"

    with pytest.raises(TypeError):
        await AsyncRunner().run(flow())


class Ending:
    """A flow of many asks that tells how it ended."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.ends: list[str] = []

    def flow(self) -> Flow[None]:
        try:
            while True:
                yield from fetch(get(self.url))
        except BaseException as error:
            self.ends.append(type(error).__name__)
            raise
        finally:
            self.ends.append("finally")


@pytest.mark.parametrize(
    "behave", [pytest.param(forever, id="one_slow"), pytest.param(answer(), id="many_quick")]
)
async def test_one_deadline_for_the_whole_flow(serve: Serve, behave: bytes | Behaviour) -> None:
    """The deadline counts over all asks; at its end DeadlineExceeded is raised in the flow."""
    server = await serve(behave)
    ending = Ending(server.url)
    with pytest.raises(DeadlineExceeded) as caught:
        await AsyncRunner().run(ending.flow(), deadline=0.1)
    assert caught.value.code == "flow_deadline"
    assert caught.value.__context__ is None
    assert ending.ends == ["DeadlineExceeded", "finally"]
    await server.empty()


async def test_a_flow_may_still_return_at_its_deadline(serve: Serve) -> None:
    """A flow that catches DeadlineExceeded gives its result; one that asks on is closed."""
    server = await serve(forever)
    ends: list[str] = []

    def content() -> Flow[str]:
        try:
            yield from fetch(get(server.url))
        except DeadlineExceeded:
            return "without"
        return "with"

    def obstinate() -> Flow[None]:
        while True:
            try:
                yield from fetch(get(server.url))
            except TransportError as error:
                ends.append(error.code)
            except GeneratorExit:
                ends.append("closed")
                raise

    runner = AsyncRunner()
    assert await runner.run(content(), deadline=0.05) == "without"
    with pytest.raises(DeadlineExceeded):
        await runner.run(obstinate(), deadline=0.05)
    assert ends == ["flow_deadline", "closed"]


async def test_the_deadline_of_a_request_is_not_the_flows(serve: Serve) -> None:
    """One request's timeout is an error of that ask; the flow has time for another."""
    slow, good = await serve(forever), await serve(answer())

    def flow() -> Flow[tuple[str, int]]:
        try:
            yield from fetch(get(slow.url))
        except DeadlineExceeded as error:
            response = yield from fetch(get(good.url))
            return error.code, response.status
        return "", 0

    runner = AsyncRunner(timeout=1)
    assert await runner.run(flow(), deadline=20) == ("deadline_exceeded", 200)


async def test_a_cancelled_run_closes_the_flow(serve: Serve) -> None:
    """A caller that goes away takes its request along, and the flow can clean up."""
    server = await serve(forever)
    ending = Ending(server.url)
    run = asyncio.ensure_future(AsyncRunner().run(ending.flow()))
    while not server.open:
        await asyncio.sleep(0.005)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert ending.ends == ["GeneratorExit", "finally"]
    await server.empty()


async def test_a_key_fetch_outlives_the_flow_that_began_it(serve: Serve) -> None:
    """Two flows share one fetch of keys; the deadline of one does not end the other's."""
    release = asyncio.Event()
    jwks = json.dumps({"keys": [generate_key("ES256").to_jwk()]}).encode()

    async def behave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await release.wait()
        writer.write(answer(jwks))

    server = await serve(behave)
    runner = AsyncRunner()
    hasty = asyncio.ensure_future(runner.run(keys_of(server.url, None), deadline=0.1))
    patient = asyncio.ensure_future(runner.run(keys_of(server.url, None), deadline=20))
    with pytest.raises(DeadlineExceeded):
        await hasty
    release.set()
    assert (await patient).knows(None)
    assert len(server.heads) == 1


async def test_closed_runner(serve: Serve) -> None:
    """close() fails what is under way, and what comes later, with connection_closed."""
    server = await serve(forever)
    runner = AsyncRunner()
    run = asyncio.ensure_future(runner.run(status_of(server.url)))
    while not server.open:
        await asyncio.sleep(0.005)
    await runner.close()
    for late in (run, runner.run(status_of(server.url)), runner.run(keys_of(server.url, None))):
        with pytest.raises(ConnectFailed) as caught:
            await late
        assert caught.value.code == "connection_closed"
    await server.empty()
    await runner.close()


class Watching(ConnectionHook):
    """Makes the connections itself, and remembers who asked."""

    def __init__(self, kind: type[AsyncConnection] | type[Connection] = AsyncConnection) -> None:
        self.kind = kind
        self.asked: list[tuple[str, Any]] = []

    def connect(self, host: str, auth: Any) -> AsyncConnection | Connection:
        self.asked.append((host, auth))
        return self.kind(host, auth)


async def test_connections_are_the_managers(serve: Serve) -> None:
    """A hook of the application's own serves a flow: asked by origin, and by NO_AUTH."""
    server = await serve(answer())
    manager = ConnectionManager()
    manager.add_conn_hook(hook := Watching())
    runner = AsyncRunner(manager=manager)
    assert await runner.run(status_of(server.url + "/a?b", server.url + "/c")) == [200, 200]
    assert hook.asked == [(server.url, NO_AUTH)]
    # It is not the runner's to close.
    await runner.close()
    assert manager.find(server.url, NO_AUTH).sending == 0
    assert len(hook.asked) == 1
    connection = manager.find(server.url, NO_AUTH)
    assert (await connection.send(get(server.url))).status == 200
    with pytest.raises(ConnectFailed) as caught:
        await runner.run(status_of(server.url))
    assert caught.value.code == "connection_closed"


async def test_what_a_hook_says_reaches_the_flow() -> None:
    """A hook that fails is an error where the flow asked."""
    manager = ConnectionManager()
    manager.add_conn_hook(Watching(kind=int))  # type: ignore[arg-type]
    with pytest.raises(ConnectFailed) as caught:
        await AsyncRunner(manager=manager).run(status_of("https://id.example/"))
    assert caught.value.code == "hook_failed"


async def test_blocking_connections_are_of_no_use(serve: Serve) -> None:
    """A manager of blocking connections does not stop the loop: the error says what to do."""
    server = await serve(answer())
    manager = ConnectionManager()
    manager.add_conn_hook(Watching(Connection))
    with pytest.raises(ConfigurationError) as caught:
        await AsyncRunner(manager=manager).run(status_of(server.url))
    assert caught.value.code == "connection_blocks"
    assert "connection_class=AsyncConnection" in str(caught.value)
    manager.reset()
    manager.clear_hooks()
    with pytest.raises(ConfigurationError) as caught:
        await AsyncRunner(manager=manager).run(status_of(server.url))
    assert caught.value.code == "connection_blocks"
    assert server.heads == []


async def test_flows_never_read_the_netrc_file(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user's netrc entry is not for an OAuth client, whose credentials are in its requests."""
    (tmp_path / "netrc").write_text("default login ann password s3cret")
    (tmp_path / "netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    server = await serve(answer())
    assert (await AsyncConnection(server.url).send(get(server.url))).status == 200
    assert await AsyncRunner().run(status_of(server.url)) == [200]
    assert ["authorization" in head.lower() for head in server.heads] == [True, False]


@pytest.mark.parametrize("options", [{"verify": False}, {"timeout": 1.0}])
def test_a_given_manager_decides(options: dict[str, Any]) -> None:
    """An option that a given manager's connections would not heed is refused, not ignored."""
    AsyncRunner(manager=ConnectionManager())
    with pytest.raises(ConfigurationError) as caught:
        AsyncRunner(manager=ConnectionManager(), **options)
    assert caught.value.code == "manager_decides"


def test_settings_are_judged_before_a_loop_runs() -> None:
    """A runner can be made outside of a loop, and refuses what no connection could use."""
    AsyncRunner(verify=False, timeout=(1, 2))
    for wrong in ({"timeout": -1}, {"verify": "/nowhere.pem"}):
        with pytest.raises(ConfigurationError):
            AsyncRunner(**wrong)
