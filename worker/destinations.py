"""Requesters' URLs: hostile until proven otherwise. Where results may go, and the client that takes them there."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from datetime import timedelta
from urllib.parse import urlsplit

from worker.upstreams.http import Http, NoAnswer, Reply

MOST_CONNECTIONS = 100
MOST_BODY = 16 * 1024
"""Bytes of a requester's answer that are read: we want its status."""

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_COMPATIBLE = ipaddress.ip_network("::/96")
"""IPv4-compatible IPv6 addresses (RFC 4291, 2.5.5.1; deprecated): the last 32 bits are an IPv4 address."""


class Destinations:
    """POSTs results. Without `allow_private` only to https, port 443 or 8443, at addresses of the public internet."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._http = Http(MOST_CONNECTIONS, guard=None if allow_private else is_public)

    async def post(self, url: str, content: bytes, headers: Mapping[str, str], within: timedelta) -> Reply:
        """One try. Follows no redirect. Raises NoAnswer, also for a URL that may not be asked."""
        if (fault := fault_of(url, allow_private=self._allow_private)) is not None:
            raise NoAnswer(fault, sent=False)
        return await self._http.send("POST", url, deadline=within, headers=headers, body=content, most=MOST_BODY)


PORTS = (443, 8443)


def fault_of(url: str, *, allow_private: bool) -> str | None:
    """Why results may not go to this URL, as far as the URL alone tells; None where they may."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "it is not a URL"
    if parts.scheme not in ("https", "http") or not parts.hostname:
        return "it must be a URL such as https://host/path"
    if parts.username is not None or parts.password is not None:
        return "it must not hold a user name or password"
    if allow_private:
        return None
    if parts.scheme != "https":
        return "it must begin with https:// (TRUNKLINE_ALLOW_PRIVATE_DESTINATIONS lifts this, for development)"
    if port not in (None, *PORTS):
        return f"its port must be one of {', '.join(map(str, PORTS))}"
    return None


def is_public(address: str) -> bool:
    """Whether an IP address is of the public internet, whatever form its IPv4 part is wrapped in."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        wrapped = found.ipv4_mapped or found.sixtofour or _embedded(found)
        if wrapped is not None:
            found = wrapped
    return found.is_global and not found.is_multicast and not getattr(found, "is_site_local", False)


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address in _NAT64 or address in _COMPATIBLE:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None
