"""One requester never sees another's rows, by whatever route; and a key does what its scopes say and no more.

Two requesters have a full set of rows each. Every route that is declared is called by each of them with everything that
names a row of the other. A new route is called as well, with nothing added here; one with a variable, parameter or body
of a new kind fails until it is said what of another's it can name.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
from typing import Any
from urllib.parse import quote
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session
from werkzeug.test import TestResponse

from models.base import new_id, read, utc_now, write
from models.batch import Batch
from models.call import Call
from models.delivery import Delivery
from models.message import Message
from models.number import Number
from models.reconciliation import Reconciliation
from models.request import Kind
from models.requester import Scope
from models.state import State
from models.tables import Base
from models.transition import Move, transition
from tests.factory import NOW, make_batch, make_endpoint, make_requester, make_requests
from tests.receiver import SPEC, Api, csv_file, declared, row
from webhook_receiver.operations import Operation

BODIES: Mapping[tuple[str, str], Any] = {
    ("POST", "/v1/requests/<uuid:request_id>/resolve"): {"outcome": "failed"},
    ("PATCH", "/v1/numbers/<number>"): {"spec": {"name": "taken over"}},
    ("PATCH", "/v1/endpoints/<uuid:endpoint_id>"): {"name": "taken over"},
    ("POST", "/v1/endpoints/<uuid:endpoint_id>/rotate"): {"grace_seconds": 0},
}
"""A good body for each route that takes one and names a row in its path."""

REQUIRED = {"/v1/endpoints/<uuid:endpoint_id>/replay": {"since": "2026-01-01T00:00:00Z"}}
"""Parameters without which a route answers nothing else."""

MAKING = {("POST", "/v1/requests"), ("POST", "/v1/batches"), ("POST", "/v1/endpoints")}
"""Routes that make rows of the caller's own: tests of their own, below."""

OF_NOBODY = {"/v1/stock"}
"""The vendor is asked there, and no row of ours."""

TELLS_NOTHING = {
    "after", "contradicted", "kind", "limit", "now", "reason", "released", "since", "state", "type", "until",
    "upstream",
}  # fmt: skip
"""Parameters that narrow a list and cannot name a row."""


@dataclass
class Owner:
    """A requester and everything that is its own; `names` are what a row of it can be asked for by."""

    name: str
    key: str
    ids: dict[str, list[str]]  # by the variable of a path
    names: list[str]  # that `q` may be given
    number: str
    endpoint: str
    idempotency_key: str
    texts: list[str] = field(default_factory=list)  # further words that stand in its rows alone

    @property
    def variables(self) -> set[str]:
        return {*self.ids, "number"}

    @property
    def all_ids(self) -> list[str]:
        return sorted({id_ for ids in self.ids.values() for id_ in ids})

    @property
    def traces(self) -> list[str]:
        return [*self.all_ids, *self.names, self.number.removeprefix("+"), *self.texts]

    def parameters(self) -> dict[str, list[str]]:
        """What of its own can be asked for, by the parameter of a query."""
        return {
            "q": [*self.names, *self.all_ids, self.number, self.number.removeprefix("+61")],
            "batch": self.ids["batch_id"],
            "request": self.ids["request_id"],
            "number": [self.number],
            "cursor": self.all_ids,
        }


@dataclass
class World:
    api: Api
    owners: tuple[Owner, Owner]

    def pairs(self) -> Iterator[tuple[Owner, Owner]]:
        """Who asks, and whose rows."""
        one, other = self.owners
        yield from ((one, other), (other, one))

    def call(self, operation: Operation, path: str, key: str, **query: str) -> TestResponse:
        body = BODIES.get((operation.method, operation.path))
        query = REQUIRED.get(operation.path, {}) | query
        return self.api.call(operation.method, path, key=key, json=body, query_string=query)

    def rows(self) -> dict[str, list[str]]:
        """All that stands in the database, but for when keys were used and whether rows can be written."""
        tables = [table for table in Base.metadata.sorted_tables if table.name not in ("api_keys", "heartbeats")]

        def work(session: Session) -> dict[str, list[str]]:
            return {table.name: sorted(map(repr, session.execute(sa.select(table)))) for table in tables}

        return read(self.api.engine, work)


def make_owner(api: Api, name: str, digit: str) -> Owner:
    engine, requester, number = api.engine, make_requester(api.engine, name), f"+6129874080{digit}"
    endpoint = make_endpoint(engine, requester, f"https://{name}.example/results", name=f"endpoint-of-{name}")
    batch = make_batch(engine, 2, owner=requester)
    idempotency_key = f"key-of-{name}"
    (done,) = make_requests(engine, owner=requester, custom_id=f"done-{name}", idempotency_key=idempotency_key)
    (held,) = make_requests(engine, owner=requester, custom_id=f"held-{name}")
    (waiting,) = make_requests(engine, owner=requester, custom_id=f"waiting-{name}")
    rows = make_requests(engine, 2, owner=requester, batch_id=batch, custom_group=f"group-of-{name}")
    reference = f"reference-{name}"

    def work(session: Session) -> tuple[list[UUID], list[UUID]]:
        said = {"number": number, "upstream_reference": reference}
        transition(session, [Move(done, State.COMPLETED, "test", changes=said)], NOW)
        transition(session, [Move(held, State.HELD, "test", "outcome_unknown", f"detail-{name}")], NOW)
        session.execute(sa.update(Batch).where(Batch.id == batch).values(name=f"batch-of-{name}"))
        event = {"upstream": "avanser", "request_id": done, "requester_id": requester.id, "number": number}
        event |= {"parameters": {}, "received_at": utc_now(), "upstream_reference": f"event-{name}"}
        call, message = Call(id=new_id(), caller=f"+6140000000{digit}", **event), Message(id=new_id(), **event)
        message.text = f"text-to-{name}"
        session.add_all([call, message])
        session.flush()
        of_it = [table.requester_id == requester.id for table in (Delivery, Number)]
        deliveries = session.scalars(sa.select(Delivery.id).where(of_it[0])).all()
        held_number = session.scalars(sa.select(Number.id).where(of_it[1])).one()
        return list(deliveries), [call.id, message.id, held_number]

    deliveries, (call, message, held_number) = write(engine, work)
    ids = {
        "request_id": [done, held, waiting, *rows],
        "batch_id": [batch],
        "endpoint_id": [endpoint.id],
        "delivery_id": deliveries,
        "call_id": [call],
        "message_id": [message],
        "number_id": [held_number],
        "requester_id": [requester.id],
    }
    return Owner(
        name,
        api.make_key(*Scope, requester=name),
        {variable: [str(id_) for id_ in found] for variable, found in ids.items()},
        [f"done-{name}", f"held-{name}", f"waiting-{name}", reference],
        number,
        endpoint.name,
        idempotency_key,
        [endpoint.url, f"batch-of-{name}", f"group-of-{name}", f"event-{name}", f"text-to-{name}", f"detail-{name}"],
    )


@pytest.fixture
def world(api: Api) -> World:
    owners = make_owner(api, "alice", "1"), make_owner(api, "bob", "2")
    write(api.engine, lambda session: session.add(report_on(owners)))
    return World(api, owners)


def report_on(owners: Iterable[Owner]) -> Reconciliation:
    """A comparison that has found something of each."""
    same: dict[str, Any] = {"kind": "ghost", "since": "2026-11-21T12:00:00Z", "todo": "", "command": ""}
    same |= {"request": None, "upstream_reference": None, "others": [], "differences": []}
    own = [{"number": owner.number, "requester": owner.name, "known": owner.texts[0]} for owner in owners]
    found: dict[str, Any] = {"counts": {"ghost": len(own)}, "findings": [same | one for one in own]}
    return Reconciliation(upstream="avanser", waits_since=NOW, started_at=NOW, finished_at=NOW, **found)


def paths(operation: Operation, owner: Owner) -> list[str]:
    """The route's path with every name that a row of this requester goes by."""
    found = [operation.path]
    for variable in ("number", *owner.ids):
        values = [quote(owner.number), *owner.names, *owner.all_ids] if variable == "number" else owner.all_ids
        marks = (f"<uuid:{variable}>", f"<{variable}>")
        if any(mark in operation.path for mark in marks):
            found = [path.replace(marks[0], value).replace(marks[1], value) for path, value in product(found, values)]
    assert not [path for path in found if "<" in path], f"say what of another's can stand in {operation.path}"
    return found


WITH_NAMES = [one for one in declared() if "<" in one.path]
WITHOUT = [one for one in declared() if "<" not in one.path and (one.method, one.path) not in MAKING]


def test_what_names_anothers_row_is_answered_as_if_it_were_not_there_and_changes_nothing(world: World) -> None:
    before = world.rows()
    for operation, (asker, owner) in product(WITH_NAMES, world.pairs()):
        if operation.bodies:
            assert (operation.method, operation.path) in BODIES, f"say what a good body for {operation.path} is"
        nobodys = operation.path.replace("<number>", quote("+61280749999"))
        for variable in owner.ids:
            nobodys = nobodys.replace(f"<uuid:{variable}>", str(new_id()))
        expected = world.call(operation, nobodys, asker.key)
        assert expected.status_code == 404, nobodys
        for path in paths(operation, owner):
            answer = world.call(operation, path, asker.key)
            assert (answer.status_code, answer.json) == (404, expected.json), f"{operation.method} {path}"
    assert world.rows() == before


def test_lists_and_searches_show_nothing_of_anothers(world: World) -> None:
    before = world.rows()
    for operation, (asker, owner) in product(WITHOUT, world.pairs()):
        for query in [{}, *queries(operation, owner)]:
            answer = world.call(operation, operation.path, asker.key, **query)
            shown = answer.get_data(as_text=True)
            assert answer.status_code == 200 or operation.path in OF_NOBODY | {"/readyz"}, (operation.path, query)
            found = [trace for trace in owner.traces if trace in shown]
            assert not found, f"{operation.method} {operation.path} {query} shows {found}"
    assert world.rows() == before


def queries(operation: Operation, owner: Owner) -> list[dict[str, str]]:
    if operation.query is None or operation.path in OF_NOBODY:
        return []
    known, asked = owner.parameters(), set(operation.query.model_fields) - TELLS_NOTHING
    assert asked <= set(known), f"say what of another's {asked - set(known)} of {operation.path} can name"
    return [{name: value} for name in sorted(asked) for value in known[name]]


def test_their_owner_is_shown_and_may_do_what_another_may_not(world: World) -> None:
    """Without this, the two tests above would hold of rows that do not exist."""
    owner, _ = world.owners
    for operation in WITHOUT:
        if operation.path.startswith("/v1/") and operation.path not in OF_NOBODY:
            shown = world.call(operation, operation.path, owner.key).get_data(as_text=True)
            assert any(trace in shown for trace in owner.traces), f"{owner.name} has nothing at {operation.path}"
    for operation in sorted(WITH_NAMES, key=lambda one: ("GET", "POST", "PATCH", "DELETE").index(one.method)):
        statuses = {world.call(operation, path, owner.key).status_code for path in paths(operation, owner)}
        assert statuses - {404}, f"{owner.name} has nothing at {operation.method} {operation.path}"


def test_what_one_makes_in_anothers_names_is_its_own(world: World) -> None:
    asker, owner = world.owners
    before = world.rows()
    good = {"upstream": "avanser", "custom_id": owner.names[0], "spec": SPEC}
    headers = {"Idempotency-Key": owner.idempotency_key}
    answers = [
        world.api.post("/v1/requests", json=good, headers=headers, key=asker.key),
        world.api.post("/v1/requests", json=good | {"endpoint": owner.endpoint}, key=asker.key),
        world.api.post("/v1/requests", json=good | {"endpoint": owner.ids["endpoint_id"][0]}, key=asker.key),
        world.api.post("/v1/requests", json={**good, "kind": Kind.UPDATE, "number": owner.number}, key=asker.key),
        world.api.post("/v1/requests", json={**good, "kind": Kind.RELEASE, "number": owner.number}, key=asker.key),
        world.api.post("/v1/batches", data=csv_file([row(owner.names[0])]), media_type="text/csv", key=asker.key),
        world.api.post("/v1/endpoints", json={"url": "https://a.example/", "name": owner.endpoint}, key=asker.key),
    ]
    assert [answer.status_code for answer in answers[:3]] == [202, 422, 422]
    assert [answer.status_code for answer in answers[5:]] == [202, 201]
    for answer in answers:
        said = json.dumps(answer.json)
        assert not [id_ for id_ in owner.all_ids if id_ in said.replace(owner.ids["endpoint_id"][0], "")]
    after, asks_itself = world.rows(), repr(UUID(asker.ids["requester_id"][0]))
    gone = {name: [one for one in rows if one not in after[name]] for name, rows in before.items()}
    # Its own counts go on, at times in the very row that the new request's shard falls into.
    gone["request_counts"] = [one for one in gone["request_counts"] if asks_itself not in one]
    assert gone == {name: [] for name in before}


OPERATIONS = [operation for operation in declared() if not operation.is_public]


@pytest.mark.parametrize("scope", [*Scope, None])
def test_a_key_of_one_scope_does_what_this_scope_says_and_no_more(api: Api, scope: Scope | None) -> None:
    key = api.make_key(*([scope] if scope else []))
    nobody = str(new_id())
    refused = set()
    for operation in OPERATIONS:
        path = operation.path.replace("<number>", quote("+61280749999"))
        path = "/".join(nobody if part.startswith("<uuid:") else part for part in path.split("/"))
        answer = api.call(operation.method, path, key=key)
        assert answer.status_code != 401
        if answer.status_code == 403:
            assert (answer.json or {})["code"] == "scope_missing"
            refused.add((operation.method, operation.path))
    assert refused == {(one.method, one.path) for one in OPERATIONS if one.scope not in (None, scope)}
