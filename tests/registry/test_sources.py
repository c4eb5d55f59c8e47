"""Options from a TOML file and from the environment, and secrets by reference in any source."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from protocol.expecting import refusal

from clefstorm.errors import ConfigurationError
from clefstorm.keys import HS256Key
from clefstorm.providers import EternaltwinProvider, OAuth2Provider
from clefstorm.registry import (
    async_connections,
    build_client,
    configure,
    configure_from_environment,
    configure_from_file,
    connections,
)

SECRET = "a-secret-of-thirty-two-characters"
OPTIONS: dict[str, Any] = {
    "issuer": "https://id.example",
    "client_id": "app",
    "redirect_uri": "https://app.example/auth/callback",
}
PLAIN = """
[default]
issuer = "https://id.example"
client_id = "app"
redirect_uri = "https://app.example/auth/callback"
"""
Write = Callable[..., Path]


def secret_of(alias: str = "default") -> str | None:
    return async_connections[alias].provider.client_secret


# -- references --------------------------------------------------------------------------------


def test_env_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    """{"env": "NAME"} stands for what the variable holds, as it is."""
    monkeypatch.setenv("OUR_SECRET", SECRET)
    configure(default={**OPTIONS, "client_secret": {"env": "OUR_SECRET"}})
    assert secret_of() == SECRET


@pytest.mark.parametrize("end", ["", "\n", "\r\n"], ids=["none", "lf", "crlf"])
def test_file_reference(write: Write, end: str) -> None:
    """{"file": "path"} stands for what the file holds, without the newline at its end."""
    path = write("secret", SECRET + end)
    configure(default={**OPTIONS, "client_secret": {"file": str(path)}})
    assert secret_of() == SECRET


def test_file_reference_in_the_working_folder(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In configure() a relative path is relative to the working folder."""
    write("secret", SECRET)
    monkeypatch.chdir(tmp_path)
    configure(default={**OPTIONS, "client_secret": {"file": "secret"}})
    assert secret_of() == SECRET


def test_reference_inside_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    """A reference may stand wherever a text may, also inside a mapping or a list."""
    monkeypatch.setenv("OUR_SECRET", SECRET)
    client = build_client(
        "default",
        {
            **OPTIONS,
            "state_key": [{"alg": "HS256", "secret": {"env": "OUR_SECRET"}}],
            "authorization_parameters": {"audience": {"env": "OUR_SECRET"}},
        },
    )
    assert client.state_keys[0].verifying_material() == SECRET.encode()
    assert client.provider.authorization_parameters == {"audience": SECRET}


@pytest.mark.parametrize(
    ("reference", "code"),
    [
        pytest.param({"env": "NOT_SET"}, "reference_env_missing", id="env_missing"),
        pytest.param({"env": "EMPTY"}, "reference_env_missing", id="env_empty"),
        pytest.param({"env": "LATIN1"}, "reference_env_invalid", id="env_not_utf8"),
        pytest.param({"env": "A", "default": SECRET}, "reference_invalid", id="unknown_member"),
        pytest.param({"env": "A", "file": "x"}, "reference_invalid", id="both"),
        pytest.param({"env": ""}, "reference_invalid", id="no_name"),
        pytest.param({"env": 5}, "reference_invalid", id="number"),
        pytest.param({"env": {"env": "A"}}, "reference_invalid", id="nested"),
        pytest.param({"file": None}, "reference_invalid", id="none"),
        pytest.param({"file": "a\0b"}, "reference_invalid", id="nul"),
        pytest.param({"file": "not-there"}, "reference_file_unreadable", id="file_missing"),
        pytest.param({"file": "."}, "reference_file_unreadable", id="folder"),
        pytest.param({"file": "pipe"}, "reference_file_unreadable", id="pipe"),
        pytest.param({"file": "empty"}, "reference_file_empty", id="file_empty"),
        pytest.param({"file": "newline"}, "reference_file_empty", id="newline_alone"),
        pytest.param({"file": "binary"}, "reference_file_empty", id="not_utf8"),
        pytest.param({"file": "large"}, "reference_file_too_large", id="file_large"),
        pytest.param({"file": "open"}, "reference_file_readable", id="readable_by_others"),
        pytest.param({"file": "writable"}, "reference_file_readable", id="writable_by_others"),
    ],
)
def test_bad_references(
    write: Write,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    reference: dict[str, Any],
    code: str,
) -> None:
    """A reference that can't be used is an error that names alias, option and place, and never
    what was found there.
    """
    monkeypatch.setenv("A", SECRET)
    monkeypatch.setenv("EMPTY", "")
    monkeypatch.setenv("LATIN1", os.fsdecode(SECRET.encode() + b"\xe4"))
    for name, content in (
        ("good", SECRET),
        ("empty", ""),
        ("newline", "\n"),
        ("binary", b"\xff" + SECRET.encode()),
        ("large", SECRET * 4096),
    ):
        write(name, content)
    write("open", SECRET, mode=0o604)
    write("writable", SECRET, mode=0o602)
    os.mkfifo(tmp_path / "pipe", 0o600)
    monkeypatch.chdir(tmp_path)
    for good in ({"env": "A"}, {"file": "good"}):
        assert build_client("x", {**OPTIONS, "client_secret": good})
    with refusal(ConfigurationError, code) as caught:
        configure(corp={**OPTIONS, "client_secret": reference})
    told = str(caught.value)
    assert SECRET not in told
    assert (caught.value.evidence["alias"], caught.value.evidence["option"]) == (
        "corp",
        "client_secret",
    )
    assert caught.value.__cause__ is caught.value.__context__ is None


def test_group_may_read(write: Write) -> None:
    """A secret mounted for a group is not everybody's."""
    path = write("secret", SECRET, mode=0o640)
    configure(default={**OPTIONS, "client_secret": {"file": str(path)}})
    assert secret_of() == SECRET


def test_a_public_key_is_no_secret(write: Write) -> None:
    """A file with a public key may be everybody's to read; what it holds is judged as a key."""
    path = write("public.pem", "not a PEM", mode=0o644)
    key = {"alg": "ES256", "public_key": {"file": str(path)}}
    with refusal(ConfigurationError, "key_invalid"):
        build_client("default", {**OPTIONS, "state_key": key})
    with refusal(ConfigurationError, "reference_file_readable"):
        build_client(
            "default",
            {**OPTIONS, "state_key": {"alg": "ES256", "private_key": {"file": str(path)}}},
        )


def test_options_nested_too_deep() -> None:
    """What is looked into is bounded (DESIGN, law 8)."""
    deep: Any = "x"
    for _ in range(9):
        deep = [deep]
    with refusal(ConfigurationError, "options_invalid"):
        build_client("default", {**OPTIONS, "scope": deep})


# -- TOML --------------------------------------------------------------------------------------


def test_file(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each table is an alias; references are relative to the file, and both handlers learn."""
    monkeypatch.setenv("STATE_SECRET", SECRET)
    write("secret", SECRET)
    path = write(
        "clefstorm.toml",
        f"""{PLAIN}
client_secret = {{ file = "secret" }}
timeout = [1, 2.5]
scope = ["openid", "email"]
state_key = {{ alg = "HS256", secret = {{ env = "STATE_SECRET" }} }}

[game]
url = "https://eternaltwin.org/api/v1/"
client_id = "game@clients"
client_secret = {{ file = "secret" }}
redirect_uri = "https://app.example/auth/callback"
allow_redirects = true

[[game.state_key]]
alg = "HS256"
secret = {{ file = "secret" }}

[[game.state_key]]
alg = "HS256"
secret = {{ env = "STATE_SECRET" }}
""",
        mode=0o644,
    )
    connections.create_connection("old", **OPTIONS)
    configure_from_file(path)
    assert list(connections) == list(async_connections) == ["default", "game"]
    assert secret_of() == secret_of("game") == SECRET
    assert isinstance(async_connections["game"].provider, EternaltwinProvider)
    assert [type(key) for key in async_connections["game"].state_keys] == [HS256Key, HS256Key]
    configure_from_file(str(path))


def test_ca_file_beside_the_toml_file(write: Write) -> None:
    """A relative path of verify_ssl is relative to the file too."""
    path = write("clefstorm.toml", PLAIN + 'verify_ssl = "ca.pem"\n')
    with refusal(ConfigurationError, "verify_unreadable") as caught:
        configure_from_file(path)
    assert caught.value.evidence["path"] == str(path.parent / "ca.pem")


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(f'client_secret = "{SECRET}"', id="client_secret"),
        pytest.param(f'state_key = {{alg = "HS256", secret = "{SECRET}"}}', id="state_key"),
        pytest.param(f'state_key = [{{alg = "HS256", secret = "{SECRET}"}}]', id="list"),
    ],
)
def test_a_plain_secret_in_everybodys_file(write: Write, line: str) -> None:
    """A secret in plain sight is refused in a file that everybody can read, and only there."""
    configure_from_file(write("ours.toml", PLAIN + line))
    configure_from_file(write("group.toml", PLAIN + line, mode=0o640))
    configure_from_file(write("no_secret.toml", PLAIN, mode=0o644))
    with refusal(ConfigurationError, "reference_file_readable") as caught:
        configure_from_file(write("everybodys.toml", PLAIN + line, mode=0o644))
    assert SECRET not in str(caught.value)
    assert "everybodys.toml" in caught.value.evidence["path"]


@pytest.mark.parametrize(
    ("text", "code", "says"),
    [
        pytest.param("[default\n", "toml_invalid", "line 1", id="syntax"),
        pytest.param(f'a = "{SECRET}', "toml_invalid", "where", id="unterminated"),
        pytest.param(f'[a]\nb = "{SECRET}"\nb = 1\nc = 2', "toml_invalid", "line 3", id="twice"),
        pytest.param(b"a = '\xff'", "toml_invalid", "UTF-8", id="not_utf8"),
        pytest.param("a = " + "[" * 30_000, "toml_invalid", "deep", id="deep"),
        pytest.param("#" * 70_000, "reference_file_too_large", "65536", id="large"),
        pytest.param('issuer = "x"', "options_invalid", "[alias]", id="no_table"),
        pytest.param("[default]", "option_missing", "issuer", id="empty_table"),
        pytest.param(
            '[default]\nfile = "good.toml"', "option_unknown", "file", id="alias_by_reference"
        ),
        pytest.param("a = " + "9" * 5000, "toml_invalid", "unknown", id="number_of_5000_digits"),
        pytest.param(PLAIN + 'client_sceret = "x"', "option_unknown", "client_secret?", id="near"),
        pytest.param(PLAIN + "timeout = 1979-05-27", "timeout_invalid", "seconds", id="date"),
    ],
)
def test_bad_files(write: Write, text: str | bytes, code: str, says: str) -> None:
    """A file that can't be used changes nothing, and no error quotes it."""
    configure_from_file(write("good.toml", PLAIN))
    before = async_connections["default"]
    with refusal(ConfigurationError, code) as caught:
        configure_from_file(write("bad.toml", text))
    assert says in str(caught.value)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None
    assert async_connections["default"] is before


@pytest.mark.parametrize("name", ["a\0b", "a\ud800"], ids=["nul", "half_pair"])
def test_no_path(name: str) -> None:
    """What can't be the name of a file is an error of ours."""
    with refusal(ConfigurationError, "reference_file_unreadable") as caught:
        configure_from_file(name)
    assert caught.value.evidence["reason"] == "no path"


def test_no_file(tmp_path: Path) -> None:
    """A file that is not there is an error of ours that names it."""
    with refusal(ConfigurationError, "reference_file_unreadable") as caught:
        configure_from_file(tmp_path / "clefstorm.toml")
    assert caught.value.evidence["path"] == str(tmp_path / "clefstorm.toml")


# -- the environment ---------------------------------------------------------------------------

BASIC = {
    "CLEFSTORM__DEFAULT__ISSUER": "https://id.example",
    "CLEFSTORM__DEFAULT__CLIENT_ID": "12345",
    "CLEFSTORM__DEFAULT__REDIRECT_URI": "https://app.example/auth/callback",
}


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def variables(more: dict[str, str], *, prefix: str = "CLEFSTORM") -> None:
        for name in list(os.environ):
            if name.startswith(f"{prefix}__"):
                monkeypatch.delenv(name)
        for name, value in more.items():
            monkeypatch.setenv(name, value)

    return variables


def test_environment(variables: Callable[..., None], write: Write) -> None:
    """PREFIX__ALIAS__OPTION; two more underscores lead into an option."""
    secret = write("secret", SECRET)
    variables(
        {
            **BASIC,
            "CLEFSTORM__DEFAULT__CLIENT_SECRET__FILE": str(secret),
            "CLEFSTORM__DEFAULT__SCOPE": "openid email",
            "CLEFSTORM__DEFAULT__TIMEOUT": "2.5",
            "CLEFSTORM__DEFAULT__USERINFO": "false",
            "CLEFSTORM__DEFAULT__TRUSTED_AUDIENCES": '["a", "b"]',
            "CLEFSTORM__DEFAULT__STATE_KEY__ALG": "HS256",
            "CLEFSTORM__DEFAULT__STATE_KEY__SECRET__ENV": "OUR_STATE_SECRET",
            "OUR_STATE_SECRET": SECRET,
            "CLEFSTORM__CODE__AUTHORIZATION_ENDPOINT": "https://code.example/authorize",
            "CLEFSTORM__CODE__TOKEN_ENDPOINT": "https://code.example/token",
            "CLEFSTORM__CODE__USERINFO_ENDPOINT": "https://code.example/user",
            "CLEFSTORM__CODE__CLIENT_ID": "true",
            "CLEFSTORM__CODE__REDIRECT_URI": "https://app.example/auth/callback",
            "CLEFSTORM__CODE__STATE_KEY": '[{alg = "HS256", secret = {env = "OUR_STATE_SECRET"}}]',
            "CLEFSTORM_HOME": "/somewhere",
        }
    )
    configure_from_environment()
    assert sorted(connections) == sorted(async_connections) == ["code", "default"]
    provider = async_connections["default"].provider
    assert (provider.client_id, provider.client_secret) == ("12345", SECRET)
    assert provider.scope == ("openid", "email")
    assert (provider.userinfo, list(provider.trusted_audiences)) == (False, ["a", "b"])
    code = async_connections["code"]
    assert (type(code.provider), code.provider.client_id) == (OAuth2Provider, "true")
    for client in async_connections.values():
        assert client.state_keys[0].verifying_material() == SECRET.encode()


def test_environment_of_another_prefix(variables: Callable[..., None]) -> None:
    """Another application on the machine has another prefix."""
    variables({name.replace("CLEFSTORM", "OUR_APP"): value for name, value in BASIC.items()})
    configure_from_environment("OUR_APP")
    assert list(async_connections) == ["default"]


@pytest.mark.parametrize(
    ("more", "code", "says"),
    [
        pytest.param({"CLEFSTORM__X": "1"}, "environment_invalid", "CLEFSTORM__X", id="no_option"),
        pytest.param({"CLEFSTORM____CLIENT_ID": "1"}, "environment_invalid", "____", id="no_alias"),
        pytest.param(
            {"CLEFSTORM__DEFAULT__CLIENT_ID__": "1"}, "environment_invalid", "ID__", id="no_member"
        ),
        pytest.param(
            {"CLEFSTORM__DEFAULT__CLIENT_ID__FILE": "x"},
            "environment_invalid",
            "CLIENT_ID__FILE",
            id="value_and_reference",
        ),
        pytest.param(
            {"CLEFSTORM__default__client_id": "x"}, "environment_invalid", "client_id", id="twice"
        ),
        pytest.param(
            {"CLEFSTORM__DEFAULT__CLIENT_SCERET": SECRET},
            "option_unknown",
            "client_secret?",
            id="near",
        ),
        pytest.param(
            {"CLEFSTORM__DEFAULT__TIMEOUT": "soon"}, "timeout_invalid", "seconds", id="no_number"
        ),
        pytest.param(
            {"CLEFSTORM__DEFAULT__TIMEOUT": "9" * 5000},
            "timeout_invalid",
            "seconds",
            id="number_of_5000_digits",
        ),
        pytest.param(
            {"CLEFSTORM__OTHER__FILE": "x"}, "option_unknown", "got: file", id="alias_by_reference"
        ),
        pytest.param(
            {"CLEFSTORM__DEFAULT__CLIENT_SECRET__ENV": "NOT_SET"},
            "reference_env_missing",
            "NOT_SET",
            id="reference",
        ),
        pytest.param(
            {f"CLEFSTORM__DEFAULT__X{number}": "x" for number in range(1001)},
            "environment_invalid",
            "too many",
            id="too_many",
        ),
    ],
)
def test_bad_variables(
    variables: Callable[..., None], more: dict[str, str], code: str, says: str
) -> None:
    """A variable that can't be understood changes nothing, and no error quotes its value."""
    variables(BASIC)
    configure_from_environment()
    before = async_connections["default"]
    variables({**BASIC, **more})
    with refusal(ConfigurationError, code) as caught:
        configure_from_environment()
    assert says in str(caught.value)
    assert SECRET not in str(caught.value)
    assert async_connections["default"] is before


def test_no_variable(variables: Callable[..., None]) -> None:
    """Nothing there is an error: an application that believes it is configured is not."""
    variables({})
    with refusal(ConfigurationError, "environment_empty"):
        configure_from_environment()


@pytest.mark.parametrize("prefix", ["", "A_", "A B", 5], ids=["none", "end", "space", "number"])
def test_bad_prefix(prefix: Any) -> None:
    """A prefix that no variable can have is an error at once."""
    with refusal(ConfigurationError, "prefix_invalid"):
        configure_from_environment(prefix)


@pytest.mark.parametrize(
    "value",
    ["2.5\n", '2.5\nclient_id = "evil"', "2." + "5" * (1 << 20)],
    ids=["newline", "two_members", "huge"],
)
def test_a_value_is_one_value(variables: Callable[..., None], value: str) -> None:
    """What has more lines than one, or is larger than a whole file, is a text and not TOML."""
    variables({**BASIC, "CLEFSTORM__DEFAULT__TIMEOUT": "2.5"})
    configure_from_environment()
    variables(BASIC)
    # The system bounds what a variable holds; an environment need not be the system's.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "environ", {**os.environ, "CLEFSTORM__DEFAULT__TIMEOUT": value})
        with refusal(ConfigurationError, "timeout_invalid"):
            configure_from_environment()
    assert async_connections["default"].provider.client_id == "12345"
