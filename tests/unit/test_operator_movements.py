"""The operator's money: every movement once, every answer the same for ever."""

from __future__ import annotations

import pytest

from ledger.commands import AdjustBalance, ConfirmWithdrawal, Withdraw
from tests.unit.operator_fakes import MemoryLedger, running

BODY = {"reference": "r1", "amount": "10", "currency": "EUR"}


def wallet(real: str, bonus: str = "0.00", *, total: str, held: str = "0.00") -> dict[str, str]:
    """A wallet in EUR."""
    return {"currency": "EUR", "real": real, "bonus": bonus, "total": total, "held": held}


@pytest.mark.parametrize(
    ("path", "operation", "real", "bonus", "after"),
    [
        ("deposits", "deposit", "10.00", "0.00", wallet("60.00", "40.00", total="100.00")),
        ("withdrawals", "withdrawal", "-10.00", "0.00", wallet("40.00", "40.00", total="80.00")),
        ("bonuses", "bonus", "0.00", "10.00", wallet("50.00", "50.00", total="100.00")),
        (
            "bonuses/convert",
            "bonus_convert",
            "10.00",
            "-10.00",
            wallet("60.00", "30.00", total="90.00"),
        ),
        (
            "bonuses/forfeit",
            "bonus_forfeit",
            "0.00",
            "-10.00",
            wallet("50.00", "30.00", total="80.00"),
        ),
        ("adjustments", "adjustment", "10.00", "0.00", wallet("60.00", "40.00", total="100.00")),
    ],
)
async def test_a_movement_is_booked_once_and_answered_alike(path, operation, real, bonus, after):
    """201 the first time, 200 on replay, and apart from that the same answer."""
    ledger = MemoryLedger()
    async with running(ledger) as desk:
        await desk.player(real="50", bonus="40")
        body = BODY | {"reason": "why"}
        first = await desk.post(f"/players/p1/{path}", body)
        second = await desk.post(f"/players/p1/{path}", body)
    assert (first.status, second.status) == (201, 200)
    assert first.text == second.text
    assert first.json == {
        "movement_id": ledger.history["p1"][-1][1].movement_id,
        "player_id": "p1",
        "operation": operation,
        "reference": "r1",
        "version": 5,
        "recorded_at": "2030-01-31T12:00:04Z",
        "currency": "EUR",
        "real": real,
        "bonus": bonus,
        "balance": {"real": after["real"], "bonus": after["bonus"]},
        "wallet": after,
    }
    command = ledger.commands[-1]
    assert (command.integration, command.key) == ("operator", f"{operation}:r1")
    assert (command.transaction_id, command.reason, command.actor) == ("r1", "why", "admin-1")


@pytest.mark.parametrize(
    "change", [{"amount": "10.01"}, {"currency": "USD"}], ids=["amount", "currency"]
)
async def test_a_reference_with_other_content_is_a_conflict(change):
    """The second call is a mistake or a fraud: neither may pass for the first."""
    async with running() as desk:
        await desk.player()
        await desk.post("/players", {"player_id": "p1", "currency": "USD"})
        await desk.post("/players/p1/deposits", BODY)
        answer = await desk.post("/players/p1/deposits", BODY | change)
    assert (answer.status, answer.code) == (409, "duplicate_conflict")


async def test_the_same_amount_in_other_words_is_a_replay():
    """Content is compared by value; reason and staff are no part of it."""
    async with running() as desk:
        await desk.player()
        await desk.post("/players/p1/deposits", BODY)
        body = BODY | {"amount": "10.000", "reason": "again"}
        answer = await desk.post("/players/p1/deposits", body, role="operator")
    assert answer.status == 200


async def test_every_operation_has_references_of_its_own():
    """Cashiers number deposits and withdrawals apart."""
    async with running() as desk:
        await desk.player()
        statuses = [
            (await desk.post(f"/players/p1/{path}", BODY)).status
            for path in ("deposits", "withdrawals", "bonuses", "bonuses/convert")
        ]
    assert statuses == [201, 201, 201, 201]


@pytest.mark.parametrize(
    ("path", "amount"),
    [
        ("withdrawals", "5.01"),
        ("bonuses/convert", "3.01"),
        ("bonuses/forfeit", "3.01"),
        ("adjustments", "-5.01"),
    ],
)
async def test_no_balance_goes_below_zero(path, amount):
    """A withdrawal takes real money only, however much bonus there is."""
    async with running() as desk:
        await desk.player(real="5", bonus="3")
        body = BODY | {"amount": amount, "reason": "why"}
        answer = await desk.post(f"/players/p1/{path}", body)
    assert (answer.status, answer.code) == (422, "insufficient_funds")


async def test_a_currency_without_a_wallet_is_refused():
    """Known to the ledger, but not the player's."""
    async with running() as desk:
        await desk.player()
        answer = await desk.post("/players/p1/deposits", BODY | {"currency": "USD"})
    assert (answer.status, answer.code) == (422, "currency_mismatch")


async def test_an_adjustment_goes_either_way_and_needs_a_reason():
    """It has no counterparty: the reason is all that explains it."""
    ledger = MemoryLedger()
    async with running(ledger) as desk:
        await desk.player(real="5")
        body = BODY | {"amount": "-1.50", "reason": "typing error"}
        taken = await desk.post("/players/p1/adjustments", body)
        silent = await desk.post("/players/p1/adjustments", BODY | {"reference": "r2"})
        nothing = await desk.post("/players/p1/adjustments", body | {"amount": "-0.00"})
        operator = await desk.post("/players/p1/adjustments", body, role="operator")
    assert (taken.status, taken.json["real"], taken.json["wallet"]["real"]) == (
        201,
        "-1.50",
        "3.50",
    )
    assert silent.json["detail"] == "Object missing required field `reason`"
    assert nothing.json["detail"] == "amount: expected anything but 0"
    assert operator.status == 403
    assert isinstance(ledger.commands[-1], AdjustBalance)


async def test_a_held_withdrawal_is_confirmed_once():
    """Held money is nobody's to play with, and gone once it was paid out."""
    ledger = MemoryLedger()
    async with running(ledger) as desk:
        await desk.player(real="50")
        held = await desk.post("/players/p1/withdrawals", BODY | {"hold": True})
        confirmed = await desk.post("/players/p1/withdrawals/r1/confirm", {"reason": "paid"})
        again = await desk.post("/players/p1/withdrawals/r1/confirm")
        too_late = await desk.post("/players/p1/withdrawals/r1/cancel")
    assert held.json["wallet"] == wallet("40.00", total="40.00", held="10.00")
    assert (confirmed.status, again.status) == (200, 200)
    assert confirmed.json["wallet"] == wallet("40.00", total="40.00")
    assert confirmed.text == again.text
    assert (too_late.status, too_late.code) == (409, "original_settled")
    first = next(command for command in ledger.commands if isinstance(command, ConfirmWithdrawal))
    assert (first.key, first.transaction_id) == ("withdrawal_confirm:r1", "r1")
    assert (first.withdrawal_key, first.reason) == ("withdrawal:r1", "paid")


async def test_a_cancelled_withdrawal_is_playable_again():
    """The player changed their mind."""
    async with running() as desk:
        await desk.player(real="50")
        await desk.post("/players/p1/withdrawals", BODY | {"hold": True})
        cancelled = await desk.post("/players/p1/withdrawals/r1/cancel")
        too_late = await desk.post("/players/p1/withdrawals/r1/confirm")
    assert (cancelled.status, cancelled.json["real"]) == (200, "10.00")
    assert cancelled.json["wallet"] == wallet("50.00", total="50.00")
    assert (too_late.status, too_late.code) == (409, "original_settled")


@pytest.mark.parametrize("end", ["confirm", "cancel"])
async def test_a_withdrawal_that_is_none_cannot_be_settled(end):
    """Unknown: 404. Final at once, so never held: 409. Another player's: 404."""
    async with running() as desk:
        await desk.player("p1", real="50")
        await desk.player("p2", real="50")
        await desk.post("/players/p1/withdrawals", BODY)
        held = BODY | {"hold": True, "reference": "r2"}
        await desk.post("/players/p2/withdrawals", held)
        unknown = await desk.post(f"/players/p1/withdrawals/r9/{end}")
        final = await desk.post(f"/players/p1/withdrawals/r1/{end}")
        anothers = await desk.post(f"/players/p1/withdrawals/r2/{end}")
    assert (unknown.status, unknown.code) == (404, "original_not_found")
    assert (final.status, final.code) == (409, "original_settled")
    assert (anothers.status, anothers.code) == (404, "original_not_found")


async def test_holding_and_withdrawing_are_different_content():
    """A replay must not turn a held withdrawal into a final one."""
    ledger = MemoryLedger()
    async with running(ledger) as desk:
        await desk.player(real="50")
        await desk.post("/players/p1/withdrawals", BODY | {"hold": True})
        assert isinstance(ledger.commands[-1], Withdraw)
        answer = await desk.post("/players/p1/withdrawals", BODY)
    assert (answer.status, answer.code) == (409, "duplicate_conflict")


async def test_an_old_answer_is_repeated_exactly_whatever_happened_since(monkeypatch):
    """The first answer again (rule 1), what was held then included, over several pages of log."""
    monkeypatch.setattr("adapters.operator.movements._PAGE_EVENTS", 2)
    async with running() as desk:
        await desk.player(real="100")
        await desk.post("/players", {"player_id": "p1", "currency": "USD"})
        answers = []
        for number, hold in enumerate((True, False, True, True)):
            body = BODY | {"reference": f"r{number}", "hold": hold}
            answers.append((body, await desk.post("/players/p1/withdrawals", body)))
        await desk.post("/players/p1/withdrawals/r0/confirm")
        await desk.post("/players/p1/withdrawals/r2/cancel")
        dollars = {"reference": "d", "amount": "7", "currency": "USD"}
        await desk.post("/players/p1/deposits", dollars)
        await desk.post("/players/p1/withdrawals", dollars | {"hold": True})
        await desk.post("/players/p1/withdrawals/d/cancel")
        for body, first in answers:
            again = await desk.post("/players/p1/withdrawals", body)
            assert (again.status, again.text) == (200, first.text)
    held = [first.json["wallet"]["held"] for _, first in answers]
    assert held == ["10.00", "10.00", "20.00", "30.00"]


async def test_an_old_answer_does_not_count_what_comes_while_it_is_made():
    """Another movement may be booked between the replay and the look at the log."""

    class Busy(MemoryLedger):
        async def events(self, player_id, after, limit):
            reference = f"busy-{len(self.commands)}"
            await self.execute(
                Withdraw(
                    player_id="p1",
                    operation="withdrawal",
                    key=f"withdrawal:{reference}",
                    transaction_id=reference,
                    amount=100_000,
                    currency="EUR",
                    hold=True,
                )
            )
            return await super().events(player_id, after, limit)

    async with running(Busy()) as desk:
        await desk.player(real="50")
        first = await desk.post("/players/p1/withdrawals", BODY | {"hold": True})
        await desk.post("/players/p1/deposits", BODY)
        again = await desk.post("/players/p1/withdrawals", BODY | {"hold": True})
    assert again.text == first.text
