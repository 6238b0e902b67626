"""One screen that tells how everything stands, and whether anybody is wanted."""

import json
from datetime import timedelta

import pytest
from click.shell_completion import BashComplete
from sqlalchemy.orm import Session

from models import heartbeat, upstream
from models.base import utc_now, write
from models.state import Reason, State
from models.transition import Move, transition
from tests.factory import NOW, SECRET_KEY, make_batch, make_endpoint, make_requester, make_requests
from tests.integration.cli import Cli, cli, embedded, environment
from tests.services import Server
from worker.cli import main
from worker.relay import HEARTBEAT

__all__ = ["cli", "embedded", "environment"]


@pytest.fixture
def working(cli: Cli, monkeypatch: pytest.MonkeyPatch, redis_server: Server) -> Cli:
    """With a broker that answers, and a worker that was heard of just now."""
    monkeypatch.setenv("TRUNKLINE_BROKER_URL", redis_server.url)
    write(cli.engine, lambda session: heartbeat.beat(session, HEARTBEAT, utc_now()))
    return cli


def hold(cli: Cli) -> None:
    (held,) = make_requests(cli.engine, due_at=utc_now() + timedelta(hours=1))
    moves = [Move(held, State.HELD, "worker", Reason.CALLBACK_MISSING, "No callback.")]
    write(cli.engine, lambda session: transition(session, moves, NOW))


def test_where_all_is_well_it_says_so_and_nobody_is_wanted(working: Cli) -> None:
    make_requests(working.engine, 2, due_at=utc_now() + timedelta(hours=1))
    said = working.run("status").stdout
    assert "workers, relay and broker live" in said
    assert "What wants a person\nNothing." in said
    assert "avanser\t2\t0\t0\t0\t0\t0\t0" in said


def test_what_wants_a_person_comes_first_with_the_command_that_shows_it(working: Cli) -> None:
    hold(working)

    def stop(session: Session) -> None:
        upstream.pause(session, "avanser", "by_person", "the price list is wrong", "cli:ann", NOW)

    write(working.engine, stop)
    said = working.run("status", status=1).stdout
    look = "trunkline list --state held --upstream avanser --reason callback_missing"
    assert said.index(look) < said.index("\nUpstreams\n")
    assert "avanser\tpaused\t" in said
    assert "avanser\tcallback_missing\t1" in said
    told = json.loads(working.run("status", "--json", status=1).stdout)
    assert look in [want["look"] for want in told["wants"]]
    assert told["counts"]["held"] == 1
    for want in told["wants"]:
        working.run(*want["look"].split()[1:])


def test_a_broker_that_is_away_is_said_and_is_the_exit_status(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRUNKLINE_BROKER_URL", "redis://127.0.0.1:1/0")
    write(cli.engine, lambda session: heartbeat.beat(session, HEARTBEAT, utc_now()))
    assert "Redis at 127.0.0.1 does not answer" in cli.run("status", status=3).stdout


def test_before_anything_runs_it_says_what_to_start(embedded: Cli) -> None:
    told = embedded.json("status", status=1)
    assert told["working"] is False
    assert "trunkline up" in told["silence"]


def offered(words: list[str], typed: str) -> list[str]:
    return [item.value for item in BashComplete(main, {}, "trunkline", "_C").get_completions(words, typed)]


def test_tab_offers_names_of_ours(cli: Cli) -> None:
    make_requests(cli.engine, 1, batch_id=make_batch(cli.engine, 1))
    make_endpoint(cli.engine, make_requester(cli.engine), "https://crm.example/")
    assert offered(["batch", "pause"], "de") == ["dealers"]
    assert offered(["cancel", "--batch"], "") == ["dealers"]
    assert offered(["batch", "pause"], "x") == []
    assert offered(["list", "--requester"], "d") == ["default"]
    assert offered(["endpoints", "test"], "") == ["crm"]


def test_tab_is_quiet_where_there_is_no_database(embedded: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    assert offered(["batch", "pause"], "") == []
    assert not list(embedded.folder.rglob("*.db")), "and makes none"
    monkeypatch.setenv("TRUNKLINE_DATABASE_URL", "postgresql+psycopg://nobody@127.0.0.1:1/none")
    monkeypatch.setenv("TRUNKLINE_SECRET_KEY", SECRET_KEY)
    assert offered(["batch", "pause"], "") == []
