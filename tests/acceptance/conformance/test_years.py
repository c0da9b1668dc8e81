"""What was answered once is answered so for ever (P4): a faked clock, another process."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo

import pytest

from ledger import committer
from ledger.maintenance import expire_rounds, idle_rounds
from tests.acceptance.conformance.configuration import PROTOCOLS, configure
from tests.acceptance.conformance.expected import expected
from tests.acceptance.conformance.service import serving
from tests.acceptance.conformance.wire import Answer, unique
from tests.acceptance.conformance.wires import WIRES

DAYS = 400


class Later(datetime):
    """The clock, `DAYS` from now."""

    @classmethod
    def now(cls, tz: tzinfo | None = UTC) -> datetime:  # type: ignore[override]
        """What it shows."""
        return datetime.now(tz) + timedelta(days=DAYS)


def said(answer: Answer) -> object:
    """A success as it was sent; a refusal without the id under which its call is logged."""
    if answer.error is None:
        return answer.raw
    return answer.refusal, {name: what for name, what in answer.body.items() if name != "traceId"}


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_replay_after_400_days_is_the_first_answer_byte_for_byte(
    protocol, databases, template_database, configuration_directory, monkeypatch
):
    """A provider settles its own disputes a year later, by asking again."""
    settings = configure(configuration_directory)
    with databases.fresh(template_database) as name:
        url, log = databases.server.url(name), configuration_directory / f"years-{protocol}"
        async with serving(settings, url, log) as service:
            wire = WIRES[protocol](service, protocol)
            guest = await service.guest(wire)
            bet, lost, open_one = wire.bet(guest), wire.bet(guest), wire.bet(guest)
            calls = [bet, wire.win(guest, bet, "5"), lost, open_one]
            calls.append(wire.refund(guest, lost, id=unique("refund")))
            never = wire.bet(guest)
            calls += [wire.refund(guest, never, id=unique("early")), never]
            answers = [said(await wire.send(call)) for call in calls]
        monkeypatch.setattr(committer, "datetime", Later)
        async with serving(settings, url, log) as service:
            wire = WIRES[protocol](service, protocol)
            refused = await wire.send(wire.bet(guest))
            assert refused.refusal == expected(protocol, "session_expired", "bet")
            now = Later.now()
            rounds = await idle_rounds(url, 0, now - timedelta(days=1))
            assert (await expire_rounds(service.ledger, rounds, now)).closed
            async with service.untouched(guest):
                assert [said(await wire.send(call)) for call in calls] == answers
