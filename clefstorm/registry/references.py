"""Secrets by reference: ``{"env": "NAME"}`` and ``{"file": "path"}`` instead of the value.

LAW: deny by default: a reference says one thing, and what it names is there, is text, is small,
and a file is its owner's (and group's). No error quotes what was found. Read once, when an alias
is configured, and not while a loop serves.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from clefstorm.errors import ConfigurationError
from clefstorm.protocol.authorization_header import is_credential

REFERENCE = 'a reference is {"env": "NAME"} or {"file": "path"}'

LARGEST_FILE = 64 * 1024
"""Bytes of a file that an option names, or of a TOML file."""

_DEEPEST = 8
_KINDS = ("env", "file")
_PUBLIC = frozenset({"public_key"})
"""What a file may hold that everybody can read."""


def resolve(value: Any, *, folder: Path, option: str = "", depth: int = 0) -> Any:
    """Return the value with each reference in it replaced by the text that it names.

    Looks into mappings and lists and at nothing else. ``folder`` is what a relative path is
    relative to, ``option`` the name of the value for errors. Raises ConfigurationError:
    ``reference_invalid``, ``reference_env_missing``, ``reference_env_invalid``,
    ``reference_file_empty``, and those of ``read_small_file``.
    """
    if depth > _DEEPEST:
        raise ConfigurationError("options are nested too deep", code="options_invalid")
    if isinstance(value, Mapping):
        if not any(kind in value for kind in _KINDS):
            return {
                name: resolve(member, folder=folder, option=str(name), depth=depth + 1)
                for name, member in value.items()
            }
        return _look_up(value, folder=folder, option=option)
    if isinstance(value, list | tuple):
        items = [resolve(one, folder=folder, option=option, depth=depth + 1) for one in value]
        return items if isinstance(value, list) else tuple(items)
    return value


def _look_up(reference: Mapping[str, Any], *, folder: Path, option: str) -> str:
    [(kind, name), *others] = reference.items()
    if others or not isinstance(name, str) or not name or "\0" in name:
        raise ConfigurationError(
            f"{REFERENCE}, and has no other member",
            code="reference_invalid",
            option=option,
        )
    if kind == "env":
        text = os.environ.get(name, "")
        # What is not UTF-8 there is half surrogate pairs here.
        if not is_credential(text):
            raise ConfigurationError(
                "the variable is no text in UTF-8" if text else "the variable is not set, or empty",
                code="reference_env_invalid" if text else "reference_env_missing",
                option=option,
                variable=name,
            )
        return text
    path = folder / name
    content = read_small_file(path, secret=option not in _PUBLIC, option=option)
    text = ""
    with suppress(UnicodeDecodeError):
        text = content.decode("utf-8").rstrip("\r\n")
    if not text:
        raise ConfigurationError(
            "the file is empty, or no text in UTF-8",
            code="reference_file_empty",
            option=option,
            path=str(path),
        )
    return text


def read_small_file(path: Path, *, secret: bool, **evidence: object) -> bytes:
    """Return what is in a file of at most 64 KiB; a ``secret`` one must not be others' to read.

    Raises ConfigurationError: ``reference_file_unreadable``, ``reference_file_too_large``,
    ``reference_file_readable``.
    """
    descriptor: int | None = None
    reason: str | None = "no path"
    try:
        # Without O_NONBLOCK a named pipe at this path would hold us for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        reason = error.strerror
    except ValueError:
        pass  # There is a NUL in it, or half of a surrogate pair.
    if descriptor is None:
        raise _unreadable(path, reason, **evidence)
    mode = os.fstat(descriptor).st_mode
    if not stat.S_ISREG(mode):
        os.close(descriptor)
        raise _unreadable(path, "not a file", **evidence)
    with open(descriptor, "rb") as file:
        if secret and mode & stat.S_IRWXO:
            raise ConfigurationError(
                "everybody on this machine can use the file that holds a secret: chmod o= it, "
                "and change the secret if somebody else has been here",
                code="reference_file_readable",
                path=str(path),
                mode=oct(stat.S_IMODE(mode)),
                **evidence,
            )
        content = file.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise ConfigurationError(
            f"the file has more than {LARGEST_FILE} bytes",
            code="reference_file_too_large",
            path=str(path),
            **evidence,
        )
    return content


def _unreadable(path: Path, reason: str | None, **evidence: object) -> ConfigurationError:
    return ConfigurationError(
        "the file can't be read",
        code="reference_file_unreadable",
        path=str(path),
        reason=reason,
        **evidence,
    )
