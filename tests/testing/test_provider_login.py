"""The embedded provider's authorization endpoint and its pages, over HTTP."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from stand_in import StandIn, heading

from clefstorm.testing import Account, Browser, Clock, Provider


async def test_a_password_signs_in(browser: Browser, stand_in: StandIn) -> None:
    """The client gets a code, its state, and the issuer (RFC 6749, 4.1.2; RFC 9207, 2)."""
    page = await browser.get(stand_in.authorization())
    assert page.status == 200
    assert heading(page) == "Sign in"

    page = await browser.submit(page, form="sign-in", username="alice", password="alice-secret")

    assert page.url.startswith(stand_in.callback)
    [answer] = stand_in.answers
    assert set(answer) == {"code", "state", "iss"}
    assert answer["state"] == "the state"
    assert answer["iss"] == stand_in.provider.issuer


async def test_one_tap_signs_in(browser: Browser, stand_in: StandIn) -> None:
    """A button of a demo account needs no password."""
    await browser.sign_in(stand_in.provider, "carol", stand_in.authorization(), one_tap=True)

    assert "code" in stand_in.answers[0]
    assert [session.username for session in stand_in.provider.sessions] == ["carol"]


async def test_no_state_no_state(browser: Browser, stand_in: StandIn) -> None:
    """The state is there if the request had one (RFC 6749, 4.1.2)."""
    await browser.sign_in(stand_in.provider, "alice", stand_in.authorization(state=None))

    assert set(stand_in.answers[0]) == {"code", "iss"}


@pytest.mark.parametrize(
    ("username", "password"),
    [
        pytest.param("alice", "bob-secret", id="another_user's_password"),
        pytest.param("alice", "", id="no_password"),
        pytest.param("nobody", "alice-secret", id="unknown_user"),
    ],
)
async def test_wrong_password(
    browser: Browser, stand_in: StandIn, username: str, password: str
) -> None:
    """A wrong name or password shows the page again, with the name kept, and no code."""
    page = await browser.get(stand_in.authorization())
    page = await browser.submit(page, form="sign-in", username=username, password=password)

    assert page.status == 403
    assert 'role="alert"' in page.text
    assert page.form("sign-in").fields["username"] == username
    assert password == "" or password not in page.text
    assert not stand_in.answers
    assert not stand_in.provider.sessions


async def test_own_users_have_no_one_tap_buttons(
    browser: Browser, stand_in: StandIn, provider: Provider
) -> None:
    """Accounts that a test brings along need their password, also from a forged button."""
    own = Provider(users=[Account(username="zoe", password="hush")])
    assert Provider().demo_accounts
    assert not own.demo_accounts

    provider.demo_accounts = False
    page = await browser.get(stand_in.authorization())
    assert [form.name for form in page.forms] == ["sign-in"]
    form = page.form("sign-in")
    await browser.post(form.action, {**form.fields, "account": "alice"}, initiator=page)

    assert not stand_in.answers


async def test_html_in_names_stays_text(browser: Browser, stand_in: StandIn) -> None:
    """What clients, users and hints bring is escaped on every page."""
    evil = "<script>alert(1)</script>"
    stand_in.register("app", client_name=evil)
    page = await browser.get(stand_in.authorization(login_hint=evil, state=f'"{evil}'))

    assert evil not in page.text
    assert page.form("sign-in").fields["username"] == evil


async def test_cancel(browser: Browser, stand_in: StandIn) -> None:
    """A user who cancels is sent back with access_denied (RFC 6749, 4.1.2.1)."""
    page = await browser.get(stand_in.authorization())
    await browser.submit(page, form="sign-in", button="cancel")

    assert stand_in.answers[0]["error"] == "access_denied"
    assert stand_in.answers[0]["state"] == "the state"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        pytest.param({"client_id": "stranger"}, "client_unknown", id="unknown_client"),
        pytest.param({"client_id": None}, "client_unknown", id="no_client"),
        pytest.param({"redirect_uri": None}, "redirect_uri_unregistered", id="no_redirect_uri"),
        pytest.param(
            {"redirect_uri": "http://127.0.0.1:1/callback"},
            "redirect_uri_unregistered",
            id="another_redirect_uri",
        ),
    ],
)
async def test_nowhere_to_answer(
    browser: Browser, stand_in: StandIn, changes: dict[str, str | None], code: str
) -> None:
    """Without a registered client and redirect_uri nothing is redirected (RFC 6749, 4.1.2.1)."""
    await browser.sign_in(stand_in.provider, "alice", stand_in.authorization())
    assert "code" in stand_in.answers.pop()

    page = await browser.get(stand_in.authorization(**changes))

    assert page.status == 400
    assert not page.history
    assert f"Code: {code}" in page.text
    assert not stand_in.answers


@pytest.mark.parametrize("longer", ["/", "?a=b", "/../callback", "#x"])
async def test_a_redirect_uri_is_no_prefix(
    browser: Browser, stand_in: StandIn, longer: str
) -> None:
    """redirect_uri is compared character by character (RFC 9700, 2.1)."""
    page = await browser.get(stand_in.authorization(redirect_uri=stand_in.callback + longer))

    assert page.status == 400
    assert "redirect_uri_unregistered" in page.text


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        pytest.param({"response_type": "token"}, "unsupported_response_type", id="implicit"),
        pytest.param({"response_type": None}, "unsupported_response_type", id="no_response_type"),
        pytest.param({"scope": "profile"}, "invalid_scope", id="scope_without_openid"),
        pytest.param({"scope": None}, "invalid_scope", id="no_scope"),
        pytest.param({"code_challenge": None}, "invalid_request", id="pkce_missing"),
        pytest.param({"code_challenge": "short"}, "invalid_request", id="pkce_malformed"),
        pytest.param({"code_challenge_method": "plain"}, "invalid_request", id="pkce_plain"),
        pytest.param({"code_challenge_method": None}, "invalid_request", id="pkce_method_missing"),
        pytest.param({"response_mode": "fragment"}, "invalid_request", id="response_mode"),
        pytest.param({"prompt": "none login"}, "invalid_request", id="prompt_none_and_more"),
        pytest.param({"prompt": "perhaps"}, "invalid_request", id="prompt_unknown"),
        pytest.param({"max_age": "-1"}, "invalid_request", id="max_age_negative"),
        pytest.param({"max_age": "soon"}, "invalid_request", id="max_age_no_number"),
        pytest.param({"request": "e30.e30."}, "request_not_supported", id="request_object"),
        pytest.param(
            {"request_uri": "urn:x"}, "request_uri_not_supported", id="request_object_by_uri"
        ),
        pytest.param({"registration": "{}"}, "registration_not_supported", id="registration"),
    ],
)
async def test_refused_to_the_client(
    browser: Browser, stand_in: StandIn, changes: dict[str, str | None], error: str
) -> None:
    """Any other fault goes to the client as an error with its state (Core 3.1.2.6)."""
    await browser.sign_in(stand_in.provider, "alice", stand_in.authorization())
    assert "code" in stand_in.answers.pop()

    await browser.get(stand_in.authorization(**changes))

    [answer] = stand_in.answers
    assert answer["error"] == error
    assert answer["state"] == "the state"
    assert answer["iss"] == stand_in.provider.issuer
    assert "code" not in answer


@pytest.mark.parametrize("name", ["scope", "nonce", "state", "code_challenge"])
async def test_a_parameter_twice(browser: Browser, stand_in: StandIn, name: str) -> None:
    """Parameters must not be included more than once (RFC 6749, 3.1)."""
    await browser.get(stand_in.authorization() + f"&{name}=x")

    assert stand_in.answers[0]["error"] == "invalid_request"


@pytest.mark.parametrize("name", ["client_id", "redirect_uri"])
async def test_an_address_twice(browser: Browser, stand_in: StandIn, name: str) -> None:
    """With two addresses there is none to answer to."""
    page = await browser.get(stand_in.authorization() + f"&{name}=x")

    assert page.status == 400
    assert not stand_in.answers


async def test_post_is_served(browser: Browser, stand_in: StandIn) -> None:
    """The authorization endpoint takes POST as well (Core 3.1.2.1)."""
    url, _, query = stand_in.authorization().partition("?")
    fields = dict(pair.split("=") for pair in query.replace("%3A", ":").split("&"))
    fields = {name: value.replace("%2F", "/").replace("+", " ") for name, value in fields.items()}
    page = await browser.post(url, fields, initiator=f"{stand_in.url}/")

    assert heading(page) == "Sign in"


async def test_single_sign_on(browser: Browser, stand_in: StandIn) -> None:
    """A browser that is known to the provider is not asked again; another one is."""
    first = await stand_in.code(browser)
    page = await browser.get(stand_in.authorization())

    assert page.url.startswith(stand_in.callback)
    assert stand_in.answers[-1]["code"] != first
    assert len(stand_in.provider.sessions) == 1


async def test_browsers_have_their_own_sessions(
    new_browser: Callable[[], Browser], stand_in: StandIn
) -> None:
    """Each browser and client has a sid of its own (Back-Channel Logout 1.0, 2.1)."""
    stand_in.register("other")
    for browser in (new_browser(), new_browser()):
        await stand_in.code(browser)
        await stand_in.code(browser, client_id="other")

    sids = [sid for session in stand_in.provider.sessions for sid in session.sids.values()]
    assert len(sids) == len(set(sids)) == 4
    assert all(set(session.sids) == {"app", "other"} for session in stand_in.provider.sessions)


async def test_prompt_none(browser: Browser, stand_in: StandIn) -> None:
    """prompt=none shows no page: a code for who is signed in, else login_required (3.1.2.1)."""
    page = await browser.get(stand_in.authorization(prompt="none"))
    assert page.url.startswith(stand_in.callback)
    assert stand_in.answers.pop()["error"] == "login_required"

    await stand_in.code(browser)
    await browser.get(stand_in.authorization(prompt="none"))
    assert "code" in stand_in.answers[-1]


async def test_prompt_none_with_another_user_in_the_hint(
    new_browser: Callable[[], Browser], stand_in: StandIn
) -> None:
    """An id_token_hint of somebody who is not signed in here: login_required (3.1.2.1)."""
    browser, other = new_browser(), new_browser()
    mine = (await stand_in.tokens(browser, "alice"))["id_token"]
    theirs = (await stand_in.tokens(other, "bob"))["id_token"]

    await browser.get(stand_in.authorization(prompt="none", id_token_hint=mine))
    assert "code" in stand_in.answers[-1]
    await browser.get(stand_in.authorization(prompt="none", id_token_hint=theirs))
    assert stand_in.answers[-1]["error"] == "login_required"


async def test_prompt_login(browser: Browser, clock: Clock, stand_in: StandIn) -> None:
    """prompt=login asks again, and the session goes on with a new auth_time and its old sid."""
    await stand_in.code(browser)
    [before] = stand_in.provider.sessions
    clock.advance(1000)

    page = await browser.get(stand_in.authorization(prompt="login"))
    assert heading(page) == "Sign in"
    await browser.submit(page, form="sign-in", username="alice", password="alice-secret")

    [after] = stand_in.provider.sessions
    assert "code" in stand_in.answers[-1]
    assert after.auth_time == before.auth_time + 1000
    assert after.sids == before.sids
    assert after.handle != before.handle


async def test_max_age(browser: Browser, clock: Clock, stand_in: StandIn) -> None:
    """When more than max_age seconds have passed, the user is asked again (Core 3.1.2.1)."""
    await stand_in.code(browser)
    clock.advance(60)

    page = await browser.get(stand_in.authorization(max_age="60"))
    assert page.url.startswith(stand_in.callback)
    page = await browser.get(stand_in.authorization(max_age="59"))
    assert heading(page) == "Sign in"
    await browser.get(stand_in.authorization(max_age="59", prompt="none"))
    assert stand_in.answers[-1]["error"] == "login_required"


async def test_consent(browser: Browser, stand_in: StandIn) -> None:
    """prompt=consent asks also a user who is signed in, and takes no for an answer."""
    await stand_in.code(browser)
    stand_in.answers.clear()

    page = await browser.get(stand_in.authorization(prompt="consent"))
    assert heading(page) == "Go on to app?"
    await browser.submit(page, button="cancel")
    assert stand_in.answers.pop()["error"] == "access_denied"
    await browser.submit(page, button="go-on")
    assert "code" in stand_in.answers.pop()


async def test_consent_after_a_fresh_sign_in(
    browser: Browser, clock: Clock, stand_in: StandIn
) -> None:
    """prompt="login consent" is a sign-in and then the question, within five minutes."""
    await stand_in.code(browser)
    stand_in.answers.clear()
    clock.advance(301)
    page = await browser.get(stand_in.authorization(prompt="login consent"))
    page = await browser.submit(page, form="sign-in", username="alice", password="alice-secret")
    assert heading(page) == "Go on to app?"

    clock.advance(300)
    await browser.submit(page, button="go-on")
    assert "code" in stand_in.answers.pop()
    clock.advance(1)
    page = await browser.submit(page, button="go-on")
    assert heading(page) == "Sign in"


async def test_the_agreement_is_of_who_was_shown(browser: Browser, stand_in: StandIn) -> None:
    """Who signs in as another user in a second tab has not agreed in the first."""
    await stand_in.code(browser, "alice")
    shown = await browser.get(stand_in.authorization(prompt="consent"))
    page = await browser.get(stand_in.authorization(prompt="login"))
    await browser.submit(page, form="demo-accounts", button="bob")
    stand_in.answers.clear()

    page = await browser.submit(shown, button="go-on")

    assert "Bob Baker" in page.text
    assert not stand_in.answers


async def test_select_account(browser: Browser, stand_in: StandIn) -> None:
    """prompt=select_account offers the user who is signed in, or another one."""
    await stand_in.code(browser, "alice")
    page = await browser.get(stand_in.authorization(prompt="select_account"))
    assert "Alice Archer" in page.text

    page = await browser.submit(page, button="other")
    await browser.submit(page, form="demo-accounts", button="bob")

    assert "code" in stand_in.answers[-1]
    assert [session.username for session in stand_in.provider.sessions] == ["bob"]
    # Alice's session in this browser is over, and its client was told.
    assert len(stand_in.logout_tokens) == 1


async def test_login_hint_fills_the_name(browser: Browser, stand_in: StandIn) -> None:
    """login_hint is put into the form (Core 3.1.2.1); other wishes are ignored in peace."""
    page = await browser.get(
        stand_in.authorization(login_hint="bob", ui_locales="fr", display="page", acr_values="1")
    )

    assert page.form("sign-in").fields["username"] == "bob"


async def test_form_post(browser: Browser, stand_in: StandIn) -> None:
    """response_mode=form_post sends the answer as a form, from the provider's origin."""
    await browser.sign_in(
        stand_in.provider, "alice", stand_in.authorization(response_mode="form_post")
    )

    [answer] = stand_in.answers
    assert set(answer) == {"code", "state", "iss"}
    assert stand_in.origins == [stand_in.provider.issuer]


async def test_form_post_carries_refusals_too(browser: Browser, stand_in: StandIn) -> None:
    """An error goes the way that was asked for (Form Post Response Mode, 2)."""
    page = await browser.get(stand_in.authorization(response_mode="form_post", prompt="none"))
    assert page.status == 200
    await browser.submit(page, form="form-post")

    assert stand_in.answers[0]["error"] == "login_required"


async def test_forged_sign_in(new_browser: Callable[[], Browser], stand_in: StandIn) -> None:
    """A form of another site, or without the page's token, signs nobody in."""
    browser = new_browser()
    page = await browser.get(stand_in.authorization())
    form = page.form("demo-accounts")
    good = form.filled({}, button="alice")
    without = {name: value for name, value in good.items() if name != "_xsrf"}

    sibling = f"http://localhost:{stand_in.provider.port + 1}/"
    for fields, initiator in ((without, page), (good, "http://evil.example/"), (good, sibling)):
        refused = await browser.post(form.action, fields, initiator=initiator)
        assert refused.status == 403
    refused = await new_browser().post(form.action, good, initiator=page)
    assert refused.status == 403
    assert not stand_in.provider.sessions

    page = await browser.post(form.action, good, initiator=page)
    assert page.url.startswith(stand_in.callback)


async def test_session_cookie(new_browser: Callable[[], Browser], stand_in: StandIn) -> None:
    """The session's cookie is HttpOnly and Lax, and its name has the port."""
    browser = new_browser()
    await stand_in.code(browser)

    name = f"clefstorm_provider_{stand_in.provider.port}"
    [cookie] = [cookie for cookie in browser.cookies if cookie.name == name]
    assert cookie.http_only
    assert cookie.same_site == "Lax"
    stranger = new_browser()
    stranger.cookies.receive(stand_in.provider.issuer, f"{name}=forged")
    page = await stranger.get(stand_in.authorization())
    assert heading(page) == "Sign in"


async def test_sessions_end_after_two_weeks(
    browser: Browser, clock: Clock, stand_in: StandIn
) -> None:
    """A session of the provider lives 14 days from its sign-in."""
    await stand_in.code(browser)
    clock.advance(14 * 86400 - 1)
    assert "Sign in" not in heading(await browser.get(stand_in.authorization()))
    clock.advance(1)
    assert heading(await browser.get(stand_in.authorization())) == "Sign in"


async def test_the_whole_walk_agrees_when_asked(browser: Browser, stand_in: StandIn) -> None:
    """Browser.sign_in agrees for its user, and stops at a page that it has no answer for."""
    consent = stand_in.authorization(prompt="consent")
    page = await browser.sign_in(stand_in.provider, "alice", consent)
    assert page.url.startswith(stand_in.callback)
    page = await browser.sign_in(stand_in.provider, "alice", consent)
    assert page.url.startswith(stand_in.callback)
    nowhere = stand_in.authorization(client_id="nobody")
    page = await browser.sign_in(stand_in.provider, "alice", nowhere)
    assert page.status == 400
