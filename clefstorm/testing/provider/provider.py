"""The embedded OpenID provider: a real one, small, for tests, demos and development.

It also speaks Clef API v1 and Eternaltwin's, for the same people and the same registered
applications, and is a diaspora* pod for scripts that sign in as those people.

LAW: listens on loopback alone unless a switch says otherwise that is dangerous by name: it
knows everybody's password and lets anyone who reaches it sign anyone out.
Source: OpenID Connect Core 1.0 and Discovery 1.0, RP-Initiated and Back-Channel Logout 1.0.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType

from tornado.httpserver import HTTPServer
from tornado.web import Application

from clefstorm.errors import ConfigurationError
from clefstorm.keys import Key
from clefstorm.testing.provider import (
    admin,
    clef,
    end_session,
    endpoints,
    eternaltwin,
    introspection,
    pod,
    pushed,
    sign_in,
    web,
)
from clefstorm.testing.provider.accounts import Account
from clefstorm.testing.provider.authority import Authority

LARGEST_BODY = 64 * 1024
_NO_IPV6 = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)


def _addresses(host: str, *, anywhere: bool) -> tuple[str, ...]:
    """Return the addresses to listen on. Raises ConfigurationError for any but loopback."""
    if host == "localhost":
        return ("127.0.0.1", "::1")
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = False
    if not loopback and not anywhere:
        raise ConfigurationError(
            "the embedded provider is for loopback: localhost, 127.0.0.1 or ::1",
            code="not_loopback",
            got=host,
        )
    return (host,)


def _listen(addresses: tuple[str, ...], port: int) -> list[socket.socket]:
    """Bind one port on all the addresses; port 0 finds one that is free on each."""
    attempts = 1 if port else 20
    while True:
        attempts -= 1
        bound: list[socket.socket] = []
        try:
            for address in addresses:
                family = socket.AF_INET6 if ":" in address else socket.AF_INET
                wanted = bound[0].getsockname()[1] if bound else port
                try:
                    bound.append(socket.create_server((address, wanted), family=family))
                except OSError as error:
                    # A machine without IPv6 is served on IPv4 alone.
                    if not bound or error.errno not in _NO_IPV6:
                        raise
        except OSError:
            for sock in bound:
                sock.close()
            if not attempts:
                raise
            continue
        for sock in bound:
            sock.setblocking(False)
        return bound


class Provider(Authority):
    """An OpenID provider on an address of its own, served by the running loop.

        async with Provider() as provider:
            provider.add_client("app", "secret", ["http://127.0.0.1:8000/auth/callback"])
            ...  # provider.issuer is what the application is configured with

    ``port`` 0 takes a free one. ``host`` localhost listens on 127.0.0.1 and ::1. ``users`` None
    are alice, bob, carol and dave (accounts.demo_accounts), and ``demo_accounts`` None shows
    buttons that sign in without a password for those, and for nobody of your own. ``clock`` gives
    epoch seconds. With the folder ``path``, keys, sessions and tokens survive a restart; clients
    are registered anew at each. Lifetimes are seconds. ``signing_keys`` (clefstorm.keys, with a
    kid) are used where no others were kept; what is missing is made. ``ca_certs`` is a file of
    the CAs that vouch for https clients, None the system's. ``pushed_authorization_requests``
    offers them, ``require_pushed_authorization_requests`` takes nothing else.
    ``dangerous_listen_anywhere`` lifts the rule of loopback: never on a network where somebody
    else is.

    Raises ConfigurationError: ``not_loopback``, ``provider_file_unreadable``.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        host: str = "localhost",
        users: Iterable[Account] | None = None,
        demo_accounts: bool | None = None,
        clock: Callable[[], float] = time.time,
        path: str | Path | None = None,
        access_token_lifetime: float = 3600.0,
        refresh_token_lifetime: float = 14 * 86400.0,
        id_token_lifetime: float = 3600.0,
        signing_keys: Sequence[Key] = (),
        ca_certs: str | None = None,
        pushed_authorization_requests: bool = False,
        require_pushed_authorization_requests: bool = False,
        dangerous_listen_anywhere: bool = False,
    ) -> None:
        self._addresses = _addresses(host, anywhere=dangerous_listen_anywhere)
        self._host = host
        self._port = port
        self._server: HTTPServer | None = None
        super().__init__(
            users=users,
            demo_accounts_shown=demo_accounts,
            clock=clock,
            path=None if path is None else Path(path),
            access_token_lifetime=access_token_lifetime,
            refresh_token_lifetime=refresh_token_lifetime,
            id_token_lifetime=id_token_lifetime,
            signing_keys=signing_keys,
            ca_certs=ca_certs,
            pushed_authorization_requests=pushed_authorization_requests,
            require_pushed_authorization_requests=require_pushed_authorization_requests,
        )

    @property
    def port(self) -> int:
        """The port; 0 before ``start`` has found one."""
        return self._port

    @property
    def api_url(self) -> str:
        """Where both APIs are served: the ``api_url`` of Clef and the ``url`` of Eternaltwin."""
        return f"{self.issuer}/api/v1/"

    @property
    def issuer(self) -> str:
        """The issuer, which is also the address: http://host:port."""
        if not self._port:
            raise ConfigurationError(
                "the provider has no address before it is started", code="provider_not_started"
            )
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}"

    async def start(self) -> Provider:
        """Begin to serve, and return the provider itself. Raises OSError for a port in use."""
        if self._server is None:
            # An RSA key takes long enough to make that the loop should not wait for it.
            await asyncio.get_running_loop().run_in_executor(None, self.keys.ensure, "RS256")
            sockets = _listen(self._addresses, self._port)
            self._port = sockets[0].getsockname()[1]
            self._server = HTTPServer(self._application(), max_body_size=LARGEST_BODY)
            self._server.add_sockets(sockets)
        return self

    async def stop(self) -> None:
        """Stop serving and close every connection; ``start`` serves again at the same port."""
        server, self._server = self._server, None
        if server is not None:
            server.stop()
            await server.close_all_connections()
        self.back_channel.close()

    async def __aenter__(self) -> Provider:
        return await self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    def _application(self) -> Application:
        bound = {"authority": self}
        handlers: list[tuple[str, type[web.ProviderHandler]]] = [
            (r"/\.well-known/openid-configuration", endpoints.DiscoveryHandler),
            (r"/jwks", endpoints.JWKSHandler),
            (r"/token", endpoints.TokenHandler),
            (r"/userinfo", endpoints.UserinfoHandler),
            (r"/revoke", endpoints.RevokeHandler),
            (r"/par", pushed.PushedRequestHandler),
            (r"/introspect", introspection.IntrospectHandler),
            (r"/authorize", sign_in.AuthorizeHandler),
            (r"/sign-in", sign_in.SignInHandler),
            (r"/agree", sign_in.AgreeHandler),
            (r"/end_session", end_session.EndSessionHandler),
            (r"/end_session/confirm", end_session.ConfirmLogoutHandler),
            (r"/api/v1/authorize", clef.ClefAuthorizeHandler),
            (r"/api/v1/info", clef.ClefInfoHandler),
            (r"/api/v1/logout", clef.ClefLogoutHandler),
            (r"/oauth/authorize", eternaltwin.EternaltwinAuthorizeHandler),
            (r"/oauth/token", eternaltwin.EternaltwinTokenHandler),
            (r"/api/v1/auth/self", eternaltwin.EternaltwinSelfHandler),
            (r"/api/v1/users", eternaltwin.EternaltwinUsersHandler),
            (r"/api/v1/users/([^/]+)", eternaltwin.EternaltwinUserHandler),
            (r"/v3/clef\.js", clef.ClefScriptHandler),
            (r"/clef/wave", clef.ClefWaveHandler),
            (r"/users/sign_in", pod.PodSignInHandler),
            (r"/users/sign_out", pod.PodSignOutHandler),
            (r"/stream", pod.PodStreamHandler),
            (r"/status_messages", pod.PodPostsHandler),
            (r"/posts/([0-9a-f]+)(?:\.json)?", pod.PodPostHandler),
            (r"/admin", admin.AdminHandler),
            (r"/admin/sign-out", admin.AdminSignOutHandler),
            (r"/admin/end-session", admin.AdminEndSessionHandler),
            (r"/admin/rotate-keys", admin.AdminRotateKeysHandler),
            (r"/style\.css", web.StyleHandler),
            (r"/", admin.HomeHandler),
            (r".*", web.NotFoundHandler),
        ]
        return Application(
            [(pattern, handler, bound) for pattern, handler in handlers],
            template_path=str(web.PAGES),
            log_function=web.record_request,
            xsrf_cookies=True,
            xsrf_cookie_name=f"clefstorm_provider_xsrf_{self._port}",
            xsrf_cookie_kwargs={"httponly": True, "samesite": "Lax"},
            cross_origin_protection=True,
        )
