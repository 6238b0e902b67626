"""Whether a webhook is Trunkline's: the check that stands before anything is believed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import cast

from standardwebhooks import Webhook

from worker.client.errors import Forged
from worker.client.shapes import Event


def verify_webhook(secrets: str | Sequence[str], headers: Mapping[str, str], body: bytes) -> Event:
    """What a webhook says, proved by one of the endpoint's secrets (`whsec_…`).

    `headers` in any case of letters; `body` as it came, byte for byte. It may come twice: keep the `webhook-id`s that
    you have seen. Raises Forged, and ValueError where a secret is none.
    """
    known = [_webhook(secret) for secret in ([secrets] if isinstance(secrets, str) else secrets)]
    if not known:
        raise ValueError("secrets: at least one is needed, or nothing can be proved")
    given = {name.lower(): value for name, value in headers.items()}
    if not any(_is_signed(one, given, body) for one in known):
        raise Forged("no signature fits, or it is older than five minutes: answer 400 and do nothing")
    return cast(Event, json.loads(body))


def _webhook(secret: str) -> Webhook:
    try:
        return Webhook(secret)
    except Exception:  # noqa: BLE001  # base64's error, or the package's own; neither says what is to be done
        raise ValueError("secrets: one is no secret of an endpoint; it begins with whsec_ and is Base64") from None


def _is_signed(webhook: Webhook, headers: dict[str, str], body: bytes) -> bool:
    try:
        webhook.verify(body, headers, json_parse=False)
    except Exception:  # noqa: BLE001  # on what is no Base64 or no UTF-8 it raises more than its own error
        return False
    return True
