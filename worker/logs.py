"""Logs: every line of every library as one JSON object (or a line for a person), with the ids of what it is about.

Who knows what the work is about says so with `about`; who logs, by the standard library's loggers, need not know. The
ids are put on a line when there is one: to say them costs a request half a microsecond, and nothing is formatted.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import structlog
from structlog.typing import EventDict

from worker.settings import LogFormat, LogLevel

_TELL_TOO_MUCH = ("httpx", "httpcore", "aiohttp.client", "aiohttp.access", "sqlalchemy.engine")
"""These log whole URLs, and ours hold tokens; or, at DEBUG, the rows that are read, with secrets and callers' numbers.
So they may not, whatever level is asked for."""

_QUIET = {
    "celery.app.trace": logging.WARNING,  # a line for each hint tells nobody anything
    "celery.worker.strategy": logging.WARNING,
    # On RabbitMQ, that messages with a delay would block a worker: at each start, once a queue. We send none.
    "kombu.transport.native_delayed_delivery": logging.ERROR,
    "alembic": logging.WARNING,  # it speaks whenever somebody asks whether we are ready
}

_SECRET = re.compile(
    r"(whsec_|\btk_|\b[Bb](?:earer|asic)\s+|/(?:callbacks|calls|sms)/[a-z]+/|://[^\s/:@]*:(?=[^\s/@]+@))[\w+/=.~-]{6,}"
)
"""What no line should hold. Our code keeps it out; this is for an exception of a library that quotes what it was given.
A token's path is masked with whatever stands behind the vendor's name."""

_about: ContextVar[Mapping[str, Any]] = ContextVar("_about", default={})  # noqa: B039 -- never changed, only replaced


@contextmanager
def about(**ids: Any) -> Iterator[None]:
    """Until the end of the block, lines are about these ids, beside those that they were about before; None takes one
    away.

    A task that is begun inside keeps them; a thread does where it runs in a copy of this context.
    """
    token = _about.set({**_about.get(), **ids})
    try:
        yield
    finally:
        _about.reset(token)


def say(**ids: Any) -> None:
    """As `about`, until the end of this context: for a task of an event loop, which has one to itself."""
    _about.set({**_about.get(), **ids})


def current() -> Mapping[str, Any]:
    """The ids that lines are about now."""
    return _about.get()


def forget() -> None:
    """Lines are about nothing: where a thread begins another piece of work."""
    _about.set({})


def set_up_logging(level: LogLevel = LogLevel.INFO, form: LogFormat | None = None) -> None:
    """Write all lines to stderr, in this form; by default for people where that is a terminal, else JSON.

    Whoever has set up the root logger before has it as it is, but for the level.
    """
    root = logging.getLogger()
    if not root.handlers:
        handler = logging.StreamHandler()
        handler.setFormatter(formatter(form))
        root.addHandler(handler)
    root.setLevel(level.value)
    logging.captureWarnings(True)  # or they are written past us
    for name in _TELL_TOO_MUCH:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name, least in _QUIET.items():
        logging.getLogger(name).setLevel(max(least, root.level))


def formatter(form: LogFormat | None = None) -> logging.Formatter:
    """What makes a line of a record."""
    if form is None:
        form = LogFormat.CONSOLE if sys.stderr.isatty() else LogFormat.JSON
    # Plain: the tracebacks that structlog makes by default where rich is installed show the values of variables.
    as_text = structlog.dev.ConsoleRenderer(
        colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback, pad_event_to=0, sort_keys=False
    )
    as_json = structlog.processors.JSONRenderer(default=str, ensure_ascii=False)
    last: list[Any] = [as_json] if form is LogFormat.JSON else [as_text]
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[_ids, structlog.stdlib.ExtraAdder()],
        processors=[
            _frame,
            structlog.processors.format_exc_info,
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _without_secrets,
            *last,
        ],
    )


def _ids(_logger: Any, _name: str, line: EventDict) -> EventDict:
    return {**{name: id_ for name, id_ in _about.get().items() if id_ is not None}, **line}


def _frame(_logger: Any, _name: str, line: EventDict) -> EventDict:
    """When, how grave, who; then what happened, then the ids, so that a person can read JSON too."""
    record: logging.LogRecord = line["_record"]
    event = line.pop("event")
    moment = structlog.processors.TimeStamper(fmt="iso", utc=True, key="time")
    head = {"level": record.levelname.lower(), "logger": record.name, "process": record.process, "event": event}
    stamped = moment(_logger, _name, {})
    return {**stamped, **head, **line}


def _without_secrets(_logger: Any, _name: str, line: EventDict) -> EventDict:
    return {key: without_secrets(value) if isinstance(value, str) else value for key, value in line.items()}


def without_secrets(text: str) -> str:
    """The same, with keys, signing secrets and tokens of ours made unreadable, and passwords in URLs."""
    return _SECRET.sub(r"\1…", text)
