"""LoginSession: what it shows, when it ends, and its way through JSON."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64decode
from dataclasses import FrozenInstanceError, replace
from types import MappingProxyType

import pytest

from clefstorm.sessions import LoginSession, new_session_id, session_key


def test_an_id_is_256_random_bits() -> None:
    """Ids are 43 characters of base64url, no two alike."""
    ids = {new_session_id() for _ in range(100)}
    assert len(ids) == 100
    for session_id in ids:
        assert len(urlsafe_b64decode(session_id + "=")) == 32


def test_a_key_is_the_hash_of_an_id() -> None:
    """Whoever reads a key can't find the id."""
    session_id = new_session_id()
    key = session_key(session_id)
    assert urlsafe_b64decode(key + "=") == hashlib.sha256(session_id.encode()).digest()
    assert len(key) == 43
    # A cookie may hold anything.
    assert session_key("\ud800") != session_key("")


def test_repr_shows_no_claim_and_no_token(new) -> None:
    """A session in a log says whose it is, and gives nothing away."""
    session = new()
    assert repr(session) == (
        "LoginSession(alias='default', iss='https://id.example.com', sub='ada', "
        f"key={session.key!r})"
    )


def test_a_session_is_a_value(new) -> None:
    """Nobody changes one in place."""
    with pytest.raises(FrozenInstanceError):
        new().sub = "eve"


def test_a_record_gives_the_session_back(new) -> None:
    """to_record and from_record keep every member, text of any kind included."""
    for session in (
        new(sub="\ud800 ✓", login="state:x", return_to="/a?b=c", version=7),
        new(sid=None, tokens=None, idle=None, claims={}, data={}),
    ):
        assert LoginSession.from_record(session.to_record()) == session
        assert LoginSession.from_record(session.to_record(), seen=5.5) == replace(session, seen=5.5)
    frozen = new(claims=MappingProxyType({"a": MappingProxyType({"b": 1})}))
    assert LoginSession.from_record(frozen.to_record()).claims == {"a": {"b": 1}}


@pytest.mark.parametrize(
    ("seen", "idle", "expires", "ends_at"),
    [
        pytest.param(100.0, 50.0, 1000.0, 150.0, id="idle"),
        pytest.param(100.0, 950.0, 1000.0, 1000.0, id="absolute"),
        pytest.param(100.0, None, 1000.0, 1000.0, id="never_idle"),
        pytest.param(100.0, 0.0, 1000.0, 100.0, id="idle_at_once"),
    ],
)
def test_ends_at_is_the_earlier_end(new, seen, idle, expires, ends_at) -> None:
    """The idle end is seen + idle, and the absolute end holds in any case."""
    assert new(seen=seen, idle=idle, expires=expires).ends_at == ends_at


@pytest.mark.parametrize("claim", ["name", "email", "picture", "preferred_username"])
def test_a_property_is_the_claim_if_it_is_text(new, claim: str) -> None:
    """A provider may send anything; only text comes through."""
    assert getattr(new(claims={claim: "text"}), claim) == "text"
    for odd in ({}, {claim: None}, {claim: 1}, {claim: ["text"]}, {claim: {"a": 1}}):
        assert getattr(new(claims=odd), claim) is None
