"""Taking requests, on both databases: all of a file or none of it, each row once."""

import hashlib
import io
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from models import counter, source
from models.base import make_engine, new_id, read, write
from models.batch import Batch, BatchState
from models.delivery import Delivery
from models.endpoint import Endpoint
from models.event import Event
from models.request import Kind, OnOutOfStock, Request
from models.state import State
from models.transition import Move, transition
from tests.factory import KEYRING, NOW, SPEC, make_endpoint, make_requester
from tests.tiny_dialect import TinyDialect
from worker import bulk
from worker.bulk import Media, Row, RowFault
from worker.intake import BadRows, BatchTaken, Conflict, Intake, Invalid, Progress
from worker.intake.batch import CHUNK
from worker.settings import Settings, load

BODY: dict[str, Any] = {"upstream": "avanser", "spec": {"name": "x"}}
HEADER = "upstream,custom_id,spec.name,spec.inner.recorded\n"


class Killed(Exception):
    """Stands for the end of a process in the middle of something."""


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Settings:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRUNKLINE_HOME", str(tmp_path / "home"))
    for name, value in {"USERNAME": "user", "PASSWORD": "secret", "ACCOUNT_ID": "1"}.items():
        monkeypatch.setenv(f"TRUNKLINE_AVANSER_{name}", value)
    return load()


@pytest.fixture
def intake(engine: Engine, settings: Settings) -> Intake:
    return Intake(engine, settings, {"avanser": TinyDialect()})


@pytest.fixture
def owner(engine: Engine) -> UUID:
    return make_requester(engine).id


def take(intake: Intake, owner: UUID, text: str, media: Media = "csv", **options: Any) -> BatchTaken:
    """Take a file as the command line does; `digest=None` is a file that is not recognised."""
    digest = options.pop("digest", hashlib.sha256(text.encode()).hexdigest())
    rows = bulk.read(io.BytesIO(text.encode()), media)
    given: dict[str, Any] = {"name": "file", "now": NOW, "actor": "test"} | options
    return intake.take_batch(owner, rows, source_digest=digest, **given)


def all_requests(engine: Engine) -> list[Request]:
    return read(engine, lambda session: list(session.scalars(sa.select(Request).order_by(Request.id))))


def count(engine: Engine, table: Any) -> int:
    return read(engine, lambda session: session.scalar(sa.select(sa.func.count()).select_from(table)) or 0)


def file_of(rows: int, *, custom_ids: bool = True) -> str:
    names = (f"c-{number}" if custom_ids else "" for number in range(rows))
    return HEADER + "".join(f"avanser,{name},service,yes\n" for name in names)


def refused(intake: Intake, owner: UUID, text: str, media: Media = "csv", **options: Any) -> BadRows:
    with pytest.raises(BadRows) as caught:
        take(intake, owner, text, media, **options)
    return caught.value


def faults_of(intake: Intake, owner: UUID, **fields: Any) -> dict[str, str]:
    with pytest.raises(Invalid) as caught:
        intake.take_one(owner, BODY | fields, None, NOW, "test")
    return {fault.pointer: fault.detail for fault in caught.value.faults}


# One request


def test_a_request_is_taken_with_its_history_and_its_count(intake: Intake, engine: Engine, owner: UUID) -> None:
    taken = intake.take_one(owner, BODY | {"custom_id": "a", "on_out_of_stock": "fail"}, None, NOW, "key:1")
    (row,) = all_requests(engine)
    assert (row.id, row.state, row.custom_id, row.spec) == (taken.id, State.QUEUED, "a", {"name": "x"})
    assert (row.on_out_of_stock, row.due_at, row.deadline) == (OnOutOfStock.FAIL, NOW, NOW + timedelta(days=7))
    assert count(engine, Event) == 1
    assert read(engine, counter.of_all)[State.QUEUED] == 1


def test_the_same_key_and_body_is_the_same_request(intake: Intake, engine: Engine, owner: UUID) -> None:
    first = intake.take_one(owner, BODY, "k", NOW, "test")
    again = intake.take_one(
        owner, {"spec": {"name": "x"}, "kind": "provision", "upstream": "avanser"}, "k", NOW, "test"
    )
    assert (first.is_new, again.is_new, again.id) == (True, False, first.id)
    assert len(all_requests(engine)) == 1


def test_the_same_key_with_another_body_is_a_conflict_and_changes_nothing(
    intake: Intake, engine: Engine, owner: UUID
) -> None:
    intake.take_one(owner, BODY, "k", NOW, "test")
    with pytest.raises(Conflict):
        intake.take_one(owner, BODY | {"custom_id": "other"}, "k", NOW, "test")
    assert len(all_requests(engine)) == 1


def test_asking_again_after_the_deadline_still_finds_the_request(intake: Intake, owner: UUID) -> None:
    body = BODY | {"deadline": "2026-11-22T00:00:00+10:00"}
    first = intake.take_one(owner, body, "k", NOW, "test")
    again = intake.take_one(owner, body, "k", NOW + timedelta(days=3), "test")
    assert (again.id, again.is_new) == (first.id, False)


def test_keys_of_two_requesters_do_not_meet(intake: Intake, engine: Engine, owner: UUID) -> None:
    other = make_requester(engine, "other").id
    assert intake.take_one(owner, BODY, "k", NOW, "test").is_new
    assert intake.take_one(other, BODY, "k", NOW, "test").is_new


@pytest.mark.parametrize(
    ("fields", "pointer", "hint"),
    [
        ({"upstream": "avansr"}, "/upstream", "did you mean avanser?"),
        ({"upstream": "nobody"}, "/upstream", "one of: avanser"),
        ({"upstream": 7}, "/upstream", "string"),
        ({"kind": "buy"}, "/kind", "'provision', 'update' or 'release'"),
        ({"costum_id": "a"}, "/costum_id", "did you mean custom_id?"),
        ({"custom_id": ""}, "/custom_id", "at least 1 character"),
        ({"custom_id": "x" * 201}, "/custom_id", "at most 200 characters"),
        ({"custom_id": 17}, "/custom_id", "string"),
        ({"spec": "x"}, "/spec", "dictionary"),
        ({"spec": {}}, "/spec/name", "Field required"),
        ({"spec": {"name": "x", "inner": {"recorded": "true"}}}, "/spec/inner/recorded", "boolean"),
        ({"deadline": "2026-11-21T12:00:00Z"}, "/deadline", "in the past"),
        ({"deadline": "2026-12-01T00:00:00"}, "/deadline", "with its zone"),
        ({"deadline": "tomorrow"}, "/deadline", "with its zone"),
        ({"deadline": 1796083200}, "/deadline", "with its zone"),
        ({"deadline": "9999-12-31T23:59:59-12:00"}, "/deadline", "with its zone"),
        ({"on_out_of_stock": "panic"}, "/on_out_of_stock", "'wait' or 'fail'"),
        ({"endpoint": "crm"}, "/endpoint", "no endpoint of this name"),
        ({"notify_url": "not a url"}, "/notify_url", "not a URL"),
        ({"notify_url": "ftp://example.com/x"}, "/notify_url", "URL"),
        ({"notify_url": "http://example.com/x"}, "/notify_url", "https://"),
        ({"notify_url": "https://user:pw@example.com/x"}, "/notify_url", "password"),
        ({"notify_url": "https://10.0.0.1/x"}, "/notify_url", "public internet"),
        ({"notify_url": "https://[::ffff:127.0.0.1]/x"}, "/notify_url", "public internet"),
        ({"notify_url": "https://example.com/x", "endpoint": "crm"}, "/notify_url", "not both"),
        ({"number": "+61280740801"}, "/number", "stands in spec"),
        ({"kind": "update"}, "/number", "which number to update"),
        ({"kind": "release", "spec": {}, "number": "twelve"}, "/number", "not a phone number"),
        ({"kind": "release", "spec": {}, "number": "123"}, "/number", "not a phone number"),
    ],
)
def test_what_is_wrong_is_named_with_its_place_and_nothing_is_taken(
    intake: Intake, engine: Engine, owner: UUID, fields: dict[str, Any], pointer: str, hint: str
) -> None:
    assert hint in faults_of(intake, owner, **fields)[pointer]
    assert all_requests(engine) == []


def test_all_faults_are_named_at_once(intake: Intake, owner: UUID) -> None:
    found = faults_of(intake, owner, kind="provision", colour="red", custom_id=3, spec={"name": 7})
    assert set(found) == {"/colour", "/custom_id", "/spec/name"}


def test_an_upstream_that_is_not_set_up_is_refused(
    engine: Engine, owner: UUID, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("USERNAME", "PASSWORD", "ACCOUNT_ID"):
        monkeypatch.delenv(f"TRUNKLINE_AVANSER_{name}")
    intake = Intake(engine, load(), {"avanser": TinyDialect()})
    assert "TRUNKLINE_AVANSER_PASSWORD" in faults_of(intake, owner)["/upstream"]


def test_private_destinations_are_for_development(
    engine: Engine, owner: UUID, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRUNKLINE_ALLOW_PRIVATE_DESTINATIONS", "1")
    intake = Intake(engine, load(), {"avanser": TinyDialect()})
    taken = intake.take_one(owner, BODY | {"notify_url": "http://127.0.0.1:9/x"}, None, NOW, "test")
    assert taken.is_new


def test_an_endpoint_is_found_by_name_and_not_that_of_another_requester(
    intake: Intake, engine: Engine, owner: UUID
) -> None:
    make_endpoint(engine, make_requester(engine, "other"), "https://other.example/")
    assert "no endpoint" in faults_of(intake, owner, endpoint="crm")["/endpoint"]
    mine = make_endpoint(engine, make_requester(engine), "https://mine.example/")
    intake.take_one(owner, BODY | {"endpoint": "crm"}, None, NOW, "test")
    assert all_requests(engine)[0].endpoint_id == mine.id


def test_a_disabled_endpoint_is_refused(intake: Intake, engine: Engine, owner: UUID) -> None:
    make_endpoint(engine, make_requester(engine), "https://mine.example/")
    write(engine, lambda session: session.execute(sa.update(Endpoint).values(disabled_at=NOW)).close())
    assert "disabled" in faults_of(intake, owner, endpoint="crm")["/endpoint"]


@pytest.mark.parametrize("number", ["+61280740801", "61280740801", "0280740801", "+61-0280740801", "(02) 8074 0801"])
def test_a_number_is_taken_in_any_format_and_kept_as_e164(
    intake: Intake, engine: Engine, owner: UUID, number: str
) -> None:
    intake.take_one(owner, {"upstream": "avanser", "kind": "release", "number": number}, None, NOW, "test")
    assert all_requests(engine)[0].number == "+61280740801"


def test_a_release_waits_so_that_it_can_be_cancelled_unless_it_is_to_go_at_once(
    intake: Intake, engine: Engine, owner: UUID
) -> None:
    body = {"upstream": "avanser", "kind": "release", "number": "+61280740801"}
    intake.take_one(owner, body, None, NOW, "test")
    intake.take_one(owner, body, None, NOW, "test", release_now=True)
    assert [row.due_at for row in all_requests(engine)] == [NOW + timedelta(hours=1), NOW]


@pytest.mark.parametrize("kind", ["update", "release"])
def test_a_number_that_was_bought_for_another_requester_is_out_of_reach(
    intake: Intake, engine: Engine, owner: UUID, kind: str
) -> None:
    bought = intake.take_one(owner, BODY, None, NOW, "test")
    completed = Move(bought.id, State.COMPLETED, "test", changes={"number": "+61280740801"})
    write(engine, lambda session: transition(session, [completed], NOW))
    asked = {"upstream": "avanser", "kind": kind, "number": "0280740801"} | (
        {"spec": {"name": "x"}} if kind == "update" else {}
    )
    with pytest.raises(Invalid, match="not a number of yours"):
        intake.take_one(make_requester(engine, "other").id, asked, None, NOW, "test")
    assert intake.take_one(owner, asked, None, NOW, "test").is_new


# A file


def test_a_file_is_taken_in_its_order_and_its_cells_are_read(intake: Intake, engine: Engine, owner: UUID) -> None:
    taken = take(intake, owner, HEADER + "avanser,a,0400,yes\navanser,b,true,0\n", name="spring")
    rows = all_requests(engine)
    assert [(row.position, row.custom_id, row.batch_id) for row in rows] == [
        (1, "a", taken.batch_id),
        (2, "b", taken.batch_id),
    ]
    assert rows[0].spec == {"name": "0400", "inner": {"recorded": True}}
    assert rows[1].spec == {"name": "true", "inner": {"recorded": False}}
    batch = read(engine, lambda session: session.get_one(Batch, taken.batch_id))
    assert (batch.name, batch.state, batch.total, batch.sealed_at) == ("spring", BatchState.RUNNING, 2, NOW)
    assert read(engine, lambda session: counter.of_batch(session, taken.batch_id))[State.QUEUED] == 2


def test_csv_ndjson_and_json_ask_for_the_same(intake: Intake, engine: Engine, owner: UUID) -> None:
    body = {"upstream": "avanser", "custom_id": "a", "spec": {"name": "x", "inner": {"recorded": True}}}
    assert take(intake, owner, HEADER + "avanser,a,x,true\n").taken == 1
    assert take(intake, owner, json.dumps(body) + "\n", "ndjson").already_taken == 1
    assert take(intake, owner, json.dumps([body]), "json").already_taken == 1
    assert len(all_requests(engine)) == 1


def test_the_dialect_of_avanser_takes_the_documented_body_from_csv(
    engine: Engine, settings: Settings, owner: UUID
) -> None:
    columns = (
        "upstream,custom_id,custom_group,spec.name,spec.service_number.country,spec.service_number.search_type,"
        "spec.service_number.szu,spec.service.type,spec.service.answer_point,spec.service.record_call\n"
    )
    row = "avanser,a,vic,service #1,AU,szu,sydney,transfer,61401603859,TRUE\n"
    take(Intake(engine, settings), owner, columns + row)
    assert all_requests(engine)[0].spec == SPEC


def test_one_bad_row_among_ten_thousand_is_named_and_nothing_is_taken(
    intake: Intake, engine: Engine, owner: UUID
) -> None:
    lines = file_of(10_000).splitlines()
    lines[6_000] = "avanser,c-bad,service,perhaps"
    error = refused(intake, owner, "\n".join(lines))
    assert (error.total_bad, error.total) == (1, 10_000)
    assert [(fault.line, fault.field) for fault in error.faults] == [(6_001, "spec.inner.recorded")]
    assert all_requests(engine) == []
    assert count(engine, Batch) == 0


def test_with_partial_the_good_rows_are_taken_and_keep_their_places(
    intake: Intake, engine: Engine, owner: UUID
) -> None:
    text = HEADER + "avanser,a,x,\nnobody,b,x,\navanser,c\navanser,d,x,\n"
    taken = take(intake, owner, text, partial=True)
    assert (taken.rows, taken.taken, taken.bad, taken.total) == (4, 2, 2, 2)
    assert [fault.line for fault in taken.faults] == [3, 4]
    assert [(row.custom_id, row.position) for row in all_requests(engine)] == [("a", 1), ("d", 4)]


@pytest.mark.parametrize("text", ["custom_id\na\n", HEADER, "", HEADER + 'avanser,a,x,\navanser,b,"x,\n'])
def test_partial_does_not_help_a_file_that_is_wrong_as_a_whole(
    intake: Intake, engine: Engine, owner: UUID, text: str
) -> None:
    refused(intake, owner, text, partial=True)
    assert all_requests(engine) == []


def test_partial_does_not_help_a_file_without_a_good_row(intake: Intake, engine: Engine, owner: UUID) -> None:
    assert refused(intake, owner, HEADER + "nobody,a,x,\n", partial=True).total_bad == 1
    assert count(engine, Batch) == 0


def test_no_rows_at_all_is_an_error(intake: Intake, owner: UUID) -> None:
    with pytest.raises(BadRows) as caught:
        intake.take_batch(owner, [], name="x", now=NOW, actor="test")
    assert "no row" in caught.value.faults[0].detail


def test_a_required_field_without_a_column_is_one_fault(intake: Intake, owner: UUID) -> None:
    error = refused(intake, owner, "upstream,spec.inner.phone\n" + "avanser,x\n" * 50)
    (fault,) = error.faults
    assert (fault.line, fault.field, error.total_bad) == (1, "spec.name", 50)
    assert "50 rows need it" in fault.detail


def test_a_custom_id_twice_in_one_file_names_both_lines(intake: Intake, engine: Engine, owner: UUID) -> None:
    text = HEADER + "avanser,a,x,\navanser,b,x,\navanser,a,y,\navanser,a,x,\n"
    error = refused(intake, owner, text)
    assert [(fault.line, fault.field) for fault in error.faults] == [(4, "custom_id"), (5, "custom_id")]
    assert all("line 2 has the same: 'a'" in fault.detail for fault in error.faults)
    assert all_requests(engine) == []
    taken = take(intake, owner, text, partial=True)
    assert (taken.taken, taken.bad) == (2, 2)


def test_a_custom_id_may_stand_for_each_kind_once(intake: Intake, engine: Engine, owner: UUID) -> None:
    bodies = [
        {"upstream": "avanser", "custom_id": "a", "spec": {"name": "x"}},
        {"upstream": "avanser", "custom_id": "a", "kind": "release", "number": "+61280740801"},
    ]
    assert take(intake, owner, json.dumps(bodies), "json").taken == 2
    assert {row.kind for row in all_requests(engine)} == {Kind.PROVISION, Kind.RELEASE}


def test_with_partial_the_first_of_two_updates_of_one_custom_id_is_taken(
    intake: Intake, engine: Engine, owner: UUID
) -> None:
    text = "upstream,kind,custom_id,number,spec.name\n" + "".join(
        f"avanser,update,a,+61280740801,{name}\n" for name in ("first", "second")
    )
    taken = take(intake, owner, text, partial=True)
    assert (taken.taken, taken.bad) == (1, 1)
    assert [row.spec["name"] for row in all_requests(engine)] == ["first"]


def test_an_idempotency_key_twice_in_one_file_names_both_lines(intake: Intake, owner: UUID) -> None:
    error = refused(intake, owner, "upstream,idempotency_key,spec.name\navanser,k,x\navanser,k,x\n")
    (fault,) = error.faults
    assert (fault.line, fault.field) == (3, "idempotency_key")
    assert "line 2" in fault.detail


def test_a_custom_id_that_was_provisioned_with_another_body_is_a_bad_row(intake: Intake, owner: UUID) -> None:
    take(intake, owner, HEADER + "avanser,a,x,\n")
    (fault,) = refused(intake, owner, HEADER + "avanser,b,x,\navanser,a,other,\n").faults
    assert (fault.line, fault.field) == (3, "custom_id")
    assert "taken before, with another body" in fault.detail


def test_a_custom_id_may_be_updated_again_with_another_body(intake: Intake, engine: Engine, owner: UUID) -> None:
    header = "upstream,kind,custom_id,number,spec.name\n"
    for name in ("one", "two", "two"):
        take(intake, owner, header + f"avanser,update,a,+61280740801,{name}\n")
    assert [row.spec["name"] for row in all_requests(engine)] == ["one", "two"]


# The same file again


@pytest.mark.parametrize("custom_ids", [True, False])
def test_the_same_file_again_takes_nothing_and_its_batch_is_finished_at_once(
    intake: Intake, engine: Engine, owner: UUID, custom_ids: bool
) -> None:
    make_endpoint(engine, make_requester(engine), "https://mine.example/")
    text = file_of(3, custom_ids=custom_ids)
    first = take(intake, owner, text)
    again = take(intake, owner, text)
    third = take(intake, owner, text)
    for later in (again, third):
        assert (later.taken, later.already_taken, later.total, later.state) == (0, 3, 0, BatchState.FINISHED)
        assert later.earlier_batch_id == first.batch_id
    assert len(all_requests(engine)) == 3
    told = read(engine, lambda session: list(session.scalars(sa.select(Delivery.batch_id))))
    assert set(told) == {again.batch_id, third.batch_id}


def test_again_orders_rows_without_a_name_once_more_and_then_stands_for_that(
    intake: Intake, engine: Engine, owner: UUID
) -> None:
    text = file_of(3, custom_ids=False)
    take(intake, owner, text)
    assert take(intake, owner, text, again=True).taken == 3
    assert take(intake, owner, text).taken == 0
    assert take(intake, owner, text, again=True).taken == 3
    assert len(all_requests(engine)) == 9


def test_again_that_was_broken_off_is_carried_on_and_not_begun_anew(
    intake: Intake, engine: Engine, owner: UUID
) -> None:
    text = file_of(CHUNK + 5, custom_ids=False)
    take(intake, owner, text)
    with pytest.raises(Killed):
        take(intake, owner, text, again=True, on_progress=kill_after_the_first_chunk)
    taken = take(intake, owner, text, again=True)
    assert (taken.resumed, taken.taken, taken.already_taken) == (True, 5, CHUNK)
    assert len(all_requests(engine)) == 2 * (CHUNK + 5)


def test_the_same_rows_from_somebody_else_are_other_requests(intake: Intake, engine: Engine, owner: UUID) -> None:
    text = file_of(3, custom_ids=False)
    take(intake, owner, text)
    assert take(intake, make_requester(engine, "other").id, text).taken == 3


def test_without_a_digest_each_sending_is_a_batch_of_its_own(intake: Intake, engine: Engine, owner: UUID) -> None:
    text = file_of(3, custom_ids=False)
    assert take(intake, owner, text, digest=None).taken == 3
    assert take(intake, owner, text, digest=None).taken == 3


def test_the_rest_of_a_file_takes_the_rest(intake: Intake, engine: Engine, owner: UUID) -> None:
    take(intake, owner, file_of(3))
    taken = take(intake, owner, file_of(5))
    assert (taken.taken, taken.already_taken, taken.total) == (2, 3, 2)
    assert len(all_requests(engine)) == 5


def test_rows_that_were_bad_before_are_taken_when_what_was_wrong_is_mended(
    intake: Intake, engine: Engine, owner: UUID
) -> None:
    text = "upstream,endpoint,spec.name\navanser,,x\navanser,crm,x\n"
    assert take(intake, owner, text, partial=True).taken == 1
    make_endpoint(engine, make_requester(engine), "https://mine.example/")
    later = take(intake, owner, text, partial=True)
    assert (later.taken, later.already_taken, later.bad) == (1, 1, 0)
    assert take(intake, owner, text).taken == 0
    assert len(all_requests(engine)) == 2


def kill_after_the_first_chunk(progress: Progress) -> None:
    if progress.taken:
        raise Killed


@pytest.mark.parametrize("custom_ids", [True, False])
def test_an_intake_that_was_broken_off_is_carried_on_in_the_same_batch(
    intake: Intake, engine: Engine, owner: UUID, custom_ids: bool
) -> None:
    text = file_of(CHUNK + 500, custom_ids=custom_ids)
    with pytest.raises(Killed):
        take(intake, owner, text, on_progress=kill_after_the_first_chunk)
    assert len(all_requests(engine)) == CHUNK
    taken = take(intake, owner, text)
    assert (taken.resumed, taken.taken, taken.already_taken, taken.total) == (True, 500, CHUNK, CHUNK + 500)
    rows = all_requests(engine)
    assert sorted(row.position or 0 for row in rows) == list(range(1, CHUNK + 501))
    assert {row.batch_id for row in rows} == {taken.batch_id}
    assert count(engine, Batch) == 1


def test_an_intake_that_was_broken_off_after_its_last_row_is_sealed_by_the_next(
    intake: Intake, engine: Engine, owner: UUID
) -> None:
    text = file_of(3, custom_ids=False)
    with pytest.raises(Killed):
        take(intake, owner, text, on_progress=kill_after_the_first_chunk)
    taken = take(intake, owner, text)
    assert (taken.resumed, taken.taken, taken.total, taken.state) == (True, 0, 3, BatchState.RUNNING)
    assert read(engine, lambda session: session.get_one(Batch, taken.batch_id)).sealed_at is not None


def test_two_who_send_the_same_file_at_the_same_moment_fill_one_batch(
    intake: Intake, engine: Engine, owner: UUID
) -> None:
    text = file_of(CHUNK + 10, custom_ids=False)
    seen: list[BatchTaken] = []

    def somebody_else(progress: Progress) -> None:
        if progress.taken == CHUNK and not seen:
            seen.append(take(intake, owner, text))

    mine = take(intake, owner, text, on_progress=somebody_else)
    assert seen[0].batch_id == mine.batch_id
    assert (seen[0].taken, mine.taken, mine.total) == (10, CHUNK, CHUNK + 10)
    assert len(all_requests(engine)) == CHUNK + 10


def test_whoever_opens_a_batch_waits_for_another_who_opens_one_for_the_same_file(
    postgresql_url: str, settings: Settings
) -> None:
    text = file_of(3, custom_ids=False)
    engine = make_engine(postgresql_url, keyring=KEYRING)
    owner = make_requester(engine).id
    intake = Intake(engine, settings, {"avanser": TinyDialect()})
    with ThreadPoolExecutor() as pool:
        with Session(engine, expire_on_commit=False) as session, session.begin():
            source.lock(session, owner)
            later = pool.submit(take, intake, owner, text)
            wait_until(lambda: later.done() or is_waiting(engine))
            digest = hashlib.sha256(text.encode()).hexdigest()
            batch = Batch(
                id=new_id(), requester_id=owner, name="first", state=BatchState.RUNNING, total=0,
                source_digest=digest, created_at=NOW,
            )  # fmt: skip
            session.add(batch)
        assert later.result().batch_id == batch.id
    engine.dispose()


def is_waiting(engine: Engine) -> bool:
    """Whether anybody waits for a lock on this database."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    return bool(read(engine, lambda session: session.scalar(sa.text(waiting))))


def wait_until(holds: Callable[[], bool]) -> None:
    give_up_at = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < give_up_at
        time.sleep(0.01)


def test_a_batch_that_is_cancelled_while_it_is_taken_takes_no_more_rows(
    intake: Intake, engine: Engine, owner: UUID
) -> None:
    def cancel(session: Session) -> None:
        session.execute(sa.update(Batch).values(state=BatchState.CANCELLED))

    def on_progress(progress: Progress) -> None:
        if progress.taken == CHUNK:
            write(engine, cancel)

    taken = take(intake, owner, file_of(3 * CHUNK), on_progress=on_progress)
    assert (taken.state, taken.taken, taken.total) == (BatchState.CANCELLED, CHUNK, CHUNK)
    assert len(all_requests(engine)) == CHUNK


# Checking without taking, and the ways in


def test_a_dry_run_says_what_would_be_taken_and_takes_nothing(intake: Intake, engine: Engine, owner: UUID) -> None:
    take(intake, owner, file_of(2))
    rows = bulk.read(io.BytesIO(file_of(5).encode()), "csv")
    assert intake.check_batch(owner, rows, now=NOW) == (3, 2)
    assert len(all_requests(engine)) == 2
    with pytest.raises(BadRows):
        intake.check_batch(owner, bulk.read(io.BytesIO(b"upstream\nnobody\n"), "csv"), now=NOW)


def test_check_gives_what_would_be_taken(intake: Intake, engine: Engine, owner: UUID) -> None:
    new = read(engine, lambda session: intake.check(session, owner, BODY, NOW, idempotency_key="k", position=7))
    assert (new.upstream, new.idempotency_key, new.position) == ("avanser", "k", 7)
    with pytest.raises(Invalid):
        read(engine, lambda session: intake.check(session, owner, {}, NOW))


def test_a_file_is_checked_with_a_few_queries_not_one_a_row(intake: Intake, engine: Engine, owner: UUID) -> None:
    statements: list[str] = []
    sa.event.listen(engine, "before_cursor_execute", lambda *said: statements.append(said[2]))
    take(intake, owner, file_of(2 * CHUNK))
    assert len(statements) < 60
    statements.clear()
    take(intake, owner, file_of(2 * CHUNK))
    assert not [one for one in statements if "INSERT INTO requests" in one]


def test_progress_tells_checking_and_then_taking(intake: Intake, owner: UUID) -> None:
    seen: list[Progress] = []
    take(intake, owner, file_of(CHUNK + 1), on_progress=seen.append)
    assert [(one.checked, one.taken, one.to_take) for one in seen] == [
        (CHUNK, 0, None),
        (CHUNK + 1, 0, None),
        (CHUNK + 1, CHUNK, CHUNK + 1),
        (CHUNK + 1, CHUNK + 1, CHUNK + 1),
    ]


def test_rows_may_come_from_anywhere(intake: Intake, engine: Engine, owner: UUID) -> None:
    def rows() -> Iterator[Row | RowFault]:
        yield Row(1, {"upstream": "avanser", "spec": {"name": "x"}}, "k-1")

    taken = intake.take_batch(owner, rows(), name="x", now=NOW, actor="test")
    assert taken.taken == 1
    assert all_requests(engine)[0].idempotency_key == "k-1"


def test_the_source_of_a_file_that_was_never_sent_is_new(engine: Engine, owner: UUID) -> None:
    found = read(engine, lambda session: source.find(session, owner, "0" * 64, again=False))
    assert (found.digest, found.interrupted, found.earlier) == ("0" * 64, None, None)
