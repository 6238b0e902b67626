"""What is logged, as production would write it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from worker import logs
from worker.settings import LogFormat


class Lines(logging.Handler):
    """Keeps what is logged, as it would be written."""

    def __init__(self, form: LogFormat = LogFormat.JSON) -> None:
        super().__init__()
        self.setFormatter(logs.formatter(form))
        self.texts: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(self.format(record))

    @property
    def documents(self) -> list[dict[str, Any]]:
        return [json.loads(text) for text in self.texts]

    def of(self, logger: str) -> list[dict[str, Any]]:
        return [line for line in self.documents if line["logger"] == logger]


@contextmanager
def written() -> Iterator[Lines]:
    """Every line of this process, while this is open."""
    lines, root = Lines(), logging.getLogger()
    root.addHandler(lines)
    try:
        yield lines
    finally:
        root.removeHandler(lines)
