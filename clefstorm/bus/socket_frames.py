"""The frames of a remote session: JSON objects, one a WebSocket text message.

docs/reference/frames.rst is the contract; this file is its text in code, for both ends.

LAW: values in, text out, and back; reading is strict and bounded, and what is written here is
always readable there. Knows no connection and no session. (Not among the nouns of the folder:
whoever uses the bus alone needs no frames.)

Source: own; RFC 6455, section 7.4 (close codes); RFC 8259 (JSON).
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from enum import IntEnum
from typing import Any, Final

from clefstorm.bus.waiting import distinct
from clefstorm.errors import ConfigurationError, ProtocolViolation
from clefstorm.protocol.strict_json import read_json_object

VERSION: Final = 1
LARGEST_ANSWER: Final = 1 << 20
"""Bytes of a frame that a server writes; clients read no larger one."""
LONGEST_KEY = 256  # characters
MOST_KEYS = 100  # of one wait or subscription
LONGEST_PRINCIPAL = 200  # characters
LONGEST_CREDENTIALS = 16384  # characters of base64
OUR_PREFIX: Final = "clefstorm"

_LARGEST_INT = (1 << 53) - 1  # what every JSON reader keeps exactly: RFC 8259, section 6
_MOST_PROPERTIES = 50


class CloseCode(IntEnum):
    """Why a connection was closed; the close frame's reason is a word such as our errors' codes."""

    NORMAL = 1000  # the session is over
    GOING_AWAY = 1001  # the server stops: come back
    BAD_FRAME = 4400
    CREDENTIALS_REFUSED = 4401
    SESSION_LOST = 4404  # there is nothing to resume
    HANDSHAKE_TIMEOUT = 4408
    RESUMED_ELSEWHERE = 4409
    SIGNED_OUT = 4410  # the login session that this one belonged to has ended
    REVOKED = 4411  # the application has ended the principal's sessions
    TOO_MANY = 4429
    STORE_UNAVAILABLE = 4503  # come back


def check_key(key: object) -> str | int:
    """Return a key that may stand on the wire: a str, or an int that JSON keeps; its kind is kept.

    Raises ConfigurationError (``key_kind``; ``key_forbidden`` for the library's own names).
    """
    if not is_key(key):
        raise ConfigurationError(
            f"a key on the wire is a str of at most {LONGEST_KEY} characters, or an int of 53 bits",
            code="key_kind",
            got=type(key).__name__,
        )
    if is_ours(key):
        raise ConfigurationError(
            f"keys that begin with {OUR_PREFIX!r} are the library's own: choose another name",
            code="key_forbidden",
        )
    assert isinstance(key, str | int)
    return key


def check_keys(keys: Iterable[object]) -> list[Any]:
    """Return each key once. Raises as `check_key`, and for none or too many of them."""
    found = distinct([check_key(key) for key in keys])
    if len(found) > MOST_KEYS:
        raise ConfigurationError(
            f"at most {MOST_KEYS} keys at once", code="keys_too_many", got=len(found)
        )
    return list(found)


def is_key(value: object) -> bool:
    """Whether a key on the wire can be this."""
    if isinstance(value, str):
        return len(value) <= LONGEST_KEY
    return type(value) is int and abs(value) <= _LARGEST_INT


def is_ours(key: object) -> bool:
    """Whether this key is the library's own, which nobody at the other end may touch."""
    return isinstance(key, str) and key.startswith(OUR_PREFIX)


# -- what frames there are -------------------------------------------------------------------------

Check = Callable[[Any], bool]


def _text(longest: int) -> Check:
    return lambda value: isinstance(value, str) and len(value) <= longest


def _count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _LARGEST_INT


def _number(value: Any) -> bool:
    return _count(value) and value > 0


def _seconds(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and value >= 0


def _keys(value: Any) -> bool:
    return isinstance(value, list) and 0 < len(value) <= MOST_KEYS and all(map(is_key, value))


def are_properties(value: Any) -> bool:
    """Whether these may be a session's properties: few and short, str to str."""
    return (
        isinstance(value, dict)
        and len(value) <= _MOST_PROPERTIES
        and all(isinstance(name, str) and 0 < len(name) <= 100 for name in value)
        and all(isinstance(text, str) and len(text) <= 1000 for text in value.values())
    )


def _anything(value: Any) -> bool:
    return True


def _perhaps(check: Check) -> Check:
    return lambda value: value is None or check(value)


_HELLO: dict[str, Check] = {
    "version": _number,
    "principal": _text(LONGEST_PRINCIPAL),
    "credentials": _text(LONGEST_CREDENTIALS),
    "properties": are_properties,
}
_RESUME: dict[str, Check] = {
    "version": _number,
    "session": _text(64),
    "secret": _text(64),
    "received": _count,
}
_ACK: dict[str, Check] = {"n": _count}
_TELL: dict[str, Check] = {"n": _number, "key": is_key, "message": _anything}
_WAIT: dict[str, Check] = {"n": _number, "keys": _keys}
_ANSWER: dict[str, Check] = {"n": _number, "to": _number}
_CODE = _text(64)
_SENTENCE = _text(1000)
_ID = _text(64)

FROM_CLIENT: Mapping[str, Mapping[str, Check]] = {
    "hello": _HELLO,
    "resume": _RESUME,
    "ack": _ACK,
    "notify": _TELL,
    "notifyall": _TELL,
    "publish": _TELL,
    "wait": _WAIT,
    "subscribe": {**_WAIT, "after": _perhaps(_ID)},
    "cancel": _ANSWER,
    "ping": {"n": _number},
}
FROM_SERVER: Mapping[str, Mapping[str, Check]] = {
    "welcome": {
        "version": _number,
        "session": _text(64),
        "secret": _text(64),
        "properties": are_properties,
        "grace": _seconds,
        "frame_bytes": _number,
    },
    "resumed": {"received": _count},
    "ack": _ACK,
    "reply": {**_ANSWER, "value": _anything},
    "error": {**_ANSWER, "code": _CODE, "message": _SENTENCE},
    "event": {**_ANSWER, "id": _ID, "key": is_key, "message": _anything},
    "end": {**_ANSWER, "code": _CODE, "message": _SENTENCE},
}


def read_frame(text: str | bytes, kinds: Mapping[str, Mapping[str, Check]]) -> dict[str, Any]:
    """Read one frame of these kinds (FROM_CLIENT or FROM_SERVER).

    Raises ProtocolViolation: ``frame_binary``, ``frame_not_json`` (not one strict JSON object),
    ``frame_unknown`` (its type), ``frame_malformed`` (a member is missing, too much, or wrong).
    """
    if not isinstance(text, str):
        raise ProtocolViolation("a frame is a text message", code="frame_binary")
    try:
        frame = read_json_object(text)
    except ProtocolViolation as error:
        raise ProtocolViolation(
            "a frame is one JSON object", code="frame_not_json", cause=error.code
        ) from None
    kind = frame.get("type")
    checks = kinds.get(kind) if isinstance(kind, str) else None
    if checks is None:
        raise ProtocolViolation("there is no such frame", code="frame_unknown", got=kind)
    for name in sorted({"type", *checks} ^ frame.keys()):
        raise ProtocolViolation(
            "a member is missing, or is too much", code="frame_malformed", frame=kind, member=name
        )
    for name, check in checks.items():
        if not check(frame[name]):
            raise ProtocolViolation(
                "a member is of the wrong kind", code="frame_malformed", frame=kind, member=name
            )
    return frame


def write_frame(kind: str, *, largest: int, **members: Any) -> str:
    """Return the text of a frame of at most ``largest`` bytes.

    Raises ConfigurationError: ``frame_not_json`` for a message that strict JSON does not have
    (or nested deeper than a reader accepts), ``frame_too_large``.
    """
    try:
        text = json.dumps(
            {"type": kind, **members}, ensure_ascii=False, allow_nan=False, separators=(",", ":")
        )
        size = len(text.encode("utf-8"))
    except (TypeError, ValueError, RecursionError):
        raise _not_json() from None
    if size > largest:
        raise ConfigurationError(
            "the message is too large for the wire: send a reference to it instead",
            code="frame_too_large",
            bytes=size,
            expected=f"at most {largest}",
        )
    try:
        # Python writes more than strict readers take: absurd numbers and depths, a name twice.
        read_json_object(text)
    except ProtocolViolation:
        raise _not_json() from None
    return text


def _not_json() -> ConfigurationError:
    return ConfigurationError("a message for the wire must be JSON", code="frame_not_json")
