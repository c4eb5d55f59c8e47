"""Who signed in: userinfo, and what it can and can't add."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from protocol.expecting import refusal

from clefstorm.errors import ProtocolViolation, ProviderError
from clefstorm.protocol.exchange import Response
from clefstorm.protocol.identity import (
    Identity,
    build_userinfo_request,
    read_profile,
    read_userinfo,
)


def answer(body: Any, *, status: int = 200, media_type: str = "application/json") -> Response:
    return Response(
        status=status,
        headers={"content-type": media_type},
        body=body if isinstance(body, bytes) else json.dumps(body).encode(),
    )


GOOD = {"sub": "ann", "email": "ann@x.example"}


def test_request() -> None:
    """The access token goes into the Authorization header (RFC 6750, section 2.1; Core, section
    5.3.1), never into the URL (DESIGN, law 4).
    """
    request = build_userinfo_request("https://id.example/me?x=y", "t0ken")
    assert (request.method, request.url, request.body) == ("GET", "https://id.example/me?x=y", None)
    assert request.headers == {"Accept": "application/json", "Authorization": "Bearer t0ken"}
    assert "t0ken" not in repr(request) + str(request)


@pytest.mark.parametrize(
    ("signed", "accept"), [(False, "application/json"), (True, "application/jwt")]
)
def test_what_was_agreed_is_asked_for(signed: bool, accept: str) -> None:
    """A signed answer has a media type of its own (Core, section 5.3.2)."""
    request = build_userinfo_request("https://id.example/me", "at", signed=signed)
    assert request.headers["Accept"] == accept


@pytest.mark.parametrize(
    "media_type", ["application/json", "application/json; charset=utf-8", "", "text/json"]
)
def test_userinfo(media_type: str) -> None:
    """UserInfo claims are the members of a JSON object (Core, section 5.3.2)."""
    assert read_userinfo(answer(GOOD, media_type=media_type), sub="ann") == GOOD


@pytest.mark.parametrize(
    "sub",
    [
        pytest.param("bob", id="another"),
        pytest.param("Ann", id="other_case"),
        pytest.param("ann ", id="space_behind"),
        pytest.param("", id="empty"),
        pytest.param(None, id="null"),
        pytest.param(["ann"], id="list"),
        pytest.param({"ann": "ann"}, id="object"),
        pytest.param(1, id="number"),
        pytest.param(True, id="boolean"),
    ],
)
def test_sub_mismatch(sub: object) -> None:
    """The sub claim in the UserInfo Response MUST be verified to exactly match the sub claim in
    the ID Token; if they do not match, the values MUST NOT be used (Core, section 5.3.2).
    """
    assert read_userinfo(answer(GOOD), sub="ann") == GOOD
    with refusal(ProtocolViolation, "userinfo_sub_mismatch"):
        read_userinfo(answer({**GOOD, "sub": sub}), sub="ann")


def test_sub_missing() -> None:
    """The sub claim MUST always be returned in the UserInfo Response (Core, section 5.3.2)."""
    assert read_userinfo(answer(GOOD), sub="ann") == GOOD
    with refusal(ProtocolViolation, "userinfo_sub_mismatch"):
        read_userinfo(answer({"email": "ann@x.example"}), sub="ann")


@pytest.mark.parametrize(("status", "error"), [(401, "invalid_token"), (403, "insufficient_scope")])
def test_refused(status: int, error: str) -> None:
    """Errors of a protected resource are 401 and 403 (RFC 6750, section 3.1)."""
    assert read_profile(answer(GOOD)) == GOOD
    with refusal(ProviderError, "userinfo_refused") as caught:
        read_profile(answer(b"<html>", status=status))
    assert isinstance(caught.value, ProviderError)
    assert caught.value.error == error


@pytest.mark.parametrize("status", [201, 204, 301, 302, 307, 400, 404, 429, 500, 503])
def test_status(status: int) -> None:
    """A redirect or an error says nothing about the user."""
    assert read_profile(answer(GOOD)) == GOOD
    with refusal(ProtocolViolation, "userinfo_status"):
        read_profile(answer(GOOD, status=status))


@pytest.mark.parametrize("media_type", ["application/jwt", "Application/JWT; charset=utf-8"])
def test_signed(media_type: str) -> None:
    """A signed answer has the type application/jwt (Core, section 5.3.2): it is never taken
    unverified, and the error says what to do.
    """
    assert read_profile(answer(GOOD)) == GOOD
    with refusal(ProtocolViolation, "userinfo_signed") as caught:
        read_profile(answer(GOOD, media_type=media_type))
    assert "userinfo_signed_response_alg" in caught.value.message


@pytest.mark.parametrize(
    ("body", "code"),
    [
        pytest.param(b"", "json_invalid", id="empty"),
        pytest.param(b"<html>", "json_invalid", id="html"),
        pytest.param(b"e30.e30.", "json_invalid", id="jwt"),
        pytest.param(b"[]", "json_not_object", id="array"),
        pytest.param(b'"ann"', "json_not_object", id="text"),
        pytest.param(b'{"sub": "bob", "sub": "ann"}', "json_duplicate_name", id="sub_twice"),
    ],
)
def test_body(body: bytes, code: str) -> None:
    """The answer is one strict JSON object (Core, section 5.3.2)."""
    assert read_userinfo(answer(GOOD), sub="ann") == GOOD
    with refusal(ProtocolViolation, code):
        read_userinfo(answer(body), sub="ann")


OF_THE_TOKEN = [
    "iss", "sub", "aud", "azp", "exp", "iat", "nbf", "jti", "nonce", "auth_time", "acr", "amr",
    "sid", "at_hash", "c_hash", "s_hash",
]  # fmt: skip


@pytest.mark.parametrize("name", OF_THE_TOKEN)
def test_userinfo_replaces_no_token_claim(name: str) -> None:
    """What the id token says of itself was checked; userinfo, which is not signed, can't replace
    or add it: a refresh is held against these claims (Core, section 12.2).
    """
    first = Identity(iss="i", sub="s", claims={name: "of the token", "email": "old"})
    both = first.with_userinfo({name: "of userinfo", "email": "new", "name": "Ann"})
    assert both.claims == {name: "of the token", "email": "new", "name": "Ann"}
    bare = Identity(iss="i", sub="s").with_userinfo({name: "of userinfo", "name": "Ann"})
    assert bare.claims == {"name": "Ann"}
    assert (both.iss, both.sub) == ("i", "s")


def test_with_userinfo_leaves_the_first_alone() -> None:
    """An identity is a value."""
    first = Identity(iss="i", sub="s", claims={"a": 1})
    first.with_userinfo({"b": 2})
    assert first == Identity(iss="i", sub="s", claims={"a": 1})


def test_repr_shows_no_claims() -> None:
    """A person's data does not get into a log by a repr."""
    assert repr(Identity(iss="i", sub="s", claims=GOOD)) == "Identity(iss='i', sub='s')"


@settings(max_examples=200, deadline=None, database=None)
@given(
    st.binary(max_size=40)
    | st.dictionaries(st.sampled_from(["sub", "x"]), st.sampled_from(["ann", "bob", 1, None])).map(
        lambda claims: json.dumps(claims).encode()
    ),
    st.sampled_from([200, 200, 200, 204, 302, 401, 403, 500]),
    st.sampled_from(["application/json", "application/jwt", "text/html", ""]),
)
def test_only_errors_of_ours(body: bytes, status: int, media_type: str) -> None:
    """Whatever comes, only errors of ours come out, and claims of the right subject alone."""
    try:
        claims = read_userinfo(answer(body, status=status, media_type=media_type), sub="ann")
    except (ProtocolViolation, ProviderError):
        return
    assert status == 200
    assert claims["sub"] == "ann"
