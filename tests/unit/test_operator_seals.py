"""Seals over the operator API: who may ask, which page is answered, and what a failure is."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from structlog.testing import capture_logs

from adapters.keys import SealSigner
from adapters.operator.seals import SEALS_PAGE_MAX
from adapters.settings import Database, SealSettings
from ledger.chain import GENESIS
from ledger.sealing import NotSealed, SealsDiffer
from ledger.seals import Seal, from_line, to_line
from tests.unit.operator_fakes import SETTINGS, Desk, MemoryViews, running

NOON = datetime(2030, 1, 31, 12, tzinfo=UTC)
KEY = SealSigner(
    Ed25519PrivateKey.generate()
    .private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    .decode()
)
SEALING = replace(SETTINGS, seals=SealSettings(key=KEY), database=Database(partitions=2))


def chain(count: int) -> list[Seal]:
    """So many seals, each behind the one before it."""
    made: list[Seal] = []
    for number in range(1, count + 1):
        seal = Seal(
            partition=0,
            number=number,
            through_id=10 * number,
            events=10,
            root=bytes([number % 256]) * 32,
            previous=made[-1].digest() if made else GENESIS,
            sealed_at=NOON + timedelta(seconds=number),
            key_id=KEY.id,
        )
        made.append(seal.signed(KEY))
    return made


SEALS = chain(5)


@pytest.fixture
def views() -> MemoryViews:
    """Five seals."""
    return MemoryViews(sealed=SEALS)


@pytest.fixture
async def desk(views: MemoryViews) -> AsyncIterator[Desk]:
    """The API where the log is sealed."""
    async with running(settings=SEALING, views=views) as desk:
        yield desk


def lines(answer: Any) -> list[bytes]:
    """The seals of an answer, each encoded anew without a space."""
    return [msgspec.json.encode(seal) for seal in answer.json["seals"]]


async def test_a_seal_of_an_answer_is_the_line_that_a_copy_holds(desk):
    """Whoever keeps answers can have them audited, and compare them with what others keep."""
    answer = await desk.get("/seals")
    assert answer.status == 200
    assert lines(answer) == [to_line(SEALS[-1])]
    assert to_line(SEALS[-1]) in answer.text.encode()
    assert from_line(lines(answer)[0]) == SEALS[-1]
    assert KEY.verifier.verifies(SEALS[-1].signature, from_line(lines(answer)[0]).statement())


async def test_before_the_first_seal_there_is_none(views, desk):
    """The first day is no error."""
    views.sealed = []
    assert (await desk.get("/seals")).json == {"seals": []}
    assert (await desk.post("/seals", {})).json == {"seals": []}
    assert (await desk.get("/seals/0")).json == {"seals": [], "next": None}


@pytest.mark.parametrize(
    ("query", "numbers", "following"),
    [
        ("", [1, 2, 3, 4, 5], None),
        ("?limit=2", [1, 2], 2),
        ("?limit=2&after=2", [3, 4], 4),
        ("?limit=2&after=4", [5], None),
        ("?limit=5", [1, 2, 3, 4, 5], None),
        ("?limit=4", [1, 2, 3, 4], 4),
        ("?after=5", [], None),
        (f"?after={2**63 - 2}&limit={SEALS_PAGE_MAX}", [], None),
    ],
)
async def test_a_partitions_seals_come_page_by_page(query, numbers, following, desk):
    """The last page says that it is the last one, also where it is full."""
    answer = await desk.get(f"/seals/0{query}")
    assert answer.status == 200
    assert [seal["number"] for seal in answer.json["seals"]] == numbers
    assert answer.json["next"] == following
    assert lines(answer) == [to_line(SEALS[number - 1]) for number in numbers]


async def test_a_partition_is_asked_for_by_its_number(desk):
    """As it stands in the seal, or in the name of its schema."""
    for name in ("0", "1", "00", "01"):
        assert (await desk.get(f"/seals/{name}")).status == 200


@pytest.mark.parametrize(
    "name",
    [
        "2",
        "-1",
        "-0",
        "+0",
        "%D9%A1",
        "%C2%B2",
        "00000",
        "1e0",
        "0x1",
        "1.0",
        "1_0",
        "9999999999",
        "%20",
        "%201",
        "null",
        "p00",
    ],
)
async def test_a_partition_that_there_is_not_is_not_found(name, desk):
    """Also what Python would read as a number, and no one else."""
    answer = await desk.get(f"/seals/{name}")
    assert (answer.status, answer.code) == (404, "not_found")


@pytest.mark.parametrize(
    "query",
    (
        f"limit=0 limit={SEALS_PAGE_MAX + 1} limit=x limit=1&limit=2"
        f" after=-1 after={2**63 - 1} after= after=1e3 before=1"
    ).split(),
)
async def test_a_page_that_there_cannot_be_is_malformed(query, desk):
    """A mistyped field must not be the first page instead."""
    answer = await desk.get(f"/seals/0?{query}")
    assert (answer.status, answer.code) == (400, "malformed_request")


async def test_the_newest_seals_take_no_fields(desk):
    """There is one of each partition."""
    assert (await desk.get("/seals?partition=0")).status == 400


async def test_sealing_answers_with_the_newest_seals(desk):
    """What an auditor writes down at the end of a day."""
    answer = await desk.post("/seals", {})
    assert answer.status == 200
    assert lines(answer) == [to_line(SEALS[-1])]


@pytest.mark.parametrize("body", [{"partition": 0}, b"[]", b"null", b"{"])
async def test_sealing_takes_an_empty_object_and_nothing_else(body, desk):
    """A field that is passed over would be a promise."""
    answer = await desk.post("/seals", body)
    assert (answer.status, answer.code) == (400, "malformed_request")


async def test_everyone_may_see_seals_and_only_an_administrator_makes_them(desk):
    """They are to be spread; to make them is work."""
    for role in ("viewer", "operator", "admin"):
        assert (await desk.get("/seals", role=role)).status == 200
        assert (await desk.get("/seals/0", role=role)).status == 200
        expected = 200 if role == "admin" else 403
        assert (await desk.post("/seals", {}, role=role)).status == expected
    for method, path in (("GET", "/seals"), ("GET", "/seals/0"), ("POST", "/seals")):
        assert (await desk.call(method, path, role=None)).status == 401


async def test_without_a_key_nothing_is_sealed_and_all_is_shown(views):
    """The seals may be another process's."""
    settings = replace(SEALING, seals=SealSettings(public_keys=(KEY.verifier,)))
    async with running(settings=settings, views=views) as desk:
        answer = await desk.post("/seals", {})
        assert (answer.status, answer.code) == (404, "not_found")
        assert "seals.key is not configured" in answer.json["detail"]
        assert lines(await desk.get("/seals")) == [to_line(SEALS[-1])]
        assert (await desk.get("/seals/0")).status == 200


async def test_a_database_that_cannot_seal_is_unavailable(views, desk):
    """The caller tries again; what the database said is for the log."""
    views.failure = NotSealed("password=secret")
    with capture_logs() as logs:
        answer = await desk.post("/seals", {})
    assert (answer.status, answer.code) == (503, "unavailable")
    assert "secret" not in answer.text
    (failed,) = [line for line in logs if line["event"] == "sealing_failed"]
    assert failed["error"] == "password=secret"


async def test_seals_that_differ_are_an_error_that_says_so(views, desk):
    """To try again is no help: somebody must come."""
    views.failure = SealsDiffer("seal 3 is known and not in the database")
    answer = await desk.post("/seals", {})
    assert (answer.status, answer.code) == (500, "internal")
    assert answer.json["detail"] == "seal 3 is known and not in the database"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
async def test_a_seal_is_neither_changed_nor_taken_back(method, desk):
    """There is no such call."""
    assert (await desk.call(method, "/seals", {})).status == 405
    assert (await desk.call(method, "/seals/0", {})).status == 405
