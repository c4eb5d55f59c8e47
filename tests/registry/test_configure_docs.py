"""The page on configuration, run from the top to the bottom in an empty folder."""

from __future__ import annotations

import os
import re
import subprocess
import textwrap
import warnings
from pathlib import Path
from typing import Any

import pytest

from clefstorm import async_connections, configure_from_file, connections
from clefstorm.providers import EternaltwinProvider, OAuth2Provider, OpenIDProvider
from clefstorm.registry.options import _CLIENT_OPTIONS

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "configure.rst"
BLOCK = re.compile(
    r"\.\. code-block:: (\w+)\n(?:   :caption: (\S+)\n)?\n((?:   .*\n|\n)+)", re.MULTILINE
)


class Reader:
    """Does what the page's blocks say, one after the other."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.patch = monkeypatch
        self.names: dict[str, Any] = {}
        self.ran = 0

    def read(self, language: str, caption: str, text: str) -> None:
        self.ran += 1
        if caption:
            (self.folder / caption).write_text(text, encoding="utf-8")
        elif language == "python":
            exec(compile(text, f"block {self.ran}", "exec"), self.names)
        else:
            assert language == "sh"
            done = subprocess.run(
                ["sh", "-ec", f"{text}\nenv -0"], cwd=self.folder, capture_output=True, check=True
            )
            for line in done.stdout.decode().split("\0"):
                name, _, value = line.partition("=")
                if name and os.environ.get(name) != value and name not in ("_", "PWD", "SHLVL"):
                    self.patch.setenv(name, value)


def test_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every block runs, and what is configured at each stage is what the page says."""
    monkeypatch.chdir(tmp_path)
    reader = Reader(tmp_path, monkeypatch)
    seen: list[list[tuple[str, type]]] = []
    for language, caption, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        reader.read(language, caption, textwrap.dedent(text))
        held = [(alias, type(client.provider)) for alias, client in connections.items()]
        if not seen or seen[-1] != held:
            seen.append(held)
        assert list(connections) == list(async_connections)
    assert reader.ran == 11
    openid = ("default", OpenIDProvider)
    assert seen == [
        [openid, ("code", OAuth2Provider)],
        [openid, ("game", EternaltwinProvider)],
        [openid],
    ]
    assert len(async_connections["default"].state_keys) == 2
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        configure_from_file("rotation.toml")
    assert len(warned) == 1
    [first, second] = async_connections["default"].state_keys
    assert first.verifying_material().startswith(b"one long random text")
    assert second.verifying_material() == b"another-secret"


def test_the_table_of_options() -> None:
    """The page's table names the options that are the same for every kind."""
    table = PAGE.read_text(encoding="utf-8").split("same for every kind")[1].split("Secrets by")[0]
    named = set(re.findall(r"(?m)^``(\w+)``  ", table))
    assert named == _CLIENT_OPTIONS | {"client_id", "client_secret", "redirect_uri"}
