"""OAuth 2.0: RFC 6749, PKCE (RFC 7636), issuer identification (RFC 9207), and RFC 9700."""

from __future__ import annotations

import base64
import hashlib
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from rows import JSON_CODES, OFFLINE, Passes, Refused, Row, does
from stage import Stage, shown_code

from clefstorm.testing import Answer
from clefstorm.testing.provider.faulty_json import JSON_CHANGES

OAUTH2 = {"kind": "oauth2"}


@does("RFC 7636 4.1 to 4.3", "as required")
async def pkce_s256(stage: Stage) -> None:
    """Each request has a code_challenge of its own, and its method is S256"""
    sent = [await stage.to_the_provider() for _ in range(3)]
    assert {one["code_challenge_method"] for one in sent} == {"S256"}
    assert len({one["code_challenge"] for one in sent}) == 3
    assert {len(one["code_challenge"]) for one in sent} == {43}
    assert (await stage.sign_in()).text == "here"


@does("RFC 7636 4.5", "as required")
async def pkce_verifier(stage: Stage) -> None:
    """The exchange brings the code_verifier of the very request"""
    issued: list[str] = []
    real = stage.provider.grants.redeem_code

    def redeem(code: str, **with_it: str) -> object:
        digest = hashlib.sha256(with_it["code_verifier"].encode()).digest()
        issued.append(base64.urlsafe_b64encode(digest).rstrip(b"=").decode())
        assert 43 <= len(with_it["code_verifier"]) <= 128
        return real(code, **with_it)

    assert (await stage.sign_in()).text == "here"
    stage.provider.grants.redeem_code = redeem  # type: ignore[method-assign, assignment]
    page = await stage.sign_in()
    assert page.text == "here"
    asked = [dict(parse_qsl(urlsplit(one.url).query)) for one in page.history]
    assert issued == [one["code_challenge"] for one in asked if "code_challenge" in one]


@does("RFC 9700 4.5 and RFC 7636 1", "400 ``token_refused``")
async def injected_code(stage: Stage) -> None:
    """A code that was stolen from another login is of no use in a login of the thief"""
    await stage.sign_in()
    thief = stage.new_browser()
    await stage.sign_in("bob", browser=thief)
    stolen = dict(parse_qsl(urlsplit(await stage.to_the_callback()).query))
    own = await stage.to_the_callback(thief)
    sent = {**dict(parse_qsl(urlsplit(own).query)), "code": stolen["code"]}
    page = await stage.open_callback(f"{stage.site}/auth/callback?{urlencode(sent)}", thief)
    assert (page.status, shown_code(page)) == (400, "token_refused")
    assert await stage.user(thief) == stage.sub("bob")


@does("RFC 9700 4.7 and RFC 6749 10.12", "400 ``state_other_browser``")
async def forged_login(stage: Stage) -> None:
    """A link to the attacker's own answer does not sign the victim in as the attacker"""
    await stage.sign_in()
    attacker = stage.new_browser()
    await stage.sign_in("bob", browser=attacker)
    url = await stage.to_the_callback(attacker)
    page = await stage.browser.get(url, initiator="https://evil.example/", follow=False)
    assert (page.status, shown_code(page)) == (400, "state_other_browser")
    assert "Set-Cookie" not in page.headers
    assert await stage.user() == stage.sub()
    assert (await stage.open_callback(url, attacker)).status == 303


@does("RFC 9700 2.1 and 4.11", "400 ``return_path_refused``")
async def open_redirector(stage: Stage) -> None:
    """The login page sends nobody to another site afterwards, however that is spelled"""
    assert (await stage.sign_in()).text == "here"
    for target in (
        *("https://evil.example/", "//evil.example", "/\\evil.example", "\\\\evil.example"),
        *("/%0d%0aLocation:x", "javascript:alert(1)", "http:evil.example", "/\tevil"),
    ):
        page = await stage.browser.get(
            f"{stage.site}/auth/login?{urlencode({'next': target})}", follow=False
        )
        refused = page.status == 400
        harmless = page.status == 303 and page.headers["Location"].startswith(
            f"{stage.provider.issuer}/authorize"
        )
        assert refused or harmless, target
        if harmless:
            page = await stage.sign_in()
            assert page.url.startswith(stage.site)


@does("RFC 9700 4.2.4", "as required")
async def no_referrer(stage: Stage) -> None:
    """The answer's code is in no Referer header of what follows, and in no cache"""
    await stage.sign_in()
    page = await stage.open_callback(await stage.to_the_callback())
    assert (page.status, page.referrer_policy) == (303, "no-referrer")
    assert page.headers["Cache-Control"] == "no-store"


@does("RFC 9700 4.12 and Core 16.22", "as required")
async def redirects_with_303(stage: Stage) -> None:
    """Every redirect of the login makes a GET, so that no form is sent on"""
    await stage.sign_in()
    page = await stage.sign_in()
    assert page.text == "here"
    assert [one.status for one in page.history] == [303, 303, 303]


@does("RFC 9700 4.16", "403, or framed nowhere")
async def clickjacking(stage: Stage) -> None:
    """No page of the login can be framed by another site"""
    assert (await stage.sign_in()).text == "here"
    for path in ("auth/logout", "auth/callback"):
        page = await stage.browser.get(f"{stage.site}/{path}", follow=False)
        assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    page = await stage.browser.get(
        stage.login_url(),
        initiator="https://evil.example/",
        headers={"Sec-Fetch-Dest": "iframe", "Sec-Fetch-Site": "cross-site"},
        follow=False,
    )
    assert (page.status, shown_code(page)) == (403, "cross_site")


@does("RFC 6749 2.3.1 and RFC 9700 4.3.2", "in no URL")
async def secrets_in_no_url(stage: Stage) -> None:
    """Neither client_secret nor code_verifier nor a token is ever part of a URL"""
    await stage.sign_in()
    page = await stage.sign_in()
    assert len(page.history) == 3
    urls = " ".join(one.url for one in (*page.history, page))
    for word in ("client_secret", "code_verifier", "access_token", "id_token"):
        assert word not in urls
    assert "secret-of-the-client" not in urls


@does("RFC 6749 3.1 and 3.2", "signed in")
async def endpoints_with_a_query(stage: Stage) -> None:
    """The query of an endpoint's address is kept"""
    issuer = stage.provider.issuer
    stage.provider.tamper["discovery"] = lambda document: document.update(
        authorization_endpoint=f"{issuer}/authorize?tenant=1",
        token_endpoint=f"{issuer}/token?tenant=1",
    )
    sent = await stage.to_the_provider()
    assert (sent["tenant"], sent["response_type"]) == ("1", "code")
    assert (await stage.sign_in()).text == "here"


@does("RFC 6749 4.1.3 and 4.1.2", "502 ``token_refused``, and the session is untouched")
async def grant_expired(stage: Stage) -> None:
    """A code that is no longer good gets a page that says to start again"""
    await stage.sign_in()
    url = await stage.to_the_callback()
    stage.clock.advance(120)
    page = await stage.open_callback(url)
    assert (page.status, shown_code(page)) == (400, "token_refused")
    assert await stage.user() == stage.sub()


@does("RFC 6749 10.14 and 4.1.2.1", "403, as text")
async def error_text_is_text(stage: Stage) -> None:
    """What the provider says of an error is shown as text, whatever is in it"""
    await stage.sign_in()
    stage.provider.misbehave("response_error")
    page = await stage.sign_in()
    assert (page.status, shown_code(page)) == (403, "authorization_refused")
    assert "<script" not in page.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.text
    assert "script-src" not in page.headers["Content-Security-Policy"]


async def refreshed(stage: Stage) -> str:
    """Let the access token expire; return what a call of an API gets."""
    stage.clock.advance(3601)
    return (await stage.browser.fetch(f"{stage.site}/token")).text


@does("RFC 6749 6 and RFC 9700 4.14.2", "refreshed each time", options=OFFLINE)
async def rotated_refresh_token(stage: Stage) -> None:
    """A refresh token that was replaced is never used again, and one that was not serves on"""
    await stage.sign_in()
    assert [await refreshed(stage) for _ in range(3)] == ["fresh"] * 3
    stage.provider.tamper["token"] = lambda answer: answer.pop("refresh_token") and None
    assert await refreshed(stage) == "fresh"
    grants = [seen for seen in stage.provider.requests if seen.grant_type == "refresh_token"]
    assert [seen.status for seen in grants] == [200] * 4


@does("RFC 6749 5.2 and 6", "signed out", options=OFFLINE)
async def refresh_token_refused(stage: Stage) -> None:
    """A refresh token that the provider refuses for good ends the session, any other error not"""
    await stage.sign_in()
    assert await refreshed(stage) == "fresh"
    stage.provider.answer_instead["token"] = Answer(status=500)
    assert await refreshed(stage) != "fresh"
    stage.provider.answer_instead["token"] = Answer(status=401, body={"error": "invalid_client"})
    assert await refreshed(stage) != "fresh"
    assert await stage.user() == stage.sub()
    stage.provider.answer_instead["token"] = Answer(status=400, body={"error": "invalid_grant"})
    assert await refreshed(stage) == "refresh_refused"
    assert await stage.user() is None


@does("RFC 9700 4.4.2.2", "400 ``redirect_uri_mismatch``")
async def mix_up_by_redirect_uri(stage: Stage) -> None:
    """An answer that comes to another alias's redirect_uri is not taken for this alias's"""
    await stage.sign_in()
    other = f"{stage.site}/second/callback"
    stage.register("second", redirect_uris=[other])
    stage.configure("second", client_id="second", redirect_uri=other)
    page = await stage.sign_in(provider="second")
    assert page.text == "here"
    url = await stage.to_the_callback()
    assert urlsplit(url).path.endswith("/auth/callback")
    page = await stage.open_callback(url.replace("/auth/callback", "/second/callback"))
    assert (page.status, shown_code(page)) == (400, "redirect_uri_mismatch")
    assert (await stage.open_callback(url)).status == 303


@does("RFC 9700 4.4.2.1 and RFC 9207 2.4", "400 ``iss_mismatch``", options=OAUTH2)
async def mix_up_of_tenants(stage: Stage) -> None:
    """Without a configured issuer, iss names the very server that was asked, not its neighbour"""
    issuer = stage.provider.issuer
    await stage.sign_in()
    for iss, status in (
        (f"{issuer}/tenant2", 400),
        (f"{issuer}/auth", 400),
        (f"{issuer}.evil.example", 400),
        (issuer.partition("//")[0], 400),
        (issuer, 303),
    ):
        url = await stage.to_the_callback()
        sent = {**dict(parse_qsl(urlsplit(url).query)), "iss": iss}
        page = await stage.open_callback(f"{stage.site}/auth/callback?{urlencode(sent)}")
        assert page.status == status, iss
        assert shown_code(page) == ("iss_mismatch" if status == 400 else None)


@does("RFC 9700 4.4.2.1 and RFC 9207 2.4", "400 ``iss_mismatch``, and the code goes nowhere")
async def mix_up_by_issuer(stage: Stage) -> None:
    """A code of the honest provider never goes to an attacker's token endpoint"""
    await stage.sign_in()
    evil = Answer(status=500)
    url = await stage.to_the_callback()
    sent = {**dict(parse_qsl(urlsplit(url).query)), "iss": "https://honest.example"}
    stage.provider.answer_instead["token"] = evil
    asked = len(stage.provider.requests)
    page = await stage.open_callback(f"{stage.site}/auth/callback?{urlencode(sent)}")
    assert (page.status, shown_code(page)) == (400, "iss_mismatch")
    assert not [s for s in list(stage.provider.requests)[asked:] if s.path == "/token"]


ROWS: tuple[Row, ...] = (
    pkce_s256,
    pkce_verifier,
    injected_code,
    forged_login,
    open_redirector,
    no_referrer,
    redirects_with_303,
    clickjacking,
    secrets_in_no_url,
    endpoints_with_a_query,
    grant_expired,
    error_text_is_text,
    rotated_refresh_token,
    refresh_token_refused,
    mix_up_by_redirect_uri,
    mix_up_by_issuer,
    mix_up_of_tenants,
    # -- the authorization response ---------------------------------------------------------------
    *(
        Refused(fault=fault, source=source, code=code, status=status)
        for fault, source, code, status in (
            ("response_state_missing", "RFC 6749 4.1.2 and 10.12", "state_missing", 400),
            ("response_state_other", "RFC 6749 10.12", "state_invalid", 400),
            ("response_state_cut", "RFC 6749 10.12", "state_invalid", 400),
            ("response_state_twice", "RFC 6749 3.1", "parameter_repeated", 400),
            ("response_code_missing", "RFC 6749 4.1.2", "code_missing", 400),
            ("response_code_empty", "RFC 6749 3.1", "code_missing", 400),
            ("response_code_other", "RFC 6749 4.1.3", "token_refused", 400),
            ("response_code_twice", "RFC 6749 3.1", "parameter_repeated", 400),
            ("response_code_long", "RFC 6749 4.1.2", "parameter_too_long", 400),
            ("response_code_and_error", "RFC 6749 4.1.2.1", "code_and_error", 400),
            ("response_error", "RFC 6749 4.1.2.1", "authorization_refused", 403),
            ("response_iss_other", "RFC 9207 2.4", "iss_mismatch", 400),
            ("response_iss_missing", "RFC 9207 2.4", "iss_missing", 400),
            ("response_iss_slash", "RFC 9207 2.4", "iss_mismatch", 400),
            ("response_iss_upper", "RFC 9207 2.4", "iss_mismatch", 400),
            ("response_iss_twice", "RFC 6749 3.1", "parameter_repeated", 400),
            ("response_error_iss_other", "RFC 9207 2.4", "iss_mismatch", 400),
        )
    ),
    Passes(fault="response_unknown", source="RFC 6749 4.1.2"),
    # -- a server without OpenID Connect ----------------------------------------------------------
    *(
        Refused(
            fault=fault,
            name=f"oauth2_{fault}",
            source=source,
            code=code,
            status=status,
            options=OAUTH2,
        )
        for fault, source, code, status in (
            ("userinfo_sub_missing", "Core 5.3.2", "subject_missing", 502),
            ("userinfo_sub_list", "Core 5.3.2", "subject_missing", 502),
            ("userinfo_401", "RFC 6750 3.1", "userinfo_refused", 502),
            ("response_iss_other", "RFC 9207 2.4", "iss_mismatch", 400),
            ("response_error_iss_other", "RFC 9207 2.4", "iss_mismatch", 400),
            ("response_state_other", "RFC 6749 10.12", "state_invalid", 400),
            ("response_code_other", "RFC 6749 4.1.3", "token_refused", 400),
            ("token_type_mac", "RFC 6749 7.1", "token_type_unsupported", 502),
        )
    ),
    Refused(
        fault="response_iss_slash",
        name="oauth2_iss_not_the_configured_one",
        source="RFC 9207 2.4",
        code="iss_mismatch",
        status=400,
        options=OAUTH2,
        hurried={"named": "https://named.example"},
    ),
    Passes(
        fault="response_iss_missing",
        name="oauth2_iss_missing",
        source="RFC 9207 2.4",
        options=OAUTH2,
    ),
    Passes(
        fault="iss_wrong",
        name="oauth2_id_token_is_not_looked_at",
        source="RFC 6749 5.1",
        options=OAUTH2,
    ),
    # -- the token response -----------------------------------------------------------------------
    *(
        Refused(fault=fault, source=source, code=code, status=status)
        for fault, source, code, status in (
            ("access_token_missing", "RFC 6749 5.1", "token_answer_member", 502),
            ("access_token_empty", "RFC 6749 5.1", "token_answer_member", 502),
            ("access_token_number", "RFC 6749 5.1", "token_answer_member", 502),
            ("access_token_newline", "RFC 6749 A.12", "token_answer_member", 502),
            ("token_type_missing", "RFC 6749 5.1", "token_answer_member", 502),
            ("token_type_mac", "RFC 6749 7.1", "token_type_unsupported", 502),
            ("expires_in_word", "RFC 6749 5.1", "token_answer_member", 502),
            ("expires_in_negative", "RFC 6749 5.1", "token_answer_member", 502),
            ("refresh_token_number", "RFC 6749 5.1", "token_answer_member", 502),
            ("error_in_200", "RFC 6749 5.2", "token_refused", 400),
            ("invalid_client", "RFC 6749 5.2", "token_refused", 502),
            ("invalid_grant", "RFC 6749 5.2", "token_refused", 400),
            ("form_encoded", "RFC 6749 5.1", "json_invalid", 502),
        )
    ),
    *(
        Passes(fault=fault, source=source)
        for fault, source in (
            ("token_type_lower", "RFC 6749 5.1"),
            ("expires_in_missing", "RFC 6749 5.1"),
            ("expires_in_text", "RFC 6749 5.1"),
            ("token_members_unknown", "RFC 6749 5.1"),
        )
    ),
    *(
        Refused(
            fault=fault,
            at="token",
            source="RFC 6749 5.1 and RFC 8259",
            code=JSON_CODES.get(fault, "json_invalid"),
        )
        for fault in JSON_CHANGES
    ),
    *(
        Refused(
            fault=fault,
            at="userinfo",
            source="Core 5.3.2 and RFC 8259",
            code=JSON_CODES.get(fault, "json_invalid"),
        )
        for fault in JSON_CHANGES
    ),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
async def test_oauth(stage: Stage, row: Row) -> None:
    """Each rule of OAuth 2.0 and its best current practice holds against its fault."""
    await row.prove(stage)
