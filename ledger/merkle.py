"""Merkle trees as of RFC 9162, 2.1.1: one hash over many leaves, in their order."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256


class Tree:
    """A tree that grows leaf by leaf; what it keeps is the root of each full subtree."""

    def __init__(self) -> None:
        self.size = 0
        """How many leaves it has."""
        self._full: list[tuple[int, bytes]] = []  # leaves and root, the largest first

    def add(self, leaf: bytes) -> None:
        """One more leaf, behind all others."""
        leaves, node = 1, _hashed(leaf)
        while self._full and self._full[-1][0] == leaves:
            node = _joined(self._full.pop()[1], node)
            leaves *= 2
        self._full.append((leaves, node))
        self.size += 1

    def root(self) -> bytes:
        """The hash of the whole tree; without leaves that of nothing."""
        if not self._full:
            return sha256(b"").digest()
        *left, (_, node) = self._full
        for _, root in reversed(left):
            node = _joined(root, node)
        return node


def path(leaves: Sequence[bytes], place: int) -> tuple[list[bytes], bytes]:
    """What proves that a leaf is in a tree, its audit path (2.1.3.1), and the root.

    ``place`` counts the leaves from 0.
    """
    nodes = [_hashed(leaf) for leaf in leaves]
    siblings = []
    while len(nodes) > 1:
        sibling = place ^ 1
        if sibling < len(nodes):
            siblings.append(nodes[sibling])
        above = [_joined(*pair) for pair in zip(nodes[::2], nodes[1::2], strict=False)]
        nodes = above + nodes[2 * len(above) :]
        place //= 2
    return siblings, nodes[0]


def _hashed(leaf: bytes) -> bytes:
    return sha256(b"\x00" + leaf).digest()


def _joined(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()
