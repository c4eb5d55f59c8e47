"""What a newcomer mistypes first, and what the error then says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from protocol.expecting import refusal

from clefstorm.errors import ConfigurationError, UnknownAlias
from clefstorm.registry import (
    async_connections,
    build_client,
    configure,
    configure_from_environment,
    configure_from_file,
    connections,
)

OPTIONS: dict[str, Any] = {
    "issuer": "https://id.example",
    "client_id": "app",
    "redirect_uri": "https://app.example/auth/callback",
}
ETERNALTWIN = {key: OPTIONS[key] for key in ("client_id", "redirect_uri")} | {"client_secret": "s"}
Write = Callable[..., Path]


def test_nothing_configured() -> None:
    """Before configure() an alias that is asked for leads there; afterwards it is the alias."""
    for handler in (connections, async_connections):
        with pytest.raises(UnknownAlias, match=r"clefstorm\.configure\("):
            handler.get_connection()
    configure(default=OPTIONS)
    with pytest.raises(UnknownAlias) as caught:
        async_connections.get_connection("other")
    assert "configure(" not in caught.value.message


@pytest.mark.parametrize("text", ["", "\n", "# [default]\n"], ids=["empty", "blank", "comment"])
def test_a_file_without_a_table(write: Write, text: str) -> None:
    """A file that configures nothing is an error, and changes nothing."""
    configure(default=OPTIONS)
    with refusal(ConfigurationError, "toml_empty") as caught:
        configure_from_file(write("clefstorm.toml", text))
    assert "[default]" in caught.value.message
    assert list(connections) == list(async_connections) == ["default"]


@pytest.mark.parametrize(
    ("options", "code", "says"),
    [
        pytest.param({"client_secret": {"fil": "x"}}, "reference_invalid", '"file"', id="fil"),
        pytest.param(
            {"state_key": {"alg": "HS256", "secret": {"fil": "x"}}},
            "key_invalid",
            '"file"',
            id="fil_in_a_key",
        ),
        pytest.param({"ISSUER": "x"}, "option_unknown", "did you mean issuer?", id="upper_case"),
        pytest.param(
            {"allow_redirects": "True"}, "allow_redirects_invalid", "variables true", id="True"
        ),
    ],
)
def test_an_option(options: dict[str, Any], code: str, says: str) -> None:
    """The error says what is meant."""
    build_client("default", OPTIONS)
    with pytest.raises(ConfigurationError) as caught:
        build_client("default", {**OPTIONS, **options})
    assert caught.value.code == code
    assert says in caught.value.message


@pytest.mark.parametrize("url", ["localhost:8301/api/v1/", "eternaltwin.org/api/v1/"])
def test_an_eternaltwin_url_without_scheme(url: str) -> None:
    """It is the url that is told, and not that there is no such option."""
    build_client("game", {**ETERNALTWIN, "url": "https://eternaltwin.org/api/v1/"})
    with refusal(ConfigurationError, "url_invalid") as caught:
        build_client("game", {**ETERNALTWIN, "url": url})
    assert "https://" in caught.value.message


def test_true_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable says true as TOML does; as Python does it is told."""
    for name, value in (*OPTIONS.items(), ("allow_redirects", "true")):
        monkeypatch.setenv(f"CLEFSTORM__DEFAULT__{name.upper()}", value)
    configure_from_environment()
    monkeypatch.setenv("CLEFSTORM__DEFAULT__ALLOW_REDIRECTS", "True")
    with pytest.raises(ConfigurationError, match="variables true or false"):
        configure_from_environment()
