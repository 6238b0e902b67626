"""The words that the asynchronous peers share: an order, and what became of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from uuid import UUID, uuid5

from pydantic import BaseModel

_NAMESPACE = UUID("b0a1a52c-38f5-4a21-9d0e-6f3c2f6b7a11")
"""Of the ids that are made from custom_ids, so that the same order twice is one."""

Outcome = Literal["completed", "failed"]


class Order(BaseModel, frozen=True):
    """As the customer sends it."""

    custom_id: str
    answer_point: str

    @property
    def id(self) -> str:
        return str(uuid5(_NAMESPACE, self.custom_id))


@dataclass(frozen=True)
class Acknowledgement:
    """The upstream has taken the order; its callback comes later."""

    number: str
    reference: str


@dataclass(frozen=True)
class Refusal:
    """The upstream's "no"."""

    error: str


@dataclass(frozen=True)
class Result:
    """What the customer is to be told."""

    order_id: str
    custom_id: str
    state: Outcome
    number: str | None
