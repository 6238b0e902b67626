"""No statement that people or programs wait for reads a whole table that grows: the plans of all that are executed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote
from uuid import UUID

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy import event as sqlalchemy_event
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from models import outage, parking, personal, pruning, requester, reservation, spending, standing, sweep, upstream
from models import user as people
from models.base import Base, make_engine, new_id, read, utc_now, write
from models.batch import Batch
from models.delivery import Delivery
from models.inbox import Purpose, keep
from models.intake import known_keys
from models.listing import Filters
from models.number import Number
from models.request import Kind, Request
from models.requester import DEFAULT_REQUESTER, Scope
from models.state import State
from models.sweep import OutcomeKind
from models.user import Role
from tests import services
from tests.bench.filling import fill
from tests.factory import KEYRING, make_endpoint, make_requester, make_requests
from tests.integration.console import Browser, make_user
from tests.receiver import BODY, Api, csv_file, declared, receiver, row, settings_for
from tests.working import NAME, ScriptedUpstream, working
from worker import batch_steering, relay, stock, sweeping, workflow
from worker.deliver import deliver
from worker.inbox import read_inbox
from worker.loop import Loop
from worker.previewing import preview
from worker.runtime import Runtime
from worker.steering import Act
from worker.upstreams.base import Accepted, Completed, OutcomeUnknown, Rejected

SMALL = {
    "alembic_version", "api_keys", "endpoints", "heartbeats", "lineages", "outages", "reconciliations", "requesters",
    "stock_watches", "sweeps", "tallies", "upstream_pauses", "users",
}  # fmt: skip
"""Tables that do not grow with the work."""

WHOLE = re.compile(
    r"pg_catalog|pg_inherits|FROM deliveries\s+ORDER BY deliveries.id DESC\s+LIMIT \S+ AS anon"
    r"|FROM request_counts\s+GROUP BY request_counts.upstream, request_counts.state\s*$"
)
"""What is asked about all counts reads all of them, some rows for each batch: the metrics, and `upstream status`. The
console's list of results looks through a window of the newest, whatever it is narrowed to."""

ELSEWHERE = {"/v1/stock", "/healthz", "/openapi.json", "/docs"}
"""The vendor is asked there, or nobody."""

PLACES = ((Purpose.CALLBACK, "callbacks", 404), (Purpose.CALL, "calls", 200), (Purpose.SMS, "sms", 200))
"""Where upstreams tell us something, and what they hear of a request that ended long ago and whose number is held."""

OWNERS = (DEFAULT_REQUESTER, "another", "third", "fourth", "fifth")

COMPLETED, OTHERS = 4_000, 50
"""Requests of each of them, and of the first that failed or wait: enough that nobody would read all of it to find some
rows. (Of a table of a few pages PostgreSQL reads all, and is right.)"""

EVENTS = ({"number": "+61380000001"}, {"since": "2026-01-01T00:00:00Z"})

PARTIAL = {
    str(index.name)
    for table in Base.metadata.tables.values()
    for index in table.indexes
    if index.dialect_options["postgresql"]["where"] is not None
}

STOPPERS = {"Sort", "Aggregate", "Hash", "Hash Join"}
"""They read all that is below them, before any of it goes on to a limit."""

RUNS = 7
"""Of a prepared statement. Five are planned with their values; then PostgreSQL compares what a plan for any values
would cost."""

VARIABLE = re.compile(r"<(?:\w+:)?(\w+)>")

PARAMETER = re.compile(r"%\((\w+)\)s")

Statements = dict[str, Mapping[str, Any]]


@dataclass
class Listener:
    """What SQLAlchemy has executed, each statement once, with the parameters that it first had."""

    said: Statements = field(default_factory=dict)

    def hear(self, _connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        first = parameters[0] if isinstance(parameters, Sequence) and parameters else parameters
        self.said.setdefault(statement, first or {})


@pytest.fixture(scope="module")
def filled(postgres_server: services.Postgres, _postgres_template: str) -> Iterator[str]:
    """The URL of a database that all these tests share: none takes anything away."""
    postgres_server.execute(f"CREATE DATABASE trunkline_plans TEMPLATE {_postgres_template}")
    url = postgres_server.database_url("trunkline_plans")
    for owner in OWNERS:
        fill(_conninfo(url), COMPLETED, owner=owner)
    for state in (State.FAILED, State.QUEUED):
        fill(_conninfo(url), OTHERS, state)
    yield url
    postgres_server.execute("DROP DATABASE trunkline_plans WITH (FORCE)")


@pytest.fixture
def postgresql(filled: str) -> Iterator[Engine]:
    engine = make_engine(filled, keyring=KEYRING)
    yield engine
    engine.dispose()


@pytest.fixture
def heard() -> Iterator[Statements]:
    listener = Listener()
    sqlalchemy_event.listen(Engine, "before_cursor_execute", listener.hear)
    yield listener.said
    sqlalchemy_event.remove(Engine, "before_cursor_execute", listener.hear)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, postgresql: Engine, tmp_path: Path) -> Iterator[Api]:
    """The receiver on PostgreSQL alone."""
    with receiver(settings_for(monkeypatch, _url(postgresql), str(tmp_path)), postgresql) as running:
        yield running


@pytest.fixture
def runtime(
    monkeypatch: pytest.MonkeyPatch, postgresql: Engine, tmp_path: Path, loop: Loop, client: ScriptedUpstream
) -> Iterator[Runtime]:
    with working(monkeypatch, postgresql, str(tmp_path), loop, client) as made:
        yield made


def test_what_is_asked_over_http_is_found_by_indexes(api: Api, postgresql: Engine, heard: Statements) -> None:
    completed, queued = (one(postgresql, Request.state == state) for state in (State.COMPLETED, State.QUEUED))
    (delivery,) = read(postgresql, lambda session: session.scalars(sa.select(Delivery).limit(1)).all())
    heard.clear()
    names = [completed.number, "(03) 8000 0001", completed.custom_id, completed.upstream_reference, str(completed.id)]
    batch = {"batch": completed.batch_id}
    questions: dict[str, Sequence[Mapping[str, Any]]] = {
        "/v1/requests": [
            *({"state": state.value} for state in State),
            {"upstream": "avanser"},
            {"kind": "provision"},
            {"reason": "upstream_rejected"},
            {"contradicted": "true"},
            {"state": "failed", "reason": "upstream_rejected"},
            batch,
            batch | {"state": "failed"},
            *({"q": name} for name in names),
        ],
        "/v1/numbers": [
            {"released": "true"},
            {"released": "any"},
            {"upstream": "avanser"},
            *({"q": name} for name in names),
        ],
        "/v1/calls": EVENTS,
        "/v1/messages": EVENTS,
        "/v1/deliveries": [
            {"state": "failed"},
            {"state": "pending"},
            {"state": "delivered"},
            {"request": completed.id},
        ],
        "/v1/batches": [],
        "/v1/endpoints": [],
    }
    endpoint = make_endpoint(postgresql, make_requester(postgresql), "https://crm.example/", name=str(new_id()))
    events = (api.get("/v1/events?limit=1").json or {})["next_cursor"]
    others = [
        "/v1/events", "/v1/events?type=batch.finished", f"/v1/events?after={events}", f"/v1/endpoints/{endpoint.id}",
        "/v1/reconciliation", "/readyz", "/metrics",
        f"/v1/requests/{completed.id}", f"/v1/requests/{completed.id}/timeline",
        f"/v1/requests/{completed.id}/explain", f"/v1/requests/{queued.id}/explain",
        f"/v1/batches/{completed.batch_id}", f"/v1/batches/{completed.batch_id}/results.csv",
        f"/v1/batches/{completed.batch_id}/results.ndjson", f"/v1/numbers/{completed.number}",
        f"/v1/deliveries/{delivery.id}",
    ]  # fmt: skip
    for path, queries in questions.items():
        for query in ({}, {"cursor": completed.id}, *queries):
            answer = api.get(path, query_string=query)
            assert answer.status_code == 200, (path, query, answer.text)
    for path in others:
        assert api.get(quote(path, safe="/?=&")).status_code == 200, path

    urls, asked = api.app.url_map.bind(""), [path.partition("?")[0] for path in [*questions, *others]]
    routes = {urls.match(path, "GET", return_rule=True)[0].rule for path in asked}
    assert {one.path for one in declared() if one.method == "GET"} == routes | ELSEWHERE
    assert_by_index(postgresql, heard)


def test_what_the_console_asks_is_found_by_indexes(api: Api, postgresql: Engine, heard: Statements) -> None:
    completed, failed = (one(postgresql, Request.state == state) for state in (State.COMPLETED, State.FAILED))
    make_user(postgresql, f"ann-{new_id()}", Role.ADMIN)
    (delivery,) = read(postgresql, lambda session: session.scalars(sa.select(Delivery).limit(1)).all())
    (number,) = read(postgresql, lambda session: session.scalars(sa.select(Number).limit(1)).all())
    endpoint = make_endpoint(postgresql, make_requester(postgresql), "https://crm.example/", name=str(new_id()))
    visitor = Browser(api.app.test_client())
    visitor.sign_in(read(postgresql, lambda session: people.every(session)[0].name))
    heard.clear()
    known = {
        "request_id": failed.id, "batch_id": completed.batch_id, "delivery_id": delivery.id, "number_id": number.id,
        "endpoint_id": endpoint.id, "number": completed.number, "upstream": "avanser", "name": "cancel",
    }  # fmt: skip
    narrowed = [
        *(f"state={state.value}" for state in State), *(f"kind={kind.value}" for kind in Kind),
        "upstream=avanser", "reason=upstream_rejected", "contradicted=true", "older_than=1+day", "requester=another",
        f"batch={completed.batch_id}", "state=failed&upstream=avanser&reason=upstream_rejected",
        *(f"q={quote(str(name), safe='')}" for name in (completed.number, "(03) 8000 0001", "filled-3", "nobody")),
    ]  # fmt: skip
    for path in ["/overview", *(f"/requests?{one}{more}" for one in narrowed for more in ("", f"&cursor={failed.id}"))]:
        assert visitor.get(path).status_code in (200, 302), path
    for act in ("retry", "resolve_failed"):
        assert visitor.get(f"/sweeps/new?act={act}&state=failed&upstream=avanser").status_code == 200
    for rule in api.app.url_map.iter_rules():
        path = VARIABLE.sub(lambda found: quote(str(known.get(found[1], "?")), safe=""), rule.rule)
        if rule.endpoint.startswith("console.") and "GET" in (rule.methods or ()) and "%3F" not in path:
            assert visitor.get(path.removeprefix("/console")).status_code != 500, path
    assert_by_index(postgresql, heard)


def test_what_is_taken_and_steered_over_http_is_found_by_indexes(
    api: Api, postgresql: Engine, heard: Statements
) -> None:
    completed, queued = (one(postgresql, Request.state == state) for state in (State.COMPLETED, State.QUEUED))
    (delivery,) = read(postgresql, lambda session: session.scalars(sa.select(Delivery).limit(1)).all())
    heard.clear()
    batches = []
    for _ in range(2):
        assert api.post("/v1/requests", json=BODY, headers={"Idempotency-Key": "once"}).status_code in (200, 202)
        file = csv_file([row("new-1"), row("new-2"), row("filled-3")])
        batch = api.post("/v1/batches?partial=true", data=file, media_type="text/csv")
        assert batch.status_code == 202
        batches.append(batch.headers["Location"])
    for purpose, path, status in PLACES:
        for of, expected in ((completed.id, status), (queued.id, 200)):
            told = api.get(f"/{path}/avanser/{api.token(purpose, of=of)}?status=completed")
            assert told.status_code == expected
    number = quote(str(completed.number))
    assert api.call("PATCH", f"/v1/numbers/{number}", json={"spec": {"name": "new"}}).status_code == 202
    assert api.call("DELETE", f"/v1/numbers/{number}?now=true").status_code == 202
    assert api.call("DELETE", f"/v1/numbers/{number}?now=true").status_code == 200
    assert api.post(f"/v1/requests/{queued.id}/retry").status_code == 200
    assert api.post(f"/v1/requests/{queued.id}/cancel").status_code == 200
    assert api.post(f"/v1/deliveries/{delivery.id}/replay").status_code == 202
    endpoint = make_endpoint(postgresql, make_requester(postgresql), "https://crm.example/", name=str(new_id()))
    place = f"/v1/endpoints/{endpoint.id}"
    assert api.post(f"{place}/test").status_code == 202
    since = (utc_now() - timedelta(minutes=1)).isoformat().replace("+", "%2B")
    for state in ("failed", "all"):
        assert api.post(f"{place}/replay?since={since}&state={state}").status_code == 202
    assert api.call("PATCH", place, json={"disabled": True}).status_code == 200
    assert api.post(f"{place}/rotate").status_code == 200
    for act in ("pause", "resume", "cancel"):
        assert api.post(f"{batches[0]}/{act}").status_code == 200
    assert_by_index(postgresql, heard)


def test_what_workers_and_the_relay_look_for_is_found_by_indexes(
    runtime: Runtime, postgresql: Engine, client: ScriptedUpstream, heard: Statements
) -> None:
    batch = one(postgresql, sa.and_(Request.state == State.QUEUED, Request.batch_id.is_not(None))).batch_id
    assert batch is not None
    heard.clear()
    now = runtime.clock.now()
    alive: dict[str, Any] = {"due_at": now, "deadline": now + timedelta(days=1), "notify_url": "http://127.0.0.1:1/"}
    for outcome in (Accepted("+61280740801", "ref"), Completed("+61280740802"), Rejected(), OutcomeUnknown("gone")):
        client.on_submit = outcome
        make_requests(postgresql, **alive)
        (change,) = make_requests(postgresql, kind=Kind.UPDATE, number="+61380000001", **alive)
        workflow.advance(runtime, NAME)
        stock.look(runtime, NAME)
        came(postgresql, change)
        read_inbox(runtime)
        deliver(runtime)
    _watch_over(postgresql, now)
    write(postgresql, lambda session: upstream.pause(session, NAME, "by_person", "", "ada", now))
    workflow.advance(runtime, NAME)
    _watch_over(postgresql, now)
    write(postgresql, lambda session: upstream.resume(session, NAME))
    _watch_over(postgresql, now)
    _spend(runtime, postgresql, batch, now)
    for act in batch_steering.ACTS.values():
        write(postgresql, lambda session, act=act: act(session, batch, "ada"))  # type: ignore[misc]
        _watch_over(postgresql, now)
    written = {table for said in heard for table in re.findall(r"^\s*UPDATE (\w+)", said)}
    assert written >= {"requests", "deliveries", "inbox"}
    assert_by_index(postgresql, heard)


def test_what_a_sweep_looks_for_is_found_by_indexes(postgresql: Engine, heard: Statements) -> None:
    batch_id = one(postgresql, Request.batch_id.is_not(None)).batch_id
    heard.clear()
    now = utc_now() + timedelta(days=365)
    for filters in (
        Filters(state=State.QUEUED),
        Filters(upstream=NAME, state=State.FAILED),
        Filters(reason="upstream_rejected"),
        Filters(batch_id=batch_id, state=State.QUEUED),
        Filters(kind=Kind.RELEASE),
        Filters(q="filled-3"),
        Filters(contradicted=True),
        Filters(state=State.FAILED, made_before=now),
    ):
        seen = read(postgresql, lambda session, filters=filters: preview(session, None, filters, Act.RETRY, now))  # type: ignore[misc]
        if seen.matching:
            ordered = write(postgresql, lambda session, seen=seen: sweeping.order(session, seen, "why", "ada", now))  # type: ignore[misc]
            assert sweeping.do_portion(postgresql, now, ordered.id) is not None
            read(postgresql, lambda session, ordered=ordered: sweep.outcomes(session, ordered.id, [OutcomeKind.DONE]))  # type: ignore[misc]
    assert any("sweep_outcomes" in said for said in heard)
    assert_by_index(postgresql, heard)


def _spend(runtime: Runtime, engine: Engine, batch: UUID, now: datetime) -> None:
    """With a limit of every sort, of which that of the batch is reached."""
    owner = make_requester(engine)

    def limit(session: Session) -> UUID:
        session.execute(sa.update(Batch).where(Batch.id == batch).values(max_numbers=0, finished_at=None))
        return requester.create_key(session, owner, "k", [Scope.SUBMIT], now, numbers_per_day=5)[0].id

    key = write(engine, limit)
    make_requests(engine, 3, key_id=key, due_at=now, deadline=now + timedelta(days=1), batch_id=batch)
    make_requests(engine, 3, key_id=key, due_at=now, deadline=now + timedelta(days=1))
    for _ in range(2):
        workflow.advance(runtime, NAME)
    assert read(engine, lambda session: spending.waited_for(session, {}, now)) == {spending.of_batch(batch): 0}
    write(engine, lambda session: parking.sort_out(session, now, {}))
    write(engine, lambda session: session.execute(sa.update(Batch).where(Batch.id == batch).values(max_numbers=None)))
    assert write(engine, lambda session: parking.sort_out(session, now, {})) >= 3


def _watch_over(engine: Engine, now: datetime) -> None:
    """As the relay does, but for its hints."""
    read(engine, lambda session: relay.count_all(session, now))
    write(engine, lambda session: relay.finish_batches(session, now))
    write(engine, lambda session: parking.sort_out(session, now))
    write(engine, lambda session: reservation.forget(session, now))
    write(engine, lambda session: personal.forget(session, now - timedelta(days=3_650)))
    write(engine, lambda session: personal.erase(session, ["+61400000001"]))
    for kind in pruning.KINDS:
        write(engine, lambda session, kind=kind: pruning.prune(session, kind, now - timedelta(days=3_650)))  # type: ignore[misc]
        read(engine, lambda session, kind=kind: pruning.prune(session, kind, now, may_delete=False))  # type: ignore[misc]
    write(engine, lambda session: outage.take_probes(session, [new_id()], now, now))
    write(engine, lambda session: outage.forget_hosts(session, now))


def test_idempotency_keys_are_looked_up_one_by_one_however_young_the_table_is(
    postgresql_url: str, heard: Statements
) -> None:
    fill(_conninfo(postgresql_url), COMPLETED)
    engine = make_engine(postgresql_url, keyring=KEYRING)
    owner = one(engine, Request.state == State.COMPLETED).requester_id
    write(engine, lambda session: session.execute(sa.text("DELETE FROM pg_statistic")))  # as before any ANALYZE
    heard.clear()
    assert read(engine, lambda session: known_keys(session, owner, [f"new-{nth}" for nth in range(1_000)])) == {}
    ((statement, given),) = ((said, given) for said, given in heard.items() if "idempotency_key" in said)
    with engine.connect() as connection:
        cursor = psycopg.ClientCursor(connection.connection.driver_connection)  # type: ignore[arg-type]
        plans = _plans(cursor, statement, given)
        connection.invalidate()
    engine.dispose()
    read_by = {step["Index Name"] for plan in plans for step in _steps(plan) if "Index Name" in step}
    assert read_by == {"uq_requests_requester_id_idempotency_key"}


def _steps(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _steps(part)


def test_the_oldest_of_a_state_is_the_first_of_each_requester(postgresql: Engine, heard: Statements) -> None:
    """Sorted it would be quick here, and read a million rows there."""
    assert State.QUEUED in read(postgresql, standing.oldest_by_state)
    with postgresql.connect() as connection:
        cursor = psycopg.ClientCursor(connection.connection.driver_connection)  # type: ignore[arg-type]
        plans = [plan for statement, given in list(heard.items()) for plan in _plans(cursor, statement, given)]
        connection.invalidate()
    steps = [step for plan in plans for step in _steps(plan)]
    assert {step["Index Name"] for step in steps if step.get("Relation Name") == "requests"} == {
        "ix_requests_list_by_state"
    }
    assert not [step for step in steps if step["Node Type"] == "Sort"]


def test_what_must_read_all_of_a_table_is_not_compiled_first(postgresql: Engine) -> None:
    plan = "EXPLAIN ANALYZE SELECT upstream, state, sum(n) FROM request_counts GROUP BY upstream, state"
    with postgresql.connect() as connection:
        steps = connection.scalars(sa.text(plan)).all()
    assert any("Execution Time" in step for step in steps)
    assert not any("JIT" in step for step in steps)


def test_a_statement_that_reads_all_of_a_table_is_found_out(postgresql: Engine, heard: Statements) -> None:
    read(postgresql, lambda session: session.scalars(sa.select(Request).where(Request.custom_group == "vic")).all())
    read(postgresql, lambda session: session.scalars(sa.select(Request).where(Request.number.is_(None))).all())
    read(postgresql, lambda session: session.scalars(sa.select(Request).order_by(Request.id).limit(9)).all())
    found = reads_of_everything(postgresql, heard)
    assert len(found) == 1
    assert "custom_group = " in found[0]


def one(engine: Engine, condition: sa.ColumnElement[bool]) -> Request:
    statement = sa.select(Request).where(condition).order_by(Request.id).limit(1)
    return read(engine, lambda session: session.scalars(statement).one())


def came(engine: Engine, id_: UUID) -> None:
    """A callback, which says nothing that is understood."""
    now = utc_now()
    values = {"id": new_id(), "upstream": NAME, "purpose": Purpose.CALLBACK, "request_id": id_, "digest": "0" * 64}
    values |= {"method": "POST", "query": "", "content_type": None, "body": b"", "received_at": now, "due_at": now}
    write(engine, lambda session: keep(session.connection(), [values | {"fence": 0, "attempts": 0}]))


def assert_by_index(engine: Engine, heard: Statements) -> None:
    assert len(heard) > 10
    found = reads_of_everything(engine, heard)
    assert not found, "\n\n".join(found)


def reads_of_everything(engine: Engine, heard: Statements) -> list[str]:
    """The statements that would read a whole table that grows, with the values that they had here, each with what reads
    it."""
    found = []
    with engine.connect() as connection:  # with the settings of all our connections
        cursor = psycopg.ClientCursor(connection.connection.driver_connection)  # type: ignore[arg-type]
        cursor.execute("SET enable_seqscan = off")
        for statement, given in list(heard.items()):
            if not re.match(r"\s*(SELECT|UPDATE|DELETE|INSERT|WITH)\b", statement) or WHOLE.search(statement):
                continue
            first, *_, kept = _plans(cursor, statement, given)
            if bad := [*_whole_reads(first), *_whole_reads(kept)]:
                found.append(f"{', '.join(bad)}\n{statement}")
        connection.invalidate()
    return found


def _plans(cursor: psycopg.ClientCursor[Any], statement: str, given: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The plan of a statement the first time that it is run in a connection, and each further time, until it is seen
    whether PostgreSQL keeps one that is for any values."""
    names = list(dict.fromkeys(PARAMETER.findall(statement)))
    numbered = PARAMETER.sub(lambda match: f"${names.index(match[1]) + 1}", statement).replace("%%", "%")
    values = f"({', '.join(f'%({name})s' for name in names)})" if names else ""
    cursor.execute(f"PREPARE asked AS {numbered}".encode())
    run = f"EXPLAIN (FORMAT JSON) EXECUTE asked{values}".encode()
    plans = [cursor.execute(run, given).fetchall()[0][0][0]["Plan"] for _ in range(RUNS)]
    cursor.execute("DEALLOCATE asked")
    return plans


def _whole_reads(plan: Mapping[str, Any], table: str = "", *, is_limited: bool = False) -> Iterator[str]:
    """What in a plan reads a whole table that grows: itself, or an index from one end to the other. An index of few
    rows may be read so, and any by who stops after some rows, all of which are wanted."""
    table = plan.get("Relation Name", table)
    kind, index = plan["Node Type"], plan.get("Index Name")
    is_limited = is_limited or kind == "Limit"
    is_whole = index is not None and index not in PARTIAL and "Index Cond" not in plan
    stops = is_limited and "Filter" not in plan
    if table not in SMALL and (kind == "Seq Scan" or (is_whole and not stops)):
        yield f"{kind} of {index or table}"
    for part in plan.get("Plans", ()):
        yield from _whole_reads(part, table, is_limited=is_limited and kind not in STOPPERS)


def _conninfo(url: str) -> str:
    return url.replace("+psycopg", "")


def _url(engine: Engine) -> str:
    return engine.url.render_as_string(hide_password=False)
