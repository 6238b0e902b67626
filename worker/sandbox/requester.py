"""A requester's endpoint: takes signed results, verifies them, keeps what it got, and fails on demand."""

import asyncio
import time
from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from standardwebhooks import Webhook, WebhookVerificationError

from worker.sandbox.control import bad_body

_PAGE, _LARGEST_PAGE = 1_000, 10_000


Secret = Annotated[str, Field(pattern=r"^(whsec_)?[A-Za-z0-9+/]{16,}={0,2}$")]


class Failure(BaseModel):
    """How verified results are answered instead of 204."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    status: int = Field(default=500, ge=300, le=599)  # 410 says "never again"; 3xx sends to `location`
    first_n: int | None = Field(default=None, ge=0)  # only so many attempts; null: all of them
    per_result: bool = False  # count `first_n` for each webhook-id by itself
    hang_seconds: float = Field(default=0, ge=0, le=3_600)  # keeps silent so long first
    location: str = ""
    retry_after: int | None = Field(default=None, ge=0)


class Setup(BaseModel):
    """The body of `PUT /_sandbox/requester/{name}`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    secrets: tuple[Secret, ...] = ()
    fail: Failure | None = None

    @field_validator("secrets")
    @classmethod
    def _are_secrets(cls, secrets: tuple[str, ...]) -> tuple[str, ...]:
        for secret in secrets:
            Webhook(secret)  # raises ValueError for what is not base64 after all
        return secrets


@dataclass(slots=True)
class Result:
    """One webhook-id, however often it came."""

    webhook_id: str
    type: str
    data_id: str
    custom_id: str
    state: str
    first_at: float  # seconds since the epoch
    verified: bool = True
    attempts: int = 0
    accepted: int = 0  # answers 2xx


@dataclass
class Requester:
    """One named requester and what reached it. It lives in memory: a restart of the sandbox forgets it."""

    secrets: list[Webhook] = field(default_factory=list)
    fail: Failure | None = None
    failed: int = 0
    received: int = 0
    verified: int = 0
    bad_signature: int = 0
    accepted: int = 0
    results: dict[str, Result] = field(default_factory=dict)

    def set_up(self, setup: Setup) -> None:
        self.secrets = [Webhook(secret) for secret in setup.secrets]
        self.fail, self.failed = setup.fail, 0

    def take(self, body: bytes, headers: dict[str, str]) -> Result | None:
        """Keeps a result whose signature holds under one of the secrets; None for any other."""
        self.received += 1
        content = self._verify(body, headers)
        if content is None:
            self.bad_signature += 1
            return None
        self.verified += 1
        webhook_id = headers["webhook-id"]
        if webhook_id not in self.results:
            self.results[webhook_id] = _result(webhook_id, content)
        result = self.results[webhook_id]
        result.attempts += 1
        return result

    def failure_for(self, result: Result) -> Failure | None:
        fail = self.fail
        if fail is None:
            return None
        count = result.attempts - 1 if fail.per_result else self.failed
        if fail.first_n is not None and count >= fail.first_n:
            return None
        self.failed += 1
        return fail

    def counts(self) -> dict[str, Any]:
        return {
            "received": self.received,
            "verified": self.verified,
            "bad_signature": self.bad_signature,
            "accepted": self.accepted,
            "distinct": len(self.results),
            "by_type": Counter(result.type for result in self.results.values()),
        }

    def _verify(self, body: bytes, headers: dict[str, str]) -> Any:
        for secret in self.secrets:
            try:
                return secret.verify(body, headers)
            except (
                WebhookVerificationError,
                ValueError,
            ):  # ValueError: a signature or body that is not even one
                continue
        return None


class Requesters:
    """All requesters, made when first named."""

    def __init__(self) -> None:
        self._named: dict[str, Requester] = {}

    def forget(self) -> None:
        self._named.clear()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/requester/{name}", self._receive),
            web.put("/_sandbox/requester/{name}", self._set_up),
            web.get("/_sandbox/requester/{name}", self._show),
            web.get("/_sandbox/requester/{name}/results", self._show_results),
        ]

    def _of(self, request: web.Request) -> Requester:
        return self._named.setdefault(request.match_info["name"], Requester())

    async def _receive(self, request: web.Request) -> web.Response:
        requester = self._of(request)
        headers = {name.lower(): value for name, value in request.headers.items()}
        result = requester.take(await request.read(), headers)
        if result is None:
            return web.Response(status=401, text="bad signature")
        fail = requester.failure_for(result)
        if fail is not None:
            return await _fail(fail)
        result.accepted += 1
        requester.accepted += 1
        return web.Response(status=204)

    async def _set_up(self, request: web.Request) -> web.Response:
        try:
            setup = Setup.model_validate_json(await request.read())
        except ValidationError as error:
            return bad_body(error)
        self._of(request).set_up(setup)
        return web.json_response(self._of(request).counts())

    async def _show(self, request: web.Request) -> web.Response:
        return web.json_response(self._of(request).counts())

    async def _show_results(self, request: web.Request) -> web.Response:
        """Rows in the order in which they first came, from the `since`-th on; `next` as in the ledger."""
        try:
            since = max(0, int(request.query.get("since", 0)))
            limit = min(_LARGEST_PAGE, max(1, int(request.query.get("limit", _PAGE))))
        except ValueError:
            return web.json_response({"errors": [{"pointer": "", "detail": "since and limit are numbers"}]}, status=400)
        results = list(self._of(request).results.values())
        rows = [_row(result) for result in results[since : since + limit]]
        more = since + limit < len(results)
        return web.json_response({"data": rows, "next": since + limit if more else None})


async def _fail(fail: Failure) -> web.Response:
    await asyncio.sleep(fail.hang_seconds)
    answer = web.Response(status=fail.status)
    if fail.location:
        answer.headers["Location"] = fail.location
    if fail.retry_after is not None:
        answer.headers["Retry-After"] = str(fail.retry_after)
    return answer


def _result(webhook_id: str, content: Any) -> Result:
    """Reads what a result says about itself, and takes what it leaves out as empty."""
    whole = content if isinstance(content, dict) else {}
    inner = whole.get("data")
    data = inner if isinstance(inner, dict) else {}
    return Result(
        webhook_id=webhook_id,
        type=str(whole.get("type", "")),
        data_id=str(data.get("id", "")),
        custom_id=str(data.get("custom_id") or ""),
        state=str(data.get("state") or ""),
        first_at=time.time(),
    )


def _row(result: Result) -> dict[str, Any]:
    row = asdict(result)
    row["data.id"] = row.pop("data_id")
    return row
