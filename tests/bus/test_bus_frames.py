"""The text on the wire: nothing in a message can leave its place, and reading is strict."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clefstorm.bus.frames import (
    SSE_KEEP_ALIVE,
    ServerSentEvent,
    SSEReader,
    poll_answer,
    read_sse,
    sse_event,
)
from clefstorm.errors import ConfigurationError, ProtocolViolation

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def test_an_event_as_it_is_written() -> None:
    """One field a line, an empty line at the end (WHATWG HTML 9.2.5)."""
    assert sse_event("logout", {"reason": "backchannel"}, id="ab-1", retry_ms=2000) == (
        b'event: logout\nid: ab-1\nretry: 2000\ndata: {"reason":"backchannel"}\n\n'
    )


def test_the_keep_alive_is_a_comment() -> None:
    """Lines that start with a colon are ignored (WHATWG HTML 9.2.6)."""
    event = sse_event("e", 1)
    assert read_sse(SSE_KEEP_ALIVE + event + SSE_KEEP_ALIVE) == read_sse(event)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a\nevent: forged", id="line_feed"),
        pytest.param("a\r\rdata: forged", id="carriage_return"),
        pytest.param("a\u2028b\u2029c\x85d", id="line_separators"),
        pytest.param("a\0b", id="nul"),
        pytest.param("</script><!--", id="script_end"),
        pytest.param("\ud83d\ude00", id="surrogates"),
        pytest.param("\ud83d", id="half_a_pair"),
        pytest.param("😀é", id="not_ascii"),
    ],
)
def test_no_text_leaves_its_field(text: str) -> None:
    """A message can end neither its line nor its event, nor a script element around it."""
    for data in (text, {text: [text]}):
        frame = sse_event("message", data)
        assert frame.isascii()
        assert b"<" not in frame
        assert frame.count(b"\n") == 3
        assert b"\r" not in frame
        assert b"\0" not in frame
        (event,) = read_sse(frame)
        assert json.dumps(event.data) == json.dumps(json.loads(json.dumps(data)))


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param({"event": "a\nb"}, "frame_event", id="event_newline"),
        pytest.param({"event": ""}, "frame_event", id="event_empty"),
        pytest.param({"event": "a\n"}, "frame_event", id="event_newline_at_the_end"),
        pytest.param({"event": "é"}, "frame_event", id="event_not_ascii"),
        pytest.param({"id": "1\n"}, "frame_id", id="id_newline"),
        pytest.param({"id": "1\rdata: x"}, "frame_id", id="id_carriage_return"),
        pytest.param({"id": "1\0"}, "frame_id", id="id_nul"),
        pytest.param({"id": ""}, "frame_id", id="id_empty"),
        pytest.param({"id": "1" * 201}, "frame_id", id="id_long"),
        pytest.param({"id": "\u2028"}, "frame_id", id="id_line_separator"),
        pytest.param({"id": 7}, "frame_id", id="id_no_str"),
        pytest.param({"retry_ms": -1}, "frame_retry", id="retry_negative"),
        pytest.param({"retry_ms": 1.5}, "frame_retry", id="retry_float"),
        pytest.param({"retry_ms": True}, "frame_retry", id="retry_bool"),
        pytest.param({"retry_ms": 10**9}, "frame_retry", id="retry_huge"),
        pytest.param({"data": float("nan")}, "frame_not_json", id="data_nan"),
        pytest.param({"data": b"bytes"}, "frame_not_json", id="data_bytes"),
        pytest.param({"data": object()}, "frame_not_json", id="data_object"),
    ],
)
def test_what_cannot_stand_in_an_event_is_refused(arguments: dict[str, Any], code: str) -> None:
    """ConfigurationError before a byte is written."""
    good: dict[str, Any] = {"event": "e", "data": 1, "id": "ab-1", "retry_ms": 0}
    assert len(read_sse(sse_event(**good))) == 1
    with pytest.raises(ConfigurationError) as refused:
        sse_event(**{**good, **arguments})
    assert refused.value.code == code


def test_data_deeper_than_json_can_go_is_refused() -> None:
    """Nesting without end is no message for the wire."""
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ConfigurationError):
        sse_event("e", deep)
    while deep:  # taken apart by hand: its own destructor would be as deep
        deep = deep.pop()


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(JSON, st.none() | st.from_regex(r"[!-~]{1,200}", fullmatch=True))), st.data()
)
def test_what_is_written_is_read(events: list[tuple[Any, str | None]], data: st.DataObject) -> None:
    """Both ends in one test, over a wire that cuts the bytes wherever it likes."""
    stream = b"".join(sse_event("e", value, id=id) for value, id in events)
    expected, last = [], None
    for value, id in events:
        last = id or last
        expected.append(ServerSentEvent("e", value, last, None))
    assert read_sse(stream) == expected
    reader, got, position = SSEReader(), [], 0
    while position < len(stream):
        size = data.draw(st.integers(1, max(1, len(stream) // 3)))
        got += reader.feed(stream[position : position + size])
        position += size
    assert got == expected


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"], ids=["lf", "cr", "crlf"])
@pytest.mark.parametrize("size", [1, 2, 3, 1000])
def test_every_kind_of_line_end(end: bytes, size: int) -> None:
    """Lines end with CR LF, LF or CR (WHATWG HTML 9.2.5), wherever the pieces are cut."""
    lines = [
        b": hello",
        b"event:a",
        b"data: [1,",
        b"data: 2]",
        b"id: 7",
        b"",
        b"data:3",
        b"",
        b"data: 4",
    ]
    stream = end.join(lines)
    reader = SSEReader()
    got = [e for at in range(0, len(stream), size) for e in reader.feed(stream[at : at + size])]
    assert got == [
        ServerSentEvent("a", [1, 2], "7", None),
        ServerSentEvent("message", 3, "7", None),
    ]


def test_fields_as_the_specification_has_them() -> None:
    """retry is kept, an empty id forgets, an id with NUL is ignored, no data is no event."""
    stream = b"retry: 1500\nid: 1\ndata: 1\n\nid: a\0b\ndata: 2\n\nevent: only\n\nid\ndata: 3\n\n"
    assert read_sse(stream) == [
        ServerSentEvent("message", 1, "1", 1500),
        ServerSentEvent("message", 2, "1", 1500),
        ServerSentEvent("message", 3, None, 1500),
    ]


@pytest.mark.parametrize(
    ("stream", "code"),
    [
        pytest.param(b"data: \xff\n\n", "sse_invalid", id="not_utf8"),
        pytest.param(b"<!doctype html>\n", "sse_field", id="html"),
        pytest.param(b"\xef\xbb\xbfdata: 1\n\n", "sse_field", id="byte_order_mark"),
        pytest.param(b"data: hello\n\n", "sse_data", id="data_no_json"),
        pytest.param(b"data: NaN\n\n", "sse_data", id="data_nan"),
        pytest.param(b"data\n\n", "sse_data", id="data_empty"),
        pytest.param(b"data: " + b"[" * 100_000 + b"\n\n", "sse_data", id="data_deep"),
        pytest.param(b"retry: soon\n\n", "sse_retry", id="retry_word"),
        pytest.param(b"retry: 999999999\n\n", "sse_retry", id="retry_huge"),
        pytest.param(b"retry: \xd9\xa1\n\n", "sse_retry", id="retry_not_ascii"),
        pytest.param(b"data: " + b"1" * (1 << 20) + b"\n\n", "sse_too_long", id="line_long"),
        pytest.param(b"data: 11111111\n" * 80_000, "sse_too_long", id="event_long"),
        pytest.param(b"x" * ((1 << 20) + 1), "sse_too_long", id="no_line_end"),
    ],
)
def test_garbage_is_refused(stream: bytes, code: str) -> None:
    """ProtocolViolation, whether it comes in one piece or in many; never silence."""
    with pytest.raises(ProtocolViolation) as refused:
        read_sse(stream)
    assert refused.value.code == code
    reader, pieces = SSEReader(), [stream[at : at + 1000] for at in range(0, len(stream), 1000)]
    with pytest.raises(ProtocolViolation):
        list(map(reader.feed, pieces))


def test_the_answer_of_a_poll() -> None:
    """A JSON object of the state and its members, in ASCII."""
    assert poll_answer("wait", after="ab-1") == b'{"state":"wait","after":"ab-1"}'
    body = poll_answer("message", data="</script>é\u2028")
    assert body.isascii()
    assert b"<" not in body
    assert json.loads(body) == {"state": "message", "data": "</script>é\u2028"}
    with pytest.raises(ConfigurationError) as refused:
        poll_answer("message", data=object())
    assert refused.value.code == "frame_not_json"
