"""The demo, started as a newcomer would, in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tornado.testing import bind_unused_port

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Demo:
    """A running demo: the addresses that it printed."""

    application: str
    provider: str
    process: subprocess.Popen[str]

    def stop(self) -> int:
        """Press Ctrl-C and return the exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=20)


class Demos:
    """Starts demos in one folder, always on the same two ports."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.running: list[Demo] = []
        folder.parent.mkdir(exist_ok=True)
        self.log = folder.parent / "errors.log"
        self.errors = self.log.open("wb")
        self.ports = []
        for _ in range(2):
            sock, port = bind_unused_port()
            self.ports.append(port)
            sock.close()

    def start(self, *options: str) -> Demo:
        process = subprocess.Popen(
            [
                sys.executable,
                ROOT / "demo_server.py",
                *("--folder", self.folder),
                *("--port", str(self.ports[0]), "--provider-port", str(self.ports[1])),
                *options,
            ],
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
            env={**os.environ, "HOME": str(self.folder)},
        )
        assert process.stdout is not None
        said = ""
        while "Ctrl-C" not in said:
            line = process.stdout.readline()
            assert line, f"the demo stopped: {process.wait()}"
            said += line
        application, provider = re.findall(r"http://[\w.]+:\d+", said)
        demo = Demo(application, provider, process)
        self.running.append(demo)
        return demo


@pytest.fixture
def demos(tmp_path: Path) -> Iterator[Demos]:
    demos = Demos(tmp_path / "demo")
    yield demos
    for demo in demos.running:
        demo.process.kill()
        demo.process.wait()
        demo.process.stdout.close()
    demos.errors.close()


@pytest.fixture
def demo(demos: Demos) -> Demo:
    return demos.start()
