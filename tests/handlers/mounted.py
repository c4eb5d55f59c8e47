"""The application around a relying party that the tests of this folder ask."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tornado.web import RequestHandler

from clefstorm.handlers import UserMixin, authenticated
from clefstorm.sessions import LoginSession

SECRET = "a secret of a test, at least 32 bytes"
ISSUER = "https://id.example.com"


class Home(UserMixin, RequestHandler):
    """A page that anybody may see."""

    def get(self) -> None:
        self.finish(self.current_user.sub if self.current_user else "nobody")


class Inside(UserMixin, RequestHandler):
    """A page for signed-in users, with a form."""

    @authenticated
    async def get(self) -> None:
        self.finish(f"inside: {self.current_user.sub}")

    @authenticated
    def head(self) -> None:
        self.finish()

    @authenticated
    def post(self) -> None:
        self.finish("saved")


@dataclass
class SignedIn:
    """A browser that is signed in: its session, its id, and its Cookie header."""

    session: LoginSession
    session_id: str
    cookie: str

    def headers(self, **more: str) -> dict[str, str]:
        return {
            "Cookie": self.cookie,
            **{name.replace("_", "-"): value for name, value in more.items()},
        }


@dataclass
class Settings:
    """What a test wants of the application: ``@pytest.mark.parametrize("settings", …)``."""

    redirect_uri: str = "http://localhost/auth/callback"
    routes: dict[str, Any] = field(default_factory=dict)
    application: dict[str, Any] = field(default_factory=dict)
    client: dict[str, Any] = field(default_factory=dict)
    party: dict[str, Any] = field(default_factory=dict)


NAVIGATION = {"Accept": "text/html,*/*;q=0.8", "Sec-Fetch-Mode": "navigate"}
XHR = {"Accept": "*/*", "Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}
OLD_XHR = {"Accept": "application/json"}
PROTECTED = {"xsrf_cookies": True, "cross_origin_protection": True}
