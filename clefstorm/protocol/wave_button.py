"""The wave button: the one script element by which a page of ours begins a Clef login.

LAW: everything that goes into the element is escaped; the only secret near it is the state, which
is made to travel in URLs. Source: Clef API v1, the button (``/v3/clef.js``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from clefstorm.errors import ConfigurationError, ProtocolViolation
from clefstorm.protocol.metadata import check_url

COLORS = ("blue", "white")
STYLES = ("flat", "button")
TYPES = ("login", "register", "connect")


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ConfigurationError(
            f"the {name} of a wave is {' or '.join(choices)}",
            code=f"wave_{name}_unknown",
            expected=", ".join(choices),
            got=value,
        )


@dataclass(frozen=True, slots=True)
class ClefWaveStyle:
    """How a wave looks. ``custom`` and ``embed`` None leave their attribute out.

    True and False are written as "true" and "false", a text as it is. Raises ConfigurationError
    for a colour other than blue and white, or a style other than flat and button.
    """

    color: str = "blue"
    style: str = "button"
    custom: bool | str | None = None
    embed: bool | str | None = None

    def __post_init__(self) -> None:
        _check_choice("color", self.color, COLORS)
        _check_choice("style", self.style, STYLES)
        for name in ("custom", "embed"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, bool | str):
                raise ConfigurationError(
                    f"{name} is True, False, a text or None", code=f"wave_{name}_invalid", got=value
                )


def add_to_query(url: str, name: str, value: str) -> str:
    """Return the URL with one parameter more at the end of its query."""
    parts = urlsplit(url)
    query = "&".join(filter(None, (parts.query, urlencode({name: value}))))
    return urlunsplit(parts._replace(query=query))


@dataclass(frozen=True, slots=True, kw_only=True)
class WaveButton:
    """One wave. ``src`` is the provider's script; after the approval the browser arrives at
    ``redirect_url`` with ``code`` added to its query."""

    src: str
    app_id: str
    redirect_url: str = field(repr=False)
    typ: str = "login"
    style: ClefWaveStyle = ClefWaveStyle()

    @property
    def origin(self) -> str:
        """The origin that a page's Content-Security-Policy has to allow for scripts."""
        parts = urlsplit(self.src)
        return f"{parts.scheme}://{parts.netloc}"

    def html(self) -> str:
        """Return the script element; the button appears where it stands."""
        attributes = {
            "class": "clef-button",
            "src": self.src,
            "type": "text/javascript",
            "data-app-id": self.app_id,
            "data-color": self.style.color,
            "data-style": self.style.style,
            "data-type": self.typ,
            "data-redirect-url": self.redirect_url,
            "data-custom": _written(self.style.custom),
            "data-embed": _written(self.style.embed),
        }
        written = " ".join(
            f'{name}="{escape(value)}"' for name, value in attributes.items() if value is not None
        )
        return f"<script {written}></script>"


def _written(value: bool | str | None) -> str | None:
    return str(value).lower() if isinstance(value, bool) else value


def make_wave_button(
    *,
    src: str,
    app_id: str,
    redirect_url: str,
    state: str,
    typ: str = "login",
    style: ClefWaveStyle | None = None,
) -> WaveButton:
    """Return the wave that leads back to ``redirect_url``, which gets the ``state``.

    Raises ConfigurationError: ``wave_type_unknown``, ``redirect_url_invalid`` (not an absolute
    https URL, http only on loopback; with a fragment; with a state or code of its own) or
    ``state_missing``.
    """
    _check_choice("type", typ, TYPES)
    if not isinstance(state, str) or not state:
        # Without one, any page could sign a visitor in as somebody else (login forgery).
        raise ConfigurationError(
            "state is a text that nobody can guess, new for each button", code="state_missing"
        )
    try:
        check_url(redirect_url, name="redirect_url")
    except ProtocolViolation as error:
        raise ConfigurationError(
            "redirect_url is the full address of the callback, https but on loopback",
            code="redirect_url_invalid",
            reason=error.message,
        ) from None
    taken = {"state", "code"}.intersection(dict(parse_qsl(urlsplit(redirect_url).query)))
    if taken:
        raise ConfigurationError(
            "redirect_url has a parameter that the login itself adds",
            code="redirect_url_invalid",
            got=", ".join(sorted(taken)),
        )
    return WaveButton(
        src=src,
        app_id=app_id,
        redirect_url=add_to_query(redirect_url, "state", state),
        typ=typ,
        style=ClefWaveStyle() if style is None else style,
    )
