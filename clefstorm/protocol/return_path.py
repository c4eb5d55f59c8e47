"""Where a browser may be sent after a login or a logout: a path of this site, nothing else.

LAW: the only place that judges a return path. Source: RFC 9700, section 4.11 (open redirectors);
the WHATWG URL standard for what browsers make of back slashes, tabs and newlines.
"""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

from clefstorm.errors import RequestRefused

LONGEST_PATH = 1500
"""Characters of the path as it is returned; a pending login must fit into a cookie."""

# Browsers drop tabs and newlines; half of a surrogate pair can't be sent at all.
_NEVER = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_DOT_SEGMENT = re.compile(r"/\.{1,2}(/|$)")


def local_path(value: str | None) -> str:
    """Return the path, query and fragment to go to; None and '' mean "/".

    What can't stand in a URL comes back percent-encoded. Raises RequestRefused (code
    ``return_path_refused``) for everything that could lead to another site, also after somebody
    on the way has percent-decoded it once or twice.
    """
    if not value:
        return "/"
    path = re.split("[?#]", value, maxsplit=1)[0]
    if len(value) <= LONGEST_PATH and not _NEVER.search(value):
        once = unquote(path)
        encoded = quote(value, safe="/?#[]@!$&'()*+,;=:%~-._")
        if len(encoded) <= LONGEST_PATH and all(map(_stays, (path, once, unquote(once)))):
            return encoded
    raise RequestRefused(
        "only a path of this site may follow", code="return_path_refused", got=path
    )


def _stays(path: str) -> bool:
    return (
        path.startswith("/")
        and not path.startswith("//")
        # Browsers read a back slash as a slash.
        and "\\" not in path
        and not _NEVER.search(path)
        # "/.//host" and "/x/..//host" become "//host" where dot segments are removed.
        and not _DOT_SEGMENT.search(path)
    )
