"""The bodies that we send to Telmetrics: the spec with our key in the name; and whether a number is as one asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote
from uuid import UUID

from worker.upstreams.base import Order
from worker.upstreams.telmetrics.models import Provision, Update
from worker.upstreams.telmetrics.names import is_called, named, read_name

WORDS = {"route_type", "match_type"}
"""What Telmetrics' own pages write in upper and in lower case."""


def numbers_path(order: Order) -> str:
    """Where this order's number is made. Raises ValueError for a spec that `check` would refuse."""
    return f"/groups/{Provision.model_validate(dict(order.spec)).group_id}/numbers"


def number_path(reference: str) -> str:
    return f"/numbers/{quote(reference, safe='')}"


def provision_body(order: Order) -> dict[str, Any]:
    """The body that makes a number. Raises ValueError for a spec that `check` would refuse."""
    spec = Provision.model_validate(dict(order.spec))
    body = spec.model_dump(mode="json", exclude_none=True, exclude={"group_id", "extra"})
    body["name"] = named(order.request_id, spec.name)
    return _merged(_with_our_webhook(body, order), spec.extra)


def update_body(order: Order, key: UUID | None) -> dict[str, Any]:
    """The body that changes a number; its name keeps `key`, that of the order which made it, where it has one.

    Raises ValueError for a spec that `check` would refuse.
    """
    spec = Update.model_validate(dict(order.spec))
    body = spec.model_dump(mode="json", exclude_none=True, exclude={"extra"})
    if spec.name is not None and key is not None:
        body["name"] = named(key, spec.name)
    return _merged(_with_our_webhook(body, order), spec.extra)


def _with_our_webhook(body: dict[str, Any], order: Order) -> dict[str, Any]:
    sms = body.get("sms_routes", {})
    if str(sms.get("route_type", "")).casefold() == "webhook" and "route" not in sms:
        body["sms_routes"] = {**sms, "route": {"inbound_webhook_url": order.sms_uri}}
    return body


def _merged(body: dict[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """The body with what only Telmetrics knows; `check` saw to it that this sets nothing that stands there already."""
    for name, value in extra.items():
        known = body.get(name)
        if isinstance(known, dict) and isinstance(value, dict):
            body[name] = _merged(known, value)
        elif name not in body:
            body[name] = value
    return body


def shows(number: Mapping[str, Any], asked: Mapping[str, Any]) -> bool:
    """Whether a number is as this body asks. What Telmetrics does not show counts as not done: to ask twice is safe."""
    return all(name in number and _is_as(name, number[name], value) for name, value in asked.items())


def _is_as(name: str, shown: Any, asked: Any) -> bool:
    if isinstance(asked, dict):
        return isinstance(shown, dict) and shows(shown, asked)
    if name == "name":
        (shown_key, shown_rest), (key, rest) = read_name(str(shown)), read_name(str(asked))
        return shown_key == key and is_called(rest, shown_rest)
    if name in WORDS and isinstance(shown, str):
        return shown.casefold() == str(asked).casefold()
    return bool(shown == asked)
