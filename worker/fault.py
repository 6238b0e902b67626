"""A fault: something wrong with what a requester asks, and where it stands."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fault:
    """`pointer` is a JSON pointer into the request's body; empty for the body as a whole."""

    pointer: str
    detail: str
