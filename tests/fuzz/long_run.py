"""The long run: python tests/fuzz/long_run.py [--examples 100000] [READER …]

For each reader of outside text it says how many inputs were accepted and refused, with how many
different codes, and how long the slowest took. It fails, showing the smallest input that does it,
when something other than an error of ours comes out, when an answer takes more than half a
second of CPU, or when a reader accepted nothing or refused nothing, which would prove nothing.
"""

from __future__ import annotations

import argparse
import gc
import resource
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fuzz.readers import READERS, Reader

from clefstorm.errors import ClefStormError

SLOWEST = 0.5
"""Seconds of CPU for one answer: other work of the machine must not count."""
LARGEST = 64 * 1024
"""kB by which one answer may let the process grow."""


def resident() -> int:
    """The most memory that this process has held so far, in kB (macOS: bytes)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def run(reader: Reader, examples: int) -> str:
    """Return what there is to say of the reader; raises what it must not raise."""
    outcomes: Counter[str] = Counter()
    slowest = 0.0

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(reader.inputs)
    def read(given_input: Any) -> None:
        nonlocal slowest
        before = resident()
        gc.disable()  # Walking through Hypothesis's own memory takes long, and is not ours.
        began = time.thread_time()
        try:
            reader.read(given_input)
            outcomes["accepted"] += 1
        except ClefStormError as error:
            outcomes[error.code] += 1
        seconds = time.thread_time() - began
        gc.enable()
        slowest = max(slowest, seconds)
        if seconds > SLOWEST:
            raise TimeoutError(f"{seconds:.3f} s")
        if resident() - before > LARGEST:
            raise MemoryError(f"{resident() - before} kB more")

    read()
    tried, accepted = outcomes.total(), outcomes.pop("accepted", 0)
    refused = tried - accepted
    if not accepted or (reader.refuses and not refused):
        raise AssertionError(f"{accepted} accepted, {refused} refused: the inputs prove nothing")
    return (
        f"{reader.name:22}{tried:9} inputs"
        f"{accepted:9} accepted{refused:9} refused by {len(outcomes):2} codes"
        f"{slowest * 1000:7.1f} ms at most"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=100_000)
    parser.add_argument("readers", nargs="*", metavar="READER")
    asked = parser.parse_args()
    failed = 0
    for reader in READERS:
        if asked.readers and reader.name not in asked.readers:
            continue
        try:
            print(run(reader, asked.examples), flush=True)
        except Exception as error:
            failed += 1
            print(f"{reader.name:22} FAILED: {type(error).__name__}: {error}", flush=True)
            for note in getattr(error, "__notes__", ()):
                print(f"    {note}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
