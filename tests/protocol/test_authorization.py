"""The authorization request, and the judgement of its callback."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from protocol.expecting import refusal

from clefstorm.errors import AuthorizationRefused, ConfigurationError, RequestRefused
from clefstorm.protocol.authorization import (
    LONGEST_PARAMETER,
    SILENT_REFUSALS,
    CodeGrant,
    PendingLogin,
    authorization_parameters,
    build_authorization_url,
    callback_parameter,
    check_callback,
    check_extra_parameters,
    check_received_at,
)
from clefstorm.protocol.metadata import ProviderMetadata
from clefstorm.protocol.pkce import s256_challenge

ISSUER = "https://id.example"
REDIRECT = "https://app.example/auth/callback?a=b"
METADATA = ProviderMetadata(
    issuer=ISSUER,
    authorization_endpoint="https://id.example/authorize?p=policy",
    token_endpoint="https://id.example/token",
)
PENDING = PendingLogin(redirect_uri=REDIRECT, max_age=60, prompt="login")


def parameters_of(url: str) -> dict[str, str]:
    pairs = parse_qsl(urlsplit(url).query, keep_blank_values=True, strict_parsing=True)
    assert len(pairs) == len(dict(pairs)), "a parameter stands twice"
    return dict(pairs)


def build(pending: PendingLogin = PENDING, **changes: Any) -> dict[str, str]:
    chosen: dict[str, Any] = {
        "client_id": "app",
        "scope": ("openid", "email"),
        "state": "a.b.c",
        **changes,
    }
    url = build_authorization_url(METADATA, authorization_parameters(pending, **chosen))
    assert url.startswith("https://id.example/authorize?p=policy&")
    assert "#" not in url
    return parameters_of(url)


def test_request() -> None:
    """The code flow, always: response_type, client_id, redirect_uri, scope and state (RFC 6749,
    section 4.1.1), S256 (RFC 7636, section 4.3) and nonce (Core, section 3.1.2.1); the endpoint's
    own query is kept (RFC 6749, section 3.1).
    """
    assert build() == {
        "p": "policy",
        "response_type": "code",
        "client_id": "app",
        "redirect_uri": REDIRECT,
        "scope": "openid email",
        "state": "a.b.c",
        "nonce": PENDING.nonce,
        "code_challenge": s256_challenge(PENDING.code_verifier),
        "code_challenge_method": "S256",
        "prompt": "login",
        "max_age": "60",
    }


def test_request_without_options() -> None:
    """None leaves a parameter out; max_age=0 is a wish, and is sent (Core, section 3.1.2.1)."""
    bare = build(PendingLogin(redirect_uri=REDIRECT))
    assert bare.keys().isdisjoint(
        {"prompt", "max_age", "login_hint", "ui_locales", "response_mode"}
    )
    assert build(PendingLogin(redirect_uri=REDIRECT, max_age=0))["max_age"] == "0"


def test_request_with_options() -> None:
    """login_hint, ui_locales, response_mode and extra parameters are sent as they are."""
    sent = build(
        login_hint="ann+b@x.example",
        ui_locales="de fr",
        response_mode="form_post",
        extra={"acr_values": "urn:a b&c=d#e"},
    )
    assert sent["login_hint"] == "ann+b@x.example"
    assert sent["ui_locales"] == "de fr"
    assert sent["response_mode"] == "form_post"
    assert sent["acr_values"] == "urn:a b&c=d#e"


def test_request_of_plain_oauth() -> None:
    """A nonce is OpenID Connect's; an empty scope is left out (RFC 6749, section 3.3)."""
    sent = build(scope=())
    assert sent.keys().isdisjoint({"nonce", "scope"})
    assert sent["code_challenge_method"] == "S256"


def test_endpoint_without_query() -> None:
    """The parameters are the whole query where the endpoint has none."""
    metadata = dataclasses.replace(METADATA, authorization_endpoint="https://id.example/a")
    url = build_authorization_url(
        metadata, authorization_parameters(PENDING, client_id="app", scope=(), state="s")
    )
    assert url.startswith("https://id.example/a?response_type=code&")


def test_verifier_stays_here() -> None:
    """The verifier leaves this machine in the token request alone (RFC 7636, section 7.1), and
    the browser's secret never.
    """
    sent = str(build())
    assert PENDING.code_verifier not in sent
    assert PENDING.browser_secret not in sent


def test_logins_share_nothing() -> None:
    """PKCE challenge and nonce are transaction-specific (RFC 9700, section 2.1.1)."""
    one, other = PendingLogin(redirect_uri=REDIRECT), PendingLogin(redirect_uri=REDIRECT)
    for name in ("nonce", "code_verifier", "browser_secret"):
        assert getattr(one, name) != getattr(other, name)
        assert len(getattr(one, name)) >= 22  # 128 bits
    assert len({one.nonce, one.code_verifier, one.browser_secret}) == 3


RESERVED = [
    "response_type",
    "client_id",
    "redirect_uri",
    "state",
    "nonce",
    "code_challenge",
    "code_challenge_method",
    "response_mode",
    "scope",
    "prompt",
    "max_age",
    "request",
    "request_uri",
]


@pytest.mark.parametrize("name", RESERVED)
def test_extra_can_not_replace(name: str) -> None:
    """No extra parameter can switch off a protection: another response type, a plain challenge, a
    state of one's own, a request object that says it all anew (Core, section 6.1).
    """
    assert build(extra={"acr_values": "x"})["acr_values"] == "x"
    with refusal(ConfigurationError, "extra_parameter_reserved") as caught:
        build(extra={"acr_values": "x", name: "x"})
    assert caught.value.evidence["got"] == name
    with refusal(ConfigurationError, "extra_parameter_reserved"):
        check_extra_parameters({name: "x"})


def test_pending_shows_no_secret() -> None:
    """A secret reaches no repr (DESIGN, law 4)."""
    for secret in (PENDING.nonce, PENDING.code_verifier, PENDING.browser_secret):
        assert secret not in repr(PENDING)
        assert secret not in repr(grant())
    assert "the-code" not in repr(grant())
    assert "the-code" not in str(grant())


GOOD = [("code", "the-code"), ("state", "a.b.c"), ("iss", ISSUER)]


def judge(
    parameters: list[tuple[str, str]], *, issuer: str | None = ISSUER, iss_required: bool = False
) -> CodeGrant:
    return check_callback(parameters, PENDING, issuer=issuer, iss_required=iss_required)


def grant() -> CodeGrant:
    return judge(GOOD)


def test_good_callback() -> None:
    """The code comes back beside the state (RFC 6749, section 4.1.2); the grant holds all that
    its exchange needs.
    """
    for iss_required in (False, True):
        found = judge(GOOD, iss_required=iss_required)
        assert found.code == "the-code"
        assert found.redirect_uri == REDIRECT
        assert found.code_verifier == PENDING.code_verifier
        assert found.nonce == PENDING.nonce
        assert found.max_age == 60


@pytest.mark.parametrize(
    "more",
    [
        pytest.param([("session_state", "x")], id="session_state"),
        pytest.param([("scope", "openid")], id="scope"),
        pytest.param([("x", "1"), ("x", "2")], id="unknown_twice"),
        pytest.param([("error", "")], id="error_without_value"),
        pytest.param([("error_description", "x")], id="description_without_error"),
        pytest.param([("id_token", "a.b.c"), ("access_token", "x")], id="tokens_are_not_read"),
        pytest.param([("Code", "x"), ("ISS", "https://evil.example")], id="names_have_a_case"),
    ],
)
def test_what_is_ignored(more: list[tuple[str, str]]) -> None:
    """The client MUST ignore unrecognized response parameters (RFC 6749, section 4.1.2), and
    parameters without a value are treated as if they were omitted (section 3.1).
    """
    assert judge(GOOD + more) == grant()
    assert judge(more + GOOD) == grant()


@pytest.mark.parametrize("name", ["code", "iss", "error", "error_description"])
@pytest.mark.parametrize("second", ["other", "", "same"])
def test_repeated(name: str, second: str) -> None:
    """Response parameters MUST NOT be included more than once (RFC 6749, section 3.1): nobody
    smuggles a second code in beside the first, an equal or an empty one neither.
    """
    value = dict(GOOD).get(name, "x")
    base = [pair for pair in GOOD if pair[0] != name]
    assert grant().code == "the-code"
    with refusal(RequestRefused, "parameter_repeated") as caught:
        judge([*base, (name, value), (name, value if second == "same" else second)])
    assert caught.value.evidence == {"name": name}


@pytest.mark.parametrize("name", ["code", "iss", "error", "error_description"])
def test_too_long(name: str) -> None:
    """Everything from outside is bounded (DESIGN, law 8)."""
    assert judge([("code", "x" * LONGEST_PARAMETER)]).code == "x" * LONGEST_PARAMETER
    with refusal(RequestRefused, "parameter_too_long"):
        judge([*(pair for pair in GOOD if pair[0] != name), (name, "x" * (LONGEST_PARAMETER + 1))])


@pytest.mark.parametrize(
    ("parameters", "found"),
    [
        ([], None),
        ([("state", "")], None),
        ([("state", "x")], "x"),
        ([("State", "x")], None),
        ([("x", "y"), ("state", " x ")], " x "),
    ],
)
def test_callback_parameter(parameters: list[tuple[str, str]], found: str | None) -> None:
    """A parameter is read as it was sent; without a value it is absent (RFC 6749, 3.1)."""
    assert callback_parameter(parameters, "state") == found


@pytest.mark.parametrize(
    "parameters",
    [
        pytest.param([], id="empty"),
        pytest.param([("iss", ISSUER)], id="no_code"),
        pytest.param([("code", "")], id="code_without_value"),
        pytest.param([("access_token", "x"), ("token_type", "Bearer")], id="implicit"),
        pytest.param([("id_token", "a.b.c")], id="id_token_alone"),
        pytest.param([("response", "a.b.c")], id="jarm"),
        pytest.param([("CODE", "x")], id="other_case"),
    ],
)
def test_no_code(parameters: list[tuple[str, str]]) -> None:
    """code is REQUIRED (RFC 6749, section 4.1.2); tokens from the front channel are not taken
    (RFC 9700, section 2.1.2).
    """
    assert grant().code == "the-code"
    with refusal(RequestRefused, "code_missing"):
        judge(parameters)


OTHER_ISSUERS = [
    pytest.param("https://evil.example", id="another"),
    pytest.param(ISSUER + "/", id="trailing_slash"),
    pytest.param("https://ID.example", id="other_case"),
    pytest.param("https://id.example:443", id="default_port"),
    pytest.param("http://id.example", id="other_scheme"),
    pytest.param("https://id.example ", id="space_behind"),
    pytest.param("https://id.exampl\u00e9", id="beyond_ascii"),
    pytest.param("https://id.example\ud800", id="half_surrogate"),
]


@pytest.mark.parametrize("required", [True, False])
@pytest.mark.parametrize("iss", OTHER_ISSUERS)
def test_iss_mismatch(iss: str, required: bool) -> None:
    """iss is compared by simple string comparison, and if it does not match, clients MUST reject
    the authorization response (RFC 9207, section 2.4), advertised or not.
    """
    assert judge(GOOD, iss_required=required).code == "the-code"
    with refusal(RequestRefused, "iss_mismatch"):
        judge([("code", "the-code"), ("iss", iss)], iss_required=required)


@pytest.mark.parametrize("iss", OTHER_ISSUERS)
def test_iss_mismatch_of_an_error(iss: str) -> None:
    """For error responses, clients MUST NOT assume that the error originates from the intended
    authorization server (RFC 9207, section 2.4).
    """
    with refusal(AuthorizationRefused, "authorization_refused"):
        judge([("error", "access_denied"), ("iss", ISSUER)])
    with refusal(RequestRefused, "iss_mismatch"):
        judge([("error", "access_denied"), ("iss", iss)])


@pytest.mark.parametrize(
    "parameters",
    [
        pytest.param([("code", "x")], id="code"),
        pytest.param([("error", "access_denied")], id="error"),
        pytest.param([("code", "x"), ("iss", "")], id="without_value"),
    ],
)
def test_iss_missing(parameters: list[tuple[str, str]]) -> None:
    """Clients MUST reject responses without iss from servers that advertise it (RFC 9207, 2.4)."""
    assert judge(GOOD, iss_required=True).code == "the-code"
    with refusal(RequestRefused, "iss_missing"):
        judge(parameters, iss_required=True)


def test_iss_not_advertised() -> None:
    """A provider without RFC 9207 sends none; one without an issuer has nothing to compare."""
    assert judge([("code", "x")]).code == "x"
    assert judge([("code", "x"), ("iss", "whatever")], issuer=None).code == "x"


@pytest.mark.parametrize("error", ["access_denied", "server_error", *sorted(SILENT_REFUSALS)])
def test_error(error: str) -> None:
    """If the user denies or the request fails, the server answers with error and, optionally,
    error_description (RFC 6749, section 4.1.2.1; Core, section 3.1.2.6).
    """
    assert grant().code == "the-code"
    with refusal(AuthorizationRefused, "authorization_refused") as caught:
        judge([("error", error), ("error_description", "<script>\n"), ("state", "s")])
    refused = caught.value
    assert isinstance(refused, AuthorizationRefused)
    assert refused.error == error
    assert refused.error_description == "<script>\N{REPLACEMENT CHARACTER}"
    with refusal(AuthorizationRefused, "authorization_refused") as caught:
        judge([("error", error)])
    assert caught.value.error_description is None


def test_code_and_error() -> None:
    """An answer is a code or an error (RFC 6749, section 4.1.2): both is neither."""
    assert grant().code == "the-code"
    with refusal(RequestRefused, "code_and_error") as caught:
        judge([*GOOD, ("error", "access_denied")])
    assert "the-code" not in str(caught.value)


def test_silent_refusals() -> None:
    """The answers that prompt=none exists to give (Core, section 3.1.2.6)."""
    expected = {
        "login_required",
        "interaction_required",
        "consent_required",
        "account_selection_required",
    }
    assert expected == SILENT_REFUSALS


def test_only_check_callback_makes_a_grant() -> None:
    """The wrong order is impossible (DESIGN, law 3): no code without the checks."""
    with pytest.raises(TypeError, match="only check_callback"):
        CodeGrant(object(), "a-code", PENDING)
    with pytest.raises(TypeError):
        CodeGrant(code="a-code", pending=PENDING)  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        dataclasses.replace(grant(), code="another-code")
    with pytest.raises(dataclasses.FrozenInstanceError):
        grant().code = "another-code"  # type: ignore[misc]
    assert copy.copy(grant()) == grant()


@settings(max_examples=500, deadline=None, database=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["code", "iss", "error", "error_description", "state", "x"]),
            st.sampled_from(["", "x", ISSUER, "access_denied", "a\nb"]) | st.text(max_size=9),
        ),
        max_size=5,
    ),
    st.sampled_from([ISSUER, None]),
    st.booleans(),
)
def test_only_errors_of_ours(
    parameters: list[tuple[str, str]], issuer: str | None, required: bool
) -> None:
    """Whatever the callback brings, only errors of ours come out, and a grant only for one code
    of the right issuer.
    """
    try:
        found = judge(parameters, issuer=issuer, iss_required=required)
    except (RequestRefused, AuthorizationRefused):
        return
    assert [value for name, value in parameters if name == "code"] == [found.code]
    assert not [value for name, value in parameters if name == "error" and value]
    sent = [value for name, value in parameters if name == "iss" and value]
    assert sent in ([], [issuer]) or issuer is None


A, B = "https://app.example/auth/a/callback", "https://app.example/auth/b/callback"
ELSEWHERE = "https://other.example/auth/a/callback"


@pytest.mark.parametrize(
    ("received_at", "among"),
    [
        pytest.param(None, {A, B}, id="nobody_knows"),
        pytest.param(A, {A, B}, id="its_own"),
        pytest.param("https://app.example/a/callback", {A, B}, id="prefix_cut"),
        pytest.param("https://app.example/callback", {A, B}, id="cut_so_far_that_both_fit"),
        pytest.param("http://127.0.0.1:8000/auth/a/callback", {A, B}, id="host_kept_by_a_proxy"),
        pytest.param("https://app.example/quite/other", {A, B}, id="path_made_anew_by_a_proxy"),
        pytest.param("https://app.example/auth/b/callback", {A}, id="no_other_alias"),
        pytest.param("https://APP.example/auth/a/callback", {A, ELSEWHERE}, id="host_of_its_own"),
    ],
)
def test_where_an_answer_may_arrive(received_at: str | None, among: set[str]) -> None:
    """The redirect_uri of the request, as far as a proxy lets us see it (RFC 9700, 4.4.2.2)."""
    check_received_at(received_at, A, among=among)


@pytest.mark.parametrize(
    ("received_at", "among"),
    [
        pytest.param(B, {A, B}, id="path"),
        pytest.param("https://app.example/b/callback", {A, B}, id="path_cut"),
        pytest.param("http://127.0.0.1/auth/b/callback", {A, B}, id="host_kept_by_a_proxy"),
        pytest.param(ELSEWHERE, {A, ELSEWHERE}, id="host"),
    ],
)
def test_where_an_answer_must_not_arrive(received_at: str, among: set[str]) -> None:
    """An answer at the redirect_uri of another provider is a mix-up (RFC 9700, 4.4.2.2)."""
    check_received_at(A, A, among=among)
    with refusal(RequestRefused, "redirect_uri_mismatch"):
        check_received_at(received_at, A, among=among)
