"""What AVANSER lists: stock, requests and services, and by what each can be asked for."""

from typing import Any

from aiohttp import web

from worker.sandbox.avanser.account import NAME
from worker.sandbox.avanser.bodies import prefix_digits
from worker.sandbox.avanser.events import Service
from worker.sandbox.avanser.stock import Wish, digits
from worker.sandbox.faults import Subject
from worker.sandbox.ledger import Entry
from worker.sandbox.script import Operation

_PAGE, _LARGEST_PAGE = 500, 1_000


def stock_wish(request: web.Request) -> tuple[Wish, int]:
    """A stock search's filters and page size. Raises KeyError or ValueError for what cannot be read."""
    query = request.query
    country = query.get("country", "").upper()
    number, prefix = query.get("number", ""), query.get("prefix", "")
    wish = Wish(
        country=country,
        type=query.get("type", ""),
        szu=query.get("szu", ""),
        region=query.get("region", "") or query.get("location", ""),
        pool=query.get("pool", ""),
        number=_numeric(digits(number, country or "AU")) if number else "",
        prefix=_numeric(prefix_digits(prefix, country or "AU")) if prefix else "",
        near=(float(query["latitude"]), float(query["longitude"])) if "latitude" in query else None,
    )
    return wish, min(_LARGEST_PAGE, max(1, int(query.get("limit", _PAGE))))


def _numeric(text: str) -> str:
    return str(int(text))


def filters(request: web.Request, *more: str) -> dict[str, str]:
    """The look-up's filters that are given, by the names of our own fields."""
    names = {"custom_id": "custom_id", "custom_group": "custom_group", "service_number": "number"}
    names |= {name: name for name in more}
    return {ours: request.query[theirs] for theirs, ours in names.items() if request.query.get(theirs)}


def look_up_subject(request: web.Request) -> Subject:
    query = request.query
    return Subject(
        NAME,
        Operation.LOOK_UP,
        query.get("custom_id", ""),
        query.get("custom_group", ""),
        query.get("service_number", ""),
    )


def request_row(entry: Entry) -> dict[str, str]:
    return {
        "custom_id": entry.custom_id,
        "custom_group": entry.custom_group,
        "service_number": entry.number,
        "answer_point": entry.answer_point,
        "status": entry.status,
        "message": entry.message,
        "callback_uri": entry.callback_uri,
    }


def service_row(service: Service) -> dict[str, Any]:
    row = {
        "name": service.name,
        "custom_id": service.custom_id,
        "custom_group": service.custom_group,
        "service": service.service,
        "call_uri": service.call_uri,
        "callback_uri": service.callback_uri,
    }
    return {**row, "smsforward_uri": service.smsforward_uri} if service.type == "MOBILE" else row
