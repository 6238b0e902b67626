"""An upstream asked from the command line: what keeps it from answering, as a sentence and an exit status."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from worker.cli.run import Refusal, Unreachable
from worker.upstreams.base import BadQuery, Misconfigured, Unavailable, WrongAccount


@contextmanager
def asking(name: str) -> Iterator[None]:
    """Raises Refusal, also for credentials that are refused and an account that is not ours; Unreachable."""
    try:
        yield
    except (BadQuery, Misconfigured, WrongAccount) as error:
        raise Refusal(f"{name}: {error}") from None
    except Unavailable as error:
        raise Unreachable(f"{name}: {error}") from None
