"""The page on the audit log lists what there is, and its examples write what it shows."""

from __future__ import annotations

import ast
import json
import logging
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import clefstorm
from clefstorm.handlers import write_audit_line
from clefstorm.relying_party import Happening, RelyingParty

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "audit_log.rst").read_text()
SOURCES = Path(clefstorm.__file__).parent


def recorded() -> Iterator[str]:
    """The first argument of each call of record: one text, or one of two."""
    for folder in ("relying_party", "handlers"):
        for path in (SOURCES / folder).glob("*.py"):
            yield from _recorded(ast.parse(path.read_text(encoding="utf-8")))
    yield from _recorded(ast.parse((SOURCES / "resource_server.py").read_text(encoding="utf-8")))


def _recorded(tree: ast.AST) -> Iterator[str]:
    names: dict[str, ast.expr] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            names[node.targets[0].id] = node.value
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            continue
        if node.func.attr not in ("record", "_record") or not node.args:
            continue
        event: ast.expr | None = node.args[0]
        if isinstance(event, ast.Name):
            event = names.get(event.id)
        events = [event.body, event.orelse] if isinstance(event, ast.IfExp) else [event]
        for each in events:
            if isinstance(each, ast.Constant) and isinstance(each.value, str):
                yield each.value


def test_every_event_is_listed() -> None:
    """The table has each event that is recorded, and no other."""
    table = PAGE.split("What there is")[1].split("A listener of your own")[0]
    listed = re.findall(r"(?m)^``(\w+)``  ?", table.split("event  ")[1])
    assert sorted(listed) == sorted(set(recorded()))


@pytest.fixture
def audit() -> Iterator[logging.Logger]:
    """The logger, as it was before the examples once the test is over."""
    log = logging.getLogger("clefstorm.audit")
    before = (log.level, log.propagate, list(log.handlers))
    yield log
    for handler in set(log.handlers) - set(before[2]):
        handler.close()
    log.level, log.propagate, log.handlers[:] = before


def test_the_examples(
    audit: logging.Logger,
    rp: RelyingParty,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Text first, then JSON, and a listener that counts."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"rp": rp}
    signed_in = Happening(
        at=1795253400.25,
        event="signed_in",
        alias="default",
        facts={"session": "Zb3kT0aQ", "sub": "alice"},
    )
    for block in re.findall(r"\.\. code-block:: python\n\n((?:   .*\n|\n)+)", PAGE):
        exec(textwrap.dedent(block), names)
        write_audit_line(signed_in)
    text, line, _ = (tmp_path / "audit.log").read_text().splitlines()
    assert text.endswith(" signed_in alias=default session=Zb3kT0aQ sub=alice")
    shown = re.search(r"(?m)^   (\{.*\})$", PAGE)
    assert shown is not None
    assert json.loads(line) == json.loads(shown[1])
    for listener in rp.listeners:
        listener(signed_in)
    assert names["counted"] == {"signed_in": 1}
