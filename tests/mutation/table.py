"""What a run of mutmut found: python tests/mutation/table.py [--survivors [FILE…]]

Run in the folder in which ``mutmut run`` ran. Prints the score of each file of
``clefstorm/protocol`` as a table for the docs; with ``--survivors``, each mutant that no test
noticed, as a diff. A mutant that changes only what an error says (its sentence and its evidence,
not its class nor its code) is a matter of words: it is counted apart and in no score.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from clefstorm import errors

MUTANTS = Path("mutants")
PROTOCOL = Path("clefstorm/protocol")

# Exit codes of pytest, as mutmut keeps them: what the mutant's run came to.
FATES = {0: "survived", 33: "untested", 1: "killed", 3: "killed", None: "not run"}
TIMED_OUT = "timed out"

KEPT = {
    **{name: () for name, _ in inspect.getmembers(errors, inspect.isclass)},
    **dict.fromkeys(("_ill_typed", "_invalid", "_member", "_missing", "_status", "_unusable"), ()),
    "TypeError": (),
    "_refuse": (1,),
    "check_url": (0,),
}
"""What makes an error, with the places of those of its arguments that are no words."""
DECISIVE = {"code", "error", "oauth_error"}
"""Keywords of an error that callers decide by."""

CONTEXT = 60
"""Characters shown before and behind a change."""

_MANGLED = re.compile(r"(?:x_|xǁ.+ǁ)(?P<name>.+)__mutmut_(?P<which>orig|\d+)")


class _Wordless(ast.NodeTransformer):
    """Takes the sentence and the evidence out of each error."""

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id in KEPT:
            node.args = [node.args[place] for place in KEPT[node.func.id] if place < len(node.args)]
            node.keywords = [word for word in node.keywords if word.arg in DECISIVE]
        return node

    def visit_Assign(self, node: ast.Assign) -> ast.AST:
        self.generic_visit(node)
        match node:
            case ast.Assign(targets=[ast.Name(id="reason")], value=ast.Constant(value=str())):
                node.value = ast.Constant("")
        return node


@dataclass(frozen=True)
class Mutant:
    """One change of one function, and what the tests said of it."""

    file: str
    name: str
    fate: str
    original: ast.AST
    changed: ast.AST

    @property
    def is_words(self) -> bool:
        """Whether it changes only what an error says."""
        return _shape(self.original) == _shape(self.changed)

    def diff(self) -> str:
        """The function's name, and the one place at which the two versions differ."""
        before, after = ast.unparse(self.original), ast.unparse(self.changed)
        before, after = (text.partition("(")[2] for text in (before, after))
        start = _alike(before, after)
        end = _alike(before[start:][::-1], after[start:][::-1])
        shown = (
            text[max(0, start - CONTEXT) : len(text) - max(0, end - CONTEXT)]
            for text in (before, after)
        )
        lines = (f"{sign} {' '.join(text.split())}" for sign, text in zip("-+", shown, strict=True))
        return "\n".join([f"{self.file} {self.name}", *lines])


def _alike(one: str, other: str) -> int:
    """How many characters the two have in common at their beginning."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def _shape(function: ast.AST) -> str:
    wordless = _Wordless().visit(ast.parse(ast.unparse(function)))
    wordless.body[0].name = ""
    return ast.dump(wordless)


def mutants(file: Path) -> Iterator[Mutant]:
    """Read each mutant of a source file, and its fate."""
    fates = json.loads((MUTANTS / f"{file}.meta").read_text())["exit_code_by_key"]
    functions = {
        node.name: node
        for node in ast.walk(ast.parse((MUTANTS / file).read_text()))
        if isinstance(node, ast.FunctionDef)
    }
    for key, exit_code in fates.items():
        mangled = key.rpartition(".")[2]
        if not _MANGLED.fullmatch(mangled):
            raise ValueError(f"not a mutant's name: {mangled}")
        yield Mutant(
            file=file.stem,
            name=mangled,
            fate=FATES.get(exit_code, TIMED_OUT),
            original=functions[re.sub(r"_\d+$", "_orig", mangled)],
            changed=functions[mangled],
        )


def row(file: str, counts: Counter[str]) -> str:
    """Return a line of the list-table."""
    killed = counts["killed"] + counts[TIMED_OUT]
    judged = killed + counts["survived"] + counts["untested"]
    score = f"{100 * killed / judged:.1f} %" if judged else "none"
    cells = (file, judged, killed, judged - killed, score, counts["words"])
    return "\n".join(
        f"   {'* -' if first else '  -'} {cell}"
        for first, cell in zip((True, *[False] * 5), cells, strict=True)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--survivors", action="store_true")
    parser.add_argument("files", nargs="*", metavar="FILE")
    options = parser.parse_args()
    total: Counter[str] = Counter()
    for file in sorted(PROTOCOL.glob("*.py")):
        if options.files and file.stem not in options.files:
            continue
        counts: Counter[str] = Counter()
        for mutant in mutants(file):
            fate = "words" if mutant.is_words else mutant.fate
            counts[fate] += 1
            if options.survivors and fate in ("survived", "untested"):
                print(mutant.diff(), end="\n\n")
        total += counts
        if not options.survivors and counts:
            print(row(file.stem, counts))
    if not options.survivors:
        print(row("all", total))


if __name__ == "__main__":
    main()
