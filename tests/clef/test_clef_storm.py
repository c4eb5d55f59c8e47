"""ClefStorm against the embedded Clef API: every method of the seed."""

from __future__ import annotations

import asyncio
import json
import logging
from datetime import timedelta
from html.parser import HTMLParser
from urllib.parse import parse_qs, urlsplit

import pytest
from clef_names import APP_ID, APP_SECRET, CALLBACK

import clefstorm.clef
from clefstorm import (
    AsyncBus,
    BusTimeoutError,
    ClefAPIError,
    ClefStorm,
    ClefWaveStyle,
    ConfigurationError,
    ProtocolViolation,
)
from clefstorm.testing import Answer


def calls(provider, path: str) -> int:
    return sum(seen.path == f"/api/v1/{path}" for seen in provider.requests)


class Element(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data) -> None:
        self.text += data


def attributes(html: str) -> dict[str, str | None]:
    element = Element(html)
    ((tag, found),) = element.tags
    assert (tag, element.text) == ("script", "")
    return found


# -- attributes and button ---------------------------------------------------------------------


def test_defaults_of_the_seed() -> None:
    """api_url, token_ttl, user_agent, validate_cert are attributes of the class."""
    assert ClefStorm.api_url == "https://clef.io/api/v1/"
    assert ClefStorm.token_ttl == 3000.0
    assert ClefStorm.user_agent.startswith("ClefStorm ")
    assert ClefStorm.validate_cert is True
    storm = ClefStorm("key", "a-password")
    assert isinstance(storm.logout_eventbus, AsyncBus)
    assert "a-password" not in repr(storm)
    assert ClefWaveStyle() == ClefWaveStyle("blue", "button", None, None)


def test_button() -> None:
    """One script element with the data attributes; the state is added to the query."""
    html = ClefStorm("key", "password").generate_button("https://site.example/in", "s&t")
    assert attributes(html) == {
        "class": "clef-button",
        "src": "https://clef.io/v3/clef.js",
        "type": "text/javascript",
        "data-app-id": "key",
        "data-color": "blue",
        "data-style": "button",
        "data-type": "login",
        "data-redirect-url": "https://site.example/in?state=s%26t",
    }


def test_button_of_another_style_and_server() -> None:
    """custom and embed are honoured, and the script is that of the API's own server."""
    storm = ClefStorm("key", "password")
    storm.api_url = "http://localhost:8301/api/v1"
    html = storm.generate_button(
        "https://site.example/in?a=1", "s", "connect", ClefWaveStyle("white", "flat", True, "no")
    )
    found = attributes(html)
    assert found["src"] == "http://localhost:8301/v3/clef.js"
    assert found["data-redirect-url"] == "https://site.example/in?a=1&state=s"
    assert (found["data-color"], found["data-style"], found["data-type"]) == (
        "white",
        "flat",
        "connect",
    )
    assert (found["data-custom"], found["data-embed"]) == ("true", "no")


def test_button_escapes_everything() -> None:
    """No value leaves its attribute, whatever is in it."""
    evil = "\"'><script>alert(1)</script>&amp;"
    html = ClefStorm(evil, "password").generate_button(
        "https://site.example/in", evil, style=ClefWaveStyle(custom=evil, embed=evil)
    )
    found = attributes(html)
    assert found["data-app-id"] == found["data-custom"] == found["data-embed"] == evil
    query = urlsplit(found["data-redirect-url"] or "").query
    assert parse_qs(query) == {"state": [evil]}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        pytest.param(("https://a.example/", "s", "wave"), "wave_type_unknown", id="typ"),
        pytest.param(("https://a.example/", ""), "state_missing", id="no_state"),
        pytest.param(("/in", "s"), "redirect_url_invalid", id="relative"),
        pytest.param(("javascript:alert(1)", "s"), "redirect_url_invalid", id="javascript"),
        pytest.param(("http://a.example/", "s"), "redirect_url_invalid", id="plain_http"),
        pytest.param(("https://a.example/?state=x", "s"), "redirect_url_invalid", id="state_twice"),
    ],
)
def test_button_refuses(arguments: tuple[str, ...], code: str) -> None:
    """What can't work, or would not be safe, is refused when the button is made."""
    with pytest.raises(ConfigurationError) as caught:
        ClefStorm("key", "password").generate_button(*arguments)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        pytest.param({"color": "green"}, "wave_color_unknown", id="color"),
        pytest.param({"style": "round"}, "wave_style_unknown", id="style"),
        pytest.param({"custom": 1}, "wave_custom_invalid", id="custom"),
        pytest.param({"embed": ()}, "wave_embed_invalid", id="embed"),
    ],
)
def test_style_refuses(fields: dict, code: str) -> None:
    """A style that no wave has is refused."""
    with pytest.raises(ConfigurationError) as caught:
        ClefWaveStyle(**fields)
    assert caught.value.code == code


# -- the three calls ---------------------------------------------------------------------------


async def test_a_login_by_hand(storm, new_code, provider) -> None:
    """Code for token, token for the user: the two calls of a sign-in."""
    token = await storm.get_token(await new_code("alice"))
    assert await storm.get_info(token) == {
        "id": provider.account("alice").clef_id,
        "email": "alice@example.com",
        "first_name": "Alice",
        "last_name": "Archer",
        "phone_number": None,
    }


async def test_logged_out_clef_id(storm, provider) -> None:
    """The webhook's token is exchanged for the clef id, again after a lost answer too."""
    token = provider.clef.logout_token(APP_ID, "bob")
    for _ in range(2):
        assert await storm.get_logged_out_clef_id(token) == provider.account("bob").clef_id


@pytest.mark.parametrize(
    ("app", "call", "status", "message", "code"),
    [
        pytest.param(
            ("who", "x"), "get_token", 403, "Invalid App ID.", "clef_app_id_invalid", id="app_id"
        ),
        pytest.param(
            (APP_ID, "x"),
            "get_token",
            403,
            "Invalid App Secret.",
            "clef_app_secret_invalid",
            id="app_secret",
        ),
        pytest.param(
            ("public", "x"), "get_token", 403, "Invalid App.", "clef_app_invalid", id="app"
        ),
        pytest.param(
            (APP_ID, APP_SECRET),
            "get_token",
            400,
            "Invalid OAuth Code.",
            "clef_code_invalid",
            id="code",
        ),
        pytest.param(
            (APP_ID, APP_SECRET),
            "get_info",
            403,
            "Invalid token.",
            "clef_token_invalid",
            id="token",
        ),
        pytest.param(
            ("hookless", "another-secret"),
            "get_logged_out_clef_id",
            500,
            "Invalid logout hook URL.",
            "clef_logout_hook_invalid",
            id="hook",
        ),
        pytest.param(
            (APP_ID, APP_SECRET),
            "get_logged_out_clef_id",
            400,
            "Invalid Logout Token.",
            "clef_logout_token_invalid",
            id="logout_token",
        ),
    ],
)
async def test_errors_of_the_api(
    make_storm, provider, app, call: str, status: int, message: str, code: str
) -> None:
    """A JSON error of any status is ClefAPIError with message and status (issue 3, part 1)."""
    provider.add_client("public", None, [CALLBACK])
    provider.add_client("hookless", "another-secret", [CALLBACK])
    with pytest.raises(ClefAPIError) as caught:
        await getattr(make_storm(*app), call)("nothing-of-the-kind")
    error = caught.value
    assert (error.message, error.status, error.code) == (message, status, code)
    assert "nothing-of-the-kind" not in f"{error}{error.evidence}"


async def test_error_that_quotes_a_secret(storm, provider) -> None:
    """A server that quotes what it was sent brings no secret into the exception."""
    provider.answer_instead["clef_authorize"] = Answer(
        status=418, body={"success": False, "error": f"no: {APP_SECRET} the-code\nforged line"}
    )
    with pytest.raises(ClefAPIError) as caught:
        await storm.get_token("the-code")
    assert caught.value.status == 418
    assert caught.value.message == "no: … …\N{REPLACEMENT CHARACTER}forged line"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        pytest.param(Answer(status=502, body="<html>"), "clef_answer_not_json", id="html"),
        pytest.param(Answer(body=b"[]"), "clef_answer_not_json", id="list"),
        pytest.param(Answer(body=b"\xff"), "clef_answer_not_json", id="not_utf8"),
        pytest.param(
            Answer(status=302, headers={"Location": "/"}, body={"success": True}),
            "clef_answer_status",
            id="redirect",
        ),
        pytest.param(Answer(body={"success": True}), "clef_answer_member", id="no_token"),
        pytest.param(Answer(body={"hello": 1}), "clef_answer_member", id="another_api"),
        pytest.param(
            Answer(body={"success": True, "access_token": "a\nb"}),
            "clef_answer_member",
            id="newline_in_token",
        ),
    ],
)
async def test_answers_that_are_none(storm, provider, answer: Answer, code: str) -> None:
    """What is not an answer of the API is a ProtocolViolation, and nothing hangs."""
    provider.answer_instead["clef_authorize"] = answer
    with pytest.raises(ProtocolViolation) as caught:
        await storm.get_token("the-code")
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param({"success": False}, "The API gave no reason.", id="no_reason"),
        pytest.param({"success": "true", "error": 5}, "The API gave no reason.", id="no_text"),
        pytest.param({"error": "Gone for today."}, "Gone for today.", id="error_alone"),
    ],
)
async def test_errors_without_a_form(storm, provider, body: dict, message: str) -> None:
    """Whatever is not said to be a success is an error, also one with status 200."""
    provider.answer_instead["clef_info"] = Answer(body=body)
    with pytest.raises(ClefAPIError) as caught:
        await storm.get_info("x")
    assert (caught.value.message, caught.value.status) == (message, 200)


@pytest.mark.parametrize("clef_id", ["7", True, 0, -1, None, 1 << 63, 1.5])
async def test_clef_id_that_is_none(storm, provider, clef_id: object) -> None:
    """An id is a positive integer; anything else could be somebody else's in a table of ours."""
    provider.answer_instead["clef_info"] = Answer(body={"success": True, "info": {"id": clef_id}})
    provider.answer_instead["clef_logout"] = Answer(body={"success": True, "clef_id": clef_id})
    for call in (storm.get_info, storm.get_logged_out_clef_id):
        with pytest.raises(ProtocolViolation):
            await call("x")


async def test_nothing_secret_is_logged(storm, new_code, provider, caplog) -> None:
    """Neither the secret, nor a code, nor a token reaches the debug log."""
    caplog.set_level(logging.DEBUG)
    code = await new_code()
    token = await storm.get_token(code)
    await storm.get_info(token)
    logout_token = provider.clef.logout_token(APP_ID, "alice")
    await storm.get_logged_out_clef_id(logout_token)
    with pytest.raises(ClefAPIError):
        await storm.get_and_parse("info", {"access_token": "a-wrong-token"})
    assert [r.message for r in caplog.records if r.name == "clefstorm.clef"] == [
        "authorize: answered",
        "info: answered",
        "logout: answered",
        "GET: clef_token_invalid",
    ]
    for secret in (APP_SECRET, code, token, logout_token, "a-wrong-token"):
        assert secret not in caplog.text


async def test_own_logger(make_storm, new_code) -> None:
    """The logger that is given gets the lines."""
    lines: list[str] = []
    logger = logging.getLogger("tests.clef.own")
    logger.setLevel(logging.DEBUG)
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(handler)
    storm = make_storm()
    storm.logger = logger
    await storm.get_token(await new_code())
    assert lines == ["authorize: answered"]


# -- token_ttl ---------------------------------------------------------------------------------


async def test_concurrent_exchanges_share_one_call(storm, new_code, provider) -> None:
    """Concurrent exchanges of one code share one call, also when one of the callers gives up."""
    code = await new_code()
    impatient = asyncio.ensure_future(storm.get_token(code))
    others = [asyncio.ensure_future(storm.get_token(code)) for _ in range(20)]
    await asyncio.sleep(0)
    impatient.cancel()
    assert len(set(await asyncio.gather(*others))) == 1
    assert calls(provider, "authorize") == 1


async def test_success_is_answered_again_until_the_ttl(make_storm, new_code, provider) -> None:
    """Within token_ttl a code that works only once is answered from memory; 0 turns that off."""
    storm = make_storm()
    code = await new_code()
    token = await storm.get_token(code)
    assert await storm.get_token(code) == token
    assert calls(provider, "authorize") == 1
    storm.token_ttl = 0
    with pytest.raises(ClefAPIError, match="Invalid OAuth Code"):
        await storm.get_token(code)


async def test_no_ttl_remembers_nothing(make_storm, new_code) -> None:
    """With 0 each call asks the server, whose codes work once."""
    storm = make_storm(token_ttl=0)
    code = await new_code()
    await storm.get_token(code)
    assert not storm._tokens
    with pytest.raises(ClefAPIError):
        await storm.get_token(code)


async def test_failures_are_not_remembered(storm, provider, new_code) -> None:
    """After a failure the same code is tried again."""
    code = await new_code()
    provider.answer_instead["clef_authorize"] = Answer(status=500, body="down")
    with pytest.raises(ProtocolViolation):
        await storm.get_token(code)
    del provider.answer_instead["clef_authorize"]
    assert await storm.get_token(code)


async def test_memory_is_bounded(storm, new_code, monkeypatch) -> None:
    """Beyond its bound the oldest token goes; another application's code is another code."""
    monkeypatch.setattr(clefstorm.clef, "MOST_TOKENS", 2)
    codes = [await new_code() for _ in range(3)]
    for code in codes:
        await storm.get_token(code)
    assert [code for _, _, code in storm._tokens] == codes[1:]


# -- logout ------------------------------------------------------------------------------------


async def test_logout_wakes_all_who_wait(storm) -> None:
    """notify_logout answers how many waiters there were; each has the clef id."""
    waiting = [
        asyncio.ensure_future(storm.wait_for_logout(7, timedelta(seconds=20))) for _ in range(3)
    ]
    await asyncio.sleep(0)
    assert storm.notify_logout(7) == 3
    assert storm.notify_logout(8) == 0
    assert await asyncio.gather(*waiting) == [7, 7, 7]


@pytest.mark.parametrize("timeout", [0, 0.01, timedelta(milliseconds=10)])
async def test_wait_ends_at_its_timeout(storm, timeout) -> None:
    """A number is seconds from now and 0 only looks; 0.1.2 waited for ever."""
    with pytest.raises(BusTimeoutError):
        await storm.wait_for_logout(7, timeout)


async def test_logout_between_two_polls_is_not_lost(storm, provider, new_code) -> None:
    """A logout that arrives while nobody waits is told to the next who do, until a new sign-in."""
    clef_id = provider.account("alice").clef_id
    assert storm.notify_logout(clef_id) == 0
    for _ in range(2):  # two tabs
        assert await storm.wait_for_logout(clef_id, 0) == clef_id
    await storm.get_info(await storm.get_token(await new_code("alice")))
    with pytest.raises(BusTimeoutError):
        await storm.wait_for_logout(clef_id, 0)


async def test_old_logouts_are_forgotten(storm, monkeypatch) -> None:
    """A logout is remembered for a while only, and not more than so many."""
    monkeypatch.setattr(clefstorm.clef, "MOST_LOGOUTS", 2)
    for clef_id in (1, 2, 3):
        storm.notify_logout(clef_id)
    assert list(storm._logouts) == [2, 3]
    monkeypatch.setattr(clefstorm.clef, "LOGOUT_MEMORY", 0)
    with pytest.raises(BusTimeoutError):
        await storm.wait_for_logout(3, 0)


# -- calls of one's own ------------------------------------------------------------------------


async def test_get_and_post(storm, provider, new_code) -> None:
    """get and post answer whatever came; their _and_parse forms the JSON of a success."""
    form = {"code": await new_code(), "app_id": APP_ID, "app_secret": APP_SECRET}
    parsed = await storm.post_and_parse("authorize", form)
    assert parsed["success"] is True
    query = {"access_token": parsed["access_token"]}
    response = await storm.get("info", query)
    assert (response.status, json.loads(response.body)) == (
        200,
        await storm.get_and_parse("info", query),
    )
    response = await storm.post("authorize", form)
    assert (response.status, json.loads(response.body)["error"]) == (400, "Invalid OAuth Code.")
    with pytest.raises(ClefAPIError):
        await storm.post_and_parse("authorize", form)


@pytest.mark.parametrize(
    "rel_url",
    [
        "/info",
        "//evil.example/info",
        "https://evil.example/info",
        "../admin",
        "a/../../admin",
        "info?access_token=s3cret",
        "info#x",
        "in fo",
        "%2e%2e/admin",
        "a\\b",
        "",
        None,
    ],
)
async def test_relative_urls_are_checked(storm, provider, rel_url) -> None:
    """Nothing leaves the API's own folder, and no query comes in by the path."""
    for call in (storm.get, storm.post, storm.get_and_parse, storm.post_and_parse):
        with pytest.raises(ConfigurationError) as caught:
            await call(rel_url, {})
        assert caught.value.code == "relative_url_invalid"
        assert "s3cret" not in str(caught.value)
    assert not provider.requests


@pytest.mark.parametrize("value", [None, True, b"x", "x" * 10_000])
async def test_parameters_are_checked(storm, value) -> None:
    """A parameter is a text or an integer, not too long."""
    with pytest.raises(ConfigurationError, match="parameter"):
        await storm.get("info", {"access_token": value})


async def test_user_agent(provider, make_storm) -> None:
    """user_agent is what the server is told, of the class or of the instance."""
    seen: list[str] = []

    def look(document):
        seen.append("called")

    provider.tamper["clef_info"] = look
    storm = make_storm(user_agent="Mine 2.0")
    assert storm._api().request("GET", "info", {}).headers["User-Agent"] == "Mine 2.0"
    with pytest.raises(ClefAPIError):
        await storm.get_info("x")
    assert seen == ["called"]


class OwnServer(ClefStorm):
    api_url = "https://clef.example/v1"
    validate_cert = "/no/such/file"


async def test_attributes_of_a_subclass() -> None:
    """A subclass sets them for all its instances; a CA file that is not there is told of."""
    storm = OwnServer("key", "password")
    assert storm._api().api_url == "https://clef.example/v1/"
    with pytest.raises(ConfigurationError) as caught:
        await storm.get_token("x")
    assert caught.value.code == "verify_unreadable"


@pytest.mark.parametrize(
    "url", ["http://clef.example/", "clef.example", "https://a@b/", "https://a/?x"]
)
async def test_api_url_is_checked(make_storm, url: str) -> None:
    """The secret goes over https or loopback alone."""
    with pytest.raises(ConfigurationError) as caught:
        await make_storm(api_url=url).get_token("x")
    assert caught.value.code == "api_url_invalid"


@pytest.mark.parametrize("credentials", [("", "x"), ("x", ""), ("x", "y\n"), (None, "x")])
def test_credentials_are_checked(credentials) -> None:
    """An empty or padded secret, as from an unset variable or a file, is told of at once."""
    with pytest.raises(ConfigurationError):
        ClefStorm(*credentials)
