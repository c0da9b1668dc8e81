"""Statements as providers send them, and as nobody should: read exactly, or refused by line."""

from __future__ import annotations

import io
import pickle
from hashlib import sha256
from typing import Any

import pytest

from ledger.currencies import Currencies
from projections.reports.errors import BadRequest
from projections.statements.errors import UnreadableStatement
from projections.statements.form import WORDS, Form, Row, read_columns
from projections.statements.reading import LINE_BYTES_MAX, Statement

HEADER = "transaction_id,operation,amount,currency,player_id,round_id,reference"
CURRENCIES = Currencies()


def read(content: str | bytes, form: Form | None = None) -> list[Row]:
    """The rows of a statement."""
    data = content.encode() if isinstance(content, str) else content
    return list(Statement(io.BytesIO(data), form or Form(), CURRENCIES))


def cells(row: Row) -> tuple[Any, ...]:
    """What a row says, without its line."""
    return (
        row.transaction_id,
        row.operation,
        row.amount,
        row.currency,
        row.player_id,
        row.round_id,
        row.reference,
    )


BET = ("b1", "bet", 1_250_000, "EUR", "ann", "r1", None)


@pytest.mark.parametrize(
    "content",
    [
        f"{HEADER}\nb1,bet,12.50,EUR,ann,r1,\n",
        f"{HEADER}\r\nb1,bet,12.50,EUR,ann,r1,",
        f"\ufeff{HEADER}\nb1,BET,12.5,EUR,ann,r1,\n\n",
        f'{HEADER}\n"b1","debit","12.50000","EUR","ann","r1",""\n',
        "transaction_id;operation;amount;currency;player_id;round_id\nb1;bet;12.50;EUR;ann;r1\n",
        (
            "note,round_id,player_id,currency,amount,operation,transaction_id\n"
            '"a, b",r1,ann,EUR,12.50,stake,b1\n'
        ),
        (
            '{"transaction_id":"b1","operation":"bet","amount":"12.50","currency":"EUR",'
            '"player_id":"ann","round_id":"r1"}\n'
        ),
        (
            '\ufeff{"transaction_id":"b1","operation":"withdraw","amount":12.50,"currency":"EUR",'
            '"player_id":"ann","round_id":"r1","reference":null,"more":[1,{"a":2.5}]}\n\n'
        ),
    ],
)
def test_every_form_of_a_statement_is_read_as_the_same_row(content):
    """Providers' tools differ in separators, quotes, ends of lines and marks at the beginning."""
    (row,) = read(content)
    assert cells(row) == BET
    assert row.line == (1 if "{" in content else 2)


def test_the_digest_is_that_of_the_file_and_rows_know_their_lines():
    """An auditor compares the digest with that of the file that was kept."""
    content = f'{HEADER}\nb1,bet,1,EUR,,,\n"b\n2",bet,1,EUR,,,\n\nb3,bet,1,EUR,,,\n'.encode()
    statement = Statement(io.BytesIO(content), Form(), CURRENCIES)
    assert [(row.transaction_id, row.line) for row in statement] == [
        ("b1", 2),
        ("b\n2", 3),
        ("b3", 6),
    ]
    assert statement.digest.hexdigest() == sha256(content).hexdigest()
    assert (statement.rows, statement.bytes) == (3, len(content))


def test_amounts_are_exact_to_the_ledgers_unit():
    """The largest amount, the finest one, and what a float would have spoilt."""
    content = f"{HEADER}\n" + "".join(
        f"b,bet,{amount},{code},,,\n"
        for amount, code in (
            ("0.00001", "EUR"),
            ("0", "EUR"),
            ("0.1", "JPY"),
            ("92233720368547.75807", "EUR"),
            ("0007.10", "EUR"),
        )
    )
    assert [row.amount for row in read(content)] == [1, 0, 10_000, 2**63 - 1, 710_000]


def test_amounts_may_be_counted_in_minor_units():
    """Half of all providers count cents; yen have none, and dinars a thousand."""
    content = f"{HEADER}\nb1,bet,1250,EUR,,,\nb2,bet,7,JPY,,,\nb3,bet,1,KWD,,,\n"
    rows = read(content, Form(minor_units=True))
    assert [row.amount for row in rows] == [1_250_000, 700_000, 100]
    for amount in ("12.50", "-1", "1e3", "9" * 65, ""):
        with pytest.raises(UnreadableStatement, match="line 2: amount"):
            read(f"{HEADER}\nb1,bet,{amount},EUR,,,\n", Form(minor_units=True))


def test_other_headers_are_mapped_and_named_where_they_are_wrong():
    """Nobody edits a provider's file of a million rows by hand."""
    form = Form(read_columns(("transaction_id=Id", "operation=Type", "amount=Sum")))
    content = "Id,Type,Sum,currency\nb1,Rollback Win,2,EUR\n"
    (row,) = read(content, form)
    assert cells(row)[:4] == ("b1", "reversal", 200_000, "EUR")
    with pytest.raises(
        UnreadableStatement, match=r"line 2: Sum \(amount\): amount is negative|Sum"
    ):
        read(content.replace(",2,", ",-2,"), form)
    with pytest.raises(UnreadableStatement, match="line 1: the header has no column Id"):
        read(f"{HEADER}\n", form)
    with pytest.raises(UnreadableStatement, match="line 1: the header has no column Ref"):
        read(content, Form({**form.columns, "reference": "Ref"}))


@pytest.mark.parametrize("pair", ["amount", "=Sum", "amount=", "total=Sum"])
def test_a_column_that_is_none_of_ours_is_refused(pair):
    """A typing error would leave the column unread."""
    with pytest.raises(BadRequest, match="column: "):
        read_columns((pair,))
    with pytest.raises(BadRequest, match="named twice"):
        read_columns(("amount=A", "amount=B"))


def test_every_word_for_an_operation_is_known_however_it_is_written():
    """The table of words is the documentation's, too."""
    for word, operation in WORDS.items():
        for written in (word, word.upper(), word.replace("-", "_"), word.replace("-", " ")):
            (row,) = read(f"{HEADER}\nb1,{written},1,EUR,,,\n")
            assert row.operation == operation


AMOUNTS = [
    "1e3",
    "-1",
    "NaN",
    "Infinity",
    "1,5",
    " 1",
    "+1",
    "0x1",
    "1.",
    ".5",
    "\uff11",
    "1_000",
    "0.000001",
    str(2**63),
    "92233720368547.75808",
    "9" * 100_00,
]


@pytest.mark.parametrize("amount", AMOUNTS, ids=lambda amount: amount[:12])
def test_an_amount_that_the_ledger_cannot_hold_refuses_the_file(amount):
    """Rounded or guessed, it would be compared as another."""
    with pytest.raises(UnreadableStatement, match="line 3: amount"):
        read(f'{HEADER}\nb0,bet,1,EUR,,,\nb1,bet,"{amount}",EUR,,,\n')
    quoted = f'{{"transaction_id":"b","operation":"bet","amount":"{amount}","currency":"EUR"}}\n'
    with pytest.raises(UnreadableStatement, match="line 1: amount"):
        read(quoted)


@pytest.mark.parametrize("number", ["1e3", "-1", "NaN", "Infinity", "1" * 30, "0.000001", "true"])
def test_a_number_of_json_is_judged_as_it_is_written(number):
    """A float between would make 0.1 another amount, and 1e400 an infinite one."""
    line = f'{{"transaction_id":"b","operation":"bet","amount":{number},"currency":"EUR"}}\n'
    with pytest.raises(UnreadableStatement, match="line 1"):
        read(line)


@pytest.mark.parametrize(
    ("content", "line", "problem"),
    [
        (b"", 1, "the file is empty"),
        (b"\n", 1, "no column"),
        (b"\xff\xfet\0r\0", 1, "NUL"),
        (f"{HEADER}\nb1,bet,1,EUR,,,\n".encode("utf-16"), 1, "NUL"),
        (f"{HEADER}\n\xe9,bet,1,EUR,,,\n".encode("latin-1"), 2, "not UTF-8"),
        (f"{HEADER}\nb\0,bet,1,EUR,,,\n".encode(), 2, "NUL"),
        (b"transaction_id,operation,amount\n", 1, "no column currency"),
        (f"{HEADER},amount\n".encode(), 1, "amount twice"),
        (f"{HEADER}\nb1,bet,1,EUR,,\n".encode(), 2, "6 cells under 7 headers"),
        (f"{HEADER}\nb1,bet,1,EUR,,,,\n".encode(), 2, "8 cells under 7 headers"),
        (f'{HEADER}\n"b1,bet,1,EUR,,,\nb2,bet,1,EUR,,,\n'.encode(), 2, "not CSV"),
        (f'{HEADER}\n"b1"x,bet,1,EUR,,,\n'.encode(), 2, "not CSV"),
        (f"{HEADER}\rb1,bet,1,EUR,,,\r".encode(), 1, "not CSV"),
        (f"{HEADER}\n,bet,1,EUR,,,\n".encode(), 2, "transaction_id: is empty"),
        (f"{HEADER}\nb1,,1,EUR,,,\n".encode(), 2, "operation: is empty"),
        (f"{HEADER}\nb1,spin,1,EUR,,,\n".encode(), 2, "operation: 'spin' is not known"),
        (f"{HEADER}\nb1,bet,1,XXX,,,\n".encode(), 2, "currency: 'XXX' is not known"),
        (f"{HEADER}\nb1,bet,1,eur,,,\n".encode(), 2, "currency: 'eur' is not known"),
        (f"{HEADER}\n{'b' * 256},bet,1,EUR,,,\n".encode(), 2, "transaction_id: is longer than"),
        (f"{HEADER}\nb1,bet,1,EUR,{'p' * 256},,\n".encode(), 2, "player_id: is longer than"),
        (f"{HEADER}\nb1,bet,1,EUR,,,{'p' * 256}\n".encode(), 2, "reference: is longer than"),
        (f"{HEADER}\n{'b' * LINE_BYTES_MAX},bet,1,EUR,,,\n".encode(), 2, "longer than 65536"),
        (b"{" + b"[" * 30_000 + b"\n", 1, "not a JSON object"),
        (b'{"transaction_id":"a","transaction_id":"b"}\n', 1, "comes twice"),
        (b'{"a":1}\n[1]\n', 1, "transaction_id: is empty"),
        (b'{"a":NaN}\n', 1, "NaN is no number"),
        (b'{"transaction_id":{},"operation":"bet"}\n', 1, "transaction_id: is neither"),
        (b'{"transaction_id":1.5,"operation":"bet"}\n', 1, "transaction_id: is neither"),
        (b'{"transaction_id":"\\ud800","operation":"bet"}\n', 1, "half a surrogate"),
        (b'{"transaction_id":"\\u0000","operation":"bet"}\n', 1, "holds NUL"),
    ],
)
def test_what_is_not_the_documented_form_is_refused_with_its_line(content, line, problem):
    """A part of a statement would be compared as if it was the whole of it."""
    with pytest.raises(UnreadableStatement) as refused:
        read(content)
    assert refused.value.line == line
    assert problem in refused.value.problem
    assert "\n" not in str(refused.value)
    again = pickle.loads(pickle.dumps(refused.value))
    assert str(again) == str(refused.value)


def test_a_later_line_of_json_that_is_no_object_is_refused():
    """A mixture of files that were put together."""
    good = b'{"transaction_id":"b","operation":"bet","amount":1,"currency":"EUR"}\n'
    assert len(read(good * 3)) == 3
    for bad in (b"[1]\n", b"7\n", b"b1,bet,1,EUR\n", b'{"a":1\n', b"null\n"):
        with pytest.raises(UnreadableStatement, match="line 3: not a JSON object"):
            read(good * 2 + bad)


def test_an_integer_is_an_id_as_it_is_written():
    """Some providers send ids as JSON numbers, as their calls do."""
    (row,) = read('{"transaction_id":17,"operation":"bet","amount":1,"currency":"EUR"}')
    assert row.transaction_id == "17"
    assert type(row.transaction_id) is str


def test_a_header_alone_is_a_statement_of_nothing():
    """A day without play has one, and it is compared like any other."""
    assert read(f"{HEADER}\n") == []


class Endless(io.RawIOBase):
    """A gigabyte without an end of line."""

    def __init__(self) -> None:
        self.read_bytes = 0

    def readline(self, size: int | None = -1, /) -> bytes:
        """As much as was asked for."""
        assert size is not None
        assert 0 < size <= LINE_BYTES_MAX + 1, "unbounded"
        self.read_bytes += size
        return b"x" * size


def test_a_line_of_a_gigabyte_is_refused_before_it_is_read():
    """Otherwise a file without ends of lines fills the memory."""
    endless: Any = Endless()
    with pytest.raises(UnreadableStatement, match="line 1: longer than 65536 bytes"):
        list(Statement(endless, Form(), CURRENCIES))
    assert endless.read_bytes < 100_000


@pytest.mark.parametrize("cell", ["b2,bet,1,EUR,,,\n", '\n\n","'], ids=["one cell", "many"])
def test_a_quote_that_is_never_closed_does_not_swallow_the_file(cell):
    """A row of 100 MB would be held whole, in cells at ten times that."""
    endless = io.BytesIO(f'{HEADER}\n"b1,bet\n{cell * 100_000}'.encode())
    with pytest.raises(UnreadableStatement, match="line 2: longer than 65536 bytes"):
        list(Statement(endless, Form(), CURRENCIES))
    assert endless.tell() < 70_000
