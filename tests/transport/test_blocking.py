"""The blocking driver: threads, running loops, Ctrl-C, fork, and the end of a program."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from transport.json_server import JSONServer, Reply, Seen, reply

from clefstorm.errors import ConfigurationError, ConnectFailed
from clefstorm.transport import NO_AUTH, Connection, run_blocking


async def give(value: Any) -> Any:
    await asyncio.sleep(0)
    return value


def test_run_blocking() -> None:
    """What the coroutine returns is returned, and what it raises is raised."""

    async def fail() -> None:
        raise ValueError("as it is")

    assert run_blocking(lambda: give(7)) == 7
    with pytest.raises(ValueError, match="as it is"):
        run_blocking(fail)


def test_threads_wait_on_one_loop() -> None:
    """Calls of many threads run side by side in one thread, which is not theirs."""
    begun = 0

    async def where() -> tuple[int, int]:
        nonlocal begun
        begun += 1
        while begun < 8:
            await asyncio.sleep(0.005)
        return threading.get_ident(), id(asyncio.get_running_loop())

    with ThreadPoolExecutor(8) as threads:
        calls = [threads.submit(run_blocking, where) for _ in range(8)]
        [(thread, _)] = {call.result(20) for call in calls}
    assert thread != threading.get_ident()


async def test_a_running_loop_is_not_stopped(json_server: JSONServer) -> None:
    """In a thread that runs a loop a blocking call is refused, and says what to do."""
    made: list[Any] = []
    connection = Connection(json_server.url, NO_AUTH)
    for call in (
        lambda: run_blocking(lambda: made.append(1)),  # type: ignore[arg-type, return-value]
        lambda: connection.json_request("GET", "/"),
    ):
        with pytest.raises(ConfigurationError, match="async twin") as caught:
            call()
        assert caught.value.code == "blocking_in_loop"
    assert made == []
    assert json_server.seen == []
    # In another thread it may wait while this loop runs on.
    assert await asyncio.to_thread(connection.json_request, "GET", "/") == {}


def test_many_threads_share_a_connection(json_server: JSONServer) -> None:
    """A connection may be used from many threads at once, and each gets its own answer."""
    json_server.answer = lambda seen: reply(seen.target)
    with Connection(json_server.url, NO_AUTH) as connection, ThreadPoolExecutor(16) as threads:
        answers = list(threads.map(lambda n: connection.json_request("GET", f"/{n}"), range(100)))
    assert answers == [f"/{n}" for n in range(100)]
    assert connection.sending == 0


def test_close_wakes_who_waits(json_server: JSONServer) -> None:
    """close() from another thread ends the calls under way."""
    release = threading.Event()
    json_server.answer = lambda seen: Reply(200 if release.wait(20) else 500)
    connection = Connection(json_server.url, NO_AUTH, timeout=20)
    with ThreadPoolExecutor(1) as threads:
        sending = threads.submit(connection.json_request, "GET", "/")
        while not json_server.seen:
            threading.Event().wait(0.005)
        connection.close()
        error = sending.exception(20)
        assert isinstance(error, ConnectFailed)
        assert error.code == "connection_closed"
        release.set()


START = """
import atexit, os, signal, sys, threading
at_last = []  # Called after all that is imported from here on has ended.
atexit.register(lambda: [call() for call in at_last])
from clefstorm.transport import NO_AUTH, Connection, http_client, simple_client
if sys.argv[2] == "simple":
    http_client.client_class = lambda: simple_client.SimpleClient
connection = Connection(sys.argv[1], NO_AUTH, timeout=20)
"""


@pytest.fixture
def program(tmp_path: Path, each_client: str) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a program in which every warning is an error; it ends as other programs do."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str, url: str) -> subprocess.Popen[str]:
        (tmp_path / "program.py").write_text(START + code)
        # To fork beside threads is what one of them is about; newer Pythons warn of it.
        options = ["-W", "error", "-W", "ignore:.*fork.*:DeprecationWarning"]
        process = subprocess.Popen(
            [sys.executable, *options, str(tmp_path / "program.py"), url, each_client],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:  # It hangs, and so may its child.
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def ending(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """The exit status of a program, and what it said."""
    out, err = process.communicate(timeout=20)
    return process.returncode, out, err


SAYS_NOTHING = {
    "closed": "with connection: print(connection.json_request('GET', '/'))",
    "left_open": "print(connection.json_request('GET', '/'))",
    "never_used": "connection.close()\nprint({})",
    "failed": """
try:
    Connection("http://127.0.0.1:1", NO_AUTH).json_request("GET", "/")
except ConnectionError:
    print(connection.json_request("GET", "/"))
""",
    "closed_at_exit": """
atexit.register(connection.close)
print(connection.json_request("GET", "/"))
""",
    "a_thread_works_on": """
def work():
    main.join()
    print(connection.json_request("GET", "/"))
main = threading.current_thread()
threading.Thread(target=work).start()
""",
    "a_look_up_hangs": """
import socket
begun = threading.Event()
def look_up(*_args, **_more):
    print({}, flush=True)
    begun.set()
    threading.Event().wait()
def work():
    socket.getaddrinfo = look_up
    connection.json_request("GET", "/")
threading.Thread(target=work, daemon=True).start()
begun.wait(20)
""",
    "a_daemon_waits": """
def work():
    connection.json_request("GET", "/hang")
threading.Thread(target=work, daemon=True).start()
while not connection.sending:
    threading.Event().wait(0.005)
print(connection.json_request("GET", "/"))
""",
}


@pytest.mark.parametrize("code", SAYS_NOTHING.values(), ids=SAYS_NOTHING)
def test_a_program_ends_quietly(
    json_server: JSONServer, program: Callable[..., subprocess.Popen[str]], code: str
) -> None:
    """However a program ends, it says nothing, and does not wait for what is under way."""
    release = threading.Event()

    def answer(seen: Seen) -> Reply:
        if seen.target == "/hang":
            release.wait(20)
        return Reply()

    json_server.answer = answer
    ended = ending(program(code, json_server.url))
    release.set()
    assert ended == (0, "{}\n", "")


LOOKS_AT_THREADS = """
print(connection.json_request("GET", "/"))
at_last.append(lambda: print([thread.name for thread in threading.enumerate()]))
"""


def test_the_thread_ends_first(
    json_server: JSONServer, program: Callable[..., subprocess.Popen[str]]
) -> None:
    """No thread of ours runs on while the interpreter is taken down."""
    said = ending(program(LOOKS_AT_THREADS, json_server.url))
    assert said == (0, "{}\n['MainThread']\n", "")


FORKS = """
print(connection.json_request("GET", "/before"), flush=True)
child = os.fork()
if child == 0:
    print(connection.json_request("GET", "/child"), flush=True)
    sys.exit(3)
_, status = os.waitpid(child, 0)
print(connection.json_request("GET", "/parent"))
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_a_forked_process(
    json_server: JSONServer, program: Callable[..., subprocess.Popen[str]]
) -> None:
    """A child goes on with a connection that its parent has used, and so does the parent."""
    assert ending(program(FORKS, json_server.url)) == (3, "{}\n{}\n{}\n", "")
    assert [seen.target for seen in json_server.seen] == ["/before", "/child", "/parent"]


FORKS_IN_MID_CALL = """
import asyncio, json
from clefstorm.protocol.exchange import Response
from clefstorm.transport import ConnectionHook, ConnectionManager, DocumentCache, run_blocking
parent = os.getpid()
begun, (gate, opener) = threading.Event(), os.pipe()

def hold():
    begun.set()
    if os.getpid() == parent:
        os.read(gate, 1)

class Hook(ConnectionHook):
    def connect(self, host, auth):
        hold()
        return connection

async def send(request):
    await asyncio.to_thread(hold)
    document = {name: "https://id.example" for name in (
        "issuer", "authorization_endpoint", "token_endpoint")}
    return Response(status=200, headers={}, body=json.dumps(document).encode())

manager = ConnectionManager()
manager.add_conn_hook(Hook())
cache = DocumentCache(send)
CALL = {
    "hook": lambda: manager.find(sys.argv[1], NO_AUTH).json_request("GET", "/"),
    "metadata": lambda: run_blocking(lambda: cache.metadata("https://id.example")).issuer,
}["""

FORKED = """]
thread = threading.Thread(target=CALL)
thread.start()
begun.wait(20)
child = os.fork()
if child == 0:
    print(CALL(), flush=True)
    sys.exit(3)
_, status = os.waitpid(child, 0)
os.write(opener, b"x")
thread.join()
print(CALL())
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.parametrize(
    ("call", "says"),
    [
        pytest.param("hook", "{}", id="in_a_hook"),
        pytest.param("metadata", "https://id.example", id="while_metadata_is_fetched"),
    ],
)
def test_a_fork_in_mid_call(
    json_server: JSONServer, program: Callable[..., subprocess.Popen[str]], call: str, says: str
) -> None:
    """A child waits for nothing that a thread of its parent was about to bring."""
    forked = program(f"{FORKS_IN_MID_CALL}{call!r}{FORKED}", json_server.url)
    assert ending(forked) == (3, f"{says}\n{says}\n", "")


INTERRUPTED = """
try:
    connection.json_request("GET", "/hang")
except KeyboardInterrupt:
    print("interrupted", flush=True)
while connection.sending:
    threading.Event().wait(0.005)
print(connection.json_request("GET", "/"))
"""


def test_ctrl_c(json_server: JSONServer, program: Callable[..., subprocess.Popen[str]]) -> None:
    """Ctrl-C ends the wait and cancels the request; the connection can be used again."""
    release = threading.Event()
    hanging = threading.Event()

    def answer(seen: Seen) -> Reply:
        if seen.target == "/hang":
            hanging.set()
            release.wait(20)
        return Reply()

    json_server.answer = answer
    process = program(INTERRUPTED, json_server.url)
    assert hanging.wait(20)
    process.send_signal(signal.SIGINT)
    ended = ending(process)
    release.set()
    assert ended == (0, "interrupted\n{}\n", "")
