"""What the relying party answers: values that a web framework only has to translate.

LAW: plain values; a secret in one never shows in its repr.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from clefstorm.protocol.wave_button import WaveButton
from clefstorm.sessions import LoginSession


@dataclass(frozen=True, slots=True, kw_only=True)
class CookieNames:
    """The names of our cookies. ``login`` is the beginning of a name, one cookie for each login.

    ``secure``: the site is https, so they are Secure and have the prefix __Host-.
    """

    session: str
    login: str
    logout: str
    secure: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginStart:
    """Send the browser to ``url``, set the cookie for ``lifetime`` seconds, clear ``drop``.

    ``cross_site`` says that the provider answers by a cross-site POST, so that the cookie has to
    be SameSite=None. With a ``button`` don't go to ``url``: show a page with it (Clef).
    """

    url: str = field(repr=False)
    cookie_name: str
    cookie_value: str = field(repr=False)
    lifetime: int
    cross_site: bool
    drop: tuple[str, ...] = ()
    button: WaveButton | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginDone:
    """Set the session cookie, clear the cookies in ``clear``, and go to ``return_to``.

    ``max_age`` is in seconds; None makes it a cookie that ends with the browser's own session.
    ``session_id`` None means that the browser holds the session already (a reloaded callback).
    """

    session: LoginSession
    session_id: str | None = field(repr=False)
    return_to: str
    max_age: int | None = None
    clear: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginDeclined:
    """A login with prompt=none came back as it went: ``error`` says what the provider needs."""

    error: str
    return_to: str
    clear: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LogoutStart:
    """Clear the session cookie and go to ``url``: the provider's logout, or a local path.

    With ``cookie_name`` also set that cookie for ``lifetime`` seconds; it holds where to return.
    """

    url: str = field(repr=False)
    cookie_name: str | None = None
    cookie_value: str | None = field(default=None, repr=False)
    lifetime: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """Something that an audit log wants: when (epoch seconds), what, at which alias, and facts."""

    at: float
    event: str
    alias: str | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
