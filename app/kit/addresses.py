"""Network addresses of clients, as far as limits are concerned."""

import ipaddress
from contextvars import ContextVar
from functools import lru_cache

IPV6_SUBSCRIBER = 64
"""Bits of an IPv6 address that name a subscriber, who can use all addresses below at will (RFC 6177)."""
CLIENT: ContextVar[str] = ContextVar("client", default="")
"""The address of the client whose request is being handled; empty outside requests."""


@lru_cache(4096)
def subscriber(host: str) -> str:
    """Whom an address belongs to, as far as that can be told: of IPv6 the network that one customer gets."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return host
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((int(address), IPV6_SUBSCRIBER), strict=False))
