"""`audit chain`: whatever is changed in the log or beside it is found, and its place is named."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import psycopg
import pytest
from msgspec.structs import astuple

from adapters import cli, verifying
from adapters.command_line import INTERRUPTED
from ledger import audit as audit_module
from ledger.audit import Share, Verified, verify
from ledger.codec import (
    decode_snapshot,
    encode_snapshot,
    game_stream,
    partition_of,
    player_stream,
    seal,
)
from ledger.commands import (
    CancelWithdrawal,
    GrantBonus,
    SetGame,
    Withdraw,
)
from ledger.currencies import Currencies
from ledger.events import Deposited
from ledger.findings import Findings
from ledger.guards import expected
from ledger.player import Bet, Player, Round
from tests.acceptance.service import COMMAND, ROOT, WAIT_S, until
from tests.faults.ledgers import CENT, Process, bet, cents, opened, query, refund, reversal, win
from tests.integration.tampering import Said, Superuser, superuser

ANN, BEN, DAN = (player_stream(name) for name in ("ann", "ben", "dan"))
SLOTS = game_stream("test", "slots")
LOGIN = "wallet_ledger"
EVERY = 5
"""Events from one snapshot to the next."""


@pytest.fixture(scope="module")
def lived(postgres, databases, template_database) -> Iterator[str]:
    """A ledger in which two players and a game have seen much; only clones of it are changed."""
    with databases.fresh(template_database) as name:
        asyncio.run(_live(postgres.url(name)))
        yield name


@pytest.fixture
def database(databases, lived) -> Iterator[str]:
    """A clone of it; its name."""
    with databases.fresh(lived) as name:
        yield name


async def _live(url: str) -> None:
    async with opened(url, snapshot_every=EVERY) as one:
        ann = await one.player("ann", money=10_000)
        await _play(one, ann)
        await one.player("ben", money=500)
        for number in range(3):
            ben = await one.session("ben")
            call = bet(ben, f"ben-{number}", 10)
            await one.accepted(msgspec.structs.replace(call, player_id="ben"))
        for enabled in (True, False, True, False):
            await one.ledger.set_game(SetGame(integration="test", game="slots", enabled=enabled))
        await _owe(one)
        late = refund(ann, "two of two", "b-1")  # behind a snapshot that holds its round
        await one.accepted(late)
        await asyncio.sleep(0.3)  # snapshots are saved behind the appends
    saved = query(url, "SELECT stream FROM ledger_p00.snapshots ORDER BY stream")
    assert saved == [(SLOTS,), (ANN,), (BEN,), (DAN,)]


async def _owe(one: Process) -> None:
    """Dan's win is taken back when he has spent it: the one way below zero (rule 10)."""
    session = await one.player("dan", money=10)
    dan: dict[str, Any] = {"player_id": "dan"}
    await one.accepted(bet(session, "d", 10, **dan))
    await one.accepted(win(session, "d won", 50, round_id="round-d", **dan))
    await one.accepted(bet(session, "d spent", 50, **dan))
    owing = await one.accepted(reversal(session, "d back", "d won", round_id="round-d", **dan))
    assert cents(owing) == -50
    await one.accepted(bet(session, "d free", 0, **dan))
    await one.refused(refund(session, "never came, same key", "never came, same key", **dan))


async def _play(one: Process, session: str) -> None:
    money: dict[str, Any] = {"player_id": "ann", "currency": "EUR"}
    await one.accepted(
        GrantBonus(operation="bonus", key="bonus", transaction_id="bonus", amount=CENT, **money)
    )
    for number in range(130):  # closed rounds fall out of memory, and are read back
        in_round = {"round_id": f"round-b-{max(number, 1)}", "closes_round": number > 0}
        await one.accepted(bet(session, f"b-{number}", 10, **in_round))
    await one.accepted(bet(session, "open", 20))
    await one.accepted(win(session, "won", 50, round_id="round-open"))
    await one.accepted(refund(session, "refunded", "b-3"))
    await one.accepted(refund(session, "one of two", "b-0", round_id="round-b-1"))
    await one.refused(refund(session, "too early", "never came"))
    await one.accepted(reversal(session, "reversed", "won", round_id="round-open"))
    await one.accepted(
        Withdraw(operation="withdraw", key="w", transaction_id="w", amount=CENT, hold=True, **money)
    )
    await one.accepted(
        CancelWithdrawal(
            player_id="ann",
            operation="cancel",
            key="cancel",
            transaction_id="w",
            withdrawal_key="w",
        )
    )
    await one.ledger.set_game(SetGame(integration="test", game="slots", enabled=False))
    for number in range(EVERY):
        await one.accepted(bet(session, f"last-{number}", 10, closes_round=True))


async def read(url: str, share: Share | None = None) -> Verified:
    """The audit of a partition, or of a share of it."""
    share = share or Share(0, 1)
    verified = Verified(Findings(share.partition))
    await verify(url, share, Currencies(), verified)
    return verified


def told(verified: Verified) -> list[str]:
    """What was found, a line each."""
    return [f"{finding.about}: {finding.what}" for finding in verified.findings.told()]


def counted(verified: Verified) -> int:
    """How many differences there are, told or not."""
    return sum(finding.count for finding in verified.findings.told())


@pytest.mark.parametrize("fetched", [1, 2, 7, 2_000])
async def test_a_ledger_that_nobody_touched_is_sound(fetched, database_url, monkeypatch):
    """An audit that cries wolf is switched off; wherever one portion of rows ends."""
    monkeypatch.setattr(audit_module, "_FETCH", fetched)
    verified = await read(database_url)
    assert told(verified) == []
    assert verified.streams == 4
    ((events,),) = query(database_url, "SELECT count(*) FROM ledger_p00.events")
    assert verified.events == events


async def test_a_snapshot_with_rounds_that_were_read_back_is_sound(database_url):
    """Which rounds are in memory depends on what was asked for: the fold has others."""
    ((state,),) = query(
        database_url, f"SELECT state FROM ledger_p00.snapshots WHERE stream = '{ANN}'"
    )
    player = decode_snapshot(ANN, state)[1]
    assert isinstance(player, Player)
    assert player.round("test", "round-b-3") is not None


def _sql(statement: str) -> Tamper:
    return lambda root: root.execute(statement)


Tamper = Callable[[Superuser], object]


def _said(**changes: object) -> Callable[[Said], None]:
    return lambda said: said.update(changes)


def _snapshot(root: Superuser, **changes: Any) -> None:
    """Ann's snapshot says something else."""
    ((state,),) = root.rows("SELECT state FROM ledger_p00.snapshots WHERE stream = %s", ANN)
    digest, player = decode_snapshot(ANN, state)
    assert isinstance(player, Player)
    given = {name: change(player) for name, change in changes.items()}
    altered = encode_snapshot(digest, msgspec.structs.replace(player, **given))
    root.execute("UPDATE ledger_p00.snapshots SET state = %s WHERE stream = %s", altered, ANN)


def _one_more_cent(player: Player) -> dict[str, Any]:
    wallet = player.wallets["EUR"]
    return {"EUR": msgspec.structs.replace(wallet, real=wallet.real + CENT)}


def _not_refunded(player: Player) -> dict[str, bytes]:
    kept = dict(player.last_rounds | player.past_rounds)
    found = player.find_round("test/round-b-3")
    assert found is not None
    bets = tuple(msgspec.structs.replace(each, refunded=False) for each in found.bets)
    replaced = msgspec.structs.replace(found, bets=bets)
    return kept | {"test/round-b-3": msgspec.msgpack.encode(replaced)}


def _hidden(player: Player) -> dict[str, bytes]:
    """A round under the key of one that is open, and so is found first: with a bet of millions."""
    forged = msgspec.structs.replace(
        player.rounds["test/round-open"], closed=True, bets=(Bet("never placed", 10**12, 0),)
    )
    return player.past_rounds | {"test/round-open": msgspec.msgpack.encode(forged)}


def _moved(player: Player) -> dict[str, bytes]:
    return player.past_rounds | {
        key: msgspec.msgpack.encode(found) for key, found in player.rounds.items()
    }


def _reopened(player: Player) -> dict[str, Round]:
    found = player.find_round("test/round-b-3")
    assert found is not None
    return player.rounds | {"test/round-b-3": found}


def _remove(root: Superuser, stream: str, version: int) -> None:
    root.execute(
        "DELETE FROM ledger_p00.events WHERE originator_id = %s AND originator_version = %s",
        stream,
        version,
    )


def _add(root: Superuser, stream: str, balance: int) -> None:
    """An event at the end of a stream, its hash as it should be."""
    version, _, state = root.events(stream)[-1]
    event = Deposited(
        movement_id="m",
        recorded_at=datetime(2100, 1, 1, tzinfo=UTC),
        operation="deposit",
        key="forged",
        transaction_id="forged",
        fingerprint="00" * 32,
        currency="EUR",
        real=CENT,
        balance_real=balance,
        balance_bonus=0,
    )
    sealed = seal(state[:32], stream, version + 1, event)[1]
    root.execute(
        "INSERT INTO ledger_p00.events VALUES (%s, %s, %s, %s)",
        stream,
        version + 1,
        event.NAME,
        sealed,
    )


TAMPERED: dict[str, tuple[Tamper, list[str]]] = {
    "what an event says": (
        lambda root: root.alter(ANN, 2, _said(actor="somebody")),
        ["events: player:ann version 2 (event 2): its hash is not that of its bytes"],
    ),
    "what an event says, and its own hash": (
        lambda root: root.forge(ANN, 2, _said(actor="somebody"), alone=True),
        ["events: player:ann version 3 (event 3): its hash is not that of its bytes"],
    ),
    "an amount, and every hash behind it": (
        lambda root: root.forge(ANN, 3, _said(real=99 * CENT)),
        [
            "events: player:ann version 3 (event 3): real 0.00 and 0.99 come to 0.99, it says 100",
            "snapshots: player:ann at version 145: its hash is not that of the event",
        ],
    ),
    "a balance, and every hash behind it": (
        lambda root: root.forge(ANN, 3, _said(real=99 * CENT, balance_real=99 * CENT)),
        [
            "events: player:ann version 5 (event 5): real 0.99 and 0.00 come to 0.99, it says 100",
            "snapshots: player:ann at version 145: its hash is not that of the event",
        ],
    ),
    "money that is not there": (
        lambda root: root.forge(BEN, 10, _said(real=-500 * CENT, balance_real=-20 * CENT)),
        [
            "events: player:ben version 10 (event 159): takes real down to -0.20",
            "snapshots: player:ben at version 10: its hash is not that of the event",
            "snapshots: player:ben at version 10: wallets is not what the events make of it",
            "snapshots: player:ben at version 10: losses is not what the events make of it",
            "snapshots: player:ben at version 10: the round test/round-ben-2 is not what the",
        ],
    ),
    "the name of an event": (
        _sql(
            "UPDATE ledger_p00.events SET topic = 'withdrawn.v1'"
            " WHERE originator_id = 'player:ann' AND originator_version = 3"
        ),
        [
            "events: player:ann version 3 (event 3): its hash is not that of its bytes",
            "transactions: operator deposit:first-ann: kind deposited.v1, by the event withdrawn",
        ],
    ),
    "the time of an event, and every hash behind it": (
        lambda root: root.forge(ANN, 4, _said(recorded_at="2020-01-01T00:00:00Z")),
        [
            "events: player:ann version 4 (event 4): recorded at 2020-01-01 00:00:00+00:00, the",
            "sessions: ",
            "snapshots: player:ann at version 145: its hash is not that of the event",
            "snapshots: player:ann at version 145: sessions is not what the events make of it",
        ],
    ),
    "an event in the middle": (
        lambda root: _remove(root, ANN, 3),
        [
            "events: player:ann: nothing between versions 2 and 4",
            "transactions: operator deposit:first-ann: said to be used by player:ann version 3",
        ],
    ),
    "the first event": (
        lambda root: _remove(root, BEN, 1),
        ["events: player:ben: nothing between versions 0 and 2"],
    ),
    "the last event of a player": (
        lambda root: _remove(root, BEN, len(root.events(BEN))),
        [
            "transactions: test ben-2: said to be used by player:ben version 10: not there",
            "snapshots: player:ben at version 10: there is no such event",
        ],
    ),
    "all events of a player": (
        _sql("DELETE FROM ledger_p00.events WHERE originator_id = 'player:ben'"),
        [
            "transactions: operator deposit:first-ben: said to be used by player:ben version 3",
            *(f"transactions: test ben-{number}: said to be used by" for number in range(3)),
            *(["sessions: "] * 4),
            "snapshots: player:ben at version 10: there is no such event",
        ],
    ),
    "the order of the log": (
        _sql(
            "UPDATE ledger_p00.events SET notification_id = notification_id + 1000000"
            " WHERE originator_id = 'player:ann' AND originator_version = 2"
        ),
        ["events: player:ann version 3 (event 3) stands in the log before the version before it"],
    ),
    "an event that says too much": (
        lambda root: _add(root, BEN, 1_000_000),
        [
            "events: player:ben version 11 (event 175): real 4.70 and 0.01 come to 4.71, it",
            "transactions: operator forged: free, although player:ben version 11",
        ],
    ),
    "an event of nobody": (
        _sql(
            "INSERT INTO ledger_p00.events SELECT 'zebra', 1, topic, state"
            " FROM ledger_p00.events WHERE notification_id = 1"
        ),
        [
            "events: zebra is the stream of neither a player nor a game",
            "events: zebra version 1 (event 175): its hash is not",
            "events: zebra version 1 (event 175) is about something else: player",
        ],
    ),
    "a stream under another player's name": (
        _sql(
            "UPDATE ledger_p00.events SET originator_id = 'player:zoe'"
            " WHERE originator_id = 'player:ben' AND originator_version = 1"
        ),
        [
            "events: player:ben: nothing between versions 0 and 2",
            "events: player:zoe version 1 (event 150): its hash is not",
            "events: player:zoe version 1 (event 150) is about something else: player",
        ],
    ),
    "a game's event in another game's stream": (
        _sql(
            "UPDATE ledger_p00.events SET originator_id = 'game:test:poker'"
            " WHERE originator_id = 'game:test:slots' AND originator_version = 1"
        ),
        [
            "events: game:test:poker version 1 (event 144): its hash is not",
            "events: game:test:poker version 1 (event 144) is about something else: game_disabled",
            "events: game:test:slots: nothing between versions 0 and 2",
        ],
    ),
    "a hash in an event that is none": (
        lambda root: root.forge(ANN, 3, _said(fingerprint="no hash")),
        [
            "events: player:ann version 3 (event 3) holds what it cannot hold: ",
            "snapshots: player:ann at version 145: its hash is not that of the event",
        ],
    ),
    "bytes that are no event": (
        _sql(
            "UPDATE ledger_p00.events SET state = substring(state FROM 1 FOR 40)"
            " WHERE originator_id = 'player:ann' AND originator_version = 3"
        ),
        [
            "events: player:ann version 3 (event 3): its hash is not that of its bytes",
            "events: player:ann version 3 (event 3) cannot be read: ",
        ],
    ),
    "the bytes of a session's beginning": (
        _sql(
            "UPDATE ledger_p00.events SET state = substring(state FROM 1 FOR 40)"
            " WHERE originator_id = 'player:ann' AND originator_version = 4"
        ),
        [
            "events: player:ann version 4 (event 4): its hash is not that of its bytes",
            "events: player:ann version 4 (event 4) cannot be read: ",
        ],
    ),
    "what a refund gives back": (
        lambda root: root.forge(
            ANN, root.version(ANN, "bet_refunded.v1"), _said(real=11 * CENT, exceptions=[])
        ),
        [
            "events: player:ann version 138 (event 138): real 87.30 and 0.11 come to 87.41, it",
            "events: player:ann version 138 (event 138) reverses test b-3: it moved -0.10, and",
            "snapshots: player:ann at version 145: its hash is not that of the event",
            "snapshots: player:ann at version 145: losses is not what the events make of it",
        ],
    ),
    "a key gone": (
        _sql("DELETE FROM ledger_p00.transactions WHERE key = 'b-7'"),
        ["transactions: test b-7: free, although player:ann version 13 (event 13) used it"],
    ),
    "a tombstone gone": (
        _sql("DELETE FROM ledger_p00.transactions WHERE kind = 'tombstone'"),
        ["transactions: test never came: free, although player:ann version "],
    ),
    "what a key was used for": (
        _sql("UPDATE ledger_p00.transactions SET fingerprint = sha256('') WHERE key = 'b-7'"),
        [
            "transactions: test b-7: fingerprint e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934c",
        ],
    ),
    "which event used a key": (
        _sql("UPDATE ledger_p00.transactions SET version = 14 WHERE key = 'b-7'"),
        [
            "transactions: test b-7: free, although player:ann version 13 (event 13) used it",
            "transactions: test b-7: said to be used by player:ann version 14 (event 14)",
        ],
    ),
    "whose key it is": (
        _sql("UPDATE ledger_p00.transactions SET player_id = 'zoe' WHERE key = 'b-7'"),
        [
            "transactions: test b-7: free, although player:ann version 13 (event 13) used it",
            "transactions: test b-7: said to be used by player:zoe version 13: not there",
        ],
    ),
    "a session gone": (
        _sql("DELETE FROM ledger_p00.sessions WHERE player_id = 'ann'"),
        ["sessions: "],
    ),
    "what a session is for": (
        _sql("UPDATE ledger_p00.sessions SET game = 'poker' WHERE player_id = 'ann'"),
        ["sessions: "],
    ),
    "a session that nobody opened": (
        _sql(
            "INSERT INTO ledger_p00.sessions SELECT sha256('mine'), player_id, integration, game,"
            " currency, NULL, opened_at FROM ledger_p00.sessions WHERE player_id = 'ann'"
        ),
        ["sessions: "],
    ),
    "a session of nobody's": (
        _sql(
            "INSERT INTO ledger_p00.sessions SELECT sha256('mine'), 'zoe', integration, game,"
            " currency, NULL, opened_at FROM ledger_p00.sessions WHERE player_id = 'ann'"
        ),
        ["sessions: "],
    ),
    "the money of a snapshot": (
        lambda root: _snapshot(root, wallets=_one_more_cent),
        ["snapshots: player:ann at version 145: wallets is not what the events make of it"],
    ),
    "a round of a snapshot": (
        lambda root: _snapshot(root, past_rounds=_not_refunded, last_rounds=lambda _: {}),
        ["snapshots: player:ann at version 145: the round test/round-b-3 is not what the events"],
    ),
    "a round of a snapshot behind another": (
        lambda root: _snapshot(root, past_rounds=_hidden),
        [
            "snapshots: player:ann at version 145: the round test/round-open is in a place that",
            "snapshots: player:ann at version 145: the round test/round-open is not what the",
        ],
    ),
    "the place of a snapshot's round": (
        lambda root: _snapshot(root, rounds=lambda _: {}, past_rounds=_moved),
        ["snapshots: player:ann at version 145: the round test/round-open is in a place that"],
    ),
    "a second copy of a snapshot's round": (
        lambda root: _snapshot(root, past_rounds=_moved),
        ["snapshots: player:ann at version 145: the round test/round-open is in a place that"],
    ),
    "the place of a closed round": (
        lambda root: _snapshot(root, rounds=_reopened),
        ["snapshots: player:ann at version 145: the round test/round-b-3 is in a place that"] * 2,
    ),
    "a snapshot's round to nothing": (
        lambda root: _snapshot(root, last_rounds=lambda _: {"test/nothing": b""}),
        ["snapshots: player:ann at version 145 cannot be read: "],
    ),
    "a letter to none": (
        lambda root: root.bend(ANN, 3, b"deposit", b"\xe4eposit"),
        [
            "events: player:ann version 3 (event 3): its hash is not",
            "events: player:ann version 3 (event 3) cannot be read: ",
        ],
    ),
    "a time to one without a zone": (
        lambda root: root.forge(BEN, 10, _said(recorded_at="2100-01-01T00:00:00")),
        [
            "events: player:ben version 10 (event 159) holds what it cannot hold: ",
            "snapshots: player:ben at version 10: its hash is not that of the event",
        ],
    ),
    "an event to brackets": (
        lambda root: root.bend(ANN, 3, b"{", b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b","),
        [
            "events: player:ann version 3 (event 3): its hash is not",
            "events: player:ann version 3 (event 3) cannot be read: ",
        ],
    ),
    "the time of a key to none": (
        _sql("UPDATE ledger_p00.transactions SET recorded_at = 'infinity' WHERE key = 'b-7'"),
        ["transactions: test b-7: recorded_at None, by the event "],
    ),
    "the time of a session to none": (
        _sql("UPDATE ledger_p00.sessions SET opened_at = '-infinity' WHERE player_id = 'ann'"),
        ["sessions: "],
    ),
    "the hash of a snapshot": (
        _sql(
            "UPDATE ledger_p00.snapshots SET state = sha256('') || substring(state FROM 33)"
            " WHERE stream = 'player:ann'"
        ),
        ["snapshots: player:ann at version 145: its hash is not that of the event"],
    ),
    "the version of a snapshot": (
        _sql("UPDATE ledger_p00.snapshots SET version = 1000 WHERE stream LIKE 'player:%n'"),
        [
            "snapshots: player:ann at version 1000: there is no such event",
            "snapshots: player:ben at version 1000: there is no such event",
            "snapshots: player:dan at version 1000: there is no such event",
        ],
    ),
    "a game's snapshot": (
        _sql(
            "UPDATE ledger_p00.snapshots SET state = replace(state::text,"
            " encode('false', 'hex'), encode('true', 'hex'))::bytea WHERE stream LIKE 'game:%%'"
        ),
        ["snapshots: game:test:slots at version 5: enabled is not what the events make of it"],
    ),
    "a snapshot that cannot be read": (
        _sql(
            "UPDATE ledger_p00.snapshots SET state = substring(state FROM 1 FOR 50)"
            " WHERE stream = 'player:ann'"
        ),
        ["snapshots: player:ann at version 145 cannot be read: "],
    ),
}


@pytest.mark.parametrize("name", TAMPERED)
async def test_whatever_is_changed_is_found_and_named(name, database_url, admin_url, monkeypatch):
    """Prove that nobody changed it, or where somebody did."""
    tamper, expected = TAMPERED[name]
    with superuser(admin_url) as root:
        tamper(root)
    found = told(await read(database_url))
    assert len(found) == len(expected), found
    for line, beginning in zip(found, expected, strict=True):
        assert line.startswith(beginning)
    monkeypatch.setattr(audit_module, "_FETCH", 3)
    assert sorted(told(await read(database_url))) == sorted(found)


async def test_a_games_time_may_go_back(database_url, admin_url):
    """With the clock; nothing is reckoned by it."""
    with superuser(admin_url) as root:
        root.forge(SLOTS, 3, _said(recorded_at="2020-01-01T00:00:00Z"))
    (found,) = told(await read(database_url))
    assert found == f"snapshots: {SLOTS} at version 5: its hash is not that of the event"


async def test_what_is_appended_meanwhile_is_no_difference(database_url):
    """The service goes on: all tables are read as of one instant."""
    async with opened(database_url, snapshot_every=EVERY) as one:
        session = await one.session("ann")

        async def play() -> None:
            for number in count():
                await one.accepted(bet(session, f"meanwhile-{number}", 1, closes_round=True))

        playing = asyncio.create_task(play())
        read_so_far = [await read(database_url) for _ in range(20)]
        playing.cancel()
    assert [told(verified) for verified in read_so_far] == [[]] * 20
    assert read_so_far[-1].events > read_so_far[0].events


async def test_a_tail_that_is_gone_with_all_that_belongs_to_it_is_not_seen(database_url, admin_url):
    """What a chain cannot show by itself: README says so, and this is the day it is mended."""
    with superuser(admin_url) as root:
        _remove(root, BEN, len(root.events(BEN)))
        root.execute("DELETE FROM ledger_p00.transactions WHERE key = 'ben-2'")
        root.execute("DELETE FROM ledger_p00.snapshots WHERE stream = 'player:ben'")
    assert told(await read(database_url)) == []


@pytest.mark.parametrize("seed", range(20))
async def test_the_first_bad_place_of_a_random_change_is_named(seed, database_url, admin_url):
    """Wherever it is: each bit of a state, each event of a stream."""
    chance = random.Random(seed)
    with superuser(admin_url) as root:
        version, _, state = chance.choice(root.events(ANN))
        at = chance.randrange(8 * len(state))
        altered = bytearray(state)
        altered[at // 8] ^= 1 << at % 8
        root.store(ANN, version, bytes(altered))
    first = told(await read(database_url))[0]
    assert first.startswith(f"events: {ANN} version {version} (event "), (seed, at)


async def test_a_player_in_the_wrong_partition_is_found(database_url):
    """His calls would find him nowhere."""
    verified = await read(database_url, Share(0, 2))
    wrong = [line for line in told(verified) if "belongs in partition 1" in line]
    homes = {name: partition_of(name, 2) for name in ("ann", "ben", "dan")}
    assert wrong == [
        f"events: player:{name} belongs in partition 1" for name, home in homes.items() if home
    ]
    assert any(homes.values())


async def test_the_shares_make_up_the_whole(database_url, admin_url):
    """A stream that no process took would be the place to hide something."""
    with superuser(admin_url) as root:
        root.execute("UPDATE ledger_p00.transactions SET kind = 'nothing'")
        root.execute("UPDATE ledger_p00.sessions SET game = 'poker'")
    whole = await read(database_url)
    shares = [await read(database_url, Share(0, 1, number, 3)) for number in range(3)]
    joined = Verified(Findings(0))
    for share in shares:
        joined.join(share)
    assert (joined.events, joined.streams) == (whole.events, whole.streams)
    assert counted(joined) == counted(whole)


class Audit:
    """The command on one database."""

    def __init__(self, file: Path, url: Callable[..., str], capfd: Any) -> None:
        self._file = file
        self._url = url
        self._capfd = capfd

    def __call__(self, *arguments: str, login: str = LOGIN) -> tuple[int, list[str], str]:
        """Run it: its exit code, its lines, and what it complained of."""
        code = cli.run(self._command(arguments, login))
        out, err = self._capfd.readouterr()
        return code, out.splitlines(), err

    def begin(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Begin it as a program of its own."""
        return subprocess.Popen([COMMAND, *self._command(arguments, LOGIN)], cwd=ROOT)

    def _command(self, arguments: Sequence[str], login: str) -> list[str]:
        self._file.write_text(f'[database]\nurl = "{self._url(login)}"\n')
        self._file.chmod(0o600)
        return ["audit", *arguments, "--config", str(self._file)]


@pytest.fixture
def audit(postgres, database, tmp_path, capfd) -> Audit:
    """The command on the test's database."""
    return Audit(tmp_path / "wallet-ledger.toml", partial(postgres.url, database), capfd)


def test_the_command_says_how_much_it_has_read(audit):
    """No difference in nothing would prove nothing."""
    said = "0 differences in 174 events (players and games: 4)"
    assert audit("chain", "--jobs", "2") == (0, [said], "")


def test_progress_is_told_up_to_the_last_event(database_url):
    """An hour's work shows that it goes on."""
    shown: list[int] = []
    outcome = verifying.verify_all(database_url, 1, Currencies(), 2, shown.append)
    assert shown[-1] == outcome.verified[0].events == 174
    assert shown == sorted(shown)


def test_without_a_name_log_seals_views_and_guards_are_verified(audit):
    """The one command to run after anything strange."""
    code, lines, _ = audit("--jobs", "1")
    assert code == 0
    assert lines == [
        "0 differences in 174 events (players and games: 4)",
        "0 differences in 0 seals of 0 events (known from elsewhere: 0); not sealed: 174 events",
        "0 differences between the views and the events",
        f"0 differences in {sum(map(len, astuple(expected())))} guards of the log",
    ]


def test_differences_are_listed_and_counted_and_the_views_are_compared_all_the_same(
    audit, admin_url
):
    """Twenty lines are read; the number says how bad it is."""
    with superuser(admin_url) as root:
        root.execute("UPDATE ledger_p00.transactions SET kind = 'nothing'")
    code, lines, _ = audit("--jobs", "2")
    assert code == 1
    shown, (more, said, _, views) = lines[:20], lines[20:24]
    assert all(line.startswith("transactions, partition 0: ") for line in shown)
    entries = len(query(admin_url, "SELECT FROM ledger_p00.transactions"))
    assert more == f"transactions, partition 0: {entries - 20} more"
    assert said == f"{entries} differences in 174 events (players and games: 4)"
    assert views == "0 differences between the views and the events"


def test_a_database_that_goes_away_ends_the_audit_with_one_line(audit, admin_url):
    """Not with the news that all is well."""
    with superuser(admin_url) as root:
        root.execute("ALTER TABLE ledger_p00.sessions RENAME TO elsewhere")
    code, lines, complaint = audit("chain")
    assert (code, lines) == (2, [])
    assert complaint.startswith("wallet-ledger: database: ")
    assert complaint.count("\n") == 1


def test_an_id_cannot_pass_for_another_line(audit, admin_url):
    """Nor erase the lines above it: whoever forged a key has chosen its name."""
    name = "x\n0 differences in 174 events (players and games: 4)\x1b[1A\x1b[2K"
    with superuser(admin_url) as root:
        root.execute("UPDATE ledger_p00.transactions SET key = %s WHERE key = 'b-7'", name)
    code, lines, _ = audit("chain", "--jobs", "1")
    assert code == 1
    assert len(lines) == 3
    assert lines[1].startswith(r"transactions, partition 0: test x\n0 differences in 174 events")
    assert lines[2].startswith("2 differences")


def test_an_auditor_needs_the_right_to_read_and_no_other(audit, postgres, admin_url):
    """Who verifies the books should not be able to write them."""
    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS audit_reader")
        connection.execute("CREATE ROLE audit_reader LOGIN IN ROLE ledger_reader")
    try:
        code, lines, complaint = audit("chain", login="audit_reader")
    finally:
        with psycopg.connect(admin_url, autocommit=True) as connection:
            connection.execute("DROP ROLE audit_reader")
    assert (code, complaint) == (0, "")
    assert lines == ["0 differences in 174 events (players and games: 4)"]


def test_a_bug_in_a_process_is_told_as_one(audit, monkeypatch):
    """It is no want of memory."""
    monkeypatch.setattr(verifying, "Share", _no_share)
    code, lines, complaint = audit("chain")
    assert (code, lines) == (2, [])
    assert complaint.endswith("this is a bug\n")


def _no_share(partition: int, *_: object) -> SimpleNamespace:
    return SimpleNamespace(partition=partition)


@pytest.mark.parametrize("strike", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_nothing_is_left_of_an_audit_that_was_ended(strike, audit, admin_url):
    """Its query would go on for an hour, and hold back what VACUUM may remove."""
    running = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE application_name LIKE 'wallet-ledger audit ledger%'"
    )
    with psycopg.connect(admin_url) as lock:
        lock.execute("LOCK TABLE ledger_p00.transactions IN ACCESS EXCLUSIVE MODE")
        process = audit.begin("chain", "--jobs", "2")
        until(lambda: query(admin_url, running) == [(2,)])
        process.send_signal(strike)
        assert process.wait(WAIT_S) == {signal.SIGINT: INTERRUPTED}.get(strike, -strike)
        until(lambda: query(admin_url, running) == [(0,)])


def test_a_process_that_is_killed_ends_the_audit_with_one_line(audit, monkeypatch):
    """An auditor on a small machine must hear of it; its share was not verified."""
    monkeypatch.setattr(verifying, "_verify", _killed)
    assert audit("chain", "--jobs", "2") == (
        2,
        [],
        "wallet-ledger: a process of the audit was killed: is there memory left?\n",
    )


def _killed(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
