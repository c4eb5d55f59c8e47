"""Options from a TOML file or from the environment.

LAW: reads, and gives what it has read to ``configure``'s own judgement; no error quotes a value.
Source: TOML 1.0.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clefstorm.errors import ConfigurationError
from clefstorm.registry.connections import replace_all
from clefstorm.registry.options import kind_of, text_options
from clefstorm.registry.references import LARGEST_FILE, read_small_file

MOST_VARIABLES = 1000

_PREFIX = re.compile(r"[A-Za-z][A-Za-z0-9_]*(?<!_)")
_SECRET = re.compile(r"secret|private_key|password")


def configure_from_file(path: str | Path) -> None:
    """Replace everything configured by the tables of a TOML file, one for each alias.

    Paths in it are relative to the file. A file with a secret in plain sight must not be
    everybody's to read; with references alone it may. Raises ConfigurationError: ``toml_invalid``,
    ``toml_empty`` and those of ``configure``; an error changes nothing.
    """
    path = Path(path)
    aliases = _read_toml(read_small_file(path, secret=False), path=path)
    if not aliases:
        raise ConfigurationError(
            "the file configures nothing: it needs a table [default] with the options",
            code="toml_empty",
            path=str(path),
        )
    for alias, options in aliases.items():
        if not isinstance(options, dict):
            raise ConfigurationError(
                "each alias is a table: put the options below a line [alias]",
                code="options_invalid",
                alias=alias,
                path=str(path),
            )
        if isinstance(options.get("verify_ssl"), str):
            options["verify_ssl"] = str(path.parent / options["verify_ssl"])
    if _holds_secret(aliases):
        read_small_file(path, secret=True)
    replace_all(aliases, folder=path.parent)


def configure_from_environment(prefix: str = "CLEFSTORM") -> None:
    """Replace everything configured by variables ``PREFIX__ALIAS__OPTION``.

    Aliases and options are in lower case. Two more underscores lead into an option:
    ``…__CLIENT_SECRET__FILE`` is ``{"file": …}``. What is not a text is written as in TOML: ``5``,
    ``true``, ``["a", "b"]``. Raises ConfigurationError: ``environment_empty`` when there is no
    such variable, ``environment_invalid``, and those of ``configure``; an error changes nothing.
    """
    if not isinstance(prefix, str) or not _PREFIX.fullmatch(prefix):
        raise ConfigurationError(
            "the prefix is a word, with no underscore at its end", code="prefix_invalid"
        )
    ours = {name: value for name, value in os.environ.items() if name.startswith(f"{prefix}__")}
    if not ours:
        raise ConfigurationError(
            f"no variable begins with {prefix}__", code="environment_empty", prefix=prefix
        )
    if len(ours) > MOST_VARIABLES:
        raise ConfigurationError("too many variables", code="environment_invalid", prefix=prefix)
    aliases: dict[str, Any] = {}
    for name, value in sorted(ours.items()):
        if not _put(aliases, name[len(prefix) + 2 :].lower().split("__"), value):
            raise ConfigurationError(
                f"the variable is not {prefix}__ALIAS__OPTION, or another one leads into it",
                code="environment_invalid",
                variable=name,
            )
    replace_all({alias: _typed(options) for alias, options in aliases.items()})


def _put(place: dict[str, Any], way: list[str], value: str) -> bool:
    """Put the value where the words lead; False where that can't be."""
    if len(way) < 2 or not all(way):
        return False
    held: Any = place
    for part in way[:-1]:
        held = held.setdefault(part, {})
        if not isinstance(held, dict):
            return False
    if way[-1] in held:
        return False
    held[way[-1]] = value
    return True


def _typed(options: Mapping[str, Any]) -> Mapping[str, Any]:
    """Give the values that are no texts their types."""
    texts = text_options(kind_of(options))
    return {
        name: _value(text) if isinstance(text, str) and name not in texts else text
        for name, text in options.items()
    }


def _value(text: str) -> Any:
    """Return what a text says in TOML, or the text itself when it is none."""
    if len(text) > LARGEST_FILE or "\n" in text:
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):  # Python reads no number of thousands of digits.
        return text


def _read_toml(content: bytes, *, path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(content.decode("utf-8"))
    except UnicodeDecodeError:
        where = "it is not UTF-8"
    except RecursionError:
        where = "it is nested too deep"
    except ValueError as error:
        # Only the place: the parser's words may quote what it read. A number of thousands of
        # digits, which Python refuses to read, has none.
        found = re.search(r"\(at (line \d+, column \d+|end of document)\)", str(error))
        where = found[1] if found else "unknown"
    raise ConfigurationError(
        "the file is not TOML", code="toml_invalid", path=str(path), where=where
    )


def _holds_secret(value: object, name: str = "") -> bool:
    if isinstance(value, dict):
        return any(_holds_secret(member, key) for key, member in value.items())
    if isinstance(value, list):
        return any(_holds_secret(member, name) for member in value)
    return isinstance(value, str) and _SECRET.search(name) is not None
