"""The wave button: what its callback may not bring along."""

from __future__ import annotations

from typing import Any

import pytest
from protocol.expecting import refusal

from clefstorm.errors import ConfigurationError
from clefstorm.protocol.wave_button import WaveButton, make_wave_button


def button(**changes: Any) -> WaveButton:
    options = {
        "src": "https://clef.example/v3/clef.js",
        "app_id": "app",
        "redirect_url": "https://app.example/cb?codes=1",
        "state": "s",
    }
    return make_wave_button(**{**options, **changes})


def test_a_plain_button() -> None:
    """Without a word it is one for a login, and what was in the query stays there."""
    assert 'data-type="login"' in button().html()
    assert button().redirect_url == "https://app.example/cb?codes=1&state=s"


@pytest.mark.parametrize("query", ["code=1", "state=1", "a=b&code=1", "%63ode=1"])
def test_a_callback_that_brings_its_own_answer(query: str) -> None:
    """A code or a state of its own would stand beside the login's."""
    with refusal(ConfigurationError, "redirect_url_invalid"):
        button(redirect_url=f"https://app.example/cb?{query}")
