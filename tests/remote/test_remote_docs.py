"""The programs of the how-to page are what runs here: nothing but their port is changed."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest
from parts.page_programs import running, text_of, with_free_ports, write_programs
from tornado.httpclient import AsyncHTTPClient


@pytest.mark.gen_test(timeout=60)
async def test_the_page_answers(http_client: AsyncHTTPClient, tmp_path: Path) -> None:
    """Start the first, then the second, open the page: it answers in capitals."""
    with ExitStack() as stack:
        for _ in range(3):  # until then somebody else may have taken the port
            text, ports = with_free_ports(text_of("how-to/remote_session.rst"), "8300")
            write_programs(tmp_path, text)
            if stack.enter_context(running(tmp_path, ["server.py"])) != [""]:
                break
        assert stack.enter_context(running(tmp_path, ["worker.py"])) != [""]
        answer = await http_client.fetch(f"http://127.0.0.1:{ports['8300']}/ask?text=hello")
        assert answer.body == b"HELLO"
