"""The kinds of row: what is asked of the application, and how it is proven.

A row is data: the rule's source, the fault that the provider is given (clefstorm.testing.FAULTS
has them all), and what the application must answer. LAW: a row proves its positive twin first,
so that an application that refuses everything fails; and a refusal must leave everything as it
was: the session, the cookies, the number of sign-ins.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from stage import Stage, said, shown_code

from clefstorm.testing.provider.switchboard import fault_of


@dataclass(frozen=True, kw_only=True)
class Row:
    """One rule. ``source`` cites it; ``module`` is the OpenID Foundation's name for it, if any.

    ``options`` are the alias's, ``registration`` the provider's, ``login`` parameters of the
    login page. ``secure``: the row needs https.
    """

    source: str
    module: str | tuple[str, ...] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    registration: Mapping[str, Any] = field(default_factory=dict)
    login: Mapping[str, str] = field(default_factory=dict)
    secure: bool = False
    prefix: str = ""

    @property
    def id(self) -> str:
        """The row's name, of which there is one."""
        return self.prefix + self.own_name

    @property
    def own_name(self) -> str:
        """The name without its prefix."""
        raise NotImplementedError

    @property
    def says(self) -> str:
        """What the provider does, or what the application has to do."""
        raise NotImplementedError

    @property
    def expected(self) -> str:
        """What comes of it."""
        raise NotImplementedError

    @property
    def modules(self) -> tuple[str, ...]:
        """The names of the OpenID Foundation's modules."""
        if self.module is None:
            return ()
        return (self.module,) if isinstance(self.module, str) else self.module

    async def prove(self, stage: Stage) -> None:
        """Play it."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class FaultRow(Row):
    """A row about one fault of the switchboard; ``at`` None is the place of such rows."""

    usual: ClassVar[str | None] = None

    fault: str
    at: str | None = None
    name: str | None = None
    besides: tuple[str, ...] = ()
    """More faults, without which this one would not come through a lax application."""
    hurried: Mapping[str, Any] = field(default_factory=dict)
    """Options of the alias from the fault on: the short deadlines of those who hang."""

    @property
    def own_name(self) -> str:
        return self.name or (self.fault if self.at is None else f"{self.fault}_at_{self.at}")

    @property
    def says(self) -> str:
        place, fault = fault_of(self.fault, self.at or self.usual)
        besides = "".join(f"; {fault_of(name)[1].says}" for name in self.besides)
        return f"{place.replace('_', ' ')}: {fault.says}{besides}"

    def misbehave(self, stage: Stage) -> None:
        """Switch the fault on, for an application that knows nothing of the provider yet."""
        stage.configure(**self.hurried)
        for name in self.besides:
            stage.provider.misbehave(name)
        stage.provider.misbehave(self.fault, at=self.at or self.usual)


async def sign_in_well(stage: Stage, row: Row) -> None:
    """The positive twin: without the fault the same login ends where it should."""
    page = await stage.sign_in(**row.login)
    assert (page.status, page.text) == (200, "here"), said(page)
    assert await stage.user() == stage.sub()
    assert len(stage.events("signed_in")) == 1


@dataclass(frozen=True, kw_only=True)
class Refused(FaultRow):
    """A login that must be refused with this code and status."""

    code: str
    status: int = 502

    @property
    def expected(self) -> str:
        return f"{self.status} ``{self.code}``"

    async def prove(self, stage: Stage) -> None:
        await sign_in_well(stage, self)
        cookie = stage.session_cookie
        self.misbehave(stage)
        page = await stage.sign_in(**self.login)
        assert (page.status, shown_code(page)) == (self.status, self.code), said(page)
        assert page.url.startswith(stage.site)
        assert "Set-Cookie" not in page.headers
        assert page.headers["Cache-Control"] == "no-store"
        assert [told.facts["code"] for told in stage.events("login_refused")] == [self.code]
        assert len(stage.events("signed_in")) == 1
        assert stage.session_cookie == cookie
        assert await stage.user() == stage.sub()


@dataclass(frozen=True, kw_only=True)
class Passes(FaultRow):
    """A login that must succeed all the same."""

    @property
    def expected(self) -> str:
        return "signed in"

    async def prove(self, stage: Stage) -> None:
        await sign_in_well(stage, self)
        self.misbehave(stage)
        page = await stage.sign_in(**self.login)
        assert (page.status, page.text) == (200, "here"), said(page)
        assert len(stage.events("signed_in")) == 2
        assert await stage.user() == stage.sub()


@dataclass(frozen=True, kw_only=True)
class LogoutRefused(FaultRow):
    """A logout token that must be refused: 400, and the session lives on."""

    usual: ClassVar[str | None] = "logout_token"

    code: str
    status: int = 400
    prefix: str = "logout_"
    names: str = "sid"
    """Whom the token names: sid (and sub), or sub alone."""

    @property
    def expected(self) -> str:
        return f"{self.status} ``{self.code}``"

    async def prove(self, stage: Stage) -> None:
        await sign_in_well(stage, self)
        [delivery] = await stage.provider.sign_out("alice")
        assert delivery.status == 200
        assert await stage.user() is None
        await stage.sign_in()
        assert await stage.user() == stage.sub()
        self.misbehave(stage)
        answer = await stage.post_logout_token(await self._token(stage))
        assert answer.status == self.status, said(answer)
        told = answer.json()
        assert (told["error"], told["code"]) == ("invalid_request", self.code), told
        assert answer.headers["Cache-Control"] == "no-store"
        assert "Set-Cookie" not in answer.headers
        assert len(stage.events("signed_out")) == 1
        assert await stage.user() == stage.sub()

    async def _token(self, stage: Stage) -> str:
        sid = await stage.sid() if self.names == "sid" else None
        return await stage.provider.logout_token("app", sub=stage.sub(), sid=sid)


@dataclass(frozen=True, kw_only=True)
class LogoutPasses(LogoutRefused):
    """A logout token that must end the session."""

    code: str = ""
    status: int = 200

    @property
    def expected(self) -> str:
        return "200, signed out"

    async def prove(self, stage: Stage) -> None:
        await sign_in_well(stage, self)
        bobs = stage.new_browser()
        await stage.sign_in("bob", browser=bobs)
        self.misbehave(stage)
        answer = await stage.post_logout_token(await self._token(stage))
        assert (answer.status, answer.body) == (200, b""), said(answer)
        assert answer.headers["Cache-Control"] == "no-store"
        assert await stage.user() is None
        assert await stage.user(bobs) == stage.sub("bob")


@dataclass(frozen=True, kw_only=True)
class RefreshRefused(FaultRow):
    """A refreshed id token that must be refused: the session ends (Core 12.2)."""

    prefix: str = "refresh_"
    reason: str
    """The code of the check that it failed."""

    @property
    def expected(self) -> str:
        return f"session ended, ``{self.reason}``"

    async def prove(self, stage: Stage) -> None:
        await refresh_well(stage, self)
        self.misbehave(stage)
        stage.clock.advance(3590)
        reply = await stage.browser.fetch(f"{stage.site}/token")
        assert reply.text == f"refreshed_id_token_refused {self.reason}"
        assert await stage.user() is None
        assert [h.facts["reason"] for h in stage.events("signed_out")] == ["refresh_refused"]


@dataclass(frozen=True, kw_only=True)
class RefreshPasses(FaultRow):
    """A refresh that must succeed all the same."""

    prefix: str = "refresh_"

    @property
    def expected(self) -> str:
        return "refreshed"

    async def prove(self, stage: Stage) -> None:
        await refresh_well(stage, self)
        self.misbehave(stage)
        stage.clock.advance(3590)
        reply = await stage.browser.fetch(f"{stage.site}/token")
        assert reply.text == "fresh"
        assert len(stage.events("refreshed")) == 2
        assert await stage.user() == stage.sub()


async def refresh_well(stage: Stage, row: Row) -> None:
    """The positive twin: a login with a refresh token, which is used once."""
    await sign_in_well(stage, row)
    stage.clock.advance(3590)
    reply = await stage.browser.fetch(f"{stage.site}/token")
    assert reply.text == "fresh", reply.text
    assert len(stage.events("refreshed")) == 1
    assert await stage.user() == stage.sub()


OFFLINE = {"scope": "openid profile email offline_access"}
"""Options of an alias that is given refresh tokens."""

JSON_CODES = {
    "json_array": "json_not_object",
    "json_null": "json_not_object",
    "json_string": "json_not_object",
    "json_name_twice": "json_duplicate_name",
    "json_deep": "json_too_deep",
}
"""The codes of the faults of JSON texts; all others are json_invalid."""

Play = Callable[[Stage], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Does(Row):
    """A row with a story of its own, told by a function; its docstring is the rule."""

    play: Play
    outcome: str

    @property
    def own_name(self) -> str:
        return getattr(self.play, "__name__", "")

    @property
    def says(self) -> str:
        return " ".join((self.play.__doc__ or "").split()).rstrip(".")

    @property
    def expected(self) -> str:
        return self.outcome

    async def prove(self, stage: Stage) -> None:
        await self.play(stage)


def does(source: str, outcome: str, **more: Any) -> Callable[[Play], Does]:
    """Turn a coroutine function into a row: ``@does("Core 3.1.2.1", "…")``."""
    return lambda play: Does(source=source, outcome=outcome, play=play, **more)
