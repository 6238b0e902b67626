"""What comes to the receiver: requests, callbacks, people, and intruders."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy.orm import Session

from models import intake, requester
from models.base import write
from models.intake import NewRequest
from models.request import Kind
from tests.simulation.database import Database
from tests.simulation.product import application
from tests.simulation.scenario import Intruder, Person
from tests.simulation.vendor import NAME
from tests.simulation.workers import RESTARTS_AFTER
from tests.simulation.world import START, Crashed, Process, World
from webhook_receiver import context
from webhook_receiver.context import Receiver
from webhook_receiver.keeping import Keeper
from worker import hints, steering
from worker.signing import Uris
from worker.steering import NotNow, Outcome

ASKS_AGAIN_AFTER = timedelta(seconds=5)
DEADLINE = timedelta(days=1)


class _Alone(Keeper):
    """Here one thread runs at a time, so that nobody may wait for another's lock."""

    def keep(self, row: Mapping[str, Any]) -> bool:
        return Keeper(self._engine).keep(row)


class Outside:
    """All who speak to the receiver, which dies and comes back."""

    def __init__(self, world: World, database: Database, uris: Uris) -> None:
        self.world, self.database, self.uris = world, database, uris
        self.accepted: list[UUID] = []  # the requester has its 202
        self.ordered_by_hand: Counter[UUID] = Counter()  # times that a person ordered it again, knowing the risk
        self.settled_by_hand: set[UUID] = set()
        self.contradicted: set[UUID] = set()  # the vendor has said the opposite of how it ended
        self._owner = write(database.engine, lambda session: requester.find_or_make(session, "default", START)).id
        self.receiver = self._receiver()

    def _receiver(self) -> Process:
        process = Process(self.world, "receiver")
        made: Receiver = application().extensions["trunkline"]
        engine = self.database.engine
        context.attach(application(), replace(made, engine=engine, keeper=_Alone(engine), clock=process.clock))
        process.on_death = partial(self.world.after, RESTARTS_AFTER, self._restart_receiver)
        return process

    def _restart_receiver(self) -> None:
        self.receiver = self._receiver()

    def submit(self, key: str) -> None:
        """Ask for a number, under this key, again and again until it is answered."""

        def work() -> None:
            now = self.receiver.clock.now()
            new = NewRequest(
                NAME, Kind.PROVISION, {}, "0" * 64, now + DEADLINE, now, key, notify_url="https://requester.test/"
            )
            (taken,) = write(self.database.engine, lambda session: intake.take(session, self._owner, [new], now))
            self.world.name(taken.id)
            if taken.is_new:
                hints.upstream(NAME)
            self.receiver.point(f"answers 202: {self.world.name(taken.id)}")
            self.accepted.append(taken.id)

        self._at_receiver(work, lambda is_done: None if is_done else self._submit_again(key))

    def _submit_again(self, key: str) -> None:
        self.world.after(ASKS_AGAIN_AFTER, partial(self.submit, key))

    def _at_receiver(self, work: Callable[[], None], told: Callable[[bool], None]) -> None:
        """Have the receiver do this, and say whether it lived to answer."""

        def whole() -> None:
            try:
                work()
            except Crashed:
                told(False)
                raise
            told(True)

        if self.receiver.is_alive:
            self.receiver.run(whole)
        else:
            told(False)

    def receive(self, uri: str, body: bytes, told: Callable[[bool], None], expected: int = 200) -> None:
        """An upstream's callback comes to this URI."""

        def work() -> None:
            answer = application().test_client().post(urlsplit(uri).path, data=body, content_type="application/json")
            if answer.status_code != expected:
                self.world.blame(f"a callback was answered {answer.status_code}, not {expected}")
            self.receiver.point(f"answers {answer.status_code}")

        self._at_receiver(work, told)

    def intrude(self, intruder: Intruder) -> None:
        """Something comes that no upstream of ours has sent in this form."""
        if not self.accepted:
            return
        id_ = self.world.random.choice(self.accepted)
        uri, body = self.uris.callback(NAME, id_), b'{"status": "completed", "number": "+61299999999"}'
        match intruder:
            case Intruder.FORGED:
                uri = uri[:-4] + ("AAAA" if not uri.endswith("AAAA") else "BBBB")
            case Intruder.OTHER_PURPOSE:
                uri = self.uris.call(NAME, id_).replace("/calls/", "/callbacks/")
            case Intruder.UNREADABLE:
                body = b"\xff\x00"
            case Intruder.CONTRADICTS:
                if not self.database.rows("SELECT 1 FROM requests WHERE id = ? AND state = 'completed'", id_.hex):
                    return
                body = b'{"status": "failed"}'
        self.world.say("intruder", f"{intruder} for {self.world.name(id_)}")
        is_known = intruder in (Intruder.UNREADABLE, Intruder.CONTRADICTS)

        def told(is_kept: bool) -> None:
            if is_kept and intruder is Intruder.CONTRADICTS:
                self.contradicted.add(id_)

        self.receive(uri, body, told, 200 if is_known else 404)

    def act(self, person: Person) -> None:
        """A person does something to one of the requests."""
        if self.accepted:
            id_ = self.world.random.choice(self.accepted)
            what = steering.retry if person is Person.RETRY else steering.cancel
            self.steer(str(person), id_, lambda session, now: what(session, id_, "ada", now))

    def settle(self, id_: UUID, outcome: Outcome) -> None:
        """A person settles a held request."""

        def work(session: Session, now: datetime) -> None:
            steering.resolve(session, id_, outcome, None, None, "ada", now)
            self.settled_by_hand.add(id_)
            self.ordered_by_hand[id_] += outcome is Outcome.RETRY

        self.steer(f"resolves as {outcome}:", id_, work)

    def steer(self, what: str, id_: UUID, act: Callable[[Session, datetime], object]) -> None:
        """A person does this to this request, through the receiver."""

        def work() -> None:
            self.world.say("person", f"{what} {self.world.name(id_)}")
            try:
                write(self.database.engine, lambda session: act(session, self.receiver.clock.now()))
            except NotNow as refusal:
                self.world.say("person", f"is told: not now, {refusal}")
                return
            hints.upstream(NAME)
            hints.deliveries()

        self._at_receiver(work, lambda _: None)
