"""The programs of the how-to page are what runs here: nothing but their port is changed."""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from tornado.httpclient import AsyncHTTPClient
from tornado.testing import bind_unused_port

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "remote_session.rst"


def programs(text: str) -> dict[str, str]:
    """The programs of a page by their captions."""
    blocks = re.findall(r"   :caption: (\S+)\n\n((?:   .*\n|\n)+)", text)
    return {name: re.sub(r"(?m)^ {3}", "", code).strip() + "\n" for name, code in blocks}


def start(stack: ExitStack, folder: Path, name: str, code: str) -> str:
    """Start a program; what it says first, "" when it has ended instead."""
    (folder / name).write_text(code, encoding="utf-8")
    process = stack.enter_context(
        subprocess.Popen([sys.executable, name], cwd=folder, stdout=subprocess.PIPE, text=True)
    )
    stack.callback(process.kill)
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.mark.gen_test(timeout=60)
async def test_the_page_answers(http_client: AsyncHTTPClient, tmp_path: Path) -> None:
    """Start the first, then the second, open the page: it answers in capitals."""
    text = PAGE.read_text(encoding="utf-8")
    with ExitStack() as stack:
        for _ in range(3):  # until then somebody else may have taken the port
            sock, port = bind_unused_port()
            sock.close()
            found = programs(text.replace("8300", str(port)))
            if start(stack, tmp_path, "server.py", found["server.py"]):
                break
        assert start(stack, tmp_path, "worker.py", found["worker.py"])
        answer = await http_client.fetch(f"http://127.0.0.1:{port}/ask?text=hello")
        assert answer.body == b"HELLO"
