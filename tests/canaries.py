"""Nothing that any test makes us log holds a secret, a token or a caller's number.

Every test runs under this: what it logs is looked through as it is logged, before anything is masked, and the log files
of the processes that it started when it is over.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.factory import SECRET_KEY

OURS = ("models", "webhook_receiver", "worker")

_CANARY = re.compile(
    "|".join(
        (
            r"whsec_[A-Za-z0-9+/=]{16,}",  # a signing secret
            r"\btk_[A-Za-z0-9_-]{16,}",  # an API key
            r"/(?:callbacks|calls|sms)/\w+/[A-Za-z0-9_.-]{20,}",  # a callback token, or a try at one
            r"canary-[\w-]+",  # what tests use as credentials and texts that nobody may read
            re.escape(SECRET_KEY),
            r"(?<![\w.-])\+?61[24]\d{8}(?![\w-])",  # a telephone number, most likely a caller's
        )
    )
)


def canaries_in(text: str) -> list[str]:
    """What stands there that may not, cut short."""
    return [f"{found[0][:12]}…" for found in _CANARY.finditer(text)]


class Watch(logging.Handler):
    """Looks through every record, with its traceback, as it would be written without any masking."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        for found in canaries_in(self.format(record)):
            self.seen.append(f"{record.name} at line {record.lineno} of {record.filename} logged {found}")


@contextmanager
def watching() -> Iterator[Watch]:
    """From here to its end, with our own loggers as talkative as they can be."""
    watch = Watch()
    before = {name: logging.getLogger(name).level for name in OURS}
    for name in OURS:
        logging.getLogger(name).setLevel(logging.DEBUG)
    logging.getLogger().addHandler(watch)
    try:
        yield watch
    finally:
        logging.getLogger().removeHandler(watch)
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)


def in_files(folder: Path) -> list[str]:
    """What the log files below this folder hold that they may not."""
    found = []
    for path in sorted(folder.rglob("*.log")):
        if path.is_file():
            for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1):
                found += [f"{path.name}, line {number}, holds {canary}" for canary in canaries_in(line)]
    return found


def forbid(request: pytest.FixtureRequest) -> Iterator[None]:
    """For a fixture of every test: fails the test that logged what nobody may read."""
    with watching() as watch:
        yield
    folder = getattr(request.node, "funcargs", {}).get("tmp_path")
    found = watch.seen + (in_files(folder) if folder is not None else [])
    if found:
        pytest.fail("\n".join(["what nobody may read was logged:", *found]), pytrace=False)
