"""The audit log's lines."""

from __future__ import annotations

import logging

import pytest

from clefstorm.handlers import login_routes, write_audit_line
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


def test_routes_attach_it_once(rp: RelyingParty) -> None:
    """Mounting twice does not write each line twice."""
    login_routes(rp, "/auth")
    login_routes(rp, "/other")
    assert rp.listeners.count(write_audit_line) == 1
