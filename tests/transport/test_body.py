"""The bytes of one answer, as they come in, and the order of what we send."""

from __future__ import annotations

import gzip
import json

import pytest

from clefstorm.transport.json_request import ValueEncoder
from clefstorm.transport.wire import TOO_LARGE, Body


@pytest.mark.parametrize("told", [True, False], ids=["somebody_told", "nobody_told"])
def test_what_is_too_large_is_given_up_at_once(told: bool) -> None:
    """From the byte that is too many on nothing is held, and the call is told once."""
    body = Body(10)
    calls: list[bool] = []
    if told:
        body.on_overflow = lambda: calls.append(True)
    body.receive(b"x" * 10)
    assert body.read({}) == b"x" * 10
    for _ in range(3):
        body.receive(b"y")
    assert body.read({}) is TOO_LARGE
    assert calls == [True] * told


def test_a_bound_holds_before_and_after_inflating() -> None:
    """Few bytes that inflate to many are as much too large as many bytes."""
    for size, expected in ((100, b"x" * 100), (101, TOO_LARGE)):
        body = Body(100)
        body.receive(gzip.compress(b"x" * size))
        assert body.read({"content-encoding": "gzip"}) == expected


def test_a_set_whose_members_have_no_order() -> None:
    """Members that can be compared are sent in their order; the others are all sent."""
    assert ValueEncoder().encode({3, 1, 2}) == "[1, 2, 3]"
    mixed = json.loads(ValueEncoder().encode({1, "a", None}))
    assert sorted(mixed, key=repr) == ["a", 1, None]
