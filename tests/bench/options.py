"""What a run of the suite shall measure, from the command line."""

import argparse
from dataclasses import dataclass

from tests.bench.service import Shape

PARTS = {
    "a": "bare SQL",
    "b": "a handler that only verifies the signature, and the generator's ceiling",
    "c": "the eventsourcing library used plainly",
    "d": "the service",
    "e": "the same with 2 ms commits",
    "f": "throughput after two million events",
    "g": "first call of a player with 100 000 events",
    "h": "memory and start-up time",
    "o": "latencies in an open loop: calls that come at a rate",
    "p": "a row per provider",
    "r": "first bet after a kill of the service or the database",
    "v": "the views: catching up, lag under load, rebuild",
}
VIEWS_EVENTS_MIN = 50_000
"""So that early and late views have a turn of a batch at least."""
SHAPES = (Shape(1, 1), Shape(1, 2), Shape(2, 2), Shape(1, 1, views=False))


@dataclass(frozen=True, slots=True)
class Options:
    """A run: which parts, how long, on how many players and events."""

    parts: frozenset[str]
    quick: bool
    rounds: int
    seconds: float
    tries: int
    shapes: tuple[Shape, ...]
    levels: tuple[int, ...]
    players: int
    heavy_players: int
    heavy_events: int
    history_events: int


def parse(arguments: list[str] | None = None) -> Options:
    """Read the command line; ends the process with 2 where it is wrong."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
    parts = frozenset(chosen.only.replace(",", ""))
    if not parts or not parts <= set(PARTS):
        parser.error(f"--only takes letters out of {','.join(PARTS)}")
    shapes: tuple[Shape, ...] = SHAPES[:1] if chosen.quick else SHAPES
    if chosen.workers or chosen.partitions:
        shapes = (Shape(chosen.workers or 1, chosen.partitions or 1),)
    quick: bool = chosen.quick
    heavy_events = 10_000 if quick else 100_000
    history_events: int = chosen.events or (50_000 if quick else 2_000_000)
    if "v" in parts and history_events < VIEWS_EVENTS_MIN:
        parser.error(f"part v needs --events of {VIEWS_EVENTS_MIN} at least")
    return Options(
        parts=parts,
        quick=quick,
        rounds=chosen.rounds or (1 if quick else 3),
        seconds=chosen.seconds or (2.0 if quick else 5.0),
        tries=chosen.tries or (1 if quick else 3),
        shapes=shapes,
        levels=(1, 64) if quick else (1, 8, 32, 64, 128),
        players=2_000 if quick else 10_000,
        # half of the history is that of a few players
        heavy_players=max(1, min(10, history_events // 2 // heavy_events)),
        heavy_events=heavy_events,
        history_events=history_events,
    )


def _parser() -> argparse.ArgumentParser:
    parts = "\n".join(f"  {letter}  {meaning}" for letter, meaning in PARTS.items())
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="Measures the service beside bare SQL, a bare handler and the plain library.",
        epilog=f"parts:\n{parts}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="short form, for smoke use")
    parser.add_argument("--only", default="".join(PARTS), help="parts to run, e.g. a,b,d")
    parser.add_argument("--rounds", type=int, help="interleaved rounds (3; quick 1)")
    parser.add_argument("--seconds", type=float, help="of each measurement (5; quick 2)")
    parser.add_argument(
        "--tries", type=int, help="of a measurement while others use the machine (3; quick 1)"
    )
    parser.add_argument("--events", type=int, help="of the long history (2 million; quick 50 000)")
    parser.add_argument(
        "--workers", type=int, help="service processes (1/1, 1/2 and 2/2 are compared)"
    )
    parser.add_argument("--partitions", type=int, help="ledger partitions (likewise)")
    return parser
