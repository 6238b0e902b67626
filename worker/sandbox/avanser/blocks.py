"""What AVANSER has to give: ranges of numbers, by class, place and pool. The default serves 100,000 orders and more."""

from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

NumberClass = Literal["GEO", "TOLLFREE", "FREECALL", "MOBILE"]
Pool = Literal["private", "public"]

CALLING_CODES = {"AU": "61", "NZ": "64"}
WITHOUT_TRUNK_ZERO = ("TOLLFREE", "FREECALL")  # 1300 and 1800 numbers are dialled as they are


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


def blocks_of(script: StockScript) -> tuple[Block, ...]:
    if script.stock == "default":
        return DEFAULT_BLOCKS
    return SEED_BLOCKS if script.stock == "seed" else script.stock
