"""The keys that were used lately, so that a repetition soon after its first call asks nobody.

Kept as bytes, one object a key. As the events they are, twenty thousand would be a quarter of a
million small objects all over the memory, and a bet would pay for that more than a repetition does
for reading its event back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import cast

import msgspec

from ledger.codec import decode
from ledger.decisions import Key, Transaction
from ledger.events import Movement

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(tuple[str, int, str, str, msgspec.Raw]).decode


class RecentKeys:
    """At most ``most`` keys with what became of them; those remembered first fall out first."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: dict[Key, bytes] = {}
        self._order: deque[Key] = deque()

    def __contains__(self, key: Key) -> bool:
        return key in self._kept

    def get(self, key: Key) -> Transaction | None:
        """What became of a key; None where that is not known here."""
        kept = self._kept.get(key)
        if kept is None:
            return None
        player_id, version, kind, name, event = _decode(kept)
        return Transaction(player_id, version, kind, cast("Movement", decode(name, event)))

    def remember(self, used: Mapping[Key, Transaction]) -> None:
        """Keep these too."""
        kept = self._kept
        for key, transaction in used.items():
            if key not in kept:
                self._order.append(key)
            kept[key] = _packed(transaction)
        while len(kept) > self._most:
            del kept[self._order.popleft()]

    def clear(self) -> None:
        """Forget everything."""
        self._kept.clear()
        self._order.clear()


def _packed(used: Transaction) -> bytes:
    return _encode((used.player_id, used.version, used.kind, used.event.NAME, used.event))
