"""Finding requests, and what was said about them, on the command line; and steering them."""

import csv
import io
import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from models.base import new_id, read, write
from models.delivery import Delivery, DeliveryState
from models.inbox import Purpose, Received
from models.request import Request
from models.state import State
from models.transition import Move, transition
from tests.factory import NOW, make_batch, make_requests
from tests.integration.cli import BODY, Cli, cli, csv_file, embedded, environment

__all__ = ["cli", "embedded", "environment"]


def move(cli: Cli, request_id: UUID, to: State, **changes: Any) -> None:
    write(cli.engine, lambda session: transition(session, [Move(request_id, to, "test", changes=changes)], NOW))


def state_of(cli: Cli, request_id: UUID) -> State:
    return read(cli.engine, lambda session: session.get_one(Request, request_id)).state


@pytest.fixture
def bought(cli: Cli) -> UUID:
    (request_id,) = make_requests(cli.engine, custom_id="dealer-17")
    move(cli, request_id, State.COMPLETED, number="+61280740801", upstream_reference="cebaa4ba")
    return request_id


@pytest.mark.parametrize(
    "reference",
    ["+61280740801", "61280740801", "0280740801", "(02) 8074 0801", "+61-0280740801", "dealer-17", "cebaa4ba"],
)
def test_a_request_is_shown_by_any_of_its_names(cli: Cli, bought: UUID, reference: str) -> None:
    make_requests(cli.engine, 3, custom_id="other")
    assert cli.json("show", reference)["request"]["id"] == str(bought)
    assert [row["id"] for row in cli.json("list", reference)["data"]] == [str(bought)]


def test_a_request_is_shown_with_its_timeline(cli: Cli, bought: UUID) -> None:
    told = cli.json("show", bought)
    assert [(entry["from"], entry["to"]) for entry in told["timeline"]] == [(None, "queued"), ("queued", "completed")]
    said = cli.run("show", bought).stdout
    assert "new → queued" in said
    assert "queued → completed" in said
    assert "+61280740801" in said


def test_a_name_that_nobody_has_is_refused(cli: Cli) -> None:
    assert "'nobody'" in cli.run("show", "nobody", status=2).stderr


def test_a_name_that_several_have_lists_them(cli: Cli) -> None:
    ids = make_requests(cli.engine, 2, custom_id="twice")
    said = cli.run("show", "twice", status=2).stderr
    assert all(str(one) in said for one in ids)


def test_the_list_is_newest_first_and_pages(cli: Cli) -> None:
    ids = [str(one) for one in make_requests(cli.engine, 5)]
    first = cli.json("list", "--limit", 2)
    second = cli.json("list", "--limit", 2, "--cursor", first["next_cursor"])
    last = cli.json("list", "--limit", 2, "--cursor", second["next_cursor"])
    pages = [row["id"] for page in (first, second, last) for row in page["data"]]
    assert pages == ids[::-1]
    assert last["next_cursor"] is None
    assert cli.run("list", "-q").stdout.split() == ids[::-1]


def test_the_list_is_narrowed_by_state_upstream_batch_reason_and_requester(cli: Cli) -> None:
    cli.run("submit", csv_file(cli.folder, "a", "b"))
    (held,) = make_requests(cli.engine, upstream="telmetrics")
    write(cli.engine, lambda session: transition(session, [Move(held, State.HELD, "test", "outcome_unknown")], NOW))
    cli.run("keys", "create", "--name", "x", "--requester", "crm")

    def count(*words: str) -> int:
        return len(cli.json("list", *words)["data"])

    assert count("--batch", "dealers.csv") == 2
    assert count("--state", "held") == 1
    assert count("--upstream", "telmetrics") == 1
    assert count("--reason", "outcome_unknown") == 1
    assert count("--kind", "release") == 0
    assert count("--requester", "crm") == 0
    assert count("--requester", "default", "--state", "queued") == 2


@pytest.mark.parametrize("words", [["--cursor", "x"], ["--batch", "x"], ["--state", "x"], ["--limit", "0"]])
def test_a_filter_that_means_nothing_is_refused(cli: Cli, words: list[str]) -> None:
    cli.run("list", *words, status=2)


def test_results_come_in_the_order_of_the_rows_and_neutralised_for_spreadsheets(cli: Cli) -> None:
    cli.run("submit", csv_file(cli.folder, "=HYPERLINK(1)", "b"))
    first, second = (row["id"] for row in cli.json("list")["data"][::-1])
    move(cli, UUID(second), State.COMPLETED, number="+61280740801")
    rows = list(csv.DictReader(io.StringIO(cli.run("export", "dealers.csv").stdout)))
    assert [(row["position"], row["id"], row["custom_id"]) for row in rows] == [
        ("1", first, "'=HYPERLINK(1)"),
        ("2", second, "b"),
    ]
    assert rows[1]["number"] == "+61280740801"


def test_results_go_to_a_file_in_the_format_of_its_name(cli: Cli, tmp_path: Path) -> None:
    make_requests(cli.engine, 3)
    cli.run("export", "-o", tmp_path / "all.ndjson")
    assert len([json.loads(line) for line in (tmp_path / "all.ndjson").read_text().splitlines()]) == 3
    assert len(cli.run("export", "--json").stdout.splitlines()) == 3
    cli.run("export", "-o", tmp_path / "nowhere" / "x.csv", status=2)


def test_more_results_than_one_chunk_are_all_there(cli: Cli) -> None:
    make_requests(cli.engine, 1_001)
    assert len(cli.run("export", "--format", "ndjson").stdout.splitlines()) == 1_001


def test_a_request_is_cancelled_once(cli: Cli) -> None:
    (request_id,) = make_requests(cli.engine, custom_id="a")
    assert "is cancelled" in cli.run("cancel", "a").stdout
    assert state_of(cli, request_id) is State.CANCELLED
    assert "ended already" in cli.run("cancel", "a", status=1).stderr


def test_a_batch_is_paused_resumed_and_cancelled_by_its_name(cli: Cli) -> None:
    batch = make_batch(cli.engine, 2)
    make_requests(cli.engine, 2, batch_id=batch)
    assert cli.json("batch", "pause", "dealers")["state"] == "paused"
    assert "goes on" in cli.run("batch", "resume", str(batch)).stdout
    assert cli.json("batch", "cancel", "dealers")["state"] == "cancelled"
    assert "submit the rows that are still wanted" in cli.run("batch", "pause", "dealers", status=1).stderr
    assert "no batch has this id or name" in cli.run("batch", "pause", "others", status=2).stderr
    (shown,) = cli.json("batch", "list")["data"]
    assert (shown["id"], shown["counts"]["queued"]) == (str(batch), 2)
    assert "dealers" in cli.run("batch", "list").stdout


def test_a_held_request_is_looked_at_again_or_settled_by_hand(cli: Cli) -> None:
    first, second = make_requests(cli.engine, 2)
    for request_id in (first, second):
        move(cli, request_id, State.HELD)
    assert cli.json("retry", first)["state"] == "submitting"
    told = cli.json("resolve", second, "--outcome", "completed", "--number", "02 8074 0801", "--note", "seen there")
    assert (told["state"], told["number"], told["detail"]) == ("completed", "+61280740801", "seen there")
    cli.run("resolve", first, "--outcome", "completed", "--number", "twelve", status=2)


def test_one_request_can_be_asked_for_seen_and_withdrawn(cli: Cli) -> None:
    made = cli.json("request", json.dumps(BODY | {"custom_id": "a"}))
    assert cli.json("show", "a")["request"] == made
    assert cli.json("cancel", "a")["state"] == "cancelled"


def test_requests_whose_end_is_contradicted_are_found(cli: Cli) -> None:
    fine, doubtful = make_requests(cli.engine, 2)
    for request_id in (fine, doubtful):
        move(cli, request_id, State.CANCELLED)
    move(cli, doubtful, State.COMPLETED, number="+61280740801")
    assert [row["id"] for row in cli.json("list", "--contradicted")["data"]] == [str(doubtful)]
    assert len(cli.json("list")["data"]) == 2
    assert "trunkline reconcile" in cli.run("explain", doubtful).stdout


def test_what_upstreams_sent_and_nobody_understood_is_listed(cli: Cli) -> None:
    ids = [new_id() for _ in range(4)]

    def work(session: Session) -> None:
        for number, id_ in enumerate(ids):
            session.add(
                Received(
                    id=id_,
                    upstream="avanser",
                    purpose=Purpose.CALLBACK,
                    request_id=UUID(int=number),  # the first: the address in a vendor's portal
                    digest=str(number),
                    method="POST",
                    query="a=1",
                    content_type="text/plain",
                    body=b"gar\xffbled",
                    received_at=NOW,
                    due_at=None,
                    problem=None if number == 1 else "the callback has no status",
                )
            )
        session.flush()

    write(cli.engine, work)
    listed = cli.json("inbox")["data"]
    assert [row["id"] for row in listed] == [str(ids[3]), str(ids[2]), str(ids[0])]
    assert (listed[0]["request"], listed[2]["request"]) == (str(UUID(int=3)), None)
    assert (listed[0]["body"], listed[0]["query"]) == ("gar\N{REPLACEMENT CHARACTER}bled", "a=1")
    said = cli.run("inbox").stdout
    assert "the callback has no status" in said
    assert "bled" not in said, "what people said stays out of a table"
    page = cli.json("inbox", "--limit", 2)
    assert [row["id"] for row in cli.json("inbox", "--cursor", page["next_cursor"])["data"]] == [str(ids[0])]
    cli.run("inbox", "--cursor", "x", status=2)


def test_a_held_request_is_settled_in_one_way_at_a_time(cli: Cli) -> None:
    (request_id,) = make_requests(cli.engine)
    move(cli, request_id, State.HELD)
    for words in ([], ["--failed", "--retry"], ["--completed", "--outcome", "failed"]):
        assert "say one of" in cli.run("resolve", request_id, *words, status=2).stderr
    assert cli.json("resolve", request_id, "--failed")["state"] == "failed"


def test_results_that_were_given_up_are_sent_again_and_others_only_for_the_asking(cli: Cli) -> None:
    lost, arrived = make_requests(cli.engine, 2, notify_url="https://once.test")
    for request_id in (lost, arrived):
        move(cli, request_id, State.COMPLETED)

    def work(session: Session) -> None:
        for row in session.scalars(sa.select(Delivery)):
            row.state = DeliveryState.FAILED if row.request_id == lost else DeliveryState.DELIVERED
            row.due_at, row.attempts = None, 10
        session.flush()

    write(cli.engine, work)
    (again,) = cli.json("replay", lost)["data"]
    assert (again["state"], again["attempts"], again["request"]) == ("pending", 0, str(lost))
    assert again["due_at"] is not None
    assert "Nothing was given up" in cli.run("replay", arrived).stdout
    assert "request.completed" in cli.run("replay", arrived, "--all").stdout
