"""A script's connection to a diaspora* pod, or to any site with the same sign-in form.

LAW: thin shells around the flows of protocol/pod: one login at a time, and the state that it
brought. ``repr`` is the token that is held, because scripts of long ago take it from there; so
nothing here puts a connection's repr into anything else, and ``str`` is something that logs may
show. Source: the interface of diaspy's Connection.
"""

from __future__ import annotations

import asyncio
import copy
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import TypeVar, Unpack

from clefstorm.errors import ConnectFailed, DeadlineExceeded, ProviderError
from clefstorm.protocol.exchange import Flow, Response
from clefstorm.protocol.pod import (
    TOKEN_METHODS,
    CallOptions,
    Data,
    PodSession,
    build_call,
    call,
    check_credential,
    check_pod,
    fetch_token,
    sign_in,
    sign_out,
)
from clefstorm.transport.loop_thread import refuse_in_loop, run_blocking
from clefstorm.transport.per_loop import PerLoop
from clefstorm.transport.runner import AsyncRunner
from clefstorm.transport.wire import read_timeout

T = TypeVar("T")

_log = logging.getLogger("clefstorm.transport")


class AsyncPodConnection:
    """Signs in to a pod and calls it; for many tasks at once, of one event loop at a time.

    ``pod`` is its address, https://pod.example.com; plain http is for loopback alone. Nothing is
    sent before it is asked for: ``login`` is a call of its own. ``verify`` is True, False (never
    in production) or the path of a CA file. ``timeout`` is in seconds for each request (None: 5),
    or a pair (connect, read); each method may take twice as long as a whole, waiting for others
    and fetching the token included.
    ``clock`` gives epoch seconds, for the end of cookies. An answer has at most 1 MiB.

    Raises ConfigurationError: ``pod_invalid`` (a URLError), ``username_invalid``,
    ``password_invalid``, ``timeout_invalid``, ``verify_invalid``, ``verify_unreadable``.
    """

    def __init__(
        self,
        pod: str,
        username: str,
        password: str,
        *,
        verify: bool | str = True,
        timeout: float | tuple[float, float] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.pod = check_pod(pod)
        self._username = check_credential(username, name="username")
        self._password = check_credential(password, name="password")
        self._deadline = 2 * read_timeout(timeout)[1]
        self._runner = AsyncRunner(verify=verify, timeout=timeout)
        self._clock = clock
        self._session = PodSession(self.pod, clock=clock)
        self._locks = PerLoop(asyncio.Lock)
        self._refused: ProviderError | None = None

    def __repr__(self) -> str:
        """The token that is held, '' for none; fetches nothing."""
        return self._session.token

    def __str__(self) -> str:
        return f"<{type(self).__name__} {self.pod}>"

    async def login(self) -> None:
        """Sign in, with new cookies, and fetch the token that belongs to the session.

        Of those who call it at once one signs in; the others wait, are refused as that one was,
        and sign in only if it failed otherwise. A login that fails leaves the session of before
        as it was.

        Raises ProviderError (``login_refused``); ProtocolViolation for what is no pod
        (``pod_status``, ``pod_page_not_html``, ``pod_token_missing``, ``pod_token_invalid``,
        ``pod_redirects``, ``pod_redirect_foreign``, ``pod_redirect_invalid``,
        ``pod_session_missing``); TransportError (``pod_busy`` among its codes).
        """
        before, refused_before = self._session, self._refused
        ends = self._ends()
        async with self._alone(ends):
            if self._refused is not None and self._refused is not refused_before:
                # Another try of the same password could lock the account.
                raise copy.copy(self._refused)
            # Else whoever was first has done it.
            if self._session is before or not self._session.signed_in:
                await self._sign_in(ends)

    async def logout(self) -> None:
        """Forget token and cookies, and end the session at the pod.

        They are gone, too, when the pod can't be told: TransportError, or ProtocolViolation
        (``pod_status``). The code ``pod_busy`` alone means that nothing has happened.
        """
        ends = self._ends()
        async with self._alone(ends):
            ended = self._forget()
            await self._run(sign_out(ended), ends)

    async def get_token(self, fetch: bool = False) -> str:
        """Return the token that is held; fetch one when there is none, or when ``fetch`` says so.

        Before the login the pod's sign-in page has one too. When the pod can't be reached and a
        token is held, a warning is logged and that one returned. Raises ProtocolViolation as
        ``login`` does, TransportError.
        """
        return await self._token(self._ends(), fetch=fetch)

    async def get(self, path: str, **options: Unpack[CallOptions]) -> Response:
        """Send a GET and return the answer, whatever its status; a redirect is not followed.

        ``path`` is a path of the pod, or a whole URL of it; ``params`` are added to its query. A
        list as a value stands for the name so many times. Raises URLError (``url_invalid``,
        ``origin_mismatch``), ConfigurationError (``header_reserved``), TransportError.
        """
        return await self._call("GET", path, **options)

    async def post(self, path: str, data: Data = None, **options: Unpack[CallOptions]) -> Response:
        """Send a POST with the token, which is fetched when none is held; return the answer.

        ``data`` with names is sent as a form; a text or bytes go as they are, with a Content-Type
        among ``headers``. An ``X-CSRF-Token`` there goes before the one that is held. Raises as
        ``get`` and ``get_token`` do.
        """
        return await self._call("POST", path, data, **options)

    async def put(self, path: str, data: Data = None, **options: Unpack[CallOptions]) -> Response:
        """Send a PUT with the token; as ``post``."""
        return await self._call("PUT", path, data, **options)

    async def delete(
        self, path: str, data: Data = None, **options: Unpack[CallOptions]
    ) -> Response:
        """Send a DELETE with the token; as ``post``."""
        return await self._call("DELETE", path, data, **options)

    async def close(self) -> None:
        """Let go of connections, token and cookies; what is under way and later calls fail.

        The pod is not told: that is what ``logout`` does.
        """
        self._forget()
        await self._runner.close()

    async def __aenter__(self) -> AsyncPodConnection:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _call(
        self, method: str, path: str, data: Data = None, **options: Unpack[CallOptions]
    ) -> Response:
        request = build_call(self.pod, method, path, data, **options)
        ends = self._ends()
        if method in TOKEN_METHODS and "x-csrf-token" not in request.headers:
            await self._token(ends, fetch=False)
        return await self._run(call(self._session, request), ends)

    async def _sign_in(self, ends: float) -> None:
        fresh = PodSession(self.pod, clock=self._clock)
        try:
            await self._run(sign_in(fresh, self._username, self._password), ends)
        except ProviderError as error:
            self._refused = copy.copy(error)  # Without the frames that led there.
            raise
        self._session = fresh

    async def _token(self, ends: float, *, fetch: bool) -> str:
        if self._session.token and not fetch:
            return self._session.token
        async with self._alone(ends):
            # Whoever was first may have fetched one meanwhile.
            if self._session.token and not fetch:
                return self._session.token
            try:
                return await self._run(fetch_token(self._session), ends)
            except (ConnectFailed, DeadlineExceeded) as error:
                if not self._session.token:
                    raise
                _log.warning("no new token from %s, the old one serves: %s", self.pod, error.code)
                return self._session.token

    def _forget(self) -> PodSession:
        """Begin anew, and return what there was."""
        session, self._session = self._session, PodSession(self.pod, clock=self._clock)
        return session

    def _ends(self) -> float:
        return asyncio.get_running_loop().time() + self._deadline

    @asynccontextmanager
    async def _alone(self, ends: float) -> AsyncIterator[None]:
        """Let what changes the session happen one after the other."""
        lock = self._locks.here()
        try:
            async with asyncio.timeout_at(ends):
                await lock.acquire()
        except TimeoutError:
            raise DeadlineExceeded(
                "others sign in or out over this connection, and have not come to an end",
                code="pod_busy",
                seconds=self._deadline,
            ) from None
        try:
            yield
        finally:
            lock.release()

    async def _run(self, flow: Flow[T], ends: float) -> T:
        left = max(0.0, ends - asyncio.get_running_loop().time())
        return await self._runner.run(flow, deadline=left)


class PodConnection:
    """The blocking twin of AsyncPodConnection, for scripts and threads.

    Each method promises what that one's of the same name does, and may be called from several
    threads at once. In a thread that runs an event loop each raises ConfigurationError (code
    ``blocking_in_loop``).
    """

    def __init__(
        self,
        pod: str,
        username: str,
        password: str,
        *,
        verify: bool | str = True,
        timeout: float | tuple[float, float] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._twin = AsyncPodConnection(
            pod, username, password, verify=verify, timeout=timeout, clock=clock
        )
        self.pod = self._twin.pod

    def __repr__(self) -> str:
        """The token that is held, '' for none; fetches nothing."""
        return repr(self._twin)

    def __str__(self) -> str:
        return f"<{type(self).__name__} {self.pod}>"

    def login(self) -> None:
        """Sign in, with new cookies, and fetch the token that belongs to the session."""
        run_blocking(lambda: self._twin.login())

    def logout(self) -> None:
        """Forget token and cookies, and end the session at the pod."""
        run_blocking(lambda: self._twin.logout())

    def get_token(self, fetch: bool = False) -> str:
        """Return the token that is held; fetch one when there is none, or when told to."""
        return run_blocking(lambda: self._twin.get_token(fetch))

    def get(self, path: str, **options: Unpack[CallOptions]) -> Response:
        """Send a GET and return the answer, whatever its status."""
        return run_blocking(lambda: self._twin.get(path, **options))

    def post(self, path: str, data: Data = None, **options: Unpack[CallOptions]) -> Response:
        """Send a POST with the token; return the answer, whatever its status."""
        return run_blocking(lambda: self._twin.post(path, data, **options))

    def put(self, path: str, data: Data = None, **options: Unpack[CallOptions]) -> Response:
        """Send a PUT with the token; return the answer, whatever its status."""
        return run_blocking(lambda: self._twin.put(path, data, **options))

    def delete(self, path: str, data: Data = None, **options: Unpack[CallOptions]) -> Response:
        """Send a DELETE with the token; return the answer, whatever its status."""
        return run_blocking(lambda: self._twin.delete(path, data, **options))

    def close(self) -> None:
        """Let go of connections, token and cookies; what is under way and later calls fail."""
        run_blocking(lambda: self._twin.close())

    def __enter__(self) -> PodConnection:
        refuse_in_loop()  # Else the end of the block would say it, over what the block said.
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
