"""The examples of docs/how-to/connections.rst run as they stand; only the hosts are ours."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from protocol.expecting import refusal
from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application
from transport.json_server import JSONServer, Reply, Seen, reply

from clefstorm.errors import ConfigurationError
from clefstorm.transport import NO_AUTH, AsyncConnection, Connection

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "connections.rst"


def api(seen: Seen) -> Reply:
    path = seen.target.partition("?")[0]
    if path == "/oauth/token":
        return reply({"access_token": "fetched", "token_type": "Bearer", "expires_in": 60})
    if seen.method == "DELETE":
        return reply("slowly", 429, Retry_After="7")
    return reply({"id": 7} if seen.method == "POST" else ["lamp"])


@pytest.fixture
def blocks(new_json_server: Callable[[], JSONServer]) -> tuple[list[str], JSONServer]:
    """The page's examples in order, and the server to which all of them speak."""
    server = new_json_server()
    server.answer = api
    text = PAGE.read_text(encoding="utf-8")
    text = re.sub(r"https://(api|API|id)\.example\.com(:443)?", server.url, text)
    found = re.findall(r"\.\. code-block:: python\n\n((?:   .*\n|\n)+)", text)
    assert len(found) == text.count("code-block:: python")
    return [textwrap.dedent(block) for block in found], server


def test_the_examples_run(
    blocks: tuple[list[str], JSONServer], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each example does what the page says of it."""
    examples, server = blocks
    names: dict[str, Any] = {}
    for example in examples:
        if 'AsyncConnection("' in example:  # The handler: see below.
            continue
        exec(example, names)
    assert capsys.readouterr().out == "7 1\nagain in 7 seconds\n['lamp']\nTrue\n"
    assert [(seen.method, seen.target) for seen in server.seen] == [
        ("POST", "/things"),
        ("GET", "/things?tag=new&tag=old&limit=10"),
        ("PUT", "/points"),
        ("DELETE", "/things/7"),
        ("POST", "/oauth/token"),
        ("GET", "/things"),
    ]
    assert json.loads(server.seen[0].body) == {"name": "lamp", "tags": ["new"]}
    assert server.seen[2].body == b"[[0.0, 1.0]]"
    assert server.seen[-1].headers["authorization"] == "Bearer fetched"
    assert names["Inside"]().connect("https://a.example", NO_AUTH) is None
    for inside in ("https://a.inside.example", "https://a.inside.example:8443"):
        # Its certificates are only in the page.
        with refusal(ConfigurationError, "verify_unreadable"):
            names["Inside"]().connect(inside, NO_AUTH)
    assert isinstance(names["Outside"]().connect("https://a.example", NO_AUTH), Connection)
    made = names["ThroughTheGate"]().connect("https://a.example", NO_AUTH)
    assert isinstance(made, AsyncConnection)


async def test_the_handler_answers(
    blocks: tuple[list[str], JSONServer], http_client: AsyncHTTPClient
) -> None:
    """The page's handler passes the API's answer on."""
    examples, server = blocks
    names: dict[str, Any] = {}
    [example] = [example for example in examples if "RequestHandler" in example]
    exec("import clefstorm\n" + example, names)
    sock, port = bind_unused_port()
    application = HTTPServer(Application([("/", names["Things"])]))
    application.add_socket(sock)
    answer = await http_client.fetch(f"http://127.0.0.1:{port}/")
    assert json.loads(answer.body) == {"things": ["lamp"]}
    assert server.values("authorization") == ["Bearer a-token"]
    application.stop()
    await application.close_all_connections()
    names["api"].close()


def test_every_status_class_is_on_the_page() -> None:
    """The page names each error class for a status."""
    from clefstorm.errors import HTTPStatusError

    text = PAGE.read_text(encoding="utf-8")
    kinds = [HTTPStatusError]
    for kind in kinds:
        kinds += kind.__subclasses__()
        assert re.search(rf"\b{kind.__name__}\b", text), kind
    assert len(kinds) == 16
