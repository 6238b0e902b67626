"""A dedicated number as MessageMedia shows it, and the id that it goes by.

An id is computed from its number and read back from itself, so that hundreds of thousands of numbers have one without
being kept.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any, Literal
from uuid import UUID

from worker.sandbox.messagemedia.classes import Classification

NumberType = Literal["MOBILE", "LANDLINE", "TEN_DLC", "TOLL_FREE", "SHORT_CODE", "HOSTED_TEN_DLC", "HOSTED_TOLL_FREE"]
Capability = Literal["SMS", "TTS", "MMS"]
# "+61439742682" in MessageMedia's guide, "61436489205" in its reference, and seen as a JSON integer too.
Spelling = Literal["plus", "digits", "integer"]

# The rows of the search in MessageMedia's guide: number, id, available_after. The fourth is only its `next_token`
# there, so the number is ours.
SEED_ROWS = (
    (61439742682, "06edf0e7-5856-43b7-b1f7-ddd1ba5a7431", "2019-08-06T23:56:01.263Z"),
    (61438824240, "0707e86b-efa2-45f7-a5aa-9ac8cb84eb15", "2019-08-06T23:57:15.213Z"),
    (61438851616, "073fb6bd-f054-4644-aada-8fb204145d77", "2019-08-06T23:56:58.186Z"),
    (61438851903, "074b8bfd-f420-4168-a9f0-530cf1ba2523", "2019-08-06T23:57:02.511Z"),
)
_SEED_IDS = {number: number_id for number, number_id, _ in SEED_ROWS}
_SEED_NUMBERS = {number_id: number for number, number_id, _ in SEED_ROWS}
_SEED_TIMES = {number: available_after for number, _, available_after in SEED_ROWS}

_LOW = (1 << 62) - 1  # what is left of a UUID's lower half beside its variant
_FIRST_AVAILABLE = datetime(2019, 8, 6, 23, 56, tzinfo=UTC)
_SPREAD = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Number:
    id: str
    digits: str  # international
    country: str
    type: NumberType
    classification: Classification
    available_after: str
    capabilities: tuple[Capability, ...]

    def row(self, spelling: Spelling) -> dict[str, Any]:
        """As it is shown, its fields in the guide's order."""
        return {
            "id": self.id,
            "phone_number": _spell(self.digits, spelling),
            "country": self.country,
            "type": self.type,
            "classification": self.classification,
            "available_after": self.available_after,
            "capabilities": self.capabilities,
        }


def id_of(number: int) -> str:
    """The id of a number of up to 15 digits, in the form of a random UUID."""
    if number in _SEED_IDS:
        return _SEED_IDS[number]
    high = int.from_bytes(_digest("id", number)) & ~0xF000 | 0x4000  # version 4
    low = 2 << 62 | (number ^ _mask(high))
    return str(UUID(int=high << 64 | low))


def number_of(number_id: str) -> int | None:
    """The number that goes by this id; None where `id_of` made no such id."""
    try:
        given = UUID(number_id)
    except ValueError:
        return None
    if str(given) in _SEED_NUMBERS:
        return _SEED_NUMBERS[str(given)]
    number = given.int & _LOW ^ _mask(given.int >> 64)
    return number if number < 10**15 and id_of(number) == str(given) else None


def usually_available_after(number: int) -> str:
    """When a number that nobody held lately became free: in the month after those of the guide."""
    if number in _SEED_TIMES:
        return _SEED_TIMES[number]
    part = int.from_bytes(_digest("available", number)) / 2**64
    return timestamp(_FIRST_AVAILABLE + part * _SPREAD)


def timestamp(moment: datetime) -> str:
    """`2019-08-06T23:56:01.263Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def _spell(digits: str, spelling: Spelling) -> str | int:
    match spelling:
        case "plus":
            return f"+{digits}"
        case "digits":
            return digits
        case "integer":
            return int(digits)


def _digest(what: str, number: int) -> bytes:
    return blake2b(f"{what} {number}".encode(), digest_size=8).digest()


def _mask(high: int) -> int:
    return int.from_bytes(_digest("mask", high)) & _LOW
