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
from collections.abc import Mapping
from pathlib import Path

from clefstorm.errors import ConfigurationError

Entries = Mapping[str, tuple[str, str]]
"""User and password by host in lower case; "default" is for every other."""


def credentials_for(host: str) -> tuple[str, str]:
    """Return user and password for a host, from the file that NETRC names, else ~/.netrc.

    Blocks when the file has not been read yet. Raises ConfigurationError
    (``credentials_missing``, ``netrc_invalid``, ``netrc_unreadable``).
    """
    named = os.environ.get("NETRC")
    path = Path(named) if named else Path("~/.netrc").expanduser()
    try:
        entries = _read(path, is_default=not named)
    except FileNotFoundError:
        raise _missing(host, "there is no netrc file", path) from None
    found = entries.get(host, entries.get("default"))
    if found is None:
        raise _missing(host, "the netrc file has no entry for this host", path)
    return found


def _missing(host: str, reason: str, path: Path) -> ConfigurationError:
    return ConfigurationError(
        f"{reason}: give the connection its auth, NO_AUTH for none, or add the entry",
        code="credentials_missing",
        host=host,
        path=str(path),
    )


@functools.lru_cache(maxsize=32)
def _read(path: Path, *, is_default: bool) -> Entries:
    try:
        # Without a path Python's module looks at owner and mode of the file.
        hosts = netrc.netrc(None if is_default else str(path)).hosts
    except FileNotFoundError:
        raise
    except OSError as error:
        raise ConfigurationError(
            "the netrc file can't be read",
            code="netrc_unreadable",
            path=str(path),
            reason=error.strerror or type(error).__name__,
        ) from None
    except netrc.NetrcParseError as error:
        # Only what is said of owner and mode comes without a line.
        what = (
            "the netrc file must be its user's own, and nobody else may read it: chmod 600"
            if error.lineno is None
            else "the netrc file is broken"
        )
        raise ConfigurationError(
            what, code="netrc_invalid", path=str(path), line=error.lineno or "none"
        ) from None
    except UnicodeDecodeError:
        raise ConfigurationError(
            "the netrc file is not text", code="netrc_invalid", path=str(path)
        ) from None
    return {
        # ftp has accounts; where there is no login, the account says who it is.
        name.lower(): (entry[0] or entry[1] or "", entry[2] or "")
        for name, entry in hosts.items()
    }
