"""`audit seals`: whatever was changed under a seal is found, and the seal is named."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from adapters import cli
from adapters.keys import SealSigner
from adapters.seal_copies import SealCopies, read_copy
from ledger import audit_seals as audit_seals_module
from ledger.chain import GENESIS
from ledger.codec import player_stream
from ledger.commands import RegisterPlayer
from ledger.merkle import Tree
from ledger.sealing import Sealer, _row
from ledger.seals import Keys, Seal, leaf, to_line
from tests.faults.ledgers import CENT, bet, opened
from tests.integration.seal_stories import (
    KEY,
    KEYS,
    PEM,
    STOLEN,
    all_seals,
    public_pem,
    sealed,
    told,
    verified,
)
from tests.integration.tampering import Superuser, superuser
from tests.integration.test_audit_chain import Audit

ANN = player_stream("ann")
LOGIN = "wallet_ledger"
THROUGH = [3, 6, 11, 12]
"""The last event of each of the four seals."""
UNSEALED = 2


@pytest.fixture(scope="module")
def lived(postgres, databases, template_database) -> Iterator[str]:
    """A ledger with four seals, and two events that have none; only clones of it are changed."""
    with databases.fresh(template_database) as name:
        asyncio.run(_live(postgres.url(name)))
        yield name


async def _live(url: str) -> None:
    async with opened(url) as one:
        await one.accepted(RegisterPlayer(player_id="ann", currency="EUR"))
        await one.deposit("ann", 10_000, "first")
        await sealed(url)
        session = await one.session("ann")
        await one.accepted(RegisterPlayer(player_id="ben", currency="EUR"))
        await sealed(url)
        for number in range(5):
            await one.accepted(bet(session, f"b-{number}", 10))
        await sealed(url)
        await one.deposit("ben", 1, "second")
        await sealed(url)
        await one.deposit("ann", 1, "third")
        await one.deposit("ben", 1, "fourth")
    assert [seal.through_id for seal in await all_seals(url)] == THROUGH


@pytest.fixture
def database(databases, lived) -> Iterator[str]:
    """A clone of it; its name."""
    with databases.fresh(lived) as name:
        yield name


@pytest.fixture(scope="module")
def known(postgres, lived) -> list[Seal]:
    """Its seals, as somebody elsewhere keeps them."""
    return asyncio.run(all_seals(postgres.url(lived)))


@pytest.mark.parametrize("fetched", [1, 2, 5, 5_000])
async def test_a_ledger_that_nobody_touched_is_sound(fetched, postgres, lived, known, monkeypatch):
    """An audit that cries wolf is switched off; wherever one portion of rows ends."""
    monkeypatch.setattr(audit_seals_module, "_FETCH", fetched)
    found = await verified(postgres.url(lived), known=[known, known[1:], known[2:3], []])
    assert told(found) == []
    assert (found.seals, found.events, found.unsealed) == (4, THROUGH[-1], UNSEALED)


async def test_a_ledger_without_events_or_seals_is_sound(postgres, databases, template_database):
    """The first day."""
    with databases.fresh(template_database) as name:
        found = await verified(postgres.url(name))
    assert told(found) == []
    assert (found.seals, found.events, found.unsealed) == (0, 0, 0)


async def test_when_everything_is_sealed_nothing_is_without_a_seal(database_url):
    """The number that should be small."""
    newest = await sealed(database_url)
    found = await verified(database_url, known=[[newest]])
    assert told(found) == []
    assert (found.events, found.unsealed) == (THROUGH[-1] + UNSEALED, 0)


def _sql(statement: str) -> Tamper:
    return lambda root: root.execute(statement)


def _each(*tampers: Tamper) -> Tamper:
    """One after the other."""

    def tamper(root: Superuser) -> None:
        for each in tampers:
            each(root)

    return tamper


Tamper = Callable[[Superuser], object]


def _amount(root: Superuser) -> None:
    """A deposit of a million, and every hash behind it computed anew."""
    root.forge(ANN, 3, lambda said: said.update(real=10**6 * CENT, balance_real=10**6 * CENT))


def _seals(root: Superuser) -> list[Seal]:
    return [
        Seal(
            partition=0,
            number=row[0],
            through_id=row[1],
            events=row[2],
            root=row[3],
            previous=row[4],
            sealed_at=row[5],
            key_id=row[6],
            signature=row[7],
        )
        for row in root.rows(
            "SELECT number, through_id, events, root, previous, sealed_at, key_id, signature"
            " FROM ledger_p00.seals ORDER BY number"
        )
    ]


def _reseal(root: Superuser, key: SealSigner, numbers: Sequence[int] = (1, 2, 3, 4)) -> None:
    """Make seals anew over what is there now, with a key."""
    before: Seal | None = None
    for seal in _seals(root):
        fresh = seal
        if seal.number in numbers:
            after = 0 if before is None else before.through_id
            rows = root.rows(
                "SELECT notification_id, substring(state FROM 1 FOR 32) FROM ledger_p00.events"
                " WHERE notification_id > %s AND notification_id <= %s ORDER BY notification_id",
                after,
                seal.through_id,
            )
            tree = Tree()
            for row in rows:
                tree.add(leaf(*row))
            fresh = msgspec.structs.replace(
                seal,
                events=tree.size,
                root=tree.root(),
                previous=GENESIS if before is None else before.digest(),
            ).signed(key)
            root.execute("DELETE FROM ledger_p00.seals WHERE number = %s", seal.number)
            _insert(root, fresh)
        before = fresh


def _insert(root: Superuser, seal: Seal) -> None:
    root.execute(
        "INSERT INTO ledger_p00.seals VALUES (%s, %s, %s, %s, %s, %s, %s, %s)", *_row(seal)
    )


def _loosened(column: str, value: str, where: str = "number = 2", table: str = "seals") -> Tamper:
    """Another value in a column, past every constraint."""

    def tamper(root: Superuser) -> None:
        for (name,) in root.rows(
            "SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass"
            " ORDER BY contype = 'p' DESC",
            f"ledger_p00.{table}",
        ):
            root.execute(f"ALTER TABLE ledger_p00.{table} DROP CONSTRAINT {name}")
        root.execute(f"UPDATE ledger_p00.{table} SET {column} = {value} WHERE {where}")

    return tamper


def _event(column: str, value: str) -> Tamper:
    return _loosened(column, value, "notification_id = 8", "events")


def _swapped(root: Superuser) -> None:
    """Two players' events change places in the log."""
    change = "UPDATE ledger_p00.events SET notification_id = %s WHERE notification_id = %s"
    for pair in ((-1, 3), (3, 4), (4, -1)):
        root.execute(change, *pair)


ONE, TWO, THREE, FOUR = (f"seal {number} (events " for number in (1, 2, 3, 4))
OTHER_EVENTS = "the events, or their order, are not those that it covered"
FORGED = "its signature is wrong"
UNLINKED = "it was made behind another seal than the one before it"

TAMPERED: dict[str, tuple[Tamper, list[tuple[str, str]]]] = {
    "an event, and every hash behind it": (
        _amount,
        [(ONE, OTHER_EVENTS), (TWO, OTHER_EVENTS), (THREE, OTHER_EVENTS)],
    ),
    "the hash of an event": (
        _sql(
            "UPDATE ledger_p00.events SET state = sha256('') || substring(state FROM 33)"
            " WHERE notification_id = 8"
        ),
        [(THREE, OTHER_EVENTS)],
    ),
    "an event gone": (
        _sql("DELETE FROM ledger_p00.events WHERE notification_id = 8"),
        [(THREE, "it covered 5 events, and there are 4")],
    ),
    "all events gone": (
        _sql("DELETE FROM ledger_p00.events"),
        [
            (seal, f"it covered {count} events, and there are 0")
            for seal, count in ((ONE, 3), (TWO, 3), (THREE, 5), (FOUR, 1))
        ],
    ),
    "an event before the first": (
        _sql(
            "INSERT INTO ledger_p00.events (originator_id, originator_version, topic, state,"
            " notification_id) SELECT 'player:zoe', 1, topic, state, 0 FROM ledger_p00.events"
            " WHERE notification_id = 1"
        ),
        [(ONE, "it covered 3 events, and there are 4")],
    ),
    "an event with a number below all": (
        _sql(
            "INSERT INTO ledger_p00.events (originator_id, originator_version, topic, state,"
            " notification_id) SELECT 'player:zoe', 1, topic, state, -9223372036854775808"
            " FROM ledger_p00.events WHERE notification_id = 1"
        ),
        [(ONE, "it covered 3 events, and there are 4")],
    ),
    "two events in each other's place": (
        _swapped,
        [(ONE, OTHER_EVENTS), (TWO, OTHER_EVENTS)],
    ),
    "an event that moved behind the seals": (
        _sql("UPDATE ledger_p00.events SET notification_id = 1000 WHERE notification_id = 12"),
        [(FOUR, "it covered 1 events, and there are 0")],
    ),
    "an event without a state": (
        _event("state", "NULL"),
        [(THREE, OTHER_EVENTS)],
    ),
    "an event with half a hash": (
        _event("state", "substring(state FROM 1 FOR 16)"),
        [(THREE, OTHER_EVENTS)],
    ),
    "an event without a place": (
        _event("notification_id", "NULL"),
        [(THREE, "it covered 5 events, and there are 4")],
    ),
    "an event, and every seal with another key": (
        _each(_amount, partial(_reseal, key=STOLEN)),
        [
            (seal, f"it is signed with the key {STOLEN.id}, which is not known")
            for seal in (ONE, TWO, THREE, FOUR)
        ],
    ),
    "an event, and every seal with another key under the name of the right one": (
        _each(
            _amount,
            partial(_reseal, key=STOLEN),
            _sql(f"UPDATE ledger_p00.seals SET key_id = '{KEY.id}'"),
        ),
        [
            (ONE, FORGED),
            *((seal, UNLINKED) for seal in (TWO, THREE, FOUR)),
        ],
    ),
    "a number": (
        _sql("UPDATE ledger_p00.seals SET number = 7 WHERE number = 4"),
        [("seal 7 (events 12 to 12, ", "it follows seal 3")],
    ),
    "how far a seal goes": (
        _sql("UPDATE ledger_p00.seals SET through_id = 5 WHERE number = 2"),
        [
            ("seal 2 (events 4 to 5, ", FORGED),
            ("seal 2 (events 4 to 5, ", "it covered 3 events, and there are 2"),
            ("seal 3 (events 6 to 11, ", UNLINKED),
            ("seal 3 (events 6 to 11, ", "it covered 5 events, and there are 6"),
        ],
    ),
    "how far a seal goes, to before it begins": (
        _sql("UPDATE ledger_p00.seals SET through_id = 3 WHERE number = 2"),
        [
            (TWO, "it covers nothing"),
            (TWO, "it covered 3 events, and there are 0"),
            (THREE, UNLINKED),
            (THREE, "it covered 5 events, and there are 8"),
        ],
    ),
    "how many events": (
        _sql("UPDATE ledger_p00.seals SET events = 4 WHERE number = 2"),
        [(TWO, FORGED), (TWO, "it covered 4 events, and there are 3"), (THREE, UNLINKED)],
    ),
    "a root": (
        _sql("UPDATE ledger_p00.seals SET root = sha256('') WHERE number = 2"),
        [(TWO, FORGED), (TWO, OTHER_EVENTS), (THREE, UNLINKED)],
    ),
    "a previous": (
        _sql("UPDATE ledger_p00.seals SET previous = sha256('') WHERE number = 2"),
        [(TWO, UNLINKED), (THREE, UNLINKED)],
    ),
    "the first previous": (
        _sql("UPDATE ledger_p00.seals SET previous = sha256('') WHERE number = 1"),
        [(ONE, UNLINKED), (TWO, UNLINKED)],
    ),
    "a time, by a microsecond": (
        _sql(
            "UPDATE ledger_p00.seals SET sealed_at = sealed_at + '1 us'::interval WHERE number = 2"
        ),
        [(TWO, FORGED), (THREE, UNLINKED)],
    ),
    "a time, to an earlier one": (
        _sql("UPDATE ledger_p00.seals SET sealed_at = '2020-01-01' WHERE number = 2"),
        [(TWO, "it is older than the one before it"), (THREE, UNLINKED)],
    ),
    "a time before all": (
        _sql("UPDATE ledger_p00.seals SET sealed_at = '0003-01-01' WHERE number = 1"),
        [(ONE, FORGED), (TWO, UNLINKED)],
    ),
    "a key": (
        _sql("UPDATE ledger_p00.seals SET key_id = 'other' WHERE number = 4"),
        [(FOUR, "it is signed with the key other, which is not known")],
    ),
    "a key with a line end": (
        _sql("UPDATE ledger_p00.seals SET key_id = key_id || chr(10) WHERE number = 4"),
        [(FOUR, f"it is signed with the key {KEY.id}\n, which is not known")],
    ),
    "a signature": (
        _sql("UPDATE ledger_p00.seals SET signature = sha512('') WHERE number = 2"),
        [(TWO, FORGED)],
    ),
    "the first seal gone": (
        _sql("DELETE FROM ledger_p00.seals WHERE number = 1"),
        [("seal 2 (events 1 to 6, ", "those before it are missing")],
    ),
    "a seal gone": (
        _sql("DELETE FROM ledger_p00.seals WHERE number = 2"),
        [("seal 3 (events 4 to 11, ", "it follows seal 1")],
    ),
    "two seals in each other's place": (
        _each(
            *(
                _sql(f"UPDATE ledger_p00.seals SET number = {new} WHERE number = {old}")
                for old, new in ((2, 9), (3, 2), (9, 3))
            )
        ),
        [
            ("seal 2 (events 4 to 11, ", UNLINKED),
            ("seal 2 (events 4 to 11, ", "it covered 5 events, and there are 8"),
            ("seal 3 (events 12 to 6, ", UNLINKED),
            ("seal 3 (events 12 to 6, ", "it covered 3 events, and there are 0"),
            ("seal 4 (events 7 to 12, ", UNLINKED),
        ],
    ),
    "a seal that nobody made": (
        lambda root: _insert(
            root,
            msgspec.structs.replace(
                _seals(root)[-1], number=5, previous=_seals(root)[-1].digest(), through_id=14
            ),
        ),
        [
            ("seal 5 (events 13 to 14, ", FORGED),
            ("seal 5 (events 13 to 14, ", "it covered 1 events, and there are 2"),
        ],
    ),
    "the end of all times": (
        _sql("UPDATE ledger_p00.seals SET sealed_at = 'infinity' WHERE number = 4"),
        [("seal 4", "it cannot be read")],
    ),
    "the beginning of all times": (
        _sql("UPDATE ledger_p00.seals SET sealed_at = '-infinity' WHERE number = 2"),
        [("seal 2", "it cannot be read"), ("seal 3 (events 4 to 11, ", "it follows seal 1")],
    ),
    "the largest number": (
        _sql("UPDATE ledger_p00.seals SET number = 9223372036854775807 WHERE number = 4"),
        [("seal 9223372036854775807 (events 12 to 12, ", "it follows seal 3")],
    ),
    "the furthest": (
        _sql("UPDATE ledger_p00.seals SET through_id = 9223372036854775807 WHERE number = 4"),
        [
            ("seal 4 (events 12 to 9223372036854775807, ", FORGED),
            ("seal 4 (events 12 to 9223372036854775807, ", "it covered 1 events, and there are 3"),
        ],
    ),
    "the most events": (
        _sql("UPDATE ledger_p00.seals SET events = 9223372036854775807 WHERE number = 4"),
        [(FOUR, FORGED), (FOUR, "it covered 9223372036854775807 events, and there are 1")],
    ),
    "a number below all": (
        _loosened("number", "-9223372036854775808", "number = 4"),
        [
            ("seal -9223372036854775808 (events 1 to 12, ", "those before it are missing"),
            ("seal 1 (events 13 to 3, ", "it follows seal -9223372036854775808"),
            (TWO, "it covered 3 events, and there are 0"),
            (THREE, "it covered 5 events, and there are 0"),
        ],
    ),
    "a seal to before all events": (
        _loosened("through_id", "-5", "number = 1"),
        [
            ("seal 1 (events 1 to -5, ", "it covers nothing"),
            ("seal 1 (events 1 to -5, ", "it covered 3 events, and there are 0"),
            ("seal 2 (events -4 to 6, ", UNLINKED),
            ("seal 2 (events -4 to 6, ", "it covered 3 events, and there are 6"),
        ],
    ),
    "fewer than no events": (
        _loosened("events", "-3"),
        [
            (TWO, "it covers nothing"),
            (TWO, "it covered -3 events, and there are 3"),
            (THREE, UNLINKED),
        ],
    ),
    "half a root": (
        _loosened("root", "substring(root FROM 1 FOR 16)"),
        [(TWO, FORGED), (TWO, OTHER_EVENTS), (THREE, UNLINKED)],
    ),
    "no previous": (_loosened("previous", "''"), [(TWO, UNLINKED), (THREE, UNLINKED)]),
    "no signature": (_loosened("signature", "''"), [(TWO, FORGED)]),
    "a long signature": (_loosened("signature", "signature || '\\x00'"), [(TWO, FORGED)]),
    "no key": (
        _loosened("key_id", "''"),
        [(TWO, "it is signed with the key , which is not known"), (THREE, UNLINKED)],
    ),
    **{
        f"nothing as {column}": (
            _loosened(column, "NULL"),
            [("seal 2", "it cannot be read"), ("seal 3 (events 4 to 11, ", "it follows seal 1")],
        )
        for column in (
            "through_id", "events", "root", "previous", "sealed_at", "key_id", "signature"
        )
    },
    "nothing as number": (
        _loosened("number", "NULL"),
        [("seal 3 (events 4 to 11, ", "it follows seal 1"), ("seal None", "it cannot be read")],
    ),
    "a seal twice": (
        _each(
            _loosened("events", "events"),
            _sql("INSERT INTO ledger_p00.seals SELECT * FROM ledger_p00.seals WHERE number = 4"),
        ),
        [("seal 4 (events 13 to 12, ", "it follows seal 4")],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TAMPERED)
async def test_whatever_is_changed_is_found_and_the_seal_is_named(
    name, database_url, admin_url, monkeypatch
):
    """Prove that nobody changed it, or when somebody did."""
    tamper, expected = TAMPERED[name]
    with superuser(admin_url) as root:
        tamper(root)
    found = told(await verified(database_url))
    assert len(found) == len(expected), found
    for line, (beginning, reason) in zip(found, expected, strict=True):
        assert line.startswith(beginning)
        assert line.endswith(": " + reason)
    monkeypatch.setattr(audit_seals_module, "_FETCH", 3)
    assert told(await verified(database_url)) == found


def _tail(root: Superuser) -> None:
    """The last events with their seals."""
    root.execute("DELETE FROM ledger_p00.events WHERE notification_id > 6")
    root.execute("DELETE FROM ledger_p00.seals WHERE number > 2")


FORKED: dict[str, tuple[Tamper, list[str]]] = {
    "the end, with its seals": (
        _tail,
        [
            "seal 3 (events 7 to 11, ",
            "seal 4 (events 7 to 12, ",
        ],
    ),
    "all seals": (
        _sql("DELETE FROM ledger_p00.seals"),
        [f"seal {number} (events 1 to {through}, " for number, through in enumerate(THROUGH, 1)],
    ),
    "an event, with the stolen key": (
        _each(_amount, partial(_reseal, key=KEY)),
        [ONE, TWO, THREE, FOUR],
    ),
    "the last event, with the stolen key": (
        _each(
            _sql("DELETE FROM ledger_p00.events WHERE notification_id = 10"),
            partial(_reseal, key=KEY, numbers=(3, 4)),
        ),
        [THREE, FOUR],
    ),
}


@pytest.mark.parametrize("name", FORKED)
async def test_what_is_sound_in_itself_differs_from_the_seals_known_elsewhere(
    name, database_url, admin_url, known
):
    """What the key's thief, or who puts the database back, can do: a copy is what tells."""
    tamper, expected = FORKED[name]
    with superuser(admin_url) as root:
        tamper(root)
    assert told(await verified(database_url)) == []
    reason = "another one is known" if "key" in name else "known, and not in the database"
    found = told(await verified(database_url, known=[known]))
    assert len(found) == len(expected), found
    for line, beginning in zip(found, expected, strict=True):
        assert line.startswith(beginning)
        assert line.endswith(": " + reason)
    (only,) = told(await verified(database_url, known=[known[-1:]]))
    assert only.startswith("seal 4 ")


async def test_a_seal_that_is_gone_is_missed_where_it_was(database_url, admin_url, known):
    """Whether those behind it are there or not, and though another one cannot be read."""
    with superuser(admin_url) as root:
        root.execute("DELETE FROM ledger_p00.seals WHERE number = 2")
        root.execute("UPDATE ledger_p00.seals SET sealed_at = 'infinity' WHERE number = 4")
    found = told(await verified(database_url, known=[known]))
    assert [(line[:6], line.rpartition(": ")[2]) for line in found] == [
        ("seal 2", "known, and not in the database"),
        ("seal 3", "it follows seal 1"),
        ("seal 4", "it cannot be read"),
        ("seal 4", "known, and not in the database"),
    ]


async def test_the_seals_of_another_partition_prove_nothing(
    postgres, databases, database_url, known
):
    """They are signed with the right key, too."""
    template = await asyncio.to_thread(databases.template, 2)
    with databases.fresh(template) as name:
        with superuser(postgres.url(name, "postgres")) as root:
            for seal in known:
                root.execute(
                    "INSERT INTO ledger_p01.seals VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
                    *_row(seal),
                )
        found = told(await verified(postgres.url(name), partition=1))
    assert len(found) == 8
    assert found[0].endswith(": its signature is wrong")
    assert found[2].endswith(": it was made behind another seal than the one before it")


async def test_seals_of_an_earlier_key_are_believed_as_long_as_it_is_listed(database_url):
    """Keys are changed, and seals are for ever."""
    keys: Keys = {STOLEN.id: STOLEN.verifier} | KEYS
    await sealed(database_url, STOLEN, keys)
    assert told(await verified(database_url, keys)) == []
    (found,) = told(await verified(database_url))
    assert found.endswith(f": it is signed with the key {STOLEN.id}, which is not known")


async def test_what_is_sealed_and_copied_while_the_audit_reads_is_no_difference(
    database_url, tmp_path, monkeypatch
):
    """The service goes on: the copy grows while the database is read as of one instant."""
    copies = SealCopies(tmp_path)
    seals = await all_seals(database_url)
    others = [msgspec.structs.replace(seals[0], partition=7)] * 40  # more than is read at once
    copies.file(0).write_bytes(b"".join(to_line(seal) + b"\n" for seal in [*others, *seals]))
    series = read_copy(copies.file(0), 0)
    rows = audit_seals_module._SealAudit._rows
    sealer = Sealer(database_url, 0, KEY, KEYS)

    async def late(self: Any, name: str, *parameters: object) -> Any:
        async for row in rows(self, name, *parameters):
            last = copies.newest(0)
            if last == seals[-1]:
                await sealer.advance(last)
                copies.add(0, await sealer.behind(last))
            yield row

    monkeypatch.setattr(audit_seals_module._SealAudit, "_rows", late)
    try:
        found = await verified(database_url, known=[series])
    finally:
        await sealer.close()
    assert told(found) == []
    assert [seal.number for seal in read_copy(copies.file(0), 0)] == [1, 2, 3, 4, 5]


class SealAudit(Audit):
    """`audit seals` on one database, with the public key of this run."""

    settings = ""

    def _command(self, arguments: Sequence[str], login: str) -> list[str]:
        command = super()._command(("seals", *arguments), login)
        with self._file.open("a") as file:
            file.write(f'[seals]\npublic_keys = ["""{public_pem(PEM)}"""]\n{self.settings}\n')
        return command


@pytest.fixture
def audit(postgres, database, tmp_path, capfd) -> SealAudit:
    """The command on the test's database."""
    return SealAudit(tmp_path / "wallet-ledger.toml", partial(postgres.url, database), capfd)


@pytest.fixture
def sound(postgres, lived, tmp_path, capfd) -> SealAudit:
    """The command on the ledger that nobody touches."""
    return SealAudit(tmp_path / "wallet-ledger.toml", partial(postgres.url, lived), capfd)


def summary(differences: int = 0, events: int = 12, known: int = 0) -> str:
    """The command's last line."""
    return (
        f"{differences} differences in 4 seals of {events} events (known from elsewhere: {known});"
        " not sealed: 2 events"
    )


SOUND = summary()


def _write(file: Path, *seals: Seal, rest: bytes = b"") -> str:
    file.write_bytes(b"".join(to_line(seal) + b"\n" for seal in seals) + rest)
    return str(file)


def test_the_command_says_what_it_has_read(sound):
    """No difference in nothing would prove nothing."""
    assert sound() == (0, [SOUND], "")


def test_a_difference_is_listed_and_is_the_exit_code(audit, admin_url):
    """A script asks for it."""
    with superuser(admin_url) as root:
        root.execute("DELETE FROM ledger_p00.events WHERE notification_id = 8")
    code, lines, complaint = audit()
    assert (code, complaint) == (1, "")
    assert lines[0].startswith("seals, partition 0: seal 3 (events 7 to 11, 20")
    assert lines[0].endswith("UTC): it covered 5 events, and there are 4")
    assert lines[1:] == [summary(1, events=11)]


def test_a_forged_name_stays_in_its_line(audit, admin_url):
    """It must not look like the last line, nor erase it."""
    with superuser(admin_url) as root:
        root.execute(
            "UPDATE ledger_p00.seals SET key_id = %s WHERE number = 4", "x\n\x1b[2K\u202e" + SOUND
        )
    code, lines, _ = audit()
    assert code == 1
    assert len(lines) == 2
    assert lines[0].isprintable()


def test_an_auditor_needs_the_right_to_read_and_no_other(audit, admin_url):
    """Nor the private key: who verifies seals should not be able to make them."""
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS seal_reader")
        connection.execute("CREATE ROLE seal_reader LOGIN IN ROLE ledger_reader")
    try:
        assert audit(login="seal_reader") == (0, [SOUND], "")
    finally:
        with psycopg.connect(admin_url, autocommit=True) as connection:
            connection.execute("DROP ROLE seal_reader")


def test_known_seals_may_be_in_several_files_and_of_several_partitions(
    audit, admin_url, known, tmp_path
):
    """Somebody keeps what the command printed, somebody else the copies."""
    elsewhere = msgspec.structs.replace(known[0], partition=7)
    files = [
        _write(tmp_path / "a", elsewhere, known[1], elsewhere, known[3]),
        _write(tmp_path / "b", known[2]),
        _write(tmp_path / "empty"),
    ]
    options = [word for file in files for word in ("--known", file)]
    assert audit(*options) == (0, [summary(known=3)], "")
    with superuser(admin_url) as root:
        _tail(root)
    code, lines, _ = audit(*options)
    assert code == 1
    assert sorted(line[:26] for line in lines[:-1]) == [
        f"seals, partition 0: seal {number}" for number in (3, 4)
    ]


def test_the_copies_are_known_by_themselves(audit, admin_url, known, tmp_path):
    """Nobody has to remember them at the moment that counts."""
    audit.settings = f'copy_to = "{tmp_path / "copies"}"'
    SealCopies(tmp_path / "copies").add(0, known)
    assert audit() == (0, [summary(known=4)], "")
    with superuser(admin_url) as root:
        _tail(root)
    code, lines, _ = audit()
    assert code == 1
    assert [line[:26] for line in lines[:-1]] == [
        f"seals, partition 0: seal {number}" for number in (3, 4)
    ]


@pytest.mark.parametrize(
    ("rest", "complaint"),
    [
        (b"garbage\n", "line 2: no seal: "),
        (b"{}\n", "line 2: no seal: "),
        (b"\n", "line 2: no seal: "),
        (b"\xff\n", "line 2: no seal: "),
        (b"[" * 100_000 + b"\n", "line 2: no seal: "),
        (b"again", "line 2: seals are not in order"),
        (b"before", "line 2: seals are not in order"),
        (b"spaced", "line 2: no seal: "),
    ],
)
def test_a_known_file_that_is_none_is_named_in_one_line(rest, complaint, sound, known, tmp_path):
    """Nothing was compared with it: that must not look like no difference."""
    line = to_line(known[1])
    rest = {
        b"again": line + b"\n",
        b"before": to_line(known[0]) + b"\n",
        b"spaced": line.replace(b":", b": ") + b"\n",
    }.get(rest, rest)
    file = _write(tmp_path / "known", known[1], rest=rest)
    code, lines, said = sound("--known", file)
    assert (code, lines) == (2, [])
    assert said.startswith(f"wallet-ledger: {file}, {complaint}")
    assert said.count("\n") == 1


def test_what_was_found_before_a_known_file_could_not_be_read_is_listed(
    audit, admin_url, known, tmp_path
):
    """A file that somebody spoiled must not hide it."""
    file = _write(tmp_path / "known", *known[:2], rest=b"garbage\n")
    with superuser(admin_url) as root:
        root.execute("DELETE FROM ledger_p00.events WHERE notification_id = 2")
    code, lines, said = audit("--known", file)
    assert code == 2
    assert [line[:26] for line in lines] == ["seals, partition 0: seal 1"]
    assert said.startswith(f"wallet-ledger: {file}, line 3: no seal: ")


@pytest.mark.parametrize("end", [b'{"partition":0,', b"whole"])
def test_a_last_line_that_was_cut_off_is_passed_over(end, sound, known, tmp_path):
    """The copy may be written this moment."""
    rest = to_line(known[2]) if end == b"whole" else end
    file = _write(tmp_path / "known", *known[:2], rest=rest)
    assert sound("--known", file) == (0, [summary(known=3 if end == b"whole" else 2)], "")


def test_a_known_file_that_is_missing_is_wrong_usage(sound, tmp_path):
    """A mistyped name would prove nothing."""
    for name in ("missing", "."):
        code, lines, said = sound("--known", str(tmp_path / name))
        assert (code, lines) == (2, [])
        assert said.count("\n") == 1


@pytest.mark.parametrize("name", ["x" * 300, "copies", "not-mounted"])
def test_copies_that_cannot_be_read_or_are_missing_are_a_difference(name, sound, tmp_path):
    """To find nothing because nothing was looked for is what somebody would wish for."""
    (tmp_path / "copies" / "seals-00.jsonl").mkdir(parents=True)
    sound.settings = f'copy_to = "{tmp_path / name}"'
    code, (line, last), said = sound()
    assert (code, last, said) == (1, summary(1), "")
    assert str(tmp_path / name) in line


def test_a_spoiled_line_of_a_copy_hides_nothing(audit, admin_url, known, tmp_path):
    """What it holds before that line is looked for, and the events are verified all the same."""
    audit.settings = f'copy_to = "{tmp_path / "copies"}"'
    SealCopies(tmp_path / "copies").add(0, known[:2])
    with SealCopies(tmp_path / "copies").file(0).open("ab") as file:
        file.write(b"garbage\n")
    with superuser(admin_url) as root:
        root.execute("DELETE FROM ledger_p00.events WHERE notification_id = 2")
    code, lines, _ = audit()
    assert code == 1
    assert sum("line 3: no seal" in line for line in lines) == 1
    assert sum("seal 1 (events 1 to" in line for line in lines) == 1
    assert lines[-1] == summary(2, events=11, known=2)


def test_files_without_a_seal_of_this_ledger_are_wrong_usage(sound, known, tmp_path):
    """Nothing was looked for: that must not look like nothing missing."""
    elsewhere = msgspec.structs.replace(known[0], partition=7)
    files = [_write(tmp_path / "empty"), _write(tmp_path / "other", elsewhere)]
    for file in files:
        code, _, said = sound("--known", file)
        assert code == 2
        assert said == (
            "wallet-ledger: --known: there is no seal of this ledger in any of the files\n"
        )


def test_a_database_without_seals_is_wrong_usage(audit, admin_url):
    """Not the news that all is well."""
    with superuser(admin_url) as root:
        root.execute("ALTER TABLE ledger_p00.seals RENAME TO elsewhere")
    code, lines, said = audit()
    assert (code, lines) == (2, [])
    assert said.startswith("wallet-ledger: database: ")


def test_without_any_key_every_seal_is_a_difference(sound):
    """Of a configuration that forgot them nothing was proved."""
    sound.settings = ""
    file = sound._file
    sound._command(("seals",), LOGIN)
    file.write_text(file.read_text().partition("[seals]")[0])
    assert cli.run(["audit", "seals", "--config", str(file)]) == 1
    out, _ = sound._capfd.readouterr()
    assert out.splitlines()[-1].startswith("4 differences in 4 seals")
