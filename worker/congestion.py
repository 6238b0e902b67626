"""How much of an upstream's limits is used: less when it asks us to slow down or grows slow, and step by step more.

Additive increase, multiplicative decrease, as TCP does it (RFC 5681): of many who share something none knows the right
share, and with this rule all find it. Here all workers are one, so what they find is what the upstream can bear.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

REFUSED = 0.5
"""What is left of the share when calls are refused for their number (429)."""

SLOW = 0.8
"""What is left of it when answers take much longer than they did."""

RECOVERY = 0.05
"""What comes back in a second in which all was well: from next to nothing to all of it in twenty."""

LEAST = 0.05
LEAST_WHEN_SLOW = 0.2
"""A slow upstream may be slow for reasons that are none of our doing; less than this would not make it faster."""

STEP = timedelta(seconds=1)
"""The share changes no more often: what is in flight when it falls was sent before, and says nothing new."""

TIMES, BY = 2.0, timedelta(milliseconds=250)
"""Much longer is: more than twice as long, and a quarter of a second."""

SOONER, LATER = 0.3, 0.02
"""Of the difference, in a step, by which the usual latency follows what is seen: quickly down, slowly up. An upstream
that stays slow is taken for slow by nature after a while, and gets its share back."""


@dataclass(frozen=True, slots=True)
class Congestion:
    """Of one upstream."""

    share: float = 1.0  # of its limits, in flight and a second
    usual: float | None = None  # seconds that an answer takes when all is well; None until one came
    at: float = 0.0  # when the share was last looked at, seconds since 1970

    def heard(self, now: float, latency: float | None, *, is_refused: bool) -> Congestion:
        """What it is after some answers. `latency`, in seconds, is the middle one's; None where none tells anything."""
        elapsed = now - self.at
        if 0 <= elapsed < STEP.total_seconds():
            return self
        if is_refused:
            return replace(self, share=max(LEAST, self.share * REFUSED), at=now)
        if latency is None:
            return self
        return Congestion(self._share_at(latency), self._follow(latency), now)

    def _share_at(self, latency: float) -> float:
        if self.usual is not None and latency > self.usual * TIMES + BY.total_seconds():
            return min(self.share, max(LEAST_WHEN_SLOW, self.share * SLOW))
        return min(1.0, self.share + RECOVERY)

    def _follow(self, latency: float) -> float:
        if self.usual is None:
            return latency
        return self.usual + (latency - self.usual) * (SOONER if latency < self.usual else LATER)
