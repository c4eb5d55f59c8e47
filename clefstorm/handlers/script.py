"""clefstorm.js: the script that makes a page leave when its user is signed out.

``static/clefstorm.js`` is what is served; ``static/clefstorm.src.js`` is what people read, and a
test holds the one to the other. LAW: the same bytes for everybody; nothing here knows a user.
"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files

from clefstorm.handlers.handler import Handler

CACHE_CONTROL = "public, max-age=3600, stale-while-revalidate=86400"


@cache
def served_script() -> tuple[bytes, str]:
    """Return the script and its ETag."""
    script = files("clefstorm.handlers").joinpath("static/clefstorm.js").read_bytes()
    return script, f'"{hashlib.sha256(script).hexdigest()[:20]}"'


class ScriptHandler(Handler):
    """GET and HEAD: the script, or 304 for a browser that has this one."""

    def compute_etag(self) -> str:
        return served_script()[1]

    def get(self) -> None:
        self.set_header("Content-Type", "text/javascript; charset=utf-8")
        self.set_header("Cache-Control", CACHE_CONTROL)
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")
        self.write(served_script()[0])

    def head(self) -> None:
        self.get()
