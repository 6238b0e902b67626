"""A typed client for backends: `submit` and its kin over HTTP, with the retries that buy nothing twice.

It needs httpx and standardwebhooks, and imports nothing else of Trunkline.
"""

from __future__ import annotations

from worker.client.blocking import Client
from worker.client.errors import (
    Forged,
    Invalid,
    KeyReused,
    NotAllowed,
    NotFound,
    NotNow,
    Refused,
    StillOpen,
    TrunklineError,
    Unanswered,
)
from worker.client.shapes import Batch, BatchTaken, Event, Number, Request, RowFault
from worker.client.waiting import AsyncClient
from worker.client.webhooks import verify_webhook

__all__ = [
    "AsyncClient",
    "Batch",
    "BatchTaken",
    "Client",
    "Event",
    "Forged",
    "Invalid",
    "KeyReused",
    "NotAllowed",
    "NotFound",
    "NotNow",
    "Number",
    "Refused",
    "Request",
    "RowFault",
    "StillOpen",
    "TrunklineError",
    "Unanswered",
    "verify_webhook",
]
