"""npm's oidc-provider in a process of its own: a certified provider that nobody here wrote.

    @pytest.fixture
    def provider(start_oidc_provider, http_port):
        return start_oidc_provider(
            {
                "client_id": "app",
                "client_secret": "…",
                "redirect_uris": [f"http://127.0.0.1:{http_port}/auth/callback"],
                "post_logout_redirect_uris": [f"http://127.0.0.1:{http_port}/auth/signed-out"],
                "backchannel_logout_uri": f"http://127.0.0.1:{http_port}/auth/backchannel",
                "backchannel_logout_session_required": True,   # else its logout tokens have no sid
            },
        )

Members of a client are those of the specifications (OpenID Connect Dynamic Registration 1.0, the
logout specifications), so ``token_endpoint_auth_method`` or ``id_token_signed_response_alg``
(RS256, ES256 or Ed25519), ``jwks``, ``require_pushed_authorization_requests`` or
``id_token_encrypted_response_alg`` may be set too. The provider listens on 127.0.0.1; its issuer
says localhost, so that it and an application on 127.0.0.1 are two sites, as in life.

Signing in takes any account name; ``name`` and ``email`` are made of it. The browser is a
``Walker(http_client)`` from parts.walker:

    page = await provider.sign_in(walker, login_url, account="anna")

opens ``login_url`` (the application's login page, or an authorization URL), follows its redirects,
and on the provider's pages gives the account name and consents, until it arrives somewhere else. A
browser that is signed in and has consented passes without a page. To judge a callback without
sending it, ``stop_at=redirect_uri`` answers the redirect to it. ``await provider.decline(…)``
presses Cancel instead: the callback gets error=access_denied, with HTML in its description.

``resources`` maps APIs (RFC 8707) to what it knows of them: ``{"https://api.example.com": {"scope":
"read write", "accessTokenFormat": "jwt"}}``, or "opaque". A login with the parameter ``resource``
gets an access token for that API alone, which is none for userinfo. Every client that proves
itself may introspect.

A refresh token is given for scope offline_access alone, which needs prompt=consent in the
authorization request (OpenID Connect Core 11); ``sign_in`` presses the consent. Such a token lives
on after the logout, and is rotated at each use; the use of an old one ends them all.

Signing out at the provider, as a user does who goes there himself, or at the end of an
RP-initiated logout (``url`` is then where the application sent the browser):

    await provider.sign_out(walker)

When it is done, the provider has called each application that this browser was signed in to (it
waits 2.5 s for one), and ``await provider.deliveries(http_client)`` tells how they answered: a list
of {"client_id", "sub", "sid", "error"}, where error is None for a 200 or 204.
"""

from __future__ import annotations

import json
import select
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from parts.needs import need
from parts.walker import Walker, read_form
from tornado.httpclient import AsyncHTTPClient, HTTPResponse

SERVER = Path(__file__).parent / "oidc_provider" / "server.mjs"
PATIENCE = 60.0
"""Seconds until it must serve; it takes about one and a half."""


class CertifiedProvider:
    """One running provider; ``issuer`` is its address. Its keys and users are its own."""

    def __init__(
        self,
        node: str,
        clients: tuple[dict[str, Any], ...],
        log: Path,
        resources: dict[str, dict[str, Any]],
    ) -> None:
        defaults = {"grant_types": ["authorization_code", "refresh_token"]}
        options = {
            "host": "localhost",
            "clients": [{**defaults, **client} for client in clients],
            "resources": resources,
        }
        self._log = log
        with log.open("wb") as errors:
            # It ends when its standard input does, so it can't outlive us however we die.
            self._process = subprocess.Popen(
                [node, SERVER, json.dumps(options)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        self.issuer: str = json.loads(self._first_line())["issuer"]

    def _first_line(self) -> bytes:
        assert self._process.stdout is not None
        readable, _, _ = select.select([self._process.stdout], [], [], PATIENCE)
        line = self._process.stdout.readline() if readable else b""
        if not line:
            self.stop()
            pytest.fail(f"oidc-provider did not start:\n{self._log.read_text()}", pytrace=False)
        return line

    def stop(self) -> None:
        """Ends it at once; afterwards its port refuses connections."""
        self._process.kill()
        self._process.communicate()

    async def sign_in(
        self, walker: Walker, url: str, *, account: str, stop_at: str | None = None
    ) -> HTTPResponse:
        """Signs ``account`` in and consents; answers where the browser arrives."""
        return await self._answer_forms(walker, url, stop_at, login=account, go="yes")

    async def decline(
        self, walker: Walker, url: str, *, stop_at: str | None = None
    ) -> HTTPResponse:
        """Presses Cancel on the provider's first page; answers where the browser arrives."""
        return await self._answer_forms(walker, url, stop_at, cancel="yes")

    async def sign_out(
        self, walker: Walker, url: str | None = None, *, stop_at: str | None = None
    ) -> HTTPResponse:
        """Signs this browser out at the provider; answers where it arrives."""
        url = url or f"{self.issuer}/session/end"
        return await self._answer_forms(walker, url, stop_at, logout="yes")

    async def _answer_forms(
        self, walker: Walker, url: str, stop_at: str | None, **fields: str
    ) -> HTTPResponse:
        page = await walker.get(url, stop_at=stop_at)
        while page.code == 200 and page.effective_url.startswith(self.issuer) and read_form(page):
            page = await walker.submit(page, stop_at=stop_at, **fields)
        return page

    async def deliveries(self, client: AsyncHTTPClient) -> list[dict[str, Any]]:
        """The logout calls made so far, oldest first."""
        deliveries: list[dict[str, Any]] = json.loads(
            (await client.fetch(f"{self.issuer}/deliveries")).body
        )
        return deliveries


StartProvider = Callable[..., CertifiedProvider]


@pytest.fixture
def start_oidc_provider(tmp_path: Path) -> Iterator[StartProvider]:
    """Call it with the clients' metadata; the provider that it answers ends with the test."""
    need("oidc-provider")
    node = need("node")
    started: list[CertifiedProvider] = []

    def start(
        *clients: dict[str, Any], resources: dict[str, dict[str, Any]] | None = None
    ) -> CertifiedProvider:
        log = tmp_path / f"oidc-provider-{len(started)}.log"
        started.append(CertifiedProvider(node, clients, log, resources or {}))
        return started[-1]

    yield start
    for provider in started:
        provider.stop()
