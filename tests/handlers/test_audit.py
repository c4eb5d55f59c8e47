"""The audit log's lines."""

from __future__ import annotations

import json
import logging

import pytest

from clefstorm.handlers import AuditJSONFormatter, login_routes, write_audit_line
from clefstorm.relying_party import Happening, RelyingParty


def line(caplog: pytest.LogCaptureFixture, **facts: str) -> str:
    with caplog.at_level(logging.INFO, "clefstorm.audit"):
        write_audit_line(Happening(at=1.0, event="signed_in", alias="default", facts=facts))
    return caplog.messages[-1]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        pytest.param("Zb3kT0aQ", "Zb3kT0aQ", id="plain"),
        pytest.param("https://id.example.com/a", "https://id.example.com/a", id="url"),
        pytest.param("two words", '"two words"', id="space"),
        pytest.param('"', r'"\""', id="quote"),
        pytest.param("a=b", '"a=b"', id="equals"),
        pytest.param("x\nsigned_in sub=eve", r'"x\nsigned_in sub=eve"', id="forged_line"),
        pytest.param("\u2028\u202e", r'"\u2028\u202e"', id="unicode_lines"),
        pytest.param("\x1b[31m", r'"\u001b[31m"', id="terminal_escape"),
        pytest.param("a" * 201, '"' + "a" * 200 + r"\u2026" + '"', id="cut"),
    ],
)
def test_one_line_each(caplog: pytest.LogCaptureFixture, value: str, shown: str) -> None:
    """A happening is one line that nobody can forge, whatever a fact holds."""
    assert line(caplog, sub=value) == f"signed_in alias=default sub={shown}"


def test_record_carries_the_happening(caplog: pytest.LogCaptureFixture) -> None:
    """A handler that wants JSON finds the whole happening on the log record."""
    line(caplog, sub="alice")
    assert caplog.records[-1].happening.facts == {"sub": "alice"}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "value", ["alice", 'x"\n{"event": "signed_in"}', "\u2028\u202e", "\x1b[31m", "Zo\u00eb"]
)
def test_json_lines(caplog: pytest.LogCaptureFixture, value: str) -> None:
    """Through AuditJSONFormatter a happening is one line of ASCII, and whole when it is read."""
    line(caplog, sub=value)
    written = AuditJSONFormatter().format(caplog.records[-1])
    assert written.isascii()
    assert written.isprintable()
    assert json.loads(written) == {
        "at": "1970-01-01T00:00:01.000Z",
        "event": "signed_in",
        "alias": "default",
        "sub": value,
    }


def test_json_cuts_long_facts(caplog: pytest.LogCaptureFixture) -> None:
    """A fact of any length takes at most 200 characters and the sign that it was cut."""
    line(caplog, sub="a" * 5000)
    assert json.loads(AuditJSONFormatter().format(caplog.records[-1]))["sub"] == "a" * 200 + "…"


def test_json_of_other_records(caplog: pytest.LogCaptureFixture) -> None:
    """A handler of all logs may have the formatter: a record that is no happening is JSON too."""
    with caplog.at_level(logging.WARNING, "an.application"):
        logging.getLogger("an.application").warning("two\nlines %s", 1)
    written = json.loads(AuditJSONFormatter().format(caplog.records[-1]))
    assert written.pop("at").endswith("Z")
    assert written == {"level": "WARNING", "logger": "an.application", "message": "two\nlines 1"}


def test_routes_attach_it_once(rp: RelyingParty) -> None:
    """Mounting twice does not write each line twice."""
    login_routes(rp, "/auth")
    login_routes(rp, "/other")
    assert rp.listeners.count(write_audit_line) == 1


def test_json_without_an_alias(caplog: pytest.LogCaptureFixture) -> None:
    """A happening that belongs to no provider says nothing of one, in either form."""
    with caplog.at_level(logging.INFO, "clefstorm.audit"):
        write_audit_line(Happening(at=0.0, event="login_refused", facts={"code": "state_missing"}))
    assert caplog.messages == ["login_refused code=state_missing"]
    assert json.loads(AuditJSONFormatter().format(caplog.records[-1])) == {
        "at": "1970-01-01T00:00:00.000Z",
        "event": "login_refused",
        "code": "state_missing",
    }
