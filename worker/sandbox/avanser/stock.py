"""The stock of numbers, searched and taken from: a number of a range is made only when somebody looks at it.

A range costs the same whether it holds one number or 200,000. A number that was taken never returns: Australian
numbers rest for 6 months after a release.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from worker.sandbox.avanser.blocks import CALLING_CODES, WITHOUT_TRUNK_ZERO, Block, NumberClass, StockScript, blocks_of


class OutOfStock(Exception):
    """No free number in the allowed pools fits the wish."""


class Taken(Exception):
    """The very number that was asked for is held by somebody."""


@dataclass(frozen=True, slots=True)
class Wish:
    """What a search or an order asks for; empty means "any"."""

    country: str = ""
    type: str = ""
    szu: str = ""
    region: str = ""
    pool: str = ""
    number: str = ""
    prefix: str = ""
    near: tuple[float, float] | None = None


class Shelf:
    """The numbers of one block that are still free, found in near-constant time (union-find over what is taken)."""

    def __init__(self, block: Block) -> None:
        self.block = block
        self.first = int(block.first)
        self.last = self.first + block.count - 1
        self._after: dict[int, int] = {}
        self._before: dict[int, int] = {}

    def __contains__(self, number: int) -> bool:
        return self.first <= number <= self.last

    def is_free(self, number: int) -> bool:
        return number in self and number not in self._after

    def take(self, number: int) -> None:
        self._after[number] = number + 1
        self._before[number] = number - 1

    def at_or_after(self, number: int) -> int | None:
        found = _follow(self._after, max(number, self.first))
        return found if found <= self.last else None

    def at_or_before(self, number: int) -> int | None:
        found = _follow(self._before, min(number, self.last))
        return found if found >= self.first else None

    def row(self, number: int) -> dict[str, str]:
        """A row of the stock search, its fields in the seed's order."""
        block, code = self.block, CALLING_CODES.get(self.block.country, "")
        trunk = "" if block.type in WITHOUT_TRUNK_ZERO else "0"
        return {
            "country": block.country,
            "region": block.region,
            "type": block.type,
            "national": trunk + str(number).removeprefix(code),
            "calling_code": f"+{code}",
            "pool": block.pool,
        }


class Stock:
    """Everything in stock, searched and taken from; private stock is handed out before public."""

    def __init__(self, script: StockScript) -> None:
        blocks = blocks_of(script)
        self._strict = script.strict_private
        self._shelves = [Shelf(block) for block in sorted(blocks, key=lambda block: block.pool != "private")]
        self._found: dict[Wish, list[Shelf]] = {}

    def search(self, wish: Wish, limit: int) -> dict[str, dict[str, str]]:
        """Up to `limit` free numbers that fit, private ones first; an empty map when none does."""
        rows: dict[str, dict[str, str]] = {}
        for shelf in self._fitting(wish):
            for number in _free_within(shelf, wish):
                if len(rows) >= limit:
                    return rows
                rows[str(number)] = shelf.row(number)
        return rows

    def take(self, wish: Wish) -> str:
        """Takes the number that fits best. Raises OutOfStock, or Taken for a stocked number that is gone."""
        shelf, number = self._best(wish)
        shelf.take(number)
        return str(number)

    def choose(self, wish: Wish) -> tuple[str, NumberClass]:
        """The number that `take` would take now, and its class. Raises as `take` does."""
        shelf, number = self._best(wish)
        return str(number), shelf.block.type

    def mark_taken(self, number: str) -> None:
        """Takes a number that an order of an earlier run, or an outsider, already holds."""
        shelf = self._shelf_of(number)
        if shelf is not None:
            shelf.take(int(number))

    def class_of(self, number: str) -> str:
        shelf = self._shelf_of(number)
        return shelf.block.type if shelf else ""

    def _shelf_of(self, number: str) -> Shelf | None:
        value = int(number)
        return next((shelf for shelf in self._shelves if value in shelf), None)

    def _best(self, wish: Wish) -> tuple[Shelf, int]:
        return self._closest(wish) if wish.number else self._first(wish)

    def _first(self, wish: Wish) -> tuple[Shelf, int]:
        for shelf in self._fitting(wish):
            for number in _free_within(shelf, wish):
                return shelf, number
        raise OutOfStock

    def _closest(self, wish: Wish) -> tuple[Shelf, int]:
        """The number itself when we stock it, else the one that shares the longest run of leading digits."""
        wanted, best, best_rank = int(wish.number), None, (-1, -math.inf)
        for shelf in self._fitting(wish):
            if wanted in shelf:
                if not shelf.is_free(wanted):
                    raise Taken
                return shelf, wanted
            length = len(shelf.block.first)
            aim = int(wish.number.ljust(length, "0")[:length])  # as many digits, so that order is order by digits
            for number in (shelf.at_or_before(aim), shelf.at_or_after(aim)):
                if number is None:
                    continue
                rank = (_shared(str(number), wish.number), -abs(number - aim))
                if rank > best_rank:
                    best, best_rank = (shelf, number), rank
        if best is None:
            raise OutOfStock
        return best

    def _fitting(self, wish: Wish) -> list[Shelf]:
        where = Wish(wish.country, wish.type, wish.szu, wish.region, wish.pool, near=wish.near)
        if where not in self._found:
            if len(self._found) > 1_000:  # wishes come from outside; a memory of all of them would grow for ever
                self._found.clear()
            self._found[where] = self._choose(where)
        return self._found[where]

    def _choose(self, where: Wish) -> list[Shelf]:
        shelves = [shelf for shelf in self._shelves if self._may_give(shelf.block) and _fits(shelf.block, where)]
        if where.near is None:
            return shelves
        near = where.near
        placed = [shelf for shelf in shelves if shelf.block.latitude is not None]
        return sorted(placed, key=lambda shelf: _distance(shelf.block, near))

    def _may_give(self, block: Block) -> bool:
        return block.pool == "private" or f"{block.country}/{block.type}" not in self._strict


def digits(number: str, country: str = "AU") -> str:
    """A number as AVANSER keys it (`61280740801`), from any of the ways its page writes one."""
    plain = "".join(character for character in number if character.isdigit())
    code = CALLING_CODES.get(country, "")
    if number.startswith("+") and plain.startswith(code + "0"):  # +61-0280740801
        return code + plain.removeprefix(code + "0")
    return code + plain[1:] if plain.startswith("0") else plain


def _follow(links: dict[int, int], number: int) -> int:
    passed = []
    while number in links:
        passed.append(number)
        number = links[number]
    for each in passed:
        links[each] = number
    return number


def _shared(one: str, other: str) -> int:
    """How many leading digits two numbers have in common."""
    return next(
        (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )


def _fits(block: Block, wish: Wish) -> bool:
    return (
        (not wish.country or wish.country.upper() == block.country)
        and (not wish.type or wish.type.upper() == block.type)
        and (not wish.szu or wish.szu.casefold() == block.szu.casefold())
        and (not wish.region or wish.region.casefold() in block.region.casefold())
        and (not wish.pool or wish.pool == block.pool)
    )


def _free_within(shelf: Shelf, wish: Wish) -> Iterator[int]:
    low, high = shelf.first, shelf.last
    if wish.number:
        low = high = int(wish.number)
    elif wish.prefix:
        missing = len(shelf.block.first) - len(wish.prefix)
        if missing < 0:
            return
        low = int(wish.prefix) * 10**missing
        high = min(high, low + 10**missing - 1)
    number = shelf.at_or_after(low)
    while number is not None and number <= high:
        yield number
        number = shelf.at_or_after(number + 1)


def _distance(block: Block, near: tuple[float, float]) -> float:
    """Good enough to tell which city is nearest; not a distance in kilometres."""
    latitude, longitude = block.latitude or 0.0, block.longitude or 0.0
    return math.hypot(latitude - near[0], (longitude - near[1]) * math.cos(math.radians(near[0])))
