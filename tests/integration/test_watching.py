"""Following requests to their end."""

from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from models.base import new_id, write
from models.batch import Batch, BatchState
from models.state import State
from models.transition import Move, transition
from tests.factory import NOW, make_requester, make_requests
from worker.cli.progress import Snapshot
from worker.cli.watching import watch_all, watch_batch


@dataclass
class Board:
    """Does something each time progress is shown: what others do while somebody watches."""

    meanwhile: Callable[[int], None]
    shown: list[Snapshot] = field(default_factory=list)

    def show(self, title: str, snapshot: Snapshot) -> None:
        self.shown.append(snapshot)
        self.meanwhile(len(self.shown))


def batch_of(engine: Engine, count: int, *, sealed: bool = True) -> tuple[UUID, list[UUID]]:
    batch_id = new_id()
    batch = Batch(
        id=batch_id,
        requester_id=make_requester(engine).id,
        name="x",
        state=BatchState.RUNNING,
        total=count,
        created_at=NOW,
        sealed_at=NOW if sealed else None,
    )
    write(engine, lambda session: session.add(batch))
    return batch_id, make_requests(engine, count, batch_id=batch_id)


def move(engine: Engine, request_id: UUID, to: State) -> None:
    write(engine, lambda session: transition(session, [Move(request_id, to, "test")], NOW))


@pytest.mark.parametrize("state", [State.QUEUED, State.SUBMITTING, State.ACCEPTED])
def test_a_batch_is_followed_until_its_last_request_has_ended(engine: Engine, state: State) -> None:
    batch_id, (first, last) = batch_of(engine, 2)
    move(engine, first, State.COMPLETED)
    move(engine, last, state)
    board = Board(lambda times: move(engine, last, State.FAILED) if times == 2 else None)
    counts = watch_batch(engine, batch_id, board)
    assert (counts[State.COMPLETED], counts[State.FAILED]) == (1, 1)
    assert [(one.done, one.total) for one in board.shown] == [(1, 2), (1, 2), (2, 2)]


def test_a_batch_whose_rows_are_still_being_taken_is_not_at_its_end(engine: Engine) -> None:
    batch_id, (only,) = batch_of(engine, 1, sealed=False)
    move(engine, only, State.COMPLETED)

    def seal(times: int) -> None:
        if times == 2:
            write(engine, lambda session: session.execute(sa.update(Batch).values(sealed_at=NOW)).close())

    board = Board(seal)
    watch_batch(engine, batch_id, board)
    assert len(board.shown) == 3


def test_everything_is_followed_to_its_end(engine: Engine) -> None:
    (only,) = make_requests(engine)
    board = Board(lambda times: move(engine, only, State.CANCELLED) if times == 2 else None)
    assert watch_all(engine, board)[State.CANCELLED] == 1
    assert len(board.shown) == 3
