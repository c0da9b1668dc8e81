"""Who is calling: the peer's address, or the one that the last trusted proxy saw."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

from aiohttp import web

from adapters.settings_reader import Network


def remote_address(request: web.BaseRequest, trusted: Sequence[Network]) -> str | None:
    """The caller's address as text; None on a socket that has none.

    X-Forwarded-For counts only where the peer is a trusted proxy, and only its last entry: the
    earlier ones are whatever the caller wrote, in this line of the head or in one before it.
    """
    peer = request.remote
    if not trusted or peer is None or not is_within(peer, trusted):
        return peer
    *_, forwarded = request.headers.getall("X-Forwarded-For", ("",))
    try:
        return str(_address(forwarded.rpartition(",")[2].strip()))
    except ValueError:
        return peer


def is_within(address: str, networks: Sequence[Network]) -> bool:
    """Whether an address is in one of the networks."""
    found = _address(address)
    return any(found in network for network in networks)


def _address(text: str) -> IPv4Address | IPv6Address:
    """An IPv4 caller of an IPv6 socket is the IPv4 address that he is."""
    found = ip_address(text)
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found
