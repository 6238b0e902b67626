"""Who called and what was written is kept for a set time, shown to whom it may be, and erased when asked."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from models import personal
from models.base import new_id, read, utc_now, write
from models.call import Call
from models.delivery import Delivery
from models.delivery_attempt import DeliveryAttempt
from models.inbox import Received
from models.message import Message
from models.personal import Erased
from models.requester import Scope
from tests.factory import make_endpoint, make_requester
from tests.holding import SYDNEY, done
from tests.integration.cli import Cli, cli, environment
from tests.receiver import Api, receiver, settings_for
from tests.working import dumped, every
from worker import relay
from worker.inbox import read_inbox
from worker.runtime import Runtime

__all__ = ["cli", "environment"]

CALLER, OTHER = "+61405061663", "+61405061664"
TEXT = "Call me + bring tea"
AT = "2026-11-11T16:49:17+10:00"


def came(api: Api, runtime: Runtime, what: str, reference: str, caller: str) -> None:
    """AVANSER tells of a call or a message to Sydney's number, and it is read."""
    id_name = "callid" if what == "calls" else "smsid"
    fields = {id_name: reference, "bnum": SYDNEY, "ani": caller, "tzdate": AT, "message": TEXT}
    path = urlsplit(runtime.uris.of_portal("avanser")[what]).path
    assert api.get(f"{path}?{urlencode(fields)}", key=None).status_code == 200
    read_inbox(runtime)


@pytest.fixture
def told(api: Api, runtime: Runtime, engine: Engine) -> None:
    """A call and a message of one caller, a call of another, and results that told of them."""
    make_endpoint(engine, make_requester(engine), "https://crm.test")
    done(engine, at=utc_now() - timedelta(days=300))
    came(api, runtime, "calls", "17", CALLER)
    came(api, runtime, "messages", "18", CALLER)
    came(api, runtime, "calls", "19", OTHER)
    assert [one.caller for one in every(engine, Call)] == [CALLER, OTHER]
    assert [(one.sender, one.text) for one in every(engine, Message)] == [(CALLER, TEXT)]


def erase(engine: Engine, *people: str) -> Erased:
    return write(engine, lambda session: personal.erase(session, people))


def test_a_caller_is_erased_from_all_that_told_of_them_and_nobody_else_is(told: None, engine: Engine) -> None:
    assert CALLER[3:] in dumped(engine)
    assert TEXT in dumped(engine)
    assert erase(engine, CALLER) == Erased(calls=1, messages=1, deliveries=2, inbox=2)
    assert CALLER[3:] not in dumped(engine)
    assert [(one.caller, one.upstream_reference) for one in every(engine, Call)] == [(None, "17"), (OTHER, "19")]
    (kept,) = (one for one in every(engine, Delivery) if one.data.get("upstream_reference") == "19")
    assert kept.data["caller"] == OTHER
    assert erase(engine, CALLER) == Erased()


def test_a_repeat_of_what_was_erased_is_still_known(told: None, api: Api, runtime: Runtime, engine: Engine) -> None:
    erase(engine, CALLER)
    came(api, runtime, "calls", "17", CALLER)
    assert CALLER[3:] not in dumped(engine)
    assert len(every(engine, Call)) == 2


def test_what_is_not_read_yet_is_not_emptied(api: Api, runtime: Runtime, engine: Engine, told: None) -> None:
    write(engine, lambda session: session.execute(sa.update(Received).values(due_at=utc_now())))
    assert erase(engine, CALLER).inbox == 0


def test_what_is_old_is_deleted_by_the_relay_and_what_is_not_stays(
    told: None, engine: Engine, runtime: Runtime
) -> None:
    write(engine, lambda session: session.execute(sa.update(Delivery).values(due_at=None)))
    call = next(one for one in every(engine, Delivery) if one.type == "call.finished")
    tried = DeliveryAttempt(id=new_id(), delivery_id=call.id, at=utc_now(), status=500, latency_ms=1, answer="sorry")
    write(engine, lambda session: session.add(tried))
    year = timedelta(days=365)
    assert relay.forget_people(runtime, utc_now() + year - timedelta(hours=2)) == 0
    assert relay.forget_people(runtime, utc_now() + year + timedelta(hours=2)) == 9
    assert CALLER[3:] not in dumped(engine)
    assert OTHER[3:] not in dumped(engine)
    assert [one.type for one in every(engine, Delivery)] == ["request.completed"]
    assert every(engine, DeliveryAttempt) == []


def test_a_result_that_has_not_arrived_is_not_deleted(told: None, engine: Engine) -> None:
    write(engine, lambda session: personal.forget(session, utc_now() + timedelta(hours=2)))
    assert len([one for one in every(engine, Delivery) if one.type != "request.completed"]) == 3


def test_kept_for_ever_where_the_setting_says_so(
    told: None, engine: Engine, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime.settings.environment, "calls_kept_for", 0)
    assert relay.forget_people(runtime, utc_now() + timedelta(days=10_000)) == 0
    assert len(every(engine, Call)) == 2


def test_old_rows_go_piece_by_piece(told: None, engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(personal, "CHUNK", 1)
    later = utc_now() + timedelta(hours=2)
    write(engine, lambda session: session.execute(sa.update(Delivery).values(due_at=None)))
    gone = [write(engine, lambda session: personal.forget(session, later)) for _ in range(4)]
    assert gone == [4, 3, 2, 0]


def test_without_the_scope_a_caller_is_three_digits(
    told: None, database_url: str, engine: Engine, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_for(monkeypatch, database_url, str(tmp_path), TRUNKLINE_CALLERS_SHOWN_TO="operate")
    with receiver(settings, engine) as api:
        reader = api.make_key(Scope.READ)
        for path, name in (("/v1/calls", "caller"), ("/v1/messages", "sender")):
            whole = (api.get(path).json or {})["data"][-1]
            masked = (api.get(path, key=reader).json or {})["data"][-1]
            assert (whole[name], masked[name]) == (CALLER, "…663")
            assert whole["parameters"]
            assert masked["parameters"] == {}
            assert masked.get("text") is None
            assert {**masked, **{key: whole[key] for key in (name, "parameters", "text") if key in whole}} == whole


def test_what_upstreams_told_otherwise_or_of_no_number_of_ours_is_erased_by_command_too(
    told: None, api: Api, runtime: Runtime, cli: Cli, engine: Engine
) -> None:
    path = urlsplit(runtime.uris.of_portal("avanser")["calls"]).path
    told_otherwise = {"callid": "17", "bnum": SYDNEY, "ani": CALLER, "duration": "61"}
    of_another_number = {"callid": "20", "bnum": "+61299990000", "ani": "+61-0405061663"}
    for fields in (told_otherwise, of_another_number):
        assert api.get(f"{path}?{urlencode(fields)}", key=None).status_code == 200
    assert api.post(path, key=None, data=json.dumps(of_another_number).encode()).status_code == 200
    read_inbox(runtime)
    write(engine, lambda session: session.execute(sa.update(Received).values(due_at=None)))
    assert cli.json("erase", "--caller", CALLER, "--yes")["inbox"] == 5
    assert CALLER[3:] not in dumped(engine)
    assert len(every(engine, Received)) == 6


def test_what_is_kept_of_a_caller_is_exported(told: None, cli: Cli) -> None:
    rows = [json.loads(line) for line in cli.run("export", "--caller", "0405 061 663").stdout.splitlines()]
    assert [(row["type"], row["upstream_reference"]) for row in rows] == [("call", "17"), ("message", "18")]
    assert rows[0]["caller"] == rows[1]["sender"] == CALLER
    assert rows[1]["text"] == TEXT
    assert cli.run("export", "--caller", "0405 061 663", "--requester", "default").stdout.count("\n") == 2
    assert cli.run("export", "--caller", "0405 061 665").stdout == ""
    assert "is not a phone number" in cli.run("export", "--caller", "Ann", status=2).stderr
    assert "NDJSON alone" in cli.run("export", "--caller", CALLER, "--format", "csv", status=2).stderr


def test_a_caller_is_erased_by_command_in_any_format(told: None, cli: Cli, engine: Engine) -> None:
    assert "add --yes" in cli.run("erase", "--caller", "0405 061 663", status=2).stderr
    assert "is not a phone number" in cli.run("erase", "--caller", "Ann", "--yes", status=2).stderr
    assert cli.json("erase", "--caller", "(04) 0506 1663", "--yes") == {
        "calls": 1,
        "messages": 1,
        "deliveries": 2,
        "inbox": 2,
    }
    assert "Nothing here came from" in cli.run("erase", "--caller", CALLER, "--yes").stdout
    assert read(engine, lambda session: session.scalar(sa.select(sa.func.count()).where(Call.caller == CALLER))) == 0
