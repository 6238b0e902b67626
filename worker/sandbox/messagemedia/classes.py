"""How MessageMedia classes a number, and so prices it: by the patterns in its digits.

The table is that of its Dedicated Numbers page. All its examples are of six digits, so a number's last six decide;
that they do is inferred.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Literal

Classification = Literal["BRONZE", "SILVER", "GOLD"]

_LENGTH = 6


def classify(number: str) -> Classification:
    """The class of a number, given as digits."""
    six = number[-_LENGTH:]
    if len(six) < _LENGTH:
        return "BRONZE"
    if any(is_so(six) for is_so in _GOLD):
        return "GOLD"
    return "SILVER" if any(is_so(six) for is_so in _SILVER) else "BRONZE"


def _is_same(digits: str) -> bool:
    return len(set(digits)) == 1


def _is_sequence(digits: str) -> bool:
    steps = {int(after) - int(before) for before, after in pairwise(digits)}
    return steps in ({1}, {-1})


def _triplets(six: str) -> tuple[str, str]:
    return six[:3], six[3:]


def _pairs(six: str) -> tuple[str, str, str]:
    return six[:2], six[2:4], six[4:]


def _has_equal_or_double_triplets(six: str) -> bool:
    left, right = _triplets(six)
    return left == right or (_is_same(left) and _is_same(right))


def _has_the_same_double_in_both_triplets(six: str) -> bool:
    left, right = _triplets(six)
    return (left[:2] == right[:2] and _is_same(left[:2])) or (left[1:] == right[1:] and _is_same(left[1:]))


def _has_a_same_and_a_sequential_triplet(six: str) -> bool:
    left, right = _triplets(six)
    return (_is_same(left) and _is_sequence(right)) or (_is_sequence(left) and _is_same(right))


def _has_pairs_in_sequence(six: str) -> bool:
    one, two, three = (int(pair) for pair in _pairs(six))
    return two - one == three - two and abs(two - one) == 1


Test = Callable[[str], bool]

_GOLD: tuple[Test, ...] = (
    _is_same,  # 999999
    _is_sequence,  # 234567, 765432
    _has_equal_or_double_triplets,  # 123123, 444666
    lambda six: len(set(_pairs(six))) == 1,  # 454545
)
_SILVER: tuple[Test, ...] = (
    lambda six: _is_same(six[:5]) or _is_same(six[1:]),  # 999991, 199999
    lambda six: _is_sequence(six[:5]) or _is_sequence(six[1:]),  # 456782, 245678, 287654
    _has_the_same_double_in_both_triplets,  # 004008, 400800
    _has_a_same_and_a_sequential_triplet,  # 444789, 345777
    lambda six: six == six[::-1],  # 468864
    lambda six: all(_is_same(pair) for pair in _pairs(six)),  # 447700
    _has_pairs_in_sequence,  # 232425, 090807
)
