"""OpenID Connect Core 1.0 (errata set 2), as far as a relying party can break it."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from rows import OFFLINE, Passes, RefreshPasses, RefreshRefused, Refused, Row, does
from stage import Stage, shown_code

from clefstorm.jwe import generate_decryption_key

MAX_AGE = {"max_age": "3600"}
TEST = "oidcc-client-test"


@does("Core 3.1.2.1", "as required", module=TEST)
async def authentication_request(stage: Stage) -> None:
    """The request asks for a code, with scope openid, the registered redirect_uri, and state"""
    sent = await stage.to_the_provider()
    assert sent["response_type"] == "code"
    assert "openid" in sent["scope"].split()
    assert sent["client_id"] == "app"
    assert sent["redirect_uri"] == f"{stage.site}/auth/callback"
    assert sent["state"]
    page = await stage.sign_in()
    assert page.text == "here"


@does(
    "Core 3.1.2.1 and 15.5.2",
    "as required",
    module=("oidcc-client-test-nonce-unless-code-flow",),
)
async def nonce_of_its_own(stage: Stage) -> None:
    """Each request has a nonce of its own that nobody can guess"""
    nonces = {(await stage.to_the_provider())["nonce"] for _ in range(5)}
    assert len(nonces) == 5
    assert min(map(len, nonces)) >= 22
    assert (await stage.sign_in()).text == "here"


@does("Core 3.1.2.1", "as required")
async def parameters_of_one_login(stage: Stage) -> None:
    """prompt, max_age, ui_locales and login_hint of a login reach the provider"""
    wanted = {"prompt": "login", "max_age": "60", "ui_locales": "de", "login_hint": "alice"}
    sent = await stage.to_the_provider(**wanted)
    assert wanted.items() <= sent.items()


@does("Core 3.1.2.6", "back at its page, not signed in")
async def silent_login_declined(stage: Stage) -> None:
    """The answer login_required to prompt=none is an answer, not an error page"""
    page = await stage.sign_in(prompt="none")
    assert (page.status, urlsplit(page.url).query) == (200, "login_error=login_required")
    assert await stage.user() is None
    await stage.sign_in()
    page = await stage.sign_in(prompt="none")
    assert (page.status, urlsplit(page.url).query) == (200, "")
    assert await stage.user() == stage.sub()


@does("Core 3.1.3.1 and 9", "as required", module="oidcc-client-test-client-secret-basic")
async def client_secret_basic(stage: Stage) -> None:
    """The client proves itself by client_secret_basic, its secret form-encoded first"""
    stage.register(token_endpoint_auth_method="client_secret_basic")
    stage.configure(token_endpoint_auth_method="client_secret_basic")
    assert (await stage.sign_in()).text == "here"
    stage.configure(client_secret="another-secret")
    page = await stage.sign_in()
    assert (page.status, shown_code(page)) == (502, "token_refused")


@does("Core 3.1.3.1 and 9", "as required")
async def client_secret_post(stage: Stage) -> None:
    """The client proves itself by client_secret_post where that was registered"""
    stage.register(token_endpoint_auth_method="client_secret_post")
    stage.configure(token_endpoint_auth_method="client_secret_post")
    assert (await stage.sign_in()).text == "here"
    stage.configure(token_endpoint_auth_method="client_secret_basic")
    page = await stage.sign_in()
    assert (page.status, shown_code(page)) == (502, "token_refused")


@does(
    "Core 5.3.1",
    "as required",
    module=("oidcc-client-test-userinfo-bearer-header",),
)
async def userinfo_bearer_header(stage: Stage) -> None:
    """The access token goes to the userinfo endpoint in the Authorization header"""
    assert (await stage.sign_in()).text == "here"
    asked = [seen for seen in stage.provider.requests if seen.path == "/userinfo"]
    assert [(seen.method, seen.status) for seen in asked] == [("GET", 200)]


@does("Core 5.4", "as required", module="oidcc-client-test-scope-userinfo-claims")
async def scope_userinfo_claims(stage: Stage) -> None:
    """The claims that the scopes profile and email stand for are known of the user"""
    assert (await stage.sign_in()).text == "here"
    me = (await stage.browser.fetch(f"{stage.site}/auth/me")).json()
    assert (me["name"], me["email"]) == ("Alice Archer", "alice@example.com")


@does("Core 5.3.2", "signed in", module=("oidcc-client-test-userinfo-signed",))
async def userinfo_signed(stage: Stage) -> None:
    """Where signed userinfo was agreed, it is verified, and plain JSON is refused"""
    stage.register(userinfo_signed_response_alg="RS256")
    stage.configure(userinfo_signed_response_alg="RS256")
    assert (await stage.sign_in()).text == "here"
    me = (await stage.browser.fetch(f"{stage.site}/auth/me")).json()
    assert me["name"] == "Alice Archer"
    stage.register()
    page = await stage.sign_in()
    assert (page.status, shown_code(page)) == (502, "userinfo_not_signed")


@does("Core 3.1.3.7, step 1, and 16.14", "signed in, or 502")
async def id_token_encrypted(stage: Stage) -> None:
    """Where encryption was agreed, what is plain, unsigned within or for another key is refused"""
    key, another = (generate_decryption_key("ECDH-ES", kid="k") for _ in range(2))
    agreed = {"id_token_encrypted_response_alg": "ECDH-ES"}
    stage.register(jwks={"keys": [key.to_jwk()]}, **agreed)
    stage.configure(decryption_key=key, **agreed)
    assert (await stage.sign_in()).text == "here"
    stage.provider.misbehave("alg_none")
    page = await stage.sign_in()
    assert (page.status, shown_code(page)) == (502, "alg_none")
    stage.provider.behave()
    stage.register(jwks={"keys": [another.to_jwk()]}, **agreed)
    page = await stage.sign_in()
    assert (page.status, shown_code(page)) == (502, "jwe_undecryptable")
    stage.register()
    page = await stage.sign_in()
    assert (page.status, shown_code(page)) == (502, "jwt_not_encrypted")
    assert await stage.user() == stage.sub()


@does("Core 5.7", "two users")
async def same_email_is_another_user(stage: Stage) -> None:
    """Only iss and sub say who a user is: two of one address are two"""
    for name in ("alice", "bob"):
        stage.provider.tamper["userinfo"] = lambda claims: claims.update(email="x@example.com")
        browser = stage.new_browser()
        await stage.sign_in(name, browser=browser)
        assert await stage.user(browser) == stage.sub(name)
    assert await stage.rp.revoke_user(stage.provider.issuer, stage.sub("bob")) == 1
    assert len(await stage.rp.sessions.list_sub(stage.provider.issuer, stage.sub())) == 1


@does("Core 3.1.2.1 and 3.1.2.7", "400 ``state_other_browser``")
async def response_of_another_browser(stage: Stage) -> None:
    """A good answer, opened in a browser that did not ask for it, signs nobody in"""
    await stage.sign_in()
    url = await stage.to_the_callback()
    victim = stage.new_browser()
    page = await stage.open_callback(url, victim)
    assert (page.status, shown_code(page)) == (400, "state_other_browser")
    assert await stage.user(victim) is None
    assert (await stage.open_callback(url)).status == 303


@does("RFC 6749 4.1.2", "400 ``state_used``, and the code is not sent again")
async def code_used_once(stage: Stage) -> None:
    """An answer that comes again is not exchanged again"""
    await stage.sign_in()
    url = await stage.to_the_callback()
    assert (await stage.open_callback(url)).status == 303
    exchanges = sum(seen.grant_type is not None for seen in stage.provider.requests)
    stage.browser.cookies.clear()
    page = await stage.open_callback(url)
    assert (page.status, shown_code(page)) == (400, "state_used")
    again = sum(seen.grant_type is not None for seen in stage.provider.requests)
    assert again == exchanges


@does("Core 16.4", "in no answer, no URL and no log line")
async def tokens_stay_here(stage: Stage) -> None:
    """Neither access token nor id token ever reaches the browser"""
    given: list[str] = []
    stage.provider.tamper["token"] = lambda answer: given.extend(
        (answer["access_token"], answer["id_token"])
    )
    page = await stage.sign_in()
    seen = [*page.history, page, await stage.browser.fetch(f"{stage.site}/auth/me")]
    said = "".join(f"{one.url} {one.headers} {one.text}" for one in seen)
    said += repr(stage.heard) + repr(list(stage.browser.cookies))
    assert len(given) == 2
    assert not any(token in said for token in given)


STEP = "Core 3.1.3.7, step {}".format

ROWS: tuple[Row, ...] = (
    authentication_request,
    nonce_of_its_own,
    parameters_of_one_login,
    silent_login_declined,
    client_secret_basic,
    client_secret_post,
    userinfo_bearer_header,
    scope_userinfo_claims,
    userinfo_signed,
    id_token_encrypted,
    same_email_is_another_user,
    response_of_another_browser,
    code_used_once,
    tokens_stay_here,
    # -- the id token's issuer --------------------------------------------------------------------
    Refused(
        fault="iss_wrong",
        source=STEP(2),
        code="iss_mismatch",
        module="oidcc-client-test-invalid-iss",
    ),
    Refused(fault="iss_missing", source="Core 2", code="claim_missing"),
    Refused(fault="iss_number", source="Core 2", code="claim_type"),
    Refused(fault="iss_list", source="Core 2", code="claim_type"),
    Refused(fault="iss_slash", source="Core 2 and Discovery 4.3", code="iss_mismatch"),
    Refused(fault="iss_upper", source="Core 2", code="iss_mismatch"),
    # -- its subject ------------------------------------------------------------------------------
    Refused(
        fault="sub_missing",
        source="Core 2",
        code="claim_missing",
        module="oidcc-client-test-missing-sub",
    ),
    Refused(fault="sub_empty", source="Core 2", code="claim_type"),
    Refused(fault="sub_number", source="Core 2", code="claim_type"),
    Refused(fault="sub_null", source="Core 2", code="claim_type"),
    Refused(fault="sub_too_long", source="Core 2", code="sub_too_long"),
    # -- its audience -----------------------------------------------------------------------------
    Refused(
        fault="aud_wrong",
        source=STEP(3),
        code="aud_missing_us",
        module="oidcc-client-test-invalid-aud",
    ),
    Refused(
        fault="aud_missing",
        source="Core 2",
        code="claim_missing",
        module=("oidcc-client-test-missing-aud",),
    ),
    Refused(fault="aud_empty", source=STEP(3), code="aud_missing_us"),
    Refused(fault="aud_object", source="Core 2", code="claim_type"),
    Refused(fault="aud_number_in_list", source="Core 2", code="claim_type"),
    Refused(fault="aud_prefix", source=STEP(3), code="aud_missing_us"),
    Refused(fault="aud_upper", source=STEP(3), code="aud_missing_us"),
    Refused(fault="aud_stranger", source=STEP(3), code="aud_untrusted"),
    Passes(
        fault="aud_stranger",
        name="aud_stranger_whom_we_trust",
        source=STEP(3),
        options={"trusted_audiences": ["stranger"]},
    ),
    Passes(fault="aud_list", source="Core 2"),
    Refused(fault="azp_wrong", source=STEP("4 and 5"), code="azp_mismatch"),
    Refused(fault="azp_number", source="Core 2", code="claim_type"),
    Passes(fault="azp_ours", source=STEP("4 and 5")),
    # -- its times --------------------------------------------------------------------------------
    Refused(fault="exp_missing", source="Core 2", code="claim_missing"),
    Refused(fault="exp_past", source=STEP(9), code="token_expired"),
    Refused(fault="exp_now", source=STEP(9), code="token_expired"),
    Passes(fault="exp_leeway", source=STEP(9)),
    Refused(fault="exp_text", source="Core 2", code="claim_type"),
    Refused(fault="exp_true", source="Core 2", code="claim_type"),
    Refused(fault="exp_null", source="Core 2", code="claim_type"),
    Refused(fault="exp_negative", source="Core 2", code="time_out_of_range"),
    Refused(fault="exp_after_all", source="Core 2", code="time_out_of_range"),
    Refused(fault="exp_milliseconds", source="Core 2", code="time_out_of_range"),
    Refused(
        fault="iat_missing",
        source="Core 2",
        code="claim_missing",
        module="oidcc-client-test-missing-iat",
    ),
    Refused(fault="iat_future", source=STEP(10), code="iat_in_future"),
    Passes(fault="iat_leeway", source=STEP(10)),
    Refused(fault="iat_text", source="Core 2", code="claim_type"),
    Passes(fault="exp_float", source="Core 2"),
    # -- its nonce --------------------------------------------------------------------------------
    Refused(
        fault="nonce_wrong",
        source=STEP(11),
        code="nonce_mismatch",
        module="oidcc-client-test-nonce-invalid",
    ),
    Refused(fault="nonce_missing", source=STEP(11), code="nonce_missing"),
    Refused(fault="nonce_upper", source=STEP(11), code="nonce_mismatch"),
    Refused(fault="nonce_number", source="Core 2", code="claim_type"),
    Refused(fault="nonce_empty", source="Core 2", code="claim_type"),
    # -- when and how the user signed in ----------------------------------------------------------
    Refused(
        fault="auth_time_missing",
        source="Core 2",
        code="auth_time_missing",
        status=403,
        login=MAX_AGE,
    ),
    Refused(
        fault="auth_time_old",
        source=STEP(13),
        code="auth_time_too_old",
        status=403,
        login=MAX_AGE,
    ),
    Refused(fault="auth_time_future", source=STEP(13), code="auth_time_in_future", login=MAX_AGE),
    Refused(fault="auth_time_text", source="Core 2", code="claim_type"),
    Passes(fault="auth_time_missing", name="auth_time_missing_and_unasked", source="Core 2"),
    Passes(fault="auth_time_old", name="auth_time_old_and_unasked", source="Core 2"),
    Passes(fault="auth_time_float", source="Core 2", login=MAX_AGE),
    Refused(fault="acr_number", source="Core 2", code="claim_type"),
    Refused(fault="sid_number", source="Core 2", code="claim_type"),
    Passes(fault="claims_unknown", source="Core 2"),
    # -- its access token -------------------------------------------------------------------------
    Refused(
        fault="at_hash_wrong",
        source="Core 3.1.3.8",
        code="at_hash_mismatch",
        module=("oidcc-client-test-invalid-athash",),
    ),
    Refused(fault="at_hash_number", source="Core 3.1.3.6", code="claim_type"),
    Passes(fault="at_hash_missing", source="Core 3.1.3.6"),
    # -- signature and algorithm ------------------------------------------------------------------
    Refused(
        fault="signature_wrong",
        source=STEP(6),
        code="signature_invalid",
        module="oidcc-client-test-invalid-sig-rs256",
    ),
    Refused(
        fault="alg_none",
        source=STEP(7),
        code="alg_none",
        module="oidcc-client-test-idtoken-sig-none",
    ),
    Passes(
        fault="claims_unknown",
        name="signed_rs256",
        source="Core 15.1",
        module="oidcc-client-test-idtoken-sig-rs256",
        options={"id_token_signed_response_alg": "RS256"},
    ),
    Passes(
        fault="kid_missing",
        source="Core 10.1",
        module="oidcc-client-test-kid-absent-single-jwks",
    ),
    # -- the token answer -------------------------------------------------------------------------
    Refused(fault="id_token_missing", source="Core 3.1.3.3", code="id_token_missing"),
    Refused(fault="id_token_number", source="Core 3.1.3.3", code="token_answer_member"),
    Refused(fault="id_token_object", source="Core 3.1.3.3", code="token_answer_member"),
    # -- userinfo ---------------------------------------------------------------------------------
    Refused(
        fault="userinfo_sub_other",
        source="Core 5.3.2",
        code="userinfo_sub_mismatch",
        module="oidcc-client-test-userinfo-invalid-sub",
    ),
    Refused(fault="userinfo_sub_missing", source="Core 5.3.2", code="userinfo_sub_mismatch"),
    Refused(fault="userinfo_sub_upper", source="Core 5.3.2", code="userinfo_sub_mismatch"),
    Refused(fault="userinfo_sub_list", source="Core 5.3.2", code="userinfo_sub_mismatch"),
    Refused(fault="userinfo_401", source="Core 5.3.3", code="userinfo_refused"),
    Refused(fault="userinfo_403", source="Core 5.3.3", code="userinfo_refused"),
    Refused(fault="says_500", at="userinfo", source="Core 5.3.2", code="userinfo_status"),
    Passes(fault="userinfo_claims_of_token", source="Core 5.3.2"),
    # -- a refreshed id token ---------------------------------------------------------------------
    *(
        RefreshRefused(
            fault=fault, source="Core 12.2", reason=reason, options=OFFLINE, module=module
        )
        for fault, reason, module in (
            ("iss_wrong", "iss_mismatch", ("oidcc-client-test-refresh-token-invalid-issuer",)),
            ("sub_of_another", "sub_changed", ("oidcc-client-test-refresh-token-invalid-sub",)),
            ("aud_wrong", "aud_missing_us", None),
            ("azp_ours", "azp_changed", None),
            ("azp_wrong", "azp_mismatch", None),
            ("nonce_wrong", "nonce_changed", None),
            ("auth_time_old", "auth_time_changed", None),
            ("iat_missing", "claim_missing", None),
            ("exp_past", "token_expired", None),
            ("at_hash_wrong", "at_hash_mismatch", None),
            ("signature_wrong", "signature_invalid", None),
            ("alg_none", "alg_none", None),
            ("typ_logout_jwt", "typ_wrong", None),
        )
    ),
    RefreshPasses(
        fault="claims_unknown",
        source="Core 12.1",
        options=OFFLINE,
        module=("oidcc-client-test-refresh-token",),
    ),
    RefreshPasses(fault="id_token_missing", source="Core 12.2", options=OFFLINE),
    RefreshPasses(fault="auth_time_missing", source="Core 12.2", options=OFFLINE),
    RefreshPasses(fault="kid_missing", source="Core 10.1", options=OFFLINE),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
async def test_core(stage: Stage, row: Row) -> None:
    """Each rule of OpenID Connect Core holds against its fault."""
    await row.prove(stage)
