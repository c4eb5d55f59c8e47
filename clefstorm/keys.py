"""Keys of ours, which sign: states, client assertions, and the tokens of the test provider.

    HS256Key(secret)                      and HS384, HS512: HMAC under a shared secret
    RS256Key(public_key, private_key)     and PS256Key, ES256Key, EdDSAKey, …: PEM
    KeyList(*keys)                        rotation: the first that signs signs, all verify
    generate_key(alg)                     a new key

LAW: a key is checked and prepared when it is made, so that a wrong one fails at start and not
at the first login; its material appears in no repr and no error. Which key may do what is
decided in clefstorm.jws, whose nouns are given here too.

Source: RFC 7518, 3; RFC 8037; RFC 8725, 3.5.
"""

from __future__ import annotations

import secrets
import warnings
from collections.abc import Iterator
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from clefstorm.errors import ConfigurationError
from clefstorm.jws import ALGORITHMS, EC_CURVES, PublicKey, algorithms_of
from clefstorm.jws import Key as Key
from clefstorm.jws import VerificationKey as VerificationKey

_PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey


class HS256Key(Key):
    """A shared secret for HMAC with SHA-256: text (taken as UTF-8) or bytes.

    Warns when it is shorter than the hash: 32 bytes for HS256 (RFC 7518, 3.2). Raises
    ConfigurationError when it is empty, and when it is a PEM or a JWK: everybody who has the
    public half could sign with it.
    """

    alg = "HS256"

    def __init__(self, secret: str | bytes, *, kid: str | None = None) -> None:
        super().__init__(kid=kid)
        try:
            self._secret = secret.encode() if isinstance(secret, str) else secret
        except UnicodeEncodeError:
            self._secret = b""
        if not isinstance(self._secret, bytes) or not self._secret or _is_of_a_pair(self._secret):
            raise ConfigurationError(
                f"{type(self).__name__} needs a secret: text or bytes, not empty, no PEM, no JWK",
                code="key_invalid",
            )
        wanted = int(self.alg[2:]) // 8
        if len(self._secret) < wanted:
            warnings.warn(
                f"{self!r}: its secret has {len(self._secret)} bytes, and {self.alg} needs "
                f"{wanted} or more (RFC 7518, section 3.2)",
                stacklevel=2,
            )

    @property
    def can_sign(self) -> bool:
        return True

    def sign(self, message: bytes) -> bytes:
        return ALGORITHMS[self.alg].sign(message, self._secret)

    def verifying_material(self) -> bytes:
        return self._secret

    def to_jwk(self) -> dict[str, Any]:
        raise ConfigurationError(f"{self!r} is a secret: it has no public half", code="key_secret")

    def to_pem(self) -> bytes:
        raise ConfigurationError(f"{self!r} is a secret: it has no PEM form", code="key_secret")


def _is_of_a_pair(secret: bytes) -> bool:
    """True for a PEM, an OpenSSH line and a JWK, public or private."""
    text = secret.strip()
    is_jwk = text.startswith(b"{") and text.endswith(b"}") and b'"kty"' in text
    return is_jwk or text.startswith((b"-----BEGIN ", b"ssh-", b"ecdsa-sha2-"))


class HS384Key(HS256Key):
    """A shared secret for HMAC with SHA-384, of 48 bytes or more."""

    alg = "HS384"


class HS512Key(HS256Key):
    """A shared secret for HMAC with SHA-512, of 64 bytes or more."""

    alg = "HS512"


class _KeyPair(Key):
    """A public key and, to sign, its private key: PEM as text or bytes.

    One of the two is enough: a private key brings its public half. Raises ConfigurationError
    when a PEM can't be read or is encrypted, when the key is of a kind or size that ``alg``
    does not permit, and when the two are no pair.
    """

    def __init__(
        self,
        public_key: str | bytes | None = None,
        private_key: str | bytes | None = None,
        *,
        kid: str | None = None,
    ) -> None:
        super().__init__(kid=kid)
        self._private: _PrivateKey | None = None
        if private_key is not None:
            self._private = self._load(private_key, private=True)
        if public_key is not None:
            self._public: PublicKey = self._load(public_key, private=False)
        elif self._private is not None:
            self._public = self._private.public_key()
        else:
            raise self._wrong("needs a public or a private key")
        if self.alg not in algorithms_of(self._public):
            raise self._wrong(f"was given a key of a kind or size that {self.alg} does not permit")
        if self._private is not None and self._private.public_key() != self._public:
            raise self._wrong("was given a public and a private key that are no pair")

    def _wrong(self, what: str) -> ConfigurationError:
        return ConfigurationError(f"{type(self).__name__} {what}", code="key_invalid")

    def _load(self, pem: str | bytes, *, private: bool) -> Any:
        half = "private" if private else "public"
        advice = "is it PEM, unencrypted?"
        try:
            raw = pem.encode("ascii") if isinstance(pem, str) else pem
            if private:
                return serialization.load_pem_private_key(raw, password=None)
            if b"PRIVATE KEY-----" in raw:
                advice = "it is a private one; give it as private_key="
            return serialization.load_pem_public_key(raw)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            # Not chained: the parser's words may quote what it read.
            raise self._wrong(f"can't read its {half} key: {advice}") from None

    @property
    def can_sign(self) -> bool:
        return self._private is not None

    def _private_key(self) -> _PrivateKey:
        if self._private is None:
            raise ConfigurationError(f"{self!r} has no private key", code="key_cannot_sign")
        return self._private

    def sign(self, message: bytes) -> bytes:
        return ALGORITHMS[self.alg].sign(message, self._private_key())

    def verifying_material(self) -> PublicKey:
        return self._public

    def to_jwk(self) -> dict[str, Any]:
        jwk: dict[str, Any] = ALGORITHMS[self.alg].to_jwk(self._public, as_dict=True)
        jwk.pop("key_ops", None)  # says the same as use, and is not to stand beside it
        jwk |= {"use": "sig", "alg": self.alg}
        return jwk if self.kid is None else jwk | {"kid": self.kid}

    def to_pem(self) -> bytes:
        return _pem(self._private_key())


def _pem(key: _PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


class RS256Key(_KeyPair):
    """RSASSA-PKCS1-v1_5 with SHA-256, 2048 bits or more."""

    alg = "RS256"


class RS384Key(_KeyPair):
    """RSASSA-PKCS1-v1_5 with SHA-384."""

    alg = "RS384"


class RS512Key(_KeyPair):
    """RSASSA-PKCS1-v1_5 with SHA-512."""

    alg = "RS512"


class PS256Key(_KeyPair):
    """RSASSA-PSS with SHA-256, 2048 bits or more."""

    alg = "PS256"


class PS384Key(_KeyPair):
    """RSASSA-PSS with SHA-384."""

    alg = "PS384"


class PS512Key(_KeyPair):
    """RSASSA-PSS with SHA-512."""

    alg = "PS512"


class ES256Key(_KeyPair):
    """ECDSA on P-256 with SHA-256."""

    alg = "ES256"


class ES384Key(_KeyPair):
    """ECDSA on P-384 with SHA-384."""

    alg = "ES384"


class ES512Key(_KeyPair):
    """ECDSA on P-521 with SHA-512."""

    alg = "ES512"


class EdDSAKey(_KeyPair):
    """Ed25519."""

    alg = "EdDSA"


class KeyList:
    """Keys in rotation, newest first: iteration gives all of them, for whoever verifies.

    ``KeyList(new, old)`` signs with ``new`` and still accepts what ``old`` signed. Raises
    ConfigurationError without a key, and for what is none.
    """

    def __init__(self, *keys: Key) -> None:
        if not keys or not all(isinstance(key, Key) for key in keys):
            raise ConfigurationError(
                "a KeyList holds keys of clefstorm.keys, one or more: KeyList(new, old)",
                code="key_invalid",
            )
        self._keys = keys

    def __repr__(self) -> str:
        return f"KeyList({', '.join(map(repr, self._keys))})"

    def __iter__(self) -> Iterator[Key]:
        return iter(self._keys)

    @property
    def signing(self) -> Key:
        """The first that can sign. Raises ConfigurationError when none can."""
        for key in self._keys:
            if key.can_sign:
                return key
        raise ConfigurationError(f"none of {self!r} can sign", code="key_cannot_sign")


KEY_CLASSES: dict[str, type[HS256Key] | type[_KeyPair]] = {
    kind.alg: kind
    for kind in (
        *(HS256Key, HS384Key, HS512Key, EdDSAKey, ES256Key, ES384Key, ES512Key),
        *(RS256Key, RS384Key, RS512Key, PS256Key, PS384Key, PS512Key),
    )
}
"""The class of each algorithm."""


def generate_key(alg: str, *, kid: str | None = None) -> Key:
    """Make a new key that signs. An RSA key, of 2048 bits, takes a tenth of a second and more.

    Raises ConfigurationError for an ``alg`` that we don't know.
    """
    if alg not in KEY_CLASSES:
        raise ConfigurationError(
            "no such algorithm", code="alg_unknown", expected=", ".join(KEY_CLASSES), got=alg
        )
    kind = KEY_CLASSES[alg]
    if issubclass(kind, HS256Key):
        return kind(secrets.token_bytes(64), kid=kid)
    private: _PrivateKey
    if alg == "EdDSA":
        private = ed25519.Ed25519PrivateKey.generate()
    elif alg.startswith("ES"):
        private = ec.generate_private_key(EC_CURVES[alg][1])
    else:
        private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return kind(private_key=_pem(private), kid=kid)
