"""Eternaltwin's answers at their edges: the least that counts, and the first that does not."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from protocol.expecting import refusal
from providers.driving import drive

from clefstorm.errors import ConfigurationError, ProtocolViolation
from clefstorm.protocol.eternaltwin import (
    LONGEST_QUERY,
    MOST_USERS,
    EternaltwinAPI,
    EternaltwinUserPage,
    read_user,
)
from clefstorm.protocol.exchange import Flow, Request, Response

API = EternaltwinAPI(origin="https://twin.example")
ANN: dict[str, Any] = {"id": "ann", "display_name": {"current": {"value": "Ann"}}}
EMPTY = {"items": [], "count": 0, "offset": 0, "limit": 0}


def answered(flow: Flow[Any], answer: Any) -> Any:
    return drive(flow, lambda ask: Response(status=200, body=json.dumps(answer).encode())).result


def search(query: str | None = None, *, offset: int = 0, limit: int = 0) -> Flow[Any]:
    return API.search(query, offset=offset, limit=limit, access_token=None)


def test_json_is_asked_for() -> None:
    """Each call says what it can read, and that is JSON alone."""
    for flow in (API.me("at"), API.get("ann", None), search()):
        request = next(flow)
        assert isinstance(request, Request)
        assert request.headers["Accept"] == "application/json"


def test_a_token_that_is_nobodys() -> None:
    """A client's own token has no user: that is said by a code, and is not a broken user."""
    assert answered(API.me("at"), {"user": ANN}).id == "ann"
    for answer in ({}, {"user": None}):
        with refusal(ProtocolViolation, "subject_missing"):
            answered(API.me("at"), answer)


def test_a_search_that_found_nothing() -> None:
    """Zero is a count, an offset and a limit like any other."""
    found = answered(search(), EMPTY)
    assert found == EternaltwinUserPage(items=(), count=0, offset=0, limit=0)


@pytest.mark.parametrize(
    ("most", "more"),
    [
        pytest.param({"query": "x" * LONGEST_QUERY}, {"query": "x" * (LONGEST_QUERY + 1)}, id="q"),
        pytest.param({"limit": MOST_USERS}, {"limit": MOST_USERS + 1}, id="limit"),
        pytest.param({"offset": 1 << 31}, {"offset": (1 << 31) + 1}, id="offset"),
        pytest.param({"offset": 0}, {"offset": -1}, id="offset_zero"),
    ],
)
def test_the_most_that_can_be_asked(most: dict[str, Any], more: dict[str, Any]) -> None:
    """The bound itself can be asked for, one more can't."""
    assert answered(search(**most), EMPTY).count == 0
    with refusal(ConfigurationError, f"{next(iter(more))}_invalid"):
        answered(search(**more), EMPTY)


def test_names_as_long_as_they_may_be() -> None:
    """A name of one character and one of 255 are names."""
    for length in (1, 255):
        named = {**ANN, "id": "i" * length, "display_name": {"current": {"value": "x" * length}}}
        assert read_user(named).display_name == "x" * length


@pytest.mark.parametrize(
    "written", ["2020-01-01T02:00:00", "2020-01-01T02:00:00Z", "2020-01-01T04:30:00+02:30"]
)
def test_times_are_utc(written: str) -> None:
    """A time with a zone keeps its moment and is told in UTC; one without is UTC's."""
    moment = read_user({**ANN, "created_at": written}).created_at
    assert moment == datetime(2020, 1, 1, 2, tzinfo=timezone(timedelta()))
    assert moment is not None
    assert moment.tzinfo is UTC
