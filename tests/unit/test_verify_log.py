"""The auditor's program: what it finds in a log that was tampered with, and what it cannot."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ledger.chain import GENESIS
from ledger.seals import Seal
from tests.unit.seal_fakes import (
    EVENTS,
    OTHER,
    OURS,
    PROGRAM,
    STREAMS,
    UNSEALED,
    Ledger,
    Row,
    chained,
    ledger,
    numbered,
    program,
    random_rows,
    sealed,
    write_events,
    write_seals,
)

KEYS = {OURS.id: OURS.public}
VARIANTS = 100
LEDGERS = 10


def event_of(row: Row) -> Any:
    """An event as the program has it."""
    return program().Event(
        row.notification_id, row.stream.encode(), row.version, row.topic.encode(), row.state
    )


def seal_of(seal: Seal) -> Any:
    """A seal as the program has it."""
    return program().Seal(
        seal.partition,
        seal.number,
        seal.through_id,
        seal.events,
        seal.root,
        seal.previous,
        seal.sealed_at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        seal.key_id,
        seal.signature,
    )


def verified(
    rows: Iterable[Row], seals: Iterable[Seal], known: Iterable[Seal] = (), keys: Any = KEYS
) -> Any:
    """The program's report."""
    return program().verify(map(event_of, rows), map(seal_of, seals), map(seal_of, known), keys)


def at_event(row: Row) -> str:
    """How a line about an event begins."""
    return f"event {row.notification_id} (version {row.version} of {row.stream!a}): "


def at_seal(seal: Seal) -> str:
    """How a line about a seal begins."""
    return (
        f"seal {seal.number} (partition {seal.partition}, {seal.events} events up to"
        f" {seal.through_id}, sealed at {seal_of(seal).sealed_at}): "
    )


def changed(seal: Seal, **fields: object) -> Seal:
    """A seal with other fields, its signature left as it was."""
    return msgspec.structs.replace(seal, **fields)


# --- Sound ledgers ---


def files(directory: Path, found: Ledger, known: Sequence[Seal] | None = None) -> list[str]:
    """Everything in files, and the arguments that name them."""
    write_events(directory / "events.csv", found.rows)
    write_seals(directory / "seals.jsonl", found.seals)
    (directory / "key.pem").write_bytes(OURS.pem())
    arguments = ["--key", str(directory / "key.pem")]
    if known is not None:
        write_seals(directory / "known.jsonl", known)
        arguments += ["--known", str(directory / "known.jsonl")]
    return [*arguments, str(directory / "events.csv"), str(directory / "seals.jsonl")]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """The program as an auditor starts it: away from the repository, by itself."""
    return subprocess.run(
        [sys.executable, "-I", str(PROGRAM), *arguments],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )


@pytest.mark.parametrize("seed", range(LEDGERS))
def test_a_sound_ledger_has_no_differences(seed):
    """A program that finds something everywhere is as bad as one that finds nothing."""
    found = ledger(seed)
    report = verified(found.rows, found.seals, found.seals)
    assert not report.differences
    assert not report.counts
    assert (report.events, report.streams, report.unsealed) == (EVENTS, len(STREAMS), UNSEALED)
    assert report.seals == report.known == len(found.seals)
    assert 15 <= len(found.seals) <= 40
    seals = len(found.seals)
    (summary,) = report.lines()
    assert summary == (
        f"0 differences in 200 events of 8 streams and {seals} seals ({seals} known from outside);"
        " 5 events not sealed yet"
    )


def test_a_sound_ledger_verifies_from_files(tmp_path):
    """Names with commas, quotes, line ends and other alphabets come through psql's CSV."""
    done = run(*files(tmp_path, ledger(0)))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        f"0 differences in 200 events of 8 streams and {len(ledger(0).seals)} seals;"
        " 5 events not sealed yet\n"
    )


def test_differences_are_lines_and_an_exit_code(tmp_path):
    """A script that calls the program must see that something is wrong."""
    found = ledger(0)
    done = run(*files(tmp_path, Ledger(found.rows[:-50], found.seals[:-9]), found.seals))
    assert (done.returncode, done.stderr) == (1, "")
    first, *_, summary = done.stdout.splitlines()
    assert first == at_seal(found.seals[-9]) + "it is known, and missing, and rightly signed"
    assert summary.startswith("9 differences in 150 events of ")


def test_a_kept_part_is_enough(tmp_path, capsys):
    """Somebody may have noted the last seal only."""
    found = ledger(1)
    arguments = files(tmp_path, found, found.seals[-1:])
    assert program().main(arguments) == 0
    assert "(1 known from outside)" in capsys.readouterr().out


def test_several_keys_may_have_signed(tmp_path, capsys):
    """Keys are changed, and the seals of the older one stay good."""
    rows = ledger(2).rows
    older = sealed(rows[:100], Random(2), OTHER)
    newer = sealed(rows[100:], Random(3), OURS, older[-1])
    arguments = files(tmp_path, Ledger(rows, older + newer))
    assert program().main(arguments) == 1
    assert f"signed with the key {OTHER.id}, which was not given" in capsys.readouterr().out
    (tmp_path / "older.pem").write_bytes(OTHER.pem())
    assert program().main(["--key", str(tmp_path / "older.pem"), *arguments]) == 0


def test_nothing_at_all_is_sound():
    """A partition may have no events yet; the summary says of how much there is nothing wrong."""
    assert list(verified((), ()).lines()) == [
        "0 differences in 0 events of 0 streams and 0 seals; 0 events not sealed yet"
    ]


def test_seals_may_have_been_kept_on_windows(tmp_path):
    """An editor's line ends are no difference."""
    arguments = files(tmp_path, ledger(1), ledger(1).seals)
    known = tmp_path / "known.jsonl"
    known.write_bytes(known.read_bytes().replace(b"\n", b"\r\n"))
    assert program().main(arguments) == 0


def test_progress_is_shown_on_a_terminal_only(tmp_path, capsys, monkeypatch):
    """A long file must not look like a program that hangs, nor fill a log; and the line goes."""
    monkeypatch.setattr(program(), "_PROGRESS_EVENTS", 80)
    arguments = files(tmp_path, ledger(1))
    program().main(arguments)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    program().main(arguments)
    assert capsys.readouterr().err == "\r80 events\r160 events\r\x1b[K"
    with (tmp_path / "events.csv").open("a") as file:
        file.write("zz\n")
    program().main(arguments)
    assert "\r\x1b[Kverify_log.py: " in capsys.readouterr().err


def test_events_can_be_large(tmp_path, capsys):
    """The csv module refuses fields above 128 KiB unless it is told otherwise."""
    row = Row(1, "player:p", 1, "x.v1", bytes(200_000))
    rows = chained([row])
    assert program().main(files(tmp_path, Ledger(rows, sealed(rows, Random(1), OURS)))) == 0
    assert "in 1 event of 1 stream and 1 seal;" in capsys.readouterr().out


def test_the_program_needs_nothing_of_ours():
    """An auditor who has to trust our code need not verify anything."""
    roots = {
        name.partition(".")[0]
        for node in ast.walk(ast.parse(PROGRAM.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or "relative"]
        )
    }
    assert roots - sys.stdlib_module_names == {"cryptography"}


# --- Attacks ---


@dataclass(frozen=True)
class Attack:
    """What somebody made of a ledger, and the place that has to be named first."""

    rows: Sequence[Row]
    seals: Sequence[Seal]
    place: str
    known: Sequence[Seal] = ()
    """Without them nothing may be found; where there are none, it is found without."""


def _altered(random: Random, row: Row) -> Row:
    """One thing of an event changed, its stored hash as it was."""
    what = random.choice(("payload", "longer", "topic", "hash", "version", "stream"))
    if what == "payload" and row.payload:
        at = random.randrange(len(row.payload))
        other = bytes([row.payload[at] ^ 1 << random.randrange(8)])
        return replace(row, payload=row.payload[:at] + other + row.payload[at + 1 :])
    if what == "topic":
        return replace(row, topic=row.topic[:-1] + "2")
    if what == "hash":
        at = random.randrange(32)
        other = bytes([row.hash[at] ^ 1 << random.randrange(8)])
        return replace(row, hash=row.hash[:at] + other + row.hash[at + 1 :])
    if what == "version":
        return replace(row, version=row.version + random.choice((-1, 1)))
    if what == "stream":
        return replace(row, stream="player:other")
    return replace(row, payload=row.payload + b"\x00")


def event_altered(random: Random, found: Ledger) -> Attack:
    """An event's bytes are altered."""
    rows = list(found.rows)
    at = random.randrange(len(rows))
    rows[at] = _altered(random, rows[at])
    return Attack(rows, found.seals, at_event(rows[at]))


def event_altered_and_chained(random: Random, found: Ledger) -> Attack:
    """The same, and every hash behind it computed anew."""
    rows = list(found.rows)
    at = random.choice(found.sealed())
    rows[at] = replace(rows[at], payload=rows[at].payload + b" ")
    return Attack(chained(rows), found.seals, at_seal(found.seal_over(rows[at])))


def event_removed(random: Random, found: Ledger) -> Attack:
    """An event is gone, and the hashes behind it were computed anew; the versions, too, or not."""
    rows = list(found.rows)
    gone = rows.pop(random.choice(found.sealed()))
    seal = found.seal_over(gone)
    if random.random() < 0.5:
        return Attack(numbered(rows), found.seals, at_seal(seal))
    behind = (row for row in rows if row.stream == gone.stream and row.version > gone.version)
    following = next(behind, None)
    if following is not None and following.notification_id <= seal.through_id:
        return Attack(chained(rows), found.seals, at_event(following))
    return Attack(chained(rows), found.seals, at_seal(seal))


def tail_removed(random: Random, found: Ledger) -> Attack:
    """The last events are gone, and the seals that covered them."""
    left = random.randrange(len(found.seals))
    through_id = found.seals[left - 1].through_id if left else 0
    rows = [row for row in found.rows if row.notification_id <= through_id]
    known = found.seals if random.random() < 0.5 else found.seals[-1:]
    missing = next(seal for seal in known if seal.number > left)
    return Attack(rows, found.seals[:left], at_seal(missing), known)


def event_put_in(random: Random, found: Ledger) -> Attack:
    """An event is put at the end of a stream, into a gap among sealed ids, with a right chain."""
    taken = {row.notification_id for row in found.rows}
    gaps = set(range(1, found.seals[-1].through_id)) - taken
    gap = random.choice(sorted(gaps))
    later = {row.stream for row in found.rows if row.notification_id > gap}
    stream = random.choice(sorted({*STREAMS, "player:new"} - later))
    put_in = Row(gap, stream, 0, "win_paid.v1", b"{}")
    rows = numbered(sorted((*found.rows, put_in), key=lambda row: row.notification_id))
    return Attack(rows, found.seals, at_seal(found.seal_over(put_in)))


def events_exchanged(random: Random, found: Ledger) -> Attack:
    """Two players' events change places; the chains of both stay right."""
    rows = list(found.rows)
    while True:
        one = random.choice(found.sealed())
        other = one + random.randint(1, 4)
        if other >= len(rows):
            continue
        ends = {rows[one].stream, rows[other].stream}
        if len(ends) == 2 and not ends & {row.stream for row in rows[one + 1 : other]}:
            break
    first, second = rows[one], rows[other]
    rows[one] = replace(second, notification_id=first.notification_id)
    rows[other] = replace(first, notification_id=second.notification_id)
    return Attack(rows, found.seals, at_seal(found.seal_over(first)))


def _forked(
    random: Random, found: Ledger, sign: Callable[[Sequence[Row], Seal | None], Sequence[Seal]]
) -> tuple[Sequence[Row], Sequence[Seal], Seal]:
    """Other events and other seals from some seal on; the first of the seals."""
    left = random.randrange(len(found.seals))
    before = found.seals[left - 1] if left else None
    through_id = before.through_id if before else 0
    kept = [row for row in found.rows if row.notification_id <= through_id]
    rows = numbered([*kept, *random_rows(random, random.randint(1, 100), through_id)])
    made = sign(rows[len(kept) :], before)
    return rows, [*found.seals[:left], *made], made[0]


def forked_with_our_key(random: Random, found: Ledger) -> Attack:
    """History is made anew from some seal on, by somebody who has our key."""
    rows, seals, first = _forked(
        random, found, lambda rows, before: sealed(rows, random, OURS, before)
    )
    known = found.seals if random.random() < 0.5 else found.seals[first.number - 1 : first.number]
    return Attack(rows, seals, at_seal(first), known)


def forked_with_another_key(random: Random, found: Ledger) -> Attack:
    """The same by somebody who has not, and who may say that he has."""
    says_ours = random.random() < 0.5

    def sign(rows: Sequence[Row], before: Seal | None) -> Sequence[Seal]:
        seals: list[Seal] = []
        for seal in sealed(rows, random, OTHER, before):
            previous = seals[-1].digest() if seals else seal.previous
            key_id = OURS.id if says_ours else OTHER.id
            signed = changed(seal, previous=previous, key_id=key_id)
            seals.append(changed(signed, signature=OTHER.sign(signed.statement())))
        return seals

    rows, seals, first = _forked(random, found, sign)
    return Attack(rows, seals, at_seal(first))


ATTACKS = (
    event_altered,
    event_altered_and_chained,
    event_removed,
    tail_removed,
    event_put_in,
    events_exchanged,
    forked_with_our_key,
    forked_with_another_key,
)


@pytest.mark.parametrize("attack", ATTACKS, ids=[attack.__name__ for attack in ATTACKS])
def test_an_attack_is_found_and_its_place_named(attack):
    """This is what seals are for: the first line tells where to look."""
    for seed in range(VARIANTS):
        print(f"{attack.__name__}, seed {seed}")
        found = ledger(seed % LEDGERS)
        made = attack(Random(seed), found)
        report = verified(made.rows, made.seals, made.known)
        assert report.counts
        assert report.differences[0].startswith(made.place), report.differences[:3]
        if made.known:
            assert not verified(made.rows, made.seals).counts, "without the known seals"


def test_events_behind_the_last_seal_are_counted_and_not_vouched_for():
    """Said honestly: until they are sealed, whoever can write and hash can change them."""
    found = ledger(4)
    rows = list(found.rows)
    rows[-2] = replace(rows[-2], payload=b'{"amount":"1000000"}')
    added = Row(rows[-1].notification_id + 1, STREAMS[0], 0, "win_paid.v1", b"{}")
    report = verified(numbered([*rows, added]), found.seals, found.seals)
    assert not report.counts
    assert report.unsealed == UNSEALED + 1
    assert verified(found.rows[:-3], found.seals, found.seals).unsealed == UNSEALED - 3


# --- A break is told once, and as what it is ---


def _differences(report: Any) -> list[str]:
    assert report.counts.total() == len(report.differences)
    return list(report.differences)


def test_an_altered_event_is_one_difference():
    """A line for each event behind it would bury the place."""
    found = ledger(5)
    rows = list(found.rows)
    rows[40] = replace(rows[40], payload=rows[40].payload + b" ")
    assert _differences(verified(rows, found.seals, found.seals)) == [
        at_event(rows[40]) + "its hash is not that of its content behind the one before"
    ]


def test_an_altered_hash_is_told_of_its_event_and_its_seal():
    """What follows is held against the hash as stored; one more event is off by that."""
    found = ledger(5)
    rows = list(found.rows)
    rows[40] = replace(rows[40], hash=GENESIS)
    counts = verified(rows, found.seals).counts
    assert counts == {"chain hashes": 2, "sealed events": 1}


def test_a_missing_event_is_a_gap_in_the_versions():
    """Without other hashes, the next of its stream shows both."""
    found = ledger(5)
    gone = next(row for row in found.rows if row.stream == STREAMS[0] and row.version == 3)
    following = next(row for row in found.rows if row.stream == STREAMS[0] and row.version == 4)
    report = verified([row for row in found.rows if row is not gone], found.seals)
    assert report.counts == {"versions": 1, "chain hashes": 1, "sealed events": 1}
    assert at_event(following) + "it follows version 2 of its stream" in report.differences
    covered = found.seal_over(gone).events - 1
    assert f"{at_seal(found.seal_over(gone))}it covers {covered} events" in report.differences


@pytest.mark.parametrize("state", [b"", bytes(31)])
def test_a_state_without_a_hash_is_told(state):
    """Whatever can be stored is a difference, not a program that stops."""
    found = ledger(5)
    events = [event_of(row) for row in found.rows]
    events[40] = events[40]._replace(state=state)
    report = program().verify(events, map(seal_of, found.seals), (), KEYS)
    assert report.counts == {"chain hashes": 1, "sealed events": 1}
    assert report.differences[0] == at_event(found.rows[40]) + "its state holds no hash"


def test_ids_that_do_not_increase_are_told():
    """An export in another order, or with an event twice, is not the log."""
    ids = (5, 5, 9, 6, 7)
    rows = [
        replace(row, notification_id=number)
        for row, number in zip(ledger(6).rows[: len(ids)], ids, strict=True)
    ]
    assert _differences(verified(rows, ())) == [
        at_event(rows[1]) + "it stands behind event 5",
        at_event(rows[3]) + "it stands behind event 9",
    ]


def test_versions_may_not_repeat():
    """A second version 1 would be a second beginning of the same player."""
    rows = [Row(1, "player:p", 1, "x.v1", b""), Row(2, "player:p", 1, "x.v1", b"")]
    report = verified(chained(rows), ())
    assert _differences(report) == [at_event(rows[1]) + "it follows version 1 of its stream"]


@pytest.mark.parametrize("version", [0, -1, -(2**63), 2**63 - 1])
def test_any_version_that_can_be_stored_is_only_a_difference(version):
    """PostgreSQL keeps versions below 0; nothing that is stored may stop the program."""
    events = [program().Event(1, b"player:p", version, b"x.v1", bytes(40))]
    assert verified((), ()).counts == Counter()
    assert program().verify(events, (), (), KEYS).counts["versions"] == 1


def test_of_many_differences_twenty_are_told_and_all_are_counted():
    """A key that was forgotten must not hide what else is wrong."""
    found = ledger(5)
    rows = list(found.rows)
    rows[180] = replace(rows[180], payload=rows[180].payload + b" ")
    seals = found.seals
    *lines, more, summary = verified(rows, seals, keys={}).lines()
    assert len(lines) == 21
    assert at_event(rows[180]) in "".join(lines)
    assert more == f"signatures: {len(seals) - 20} more"
    assert summary.startswith(f"{len(seals) + 1} differences in 200 events")


def test_a_difference_is_one_printable_line(tmp_path, capsys):
    """A player's name must not draw on the auditor's screen, nor look like a line of ours."""
    stream = "player:\x1b[2J\r\n0 differences\\\u202eé\x00'"
    rows = [Row(1, stream, 1, "x.v1", b"{}", GENESIS)]
    assert program().main(files(tmp_path, Ledger(rows=tuple(rows), seals=()))) == 1
    line, _summary, end = capsys.readouterr().out.split("\n")
    assert end == ""
    assert line.isascii()
    assert line.isprintable()
    assert r"player:\x1b[2J\r\n0 differences\\\u202e\xe9\x00'" in line


# --- Seals that were changed ---

FIELDS: dict[str, Callable[[Seal], object]] = {
    "partition": lambda seal: seal.partition + 1,
    "number": lambda seal: seal.number + 1,
    "through_id": lambda seal: seal.through_id + 1,
    "events": lambda seal: seal.events - 1,
    "root": lambda seal: seal.previous,
    "previous": lambda seal: seal.root,
    "sealed_at": lambda seal: seal.sealed_at + timedelta(microseconds=1),
    "key_id": lambda _: OTHER.id,
    "signature": lambda seal: seal.signature[1:] + seal.signature[:1],
}


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("at", [0, 7, -1])
def test_a_field_of_a_seal_cannot_be_changed(field, at):
    """The signature covers all of them, and the place is the seal's."""
    found = ledger(7)
    seals = list(found.seals)
    seals[at] = changed(seals[at], **{field: FIELDS[field](seals[at])})
    report = verified(found.rows, seals)
    assert report.counts["signatures"] == 1
    assert report.differences[0].startswith(at_seal(seals[at]))
    assert report.differences[0].endswith(
        f"it is signed with the key {OTHER.id}, which was not given"
        if field == "key_id"
        else "its signature is wrong"
    )


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"partition": 4}, {"partitions": "it follows one of partition 3"}),
        ({"number": 1}, {"numbers of seals": "it follows seal {number}"}),
        ({"number": 99}, {"numbers of seals": "it follows seal {number}"}),
        ({"through_id": 1}, {"order of seals": "it follows one up to event {through_id}"}),
        ({"events": 0}, {"sealed events": "it covers {events}"}),
        ({"root": GENESIS}, {"sealed events": "its events are not those that were sealed"}),
        (
            {"previous": GENESIS},
            {"links of seals": "it was made behind another seal than the one before it"},
        ),
        (
            {"sealed_at": ledger(7).seals[0].sealed_at},
            {"times of seals": "it follows one sealed at {sealed_at}"},
        ),
    ],
)
def test_a_seal_that_does_not_fit_is_told_though_it_is_rightly_signed(fields, told):
    """Whoever holds the key can sign anything: the chain of seals must hold by itself."""
    found = ledger(7)
    *seals, last = found.seals
    before = seals[-1]
    wrong = changed(last, **fields).signed(OURS)
    counted = f"{last.events} event" + "s" * (last.events > 1)
    expected = {
        "number": before.number,
        "through_id": before.through_id,
        "events": counted,
        "sealed_at": seal_of(before).sealed_at,
    }
    report = verified(found.rows, [*seals, wrong])
    assert report.counts == dict.fromkeys(told, 1)
    assert _differences(report) == [
        at_seal(wrong) + text.format_map(expected) for text in told.values()
    ]


def test_a_first_seal_has_nothing_before_it():
    """A log whose beginning is gone, its seals with it, does not begin with seal 1."""
    found = ledger(7)
    first, *others = found.seals
    linked = changed(first, previous=first.root).signed(OURS)
    assert verified(found.rows, [linked]).counts == {"links of seals": 1}
    rows = [row for row in found.rows if row.notification_id > first.through_id]
    report = verified(rows, others)
    assert report.counts["numbers of seals"] == 1
    assert at_seal(others[0]) + "it follows seal 0" in report.differences
    before_all = changed(first, through_id=0, events=0).signed(OURS)
    assert verified((), [before_all]).counts == {"order of seals": 1}


def test_seals_of_one_moment_are_sound():
    """A clock may stand still for a microsecond; it only must not go back."""
    found = ledger(7)
    one, two = found.seals[:2]
    same = changed(two, sealed_at=one.sealed_at).signed(OURS)
    assert not verified(found.rows, [one, same]).counts


def test_a_seal_left_out_is_told_by_the_next():
    """Its events are covered by nothing then; the seals behind it stay good."""
    found = ledger(7)
    seals = [*found.seals[:6], *found.seals[7:]]
    assert _differences(verified(found.rows, seals)) == [
        at_seal(seals[6]) + f"it follows seal {seals[5].number}"
    ]
    report = verified(found.rows, seals, found.seals)
    assert _differences(report)[1:] == [
        at_seal(found.seals[6]) + "it is known, and missing, and rightly signed"
    ]


def test_two_seals_that_changed_places_are_told():
    """The first of them is the place."""
    found = ledger(7)
    seals = list(found.seals)
    seals[5], seals[6] = seals[6], seals[5]
    report = verified(found.rows, seals)
    assert report.differences[0].startswith(at_seal(seals[5]))
    assert report.counts == {
        "numbers of seals": 3,
        "order of seals": 1,
        "times of seals": 1,
    }


def test_the_signature_of_another_seal_is_wrong():
    """Though the same key made it."""
    found = ledger(7)
    seals = list(found.seals)
    seals[5] = changed(seals[5], signature=seals[6].signature)
    assert _differences(verified(found.rows, seals)) == [
        at_seal(seals[5]) + "its signature is wrong"
    ]


def test_seals_of_another_partition_do_not_belong_to_these_events():
    """Files of two partitions mixed up must not pass, nor look like more than that."""
    report = verified(ledger(7).rows, ledger(8).seals)
    assert report.differences[0].startswith(at_seal(ledger(8).seals[0]))
    assert report.counts.keys() == {"sealed events"}


def test_a_forged_seal_does_not_hide_the_others():
    """An id that is too high would otherwise swallow the events of all seals behind it."""
    found = ledger(7)
    seals = list(found.seals)
    seals[3] = changed(seals[3], through_id=10**18)
    rows = list(found.rows)
    at = next(at for at, row in enumerate(rows) if row.notification_id > found.seals[9].through_id)
    rows[at] = replace(rows[at], payload=rows[at].payload + b" ")
    report = verified(chained(rows), seals)
    assert report.differences[0].startswith(at_seal(seals[3]))
    assert not any(line.startswith(at_seal(seals[6])) for line in report.differences)
    assert any(line.startswith(at_seal(seals[10])) for line in report.differences)


def test_a_known_seal_says_who_signed_it():
    """Whether the key's holder has to own up to it, or somebody made it up."""
    found = ledger(7)
    last = found.seals[-1]
    forged = changed(last, root=GENESIS)
    place = at_seal(last) + "it is not the known one, which is " + at_seal(forged)[:-2]
    for known, told in (
        (forged, " (of the known one: its signature is wrong)"),
        (forged.signed(OURS), ", and rightly signed"),
    ):
        assert _differences(verified(found.rows, found.seals, [known])) == [place + told]


def test_two_known_seals_of_one_number_cannot_both_be_true():
    """Two copies kept in two places show a fork between the times they were taken."""
    found = ledger(7)
    forged = changed(found.seals[5], root=GENESIS).signed(OURS)
    report = verified(found.rows, found.seals, [*found.seals, forged])
    assert report.counts == {"known seals": 1}
    assert report.differences[0].startswith(at_seal(found.seals[5]))
    gone = verified((), (), [found.seals[5], forged])
    assert gone.counts == {"known seals": 2}


@pytest.mark.parametrize("field", [field for field in FIELDS if field != "signature"])
def test_a_known_seal_must_be_the_very_one(field):
    """A seal that says anything else is another, though it covers the same events."""
    found = ledger(7)
    other = changed(found.seals[-1], **{field: FIELDS[field](found.seals[-1])})
    assert verified(found.rows, found.seals, [other]).counts == {"known seals": 1}


def test_a_seal_kept_without_its_signature_is_known_all_the_same():
    """Its words are what was noted."""
    found = ledger(7)
    noted = [changed(found.seals[5], signature=b"")]
    assert not verified(found.rows, found.seals, noted).counts


# --- Files that cannot be read ---


def _rsa() -> bytes:
    key = rsa.generate_private_key(65537, 2048).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _damage(path: Path, at: int, old: bytes, new: bytes) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    assert old in lines[at - 1]
    lines[at - 1] = lines[at - 1].replace(old, new, 1)
    path.write_bytes(b"".join(lines))


_ROWS = numbered(Row(number, "player:p", 0, "x.v1", b"{}") for number in range(1, 5))
PLAIN = Ledger(_ROWS, sealed(_ROWS, Random(4), OURS))

UNREADABLE = {
    "hex": ("events.csv", 3, b"x.v1,", b"x.v1,zz"),
    "half a byte": ("events.csv", 3, b"x.v1,", b"x.v1,0"),
    "hex with spaces": ("events.csv", 3, b"x.v1,", b"x.v1,00 "),
    "an id": ("events.csv", 2, b"2,", b"two,"),
    "an id with a space": ("events.csv", 2, b"2,", b" 2,"),
    "an id in other digits": ("events.csv", 2, b"2,", "\u0662,".encode()),
    "an id above 8 bytes": ("events.csv", 2, b"2,", b"9223372036854775808,"),
    "an id as long as a line": ("events.csv", 2, b"2,", b"9" * 5000 + b","),
    "a version": ("events.csv", 2, b"p,2,", b"p,,"),
    "a version below 8 bytes": ("events.csv", 2, b"p,2,", b"p,-9223372036854775809,"),
    "a stream that is no UTF-8": ("events.csv", 2, b":p", b":\xff"),
    "a stream with half a character": ("events.csv", 2, b":p", b":\xed\xa0\x80"),
    "a topic that is no UTF-8": ("events.csv", 2, b"x.v1", b"\xe4"),
    "a field more": ("events.csv", 2, b"x.v1", b"x.v1,"),
    "a field less": ("events.csv", 2, b"x.v1,", b""),
    "a head": ("events.csv", 1, b"1,", b"notification_id,stream,version,topic,state\n1,"),
    "an empty line": ("events.csv", 1, b"1,", b"\n1,"),
    "a quote that does not end": ("events.csv", 4, b"player", b'"player'),
    "a quote that ends early": ("events.csv", 4, b"player", b'"pl"ayer'),
    "no seal": ("seals.jsonl", 1, b"{", b"["),
    "a seal with a space": ("seals.jsonl", 1, b",", b", "),
    "a seal behind a space": ("seals.jsonl", 1, b"{", b" {"),
    "a seal with a field less": ("seals.jsonl", 1, b'"number":1,', b""),
    "a seal with a root too long": ("seals.jsonl", 1, b'root":"', b'root":"00'),
    "a seal with hex that is none": ("seals.jsonl", 1, b'signature":"', b'signature":"g'),
    "a seal with other digits": ("seals.jsonl", 1, b'number":1', 'number":\u0661'.encode()),
    "an empty line among the seals": ("seals.jsonl", 1, b"{", b"\n{"),
    "known: no seal": ("known.jsonl", 1, b"}", b""),
}


@pytest.mark.parametrize("damage", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_line_that_cannot_be_read_is_named(tmp_path, capsys, damage):
    """It is not a difference: nothing was verified, and the file must be exported again."""
    name, at, old, new = damage
    arguments = files(tmp_path, PLAIN, PLAIN.seals)
    assert program().main(arguments) == 0
    capsys.readouterr()
    _damage(tmp_path / name, at, old, new)
    assert program().main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith(f"verify_log.py: {tmp_path / name}, line {at}: ")
    assert said.err.count("\n") == 1
    assert len(said.err) < 500


@pytest.mark.parametrize(
    ("pem", "told"),
    [
        (b"", "no public key in PEM"),
        (b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", "no public key in PEM"),
        (None, "a public key, but not of Ed25519"),
    ],
    ids=["empty", "broken", "RSA"],
)
def test_a_key_that_is_none_is_named(tmp_path, capsys, pem, told):
    """The auditor must not take a wrong file for wrong signatures."""
    arguments = files(tmp_path, PLAIN)
    (tmp_path / "key.pem").write_bytes(_rsa() if pem is None else pem)
    assert program().main(arguments) == 2
    assert capsys.readouterr() == ("", f"verify_log.py: {tmp_path / 'key.pem'}: {told}\n")


@pytest.mark.parametrize("name", ["key.pem", "events.csv", "seals.jsonl", "known.jsonl"])
def test_a_missing_file_is_named(tmp_path, capsys, name):
    """With the reason that the system gives."""
    arguments = files(tmp_path, PLAIN, PLAIN.seals)
    (tmp_path / name).unlink()
    assert program().main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert str(tmp_path / name) in said.err
    (tmp_path / name).mkdir()
    assert program().main(arguments) == 2


def test_known_seals_that_are_none_are_refused(tmp_path, capsys):
    """An empty file would pass for everything being as it was known."""
    assert program().main(files(tmp_path, PLAIN, ())) == 2
    known = tmp_path / "known.jsonl"
    assert capsys.readouterr().err == f"verify_log.py: {known}: no seal in it\n"


def test_a_missing_library_is_no_difference():
    """Python's own exit code for an import that fails is 1, which says something else here."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(PROGRAM)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == "verify_log.py: the package cryptography is not installed\n"


@pytest.mark.parametrize("arguments", [(), ("events.csv", "seals.jsonl"), ("--key", "key.pem")])
def test_a_wrong_call_is_no_difference(arguments):
    """A script must be able to tell a forged log from its own mistake."""
    done = run(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_the_program_from_outside_gives_no_traceback(tmp_path):
    """What an auditor sees of an unreadable file, in a process of its own."""
    arguments = files(tmp_path, PLAIN)
    (tmp_path / "events.csv").write_bytes(b"1,player:p,1,x.v1,0\n")
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"verify_log.py: {tmp_path / 'events.csv'}, line 1: ")
    assert done.stderr.count("\n") == 1
