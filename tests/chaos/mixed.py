"""A bulk file for three upstreams at once: provisions, updates and releases, in one set of columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

UPSTREAMS = ("avanser", "telmetrics", "messagemedia")

Row = Mapping[str, str]


def provisions(count: int, prefix: str) -> list[Row]:
    """Orders in turn at each upstream, each for a customer of its own."""
    return [provision(UPSTREAMS[n % 3], f"{prefix}-{n}", n) for n in range(count)]


def provision(upstream: str, custom_id: str, n: int) -> Row:
    """The `n`-th order, for this customer."""
    asked = {"upstream": upstream, "kind": "provision", "custom_id": custom_id}
    match upstream:
        case "avanser":
            return asked | {
                "spec.name": custom_id,
                "spec.service_number.country": "AU",
                "spec.service_number.search_type": "szu",
                "spec.service_number.szu": "sydney",
                "spec.service.type": "transfer",
                "spec.service.answer_point": f"614016{n:05}",
            }
        case "telmetrics":
            return asked | {
                "spec.name": custom_id,
                "spec.group_id": "11623282",
                "spec.phone_number_request.match_type": "localtocity",
                "spec.phone_number_request.city": "atlanta",
                "spec.phone_number_request.state": "ga",
                "spec.call_routes.route_type": "Basic",
                "spec.call_routes.route.termination_number": "4043993433",
            }
    return asked | {
        "spec.search.country": "AU",
        "spec.search.service_types": "SMS",
        "spec.label": custom_id,
        "spec.metadata.Region": "SE",
    }


def update(upstream: str, number: str) -> Row:
    """A new answer point, route or label for a number that we hold."""
    asked = {"upstream": upstream, "kind": "update", "number": number, "idempotency_key": f"update {number}"}
    match upstream:
        case "avanser":
            return asked | {"spec.service.answer_point": "61132307"}
        case "telmetrics":
            return asked | {
                "spec.call_routes.route_type": "Basic",
                "spec.call_routes.route.termination_number": "4165551234",
            }
    return asked | {"spec.label": "moved"}


def release(upstream: str, number: str) -> Row:
    return {"upstream": upstream, "kind": "release", "number": number, "idempotency_key": f"release {number}"}


def as_csv(rows: Sequence[Row]) -> str:
    columns = list(dict.fromkeys(column for row in rows for column in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_json(row: Row) -> dict[str, Any]:
    """The same request as `POST /v1/requests` takes it."""
    document: dict[str, Any] = {}
    for column, cell in row.items():
        *path, last = column.split(".")
        place = document
        for step in path:
            place = place.setdefault(step, {})
        place[last] = cell
    return document


def interleaved(*files: Iterable[Row]) -> Iterator[Row]:
    """A row of each in turn, until all have ended."""
    left = [iter(rows) for rows in files]
    while left:
        for rows in list(left):
            row = next(rows, None)
            if row is None:
                left.remove(rows)
            else:
                yield row
