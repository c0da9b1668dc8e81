"""Carries out one player's steps against the server and compares every answer with the model's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from adapters.simulate.calls import Outcome
from adapters.simulate.client import Client
from adapters.simulate.operator_api import Operator
from adapters.simulate.steps import OperatorStep, ProviderStep, Step
from adapters.simulate.tally import Tally
from adapters.simulate.wire.base import Answer, Request
from adapters.simulate.wire.defects import malformed

PATIENCE_S = (0.0, 0.001, 0.003, 0.01)
"""How long a client that gives up waits first."""


@dataclass(slots=True)
class Playing:
    """One player's connection to the server."""

    player_id: str
    client: Client
    operator: Operator
    tally: Tally
    _movement_ids: dict[tuple[str, int], str] = field(default_factory=dict)
    _numbers: dict[str, tuple[str, int]] = field(default_factory=dict)

    async def perform(self, step: Step) -> None:
        """Carry out a step. Raises `Unsettled`."""
        self.tally.situations[step.situation] += 1
        if isinstance(step, OperatorStep):
            await self._operate(step)
        else:
            await self._provide(step)

    async def _operate(self, step: OperatorStep) -> None:
        self.tally.operations[f"operator {step.action}"] += 1
        name = f"{step.action} {step.reference}"
        try:
            wrong = await self.operator.perform(self.player_id, step)
        except (ValueError, KeyError, TypeError) as error:
            self.tally.differ(self.player_id, name, "the documented answer", repr(error))
            return
        if wrong is not None:
            self.tally.differ(self.player_id, name, *wrong)
        if step.action == "open session" and step.session is not None:
            await self._open(step)

    async def _open(self, step: OperatorStep) -> None:
        """Let the provider make its own session from the operator's token, where it does so."""
        session, wire = step.session, step.wire
        assert session is not None
        assert wire is not None
        request = wire.opening(session, self.player_id)
        if request is None:
            return
        answer = await self._settled(wire.unavailable, request)
        wrong = wire.opened(session, self.player_id, answer)
        if wrong is not None:
            self.tally.differ(self.player_id, request.path, wrong, answer)

    async def _provide(self, step: ProviderStep) -> None:
        request = step.wire.request(step.call, step.variation)
        if step.flaw == "signature":
            request = step.wire.forged(request, step.variation)
        elif step.flaw == "malformed":
            request = malformed(step.wire, request, step.variation)
        self.tally.operations[f"{step.call.integration} {step.call.operation}"] += 1
        if step.manner == "cut":
            self.tally.situations["retry after a lost answer"] += 1
            await self.client.cut(request, PATIENCE_S[step.variation % len(PATIENCE_S)])
        self._compare(step, request, await self._answers(step, request))

    async def _answers(self, step: ProviderStep, request: Request) -> list[Answer]:
        if step.manner != "twins":
            return [await self._settled(step.wire.unavailable, request)]
        self.tally.situations["the same call several times at once"] += 1
        return await asyncio.gather(
            *(self._settled(step.wire.unavailable, request) for _ in range(step.copies))
        )

    async def _settled(self, unavailable: Callable[[Answer], bool], request: Request) -> Answer:
        """Repeat the call until there is a final answer."""
        return await self.client.settle(request, unavailable)

    def _compare(self, step: ProviderStep, request: Request, answers: Sequence[Answer]) -> None:
        wrong: tuple[str, object] | None = None
        for answer in answers:
            wrong = wrong or self._difference(step, request, answer)
        wrong = wrong or self._unequal(step, answers)
        if wrong is not None:
            name = f"{step.situation}: {request.method} {request.path} {_excerpt(request.body)}"
            self.tally.differ(self.player_id, name, *wrong)

    def _difference(
        self, step: ProviderStep, request: Request, answer: Answer
    ) -> tuple[str, object] | None:
        right = list(step.wire.expected(step.call, step.outcome, request))
        for other in _other_outcomes(step, answer):
            right += step.wire.expected(step.call, other, request)
        if not any(one.fits(answer) for one in right):
            return " or ".join(str(one) for one in right), answer
        if wrong := step.wire.unsigned(answer):
            return wrong, answer
        return self._identity(step, answer)

    def _identity(self, step: ProviderStep, answer: Answer) -> tuple[str, object] | None:
        """One movement has one id in all its answers, and no other movement has it."""
        if step.outcome.movement is None or step.call.operation == "balance":
            return None
        movement_id = step.wire.movement_id(answer)
        if movement_id is None:
            return None
        movement = (step.call.integration, step.outcome.movement)
        first = self._movement_ids.setdefault(movement, movement_id)
        if first != movement_id:
            return f"movement id {first}", answer
        if self._numbers.setdefault(movement_id, movement) != movement:
            return "a movement id of its own", answer
        return None

    @staticmethod
    def _unequal(step: ProviderStep, answers: Sequence[Answer]) -> tuple[str, object] | None:
        """Copies that were sent at once get one answer."""
        if step.wire.switches.replay == "error":
            return None
        first = step.wire.stable(answers[0])
        other = next((one for one in answers[1:] if step.wire.stable(one) != first), None)
        return None if other is None else (f"the same as its copy, {answers[0]}", other)


def _other_outcomes(step: ProviderStep, answer: Answer) -> list[Outcome]:
    """What is right as well for a call that was sent more than once, where that is no success."""
    if step.manner == "plain" and answer.tries == 1:
        return []
    if step.call.operation == "close_session":
        return [replace(step.outcome, refusal="session_expired")]
    if step.wire.switches.replay == "error":
        return [replace(step.outcome, replayed=True)]
    return []


def _excerpt(body: bytes) -> str:
    return " ".join(body[:600].decode(errors="replace").split())
