"""Steering many requests at once on the command line: look first, confirm, and see what came of each."""

import os
import pty
import subprocess
import sys
from datetime import timedelta
from time import monotonic, sleep
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from models.base import read, rfc3339, utc_now, write
from models.delivery import Delivery, DeliveryState
from models.listing import Filters
from models.request import Request
from models.state import Reason, State
from models.sweep import Sweep
from models.transition import Move, transition
from tests.factory import NOW, fetch, make_batch, make_endpoint, make_requester, make_requests
from tests.integration.cli import Cli, cli, environment
from tests.working import history
from worker.previewing import preview
from worker.steering import Act
from worker.sweeping import do_portion, order

__all__ = ["cli", "environment"]

ALL = Filters(state=State.HELD)

WHY = ("--note", "the price list was wrong")


def make_held(cli: Cli, count: int = 1, upstream: str = "avanser") -> list[UUID]:
    ids = make_requests(cli.engine, count, upstream=upstream)
    moves = [Move(id_, State.HELD, "worker", Reason.OUTCOME_UNKNOWN) for id_ in ids]
    write(cli.engine, lambda session: transition(session, moves, NOW))
    let_an_hour_pass(cli)
    return ids


def let_an_hour_pass(cli: Cli) -> None:
    """The command line's clock is the real one: what the rows tell happened an hour ago."""
    hour_ago = utc_now() - timedelta(hours=1)
    change = sa.update(Request).values(created_at=hour_ago, updated_at=hour_ago)
    write(cli.engine, lambda session: session.execute(change))


def states(cli: Cli) -> list[State]:
    return read(cli.engine, lambda session: [row.state for row in session.query(Request)])


def test_a_look_shows_what_would_be_done_and_what_it_may_cost_and_does_nothing(cli: Cli) -> None:
    make_held(cli, 3)
    made = cli.run("resolve", "--state", "held", "--retry", "--dry-run")
    assert "3 match; 3 of them would be acted on: avanser 3." in made.stdout
    assert "Spends money. It may buy up to 3 numbers: avanser 3." in made.stdout
    assert "nothing was done" in made.stderr
    seen = cli.json("resolve", "--state", "held", "--retry", "--dry-run")
    assert (seen["preview"]["risk"], seen["preview"]["may_buy"], seen["sweep"]) == (
        "spends_money",
        {"avanser": 3},
        None,
    )
    assert states(cli) == [State.HELD] * 3


def test_what_costs_is_not_done_in_a_script_without_its_yes_nor_anything_without_a_note(cli: Cli) -> None:
    make_held(cli)
    assert "say --yes" in cli.run("cancel", "--state", "held", *WHY, status=2).stderr
    assert "--note" in cli.run("cancel", "--state", "held", "--yes", status=2).stderr
    assert "--note" in cli.run("cancel", "--state", "held", "--yes", "--note", " ", status=2).stderr
    assert states(cli) == [State.HELD]


def test_all_that_match_are_cancelled_and_others_are_left(cli: Cli) -> None:
    ids = make_held(cli, 3)
    (other,) = make_held(cli, upstream="telmetrics")
    ended = cli.run("cancel", "--upstream", "avanser", "--state", "held", *WHY, "--yes")
    assert "finished. 3 done." in ended.stdout
    assert {fetch(cli.engine, one).state for one in ids} == {State.CANCELLED}
    assert fetch(cli.engine, other).state is State.HELD
    assert WHY[1] in cli.run("show", ids[0]).stdout


def test_what_is_safe_needs_no_yes(cli: Cli) -> None:
    make_held(cli, 2)
    told = cli.json("retry", "--state", "held", *WHY)
    assert (told["sweep"]["state"], told["sweep"]["counts"]["done"], told["refused"]) == ("finished", 2, [])
    assert states(cli) == [State.SUBMITTING] * 2


def test_each_that_is_refused_is_listed_and_the_status_is_1(cli: Cli) -> None:
    make_held(cli)
    (ordered,) = make_requests(cli.engine)
    write(cli.engine, lambda session: transition(session, [Move(ordered, State.ACCEPTED, "worker")], NOW))
    let_an_hour_pass(cli)
    ended = cli.run("cancel", "--upstream", "avanser", *WHY, "--yes", status=1)
    assert "1 done, 1 refused" in ended.stdout
    assert f"{ordered}\trefused\tit is accepted: the order is on its way or out" in ended.stdout


def test_where_nothing_matches_it_says_so_and_is_done(cli: Cli) -> None:
    make_requests(cli.engine)
    assert "No request matches." in cli.run("cancel", "--state", "held").stdout
    assert cli.json("cancel", "--state", "held")["preview"]["matching"] == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["cancel"], "say which"),
        (["cancel", "a", "--state", "held"], "not both"),
        (["cancel", "--older-than", "soon"], "90s, 30m, 2h, 7d"),
        (["cancel", "--upstream", "foo"], "'foo' is not one of"),
        (["list", "--upstream", "foo"], "'foo' is not one of"),
        (["retry", "--rate", "0", "--state", "held"], "--rate"),
        (["resolve", "--state", "held", "--completed", "--number", "0280740801"], "--number"),
        (["cancel", "--batch", "nobody"], "no batch has this id or name"),
        (["cancel", "--requester", "nobody"], "there is no requester"),
    ],
)
def test_what_is_not_clear_is_refused(cli: Cli, words: list[str], said: str) -> None:
    assert said in cli.run(*words, status=2).stderr


def test_older_than_means_those_made_longer_ago(cli: Cli) -> None:
    make_held(cli)
    assert len(cli.json("list", "--older-than", "59m")["data"]) == 1
    assert cli.json("list", "--older-than", "61m")["data"] == []


def test_a_look_at_one_request_says_what_it_would_cost_and_does_nothing(cli: Cli) -> None:
    (held,) = make_held(cli)
    said = cli.run("resolve", held, "--retry", "--dry-run").stdout
    assert "Spends money. Orders a number again: twice, if the first order did land." in said
    assert cli.json("cancel", held, "--dry-run")["risk"] == "irreversible"
    assert states(cli) == [State.HELD]


def test_why_one_was_cancelled_or_looked_at_stands_in_its_history(cli: Cli) -> None:
    cancelled, waiting = make_requests(cli.engine, 2)
    cli.run("cancel", cancelled, "--note", "asked for twice")
    cli.run("retry", waiting, "--note", "avanser is back")
    assert "Why: asked for twice" in cli.run("show", cancelled).stdout
    assert "Why: avanser is back" in cli.run("show", waiting).stdout


def test_a_sweep_whose_command_died_is_listed_stopped_and_ended(cli: Cli) -> None:
    make_held(cli, 2)
    seen = read(cli.engine, lambda session: preview(session, None, ALL, Act.CANCEL, utc_now()))
    left = write(cli.engine, lambda session: order(session, seen, "why", "cli:ann", NOW)).id
    (shown,) = cli.json("sweep", "list")["data"]
    assert (shown["id"], shown["counts"]["waiting"]) == (str(left), 2)
    assert cli.json("sweep", "pause", left)["state"] == "paused"
    assert cli.json("sweep", "resume", left)["state"] == "running"
    assert "cancelled. 2 waiting" in cli.run("sweep", "cancel", left).stdout
    assert "it has ended" in cli.run("sweep", "resume", left, status=1).stderr
    told = cli.json("sweep", "show", left)
    assert [one["outcome"] for one in told["outcomes"]] == ["waiting"] * 2
    assert cli.json("sweep", "show", left, "--outcome", "refused")["outcomes"] == []
    assert "trunkline sweep list" in cli.run("sweep", "show", UUID(int=1), status=2).stderr


@pytest.mark.parametrize(("typed", "status", "state"), [("2", 0, State.CANCELLED), ("y", 2, State.HELD)])
def test_on_a_terminal_what_cannot_be_undone_is_confirmed_by_typing_the_count(
    cli: Cli, typed: str, status: int, state: State
) -> None:
    make_held(cli, 2)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "worker.cli", "cancel", "--state", "held", *WHY]
    with subprocess.Popen(command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        os.write(ours, f"{typed}\n".encode())
        out, err = running.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert running.returncode == status, out + err
    assert "Irreversible." in out
    assert "Type 2 to go on" in err
    assert states(cli) == [state] * 2
    assert len(sweeps(cli)) == (1 if status == 0 else 0)


def test_what_a_killed_command_left_is_gone_on_with_and_nothing_is_done_twice(cli: Cli) -> None:
    ids = make_held(cli, 4)
    command = [
        sys.executable,
        "-m",
        "worker.cli",
        "resolve",
        "--state",
        "held",
        "--retry",
        *WHY,
        "--rate",
        "1",
        "--yes",
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as running:
        deadline = monotonic() + 60
        while not (begun := sweeps(cli)) or not begun[0].done:
            assert monotonic() < deadline, "the command has not begun"
            sleep(0.05)
        running.kill()
    (left,) = sweeps(cli)
    assert 1 <= left.done < 4
    for second in range(2, 8):
        do_portion(cli.engine, utc_now() + timedelta(seconds=second))
    (ended,) = sweeps(cli)
    assert (str(ended.state), ended.done) == ("finished", 4)
    assert [len(history(cli.engine, one)) for one in ids] == [3] * 4, "made, held, and ordered again once"
    assert states(cli) == [State.QUEUED] * 4


def sweeps(cli: Cli) -> list[Sweep]:
    return read(cli.engine, lambda session: session.query(Sweep).all())


def test_a_look_at_a_batch_says_how_many_would_end_and_ends_none(cli: Cli) -> None:
    make_requests(cli.engine, 2, batch_id=make_batch(cli.engine, 2))
    assert "2 of 2 requests of dealers are not ordered yet" in cli.run("batch", "cancel", "dealers", "--dry-run").stdout
    assert cli.json("batch", "cancel", "dealers", "--dry-run")["would_cancel"] == 2
    assert cli.json("batch", "list")["data"][0]["state"] == "running"


def test_a_look_at_a_replay_says_what_would_be_sent_and_sends_nothing(cli: Cli) -> None:
    make_endpoint(cli.engine, make_requester(cli.engine), "https://crm.example/")
    (id_,) = make_requests(cli.engine)
    cli.run("cancel", id_)

    def give_up(session: Session) -> None:
        session.execute(sa.update(Delivery).values(state=DeliveryState.FAILED, due_at=None))

    write(cli.engine, give_up)
    assert "Would be sent again: request.cancelled." in cli.run("replay", id_, "--dry-run").stdout
    ago = rfc3339(utc_now() - timedelta(minutes=10))
    assert cli.json("replay", "--endpoint", "crm", "--since", ago, "--dry-run") == {"would_replay": 1}
    assert read(cli.engine, lambda session: session.query(Delivery).one().state) is DeliveryState.FAILED
