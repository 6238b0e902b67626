"""Looks, in every test, at every line that is logged, as production would write it: no secret may stand in one.

`watch` hangs a handler on the root logger, for the whole run; `leaks_since` is what a test has said since. Log files of
processes that a test started are searched by `leaks_in` at its end.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterable
from pathlib import Path

from worker import logs
from worker.settings import LogFormat

CALLERS = (
    "405061663", "405061664", "4000987", "400000001", "400000123", "9055802958", "6475550123", "403555777",
)  # fmt: skip
"""How the numbers of callers begin or end in the tests, without what differs by who writes them."""

_SHAPES = re.compile(
    r"whsec_[A-Za-z0-9+/=]{8,}"  # a signing secret
    r"|\btk_[A-Za-z0-9_-]{20,}"  # an API key
    r"|/(?:callbacks|calls|sms)/[a-z]+/[A-Za-z0-9_-]{50}"  # a token, in its address
    r"|(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{50}(?![A-Za-z0-9_-])"  # and alone: it is 50 characters long
    r"|(?i:\bauthorization\b\W{1,4}(?:bearer|basic)\s+)[A-Za-z0-9+/=_.~-]{6,}"
    r"|://[^\s/:@]*:[^\s/@…*]+@"  # a password in a URL
    rf"|{'|'.join(CALLERS)}"
)

_SECRET_NAMES = re.compile(r"TRUNKLINE_\w*(?:PASSWORD|SECRET|TOKEN|SECRET_KEY|API_KEY)\w*\Z")

SHORTEST = 9
"""Characters of a setting that is searched for: `password` itself is a word that a line may hold."""


_PLAIN = logging.Formatter()


class Watch(logging.Handler):
    """Reads what is logged; remembers what it should not hold."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.setFormatter(logs.formatter(LogFormat.JSON))
        self.lines = 0
        self.leaks: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = f"{self.format(record)} {_PLAIN.format(record)}"  # before anything is masked too
        except Exception:  # noqa: BLE001 -- a line that cannot be written is told by the handlers of the test itself
            return
        self.lines += 1
        if found := leaks(line):
            self.leaks.append(f"{record.name}: {found} in {line}")


def watch() -> Watch:
    """Begin to read. At INFO, as in production, where a test asks for no other level.

    httpx names whole addresses at INFO. Production silences it (`worker.logs`); here the clients are the tests' own.
    """
    watching = Watch()
    logging.getLogger().addHandler(watching)
    logging.getLogger().setLevel(logging.INFO)
    logging.getLogger("httpx").setLevel(logging.WARNING)
    return watching


def leaks(text: str, secrets: Iterable[str] | None = None) -> list[str]:
    """What of it nobody may read; by default with the secrets of this process's environment."""
    found = [one[0] for one in _SHAPES.finditer(text)]
    return found + [one for one in (_planted() if secrets is None else secrets) if one in text]


def leaks_in(folder: Path) -> list[str]:
    """The same, in every log under this folder."""
    secrets = _planted()
    files = [path for path in folder.rglob("*") if path.suffix in {".log", ".err"} or path.name == "up.txt"]
    found = [(path.name, leaks(path.read_text(errors="replace"), secrets)) for path in files if path.is_file()]
    return [f"{name}: {what}" for name, what in found if what]


def _planted() -> list[str]:
    return [
        part
        for name, value in os.environ.items()
        if _SECRET_NAMES.match(name)
        for part in value.split(",")
        if len(part) >= SHORTEST
    ]
