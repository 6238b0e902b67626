"""Whether an address is one of some networks."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from worker.upstream_settings import Network


def is_among(address: str | None, networks: Iterable[Network]) -> bool:
    try:
        found = ipaddress.ip_address(address or "")
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:  # a socket that listens to both
        found = found.ipv4_mapped
    return any(found in network for network in networks)
