"""Who may use MessageMedia's API: the API key with its secret, by Basic or by HMAC-SHA256.

HMAC as its authentication page has it: `Authorization: hmac username="KEY", algorithm="hmac-sha256",
headers="Date Content-MD5 request-line", signature="…"`, without Content-MD5 where there is no body. What is signed is
a line `Name: value` for each of these headers and `METHOD target HTTP/1.1` for the request line; Content-MD5 is in
hexadecimal. The page's target has no query; that one belongs to the request line, and so is signed, is inferred, as
is by how much the Date may be off.
"""

import hmac
import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from hashlib import md5

# The sample credentials of the vendor's page on Basic authentication, decoded.
KEY, SECRET = "thisisakey", "thisisasecretformmbasicauthrestapi"

CLOCK_SKEW = timedelta(minutes=5)

_PARAMETER = re.compile(r'(\w+)="([^"]*)"')
_REQUEST_LINE = "request-line"


@dataclass(frozen=True, slots=True)
class Call:
    """What a signature covers. `target` is path and query as they stand in the request line."""

    method: str
    target: str
    headers: Mapping[str, str]  # found by name in any case
    body: bytes


@dataclass(frozen=True, slots=True)
class Access:
    key: str = KEY
    secret: str = SECRET

    def admits(self, call: Call, now: datetime) -> bool:
        given = call.headers.get("Authorization", "")
        scheme, _, credentials = given.partition(" ")
        if scheme.lower() == "hmac":
            return self._has_signed(call, dict(_PARAMETER.findall(credentials)), now)
        return scheme.lower() == "basic" and _equal(credentials.strip(), self._basic())

    def _basic(self) -> str:
        return b64encode(f"{self.key}:{self.secret}".encode()).decode()

    def _has_signed(self, call: Call, parameters: Mapping[str, str], now: datetime) -> bool:
        names = parameters.get("headers", "").split()
        signed = _signing_string(call, names)
        if signed is None or parameters.get("algorithm", "").lower() != "hmac-sha256":
            return False
        signature = b64encode(hmac.digest(self.secret.encode(), signed.encode(), "sha256")).decode()
        return (
            _equal(parameters.get("username", ""), self.key)
            and _equal(parameters.get("signature", ""), signature)
            and _is_recent(call.headers.get("Date", ""), now)
            and ("content-md5" not in _lower(names) or _is_of(call.headers["Content-MD5"], call.body))
        )


def _signing_string(call: Call, names: list[str]) -> str | None:
    """None where what must be signed is not, where what is signed is not there, or where it is something else."""
    needed = {"date", _REQUEST_LINE} | ({"content-md5"} if call.body else set())
    if not needed <= _lower(names) <= needed | {"content-md5"}:
        return None
    lines = []
    for name in names:
        if name.lower() == _REQUEST_LINE:
            lines.append(f"{call.method} {call.target} HTTP/1.1")
        elif name in call.headers:
            lines.append(f"{name}: {call.headers[name]}")
        else:
            return None
    return "\n".join(lines)


def _lower(names: list[str]) -> set[str]:
    return {name.lower() for name in names}


def _is_recent(date: str, now: datetime) -> bool:
    try:
        sent_at = parsedate_to_datetime(date)
    except ValueError:
        return False
    return sent_at.tzinfo is not None and abs(now - sent_at) <= CLOCK_SKEW


def _is_of(content_md5: str, body: bytes) -> bool:
    return _equal(content_md5, md5(body, usedforsecurity=False).hexdigest())


def _equal(given: str, right: str) -> bool:
    """In constant time, so that the answer's delay tells nothing of what is right."""
    return hmac.compare_digest(given.encode(), right.encode())
