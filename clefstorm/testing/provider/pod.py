"""The embedded provider as a diaspora* pod: the sign-in form, the stream, and posts to write.

It is the provider's own session that the form begins, so a script that has signed in here gets
codes from the authorization endpoint without another form.
LAW: what changes anything wants the token of the page, in ``X-CSRF-Token`` or the form, and a new
session has a new token. Source: the pages and JSON of diaspora*, as its clients use them.
"""

from __future__ import annotations

import json
from typing import Any

from clefstorm.errors import RequestRefused
from clefstorm.handlers.origin import refuse_foreign
from clefstorm.testing.provider.accounts import Account
from clefstorm.testing.provider.posts import LONGEST_POST, Post
from clefstorm.testing.provider.web import PageHandler


class PodHandler(PageHandler):
    """What the pod's pages share."""

    def check_xsrf_cookie(self) -> None:
        """As everywhere, but for where a pod's clients put the token."""
        given = self.request.headers.get("X-CSRF-Token")
        self.request.headers["X-Csrftoken"] = given or self.get_argument("authenticity_token", "")
        super().check_xsrf_cookie()

    def user(self) -> Account | None:
        """Return who is signed in."""
        session = self.session
        return None if session is None else self.authority.account(session.username)


class PodSignInHandler(PodHandler):
    """/users/sign_in"""

    def get(self) -> None:
        if self.session is not None:
            self.redirect("/stream")
        else:
            self.show("pod_sign_in.html", failed=False, username="")

    async def post(self) -> None:
        username = self.get_body_argument("user[username]", "")
        account = self.authority.accounts.get(username)
        password = self.get_body_argument("user[password]", "", strip=False)
        if account is None or not account.has_password(password):
            # A pod says 200 here; only its page says no.
            self.show("pod_sign_in.html", failed=True, username=username)
            return
        cookie, _ = await self.authority.sign_in(
            username,
            previous=self.session,
            user_agent=self.request.headers.get("User-Agent", ""),
        )
        self.keep_session(cookie)
        self.clear_cookie(self.settings["xsrf_cookie_name"])
        self.redirect("/stream")


class PodSignOutHandler(PodHandler):
    """/users/sign_out: by GET, as at pods of old, so that another site's link must not do it."""

    async def get(self) -> None:
        try:
            refuse_foreign(self.request, secure=False)
        except RequestRefused as refusal:
            self.refuse(refusal, status=403)
            return
        session = self.session
        if session is not None:
            self.clear_cookie(self.session_cookie)
            await self.authority.end_session(session)
        self.redirect("/users/sign_in")


class PodStreamHandler(PodHandler):
    """/stream: the page with the token, for those who are signed in."""

    def get(self) -> None:
        account = self.user()
        if account is None:
            self.redirect("/users/sign_in")
        else:
            self.show("pod_stream.html", account=account, posts=self.authority.posts.newest_first())


class PostsHandler(PodHandler):
    """What writing and changing posts share: a text comes in, JSON goes out."""

    def text(self) -> str | None:
        """Return the text that was sent, in a form or JSON; None after the refusal was."""
        text: object = self.get_body_argument("status_message[text]", None)
        if self.request.headers.get("Content-Type", "").startswith("application/json"):
            try:
                text = json.loads(self.request.body)["status_message"]["text"]
            except (ValueError, TypeError, KeyError, RecursionError):
                text = None
        if isinstance(text, str) and 0 < len(text) <= LONGEST_POST:
            return text
        self.say(422, error=f"a post is a text of 1 to {LONGEST_POST} characters")
        return None

    def author(self) -> Account | None:
        """Return who is signed in, None after the refusal was sent."""
        user = self.user()
        if user is None:
            self.say(401, error="nobody is signed in")
        return user

    def say(self, status: int, **document: Any) -> None:
        """Answer with JSON."""
        self.set_status(status)
        self.finish(document)


class PodPostsHandler(PostsHandler):
    """/status_messages: writes a post."""

    def post(self) -> None:
        author = self.author()
        text = None if author is None else self.text()
        if author is not None and text is not None:
            self.say(201, **self.authority.posts.add(author, text).to_json())


class PodPostHandler(PostsHandler):
    """/posts/…, by id or guid: reads or deletes one, or changes it, which diaspora* never does."""

    def get(self, name: str) -> None:
        post = self.authority.posts.find(name)
        if post is None:
            self.say(404, error="no such post")
        else:
            self.say(200, **post.to_json())

    def put(self, name: str) -> None:
        post = self.own(name)
        text = None if post is None else self.text()
        if post is not None and text is not None:
            post.text = text
            self.say(200, **post.to_json())

    def delete(self, name: str) -> None:
        post = self.own(name)
        if post is not None:
            self.authority.posts.remove(post)
            self.set_status(204)

    def own(self, name: str) -> Post | None:
        """Return the post when it is the user's own; None after the refusal was sent."""
        author = self.author()
        if author is None:
            return None
        post = self.authority.posts.find(name)
        if post is None:
            self.say(404, error="no such post")
        elif post.author is not author:
            self.say(403, error="somebody else wrote this")
            return None
        return post
