"""Who is calling: the peer's address, or the one that the last trusted proxy saw."""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from aiohttp import web

from adapters.settings_reader import Network

_WITH_PORT: Final = re.compile(r"(?P<v4>[0-9.]+):[0-9]{1,5}|\[(?P<v6>[^]]+)\](?::[0-9]{1,5})?")


def remote_address(request: web.BaseRequest, trusted: Sequence[Network]) -> str | None:
    """The caller's address as text; None on a socket that has none.

    X-Forwarded-For counts only where the peer is a trusted proxy, and only its last entry: the
    earlier ones are whatever the caller wrote, in this line of the head or in one before it. Some
    proxies put the caller's port behind it.
    """
    peer = request.remote
    if not trusted or peer is None or not is_within(peer, trusted):
        return peer
    *_, forwarded = request.headers.getall("X-Forwarded-For", ("",))
    try:
        return str(_address(_without_port(forwarded.rpartition(",")[2].strip())))
    except ValueError:
        return peer


def is_within(address: str, networks: Sequence[Network]) -> bool:
    """Whether an address is in one of the networks."""
    found = _address(address)
    return any(found in network for network in networks)


def _without_port(text: str) -> str:
    """The address in ``192.0.2.1:80`` or ``[2001:db8::1]:80``; anything else as it is."""
    found = _WITH_PORT.fullmatch(text)
    return text if found is None else found["v4"] or found["v6"]


def _address(text: str) -> IPv4Address | IPv6Address:
    """An IPv4 caller of an IPv6 socket is the IPv4 address that he is."""
    found = ip_address(text)
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found
