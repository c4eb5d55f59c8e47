"""What was agreed with a provider about encrypted tokens.

LAW: settings in, an agreement or ConfigurationError out; nothing is opened that was not agreed.
Source: OpenID Connect Dynamic Client Registration 1.0, section 2 (the options' names);
OpenID Connect Core 1.0, section 10.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from clefstorm.errors import ConfigurationError
from clefstorm.jwe import ALGORITHMS, ENCRYPTIONS, DecryptionKey
from clefstorm.protocol.encrypted_token import decrypt_token

DEFAULT_ENC = "A128CBC-HS256"
"""What a registration means that names an alg and no enc."""


@dataclass(frozen=True, slots=True)
class AgreedEncryption:
    """Tokens of one kind come encrypted so, to one of these keys."""

    alg: str
    enc: str
    keys: tuple[DecryptionKey, ...]

    def open(self, token: str) -> str:
        """Return the signed token inside; raises ProtocolViolation as ``decrypt_token`` does."""
        return decrypt_token(token, self.keys, alg=self.alg, enc=self.enc)


def read_decryption_keys(
    keys: DecryptionKey | Sequence[DecryptionKey] | None,
) -> tuple[DecryptionKey, ...]:
    """Return the configured keys; raises ConfigurationError for anything else."""
    if keys is None:
        return ()
    held = tuple(keys) if isinstance(keys, Sequence) else (keys,)
    if not all(isinstance(key, DecryptionKey) for key in held):
        raise ConfigurationError(
            "decryption_key is a DecryptionKey of clefstorm.jwe, or a list of them",
            code="decryption_key_invalid",
        )
    return held


def agreed_encryption(
    kind: str, *, alg: str | None, enc: str | None, keys: tuple[DecryptionKey, ...]
) -> AgreedEncryption | None:
    """Return the agreement about tokens of a kind, None when they aren't encrypted.

    ``kind`` begins the options' names: id_token or userinfo. Raises ConfigurationError:
    ``alg_unknown``, ``enc_unknown``, ``enc_without_alg``, ``decryption_key_missing``.
    """
    if alg is None:
        if enc is not None:
            raise ConfigurationError(
                f"{kind}_encrypted_response_enc goes with {kind}_encrypted_response_alg",
                code="enc_without_alg",
            )
        return None
    for name, value, ours in (("alg", alg, ALGORITHMS), ("enc", enc, (None, *ENCRYPTIONS))):
        if value not in ours:
            raise ConfigurationError(
                f"this {kind}_encrypted_response_{name} is not one of ours",
                code=f"{name}_unknown",
                expected=", ".join(filter(None, ours)),
                got=value,
            )
    fitting = tuple(key for key in keys if key.alg == alg)
    if not fitting:
        raise ConfigurationError(
            f"{kind}_encrypted_response_alg needs a decryption_key with this alg",
            code="decryption_key_missing",
            expected=alg,
            got=", ".join(key.alg for key in keys) or "none",
        )
    return AgreedEncryption(alg, enc or DEFAULT_ENC, fitting)
