"""Named faults of JSON texts, in tokens and in answers alike.

LAW: each is nearly the good text: a reader that is not strict takes it for good, or chokes on it.
Source: RFC 8259, sections 4, 6, 7, 8.1 and 9; RFC 7519, section 4 (names stand once).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

Change = Callable[[str], bytes | str]

DEEP = 2000
"""Levels; far fewer stop a parser that recurses, and no specification needs ten."""


def _member(text: str) -> Change:
    """Put one more member at the end of the object."""
    return lambda good: f"{good[:-1]}, {text}}}"


def _first_member_twice(good: str) -> str:
    """The first member stands twice; the last one of them is the good one."""
    name = json.dumps(next(iter(json.loads(good))))
    return f'{{{name}: "somebody-else", {good[1:]}'


JSON_CHANGES: Mapping[str, tuple[str, Change]] = {
    "json_empty": ("nothing at all", lambda good: ""),
    "json_html": ("a page of HTML", lambda good: "<!doctype html><title>Oops</title>"),
    "json_cut": ("JSON that ends too early", lambda good: good[:-1]),
    "json_array": ("an array with the object in it", lambda good: f"[{good}]"),
    "json_null": ("null", lambda good: "null"),
    "json_string": ("the object as a string", json.dumps),
    "json_name_twice": ("a member that stands twice, the last one good", _first_member_twice),
    "json_nan": ("NaN, which JSON does not have", _member('"x": NaN')),
    "json_infinity": ("Infinity, which JSON does not have", _member('"x": -Infinity')),
    "json_huge_number": ("a number beyond all floats", _member('"x": 1e999')),
    "json_long_number": ("a number of 5000 digits", _member(f'"x": {"9" * 5000}')),
    "json_trailing": ("one more object after the first", lambda good: f"{good}{{}}"),
    "json_comma": ("a comma after the last member", lambda good: f"{good[:-1]},}}"),
    "json_quotes": ("single quotes", lambda good: good.replace('"', "'")),
    "json_comment": ("a comment", lambda good: f"/* good */{good}"),
    "json_bom": ("a byte order mark in front", lambda good: b"\xef\xbb\xbf" + good.encode()),
    "json_utf16": ("UTF-16", lambda good: good.encode("utf-16")),
    "json_latin1": ("bytes that are not UTF-8", lambda good: good.encode() + b"\xe9"),
    "json_surrogate": ("half of a surrogate pair", _member(r'"x": "\ud800"')),
    "json_control": ("a newline in a string", _member('"x": "a\nb"')),
    "json_deep": ("nesting without end", _member(f'"x": {"[" * DEEP}{"]" * DEEP}')),
}  # fmt: skip
"""What is sent instead of the good text, in words and in deed, by its name."""
