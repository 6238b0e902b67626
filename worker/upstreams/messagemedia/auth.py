"""The two ways to prove to MessageMedia who we are: Basic, and a signature that does not show the secret.

The signature is that of its page "HMAC Authentication": HMAC-SHA256 in Base64 over the lines `Date: …`,
`Content-MD5: …` (of bodies only, in hexadecimal digits unlike RFC 1864's) and the request line, in that order.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime

from worker.upstream_settings import MessageMediaSettings
from worker.upstreams.ask import Authorize


def authorize(settings: MessageMediaSettings) -> Authorize:
    """How requests are authorized under these settings."""
    assert settings.key is not None
    assert settings.secret is not None
    key, secret = settings.key.get_secret_value(), settings.secret.get_secret_value()
    if settings.auth == "basic":
        headers = basic(key, secret)
        return lambda *_: headers
    return lambda method, target, body: signed(key, secret, method, target, body, datetime.now(UTC))


def basic(key: str, secret: str) -> Mapping[str, str]:
    return {"Authorization": f"Basic {b64encode(f'{key}:{secret}'.encode()).decode()}"}


def signed(key: str, secret: str, method: str, target: str, body: bytes | None, now: datetime) -> Mapping[str, str]:
    """The headers for one request; `target` is the path and query as they stand in the request line."""
    headers = {"Date": format_datetime(now, usegmt=True)}
    if body is not None:
        headers["Content-MD5"] = hashlib.md5(body, usedforsecurity=False).hexdigest()
    lines = [*(f"{name}: {value}" for name, value in headers.items()), f"{method} {target} HTTP/1.1"]
    signature = b64encode(hmac.digest(secret.encode(), "\n".join(lines).encode(), "sha256")).decode()
    named = " ".join([*headers, "request-line"])
    headers["Authorization"] = (
        f'hmac username="{key}", algorithm="hmac-sha256", headers="{named}", signature="{signature}"'
    )
    return headers
