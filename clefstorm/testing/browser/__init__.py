"""A cookie-keeping browser without scripts, for tests.

Arrows: browser → events, request, cookies → page, wire → sites.
"""

from clefstorm.testing.browser.browser import Browser
from clefstorm.testing.browser.cookies import Cookie, CookieJar, RefusedCookie
from clefstorm.testing.browser.events import EventStream, ServerEvent
from clefstorm.testing.browser.page import Form, Page

__all__ = [
    "Browser",
    "Cookie",
    "CookieJar",
    "EventStream",
    "Form",
    "Page",
    "RefusedCookie",
    "ServerEvent",
]
