"""A customer of one simulated upstream who also deals with it past Trunkline: by plain HTTP, as its portal does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import httpx
import pytest

from tests.sandbox import (
    ACCOUNT,
    MESSAGEMEDIA_KEY,
    MESSAGEMEDIA_SECRET,
    PASSWORD,
    TELMETRICS_TOKEN,
    USERNAME,
    SandboxServer,
)
from worker.signing import Uris
from worker.upstreams.messagemedia.spec import KEY
from worker.upstreams.telmetrics.names import named

EVER = "2000-01-01T00:00:00Z"


def credentials(monkeypatch: pytest.MonkeyPatch, sandbox: SandboxServer, *names: str) -> None:
    """Set up these upstreams, and no others."""
    known = {
        "avanser": {
            "URL": sandbox.avanser_url,
            "USERNAME": USERNAME,
            "PASSWORD": PASSWORD,
            "ACCOUNT_ID": ACCOUNT,
        },
        "telmetrics": {"URL": sandbox.telmetrics_url, "TOKEN": TELMETRICS_TOKEN},
        "messagemedia": {
            "URL": sandbox.messagemedia_url,
            "KEY": MESSAGEMEDIA_KEY,
            "SECRET": MESSAGEMEDIA_SECRET,
        },
    }
    for name, settings in known.items():
        for variable, value in settings.items():
            if name in names:
                monkeypatch.setenv(f"TRUNKLINE_{name.upper()}_{variable}", value)
            else:
                monkeypatch.delenv(f"TRUNKLINE_{name.upper()}_{variable}", raising=False)


@dataclass(frozen=True)
class Vendor:
    """Orders, changes and ends numbers directly. Numbers are E.164; `key` is the request whose key an order carries."""

    name: str
    sandbox: SandboxServer
    uris: Uris

    def buy(self, key: UUID | None = None, custom_id: str = "") -> str:
        with self._client() as client:
            return _BUY[self.name](client, self.uris, key, custom_id)

    def give_up(self, number: str) -> None:
        with self._client() as client:
            _done(client.delete(self._path(client, number)))

    def change(self, number: str) -> None:
        """Somebody configures the number anew."""
        changes = {
            "avanser": ("POST", {"service": {"answer_point": "61399998888"}}),
            "telmetrics": ("PUT", {"call_routes": {"route": {"termination_number": "2125550199"}}}),
            "messagemedia": ("PATCH", {"label": "Somebody else's"}),
        }
        method, body = changes[self.name]
        with self._client() as client:
            _done(client.request(method, self._path(client, number), json=body))

    def lists(self, number: str) -> bool:
        with self._client() as client:
            return self._reference(client, number) is not None

    @contextmanager
    def _client(self) -> Iterator[httpx.Client]:
        with getattr(self.sandbox, self.name)() as client:
            yield client

    def _path(self, client: httpx.Client, number: str) -> str:
        reference = self._reference(client, number)
        assert reference is not None, f"{self.name} has no {number}"
        paths = {
            "avanser": "/services/{}",
            "telmetrics": "/numbers/{}",
            "messagemedia": "/{}/assignment",
        }
        return paths[self.name].format(reference)

    def _reference(self, client: httpx.Client, number: str) -> str | None:
        digits = number.lstrip("+")
        match self.name:
            case "avanser":
                return digits if digits in _done(client.get("/services"))["response"] else None
            case "telmetrics":
                rows = _done(client.get("/numbers"))["results"]
                return next((str(row["id"]) for row in rows if f"1{row['phone_number']}" == digits), None)
        rows = _done(client.get("/assignments", params={"matching": digits}))["data"]
        return next((row["number"]["id"] for row in rows), None)


def _buy_at_avanser(client: httpx.Client, uris: Uris, key: UUID | None, custom_id: str) -> str:
    body: dict[str, Any] = {
        "custom_id": custom_id,
        "service_number": {"country": "AU", "search_type": "szu", "szu": "sydney"},
        "service": {"type": "transfer", "answer_point": "61401603859"},
        "call_uri": "http://127.0.0.1:1/x",
    }
    if key is not None:
        body["callback_uri"] = uris.callback("avanser", key).replace("https://trunkline.test", "http://127.0.0.1:1")
    number: str = _done(client.post("/requests", json=body))["response"]["service_number"]
    return f"+{number}"


def _buy_at_telmetrics(client: httpx.Client, uris: Uris, key: UUID | None, custom_id: str) -> str:
    body = {
        "name": "From the portal" if key is None else named(key, "From the portal"),
        "phone_number_request": {"match_type": "localtocity", "city": "atlanta", "state": "ga"},
        "call_routes": {"route_type": "Basic", "route": {"termination_number": "4043993433"}},
    }
    return f"+1{_done(client.post('/groups/11623282/numbers', json=body))['phone_number']}"


def _buy_at_messagemedia(client: httpx.Client, uris: Uris, key: UUID | None, custom_id: str) -> str:
    stock = _done(client.get("/", params={"country": "AU", "page_size": 100}))["data"]
    now = datetime.now(UTC)
    offer = next(row for row in stock if datetime.fromisoformat(row.get("available_after", EVER)) < now)
    body: dict[str, Any] = {"label": "From the portal"}
    if key is not None:
        body["metadata"] = {KEY: str(key)}
    _done(client.post(f"/{offer['id']}/assignment", json=body))
    return "+" + str(offer["phone_number"]).lstrip("+")


_BUY: Mapping[str, Callable[[httpx.Client, Uris, UUID | None, str], str]] = {
    "avanser": _buy_at_avanser,
    "telmetrics": _buy_at_telmetrics,
    "messagemedia": _buy_at_messagemedia,
}


def _done(answer: httpx.Response) -> Any:
    assert answer.is_success, f"{answer.request.method} {answer.url}: {answer.status_code} {answer.text}"
    return answer.json() if answer.content else None
