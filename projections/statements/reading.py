"""Reads a statement strictly and row by row: CSV (RFC 4180) or JSON Lines, UTF-8.

What cannot be taken exactly as meant refuses the whole file, with the number of its line. No row
is held that is longer than `LINE_BYTES_MAX`, and no number passes through a float.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from typing import Any, BinaryIO, Final, NoReturn

from ledger.currencies import Currencies
from ledger.money import MalformedAmount, from_subunits, parse_decimal
from projections.statements.errors import UnreadableStatement
from projections.statements.form import (
    COLUMNS,
    OPTIONAL,
    REQUIRED,
    Form,
    Row,
    operation_of,
)

LINE_BYTES_MAX: Final = 65_536
"""Longest line of a statement, and longest row of several."""

ID_LENGTH_MAX: Final = 255
"""Longest id in characters, as in the providers' calls: no longer one was ever booked."""

_BOM: Final = b"\xef\xbb\xbf"
_SEPARATORS: Final = (",", ";")
_AMOUNT_LENGTH_MAX: Final = 64


class _Literal(str):
    """A number of JSON as it is written."""

    __slots__ = ()


class Statement:
    """A statement's rows, each once; ``digest``, ``bytes`` and ``rows`` grow with the reading."""

    def __init__(
        self,
        file: BinaryIO,
        form: Form,
        currencies: Currencies,
        progress: Callable[[int], None] = lambda _done: None,
    ) -> None:
        """``progress`` is told how many bytes were read, now and then."""
        self._file = file
        self._form = form
        self._currencies = currencies
        self._progress = progress
        self._line = 0
        self._row_begins, self._row_bytes = 1, 0
        self._players: dict[str, str] = {}
        self._units: Callable[[str, str], int] = lru_cache(maxsize=65_536)(self._read_amount)
        self.digest = sha256()
        self.bytes = 0
        self.rows = 0

    def __iter__(self) -> Iterator[Row]:
        """Raises `UnreadableStatement`."""
        lines = self._lines()
        first = next(lines, None)
        if first is None:
            raise UnreadableStatement(1, "the file is empty: a header is expected")
        rows = self._json(first, lines) if first.startswith("{") else self._csv(first, lines)
        for row in rows:
            self.rows += 1
            yield row
        self._progress(self.bytes)

    def _lines(self) -> Iterator[str]:
        """The lines with their ends, decoded."""
        while raw := self._file.readline(LINE_BYTES_MAX + 1):
            self._line += 1
            self.digest.update(raw)
            self.bytes += len(raw)
            self._row_bytes += len(raw)
            if self._row_bytes > LINE_BYTES_MAX:
                raise UnreadableStatement(self._row_begins, f"longer than {LINE_BYTES_MAX} bytes")
            if self._line == 1:
                raw = raw.removeprefix(_BOM)
            if self._line % 4_096 == 0:
                self._progress(self.bytes)
            if b"\0" in raw:
                raise UnreadableStatement(self._line, "holds NUL: not UTF-8 text")
            try:
                yield raw.decode()
            except UnicodeDecodeError:
                raise UnreadableStatement(self._line, "not UTF-8") from None

    def _new_row(self) -> int:
        """Begin to count a row's bytes; its line."""
        self._row_begins, self._row_bytes = self._line + 1, 0
        return self._row_begins

    def _csv(self, first: str, lines: Iterator[str]) -> Iterator[Row]:
        separator, header = _header(first, self._form)
        places = _places(header, self._form)
        reader = csv.reader(lines, delimiter=separator, strict=True)
        while True:
            begins = self._new_row()
            try:
                cells = next(reader, None)
            except csv.Error as error:
                raise UnreadableStatement(begins, f"not CSV: {error}") from None
            if cells is None:
                return
            if not cells:
                continue
            if len(cells) != len(header):
                found = f"{len(cells)} cells under {len(header)} headers"
                raise UnreadableStatement(begins, found)
            yield self._row(begins, {name: cells[place] for name, place in places.items()})

    def _json(self, first: str, lines: Iterator[str]) -> Iterator[Row]:
        yield self._object(first)
        self._new_row()
        for text in lines:
            if text.strip():
                yield self._object(text)
            self._new_row()

    def _object(self, text: str) -> Row:
        try:
            found = _decode(text)
        except (ValueError, RecursionError) as error:
            raise UnreadableStatement(self._line, f"not a JSON object: {error}") from None
        if not isinstance(found, dict):
            raise UnreadableStatement(self._line, "not a JSON object")
        cells = {}
        for name in COLUMNS:
            cells[name] = self._json_cell(name, found.get(self._form.header(name)))
        return self._row(self._line, cells)

    def _json_cell(self, name: str, value: Any) -> str:
        """A value as a cell has it: null is empty, a number is as it is written."""
        if value is None:
            return ""
        whole = isinstance(value, _Literal) and value.removeprefix("-").isdigit()
        if not isinstance(value, str) or (
            isinstance(value, _Literal) and name != "amount" and not whole
        ):
            self._refuse(self._line, name, "is neither a text nor a whole number")
        try:
            value.encode()
        except UnicodeEncodeError:
            self._refuse(self._line, name, "holds half a surrogate")
        if "\0" in value:
            self._refuse(self._line, name, "holds NUL")
        return str(value)

    def _row(self, line: int, cells: Mapping[str, str]) -> Row:
        for name in REQUIRED:
            if not cells[name]:
                self._refuse(line, name, "is empty")
        operation = operation_of(cells["operation"])
        if operation is None:
            self._refuse(line, "operation", f"{cells['operation'][:40]!r} is not known")
        currency = cells["currency"]
        unit = self._currencies.get(currency)
        if unit is None:
            self._refuse(line, "currency", f"{currency[:40]!r} is not known")
        try:
            amount = self._units(unit.code, cells["amount"])
        except MalformedAmount as error:
            self._refuse(line, "amount", str(error))
        player_id, round_id, reference = (cells.get(name) or None for name in OPTIONAL)
        for name in ("transaction_id", *OPTIONAL):
            if len(cells.get(name, "")) > ID_LENGTH_MAX:
                self._refuse(line, name, f"is longer than {ID_LENGTH_MAX} characters")
        if player_id is not None:  # one text for all the rows of a player
            player_id = self._players.setdefault(player_id, player_id)
        return Row(
            line=line,
            transaction_id=cells["transaction_id"],
            operation=operation,
            amount=amount,
            currency=unit.code,
            player_id=player_id,
            round_id=round_id,
            reference=reference,
        )

    def _read_amount(self, code: str, text: str) -> int:
        """Ledger units of an amount. Raises `MalformedAmount`."""
        unit = self._currencies[code]
        if not self._form.minor_units:
            return parse_decimal(text, unit)
        if not (text.isascii() and text.isdigit()) or len(text) > _AMOUNT_LENGTH_MAX:
            raise MalformedAmount("amount is not a whole number of subunits")
        return from_subunits(int(text), unit)

    def _refuse(self, line: int, name: str, problem: str) -> NoReturn:
        header = self._form.header(name)
        told = header if header == name else f"{header} ({name})"
        raise UnreadableStatement(line, f"{told}: {problem}")


def _header(first: str, form: Form) -> tuple[str, list[str]]:
    """The separator with which the first line has all columns that are needed, and its names."""
    wanted = [form.header(name) for name in REQUIRED]
    wanted += [form.header(name) for name in OPTIONAL if name in form.columns]
    missing: Sequence[str] = wanted
    for separator in _SEPARATORS:
        try:
            names = next(csv.reader([first], delimiter=separator, strict=True), [])
        except csv.Error as error:
            raise UnreadableStatement(1, f"not CSV: {error}") from None
        lacking = [name for name in wanted if name not in names]
        if not lacking:
            return separator, names
        missing = min(missing, lacking, key=len)
    raise UnreadableStatement(1, f"the header has no column {', '.join(missing)}")


def _places(header: Sequence[str], form: Form) -> dict[str, int]:
    """Where each of our columns stands."""
    places = {}
    for name in COLUMNS:
        title = form.header(name)
        if header.count(title) > 1:
            raise UnreadableStatement(1, f"the header has {title} twice")
        if title in header:
            places[name] = header.index(title)
    return places


def _object_of(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name[:40]!r} comes twice")
        found[name] = value
    return found


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


_decode: Final = json.JSONDecoder(
    object_pairs_hook=_object_of,
    parse_float=_Literal,
    parse_int=_Literal,
    parse_constant=_no_number,
).decode
