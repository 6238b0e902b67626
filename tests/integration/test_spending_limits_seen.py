"""Where people set spending limits, over HTTP and on the command line, and where they see what they stop."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from models import requester
from models.base import read, utc_now, write
from models.batch import Batch
from models.due import claim_requests
from models.requester import ApiKey
from tests.factory import make_requests
from tests.integration.cli import Cli, cli, csv_file, environment
from tests.receiver import BODY, Api, row
from tests.receiver import csv_file as csv_body

__all__ = ["cli", "environment"]


def claim(engine: sa.Engine, ceilings: dict[str, int]) -> int:
    lease = timedelta(seconds=30)
    return len(
        write(engine, lambda session: claim_requests(session, "avanser", 9, utc_now(), lease, ceilings=ceilings))
    )


def test_a_request_remembers_the_key_that_asked_for_it_and_a_batch_its_limit(api: Api) -> None:
    api.post("/v1/requests", json=BODY)
    rows = csv_body([row("a"), row("b")])
    answer = api.post("/v1/batches?max_numbers=1", data=rows, media_type="text/csv")
    assert answer.json is not None
    assert api.get(answer.headers["Location"]).json["max_numbers"] == answer.json["max_numbers"] == 1  # type: ignore[index]
    wrong = api.post("/v1/batches?max_numbers=0", data=rows, media_type="text/csv")
    assert (wrong.status_code, "max_numbers" in wrong.text) == (422, True)
    keys = set(read(api.engine, lambda session: session.scalars(sa.select(ApiKey.id)).all()))
    assert {one.key_id for one in api.requests()} <= keys
    assert claim(api.engine, {}) == 1, "what stands alone comes first"
    assert claim(api.engine, {}) == 1, "of the batch there is one, and no other"
    assert claim(api.engine, {}) == 0


def test_a_key_is_made_with_a_limit_that_can_be_raised(cli: Cli) -> None:
    made = cli.json("keys", "create", "--name", "portal", "--numbers-per-day", "1")
    assert cli.json("keys", "list")["data"][0]["numbers_per_day"] == 1
    now = utc_now()
    caller = read(cli.engine, lambda session: requester.find_caller(session, made["key"], now))
    assert caller is not None
    make_requests(cli.engine, 2, key_id=caller.key_id, due_at=now, deadline=now + timedelta(days=2))
    assert claim(cli.engine, {}) == 1
    assert cli.json("keys", "limit", made["id"], "--numbers-per-day", "2")["numbers_per_day"] == 2
    assert cli.json("keys", "list")["data"][0]["numbers_per_day"] == 2
    (waiting,) = cli.json("list", "--reason", "spending_limit")["data"]
    cli.run("retry", waiting["id"])
    assert claim(cli.engine, {}) == 1
    assert cli.json("keys", "limit", made["id"], "--unlimited")["numbers_per_day"] is None
    cli.run("keys", "limit", made["id"], status=2)
    cli.run("keys", "limit", waiting["id"], "--unlimited", status=2)


def test_a_file_is_taken_with_a_limit_that_can_be_raised(cli: Cli) -> None:
    told = cli.json("submit", csv_file(cli.folder, "a", "b"), "--max-numbers", "1")["batch"]
    assert told["max_numbers"] == 1
    assert cli.json("batch", "limit", told["id"], "--max-numbers", "2")["max_numbers"] == 2
    assert read(cli.engine, lambda session: session.scalars(sa.select(Batch.max_numbers)).all()) == [2]
    assert "any number" in cli.run("batch", "limit", told["id"], "--unlimited").stdout
    cli.run("batch", "limit", told["id"], status=2)


def test_what_a_limit_stops_is_told(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNKLINE_AVANSER_MAX_NUMBERS_PER_DAY", "1")
    now = utc_now()
    make_requests(cli.engine, 2, due_at=now, deadline=now + timedelta(days=2))
    claim(cli.engine, {"upstream:avanser": 1})
    status = cli.json("upstream", "status")["data"]
    assert status[0]["limits"] == [{"what": "avanser in a day", "limit": 1, "taken": 1}]
    assert [one["limits"] for one in status[1:]] == [[], []]
    assert "avanser in a day: 1 of 1" in cli.run("upstream", "status").stdout
    (waiting,) = cli.json("list", "--reason", "spending_limit")["data"]
    assert "1 numbers: they are taken" in waiting["detail"]
    explained = cli.run("explain", waiting["id"]).stdout
    assert "A spending limit is reached" in explained
