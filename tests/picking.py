"""How tests let a client pick its number: alone in the world, or after others."""

from __future__ import annotations

from collections.abc import Sequence

from worker.upstreams.base import Candidate, Pick


async def first(candidates: Sequence[Candidate]) -> Candidate | None:
    """As when no other order is about."""
    return candidates[0] if candidates else None


def after_others(*spoken_for: str) -> Pick:
    """As when these ids are spoken for; each one picked is spoken for as well."""
    taken = set(spoken_for)

    async def pick(candidates: Sequence[Candidate]) -> Candidate | None:
        free = next((one for one in candidates if one.reference not in taken), None)
        if free is not None:
            taken.add(free.reference)
        return free

    return pick
