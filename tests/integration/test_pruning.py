"""Old history goes, in portions and while everything goes on; what anybody may still need stays."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from models import pruning
from models.act import Act
from models.base import new_id, utc_now, write
from models.delivery import Delivery, DeliveryState
from models.delivery_attempt import DeliveryAttempt
from models.event import Event
from models.inbox import Purpose, Received, keep
from models.request import Request
from models.state import State
from models.transition import Move, transition
from tests.factory import fetch, make_endpoint, make_requester, make_requests
from tests.integration.cli import Cli, cli, environment
from tests.working import every, history

__all__ = ["cli", "environment"]

YEAR = timedelta(days=365)

NOW = utc_now()


def aged(id_: UUID, by: timedelta) -> UUID:
    """The id that it would have, had it been made so much earlier."""
    return UUID(int=id_.int - ((by // timedelta(milliseconds=1)) << 80))


def grow_old(engine: Engine, by: timedelta = 2 * YEAR) -> None:
    """All that is there was made so much earlier."""
    columns: dict[type[Any], tuple[str, ...]] = {
        Event: ("at",), Delivery: ("created_at",), DeliveryAttempt: ("at",), Received: ("received_at",),
        Request: ("created_at", "finished_at"),
    }  # fmt: skip
    for table, moments in columns.items():
        for row in every(engine, table):
            changes = {name: getattr(row, name) - by for name in moments if getattr(row, name) is not None}
            if table is not Request:
                changes["id"] = aged(row.id, by)
            if table is DeliveryAttempt:
                changes["delivery_id"] = aged(row.delivery_id, by)
            of_it = sa.update(table).where(table.id == row.id).values(**changes)
            write(engine, lambda session, of_it=of_it: session.execute(of_it))  # type: ignore[misc]


def ended(engine: Engine, count: int = 1) -> list[UUID]:
    """Requests that have completed; a result of each is settled, after one try, and its callback was applied."""
    make_endpoint(engine, make_requester(engine), "https://crm.example/", name=str(new_id()))
    ids = make_requests(engine, count)
    now = utc_now()
    for id_ in ids:
        move = Move(id_, State.COMPLETED, "test", changes={"number": "+61280740801"})
        write(engine, lambda session, move=move: transition(session, [move], now))  # type: ignore[misc]
        came(engine, id_)
    settled = {"state": DeliveryState.DELIVERED, "due_at": None}
    for row in every(engine, Delivery):
        attempt = {"id": new_id(), "delivery_id": row.id, "at": now, "latency_ms": 5, "status": 204}
        write(engine, lambda session, attempt=attempt: session.execute(sa.insert(DeliveryAttempt).values(attempt)))  # type: ignore[misc]
    write(engine, lambda session: session.execute(sa.update(Delivery).values(settled)))
    return ids


def came(engine: Engine, id_: UUID, **fields: Any) -> None:
    now = utc_now()
    values: dict[str, Any] = {"id": new_id(), "upstream": "avanser", "purpose": Purpose.CALLBACK, "request_id": id_}
    values |= {"digest": new_id().hex * 2, "method": "POST", "query": "", "content_type": None, "body": b""}
    values |= {"received_at": now, "due_at": None, "fence": 0, "attempts": 1}
    write(engine, lambda session: keep(session.connection(), [values | {"applied_at": None} | fields]))


def counts(engine: Engine) -> dict[str, int]:
    return {table.__tablename__: len(every(engine, table)) for table in (Event, Delivery, DeliveryAttempt, Received)}


@pytest.fixture
def engine(cli: Cli) -> Engine:
    return cli.engine


def test_history_of_what_ended_long_ago_goes_and_the_request_stays(engine: Engine, cli: Cli) -> None:
    (id_,) = ended(engine)
    grow_old(engine)
    assert cli.json("prune", "--older-than", "365d", "--dry-run")["history"] == 2
    assert counts(engine) == {"events": 2, "deliveries": 1, "delivery_attempts": 1, "inbox": 1}
    told = cli.json("prune", "--older-than", "365d", "--yes")
    assert (told["history"], told["results"], told["received"]) == (2, 1, 1)
    assert set(counts(engine).values()) == {0}
    row = fetch(engine, id_)
    assert (row.state, row.number) == (State.COMPLETED, "+61280740801")
    assert "It is done" in cli.run("explain", str(id_)).stdout
    assert [(one.act, one.data["before"]) for one in every(engine, Act)] == [("history.prune", told["before"])]


def test_what_is_young_or_open_or_unsettled_or_not_understood_stays(engine: Engine, cli: Cli) -> None:
    old = ended(engine)
    (open_,) = make_requests(engine)
    came(engine, open_, problem="nobody knows what it means")
    came(engine, open_, due_at=utc_now())
    waiting = {"state": DeliveryState.PENDING, "due_at": utc_now()}
    write(engine, lambda session: session.execute(sa.update(Delivery).values(waiting)))
    grow_old(engine)
    young = ended(engine)
    write(
        engine, lambda session: session.execute(sa.update(Delivery).where(Delivery.request_id.in_(old)).values(waiting))
    )
    before = counts(engine)
    told = cli.json("prune", "--older-than", "365d", "--yes")
    assert (told["history"], told["results"], told["received"]) == (2, 0, 1)
    assert counts(engine) == before | {"events": before["events"] - 2, "inbox": before["inbox"] - 1}
    assert history(engine, open_)
    assert history(engine, young[0])


def test_a_request_that_waited_for_years_keeps_what_happened_until_it_has_been_over_for_so_long(
    engine: Engine, cli: Cli
) -> None:
    (id_,) = ended(engine)
    grow_old(engine)
    recently = sa.update(Request).where(Request.id == id_).values(finished_at=utc_now() - timedelta(days=3))
    write(engine, lambda session: session.execute(recently))
    assert cli.json("prune", "--older-than", "365d", "--yes")["history"] == 0


def test_it_is_done_in_portions_and_one_that_was_killed_goes_on(
    monkeypatch: pytest.MonkeyPatch, engine: Engine, cli: Cli
) -> None:
    monkeypatch.setattr(pruning, "PORTION", 3)
    ended(engine, 5)
    grow_old(engine)
    before = utc_now() - YEAR
    first = write(engine, lambda session: pruning.prune(session, "history", before))
    assert (first.seen, first.gone) == (3, 3)
    assert first.next is not None
    assert cli.json("prune", "--older-than", "365d", "--yes")["history"] == 7
    assert counts(engine)["events"] == 0


def test_requests_move_and_callbacks_come_meanwhile(monkeypatch: pytest.MonkeyPatch, engine: Engine, cli: Cli) -> None:
    monkeypatch.setattr(pruning, "PORTION", 2)
    ended(engine, 10)
    grow_old(engine)
    ids, stopped = make_requests(engine, 20), threading.Event()

    def work() -> None:
        for id_ in ids:
            came(engine, id_)
            move = Move(id_, State.CANCELLED, "test")
            write(engine, lambda session, move=move: transition(session, [move], utc_now()))  # type: ignore[misc]
        stopped.set()

    thread = threading.Thread(target=work)
    thread.start()
    assert cli.json("prune", "--older-than", "365d", "--yes")["history"] == 20
    thread.join()
    assert stopped.is_set()
    assert all(len(history(engine, id_)) == 2 for id_ in ids)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "TRUNKLINE_HISTORY_KEPT_FOR"),
        (["--older-than", "1y"], "not a time span"),
        (["--older-than", "9d"], "--yes"),
        (["--older-than", "9d", "--rate", "1"], "--rate"),
    ],
)
def test_what_is_missing_or_wrong_is_said_and_nothing_goes(
    engine: Engine, cli: Cli, words: list[str], said: str
) -> None:
    ended(engine)
    grow_old(engine)
    before = counts(engine)
    assert said in cli.run("prune", *words, status=2).stderr
    assert counts(engine) == before


def test_the_setting_says_how_old_where_the_command_does_not(
    monkeypatch: pytest.MonkeyPatch, engine: Engine, cli: Cli
) -> None:
    monkeypatch.setenv("TRUNKLINE_HISTORY_KEPT_FOR", "365")
    ended(engine)
    grow_old(engine)
    assert cli.json("prune", "--yes")["history"] == 2
