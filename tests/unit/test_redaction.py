"""What the call journal keeps of a call: as much as it can, and no session token."""

from __future__ import annotations

import json
from hashlib import sha256

import pytest

from adapters.providers.redaction import UNVERIFIED_MAX, Redactor

TOKEN = "00canary"
REDACTOR = Redactor(("session_token", "id"))


def withheld(body: bytes) -> bytes:
    """What stands for a body that may hide a token."""
    return b"[withheld, sha256 " + sha256(body).hexdigest().encode() + b"]"


@pytest.mark.parametrize("name", ["id", "ID", "Session_Token", "%69D", "SESSION%5fTOKEN"])
def test_a_token_in_the_query_is_found_under_its_name_in_any_case(name):
    """A provider's mistake, signed and refused; the token in it is good all the same."""
    kept = REDACTOR.query(f"{name}={TOKEN}&other=1")
    assert TOKEN not in kept
    assert kept.endswith("=%5Bredacted%5D&other=1")


def test_a_query_without_a_token_is_kept_as_it_is():
    """It is evidence."""
    assert REDACTOR.query("identity=1&b=%7e") == "identity=1&b=%7e"


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (b'{"Session_Token": "00canary", "a": 1}', b'{"Session_Token": "[redacted]", "a": 1}'),
        (b'{"SESSION_TOKEN":"00canary"', b'{"SESSION_TOKEN":"[redacted]"'),
        (b'{"Session_Token": "00can\\"ary"}', b'{"Session_Token": "[redacted]"}'),
        (b'{"a":1,"session_token":{"is":"00canary"}}', b'{"a":1,"session_token":"[redacted]"'),
        (b'{"session_token": ["x", "00canary"]}', b'{"session_token": "[redacted]"'),
    ],
)
def test_a_token_in_a_malformed_body_is_blotted_out_under_its_name_in_any_case(body, kept):
    """The rest of it shows what was wrong."""
    assert REDACTOR.body(body, verified=True, malformed=True) == kept


@pytest.mark.parametrize(
    "body",
    [
        b"{'session_token': '00canary'}",
        b"session_token=00canary",
        b'"session_token 00canary"',
        b'{session_token: "00canary"}',
        json.dumps(json.dumps({"session_token": TOKEN})).encode(),
        json.dumps({"payload": json.dumps({"session_token": TOKEN})}).encode(),
        '{"session_token": "00canary"}'.encode("utf-16"),
        b"[" * 60_000 + b"00canary",
    ],
)
def test_a_malformed_body_that_may_hide_a_token_is_withheld(body):
    """Who holds the original can still show that it is the one."""
    assert REDACTOR.body(body, verified=True, malformed=True) == withheld(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b'{"amount": NaN, "amount": 1.50}',
        b'{"n": ' + b"9" * 6_000 + b', "m": 1e999999999}',
        b'{"identity": [[[[[[[[[["deep"]]]]]]]]]]}',
    ],
)
def test_a_malformed_object_without_a_token_is_kept_as_it_is(body):
    """What it was refused for is what a dispute is about."""
    assert REDACTOR.body(body, verified=True, malformed=True) == body


def test_a_body_that_was_not_malformed_is_searched_the_quick_way():
    """Every ordinary call pays for it."""
    body = b'{"session_token": "00canary", "note": "plain"}'
    kept = REDACTOR.body(body, verified=True, malformed=False)
    assert kept == b'{"session_token": "[redacted]", "note": "plain"}'


def test_nothing_is_parsed_of_a_body_that_nobody_signed():
    """JSON comes after the signature; who has none has no token of ours."""
    body = b"{'session_token': '00guess'}"
    assert REDACTOR.body(body, verified=False, malformed=True) == body


def test_a_large_body_that_anybody_may_have_sent_is_not_kept():
    """Whoever found the address could fill the disk that bets need."""
    body = b'{"a":"' + b"x" * UNVERIFIED_MAX + b'"}'
    assert REDACTOR.body(body, verified=False, malformed=False) == withheld(body)
    assert REDACTOR.body(body, verified=True, malformed=False) == body


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (b"player=ann&session_token=00canary", b"player=ann&session_token=%5Bredacted%5D"),
        (b"SESSION_TOKEN=00canary&x=%FF", b"SESSION_TOKEN=%5Bredacted%5D&x=%EF%BF%BD"),
        (b"player=ann&amount=1.50", b"player=ann&amount=1.50"),
        (b"\xff\xfe", b"\xff\xfe"),
    ],
)
@pytest.mark.parametrize("verified", [True, False])
def test_a_form_keeps_its_fields_but_for_the_token(body, kept, verified):
    """A protocol of tomorrow may send forms; its tokens are as good as others."""
    assert REDACTOR.body(body, verified=verified, malformed=False) == kept
