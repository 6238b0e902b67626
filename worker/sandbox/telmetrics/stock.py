"""The stock of North American numbers: whole area codes, of which a number is made only when somebody takes it.

A number that was taken never returns, not even after its release.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from worker.sandbox.telmetrics.areas import AREA_CODES, TOLL_FREE

_LINES = 10_000  # of one exchange
# No exchange is N11 (services) or 555 (fiction); nor does one start with 0 or 1.
_EXCHANGES = [number for number in range(200, 1_000) if number % 100 != 11 and number != 555]
# The numbers of the examples on Telmetrics' page are the first to be handed out in their areas.
_FIRST = {"289": "2898122093", "404": "4043411266", "833": "8332018273"}


class Block(BaseModel):
    """A run of consecutive numbers within one area code."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    first: str = Field(pattern=r"^[2-9]\d{2}[2-9]\d{6}$")
    count: int = Field(default=1, ge=1, le=1_000_000)

    @model_validator(mode="after")
    def _stays_within_its_area(self) -> Self:
        if str(int(self.first) + self.count - 1)[:3] != self.first[:3]:
            raise ValueError("the run leaves its area code")
        return self


class TelmetricsScript(BaseModel):
    """What is in stock, the default or blocks of one's own, and which names come back with a number behind them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stock: Literal["default"] | tuple[Block, ...] = "default"
    rename: Literal["taken", "always"] = "taken"
    # How many numbers had this name before: with {"ABC Company": 3} the next one becomes `ABC Company 4`.
    names_taken: dict[str, int] = {}


class OutOfStock(Exception):
    """No number matches."""


class Stock:
    """Hands out every number once. Taking one costs the same however many are gone."""

    def __init__(self, script: TelmetricsScript, taken: Iterable[str] = ()) -> None:
        self._blocks = None if script.stock == "default" else _by_area(script.stock)
        self._taken = set(taken)
        self._left: dict[str, Iterator[str]] = {}  # what is yet to be looked at, by prefix

    def take(self, areas: Iterable[str], within: str = "") -> str:
        """A number in the first of `areas` that has one; `within` is empty, an NPA or an NPA-NXX. Raises OutOfStock."""
        for area in areas:
            if within and not within.startswith(area):
                continue
            number = self._next(within or area)
            if number is not None:
                self._taken.add(number)
                return number
        raise OutOfStock

    def mark_taken(self, number: str) -> None:
        self._taken.add(number)

    def _next(self, prefix: str) -> str | None:
        left = self._left.get(prefix)
        if left is None:
            left = self._left[prefix] = self._walk(prefix)
        return next((number for number in left if number not in self._taken), None)

    def _walk(self, prefix: str) -> Iterator[str]:
        for first, last in self._runs(prefix[:3]):
            low = max(first, int(prefix.ljust(10, "0")))
            high = min(last, int(prefix.ljust(10, "9")))
            yield from map(str, range(low, high + 1))

    def _runs(self, area: str) -> Iterable[tuple[int, int]]:
        if self._blocks is not None:
            return self._blocks[area]
        return _all_of(area)


def _by_area(blocks: Iterable[Block]) -> defaultdict[str, list[tuple[int, int]]]:
    runs: defaultdict[str, list[tuple[int, int]]] = defaultdict(list)
    for block in blocks:
        runs[block.first[:3]].append((int(block.first), int(block.first) + block.count - 1))
    return runs


def _all_of(area: str) -> Iterator[tuple[int, int]]:
    """The first and last number of every exchange; where the page shows a number, what follows that comes first."""
    if area not in AREA_CODES and area not in TOLL_FREE:
        return
    shown = _FIRST.get(area)
    if shown is not None:
        yield int(shown), int(f"{shown[:6]}9999")
    for exchange in _EXCHANGES:
        first = (int(area) * 1_000 + exchange) * _LINES
        yield first, first + _LINES - 1
