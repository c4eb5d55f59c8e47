"""The examples of the five old documents, as they stand there, against the embedded provider.

Only hosts, users and import lines are ours. The session's examples run in tests/remote, the
credentials' in test_seeds; the documents of ClefStorm 0.1 and sleepwalker show none.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest

import clefstorm
from clefstorm import async_connections, configure, connections
from clefstorm.keys import HS256Key


@pytest.fixture(scope="module")
def host() -> Iterator[str]:
    """The embedded provider in a process of its own: a pod and an Eternaltwin server too."""
    options = ["--client-id", "myclient", "--client-secret", "mysecret"]
    options += ["--redirect-uri", "http://localhost:8080/callback"]
    with subprocess.Popen(
        [sys.executable, "-m", "clefstorm.testing.provider", *options],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()


def test_pod(host: str) -> None:
    """diaspy: log in, and take the token by repr()."""
    connection = clefstorm.PodConnection(pod=host, username="alice", password="alice-secret")
    connection.login()

    token = repr(connection)

    assert token == connection.get_token()
    assert token
    connection.close()


@pytest.fixture
def configured(host: str) -> Iterator[None]:
    """Eternaltwin: the configuration of two aliases."""
    ETERNALTWIN_CONFIG = {
        "default": {
            "url": f"{host}/api/v1/",
            "client_id": "myclient",
            "client_secret": "mysecret",
            "redirect_uri": "https://myapp.com/callback",
            "state_key": HS256Key("mykey"),
            "allow_redirects": True,
        },
        "test": {
            "url": f"{host}/api/v1/",
            "client_id": "myclient",
            "client_secret": "mysecret",
            "redirect_uri": "https://localhost:8080/callback",
            "state_key": HS256Key("mykey"),
            "timeout": 1,
            "verify_ssl": False,
        },
    }
    configure(**ETERNALTWIN_CONFIG)
    yield
    configure()


@pytest.mark.filterwarnings("ignore:.*its secret has 5 bytes")
def test_eternaltwin(configured: None) -> None:
    """The blocking handler answers the client of "default"."""
    client = connections.get_connection()
    response = client.user.search("alice")
    assert [user.display_name for user in response.items] == ["Alice Archer"]


@pytest.mark.filterwarnings("ignore:.*its secret has 5 bytes")
async def test_eternaltwin_async(configured: None) -> None:
    """The async handler answers the client of the alias that is asked for."""
    client = async_connections.get_connection("test")
    response = await client.user.search("alice")
    assert [user.display_name for user in response.items] == ["Alice Archer"]
    await client.close()
