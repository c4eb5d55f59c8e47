"""json_request of both connections: what goes out, what comes back, and as which error."""

from __future__ import annotations

import decimal
import json
import math
import uuid
from collections import UserDict, UserList, deque
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from enum import Enum, IntEnum
from pathlib import PurePosixPath
from types import MappingProxyType
from typing import Any

import pytest
from transport.json_server import JSONServer, Reply, Twin, reply

from clefstorm import errors
from clefstorm.errors import (
    AnswerTooLarge,
    ClefStormError,
    ConfigurationError,
    ConnectFailed,
    HTTPStatusError,
    ProtocolViolation,
    URLError,
)
from clefstorm.protocol.exchange import Request
from clefstorm.transport import NO_AUTH, AsyncConnection, Connection

ORIGIN = "https://api.example:8443"


def test_what_goes_over_the_wire(json_server: JSONServer, twin: Twin) -> None:
    """Method, path, query, JSON body and headers arrive; the answer's value comes back."""
    json_server.answer = lambda seen: reply({"id": 7, "tags": ["ä"]})
    connection = twin.kind(json_server.url, NO_AUTH)
    made = twin.call(
        connection.json_request,
        "POST",
        "/things?a=1",
        {"name": "ü"},
        {"b": "c d"},
        {"X-Request-Id": "9"},
    )
    assert made == {"id": 7, "tags": ["ä"]}
    [seen] = json_server.seen
    assert (seen.method, seen.target) == ("POST", "/things?a=1&b=c+d")
    assert json.loads(seen.body) == {"name": "ü"}
    assert seen.headers["content-type"] == "application/json"
    assert seen.headers["accept"] == "application/json"
    assert seen.headers["x-request-id"] == "9"
    assert "authorization" not in seen.headers


def test_without_a_body(json_server: JSONServer, twin: Twin) -> None:
    """None is no body, and says nothing of its type."""
    connection = twin.kind(json_server.url, NO_AUTH)
    assert twin.call(connection.json_request, "GET", "things") == {}
    [seen] = json_server.seen
    assert (seen.target, seen.body) == ("/things", b"")
    assert "content-type" not in seen.headers


def test_send_is_there_too(json_server: JSONServer, twin: Twin) -> None:
    """A Request of one's own is answered with its Response, of whatever status."""
    json_server.answer = lambda seen: Reply(418, b"tea")
    connection = twin.kind(json_server.url, NO_AUTH)
    response = twin.call(connection.send, Request(method="GET", url=json_server.url))
    assert (response.status, response.body) == (418, b"tea")


@pytest.mark.parametrize("kind", [AsyncConnection, Connection])
@pytest.mark.parametrize(
    ("uri", "url"),
    [
        pytest.param("/a/b?c=d", "/a/b?c=d", id="path"),
        pytest.param("a/b", "/a/b", id="no_slash"),
        pytest.param("", "/", id="nothing"),
        pytest.param("?c=d", "/?c=d", id="query"),
        pytest.param("/a:b", "/a:b", id="colon"),
        pytest.param("/a?u=https://b.example/", "/a?u=https://b.example/", id="url_in_query"),
        pytest.param("/:80@b.example/", "/:80@b.example/", id="looks_like_a_host"),
    ],
)
def test_get_url(kind: type[Connection], uri: str, url: str) -> None:
    """get_url gives the whole URL of a path, and leaves a whole one of the same origin."""
    connection = kind(ORIGIN, NO_AUTH)
    assert connection.get_url(uri) == ORIGIN + url
    assert connection.get_url(ORIGIN + url) == ORIGIN + url


@pytest.mark.parametrize(
    ("uri", "code"),
    [
        pytest.param("https://api.example/a", "origin_mismatch", id="other_port"),
        pytest.param("http://api.example:8443/a", "origin_mismatch", id="other_scheme"),
        pytest.param("https://evil.example/a", "origin_mismatch", id="other_host"),
        pytest.param("//evil.example/a", "url_invalid", id="no_scheme"),
        pytest.param("https://u:p@api.example:8443/a", "url_invalid", id="user_info"),
        pytest.param("file:///a", "url_invalid", id="file"),
        pytest.param("https://[/", "url_invalid", id="bracket"),
        pytest.param("/a b", "url_invalid", id="space"),
        pytest.param("/a\r\nX: y", "url_invalid", id="line_break"),
        pytest.param("/ä", "url_invalid", id="not_ascii"),
    ],
)
def test_urls_that_are_not_ours(uri: str, code: str, twin: Twin) -> None:
    """A connection sends nothing to another origin, nor what can't be a URL."""
    connection = twin.kind(ORIGIN, NO_AUTH)
    for call in (connection.get_url, lambda uri: twin.call(connection.json_request, "GET", uri)):
        with pytest.raises(URLError) as caught:
            call(uri)
        assert isinstance(caught.value, ConfigurationError)
        assert isinstance(caught.value, ValueError)
        assert caught.value.code == code


@pytest.mark.parametrize(
    ("hostname", "port", "code"),
    [
        pytest.param("api.example", None, "url_invalid", id="no_scheme"),
        pytest.param("https://api.example:8443", 443, "port_invalid", id="two_ports"),
        pytest.param("https://api.example", "443", "port_invalid", id="port_as_text"),
        pytest.param(None, None, "url_invalid", id="none"),
    ],
)
def test_hostnames(hostname: Any, port: Any, code: str) -> None:
    """A host name includes the scheme, and does not contradict the port."""
    assert Connection("https://api.example", None, 8443).origin.port == 8443
    with pytest.raises(URLError) as caught:
        Connection(hostname, None, port)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("params", "query"),
    [
        pytest.param({}, "", id="empty"),
        pytest.param({"a": "b c", "d": "&=ü"}, "a=b+c&d=%26%3D%C3%BC", id="texts"),
        pytest.param({"a": 1, "b": 1.5, "c": True}, "a=1&b=1.5&c=true", id="numbers"),
        pytest.param({"a": None, "b": 1}, "b=1", id="none_is_left_out"),
        pytest.param({"a": [1, 2], "b": ("x",)}, "a=1&a=2&b=x", id="sequences_repeat"),
        pytest.param({"a": [None, 1]}, "a=1", id="none_in_a_sequence"),
        pytest.param({"a": []}, "", id="empty_sequence"),
        pytest.param({"a": date(2026, 1, 2)}, "a=2026-01-02", id="as_the_encoder_writes"),
        pytest.param({"a": ""}, "a=", id="empty_text"),
    ],
)
def test_params(json_server: JSONServer, params: dict[str, Any], query: str) -> None:
    """Parameters are added to the query, a sequence once for each value."""
    connection = Connection(json_server.url, NO_AUTH)
    connection.json_request("GET", "/x", params=params)
    connection.json_request("GET", "/x?y=z", params=params)
    assert [seen.target for seen in json_server.seen] == [
        "/x" + (f"?{query}" if query else ""),
        "/x?y=z" + (f"&{query}" if query else ""),
    ]


@pytest.mark.parametrize("value", [{"b": 1}, [[1]], object(), math.nan])
def test_params_that_are_no_values(value: Any) -> None:
    """What is no single value is refused before anything is sent."""
    with pytest.raises(ConfigurationError) as caught:
        Connection(ORIGIN, NO_AUTH).json_request("GET", "/", params={"a": value})
    assert caught.value.code in ("parameter_invalid", "body_not_json")


class Colour(Enum):
    RED = "red"


class Level(IntEnum):
    HIGH = 3


@dataclass
class Point:
    x: int
    when: date


ENCODED = [
    pytest.param({"a": [1, None, True, "ä"]}, {"a": [1, None, True, "ä"]}, id="plain"),
    pytest.param(
        datetime(2026, 1, 2, 3, 4, 5, 6, UTC), "2026-01-02T03:04:05.000006+00:00", id="dt"
    ),
    pytest.param(date(2026, 1, 2), "2026-01-02", id="date"),
    pytest.param(time(3, 4), "03:04:00", id="time"),
    pytest.param(decimal.Decimal("1.10"), "1.10", id="decimal"),
    pytest.param(uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001", id="uuid"),
    pytest.param({3, 1, 2}, [1, 2, 3], id="set"),
    pytest.param(frozenset({"a"}), ["a"], id="frozenset"),
    pytest.param(sorted({"a", None} - {None}), ["a"], id="list"),
    pytest.param({Colour.RED}, ["red"], id="set_without_order"),
    pytest.param("ä".encode(), "ä", id="bytes_are_text"),
    pytest.param(bytearray(b"a"), "a", id="bytearray"),
    pytest.param(memoryview(b"a"), "a", id="memoryview"),
    pytest.param([Colour.RED, Level.HIGH], ["red", 3], id="enums"),
    pytest.param(Point(1, date(2026, 1, 2)), {"x": 1, "when": "2026-01-02"}, id="dataclass"),
    pytest.param(MappingProxyType({"a": 1}), {"a": 1}, id="mapping_proxy"),
    pytest.param(UserDict({"a": 1}), {"a": 1}, id="mapping"),
    pytest.param(UserList([1]), [1], id="sequence"),
    pytest.param(range(2), [0, 1], id="range"),
    pytest.param(deque([1]), [1], id="deque"),
    pytest.param({"b": 1, "a": 2}.keys(), ["b", "a"], id="keys"),
    pytest.param({"b": 1}.values(), [1], id="values"),
    pytest.param({"b": 1}.items(), [["b", 1]], id="items"),
    pytest.param(PurePosixPath("/a/b"), "/a/b", id="path"),
    pytest.param({Level.HIGH: 1, 2: 3}, {"3": 1, "2": 3}, id="number_keys"),
]


@pytest.mark.parametrize(("value", "written"), ENCODED)
def test_more_kinds_of_values(json_server: JSONServer, value: Any, written: Any) -> None:
    """What Python's own encoder does not know is written too, within lists and objects as well."""
    connection = Connection(json_server.url, NO_AUTH)
    connection.json_request("POST", "/", {"value": value, "list": [value]})
    assert json.loads(json_server.seen[0].body) == {"value": written, "list": [written]}


def circle() -> list[Any]:
    members: list[Any] = ["s3cret"]
    members.append(members)
    return members


def deep() -> list[Any]:
    members: list[Any] = []
    for _ in range(100_000):
        members = [members]
    return members


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(math.nan, id="nan"),
        pytest.param([-math.inf], id="infinity"),
        pytest.param(decimal.Decimal("NaN"), id="decimal_nan"),
        pytest.param(object(), id="object"),
        pytest.param(Point, id="a_dataclass_itself"),
        pytest.param({("s3cret", 1): 1}, id="key"),
        pytest.param(b"\xffs3cret", id="not_text"),
        pytest.param(circle(), id="circle"),
        pytest.param(deep(), id="deep"),
        pytest.param(iter("s3cret"), id="iterator"),
    ],
)
def test_bodies_that_are_no_json(json_server: JSONServer, twin: Twin, value: Any) -> None:
    """What JSON has no form for is refused, unquoted, and nothing is sent."""
    connection = twin.kind(json_server.url, NO_AUTH)
    with pytest.raises(ConfigurationError) as caught:
        twin.call(connection.json_request, "POST", "/", value)
    assert caught.value.code == "body_not_json"
    assert "s3cret" not in str(caught.value)
    assert json_server.seen == []


def test_the_encoder_is_the_subclasses(json_server: JSONServer) -> None:
    """A subclass of the connection may bring an encoder that knows more."""

    class Mine(Connection):
        class JsonEncoder(Connection.JsonEncoder):
            def default(self, o: Any) -> Any:
                return f"<{o.real}>" if isinstance(o, complex) else super().default(o)

    Mine(json_server.url, NO_AUTH).json_request("POST", "/", [1j, date(2026, 1, 2)])
    assert json_server.seen[0].body == b'["<0.0>", "2026-01-02"]'
    with pytest.raises(ConfigurationError):
        Connection(json_server.url, NO_AUTH).json_request("POST", "/", [1j])


def test_options_of_the_encoder() -> None:
    """The encoder has the options of Python's, and ``encoding`` for what bytes mean."""
    encoder = Connection.JsonEncoder
    assert (
        encoder(False, False, True, True, True, None, (",", ":")).encode({"b": "ä", "a": {2}})
        == '{"a":[2],"b":"ä"}'
    )
    assert encoder(encoding="latin-1").encode(b"\xe4") == '"\\u00e4"'
    assert encoder(default=str).encode([date(2026, 1, 2), 1j]) == '["2026-01-02", "1j"]'
    assert encoder().encode(decimal.Decimal("NaN")) == '"NaN"'
    with pytest.raises(ConfigurationError):
        encoder(encoding=None).encode(b"a")


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        pytest.param(reply({"a": [1]}), {"a": [1]}, id="object"),
        pytest.param(reply([], 201), [], id="created"),
        pytest.param(reply(0), 0, id="zero"),
        pytest.param(reply(None), None, id="null"),
        pytest.param(Reply(204, b""), None, id="no_content"),
        pytest.param(Reply(200, b""), None, id="empty"),
        pytest.param(Reply(202, b"", {"Content-Type": "text/plain"}), None, id="accepted"),
    ],
)
def test_successes(json_server: JSONServer, twin: Twin, answer: Reply, value: Any) -> None:
    """A success is its JSON value, and None without content."""
    json_server.answer = lambda seen: answer
    connection = twin.kind(json_server.url, NO_AUTH)
    assert twin.call(connection.json_request, "PUT", "/", {}) == value


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param(b"<p>s3cret</p>", "json_invalid", id="html"),
        pytest.param(b'{"a": s3cret}', "json_invalid", id="broken"),
        pytest.param(b'{"a": 1, "a": 2}', "json_duplicate_name", id="name_twice"),
        pytest.param(b"NaN", "json_invalid", id="nan"),
        pytest.param(b"\xff", "json_invalid", id="not_utf_8"),
        pytest.param(b"[" * 40 + b"]" * 40, "json_too_deep", id="deep"),
    ],
)
def test_a_success_that_is_no_json(
    json_server: JSONServer, twin: Twin, body: bytes, code: str
) -> None:
    """An answer that is not strict JSON is the server's fault, and is not quoted."""
    json_server.answer = lambda seen: Reply(200, body)
    connection = twin.kind(json_server.url, NO_AUTH)
    with pytest.raises(ProtocolViolation) as caught:
        twin.call(connection.json_request, "GET", "/s3cret")
    assert caught.value.code == code
    assert caught.value.evidence["status"] == "200"
    assert caught.value.evidence["host"] == json_server.url
    assert "s3cret" not in str(caught.value)


def test_answers_are_bounded(json_server: JSONServer, twin: Twin) -> None:
    """An answer has at most ``max_bytes``, 1 MiB unless a class or connection says else."""
    json_server.answer = lambda seen: reply("a" * 98)
    connection = twin.kind(json_server.url, NO_AUTH)
    assert connection.max_bytes == 1024 * 1024
    connection.max_bytes = 100
    assert twin.call(connection.json_request, "GET", "/") == "a" * 98
    connection.max_bytes = 99
    with pytest.raises(AnswerTooLarge):
        twin.call(connection.json_request, "GET", "/")


STATUSES = {
    304: "HTTPStatusError",
    302: "HTTPStatusError",
    400: "BadRequest",
    401: "Unauthorized",
    402: "ClientError",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    406: "ClientError",
    409: "Conflict",
    410: "Gone",
    415: "UnsupportedMediaType",
    418: "ClientError",
    422: "ClientError",
    429: "TooManyRequests",
    500: "InternalServerError",
    501: "ServerError",
    502: "BadGateway",
    503: "ServiceUnavailable",
    504: "GatewayTimeout",
    599: "ServerError",
    600: "HTTPStatusError",
}


@pytest.mark.parametrize("status", STATUSES)
def test_statuses(json_server: JSONServer, twin: Twin, status: int) -> None:
    """Any other status is an error of its class, which has the headers and the JSON value."""
    kind = getattr(errors, STATUSES[status])
    json_server.answer = lambda seen: reply({"why": "s3cret"}, status, X_Why="s3cret-header")
    connection = twin.kind(json_server.url, NO_AUTH)
    with pytest.raises(kind) as caught:
        twin.call(connection.json_request, "GET", "/s3cret-path", params={"t": "s3cret-query"})
    error = caught.value
    assert type(error) is kind
    assert isinstance(error, HTTPStatusError)
    assert isinstance(error, ClefStormError)
    assert isinstance(error, errors.ClientError) == (400 <= status < 500)
    assert isinstance(error, errors.ServerError) == (500 <= status < 600)
    assert error.status == status
    assert error.headers["x-why"] == "s3cret-header"
    # RFC 9110, section 15.4.5: an answer of status 304 has no content.
    assert error.body == ("" if status == 304 else {"why": "s3cret"})
    assert error.evidence == {"status": str(status), "host": json_server.url, "method": "GET"}
    assert "s3cret" not in str(error) + repr(error)


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        pytest.param(b"", "", id="empty"),
        pytest.param("nö".encode(), "nö", id="text"),
        pytest.param(b"\xff", "\ufffd", id="not_utf_8"),
        pytest.param(b"[1]", [1], id="list"),
    ],
)
def test_the_body_of_a_failure(json_server: JSONServer, body: bytes, shown: Any) -> None:
    """What a failure says is there as JSON, or else as text."""
    json_server.answer = lambda seen: Reply(500, body)
    with pytest.raises(errors.InternalServerError) as caught:
        Connection(json_server.url, NO_AUTH).json_request("GET", "/")
    assert caught.value.body == shown


def test_redirects_are_not_followed(json_server: JSONServer, twin: Twin) -> None:
    """A redirect is an answer that is no success; where it leads is in the headers."""
    json_server.answer = lambda seen: Reply(302, b"", {"Location": "/other"})
    with pytest.raises(HTTPStatusError) as caught:
        twin.call(twin.kind(json_server.url, NO_AUTH).json_request, "GET", "/")
    assert caught.value.headers["location"] == "/other"
    assert len(json_server.seen) == 1


def test_common_headers(json_server: JSONServer, twin: Twin) -> None:
    """add_headers adds to every request; a request's own header goes before it."""
    connection = twin.kind(json_server.url, NO_AUTH)
    connection.add_headers({"X-Team": "a", "User-Agent": "mine"})
    connection.add_headers({"x-team": "b"})
    twin.call(connection.json_request, "GET", "/")
    twin.call(connection.json_request, "GET", "/", extra_headers={"X-TEAM": "c", "Accept": "a/b"})
    twin.call(connection.send, Request(method="GET", url=json_server.url))
    assert json_server.values("x-team") == ["b", "c", "b"]
    assert json_server.values("user-agent") == ["mine"] * 3
    assert json_server.values("accept")[:2] == ["application/json", "a/b"]


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        pytest.param({"Authorization": "Bearer s3cret"}, "header_reserved", id="authorization"),
        pytest.param({"Host": "s3cret.example"}, "header_reserved", id="host"),
        pytest.param({"X": "a\r\nY: s3cret"}, "header_invalid", id="line_break"),
        pytest.param({"X y": "s3cret"}, "header_invalid", id="name"),
        pytest.param({"X": 1}, "header_invalid", id="number"),
    ],
)
def test_headers_that_are_refused(headers: Any, code: str) -> None:
    """The connection's own credentials can't be replaced unseen, and no header ends its line."""
    connection = Connection(ORIGIN, NO_AUTH)
    connection.add_headers({"X": "y"})
    with pytest.raises(ConfigurationError) as caught:
        connection.add_headers({"Z": "z", **headers})
    assert caught.value.code == code
    assert "s3cret" not in str(caught.value)
    assert "z" not in connection._headers


def test_wrong_methods_and_headers_of_one_request(twin: Twin) -> None:
    """A method or header that HTTP can't carry is refused before anything is sent."""
    connection = twin.kind(ORIGIN, NO_AUTH)
    for arguments, code in (
        (("GET /", "/"), "method_invalid"),
        ((None, "/"), "method_invalid"),
        (("GET", "/", None, None, {"X": "a\nb"}), "header_invalid"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            twin.call(connection.json_request, *arguments)
        assert caught.value.code == code


def test_leaving_the_context_closes(json_server: JSONServer, twin: Twin) -> None:
    """``with`` and ``async with`` give the connection, and close it at their end."""
    connection = twin.kind(json_server.url, NO_AUTH)
    twin.call(connection.json_request, "GET", "/")
    assert twin.closing(connection) is connection
    with pytest.raises(ConnectFailed) as caught:
        twin.call(connection.json_request, "GET", "/")
    assert caught.value.code == "connection_closed"
    connection.close()
    assert repr(connection) == f"<{twin.kind.__name__} {json_server.url}>"
