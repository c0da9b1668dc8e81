"""Who is believed: signatures, their keys while they rotate, and addresses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from tests.acceptance.conformance.configuration import PROTOCOLS
from tests.acceptance.conformance.expected import expected
from tests.acceptance.conformance.wire import Request, Wire

pytestmark = pytest.mark.asyncio(loop_scope="session")

every_provider = pytest.mark.parametrize("protocol", PROTOCOLS)

Headers = Callable[[Wire, Request], dict[str, str | None]]


def _signature(wire: Wire, request: Request) -> str:
    return wire.sign(request, request.raw)[wire.signature]


def _flipped(signature: str) -> str:
    return ("1" if signature[0] == "0" else "0") + signature[1:]


FORGERIES: dict[str, Callable[[Wire, Request], str | None]] = {
    "missing": lambda _wire, _request: None,
    "empty": lambda _wire, _request: "",
    "flipped": lambda wire, request: _flipped(_signature(wire, request)),
    "cut": lambda wire, request: _signature(wire, request)[:-1],
    "of-nothing": lambda wire, request: wire.sign(replace(request, body=b""), b"")[wire.signature],
    "no-ascii": lambda _wire, _request: "Ünterschrift",
}


@every_provider
@pytest.mark.parametrize("forgery", FORGERIES)
async def test_a_forged_signature_is_refused(service, wire, guest, forgery):
    """Anything but the right bytes is wrong, and never an error of ours."""
    bet = wire.bet(guest)
    signature = FORGERIES[forgery](wire, bet)
    async with service.untouched(guest):
        answer = await wire.send(bet, **{wire.signature: signature})
    assert answer.refusal == expected(wire.protocol, "invalid_signature", bet.operation)


@every_provider
async def test_a_signature_is_of_the_raw_bytes(service, wire, guest):
    """The same JSON with one blank more is another body; as the vendor wrote it, it is good."""
    bet = wire.bet(guest)
    pretty = replace(bet, body=bet.raw.replace(b", ", b",\n    "))
    async with service.untouched(guest):
        signature = _signature(wire, bet)
        answer = await wire.send(pretty, **{wire.signature: signature})
    assert answer.refusal == expected(wire.protocol, "invalid_signature", bet.operation)
    assert (await wire.ok(pretty)).balance == 99


@every_provider
async def test_the_signature_is_judged_before_the_body(service, wire, guest):
    """Nothing is parsed, and nothing told of it, for somebody who is not the provider."""
    broken = replace(wire.bet(guest), body=b"{")
    answer = await wire.send(broken, **{wire.signature: "00"})
    assert answer.refusal == expected(wire.protocol, "invalid_signature", broken.operation)


@every_provider
async def test_while_keys_rotate_both_are_believed_and_then_the_new_one_only(
    service, make_wire, protocol
):
    """The provider changes its key at a moment that nobody agrees on to the second."""
    rotating = make_wire(protocol, "-rotating")
    guest = await service.guest(rotating)
    old = make_wire(protocol, "-rotating", key="old")
    assert (await rotating.ok(rotating.bet(guest))).balance == 99
    assert (await old.ok(old.bet(guest))).balance == 98

    rotated = make_wire(protocol)
    guest = await service.guest(rotated)
    late = make_wire(protocol, key="old")
    async with service.untouched(guest):
        answer = await late.send(late.bet(guest))
    assert answer.refusal == expected(protocol, "invalid_signature", late.bet(guest).operation)
    assert (await rotated.ok(rotated.bet(guest))).balance == 99


@every_provider
async def test_another_integrations_secret_is_no_key_here(service, make_wire, protocol):
    """Two brands at one provider: one's secret must not move the other's money."""
    here = make_wire(protocol)
    guest = await service.guest(here)
    other = make_wire(protocol, "-rotating", key="old")
    bet = other.bet(guest)
    foreign = other.sign(bet, bet.raw)[here.signature]
    async with service.untouched(guest):
        answer = await here.send(bet, **{here.signature: foreign})
    assert answer.refusal == expected(protocol, "invalid_signature", bet.operation)


@every_provider
async def test_allow_ips_refuses_every_other_address(service, make_wire, protocol):
    """The address is that of the trusted proxy's last hop, not of what a caller claims before."""
    wire = make_wire(protocol, "-guarded")
    guest = await service.guest(make_wire(protocol))
    bet = wire.bet(guest)
    said = expected(protocol, "invalid_signature", bet.operation)
    async with service.untouched(guest):
        for forwarded in (None, "198.51.100.7", "203.0.113.9, 198.51.100.7", "nonsense"):
            answer = await wire.send(bet, X_Forwarded_For=forwarded)
            assert answer.refusal == said, forwarded


@every_provider
async def test_allow_ips_lets_the_provider_in(service, make_wire, protocol):
    """Version 4 and version 6; a balance in no session proves that the call went through."""
    wire = make_wire(protocol, "-guarded")
    guest = await service.guest(make_wire(protocol))
    balance = wire.balance(guest)
    for forwarded in ("203.0.113.9", "198.51.100.7, 203.0.113.9", "2001:db8::7"):
        answer = await wire.send(balance, X_Forwarded_For=forwarded)
        assert answer.refusal == expected(protocol, "unknown_session", "balance"), forwarded


# --- what only one protocol signs ----------------------------------------------------------


async def test_betbrothers_signature_may_be_in_capitals(service, make_wire):
    """The vendor shows small letters and promises nothing."""
    wire = make_wire("betbrothers")
    guest = await service.guest(wire)
    bet = wire.bet(guest)
    signature = _signature(wire, bet).upper()
    assert (await wire.send(bet, **{"X-REQUEST-SIGN": signature})).balance == 99


async def test_marbles_signature_must_be_base64(service, make_wire):
    """Hex of the same signature is none."""
    wire = make_wire("marbles")
    guest = await service.guest(wire)
    bet = wire.bet(guest)
    for signature in (_signature(wire, bet) + "!", "{}", "AAAA"):
        answer = await wire.send(bet, **{"X-Marbles-Signature": signature})
        assert answer.refusal == (200, "INVALID_SIGNATURE")


async def test_gpas_signature_must_be_in_capitals(service, make_wire):
    """The vendor says so."""
    wire = make_wire("gpas")
    guest = await service.guest(wire)
    bet = wire.bet(guest)
    answer = await wire.send(bet, **{"x-signature": _signature(wire, bet).lower()})
    assert answer.refusal == (400, (1006, "SIGNATURE_FAILED"))


@pytest.mark.parametrize("parent", [None, "", "bl13gt", "BL13GTX"])
async def test_gpas_parent_system_must_be_the_configured_one(service, make_wire, parent):
    """On every call, though it is not signed."""
    wire = make_wire("gpas")
    guest = await service.guest(wire)
    async with service.untouched(guest):
        for request in (wire.bet(guest), wire.balance(guest), wire.opening(guest)):
            answer = await wire.send(request, **{"x-parent-system-id": parent})
            assert answer.refusal == (400, (1006, "SIGNATURE_FAILED"))


async def test_gpas_query_is_signed_where_there_is_no_body(service, make_wire):
    """A signature of one session's query does not open another's balance."""
    wire = make_wire("gpas")
    guest, other = await service.guest(wire), await service.guest(wire)
    signature = _signature(wire, wire.balance(other))
    answer = await wire.send(wire.balance(guest), **{"x-signature": signature})
    assert answer.refusal == (400, (1006, "SIGNATURE_FAILED"))


@pytest.mark.parametrize("public_key", [None, "", "another-key"])
async def test_fizzybubbly_public_key_must_be_the_configured_one(service, make_wire, public_key):
    """Both headers, or 401."""
    wire = make_wire("fizzybubbly")
    guest = await service.guest(wire)
    async with service.untouched(guest):
        answer = await wire.send(wire.bet(guest), **{"Public-Key": public_key})
    assert answer.refusal == (401, "ERROR_INVALID_SIGNATURE")


async def test_fizzybubbly_signature_is_of_one_url_only(service, make_wire):
    """A signed withdraw sent to the path of deposits would give the money instead."""
    wire = make_wire("fizzybubbly")
    guest = await service.guest(wire)
    bet = wire.bet(guest)
    signature = _signature(wire, bet)
    async with service.untouched(guest):
        answer = await wire.send(replace(bet, path="/wallet/deposit"), Signature=signature)
    assert answer.refusal == (401, "ERROR_INVALID_SIGNATURE")
