"""The life of a key: two at once, its end, its revocation, and when it was last used."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from models.base import make_engine, read, utc_now, write
from models.clock import Clock
from models.requester import ApiKey, Caller, Scope, create_key, find_caller, find_or_make, note_use, revoke_key
from tests.receiver import Api
from tests.sandbox import eventually
from webhook_receiver.key_uses import KeyUses

PATH = "/v1/requests"


def new_key(api: Api, **more: Any) -> tuple[UUID, str]:
    now = utc_now()
    owner = write(api.engine, lambda session: find_or_make(session, "default", now))
    key, text = write(api.engine, lambda session: create_key(session, owner, "test", [Scope.READ], now, **more))
    return key.id, text


def last_used(api: Api, key_id: UUID) -> datetime | None:
    return read(api.engine, lambda session: session.get_one(ApiKey, key_id).last_used_at)


def test_a_requester_changes_over_from_one_key_to_another_without_a_gap(api: Api) -> None:
    (old_id, old), (_, new) = new_key(api), new_key(api)
    assert [api.get(PATH, key=key).status_code for key in (old, new)] == [200, 200]
    write(api.engine, lambda session: revoke_key(session, old_id, utc_now()))
    assert [api.get(PATH, key=key).status_code for key in (old, new)] == [401, 200]


def test_an_unknown_a_revoked_and_an_expired_key_get_the_very_same_answer(api: Api) -> None:
    revoked_id, revoked = new_key(api)
    _, expired = new_key(api, expires_at=utc_now() - timedelta(seconds=1))
    write(api.engine, lambda session: revoke_key(session, revoked_id, utc_now()))
    answers = [api.get(PATH, key=key) for key in ("tk_unknown", revoked, expired)]
    assert {answer.status_code for answer in answers} == {401}
    assert len({json.dumps(answer.json) for answer in answers}) == 1
    headers = [[(name, value) for name, value in answer.headers if name != "X-Request-Id"] for answer in answers]
    assert headers[0] == headers[1] == headers[2]


def test_a_key_works_until_its_end_and_no_longer(api: Api) -> None:
    key_id, key = new_key(api, expires_at=utc_now() + timedelta(days=1))
    assert api.get(PATH, key=key).status_code == 200
    ended = sa.update(ApiKey).where(ApiKey.id == key_id).values(expires_at=utc_now() - timedelta(seconds=1))
    write(api.engine, lambda session: session.execute(ended))
    assert api.get(PATH, key=key).status_code == 401


def test_a_use_is_noted_by_itself_soon_after_it(api: Api) -> None:
    key_id, key = new_key(api)
    before = utc_now()
    assert api.get(PATH, key=key).status_code == 200
    used_at = eventually(lambda: last_used(api, key_id), within=10)
    assert used_at is not None
    assert before - timedelta(seconds=1) <= used_at <= utc_now() + timedelta(seconds=1)


def test_a_key_that_is_refused_for_its_scope_was_used_and_a_closed_one_was_not(api: Api) -> None:
    (used_id, used), (closed_id, closed) = new_key(api), new_key(api)
    write(api.engine, lambda session: revoke_key(session, closed_id, utc_now()))
    assert api.post(f"{PATH}/{used_id}/cancel", key=used).status_code == 403
    assert api.get(PATH, key=closed).status_code == 401
    uses: KeyUses = api.app.extensions["trunkline"].key_uses
    assert uses.write() == 1
    assert (last_used(api, used_id) is not None, last_used(api, closed_id)) == (True, None)


def test_uses_of_a_key_are_written_once_a_minute_by_however_many_processes(engine: Engine) -> None:
    now = utc_now()
    owner = write(engine, lambda session: find_or_make(session, "default", now))
    key, text = write(engine, lambda session: create_key(session, owner, "test", [Scope.READ], now))

    def note(at: datetime) -> int:
        return write(engine, lambda session: note_use(session, {key.id}, at))

    assert [note(now + timedelta(seconds=passed)) for passed in (0, 1, 59, 60, 61)] == [1, 0, 0, 1, 0]
    known = read(engine, lambda session: find_caller(session, text, now))
    assert known is not None
    uses = KeyUses(engine, Clock())
    uses.note(known)  # noted a moment ago
    assert uses._used == set()


def test_a_key_that_another_is_writing_is_passed_over(postgresql: Engine) -> None:
    now = utc_now()
    owner = write(postgresql, lambda session: find_or_make(session, "default", now))
    key, _ = write(postgresql, lambda session: create_key(session, owner, "test", [Scope.READ], now))
    with postgresql.begin() as other:
        other.execute(sa.select(ApiKey.id).where(ApiKey.id == key.id).with_for_update())
        assert write(postgresql, lambda session: note_use(session, {key.id}, now)) == 0
    assert write(postgresql, lambda session: note_use(session, {key.id}, now)) == 1


def test_a_database_that_does_not_take_it_costs_nobody_his_answer(caplog: pytest.LogCaptureFixture) -> None:
    away = make_engine("sqlite:////nowhere/at/all.db")
    uses = KeyUses(away, Clock())
    caller = Caller(UUID(int=1), UUID(int=2), "default", frozenset())
    with caplog.at_level(logging.WARNING):
        uses.note(caller)
        assert eventually(lambda: "last used is not noted" in caplog.text, within=10)
    uses.close()
    away.dispose()
