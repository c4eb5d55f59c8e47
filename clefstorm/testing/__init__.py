"""For tests of applications: an OpenID provider, a browser without scripts, a given time.

    provider, browser, clock, new_browser, given_time_io_loop     as pytest fixtures:
    pytest_plugins = ["clefstorm.testing.fixtures"]               in the conftest

LAW: nothing here is for production, and nothing outside this folder imports it. pytest is
imported in fixtures alone.
"""

from clefstorm.testing.browser import (
    Browser,
    Cookie,
    CookieJar,
    EventStream,
    Form,
    Page,
    ServerEvent,
)
from clefstorm.testing.clock import Clock, GivenTimeLoop, given_time_io_loop
from clefstorm.testing.provider import (
    FAULTS,
    Account,
    Answer,
    Client,
    Delivery,
    Provider,
    ProviderSession,
    RequestSeen,
    TokenDraft,
    demo_accounts,
)

__all__ = [
    "FAULTS",
    "Account",
    "Answer",
    "Browser",
    "Client",
    "Clock",
    "Cookie",
    "CookieJar",
    "Delivery",
    "EventStream",
    "Form",
    "GivenTimeLoop",
    "Page",
    "Provider",
    "ProviderSession",
    "RequestSeen",
    "ServerEvent",
    "TokenDraft",
    "demo_accounts",
    "given_time_io_loop",
]
