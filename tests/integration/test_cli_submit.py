"""`trunkline submit` and `request`: what they take, say and return."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.exc import OperationalError

from models.base import make_engine, read, write
from models.batch import Batch
from models.request import Request
from models.state import State
from models.transition import Move, transition
from tests.factory import KEYRING, NOW, SECRET_KEY
from tests.integration.cli import BODY, COLUMNS, CREDENTIALS, Cli, cli, csv_file, csv_row, embedded, environment

__all__ = ["cli", "embedded", "environment"]

DEADLINE = 180.0
"""Seconds for a process to come to where a test wants it."""


def requests_in(engine: Engine) -> list[Request]:
    return read(engine, lambda session: list(session.scalars(sa.select(Request).order_by(Request.id))))


def settle(engine: Engine, to: State) -> None:
    """Let every request end so."""
    moves = [Move(row.id, to, "test") for row in requests_in(engine)]
    write(engine, lambda session: transition(session, moves, NOW))


def test_a_file_is_taken_and_the_batch_named(cli: Cli) -> None:
    said = cli.run("submit", csv_file(cli.folder, "a", "b"), "--name", "spring").stdout
    assert "(spring): 2 rows taken." in said
    assert [row.custom_id for row in requests_in(cli.engine)] == ["a", "b"]


def test_as_json_the_answer_is_one_object_with_the_batch(cli: Cli) -> None:
    path = csv_file(cli.folder, "a", "b")
    told = cli.json("submit", path)
    assert (told["rows"], told["taken"], told["already_taken"], told["bad"]) == (2, 2, 0, 0)
    assert (told["batch"]["name"], told["batch"]["state"], told["batch"]["total"]) == ("dealers.csv", "running", 2)
    again = cli.json("submit", path)
    assert (again["taken"], again["already_taken"], again["batch"]["state"]) == (0, 2, "finished")
    assert again["earlier_batch"] == told["batch"]["id"]


def test_the_same_file_again_says_that_there_is_nothing_new(cli: Cli) -> None:
    path = csv_file(cli.folder, "", "")
    cli.run("submit", path)
    said = cli.run("submit", path).stdout
    assert "Nothing new: all 2 rows were taken before" in said
    assert "--again" in said
    assert len(requests_in(cli.engine)) == 2
    cli.run("submit", path, "--again")
    assert len(requests_in(cli.engine)) == 4


def test_bad_rows_are_named_by_line_and_field_and_nothing_is_taken(cli: Cli) -> None:
    path = csv_file(cli.folder, "a")
    path.write_text(path.read_text() + csv_row("b").replace("transfer", "transfr"))
    result = cli.run("submit", path, status=2)
    assert "3\tspec.service.type\t" in result.stdout
    assert "1 of 2 rows are bad." in result.stderr
    assert "Nothing was taken." in result.stderr
    told = cli.json("submit", path, status=2)
    assert (told["bad"], told["rows"]) == (1, 2)
    assert (told["errors"][0]["line"], told["errors"][0]["field"]) == (3, "spec.service.type")
    assert requests_in(cli.engine) == []


def test_partial_takes_the_good_rows_and_ends_with_status_1(cli: Cli) -> None:
    path = csv_file(cli.folder, "a")
    path.write_text(path.read_text() + csv_row("b").replace("avanser", "nobody"))
    result = cli.run("submit", path, "--partial", status=1)
    assert "1 rows taken" in result.stdout
    assert "3\tupstream\tunknown upstream 'nobody'" in result.stdout


def test_a_dry_run_takes_nothing(cli: Cli) -> None:
    path = csv_file(cli.folder, "a", "b")
    assert "2 would be taken" in cli.run("submit", path, "--dry-run").stdout
    assert cli.json("submit", path, "--dry-run") == {"would_take": 2, "already_taken": 0}
    assert requests_in(cli.engine) == []
    path.write_text("upstream\nnobody\n")
    cli.run("submit", path, "--dry-run", status=2)


def test_standard_input_is_read_and_its_format_recognised(cli: Cli) -> None:
    cli.run("submit", "-", stdin=COLUMNS + csv_row("a"))
    cli.run("submit", "-", stdin=json.dumps(BODY | {"custom_id": "b"}) + "\n")
    cli.run("submit", "-", stdin=json.dumps({"name": "named inside", "requests": [BODY | {"custom_id": "c"}]}))
    assert [row.custom_id for row in requests_in(cli.engine)] == ["a", "b", "c"]


def test_a_document_names_its_batch(cli: Cli) -> None:
    path = cli.folder / "batch.json"
    path.write_text(json.dumps({"name": "named inside", "requests": [BODY]}))
    assert cli.json("submit", path)["batch"]["name"] == "named inside"


@pytest.mark.parametrize("words", [["submit", "nowhere.csv"], ["submit"], ["submit", "x.csv", "--colour"]])
def test_bad_usage_ends_with_status_2(cli: Cli, words: list[str]) -> None:
    cli.run(*words, status=2)


def test_a_requester_that_nobody_made_is_refused(cli: Cli) -> None:
    assert "no requester 'crm'" in cli.run("submit", csv_file(cli.folder, "a"), "--requester", "crm", status=2).stderr


def test_watching_ends_with_status_1_where_something_failed(cli: Cli) -> None:
    path = csv_file(cli.folder, "a", "b")
    cli.run("submit", path)
    settle(cli.engine, State.FAILED)
    batch = read(cli.engine, lambda session: session.scalar(sa.select(Batch.id)))
    assert "2 requests: 2 failed." in cli.run("watch", batch, status=1).stdout
    assert cli.json("watch", "dealers.csv", status=1)["counts"]["failed"] == 2
    assert cli.run("watch").stdout == "2 requests: 2 failed.\n"


def test_watching_ends_with_status_0_where_all_is_well(cli: Cli) -> None:
    path = csv_file(cli.folder, "a", "b")
    cli.run("submit", path)
    settle(cli.engine, State.COMPLETED)
    assert "2 requests: 2 completed." in cli.run("watch", "dealers.csv").stdout
    result = cli.run("submit", path, "--watch")
    assert "Nothing new" in result.stdout


def test_watching_does_not_wait_for_what_only_a_person_can_end(cli: Cli) -> None:
    cli.run("submit", csv_file(cli.folder, "a"))
    settle(cli.engine, State.HELD)
    assert "wait for a person" in cli.run("watch", "dealers.csv", status=1).stdout


def test_on_the_embedded_default_nothing_needs_to_be_set_up_and_the_end_says_what_is_next(embedded: Cli) -> None:
    said = embedded.run("submit", csv_file(embedded.folder, "a")).stdout
    assert "the work begins when `trunkline up` runs" in said
    assert len(requests_in(embedded.engine)) == 1


def test_no_control_codes_are_written_where_nobody_looks(cli: Cli) -> None:
    result = cli.run("submit", csv_file(cli.folder, "a\x1b[31m"), status=0)
    assert "\x1b" not in result.output
    assert "\x1b" not in cli.run("list").output


# One request


def test_one_request_is_taken_from_the_command_line_a_file_and_standard_input(cli: Cli) -> None:
    path = cli.folder / "one.json"
    path.write_text(json.dumps(BODY | {"custom_id": "b"}))
    assert cli.json("request", json.dumps(BODY | {"custom_id": "a"}))["state"] == "queued"
    cli.run("request", f"@{path}")
    assert "is queued" in cli.run("request", "-", stdin=json.dumps(BODY | {"custom_id": "c"})).stdout
    assert [row.custom_id for row in requests_in(cli.engine)] == ["a", "b", "c"]


def test_one_request_is_taken_once_under_its_key(cli: Cli) -> None:
    first = cli.json("request", json.dumps(BODY), "--idempotency-key", "k")
    assert cli.json("request", json.dumps(BODY), "--idempotency-key", "k")["id"] == first["id"]
    other = json.dumps(BODY | {"custom_id": "x"})
    assert "another body" in cli.run("request", other, "--idempotency-key", "k", status=2).stderr


@pytest.mark.parametrize(
    ("body", "hint"),
    [
        ('{"upstream": }', "line 1, column 14"),
        ("[]", "is a JSON object"),
        ("@nowhere.json", "nowhere.json"),
        ('{"upstream": "avanser", "colour": 1}', "/colour"),
        (r'{"upstream": "avanser", "custom_id": "\u0000"}', "/custom_id"),
    ],
)
def test_a_bad_request_is_named_and_not_taken(cli: Cli, body: str, hint: str) -> None:
    assert hint in cli.run("request", body, status=2).output
    assert requests_in(cli.engine) == []


# Killed in the middle


@pytest.mark.parametrize("custom_ids", [True, False])
def test_ten_thousand_rows_killed_in_the_middle_and_sent_again_are_ten_thousand_requests(
    tmp_path: Path, database_url: str, custom_ids: bool
) -> None:
    environment = os.environ | CREDENTIALS | {
        "TRUNKLINE_HOME": str(tmp_path / "home"),
        "TRUNKLINE_DATABASE_URL": database_url,
        "TRUNKLINE_SECRET_KEY": SECRET_KEY,
    }  # fmt: skip
    engine = make_engine(database_url, keyring=KEYRING)
    path, before = tmp_path / "dealers.csv", 0
    command = [sys.executable, "-m", "worker.cli", "submit", str(path), "--json"]
    for attempt in range(10):  # with another file where all rows of the one before were taken when the kill came
        names = (f"c-{attempt}-{number}" if custom_ids else "" for number in range(10_000))
        path.write_text(csv_file(tmp_path, *names).read_text().replace(",service,", f",service {attempt},"))
        first = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
        try:
            _wait_for_rows(engine, before)
        finally:
            first.send_signal(signal.SIGKILL)
            first.wait()
        if len(requests_in(engine)) < before + 10_000:
            break
        before += 10_000
    assert before < len(requests_in(engine)) < before + 10_000

    second = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
    told = json.loads(second.stdout)
    rows = requests_in(engine)[before:]
    engine.dispose()
    assert (told["resumed"], told["batch"]["total"], told["batch"]["state"]) == (True, 10_000, "running")
    assert sorted(row.position or 0 for row in rows) == list(range(1, 10_001))
    assert {str(row.batch_id) for row in rows} == {told["batch"]["id"]}


def _wait_for_rows(engine: Engine, before: int) -> None:
    give_up_at = time.monotonic() + DEADLINE
    while not _has_rows(engine, before):
        assert time.monotonic() < give_up_at
        time.sleep(0.002)


def _has_rows(engine: Engine, before: int) -> bool:
    """More than those."""
    try:
        return read(engine, lambda session: session.scalar(sa.select(sa.func.count(Request.id))) or 0) > before
    except OperationalError:
        return False
