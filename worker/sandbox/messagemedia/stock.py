"""MessageMedia's pool of dedicated numbers: ranges of which a number is made only when somebody looks at it.

A range costs a byte a number, so the default stock serves 100,000 orders and starts at once. A search jumps from
match to match and over what is taken, so it looks at little more than what it shows.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from heapq import heappop, heappush
from itertools import islice
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from worker.sandbox.messagemedia.classes import classify
from worker.sandbox.messagemedia.numbers import (
    SEED_ROWS,
    Capability,
    Number,
    NumberType,
    Spelling,
    id_of,
    timestamp,
    usually_available_after,
)

_MEMORY = 50_000  # numbers and patterns that are remembered; both come from outside, so there is an end to it
_SIX_MONTHS = 182 * 24 * 3_600.0  # seconds; Australian numbers rest that long after a release


class Block(BaseModel):
    """A run of consecutive numbers with the same properties; `first` is international, digits only."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    country: str = Field(default="AU", pattern=r"^[A-Z]{2}$")
    type: NumberType = "MOBILE"
    capabilities: tuple[Capability, ...] = ("SMS",)
    first: str = Field(pattern=r"^[1-9]\d{5,14}$")
    count: int = Field(default=1, ge=1, le=1_000_000)
    available_after: AwareDatetime | None = None  # null: some day in 2019, as in the guide


class MessageMediaScript(BaseModel):
    """What is in stock, and where MessageMedia's pages contradict each other, whom to follow."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    # The large default, the rows of the guide, or blocks of one's own.
    stock: Literal["default", "seed"] | tuple[Block, ...] = "default"
    limit: int | None = Field(default=None, ge=0)  # only so many of the first of these numbers; null: all
    quarantine: float = Field(default=_SIX_MONTHS, ge=0)  # seconds that a number rests after a release
    spelling: Spelling = "plus"
    update_by_204: bool = False  # answer an update with nothing, as in the reference, not with the assignment
    updates_add: bool = False  # the metadata of an update is added to what is there; else it replaces that


@dataclass(frozen=True, slots=True)
class Wish:
    """What a search asks for; empty means "any". A number must have all of `capabilities`, and one of `types`."""

    country: str = ""
    types: frozenset[str] = frozenset()
    capabilities: frozenset[str] = frozenset()
    matching: str = ""

    def allows(self, country: str, kind: str, capabilities: Iterable[str]) -> bool:
        return (
            (not self.country or self.country == country)
            and (not self.types or kind in self.types)
            and self.capabilities.issubset(capabilities)
        )


class Shelf:
    """The numbers of one block, and which of them are gone."""

    def __init__(self, block: Block, count: int) -> None:
        self.block = block
        self.first = int(block.first)
        self.last = self.first + count - 1
        self._gone = bytearray(count)
        self._lowest: dict[str, int] = {}  # by pattern: no number before this one matches and is free

    def __contains__(self, number: int) -> bool:
        return self.first <= number <= self.last

    def is_free(self, number: int) -> bool:
        return number in self and not self._gone[number - self.first]

    def take(self, number: int) -> None:
        self._gone[number - self.first] = 1

    def put_back(self, number: int) -> None:
        self._gone[number - self.first] = 0
        self._lowest.clear()

    def free(self, matching: str, start: int) -> Iterator[int]:
        """The free numbers from `start` on that have these digits in them."""
        lowest = self._lowest.get(matching, self.first)
        from_the_lowest = start <= lowest
        number = self._next(matching, max(start, lowest))
        if from_the_lowest:
            self._remember(matching, self.last + 1 if number is None else number)
        while number is not None:
            yield number
            number = self._next(matching, number + 1)

    def _next(self, matching: str, number: int) -> int | None:
        while number in self:
            place = self._gone.find(0, number - self.first)
            if place < 0:
                return None
            free = self.first + place
            number = next_with(matching, free)
            if number == free:
                return number
        return None

    def _remember(self, matching: str, lowest: int) -> None:
        if len(self._lowest) > _MEMORY:
            self._lowest.clear()
        self._lowest[matching] = lowest


class Stock:
    """Every number there is, whoever holds it; `take`, `rest` and time say which are free."""

    def __init__(self, script: MessageMediaScript) -> None:
        self._shelves = list(_shelves(script))
        self._made: dict[int, Number] = {}
        self._taken: set[int] = set()
        self._given_back: dict[int, float] = {}  # from when on free again, seconds since the epoch
        self._resting: list[tuple[float, int]] = []  # until when; a heap

    def restock(self, script: MessageMediaScript) -> None:
        """Puts other numbers on the shelves; what is taken stays taken, what rests goes on resting."""
        self._shelves = list(_shelves(script))
        self._made.clear()
        for number in (*self._taken, *(number for _, number in self._resting)):
            self._set_aside(number)

    def page(self, wish: Wish, start: int | None, size: int) -> tuple[list[Number], Number | None]:
        """Up to `size` free numbers, and the one that the next page starts with.

        They come in the order of the shelves, from number `start` on. Raises KeyError where `start` is in no shelf.
        """
        self._wake()
        found = list(islice(self._free(wish, start), size + 1))
        return found[:size], found[size] if len(found) > size else None

    def number(self, number: int) -> Number | None:
        """The number as it is to be shown now, free or not; None where we never had it."""
        self._wake()
        shelf = self._shelf_of(number)
        return self._make(shelf, number) if shelf else None

    def is_free(self, number: int) -> bool:
        """Whether it could be assigned now. A number can be on the shelf and shown, and available only later."""
        self._wake()
        shelf = self._shelf_of(number)
        if shelf is None or not shelf.is_free(number):
            return False
        available_after = shelf.block.available_after
        return available_after is None or available_after <= datetime.now(UTC)

    def take(self, number: int) -> None:
        self._taken.add(number)
        self._set_aside(number)

    def rest(self, number: int, until: float) -> None:
        """Gives a number back that is free again only from `until` on (seconds since the epoch)."""
        self._taken.discard(number)
        self._given_back[number] = until
        heappush(self._resting, (until, number))
        self._set_aside(number)

    def _wake(self) -> None:
        now = time.time()
        while self._resting and self._resting[0][0] <= now:
            until, number = heappop(self._resting)
            shelf = self._shelf_of(number)
            if shelf and number not in self._taken and self._given_back[number] == until:  # else taken up again since
                shelf.put_back(number)

    def _set_aside(self, number: int) -> None:
        shelf = self._shelf_of(number)
        if shelf:
            shelf.take(number)
        self._made.pop(number, None)

    def _free(self, wish: Wish, start: int | None) -> Iterator[Number]:
        at = 0 if start is None else self._place_of(start)
        for place, shelf in enumerate(self._shelves[at:], at):
            block = shelf.block
            if not wish.allows(block.country, block.type, block.capabilities):
                continue
            for number in shelf.free(wish.matching, start if start is not None and place == at else shelf.first):
                yield self._make(shelf, number)

    def _place_of(self, number: int) -> int:
        for place, shelf in enumerate(self._shelves):
            if number in shelf:
                return place
        raise KeyError(number)

    def _shelf_of(self, number: int) -> Shelf | None:
        return next((shelf for shelf in self._shelves if number in shelf), None)

    def _make(self, shelf: Shelf, number: int) -> Number:
        made = self._made.get(number)
        if made is None:
            if len(self._made) > _MEMORY:
                self._made.clear()
            made = _made(shelf.block, number)
            if number in self._given_back:
                free_from = datetime.fromtimestamp(self._given_back[number], UTC)
                made = replace(made, available_after=timestamp(free_from))
            self._made[number] = made
        return made


def next_with(digits: str, number: int) -> int:
    """The first number from `number` on, of as many digits, that has `digits` in it.

    Where there is none, it is a number of more digits.
    """
    if not digits:
        return number
    wanted, length = int(digits), len(digits)
    found = []
    for behind in range(max(1, len(str(number)) - length + 1)):
        unit = int(10**behind)
        span = int(unit * 10**length)
        here = number % span // unit
        if here == wanted:
            return number
        found.append(number - number % span + wanted * unit + (span if here > wanted else 0))
    return min(found)


def _made(block: Block, number: int) -> Number:
    digits = str(number)
    return Number(
        id=id_of(number),
        digits=digits,
        country=block.country,
        type=block.type,
        classification=classify(digits),
        available_after=timestamp(block.available_after) if block.available_after else usually_available_after(number),
        capabilities=block.capabilities,
    )


def _shelves(script: MessageMediaScript) -> Iterator[Shelf]:
    left = script.limit
    for block in _blocks(script):
        count = block.count if left is None else min(block.count, left)
        if left is not None:
            left -= count
        if count:
            yield Shelf(block, count)


def _blocks(script: MessageMediaScript) -> Iterable[Block]:
    if script.stock == "default":
        return DEFAULT_BLOCKS
    return SEED_BLOCKS if script.stock == "seed" else script.stock


SEED_BLOCKS = tuple(Block(first=str(number)) for number, _, _ in SEED_ROWS)

DEFAULT_BLOCKS = (
    *SEED_BLOCKS,
    Block(first="61437000000", count=200_000),
    Block(first="61447000000", count=50_000, capabilities=("SMS", "MMS")),
    Block(first="61457000000", count=50_000, capabilities=("SMS", "TTS", "MMS")),
    Block(first="61285000000", count=20_000, type="LANDLINE", capabilities=("TTS",)),
    Block(first="611800600000", count=10_000, type="TOLL_FREE", capabilities=("TTS",)),
    Block(country="NZ", first="64211000000", count=50_000),
    Block(country="GB", first="447400100000", count=100_000, capabilities=("SMS", "TTS")),
    Block(country="GB", first="442070000000", count=10_000, type="LANDLINE", capabilities=("TTS",)),
    Block(country="US", first="12067010000", count=50_000, type="TEN_DLC", capabilities=("SMS", "MMS")),
    Block(country="US", first="18337010000", count=50_000, type="TOLL_FREE", capabilities=("SMS", "TTS", "MMS")),
    Block(country="CA", first="14167010000", count=20_000, type="TEN_DLC", capabilities=("SMS", "MMS")),
)
