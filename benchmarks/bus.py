"""The bus against the bare limit: rows B1-B8, each with its goal.

    python benchmarks/bus.py [--rounds N] [--quick]

Every row compares ways to do one thing: on the bare asyncio.Future (the limit: nothing parks a
coroutine for less), on our bus, and on the conditions of asyncio and Tornado where they can do it.
The ways take turns in one process, round by round; a figure is the median over the rounds of the
ratio to the limit of the same round, in CPU time, so that a noisy machine slows all alike. Garbage
is collected before each turn and not during it.

Wherever several wait, each is a task of its own, made and ended within the time taken, as each
browser is a request of its own. On the bare Future the task's coroutine makes its future, files it
where the one who tells will find it (a list for one key, a dict for keys of their own) and awaits
it: one coroutine. "AsyncBus" is the same: the task runs waitforkey itself. "AsyncBus, inside" is a
coroutine that awaits waitforkey, as a handler does: two coroutines, against the same limit.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import sys
import time
import tracemalloc
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import tornado.locks

from clefstorm.bus import AsyncBus

Way = Callable[[int], Awaitable[float]]
LIMIT, OURS, INSIDE = "bare Future", "AsyncBus", "AsyncBus, inside"


@dataclass(frozen=True)
class Row:
    name: str
    what: str
    goal: float
    count: int
    repeat: int  # how often one turn does it
    ways: dict[str, Way]
    unit: str = "µs"


def tasks_of(coroutines: Iterator[Any]) -> list[asyncio.Task[Any]]:
    loop = asyncio.get_running_loop()
    return [loop.create_task(coroutine) for coroutine in coroutines]


async def all_of(tasks: list[asyncio.Task[Any]]) -> None:
    """Until every task has ended; costs little, and the same for every way."""
    for task in tasks:
        if not task.done():
            with suppress(asyncio.CancelledError, TimeoutError):
                await task
        if not task.cancelled():
            task.exception()  # has been seen


class Stopwatch:
    def __enter__(self) -> Stopwatch:
        self.begun = time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.taken = time.process_time() - self.begun


# -- B1: one waiter, told again and again ---------------------------------------------------------


async def b1_bare(count: int) -> float:
    loop = asyncio.get_running_loop()
    place: list[asyncio.Future[Any]] = []

    async def waiter() -> None:
        for _ in range(count):
            future = loop.create_future()
            place[:] = (future,)
            await future

    with Stopwatch() as watch:
        task = loop.create_task(waiter())
        await asyncio.sleep(0)
        for _ in range(count):
            place[0].set_result(None)
            await asyncio.sleep(0)
        await task
    return watch.taken


async def b1_ours(count: int) -> float:
    bus = AsyncBus()

    async def waiter() -> None:
        for _ in range(count):
            await bus.waitforkey("key")

    with Stopwatch() as watch:
        task = asyncio.ensure_future(waiter())
        await asyncio.sleep(0)
        for _ in range(count):
            bus.notify("key", None)
            await asyncio.sleep(0)
        await task
    return watch.taken


async def b1_tornado(count: int) -> float:
    condition = tornado.locks.Condition()

    async def waiter() -> None:
        for _ in range(count):
            await condition.wait()

    with Stopwatch() as watch:
        task = asyncio.ensure_future(waiter())
        await asyncio.sleep(0)
        for _ in range(count):
            condition.notify()
            await asyncio.sleep(0)
        await task
    return watch.taken


async def b1_asyncio(count: int) -> float:
    condition = asyncio.Condition()

    async def waiter() -> None:
        for _ in range(count):
            async with condition:
                await condition.wait()

    with Stopwatch() as watch:
        task = asyncio.ensure_future(waiter())
        await asyncio.sleep(0)
        while not task.done():
            async with condition:
                condition.notify()
            await asyncio.sleep(0)
        await task
    return watch.taken


# -- park many, tell all --------------------------------------------------------------------------

KEYS = [f"session-{number}" for number in range(100_000)]


def waiting_on(bus: AsyncBus, inside: bool) -> Callable[..., Coroutine[Any, Any, Any]]:
    async def handler(key: Any, timeout: float | None = None) -> Any:
        return await bus.waitforkey(key, timeout)

    return handler if inside else bus.waitforkey


async def fan_out_bare(count: int) -> float:
    loop = asyncio.get_running_loop()
    place: list[asyncio.Future[Any]] = []

    async def waiter() -> Any:
        future = loop.create_future()
        place.append(future)
        return await future

    with Stopwatch() as watch:
        tasks = tasks_of(waiter() for _ in range(count))
        await asyncio.sleep(0)
        for future in place:
            future.set_result(None)
        await all_of(tasks)
    return watch.taken


async def fan_out_ours(count: int, inside: bool = False) -> float:
    bus = AsyncBus()
    wait = waiting_on(bus, inside)
    with Stopwatch() as watch:
        tasks = tasks_of(wait("key") for _ in range(count))
        await asyncio.sleep(0)
        bus.notifyall("key", None)
        await all_of(tasks)
    return watch.taken


async def fan_out_tornado(count: int, timeout: timedelta | None = None) -> float:
    condition = tornado.locks.Condition()

    async def waiter() -> Any:
        return await condition.wait(timeout)

    with Stopwatch() as watch:
        tasks = tasks_of(waiter() for _ in range(count))
        await asyncio.sleep(0)
        condition.notify_all()
        await all_of(tasks)
    return watch.taken


async def fan_out_asyncio(count: int, timeout: float | None = None) -> float:
    condition = asyncio.Condition()

    async def waiter() -> Any:
        async with condition, asyncio.timeout(timeout):
            return await condition.wait()

    async def waiter_for_ever() -> Any:
        async with condition:
            return await condition.wait()

    start = waiter_for_ever if timeout is None else waiter
    with Stopwatch() as watch:
        tasks = tasks_of(start() for _ in range(count))
        await asyncio.sleep(0)
        async with condition:
            condition.notify_all()
        await all_of(tasks)
    return watch.taken


async def own_key_bare(count: int, timeout: float | None = None) -> float:
    loop = asyncio.get_running_loop()
    place: dict[str, asyncio.Future[Any]] = {}

    async def waiter(key: str) -> Any:
        future = place[key] = loop.create_future()
        return await future

    async def timed(key: str, seconds: float) -> Any:
        future = place[key] = loop.create_future()
        handle = loop.call_later(seconds, end, future)
        try:
            return await future
        finally:
            handle.cancel()

    with Stopwatch() as watch:
        tasks = tasks_of(
            waiter(key) if timeout is None else timed(key, timeout) for key in KEYS[:count]
        )
        await asyncio.sleep(0)
        for key in KEYS[:count]:
            place.pop(key).set_result(None)
        await all_of(tasks)
    return watch.taken


async def own_key_ours(count: int, inside: bool = False, timeout: float | None = None) -> float:
    bus = AsyncBus()
    wait = waiting_on(bus, inside)
    with Stopwatch() as watch:
        tasks = tasks_of(wait(key, timeout) for key in KEYS[:count])
        await asyncio.sleep(0)
        for key in KEYS[:count]:
            bus.notify(key, None)
        await all_of(tasks)
    return watch.taken


async def own_key_tornado(count: int) -> float:
    place: dict[str, tornado.locks.Condition] = {}

    async def waiter(key: str) -> Any:
        condition = place[key] = tornado.locks.Condition()
        return await condition.wait()

    with Stopwatch() as watch:
        tasks = tasks_of(waiter(key) for key in KEYS[:count])
        await asyncio.sleep(0)
        for key in KEYS[:count]:
            place.pop(key).notify()
        await all_of(tasks)
    return watch.taken


# -- until the timeout ----------------------------------------------------------------------------


def end(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_exception(TimeoutError())


def within_a_second(count: int) -> list[float]:
    return [0.2 + 0.8 * number / count for number in range(count)]


async def expire_bare(count: int) -> float:
    loop = asyncio.get_running_loop()

    async def waiter(timeout: float) -> Any:
        future = loop.create_future()
        handle = loop.call_later(timeout, end, future)
        try:
            return await future
        finally:
            handle.cancel()

    with Stopwatch() as watch:
        await all_of(tasks_of(map(waiter, within_a_second(count))))
    return watch.taken


async def expire_ours(count: int, inside: bool = False) -> float:
    wait = waiting_on(AsyncBus(), inside)
    with Stopwatch() as watch:
        await all_of(tasks_of(wait(timeout, timeout) for timeout in within_a_second(count)))
    return watch.taken


async def expire_tornado(count: int) -> float:
    condition = tornado.locks.Condition()

    async def waiter(timeout: float) -> Any:
        # A condition says False where we raise.
        return await condition.wait(timeout=timedelta(seconds=timeout))

    with Stopwatch() as watch:
        await all_of(tasks_of(map(waiter, within_a_second(count))))
    return watch.taken


# -- several keys ---------------------------------------------------------------------------------


async def hundred_keys_ours(count: int, inside: bool = False) -> float:
    bus = AsyncBus()
    keys = KEYS[:100]

    async def handler(keys: list[str]) -> Any:
        return await bus.waitforkeys(keys)

    loop = asyncio.get_running_loop()
    wait: Callable[..., Coroutine[Any, Any, Any]] = handler if inside else bus.waitforkeys
    with Stopwatch() as watch:
        for _ in range(count):
            task = loop.create_task(wait(keys))
            await asyncio.sleep(0)
            bus.notify("session-50", None)
            await task
    return watch.taken


async def some_keys_dict(count: int, keys: list[str]) -> float:
    """The least that anyone can do: put one future under each key, and take it away again."""
    loop = asyncio.get_running_loop()
    table: dict[str, asyncio.Future[Any]] = {}

    async def waiter() -> Any:
        future = loop.create_future()
        for key in keys:
            table[key] = future
        result = await future
        for key in keys:
            del table[key]
        return result

    with Stopwatch() as watch:
        for _ in range(count):
            task = loop.create_task(waiter())
            await asyncio.sleep(0)
            table[keys[0]].set_result(None)
            await task
    return watch.taken


# -- cancelling -----------------------------------------------------------------------------------


async def cancel(tasks: list[asyncio.Task[Any]]) -> float:
    await asyncio.sleep(0)
    with Stopwatch() as watch:
        for task in reversed(tasks):
            task.cancel()
        await all_of(tasks)
    return watch.taken


async def cancel_bare(count: int) -> float:
    loop = asyncio.get_running_loop()

    async def waiter() -> Any:
        return await loop.create_future()

    return await cancel(tasks_of(waiter() for _ in range(count)))


async def cancel_ours(count: int, inside: bool = False) -> float:
    wait = waiting_on(AsyncBus(), inside)
    return await cancel(tasks_of(wait("key") for _ in range(count)))


async def cancel_tornado(count: int) -> float:
    condition = tornado.locks.Condition()

    async def waiter() -> Any:
        return await condition.wait()

    return await cancel(tasks_of(waiter() for _ in range(count)))


async def cancel_asyncio(count: int) -> float:
    condition = asyncio.Condition()

    async def waiter() -> Any:
        async with condition:
            return await condition.wait()

    return await cancel(tasks_of(waiter() for _ in range(count)))


# -- memory ---------------------------------------------------------------------------------------


async def bytes_of(coroutines: Iterator[Any]) -> float:
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    tasks = tasks_of(coroutines)
    await asyncio.sleep(0)
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    for task in tasks:
        task.cancel()
    await all_of(tasks)
    return (after - before) / 1e6  # so that the row's unit is bytes for each waiter


async def memory_bare(count: int) -> float:
    loop = asyncio.get_running_loop()

    async def waiter() -> Any:
        return await loop.create_future()

    return await bytes_of(waiter() for _ in range(count))


async def memory_ours(count: int, inside: bool = False) -> float:
    wait = waiting_on(AsyncBus(), inside)
    return await bytes_of(wait(key, 30) for key in KEYS[:count])


async def memory_tornado(count: int) -> float:
    place: dict[str, tornado.locks.Condition] = {}

    async def waiter(key: str) -> Any:
        condition = place[key] = tornado.locks.Condition()
        return await condition.wait(timeout=timedelta(seconds=30))

    return await bytes_of(waiter(key) for key in KEYS[:count])


# -- the table ------------------------------------------------------------------------------------


def rows(quick: bool) -> list[Row]:
    small, large, huge = (1_000, 2_000, 10_000) if quick else (1_000, 10_000, 100_000)
    fan_out: dict[str, Way] = {
        LIMIT: fan_out_bare,
        **ours(fan_out_ours),
        "asyncio.Condition": fan_out_asyncio,
        "tornado Condition": fan_out_tornado,
    }
    own_key: dict[str, Way] = {
        LIMIT: own_key_bare,
        **ours(own_key_ours),
        "tornado Condition": own_key_tornado,
    }
    armed: dict[str, Way] = {
        LIMIT: own_key_bare,
        **ours(partial(own_key_ours, timeout=30)),
        "Future + call_later": partial(own_key_bare, timeout=30),
        "asyncio.Condition": partial(fan_out_asyncio, timeout=30),
        "tornado Condition": partial(fan_out_tornado, timeout=timedelta(seconds=30)),
    }
    cancelling: dict[str, Way] = {
        LIMIT: cancel_bare,
        **ours(cancel_ours),
        "tornado Condition": cancel_tornado,
    }
    return [
        Row(
            "B1",
            "one waiter, told again and again",
            1.15,
            10_000,
            1,
            {
                LIMIT: b1_bare,
                INSIDE: b1_ours,
                "asyncio.Condition": b1_asyncio,
                "tornado Condition": b1_tornado,
            },
        ),
        Row("B2", f"fan-out to {small} on one key", 1.2, small, 5, fan_out),
        Row("B2", f"fan-out to {large} on one key", 1.2, large, 1, fan_out),
        Row("B3", f"{small}, each on its own key", 1.2, small, 5, own_key),
        Row("B3", f"{large}, each on its own key", 1.2, large, 1, own_key),
        Row("B4", f"{small} told, with a timeout armed", 1.3, small, 5, armed),
        Row(
            "B5",
            f"{large} time out within a second",
            0.6,
            large,
            1,
            {
                "Future + call_later": expire_bare,
                **ours(expire_ours),
                "tornado Condition": expire_tornado,
            },
        ),
        Row(
            "B6",
            "one waiter on 100 keys",
            2.0,
            1_000,
            1,
            {
                LIMIT: partial(some_keys_dict, keys=KEYS[50:51]),
                **ours(hundred_keys_ours),
                "Future in a dict, 100 times": partial(some_keys_dict, keys=KEYS[:100]),
            },
        ),
        Row(
            "B7",
            f"cancel {large}, last in first out",
            1.5,
            large,
            1,
            {**cancelling, "asyncio.Condition": cancel_asyncio},
        ),
        Row("B7", f"cancel {huge}, last in first out", 1.5, huge, 1, cancelling),
        Row(
            "B8",
            f"bytes for each of {large} parked, own key, timeout armed",
            1.3,
            large,
            1,
            {LIMIT: memory_bare, **ours(memory_ours), "tornado Condition": memory_tornado},
            unit="bytes",
        ),
    ]


def ours(way: Callable[..., Awaitable[float]]) -> dict[str, Way]:
    return {OURS: way, INSIDE: partial(way, inside=True)}


def turn(way: Way, row: Row) -> float:
    async def main() -> float:
        return sum([await way(row.count) for _ in range(row.repeat)])

    gc.collect()
    gc.disable()
    try:
        return asyncio.run(main())
    finally:
        gc.enable()


def measure(row: Row, rounds: int) -> dict[str, tuple[float, float]]:
    """Of every way the median cost of one waiter, and the median ratio to the first way."""
    taken: dict[str, list[float]] = {name: [] for name in row.ways}
    names = list(row.ways)
    for name in names:
        turn(row.ways[name], row)  # warm
    for number in range(rounds):
        shift = number % len(names)  # nobody is always first
        for name in names[shift:] + names[:shift]:
            taken[name].append(turn(row.ways[name], row))
    limit = taken[names[0]]
    return {
        name: (
            statistics.median(figures) / (row.count * row.repeat) * 1e6,
            statistics.median(a / b for a, b in zip(figures, limit, strict=True)),
        )
        for name, figures in taken.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=11, help="turns of every way (default 11)")
    parser.add_argument("--quick", action="store_true", help="fewer waiters, 3 rounds")
    parser.add_argument("--row", help="only the rows of this name, such as B4")
    options = parser.parse_args()
    warnings.simplefilter("error")
    rounds = 3 if options.quick else options.rounds
    print(f"Python {sys.version.split()[0]}, tornado {tornado.version}, {rounds} rounds")
    for row in rows(options.quick):
        if options.row not in (None, row.name):
            continue
        print(f"\n{row.name}  {row.what}")
        for name, (cost, ratio) in measure(row, rounds).items():
            verdict = ""
            if name in (OURS, INSIDE):
                verdict = f"  goal {row.goal:4.2f}  {'holds' if ratio <= row.goal else 'MISSED'}"
            print(f"    {name:28}{cost:9.2f} {row.unit:5} {ratio:6.2f}{verdict}", flush=True)


if __name__ == "__main__":
    main()
