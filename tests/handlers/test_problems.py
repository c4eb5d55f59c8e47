"""What a browser is told of each error."""

from __future__ import annotations

import html

import pytest
import tornado.web

from clefstorm import errors
from clefstorm.handlers.pages import HEADERS, STYLE, problem_html
from clefstorm.handlers.problems import Problem, problem_of

SCRIPT = "<script>alert(1)</script>"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        pytest.param(errors.RequestRefused("no"), 400, id="request_refused"),
        pytest.param(errors.RequestRefused("no", code="body_too_large"), 413, id="too_large"),
        pytest.param(errors.RequestRefused("no", code="content_type"), 415, id="no_form"),
        pytest.param(errors.RequestRefused("no", code="cross_site"), 403, id="cross_site"),
        pytest.param(errors.LoginDenied("no"), 403, id="login_denied"),
        pytest.param(errors.AuthorizationRefused("no", error="x"), 403, id="authorization_refused"),
        pytest.param(errors.TokenRefused("no", error="invalid_grant"), 400, id="invalid_grant"),
        pytest.param(errors.TokenRefused("no", error="invalid_client"), 502, id="token_refused"),
        pytest.param(errors.ProtocolViolation("no"), 502, id="protocol_violation"),
        pytest.param(errors.TransportError("no"), 502, id="transport"),
        pytest.param(errors.ConnectFailed("no"), 502, id="connect_failed"),
        pytest.param(errors.DeadlineExceeded("no"), 502, id="deadline"),
        pytest.param(errors.SessionEnded("no"), 403, id="session_ended"),
        pytest.param(errors.SealBroken("no"), 400, id="seal_broken"),
        pytest.param(errors.StoreUnavailable("no"), 503, id="store_unavailable"),
        pytest.param(errors.BusClosed("no"), 503, id="bus_closed"),
        pytest.param(errors.ConfigurationError("no"), 500, id="configuration"),
        pytest.param(errors.UnknownAlias("no"), 500, id="unknown_alias"),
        pytest.param(errors.SessionConflict("no"), 500, id="conflict"),
        pytest.param(ValueError("no"), 500, id="foreign"),
        pytest.param(tornado.web.HTTPError(405), 405, id="http_405"),
        pytest.param(tornado.web.HTTPError(404), 404, id="http_404"),
        pytest.param(None, 500, id="nothing_known"),
    ],
)
def test_status(error: Exception | None, status: int) -> None:
    """Each class of error has one status, and words with what happened and what to do."""
    problem = problem_of(error)
    assert problem.status == status
    assert all((problem.title, problem.text, problem.advice))
    assert (problem.retry_after is not None) is (status == 503)
    if isinstance(error, errors.ClefStormError):
        assert problem.code == error.code


@pytest.mark.parametrize(
    ("error", "title"),
    [
        pytest.param(
            errors.ProtocolViolation("no", code="at_hash_mismatch"),
            "The sign-in service gave a wrong answer",
            id="failed_check",
        ),
        pytest.param(
            errors.ProtocolViolation("no", code="token_answer_status"),
            "The sign-in service is out of order",
            id="token_endpoint_503",
        ),
        pytest.param(
            errors.DocumentViolation("no", code="metadata_status"),
            "The sign-in service is out of order",
            id="discovery_500",
        ),
        pytest.param(
            errors.TokenRefused("no", error="invalid_client"),
            "The sign-in service refused this site",
            id="wrong_client_secret",
        ),
    ],
)
def test_only_a_failed_check_is_called_one(error: errors.ClefStormError, title: str) -> None:
    """An outage, and a secret that is wrong, are no failed security check."""
    problem = problem_of(error)
    assert problem.title == title
    assert ("security check" in problem.text) is (error.code == "at_hash_mismatch")


def test_each_problem_has_its_own_reference() -> None:
    """The reference joins one page with one log line."""
    assert problem_of(None).reference != problem_of(None).reference


def test_foreign_words_stay_out() -> None:
    """An error that is not ours shows nothing of itself."""
    problem = problem_of(RuntimeError("password=hunter2"))
    assert b"hunter2" not in problem_html(problem)


def test_evidence_stays_out() -> None:
    """Evidence is for the log; the browser gets the sentence and the code."""
    problem = problem_of(errors.RequestRefused("that was wrong", code="some_code", got="evidence"))
    page = problem_html(problem)
    assert b"That was wrong." in page
    assert b"some_code" in page
    assert problem.reference.encode() in page
    assert b"evidence" not in page


def test_providers_words_are_text() -> None:
    """An error from the provider with HTML in its text is shown as text."""
    error = errors.AuthorizationRefused(
        "no", error="access_denied", error_description=f"{SCRIPT}\"'&"
    )
    page = problem_html(problem_of(error)).decode()
    assert "access_denied" in page
    assert SCRIPT not in page
    assert html.escape(SCRIPT) in page


def test_all_words_are_escaped() -> None:
    """Whatever a problem says is text in the page."""
    problem = Problem(
        status=400,
        code=SCRIPT,
        title=SCRIPT,
        text=SCRIPT,
        advice=SCRIPT,
        reference=SCRIPT,
        quote=SCRIPT,
    )
    page = problem_html(problem).decode()
    assert SCRIPT not in page
    assert page.count(html.escape(SCRIPT)) == 7  # the title stands twice


def test_policy_allows_the_style_and_nothing_else() -> None:
    """Our pages run no script, load nothing, and can't be framed."""
    policy = HEADERS["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    page = problem_html(problem_of(None)).decode()
    assert page.count("<style>") == 1
    assert f"<style>{STYLE}</style>" in page
    assert "<script" not in page
    assert " style=" not in page
