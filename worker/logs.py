"""Log lines of our processes: their form, the ids that stand on each, and what may stand on none.

Whoever knows what it works on binds that (`structlog.contextvars`): a hint its id, a set its upstream and its size, one
request its id, batch and attempt. Every line that is written meanwhile carries them, whichever library writes it.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from enum import StrEnum
from typing import Any
from uuid import UUID

import structlog
from structlog.contextvars import merge_contextvars
from structlog.stdlib import ProcessorFormatter
from structlog.typing import EventDict, Processor

from worker.masking import masked_line

LOWEST = {
    # These log whole URLs, and ours hold tokens; or, at DEBUG, the rows that are read, with secrets and callers'
    # numbers. So they may not, whatever level is asked for.
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    "aiohttp.client": logging.WARNING,
    "aiohttp.access": logging.WARNING,
    "sqlalchemy.engine": logging.WARNING,
    # A line for each hint tells nobody anything.
    "celery.app.trace": logging.WARNING,
    "celery.worker.strategy": logging.WARNING,
    # It speaks whenever somebody asks whether we are ready.
    "alembic": logging.WARNING,
    # On RabbitMQ, that messages with a delay would block a worker: at each start, once a queue. We send none.
    "kombu.transport.native_delayed_delivery": logging.ERROR,
}

OURS = ("models.", "webhook_receiver.", "worker.")

_FIRST = ("timestamp", "level", "logger", "process", "event")
"""On every line, and in this order before all else."""


class LogFormat(StrEnum):
    JSON = "json"  # an object a line, for programs
    CONSOLE = "console"  # for people


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    @property
    def number(self) -> int:
        return logging.getLevelNamesMapping()[self.name]


def set_up_logging(level: LogLevel = LogLevel.INFO, form: LogFormat | None = None) -> None:
    """Write this process's lines to stderr: unless told otherwise for people where that is a terminal, else as JSON.

    Where somebody has set up logging before, the form stays theirs.
    """
    if form is None:
        form = LogFormat.CONSOLE if sys.stderr.isatty() else LogFormat.JSON
    handler = logging.StreamHandler()
    handler.setFormatter(formatter(form, colors=sys.stderr.isatty()))
    logging.basicConfig(level=level.number, handlers=[handler])
    logging.captureWarnings(True)
    for name, lowest in LOWEST.items():
        logging.getLogger(name).setLevel(lowest)


def formatter(form: LogFormat, *, colors: bool = False) -> logging.Formatter:
    """Turns any record, of ours or of a library, into a line."""
    return ProcessorFormatter(
        foreign_pre_chain=[_add_bound, _add_origin, structlog.processors.TimeStamper(fmt="iso", utc=True)],
        processors=[ProcessorFormatter.remove_processors_meta, _add_exception, _mask, *_written(form, colors=colors)],
    )


def _written(form: LogFormat, *, colors: bool) -> list[Processor]:
    if form is LogFormat.JSON:
        return [_in_order, structlog.processors.JSONRenderer(ensure_ascii=False)]
    # Its own way of writing exceptions shows the values of variables: secrets among them.
    plain = structlog.dev.ConsoleRenderer(
        colors=colors, pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
    )
    return [plain]


def _add_bound(logger: Any, name: str, line: EventDict) -> EventDict:
    line = merge_contextvars(logger, name, line)
    return {key: str(value) if isinstance(value, UUID) else value for key, value in line.items() if value is not None}


def _add_origin(_logger: Any, _name: str, line: EventDict) -> EventDict:
    record: logging.LogRecord = line["_record"]
    line["level"], line["logger"], line["process"] = record.levelname.lower(), record.name, record.process
    return line


def _add_exception(logger: Any, name: str, line: EventDict) -> EventDict:
    """The traceback as text: without the values of variables, unlike structlog's other way."""
    return structlog.processors.format_exc_info(logger, name, line)


def _mask(_logger: Any, _name: str, line: EventDict) -> EventDict:
    """What a library or an exception wrote of secrets. Our own lines hold none; this is for the day when one does.

    Not those that tell of what is well, such as the access log's: they are many, and to look through one costs 0.3 ms.
    """
    if line["logger"].startswith(OURS) and line["level"] in ("debug", "info"):
        return line
    for key in ("event", "exception", "stack"):
        if key in line:
            line[key] = masked_line(str(line[key]))
    return line


def _in_order(_logger: Any, _name: str, line: EventDict) -> EventDict:
    first: MutableMapping[str, Any] = {key: line.pop(key) for key in _FIRST if key in line}
    return {**first, **line}
