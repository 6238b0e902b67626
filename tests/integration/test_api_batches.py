"""Batches over HTTP: a file is taken whole or not at all, counted exactly, and its results come in its order."""

import csv
import io
import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

import worker.results
from models.base import new_id, utc_now, write
from models.batch import Batch, BatchState
from models.request import Request
from models.requester import Scope
from models.state import State
from models.transition import Move, transition
from tests.factory import make_requester, make_requests
from tests.receiver import BODY, SPEC, Api, chunked, csv_file, receiver, row, settings_for
from webhook_receiver import results
from webhook_receiver.context import BodyLimits

CSV, NDJSON, JSON = "text/csv", "application/x-ndjson", "application/json"


def bodies(count: int) -> list[dict[str, Any]]:
    return [{"upstream": "avanser", "custom_id": f"c{number}", "spec": SPEC} for number in range(count)]


FILES = {
    CSV: csv_file([row(f"c{number}") for number in range(3)]),
    "text/csv; charset=utf-8": csv_file([row(f"c{number}") for number in range(3)], "\r\n"),
    NDJSON: b"".join(json.dumps(body).encode() + b"\n" for body in bodies(3)),
    JSON: json.dumps(bodies(3)).encode(),
    "application/json;charset=UTF-8": json.dumps({"name": "named", "requests": bodies(3)}).encode(),
}


def send(api: Api, data: bytes, media_type: str = CSV, query: str = "", **more: Any) -> TestResponse:
    return api.post(f"/v1/batches{query}", data=data, media_type=media_type, **more)


@pytest.mark.parametrize("media_type", FILES)
def test_a_file_is_taken_and_counted(api: Api, media_type: str) -> None:
    answer = send(api, FILES[media_type], media_type)

    assert answer.status_code == 202
    assert answer.json is not None
    assert (answer.json["total"], answer.json["taken"], answer.json["state"]) == (3, 3, "running")
    shown = api.get(answer.headers["Location"]).json
    assert shown is not None
    assert shown["counts"] == {state: 3 if state == "queued" else 0 for state in State}
    assert [request.custom_id for request in api.requests()] == ["c0", "c1", "c2"]


@pytest.mark.parametrize(("query", "name"), [("?name=May%20order", "May order"), ("", "named")])
def test_a_batch_has_the_name_that_it_is_given(api: Api, query: str, name: str) -> None:
    answer = send(api, FILES["application/json;charset=UTF-8"], JSON, query)

    assert (answer.json or {})["name"] == name
    assert [one["name"] for one in api.get("/v1/batches").json["data"]] == [name]  # type: ignore[index]


def test_the_same_file_again_takes_no_row_twice(api: Api) -> None:
    first = send(api, FILES[CSV])
    again = send(api, FILES[CSV])
    longer = send(api, csv_file([row(f"c{number}") for number in range(5)]))

    assert [(answer.json or {})["taken"] for answer in (again, longer)] == [0, 2]
    assert [(answer.json or {})["already_taken"] for answer in (again, longer)] == [3, 3]
    earlier = [(answer.json or {})["earlier_batch"] for answer in (first, again, longer)]
    assert earlier == [None, (first.json or {})["id"], None], "another file is another source"
    assert len(api.requests()) == 5


def test_counts_follow_every_move(api: Api) -> None:
    batch = (send(api, FILES[CSV]).json or {})["id"]
    first, second, _ = (request.id for request in api.requests())
    moves = [Move(first, State.COMPLETED, "test"), Move(second, State.FAILED, "test")]
    write(api.engine, lambda session: transition(session, moves, utc_now()))

    shown, listed = api.get(f"/v1/batches/{batch}").json, api.get("/v1/batches").json
    assert shown is not None
    assert listed is not None
    assert {state: n for state, n in shown["counts"].items() if n} == {"queued": 1, "completed": 1, "failed": 1}
    assert listed["data"] == [shown]


def test_one_bad_row_and_nothing_is_taken(api: Api) -> None:
    answer = send(api, csv_file([row("a"), row("b", "nobody"), row("c")]))

    assert (answer.status_code, (answer.json or {})["code"]) == (422, "bad_rows")
    (error,) = (answer.json or {})["errors"]
    assert (error["line"], error["field"], error["pointer"]) == (3, "upstream", "/upstream")
    api.assert_nothing_was_taken()


def test_with_partial_the_good_rows_are_taken_and_the_bad_ones_named(api: Api) -> None:
    answer = send(api, csv_file([row("a"), row("b", "nobody"), row("c")]), query="?partial=true")

    assert answer.status_code == 202
    assert answer.json is not None
    assert (answer.json["taken"], answer.json["bad"]) == (2, 1)
    assert [(error["line"], error["field"]) for error in answer.json["errors"]] == [(3, "upstream")]
    assert [request.position for request in api.requests()] == [1, 3]


def test_a_csv_whose_end_cannot_be_told_is_refused(api: Api) -> None:
    """Through a server that ends a chunked body which broke off like a whole one, half a file would be taken."""
    for media_type in (CSV, NDJSON):
        answer = send_chunked(api, FILES[media_type], media_type)
        assert (answer.status_code, (answer.json or {})["code"]) == (411, "length_required")
    api.assert_nothing_was_taken()

    assert send_chunked(api, FILES[JSON], JSON).status_code == 202
    assert send_chunked(api, FILES[JSON][:-1], JSON).status_code == 400


def send_chunked(api: Api, data: bytes, media_type: str) -> TestResponse:
    return api.post("/v1/batches", **chunked(data, **{"Content-Type": media_type}))


@pytest.mark.parametrize("media_type", [CSV, JSON])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_file_over_the_limit_is_refused_before_it_is_read(
    monkeypatch: pytest.MonkeyPatch,
    database_url: str,
    engine: Engine,
    tmp_path: Path,
    media_type: str,
    is_chunked: bool,
) -> None:
    limits = BodyLimits(batch=1_000)
    with receiver(settings_for(monkeypatch, database_url, str(tmp_path)), engine, limits) as api:
        more = chunked(b"x" * 10_000_000, **{"Content-Type": media_type})
        if not is_chunked:
            more["headers"].pop("Transfer-Encoding")
            more["environ_overrides"] = {"CONTENT_LENGTH": str(1 << 30)}
        answer = api.post("/v1/batches", **more)

        assert (answer.status_code, (answer.json or {})["code"]) == (413, "too_large")
        assert more["input_stream"].tell() <= 1_000_000
        api.assert_nothing_was_taken()


def make_batch(engine: Engine, count: int, **fields: Any) -> UUID:
    owner = make_requester(engine)

    def work(session: Session) -> UUID:
        batch = Batch(id=new_id(), requester_id=owner.id, name="b", state=BatchState.RUNNING, created_at=utc_now())
        session.add(batch)
        session.flush()
        return batch.id

    batch_id = write(engine, work)
    for position in range(count, 0, -1):  # taken in another order than that of the file
        make_requests(engine, batch_id=batch_id, position=position, custom_id=f"c{position}", **fields)
    return batch_id


def test_results_come_in_the_order_of_the_file_in_both_forms(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker.results, "CHUNK", 2)
    batch = make_batch(api.engine, 5)

    table = list(csv.DictReader(io.StringIO(api.get(f"/v1/batches/{batch}/results.csv").text)))
    lines = [json.loads(line) for line in api.get(f"/v1/batches/{batch}/results.ndjson").text.splitlines()]

    wanted = ["c1", "c2", "c3", "c4", "c5"]
    assert [line["custom_id"] for line in table] == wanted
    assert [line["position"] for line in table] == ["1", "2", "3", "4", "5"]
    assert [line["custom_id"] for line in lines] == wanted
    assert lines[0] == api.get(f"/v1/requests/{lines[0]['id']}").json


def test_no_cell_of_the_results_is_a_formula_and_a_number_stays_one(api: Api) -> None:
    batch = make_batch(api.engine, 1, custom_group='=HYPERLINK("http://x")', number="+61280740801")

    (line,) = csv.DictReader(io.StringIO(api.get(f"/v1/batches/{batch}/results.csv").text))

    assert line["custom_group"] == '\'=HYPERLINK("http://x")'
    assert line["number"] == "+61280740801"


@pytest.mark.parametrize("form", ["csv", "ndjson"])
def test_results_that_break_off_say_so(api: Api, monkeypatch: pytest.MonkeyPatch, form: str) -> None:
    batch = make_batch(api.engine, 3)
    monkeypatch.setattr(worker.results, "CHUNK", 2)
    monkeypatch.setattr(results, "PAUSES", ())
    chunks = {"csv": results.as_csv, "ndjson": results.as_ndjson}[form](api.engine, batch)
    whole = api.get(f"/v1/batches/{batch}/results.{form}").text
    read = [next(chunks)]
    while b"c2" not in read[-1]:
        read.append(next(chunks))

    write(api.engine, lambda session: session.execute(sa.text("ALTER TABLE requests RENAME TO gone")))
    read += chunks

    assert "INCOMPLETE" in b"".join(read).decode().splitlines()[-1]
    assert "INCOMPLETE" not in whole


def test_a_chunk_of_the_results_is_read_again_when_the_database_was_away(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    batch = make_batch(api.engine, 1)
    monkeypatch.setattr(results, "PAUSES", (0.0, 0.0))
    tries = iter([OperationalError("", {}, Exception()), OperationalError("", {}, Exception())])

    @sa.event.listens_for(api.engine, "before_cursor_execute")
    def fail(*_: Any) -> None:
        error = next(tries, None)
        if error is not None:
            raise error

    text = b"".join(results.as_ndjson(api.engine, batch)).decode()
    assert json.loads(text)["custom_id"] == "c1"


@pytest.mark.parametrize("path", ["", "/results.csv", "/results.ndjson"])
def test_another_requesters_batch_is_not_there(api: Api, path: str) -> None:
    batch = make_batch(api.engine, 1)
    theirs = api.make_key(Scope.READ, requester="other")

    assert api.get(f"/v1/batches/{batch}{path}", key=theirs).status_code == 404
    assert api.get("/v1/batches", key=theirs).json == {"data": [], "next_cursor": None}


def test_a_good_body_is_good_in_a_batch_too(api: Api) -> None:
    """What `POST /v1/requests` takes, a batch takes."""
    api.post("/v1/requests", json=BODY)
    assert send(api, json.dumps([BODY]).encode(), JSON).status_code == 202
    assert [type(request) for request in api.requests()] == [Request, Request]


def test_a_batch_is_paused_resumed_and_cancelled(api: Api) -> None:
    path = send(api, FILES[CSV]).headers["Location"]
    for act, state in (("pause", "paused"), ("pause", "paused"), ("resume", "running"), ("cancel", "cancelled")):
        answer = api.post(f"{path}/{act}")
        assert (answer.status_code, answer.json and answer.json["state"]) == (200, state)
        assert api.get(path).json == answer.json
    refused = api.post(f"{path}/resume")
    assert (refused.status_code, refused.json and refused.json["code"]) == (409, "not_now")
