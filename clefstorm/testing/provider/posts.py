"""What the users of the embedded pod have written: the newest few, in memory.

LAW: knows nothing of requests; who may change a post is judged where it is asked for.
Source: the JSON of diaspora*, as far as its clients read it.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from clefstorm.testing.provider.accounts import Account

MOST_POSTS = 100
LONGEST_POST = 10_000
"""Characters."""


@dataclass(slots=True, kw_only=True)
class Post:
    """Something that a user has written; ``guid`` is the name that nobody can guess."""

    post_id: int
    guid: str
    author: Account
    text: str
    created_at: float

    def to_json(self) -> dict[str, Any]:
        """Return what the pod says of it."""
        return {
            "id": self.post_id,
            "guid": self.guid,
            "text": self.text,
            "created_at": datetime.fromtimestamp(self.created_at, UTC).isoformat(),
            "author": {"guid": self.author.sub, "name": self.author.shown_name},
            "interactions": {"comments": [], "comments_count": 0},
        }


class Posts:
    """The newest posts, in memory; ``clock`` gives epoch seconds."""

    def __init__(self, *, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._posts: OrderedDict[int, Post] = OrderedDict()
        self._last = 0

    def add(self, author: Account, text: str) -> Post:
        """Keep a new post; the oldest goes when there are too many."""
        self._last += 1
        post = Post(
            post_id=self._last,
            guid=secrets.token_hex(8),
            author=author,
            text=text,
            created_at=self._clock(),
        )
        self._posts[post.post_id] = post
        if len(self._posts) > MOST_POSTS:
            self._posts.popitem(last=False)
        return post

    def find(self, name: str) -> Post | None:
        """Return the post with this id or guid, None when there is none."""
        named = (post for post in self._posts.values() if name in (str(post.post_id), post.guid))
        return next(named, None)

    def remove(self, post: Post) -> None:
        """Forget a post."""
        self._posts.pop(post.post_id, None)

    def newest_first(self) -> list[Post]:
        """Return all posts."""
        return list(reversed(self._posts.values()))
