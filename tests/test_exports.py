"""The front door: every name of everyday use is there, and leads where the types say."""

from __future__ import annotations

import ast
from configparser import ConfigParser
from importlib import import_module
from pathlib import Path

import pytest

import clefstorm

PACKAGE = Path(clefstorm.__file__).parent
SOURCE = (PACKAGE / "__init__.py").read_text(encoding="utf-8")


def typed_homes() -> dict[str, str]:
    """What a type checker believes: the imports under ``if TYPE_CHECKING``."""
    (block,) = (
        node
        for node in ast.parse(SOURCE).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    return {
        alias.name: str(node.module)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_types_and_runtime_agree() -> None:
    """``__all__``, the lazy table and the imports for type checkers name the same things."""
    assert typed_homes() == clefstorm._HOMES
    assert sorted(clefstorm.__all__) == sorted(clefstorm._HOMES)


@pytest.mark.parametrize("name", clefstorm.__all__)
def test_every_name_resolves(name: str) -> None:
    """Each name is the one that its folder gives, and the folder gives it openly."""
    home = import_module(typed_homes()[name])
    assert getattr(clefstorm, name) is getattr(home, name)
    if home.__file__ is not None and home.__file__.endswith("__init__.py"):
        assert name in home.__all__


def test_dir_lists_every_name() -> None:
    """Completion in an interactive shell shows the names before they are imported."""
    assert set(clefstorm.__all__) < set(dir(clefstorm))


def test_unknown_name() -> None:
    """A misspelled name is an AttributeError that says it."""
    with pytest.raises(AttributeError, match="RelyingPart"):
        _ = clefstorm.RelyingPart


@pytest.fixture
def settings() -> ConfigParser:
    settings = ConfigParser(interpolation=None)
    settings.read(PACKAGE.parent / "setup.cfg", encoding="utf-8")
    return settings


def test_version(settings: ConfigParser) -> None:
    """``__version__`` is the version of setup.cfg."""
    assert settings["metadata"]["version"] == clefstorm.__version__


def test_files_beside_the_code_are_installed(settings: ConfigParser) -> None:
    """Whoever installs clefstorm gets its scripts, pages and types; setup.cfg names them all."""
    named = {
        path
        for package, patterns in settings["options.package_data"].items()
        for pattern in patterns.split()
        for path in PACKAGE.parent.joinpath(*package.split(".")).glob(pattern)
    }
    there = {path for path in PACKAGE.rglob("[!.]*.*") if path.suffix not in {".py", ".pyc"}}
    assert named == there
