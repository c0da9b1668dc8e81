"""The four signatures, checked against published values and those of other tools."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from adapters.keys import PublicKey, Secret, SigningKey
from adapters.providers.protocol import RefusedCall
from adapters.providers.signatures import (
    hmac_sha256,
    same_text,
    sha1_suffixed,
    sign_rsa,
    string_to_sign,
    verify_hex,
    verify_rsa,
    verify_sha1,
)
from ledger.refusals import Refusal

OLD, NEW = Secret("old"), Secret("new")
GPAS = Secret("Ax34deSfgdB")
GPAS_BODY = (
    b'{"externalReference":"agt-n1572n6e5e5w2mw13l867azo4b381t27","value":"200",'
    b'"description":"Credit game move for customer id 6df5sd made by gpas",'
    b'"typeCode":"GAME_CREDIT","tags":{"gpasSessionId":'
    b'"gpas-bfd9516b-c51f-4bd5-ab83-8899100dc636","gameid":"agt-13"}}'
)
UNREADABLE = [None, "", "x", "zz" * 32, "\udcff\udc80", "\ud800", "\u00e9" * 64, "\x00", "=" * 344]
"""Header values that are no signature at all."""


def refused(verify: Callable[[], str]) -> None:
    """Whatever is wrong with a signature, the call is refused in the same way."""
    with pytest.raises(RefusedCall) as caught:
        verify()
    assert caught.value.refused.refusal is Refusal.INVALID_SIGNATURE


def rsa_pair() -> tuple[SigningKey, PublicKey]:
    """A fresh key pair, as the configuration would give it."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return SigningKey(private.decode()), PublicKey(public.decode())


@pytest.fixture(scope="module")
def pairs() -> list[tuple[SigningKey, PublicKey]]:
    """Two key pairs: making one takes a moment."""
    return [rsa_pair(), rsa_pair()]


def test_hmac_sha256_is_the_one_of_rfc_4231() -> None:
    """Test case 2 of RFC 4231: the same function as everybody else's."""
    expected = b"5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    assert hmac_sha256(Secret("Jefe"), b"what do ya want for nothing?") == expected


@pytest.mark.parametrize("change", [str.lower, str.upper, str.title])
def test_a_hex_signature_verifies_in_any_case(change: Callable[[str], str]) -> None:
    """The vendor's page does not say in which case it writes hex."""
    signature = change(hmac_sha256(OLD, b"body").decode())
    assert verify_hex([OLD], signature, b"body") == OLD.id


@pytest.mark.parametrize(
    ("message", "signature"),
    [
        (GPAS_BODY, "ADC0C7E5A925645EED839485C12F0DFDFEEA257F"),
        (
            b"walletSessionId=3fa85f64-5717-4562-b3fc-2c963f66afa6",
            "52D7382EB6D253CECBD0414AE0CF5B673C9D2D0C",
        ),
        (b"id=3fa85f64-5717-4562-b3fc-2c963f66afa6", "097C11EEE445BB16C4FBC5197E1E4492BD47AB0F"),
    ],
)
def test_gpas_signatures_are_the_vendors_own_examples(message: bytes, signature: str) -> None:
    """The vendor publishes these; the body's example has the value as a string."""
    assert verify_sha1([GPAS], signature, message) == GPAS.id
    refused(lambda: verify_sha1([GPAS], signature.lower(), message))
    refused(lambda: verify_sha1([GPAS], signature, message + b" "))


def test_fizzy_bubbly_signs_method_url_and_body_in_three_lines() -> None:
    """The order, the line feeds and the capital MD5 all matter; the MD5 is md5sum's."""
    to_sign = string_to_sign("POST", "https://wallet.example/fb/wallet/balance", b'{"a":1}')
    assert to_sign == (
        b"POST\nhttps://wallet.example/fb/wallet/balance\nBB6CB5C68DF4652941CAF652A366F2D8"
    )


@pytest.mark.parametrize("presented", UNREADABLE)
def test_what_is_no_signature_is_refused_like_a_wrong_one(presented: str | None) -> None:
    """Bytes from the outside must never become an error of ours."""
    refused(lambda: verify_hex([OLD, NEW], presented, b"body"))
    refused(lambda: verify_sha1([OLD, NEW], presented, b"body"))
    assert not same_text("expected", presented)


@pytest.mark.parametrize("presented", UNREADABLE)
def test_what_is_no_rsa_signature_is_refused_like_a_wrong_one(
    presented: str | None, pairs: list[tuple[SigningKey, PublicKey]]
) -> None:
    """Base64 with blanks, line ends or foreign letters is no signature either."""
    refused(lambda: verify_rsa([pairs[0][1]], presented, b"body"))


def test_during_a_rotation_either_secret_verifies_and_is_named() -> None:
    """The operator must see when the provider stops using the old one."""
    for secret in (OLD, NEW):
        presented = hmac_sha256(secret, b"body").decode()
        assert verify_hex([OLD, NEW], presented, b"body") == secret.id
        presented = sha1_suffixed(secret, b"body").decode()
        assert verify_sha1([OLD, NEW], presented, b"body") == secret.id
    refused(lambda: verify_hex([NEW], hmac_sha256(OLD, b"body").decode(), b"body"))


def test_during_a_rotation_either_rsa_key_verifies_and_is_named(
    pairs: list[tuple[SigningKey, PublicKey]],
) -> None:
    """As with secrets; and a key that was taken out verifies nothing any more."""
    publics = [public for _, public in pairs]
    for signer, public in pairs:
        signature = sign_rsa(signer, b"body")
        assert verify_rsa(publics, signature, b"body") == public.id == signer.id
        refused(lambda signature=signature: verify_rsa(publics, signature, b"body "))  # type: ignore[misc]
    refused(lambda: verify_rsa(publics[1:], sign_rsa(pairs[0][0], b"body"), b"body"))


@pytest.mark.parametrize(
    "change",
    [
        lambda s: s + "\n",
        lambda s: " " + s,
        lambda s: s[:-2],
        lambda s: s[:-3] + chr(ord(s[-3]) + 1) + s[-2:],  # in bits that nothing is made of
    ],
)
def test_base64_must_be_exact(
    change: Callable[[str], str], pairs: list[tuple[SigningKey, PublicKey]]
) -> None:
    """One signature has one form: a lax decoder would let many texts pass for it."""
    signer, public = pairs[0]
    refused(lambda: verify_rsa([public], change(sign_rsa(signer, b"body")), b"body"))


def test_a_flipped_bit_of_an_rsa_signature_is_seen(
    pairs: list[tuple[SigningKey, PublicKey]],
) -> None:
    """A signature that is nearly right is wrong."""
    signer, public = pairs[0]
    good = b64decode(sign_rsa(signer, b"body"))
    for bit in range(0, len(good) * 8, 97):
        flipped = bytearray(good)
        flipped[bit // 8] ^= 1 << bit % 8
        presented = b64encode(flipped).decode()
        refused(lambda presented=presented: verify_rsa([public], presented, b"body"))  # type: ignore[misc]


def test_a_public_text_is_compared_whole() -> None:
    """A prefix of an API key is no API key."""
    assert same_text("BL13GT", "BL13GT")
    for other in ("BL13G", "bl13gt", "BL13GT ", "", None):
        assert not same_text("BL13GT", other)
