"""The four providers' wires by protocol."""

from __future__ import annotations

from collections.abc import Mapping

from tests.acceptance.conformance.wire import Wire
from tests.acceptance.conformance.wire_betbrothers import BetBrothersWire
from tests.acceptance.conformance.wire_fizzybubbly import FizzyBubblyWire
from tests.acceptance.conformance.wire_gpas import GpasWire
from tests.acceptance.conformance.wire_marbles import MarblesWire

WIRES: Mapping[str, type[Wire]] = {
    wire.protocol: wire for wire in (BetBrothersWire, MarblesWire, GpasWire, FizzyBubblyWire)
}
