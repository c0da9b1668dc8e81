"""The program for bundles of evidence: what it finds in one that was tampered with, and shows."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pytest

from ledger.chain import GENESIS, link
from ledger.merkle import Tree, path
from ledger.seals import leaf, line_of
from tests.unit.evidence_fakes import (
    ANN,
    BOB,
    BUNDLES,
    KEYS,
    Change,
    Record,
    as_record,
    bundle,
    evidence,
    of,
    partition,
    program,
    proofs,
    seal_in,
    signed_anew,
    verified,
)
from tests.unit.seal_fakes import OTHER, OURS, PROGRAM, Ledger, chained, numbered, sealed

VARIANTS = 50


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where the bundle is."""
    return tmp_path / "evidence.jsonl"


def differences(file: Path, records: list[Record], **given: Any) -> list[str]:
    """What the program finds."""
    found: list[str] = verified(file, records, **given).report.differences
    return found


# --- Sound bundles ---


@pytest.mark.parametrize("seed", range(3 * BUNDLES))
def test_a_sound_bundle_has_no_differences(file, seed):
    """A program that finds something everywhere is as bad as one that finds nothing."""
    records = bundle(seed)
    known = [each["seal"] for each in of(records, "seal")]
    verdict = verified(file, records, known[1:])
    report = verdict.report
    header, last = records[0], of(records, "seal")[-1]["version"]
    assert report.differences == []
    assert report.sealed == last
    assert report.known >= len(known) - 1
    events, seals = len(of(records, "event")), len(known)
    (summary,) = report.lines()
    assert summary == (
        f"0 differences in {events} events of player:ann (versions {header['first']} to"
        f" {header['last']}), {seals} seals ({report.known} known from outside), 2 calls;"
        f" {header['last'] - last} event{'s' * (header['last'] - last != 1)} not sealed"
    )
    assert len(verdict.said) == 4 + events + seals + 3 * 2


def test_the_bundles_are_of_many_kinds():
    """Whole histories and parts of them, all sealed and not: otherwise little would be tested."""
    records = [bundle(seed) for seed in range(VARIANTS)]
    firsts = [each[0]["first"] for each in records]
    assert 0.3 < firsts.count(1) / VARIANTS < 0.7
    unsealed = [each[0]["last"] - of(each, "seal")[-1]["version"] for each in records]
    assert min(unsealed) == 0
    assert max(unsealed) > 0
    lengths = {len(seal["path"]) for each in records for seal in of(each, "seal")}
    assert lengths >= {0, 1, 2, 3, 4}


@pytest.mark.parametrize("size", range(1, 66))
def test_every_place_of_a_tree_of_any_size_is_proven(size):
    """Against roots that the product's growing tree gives, not those of the path's own code."""
    found = partition(0).rows[:size]
    tree = Tree()
    for row in found:
        tree.add(leaf(row.notification_id, row.hash))
    leaves = [leaf(row.notification_id, row.hash) for row in found]
    for place, each in enumerate(leaves):
        siblings, _ = path(leaves, place)
        root_of = program().root_of
        assert root_of(each, place, size, siblings) == tree.root()
        assert root_of(each, place, size, [*siblings, GENESIS]) is None
        assert not siblings or root_of(each, place, size, siblings[:-1]) is None
        for other in {place - 1, place + 1, size - 1, 0, size, -1} - {place}:
            assert root_of(each, other, size, siblings) != tree.root()


def test_an_inner_node_is_no_leaf():
    """What stands for two events must not pass for one, whatever is said of the tree's size."""
    leaves = [leaf(row.notification_id, row.hash) for row in partition(0).rows[:4]]
    (sibling, above), root = path(leaves, 0)
    node = b"\x01" + program().sha256(b"\x00" + leaves[0]).digest() + sibling
    for size in (1, 2, 3, 4):
        assert program().root_of(node, 0, size, [above]) != root
        assert program().root_of(node[1:], 0, size, [above]) != root


def test_the_program_needs_nothing_of_ours():
    """Whoever has to trust our code need not verify anything."""
    tree = ast.parse(PROGRAM.with_stem("verify_evidence").read_text(encoding="utf-8"))
    names = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    names |= {
        node.module or "relative" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
    }
    roots = {name.partition(".")[0] for name in names}
    assert roots - sys.stdlib_module_names == {"cryptography"}


# --- Attacks ---


def _flipped(random: Random, text: str) -> str:
    """Other hex digits."""
    at = random.randrange(len(text))
    other = random.choice([digit for digit in "0123456789abcdef" if digit != text[at]])
    return text[:at] + other + text[at + 1 :]


def _event(random: Random, records: list[Record]) -> Record:
    found: Record = random.choice(of(records, "event"))
    return found


def _seal(random: Random, records: list[Record]) -> Record:
    found: Record = random.choice(of(records, "seal"))
    return found


def _hashed(records: list[Record]) -> None:
    """All hashes made anew, as somebody would who knows how."""
    previous = bytes.fromhex(records[0]["previous"])
    for event in of(records, "event"):
        previous = link(
            previous,
            records[0]["stream"],
            event["version"],
            event["name"],
            event["payload"].encode(),
        )
        event["hash"] = previous.hex()


def _sealed_version(records: list[Record]) -> int:
    version: int = of(records, "seal")[-1]["version"]
    return version


def _counted(records: list[Record]) -> None:
    """What is announced made to fit what is there."""
    for kind in ("event", "seal", "call"):
        records[-1][f"{kind}s"] = len(of(records, kind))
    versions = [event["version"] for event in of(records, "event")]
    records[0]["first"], records[0]["last"] = versions[0], versions[-1]


def _about(event: Record) -> str:
    return f"event {event['version']}: its hash is not that of its content"


def payload_altered(random: Random, records: list[Record]) -> str:
    """A character of what an event says."""
    event = _event(random, records)
    text = event["payload"]
    at = random.randrange(len(text))
    other = chr(ord(text[at]) ^ 1 << random.randrange(3))
    event["payload"] = text[:at] + other + text[at + 1 :]
    return _about(event)


def payload_longer(random: Random, records: list[Record]) -> str:
    """White space that changes nothing of what it says."""
    event = _event(random, records)
    event["payload"] = random.choice((event["payload"] + " ", " " + event["payload"]))
    return _about(event)


def name_altered(random: Random, records: list[Record]) -> str:
    """A bet becomes a win, or of another version; or a part of the content becomes its name."""
    event = _event(random, records)
    name, payload = event["name"], event["payload"]
    event["name"] = random.choice((name[:-1] + "2", "win_credited.v9", "", name + "\x00"))
    if random.random() < 0.3:
        event["name"], event["payload"] = name + payload[0], payload[1:]
    return _about(event)


def hash_altered(random: Random, records: list[Record]) -> str:
    """A digit of a hash as stored."""
    event = _event(random, records)
    event["hash"] = _flipped(random, event["hash"])
    return _about(event)


def version_altered(random: Random, records: list[Record]) -> str:
    """An event is said to stand elsewhere."""
    event = _event(random, records)
    event["version"] = random.choice((event["version"] + 1, event["version"] - 1, -1, 2**63 - 1))
    return f"event {event['version']}: event "


def hashes_made_anew(random: Random, records: list[Record]) -> str:
    """An event that is sealed is altered, and so is every hash behind it."""
    last = _sealed_version(records)
    event = random.choice([each for each in of(records, "event") if each["version"] <= last])
    event["payload"] += " "
    _hashed(records)
    proven = next(each for each in of(records, "seal") if each["version"] >= event["version"])
    return f"event {proven['version']} is not proven to be among those"


def event_dropped(random: Random, records: list[Record]) -> str:
    """One is gone, with or without the number at the end made to fit."""
    event = random.choice(of(records, "event")[:-1])
    following = event["version"] + 1
    records.remove(event)
    records[-1]["events"] -= random.choice((0, 1))
    return f"event {following}: "


def last_event_dropped(random: Random, records: list[Record]) -> str:
    """The end of the stretch is gone."""
    records.remove(of(records, "event")[-1])
    records[-1]["events"] -= 1
    return "which is not what is announced"


def event_dropped_and_numbered_anew(random: Random, records: list[Record]) -> str:
    """One that is sealed is gone; versions, hashes and counts fit."""
    last = _sealed_version(records)
    event = random.choice([each for each in of(records, "event") if each["version"] <= last])
    records.remove(event)
    for version, each in enumerate(of(records, "event"), records[0]["first"]):
        each["version"] = version
    _hashed(records)
    _counted(records)
    return f": event {last} is not "


def event_put_in(random: Random, records: list[Record]) -> str:
    """One that never was, before one that is sealed; versions, hashes and counts fit."""
    last = _sealed_version(records)
    event = random.choice([each for each in of(records, "event") if each["version"] <= last])
    records.insert(records.index(event), {**event, "payload": event["payload"] + " "})
    for version, each in enumerate(of(records, "event"), records[0]["first"]):
        each["version"] = version
    _hashed(records)
    _counted(records)
    return "is not proven to be among those"


def event_twice(random: Random, records: list[Record]) -> str:
    """As it is."""
    event = _event(random, records)
    records.insert(records.index(event), dict(event))
    _counted(records)
    return f"event {event['version']}: event {event['version'] + 1} has to stand there"


def events_swapped(random: Random, records: list[Record]) -> str:
    """Two neighbours, with or without their versions."""
    at = random.randrange(1, len(of(records, "event")))
    one, other = records[at], records[at + 1]
    if random.random() < 0.5:
        one["version"], other["version"] = other["version"], one["version"]
    records[at], records[at + 1] = other, one
    return f"event {other['version']}: "


def beginning_gone(random: Random, records: list[Record]) -> str:
    """The stretch is said to begin later, and what stood before it is made up."""
    gone = of(records, "event")[: random.randint(1, 5)]
    for event in gone:
        records.remove(event)
    records[0]["previous"] = _flipped(random, gone[-1]["hash"])
    _counted(records)
    return _about(of(records, "event")[0])


def beginning_made_up(random: Random, records: list[Record]) -> str:
    """Versions before the first, of which no ledger knows."""
    first = of(records, "event")[0]
    records.insert(1, {**first, "version": first["version"] - 1})
    records[0]["previous"] = "0" * 64
    _counted(records)
    return f"event {first['version']}: its hash is not" if first["version"] > 1 else "event 0: "


def previous_altered(random: Random, records: list[Record]) -> str:
    """What is said to stand before the first event."""
    records[0]["previous"] = _flipped(random, records[0]["previous"])
    return _about(of(records, "event")[0])


def first_altered(random: Random, records: list[Record]) -> str:
    """The same events, said to stand elsewhere."""
    first = records[0]["first"]
    records[0]["first"] = random.choice((first + 1, first - 1, 10**12))
    return f"event {first}: event {records[0]['first']} has to stand there"


def last_altered(random: Random, records: list[Record]) -> str:
    """More or less than there is."""
    records[0]["last"] += random.choice((-10, -1, 1, 10**12))
    return "events, which is not what is announced"


def player_altered(random: Random, records: list[Record]) -> str:
    """Ann's events under Bob's name."""
    records[0]["player_id"] = "bob"
    if random.random() < 0.5:
        return "the events are those of player:ann, not of the player"
    records[0]["stream"] = "player:bob"
    return _about(of(records, "event")[0])


def stream_altered(random: Random, records: list[Record]) -> str:
    """A stream that is none of a player's, though the chain is right."""
    records[0]["stream"] = random.choice(("game:ann", "player:ann:", "ann", ""))
    _hashed(records)
    return f"the events are those of {records[0]['stream']}, not of the player"


def partition_altered(random: Random, records: list[Record]) -> str:
    """The seals are those of another partition then."""
    records[0]["partition"] += random.choice((-1, 1))
    return f": the player is in partition {records[0]['partition']}"


def another_players_seals(random: Random, records: list[Record]) -> str:
    """Proofs of Bob's events, which are right, and prove nothing of Ann's."""
    found = partition(random.randrange(BUNDLES))
    theirs = [each for each in found.rows if each.stream == BOB]
    at = records.index(of(records, "seal")[0])
    for each in of(records, "seal"):
        records.remove(each)
    records[at:at] = [
        {**each, "version": random.choice(of(records, "event"))["version"]}
        for each in proofs(found, theirs)[:2]
    ]
    return "is not proven to be among those"


def root_of_another_tree(random: Random, records: list[Record]) -> str:
    """An event that was never sealed, proven by a tree of its own under a root that is signed."""
    proven = random.choice([each for each in of(records, "seal") if each["path"]])
    proven["path"], proven["place"] = [], 0
    proven["seal"]["events"] = 1
    return "its signature is wrong"


def seal_altered(random: Random, records: list[Record]) -> str:
    """Each of its fields is signed."""
    seal = _seal(random, records)["seal"]
    what = random.choice([name for name in seal if name != "key_id"])
    if isinstance(seal[what], int):
        seal[what] += random.choice((-1, 1, 10**30))
    elif what == "sealed_at":
        seal[what] = "2026-01-01T00:00:00.999999Z"
    else:
        seal[what] = _flipped(random, seal[what])
    return "its signature is wrong"


def seal_of_a_key_that_was_not_given(random: Random, records: list[Record]) -> str:
    """Rightly signed by somebody whom nobody has to believe."""
    signed_anew(_seal(random, records), OTHER)
    return f"it is signed with the key {OTHER.id}, which was not given"


def seal_forged(random: Random, records: list[Record]) -> str:
    """The same under the name of our key."""
    proven = _seal(random, records)
    signed_anew(proven, OTHER)
    proven["seal"]["key_id"] = OURS.id
    return "its signature is wrong"


def path_altered(random: Random, records: list[Record]) -> str:
    """A hash of it, its length, or its order."""
    proven = random.choice([each for each in of(records, "seal") if each["path"]])
    audit_path = proven["path"]
    at = random.randrange(len(audit_path))
    change = random.randrange(4)
    if change == 0:
        audit_path[at] = _flipped(random, audit_path[at])
    elif change == 1:
        del audit_path[at]
    elif change == 2:
        audit_path.insert(at, audit_path[at])
    else:
        audit_path.append("0" * 64)
    return f"event {proven['version']} is not proven to be among those"


def place_altered(random: Random, records: list[Record]) -> str:
    """Another place in the tree, there or not."""
    proven = random.choice([each for each in of(records, "seal") if each["path"]])
    other = random.choice((proven["place"] ^ 1, -1, proven["seal"]["events"], 2**63 - 1))
    proven["place"] = other
    return f"event {proven['version']} is not proven to be among those"


def notification_id_altered(random: Random, records: list[Record]) -> str:
    """Where the event stands in the log is in the tree with it."""
    proven = _seal(random, records)
    proven["notification_id"] += random.choice((-1, 1, 2**40))
    return f"event {proven['version']} is not proven to be among those"


def proof_of_another_event(random: Random, records: list[Record]) -> str:
    """A right proof, said to be that of an event before or behind."""
    proven = _seal(random, records)
    version = proven["version"]
    proven["version"] = random.choice((version - 1, version + 1, records[0]["last"] + 1, -1))
    return ": event "


def balance_that_does_not_follow(random: Random, records: list[Record]) -> str:
    """Though every hash is right: a ledger that counts wrongly is no evidence."""
    events = [each for each in of(records, "event") if '"balance_real"' in each["payload"]]
    code = random.choice(("EUR", "JPY"))
    events = [each for each in events if f'"{code}"' in each["payload"]][1:]
    event = random.choice(events)
    content = json.loads(event["payload"])
    balance = random.choice(("balance_real", "balance_bonus"))
    content[balance] += random.choice((-1, 1, 10**9))
    event["payload"] = json.dumps(content)
    _hashed(records)
    return f"event {event['version']}: its {balance} does not follow"


def time_that_goes_back(random: Random, records: list[Record]) -> str:
    """By as little as a microsecond, in whatever zone it is told."""
    event = random.choice(of(records, "event")[:-1])
    following = records[records.index(event) + 1]
    content = json.loads(following["payload"])
    later = random.choice(("9999-12-31T23:59:59Z", "2026-01-01T00:00:00.000001-23:59"))
    content["recorded_at"] = later
    event["payload"] = json.dumps({**json.loads(event["payload"]), "recorded_at": later})
    content["recorded_at"] = "2026-01-01T00:00:00.000000-23:59"
    following["payload"] = json.dumps(content)
    _hashed(records)
    return f"event {following['version']}: it is older than the one before it"


def counts_altered(random: Random, records: list[Record]) -> str:
    """What is said to be there is not."""
    what = random.choice(("event", "seal", "call"))
    records[-1][f"{what}s"] += random.choice((-1, 1, 10**12))
    return f" in place of {records[-1][f'{what}s']}"


def call_dropped(random: Random, records: list[Record]) -> str:
    """Nothing seals calls, but one that is lost on the way is missed."""
    records.remove(random.choice(of(records, "call")))
    return "1 call in place of 2"


ATTACKS: tuple[Change, ...] = (
    payload_altered,
    payload_longer,
    name_altered,
    hash_altered,
    version_altered,
    hashes_made_anew,
    event_dropped,
    last_event_dropped,
    event_dropped_and_numbered_anew,
    event_put_in,
    event_twice,
    events_swapped,
    beginning_gone,
    beginning_made_up,
    previous_altered,
    first_altered,
    last_altered,
    player_altered,
    stream_altered,
    partition_altered,
    another_players_seals,
    root_of_another_tree,
    seal_altered,
    seal_of_a_key_that_was_not_given,
    seal_forged,
    path_altered,
    place_altered,
    notification_id_altered,
    proof_of_another_event,
    balance_that_does_not_follow,
    time_that_goes_back,
    counts_altered,
    call_dropped,
)


@pytest.mark.parametrize("attack", ATTACKS, ids=[attack.__name__ for attack in ATTACKS])
def test_an_attack_is_found_and_told_as_what_it_is(file, attack):
    """This is what a bundle is for: nobody who hands it over needs to be believed."""
    for seed in range(VARIANTS):
        print(f"{attack.__name__}, seed {seed}")
        records = bundle(seed)
        told = attack(Random(seed), records)
        found = differences(file, records)
        assert any(told in line for line in found), (told, found[:3])


def test_events_of_another_player_do_not_pass_for_anns(file):
    """Bob's events are sealed as rightly as hers."""
    for seed in range(VARIANTS):
        records = bundle(seed)
        found = partition(seed % BUNDLES)
        theirs = [row for row in found.rows if row.stream == BOB]
        for event, row in zip(of(records, "event"), theirs, strict=False):
            event["hash"] = row.hash.hex()
        assert differences(file, records)


# --- What it must not claim ---


def test_events_behind_the_last_proof_are_counted_and_not_vouched_for(file):
    """Said honestly: until they are sealed, whoever can write and hash can change them."""
    for seed in range(VARIANTS):
        records = bundle(seed)
        last = _sealed_version(records)
        unsealed = [each for each in of(records, "event") if each["version"] > last]
        for event in unsealed:
            event["payload"] += " "
        _hashed(records)
        report = verified(file, records).report
        assert report.differences == []
        assert list(report.lines())[-1].endswith(
            f"; {len(unsealed)} event{'s' * (len(unsealed) != 1)} not sealed"
        )


def test_without_the_last_proofs_their_events_count_as_not_sealed(file):
    """Whoever leaves a proof out must not gain by it."""
    for seed in range(BUNDLES):
        records = bundle(seed)
        while proofs_left := of(records, "seal"):
            records.remove(proofs_left[-1])
            _counted(records)
            verdict = verified(file, records)
            sealed_up_to = max([each["version"] for each in proofs_left[:-1]], default=0)
            assert verdict.report.differences == []
            assert verdict.report.sealed == sealed_up_to
        header = records[0]
        count = header["last"] - header["first"] + 1
        assert list(verified(file, records).report.lines())[-1].endswith(
            f"; {count} events not sealed"
        )


@pytest.mark.parametrize("attack", [seal_forged, path_altered, place_altered, partition_altered])
def test_a_proof_that_fails_seals_nothing(file, attack):
    """Not even in the count, nor in what is shown."""
    for seed in range(BUNDLES):
        records = bundle(seed)
        for each in of(records, "seal")[:-1]:
            records.remove(each)
        if attack in (path_altered, place_altered) and not of(records, "seal")[0]["path"]:
            continue
        attack(Random(seed), records)
        verdict = verified(file, records)
        assert verdict.report.sealed == 0
        assert not any("sealed at" in line for line in verdict.said)


def test_a_proof_behind_a_break_is_told_with_the_break(file):
    """The events behind it are as they were sealed; the summary must not hide the one before."""
    records = bundle(3)
    event = of(records, "event")[2]
    event["payload"] += " "
    assert differences(file, records) == [_about(event) + " behind the one before"]


def test_a_stretch_without_events_proves_nothing_and_says_so(file):
    """There is nothing between two versions that follow each other."""
    records = evidence(partition(0), 8, 7)
    report = verified(file, records).report
    (summary,) = report.lines()
    assert summary == (
        "0 differences in 0 events of player:ann (versions 8 to 7), 0 seals (0 known from"
        " outside), 2 calls; 0 events not sealed"
    )
    records[0]["last"] = 9
    difference, summary = verified(file, records).report.lines()
    assert difference == "0 events, which is not what is announced"
    assert summary.startswith("1 difference in 0 events of player:ann (versions 8 to 9), ")
    assert summary.endswith("; 2 events not sealed")
    records[0]["last"] = 2
    assert list(verified(file, records).report.lines())[-1].endswith("; 0 events not sealed")


# --- Seals that are known from outside ---


def test_seals_that_are_known_are_told(file):
    """The reader sees which of them nobody could have made later."""
    records = bundle(1)
    kept = [each["seal"] for each in of(records, "seal")]
    for known in (kept, kept * 2, kept[:1]):
        verdict = verified(file, records, known)
        told = [line for line in verdict.said if line.endswith(", known from outside)")]
        assert verdict.report.differences == []
        assert len(told) == verdict.report.known >= len(known[: len(kept)])


def test_when_none_of_the_known_seals_is_met_it_is_said(file):
    """Those of another partition, or of another time, say nothing of these events."""
    records = bundle(1)
    kept = [{**each["seal"], "partition": 4} for each in of(records, "seal")]
    report = verified(file, records, kept).report
    assert (report.differences, report.known) == ([], 0)
    assert "(0 known from outside)" in list(report.lines())[-1]


@pytest.mark.parametrize("field", ["through_id", "events", "root", "sealed_at", "key_id"])
def test_a_known_seal_must_be_the_very_one(file, field):
    """Our own key signed the other: only what was kept outside can tell."""
    for seed in range(BUNDLES):
        records = bundle(seed)
        other = dict(Random(seed).choice(of(records, "seal"))["seal"])
        changes = {
            "through_id": other["through_id"] + 1,
            "events": other["events"] + 1,
            "root": "1" * 64,
            "sealed_at": "2026-01-01T00:00:00.999999Z",
            "key_id": OTHER.id,
        }
        found = differences(file, records, known=[{**other, field: changes[field]}])
        about = "seal {} of partition {}: another one"
        expected = [about.format(other["number"], 3) + " is known from outside"]
        if any(each["seal"]["number"] == other["number"] + 1 for each in of(records, "seal")):
            expected.append(
                about.format(other["number"] + 1, 3) + " before it is known from outside"
            )
        assert found == expected


def test_a_seal_kept_without_its_signature_is_known_all_the_same(file):
    """Its words are what was noted."""
    records = bundle(2)
    noted = {**of(records, "seal")[0]["seal"], "signature": ""}
    assert verified(file, records, [noted]).report.known >= 1


def test_two_known_seals_of_one_number_cannot_both_be_true(file):
    """Two copies kept in two places show a fork between the times they were taken."""
    records = bundle(2)
    seal = of(records, "seal")[0]["seal"]
    verdict = verified(file, records, [seal, {**seal, "root": "1" * 64}])
    about = f"seal {seal['number']} of partition 3"
    assert verdict.report.differences[0] == f"{about}: another one is known from outside"


def test_a_known_seal_fixes_the_one_before_it(file):
    """Somebody may have noted one seal a day: it names the digest of its predecessor."""
    for seed in range(BUNDLES):
        found = partition(seed)
        records = bundle(seed)
        numbers = [each["seal"]["number"] for each in of(records, "seal")]
        number = Random(seed).choice(numbers)
        kept = [as_record(each) for each in _lines(found)][number : number + 1]
        if not kept:
            continue
        report = verified(file, records, kept).report
        assert report.differences == []
        assert report.known == 1 + (number + 1 in numbers)
        other = {**kept[0], "previous": "1" * 64}
        told = f"seal {number} of partition 3: another one is known from outside"
        assert told in differences(file, records, known=[other])


def test_a_seal_behind_another_than_the_known_one_is_told(file):
    """A fork that began after what was kept: the first seal of it still names its predecessor."""
    records = bundle(1)
    second = of(records, "seal")[1]
    before = as_record(_lines(partition(1))[second["seal"]["number"] - 2])
    assert differences(file, records, known=[before]) == []
    for each in of(records, "seal"):
        if each is not second:
            records.remove(each)
    _counted(records)
    signed_anew(second, OURS, previous=GENESIS)
    assert differences(file, records) == []
    assert differences(file, records, known=[before]) == [
        f"{_number(second)} of partition 3: another one before it is known from outside"
    ]


def test_seals_of_two_histories_do_not_stand_in_one_file(file):
    """Our key signed both: whoever has it can, and cannot have both be true."""
    records = bundle(1)
    one, other, *_ = of(records, "seal")
    signed_anew(other, OURS, previous=GENESIS)
    about = f"seal {other['seal']['number']} of partition 3: another one"
    assert f"{about} before it is in the file" in differences(file, records)
    signed_anew(other, OURS, number=seal_in(one).number)
    assert f"seal {one['seal']['number']} of partition 3: another one is in the file" in (
        differences(file, records)
    )


def test_a_proof_twice_is_no_two_proofs(file):
    """Nor one of an event before another's that is proven already."""
    records = bundle(1)
    one, other, *_ = of(records, "seal")
    records.insert(records.index(one), dict(one))
    _counted(records)
    told = f"seal {one['seal']['number']} of partition 3: event {one['version']} is sealed already"
    assert differences(file, records) == [told]
    records = bundle(1)
    one, other, *_ = of(records, "seal")
    at = records.index(one)
    records[at], records[at + 1] = other, one
    assert differences(file, records) == [told]


def test_a_history_made_anew_with_our_key_differs_from_what_was_kept(file):
    """What the key's thief can do: without a seal from outside nothing tells."""
    for seed in range(BUNDLES):
        found = partition(seed)
        at = next(at for at, row in enumerate(found.rows) if row.stream == ANN)
        rows = list(found.rows)
        rows[at] = replace(rows[at], payload=rows[at].payload + b" ")
        rows = list(chained(rows))
        forged = Ledger(tuple(rows), sealed(rows, Random(seed + 1), OURS))
        last = max(row.version for row in rows if row.stream == ANN)
        records = evidence(forged, 1, last)
        assert differences(file, records) == []
        kept = [as_record(each) for each in _lines(found)]
        assert differences(file, records, known=kept)


def test_nothing_stands_before_the_first_event(file):
    """A chain that begins with any other hash is the end of a longer one."""
    records = evidence(partition(0), 1, 9)
    for each in of(records, "seal"):
        records.remove(each)
    records[0]["previous"] = "1" * 64
    _hashed(records)
    _counted(records)
    assert differences(file, records) == ["a hash is said to stand before the first event"]


@pytest.mark.parametrize(("first", "found"), [(1, 1), (4, 0)])
def test_a_history_begins_with_nothing_and_a_part_of_it_with_anything(file, first, found):
    """What a player held before the stretch nobody can know; before the first event it was 0."""
    records = [each for each in evidence(partition(0), first, 40) if each["record"] != "seal"]
    event = next(each for each in of(records, "event") if '"balance_real"' in each["payload"])
    content = json.loads(event["payload"])
    del records[records.index(event) + 1 : -1]
    content["balance_bonus"] += 1
    event["payload"] = json.dumps(content)
    _hashed(records)
    _counted(records)
    told = f"event {event['version']}: its balance_bonus does not follow from what it changed"
    assert differences(file, records) == [told] * found


def _number(proven: Record) -> str:
    return f"seal {proven['seal']['number']}"


def _lines(found: Ledger) -> list[Any]:
    return [line_of(seal) for seal in found.seals]


def test_of_an_event_there_is_nothing_that_its_hash_does_not_cover():
    """Whatever stood beside it could be changed unseen."""
    (event, *_) = of(bundle(0), "event")
    assert list(event) == ["record", "version", "name", "hash", "payload"]


def test_keys_are_changed_and_the_seals_of_the_older_one_stay_good(file):
    """Both are given."""
    records = bundle(4)
    first = of(records, "seal")[0]
    signed_anew(first, OTHER)
    assert len(differences(file, records)) >= 1
    keys = {**KEYS, OTHER.id: OTHER.public}
    for other in of(records, "seal")[1:]:
        records.remove(other)
    _counted(records)
    assert differences(file, records, keys=keys) == []
    assert seal_in(first).key_id == OTHER.id


# --- What is shown ---


def _shown(file: Path, change: Callable[[Record], None], code: str = "EUR") -> str:
    """How a changed event is shown."""
    records = bundle(0)
    event = next(
        each
        for each in of(records, "event")
        if '"bet_placed' in json.dumps(each["name"]) and f'"{code}"' in each["payload"]
    )
    content = json.loads(event["payload"])
    change(content)
    event["payload"] = json.dumps(content)
    said = verified(file, records).said
    return next(line for line in said if line.startswith(f"{event['version']}  "))


@pytest.mark.parametrize(
    ("units", "shown"),
    [
        (0, "0.00"),
        (1, "+0.00001"),
        (250_000, "+2.50"),
        (-250_000, "-2.50"),
        (-1, "-0.00001"),
        (123_456, "+1.23456"),
        (10**30, "+10000000000000000000000000.00"),
    ],
)
def test_an_amount_is_shown_with_all_its_decimals(file, units, shown):
    """People read it; at least as many as the currency has, and none left out."""
    line = _shown(file, lambda content: content.update(real=units))
    assert f", real {shown} = " in line


@pytest.mark.parametrize(
    ("units", "shown"),
    [(0, "0"), (100_000, "+1"), (1, "+0.00001"), (-123_400_000, "-1234"), (250_000, "+2.5")],
)
def test_a_currency_without_decimals_may_have_them_all_the_same(file, units, shown):
    """A provider that counts finer pays half a yen: shown as 25, it would be ten times as much."""
    line = _shown(file, lambda content: content.update(real=units), "JPY")
    assert f", real {shown} = " in line


@pytest.mark.parametrize("twice", ['"reason":"a","reason":"b"', '"tags":{"a":1,"a":2}'])
def test_a_name_that_stands_twice_in_an_event_is_told(file, twice):
    """Its hash may be right: which of the two was booked depends on who reads it."""
    records = bundle(0)
    event = of(records, "event")[2]
    event["payload"] = event["payload"].replace("{", "{" + twice + ",", 1)
    assert f"event {event['version']}: its content cannot be read" in differences(file, records)


def test_two_events_that_differ_are_not_shown_alike(file):
    """Providers choose their ids: one must not read like a round, or like money."""
    plain = _shown(file, lambda content: content.update(transaction_id="t1", round_id="r1"))
    posing = "t1, round_id r1, real +900.00 = 900.00 EUR"
    assert 'transaction_id "t1", round_id "r1", ' in plain
    line = _shown(file, lambda content: content.update(transaction_id=posing, round_id=""))
    assert f'transaction_id "{posing}", ' in line
    for one, other in (("a", 'a", round_id "b'), ("\n", "\\n"), ("\u202e", "\\u202e")):
        lines = [_shown(file, partial(dict.update, transaction_id=each)) for each in (one, other)]
        assert lines[0] != lines[1]


def test_a_call_is_shown_with_its_query(file):
    """Some protocols say everything there."""
    records = bundle(0)
    of(records, "call")[0]["query"] = "walletId=ann&amount=7"
    said = verified(file, records).said
    shown = [line for line in said if " POST " in line]
    assert [line.partition(" POST ")[2] for line in shown] == [
        "/slots/bet?walletId=ann&amount=7, answered 200 (ok)",
        "/slots/bet, answered 200 (ok)",
    ]


def test_the_units_of_amounts_are_told_for_they_are_not_sealed(file):
    """Another scale makes ten of one: the reader sees by what the casino divides."""
    records = bundle(0)
    said = verified(file, records).said
    assert "1 EUR is 100000 of the units in events, by the casino's word" in said
    records[0]["currencies"]["EUR"]["scale"] = 4
    verdict = verified(file, records)
    assert verdict.report.differences == []
    assert "1 EUR is 10000 of the units in events, by the casino's word" in verdict.said


@pytest.mark.parametrize("stored", ["", "00", "0" * 62, "0" * 66])
def test_what_stands_in_the_place_of_a_hash_is_only_a_difference(file, stored):
    """Whatever a database holds goes into the bundle, and everything else is still verified."""
    records = bundle(0)
    event = of(records, "event")[3]
    event["hash"] = stored
    found = differences(file, records)
    assert found[0] == _about(event) + " behind the one before"
    assert found[1].startswith(f"event {event['version'] + 1}: its hash is not that of its content")
    records = evidence(partition(0), 5, 9)
    records[0]["previous"] = stored
    assert differences(file, records) == [
        "event 5: its hash is not that of its content behind the one before"
    ]


def test_numbered_rows_are_what_the_fakes_promise():
    """A bundle of these tests begins at version 1 of a stream, as the ledger's do."""
    found = partition(0)
    assert numbered(found.rows) == found.rows
