"""`trunkline list`, `show`, `export`, `cancel`, `retry`, `resolve`: finding requests and steering them."""

import csv
import io
import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from models.base import read, write
from models.request import Request
from models.state import State
from models.transition import Move, transition
from tests.factory import NOW, make_requests
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
