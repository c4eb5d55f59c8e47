"""Who may import whom: reads the imports of every file and holds the ring map.

A new part of clefstorm gets its place in RINGS and in the map of clefstorm/__init__.py. A red
row here is mended by moving code, not by a wider table.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

RINGS = (
    # A file imports only from lines above its own; siblings on one line never import each other.
    ("errors",),
    ("jws",),
    ("keys", "sealing", "jwe"),
    ("protocol",),
    ("providers", "transport", "bus", "sessions"),
    ("client",),
    ("registry",),
    ("relying_party", "clef", "eternaltwin"),
    ("resource_server",),
    ("handlers", "remote"),
    ("testing",),
)

FOREIGN = {
    # the only parts that may import a package of others
    "cryptography": {"jws", "keys", "sealing"},
    "jwt": {"jws"},
    "joserfc": {"jwe"},
    "pycurl": {"transport/curl_call", "transport/curl_client"},
    "tornado": {"transport", "handlers", "remote", "testing"},
    "pytest": {"testing"},
}

NAMELESS = {"utils", "helpers", "common", "base"}
LONGEST_FILE = 330
"""Lines. A file that passes 300 is to be split; these thirty are for the last comment."""
SMALLEST_FOLDER = 3
"""Files beside __init__."""

PACKAGE = Path(__file__).parent.parent / "clefstorm"
FRONT_DOOR = PACKAGE / "__init__.py"
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != FRONT_DOOR)
FOLDERS = sorted({path.parent for path in FILES if path.parent != PACKAGE})

RING_OF = {part: number for number, ring in enumerate(RINGS) for part in ring}


@dataclass(frozen=True)
class Arrow:
    """One import: what it reaches ("clefstorm.bus.async_bus", "jwt.algorithms"), and when."""

    module: str
    at_import: bool
    """False inside a function or ``if TYPE_CHECKING``: no part of a cycle when Python imports."""


def arrows_of(source: str, module: str) -> Iterator[Arrow]:
    """Every import of a file; ``module`` is its dotted name, with .__init__ for a folder's own."""
    return _arrows(ast.parse(source), module, at_import=True)


def _arrows(node: ast.AST, module: str, *, at_import: bool) -> Iterator[Arrow]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Arrow(alias.name, at_import)
        elif isinstance(child, ast.ImportFrom):
            home = child.module or ""
            if child.level:
                home = ".".join([*module.split(".")[: -child.level], *filter(None, [home])])
            for alias in child.names:
                yield Arrow(_reached(home, alias.name), at_import)
        else:
            later = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) or (
                isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"
            )
            yield from _arrows(child, module, at_import=at_import and not later)


def _reached(home: str, name: str) -> str:
    """``from clefstorm.protocol import jwt`` reaches a module, ``… import Request`` its folder."""
    if home.split(".")[0] == PACKAGE.name:
        path = PACKAGE.joinpath(*home.split(".")[1:], name)
        if path.is_dir() or path.with_suffix(".py").is_file():
            return f"{home}.{name}"
    return home


def module_of(path: Path) -> str:
    return ".".join([PACKAGE.name, *path.relative_to(PACKAGE).with_suffix("").parts])


def part_of(module: str) -> str:
    """``clefstorm.protocol.jwt`` is of the part protocol; the front door is of none."""
    return ([*module.split("."), ""])[1]


def wrong_arrows(source: str, module: str) -> list[str]:
    """What a file imports and must not."""
    return [
        f"{module} must not import {arrow.module}"
        for arrow in arrows_of(source, module)
        if not _allowed(module, arrow.module)
    ]


def _allowed(module: str, reached: str) -> bool:
    part, package = part_of(module), reached.split(".")[0]
    if package == PACKAGE.name:
        other = part_of(reached)
        return other == part or (other in RING_OF and RING_OF[other] < RING_OF[part])
    if package in FOREIGN:
        here = "/".join(module.split(".")[1:])
        return bool({part, here} & FOREIGN[package])
    return package in sys.stdlib_module_names


def arrows_at_import(package: Path) -> dict[str, set[str]]:
    """For each file the files of the package that it imports when it is itself imported."""
    sources = {module_of(path): path.read_text(encoding="utf-8") for path in package.rglob("*.py")}
    return {
        module: {
            reached
            for arrow in arrows_of(source, module)
            if arrow.at_import
            for reached in (arrow.module, f"{arrow.module}.__init__")
            if reached in sources
        }
        for module, source in sources.items()
    }


def name_of(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_arrows(path: Path) -> None:
    """A file imports only from rings above its own, and only the foreign packages of its part."""
    assert wrong_arrows(path.read_text(encoding="utf-8"), module_of(path)) == []


def test_no_cycle() -> None:
    """Inside a folder the arrows go one way."""
    assert cycle_in(PACKAGE) == []


def cycle_in(package: Path) -> list[str]:
    try:
        TopologicalSorter(arrows_at_import(package)).prepare()
    except CycleError as error:
        return list(reversed(error.args[1]))
    return []


@pytest.mark.parametrize("folder", FOLDERS, ids=name_of)
def test_folder_is_worth_it(folder: Path) -> None:
    """A folder needs three files; a folder in it counts as one."""
    inside = {path for path in folder.iterdir() if path.suffix == ".py" or path in FOLDERS}
    assert len(inside - {folder / "__init__.py"}) >= SMALLEST_FOLDER


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_file_says_what_it_is(path: Path) -> None:
    """No file is named for nothing or longer than one reads; each begins by saying what it is."""
    source = path.read_text(encoding="utf-8")
    assert path.stem.strip("_") not in NAMELESS
    assert source.count("\n") <= LONGEST_FILE
    assert ast.get_docstring(ast.parse(source))


def test_every_part_has_a_ring() -> None:
    """Each file and folder of clefstorm/ has its place, and each place is taken."""
    assert {part_of(module_of(path)) for path in FILES} == set(RING_OF)


def test_front_door_shows_the_map() -> None:
    """The map that a newcomer reads in clefstorm/__init__.py is RINGS."""
    comment = re.findall(r"^#   (\S.*?)(?:   .*)?$", FRONT_DOOR.read_text("utf-8"), re.MULTILINE)
    shown = [tuple(part.strip(" /") for part in line.split("|")) for line in comment]
    assert shown == list(RINGS)


@pytest.mark.parametrize(
    ("module", "source"),
    [
        pytest.param("clefstorm.bus.async_bus", "import clefstorm.sessions", id="sibling"),
        pytest.param("clefstorm.bus.async_bus", "from clefstorm import handlers", id="downwards"),
        pytest.param("clefstorm.bus.async_bus", "from ..client import AsyncClient", id="relative"),
        pytest.param("clefstorm.bus.async_bus", "from clefstorm import AsyncBus", id="front_door"),
        pytest.param("clefstorm.errors", "def f():\n  import clefstorm.keys", id="in_function"),
        pytest.param(
            "clefstorm.errors",
            "if TYPE_CHECKING:\n  from clefstorm.keys import Key",
            id="for_types",
        ),
        pytest.param("clefstorm.sessions.sqlite", "import tornado.ioloop", id="tornado"),
        pytest.param("clefstorm.protocol.state", "import jwt", id="jwt_beside_its_file"),
        pytest.param("clefstorm.handlers.login", "import requests", id="foreign"),
    ],
)
def test_wrong_arrow_is_seen(module: str, source: str) -> None:
    """This test would notice."""
    assert len(wrong_arrows(source, module)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        pytest.param("clefstorm.bus.async_bus", "from clefstorm.errors import BusError", id="up"),
        pytest.param("clefstorm.bus.async_bus", "from .frames import sse_event", id="own_folder"),
        pytest.param("clefstorm.bus.__init__", "from .async_bus import AsyncBus", id="own_init"),
        pytest.param("clefstorm.jws", "import jwt", id="jwt"),
        pytest.param("clefstorm.protocol.jwt", "from collections.abc import Set", id="stdlib"),
    ],
)
def test_right_arrow_passes(module: str, source: str) -> None:
    """And it does not cry wolf."""
    assert wrong_arrows(source, module) == []


def test_cycle_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two files that import each other are a cycle; an import in a function breaks it."""
    package = tmp_path / "clefstorm"
    (package / "bus").mkdir(parents=True)
    monkeypatch.setattr(sys.modules[__name__], "PACKAGE", package)
    (package / "bus" / "ring.py").write_text("from clefstorm.bus.wait import wait")
    (package / "bus" / "wait.py").write_text("from clefstorm.bus import ring")
    assert cycle_in(package) == [
        "clefstorm.bus.ring",
        "clefstorm.bus.wait",
        "clefstorm.bus.ring",
    ]
    (package / "bus" / "wait.py").write_text("def wait():\n  from clefstorm.bus import ring")
    assert cycle_in(package) == []
