"""The embedded provider's admin page: who is signed in where, and buttons to end it.

LAW: has no sign-in of its own, because whoever reaches the loopback is the developer; every
change is a POST with a token against cross-site requests, and has a twin on Provider.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime

from clefstorm.testing.provider.web import PageHandler

_BROWSERS = (("Edg", "Edge"), ("Firefox", "Firefox"), ("Chrome", "Chrome"), ("Safari", "Safari"))
_SYSTEMS = (
    ("Android", "Android"),
    ("iPhone|iPad", "iOS"),
    ("Mac OS X", "macOS"),
    ("Windows", "Windows"),
    ("Linux", "Linux"),
)


def browser_of(user_agent: str) -> str:
    """Return a User-Agent in two words for people, 'another browser' when it says nothing."""
    name = next((shown for mark, shown in _BROWSERS if mark in user_agent), None)
    system = next((shown for mark, shown in _SYSTEMS if re.search(mark, user_agent)), None)
    return " on ".join(filter(None, (name, system))) or user_agent[:40] or "another browser"


def shown_time(at: float) -> str:
    """Return epoch seconds as a short text in UTC."""
    return datetime.fromtimestamp(at, UTC).strftime("%d %b, %H:%M:%S UTC")


class AdminHandler(PageHandler):
    """/admin"""

    def get(self) -> None:
        accounts, sessions = self.authority.accounts.values(), self.authority.sessions
        people = [(who, [s for s in sessions if s.username == who.username]) for who in accounts]
        # Whoever is signed in stands first; the order is otherwise that of the accounts.
        people.sort(key=lambda person: not person[1])
        names = {who.sub: who.shown_name for who in accounts}
        self.show(
            "admin.html",
            people=people,
            browser_of=browser_of,
            shown_time=shown_time,
            name_of_sub=lambda sub: names.get(sub, sub),
            name_of_client=self._name_of_client,
        )

    def _name_of_client(self, client_id: str) -> str:
        client = self.authority.clients.get(client_id)
        return client_id if client is None else client.shown_name


class AdminSignOutHandler(PageHandler):
    """/admin/sign-out: one user, everywhere."""

    async def post(self) -> None:
        username = self.get_body_argument("username", "")
        if username in self.authority.accounts:
            await self.authority.sign_out(username)
        self.redirect("/admin", status=303)


class AdminEndSessionHandler(PageHandler):
    """/admin/end-session: one browser."""

    async def post(self) -> None:
        await self.authority.end_session(self.get_body_argument("session", ""))
        self.redirect("/admin", status=303)


class AdminRotateKeysHandler(PageHandler):
    """/admin/rotate-keys"""

    def post(self) -> None:
        self.authority.rotate_keys()
        self.redirect("/admin", status=303)


class HomeHandler(PageHandler):
    """/ leads to the admin page, for whoever opens the issuer's address."""

    def get(self) -> None:
        self.redirect("/admin", status=303)
