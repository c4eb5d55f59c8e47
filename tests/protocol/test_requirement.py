"""What is required, held against claims: deny by default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocol.expecting import refusal

from clefstorm.errors import ConfigurationError
from clefstorm.protocol.requirement import Requirement, Unmet

NOW = 1_700_000_000.0
CLAIMS: Mapping[str, Any] = {
    "sub": "alice",
    "roles": ["admin", "editor"],
    "groups": "staff",
    "realm_access": {"roles": ["owner"], "level": 2},
    "https://example.com/roles": ["namespaced"],
    "realm.access": "dotted",
    "email_verified": True,
    "level": 1,
    "acr": "2",
    "auth_time": NOW - 100,
}


def unmet(
    held: Mapping[str, Any] = CLAIMS, /, *, scope: str = "read write", **requirement: Any
) -> Unmet | None:
    return Requirement(**requirement).unmet(held, scope=scope.split(), now=NOW, leeway=60)


@pytest.mark.parametrize(
    "requirement",
    [
        pytest.param({"roles": ["admin"]}, id="a_role"),
        pytest.param({"roles": {"admin", "editor"}}, id="all_roles"),
        pytest.param({"roles": ["staff"], "roles_claim": "groups"}, id="a_role_that_is_a_text"),
        pytest.param({"roles": ["owner"], "roles_claim": "realm_access.roles"}, id="a_path"),
        pytest.param(
            {"roles": ["owner"], "roles_claim": ("realm_access", "roles")}, id="a_path_as_tuple"
        ),
        pytest.param(
            {"roles": ["namespaced"], "roles_claim": ("https://example.com/roles",)},
            id="a_name_with_dots",
        ),
        pytest.param({"scopes": ["read"]}, id="a_scope"),
        pytest.param({"scopes": {"read", "write"}}, id="all_scopes"),
        pytest.param({"claims": {"email_verified": True}}, id="a_claim"),
        pytest.param({"claims": {"groups": ["guests", "staff"]}}, id="any_of_these"),
        pytest.param({"claims": {"roles": {"reader", "editor"}}}, id="any_of_these_in_a_list"),
        pytest.param({"claims": {"realm_access.level": 2, "level": 1}}, id="two_claims"),
        pytest.param({"claims": {("realm.access",): "dotted"}}, id="a_dotted_claim"),
        pytest.param({"acr": ["2"]}, id="acr"),
        pytest.param({"acr": ["3", "2"]}, id="one_acr_of_two"),
        pytest.param({"max_age": 100}, id="max_age"),
        pytest.param({"max_age": 40}, id="max_age_within_leeway"),
    ],
)
def test_what_is_met(requirement: dict[str, Any]) -> None:
    """Everything that is required is there."""
    assert unmet(**requirement) is None


@pytest.mark.parametrize(
    ("what", "changes", "requirement"),
    [
        pytest.param(Unmet.ROLE, {}, {"roles": ["owner"]}, id="another_role"),
        pytest.param(Unmet.ROLE, {}, {"roles": ["admin", "owner"]}, id="one_role_of_two"),
        pytest.param(Unmet.ROLE, {"roles": None}, {"roles": ["admin"]}, id="roles_missing"),
        pytest.param(Unmet.ROLE, {"roles": []}, {"roles": ["admin"]}, id="no_roles"),
        pytest.param(Unmet.ROLE, {"roles": "administrator"}, {"roles": ["admin"]}, id="longer"),
        pytest.param(Unmet.ROLE, {"roles": "editor admin"}, {"roles": ["admin"]}, id="words"),
        pytest.param(Unmet.ROLE, {"roles": {"admin": True}}, {"roles": ["admin"]}, id="object"),
        pytest.param(Unmet.ROLE, {"roles": [["admin"]]}, {"roles": ["admin"]}, id="nested_list"),
        pytest.param(Unmet.ROLE, {"roles": ["Admin"]}, {"roles": ["admin"]}, id="other_case"),
        pytest.param(
            Unmet.ROLE,
            {"realm_access": "owner"},
            {"roles": ["owner"], "roles_claim": "realm_access.roles"},
            id="a_path_through_a_text",
        ),
        pytest.param(
            Unmet.ROLE,
            {"realm_access": ["roles"]},
            {"roles": ["owner"], "roles_claim": "realm_access.roles"},
            id="a_path_through_a_list",
        ),
        pytest.param(
            Unmet.ROLE,
            {"realm_access.roles": ["boss"]},
            {"roles": ["boss"], "roles_claim": "realm_access.roles"},
            id="a_name_that_looks_like_the_path",
        ),
        pytest.param(Unmet.SCOPE, {}, {"scopes": ["delete"]}, id="another_scope"),
        pytest.param(Unmet.SCOPE, {}, {"scopes": ["read", "delete"]}, id="one_scope_of_two"),
        pytest.param(Unmet.SCOPE, {}, {"scopes": ["rea"]}, id="part_of_a_scope"),
        pytest.param(
            Unmet.CLAIM, {"email_verified": False}, {"claims": {"email_verified": True}}, id="false"
        ),
        pytest.param(
            Unmet.CLAIM, {"email_verified": 1}, {"claims": {"email_verified": True}}, id="one"
        ),
        pytest.param(
            Unmet.CLAIM, {"email_verified": "true"}, {"claims": {"email_verified": True}}, id="text"
        ),
        pytest.param(Unmet.CLAIM, {"level": True}, {"claims": {"level": 1}}, id="true_is_not_one"),
        pytest.param(Unmet.CLAIM, {"level": None}, {"claims": {"level": 1}}, id="claim_missing"),
        pytest.param(
            Unmet.CLAIM, {"level": 2}, {"claims": {"level": 1, "groups": "staff"}}, id="one_of_two"
        ),
        pytest.param(Unmet.ACR, {"acr": "1"}, {"acr": ["2"]}, id="another_acr"),
        pytest.param(Unmet.ACR, {"acr": None}, {"acr": ["2"]}, id="acr_missing"),
        pytest.param(Unmet.ACR, {"acr": 2}, {"acr": ["2"]}, id="acr_number"),
        pytest.param(Unmet.ACR, {"acr": ["2"]}, {"acr": ["2"]}, id="acr_list"),
        pytest.param(Unmet.ACR, {"acr": "2 3"}, {"acr": ["2"]}, id="acr_words"),
        pytest.param(Unmet.AUTH_TIME, {}, {"max_age": 39}, id="too_old"),
        pytest.param(Unmet.AUTH_TIME, {"auth_time": None}, {"max_age": 900}, id="nobody_said_when"),
        pytest.param(
            Unmet.AUTH_TIME, {"auth_time": NOW + 61}, {"max_age": 900}, id="in_the_future"
        ),
        pytest.param(Unmet.AUTH_TIME, {"auth_time": str(NOW)}, {"max_age": 900}, id="time_text"),
        pytest.param(Unmet.AUTH_TIME, {"auth_time": True}, {"max_age": 900}, id="time_boolean"),
    ],
)
def test_what_is_not_met(
    what: Unmet, changes: Mapping[str, Any], requirement: dict[str, Any]
) -> None:
    """What is missing or of another type does not pass."""
    claims = {name: value for name, value in {**CLAIMS, **changes}.items() if value is not None}
    assert unmet(claims, **requirement) is what


def test_permission_before_sign_in() -> None:
    """Whoever lacks the permission is not sent to sign in again for nothing."""
    assert unmet(roles=["owner"], acr=["9"], max_age=0) is Unmet.ROLE
    assert not Unmet.ROLE.helped_by_sign_in
    assert unmet(roles=["admin"], acr=["9"], max_age=0) is Unmet.ACR
    assert Unmet.ACR.helped_by_sign_in
    assert Unmet.AUTH_TIME.helped_by_sign_in


@pytest.mark.parametrize(
    ("code", "requirement"),
    [
        pytest.param("requires_nothing", {}, id="nothing"),
        pytest.param("roles_invalid", {"roles": "admin"}, id="roles_text"),
        pytest.param("roles_invalid", {"roles": [""]}, id="empty_role"),
        pytest.param("roles_invalid", {"roles": [1]}, id="role_number"),
        pytest.param("scopes_invalid", {"scopes": "read"}, id="scopes_text"),
        pytest.param("scopes_invalid", {"scopes": ["read write"]}, id="scope_of_two_words"),
        pytest.param("acr_invalid", {"acr": "2"}, id="acr_text"),
        pytest.param("acr_invalid", {"acr": ["2 3"]}, id="acr_of_two_words"),
        pytest.param("max_age_invalid", {"max_age": -1}, id="max_age_negative"),
        pytest.param("max_age_invalid", {"max_age": True}, id="max_age_boolean"),
        pytest.param("max_age_invalid", {"max_age": 1.5}, id="max_age_fraction"),
        pytest.param("claim_path_invalid", {"claims": {"": 1}}, id="no_path"),
        pytest.param("claim_path_invalid", {"claims": {"a..b": 1}}, id="gap_in_the_path"),
        pytest.param("claim_path_invalid", {"claims": {(): 1}}, id="empty_path"),
        pytest.param(
            "claim_path_invalid",
            {"roles": ["a"], "roles_claim": "https://example.com/roles"},
            id="url_as_text",
        ),
        pytest.param("claim_value_invalid", {"claims": {"a": None}}, id="value_null"),
        pytest.param("claim_value_invalid", {"claims": {"a": []}}, id="no_values"),
        pytest.param("claim_value_invalid", {"claims": {"a": {"b": 1}}}, id="value_object"),
    ],
)
def test_what_can_not_be_meant(code: str, requirement: dict[str, Any]) -> None:
    """A mistake shows when the handler is written, not when a stranger is let in."""
    assert Requirement(roles=["a role of words"], claims={"b": 1}, acr=["2"], scopes=["s"])
    with refusal(ConfigurationError, code):
        Requirement(**requirement)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.sampled_from(["roles", "acr", "auth_time"]), inner, max_size=3)
        ),
        max_leaves=8,
    )
)
def test_any_claims(value: Any) -> None:
    """Whatever stands in the claims, nothing but a verdict comes out."""
    claims = {"roles": value, "acr": value, "auth_time": value, "realm_access": value}
    for requirement in (
        {"roles": ["never-there"]},
        {"roles": ["never-there"], "roles_claim": "realm_access.roles"},
        {"acr": ["never-there"]},
        {"claims": {"realm_access.acr": "never-there"}},
    ):
        assert unmet(claims, **requirement) is not None
    unmet(claims, max_age=1)
