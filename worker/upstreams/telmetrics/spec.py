"""What a requester may ask of Telmetrics: the documented bodies, checked before anything is taken."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic import ValidationError as Invalid

from models.request import Kind
from worker.fault import Fault
from worker.strict_json import escape
from worker.upstreams.telmetrics.models import MISSING, Provision, Release, Update

BESIDE_THE_SPEC = {"custom_id", "custom_group"}
"""What Trunkline has beside the spec, for all upstreams alike."""

OF_A_NEW_NUMBER = {"group_id", "phone_number_request"}
"""What an update leaves as it is."""

_KINDS: dict[Kind, type[BaseModel]] = {Kind.PROVISION: Provision, Kind.UPDATE: Update, Kind.RELEASE: Release}

_FORMS = {
    "phone_number_request": ("match_type", ("localtonumber", "localtocity", "tollfree")),
    "sms_routes": ("route_type", ("None", "Autoreply", "ChatClient", "SmartNumber", "Webhook")),
    "call_routes": ("route_type", ("Basic",)),
}
"""By object of the body, the field that says which form it has, and the forms that are documented."""

KEPT = "An update keeps its number and its group"

ELSEWHERE = "Give it where it is documented"

Tree = dict[str, Any]
"""By documented field, the fields in it; empty for what holds none."""


def check(kind: Kind, spec: Mapping[str, Any]) -> list[Fault]:
    """What is wrong with the spec, each with its pointer; empty when Telmetrics may be asked for it."""
    faults = []
    try:
        _KINDS[kind].model_validate(dict(spec))
    except Invalid as error:
        faults = [_fault(kind, dict(one), spec) for one in error.errors(include_url=False, include_input=False)]
    extra = spec.get("extra")
    extra = extra if isinstance(extra, dict) and kind is not Kind.RELEASE else {}
    if kind is Kind.PROVISION:
        faults += _missing(spec, extra)
    if kind is Kind.UPDATE and not faults and _says_nothing({**spec, "extra": extra}):
        faults.append(Fault("/spec", "An update names at least one thing to change"))
    return [*faults, *_bad_extra(kind, spec, extra)]


def _fault(kind: Kind, error: Mapping[str, Any], spec: Mapping[str, Any]) -> Fault:
    steps, type_, message = [str(step) for step in error["loc"]], error["type"], error["msg"]
    if len(steps) > 1 and steps[0] in ("phone_number_request", "sms_routes"):
        del steps[1]  # which of the forms it was read as
    if type_ in ("union_tag_not_found", "union_tag_invalid"):
        if isinstance(spec.get(steps[0]), dict):
            field, forms = _FORMS[steps[0]]
            steps.append(field)
            message = f"must be one of {', '.join(forms)}"
        else:
            message = "must be an object"
    elif type_ == MISSING and "field" in error.get("ctx", {}):
        steps.append(error["ctx"]["field"])
    elif type_ == "extra_forbidden":
        message = _why_forbidden(kind, steps, spec)
    return Fault(_pointer(*steps), message.removeprefix("Value error, "))


def _pointer(*steps: str) -> str:
    return "".join(f"/{escape(step)}" for step in ("spec", *steps))


def _why_forbidden(kind: Kind, steps: list[str], spec: Mapping[str, Any]) -> str:
    first, name = steps[0], steps[-1]
    if len(steps) == 1 and name in BESIDE_THE_SPEC:
        return f"{name} belongs beside spec, at /{name}"
    if kind is Kind.RELEASE:
        return "A release has nothing to say: leave it out"
    if len(steps) == 1 and name in OF_A_NEW_NUMBER:
        return KEPT
    if len(steps) > 1 and first in _FORMS and name in _below(_DOCUMENTED, steps[:-1]):
        field, _ = _FORMS[first]
        return f"does not go with {field} {spec[first].get(field)}"
    return "Unknown field; what only Telmetrics knows goes under /spec/extra"


def _missing(spec: Mapping[str, Any], extra: Mapping[str, Any]) -> Iterator[Fault]:
    """What "must be passed", here or, in a form that Trunkline does not know, under `extra`."""
    for name in ("phone_number_request", "call_routes"):
        if spec.get(name) is None and not _is_of_another_form(name, extra.get(name)):
            yield Fault(_pointer(name), "Field required")


def _is_of_another_form(name: str, value: Any) -> bool:
    field, forms = _FORMS[name]
    word = value.get(field) if isinstance(value, dict) else None
    return isinstance(word, str) and word.casefold() not in map(str.casefold, forms)


def _says_nothing(value: Any) -> bool:
    return value is None or (isinstance(value, dict) and all(map(_says_nothing, value.values())))


def _bad_extra(kind: Kind, spec: Mapping[str, Any], extra: Mapping[str, Any]) -> Iterator[Fault]:
    for name, value in extra.items():
        if kind is Kind.UPDATE and name in OF_A_NEW_NUMBER:
            yield Fault(_pointer("extra", name), KEPT)
        elif not (name in _FORMS and spec.get(name) is None and _is_of_another_form(name, value)):
            yield from _documented_in(name, value, _DOCUMENTED, ("extra",))


def _documented_in(name: str, value: Any, tree: Tree, above: tuple[str, ...]) -> Iterator[Fault]:
    """What `extra` sets although it is documented."""
    steps = (*above, name)
    if name not in tree:
        return
    if not tree[name]:
        yield Fault(_pointer(*steps), ELSEWHERE)
    elif not isinstance(value, dict):
        yield Fault(_pointer(*steps), "must be an object")
    else:
        for inner, inner_value in value.items():
            yield from _documented_in(inner, inner_value, tree[name], steps)


def _tree_of(model: type[BaseModel]) -> Tree:
    return {name: _within(field.annotation) for name, field in model.model_fields.items() if name != "extra"}


def _within(annotation: Any) -> Tree:
    """The fields of the object, in any of its forms. What is in a list cannot be added to."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _tree_of(annotation)
    if get_origin(annotation) in (list, dict):
        return {}
    tree: Tree = {}
    for part in get_args(annotation):
        for name, inner in _within(part).items():
            tree[name] = tree.get(name, {}) | inner
    return tree


def _below(tree: Tree, steps: list[str]) -> Tree:
    for step in steps:
        tree = tree.get(step, {})
    return tree


_DOCUMENTED = _tree_of(Provision)
