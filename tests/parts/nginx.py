"""nginx in front of an application: it ends TLS and cuts a prefix off the path.

    async def test_behind_nginx(nginx, http_port):
        site = nginx.site(http_port)        # https://127.0.0.1:…/at/34567, no slash at its end
        …                                   # the application sees /auth/login, with xheaders

One process serves all tests of a process: which port a request goes on to stands in its path.
``ca_certs`` is the file of the CA that vouches for it.
"""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme
from parts.needs import need
from tornado.testing import bind_unused_port

PATIENCE = 20.0
"""Seconds until it must listen; it takes a few hundredths."""
TRIES = 5

CONFIGURATION = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 512; }}
http {{
    access_log off;
    large_client_header_buffers 4 64k;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    map $request_uri $upstream {{ "~^/at/([0-9]+)/" 127.0.0.1:$1; }}
    map $request_uri $path_and_query {{ "~^/at/[0-9]+(/.*)$" $1; }}
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {folder}/certificate.pem;
        ssl_certificate_key {folder}/key.pem;
        location / {{
            proxy_pass http://$upstream$path_and_query;
            proxy_http_version 1.1;
            proxy_buffering off;
            proxy_set_header Host $http_host;
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-Proto $scheme;
        }}
    }}
}}
"""


class Nginx:
    """One running nginx on a port of 127.0.0.1."""

    def __init__(self, program: str, folder: Path) -> None:
        self._folder = folder
        authority = trustme.CA()
        certificate = authority.issue_cert("127.0.0.1")
        self.ca_certs = str(folder / "ca.pem")
        authority.cert_pem.write_to_path(self.ca_certs)
        certificate.private_key_pem.write_to_path(str(folder / "key.pem"))
        chain = folder / "certificate.pem"
        for pem in certificate.cert_chain_pems:
            pem.write_to_path(str(chain), append=True)
        for _ in range(TRIES):
            sock, self.port = bind_unused_port()
            sock.close()
            if self._start(program):
                return
        pytest.fail(f"nginx did not start:\n{self._errors()}", pytrace=False)

    def site(self, port: int) -> str:
        """The address from outside of the application on this port of 127.0.0.1."""
        return f"https://127.0.0.1:{self.port}/at/{port}"

    def _start(self, program: str) -> bool:
        settings = self._folder / "nginx.conf"
        settings.write_text(CONFIGURATION.format(folder=self._folder, port=self.port))
        # It ends when the shell's standard input does, so it can't outlive us however we die.
        script = '"$0" -p "$1" -c "$2" -e "$1/error.log" & cat; kill $!'
        self._process = subprocess.Popen(
            ["sh", "-c", script, program, self._folder, settings],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        give_up = time.monotonic() + PATIENCE
        while time.monotonic() < give_up:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return True
            if "emerg" in self._errors():
                break
            time.sleep(0.01)
        self.stop()
        return False

    def _errors(self) -> str:
        log = self._folder / "error.log"
        return log.read_text() if log.exists() else ""

    def stop(self) -> None:
        """Ends it; afterwards its port refuses connections."""
        self._process.communicate()


@pytest.fixture(scope="session")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nginx]:
    server = Nginx(need("nginx"), tmp_path_factory.mktemp("nginx"))
    yield server
    server.stop()
