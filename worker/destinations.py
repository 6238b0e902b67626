"""Requesters' URLs: hostile until proven otherwise. Where results may go, and the client that takes them there."""

from __future__ import annotations

import ipaddress
import socket
import unicodedata
from collections.abc import Mapping
from datetime import timedelta
from functools import lru_cache
from urllib.parse import urlsplit

from worker.upstreams.http import Http, NoAnswer, Reply

MOST_CONNECTIONS = 400
"""Of a process: as many as results may be in flight over all workers, so that none waits behind those that hang."""

MOST_BODY = 16 * 1024
"""Bytes of a requester's answer that are read: we want its status."""

_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
"""All that IANA has given out of IPv6. What lies outside is for use within a network: by RFC 8215 64:ff9b:1::/48
leads to any IPv4 address of it. Python's `is_global` knows such blocks only from some release on."""

_NOT_GLOBAL = (
    ipaddress.ip_network("3fff::/20"),  # documentation (RFC 9637)
    ipaddress.ip_network("192.88.99.0/24"),  # the nearest 6to4 relay, whosever it is (RFC 7526: no more)
)

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_COMPATIBLE = ipaddress.ip_network("::/96")
"""IPv4-compatible IPv6 addresses (RFC 4291, 2.5.5.1; deprecated): the last 32 bits are an IPv4 address."""


_NAMES_INSIDE = (".localhost", ".local", ".internal", ".home.arpa")
"""Names that no public resolver knows (RFC 6761, 6762, 8375; ICANN's `.internal`)."""


class Destinations:
    """POSTs results. Without `allow_private` only to https, port 443 or 8443, at addresses of the public internet.

    By way of a `proxy` it is the proxy that finds addresses and so must refuse those within the network. What can be
    seen without finding them is refused here all the same.
    """

    def __init__(self, *, allow_private: bool, proxy: str | None = None) -> None:
        self._allow_private = allow_private
        self._judges_names = proxy is not None and not allow_private
        self._http = Http(MOST_CONNECTIONS, guard=None if allow_private or proxy else is_public, proxy=proxy)

    async def post(self, url: str, content: bytes, headers: Mapping[str, str], within: timedelta) -> Reply:
        """One try. Follows no redirect. Raises NoAnswer, also for a URL that may not be asked."""
        if (fault := fault_of(url, allow_private=self._allow_private)) is not None:
            raise NoAnswer(fault, sent=False)
        if self._judges_names and is_inside(url):
            raise NoAnswer("the address is not allowed", sent=False)
        return await self._http.send("POST", url, deadline=within, headers=headers, body=content, most=MOST_BODY)

    async def close(self) -> None:
        await self._http.close()


PORTS = (443, 8443)


@lru_cache(maxsize=1_000)
def fault_of(url: str, *, allow_private: bool) -> str | None:
    """Why results may not go to this URL, as far as the URL alone tells; None where they may."""
    try:
        parts = urlsplit(url)
        port = parts.port
        (parts.hostname or "").encode("idna")  # as the resolver does
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


@lru_cache(maxsize=1_000)
def is_inside(url: str) -> bool:
    """Whether a URL shows by itself that it leads into a network: by an address, however spelt, or by such a name."""
    host = unicodedata.normalize("NFKC", urlsplit(url).hostname or "").replace("\u3002", ".").rstrip(".").lower()
    try:
        return not is_public(host)
    except ValueError:
        pass
    try:
        return not is_public(socket.inet_ntoa(socket.inet_aton(host)))  # 0x7f.1, 0177.0.0.1, 2130706433
    except OSError:
        return "." not in host or f".{host}".endswith(_NAMES_INSIDE)


def is_public(address: str) -> bool:
    """Whether an IP address is of the public internet, whatever form its IPv4 part is wrapped in."""
    found = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        wrapped = found.ipv4_mapped or found.sixtofour or _embedded(found)
        if wrapped is None:
            return found in _GLOBAL_UNICAST and _is_global(found)
        found = wrapped
    return _is_global(found)


def _is_global(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return address.is_global and not address.is_multicast and not any(address in block for block in _NOT_GLOBAL)


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address in _NAT64 or address in _COMPATIBLE:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None
