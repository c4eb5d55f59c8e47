"""The bus against a simple model of waiters in a row, over random sequences of calls."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from given_time import run, settle
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clefstorm.bus import AsyncBus
from clefstorm.errors import BusTimeoutError

KEYS = "xyz"

STEPS = st.one_of(
    # A half second keeps deadlines away from the whole seconds at which time passes.
    st.tuples(
        st.just("wait"),
        st.lists(st.sampled_from(KEYS), min_size=1, max_size=4),
        st.one_of(st.none(), st.integers(0, 3).map(lambda n: n + 0.5)),
    ),
    st.tuples(st.just("notify"), st.sampled_from(KEYS)),
    st.tuples(st.just("notifyall"), st.sampled_from(KEYS)),
    st.tuples(st.just("cancel"), st.integers(0, 11)),
    st.tuples(st.just("turn")),
    st.tuples(st.just("sleep"), st.integers(1, 3)),
)


@dataclass(eq=False)
class Waiter:
    keys: list[str]
    ends_at: float | None
    outcome: Any = None  # None while it waits: (key, message), "timeout", "cancelled"
    exclusive: bool = False
    ran: bool = False


@dataclass
class Model:
    """All waiters in the order of their arrival; no queue for each key, no cleverness."""

    waiters: list[Waiter] = field(default_factory=list)
    chosen: list[Waiter] = field(default_factory=list)  # not run yet, in the order of waking

    def candidates(self, key: str) -> list[Waiter]:
        return [w for w in self.waiters if w.outcome is None and key in w.keys]

    def tell(self, waiters: list[Waiter], key: str, message: int, exclusive: bool) -> int:
        for waiter in waiters:
            waiter.outcome, waiter.exclusive = (key, message), exclusive
            self.chosen.append(waiter)
        return len(waiters)

    def cancel(self, waiter: Waiter) -> None:
        if waiter.outcome is None:
            waiter.outcome = "cancelled"
        elif not waiter.ran and waiter.outcome[0] in [*KEYS]:
            waiter.outcome = ("cancelled", waiter.outcome, waiter.exclusive)

    def turn(self) -> None:
        """Every waiter that was chosen runs; a cancelled one hands its message on."""
        while self.chosen:
            waiter = self.chosen.pop(0)
            waiter.ran = True
            if waiter.outcome[0] == "cancelled":
                _, (key, message), exclusive = waiter.outcome
                waiter.outcome = "cancelled"
                if exclusive:
                    self.tell(self.candidates(key)[:1], key, message, True)

    def sleep_until(self, now: float) -> None:
        for waiter in self.waiters:
            if waiter.outcome is None and waiter.ends_at is not None and waiter.ends_at < now:
                waiter.outcome = "timeout"


async def outcome_of(task: asyncio.Task[Any]) -> Any:
    try:
        return await task
    except BusTimeoutError:
        return "timeout"
    except asyncio.CancelledError:
        return "cancelled"


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, max_size=40))
def test_the_bus_does_as_the_model(steps: list[tuple[Any, ...]]) -> None:
    """First come first served, one message each, hand-on, timeouts: whatever the order of calls."""

    async def story() -> None:
        bus, model = AsyncBus(), Model()
        loop = asyncio.get_running_loop()
        tasks: list[asyncio.Task[Any]] = []
        for number, step in enumerate(steps):
            match step:
                case ("wait", keys, timeout):
                    await settle()
                    model.turn()
                    waiting = (
                        bus.waitforkeys(keys, timeout)
                        if len(keys) > 1
                        else pair(bus.waitforkey(keys[0], timeout), keys[0])
                    )
                    tasks.append(asyncio.ensure_future(waiting))
                    ends_at = None if timeout is None else loop.time() + timeout
                    model.waiters.append(Waiter(keys, ends_at))
                    await settle()
                case ("notify", key):
                    told = model.tell(model.candidates(key)[:1], key, number, True)
                    assert bus.notify(key, number) is bool(told)
                case ("notifyall", key):
                    told = model.tell(model.candidates(key), key, number, False)
                    assert bus.notifyall(key, number) == told
                case ("cancel", index) if index < len(tasks):
                    tasks[index].cancel()
                    model.cancel(model.waiters[index])
                case ("turn",):
                    await settle()
                    model.turn()
                case ("sleep", seconds):
                    model.turn()
                    await asyncio.sleep(seconds)
                    model.sleep_until(loop.time())
            still = [w for w in model.waiters if w.outcome is None]
            if not model.chosen and step[0] in ("wait", "turn", "sleep"):
                assert bus.statistics().waiting == len(still)
                assert bus.statistics().keys == len({key for w in still for key in w.keys})
        await settle()
        model.turn()
        for task, waiter in zip(tasks, model.waiters, strict=True):
            if waiter.outcome is None:
                task.cancel()
                model.cancel(waiter)
        assert [await outcome_of(task) for task in tasks] == [w.outcome for w in model.waiters]
        assert bus._waiters == {}
        assert bus.statistics().waiting == 0
        assert not any(bus._deadlines._slots.values()) if tasks else True

    run(story)


async def pair(waiting: Any, key: str) -> tuple[str, Any]:
    return key, await waiting
