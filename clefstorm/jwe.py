"""JSON Web Encryption: keys of ours to which a provider encrypts, and what they open.

    DecryptionKey(private_key, alg=…)   opens what was encrypted to it
    generate_decryption_key(alg)        a new one
    encrypt_jwe(text, jwk, …)           for the other end: the provider of clefstorm.testing

LAW: joserfc does the work and is imported when the first key is made, for it is an extra. A key
serves one algorithm; why something can't be opened is never said; nothing is inflated. Whether
a header may be believed is decided in protocol/encrypted_token.
Source: RFC 7516; RFC 7518, 4 and 5; RFC 8725, 3.2 and 3.6.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from clefstorm.errors import ConfigurationError, ProtocolViolation

if TYPE_CHECKING:
    from joserfc.jwk import ECKey, RSAKey

ECDH = ("ECDH-ES", "ECDH-ES+A128KW", "ECDH-ES+A256KW")
"""Key agreement, with a key on one of CURVES."""

ALGORITHMS = ("RSA-OAEP-256", *ECDH)
"""The key management algorithms that we take. Not RSA1_5, whose padding tells; not SHA-1; and
none by a shared secret, which the provider has on its disk as we do."""

ENCRYPTIONS = (
    *("A128CBC-HS256", "A192CBC-HS384", "A256CBC-HS512"),
    *("A128GCM", "A192GCM", "A256GCM"),
)
"""The content encryption algorithms: all of RFC 7518, each authenticated."""

CURVES = ("P-256", "P-384", "P-521")

_RSA_BITS = range(2048, 4096 + 1)
_PUBLIC_MEMBERS = ("kty", "n", "e", "crv", "x", "y")


class DecryptionKey:
    """A private key (PEM, text or bytes, unencrypted) that opens what was encrypted to it.

    ``alg`` is one of ALGORITHMS, ``kid`` its key id or None. Raises ConfigurationError:
    ``alg_unknown``, ``key_invalid`` for a key that doesn't fit the algorithm (RSA has 2048 to 4096
    bits), and ``extra_missing`` without joserfc.
    """

    def __init__(self, private_key: str | bytes, *, alg: str, kid: str | None = None) -> None:
        if alg not in ALGORITHMS:
            raise ConfigurationError(
                "no algorithm for encryption that we take",
                code="alg_unknown",
                expected=", ".join(ALGORITHMS),
                got=alg,
            )
        self.alg = alg
        self.kid = kid
        self._key = _load(private_key, alg)

    def __repr__(self) -> str:
        return f"DecryptionKey(alg={self.alg!r}, kid={self.kid!r})"

    def to_jwk(self) -> dict[str, Any]:
        """Return the public JWK with use, alg and kid: what the provider needs to encrypt."""
        whole = self._key.as_dict(private=False)
        jwk = {name: whole[name] for name in _PUBLIC_MEMBERS if name in whole}
        jwk |= {"use": "enc", "alg": self.alg}
        return jwk if self.kid is None else jwk | {"kid": self.kid}

    def to_pem(self) -> bytes:
        """Return the private key as PKCS #8 PEM, unencrypted: for a file that only we can read."""
        return self._key.as_pem(private=True)

    def decrypt(self, token: str, *, enc: str) -> bytes:
        """Return what is inside a compact JWE whose header was judged.

        Raises ProtocolViolation (``jwe_undecryptable``), which doesn't say why: whoever could
        tell one failure from another could learn the content by trying (RFC 7516, 11.5).
        """
        from joserfc import jwe

        # A header may carry what we don't use; what it must not carry was refused before.
        registry = jwe.JWERegistry(algorithms=[self.alg, enc], strict_check_header=False)
        try:
            content = jwe.decrypt_compact(token, self._key, registry=registry).plaintext
        except Exception:
            content = None
        if content is None:
            raise ProtocolViolation("the token is not encrypted to us", code="jwe_undecryptable")
        return content


def _load(private_key: str | bytes, alg: str) -> ECKey | RSAKey:
    jwk = _joserfc_jwk()
    key: ECKey | RSAKey
    wanted = "an EC key on " + ", ".join(CURVES) if alg in ECDH else "an RSA key"
    try:
        raw = private_key.encode("ascii") if isinstance(private_key, str) else private_key
        if not raw.lstrip().startswith(b"-----BEGIN "):
            raise ValueError("no PEM")
        key = jwk.ECKey.import_key(raw) if alg in ECDH else jwk.RSAKey.import_key(raw)
        numbers = key.as_dict(private=False)
    except Exception:
        # Not chained: the parser's words may quote what it read.
        numbers = {}
    fits = (
        numbers.get("crv") in CURVES
        if alg in ECDH
        else "n" in numbers and key.raw_value.key_size in _RSA_BITS
    )
    if not fits or not key.is_private:
        raise ConfigurationError(
            f"{alg} needs {wanted}, 2048 to 4096 bits for RSA: private, PEM, unencrypted",
            code="key_invalid",
        )
    return key


def _joserfc_jwk() -> Any:
    try:
        from joserfc import jwk
    except ImportError:
        raise ConfigurationError(
            "encrypted tokens need joserfc: pip install 'clefstorm[jwe]'",
            code="extra_missing",
            extra="jwe",
        ) from None
    return jwk


def generate_decryption_key(alg: str, *, kid: str | None = None) -> DecryptionKey:
    """Make a new key, of 2048 bits for RSA, on P-256 for ECDH-ES.

    Raises ConfigurationError as DecryptionKey does.
    """
    jwk = _joserfc_jwk()
    key = jwk.ECKey.generate_key("P-256") if alg in ECDH else jwk.RSAKey.generate_key(2048)
    return DecryptionKey(key.as_pem(private=True), alg=alg, kid=kid)


def encrypt_jwe(content: str, jwk: Mapping[str, Any], *, alg: str, enc: str) -> str:
    """Encrypt a signed token to a client's public JWK, as a nested JWT (RFC 7519, 5.2).

    Raises ConfigurationError (``key_invalid``) when that can't be.
    """
    joserfc_jwk = _joserfc_jwk()
    from joserfc import jwe

    header = {"alg": alg, "enc": enc, "cty": "JWT", "kid": jwk.get("kid")}
    try:
        return jwe.encrypt_compact(
            {name: value for name, value in header.items() if value is not None},
            content,
            joserfc_jwk.import_key(dict(jwk)),
            algorithms=[alg, enc],
        )
    except Exception:
        raise ConfigurationError(
            "can't encrypt to this JWK with these algorithms", code="key_invalid", alg=alg, enc=enc
        ) from None
