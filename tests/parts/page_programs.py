"""The programs of a page of the documentation: its code blocks with a caption, run as they stand.

Only ports are changed, and whatever else a test replaces in the text. LAW: reads, writes and
starts; asserts nothing about what a program does.
"""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tornado.testing import bind_unused_port

DOCS = Path(__file__).resolve().parents[2] / "docs"
_BLOCK = re.compile(
    r"\.\. code-block:: \w+\n(?:   :caption: (\S+)\n)?\n((?:   .*\n|\n)+)", re.MULTILINE
)


def text_of(*pages: str) -> str:
    """The text of pages, each by its path below docs."""
    return "\n".join((DOCS / page).read_text(encoding="utf-8") for page in pages)


def programs(text: str) -> dict[str, str]:
    """The code blocks of a text by their captions; the last one without has the caption ""."""
    return {
        name: textwrap.dedent(code).strip() + "\n" for name, code in _BLOCK.findall(text + "\n")
    }


def with_free_ports(text: str, *told: str) -> tuple[str, dict[str, str]]:
    """The text with free ports in place of those told, and the free ones by those."""
    free = {}
    for port in told:
        sock, number = bind_unused_port()
        sock.close()
        free[port] = str(number)
        text = text.replace(port, free[port])
    return text, free


def write_programs(folder: Path, text: str) -> None:
    """Write each program into the folder, under its caption."""
    for name, program in programs(text).items():
        if name:
            (folder / name).write_text(program, encoding="utf-8")


@contextmanager
def running(
    folder: Path, names: Iterable[str], *, env: Mapping[str, str] | None = None
) -> Iterator[list[str]]:
    """Servers that run until the block ends; what each says first, "" when it has ended instead."""
    said = []
    with ExitStack() as stack:
        for name in names:
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-W", "error", name],
                    cwd=folder,
                    env=env,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            stack.callback(process.kill)
            assert process.stdout is not None
            said.append(process.stdout.readline())
        yield said
