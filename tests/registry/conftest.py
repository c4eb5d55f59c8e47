"""What configures is undone: test isolation is one call."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clefstorm.registry import configure


@pytest.fixture(autouse=True)
def _reset() -> Iterator[None]:
    configure()
    yield
    configure()


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """``write(name, text)`` makes a file of its owner alone, unless ``mode`` says else."""

    def write(name: str, content: str | bytes, *, mode: int = 0o600) -> Path:
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        os.chmod(path, mode)
        return path

    return write
