"""Sealing of records and cookies, and the key file that a single machine lives on.

A sealed value is: version byte, key id (4 bytes), nonce (12 bytes), AES-256-GCM ciphertext with
its tag. The key of each purpose comes from a secret by HKDF-SHA256, so a value sealed for one
purpose opens for no other; the key id is a hash of that key, so a rotated list opens a value
without trying. Version, key id and context are authenticated; the context is not stored.

LAW: no secret in a repr, an error or a log; a value that does not open is SealBroken, whatever
is wrong with it. A random nonce is good for 2**32 values a key (NIST SP 800-38D, 8.3): rotate the
secret long before. Source: NIST SP 800-38D; RFC 5869.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import os
import secrets
import stat
from collections.abc import Sequence
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from clefstorm.errors import ConfigurationError, SealBroken

SHORTEST_SECRET = 32
"""Bytes that a secret has at least."""

_VERSION = b"\x01"
_NONCE = 12
_HEADER = len(_VERSION) + 4
_SHORTEST = _HEADER + _NONCE + 16


class Sealer:
    """Seals with the first of its secrets and opens with all of them, so secrets can rotate.

    Several processes rotate without a gap when the new secret first joins every list at its end,
    and only then moves to the front. Raises ConfigurationError for no secret, or one of fewer
    than 32 bytes. Safe to share between threads.
    """

    def __init__(self, secrets: Sequence[bytes]) -> None:
        given: object = secrets
        if isinstance(given, (bytes, bytearray, str)) or not secrets:
            raise ConfigurationError(
                "a Sealer is given a list of secrets, newest first", code="secrets_missing"
            )
        for secret in secrets:
            if not isinstance(secret, bytes) or len(secret) < SHORTEST_SECRET:
                raise ConfigurationError(
                    f"a secret is at least {SHORTEST_SECRET} random bytes: "
                    "python -c 'import secrets; print(secrets.token_urlsafe(32))'",
                    code="secret_too_short",
                )
        self._secrets = tuple(secrets)
        self._keys: dict[str, tuple[tuple[bytes, AESGCM], ...]] = {}
        self._derived: dict[str, tuple[bytes, ...]] = {}

    def __repr__(self) -> str:
        return f"Sealer({len(self._secrets)} secrets)"

    def seal(self, plaintext: bytes, *, purpose: str, context: str = "") -> bytes:
        """Return the sealed value: 33 bytes longer, different each time, and only for ``purpose``.

        ``context`` (whose it is, where it lies) has to be given again to open it.
        """
        header, key = (self._keys.get(purpose) or self._prepare(purpose))[0]
        nonce = os.urandom(_NONCE)
        return header + nonce + key.encrypt(nonce, plaintext, _bound(header, context))

    def open(self, sealed: bytes, *, purpose: str, context: str = "") -> bytes:
        """Return what was sealed for this purpose and context.

        Raises SealBroken: seal_truncated, seal_version_unknown, seal_key_unknown (another
        purpose, or a retired secret), seal_altered (or another context).
        """
        header = sealed[:_HEADER]
        code = "seal_key_unknown"
        if len(sealed) < _SHORTEST:
            raise SealBroken("a sealed value is too short to be one", code="seal_truncated")
        for known, key in self._keys.get(purpose) or self._prepare(purpose):
            if known == header:
                nonce, ciphertext = sealed[_HEADER : _HEADER + _NONCE], sealed[_HEADER + _NONCE :]
                try:
                    return key.decrypt(nonce, ciphertext, _bound(header, context))
                except InvalidTag:
                    # Not yet lost: two of our keys can share an id, if rarely.
                    code = "seal_altered"
        if not header.startswith(_VERSION):
            code = "seal_version_unknown"
        raise SealBroken("a sealed value does not open", code=code, purpose=purpose)

    def derive(self, purpose: str) -> bytes:
        """Return 32 bytes for this purpose from the first secret, unlike any key that seals."""
        return self.derive_all(purpose)[0]

    def derive_all(self, purpose: str) -> tuple[bytes, ...]:
        """Return 32 bytes for this purpose from each secret, newest first."""
        found = self._derived.get(purpose)
        if found is None:
            found = tuple(_expand(secret, f"derive {purpose}") for secret in self._secrets)
            self._derived[purpose] = found
        return found

    def _prepare(self, purpose: str) -> tuple[tuple[bytes, AESGCM], ...]:
        keys = [_expand(secret, f"seal {purpose}") for secret in self._secrets]
        prepared = tuple(
            (_VERSION + hashlib.sha256(key).digest()[: _HEADER - len(_VERSION)], AESGCM(key))
            for key in keys
        )
        self._keys[purpose] = prepared
        return prepared


def _expand(secret: bytes, info: str) -> bytes:
    hkdf = HKDF(algorithm=SHA256(), length=32, salt=None, info=f"clefstorm {info}".encode())
    return hkdf.derive(secret)


def _bound(header: bytes, context: str) -> bytes:
    # A context may hold text from outside, half of a surrogate pair included.
    return header + context.encode("utf-8", "surrogatepass")


def secret_file(path: Path) -> bytes:
    """Return the secret in a key file, made with 32 random bytes when there is none.

    The file is one line of base64url and readable by its owner alone. Processes that start
    together all get the same secret, and none ever reads half of one. Raises ConfigurationError
    when the file holds anything else, when others may read it, or when it can't be read or made.
    """
    try:
        try:
            return _read_secret(path)
        except FileNotFoundError:
            _make_secret(path)
            return _read_secret(path)
    except OSError as error:
        raise ConfigurationError(
            "the key file can't be read or made; give a secret, or a folder that can be written",
            code="secret_file_unusable",
            path=str(path),
            reason=error.strerror,
        ) from error


def _read_secret(path: Path) -> bytes:
    # Without O_NONBLOCK a named pipe at this path would hold us for ever.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with open(descriptor, "rb") as file:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISREG(mode):
            raise ConfigurationError(
                "the key file is not a file", code="secret_file_invalid", path=str(path)
            )
        if mode & 0o077:
            raise ConfigurationError(
                "others can read the key file: make a new one, or chmod 600 if nobody did",
                code="secret_file_readable",
                path=str(path),
                mode=oct(stat.S_IMODE(mode)),
            )
        line = file.read(1024).rstrip(b"\r\n")
    try:
        secret = base64.b64decode(line + b"=" * (-len(line) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        secret = b""
    if len(secret) < SHORTEST_SECRET:
        raise ConfigurationError(
            f"the key file does not hold {SHORTEST_SECRET} bytes in base64url; "
            "remove it for a new one (everybody signs in again)",
            code="secret_file_invalid",
            path=str(path),
        )
    return secret


def _make_secret(path: Path) -> None:
    """Write the file whole under another name, and link it: the first to link wins."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(base64.urlsafe_b64encode(os.urandom(SHORTEST_SECRET)).rstrip(b"=") + b"\n")
            file.flush()
            os.fsync(descriptor)
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        os.unlink(draft)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
