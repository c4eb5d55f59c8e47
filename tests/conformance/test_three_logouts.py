"""RP-Initiated, Back-Channel (with its errata) and Front-Channel Logout 1.0."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from rows import JSON_CODES, LogoutPasses, LogoutRefused, Row, does
from stage import Stage, shown_code

from clefstorm.testing import Answer
from clefstorm.testing.provider.faulty_json import JSON_CHANGES

BACK = "oidcc-client-test-rp-backchannel-rpinitlogout"
RP_INIT = "oidcc-client-test-rp-init-logout"
SHORT = {"deadline": 0.5}


# -- RP-initiated ----------------------------------------------------------------------------------


@does("RP-Initiated 2", "signed out here and there", module=RP_INIT)
async def rp_initiated_logout(stage: Stage) -> None:
    """The user's logout ends the session here, then at the provider, and comes back"""
    await stage.sign_in()
    answer = await stage.sign_out(follow=False)
    assert answer.status == 303
    assert await stage.user() is None
    url = answer.headers["Location"]
    assert url.startswith(f"{stage.provider.issuer}/end_session?")
    sent = dict(parse_qsl(urlsplit(url).query))
    assert sent["client_id"] == "app"
    assert sent["id_token_hint"].count(".") == 2
    assert sent["post_logout_redirect_uri"] == f"{stage.site}/auth/logged-out"
    assert len(sent["state"]) >= 22
    page = await stage.browser.get(url, initiator=stage.site)
    assert (page.status, page.text) == (200, "here")
    assert not stage.provider.sessions


@does("RP-Initiated 3", "home, and not to the remembered page", module=f"{RP_INIT}-other-state")
async def rp_initiated_logout_other_state(stage: Stage) -> None:
    """A state that is not ours leads nowhere but home"""
    await stage.sign_in()
    await stage.sign_out(follow=False)
    page = await stage.browser.get(
        f"{stage.site}/auth/logged-out?state=another", initiator=stage.provider.issuer, follow=False
    )
    assert (page.status, page.headers["Location"]) == (303, "/")
    assert await stage.user() is None


@does("RP-Initiated 3", "a farewell", module=f"{RP_INIT}-no-state")
async def rp_initiated_logout_no_state(stage: Stage) -> None:
    """Without state the page after the provider's logout is a farewell"""
    await stage.sign_in()
    await stage.sign_out(follow=False)
    page = await stage.browser.get(
        f"{stage.site}/auth/logged-out", initiator=stage.provider.issuer, follow=False
    )
    assert page.status == 200
    assert "You are signed out" in page.text
    assert await stage.user() is None


@does("RP-Initiated 2", "signed out here")
async def logout_without_end_session_endpoint(stage: Stage) -> None:
    """A provider that has no end_session_endpoint keeps nobody signed in here"""
    stage.provider.tamper["discovery"] = lambda document: (
        document.pop("end_session_endpoint") and None
    )
    await stage.sign_in()
    page = await stage.sign_out()
    assert (page.status, page.text) == (200, "here")
    assert await stage.user() is None


@does("RP-Initiated 2", "signed out here")
async def logout_while_the_provider_is_down(stage: Stage) -> None:
    """A provider that can't be asked keeps nobody signed in here"""
    await stage.sign_in()
    for broken in (Answer(status=500), Answer(body="<h1>Oops</h1>"), Answer(hang=True)):
        stage.configure(**SHORT)
        stage.provider.answer_instead["discovery"] = broken
        page = await stage.sign_out()
        assert (page.status, page.text) == (200, "here")
        assert await stage.user() is None
        stage.provider.behave()
        stage.configure()
        await stage.sign_in()
        assert await stage.user() == stage.sub()


@does("RP-Initiated 6", "403 ``cross_site``, and still signed in")
async def logout_by_another_site(stage: Stage) -> None:
    """A page of another site logs nobody out, by POST or by GET"""
    await stage.sign_in()
    evil = "https://evil.example/"
    page = await stage.browser.post(f"{stage.site}/auth/logout", {}, initiator=evil, follow=False)
    assert page.status == 403
    assert "Set-Cookie" not in page.headers
    page = await stage.browser.get(f"{stage.site}/auth/logout", initiator=evil, follow=False)
    assert page.status == 200
    assert await stage.user() == stage.sub()
    await stage.sign_out()
    assert await stage.user() is None


# -- Back-channel ----------------------------------------------------------------------------------


@does("Back-Channel 2.5 to 2.8", "200, signed out", module=BACK)
async def back_channel_logout(stage: Stage) -> None:
    """A logout at the provider ends the sessions of that user, and of nobody else"""
    laptop, phone, bobs = stage.browser, stage.new_browser(), stage.new_browser()
    for browser, name in ((laptop, "alice"), (phone, "alice"), (bobs, "bob")):
        await stage.sign_in(name, browser=browser)
    deliveries = await stage.provider.sign_out("alice")
    assert [delivery.status for delivery in deliveries] == [200, 200]
    assert [await stage.user(one) for one in (laptop, phone)] == [None, None]
    assert await stage.user(bobs) == stage.sub("bob")


@does("Back-Channel 2.4 and 2.7", "200, one session ended")
async def logout_of_one_session(stage: Stage) -> None:
    """A token with a sid ends that session alone, one without it all of the subject"""
    phone = stage.new_browser()
    await stage.sign_in()
    await stage.sign_in(browser=phone)
    token = await stage.provider.logout_token("app", sub=stage.sub(), sid=await stage.sid())
    assert (await stage.post_logout_token(token)).status == 200
    assert await stage.user() is None
    assert await stage.user(phone) == stage.sub()
    await stage.sign_in()
    token = await stage.provider.logout_token("app", sub=stage.sub())
    assert (await stage.post_logout_token(token)).status == 200
    assert [await stage.user(one) for one in (stage.browser, phone)] == [None, None]


@does("Back-Channel 2.6, step 10", "200, and nobody is signed out")
async def logout_of_a_session_of_another_subject(stage: Stage) -> None:
    """A sid whose session is another subject's ends nothing"""
    await stage.sign_in()
    sid = await stage.sid()
    token = await stage.provider.logout_token("app", sub=stage.sub("bob"), sid=sid)
    assert (await stage.post_logout_token(token)).status == 200
    assert await stage.user() == stage.sub()
    token = await stage.provider.logout_token("app", sub=stage.sub(), sid=sid)
    assert (await stage.post_logout_token(token)).status == 200
    assert await stage.user() is None


@does("Back-Channel 2.6, step 8", "200, and the new session lives")
async def logout_token_again(stage: Stage) -> None:
    """The same token again ends nothing"""
    await stage.sign_in()
    token = await stage.provider.logout_token("app", sub=stage.sub())
    assert (await stage.post_logout_token(token)).status == 200
    assert await stage.user() is None
    await stage.sign_in()
    assert (await stage.post_logout_token(token)).status == 200
    assert await stage.user() == stage.sub()


@does("Back-Channel 2.5", "400, 405 or 415")
async def logout_request_of_another_form(stage: Stage) -> None:
    """The token comes by POST, in a form, once"""
    await stage.sign_in()
    token = await stage.provider.logout_token("app", sub=stage.sub())
    form = urlencode({"logout_token": token})
    for body, query, content_type, method, status in (
        ("", f"?{form}", "", "GET", 405),
        ("", f"?{form}", "application/x-www-form-urlencoded", "POST", 400),
        (f"{form}&{form}", "", "application/x-www-form-urlencoded", "POST", 400),
        (f'{{"logout_token": "{token}"}}', "", "application/json", "POST", 415),
        (form, "", "text/plain", "POST", 415),
        ("logout_token=", "", "application/x-www-form-urlencoded", "POST", 400),
    ):
        answer = await stage.send(
            "backchannel-logout", body, query=query, content_type=content_type, method=method
        )
        assert answer.status == status
        assert answer.headers["Cache-Control"] == "no-store"
    assert await stage.user() == stage.sub()
    answer = await stage.send(
        "backchannel-logout",
        f"other=1&{form}",
        content_type="Application/X-WWW-Form-Urlencoded; charset=utf-8",
    )
    assert answer.status == 200
    assert await stage.user() is None


@does("RFC 8725 3.12 and Back-Channel 4.1", "400 ``claim_missing``")
async def id_token_as_logout_token(stage: Stage) -> None:
    """An id token of ours, good in all else, logs nobody out"""
    given: list[str] = []
    stage.provider.tamper["token"] = lambda answer: given.append(answer["id_token"])
    await stage.sign_in()
    answer = await stage.post_logout_token(given[0])
    assert (answer.status, answer.json()["code"]) == (400, "claim_missing")
    assert await stage.user() == stage.sub()


@does("Back-Channel 2.6 and RFC 8725 3.9", "400 ``logout_token_foreign``")
async def logout_token_of_another_client(stage: Stage) -> None:
    """A token for another client of the same provider logs nobody out"""
    stage.register("second")
    await stage.sign_in()
    token = await stage.provider.logout_token("second", sub=stage.sub())
    answer = await stage.post_logout_token(token)
    assert (answer.status, answer.json()["code"]) == (400, "logout_token_foreign")
    assert await stage.user() == stage.sub()


@does("Back-Channel 2.8", "400, and 200 when the token comes again")
async def logout_while_the_keys_are_broken(stage: Stage) -> None:
    """A token that could not be judged for a second is good a second later"""
    await stage.sign_in()
    stage.configure()
    token = await stage.provider.logout_token("app", sub=stage.sub())
    for place in ("discovery", "jwks"):
        stage.provider.answer_instead[place] = Answer(status=503)
        assert (await stage.post_logout_token(token)).status == 400
        assert await stage.user() == stage.sub()
        stage.provider.behave()
    assert (await stage.post_logout_token(token)).status == 200
    assert await stage.user() is None


# -- Front-channel ---------------------------------------------------------------------------------

FRONT = "oidcc-client-test-rp-frontchannel"


async def sign_in_with_front_channel(stage: Stage) -> None:
    """Sign in, at a provider that knows the frontchannel_logout_uri and no other way."""
    stage.register(
        frontchannel_logout_uri=f"{stage.site}/auth/frontchannel-logout?x=1",
        backchannel_logout_uri=None,
    )
    stage.configure(frontchannel_logout=True)
    await stage.sign_in()
    assert await stage.user() == stage.sub()


async def front_channel(stage: Stage, **parameters: str) -> str:
    """Call the front-channel logout as a frame without cookies; return status and code."""
    page = await stage.new_browser().get(
        f"{stage.site}/auth/frontchannel-logout?{urlencode(parameters)}",
        initiator=stage.provider.issuer,
        headers={"Sec-Fetch-Dest": "iframe"},
        follow=False,
    )
    assert "Set-Cookie" not in page.headers
    assert page.headers["Cache-Control"] == "no-store"
    return f"{page.status} {shown_code(page)}" if page.status != 200 else "200"


@does("Front-Channel 2 and 3", "signed out", module=f"{FRONT}-rpinitlogout")
async def front_channel_after_our_logout(stage: Stage) -> None:
    """The provider's logout page frames us, and leads back when that is done"""
    await sign_in_with_front_channel(stage)
    page = await stage.sign_out()
    assert page.url.startswith(f"{stage.provider.issuer}/end_session")
    [frame] = await stage.browser.load_frames(page)
    assert frame.status == 200
    back = page.text.partition('<a href="')[2].partition('"')[0].replace("&amp;", "&")
    page = await stage.browser.get(back, initiator=page)
    assert (page.status, page.text) == (200, "here")
    assert await stage.user() is None


@does("Front-Channel 2 and 4.1", "signed out", module=(f"{FRONT}-opinitlogout",))
async def front_channel_of_the_provider(stage: Stage) -> None:
    """A logout at the provider ends our session by its frame, to which no cookie comes"""
    await sign_in_with_front_channel(stage)
    page = await stage.browser.get(f"{stage.provider.issuer}/end_session")
    page = await stage.browser.submit(page, button="sign-out")
    assert await stage.user() == stage.sub()
    [frame] = await stage.browser.load_frames(page)
    assert frame.status == 200
    assert await stage.user() is None
    assert [h.facts["reason"] for h in stage.events("signed_out")] == ["frontchannel"]


@does("Front-Channel 2", "as required")
async def front_channel_answer(stage: Stage) -> None:
    """The answer is not cached, and framed by the provider's pages alone"""
    await sign_in_with_front_channel(stage)
    page = await stage.browser.get(f"{stage.provider.issuer}/end_session")
    page = await stage.browser.submit(page, button="sign-out")
    [frame] = await stage.browser.load_frames(page)
    policy = frame.headers["Content-Security-Policy"]
    assert policy == f"default-src 'none'; frame-ancestors {stage.provider.issuer}"
    assert "X-Frame-Options" not in frame.headers
    assert frame.headers["Cache-Control"] == "no-store"


@does("Front-Channel 2", "400 ``frontchannel_issuer_unknown``")
async def front_channel_by_option(stage: Stage) -> None:
    """It proves nothing, so without the option ``frontchannel_logout`` it signs nobody out"""
    await sign_in_with_front_channel(stage)
    named = {"iss": stage.provider.issuer, "sid": await stage.sid()}
    stage.configure()
    assert await front_channel(stage, **named) == "400 frontchannel_issuer_unknown"
    assert await stage.user() == stage.sub()
    stage.configure(frontchannel_logout=True)
    assert await front_channel(stage, **named) == "200"
    assert await stage.user() is None


@does("Front-Channel 2", "400 ``frontchannel_session_missing``")
async def front_channel_without_iss_and_sid(stage: Stage) -> None:
    """Without iss and sid nobody is signed out, for anybody could ask for that"""
    await sign_in_with_front_channel(stage)
    iss, sid = stage.provider.issuer, await stage.sid()
    for parameters in ({}, {"iss": iss}, {"sid": sid}, {"iss": "", "sid": sid}):
        said = await front_channel(stage, **parameters)
        assert said == "400 frontchannel_session_missing"
    assert await stage.user() == stage.sub()
    assert await front_channel(stage, iss=iss, sid=sid) == "200"
    assert await stage.user() is None


@does("Front-Channel 2", "400 ``frontchannel_issuer_unknown``")
async def front_channel_of_another_issuer(stage: Stage) -> None:
    """A sid counts together with its own issuer only"""
    await sign_in_with_front_channel(stage)
    sid = await stage.sid()
    for iss in ("https://evil.example", f"{stage.provider.issuer}/"):
        said = await front_channel(stage, iss=iss, sid=sid)
        assert said == "400 frontchannel_issuer_unknown"
    assert await stage.user() == stage.sub()
    assert await front_channel(stage, iss=stage.provider.issuer, sid=sid) == "200"


@does("Front-Channel 2", "200, and nobody is signed out")
async def front_channel_of_another_session(stage: Stage) -> None:
    """A sid that is nobody's, or of a session that is over, is answered alike"""
    await sign_in_with_front_channel(stage)
    iss = stage.provider.issuer
    assert await front_channel(stage, iss=iss, sid="of-nobody") == "200"
    assert await stage.user() == stage.sub()
    sid = await stage.sid()
    for _ in range(2):
        assert await front_channel(stage, iss=iss, sid=sid) == "200"
        assert await stage.user() is None


@does("RFC 6749 3.1", "400 ``parameter_repeated``, and 405 for a POST")
async def front_channel_of_another_form(stage: Stage) -> None:
    """iss and sid stand once, in the query of a GET"""
    await sign_in_with_front_channel(stage)
    named = urlencode({"iss": stage.provider.issuer, "sid": await stage.sid()})
    browser = stage.new_browser()
    url = f"{stage.site}/auth/frontchannel-logout"
    page = await browser.get(f"{url}?{named}&{named}", follow=False)
    assert (page.status, shown_code(page)) == (400, "parameter_repeated")
    page = await browser.fetch(url, method="POST", form=dict(parse_qsl(named)))
    assert page.status == 405
    assert await stage.user() == stage.sub()
    assert (await browser.get(f"{url}?{named}", follow=False)).status == 200
    assert await stage.user() is None


STEP = "Back-Channel 2.6, step {}".format
TOKEN = "Back-Channel 2.4"

REFUSED: tuple[tuple[str, str, str, str | None], ...] = (
    ("signature_wrong", STEP(2), "signature_invalid", None),
    ("signature_empty", STEP(2), "signature_invalid", None),
    ("signature_of_a_stranger", STEP(2), "signature_invalid", None),
    ("header_jwk", STEP(2), "kid_unknown", None),
    ("kid_unknown", STEP(2), "kid_unknown", None),
    ("key_weak", STEP(2), "kid_unknown", None),
    ("parts_five", STEP(1), "jwt_encrypted", None),
    ("parts_two", STEP(2), "jwt_malformed", None),
    ("dots_many", STEP(2), "jwt_malformed", None),
    ("header_crit", STEP(2), "crit_refused", None),
    ("header_b64_uncritical", STEP(2), "b64_refused", None),
    ("base64_spare_bits", STEP(2), "base64url_invalid", None),
    ("alg_none", STEP(3), "alg_none", f"{BACK}-alg-none"),
    ("alg_none_mixed", STEP(3), "alg_none", None),
    ("hmac_public_pem", STEP(3), "alg_not_allowed", f"{BACK}-wrong-alg"),
    ("alg_other_hash", STEP(3), "alg_not_allowed", None),
    ("alg_unknown", STEP(3), "alg_not_allowed", None),
    ("iss_wrong", STEP(4), "logout_token_foreign", f"{BACK}-wrong-iss"),
    ("iss_missing", TOKEN, "logout_token_foreign", None),
    ("iss_number", TOKEN, "logout_token_foreign", None),
    ("iss_list", TOKEN, "logout_token_foreign", None),
    ("iss_slash", STEP(4), "logout_token_foreign", None),
    ("iss_upper", STEP(4), "logout_token_foreign", None),
    ("aud_wrong", STEP(4), "logout_token_foreign", f"{BACK}-wrong-aud"),
    ("aud_missing", TOKEN, "logout_token_foreign", None),
    ("aud_empty", TOKEN, "logout_token_foreign", None),
    ("aud_object", TOKEN, "logout_token_foreign", None),
    ("aud_prefix", STEP(4), "logout_token_foreign", None),
    ("aud_number_in_list", TOKEN, "claim_type", None),
    ("aud_stranger", STEP(4), "aud_untrusted", None),
    ("iat_missing", TOKEN, "claim_missing", None),
    ("iat_text", TOKEN, "claim_type", None),
    ("iat_future", STEP(4), "iat_in_future", None),
    ("exp_missing", TOKEN, "claim_missing", None),
    ("exp_text", TOKEN, "claim_type", None),
    ("exp_past", STEP(4), "token_expired", None),
    ("exp_infinite", TOKEN, "json_invalid", None),
    ("exp_after_all", TOKEN, "time_out_of_range", None),
    ("life_of_a_day", "Back-Channel 4", "logout_token_long_lived", None),
    ("nbf_future", "RFC 7519 4.1.5", "nbf_in_future", None),
    ("sub_and_sid_missing", STEP(5), "sub_and_sid_missing", None),
    ("sub_number", TOKEN, "claim_type", None),
    ("sub_empty", TOKEN, "claim_type", None),
    ("sid_number", TOKEN, "claim_type", None),
    ("events_missing", STEP(6), "claim_missing", f"{BACK}-no-event"),
    ("events_list", STEP(6), "claim_type", None),
    ("event_wrong", STEP(6), "event_missing", f"{BACK}-wrong-event"),
    ("event_text", STEP(6), "event_type", None),
    ("event_null", STEP(6), "event_type", None),
    ("nonce_in_logout", STEP(7), "nonce_prohibited", f"{BACK}-with-nonce"),
    ("jti_missing", TOKEN, "claim_missing", None),
    ("jti_number", TOKEN, "claim_type", None),
    ("typ_at_jwt", "Back-Channel 4.1 and RFC 8725 3.11", "typ_wrong", None),
    ("typ_secevent", "Back-Channel 4.1 and RFC 8725 3.11", "typ_wrong", None),
    ("typ_number", "RFC 7515 4.1.9", "header_type", None),
)

ROWS: tuple[Row, ...] = (
    rp_initiated_logout,
    rp_initiated_logout_other_state,
    rp_initiated_logout_no_state,
    logout_without_end_session_endpoint,
    logout_while_the_provider_is_down,
    logout_by_another_site,
    back_channel_logout,
    logout_of_one_session,
    logout_of_a_session_of_another_subject,
    logout_token_again,
    logout_request_of_another_form,
    id_token_as_logout_token,
    logout_token_of_another_client,
    logout_while_the_keys_are_broken,
    *(
        LogoutRefused(fault=fault, source=source, code=code, module=module)
        for fault, source, code, module in REFUSED
    ),
    *(
        LogoutRefused(
            fault=fault,
            source="RFC 7519 7.2",
            code=JSON_CODES.get(fault, "json_invalid"),
        )
        for fault in JSON_CHANGES
    ),
    *(
        LogoutRefused(fault=fault, at="jwks", source="Back-Channel 2.8", code=code, hurried=SHORT)
        for fault, code in (
            ("hangs", "flow_deadline"),
            ("drips", "flow_deadline"),
            ("never_ends", "answer_too_large"),
            ("says_500", "jwks_status"),
            ("keys_none", "jwks_no_usable_key"),
        )
    ),
    *(
        LogoutPasses(fault=fault, source=source)
        for fault, source in (
            ("typ_absent", "Back-Channel 2.4"),
            ("typ_jwt", "Back-Channel 2.4"),
            ("typ_jwt_lower", "RFC 7515 4.1.9"),
            ("typ_logout_jwt", "Back-Channel 2.4"),
            ("typ_logout_jwt_long", "RFC 7515 4.1.9"),
            ("aud_list", TOKEN),
            ("exp_float", "RFC 7519 2"),
            ("exp_leeway", STEP(4)),
            ("iat_leeway", STEP(4)),
            ("life_of_a_quarter", "Back-Channel 4"),
            ("event_not_empty", STEP(6)),
            ("event_and_other", STEP(6)),
            ("claims_unknown", TOKEN),
            ("sub_missing", STEP(5)),
            ("sid_missing", STEP(5)),
            ("kid_missing", "Core 10.1"),
        )
    ),
    LogoutPasses(
        fault="exp_missing",
        name="exp_missing_where_the_switch_says_so",
        source=TOKEN,
        options={"logout_token_exp_required": False},
    ),
    LogoutPasses(fault="claims_unknown", name="sub_alone", source=STEP(5), names="sub"),
    front_channel_after_our_logout,
    front_channel_of_the_provider,
    front_channel_answer,
    front_channel_by_option,
    front_channel_without_iss_and_sid,
    front_channel_of_another_issuer,
    front_channel_of_another_session,
    front_channel_of_another_form,
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
async def test_three_logouts(stage: Stage, row: Row) -> None:
    """Each rule of the three logout specifications holds against its fault."""
    await row.prove(stage)
