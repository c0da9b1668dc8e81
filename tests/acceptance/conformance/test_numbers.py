"""Amounts to the last digit: notations, precision, size, and currencies of 0 and 3 decimals."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from ledger.player import Wallet
from tests.acceptance.conformance.configuration import PROTOCOLS
from tests.acceptance.conformance.expected import expected
from tests.acceptance.conformance.service import UNITS
from tests.acceptance.conformance.wire import Raw

pytestmark = pytest.mark.asyncio(loop_scope="session")

every_provider = pytest.mark.parametrize("protocol", PROTOCOLS)
UNITS_MAX = 2**63 - 1

TAKEN: dict[str, dict[str, tuple[Any, str]]] = {
    "betbrothers": {
        "an integer": (12_34, "12.34"),
        "nothing": (0, "0"),
        "minus nothing": (Raw("-0"), "0"),
        "beyond 2**53": (2**53 + 1, "90071992547409.93"),
    },
    "marbles": {
        "an integer": (1_234_567, "12.34567"),
        "a hundred-thousandth": (1, "0.00001"),
        "minus nothing": (Raw("-0"), "0"),
        "beyond 2**53": (2**53 + 1, "90071992547.40993"),
    },
    "gpas": {
        "a number": (Raw("200"), "200"),
        "a string": ("200", "200"),
        "an exponent": (Raw("1e2"), "100"),
        "an exponent in capitals": (Raw("1E+2"), "100"),
        "a negative exponent": (Raw("15e-1"), "1.5"),
        "a tenth": (Raw("0.1"), "0.1"),
        "a tenth as a string": ("0.1", "0.1"),
        "zeros behind it": (Raw("0.1000000000"), "0.1"),
        "zeros behind the string": ("0.1000000000", "0.1"),
        "zeros before the string": ("007", "7"),
        "minus nothing": (Raw("-0.0"), "0"),
        "17 significant digits": (Raw("123456789012.34567"), "123456789012.34567"),
        "17 digits as a string": ("123456789012.34567", "123456789012.34567"),
        "beyond 2**53": (Raw("90071992547409.93"), "90071992547409.93"),
    },
    "fizzybubbly": {
        "as the vendor writes": (Raw("42.0"), "42"),
        "an integer": (Raw("42"), "42"),
        "an exponent": (Raw("1e2"), "100"),
        "a tenth": (Raw("0.1"), "0.1"),
        "a hundred-thousandth": (Raw("0.00001"), "0.00001"),
        "zeros behind it": (Raw("0.1000000000"), "0.1"),
        "minus nothing": (Raw("-0.0"), "0"),
        "17 significant digits": (Raw("123456789012.34567"), "123456789012.34567"),
        "beyond 2**53": (Raw("90071992547409.93"), "90071992547409.93"),
    },
}

TOO_LARGE: dict[str, list[Any]] = {
    "betbrothers": [UNITS_MAX // 1000 + 1, 2**63, 10**30, Raw("9" * 4_000)],
    "marbles": [2**63, 2**64, 10**30, Raw("9" * 4_000)],
    "gpas": [
        Raw("92233720368547.75808"),
        Raw("1e14"),
        "92233720368547.75808",
        Raw("1e63"),
        Raw("1e99"),
        Raw("1e999999999"),
        Raw("9" * 4_000),
    ],
    "fizzybubbly": [
        Raw("92233720368547.75808"),
        Raw("1e14"),
        Raw("1e63"),
        Raw("1e999999999"),
        Raw("9" * 4_000),
    ],
}

TOO_FINE: dict[str, list[Any]] = {
    "betbrothers": [Raw("100.5"), Raw("100.0"), Raw("1e2"), Raw("100.")],
    "marbles": [Raw("100000.5"), Raw("100000.0"), Raw("1e5")],
    "gpas": [Raw("0.000001"), "0.000001", Raw("1.000005"), Raw("1e-6"), Raw("1e-999999999")],
    "fizzybubbly": [Raw("0.000001"), Raw("1.000005"), Raw("1e-6"), Raw("1e-999999999")],
}


@pytest.mark.parametrize(
    ("protocol", "wire_amount", "amount"),
    [
        pytest.param(protocol, *case, id=f"{protocol}-{name}")
        for protocol, cases in TAKEN.items()
        for name, case in cases.items()
    ],
)
async def test_an_amount_is_booked_to_its_last_digit(service, wire, guest, wire_amount, amount):
    """No float on the way: a float of 17 digits is already another amount."""
    bet = wire.bet(guest, "0")
    await wire.ok(bet)
    before = (await service.player(guest)).wallets["EUR"].total
    await wire.ok(wire.altered(wire.win(guest, bet), amount=wire_amount))
    after = (await service.player(guest)).wallets["EUR"].total
    assert after - before == Decimal(amount) * UNITS


@every_provider
async def test_an_amount_beyond_a_bigint_is_malformed(service, wire, guest):
    """It has to be refused here: the database would answer with an error."""
    bet = wire.bet(guest)
    await wire.ok(bet)
    win = wire.win(guest, bet)
    async with service.untouched(guest):
        for amount in TOO_LARGE[wire.protocol]:
            answer = await wire.send(wire.altered(win, amount=amount))
            assert answer.refusal == expected(wire.protocol, "malformed_request", win.operation)


@every_provider
async def test_an_amount_that_would_be_rounded_is_malformed(service, wire, guest):
    """An integer is an integer, and a fraction has five digits at most."""
    bet = wire.bet(guest)
    async with service.untouched(guest):
        for amount in TOO_FINE[wire.protocol]:
            answer = await wire.send(wire.altered(bet, amount=amount))
            assert answer.refusal == expected(wire.protocol, "malformed_request", bet.operation)


@every_provider
async def test_a_balance_never_passes_a_bigint(service, wire, guest):
    """Each amount fits, their sum does not; the first one stays booked."""
    bet = wire.bet(guest)
    await wire.ok(bet)
    large = "92233720368000"
    first = await wire.ok(wire.win(guest, bet, large))
    assert first.balance == Decimal(large) + 99
    second = wire.win(guest, bet, large)
    async with service.untouched(guest):
        answer = await wire.send(second)
    assert answer.refusal == expected(wire.protocol, "malformed_request", second.operation)


@every_provider
@pytest.mark.parametrize(
    ("currency", "stake", "left"), [("JPY", "7", "93"), ("KWD", "1.234", "98.766")]
)
async def test_currencies_without_and_with_three_decimals_are_exact(
    service, wire, currency, stake, left
):
    """Yen have no subunit and dinars a thousand: a fixed factor of 100 loses money."""
    guest = await service.guest(wire, currency=currency)
    bet = wire.bet(guest, stake)
    assert (await wire.ok(bet)).balance == Decimal(left)
    assert (await wire.ok(wire.balance(guest))).balance == Decimal(left)
    units = int(Decimal(left) * UNITS)
    assert (await service.player(guest)).wallets == {currency: Wallet(units, 0)}
    assert (await wire.ok(wire.win(guest, bet, stake))).balance == 100
    assert (await wire.ok(wire.bet(guest, "100"))).balance == 0


@every_provider
@pytest.mark.parametrize(("currency", "shown"), [("EUR", "0.01"), ("JPY", "0"), ("KWD", "0.019")])
async def test_a_balance_is_shown_rounded_down(service, wire, currency, shown):
    """Never more than the player can play; 155.io is shown all five digits."""
    guest = await service.guest(wire, real="0.01999", currency=currency)
    exact = "0.01999" if wire.protocol == "marbles" else shown
    answer = await wire.ok(wire.balance(guest))
    assert answer.balance == Decimal(exact)


@every_provider
async def test_a_negative_balance_is_rounded_down_too(service, wire, make_wire):
    """Towards minus infinity: -0.001 is shown as -0.01, not as nothing owed."""
    guest = await service.guest(wire, real="0")
    gpas = make_wire("gpas", "-today")
    player = await service.launch(gpas, guest.player_id)
    bet = gpas.bet(player, "0")
    win = gpas.win(player, bet, "0.001")
    for call in (bet, win, gpas.bet(player, "0.001"), gpas.reverse_win(player, win)):
        await gpas.ok(call)
    exact = "-0.001" if wire.protocol == "marbles" else "-0.01"
    assert (await wire.ok(wire.balance(guest))).balance == Decimal(exact)
    assert (await wire.send(wire.bet(guest))).refusal == expected(
        wire.protocol, "insufficient_funds", wire.bet(guest).operation
    )


async def test_fizzybubbly_and_gpas_show_the_currencys_own_digits(service, make_wire):
    """42.00, not 42.0 nor 42.00000: the vendor's page shows decimals, a player two of them."""
    for protocol, field in (("fizzybubbly", b'"balance":'), ("gpas", b'"leftBalance":')):
        wire = make_wire(protocol)
        for currency, text in (("EUR", b"42.00"), ("JPY", b"42"), ("KWD", b"42.000")):
            guest = await service.guest(wire, real="42", currency=currency)
            raw = (await wire.ok(wire.balance(guest))).raw
            assert field + text + b"," in raw


async def test_fizzybubbly_books_a_fraction_of_a_currency_without_decimals(service, make_wire):
    """Half a yen fits the ledger's scale, so it is booked; the balance shows whole yen."""
    for protocol in ("fizzybubbly", "gpas"):
        wire = make_wire(protocol)
        guest = await service.guest(wire, currency="JPY")
        assert (await wire.ok(wire.bet(guest, "0.5"))).balance == 99
        assert (await service.player(guest)).wallets["JPY"].real == 99 * UNITS + UNITS // 2
