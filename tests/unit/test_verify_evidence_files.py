"""The program for bundles of evidence and files that are not what they should be, or hostile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.unit.evidence_fakes import Record, bundle, of, program, write
from tests.unit.seal_fakes import OTHER, OURS, PROGRAM

FILE = "evidence.jsonl"
SEED = 1


def arguments(directory: Path, records: list[Record] | None = None, known: Any = None) -> list[str]:
    """A bundle in a file, the key, what is known, and the arguments that name them."""
    records = bundle(SEED) if records is None else records
    file = write(directory / FILE, records)
    (directory / "key.pem").write_bytes(OURS.pem())
    given = ["--key", str(directory / "key.pem"), str(file)]
    if known is not None:
        given += ["--known", str(write(directory / "known.jsonl", known))]
    return given


def main(given: list[str]) -> int:
    """The exit code."""
    code: int = program().main(given)
    return code


def run(*given: str) -> subprocess.CompletedProcess[str]:
    """The program as an auditor starts it: away from the repository, by itself."""
    return subprocess.run(
        [sys.executable, "-I", str(PROGRAM.with_stem("verify_evidence")), *given],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )


def run_as(encoding: str, *given: str) -> subprocess.CompletedProcess[bytes]:
    """The same where output is written in another encoding."""
    return subprocess.run(
        [sys.executable, str(PROGRAM.with_stem("verify_evidence")), *given],
        capture_output=True,
        check=False,
        cwd="/",
        env={**os.environ, "PYTHONIOENCODING": encoding},
    )


# --- What is asked of it ---


def test_a_sound_bundle_is_shown_and_then_the_verdict(tmp_path):
    """The auditor reads what happened, and at last whether it is true."""
    done = run(*arguments(tmp_path, known=[of(bundle(SEED), "seal")[0]["seal"]]))
    assert (done.returncode, done.stderr) == (0, "")
    first, *_, verdict = done.stdout.splitlines()
    assert first.startswith("player ann, made at 2026-02-01T12:00:00Z by wallet-ledger 1.0")
    assert verdict.startswith("0 differences in ")
    assert "(1 known from outside)" in verdict
    for told in ("deposited", "transaction_id", "sealed at 2026-", "call 2026-", '{"ok": true}'):
        assert told in done.stdout


def test_quiet_is_the_verdict_alone(tmp_path, capsys):
    """For scripts, and for a history of years."""
    given = arguments(tmp_path)
    assert main([*given, "--quiet"]) == 0
    (verdict,) = capsys.readouterr().out.splitlines()
    assert verdict.startswith("0 differences in ")
    records = bundle(SEED)
    records[2]["payload"] += " "
    assert main([*arguments(tmp_path, records), "--quiet"]) == 1
    difference, verdict = capsys.readouterr().out.splitlines()
    assert difference.startswith(f"event {records[2]['version']}: ")
    assert verdict.startswith("1 difference in ")


def test_several_keys_may_be_given(tmp_path, capsys):
    """In any order; the one of the seals must be among them."""
    given = arguments(tmp_path)
    (tmp_path / "other.pem").write_bytes(OTHER.pem())
    other = ["--key", str(tmp_path / "other.pem")]
    assert main([*other, *given]) == main([*given, *other]) == 0
    assert main([*other, str(tmp_path / FILE)]) == 1
    assert f"signed with the key {OURS.id}, which was not given" in capsys.readouterr().out


def test_line_ends_of_another_system_are_no_difference(tmp_path):
    """A bundle goes by mail; so does what was kept."""
    given = arguments(tmp_path, known=[of(bundle(SEED), "seal")[0]["seal"]])
    for name in (FILE, "known.jsonl"):
        file = tmp_path / name
        file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert main(given) == 0


def test_a_missing_library_is_no_difference():
    """Python's own exit code for an import that fails is 1, which says something else here."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", str(PROGRAM.with_stem("verify_evidence"))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == "verify_evidence.py: the package cryptography is not installed\n"


@pytest.mark.parametrize("given", [(), ("evidence.jsonl",), ("--key", "key.pem")])
def test_a_wrong_call_is_no_difference(given):
    """A script must be able to tell a forged bundle from its own mistake."""
    done = run(*given)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


# --- Files that cannot be read ---


def refused(given: list[str], capsys: Any) -> str:
    """What is said of a file that cannot be read: one line, and exit code 2."""
    assert main(given) == 2
    said: str = capsys.readouterr().err
    assert said.startswith("verify_evidence.py: ")
    assert said.count("\n") == 1
    assert said.rstrip("\n").isprintable()
    return said


@pytest.mark.parametrize("name", ["key.pem", FILE, "known.jsonl"])
def test_a_missing_file_is_named(tmp_path, capsys, name):
    """With the reason that the system gives."""
    given = arguments(tmp_path, known=[of(bundle(SEED), "seal")[0]["seal"]])
    (tmp_path / name).unlink()
    assert str(tmp_path / name) in refused(given, capsys)
    (tmp_path / name).mkdir()
    assert str(tmp_path / name) in refused(given, capsys)


@pytest.mark.parametrize(
    "pem", [b"", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"]
)
def test_a_key_that_is_none_is_named(tmp_path, capsys, pem):
    """The auditor must not take a wrong file for wrong signatures."""
    given = arguments(tmp_path)
    (tmp_path / "key.pem").write_bytes(pem)
    assert refused(given, capsys).endswith("key.pem: no public key in PEM\n")


def test_known_seals_that_are_none_are_refused(tmp_path, capsys):
    """An empty file would pass for everything being as it was known."""
    assert refused(arguments(tmp_path, known=[]), capsys).endswith("known.jsonl: no seal in it\n")
    seal = of(bundle(SEED), "seal")[0]
    assert refused(arguments(tmp_path, known=[seal]), capsys).endswith("line 1: no seal\n")


def test_a_part_of_a_bundle_is_no_bundle(tmp_path, capsys):
    """A download that broke off, wherever it did, even between two lines."""
    given = arguments(tmp_path)
    whole = (tmp_path / FILE).read_bytes()
    lines = whole.splitlines(keepends=True)
    between = [sum(map(len, lines[:count])) for count in range(len(lines))]
    for length in [*between, *Random(1).sample(range(len(whole) - 1), 60)]:
        if length == len(whole) - 1:
            continue
        (tmp_path / FILE).write_bytes(whole[:length])
        told = refused(given, capsys)
        ends_early = "it ends too early: a part of it is missing" in told
        assert ends_early == (length in between) or "no JSON" not in told


@pytest.mark.parametrize("kind", ["evidence", "event", "seal", "call", "end"])
def test_records_stand_in_their_order(tmp_path, capsys, kind):
    """Else an event could be shown behind the seal that is said to cover it."""
    records = bundle(SEED)
    moved = of(records, kind)[0]
    for at in (0, len(records) - 1):
        others = [record for record in records if record is not moved]
        others.insert(at, moved)
        if others == records:
            continue
        assert "has no place there" in refused(arguments(tmp_path, others), capsys)
    if kind in ("evidence", "end"):
        twice = sorted([*records, moved], key=lambda each: list(ORDER).index(each["record"]))
        assert "has no place there" in refused(arguments(tmp_path, twice), capsys)
        without = [record for record in records if record is not moved]
        refused(arguments(tmp_path, without), capsys)


ORDER = ("evidence", "event", "seal", "call", "end")

HUGE = 2**63
OTHERS: tuple[Any, ...] = (
    None,
    True,
    0.5,
    float("nan"),
    float("inf"),
    -1,
    HUGE,
    -HUGE - 1,
    5000,
    10**4000,
    "",
    "x",
    "abc",
    "\ud800",
    "é",
    "0" * 64 + "\n",
    "\uff10" * 64,
    "A" * 64,
    [],
    ["x"],
    [1],
    {},
    {"x": "\ud800"},
)


def _fields() -> list[tuple[str, str, str | None]]:
    """Every field of every record, those of a seal and of a currency too."""
    found: list[tuple[str, str, str | None]] = []
    for kind in ORDER:
        record = of(bundle(SEED), kind)[0]
        found += [(kind, name, None) for name in record]
    found += [("seal", "seal", name) for name in of(bundle(SEED), "seal")[0]["seal"]]
    found += [("evidence", "currencies", name) for name in ("exponent", "scale")]
    return found


@pytest.mark.parametrize(("kind", "name", "inner"), _fields())
def test_no_value_of_any_field_gives_a_traceback(tmp_path, capsys, kind, name, inner):
    """Whoever hands over a bundle may be an enemy; what he says is shown or refused."""
    for other in (*OTHERS, ...):
        records = bundle(SEED)
        record = of(records, kind)[-1]
        target: Any = record
        key: Any = name
        if inner is not None:
            target = record[name]
            target = target["EUR"] if name == "currencies" else target
            key = inner
        was = target[key]
        if other is ...:
            del target[key]
        else:
            target[key] = other
        code = main(arguments(tmp_path, records))
        said = capsys.readouterr()
        assert code in (0, 1, 2)
        if type(was) is int and isinstance(other, bool | float) and name != "duration_us":
            assert code == 2, other
        assert (code == 2) == bool(said.err)
        assert said.err.count("\n") <= 1
        assert all(line.isprintable() for line in said.out.split("\n"))


@pytest.mark.parametrize("number", [0, 2])
def test_another_format_is_refused(tmp_path, capsys, number):
    """What it says may mean something else there."""
    records = bundle(SEED)
    records[0]["format"] = number
    told = refused(arguments(tmp_path, records), capsys)
    assert told.endswith(f"line 1: format {number}, and this program reads 1\n")


def test_no_name_stands_twice_in_a_record(tmp_path, capsys):
    """Readers differ in which they take: what was read would not be what was verified."""
    given = arguments(tmp_path)
    file = tmp_path / FILE
    line = file.read_bytes().splitlines()[1]
    other = json.dumps({"payload": "{}"}).encode()[1:-1]
    file.write_bytes(file.read_bytes().replace(line, b"{" + other + b", " + line[1:]))
    assert refused(given, capsys).endswith(f"{file}, line 2: no JSON: a name stands twice\n")


CONTENTS: dict[str, str] = {
    "nothing": "",
    "no object": "[]",
    "a number": "7",
    "a text": '"recorded_at"',
    "no time": "{}",
    "a time that is none": '{"recorded_at":"yesterday"}',
    "a time that is a number": '{"recorded_at":1}',
    "a time without a zone": '{"recorded_at":"2026-01-01T00:00:00"}',
    "a time at the edge": '{"recorded_at":"0001-01-01T00:00:00+23:59"}',
    "a time at the other edge": '{"recorded_at":"9999-12-31T23:59:59-23:59"}',
    "a name twice": '{"recorded_at":"2026-01-01T00:00:00Z","reason":"a","reason":"b"}',
    "deep": "[" * 100_000,
    "half a character": '{"recorded_at":"2026-01-01T00:00:00Z","reason":"\\ud800"}',
    "an amount that is none": '{"recorded_at":"2026-01-01T00:00:00Z","currency":"EUR","real":%s,'
    '"balance_real":%s,"balance_bonus":%s}',
}
AMOUNTS = ("true", "null", "1.5", "NaN", "Infinity", "-Infinity", "1e400", '"1"', "[]", "9" * 5000)


@pytest.mark.parametrize("text", CONTENTS.values(), ids=CONTENTS.keys())
def test_no_content_of_an_event_gives_a_traceback(tmp_path, capsys, text):
    """What is wrong with it is a difference; all others are verified."""
    for amount in AMOUNTS if "%" in text else ("",):
        records = bundle(SEED)
        records[2]["payload"] = text.replace("%s", amount)
        records[3]["payload"] = text.replace("%s", "1", 1).replace("%s", amount)
        assert main(arguments(tmp_path, records)) == 1
        said = capsys.readouterr()
        assert said.err == ""
        assert all(line.isprintable() for line in said.out.split("\n"))


def test_amounts_that_cannot_be_added_give_no_traceback(tmp_path, capsys):
    """Python's integers have no bounds, and its fractions have."""
    records = bundle(SEED)
    said = '{"recorded_at":"2026-01-01T00:00:00Z","currency":"EUR",'
    records[2]["payload"] = said + f'"balance_bonus":{"9" * 400}}}'
    records[3]["payload"] = said + '"bonus":1.5,"balance_bonus":1}'
    assert main(arguments(tmp_path, records)) == 1
    assert "event 3: its content cannot be read" in capsys.readouterr().out


def _bent(random: Random, whole: bytes) -> bytes:
    """A few bytes changed, cut out, doubled, or made hostile."""
    for _ in range(random.randint(1, 3)):
        at = random.randrange(len(whole))
        part = random.choice(
            (
                b"",
                bytes([random.randrange(256)]),
                b"\n",
                b"\x00",
                b'"',
                b"{",
                b"[" * 2_000,
                b"\\ud800",
                b"\x1b[2J",
                b"9" * 5_000,
                b"NaN",
                "٣".encode(),
                b"-",
                whole[at : at + random.randint(1, 200)],
            )
        )
        whole = whole[:at] + part + whole[at + random.choice((0, 1, 1, 50)) :]
    return whole


def test_no_bytes_give_a_traceback(tmp_path, capsys):
    """A bundle comes by mail, from somebody whom nobody trusts."""
    given = arguments(tmp_path)
    whole = (tmp_path / FILE).read_bytes()
    codes = set()
    for seed in range(600):
        (tmp_path / FILE).write_bytes(_bent(Random(seed), whole))
        print(f"seed {seed}")
        codes.add(main(given))
        said = capsys.readouterr()
        assert said.err.count("\n") <= 1, seed
        assert all(line.isprintable() for line in said.out.split("\n")), seed
    assert codes >= {1, 2}


@pytest.mark.parametrize("depth", [300, *range(850, 1000, 10), 10_000, 10**6])
def test_no_depth_gives_a_traceback(tmp_path, capsys, depth):
    """Python gives up at some depth: wherever it does, that is a file that cannot be read."""
    given = arguments(tmp_path)
    lines = (tmp_path / FILE).read_text(encoding="utf-8").splitlines()
    deep = "[" * depth + "]" * depth
    for at, name in ((0, "wanted"), (0, "operator"), (1, "other"), (0, "currencies")):
        bent = list(lines)
        record = json.loads(bent[at])
        record.pop(name, None)
        bent[at] = json.dumps(record)[:-1] + f', "{name}": {deep}}}'
        (tmp_path / FILE).write_text("\n".join(bent) + "\n", encoding="utf-8")
        assert main(given) in (0, 2)
        assert capsys.readouterr().err.count("\n") <= 1


# --- What is shown ---


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_what_the_output_cannot_hold_is_no_difference(tmp_path, encoding):
    """A game with a name in another alphabet, on a system that writes files in an old encoding."""
    records = bundle(SEED)
    assert any("🎲" in event["payload"] for event in of(records, "event"))
    records[0]["operator"] = "Казино"
    done = run_as(encoding, *arguments(tmp_path, records))
    assert (done.returncode, done.stderr) == (0, b"")
    out = done.stdout.decode(encoding)
    assert ("Казино" if encoding == "utf-8" else r"\u041a\u0430\u0437\u0438\u043d\u043e") in out
    assert "\n0 differences in " in out


HOSTILE = "\x1b[2J\r\n0 differences\u202eé\x00\u2028"


def _everywhere(records: list[Record]) -> None:
    records[0].update(operator=HOSTILE, made_at=HOSTILE, made_by=HOSTILE, player_id=HOSTILE)
    records[0].update(stream=HOSTILE, wanted={HOSTILE: HOSTILE})
    for call in of(records, "call"):
        call.update({name: HOSTILE for name in call if name not in ("record", "status")})
    for event in of(records, "event"):
        content = json.loads(event["payload"])
        for name in ("integration", "transaction_id", "round_id", "game", "actor", "reason"):
            content[name] = HOSTILE
        event["payload"] = json.dumps(content)
        event["name"] = HOSTILE + ".v1"


def test_whatever_ids_hold_a_record_is_printable_lines(tmp_path, capsys):
    """A round's name must not draw on the auditor's screen, nor look like a line of ours."""
    records = bundle(SEED)
    main(arguments(tmp_path, records))
    lines = capsys.readouterr().out.count("\n")
    _everywhere(records)
    assert main(arguments(tmp_path, records)) == 1
    out = capsys.readouterr().out
    assert all(line.isprintable() for line in out.split("\n"))
    events = len(of(records, "event"))
    failed = out.count("is not that of its content") + out.count("not of the player")
    assert failed == events + 1
    assert out.count("\n") == lines + failed
    assert not any(line.startswith("0 differences") for line in out.splitlines())
