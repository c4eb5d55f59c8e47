"""The programs of the page on pods are what runs here: nothing but their ports is changed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from parts.page_programs import programs, running, text_of, with_free_ports, write_programs

PAGE = "how-to/pod.rst"
SERVERS = ("pod.py", "application.py")

pytestmark = pytest.mark.gen_test(timeout=60)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """``run(name)``: what a program of the page prints, while the page's servers run."""
    text, _ = with_free_ports(text_of(PAGE), "8300", "8301")
    write_programs(tmp_path, text)

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

    with running(tmp_path, SERVERS) as said:
        assert all("http://" in line for line in said)
        yield run


def test_the_programs_print_what_the_page_says(run: Callable[[str], str]) -> None:
    """Each script of the page ends as the page says, and says nothing else."""
    assert run("hello.py") == "201 Alice Archer Hello from a script\n"
    assert run("hello_async.py") == "[201, 201, 201]\n"
    assert run("sign_in.py") == "200 Hello Alice Archer\n"


def test_every_program_is_run() -> None:
    """The page has no program that nobody runs."""
    captions = {name for name in programs(text_of(PAGE)) if name}
    assert captions == {*SERVERS, "hello.py", "hello_async.py", "sign_in.py"}
