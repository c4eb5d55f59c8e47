"""What attackers make and good libraries refuse to: weak signatures and odd spellings of keys.

LAW: for the faults of the embedded provider alone; nothing here is ever used to judge anything.
Source: RFC 8017, section 8.2 (RSASSA-PKCS1-v1_5); X.690 (DER); RFC 5280, section 4.1 (public
keys); RFC 7518, section 3.4 (what an ECDSA signature is, and is not).
"""

from __future__ import annotations

import base64
import hashlib
import textwrap
from collections.abc import Mapping
from typing import Any

from clefstorm.testing.provider.faults import base64url

# A real key pair of 1024 bits, half of what RFC 7518, section 3.3, asks for.
_N = int(
    "d26cb0e141351b2559808484a8e191d609a6432e511dbf418aa1a5a5263c6962dd9020633f18f10bcda9719f732e"
    "5b87b3b4e5f464c7b30b096800084e19eb25825fa13bd1dbcb4b8ddce844c1cbeb4d3a472f690d94239ccad1d52b"
    "fc0c5dab470de8de4f3007267c177c2ffb394d6cb59ed089c84b3c253c2b400dacd8b09d",
    16,
)
_D = int(
    "58318e011b1f72fd38821108b8efb1fc0f974bd901ce81f6aa700dc9263973c22832dc203cb5eb7193054dc612b4"
    "7f50651590bbd9f1892d3b0807db734091b9285917d3e3d4d602727a5e9c7a812b46fb2594971f09641ff62485a7"
    "9388aed3fc46a31fbe18a7ba7d2204e6c89633cac3e0eb22fd4c1ed896d84125fd35f451",
    16,
)
_E = 65537
_BYTES = 128
_SHA256_PREFIX = bytes.fromhex("3031300d060960864801650304020105000420")
_RSA_ENCRYPTION = bytes.fromhex("300d06092a864886f70d0101010500")


def weak_jwk(kid: str | None) -> dict[str, Any]:
    """Return the JWK of the weak RSA key."""
    named = {} if kid is None else {"kid": kid}
    return {"kty": "RSA", "use": "sig", "alg": "RS256", "n": _uint(_N), "e": _uint(_E), **named}


def weak_signature(message: bytes) -> bytes:
    """Sign with the weak key (RS256): a good signature, by a key that nobody should take."""
    info = _SHA256_PREFIX + hashlib.sha256(message).digest()
    padded = b"\x00\x01" + b"\xff" * (_BYTES - len(info) - 3) + b"\x00" + info
    return pow(int.from_bytes(padded, "big"), _D, _N).to_bytes(_BYTES, "big")


def public_pem(jwk: Mapping[str, Any]) -> bytes:
    """Return the PEM of an RSA JWK, as ``openssl rsa -pubout`` writes it."""
    numbers = b"".join(_der_integer(_read(jwk[name])) for name in ("n", "e"))
    key = _RSA_ENCRYPTION + _der(0x03, b"\x00" + _der(0x30, numbers))
    text = base64.b64encode(_der(0x30, key)).decode()
    lines = "\n".join(textwrap.wrap(text, 64))
    return f"-----BEGIN PUBLIC KEY-----\n{lines}\n-----END PUBLIC KEY-----\n".encode()


def der_signature(signature: bytes) -> bytes:
    """Return an ECDSA signature as X.509 has it, which JOSE does not."""
    half = len(signature) // 2
    numbers = (int.from_bytes(part, "big") for part in (signature[:half], signature[half:]))
    return _der(0x30, b"".join(map(_der_integer, numbers)))


def _uint(value: int) -> str:
    return base64url(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def _read(text: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")


def _der_integer(value: int) -> bytes:
    return _der(0x02, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def _der(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    octets = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(octets)]) + octets + content
