"""ClefStorm: an asynchronous client for servers that speak Clef API v1.

For an application that does its own sign-in. With a RelyingParty, configure a Clef alias instead
and mount ``login_routes``: the same flows, with sessions that the webhook ends.
LAW: a thin shell over the flows of protocol/clef_api; what it logs holds no secret, no query and
no body. Source: the interface of clefstorm 0.1.2.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

from clefstorm.bus import AsyncBus
from clefstorm.errors import ClefStormError, ConfigurationError
from clefstorm.protocol.clef_api import API_URL, ClefAPI, check_api_url
from clefstorm.protocol.exchange import Flow, Response, fetch
from clefstorm.protocol.wave_button import ClefWaveStyle, make_wave_button
from clefstorm.transport import AsyncRunner

__all__ = ["ClefStorm", "ClefWaveStyle"]

T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")

MOST_TOKENS = 1000
"""Access tokens that are kept; beyond, the oldest goes."""
LOGOUT_MEMORY = 60.0
"""Seconds for which a logout is told to those who begin to wait after it."""
MOST_LOGOUTS = 10_000

_log = logging.getLogger("clefstorm.clef")


class ClefStorm:
    """The client of one application at one Clef server; belongs to one event loop at a time.

    ``api_key`` and ``api_password`` are the app id and the app secret. ``logger`` gets a line at
    level DEBUG for each call, its name and how it ended; None means ``clefstorm.clef``.

    The attributes are set on the class, a subclass or the instance, at any time: ``api_url``;
    ``user_agent``; ``validate_cert`` (True, False: never in production, or the path of a CA file);
    ``token_ttl``, the seconds for which ``get_token`` answers a code again from its memory, 0 for
    none. Whoever makes many clients closes each.
    """

    api_url: str = API_URL
    token_ttl: float = 3000.0
    user_agent: str = "ClefStorm 1.0"
    validate_cert: bool | str = True

    def __init__(
        self, api_key: str, api_password: str, logger: logging.Logger | None = None
    ) -> None:
        for name, value in (("api_key", api_key), ("api_password", api_password)):
            if not isinstance(value, str) or not value or value != value.strip():
                raise ConfigurationError(
                    f"{name} is a text, not empty and with no white space around it",
                    code=f"{name}_invalid",
                )
        self.api_key = api_key
        self.api_password = api_password
        self.logger = _log if logger is None else logger
        self.logout_eventbus = AsyncBus()
        self._runners: dict[bool | str, AsyncRunner] = {}
        self._exchanges: dict[tuple[str, str, str], asyncio.Task[str]] = {}
        # What was learned and when, by the loop's time; oldest first.
        self._tokens: OrderedDict[tuple[str, str, str], tuple[str, float]] = OrderedDict()
        self._logouts: OrderedDict[int, float] = OrderedDict()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.api_key!r} at {self.api_url}>"

    # -- the button -------------------------------------------------------------------------

    def generate_button(
        self,
        redirect_url: str,
        state: str,
        typ: str = "login",
        style: ClefWaveStyle | None = None,
    ) -> str:
        """Return the script element that shows a wave where it stands in a page.

        The browser comes back to ``redirect_url`` with ``state``, which nobody must be able to
        guess and which is to be compared there, and ``code``. ``typ`` is login, register or
        connect. Raises ConfigurationError.
        """
        return make_wave_button(
            src=self._api().script_url,
            app_id=self.api_key,
            redirect_url=redirect_url,
            state=state,
            typ=typ,
            style=style,
        ).html()

    # -- the three calls --------------------------------------------------------------------

    async def get_token(self, code: str) -> str:
        """Exchange the code of a callback for an access token.

        Calls for one code at the same time share one exchange, and for ``token_ttl`` seconds a
        success is answered from a memory of the newest 1000. A failure is not remembered. Raises
        ClefAPIError, ProtocolViolation, TransportError.
        """
        api = self._api()
        key = (api.api_url, api.app_id, code)
        now = asyncio.get_running_loop().time()
        token, since = self._tokens.get(key, ("", now))
        if token and now - since < self.token_ttl:
            return token
        task = self._exchanges.get(key)
        if task is None:
            task = asyncio.get_running_loop().create_task(
                self._run(api.authorize(code), "authorize")
            )
            self._exchanges[key] = task
            task.add_done_callback(partial(self._exchanged, key))
        # Whoever gives up must not take the token from the others: the code works only once.
        return await asyncio.shield(task)

    def _exchanged(self, key: tuple[str, str, str], task: asyncio.Task[str]) -> None:
        del self._exchanges[key]
        if task.cancelled() or task.exception() is not None or self.token_ttl <= 0:
            return
        now = task.get_loop().time()
        self._tokens[key] = (task.result(), now)
        self._tokens.move_to_end(key)
        _let_go(self._tokens, MOST_TOKENS, lambda kept: now - kept[1] >= self.token_ttl)

    async def get_info(self, access_token: str) -> dict[str, Any]:
        """Return what the server says of the user: ``id`` (an integer) and what it knows else.

        From now on a logout of this user before this call counts no longer for
        ``wait_for_logout``. Raises as ``get_token`` does.
        """
        info = dict(await self._run(self._api().info(access_token), "info"))
        self._logouts.pop(info["id"], None)
        return info

    async def get_logged_out_clef_id(self, logout_token: str) -> int:
        """Exchange the logout webhook's token for the id of the user who logged out.

        Raises as ``get_token`` does.
        """
        return await self._run(self._api().logged_out(logout_token), "logout")

    # -- logout -----------------------------------------------------------------------------

    def notify_logout(self, clef_id: int) -> int:
        """Wake all who wait for this user's logout; return how many there were.

        It is remembered for a minute, so that a browser between two polls hears of it too. Call
        it in the running loop.
        """
        now = asyncio.get_running_loop().time()
        self._logouts[clef_id] = now
        self._logouts.move_to_end(clef_id)
        _let_go(self._logouts, MOST_LOGOUTS, lambda since: now - since >= LOGOUT_MEMORY)
        return self.logout_eventbus.notifyall(clef_id, clef_id)

    async def wait_for_logout(self, clef_id: int, timeout: float | timedelta | None) -> int:
        """Wait until the user is logged out; return the clef id.

        Returns at once when that was less than a minute ago and nobody has asked ``get_info`` of
        this user since. ``timeout``: a timedelta or seconds, None waits for ever, 0 only looks.
        Raises BusTimeoutError, BusClosed.
        """
        since = self._logouts.get(clef_id)
        if since is not None and asyncio.get_running_loop().time() - since < LOGOUT_MEMORY:
            return clef_id
        await self.logout_eventbus.waitforkey(clef_id, timeout)
        return clef_id

    # -- calls of one's own -----------------------------------------------------------------

    async def get(self, rel_url: str, params: Mapping[str, object]) -> Response:
        """Send a GET and return the answer, whatever its status.

        ``rel_url`` is a plain path below ``api_url``. Raises ConfigurationError for another,
        TransportError.
        """
        return await self._send("GET", rel_url, params)

    async def post(self, rel_url: str, params: Mapping[str, object]) -> Response:
        """Send a form by POST and return the answer; raises as ``get`` does."""
        return await self._send("POST", rel_url, params)

    async def get_and_parse(self, rel_url: str, params: Mapping[str, object]) -> dict[str, Any]:
        """Send a GET and return the JSON object of its success.

        Raises ClefAPIError for a JSON error of whatever status, ProtocolViolation for another
        answer, and as ``get`` does.
        """
        return dict(await self._run(self._api().call("GET", rel_url, params), "GET"))

    async def post_and_parse(self, rel_url: str, params: Mapping[str, object]) -> dict[str, Any]:
        """Send a form by POST and return the JSON object of its success; as get_and_parse."""
        return dict(await self._run(self._api().call("POST", rel_url, params), "POST"))

    async def _send(self, method: str, rel_url: str, params: Mapping[str, object]) -> Response:
        return await self._run(fetch(self._api().request(method, rel_url, params)), method)

    # -- life -------------------------------------------------------------------------------

    async def close(self) -> None:
        """Close the connections and the bus: who waits gets BusClosed, calls ConnectFailed."""
        for runner in self._runners.values():
            await runner.close()
        await asyncio.gather(*self._exchanges.values(), return_exceptions=True)
        await self.logout_eventbus.close()

    def _api(self) -> ClefAPI:
        return ClefAPI(
            api_url=check_api_url(self.api_url),
            app_id=self.api_key,
            app_secret=self.api_password,
            user_agent=self.user_agent,
        )

    async def _run(self, flow: Flow[T], what: str) -> T:
        runner = self._runners.get(self.validate_cert)
        if runner is None:
            runner = self._runners[self.validate_cert] = AsyncRunner(verify=self.validate_cert)
        try:
            result = await runner.run(flow)
        except ClefStormError as error:
            self.logger.debug("%s: %s", what, error.code)
            raise
        self.logger.debug("%s: answered", what)
        return result


def _let_go(kept: OrderedDict[K, V], most: int, over: Callable[[V], bool]) -> None:
    """Drop the oldest while there are too many, or its time is over."""
    while kept and (len(kept) > most or over(next(iter(kept.values())))):
        kept.popitem(last=False)
