"""The embedded pod: its pages for people, its token, its posts, and its one session."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from clefstorm.protocol.exchange import Response
from clefstorm.testing import Browser, Provider
from clefstorm.testing.provider.posts import LONGEST_POST, MOST_POSTS
from clefstorm.transport import AsyncPodConnection

TEXT = {"status_message[text]": "hello"}


async def connected(provider: Provider, username: str) -> AsyncPodConnection:
    connection = AsyncPodConnection(provider.issuer, username, f"{username}-secret")
    await connection.login()
    return connection


@pytest.fixture
def alice(io_loop: IOLoop, provider: Provider) -> Iterator[AsyncPodConnection]:
    connection = io_loop.run_sync(lambda: connected(provider, "alice"))
    yield connection
    io_loop.run_sync(connection.close)


@pytest.fixture
def bob(io_loop: IOLoop, provider: Provider) -> Iterator[AsyncPodConnection]:
    connection = io_loop.run_sync(lambda: connected(provider, "bob"))
    yield connection
    io_loop.run_sync(connection.close)


def told(answer: Response) -> Any:
    return json.loads(answer.body)


async def test_a_person_signs_in(provider: Provider, browser: Browser) -> None:
    """The form works in a browser; the stream shows who is there, and leads out again."""
    page = await browser.get(f"{provider.issuer}/stream")
    assert page.url.endswith("/users/sign_in")
    page = await browser.submit(**{"user[username]": "alice", "user[password]": "wrong"})
    assert (page.status, "belong together" in page.text) == (200, True)
    page = await browser.submit(**{"user[username]": "alice", "user[password]": "alice-secret"})
    assert page.url.endswith("/stream")
    assert "Alice Archer" in page.text
    assert (await browser.get(f"{provider.issuer}/users/sign_in")).url.endswith("/stream")
    page = await browser.get(f"{provider.issuer}/users/sign_out", initiator=page)
    assert page.url.endswith("/users/sign_in")
    assert provider.sessions == ()


async def test_it_is_the_providers_own_session(
    provider: Provider, alice: AsyncPodConnection
) -> None:
    """Who signs in by the form is signed in at the provider, and an operator sees it."""
    [session] = provider.sessions
    assert session.username == "alice"
    await provider.end_session(session)
    assert (await alice.get("stream")).headers["location"] == "/users/sign_in"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        pytest.param("post", "status_messages", id="post"),
        pytest.param("put", "posts/1", id="put"),
        pytest.param("delete", "posts/1", id="delete"),
        pytest.param("post", "users/sign_in", id="sign_in"),
    ],
)
@pytest.mark.parametrize("token", ["", "wrong", "2|00000000|00000000|1"])
async def test_no_change_without_the_token(
    provider: Provider, alice: AsyncPodConnection, method: str, path: str, token: str
) -> None:
    """A missing or foreign token is refused with 403, and nothing has changed."""
    assert (await alice.post("status_messages", TEXT)).status == 201
    answer = await getattr(alice, method)(path, {**TEXT}, headers={"X-CSRF-Token": token})
    assert answer.status == 403
    assert [post.text for post in provider.posts.newest_first()] == ["hello"]


async def test_the_token_in_the_form(provider: Provider, alice: AsyncPodConnection) -> None:
    """The form may bring the token itself, as a page does."""
    form = {**TEXT, "authenticity_token": repr(alice)}
    answer = await alice.post("status_messages", form, headers={"X-CSRF-Token": ""})
    assert answer.status == 201


async def test_a_new_session_has_a_new_token(provider: Provider) -> None:
    """The token from before the login opens nothing after it."""
    connection = AsyncPodConnection(provider.issuer, "alice", "alice-secret")
    before = await connection.get_token()
    assert (await connection.post("status_messages", TEXT)).status == 401
    sign_in = {"user[username]": "alice", "user[password]": "alice-secret"}
    assert (await connection.post("users/sign_in", sign_in)).status == 302
    old = await connection.post("status_messages", TEXT, headers={"X-CSRF-Token": before})
    assert old.status == 403
    await connection.get_token(fetch=True)
    assert (await connection.post("status_messages", TEXT)).status == 201
    await connection.close()


async def test_posts(provider: Provider, alice: AsyncPodConnection) -> None:
    """A post is written, read by id and guid, changed and deleted."""
    body = json.dumps({"status_message": {"text": "hello"}, "aspect_ids": "public"})
    written = await alice.post(
        "status_messages", body, headers={"Content-Type": "application/json"}
    )
    post = told(written)
    assert (written.status, post["text"], post["author"]["name"]) == (201, "hello", "Alice Archer")
    for name in (str(post["id"]), post["guid"], f"{post['guid']}.json"):
        assert told(await alice.get(f"posts/{name}")) == post
    changed = await alice.put(f"posts/{post['id']}", {"status_message[text]": "changed"})
    assert told(changed) == {**post, "text": "changed"}
    assert "changed" in (await alice.get("stream")).body.decode()
    assert (await alice.delete(f"posts/{post['id']}")).status == 204
    assert (await alice.get(f"posts/{post['id']}")).status == 404


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        pytest.param("a=b", "application/x-www-form-urlencoded", id="no_text"),
        pytest.param("status_message[text]=", "application/x-www-form-urlencoded", id="empty_text"),
        pytest.param("{", "application/json", id="not_json"),
        pytest.param("[]", "application/json", id="list"),
        pytest.param('{"status_message": "hello"}', "application/json", id="another_shape"),
        pytest.param('{"status_message": {"text": 1}}', "application/json", id="number"),
        pytest.param("[" * 60_000, "application/json", id="deep"),
        pytest.param(
            json.dumps({"status_message": {"text": "x" * (LONGEST_POST + 1)}}),
            "application/json",
            id="too_long",
        ),
    ],
)
@pytest.mark.parametrize("method", ["post", "put"])
async def test_what_is_no_post(
    provider: Provider, alice: AsyncPodConnection, method: str, data: str, content_type: str
) -> None:
    """A post without a text of reasonable length is 422."""
    path = {"post": "status_messages", "put": "posts/1"}[method]
    assert (await alice.post("status_messages", TEXT)).status == 201
    answer = await getattr(alice, method)(path, data, headers={"Content-Type": content_type})
    assert answer.status == 422
    assert [post.text for post in provider.posts.newest_first()] == ["hello"]


async def test_others_posts(
    provider: Provider, alice: AsyncPodConnection, bob: AsyncPodConnection
) -> None:
    """Only the author may change or delete a post; who isn't signed in may do neither."""
    post = told(await alice.post("status_messages", TEXT))["id"]
    assert (await bob.get(f"posts/{post}")).status == 200
    assert (await bob.put(f"posts/{post}", TEXT)).status == 403
    assert (await bob.delete(f"posts/{post}")).status == 403
    await bob.logout()
    assert (await bob.put(f"posts/{post}", TEXT)).status == 401
    assert (await bob.delete(f"posts/{post}")).status == 401
    assert (await alice.delete("posts/77")).status == 404
    assert (await alice.delete(f"posts/{post}")).status == 204


async def test_how_many_posts(provider: Provider, alice: AsyncPodConnection) -> None:
    """The oldest goes when there are more than a hundred."""
    author = provider.account("alice")
    for number in range(MOST_POSTS + 1):
        provider.posts.add(author, f"number {number}")
    texts = [post.text for post in provider.posts.newest_first()]
    assert (len(texts), texts[0], texts[-1]) == (MOST_POSTS, f"number {MOST_POSTS}", "number 1")


async def test_another_site_signs_nobody_out(provider: Provider, browser: Browser) -> None:
    """A link or picture of another site's doesn't end the session."""
    await browser.get(f"{provider.issuer}/users/sign_in")
    await browser.submit(**{"user[username]": "alice", "user[password]": "alice-secret"})
    url = f"{provider.issuer}/users/sign_out"
    page = await browser.get(url, initiator="https://evil.example/")
    assert (page.status, len(provider.sessions)) == (403, 1)
    await browser.get(url)
    assert provider.sessions == ()
