"""Who am I: the answer for scripts, without anything secret.

LAW: not activity: a page that asks on a timer must not keep its session alive.
Source: OpenID Connect Core 1.0, section 5.1 (the claims shown).
"""

from __future__ import annotations

import base64
import hashlib

from clefstorm.handlers.handler import Handler
from clefstorm.handlers.origin import refuse_foreign
from clefstorm.handlers.user import login_path, user_of
from clefstorm.sessions import LoginSession


def user_tag(session: LoginSession) -> str:
    """Return a word that is the same for each session of a user and says nothing else.

    clefstorm.js compares it: a tab of one user must not go on under the cookie of another.
    """
    digest = hashlib.sha256(f"{session.iss}\0{session.sub}".encode()).digest()
    return base64.urlsafe_b64encode(digest[:12]).decode("ascii")


class MeHandler(Handler):
    """GET: ``{"signed_in": true, "user": tag, "name", "email", "picture", …}`` or false and where
    to sign in. Members that the provider did not give are null."""

    def wants_page(self) -> bool:
        return False

    async def get(self) -> None:
        refuse_foreign(self.request, secure=self.relying_party.cookies.secure)
        session = await user_of(self, self.relying_party, active=False)
        if session is None:
            self.answer_json({"signed_in": False, "login_url": login_path(self.relying_party)})
            return
        self.answer_json(
            {
                "signed_in": True,
                "user": user_tag(session),
                "provider": session.alias,
                "sub": session.sub,
                "name": session.name,
                "preferred_username": session.preferred_username,
                "email": session.email,
                "picture": session.picture,
            }
        )
