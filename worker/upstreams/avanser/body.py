"""The bodies that we send to AVANSER: the requester's spec, what stands beside it, and the URIs that it tells us by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from worker.upstreams.avanser.mobile import asks_for_mobile, is_mobile
from worker.upstreams.avanser.spec import HOME, Provision, Update
from worker.upstreams.base import Order
from worker.upstreams.e164 import country_of, to_digits, to_e164


def provision_body(order: Order) -> dict[str, Any]:
    """The body of `POST /requests`, in the order of the page's examples.

    A repeated order for which a number is known asks for that number again. Raises ValueError for a spec that
    `check` would refuse.
    """
    spec = Provision.model_validate(dict(order.spec))
    wanted = _written(spec.service_number)
    country = spec.service_number.country
    if order.number is not None:
        wanted = {"country": country, "search_type": "number", "number": to_digits(order.number)}
    elif "number" in wanted:
        wanted["number"] = _digits(wanted["number"], country)
    body = {
        **_named(spec.name),
        "custom_id": custom_id(order),
        **({"custom_group": order.custom_group} if order.custom_group is not None else {}),
        "service_number": wanted,
        "service": _service(spec.service, country),
        **_uris(order),
        **_messages_of(spec, order),
    }
    return _merged(body, spec.extra)


def update_body(order: Order) -> dict[str, Any]:
    """The body of `POST /services/{number}`. Without a custom_id of the requester's the service keeps the one it has.

    Raises ValueError for a spec that `check` would refuse.
    """
    spec = Update.model_validate(dict(order.spec))
    country = (country_of(order.number) if order.number else None) or HOME
    body = {
        **_named(spec.name),
        **({"custom_id": order.custom_id} if order.custom_id is not None else {}),
        **({"custom_group": order.custom_group} if order.custom_group is not None else {}),
        **({"service": _service(spec.service, country)} if spec.service is not None else {}),
        **_uris(order),
    }
    if order.number is not None and is_mobile(order.number):
        body["smsforward_uri"] = spec.smsforward_uri or order.sms_uri
    elif spec.smsforward_uri is not None:
        raise ValueError(f"smsforward_uri works with mobile numbers only, and {order.number} is none")
    return _merged(body, spec.extra)


def custom_id(order: Order) -> str:
    """What AVANSER stamps on every call and report, and what its list is asked by: the requester's, else our id."""
    return order.custom_id if order.custom_id is not None else str(order.request_id)


def _named(name: str | None) -> dict[str, Any]:
    return {} if name is None else {"name": name}


def _uris(order: Order) -> dict[str, Any]:
    return {"call_uri": order.call_uri, "callback_uri": order.callback_uri}


def _messages_of(spec: Provision, order: Order) -> dict[str, Any]:
    """Where messages to the new number go, if it will get any: to the requester's own place, else to us."""
    if order.number is not None and spec.service_number.type is None:
        gets_messages = is_mobile(order.number)  # AVANSER gave it before; the closest match may be of any class
    else:
        gets_messages = asks_for_mobile(spec)
    return {"smsforward_uri": spec.smsforward_uri or order.sms_uri} if gets_messages else {}


def _written(body: BaseModel) -> dict[str, Any]:
    """As it was given: an update changes what stands in it, so nothing is added that does not."""
    return body.model_dump(mode="json", exclude_none=True, exclude_unset=True)


def _service(service: BaseModel, country: str) -> dict[str, Any]:
    """The page's order of fields: type, answer_point, answer_point_name, and the rest."""
    fields = _written(service)
    first = {name: fields.pop(name) for name in ("type", "answer_point") if name in fields}
    if "answer_point" in first:
        first["answer_point"] = _digits(first["answer_point"], country)
    if "sms" in (missed := fields.get("missed_call", {})):
        missed["sms"] = [_digits(written, country) for written in missed["sms"]]
    return first | fields


def _digits(written: str, country: str) -> str:
    return to_digits(to_e164(written, country))


def _merged(body: dict[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    """The body with what only AVANSER knows; `check` saw to it that this sets nothing that stands there already."""
    for name, value in extra.items():
        known = body.get(name)
        body[name] = {**value, **known} if isinstance(known, dict) and isinstance(value, dict) else value
    return body
