"""What a browser got: a page, its frames, its forms, what can be filled into them.

LAW: reads HTML as far as that needs it and runs no script; a field that a person could not fill
is refused. Source: HTML Standard, section 4.10.21 (form submission).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urljoin

from tornado.httputil import HTTPHeaders

from clefstorm.errors import ConfigurationError


@dataclass(slots=True, kw_only=True)
class Form:
    """One form as the page shows it; ``action`` is a full URL, ``method`` GET or POST.

    ``fields`` are what would be sent as it stands, ``fillable`` the names of all its controls,
    ``buttons`` the (name, value) of its submit buttons, both '' for one without.
    """

    action: str
    method: str
    name: str
    fields: dict[str, str] = field(default_factory=dict)
    fillable: set[str] = field(default_factory=set)
    buttons: list[tuple[str, str]] = field(default_factory=list)

    def filled(self, values: Mapping[str, str], *, button: str | None = None) -> dict[str, str]:
        """Return what is sent when these values are filled in and a button is pressed.

        ``button`` names it by its name or its value; None presses the first. Raises
        ConfigurationError (``no_such_field``, ``no_such_button``).
        """
        for name in values:
            if name not in self.fillable:
                raise ConfigurationError(
                    "the form has no such field",
                    code="no_such_field",
                    expected=", ".join(sorted(self.fillable)),
                    got=name,
                )
        pressed = [pair for pair in self.buttons if button is None or button in pair]
        if button is not None and not pressed:
            raise ConfigurationError(
                "the form has no such button", code="no_such_button", got=button
            )
        sent = {**self.fields, **values}
        if pressed and pressed[0][0]:
            sent[pressed[0][0]] = pressed[0][1]
        return sent


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """An answer, read whole. ``url`` is where it came from after all redirects.

    ``history`` are the redirects on the way, oldest first; ``body`` is unpacked bytes.
    """

    url: str
    status: int
    headers: HTTPHeaders = field(repr=False)
    body: bytes = field(repr=False)
    history: Sequence[Page] = field(default=(), repr=False)

    @property
    def text(self) -> str:
        """The body as text, in the charset of its Content-Type or UTF-8."""
        _, _, charset = self.headers.get("Content-Type", "").partition("charset=")
        return self.body.decode(charset.strip(' "') or "utf-8", "replace")

    def json(self) -> Any:
        """Return the body read as JSON."""
        return json.loads(self.body)

    @property
    def referrer_policy(self) -> str:
        """The page's Referrer-Policy, '' for the browser's own."""
        return self.headers.get("Referrer-Policy", "").rpartition(",")[2].strip().lower()

    @property
    def forms(self) -> Sequence[Form]:
        """The forms of the page, in its order."""
        parser = _FormParser(self.url)
        parser.feed(self.text)
        parser.close()
        return tuple(parser.forms)

    @property
    def frames(self) -> Sequence[str]:
        """The full URLs of the page's frames, in its order."""
        parser = _FrameParser(self.url)
        parser.feed(self.text)
        parser.close()
        return tuple(parser.urls)

    def form(self, name: str | None = None) -> Form:
        """Return the form of this name or id, None: the first.

        Raises ConfigurationError (``no_such_form``).
        """
        forms = self.forms
        for form in forms:
            if name is None or form.name == name:
                return form
        raise ConfigurationError(
            "the page has no such form",
            code="no_such_form",
            expected=name or "a form",
            got=", ".join(form.name for form in forms) or "no form",
            url=self.url.partition("?")[0],
        )


class _FrameParser(HTMLParser):
    def __init__(self, url: str) -> None:
        super().__init__()
        self.urls: list[str] = []
        self._url = url

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        source = dict(attrs).get("src")
        if tag == "iframe" and source:
            self.urls.append(urljoin(self._url, source))


class _FormParser(HTMLParser):
    def __init__(self, url: str) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self._url = url
        self._form: Form | None = None
        self._select: str | None = None
        self._textarea: str | None = None

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        has = {name: value or "" for name, value in attrs}
        name = has.get("name", "")
        if tag == "form":
            self._form = Form(
                action=urljoin(self._url, has.get("action", "")),
                method=has.get("method", "get").upper(),
                name=name or has.get("id", ""),
            )
            self.forms.append(self._form)
        if self._form is None or "disabled" in has:
            return
        if tag == "button" and has.get("type", "submit") == "submit":
            self._form.buttons.append((name, has.get("value", "")))
        elif tag == "input":
            self._input(self._form, name, has)
        elif tag == "textarea" and name:
            self._textarea = name
            self._form.fillable.add(name)
            self._form.fields[name] = ""
        elif tag == "select" and name:
            self._select = name
            self._form.fillable.add(name)
        elif tag == "option" and self._select is not None:
            # Without a chosen one, the first is.
            chosen = self._form.fields.setdefault(self._select, has.get("value", ""))
            self._form.fields[self._select] = has.get("value", "") if "selected" in has else chosen

    def _input(self, form: Form, name: str, has: dict[str, str]) -> None:
        kind = has.get("type", "text").lower()
        if kind in ("submit", "image"):
            form.buttons.append((name, has.get("value", "")))
        elif kind in ("button", "reset", "file") or not name:
            return
        elif kind in ("checkbox", "radio"):
            form.fillable.add(name)
            if "checked" in has:
                form.fields[name] = has.get("value", "on")
        else:
            if kind != "hidden":
                form.fillable.add(name)
            form.fields[name] = has.get("value", "")

    def handle_data(self, data: str) -> None:
        if self._form is not None and self._textarea is not None:
            self._form.fields[self._textarea] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None
        elif tag == "select":
            self._select = None
        elif tag == "textarea":
            self._textarea = None
