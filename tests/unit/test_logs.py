"""Lines of the log: their form, their ids, and what is made unreadable in them. And that the tests' watch sees."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from structlog.contextvars import bound_contextvars, clear_contextvars

from tests.canaries import Watch, in_files
from worker.lanes import Lanes
from worker.logs import LogFormat, formatter
from worker.masking import masked_line

SECRET = "whsec_" + "C2FuYXJ5" * 4
TOKEN = "v1-" + "Ab0_" * 12
CALLER = "+61400000001"


@pytest.fixture(autouse=True)
def _bound_to_nothing() -> Iterator[None]:
    clear_contextvars()
    yield
    clear_contextvars()


def record(
    said: str = "it broke", *, name: str = "worker.workflow", level: int = logging.ERROR, error: Exception | None = None
) -> logging.LogRecord:
    exc_info = (type(error), error, error.__traceback__) if error is not None else None
    return logging.LogRecord(name, level, __file__, 1, said, None, exc_info)


def failure(said: str) -> Exception:
    """As it is caught, beside a variable that holds a secret."""
    held = "held-in-a-variable"
    try:
        raise ValueError(said)
    except ValueError as error:
        assert held
        return error


def test_a_line_is_an_object_with_all_that_is_known_of_what_it_is_about() -> None:
    request_id = uuid4()
    with bound_contextvars(upstream="avanser", request_id=request_id, batch_id=None, attempt=2):
        written = formatter(LogFormat.JSON).format(record("it broke"))
    line = json.loads(written)
    assert list(line)[:5] == ["timestamp", "level", "logger", "process", "event"]
    assert (line["level"], line["logger"], line["event"]) == ("error", "worker.workflow", "it broke")
    assert {key: line[key] for key in list(line)[5:]} == {
        "upstream": "avanser",
        "request_id": str(request_id),
        "attempt": 2,
    }
    assert "\n" not in written


def test_a_librarys_line_carries_the_ids_too() -> None:
    with bound_contextvars(hint="17"):
        line = json.loads(formatter(LogFormat.JSON).format(record(name="sqlalchemy.pool")))
    assert (line["logger"], line["hint"]) == ("sqlalchemy.pool", "17")


def test_for_people_it_is_text_with_the_same_in_it() -> None:
    with bound_contextvars(upstream="avanser", attempt=2):
        written = formatter(LogFormat.CONSOLE).format(record(error=failure("why")))
    assert "it broke" in written
    assert "upstream=avanser" in written
    assert "ValueError: why" in written


@pytest.mark.parametrize("form", LogFormat)
def test_a_traceback_shows_no_variable_and_nothing_secret_that_its_exception_says(form: LogFormat) -> None:
    error = failure(f"GET http://x/callbacks/avanser/{TOKEN}?ani={CALLER} with {SECRET}")
    written = formatter(form).format(record(error=error))
    assert "ValueError: GET http://x/callbacks/avanser/…" in written
    assert [one for one in (TOKEN, CALLER, SECRET) if one in written] == []
    assert "held-in-a-variable" not in written


@pytest.mark.parametrize(("name", "level"), [("aiohttp", logging.INFO), ("worker.workflow", logging.WARNING)])
def test_what_a_library_says_and_what_went_wrong_is_masked(name: str, level: int) -> None:
    line = json.loads(formatter(LogFormat.JSON).format(record(f"asked with {SECRET}", name=name, level=level)))
    assert line["event"] == "asked with whsec_…"


def test_who_reads_a_log_still_sees_hosts_and_ids() -> None:
    said = f"no answer from 192.168.100.200 port 5432, host 10.20.30.40:6379, about {UUID(int=1)} after 30000 ms"
    assert masked_line(said) == said


def test_a_lane_works_for_the_hint_that_began_it() -> None:
    seen: list[dict[str, object]] = []

    def work() -> bool:
        seen.append(json.loads(formatter(LogFormat.JSON).format(record())))
        return False

    lanes = Lanes()
    with bound_contextvars(hint="17"):
        lanes.run("avanser", work)
        lanes.leave("avanser", work)
    assert lanes.drain(timedelta(seconds=30))
    assert [line["hint"] for line in seen] == ["17", "17"]


@pytest.mark.parametrize("said", [SECRET, f"/calls/avanser/{TOKEN}", CALLER, "tk_" + "a1" * 20, "canary-password"])
def test_the_watch_over_all_tests_sees_what_may_not_be_logged(said: str, tmp_path: Path) -> None:
    watch, logger = Watch(), logging.getLogger("tests.unwatched")
    logger.propagate = False  # or the watch over this test would see it
    logger.addHandler(watch)
    logger.warning("it says %s", said)
    try:
        raise ValueError(said)
    except ValueError:
        logger.exception("it broke")
    logger.warning("it says nothing")
    assert [one.partition(" logged ")[0].split()[0] for one in watch.seen] == ["tests.unwatched"] * 2

    log = tmp_path / "logs" / "worker.log"
    log.parent.mkdir()
    log.write_text(f"good\nit says {said}\n")
    assert [one.partition(" holds ")[0] for one in in_files(tmp_path)] == ["worker.log, line 2,"]
    log.unlink()  # or this test fails by it
