"""What strangers may send: strategies that begin with something good and then spoil it.

Bytes drawn at random are refused at the first gate. So most inputs are a good document with some
members replaced, dropped or added, and then, sometimes, with some of its bytes changed.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import urlencode

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from clefstorm.keys import HS256Key

SECRET = b"a secret of thirty-two bytes or more, known to the fuzzer"
KEY = HS256Key(SECRET, kid="k")

T = TypeVar("T")
_GONE = object()

texts = st.text(max_size=40) | st.sampled_from(
    ["", "\x00", "\ud800", "é", "a\r\nb", "//", "a" * 5000]
)
numbers = (
    st.integers()
    | st.floats(allow_nan=True, allow_infinity=True)
    | st.sampled_from([0, -1, 2**53, 10**400, 1e308, -0.0])
)
leaves = st.none() | st.booleans() | numbers | texts
deep = st.sampled_from([[[[[[]]]]], {"a": {"a": {"a": [{}]}}}, [{}, []], [""] * 50])
anything: SearchStrategy[Any] = (
    leaves | deep | st.lists(leaves, max_size=3) | st.dictionaries(texts, leaves, max_size=3)
)


def mostly(usual: SearchStrategy[T], other: SearchStrategy[T]) -> SearchStrategy[T]:
    """One in four is of the other kind."""
    return st.integers(0, 3).flatmap(lambda number: usual if number else other)


def spoiled(good: Mapping[str, Any]) -> SearchStrategy[dict[str, Any]]:
    """The mapping with some members replaced, or one dropped, or others added."""
    names = st.sampled_from(sorted(good))
    others = mostly(anything, st.sampled_from(list(good.values())))
    changes = (
        st.just([])
        | st.tuples(names, st.just(_GONE)).map(lambda change: [change])
        | st.lists(st.tuples(names, others), max_size=3)
        | st.lists(st.tuples(texts, anything), max_size=2)
    )
    return changes.map(
        lambda made: {
            name: value for name, value in {**good, **dict(made)}.items() if value is not _GONE
        }
    )


def as_json(value: object) -> bytes:
    """What Python writes for it: NaN, lone surrogates and huge numbers too."""
    return json.dumps(value).encode()


def scratched(documents: SearchStrategy[bytes]) -> SearchStrategy[bytes]:
    """The documents as they are, some with bytes put in, some cut short; and plain noise."""

    def put_in(document: bytes, noise: bytes, place: float, keep: bool) -> bytes:
        at = int(len(document) * place)
        return document[:at] + noise + (document[at:] if keep else b"")

    noise = st.binary(max_size=6) | st.sampled_from(
        [b"\xef\xbb\xbf", b"[" * 2000, b'{"a":' * 300, b"\\ud800", b"1e999", b'"kid":"k",' * 3]
    )
    placed = st.builds(put_in, documents, noise, st.floats(0, 1), st.booleans())
    return mostly(documents, mostly(placed, st.binary(max_size=200)))


def scratched_text(documents: SearchStrategy[str]) -> SearchStrategy[str]:
    """The same for texts; each byte that was put in becomes one character."""
    return scratched(documents.map(str.encode)).map(lambda raw: raw.decode("latin-1"))


def json_of(good: Mapping[str, Any]) -> SearchStrategy[bytes]:
    """JSON documents around a good one."""
    return scratched(mostly(spoiled(good), anything).map(as_json))


def base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def tokens_of(header: Mapping[str, Any], claims: Mapping[str, Any]) -> SearchStrategy[str]:
    """Tokens around a good one, most of them with a good signature, so that claims get judged."""

    def signed(head: bytes, body: bytes, good: bool) -> str:
        message = f"{base64url(head)}.{base64url(body)}"
        signature = KEY.sign(message.encode()) if good else b"no signature"
        return f"{message}.{base64url(signature)}"

    built = st.builds(
        signed,
        mostly(st.just(as_json(header)), json_of(header)),
        json_of(claims),
        mostly(st.just(True), st.booleans()),
    )
    return mostly(built, scratched_text(built) | texts)


def forms_of(good: Mapping[str, str]) -> SearchStrategy[str]:
    """Queries and forms around a good one: parameters twice, empty, foreign, badly encoded."""
    names, values = st.sampled_from(sorted(good)), st.sampled_from(sorted(good.values()))
    pair = st.tuples(mostly(names, texts), mostly(values, texts))
    pairs = st.just(list(good.items())) | st.lists(pair, max_size=8)
    written = pairs.map(lambda items: urlencode(items, errors="surrogatepass"))
    return mostly(written, scratched_text(written))
