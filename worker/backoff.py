"""How long to wait before the next try: one pure function."""

from __future__ import annotations

import random
from datetime import timedelta

_random = random.SystemRandom()


def backoff(tries: int, base: timedelta, cap: timedelta, luck: float | None = None) -> timedelta:
    """The wait after `tries` failures (1 or more): doubling from `base` up to `cap`, the upper half of it by chance.

    The chance (`luck`, 0 to 1) keeps a thousand requests that failed together from coming back together.
    """
    doubled = min(cap, base * float(2 ** min(tries - 1, 30)))
    return doubled / 2 * (1 + (_random.random() if luck is None else luck))
