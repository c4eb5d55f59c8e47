"""The application that the tests of this folder register, and a wave without a script engine."""

from __future__ import annotations

from html.parser import HTMLParser
from urllib.parse import urlencode, urljoin

APP_ID, APP_SECRET = "app-id-1", "app-secret-that-nobody-logs"
CALLBACK = "http://127.0.0.1:9/callback"


class Scripts(HTMLParser):
    """The attributes of the script elements of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[dict[str, str]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "script":
            self.found.append({name: value or "" for name, value in attrs})


def wave_address(html: str) -> str:
    """Where the one wave of a page leads, as clef.js has it."""
    (wave,) = Scripts(html).found
    query = {
        "app_id": wave["data-app-id"],
        "redirect_url": wave["data-redirect-url"],
        "type": wave["data-type"],
    }
    return f"{urljoin(wave['src'], '/clef/wave')}?{urlencode(query)}"
