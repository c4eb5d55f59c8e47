"""Credentials of a connection: what is sent, to whom alone, and where it comes from."""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import netrc
import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest
from transport.json_server import JSONServer, Reply, Seen, Twin, reply

from clefstorm.errors import (
    ConfigurationError,
    ConnectFailed,
    DeadlineExceeded,
    ProtocolViolation,
    TokenRefused,
    Unauthorized,
    URLError,
)
from clefstorm.protocol.exchange import Request
from clefstorm.transport import NO_AUTH, AsyncConnection, Bearer, ClientCredentials, Connection
from clefstorm.transport.authorizing import RENEW_BEFORE

HERE = "http://127.0.0.1:1"


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("auth", "header"),
    [
        pytest.param(NO_AUTH, None, id="none"),
        pytest.param(("us", "p:ä"), basic("us", "p:ä"), id="basic"),
        pytest.param(("", ""), "Basic Og==", id="basic_empty"),
        pytest.param(Bearer("a.b-c_~+/=="), "Bearer a.b-c_~+/==", id="bearer"),
    ],
)
def test_what_is_sent(json_server: JSONServer, twin: Twin, auth: Any, header: str | None) -> None:
    """Each kind of credentials goes into the Authorization header of every request."""
    connection = twin.kind(json_server.url, auth)
    twin.call(connection.json_request, "GET", "/")
    twin.call(connection.json_request, "GET", "/", extra_headers={"Authorization": "Bearer mine"})
    assert json_server.values("authorization") == [header, "Bearer mine"]


def test_credentials_are_keys() -> None:
    """Credentials are frozen and hashable, equal by value, and no repr shows a secret."""
    for auth, other in (
        (Bearer("s3cret"), Bearer("another")),
        (
            ClientCredentials("app", "s3cret", f"{HERE}/token?s3cret", "read"),
            ClientCredentials("app", "s3cret", f"{HERE}/token?s3cret"),
        ),
    ):
        assert {auth: 1}[pickle.loads(pickle.dumps(auth))] == 1
        assert auth != other
        assert "s3cret" not in repr(auth) + str(auth)
        with pytest.raises(AttributeError):
            setattr(auth, dataclasses.fields(auth)[0].name, "changed")
    assert pickle.loads(pickle.dumps(NO_AUTH)) is NO_AUTH
    assert repr(NO_AUTH) == "NO_AUTH"


@pytest.mark.parametrize(
    ("make", "code"),
    [
        pytest.param(lambda: Bearer("s3cret x"), "auth_invalid", id="bearer_space"),
        pytest.param(lambda: Bearer("s3cret\r\nX: y"), "auth_invalid", id="bearer_line"),
        pytest.param(lambda: Bearer(""), "auth_invalid", id="bearer_empty"),
        pytest.param(lambda: Bearer(None), "auth_invalid", id="bearer_none"),  # type: ignore[arg-type]
        pytest.param(
            lambda: ClientCredentials("", "s3cret", HERE), "auth_invalid", id="no_client_id"
        ),
        pytest.param(lambda: ClientCredentials("a", "", HERE), "auth_invalid", id="no_secret"),
        pytest.param(
            lambda: ClientCredentials("a", "s3cret", HERE, ["s"]),  # type: ignore[arg-type]
            "auth_invalid",
            id="scope_list",
        ),
        pytest.param(
            lambda: ClientCredentials("a", "s3cret", "id.example/token"), "url_invalid", id="url"
        ),
        pytest.param(
            lambda: ClientCredentials("a", "s3cret", "http://id.example/token"),
            "auth_needs_https",
            id="token_url_plain",
        ),
        pytest.param(lambda: Connection(HERE, ("u:v", "s3cret")), "auth_invalid", id="colon"),
        pytest.param(lambda: Connection(HERE, ("u", "s3cret\ud800")), "auth_invalid", id="half"),
        pytest.param(lambda: Connection(HERE, ("u", "s3cret", "x")), "auth_invalid", id="three"),  # type: ignore[arg-type]
        pytest.param(lambda: Connection(HERE, ["u", "s3cret"]), "auth_invalid", id="list"),  # type: ignore[arg-type]
        pytest.param(lambda: Connection(HERE, ("u", b"s3cret")), "auth_invalid", id="bytes"),  # type: ignore[arg-type]
        pytest.param(lambda: Connection(HERE, "s3cret"), "auth_invalid", id="text"),  # type: ignore[arg-type]
        pytest.param(
            lambda: Connection("http://api.example", ("u", "s3cret")),
            "auth_needs_https",
            id="basic_plain",
        ),
        pytest.param(
            lambda: Connection("http://api.example", Bearer("s3cret")),
            "auth_needs_https",
            id="bearer_plain",
        ),
        pytest.param(
            lambda: Connection("http://api.example", ClientCredentials("a", "s3cret", HERE)),
            "auth_needs_https",
            id="client_credentials_plain",
        ),
    ],
)
def test_credentials_that_are_refused(make: Callable[[], object], code: str) -> None:
    """What is malformed, or would be heard by everybody, is refused at once and not quoted."""
    for good in (("u", "p:q"), Bearer("t"), ClientCredentials("a", "s", HERE), NO_AUTH):
        for host in (HERE, "https://api.example", "http://localhost", "http://[::1]:80"):
            Connection(host, good)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError) as caught:
        make()
    assert caught.value.code == code
    assert isinstance(caught.value, URLError) == (code == "url_invalid")
    assert "s3cret" not in str(caught.value)
    assert caught.value.__context__ is None or "s3cret" not in str(caught.value.__context__)


@pytest.mark.parametrize("name", ["Authorization", "Cookie", "Proxy-Authorization"])
def test_a_requests_own_header_needs_https_too(
    json_server: JSONServer, twin: Twin, name: str
) -> None:
    """A user's token, which is a header of one request, goes over https as well; so do cookies."""
    here = Request(method="GET", url=json_server.url, headers={name: "Bearer s3cret"})
    twin.call(twin.kind(json_server.url, NO_AUTH).send, here)
    assert json_server.values(name.lower()) == ["Bearer s3cret"]
    connection = twin.kind("http://api.example", NO_AUTH)
    with pytest.raises(ConfigurationError) as caught:
        twin.call(connection.send, dataclasses.replace(here, url="http://api.example/"))
    assert caught.value.code == "auth_needs_https"
    assert "s3cret" not in str(caught.value)


# -- netrc --------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder without a netrc file."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("NETRC", raising=False)
    return tmp_path


def write(path: Path, text: str | bytes, mode: int = 0o600) -> Path:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("text", "user"),
    [
        pytest.param("machine 127.0.0.1 login ann password pa", "ann", id="entry"),
        pytest.param("machine other login x password pa\ndefault login bob password pa", "bob"),
        pytest.param("default login x password y\nmachine 127.0.0.1 login ann password pa", "ann"),
        pytest.param("machine 127.0.0.1 account acc password pa", "acc", id="account"),
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_netrc(
    home: Path,
    json_server: JSONServer,
    twin: Twin,
    text: str,
    user: str,
    named: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without credentials those of the netrc file are sent, of the host or else the default."""
    if named:
        monkeypatch.setenv("NETRC", str(write(home / "elsewhere", text)))
        write(home / ".netrc", "default login wrong password file")
    else:
        write(home / ".netrc", text)
    connection = twin.kind(json_server.url)
    for _ in range(2):
        twin.call(connection.json_request, "GET", "/")
    assert json_server.values("authorization") == [basic(user, "pa")] * 2


def test_netrc_names_have_no_case(home: Path, json_server: JSONServer) -> None:
    """A host is the same however it is written."""
    write(home / ".netrc", "machine LocalHost login ann password pa")
    Connection(json_server.url.replace("127.0.0.1", "localhost")).json_request("GET", "/")
    assert json_server.values("authorization") == [basic("ann", "pa")]


def test_netrc_is_read_once(home: Path, json_server: JSONServer) -> None:
    """A file is read once in a process, whatever is written into it later."""
    path = write(home / ".netrc", "default login ann password pa")
    Connection(json_server.url).json_request("GET", "/")
    write(path, "default login bob password pa")
    Connection(json_server.url).json_request("GET", "/")
    assert json_server.values("authorization") == [basic("ann", "pa")] * 2


async def test_netrc_is_read_off_the_loop(
    home: Path, json_server: JSONServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file on a slow disk does not stop the event loop."""
    write(home / ".netrc", "default login ann password pa")
    disk_answers = threading.Event()
    read = netrc.netrc

    def slow(path: str | None) -> netrc.netrc:
        assert disk_answers.wait(10), "nobody else could run meanwhile"
        return read(path)

    monkeypatch.setattr("netrc.netrc", slow)
    sending = asyncio.ensure_future(AsyncConnection(json_server.url).json_request("GET", "/"))
    await asyncio.sleep(0)
    disk_answers.set()
    await sending
    assert json_server.values("authorization") == [basic("ann", "pa")]


@pytest.mark.parametrize(
    ("text", "mode", "code"),
    [
        pytest.param(None, 0, "credentials_missing", id="no_file"),
        pytest.param("machine other.example login a password s3cret", 0o600, "credentials_missing"),
        pytest.param("", 0o600, "credentials_missing", id="empty"),
        pytest.param("machine x login a password b\ns3cret", 0o600, "netrc_invalid", id="broken"),
        pytest.param("machine x login a s3cret b", 0o600, "netrc_invalid", id="word"),
        pytest.param("default login a password s3cret", 0o644, "netrc_invalid", id="others_read"),
        pytest.param("default login a:b password s3cret", 0o600, "auth_invalid", id="colon"),
    ],
)
def test_netrc_that_cannot_be_used(
    home: Path, twin: Twin, text: str | None, mode: int, code: str
) -> None:
    """The error comes when a request is sent, says what to do, and quotes nothing of the file."""
    if text is not None:
        write(home / ".netrc", text, mode)
    connection = twin.kind(HERE)
    with pytest.raises(ConfigurationError) as caught:
        twin.call(connection.json_request, "GET", "/")
    assert caught.value.code == code
    assert "s3cret" not in str(caught.value)
    if code == "netrc_invalid":
        assert caught.value.evidence["path"] == str(home / ".netrc")
        assert ("chmod 600" in str(caught.value)) == (mode == 0o644)


def test_a_netrc_of_any_name_is_not_everybodys(
    home: Path, json_server: JSONServer, twin: Twin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file that NETRC names may be its group's to read, and nobody's beyond."""
    text = "default login ann password s3cret"
    monkeypatch.setenv("NETRC", str(write(home / "group", text, 0o640)))
    twin.call(twin.kind(json_server.url).json_request, "GET", "/")
    monkeypatch.setenv("NETRC", str(write(home / "everybody", text, 0o644)))
    with pytest.raises(ConfigurationError, match="chmod 600") as caught:
        twin.call(twin.kind(json_server.url).json_request, "GET", "/")
    assert caught.value.code == "netrc_invalid"
    assert json_server.values("authorization") == [basic("ann", "s3cret")]


def test_a_netrc_entry_without_a_password(home: Path, json_server: JSONServer, twin: Twin) -> None:
    """Half an entry is told, instead of being sent."""
    write(home / ".netrc", "machine other.example login ann\nmachine 127.0.0.1 login ann")
    with pytest.raises(ConfigurationError, match="no password") as caught:
        twin.call(twin.kind(json_server.url).json_request, "GET", "/")
    assert caught.value.code == "credentials_missing"
    assert json_server.seen == []


def test_netrc_that_is_a_folder(home: Path, twin: Twin, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the system says of a file that can't be read is told."""
    monkeypatch.setenv("NETRC", str(home))
    with pytest.raises(ConfigurationError) as caught:
        twin.call(twin.kind(HERE).json_request, "GET", "/")
    assert caught.value.code == "netrc_unreadable"
    reason = "not a file of at most 65536 bytes"
    assert caught.value.evidence == {"path": str(home), "reason": reason}


def test_netrc_that_is_no_text(home: Path, twin: Twin, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of a file that can't be decoded holds the file, and goes no further."""

    def fail(_path: object) -> None:
        raise UnicodeDecodeError("utf-8", b"s3cret", 0, 1, "s3cret")

    write(home / ".netrc", "s3cret")
    monkeypatch.setattr("netrc.netrc", fail)
    with pytest.raises(ConfigurationError) as caught:
        twin.call(twin.kind(HERE).json_request, "GET", "/")
    assert caught.value.code == "netrc_invalid"
    assert caught.value.__context__ is None
    assert "s3cret" not in str(caught.value)


def test_netrc_is_not_sent_in_clear(home: Path, twin: Twin) -> None:
    """An entry of the netrc file goes over https, or to this machine, alone."""
    write(home / ".netrc", "default login a password s3cret")
    with pytest.raises(ConfigurationError) as caught:
        twin.call(twin.kind("http://api.example").json_request, "GET", "/")
    assert caught.value.code == "auth_needs_https"


def test_netrc_is_not_needed_for_a_requests_own(
    home: Path, json_server: JSONServer, twin: Twin
) -> None:
    """A request that has its own Authorization header needs no entry."""
    connection = twin.kind(json_server.url)
    twin.call(connection.json_request, "GET", "/", extra_headers={"authorization": "Bearer t"})
    assert json_server.values("authorization") == ["Bearer t"]


# -- client credentials -----------------------------------------------------------------------


class Tokens:
    """A token endpoint: gives t1, t2, … for ``seconds``."""

    def __init__(self, server: JSONServer, seconds: float | None = 3600) -> None:
        self.server = server
        self.seconds = seconds
        self.answer: Reply | None = None
        server.answer = self._token

    def _token(self, seen: Seen) -> Reply:
        if self.answer is not None:
            return self.answer
        token = {"access_token": f"t{len(self.server.seen)}", "token_type": "Bearer"}
        return reply(token if self.seconds is None else {**token, "expires_in": self.seconds})

    def auth(self, scope: str | None = None) -> ClientCredentials:
        return ClientCredentials("app:1", "s3cret", f"{self.server.url}/token", scope)


@pytest.fixture
def tokens(new_json_server: Callable[[], JSONServer]) -> Tokens:
    return Tokens(new_json_server())


@pytest.mark.parametrize(
    ("scope", "more"),
    [pytest.param(None, {}, id="none"), pytest.param("a b", {"scope": ["a b"]}, id="scope")],
)
def test_a_token_is_fetched(
    json_server: JSONServer, tokens: Tokens, twin: Twin, scope: str | None, more: dict[str, Any]
) -> None:
    """The first request fetches a token, with basic auth and a form (RFC 6749, 4.4.2)."""
    connection = twin.kind(json_server.url, tokens.auth(scope))
    connection.add_headers({"X-Api-Key": "for the API alone"})
    for _ in range(3):
        twin.call(connection.json_request, "GET", "/")
    assert json_server.values("authorization") == ["Bearer t1"] * 3
    [seen] = tokens.server.seen
    assert (seen.method, seen.target) == ("POST", "/token")
    assert seen.headers["authorization"] == basic("app%3A1", "s3cret")
    assert parse_qs(seen.body.decode()) == {"grant_type": ["client_credentials"], **more}
    assert "x-api-key" not in seen.headers


def test_a_token_is_renewed_before_its_end(json_server: JSONServer, tokens: Tokens) -> None:
    """A token is used until 30 s before its end, counted from when it was asked for."""
    now = 1000.0
    tokens.seconds = 100
    connection = Connection(json_server.url, tokens.auth(), clock=lambda: now)
    for now in (1000.0, 1100 - RENEW_BEFORE - 0.5, 1100 - RENEW_BEFORE):  # noqa: B007
        connection.json_request("GET", "/")
    assert json_server.values("authorization") == ["Bearer t1", "Bearer t1", "Bearer t2"]


def test_a_token_without_an_end(json_server: JSONServer, tokens: Tokens) -> None:
    """A token of which nobody said how long it lives is used until it is refused."""
    tokens.seconds = None
    now = 0.0
    connection = Connection(json_server.url, tokens.auth(), clock=lambda: now)
    for now in (0.0, 1e9):  # noqa: B007
        connection.json_request("GET", "/")
    assert len(tokens.server.seen) == 1


def test_a_short_token_is_used_once(json_server: JSONServer, tokens: Tokens) -> None:
    """A token that lives no longer than that serves the request it was fetched for."""
    tokens.seconds = 0
    connection = Connection(json_server.url, tokens.auth())
    for _ in range(2):
        connection.json_request("GET", "/")
    assert json_server.values("authorization") == ["Bearer t1", "Bearer t2"]


def test_a_refused_token_is_replaced(json_server: JSONServer, tokens: Tokens, twin: Twin) -> None:
    """A 401 drops the token, and the request is sent once more, whole, with a fresh one."""
    connection = twin.kind(json_server.url, tokens.auth())
    assert twin.call(connection.json_request, "POST", "/a?b=c", {"d": 1}) == {}
    json_server.answer = lambda seen: reply(
        "again", 200 if seen.headers["authorization"] == "Bearer t2" else 401
    )
    assert twin.call(connection.json_request, "POST", "/a?b=c", {"d": 1}) == "again"
    assert json_server.values("authorization") == ["Bearer t1", "Bearer t1", "Bearer t2"]
    assert {(seen.target, seen.body) for seen in json_server.seen} == {("/a?b=c", b'{"d": 1}')}


def test_a_request_is_repeated_once_alone(
    json_server: JSONServer, tokens: Tokens, twin: Twin
) -> None:
    """A host that refuses every token gets two requests, not a flood."""
    json_server.answer = lambda seen: reply("no", 401)
    connection = twin.kind(json_server.url, tokens.auth())
    with pytest.raises(Unauthorized):
        twin.call(connection.json_request, "GET", "/")
    assert json_server.values("authorization") == ["Bearer t1", "Bearer t2"]
    assert twin.call(connection.send, Request(method="GET", url=json_server.url)).status == 401


def test_other_credentials_are_not_tried_twice(json_server: JSONServer, twin: Twin) -> None:
    """A 401 for what can't be renewed is simply the answer."""
    json_server.answer = lambda seen: reply("no", 401)
    for auth in (("u", "p"), Bearer("t"), NO_AUTH):
        with pytest.raises(Unauthorized):
            twin.call(twin.kind(json_server.url, auth).json_request, "GET", "/")
    assert len(json_server.seen) == 3


def test_threads_share_one_fetch(json_server: JSONServer, tokens: Tokens) -> None:
    """However many threads ask at once, one token is fetched."""
    arrived = threading.Event()
    token = tokens._token

    def slowly(seen: Seen) -> Reply:
        arrived.wait(20)
        return token(seen)

    tokens.server.answer = slowly
    connection = Connection(json_server.url, tokens.auth(), timeout=20)
    threads = [
        threading.Thread(target=connection.json_request, args=("GET", "/")) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    while connection.sending < 8:
        threading.Event().wait(0.005)
    arrived.set()
    for thread in threads:
        thread.join()
    assert json_server.values("authorization") == ["Bearer t1"] * 8


async def test_whoever_leaves_takes_no_token_from_the_others(
    json_server: JSONServer, tokens: Tokens
) -> None:
    """A cancelled caller leaves the fetch to those who wait for it; the last ends it."""
    release = threading.Event()
    token = tokens._token

    def slowly(seen: Seen) -> Reply:
        release.wait(20)
        return token(seen)

    tokens.server.answer = slowly
    connection = AsyncConnection(json_server.url, tokens.auth(), timeout=20)
    before = asyncio.all_tasks()

    async def begin() -> list[asyncio.Task[Any]]:
        sends = [asyncio.ensure_future(connection.json_request("GET", "/")) for _ in range(2)]
        while not tokens.server.seen:
            await asyncio.sleep(0.005)
        return sends

    first, second = await begin()
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    release.set()
    assert await second == {}
    assert len(tokens.server.seen) == 1

    connection._authorizer._tokens = None  # type: ignore[attr-defined]
    release.clear()
    tokens.server.seen.clear()
    for send in await begin():
        send.cancel()
        with pytest.raises(asyncio.CancelledError):
            await send
    assert asyncio.all_tasks() == before
    release.set()


@pytest.mark.parametrize(
    ("answer", "kind", "code"),
    [
        pytest.param(
            reply({"error": "invalid_client", "error_description": "not s3cret"}, 401),
            TokenRefused,
            "token_refused",
            id="refused",
        ),
        pytest.param(reply("oh", 500), ProtocolViolation, "token_answer_status", id="broken"),
        pytest.param(reply({}), ProtocolViolation, "token_answer_member", id="no_token"),
        pytest.param(
            reply({"access_token": "a\nb", "token_type": "Bearer"}),
            ProtocolViolation,
            "token_answer_member",
            id="line_break",
        ),
    ],
)
def test_no_token(
    json_server: JSONServer,
    tokens: Tokens,
    twin: Twin,
    answer: Reply,
    kind: type[Exception],
    code: str,
) -> None:
    """Without a token the request is not sent; the next one asks again."""
    tokens.answer = answer
    connection = twin.kind(json_server.url, tokens.auth())
    with pytest.raises(kind) as caught:
        twin.call(connection.json_request, "GET", "/")
    assert getattr(caught.value, "code", None) == code
    assert "s3cret" not in str(caught.value)
    assert json_server.seen == []
    tokens.answer = None
    twin.call(connection.json_request, "GET", "/")
    assert json_server.values("authorization") == ["Bearer t2"]


def test_the_deadline_counts_the_token(json_server: JSONServer, tokens: Tokens, twin: Twin) -> None:
    """One deadline for all that a caller waits for: the token, the request, the second try."""
    release = threading.Event()
    tokens.server.answer = lambda seen: Reply(200 if release.wait(20) else 500)
    connection = twin.kind(json_server.url, tokens.auth(), timeout=0.2)
    with pytest.raises(DeadlineExceeded) as caught:
        twin.call(connection.json_request, "GET", "/")
    assert caught.value.code == "deadline_exceeded"
    assert caught.value.evidence["host"] == json_server.url
    assert caught.value.__context__ is None
    release.set()

    tokens.server.answer = tokens._token
    release.clear()

    def refuse_then_hang(seen: Seen) -> Reply:
        if len(json_server.seen) == 2:
            release.wait(20)
        return reply("no", 401)

    json_server.answer = refuse_then_hang
    connection = twin.kind(json_server.url, tokens.auth(), timeout=1)
    with pytest.raises(DeadlineExceeded):
        twin.call(connection.json_request, "GET", "/")
    assert len(json_server.seen) == 2
    release.set()


def test_closing_closes_the_token_connection(
    json_server: JSONServer, tokens: Tokens, twin: Twin
) -> None:
    """After close() no token is fetched either."""
    connection = twin.kind(json_server.url, tokens.auth())
    twin.call(connection.json_request, "GET", "/")
    connection.close()
    channel = connection._token_channel
    with pytest.raises(ConnectFailed) as caught:
        twin.call(connection.json_request, "GET", "/")
    assert caught.value.code == "connection_closed"
    assert channel._closed
