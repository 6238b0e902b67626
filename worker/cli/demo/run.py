"""One run of the demo: start everything, submit the file, watch, kill a worker, read the books."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from models import counter, endpoint, requester, user
from models.base import make_engine, read, write
from models.clock import make_clock, time_of
from models.endpoint import EventType
from models.request import Request
from models.requester import DEFAULT_REQUESTER, Scope
from models.state import OPEN, State
from models.user import Role
from worker import bulk, hints
from worker.cli.demo.books import Books, Sandbox
from worker.cli.demo.dealers import SCRIPT, write_csv
from worker.cli.stack import Address, Stack
from worker.intake import Intake
from worker.passwords import hashed, new_password
from worker.results import as_csv
from worker.secret_files import SUFFIX

LONGEST = timedelta(minutes=10)

PATIENCE = {
    # Everything that waits in production waits here too, but not so long that a stranger leaves.
    "TRUNKLINE_AVANSER_TIMEOUT": "3",
    "TRUNKLINE_AVANSER_SETTLING": "2",
    "TRUNKLINE_AVANSER_CALLBACK_DEADLINE": "6",
    "TRUNKLINE_AVANSER_MAX_IN_FLIGHT": "60",
    "TRUNKLINE_AVANSER_RATE": "60",
    "TRUNKLINE_BACKOFF_BASE": "1",
    "TRUNKLINE_DELIVERY_BACKOFF": "1,2,4,8,16",
}

USER = "demo"
"""Who may sign in to the console while the demo runs."""

RESULTS = "crm"
"""The requester's endpoint, and its name at the sandbox."""

SETTLED = timedelta(minutes=1)
"""After the last request has ended, how long its result may take to arrive: what the killed worker was just delivering
is delivered by another when its claim has ended, half a minute later."""


@dataclass(frozen=True, slots=True)
class Course:
    """How far it is: what the progress shows."""

    counts: Mapping[State, int]
    results: int
    elapsed: timedelta

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def ended(self) -> int:
        return self.total - sum(self.counts[state] for state in OPEN)

    @property
    def has_arrived(self) -> bool:
        return self.ended == self.total and self.results >= self.total


class Demo:
    """One run: `start`, `submit`, `watch`, `books`."""

    def __init__(self, home: Path, port: int, workers: int, say: Callable[[str], None]) -> None:
        os.environ.update({"TRUNKLINE_HOME": str(home)} | PATIENCE)
        for name in ("TRUNKLINE_DATABASE_URL", "TRUNKLINE_BROKER_URL", "TRUNKLINE_REDIS_URL", "TRUNKLINE_PUBLIC_URL"):
            os.environ.pop(name + SUFFIX, None)
            os.environ.pop(name, None)  # the demo is of the embedded default, and touches nobody's database
        self.home = home
        self.say = say
        self.stack = Stack(Address("127.0.0.1", port), workers, sandbox=True, say=say)
        assert self.stack.sandbox is not None
        self.sandbox = Sandbox(self.stack.sandbox.url)
        self.engine: Engine = make_engine(self.stack.settings.database_url, keyring=self.stack.settings.keyring)
        self.batch_id = UUID(int=0)
        self.api_key = ""
        self.password = new_password()
        self.submitted_at = 0.0

    def start(self) -> None:
        self.stack.start()
        self.sandbox.follow(SCRIPT)
        secret = write(self.engine, self._set_up_requester)
        self.sandbox.expect_results(RESULTS, secret)

    def _set_up_requester(self, session: Session) -> str:
        now = time_of(session)
        owner = requester.find_or_make(session, DEFAULT_REQUESTER, now)
        user.create(session, USER, Role.ADMIN, hashed(self.password, USER), now)
        _, self.api_key = requester.create_key(session, owner, "demo", list(Scope), now)
        url = f"{self.stack.sandbox.url}/requester/{RESULTS}" if self.stack.sandbox else ""
        return endpoint.create(session, owner, RESULTS, url, frozenset(EventType), now).secret or ""

    def submit(self, count: int) -> Path:
        """Write the file and take it, as `trunkline submit` does."""
        path = self.home / "dealers.csv"
        write_csv(path, count)
        owner = read(self.engine, lambda session: requester.find(session, DEFAULT_REQUESTER))
        assert owner is not None
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        intake = Intake(self.engine, self.stack.settings)
        self.submitted_at = time.monotonic()
        with path.open("rb") as file:
            rows = bulk.read(file, "csv")
            taken = intake.take_batch(
                owner.id, rows, name=path.name, source_digest=digest, now=make_clock(self.engine).now(), actor="demo"
            )
        self.batch_id = taken.batch_id
        hints.upstream("avanser", hints.MOST_AT_ONCE)
        return path

    def watch(self, kill_at: float) -> Iterator[Course]:
        """Look a few times a second until all results have arrived; kill a worker when `kill_at` of them have ended."""
        killed, ended_at = False, 0.0
        while True:
            self.stack.supervisor.look_after()
            course = self._course()
            yield course
            now = time.monotonic()
            if not killed and course.ended >= kill_at * course.total:
                self._kill_a_worker()
                killed = True
            if course.ended == course.total and not ended_at:
                ended_at = now
            out_of_time = now - self.submitted_at > LONGEST.total_seconds()
            results_late = ended_at and now - ended_at > SETTLED.total_seconds()
            if course.has_arrived or out_of_time or results_late or self.stack.supervisor.is_stopping:
                return
            time.sleep(0.2)

    def _course(self) -> Course:
        counts = read(self.engine, lambda session: counter.of_batch(session, self.batch_id))
        told = self.sandbox.counts(RESULTS)["by_type"]
        results = sum(count for kind, count in told.items() if kind.startswith("request."))
        return Course(counts, results, timedelta(seconds=time.monotonic() - self.submitted_at))

    def _kill_a_worker(self) -> None:
        name = next(name for name in self.stack.supervisor.names() if name.startswith("worker"))
        (pid,) = self.stack.supervisor.pids(name)
        self.say(f"SIGKILL to {name} (pid {pid}) and its children, in the middle of it")
        os.killpg(pid, signal.SIGKILL)

    def books(self) -> Books:
        summary, told = self.sandbox.summary(), self.sandbox.counts(RESULTS)
        results = {row["data.id"]: row["state"] for row in self.sandbox.results(RESULTS) if row["state"] in list(State)}
        return Books(
            counts=read(self.engine, lambda session: counter.of_batch(session, self.batch_id)),
            numbers_bought=summary["numbers_taken"],
            bought_twice=summary["bought_twice"],
            results={id_: state for id_, state in results.items() if id_ != str(self.batch_id)},
            bad_signatures=told["bad_signature"],
            completed=read(self.engine, self._completed),
            ledger={
                order["custom_id"]: "+" + order["number"]
                for order in self.sandbox.orders()
                if order["kind"] == "provision" and order["status"] != "failed"
            },
        )

    def export(self, path: Path) -> Path:
        """Write the results, a row a dealer, as `trunkline export` does."""
        with path.open("wb") as file:
            file.writelines(as_csv(self.engine, self.batch_id))
        return path

    def _completed(self, session: Session) -> dict[str, str]:
        rows = session.execute(
            sa.select(Request.custom_id, Request.number).where(
                Request.batch_id == self.batch_id, Request.state == State.COMPLETED
            )
        )
        return {str(custom_id): str(number) for custom_id, number in rows}


@contextmanager
def demo_home(*, keep: bool) -> Iterator[Path]:
    """A home that nothing else uses; gone afterwards unless it is to be kept."""
    home = Path(tempfile.mkdtemp(prefix="trunkline-demo-"))
    try:
        yield home
    finally:
        if not keep:
            shutil.rmtree(home, ignore_errors=True)
