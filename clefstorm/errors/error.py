"""The root of all errors, and those that the application or the browser caused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_LONGEST_EVIDENCE = 200


def _one_line(text: str) -> str:
    """The text without what could forge a line of a log, or hide one."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def printable(value: object) -> str:
    """One line of at most 200 characters."""
    text = _one_line(value if isinstance(value, str) else repr(value))
    return text if len(text) <= _LONGEST_EVIDENCE else text[: _LONGEST_EVIDENCE - 1] + "…"


class ClefStormError(Exception):
    """The root: ``except ClefStormError`` catches all that clefstorm raises on purpose.

    ``code`` is a stable snake_case word for logs and tests. ``evidence`` maps names to short
    printable texts; whoever raises must put no secret in it. It can be pickled, so that it gets out
    of another process whole.
    """

    default_code = "error"

    def __init__(self, message: str, *, code: str | None = None, **evidence: object) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.evidence: Mapping[str, str] = {}
        self.add_evidence(**evidence)

    def add_evidence(self, **evidence: object) -> None:
        """Say more of where it happened; for whoever lets the error pass. No secrets here."""
        more = {name: printable(value) for name, value in evidence.items()}
        self.evidence = {**self.evidence, **more}

    def __reduce__(self) -> tuple[Any, ...]:
        # Exception's own way calls the constructor, which wants more than args here and there.
        return _as_it_was, (type(self), self.args), self.__dict__

    def __str__(self) -> str:
        facts = ", ".join(f"{name}: {value}" for name, value in self.evidence.items())
        # An application's own text may hold a user's name, and that name a forged line of a log.
        return f"{_one_line(self.message)} [{self.code}]" + (f" ({facts})" if facts else "")


def _as_it_was(kind: type[ClefStormError], args: tuple[object, ...]) -> ClefStormError:
    """The error that was pickled, but for its attributes, which pickle sets."""
    error = kind.__new__(kind, *args)
    error.args = args
    return error


class ConfigurationError(ClefStormError):
    """You: an option, a file or a call of the application is wrong. The text says what to do."""

    default_code = "configuration"


class UnknownAlias(ConfigurationError, KeyError):
    """No provider is configured under this alias."""

    default_code = "unknown_alias"


class URLError(ConfigurationError, ValueError):
    """A host name or URL that can't be used: no scheme, two ports, another origin."""

    default_code = "url"


class RequestRefused(ClefStormError):
    """The request that reached us is not acceptable; answered with 400 (403 where said)."""

    default_code = "request_refused"


class LoginDenied(RequestRefused):
    """Raise it in ``on_login`` to refuse a user whom the provider accepted; answered with 403."""

    default_code = "login_denied"


class SealBroken(ClefStormError):
    """A sealed value was altered, belongs to another purpose, or its key is no longer held."""

    default_code = "seal_broken"
