"""Seals: what is signed, the one form of a line, and all that can be wrong with one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256

import msgspec
import pytest

from ledger.chain import GENESIS
from ledger.seals import MalformedSeal, Seal, from_line, leaf, to_line, wrong
from tests.unit.seal_fakes import OTHER, OURS, START, ledger, program

FIRST = Seal(
    partition=3,
    number=1,
    through_id=70,
    events=60,
    root=bytes(range(32)),
    previous=GENESIS,
    sealed_at=datetime(2026, 2, 3, 4, 5, 6, tzinfo=UTC),
    key_id="",
).signed(OURS)

SECOND = Seal(
    partition=3,
    number=2,
    through_id=90,
    events=10,
    root=bytes(range(32)),
    previous=FIRST.digest(),
    sealed_at=datetime(2026, 2, 3, 4, 5, 7, 8, tzinfo=UTC),
    key_id="",
).signed(OURS)

KEYS = {OURS.id: OURS}

LINE = (
    b'{"partition":3,"number":1,"through_id":70,"events":60,'
    b'"root":"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",'
    b'"previous":"0000000000000000000000000000000000000000000000000000000000000000",'
    b'"sealed_at":"2026-02-03T04:05:06.000000Z","key_id":"' + OURS.id.encode() + b'",'
    b'"signature":"' + FIRST.signature.hex().encode() + b'"}'
)


def changed(seal: Seal, **fields: object) -> Seal:
    """A seal with other fields, its signature left as it was."""
    return msgspec.structs.replace(seal, **fields)


def test_what_is_signed_can_be_written_by_anybody():
    """An auditor's own program must come to the same bytes, from the documentation alone."""
    assert FIRST.statement() == (
        b"wallet-ledger seal 1\n"
        b"partition 3\n"
        b"number 1\n"
        b"through_id 70\n"
        b"events 60\n"
        b"root 000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"
        b"previous 0000000000000000000000000000000000000000000000000000000000000000\n"
        b"sealed_at 2026-02-03T04:05:06.000000Z\n"
        b"key_id " + OURS.id.encode() + b"\n"
    )
    assert FIRST.digest() == sha256(FIRST.statement()).digest()


def test_the_digest_does_not_cover_the_signature():
    """What is noted outside stays the same, whoever signs the same words again."""
    assert changed(FIRST, signature=b"").digest() == FIRST.digest()


def test_a_time_is_told_in_utc_wherever_it_was_taken():
    """A statement must not depend on the machine that made it."""
    elsewhere = FIRST.sealed_at.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert changed(FIRST, sealed_at=elsewhere).statement() == FIRST.statement()


@pytest.mark.parametrize(
    ("notification_id", "expected"),
    [
        (1, "0000000000000001"),
        (0x0102030405060708, "0102030405060708"),
        (2**63 - 1, "7fffffffffffffff"),
        (-1, "ffffffffffffffff"),
    ],
)
def test_a_leaf_is_the_id_and_the_hash(notification_id, expected):
    """The ledger and the auditor's program must mean the same event by the same bytes."""
    digest = bytes(range(32))
    assert leaf(notification_id, digest).hex() == expected + digest.hex()
    event = program().Event(notification_id, b"player:p", 1, b"x.v1", digest + b"{}")
    assert event.leaf() == leaf(notification_id, digest)


def test_a_time_is_always_as_long():
    """Else there would be seals whose own line is refused."""
    early = changed(FIRST, sealed_at=datetime(999, 1, 2, tzinfo=UTC))
    assert b"sealed_at 0999-01-02T00:00:00.000000Z\n" in early.statement()
    assert from_line(to_line(early)) == early


def test_a_line_has_one_form():
    """Two texts for one seal would leave room to say that one of them was meant."""
    assert to_line(FIRST) == LINE
    assert from_line(LINE) == FIRST


def test_a_seal_comes_back_from_its_line():
    """Nothing of it is lost outside the database."""
    for seal in (*ledger(1).seals, changed(FIRST, signature=b"")):
        assert from_line(to_line(seal)) == seal


MALFORMED = {
    "nothing": b"",
    "no JSON": b"seal",
    "no object": b"[]",
    "half a line": LINE[:-1],
    "a line end": LINE + b"\n",
    "a byte order mark": b"\xef\xbb\xbf" + LINE,
    "two": LINE + LINE,
    "a space": LINE.replace(b":3,", b": 3,"),
    "a field more": LINE.replace(b"}", b',"more":1}'),
    "a field less": LINE.replace(b'"events":60,', b""),
    "a field twice": LINE.replace(b'"events":60,', b'"events":60,"events":60,'),
    "fields in another order": LINE.replace(
        b'"partition":3,"number":1', b'"number":1,"partition":3'
    ),
    "a number as text": LINE.replace(b":60,", b':"60",'),
    "a fraction": LINE.replace(b":60,", b":60.0,"),
    "a zero ahead": LINE.replace(b":60,", b":060,"),
    "a number as long as a line": LINE.replace(b":60,", b":" + b"9" * 5000 + b","),
    "true": LINE.replace(b'"number":1,', b'"number":true,'),
    "null": LINE.replace(b":60,", b":null,"),
    "deeply nested": LINE.replace(b":60,", b":" + b"[" * 100_000),
    "hex in capitals": LINE.replace(b"0a0b0c", b"0A0B0C"),
    "hex with spaces": LINE.replace(b"0a0b0c", b"0a 0b 0c"),
    "no hex": LINE.replace(b"0a0b0c", b"0x0b0c"),
    "half a byte": LINE.replace(b"0a0b0c", b"0a0b0"),
    "a root too short": LINE.replace(b"0a0b0c", b"0a0b"),
    "a root too long": LINE.replace(b"0a0b0c", b"0a0b0c0c"),
    "a previous too short": LINE.replace(b'"previous":"00', b'"previous":"'),
    "a signature of half a byte": LINE.replace(b'"}', b'0"}'),
    "no time": LINE.replace(b"2026-02-03T04:05:06.000000Z", b"now"),
    "a time that never was": LINE.replace(b"2026-02-03", b"2026-02-30"),
    "a time of another zone": LINE.replace(b".000000Z", b".000000+00:00"),
    "a time of no zone": LINE.replace(b".000000Z", b".000000"),
    "a time before all": LINE.replace(b"2026-02-03T04:05:06.000000Z", b"0001-01-01T00:00:00+01:00"),
    "a time of the year 999, not in full": LINE.replace(b"2026-", b"999-"),
    "no number": LINE.replace(b'"number":1', b'"number":0'),
    "a number below all": LINE.replace(b'"number":1', b'"number":-7'),
    "no events": LINE.replace(b'"events":%d' % FIRST.events, b'"events":0'),
    "an id that no database has": LINE.replace(
        b'"through_id":%d' % FIRST.through_id, b'"through_id":9223372036854775808'
    ),
    "a partition that no ledger has": LINE.replace(
        b'"partition":%d' % FIRST.partition, b'"partition":100'
    ),
    "a partition below all": LINE.replace(b'"partition":%d' % FIRST.partition, b'"partition":-1'),
    "a key id that is none": LINE.replace(OURS.id.encode(), b"ABCD0123"),
    "a key id with a line end": LINE.replace(OURS.id.encode(), OURS.id.encode() + b"\\n"),
    "milliseconds": LINE.replace(b".000000Z", b".000Z"),
    "a key id that is no UTF-8": LINE.replace(OURS.id.encode(), b"\xff"),
    "a key id with half a character": LINE.replace(OURS.id.encode(), b"\\ud800"),
    "a key id with an escape too many": LINE.replace(b'"key_id":"', b'"key_id":"\\u0061'),
}


@pytest.mark.parametrize("line", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_line_in_any_other_form_is_no_seal(line):
    """Whatever stands in the database or in a kept file is refused, never an unexpected error."""
    assert line != LINE
    with pytest.raises(MalformedSeal):
        from_line(line)


def test_a_seal_behind_the_one_before_it_is_right():
    """Otherwise none of the findings below would mean anything."""
    assert wrong(FIRST, None, KEYS) is None
    assert wrong(SECOND, FIRST, KEYS) is None
    seals = ledger(2).seals
    assert [wrong(*pair, KEYS) for pair in zip(seals, (None, *seals[:-1]), strict=True)] == [
        None
    ] * len(seals)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"number": 1}, "it follows seal 1"),
        ({"number": 3}, "it follows seal 1"),
        ({"previous": GENESIS}, "it was made behind another seal than the one before it"),
        ({"partition": 4}, "it is one of partition 4"),
        ({"through_id": 70}, "it covers nothing"),
        ({"through_id": 69}, "it covers nothing"),
        ({"events": 0}, "it covers nothing"),
        (
            {"sealed_at": FIRST.sealed_at - timedelta(microseconds=1)},
            "it is older than the one before it",
        ),
    ],
)
def test_a_seal_that_does_not_fit_behind_the_one_before_it_is_told(fields, told):
    """Whoever holds the key can sign anything: the chain of the seals must hold by itself."""
    assert wrong(changed(SECOND, **fields).signed(OURS), FIRST, KEYS) == told


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"number": 2}, "those before it are missing"),
        ({"number": 0}, "those before it are missing"),
        ({"previous": SECOND.digest()}, "it was made behind another seal than the one before it"),
        ({"through_id": 0}, "it covers nothing"),
    ],
)
def test_a_first_seal_that_is_none_is_told(fields, told):
    """A log that begins with its second seal has lost its beginning."""
    assert wrong(changed(FIRST, **fields).signed(OURS), None, KEYS) == told


def test_a_seal_of_the_same_moment_is_right():
    """Two may be made within a microsecond, or by a clock that stands still."""
    assert wrong(changed(SECOND, sealed_at=FIRST.sealed_at).signed(OURS), FIRST, KEYS) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"through_id": 91},
        {"events": 11},
        {"root": GENESIS},
        {"sealed_at": START + timedelta(days=100)},
        {"signature": FIRST.signature},
        {"signature": b""},
        {"signature": SECOND.signature + b"\x00"},
    ],
)
def test_the_signature_covers_every_field(fields):
    """What is not signed can be changed by whoever can write to the table."""
    assert wrong(changed(SECOND, **fields), FIRST, KEYS) == "its signature is wrong"


def test_the_signature_covers_the_partition():
    """A seal of another partition would say of this one what never was."""
    assert wrong(changed(FIRST, partition=4), None, KEYS) == "its signature is wrong"


def test_a_seal_of_a_key_that_is_not_known_is_told():
    """A forger has a key, too; nor may he call it ours."""
    theirs = SECOND.signed(OTHER)
    assert wrong(theirs, FIRST, KEYS) == f"it is signed with the key {OTHER.id}, which is not known"
    assert wrong(changed(theirs, key_id=OURS.id), FIRST, KEYS) == "its signature is wrong"
    assert wrong(theirs, FIRST, KEYS | {OTHER.id: OTHER}) is None
