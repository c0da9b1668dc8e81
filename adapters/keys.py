"""Secrets and keys as the service holds them: each has an id for the log, none prints itself."""

from __future__ import annotations

from hashlib import sha256
from hmac import compare_digest

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes, PublicKeyTypes

RSA_BITS_MIN = 2048
"""A shorter public key is taken with a warning only: the provider chooses its own."""


class BadKey(ValueError):
    """The text is no usable key. The message never holds any of it."""


class Secret:
    """A password, token or database URL. Printing, formatting or logging it shows its id only."""

    __slots__ = ("_text", "id", "sha256")

    id: str
    """First 8 hex digits of its SHA-256: for logs and the call journal."""
    sha256: bytes
    """For comparing a presented token without keeping it."""

    def __init__(self, text: str) -> None:
        """Raises `BadKey` for what no secret is: bytes that are no text, white space at an end."""
        if text != text.strip():
            raise BadKey("the secret begins or ends with white space")
        self._text = text
        try:
            self.sha256 = sha256(text.encode()).digest()
        except UnicodeEncodeError:  # bytes of the environment that are no UTF-8
            raise BadKey("the secret is not UTF-8 text") from None
        self.id = self.sha256.hex()[:8]

    def reveal(self) -> str:
        """The secret itself: for the call that needs it, never to be kept or logged."""
        return self._text

    def reveal_bytes(self) -> bytes:
        """The secret in UTF-8, as HMAC keys are."""
        return self._text.encode()

    def __repr__(self) -> str:
        return f"Secret(id={self.id!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and compare_digest(self.sha256, other.sha256)

    def __hash__(self) -> int:
        return hash(self.sha256)

    def __reduce__(self) -> str | tuple[object, ...]:
        raise TypeError("a secret is not to be pickled")


class PublicKey:
    """An RSA key that verifies."""

    __slots__ = ("id", "key")

    id: str
    """First 8 hex digits of the SHA-256 of its DER form."""
    key: RSAPublicKey

    def __init__(self, pem: str) -> None:
        """``pem`` is a PEM public key. Raises `BadKey`."""
        key = _public(pem)
        if not isinstance(key, RSAPublicKey):
            raise BadKey("expected an RSA public key, got another kind")
        self.key = key
        self.id = _key_id(key)

    def __repr__(self) -> str:
        return f"PublicKey(id={self.id!r})"


class SigningKey:
    """An RSA key that signs. It cannot be printed or exported through this class."""

    __slots__ = ("id", "key")

    id: str
    """The id of its public half."""
    key: RSAPrivateKey

    def __init__(self, pem: str) -> None:
        """``pem`` is an unencrypted PEM private key. Raises `BadKey`."""
        key = _private(pem)
        if not isinstance(key, RSAPrivateKey):
            raise BadKey("expected an RSA private key, got another kind")
        self.key = key
        self.id = _key_id(key.public_key())

    def __repr__(self) -> str:
        return f"SigningKey(id={self.id!r})"


class SealVerifier:
    """An Ed25519 key that verifies seals."""

    __slots__ = ("_key", "id")

    id: str
    """As `PublicKey.id`."""

    def __init__(self, pem: str) -> None:
        """``pem`` is a PEM public key. Raises `BadKey`."""
        key = _public(pem)
        if not isinstance(key, Ed25519PublicKey):
            raise BadKey("expected an Ed25519 public key, got another kind")
        self._key = key
        self.id = _key_id(key)

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether it is the signature of this message."""
        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def __repr__(self) -> str:
        return f"SealVerifier(id={self.id!r})"


class SealSigner:
    """An Ed25519 key that signs seals. It cannot be printed or exported through this class."""

    __slots__ = ("_key", "id", "verifier")

    id: str
    """The id of its public half."""
    verifier: SealVerifier
    """Its public half."""

    def __init__(self, pem: str) -> None:
        """``pem`` is an unencrypted PEM private key. Raises `BadKey`."""
        key = _private(pem)
        if not isinstance(key, Ed25519PrivateKey):
            raise BadKey("expected an Ed25519 private key, got another kind")
        self._key = key
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.verifier = SealVerifier(public.decode())
        self.id = self.verifier.id

    def sign(self, message: bytes) -> bytes:
        """The signature of a message."""
        return self._key.sign(message)

    def __repr__(self) -> str:
        return f"SealSigner(id={self.id!r})"


def _public(pem: str) -> PublicKeyTypes:
    try:
        return serialization.load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise BadKey("expected a PEM public key") from None


def _private(pem: str) -> PrivateKeyTypes:
    try:
        return serialization.load_pem_private_key(pem.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise BadKey("expected a PEM private key without a passphrase") from None


def _key_id(key: PublicKeyTypes) -> str:
    der = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return sha256(der).hexdigest()[:8]
