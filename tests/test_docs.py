"""What the reference says of the options is so."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

from clefstorm.errors import ConfigurationError
from clefstorm.registry import build_client
from clefstorm.relying_party import RelyingParty

DOCS = Path(__file__).resolve().parents[1] / "docs"


def documented_options() -> list[str]:
    """The names in the first column of the table of options."""
    text = (DOCS / "reference" / "application.rst").read_text()
    table = text.split("The provider's options")[1].split("An OAuth 2 server")[0]
    rows = re.findall(r"(?m)^(``.*?)  ", table)
    return [name for row in rows for name in re.findall(r"``(\w+)``", row)]


def test_there_are_documented_options() -> None:
    """The table is found, so that the test below proves something."""
    assert {"issuer", "client_id", "client_secret", "verify_ssl"} <= set(documented_options())


@pytest.mark.parametrize("option", documented_options())
def test_a_documented_option_exists(option: str) -> None:
    """Each option of the reference is one that configure() knows."""
    required = {"issuer": "https://id.example.com", "client_id": "a"}
    with pytest.raises(ConfigurationError) as refused:
        build_client("default", {**required, option: object(), "no_such_option": 1})
    assert refused.value.evidence["got"] == "no_such_option"


def test_the_options_of_a_relying_party_are_documented() -> None:
    """The reference names each argument of RelyingParty but the tests' own clock."""
    text = (DOCS / "reference" / "application.rst").read_text()
    table = text.split("made before the application")[1].split("``on_login(session)``")[0]
    arguments = set(inspect.signature(RelyingParty).parameters) - {"clock"}
    assert set(re.findall(r"(?m)^``(\w+)``  ", table)) == arguments


THREATS = (DOCS / "explanation" / "threat_model.rst").read_text()


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"``([\w/.]+/[\w.]+)(?:::\w+)?``", THREATS)))
)
def test_the_threat_model_names_files(path: str) -> None:
    """Each file that the threat model names is there."""
    assert (DOCS.parent / path).is_file()


@pytest.mark.parametrize("test", sorted(set(re.findall(r"``(tests/[\w/.]+::\w+)``", THREATS))))
def test_the_threat_model_names_tests(test: str) -> None:
    """Each test that the threat model names is there."""
    path, name = test.split("::")
    assert re.search(rf"(?m)^(async )?def {name}\(", (DOCS.parent / path).read_text())
