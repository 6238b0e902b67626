"""Examining what is asked, without a database: its form, its sense, and what the upstream would refuse."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from models.intake import NewRequest
from models.request import Kind
from worker.bulk.row import Row
from worker.destinations import fault_of, is_inside
from worker.fault import Fault
from worker.intake.body import RequestBody, digest, parse
from worker.intake.cells import Cells
from worker.settings import Settings
from worker.upstreams.base import Dialect
from worker.upstreams.e164 import NotANumber, to_e164


@dataclass(slots=True)
class Candidate:
    """A request on its way in: what was asked, as far as it could be read, and what is wrong with it.

    `body` and `digest` are None where the form is wrong; then there are faults.
    """

    body: RequestBody | None
    digest: str | None
    number: str | None  # E.164
    faults: list[Fault] = field(default_factory=list)
    endpoint_id: UUID | None = None


class Examiner:
    """Knows the rules that need no database."""

    def __init__(self, settings: Settings, dialects: Mapping[str, Dialect]) -> None:
        self._settings = settings
        self._dialects = dialects

    def examine(self, raw: Mapping[str, Any], now: datetime) -> Candidate:
        """Examine a body whose values have the types that JSON gave them."""
        return self._candidate(raw, self._spec_faults(raw), now)

    def examine_row(self, row: Row, cells: Cells, now: datetime) -> Candidate:
        """Examine a row of a file; the cells of a CSV are read on the way."""
        dialect, kind, spec = self._asked(row.body)
        if row.columns is None or dialect is None or kind is None or not spec:
            return self.examine(row.body, now)
        settled, faults = cells.settle(dialect, kind, spec)
        return self._candidate({**row.body, "spec": settled}, faults, now)

    def _candidate(self, raw: Mapping[str, Any], spec_faults: list[Fault], now: datetime) -> Candidate:
        body, faults = parse(raw)
        if body is None:
            return Candidate(None, None, None, faults + spec_faults)
        number, number_faults = self._number(body)
        faults = [*self._upstream_faults(body.upstream), *number_faults, *self._sense_faults(body, now), *spec_faults]
        return Candidate(body, digest(body), number, faults)

    def _asked(self, raw: Mapping[str, Any]) -> tuple[Dialect | None, Kind | None, dict[str, Any] | None]:
        """Whom to ask about the spec; found before the form is known to be good, so that all faults come at once."""
        upstream, kind, spec = raw.get("upstream"), raw.get("kind", Kind.PROVISION), raw.get("spec", {})
        dialect = self._dialects.get(upstream) if isinstance(upstream, str) else None
        known_kind = Kind(kind) if isinstance(kind, str) and kind in list(Kind) else None
        return dialect, known_kind, spec if isinstance(spec, dict) else None

    def _spec_faults(self, raw: Mapping[str, Any]) -> list[Fault]:
        dialect, kind, spec = self._asked(raw)
        if dialect is None or kind is None or spec is None:
            return []
        return dialect.check(kind, spec)

    def _upstream_faults(self, name: str) -> list[Fault]:
        if name not in self._dialects:
            near = get_close_matches(name.lower(), self._dialects, n=1)
            meant = f"did you mean {near[0]}?" if near else f"one of: {', '.join(sorted(self._dialects))}"
            return [Fault("/upstream", f"unknown upstream {name!r}: {meant}")]
        if missing := self._settings.missing_for(name):
            return [Fault("/upstream", f"{name} is not set up here ({', '.join(missing)} not set)")]
        return []

    def _number(self, body: RequestBody) -> tuple[str | None, list[Fault]]:
        if body.kind is Kind.PROVISION:
            if body.number is None:
                return None, []
            return None, [Fault("/number", "names a number to update or release; what to provision stands in spec")]
        if body.number is None:
            return None, [Fault("/number", f"is missing: which number to {body.kind}")]
        dialect = self._dialects.get(body.upstream)
        try:
            return to_e164(body.number, dialect.home if dialect is not None else None), []
        except NotANumber as error:
            return None, [Fault("/number", str(error))]

    def _sense_faults(self, body: RequestBody, now: datetime) -> list[Fault]:
        faults: list[Fault] = []
        if body.deadline is not None and body.deadline <= now:
            faults.append(Fault("/deadline", "is in the past"))
        if body.endpoint is not None and body.notify_url is not None:
            faults.append(Fault("/notify_url", "name an endpoint or a URL, not both"))
        elif body.notify_url is not None:
            allowed = self._settings.environment.allow_private_destinations
            if (detail := wrong_destination(body.notify_url, allow_private=allowed)) is not None:
                faults.append(Fault("/notify_url", detail))
        return faults

    def new_request(
        self,
        body: RequestBody,
        body_digest: str,
        now: datetime,
        *,
        number: str | None,
        endpoint_id: UUID | None,
        idempotency_key: str | None,
        position: int | None = None,
        release_now: bool = False,
        key_id: UUID | None = None,
    ) -> NewRequest:
        """What is to be taken for a body that was found good."""
        environment = self._settings.environment
        waits, dialect = body.kind is Kind.RELEASE and not release_now, self._dialects[body.upstream]
        return NewRequest(
            upstream=body.upstream,
            kind=body.kind,
            spec=body.spec,
            body_digest=body_digest,
            deadline=body.deadline or now + timedelta(seconds=environment.default_deadline),
            due_at=now + timedelta(seconds=environment.release_delay if waits else 0),
            idempotency_key=idempotency_key,
            custom_id=body.custom_id,
            custom_group=body.custom_group,
            endpoint_id=endpoint_id,
            notify_url=body.notify_url,
            on_out_of_stock=body.on_out_of_stock,
            number=number,
            position=position,
            key_id=key_id,
            price_class=dialect.price_class(body.spec) if body.kind is Kind.PROVISION else None,
        )


def wrong_destination(url: str, *, allow_private: bool) -> str | None:
    """Why results cannot go to this URL, as far as can be seen without a look-up; None where they may.

    What a name resolves to is checked at each delivery, when it counts.
    """
    if any(character.isspace() for character in url):
        return "it is not a URL"
    if (fault := fault_of(url, allow_private=allow_private)) is not None or allow_private:
        return fault
    return f"{urlsplit(url).hostname} is not an address of the public internet" if is_inside(url) else None
