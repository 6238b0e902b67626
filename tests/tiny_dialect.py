"""A small vendor for tests of the intake: a name, and one field of each type that a cell may have to become."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, StrictBool, StrictFloat, StrictInt, StrictStr, ValidationError

from models.request import Kind
from worker.fault import Fault
from worker.upstreams.base import Dialect


class _Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")

    phone: StrictStr | None = None
    recorded: StrictBool | None = None
    seconds: StrictInt | None = None
    latitude: StrictFloat | None = None
    emails: list[StrictStr] | None = None


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: StrictStr
    inner: _Inner | None = None


class TinyDialect(Dialect):
    """Called `avanser`, so that settings for it exist. Counts how often it is asked."""

    name = "avanser"
    home = "AU"

    def __init__(self) -> None:
        self.asked = 0

    def check(self, kind: Kind, spec: Mapping[str, Any]) -> list[Fault]:
        self.asked += 1
        if kind is Kind.RELEASE:
            return [Fault("/spec", "must be empty")] if spec else []
        try:
            _Spec.model_validate(dict(spec))
        except ValidationError as error:
            return [Fault("/spec" + "".join(f"/{step}" for step in one["loc"]), one["msg"]) for one in error.errors()]
        return []
