"""What a requester may ask of AVANSER: the documented body, checked before anything is taken.

The page shows `search_type` `number` and `szu` and the service type `transfer` on the wire. All other tokens, and
the fields that go with them, are inferred from its prose, and named here and in the sandbox alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictStr, StringConstraints
from pydantic import ValidationError as Invalid

from models.request import Kind
from worker.fault import Fault
from worker.strict_json import escape
from worker.upstreams.e164 import NotANumber, to_e164

OURS = {"call_uri", "callback_uri", "smsforward_uri"}
"""What is ours to set: how AVANSER reaches us."""

BESIDE_THE_SPEC = {"custom_id", "custom_group"}
"""What AVANSER has in its body and Trunkline beside it, so that lists and look-ups see it."""

HOME = "AU"
"""Whose national numbers are meant where nothing says otherwise: AVANSER is an Australian company."""


def _not_text(value: Any) -> Any:
    """Pydantic would take "12.5" and true for numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError("Must be a number")  # noqa: TRY004 -- pydantic passes a TypeError on as a bug
    return value


Text = Annotated[StrictStr, StringConstraints(min_length=1)]
Country = Annotated[StrictStr, StringConstraints(pattern=r"^[A-Za-z]{2}$", to_upper=True)]
Degrees = Annotated[float, BeforeValidator(_not_text), Field(allow_inf_nan=False)]
NumberClass = Literal["GEO", "TOLLFREE", "FREECALL", "MOBILE"]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Search(_Body):
    country: Country


class ByNumber(_Search):
    """This number, or the closest to it: AVANSER's page advises to give one's own answer point here."""

    search_type: Literal["number"]
    number: Text
    type: NumberClass | None = None


class BySzu(_Search):
    """A standard zone unit, Australia's charging districts, by name (`sydney`)."""

    search_type: Literal["szu"]
    szu: Text
    type: NumberClass | None = None


class ByLocation(_Search):  # inferred
    search_type: Literal["location"]
    location: Text
    type: NumberClass | None = None


class ByCoordinates(_Search):  # inferred
    search_type: Literal["coordinates"]
    latitude: Annotated[Degrees, Field(ge=-90, le=90)]
    longitude: Annotated[Degrees, Field(ge=-180, le=180)]
    type: NumberClass | None = None


class ByPrefix(_Search):  # inferred
    search_type: Literal["prefix"]
    prefix: Annotated[StrictStr, StringConstraints(pattern=r"^\+?[0-9][0-9 -]*$")]
    type: NumberClass | None = None


class ByType(_Search):  # inferred
    search_type: Literal["type"]
    type: NumberClass


Wanted = Annotated[
    ByNumber | BySzu | ByLocation | ByCoordinates | ByPrefix | ByType, Field(discriminator="search_type")
]


class MissedCall(_Body):  # inferred
    """Who is told of a missed call."""

    emails: list[Text] = []
    sms: list[Text] = []


class _Options(_Body):
    answer_point_name: StrictStr | None = None
    record_call: StrictBool | None = None
    missed_call: MissedCall | None = None  # this and what follows: inferred
    call_greeting: StrictStr | None = None
    call_whisper: StrictStr | None = None
    voicemail_greeting: StrictStr | None = None


class Transfer(_Options):
    type: Literal["transfer"]
    answer_point: Text


class Voicemail(_Options):  # inferred
    type: Literal["voicemail"]


class Prompt(_Options):  # inferred
    type: Literal["prompt"]


Service = Annotated[Transfer | Voicemail | Prompt, Field(discriminator="type")]


class ServiceChange(_Options):
    """What is left out stays as it is."""

    type: Literal["transfer", "voicemail", "prompt"] | None = None
    answer_point: Text | None = None


class _Spec(_Body):
    extra: dict[str, Any] = {}
    """Fields of AVANSER's that Trunkline does not know, merged into the body as they are."""


class Provision(_Spec):
    """`POST /requests`, less what is ours."""

    name: StrictStr | None = None
    service_number: Wanted
    service: Service


class Update(_Spec):
    """`POST /services/{number}`, less what is ours. An empty one points the number's calls at us again."""

    name: StrictStr | None = None
    service: ServiceChange | None = None


class Release(_Body):
    """`DELETE /services/{number}` has nothing to say."""


_KINDS: dict[Kind, type[Provision | Update | Release]] = {
    Kind.PROVISION: Provision,
    Kind.UPDATE: Update,
    Kind.RELEASE: Release,
}

_TAGS = {
    "service_number": {"number", "szu", "location", "coordinates", "prefix", "type"},
    "service": {"transfer", "voicemail", "prompt"},
}

_KNOWN: dict[str, set[str]] = {
    "": {"name", "extra"} | OURS | BESIDE_THE_SPEC,
    "service_number": {
        name for kind in (ByNumber, BySzu, ByLocation, ByCoordinates, ByPrefix) for name in kind.model_fields
    },
    "service": set(ServiceChange.model_fields),
}
"""By object of the body, what `extra` must not set."""


def check(kind: Kind, spec: Mapping[str, Any]) -> list[Fault]:
    """What is wrong with the spec, each with its pointer; empty when AVANSER may be asked for it."""
    try:
        _KINDS[kind].model_validate(dict(spec))
    except Invalid as error:
        return [_fault(one["loc"], one["type"], one["msg"]) for one in error.errors(include_url=False)]
    return [*_bad_numbers(spec), *_bad_extra(kind, spec.get("extra", {}))]


def _fault(location: tuple[int | str, ...], kind: str, message: str) -> Fault:
    steps = [str(step) for step in location]
    if len(steps) > 1 and steps[1] in _TAGS.get(steps[0], ()):
        del steps[1]  # which of the forms it was read as
    if kind == "union_tag_not_found":
        steps.append("search_type" if steps == ["service_number"] else "type")
        message = "Field required"
    elif kind == "union_tag_invalid":
        known = ", ".join(sorted(_TAGS[steps[0]]))
        steps.append("search_type" if steps == ["service_number"] else "type")
        message = f"Must be one of {known}"
    elif kind == "extra_forbidden":
        message = _why_forbidden(steps)
    return Fault("".join(f"/{escape(step)}" for step in ("spec", *steps)), message.removeprefix("Value error, "))


def _why_forbidden(steps: list[str]) -> str:
    name = steps[-1]
    if name in OURS:
        return f"{name} is ours: leave it out"
    if len(steps) == 1 and name in BESIDE_THE_SPEC:
        return f"{name} belongs beside spec, at /{name}"
    if steps == ["service_number"]:
        return "An update keeps its number; order another with a provision"
    return "Unknown field, or one that does not go with the others; what only AVANSER knows goes under /spec/extra"


def _bad_numbers(spec: Mapping[str, Any]) -> Iterator[Fault]:
    """Of a spec that is otherwise good."""
    wanted, service = spec.get("service_number") or {}, spec.get("service") or {}
    country = wanted.get("country", HOME)
    for pointer, text in (
        ("service_number/number", wanted.get("number")),
        ("service/answer_point", service.get("answer_point")),
    ):
        if text is None:
            continue
        try:
            to_e164(text, country)
        except NotANumber as error:
            yield Fault(f"/spec/{pointer}", str(error))


def _bad_extra(kind: Kind, extra: Mapping[str, Any]) -> Iterator[Fault]:
    for name, value in extra.items():
        pointer = f"/spec/extra/{escape(name)}"
        if name in _KNOWN[""]:
            yield Fault(pointer, f"{name} is ours: leave it out" if name in OURS else "Give it where it is documented")
        elif name in ("service", "service_number"):
            if name == "service_number" and kind is Kind.UPDATE:
                yield Fault(pointer, _why_forbidden([name]))
            elif not isinstance(value, dict):
                yield Fault(pointer, "Must be an object")
            else:
                for field in sorted(_KNOWN[name] & value.keys()):
                    yield Fault(f"{pointer}/{escape(field)}", "Give it where it is documented")
