"""PodConnection and its twin over the wire: one state, many callers, servers that misbehave."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from protocol.expecting import refusal
from tornado.ioloop import IOLoop
from transport.raw_server import Behaviour, Serve, answer, forever

from clefstorm.errors import (
    AnswerTooLarge,
    ConfigurationError,
    ConnectFailed,
    DeadlineExceeded,
    ProviderError,
    URLError,
)
from clefstorm.protocol.exchange import Flow
from clefstorm.testing import Provider
from clefstorm.testing.fixtures import provider as provider
from clefstorm.transport import AsyncPodConnection, PodConnection

HTML = "Content-Type: text/html"
META = b'<meta name="csrf-token" content="token">'


@pytest.fixture
def connect(io_loop: IOLoop) -> Iterator[Callable[..., AsyncPodConnection]]:
    """``connect(url)``: a connection that is closed after the test."""
    made: list[AsyncPodConnection] = []

    def connect(url: str, username: str = "alice", password: str = "alice-secret", **more: object):
        made.append(AsyncPodConnection(url, username, password, **more))
        return made[-1]

    yield connect
    for connection in made:
        io_loop.run_sync(connection.close)


def logins(provider: Provider) -> int:
    """How often the form was sent."""
    sent = [(seen.method, seen.path) for seen in provider.requests]
    return sent.count(("POST", "/users/sign_in"))


async def test_nothing_is_sent_unasked(provider: Provider, connect) -> None:
    """A new connection holds no token; repr doesn't fetch one, and str is for logs."""
    connection = connect(provider.issuer)
    assert (repr(connection), str(connection)) == ("", f"<AsyncPodConnection {provider.issuer}>")
    assert f"{connection}" == str(connection)
    assert not provider.requests


@pytest.mark.usefixtures("each_client")
async def test_the_story(provider: Provider, connect) -> None:
    """Log in, take the token, write, log out: then neither token nor session is left."""
    connection = connect(provider.issuer)
    await connection.login()
    token = repr(connection)
    assert token
    assert token == await connection.get_token()
    written = await connection.post("status_messages", {"status_message[text]": "hello"})
    assert written.status == 201
    assert (await connection.get("stream")).status == 200
    await connection.logout()
    assert repr(connection) == ""
    assert (await connection.get("stream")).status == 302
    assert provider.sessions == ()


async def test_a_token_is_fetched_when_it_is_needed(provider: Provider, connect) -> None:
    """A call that wants a token fetches one, once for all that are made at the same time."""
    connection = connect(provider.issuer)
    answers = await asyncio.gather(*(connection.post("status_messages") for _ in range(5)))
    # 401 and not 403: the pod took the token, and does not know the user.
    assert [answer.status for answer in answers] == [401] * 5
    assert repr(connection)
    assert [seen.path for seen in provider.requests].count("/users/sign_in") == 1


async def test_a_token_of_the_callers_own_fetches_none(provider: Provider, connect) -> None:
    """Who brings a token gets none fetched."""
    connection = connect(provider.issuer)
    sent = await connection.put("posts/1", headers={"X-CSRF-Token": "mine"})
    assert (sent.status, repr(connection)) == (403, "")
    assert [seen.path for seen in provider.requests] == ["/posts/1"]


async def test_fetch_asks_again(provider: Provider, connect) -> None:
    """get_token answers from memory; fetch=True asks the pod."""
    connection = connect(provider.issuer)
    await connection.login()
    provider.requests.clear()
    first = await connection.get_token()
    assert not provider.requests
    assert await connection.get_token(fetch=True) == repr(connection)
    assert [seen.path for seen in provider.requests] == ["/stream"]
    assert repr(connection) != first  # the embedded pod masks its token anew on each page


async def test_the_old_token_serves(
    provider: Provider, connect, caplog: pytest.LogCaptureFixture
) -> None:
    """When the pod is away, a held token is answered with a warning; without one it's an error."""
    connection, stranger = connect(provider.issuer), connect(provider.issuer)
    await connection.login()
    await provider.stop()
    token = repr(connection)
    with caplog.at_level(logging.WARNING):
        assert await connection.get_token(fetch=True) == token
    [record] = caplog.records
    assert (record.name, record.levelname) == ("clefstorm.transport", "WARNING")
    assert token not in record.getMessage()
    with refusal(ConnectFailed, "connect_refused"):
        await stranger.get_token(fetch=True)


async def test_logins_at_once(provider: Provider, connect) -> None:
    """Of ten tasks that log in at once one does; a later login is a new one."""
    connection = connect(provider.issuer)
    await asyncio.gather(*(connection.login() for _ in range(10)))
    assert logins(provider) == 1
    await connection.login()
    assert logins(provider) == 2


async def test_login_behind_a_logout(provider: Provider, connect) -> None:
    """A login that waits for a login and a logout signs in, because nobody is signed in then."""
    connection = connect(provider.issuer)
    await asyncio.gather(connection.login(), connection.logout(), connection.login())
    assert (await connection.get("stream")).status == 200


async def test_refused(provider: Provider, connect) -> None:
    """A wrong password is refused; each of those who tried it at once is told."""
    connection = connect(provider.issuer, password="wrong")
    for failed in await asyncio.gather(
        *(connection.login() for _ in range(2)), return_exceptions=True
    ):
        assert isinstance(failed, ProviderError)
        assert failed.code == "login_refused"
    assert repr(connection) == ""


async def test_one_wrong_password_is_one_attempt(provider: Provider, connect) -> None:
    """Those who wait for a login that is refused are refused with it; a later one tries again."""
    connection = connect(provider.issuer, password="wrong")
    failed = await asyncio.gather(*(connection.login() for _ in range(10)), return_exceptions=True)
    assert [getattr(error, "code", None) for error in failed] == ["login_refused"] * 10
    assert len({id(error) for error in failed}) == 10
    assert logins(provider) == 1
    with refusal(ProviderError, "login_refused"):
        await connection.login()
    assert logins(provider) == 2


async def test_a_failed_login_changes_nothing(provider: Provider, connect) -> None:
    """Who is signed in stays so when another login fails."""
    connection = connect(provider.issuer)
    await connection.login()
    token = repr(connection)
    await provider.stop()
    with refusal(ConnectFailed, "connect_refused"):
        await connection.login()
    await provider.start()
    assert repr(connection) == token
    assert (await connection.get("stream")).status == 200


async def test_logout_forgets_first(provider: Provider, connect) -> None:
    """A logout that can't reach the pod fails, and token and cookies are gone all the same."""
    connection = connect(provider.issuer)
    await connection.login()
    await provider.stop()
    with refusal(ConnectFailed, "connect_refused"):
        await connection.logout()
    await provider.start()
    assert repr(connection) == ""
    assert (await connection.get("stream")).status == 302


async def test_a_late_answer_brings_nothing_back(serve: Serve, connect) -> None:
    """An answer that arrives after the logout sets no cookie for the calls that follow."""
    asked, go_on = asyncio.Event(), asyncio.Event()

    async def pod(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if server.heads[-1].startswith("GET /slow"):
            asked.set()
            await go_on.wait()
        writer.write(answer(META, HTML, "Set-Cookie: session=alive; path=/"))

    server = await serve(pod)
    connection = connect(server.url)
    await connection.get_token()
    slow = asyncio.create_task(connection.get("slow"))
    await asked.wait()
    assert "session=alive" in server.heads[-1]
    await connection.logout()
    go_on.set()
    assert (await slow).status == 200
    await connection.get("later")
    assert "cookie" not in server.heads[-1].lower()


@pytest.mark.usefixtures("each_client")
async def test_every_cookie_of_an_answer(serve: Serve, connect) -> None:
    """Several Set-Cookie lines are several cookies, commas in them and all."""
    server = await serve(
        answer(
            b"",
            "Set-Cookie: a=1; path=/; expires=Thu, 01 Jan 2037 00:00:00 GMT",
            "Set-Cookie: b=2,3; path=/",
            "Set-Cookie: c=4; path=/; Domain=evil.example",
        )
    )
    connection = connect(server.url)
    await connection.get("")
    await connection.get("")
    [line] = [x for x in server.heads[-1].split("\r\n") if x.lower().startswith("cookie:")]
    assert line.partition(": ")[2] == "a=1; b=2,3"


@pytest.mark.usefixtures("each_client")
async def test_no_redirect_of_a_call_is_followed(serve: Serve, connect) -> None:
    """A redirect is the answer to a call, and the place that it names is not visited."""
    elsewhere = await serve(answer())
    server = await serve(answer(b"", f"Location: {elsewhere.url}/", status="302 Found"))
    assert (await connect(server.url).get("a")).headers["location"] == f"{elsewhere.url}/"
    assert not elsewhere.heads


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A page without end."""
    writer.write(f"HTTP/1.1 200 OK\r\n{HTML}\r\n\r\n".encode())
    while True:
        writer.write(b"<p>" * 10_000)
        await writer.drain()


async def leave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Close in the middle of a page."""
    writer.write(f"HTTP/1.1 200 OK\r\n{HTML}\r\nContent-Length: 999\r\n\r\n<meta".encode())


@pytest.mark.usefixtures("each_client")
@pytest.mark.parametrize(
    ("behaviour", "kind", "code"),
    [
        pytest.param(drip, AnswerTooLarge, "answer_too_large", id="endless_page"),
        pytest.param(leave, ConnectFailed, "answer_broken", id="cut_off"),
        pytest.param(b"SSH-2.0-pod\r\n\r\n", ConnectFailed, "answer_broken", id="not_http"),
        pytest.param(forever, DeadlineExceeded, "deadline_exceeded", id="silence"),
    ],
)
async def test_pods_that_misbehave(
    serve: Serve, connect, behaviour: Behaviour | bytes, kind, code: str
) -> None:
    """Whatever comes instead of a page, the login ends with an error of ours."""
    server = await serve(behaviour)
    timeout = 0.05 if behaviour is forever else None
    connection = connect(server.url, timeout=timeout)
    with refusal(kind, code):
        await connection.login()
    assert repr(connection) == ""


async def test_waiting_has_an_end(provider: Provider, connect) -> None:
    """Who waits for others that sign in for ever is told so."""
    connection = connect(provider.issuer, timeout=0.02)
    async with connection._alone(connection._ends()):
        with refusal(DeadlineExceeded, "pod_busy"):
            await connection.login()
    assert not provider.requests


class Deadlines:
    """In place of the runner: writes down how many seconds each flow has, and takes one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seen: list[float] = []
        loop = asyncio.get_running_loop()
        now = loop.time()
        monkeypatch.setattr(loop, "time", lambda: now + len(self.seen))

    async def run(self, flow: Flow[Any], *, deadline: float) -> Any:
        flow.close()
        self.seen.append(deadline)
        return "token"


async def test_one_deadline_for_each_call(monkeypatch: pytest.MonkeyPatch) -> None:
    """What fetching the token took is not there for the call that it was fetched for."""
    connection = AsyncPodConnection("https://pod.example", "alice", "secret", timeout=3)
    deadlines = Deadlines(monkeypatch)
    connection._runner = deadlines  # type: ignore[assignment]
    await connection.get("stream")
    await connection.post("status_messages")
    assert deadlines.seen == pytest.approx([6, 6, 5])


async def test_a_deadline_that_has_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    """When fetching the token took all the time, the call has none."""
    connection = AsyncPodConnection("https://pod.example", "alice", "secret", timeout=0.25)
    deadlines = Deadlines(monkeypatch)
    connection._runner = deadlines  # type: ignore[assignment]
    await connection.post("status_messages")
    assert deadlines.seen == pytest.approx([0.5, 0])


async def test_a_cancelled_login_frees_the_others(serve: Serve, connect) -> None:
    """Who gives up on a login leaves the way to the next one open."""
    silent = True

    async def pod(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if silent:
            heard.set()
            await reader.read()
        else:
            writer.write(answer(META, HTML))

    heard = asyncio.Event()
    server = await serve(pod)
    connection = connect(server.url)
    login = asyncio.create_task(connection.login())
    await heard.wait()
    login.cancel()
    with pytest.raises(asyncio.CancelledError):
        await login
    silent = False
    assert await connection.get_token() == "token"


async def test_closed(provider: Provider, connect) -> None:
    """Closing forgets token and cookies, and later calls fail."""
    async with AsyncPodConnection(provider.issuer, "alice", "alice-secret") as connection:
        await connection.login()
        assert repr(connection)
    assert repr(connection) == ""
    assert len(provider.sessions) == 1  # that is what logout is for
    for call in (connection.login, connection.get_token, lambda: connection.get("a")):
        with refusal(ConnectFailed, "connection_closed"):
            await call()


async def test_tls(serve: Serve, connect, server_tls, ca_file: str) -> None:
    """Over https the pod's certificate is judged, and its Secure cookies are kept."""
    server = await serve(
        answer(META, HTML, "Set-Cookie: s=1; path=/; Secure"), tls=server_tls("127.0.0.1")
    )
    trusting, wary = connect(server.url, verify=ca_file), connect(server.url)
    assert await trusting.get_token() == "token"
    await trusting.get("")
    assert "s=1" in server.heads[-1]
    with refusal(ConnectFailed, "tls_refused"):
        await wary.get_token()


@pytest.mark.parametrize("kind", [PodConnection, AsyncPodConnection])
@pytest.mark.parametrize(
    ("given", "error", "code"),
    [
        pytest.param({"pod": "http://pod.example"}, URLError, "pod_invalid", id="in_clear"),
        pytest.param({"pod": "pod.example"}, URLError, "pod_invalid", id="no_scheme"),
        pytest.param({"username": ""}, ConfigurationError, "username_invalid", id="no_name"),
        pytest.param({"password": None}, ConfigurationError, "password_invalid", id="no_password"),
        pytest.param({"timeout": 0}, ConfigurationError, "timeout_invalid", id="no_time"),
        pytest.param({"verify": 1}, ConfigurationError, "verify_invalid", id="verify_number"),
        pytest.param({"verify": "/no/file"}, ConfigurationError, "verify_unreadable", id="no_file"),
    ],
)
def test_refused_settings(kind, given: dict, error, code: str) -> None:
    """A setting that can't work is refused when the connection is made."""
    good = {"pod": "https://pod.example", "username": "ann", "password": "secret"}
    assert str(kind(**good)) == f"<{kind.__name__} https://pod.example>"
    with refusal(error, code):
        kind(**{**good, **given})


def test_twins() -> None:
    """Both have the same calls with the same parameters."""

    def face(kind: type) -> dict[str, str]:
        methods = inspect.getmembers(kind, inspect.isfunction)
        shown = {name: call for name, call in methods if not name.startswith("_")}
        shown["__init__"] = kind.__init__  # type: ignore[misc]
        return {
            name: str(inspect.signature(call).replace(return_annotation=None))
            for name, call in shown.items()
        }

    assert face(PodConnection) == face(AsyncPodConnection)
    assert {"login", "logout", "get", "post", "put", "delete", "get_token", "close"} < set(
        face(PodConnection)
    )


def blocking(provider: Provider, *, threads: int = 1) -> tuple[list[int], list[str]]:
    """The whole story by the blocking twin, from so many threads at once."""
    statuses: list[int] = []
    tokens: list[str] = []
    with PodConnection(provider.issuer, "alice", "alice-secret") as connection:

        def work() -> None:
            connection.login()
            tokens.append(connection.get_token())
            text = {"status_message[text]": "hello"}
            statuses.append(connection.post("status_messages", text).status)

        workers = [threading.Thread(target=work) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert tokens[-1] == repr(connection)
        post = connection.put("posts/1", {"status_message[text]": "changed"})
        statuses.append(post.status)
        statuses.append(connection.get("posts/1").status)
        statuses.append(connection.delete("posts/1").status)
        connection.logout()
        assert (repr(connection), str(connection)) == ("", f"<PodConnection {provider.issuer}>")
        statuses.append(connection.get("stream").status)
    return statuses, tokens


async def test_blocking(provider: Provider) -> None:
    """The blocking twin does the same, without a loop of its own."""
    statuses, _ = await asyncio.to_thread(blocking, provider)
    assert statuses == [201, 200, 200, 204, 302]


async def test_threads(provider: Provider) -> None:
    """Threads share one connection, and its one login when they begin together."""
    statuses, tokens = await asyncio.to_thread(blocking, provider, threads=4)
    assert statuses == [201] * 4 + [200, 200, 204, 302]
    assert 1 <= logins(provider) <= 4
    assert all(tokens)


async def test_blocking_in_a_loop(provider: Provider) -> None:
    """Where a loop runs, each blocking call says that it would stop it."""
    connection = PodConnection(provider.issuer, "alice", "alice-secret")
    for call in (
        connection.login,
        connection.logout,
        connection.get_token,
        connection.close,
        lambda: connection.get("a"),
        lambda: connection.post("a"),
        lambda: connection.put("a"),
        lambda: connection.delete("a"),
    ):
        with refusal(ConfigurationError, "blocking_in_loop"):
            call()
    assert repr(connection) == ""
    assert not provider.requests
