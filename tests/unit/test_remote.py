"""Who is calling: addresses as operators write them in the configuration."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from adapters.remote import is_within

OURS = [ip_network("10.0.0.0/8"), ip_network("2001:db8::/32")]


@pytest.mark.parametrize(
    ("address", "within"),
    [
        ("10.1.2.3", True),
        ("::ffff:10.1.2.3", True),
        ("2001:db8::1", True),
        ("192.0.2.1", False),
        ("::ffff:192.0.2.1", False),
        ("::1", False),
    ],
)
def test_an_ipv4_caller_of_an_ipv6_socket_is_known_by_his_ipv4_address(address: str, within: bool):
    """A service on `::` would refuse everybody whom its configuration allows."""
    assert is_within(address, OURS) is within
