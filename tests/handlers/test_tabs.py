"""Presence: which sessions have live connections."""

from __future__ import annotations

import asyncio

from clefstorm.handlers import Tabs


def test_connections_are_counted() -> None:
    """Each connection counts once, by session and transport, and leaves nothing behind."""
    tabs = Tabs()
    assert tabs.enter("a", "sse")
    assert tabs.enter("a", "poll")
    assert tabs.enter("a", "poll")
    assert tabs.enter("b", "sse")
    assert tabs.of("a") == {"sse": 1, "poll": 2}
    assert tabs.by_session() == {"a": 3, "b": 1}
    tabs.leave("a", "poll")
    assert tabs.of("a") == {"sse": 1, "poll": 1}
    tabs.leave("a", "poll")
    tabs.leave("a", "sse")
    tabs.leave("b", "sse")
    assert tabs.by_session() == {}
    assert tabs.of("a") == {}


async def test_a_poll_that_comes_back_is_the_same_tab() -> None:
    """Between two polls a tab still counts, and its return is no news."""
    tabs, gone = Tabs(), asyncio.Event()
    assert tabs.enter("a", "poll")
    tabs.linger("a", "poll", gone.set, grace=0.01)
    assert tabs.of("a") == {"poll": 1}
    assert not tabs.enter("a", "poll")
    tabs.linger("a", "poll", gone.set, grace=0.01)
    await gone.wait()
    assert tabs.by_session() == {}
    assert tabs.enter("a", "poll")


async def test_only_its_own_transport_comes_back() -> None:
    """A stream that opens while a poll lingers is a tab of its own."""
    tabs, gone = Tabs(), asyncio.Event()
    tabs.enter("a", "poll")
    tabs.linger("a", "poll", gone.set, grace=0.01)
    assert tabs.enter("a", "sse")
    assert tabs.enter("b", "poll")
    await gone.wait()
    assert tabs.by_session() == {"a": 1, "b": 1}


async def test_tabs_between_two_polls_come_back_one_by_one() -> None:
    """Of several that linger each return counts for one; who does not come back is gone alone."""
    tabs, back, gone = Tabs(), asyncio.Event(), []
    for _ in range(3):
        tabs.enter("a", "poll")

    def left() -> None:
        gone.append(tabs.of("a").get("poll", 0))
        if len(gone) == 2:
            back.set()

    for _ in range(3):
        tabs.linger("a", "poll", left, grace=0.01)
    assert not tabs.enter("a", "poll")
    await back.wait()
    assert gone == [2, 1]
    assert tabs.enter("a", "poll")
