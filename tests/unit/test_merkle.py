"""Merkle trees: roots that others computed, for the ledger's tree and for the auditor's."""

from __future__ import annotations

from hashlib import sha256

import pytest

from ledger import merkle
from tests.unit.seal_fakes import loaded, program

root_of = loaded("verify_evidence").root_of

LEAVES = tuple(
    map(
        bytes.fromhex,
        (
            "",
            "00",
            "10",
            "2021",
            "3031",
            "40414243",
            "5051525354555657",
            "606162636465666768696a6b6c6d6e6f",
        ),
    )
)
"""The leaves that the certificate-transparency project tests with."""

ROOTS = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
"""Its roots of none, one, two to all eight of them."""

BOTH = pytest.mark.parametrize("tree_type", [merkle.Tree, program().Tree], ids=["ours", "theirs"])


def defined(leaves: list[bytes]) -> bytes:
    """The root as RFC 9162, 2.1.1 defines it, word for word."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\x01" + defined(leaves[:split]) + defined(leaves[split:])).digest()


@BOTH
@pytest.mark.parametrize("size", range(9))
def test_the_roots_of_certificate_transparency_are_found(tree_type, size):
    """An error that both trees shared would be seen by nobody but a third party."""
    tree = tree_type()
    for leaf in LEAVES[:size]:
        tree.add(leaf)
    assert (tree.size, tree.root().hex()) == (size, ROOTS[size])


@BOTH
def test_a_tree_of_any_size_has_the_root_of_the_definition(tree_type):
    """Sizes around the powers of two are where a tree that grows goes wrong.

    The root is asked for at every size: asking must not change the tree.
    """
    tree, leaves = tree_type(), []
    for size in range(1, 140):
        leaves.append(size.to_bytes(2))
        tree.add(leaves[-1])
        assert tree.root() == defined(leaves), size


@BOTH
def test_a_leaf_is_no_inner_node(tree_type):
    """Otherwise two events could be passed off as one whose leaf is their hashes."""
    two, one = tree_type(), tree_type()
    two.add(b"a")
    two.add(b"b")
    one.add(sha256(b"\x00a").digest() + sha256(b"\x00b").digest())
    assert two.root() != one.root()


def test_every_leaf_is_proven_in_a_tree_of_any_size_and_nowhere_else():
    """By the ledger's path and the auditor's way up it, which share nothing but the RFC."""
    for size in range(1, 40):
        leaves = [number.to_bytes(2) for number in range(size)]
        for place, leaf in enumerate(leaves):
            path, root = merkle.path(leaves, place)
            assert root == defined(leaves)
            assert root_of(leaf, place, size, path) == root
            for other in range(size):
                assert (root_of(leaf, other, size, path) == root) == (other == place)
            assert root_of(leaf, place, size, path[:-1]) != root or not path
            assert root_of(leaf, place, size, [*path, root]) is None


def test_the_audit_paths_of_the_rfc_are_found():
    """RFC 9162, 2.1.5: a tree of seven leaves, and the paths of four of them."""
    leaves = list(LEAVES[:7])
    a, b, c, d, e, f, j = (sha256(b"\x00" + leaf).digest() for leaf in leaves)
    g, h, i = (sha256(b"\x01" + x + y).digest() for x, y in ((a, b), (c, d), (e, f)))
    k, m = (sha256(b"\x01" + x + y).digest() for x, y in ((g, h), (i, j)))
    assert merkle.path(leaves, 0)[0] == [b, h, m]
    assert merkle.path(leaves, 3)[0] == [c, g, m]
    assert merkle.path(leaves, 4)[0] == [f, j, k]
    assert merkle.path(leaves, 6)[0] == [i, k]


@pytest.mark.parametrize(("place", "size"), [(0, 0), (-1, 3), (3, 3), (0, -1)])
def test_what_is_in_no_tree_is_not_proven(place, size):
    """A forged bundle may say any numbers."""
    assert root_of(b"", place, size, []) is None
