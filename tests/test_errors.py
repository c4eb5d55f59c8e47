"""The errors: their tree, their codes, their evidence; and that nothing shows a secret."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import inspect
import pickle
import pkgutil
import re
import traceback

import pytest

import clefstorm
from clefstorm import errors
from clefstorm.errors import (
    AuthorizationRefused,
    BusTimeoutError,
    ClefStormError,
    ConfigurationError,
    ConnectFailed,
    DeadlineExceeded,
    HTTPStatusError,
    LoginDenied,
    ProtocolViolation,
    ProviderError,
    RequestRefused,
    TokenRefused,
    UnknownAlias,
)

ALL = [
    kind
    for _, kind in inspect.getmembers(errors, inspect.isclass)
    if issubclass(kind, ClefStormError)
]


def _make(kind: type[ClefStormError], **evidence: object) -> ClefStormError:
    if issubclass(kind, ProviderError):
        evidence.setdefault("error", "invalid_grant")
    if issubclass(kind, HTTPStatusError):
        evidence.setdefault("status", 400)
    return kind("a sentence", **evidence)  # type: ignore[arg-type]


def _drawn() -> dict[str, str | None]:
    """Each class of the tree in the module's text, with the class it hangs from."""
    parents: dict[str, str | None] = {}
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"    ([│├└─ ]*)([A-Z]\w+)(?=\s|$)", line)
        if found is None:
            continue
        depth = len(found[1])
        while above and above[-1][0] >= depth:
            above.pop()
        parents[found[2]] = above[-1][1] if above else None
        above.append((depth, found[2]))
    return parents


def test_tree_drawn_is_the_tree() -> None:
    """The tree at the top of the module is the tree of the classes (DESIGN, section 3)."""
    real = {
        kind.__name__: next(
            (base.__name__ for base in kind.__bases__ if issubclass(base, ClefStormError)), None
        )
        for kind in ALL
    }
    assert _drawn() == real


def test_drawn_asides_hold() -> None:
    """Where the tree says "also a KeyError" and so on, ``except KeyError`` catches it."""
    asides = re.findall(r"(\w+) .*\(also a (\w+)\)", errors.__doc__ or "")
    assert len(asides) == 5
    for name, builtin in asides:
        kind = getattr(errors, name)
        with pytest.raises(getattr(__import__("builtins"), builtin)):
            raise _make(kind)


def test_codes_are_stable_words() -> None:
    """Each class has a code of its own in snake_case (STYLE, 7)."""
    codes = [kind.default_code for kind in ALL]
    assert len(set(codes)) == len(codes)
    assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", code) for code in codes)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_code_and_evidence(kind: type[ClefStormError]) -> None:
    """An error carries its class's code or a nearer one, and evidence by name (DESIGN, 3)."""
    assert _make(kind).code == kind.default_code
    near = _make(kind, code="nearer", got=3)
    assert near.code == "nearer"
    assert near.evidence["got"] == "3"
    assert str(near).startswith("a sentence [nearer] (")
    assert "got: 3" in str(near)
    assert near.args == ("a sentence",)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_an_error_comes_back_from_another_process(kind: type[ClefStormError]) -> None:
    """An error can be pickled and copied, whatever its constructor wants: a worker's reaches us."""
    error = _make(kind, code="nearer", got=3)
    error.add_evidence(alias="x")
    for back in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(back) is kind
        assert (back.args, vars(back), str(back)) == (error.args, vars(error), str(error))


def test_an_applications_own_error_comes_back() -> None:
    """So does a subclass with a constructor of its own."""
    back = pickle.loads(pickle.dumps(NotInvited("ann", floor=3)))
    assert (back.user, back.floor, back.code) == ("ann", 3, "login_denied")


class NotInvited(LoginDenied):
    """An application's own."""

    def __init__(self, user: str, *, floor: int) -> None:
        super().__init__(f"{user} is not invited")
        self.user, self.floor = user, floor


def test_more_evidence() -> None:
    """Whoever lets an error pass may say where it happened, under the same rules."""
    error = RequestRefused("no", got=3)
    error.add_evidence(alias="x\ny")
    assert error.evidence == {"got": "3", "alias": "x\N{REPLACEMENT CHARACTER}y"}
    assert str(error).isprintable()


def test_str_without_evidence() -> None:
    """Without evidence the text is the sentence and the code."""
    assert str(RequestRefused("no")) == "no [request_refused]"


def test_key_error_does_not_quote() -> None:
    """UnknownAlias is a KeyError, whose str would be a repr; ours stays a sentence."""
    assert str(UnknownAlias("no such alias", alias="x")) == (
        "no such alias [unknown_alias] (alias: x)"
    )


def test_operating_system_errors_keep_evidence() -> None:
    """ConnectionError is an OSError, whose constructor is peculiar; code and evidence stay."""
    for kind in (ConnectFailed, DeadlineExceeded):
        error = kind("no", code="connect_refused", host="id.example")
        assert (error.code, error.evidence) == ("connect_refused", {"host": "id.example"})


def test_bus_timeout_has_words_of_its_own() -> None:
    """BusTimeoutError can be raised without a sentence."""
    assert BusTimeoutError().code == "bus_timeout"
    assert "in time" in str(BusTimeoutError())


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a\nb", id="newline"),
        pytest.param("a\r\nb", id="carriage_return"),
        pytest.param("a\x1b[2Jb", id="terminal_escape"),
        pytest.param("a\x00b", id="nul"),
        pytest.param("a\x85b", id="next_line"),
        pytest.param("a\u2028b", id="line_separator"),
        pytest.param("a\u2029b", id="paragraph_separator"),
        pytest.param("a\u202eb", id="right_to_left_override"),
        pytest.param("a\u200bb", id="zero_width"),
        pytest.param("a\ud800b", id="half_surrogate"),
    ],
)
def test_evidence_is_one_printable_line(text: str) -> None:
    """Nobody outside can forge a line of a log by what is quoted as evidence."""
    good = ProtocolViolation("no", got="plain text, ünïcode")
    assert good.evidence["got"] == "plain text, ünïcode"
    for error in (
        ProtocolViolation("no", got=text),
        ProtocolViolation("no", got=[text]),
        AuthorizationRefused("no", error=text, error_description=text),
    ):
        assert str(error).isprintable()
        assert all(value.isprintable() for value in error.evidence.values())
    refused = TokenRefused("no", error=text, error_description=text)
    assert refused.error.isprintable()
    assert refused.error_description is not None
    assert refused.error_description.isprintable()


def test_evidence_is_bounded() -> None:
    """Evidence is at most 200 characters, whatever was sent."""
    assert ProtocolViolation("no", got="x" * 200).evidence["got"] == "x" * 200
    for long in ("x" * 201, ["x" * 300]):
        shown = ProtocolViolation("no", got=long).evidence["got"]
        assert len(shown) == 200
        assert shown.endswith("…")
    assert len(TokenRefused("no", error="x" * 999).error) == 200


def test_provider_error_keeps_the_providers_words() -> None:
    """``error`` and ``error_description`` are the provider's (RFC 6749, 4.1.2.1); code is ours."""
    told = TokenRefused("no", error="invalid_grant", error_description="too <b>old</b>")
    assert (told.error, told.error_description) == ("invalid_grant", "too <b>old</b>")
    assert told.code == "token_refused"
    assert told.evidence == {"error_description": "too <b>old</b>", "error": "invalid_grant"}
    silent = TokenRefused("no", error="invalid_grant")
    assert silent.error_description is None
    assert silent.evidence == {"error": "invalid_grant"}


def test_traceback_shows_what_str_shows() -> None:
    """The line that a traceback prints is one line of ours."""
    error = ConfigurationError("no", got="a\nb")
    (line,) = traceback.format_exception_only(error)
    assert line == f"clefstorm.errors.error.ConfigurationError: {error}\n"
    assert line.strip().isprintable()


SECRET_FIELDS = {
    "access_token",
    "refresh_token",
    "id_token",
    "client_secret",
    "code_verifier",
    "browser_secret",
    "nonce",
    "state",
    "secret",
    "password",
    "session_id",
    "cookie_value",
    "logout_token",
    "claims",
    "headers",
    "body",
    "url",
    "document",
}
"""Names of fields that hold a secret, or a URL or a person's data that must not reach a log."""

NO_SECRETS = {
    # A state's own nonce only makes it unique; all of a state travels in URLs.
    ("clefstorm.protocol.state", "State", "nonce"),
    # What the application wants of claims, as it stands in its code.
    ("clefstorm.protocol.requirement", "Requirement", "claims"),
    # The address of a server, as it is configured.
    ("clefstorm.providers.eternaltwin", "EternaltwinProvider", "url"),
}


def _modules() -> list[str]:
    return [
        module.name
        for module in pkgutil.walk_packages(clefstorm.__path__, "clefstorm.")
        if not module.name.startswith("clefstorm.testing")
    ]


def _dataclasses() -> list[type]:
    found = {
        kind
        for name in _modules()
        for _, kind in inspect.getmembers(importlib.import_module(name), inspect.isclass)
        if dataclasses.is_dataclass(kind) and kind.__module__.startswith("clefstorm.")
    }
    return sorted(found, key=lambda kind: (kind.__module__, kind.__qualname__))


def test_no_dataclass_shows_a_secret() -> None:
    """A secret reaches no repr (DESIGN, law 4): fields that may hold one are left out of it."""
    kinds = _dataclasses()
    assert {"Tokens", "PendingLogin", "CodeGrant", "Request"} <= {kind.__name__ for kind in kinds}
    shown = {
        (kind.__module__, kind.__name__, field.name)
        for kind in kinds
        if kind.__dataclass_params__.repr  # else its repr is written by hand
        for field in dataclasses.fields(kind)
        if field.name in SECRET_FIELDS and field.repr
    }
    assert shown - NO_SECRETS == set()
