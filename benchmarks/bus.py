"""The bus against the bare limit: rows B1-B8, each with its goal.

    python benchmarks/bus.py [--rounds N] [--quick]

Every row compares ways to do one thing: on the bare asyncio.Future (the limit: nothing can park a
coroutine for less), on our bus, and on the conditions of asyncio and Tornado where they can do it.
The ways take turns in one process, round by round; a figure is the median over the rounds of the
ratio to the limit of the same round, in CPU time, so that a noisy machine slows all alike. Garbage
is collected before each turn and not during it. Wherever several waiters are parked each is a task
of its own, made and ended within the time taken, as each browser is a request of its own.
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
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import tornado.locks

from clefstorm.bus import AsyncBus

Way = Callable[[int], Awaitable[float]]
LIMIT, OURS = "bare Future", "AsyncBus"


@dataclass(frozen=True)
class Row:
    name: str
    what: str
    goal: float
    count: int
    repeat: int  # how often one turn does it
    ways: dict[str, Way]
    unit: str = "µs"


async def bare(future: asyncio.Future[Any]) -> Any:
    return await future


def tasks_of(coroutines: Iterator[Any]) -> list[asyncio.Task[Any]]:
    loop = asyncio.get_running_loop()
    return [loop.create_task(coroutine) for coroutine in coroutines]


async def all_of(tasks: list[asyncio.Task[Any]]) -> None:
    """Until every task has ended; costs little, and the same for every way."""
    for task in tasks:
        try:
            await task
        except (asyncio.CancelledError, TimeoutError):
            pass


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


async def many_bare(count: int) -> float:
    loop = asyncio.get_running_loop()
    with Stopwatch() as watch:
        futures = [loop.create_future() for _ in range(count)]
        tasks = tasks_of(bare(future) for future in futures)
        await asyncio.sleep(0)
        for future in futures:
            future.set_result(None)
        await all_of(tasks)
    return watch.taken


async def fan_out_ours(count: int) -> float:
    bus = AsyncBus()

    async def waiter() -> Any:
        return await bus.waitforkey("key")

    with Stopwatch() as watch:
        tasks = tasks_of(waiter() for _ in range(count))
        await asyncio.sleep(0)
        bus.notifyall("key", None)
        await all_of(tasks)
    return watch.taken


async def fan_out_tornado(count: int) -> float:
    condition = tornado.locks.Condition()

    async def waiter() -> Any:
        return await condition.wait()

    with Stopwatch() as watch:
        tasks = tasks_of(waiter() for _ in range(count))
        await asyncio.sleep(0)
        condition.notify_all()
        await all_of(tasks)
    return watch.taken


async def fan_out_asyncio(count: int) -> float:
    condition = asyncio.Condition()

    async def waiter() -> Any:
        async with condition:
            return await condition.wait()

    with Stopwatch() as watch:
        tasks = tasks_of(waiter() for _ in range(count))
        await asyncio.sleep(0)
        async with condition:
            condition.notify_all()
        await all_of(tasks)
    return watch.taken


KEYS = [f"session-{number}" for number in range(100_000)]


async def own_key_ours(count: int) -> float:
    bus = AsyncBus()

    async def waiter(key: str) -> Any:
        return await bus.waitforkey(key)

    with Stopwatch() as watch:
        tasks = tasks_of(waiter(key) for key in KEYS[:count])
        await asyncio.sleep(0)
        for key in KEYS[:count]:
            bus.notify(key, None)
        await all_of(tasks)
    return watch.taken


async def own_key_tornado(count: int) -> float:
    conditions: dict[str, tornado.locks.Condition] = {}

    async def waiter(key: str) -> Any:
        condition = conditions[key] = tornado.locks.Condition()
        return await condition.wait()

    with Stopwatch() as watch:
        tasks = tasks_of(waiter(key) for key in KEYS[:count])
        await asyncio.sleep(0)
        for key in KEYS[:count]:
            conditions.pop(key).notify()
        await all_of(tasks)
    return watch.taken


# -- with a timeout -------------------------------------------------------------------------------


async def armed_ours(count: int) -> float:
    bus = AsyncBus()

    async def waiter(key: str) -> Any:
        return await bus.waitforkey(key, 30)

    with Stopwatch() as watch:
        tasks = tasks_of(waiter(key) for key in KEYS[:count])
        await asyncio.sleep(0)
        for key in KEYS[:count]:
            bus.notify(key, None)
        await all_of(tasks)
    return watch.taken


async def armed_call_later(count: int) -> float:
    loop = asyncio.get_running_loop()

    async def waiter(future: asyncio.Future[Any]) -> Any:
        handle = loop.call_later(30, end, future)
        try:
            return await future
        finally:
            handle.cancel()

    with Stopwatch() as watch:
        futures = [loop.create_future() for _ in range(count)]
        tasks = tasks_of(waiter(future) for future in futures)
        await asyncio.sleep(0)
        for future in futures:
            future.set_result(None)
        await all_of(tasks)
    return watch.taken


async def armed_tornado(count: int) -> float:
    condition = tornado.locks.Condition()
    loop = asyncio.get_running_loop()

    async def waiter() -> Any:
        return await condition.wait(timeout=tornado_deadline(30))

    with Stopwatch() as watch:
        tasks = tasks_of(waiter() for _ in range(count))
        await asyncio.sleep(0)
        condition.notify_all()
        await all_of(tasks)
    del loop
    return watch.taken


async def armed_asyncio(count: int) -> float:
    condition = asyncio.Condition()

    async def waiter() -> Any:
        async with condition, asyncio.timeout(30):
            return await condition.wait()

    with Stopwatch() as watch:
        tasks = tasks_of(waiter() for _ in range(count))
        await asyncio.sleep(0)
        async with condition:
            condition.notify_all()
        await all_of(tasks)
    return watch.taken


def tornado_deadline(seconds: float) -> Any:
    import datetime

    return datetime.timedelta(seconds=seconds)


def end(future: asyncio.Future[Any]) -> None:
    if not future.done():
        future.set_exception(TimeoutError())


async def expire_bare(count: int) -> float:
    loop = asyncio.get_running_loop()

    async def waiter(number: int) -> Any:
        future = loop.create_future()
        handle = loop.call_later(0.2 + 0.8 * number / count, end, future)
        try:
            return await future
        finally:
            handle.cancel()

    with Stopwatch() as watch:
        await all_of(tasks_of(waiter(number) for number in range(count)))
    return watch.taken


async def expire_ours(count: int) -> float:
    bus = AsyncBus()

    async def waiter(number: int) -> Any:
        return await bus.waitforkey(number, 0.2 + 0.8 * number / count)

    with Stopwatch() as watch:
        await all_of(tasks_of(waiter(number) for number in range(count)))
    return watch.taken


async def expire_tornado(count: int) -> float:
    condition = tornado.locks.Condition()

    async def waiter(number: int) -> Any:
        return await condition.wait(timeout=tornado_deadline(0.2 + 0.8 * number / count))

    with Stopwatch() as watch:
        await all_of(tasks_of(waiter(number) for number in range(count)))
    return watch.taken


# -- several keys ---------------------------------------------------------------------------------


async def one_bare(count: int) -> float:
    loop = asyncio.get_running_loop()
    with Stopwatch() as watch:
        for _ in range(count):
            future = loop.create_future()
            task = loop.create_task(bare(future))
            await asyncio.sleep(0)
            future.set_result(None)
            await task
    return watch.taken


async def hundred_keys_ours(count: int) -> float:
    bus = AsyncBus()
    keys = KEYS[:100]

    async def waiter() -> Any:
        return await bus.waitforkeys(keys)

    with Stopwatch() as watch:
        for _ in range(count):
            task = asyncio.ensure_future(waiter())
            await asyncio.sleep(0)
            bus.notify("session-50", None)
            await task
    return watch.taken


async def hundred_keys_dict(count: int) -> float:
    """The least that anyone can do: put one future under each key, and take it away again."""
    loop = asyncio.get_running_loop()
    table: dict[str, asyncio.Future[Any]] = {}
    keys = KEYS[:100]

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
            table["session-50"].set_result(None)
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
    futures = [loop.create_future() for _ in range(count)]
    return await cancel(tasks_of(bare(future) for future in futures))


async def cancel_ours(count: int) -> float:
    bus = AsyncBus()

    async def waiter() -> Any:
        return await bus.waitforkey("key")

    return await cancel(tasks_of(waiter() for _ in range(count)))


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


async def bytes_of(make: Callable[[], Iterator[Any]]) -> float:
    gc.collect()
    tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    tasks = tasks_of(make())
    await asyncio.sleep(0)
    gc.collect()
    after, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    for task in tasks:
        task.cancel()
    await all_of(tasks)
    return (after - before) / 1e6  # so that a row's unit is bytes for each waiter


async def memory_bare(count: int) -> float:
    loop = asyncio.get_running_loop()
    return await bytes_of(lambda: (bare(loop.create_future()) for _ in range(count)))


async def memory_ours(count: int) -> float:
    bus = AsyncBus()

    async def waiter(key: str) -> Any:
        return await bus.waitforkey(key, 30)

    return await bytes_of(lambda: (waiter(key) for key in KEYS[:count]))


async def memory_ours_alone(count: int) -> float:
    bus = AsyncBus()
    return await bytes_of(lambda: (bus.waitforkey(key, 30) for key in KEYS[:count]))


async def memory_tornado(count: int) -> float:
    conditions: dict[str, tornado.locks.Condition] = {}

    async def waiter(key: str) -> Any:
        condition = conditions[key] = tornado.locks.Condition()
        return await condition.wait(timeout=tornado_deadline(30))

    return await bytes_of(lambda: (waiter(key) for key in KEYS[:count]))


# -- the table ------------------------------------------------------------------------------------


def rows(quick: bool) -> list[Row]:
    small, large, huge = (1_000, 2_000, 10_000) if quick else (1_000, 10_000, 100_000)
    fan_out: dict[str, Way] = {
        LIMIT: many_bare,
        OURS: fan_out_ours,
        "asyncio.Condition": fan_out_asyncio,
        "tornado Condition": fan_out_tornado,
    }
    own_key: dict[str, Way] = {
        LIMIT: many_bare, OURS: own_key_ours, "tornado Condition": own_key_tornado,
    }
    cancelling: dict[str, Way] = {
        LIMIT: cancel_bare, OURS: cancel_ours, "tornado Condition": cancel_tornado,
    }
    cancelling_small = dict(cancelling)
    cancelling_small["asyncio.Condition"] = cancel_asyncio
    return [
        Row("B1", "one waiter, told again and again", 1.15, 10_000, 1, {
            LIMIT: b1_bare, OURS: b1_ours,
            "asyncio.Condition": b1_asyncio, "tornado Condition": b1_tornado,
        }),
        Row("B2", f"fan-out to {small} on one key", 1.2, small, 5, fan_out),
        Row("B2", f"fan-out to {large} on one key", 1.2, large, 1, fan_out),
        Row("B3", f"{small}, each on its own key", 1.2, small, 5, own_key),
        Row("B3", f"{large}, each on its own key", 1.2, large, 1, own_key),
        Row("B4", f"{small} told, with a timeout armed", 1.3, small, 5, {
            LIMIT: many_bare, OURS: armed_ours, "Future + call_later": armed_call_later,
            "asyncio.Condition": armed_asyncio, "tornado Condition": armed_tornado,
        }),
        Row("B5", f"{large} time out within a second", 0.6, large, 1, {
            "Future + call_later": expire_bare, OURS: expire_ours,
            "tornado Condition": expire_tornado,
        }),
        Row("B6", "one waiter on 100 keys", 2.0, 1_000, 1, {
            LIMIT: one_bare, OURS: hundred_keys_ours, "Future in a plain dict": hundred_keys_dict,
        }),
        Row("B7", f"cancel {large}, last in first out", 1.5, large, 1, cancelling_small),
        Row("B7", f"cancel {huge}, last in first out", 1.5, huge, 1, cancelling),
        Row("B8", f"bytes for each of {large} parked, timeout armed", 1.3, large, 1, {
            LIMIT: memory_bare, OURS: memory_ours, "AsyncBus, the task itself": memory_ours_alone,
            "tornado Condition": memory_tornado,
        }, unit="bytes"),
    ]


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
            if name == OURS:
                verdict = f"  goal {row.goal:4.2f}  {'holds' if ratio <= row.goal else 'MISSED'}"
            print(f"    {name:28}{cost:9.2f} {row.unit:5} {ratio:6.2f}{verdict}", flush=True)


if __name__ == "__main__":
    main()
