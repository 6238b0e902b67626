"""Asks an upstream one question, and sorts what comes of it by what the caller may do next.

Refused connection, DNS, TLS, no free connection: nothing was sent. 401, 403, 429: nothing was done. Silence, a
connection that broke, 5xx, 3xx, an answer that cannot be read: for an order, nobody knows; a read may be repeated.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from models.state import Reason
from worker import tracing
from worker.upstreams.base import Misconfigured, OutcomeUnknown, Stopped, Unavailable
from worker.upstreams.exchange import MOST_BYTES, Exchange, note
from worker.upstreams.http import MOST_BODY, Http, NoAnswer, NotSent, Reply

MOST_RETRY_AFTER = timedelta(hours=1)
"""An upstream that asks for more is asked again after this; its clock or ours may be wrong."""

PLAIN_IN_A_QUERY = "!$'()*,/:?@"
"""What aiohttp sends as it is, however it was quoted: a signature must be over what stands in the request line."""


@dataclass(frozen=True, slots=True)
class Question:
    """One call to an upstream. `path` comes behind the base URL."""

    method: str
    path: str
    params: Mapping[str, str] = field(default_factory=dict)
    document: Any = None  # sent as JSON
    most: int = MOST_BODY  # bytes of the answer that are read

    @property
    def changes_things(self) -> bool:
        return self.method != "GET"

    @property
    def target(self) -> str:
        """Path and query, as they are sent behind the base URL."""
        if not self.params:
            return self.path
        return f"{self.path}?{urlencode(self.params, safe=PLAIN_IN_A_QUERY, quote_via=quote)}"

    def unclear(self, detail: str) -> Unavailable | OutcomeUnknown:
        """The exception for an answer that proves nothing: a read may be repeated, an order may not."""
        return OutcomeUnknown(detail) if self.changes_things else Unavailable(detail)


Authorize = Callable[[str, str, bytes | None], Mapping[str, str]]
"""The headers that prove who we are, for a method, a request target as it stands in the request line, and a body."""


_A_WORD = re.compile(r"v\d+|[A-Za-z_.-]{0,32}")
"""A part of a path that is the vendor's own, and no id or number."""


class Asker:
    """Asks one upstream, and turns what proves nothing, or proves that nothing was done, into the error tree."""

    def __init__(self, base_url: str, connections: int, authorize: Authorize) -> None:
        self._base_url, self._authorize = base_url, authorize
        self._base_path, self._host = urlsplit(base_url).path, urlsplit(base_url).hostname
        self._http = Http(connections)

    async def ask(self, question: Question, deadline: timedelta) -> Reply:
        """A 2xx, or a 4xx that may be a refusal in the upstream's words. Raises Unavailable (Stopped among
        it), OutcomeUnknown."""
        headers, body = {"Accept": "application/json"}, None
        if question.document is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(question.document, ensure_ascii=False).encode()
        headers |= self._authorize(question.method, self._base_path + question.target, body)
        path = template(question.path)
        about: dict[str, Any] = {"method": question.method, "template": path, "host": self._host}
        with tracing.span(f"{question.method} {path}", side=tracing.Side.CLIENT, **about) as span:
            reply = await self._send(question, deadline, headers, body)
            span.tell(status=reply.status)
            said = reply.body[: MOST_BYTES + 1]
            note(Exchange(question.method, question.path, question.document, reply.status, said))
            judge(question, reply.status, reply.headers)
        return reply

    async def _send(
        self, question: Question, deadline: timedelta, headers: Mapping[str, str], body: bytes | None
    ) -> Reply:
        try:
            return await self._http.send(
                question.method,
                self._base_url + question.target,
                deadline=deadline,
                headers=headers,
                body=body,
                most=question.most,
            )
        except NotSent as stopped:
            raise Stopped(str(stopped)) from None
        except NoAnswer as failure:
            note(Exchange(question.method, question.path, question.document, None, str(failure).encode()))
            if failure.sent:
                raise question.unclear(str(failure)) from None
            raise Unavailable(str(failure)) from None

    async def close(self) -> None:
        await self._http.close()


def template(path: str) -> str:
    """A path without the ids and numbers in it: what it asks for, and not of whom."""
    return "/".join(part if _A_WORD.fullmatch(part) else "{}" for part in path.split("/"))


def judge(question: Question, status: int, headers: Mapping[str, str]) -> None:
    """Raises for a status that is neither success nor a refusal of this one order."""
    if status in (401, 403):
        raise Misconfigured(f"the upstream refused our credentials (HTTP {status})")
    if status == 429:
        wait = retry_after(headers.get("retry-after"), datetime.now(UTC))
        raise Unavailable("the upstream asks us to slow down (429)", reason=Reason.OVER_LIMIT, retry_after=wait)
    if status >= 500 or status == 408:
        raise question.unclear(f"the upstream failed (HTTP {status})")
    if 300 <= status < 400:
        raise question.unclear(f"the upstream points elsewhere (HTTP {status}); is its URL in the settings right?")


def retry_after(value: str | None, now: datetime) -> timedelta | None:
    """How long a `Retry-After` (RFC 9110, 10.2.3: seconds, or an HTTP date) asks to wait, between 0 and an hour."""
    if value is None:
        return None
    try:
        wait = timedelta(seconds=int(value)) if value.strip().isdecimal() else _until(value, now)
    except OverflowError:
        return MOST_RETRY_AFTER
    except ValueError:
        return None
    return min(max(wait, timedelta()), MOST_RETRY_AFTER)


def _until(value: str, now: datetime) -> timedelta:
    moment = parsedate_to_datetime(value)
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - now
