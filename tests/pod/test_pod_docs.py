"""The programs of the page on pods are what runs here: nothing but their ports is changed."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tornado.testing import bind_unused_port

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "pod.rst"
SERVERS = ("pod.py", "application.py")

pytestmark = pytest.mark.gen_test(timeout=60)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """``run(name)``: what a program of the page prints, while the page's servers run."""
    text = PAGE.read_text(encoding="utf-8")
    for told in ("8300", "8301"):
        sock, port = bind_unused_port()
        sock.close()
        text = text.replace(told, str(port))
    for name, code in re.findall(r"   :caption: (\S+)\n\n((?:   .*\n|\n)+)", text):
        program = re.sub(r"(?m)^ {3}", "", code).strip() + "\n"
        (tmp_path / name).write_text(program, encoding="utf-8")

    def run(name: str) -> str:
        done = subprocess.run(
            [sys.executable, "-W", "error", name],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    with ExitStack() as stack:
        for name in SERVERS:
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, name], cwd=tmp_path, stdout=subprocess.PIPE, text=True
                )
            )
            stack.callback(process.kill)
            assert process.stdout is not None
            assert "http://" in process.stdout.readline()
        yield run


def test_the_programs_print_what_the_page_says(run: Callable[[str], str]) -> None:
    """Each script of the page ends as the page says, and says nothing else."""
    assert run("hello.py") == "201 Alice Archer Hello from a script\n"
    assert run("hello_async.py") == "[201, 201, 201]\n"
    assert run("sign_in.py") == "200 Hello Alice Archer\n"


def test_every_program_is_run() -> None:
    """The page has no program that nobody runs."""
    captions = re.findall(r":caption: (\S+)", PAGE.read_text(encoding="utf-8"))
    assert sorted(captions) == sorted([*SERVERS, "hello.py", "hello_async.py", "sign_in.py"])
