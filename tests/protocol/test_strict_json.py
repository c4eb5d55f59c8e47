"""JSON from outside: RFC 8259 and not a bit more."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clefstorm.errors import ProtocolViolation
from clefstorm.protocol.strict_json import DEEPEST, read_json, read_json_object


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("{}", {}, id="object"),
        pytest.param(' \t\r\n{"a" : 1}\n', {"a": 1}, id="white_space"),
        pytest.param("[1, 2.5, -3, 1e3, 0, -0.0]", [1, 2.5, -3, 1000.0, 0, -0.0], id="numbers"),
        pytest.param("[true, false, null]", [True, False, None], id="literals"),
        pytest.param('"text"', "text", id="text_alone"),
        pytest.param("17", 17, id="number_alone"),
        pytest.param(r'"\u00e9\n\"\\\/"', 'é\n"\\/', id="escapes"),
        pytest.param(r'"\ud83d\ude00"', "\N{GRINNING FACE}", id="surrogate_pair"),
        pytest.param('"\N{GRINNING FACE}"', "\N{GRINNING FACE}", id="beyond_the_basic_plane"),
        pytest.param(r'"\u0000"', "\0", id="escaped_null"),
        pytest.param('{"a": {"a": 1}, "b": [{"a": 2}]}', None, id="same_name_elsewhere"),
        pytest.param("[" + "9" * 64 + "]", [int("9" * 64)], id="64_digits"),
        pytest.param("[0." + "1" * 62 + "]", [float("0." + "1" * 62)], id="64_characters"),
        pytest.param("[" * DEEPEST + "]" * DEEPEST, None, id="deepest"),
        pytest.param(
            "[" + '{"a":[]},' * 40 + "[" * 31 + "]" * 31 + "]", None, id="deepest_and_wide"
        ),
        pytest.param('{"a":' * DEEPEST + "1" + "}" * DEEPEST, None, id="deepest_objects"),
        pytest.param("[" + "[]," * 500 + "[]]", None, id="wide"),
        pytest.param(json.dumps("[{" * 500), "[{" * 500, id="brackets_in_text"),
        pytest.param(json.dumps('"[' * 500), '"[' * 500, id="brackets_after_escaped_quotes"),
        pytest.param(json.dumps(["\\", *["[\\"] * 500]), None, id="brackets_after_backslashes"),
    ],
)
@pytest.mark.parametrize("as_bytes", [True, False], ids=["bytes", "text"])
def test_json_is_read(text: str, value: Any, as_bytes: bool) -> None:
    """What RFC 8259 allows is read as every other reader reads it."""
    assert read_json(text.encode() if as_bytes else text) == (
        json.loads(text) if value is None else value
    )


REFUSED = [
    pytest.param(b"", "json_invalid", id="empty"),
    pytest.param(b" ", "json_invalid", id="blank"),
    pytest.param(b"{", "json_invalid", id="cut_off"),
    pytest.param(b"{} {}", "json_invalid", id="two_values"),
    pytest.param(b'{"a": 1} x', "json_invalid", id="trailing_text"),
    pytest.param(b'{"a": 1,}', "json_invalid", id="trailing_comma_in_object"),
    pytest.param(b"[1,]", "json_invalid", id="trailing_comma_in_array"),
    pytest.param(b"{'a': 1}", "json_invalid", id="single_quotes"),
    pytest.param(b"{a: 1}", "json_invalid", id="bare_name"),
    pytest.param(b'{1: "a"}', "json_invalid", id="number_as_name"),
    pytest.param(b"[1] // x", "json_invalid", id="comment"),
    pytest.param(b"[NaN]", "json_invalid", id="nan"),
    pytest.param(b"[Infinity]", "json_invalid", id="infinity"),
    pytest.param(b"[-Infinity]", "json_invalid", id="minus_infinity"),
    pytest.param(b"[1e400]", "json_invalid", id="beyond_any_float"),
    pytest.param(b"[-1e400]", "json_invalid", id="below_any_float"),
    pytest.param(b"[" + b"9" * 65 + b"]", "json_invalid", id="65_digits"),
    pytest.param(b"[" + b"9" * 5000 + b"]", "json_invalid", id="5000_digits"),
    pytest.param(b"[0." + b"1" * 63 + b"]", "json_invalid", id="65_characters_of_fraction"),
    pytest.param(b"[01]", "json_invalid", id="leading_zero"),
    pytest.param(b"[+1]", "json_invalid", id="plus_sign"),
    pytest.param(b"[.5]", "json_invalid", id="no_digit_before_the_point"),
    pytest.param(b"[1.]", "json_invalid", id="no_digit_after_the_point"),
    pytest.param(b"[0x10]", "json_invalid", id="hexadecimal"),
    pytest.param("[\u0661]".encode(), "json_invalid", id="digit_of_another_script"),
    pytest.param(b"[True]", "json_invalid", id="literal_in_another_case"),
    pytest.param(b'["\t"]', "json_invalid", id="raw_control_character"),
    pytest.param(b'["\0"]', "json_invalid", id="raw_null"),
    pytest.param(rb'["\x41"]', "json_invalid", id="escape_of_other_languages"),
    pytest.param(rb'["\u12"]', "json_invalid", id="short_escape"),
    pytest.param(b'["', "json_invalid", id="unterminated_text"),
    pytest.param("[\u00a0]".encode(), "json_invalid", id="white_space_of_unicode"),
    pytest.param(b"\xef\xbb\xbf{}", "json_invalid", id="byte_order_mark"),
    pytest.param('{"a": 1}'.encode("utf-16"), "json_invalid", id="utf_16"),
    pytest.param('{"a": 1}'.encode("utf-16-le"), "json_invalid", id="utf_16_unmarked"),
    pytest.param('{"a": 1}'.encode("utf-32-be"), "json_invalid", id="utf_32_unmarked"),
    pytest.param(b'["\xff"]', "json_invalid", id="not_utf8"),
    pytest.param(b'["\xc0\xaf"]', "json_invalid", id="overlong_utf8"),
    pytest.param(b'["\xed\xa0\x80"]', "json_invalid", id="half_surrogate_in_utf8"),
    pytest.param(rb'["\ud800"]', "json_invalid", id="half_surrogate_escaped"),
    pytest.param(rb'["\udc00\ud800"]', "json_invalid", id="surrogates_the_wrong_way"),
    pytest.param(rb'{"\udfff": 1}', "json_invalid", id="half_surrogate_in_name"),
    pytest.param(b'{"a": 1, "a": 1}', "json_duplicate_name", id="name_twice"),
    pytest.param(b'[{"b": {"a": 1, "a": 2}}]', "json_duplicate_name", id="name_twice_deep"),
    pytest.param(rb'{"a": 1, "\u0061": 2}', "json_duplicate_name", id="name_twice_escaped"),
    pytest.param(b"[" * (DEEPEST + 1), "json_too_deep", id="too_deep"),
    pytest.param(b'{"a":' * (DEEPEST + 1), "json_too_deep", id="objects_too_deep"),
    pytest.param(b"[" * 1_000_000, "json_too_deep", id="a_million_deep"),
    pytest.param(b"[" + b"[]," * 40 + b"[" * DEEPEST, "json_too_deep", id="too_deep_after_wide"),
    pytest.param(
        b"[" * DEEPEST + b"],[" + b"[" * DEEPEST, "json_too_deep", id="too_deep_after_deepest"
    ),
    pytest.param(b"[" * DEEPEST + b"],[[", "json_too_deep", id="too_deep_by_one_after_deepest"),
    pytest.param(b"[X" * (DEEPEST + 1), "json_too_deep", id="too_deep_and_no_json"),
    pytest.param(b"[]X" * (DEEPEST + 1), "json_invalid", id="no_json_but_not_deep"),
    pytest.param(b'["\\"",' + b"[" * DEEPEST, "json_too_deep", id="too_deep_after_escapes"),
    pytest.param(b'["\\\\",' + b"[" * DEEPEST, "json_too_deep", id="too_deep_after_backslash"),
]


@pytest.mark.parametrize(("raw", "code"), REFUSED)
def test_what_is_no_json_is_refused(raw: bytes, code: str) -> None:
    """UTF-8 without mark, each name once in an object, numbers that exist, nothing deeper than
    we agree to follow (RFC 8259, 4, 6, 7, 8.1; RFC 8725, 3.7).
    """
    assert read_json(b'{"a": [1]}') == {"a": [1]}
    with pytest.raises(ProtocolViolation) as refusal:
        read_json(raw)
    assert refusal.value.code == code


def test_the_depth_is_bounded_at_32() -> None:
    """As deep as any document of a provider goes, and far from what a parser can follow."""
    assert DEEPEST == 32


def test_a_text_that_is_no_unicode_is_refused() -> None:
    """Half of a surrogate pair in a str can't have come from UTF-8."""
    with pytest.raises(ProtocolViolation) as refusal:
        read_json('["\ud800"]')
    assert refusal.value.code == "json_invalid"


def test_a_refusal_quotes_nothing_of_the_text() -> None:
    """What can't be read may hold a token: neither the error nor its cause repeats it."""
    with pytest.raises(ProtocolViolation) as refusal:
        read_json('{"access_token": "sesame" oops}')
    error = refusal.value
    assert "sesame" not in f"{error!s} {error.evidence}"
    assert error.__cause__ is error.__context__ is None


@pytest.mark.parametrize("raw", [b"[]", b'"a"', b"1", b"null", b"true"])
def test_an_object_is_an_object(raw: bytes) -> None:
    """Where an object is due, no other value is taken for one."""
    assert read_json_object(b'{"a": 1}') == {"a": 1}
    with pytest.raises(ProtocolViolation) as refusal:
        read_json_object(raw)
    assert refusal.value.code == "json_not_object"


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(min_value=-(10**60), max_value=10**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@settings(database=None, deadline=None)
@given(values, st.booleans())
def test_every_value_survives(value: Any, ascii_only: bool) -> None:
    """What another program wrote as JSON is read as what it was."""
    assert read_json(json.dumps(value, ensure_ascii=ascii_only)) == value


@settings(database=None, deadline=None)
@given(st.binary() | st.text(alphabet='[]{}",:\\u0123dex.- aN').map(str.encode))
def test_no_other_exception_comes_out(raw: bytes) -> None:
    """Whatever the bytes: a value, or our own refusal."""
    try:
        value = read_json(raw)
    except ProtocolViolation:
        return
    assert value == json.loads(raw.decode())
