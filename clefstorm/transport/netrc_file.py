"""The credentials that a user keeps for hosts in a netrc file.

LAW: read once for each path and process, never on an event loop; what can't be used is named by
path and line, and nothing of the file is quoted.
Source: the netrc module of Python, which holds ~/.netrc to its owner and mode; the variable NETRC
and the entries are as curl and others have them.
"""

from __future__ import annotations

import functools
import netrc
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from clefstorm.errors import ConfigurationError

Entries = Mapping[str, tuple[str, str]]
"""User and password by host in lower case; "default" is for every other."""

LARGEST_FILE = 64 * 1024
"""Bytes of a netrc file that we agree to read."""

_PRIVATE = "the netrc file must be its user's own, and nobody else may read it: chmod 600"


def credentials_for(host: str) -> tuple[str, str]:
    """Return user and password for a host, from the file that NETRC names, else ~/.netrc.

    Blocks when the file has not been read yet. Raises ConfigurationError
    (``credentials_missing``, ``netrc_invalid``, ``netrc_unreadable``).
    """
    named = os.environ.get("NETRC")
    path = Path(named or "~/.netrc")
    with suppress(RuntimeError):  # Without HOME, and unknown to the machine, nobody has a home.
        path = path if named else path.expanduser()
    entries = _read(path, is_default=not named)
    if entries is None:
        raise _missing(host, "there is no netrc file", path)
    found = entries.get(host, entries.get("default"))
    if found is None:
        raise _missing(host, "the netrc file has no entry for this host", path)
    if not found[1]:
        raise _missing(host, "the netrc file's entry for this host has no password", path)
    return found


def _missing(host: str, reason: str, path: Path) -> ConfigurationError:
    return ConfigurationError(
        f"{reason}: give the connection its auth, NO_AUTH for none, or write it there",
        code="credentials_missing",
        host=host,
        path=str(path),
    )


@functools.lru_cache(maxsize=32)
def _read(path: Path, *, is_default: bool) -> Entries | None:
    """Return the entries; None when there is no such file."""
    try:
        status = path.stat()
        # A named pipe would hold us, and the process when it ends, for ever.
        if not stat.S_ISREG(status.st_mode) or status.st_size > LARGEST_FILE:
            failure = _unreadable(path, f"not a file of at most {LARGEST_FILE} bytes")
        elif not is_default and status.st_mode & stat.S_IRWXO:
            # A group may, as with every file that holds a secret: so containers mount them.
            failure = ConfigurationError(_PRIVATE, code="netrc_invalid", path=str(path))
        else:
            # Without a path Python's module looks at owner and mode of the file.
            return _by_host(netrc.netrc(None if is_default else str(path)).hosts)
    except FileNotFoundError:
        return None
    except OSError as error:
        failure = _unreadable(path, error.strerror or type(error).__name__)
    except netrc.NetrcParseError as error:
        # Only what is said of owner and mode comes without a line.
        what = _PRIVATE if error.lineno is None else "the netrc file is broken"
        failure = ConfigurationError(
            what, code="netrc_invalid", path=str(path), line=error.lineno or "none"
        )
    except UnicodeDecodeError:
        failure = ConfigurationError(
            "the netrc file is not text", code="netrc_invalid", path=str(path)
        )
    raise failure  # Not within those blocks: what Python raises there holds the file.


def _unreadable(path: Path, reason: str) -> ConfigurationError:
    return ConfigurationError(
        "the netrc file can't be read", code="netrc_unreadable", path=str(path), reason=reason
    )


def _by_host(hosts: Mapping[str, tuple[str, str | None, str | None]]) -> Entries:
    return {
        # ftp has accounts; where there is no login, the account says who it is.
        name.lower(): (entry[0] or entry[1] or "", entry[2] or "")
        for name, entry in hosts.items()
    }
