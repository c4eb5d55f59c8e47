"""What a request is given in the wrong form, and what the error then says."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from protocol.expecting import refusal
from transport.json_server import JSONServer, Reply, Twin, reply

from clefstorm.errors import ClefStormError, ConfigurationError, HTTPStatusError
from clefstorm.transport import (
    NO_AUTH,
    AsyncPodConnection,
    ClientCredentials,
    Connection,
    PodConnection,
)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        pytest.param({"method": "post"}, "method_invalid", id="lower_case"),
        pytest.param({"method": "Post"}, "method_invalid", id="mixed_case"),
        pytest.param({"params": "a=1"}, "parameter_invalid", id="params_text"),
        pytest.param({"params": [("a", 1)]}, "parameter_invalid", id="params_pairs"),
        pytest.param({"extra_headers": [("X-A", "b")]}, "header_invalid", id="headers_pairs"),
        pytest.param({"extra_headers": "X-A: b"}, "header_invalid", id="headers_text"),
        pytest.param({"extra_headers": {5: "b"}}, "header_invalid", id="header_name"),
    ],
)
def test_a_request_in_the_wrong_form(
    json_server: JSONServer, twin: Twin, options: dict[str, Any], code: str
) -> None:
    """What can't be sent is told before anything is, by our own error."""
    connection = twin.kind(json_server.url, NO_AUTH)

    def send(method: str = "POST", **options: Any) -> None:
        given = {"params": {"a": 1}, "extra_headers": {"X-A": "b"}, **options}
        twin.call(connection.json_request, method, "/", **given)

    send()
    with refusal(ConfigurationError, code):
        send(**options)
    [seen] = json_server.seen
    assert (seen.method, seen.target, seen.headers["x-a"]) == ("POST", "/?a=1", "b")


@pytest.mark.parametrize("headers", [[("X-A", "b")], "X-A: b", None])
def test_headers_for_all_requests(twin: Twin, headers: Any) -> None:
    """Headers are a mapping."""
    connection = twin.kind("https://api.example", NO_AUTH)
    connection.add_headers({"X-A": "b"})
    with refusal(ConfigurationError, "header_invalid"):
        connection.add_headers(headers)


@pytest.mark.parametrize("max_bytes", ["a", 0, None, 1.5])
def test_a_bound_that_is_none(json_server: JSONServer, twin: Twin, max_bytes: Any) -> None:
    """max_bytes is judged before the request, and not by the answer."""
    connection = twin.kind(json_server.url, NO_AUTH)
    connection.max_bytes = 2
    twin.call(connection.json_request, "GET", "/")
    connection.max_bytes = max_bytes
    with refusal(ConfigurationError, "max_bytes_invalid"):
        twin.call(connection.json_request, "GET", "/")
    assert len(json_server.seen) == 1


def test_a_redirect_says_what_became_of_it(json_server: JSONServer, twin: Twin) -> None:
    """The error of a redirect says that none is followed; that of another status does not."""
    connection = twin.kind(json_server.url, NO_AUTH)
    for status, told in ((302, True), (307, True), (304, False), (404, False)):
        json_server.answer = lambda seen, status=status: reply({}, status, Location="/b")
        with pytest.raises(HTTPStatusError) as caught:
            twin.call(connection.json_request, "GET", "/a")
        assert ("not followed" in caught.value.message) is told


@pytest.mark.parametrize("data", [5, [5], object()], ids=["number", "list", "object"])
def test_a_pod_call_with_what_is_no_form(twin: Twin, data: Any) -> None:
    """What is neither names with values nor a text is told by our own error."""
    kind = PodConnection if twin.kind is Connection else AsyncPodConnection
    pod = kind("https://pod.example", "ann", "s3cret")
    with refusal(ConfigurationError, "data_invalid"):
        twin.call(pod.post, "/posts", data)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Reply(200, b"<html>", {"Content-Type": "text/html"}), id="html"),
        pytest.param(Reply(200, b""), id="empty"),
        pytest.param(reply({"error": "invalid_client"}, 401), id="refused"),
        pytest.param(Reply(503), id="status"),
    ],
)
def test_no_token_is_told_of_the_token_endpoint(
    json_server: JSONServer, new_json_server: Callable[[], JSONServer], twin: Twin, answer: Reply
) -> None:
    """An error of the token endpoint names it: the host that the token is for did nothing."""
    tokens = new_json_server()
    tokens.answer = lambda seen: answer
    auth = ClientCredentials("app", "s3cret", f"{tokens.url}/token")
    connection = twin.kind(json_server.url, auth)
    with pytest.raises(ClefStormError) as caught:
        twin.call(connection.json_request, "GET", "/")
    assert caught.value.evidence["token_endpoint"] == tokens.url
    assert json_server.seen == []


async def test_a_block_in_a_loop_is_refused_at_its_beginning() -> None:
    """``with PodConnection`` in a coroutine is told once, with the name of the twin."""
    with (
        refusal(ConfigurationError, "blocking_in_loop") as caught,
        PodConnection("https://pod.example", "ann", "s3cret"),
    ):
        pytest.fail("the block has begun")
    assert "AsyncPodConnection" in caught.value.message
    assert caught.value.__context__ is None
