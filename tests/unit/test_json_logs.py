"""A line of the log: one JSON object with the ids of what it is about, or a line for a person; never a secret."""

from __future__ import annotations

import json
import logging
import sys
import threading
from contextvars import copy_context
from typing import Any

import pytest

from tests.lines import Lines
from worker import logs
from worker.lanes import Lanes
from worker.loop import Loop
from worker.settings import LogFormat

CANARY = "canary-of-a-variable"


def logger_with(lines: Lines) -> logging.Logger:
    log = logging.Logger("a.library", logging.DEBUG)  # noqa: LOG001 -- known to nobody: what is planted stays here
    log.addHandler(lines)
    return log


@pytest.fixture
def lines() -> Lines:
    return Lines()


@pytest.fixture
def log(lines: Lines) -> logging.Logger:
    return logger_with(lines)


def test_a_line_of_any_library_is_one_json_object_with_the_ids_of_what_it_is_about(
    lines: Lines, log: logging.Logger
) -> None:
    with logs.about(request_id="r-1", batch_id=None, upstream="avanser"), logs.about(attempt=2):
        log.warning("no answer\nwithin %d s", 3, extra={"more": 1})
    log.info("after")
    first, second = lines.documents
    assert "\n" not in lines.texts[0]
    assert {**first, "time": "", "process": 0} == {
        "time": "", "level": "warning", "logger": "a.library", "process": 0, "event": "no answer\nwithin 3 s",
        "request_id": "r-1", "upstream": "avanser", "attempt": 2, "more": 1,
    }  # fmt: skip
    assert first["time"].endswith("Z")
    assert set(second) == {"time", "level", "logger", "process", "event"}


def test_a_line_about_one_request_of_a_set_does_not_count_the_set(lines: Lines, log: logging.Logger) -> None:
    with logs.about(upstream="avanser", requests=500):
        log.info("a set")
        with logs.about(requests=None, request_id="r-1"):
            log.info("one")
    assert [(line.get("requests"), line.get("request_id")) for line in lines.documents] == [(500, None), (None, "r-1")]


def test_ids_reach_the_thread_of_a_lane_and_each_task_of_the_loop_has_its_own(
    lines: Lines, log: logging.Logger, loop_of_its_own: Loop
) -> None:
    async def ask(n: int) -> None:
        logs.say(request_id=n)
        log.info("asked %d", n)

    done = threading.Event()

    def work() -> bool:
        list(loop_of_its_own.stream([1, 2], ask))
        log.info("recorded")
        done.set()
        return False

    lanes = Lanes()
    with logs.about(hint="h-1", upstream="avanser"):
        lanes.run("avanser", work)
    assert done.wait(10)
    found = {(line["event"], line.get("request_id"), line["hint"], line["upstream"]) for line in lines.documents}
    assert found == {(f"asked {n}", n, "h-1", "avanser") for n in (1, 2)} | {("recorded", None, "h-1", "avanser")}


@pytest.fixture
def loop_of_its_own() -> Loop:
    return Loop()


def fail(_secret: str) -> None:
    raise ValueError("it broke")


@pytest.mark.parametrize("form", list(LogFormat))
def test_a_traceback_shows_lines_of_code_and_no_values_of_variables(form: LogFormat) -> None:
    lines = Lines(form)
    log = logger_with(lines)
    try:
        fail(CANARY)
    except ValueError:
        log.exception("failed")
    assert "ValueError: it broke" in lines.texts[0]
    assert "in fail" in lines.texts[0]
    assert CANARY not in lines.texts[0]


@pytest.mark.parametrize("form", list(LogFormat))
@pytest.mark.parametrize(
    ("said", "secret"),
    [
        ("key tk_{} is wrong", "abcdefghijklmnop0123456789"),
        ("secret whsec_{}", "c2VjcmV0LXNlY3JldC1zZWNyZXQ="),
        ("GET /calls/avanser/{}?ani=", "Zm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm9vYmFyZm"),
        ("redis://:{}@broker:6379 is away", "canary-password"),
        ("Authorization: Bearer {}", "abc.def-ghi"),
    ],
)
def test_what_a_library_quotes_is_masked_also_in_a_traceback(form: LogFormat, said: str, secret: str) -> None:
    lines = Lines(form)
    log = logger_with(lines)
    try:
        raise RuntimeError(said.format(secret))
    except RuntimeError as error:
        log.error("failed: %s", error, exc_info=error, extra={"quoted": str(error)})  # noqa: TRY400
    assert lines.texts[0].count("…") >= 3
    assert secret not in lines.texts[0]


def test_by_default_lines_are_for_people_on_a_terminal_and_json_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    def written() -> str:
        record = logging.makeLogRecord({"name": "a", "msg": "hello", "levelno": logging.INFO, "levelname": "INFO"})
        return logs.formatter().format(record)

    assert json.loads(written())["event"] == "hello"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    line = written()
    assert "hello" in line
    assert not line.startswith("{")


def test_a_work_in_a_copied_context_changes_nothing_outside(lines: Lines, log: logging.Logger) -> None:
    def work() -> Any:
        logs.say(request_id="r-1")
        log.info("inside")

    copy_context().run(work)
    log.info("outside")
    assert [line.get("request_id") for line in lines.documents] == ["r-1", None]
