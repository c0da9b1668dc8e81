"""The signatures of the protocols: each over the raw bytes and compared in constant time.

Several secrets or keys are a rotation: any of them verifies, and the id of the one that did is the
answer. A signature that is missing or cannot be read is refused like a wrong one.
"""

from __future__ import annotations

import hmac
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from hashlib import md5, sha1

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256

from adapters.keys import PublicKey, Secret, SigningKey
from adapters.providers.protocol import RefusedCall
from ledger.refusals import Refusal


def hmac_sha256(secret: Secret, message: bytes) -> bytes:
    """Lower-case hex HMAC-SHA256 (betbrothers, fizzybubbly)."""
    return hmac.digest(secret.reveal_bytes(), message, "sha256").hex().encode()


def sha1_suffixed(secret: Secret, message: bytes) -> bytes:
    """Upper-case hex SHA-1 of the message with the secret behind it (gpas)."""
    digest = sha1(message + secret.reveal_bytes(), usedforsecurity=False)
    return digest.hexdigest().upper().encode()


def string_to_sign(method: str, uri: str, body: bytes) -> bytes:
    """What Fizzy Bubbly signs: method, absolute URI, the body's upper-case hex MD5; one a line."""
    digest = md5(body, usedforsecurity=False).hexdigest().upper()
    return f"{method}\n{uri}\n{digest}".encode()


def verify_hex(secrets: Sequence[Secret], presented: str | None, message: bytes) -> str:
    """Id of the secret whose `hmac_sha256` was presented, in any case. Raises `RefusedCall`."""
    return verify_with(secrets, hmac_sha256, _bytes(presented).lower(), message)


def verify_sha1(secrets: Sequence[Secret], presented: str | None, message: bytes) -> str:
    """Id of the secret whose `sha1_suffixed` was presented, in capitals. Raises `RefusedCall`."""
    return verify_with(secrets, sha1_suffixed, _bytes(presented), message)


def verify_with(
    secrets: Sequence[Secret],
    sign: Callable[[Secret, bytes], bytes],
    presented: bytes,
    message: bytes,
) -> str:
    """Id of the secret with which ``sign`` makes what was presented, in constant time.

    Raises `RefusedCall`.
    """
    for secret in secrets:
        if hmac.compare_digest(sign(secret, message), presented):
            return secret.id
    raise RefusedCall(Refusal.INVALID_SIGNATURE, "signature missing or wrong")


def verify_rsa(keys: Sequence[PublicKey], presented: str | None, message: bytes) -> str:
    """Id of the key that verifies the base64 RSA-SHA256 (PKCS#1 v1.5) signature.

    Raises `RefusedCall`.
    """
    text = _bytes(presented)
    try:
        signature = b64decode(text, validate=True)
    except ValueError:
        signature = b""
    if b64encode(signature) != text:  # the last character has bits to spare
        signature = b""
    for key in keys:
        try:
            key.key.verify(signature, message, PKCS1v15(), SHA256())
        except InvalidSignature:
            continue
        return key.id
    raise RefusedCall(Refusal.INVALID_SIGNATURE, "signature missing or wrong")


def sign_rsa(key: SigningKey, message: bytes) -> str:
    """Base64 RSA-SHA256 (PKCS#1 v1.5) signature."""
    return b64encode(key.key.sign(message, PKCS1v15(), SHA256())).decode()


def same_text(expected: str, presented: str | None) -> bool:
    """Whether the text presented is the expected one, in constant time."""
    return hmac.compare_digest(expected.encode(), _bytes(presented))


def _bytes(header: str | None) -> bytes:
    """A header's value, whatever bytes it came in."""
    return (header or "").encode(errors="replace")
