"""Who is calling: the peer's address, or the one that the last trusted proxy saw."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

from aiohttp import web

from adapters.settings_reader import Network


def remote_address(request: web.BaseRequest, trusted: Sequence[Network]) -> str | None:
    """The caller's address as text; None on a socket that has none.

    X-Forwarded-For counts only where the peer is a trusted proxy, and only its last entry: the
    earlier ones are whatever the caller wrote.
    """
    peer = request.remote
    if not trusted or peer is None:
        return peer
    if not any(ip_address(peer) in network for network in trusted):
        return peer
    forwarded = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
    try:
        return str(ip_address(forwarded))
    except ValueError:
        return peer
