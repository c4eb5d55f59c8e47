"""Roles, scopes and classes of authentication as a requirement takes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from protocol.expecting import refusal

from clefstorm.errors import ConfigurationError
from clefstorm.protocol.requirement import Requirement, Unmet


@pytest.mark.parametrize(
    "given",
    [
        pytest.param(lambda words: (word for word in words), id="generator"),
        pytest.param(lambda words: map(str, words), id="map"),
        pytest.param(lambda words: filter(None, words), id="filter"),
        pytest.param(lambda words: dict.fromkeys(words).keys(), id="keys"),
        pytest.param(set, id="set"),
    ],
)
@pytest.mark.parametrize(
    ("name", "unmet"), [("roles", Unmet.ROLE), ("scopes", Unmet.SCOPE), ("acr", Unmet.ACR)]
)
def test_words_that_can_be_read_once(
    name: str, unmet: Unmet, given: Callable[[list[str]], Any]
) -> None:
    """A requirement holds all its words, however they are given."""
    held = {"roles": ["admin"], "acr": "admin"}
    requirement = Requirement(**{name: given(["admin"]), "max_age": None})
    assert getattr(requirement, name) == ("admin",)
    for _ in range(2):
        assert requirement.unmet(held, scope=["admin"], now=0, leeway=0) is None
        assert requirement.unmet({}, scope=[], now=0, leeway=0) is unmet


@pytest.mark.parametrize("name", ["scopes", "acr"])
@pytest.mark.parametrize("word", ["haute-s\u00e9curit\u00e9", "gold\x01", "a b", "a\nb", 'a"b', ""])
def test_words_that_no_challenge_can_carry(name: str, word: str) -> None:
    """What could not be sent at a request is refused when the handler is written."""
    assert Requirement(**{name: ["urn:example:gold"]})
    with refusal(ConfigurationError, f"{name}_invalid"):
        Requirement(**{name: [word]})


@pytest.mark.parametrize("role", ["chef d'\u00e9quipe", "two words", "two\nlines"])
def test_roles_are_any_text(role: str) -> None:
    """Roles are sent nowhere, so they may be what the provider calls them."""
    requirement = Requirement(roles=[role])
    assert requirement.unmet({"roles": [role]}, scope=[], now=0, leeway=0) is None
