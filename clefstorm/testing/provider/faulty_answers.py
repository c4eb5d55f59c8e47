"""Named faults of what the provider's endpoints answer, and of how they answer it.

LAW: as faulty_tokens: one difference each from the good answer.
Source: RFC 6749, sections 4.1.2 and 5; OpenID Connect Core 1.0, section 5.3; RFC 9207, section 2;
RFC 9110, sections 8.4 and 15.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from clefstorm.testing.provider.faults import Answer, Fault
from clefstorm.testing.provider.faulty_documents import (
    Document,
    Hook,
    change,
    faults_at,
    put,
    without,
)
from clefstorm.testing.provider.faulty_json import JSON_CHANGES, Change

DOCUMENTS = ("discovery", "jwks", "token", "userinfo")
_JSON = {"Content-Type": "application/json"}
DROP = 1.0
"""Seconds between two bytes of an answer that drips."""


def _answer(**members: Any) -> Hook:
    return lambda _document: Answer(**members)


def _instead(by: Change) -> Hook:
    def replace(document: Document) -> Answer:
        return Answer(headers=_JSON, body=by(json.dumps(document)))

    return replace


@cache
def _bomb(megabytes: int) -> bytes:
    """Return gzip that a thousandth of its size unpacks to so many megabytes of spaces."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    head = packer.compress(b" " * 2**20) + packer.flush(zlib.Z_FULL_FLUSH)
    piece = packer.compress(b" " * 2**20) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + piece * (megabytes - 1)


def _packed(megabytes: int) -> Hook:
    return lambda _document: Answer(
        headers={**_JSON, "Content-Encoding": "gzip"}, body=_bomb(megabytes)
    )


ANSWER_FAULTS: Mapping[str, Fault] = {
    name: Fault(says, DOCUMENTS, hook)
    for name, (says, hook) in {
        "redirects": (
            "the endpoint redirects to another place",
            _answer(status=302, headers={"Location": "https://evil.example/"}),
        ),
        "redirects_with_body": (
            "the endpoint redirects with 307, which would send secrets on",
            _answer(status=307, headers={"Location": "http://127.0.0.1:9/"}),
        ),
        "says_500": ("the endpoint answers 500", _answer(status=500, body="<h1>Oops</h1>")),
        "says_503": ("the endpoint answers 503", _answer(status=503)),
        "says_404": ("the endpoint answers 404", _answer(status=404, body="<h1>Gone</h1>")),
        "says_204": ("the endpoint answers 204", _answer(status=204)),
        "hangs": ("the endpoint never answers", _answer(hang=True)),
        "drips": (
            "the answer comes a byte a second",
            _answer(headers=_JSON, body=b" " * 3600, drip=DROP),
        ),
        "never_ends": (
            "the answer never ends",
            _answer(headers=_JSON, body=b" " * 65536, endless=True),
        ),
        "inflates": ("a packed answer unpacks to 200 MB", _packed(200)),
        "inflates_to_gigabytes": ("a packed answer unpacks to 2 GB", _packed(2048)),
        "packed_badly": (
            "the answer says gzip and is not",
            _answer(headers={**_JSON, "Content-Encoding": "gzip"}, body=b"{}"),
        ),
        "packed_strangely": (
            "the answer is packed in a way that nobody asked for",
            _answer(headers={**_JSON, "Content-Encoding": "br"}, body=b"{}"),
        ),
        "too_large": ("the answer has 2 MB", _answer(headers=_JSON, body=b" " * 2**21)),
        "headers_too_large": (
            "the answer's headers have 64 kB",
            _answer(headers={"X-Filler": "x" * 65536}, body=b"{}"),
        ),
        "cut": ("the connection is cut within the answer", _answer(body=b" " * 100, cut=True)),
    }.items()
}

JSON_FAULTS: Mapping[str, Fault] = {
    name: Fault(f"the answer is {says}", DOCUMENTS, _instead(by))
    for name, (says, by) in JSON_CHANGES.items()
}


_TOKEN: Mapping[str, tuple[str, Hook]] = {
    "access_token_missing": ("there is no access_token", without("access_token")),
    "access_token_empty": ("access_token is empty", put(access_token="")),
    "access_token_number": ("access_token is a number", put(access_token=1)),
    "access_token_newline": ("access_token has a line break", put(access_token="a\r\nX: y")),
    "token_type_missing": ("there is no token_type", without("token_type")),
    "token_type_mac": ("token_type is mac", put(token_type="mac")),
    "token_type_lower": ("token_type is bearer", put(token_type="bearer")),
    "expires_in_missing": ("there is no expires_in", without("expires_in")),
    "expires_in_text": ("expires_in is a text of digits", change("expires_in", str)),
    "expires_in_word": ("expires_in is a word", put(expires_in="soon")),
    "expires_in_negative": ("expires_in is negative", put(expires_in=-1)),
    "id_token_missing": ("there is no id_token", without("id_token")),
    "id_token_number": ("id_token is a number", put(id_token=1)),
    "id_token_object": ("id_token is an object", put(id_token={"sub": "x"})),
    "refresh_token_number": ("refresh_token is a number", put(refresh_token=1)),
    "token_members_unknown": ("there are members that nobody knows", put(x={"y": 1}, z=None)),
    "error_in_200": (
        "the answer is 200 and an error",
        _answer(body={"error": "invalid_grant"}),
    ),
    "invalid_client": (
        "the endpoint does not accept our credentials",
        _answer(status=401, body={"error": "invalid_client"}),
    ),
    "invalid_grant": (
        "the endpoint does not accept the code",
        _answer(status=400, body={"error": "invalid_grant", "error_description": "<b>no</b>"}),
    ),
    "form_encoded": (
        "the answer is a form, as before RFC 6749",
        _answer(body="access_token=a&token_type=bearer"),
    ),
}

_USERINFO: Mapping[str, tuple[str, Hook]] = {
    "userinfo_sub_other": ("sub is another user's", put(sub="sub-of-another")),
    "userinfo_sub_missing": ("there is no sub", without("sub")),
    "userinfo_sub_upper": ("sub is written in capitals", change("sub", str.upper)),
    "userinfo_sub_list": ("sub is a list with the user's", change("sub", lambda v: [v])),
    "userinfo_claims_of_token": (
        "the answer has iss, aud, nonce and sid of its own",
        put(iss="https://evil.example", aud="x", nonce="x", sid="x"),
    ),
    "userinfo_401": ("the endpoint refuses the access token", _answer(status=401)),
    "userinfo_403": ("the endpoint forbids it", _answer(status=403)),
}


def _twice(name: str) -> Callable[[Document], Any]:
    return lambda answer: [*answer.items(), (name, answer[name])]


_AUTHORIZE: Mapping[str, tuple[str, Hook]] = {
    "response_iss_other": ("iss is another issuer", put(iss="https://evil.example")),
    "response_iss_missing": ("iss is announced and missing", without("iss")),
    "response_iss_slash": ("iss has one more slash", change("iss", lambda v: v + "/")),
    "response_iss_upper": ("iss is written in capitals", change("iss", str.upper)),
    "response_iss_twice": ("iss stands twice", _twice("iss")),
    "response_state_missing": ("state is missing", without("state")),
    "response_state_other": ("state is none of ours", put(state="x.y.z")),
    "response_state_cut": ("state lacks its end", change("state", lambda v: v[:-3])),
    "response_state_twice": ("state stands twice", _twice("state")),
    "response_code_missing": ("there is neither code nor error", without("code")),
    "response_code_empty": ("code is empty", put(code="")),
    "response_code_other": ("code is none of the provider's", put(code="of-nobody")),
    "response_code_twice": ("code stands twice", _twice("code")),
    "response_code_long": ("code has 9000 characters", put(code="c" * 9000)),
    "response_code_and_error": ("there are code and error", put(error="access_denied")),
    "response_unknown": ("there are parameters that nobody knows", put(session_state="x", x="y")),
    "response_error": (
        "the provider refuses, in HTML",
        lambda answer: {
            "error": "access_denied",
            "error_description": "<script>alert(1)</script>",
            "state": answer["state"],
            "iss": answer["iss"],
        },
    ),
    "response_error_iss_other": (
        "an error comes from another issuer",
        lambda answer: {
            "error": "access_denied",
            "state": answer["state"],
            "iss": "https://evil.example",
        },
    ),
}

ENDPOINT_FAULTS: Mapping[str, Fault] = {
    **faults_at("authorize", _AUTHORIZE),
    **faults_at("token", _TOKEN),
    **faults_at("userinfo", _USERINFO),
}
