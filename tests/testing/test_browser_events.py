"""How the test browser reads an event stream."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

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


@given(st.lists(st.integers(0, len(STREAM.encode())), max_size=8))
def test_wherever_it_is_cut(cuts: list[int]) -> None:
    """The events do not depend on how the bytes arrive (HTML Standard, 9.2.6)."""
    raw = STREAM.encode()
    edges = [0, *sorted(cuts), len(raw)]
    parser = EventParser()
    events = []
    for start, end in pairwise(edges):
        events += parser.feed(raw[start:end])

    assert events == EVENTS
    assert parser.retry_ms == 5
    assert parser.comments == 1
    assert parser.last_id == ""
