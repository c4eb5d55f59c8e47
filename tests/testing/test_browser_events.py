"""How the test browser reads an event stream."""

from __future__ import annotations

import pytest

from clefstorm.testing.browser.events import EventParser, ServerEvent

STREAM = (
    "\ufeff: a comment\r\nevent: first\r\ndata: one\r\ndata:two\r\n\r\n"
    "id: 1\ndata\n\n"
    "id: 2\n\n"
    "data:  spaced é\nid\n\n"
    "retry: 5\nretry: x\nid: with\0nul\nunknown: y\ndata: last\n\nevent: unfinished\n"
)
EVENTS = [
    ServerEvent("first", "one\ntwo", ""),
    ServerEvent("message", "", "1"),
    ServerEvent("message", " spaced é", ""),
    ServerEvent("message", "last", ""),
]


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_line_ends(newline: str) -> None:
    """Lines end with LF, CRLF or CR (HTML Standard, 9.2.5)."""
    parser = EventParser()
    text = newline.join(["event: a", "data: 1", "", "data: 2", "", ": and on"])

    assert parser.feed(text.encode()) == [
        ServerEvent("a", "1", ""),
        ServerEvent("message", "2", ""),
    ]


def test_wherever_it_is_cut() -> None:
    """The events do not depend on how the bytes arrive (HTML Standard, 9.2.6)."""
    raw = STREAM.encode()
    pieces = [[raw[:cut], raw[cut:]] for cut in range(len(raw))]
    pieces.append([bytes([byte]) for byte in raw])
    for chunks in pieces:
        parser = EventParser()
        assert [event for chunk in chunks for event in parser.feed(chunk)] == EVENTS, chunks
        assert parser.retry_ms == 5
        assert parser.comments == 1
        assert parser.last_id == ""
