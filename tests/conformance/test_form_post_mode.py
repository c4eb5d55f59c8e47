"""OAuth 2.0 Form Post Response Mode, and the basic rules once more in that mode."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
from modules import PLANS
from rows import Row, does
from stage import Stage, shown_code
from test_core import ROWS as CORE
from test_discovery import ROWS as DISCOVERY

from clefstorm.testing import Page

FORM_POST = {"response_mode": "form_post"}
BASIC = PLANS["oidcc-client-basic-certification-test-plan"]


def form_post(source: str, outcome: str, **more: Any) -> Any:
    """A row of an alias that asks for form_post."""
    return does(source, outcome, options=FORM_POST, secure=True, **more)


async def to_the_form(stage: Stage) -> Page:
    """Walk to the provider's page that posts to the callback."""
    assert (await stage.sign_in()).text == "here"
    start = await stage.browser.get(stage.login_url(), follow=False)
    return await stage.browser.get(start.headers["Location"], initiator=stage.site)


async def post(stage: Stage, page: Page, query: str = "", **more: Any) -> Page:
    """Post the form's fields, changed by ``more``, to the callback."""
    fields = {**page.form("form-post").fields, **more}
    return await stage.browser.post(
        f"{stage.site}/auth/callback{query}", fields, initiator=page, follow=False
    )


@form_post("Form Post 2", "signed in")
async def parameters_of_the_body(stage: Stage) -> None:
    """The answer that a page of the provider posts across sites signs in"""
    sent = await stage.to_the_provider()
    assert sent["response_mode"] == "form_post"
    page = await to_the_form(stage)
    assert (await post(stage, page)).status == 303
    assert len(stage.events("signed_in")) == 2


@form_post("Form Post 2", "400 ``state_missing``")
async def query_of_a_post(stage: Stage) -> None:
    """What stands in the query of the POST does not count"""
    page = await to_the_form(stage)
    fields = page.form("form-post").fields
    answer = await stage.browser.post(
        f"{stage.site}/auth/callback?{urlencode(fields)}", {}, initiator=page, follow=False
    )
    assert (answer.status, shown_code(answer)) == (400, "state_missing")
    assert (await post(stage, page, query="?code=evil&state=evil")).status == 303


@form_post("Form Post 2", "415 ``content_type``")
async def form_of_another_type(stage: Stage) -> None:
    """The body is a form of the one media type, and no other"""
    page = await to_the_form(stage)
    fields = page.form("form-post").fields
    for media_type in ("text/plain", "application/json", "multipart/form-data; boundary=x"):
        answer = await stage.browser.fetch(
            f"{stage.site}/auth/callback",
            method="POST",
            form=fields,
            headers={"Content-Type": media_type},
        )
        assert (answer.status, answer.json()["error"]) == (415, "content_type")
    assert (await post(stage, page)).status == 303


@form_post("RFC 6749 3.1", "400 ``parameter_repeated``")
async def form_with_a_field_twice(stage: Stage) -> None:
    """A field that stands twice is refused"""
    for name in ("code", "state", "iss"):
        page = await to_the_form(stage)
        fields = page.form("form-post").fields
        body = urlencode([*fields.items(), (name, fields[name])])
        answer = await stage.send("callback", body, cookies=True)
        assert (answer.status, answer.json()["error"]) == (400, "parameter_repeated")
        assert await stage.user() == stage.sub()


@form_post("Form Post 4 and RFC 9700 4.7", "400 ``state_other_browser``")
async def form_posted_by_another_site(stage: Stage) -> None:
    """A form with somebody's answer, posted by a page of another site, signs nobody in"""
    page = await to_the_form(stage)
    fields = page.form("form-post").fields
    victim = stage.new_browser()
    answer = await victim.post(
        f"{stage.site}/auth/callback", fields, initiator="https://evil.example", follow=False
    )
    assert (answer.status, shown_code(answer)) == (400, "state_other_browser")
    assert "Set-Cookie" not in answer.headers
    assert await stage.user(victim) is None
    assert (await post(stage, page)).status == 303


@form_post(
    "Form Post 2 and Core 3.1.2.6",
    "back at its page, not signed in",
    module=("oidcc-client-test-form-post-error",),
)
async def error_by_form(stage: Stage) -> None:
    """An error that comes by form_post is read there too"""
    page = await stage.sign_in(prompt="none")
    assert (page.status, urlsplit(page.url).query) == (200, "login_error=login_required")
    assert (await stage.sign_in()).text == "here"
    stage.provider.misbehave("response_error")
    page = await stage.sign_in()
    assert (page.status, shown_code(page)) == (403, "authorization_refused")
    assert await stage.user() == stage.sub()


def in_form_post(row: Row) -> Row:
    return replace(
        row,
        options={**row.options, **FORM_POST},
        secure=True,
        prefix=f"form_post_{row.prefix}",
        source=f"{row.source}; Form Post 2",
    )


ROWS: tuple[Row, ...] = (
    parameters_of_the_body,
    query_of_a_post,
    form_of_another_type,
    form_with_a_field_twice,
    form_posted_by_another_site,
    error_by_form,
    *(in_form_post(row) for row in (*CORE, *DISCOVERY) if set(row.modules) & set(BASIC)),
)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.id)
async def test_form_post_mode(stage: Stage, row: Row) -> None:
    """Each rule of the Form Post Response Mode holds, and each basic rule in that mode."""
    await row.prove(stage)
