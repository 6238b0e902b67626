"""The stock of numbers: ranges of which a number is made only when somebody looks at it.

A range costs the same whether it holds one number or 200,000, so the default stock serves 100,000 orders and
starts at once. A number that was taken never returns: Australian numbers rest for 6 months after a release.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

NumberClass = Literal["GEO", "TOLLFREE", "FREECALL", "MOBILE"]
Pool = Literal["private", "public"]

CALLING_CODES = {"AU": "61", "NZ": "64"}
_WITHOUT_TRUNK_ZERO = ("TOLLFREE", "FREECALL")  # 1300 and 1800 numbers are dialled as they are


class OutOfStock(Exception):
    """No free number in the allowed pools fits the wish."""


class Taken(Exception):
    """The very number that was asked for is held by somebody."""


class Block(BaseModel):
    """A run of consecutive numbers with the same properties; `first` is international, digits only."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    country: str = Field(default="AU", pattern=r"^[A-Z]{2}$")
    type: NumberClass = "GEO"
    region: str = "NSW: Sydney"
    szu: str = "sydney"
    pool: Pool = "private"
    first: str = Field(pattern=r"^[1-9]\d{7,14}$")
    count: int = Field(default=1, ge=1, le=1_000_000)
    latitude: float | None = None
    longitude: float | None = None


class StockScript(BaseModel):
    """What is in stock: the large default, the seed's two rows, or blocks of one's own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    stock: Literal["default", "seed"] | tuple[Block, ...] = "default"
    # (country/class) of which the public pool is never handed out. FREECALL shows it in the default stock.
    strict_private: frozenset[str] = frozenset({"AU/FREECALL"})


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
        trunk = "" if block.type in _WITHOUT_TRUNK_ZERO else "0"
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
        blocks = _blocks(script)
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
        shelf, number = self._closest(wish) if wish.number else self._first(wish)
        shelf.take(number)
        return str(number)

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


def _blocks(script: StockScript) -> Iterable[Block]:
    if script.stock == "default":
        return DEFAULT_BLOCKS
    return SEED_BLOCKS if script.stock == "seed" else script.stock


# The two rows of the stock search on AVANSER's page.
SEED_BLOCKS = (Block(first="61280740802"), Block(first="61280740805"))

# SZU, region, first private number, first public number, how many public ones, latitude, longitude. Sydney's private
# range holds the numbers of AVANSER's page; the rest follow the area codes of the Australian numbering plan.
_CITIES = (
    ("sydney", "NSW: Sydney", 61280740801, 61281000000, 200_000, -33.87, 151.21),
    ("newcastle", "NSW: Newcastle", 61249000000, 61249010000, 40_000, -32.93, 151.78),
    ("wollongong", "NSW: Wollongong", 61242000000, 61242010000, 40_000, -34.42, 150.89),
    ("canberra", "ACT: Canberra", 61261000000, 61261010000, 40_000, -35.28, 149.13),
    ("melbourne", "VIC: Melbourne", 61390000000, 61390010000, 200_000, -37.81, 144.96),
    ("geelong", "VIC: Geelong", 61352000000, 61352010000, 40_000, -38.15, 144.36),
    ("ballarat", "VIC: Ballarat", 61353000000, 61353010000, 40_000, -37.56, 143.86),
    ("bendigo", "VIC: Bendigo", 61354000000, 61354010000, 40_000, -36.76, 144.28),
    ("hobart", "TAS: Hobart", 61362000000, 61362010000, 40_000, -42.88, 147.33),
    ("launceston", "TAS: Launceston", 61363000000, 61363010000, 40_000, -41.43, 147.14),
    ("brisbane", "QLD: Brisbane", 61730000000, 61730010000, 100_000, -27.47, 153.03),
    ("gold coast", "QLD: Gold Coast", 61755000000, 61755010000, 40_000, -28.02, 153.4),
    ("cairns", "QLD: Cairns", 61740000000, 61740010000, 40_000, -16.92, 145.77),
    ("townsville", "QLD: Townsville", 61747000000, 61747010000, 40_000, -19.26, 146.82),
    ("adelaide", "SA: Adelaide", 61881000000, 61881010000, 100_000, -34.93, 138.6),
    ("perth", "WA: Perth", 61892000000, 61892010000, 100_000, -31.95, 115.86),
    ("darwin", "NT: Darwin", 61889000000, 61889010000, 40_000, -12.46, 130.84),
)
_PRIVATE_COUNT = 100


def _city_blocks() -> Iterator[Block]:
    for szu, region, private, public, count, latitude, longitude in _CITIES:
        place = {"szu": szu, "region": region, "latitude": latitude, "longitude": longitude}
        yield Block.model_validate({**place, "pool": "private", "first": str(private), "count": _PRIVATE_COUNT})
        yield Block.model_validate({**place, "pool": "public", "first": str(public), "count": count})


DEFAULT_BLOCKS = (
    *_city_blocks(),
    Block(type="MOBILE", region="Mobile", szu="", first="61480000000", count=_PRIVATE_COUNT),
    Block(type="MOBILE", region="Mobile", szu="", pool="public", first="61480010000", count=200_000),
    Block(type="TOLLFREE", region="Australia", szu="", first="611300500000", count=_PRIVATE_COUNT),
    Block(type="TOLLFREE", region="Australia", szu="", pool="public", first="611300510000", count=50_000),
    Block(type="FREECALL", region="Australia", szu="", first="611800500000", count=_PRIVATE_COUNT),
    Block(type="FREECALL", region="Australia", szu="", pool="public", first="611800510000", count=50_000),
    Block(country="NZ", region="Auckland", szu="", pool="public", first="6493000000", count=1_000),
)
