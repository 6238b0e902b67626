"""Proofs: the capability tokens in the URIs that we hand to upstreams, and the signature on every result.

An upstream's callback is not signed, so knowing the URI is the proof. A token is bound to one request, one
upstream and one purpose, and carries the request's id: to check it takes the secret key and no database.
"""

from __future__ import annotations

import binascii
import hashlib
import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from pydantic import SecretStr
from standardwebhooks import Webhook

from models.inbox import Purpose

TAG_BYTES = 20
"""Of HMAC-SHA256: 160 bits, against the 128 that are needed. With the id a token is 50 characters long."""

KEY_BYTES = 1
"""Names the key that made the tag, so that a rotation needs one try and not one for each key."""

ID_BYTES = 16

PORTAL = UUID(int=0)
"""In place of a request, in the addresses that are entered once in a vendor's portal and serve all numbers there."""


class BadToken(Exception):
    """The token is none of ours, or is for something else. Callers answer 404, the same for every cause."""


class Tokens:
    """Makes and checks tokens. The first key makes; all keys check."""

    def __init__(self, keys: Sequence[SecretStr]) -> None:
        self._keys = [hashlib.sha256(b"trunkline-token:" + key.get_secret_value().encode()).digest() for key in keys]
        self._by_name = {_name_of(key): key for key in reversed(self._keys)}

    def make(self, upstream: str, purpose: Purpose, request_id: UUID) -> str:
        key = self._keys[0]
        return _text(request_id.bytes + _name_of(key) + _tag(key, upstream, purpose, request_id.bytes))

    def check(self, upstream: str, purpose: Purpose, token: str) -> UUID:
        """The request that the token is for. Raises BadToken."""
        raw = _raw(token)
        id_bytes, name, tag = (
            raw[:ID_BYTES],
            raw[ID_BYTES : ID_BYTES + KEY_BYTES],
            raw[ID_BYTES + KEY_BYTES :],
        )
        key = self._by_name.get(name)
        # A name that is none of ours costs as much as a wrong tag, so that time tells nothing either.
        is_right = hmac.compare_digest(tag, _tag(key or self._keys[0], upstream, purpose, id_bytes))
        if key is None or not is_right:
            raise BadToken
        return UUID(bytes=id_bytes)


def claimed_by(token: str) -> UUID:
    """The request that a token says it is for, unproven: only to know our own URI again in an upstream's list.

    Unlike equality this holds when the key was rotated, or our public URL changed, since the URI was handed out.
    Raises BadToken for what has not a token's form.
    """
    raw = _raw(token)
    if len(raw) != ID_BYTES + KEY_BYTES + TAG_BYTES:
        raise BadToken
    return UUID(bytes=raw[:ID_BYTES])


def _name_of(key: bytes) -> bytes:
    return hashlib.sha256(b"name:" + key).digest()[:KEY_BYTES]


def _tag(key: bytes, upstream: str, purpose: Purpose, id_bytes: bytes) -> bytes:
    said = b"\0".join((purpose.value.encode(), upstream.encode(), id_bytes))
    return hmac.digest(key, said, "sha256")[:TAG_BYTES]


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


def _raw(token: str) -> bytes:
    """The bytes of a token. Only its one canonical spelling is taken, so that a repeat is seen as a repeat."""
    try:
        raw = urlsafe_b64decode(token.encode("ascii") + b"=" * (-len(token) % 4))
    except (UnicodeEncodeError, binascii.Error):
        raise BadToken from None
    if _text(raw) != token:
        raise BadToken
    return raw


class Uris:
    """The URIs that we hand to upstreams."""

    def __init__(self, public_url: str, tokens: Tokens) -> None:
        self._public_url = public_url.rstrip("/")
        self._tokens = tokens

    def callback(self, upstream: str, request_id: UUID) -> str:
        return self._uri("callbacks", upstream, Purpose.CALLBACK, request_id)

    def call(self, upstream: str, request_id: UUID) -> str:
        return self._uri("calls", upstream, Purpose.CALL, request_id)

    def sms(self, upstream: str, request_id: UUID) -> str:
        return self._uri("sms", upstream, Purpose.SMS, request_id)

    def of_portal(self, upstream: str) -> dict[str, str]:
        """The addresses for a vendor's portal, by what is sent there."""
        return {"calls": self.call(upstream, PORTAL), "messages": self.sms(upstream, PORTAL)}

    def _uri(self, path: str, upstream: str, purpose: Purpose, request_id: UUID) -> str:
        return f"{self._public_url}/{path}/{upstream}/{self._tokens.make(upstream, purpose, request_id)}"


@lru_cache(maxsize=1_000)
def _signer(secret: str) -> Webhook:
    return Webhook(secret)


def sign(webhook_id: str, body: dict[str, Any], secrets: Sequence[str], now: datetime) -> tuple[bytes, dict[str, str]]:
    """The bytes to POST and the Standard Webhooks headers to send with them; a signature for each secret."""
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    signatures = " ".join(_signer(secret).sign(webhook_id, now.astimezone(UTC), text) for secret in secrets)
    return text.encode(), {
        "content-type": "application/json",
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signatures,
    }
