"""A client that nobody here wrote, against the embedded pod: diaspy-api 0.6.0."""

from __future__ import annotations

from pathlib import Path

import pytest
from installing import drive, installed

from clefstorm.testing import Provider
from clefstorm.testing.fixtures import provider as provider

pytestmark = pytest.mark.gen_test(timeout=60)


@pytest.fixture(scope="session")
def diaspy() -> Path:
    return installed("diaspy-api==0.6.0")


STORY = """
import contextlib
with contextlib.redirect_stdout(sys.stderr):
    from diaspy.connection import Connection
    from diaspy.streams import Stream
    connection = Connection(pod=given["pod"], username="alice", password="alice-secret")
    connection.login()
    token = repr(connection)
    answer["token"] = bool(token) and token == connection.get_token(fetch=False)
    post = Stream(connection, fetch=False).post("hello")
    answer["read"] = connection.get(f"posts/{post.id}.json").json()["text"]
    changed = connection.put(f"posts/{post.id}", data={"status_message[text]": "changed"})
    answer["changed"] = [changed.status_code, changed.json()["text"]]
    wrong = {"X-CSRF-Token": "wrong"}
    answer["wrong"] = connection.delete(f"posts/{post.id}", headers=wrong).status_code
    right = {"X-CSRF-Token": repr(connection)}
    answer["deleted"] = connection.delete(f"posts/{post.id}", headers=right).status_code
    answer["signed_in"] = connection.get("stream").url == given["pod"] + "/stream"
    connection.logout()
    answer["signed_out"] = connection.get("stream").url == given["pod"] + "/users/sign_in"
"""


async def test_diaspy(diaspy: Path, provider: Provider) -> None:
    """diaspy logs in, has the token, writes a post, changes and deletes it, and logs out."""
    assert await drive(diaspy, STORY, pod=provider.issuer) == {
        "token": True,
        "read": "hello",
        "changed": [200, "changed"],
        "wrong": 403,
        "deleted": 204,
        "signed_in": True,
        "signed_out": True,
    }
    assert provider.sessions == ()


REFUSED = """
import contextlib
with contextlib.redirect_stdout(sys.stderr):
    from diaspy.connection import Connection
    from diaspy.errors import LoginError
    try:
        Connection(pod=given["pod"], username="alice", password="wrong").login()
    except LoginError as error:
        answer["error"] = type(error).__name__
"""


async def test_diaspy_knows_our_refusal(diaspy: Path, provider: Provider) -> None:
    """A wrong password is to diaspy what a pod's refusal is."""
    assert await drive(diaspy, REFUSED, pod=provider.issuer) == {"error": "LoginError"}
    assert provider.sessions == ()
