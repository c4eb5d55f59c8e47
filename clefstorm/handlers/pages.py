"""The few pages that clefstorm shows itself: an error, a question, a word of farewell.

Plain HTML without scripts, pictures or anything from elsewhere; readable on a phone and in the
dark. LAW: everything that is filled in is escaped by the template; nothing here knows a request.
Source: Content Security Policy Level 3; OWASP's cheat sheet on HTTP headers.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tornado.template import Template

from clefstorm.handlers.problems import Problem
from clefstorm.protocol.wave_button import WaveButton

STYLE = """
:root { color-scheme: light dark; --ink: #1d2330; --soft: #5a6376; --card: #fff; --page: #eef1f6;
  --line: #d5dbe6; --go: #2456c9; --on-go: #fff }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ebf2; --soft: #a3adc0; --card: #1b202b;
  --page: #11141b; --line: #343c4d; --go: #8fb0ff; --on-go: #0d1424 } }
* { box-sizing: border-box }
body { margin: 0; min-height: 100vh; min-height: 100dvh; display: grid; place-items: center;
  padding: 1.25rem; background: var(--page); color: var(--ink);
  font: 1.0625rem/1.55 system-ui, sans-serif }
main { width: 100%; max-width: 30rem; padding: clamp(1.5rem, 5vw, 2.5rem); background: var(--card);
  border: 1px solid var(--line); border-radius: .9rem }
h1 { margin: 0 0 .75rem; font-size: 1.45rem; line-height: 1.25; text-wrap: balance }
p { margin: 0 0 .75rem; overflow-wrap: anywhere }
blockquote { margin: 1rem 0; padding: .1rem 0 .1rem 1rem; border-left: 3px solid var(--line);
  color: var(--soft); overflow-wrap: anywhere }
nav, form { display: flex; flex-wrap: wrap; gap: .75rem; margin: 1.5rem 0 0 }
a, button { font: inherit; min-height: 2.9rem; padding: .65rem 1.3rem; border-radius: .55rem;
  border: 1px solid var(--line); background: none; color: inherit; text-decoration: none;
  cursor: pointer }
button, nav a:first-child { background: var(--go); border-color: var(--go);
  color: var(--on-go); font-weight: 600 }
a:focus-visible, button:focus-visible { outline: 3px solid var(--go); outline-offset: 2px }
footer { margin-top: 1.75rem; padding-top: .9rem; border-top: 1px solid var(--line);
  color: var(--soft); font-size: .875rem }
code { font: .95em ui-monospace, monospace }
"""

_STYLE_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()

# No form-action: browsers hold the redirect that follows a form to it, and a logout's leads to
# the provider. What a form says is ours alone, for everything filled in is escaped.
HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
"""What every answer of ours carries unless its handler says otherwise."""

_TEMPLATE = Template(
    """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="robots" content="noindex">
<title>{{ page.title }}</title>
<style>{% raw style %}</style>
</head>
<body>
<main>
<h1>{{ page.title }}</h1>
{% for line in page.lines %}<p>{{ line }}</p>
{% end %}
{% if page.quote %}<p>The service says:</p>
<blockquote>{{ page.quote }}</blockquote>
{% end %}
{% if page.wave %}<p>{% raw page.wave.html() %}</p>
<noscript><p>The button needs JavaScript.</p></noscript>
{% end %}
{% if page.button %}<form method="post">
{% for name, value in page.fields.items() %}
<input type="hidden" name="{{ name }}" value="{{ value }}">
{% end %}
<button>{{ page.button }}</button>
{% for label, url in page.links.items() %}<a href="{{ url }}">{{ label }}</a>
{% end %}
</form>
{% elif page.links %}<nav>
{% for label, url in page.links.items() %}
<a href="{{ url }}"{% if page.new_tab %} target="_blank" rel="noopener"{% end %}>{{ label }}</a>
{% end %}
</nav>
{% end %}
{% if page.code %}<footer>Code <code>{{ page.code }}</code>, \
reference <code>{{ page.reference }}</code></footer>
{% end %}
</main>
</body>
</html>
"""
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What a page says. ``links`` maps labels to URLs; with a ``button`` it is a form that POSTs
    ``fields`` to its own address. ``wave`` is a button by which a login goes on."""

    title: str
    lines: Sequence[str] = ()
    quote: str | None = None
    links: Mapping[str, str] = field(default_factory=dict)
    new_tab: bool = False
    button: str | None = None
    wave: WaveButton | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    code: str | None = None
    reference: str | None = None

    def html(self) -> bytes:
        """Return the whole page."""
        return _TEMPLATE.generate(page=self, style=STYLE)


START_AGAIN: Mapping[str, str] = {"Sign in": "login", "Home": "../"}
"""Links of a page of ours; relative, so that they hold behind a proxy that cuts a prefix."""


# Without prompt the provider would send the same account again, and ask nothing.
_ANOTHER_ACCOUNT = {"Sign in with another account": "login?prompt=login", "Home": "../"}


def problem_html(problem: Problem) -> bytes:
    """Return the page that shows a problem, with a link to start again."""
    return Page(
        title=problem.title,
        lines=(problem.text, problem.advice),
        quote=problem.quote,
        links=_ANOTHER_ACCOUNT if problem.code == "login_denied" else START_AGAIN,
        code=problem.code,
        reference=problem.reference,
    ).html()
