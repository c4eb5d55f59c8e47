"""JSON as RFC 8259 has it, and bounded: what Python's json module forgives is refused here.

Refused: bytes that are not UTF-8, a byte-order mark, a name that stands twice in an object,
NaN and Infinity, numbers of absurd length, nesting deeper than DEEPEST. Used for every JSON
text that comes from outside.
"""

from __future__ import annotations

import json
import math
from contextlib import suppress
from typing import Any, NoReturn

from clefstorm.errors import ProtocolViolation

DEEPEST = 32
_LONGEST_NUMBER = 64


def _refuse(what: str, code: str, **evidence: object) -> NoReturn:
    raise ProtocolViolation(f"not strict JSON: {what}", code=code, **evidence)


def _constant(name: str) -> NoReturn:
    _refuse("a number that JSON does not have", "json_invalid", got=name)


def _float(text: str) -> float:
    value = float(text) if len(text) <= _LONGEST_NUMBER else math.inf
    if not math.isfinite(value):
        _refuse("a number out of range", "json_invalid")
    return value


def _int(text: str) -> int:
    if len(text) > _LONGEST_NUMBER:
        _refuse("a number out of range", "json_invalid")
    return int(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        _refuse("a name stands twice in one object", "json_duplicate_name")
    return members


def _bound_depth(text: str) -> None:
    """Count brackets outside strings, before the parser can recurse on them."""
    depth = 0
    in_string = escaped = False
    for char in text:
        if in_string:
            if escaped:
                escaped = False
            elif char == "\\":
                escaped = True
            elif char == '"':
                in_string = False
        elif char == '"':
            in_string = True
        elif char in "[{":
            depth += 1
            if depth > DEEPEST:
                _refuse("nested too deeply", "json_too_deep", expected=f"at most {DEEPEST}")
        elif char in "]}":
            depth -= 1


def is_unicode(text: str) -> bool:
    """Tell whether a text can be sent: half of a surrogate pair has no bytes."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


# What Python raises for a text holds it, and a token in it; so each refusal below stands where no
# exception is being handled, which would be its __context__.


def _decode(raw: bytes) -> str:
    with suppress(UnicodeDecodeError):
        return raw.decode("utf-8")
    _refuse("not UTF-8", "json_invalid")


def _parse(text: str) -> Any:
    with suppress(ValueError):
        return json.loads(
            text,
            parse_constant=_constant,
            parse_float=_float,
            parse_int=_int,
            object_pairs_hook=_object,
        )
    _refuse("it can't be read", "json_invalid")


def read_json(raw: bytes | str) -> Any:
    """Read one JSON value. Raises ProtocolViolation for anything RFC 8259 does not allow."""
    text = _decode(raw) if isinstance(raw, bytes) else raw
    # Each bracket opens at most one level, so a short count needs no closer look.
    if text.count("[") + text.count("{") > DEEPEST:
        _bound_depth(text)
    value = _parse(text)
    escaped = json.dumps(value, ensure_ascii=False) if "\\u" in text else ""
    if not is_unicode(text + escaped):
        _refuse("half of a surrogate pair", "json_invalid")
    return value


def read_json_object(raw: bytes | str) -> dict[str, Any]:
    """Read one JSON object. Raises ProtocolViolation for anything else."""
    value = read_json(raw)
    if not isinstance(value, dict):
        _refuse("an object was expected", "json_not_object", got=type(value).__name__)
    return value
