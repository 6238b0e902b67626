"""Secrets at rest: what the database holds is sealed, opens with the right key alone, and follows a change of keys."""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from models import endpoint as endpoints
from models import resealing
from models.base import make_engine, new_id, read, write
from models.delivery import Delivery, DeliveryState
from models.endpoint import Endpoint, EventType
from models.requester import Requester, Scope, create_key
from models.resealing import Counts, reseal, survey
from models.sealed import MARK, Keyring
from tests.factory import KEYRING, NOW, SECRET_KEY, fetch, make_endpoint, make_requester, make_requests
from tests.integration.cli import Cli, cli, environment
from tests.receiver import Api
from tests.working import dumped, every
from worker.deliver import UNSIGNED, deliver
from worker.runtime import Runtime

__all__ = ["cli", "environment"]

NEW_KEY = "another secret for tests that is long enough"
BOTH = Keyring([NEW_KEY, SECRET_KEY])


def stored(engine: Engine) -> list[str]:
    """The secrets as they stand in the database."""
    with engine.connect() as connection:
        return [
            secret
            for statement in ("SELECT secret FROM requesters", "SELECT secret FROM endpoints")
            for secret in connection.execute(sa.text(statement)).scalars()
        ] + [
            secret
            for secret in connection.execute(sa.text("SELECT previous_secret FROM endpoints")).scalars()
            if secret is not None
        ]


def put_in_clear(engine: Engine, secret: str) -> None:
    write(engine, lambda session: session.execute(sa.text(f"UPDATE endpoints SET secret = '{secret}'")))  # noqa: S608


@pytest.fixture
def made(engine: Engine) -> Endpoint:
    """An endpoint whose secret was changed, so that it has two."""
    id_ = make_endpoint(engine, make_requester(engine), "https://crm.test").id
    return write(engine, lambda session: _rotated(session.get_one(Endpoint, id_), session))


def _rotated(found: Endpoint, session: Any) -> Endpoint:
    endpoints.rotate(session, found, NOW + timedelta(days=1))
    return found


def test_what_the_database_holds_is_sealed_and_what_python_sees_is_not(engine: Engine, made: Endpoint) -> None:
    found = fetch_endpoint(engine)
    assert found.secret == made.secret
    assert str(found.secret).startswith("whsec_")
    assert str(found.previous_secret).startswith("whsec_")
    assert all(secret.startswith(MARK) for secret in stored(engine))
    assert len(set(stored(engine))) == 3
    assert max(len(secret) for secret in stored(engine)) <= 200


def fetch_endpoint(engine: Engine) -> Endpoint:
    return read(engine, lambda session: session.scalars(sa.select(Endpoint)).one())


def test_a_secret_is_never_sealed_the_same_way_twice() -> None:
    assert KEYRING.seal("whsec_a", "a.b") != KEYRING.seal("whsec_a", "a.b")


def test_one_opens_only_in_its_own_column_with_its_own_key_and_unchanged() -> None:
    sealed = KEYRING.seal("whsec_a", "a.b")
    assert KEYRING.open(sealed, "a.b") == "whsec_a"
    assert BOTH.open(sealed, "a.b") == "whsec_a"
    assert KEYRING.open(sealed, "a.c") is None
    assert Keyring([NEW_KEY]).open(sealed, "a.b") is None
    swapped = "A" if sealed[-5] != "A" else "B"
    assert KEYRING.open(f"{sealed[:-5]}{swapped}{sealed[-4:]}", "a.b") is None
    assert KEYRING.open(sealed[:40], "a.b") is None
    assert KEYRING.open(MARK, "a.b") is None


def test_without_keys_no_secret_is_written_open(sqlite_url: str) -> None:
    engine = make_engine(sqlite_url)
    with pytest.raises(sa.exc.StatementError, match="made without the secret key"):
        make_requester(engine)
    engine.dispose()


def test_after_a_change_of_keys_all_is_sealed_under_the_new_one_and_the_old_one_can_go(
    engine: Engine, made: Endpoint, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resealing, "CHUNK", 1)
    make_requester(engine, "another")
    make_endpoint(engine, make_requester(engine), "https://erp.test", name="erp")
    assert survey(engine, BOTH) == reseal(engine, BOTH) == Counts(sealed=5)
    assert reseal(engine, BOTH) == Counts(current=5)
    only_new = make_engine(database_url, keyring=Keyring([NEW_KEY]))
    found = read(only_new, lambda session: session.get_one(Endpoint, made.id))
    assert (found.secret, found.previous_secret) == (made.secret, made.previous_secret)
    only_new.dispose()


def test_one_in_clear_from_an_earlier_release_is_read_and_then_sealed(engine: Engine, made: Endpoint) -> None:
    put_in_clear(engine, "whsec_clear")
    assert fetch_endpoint(engine).secret == "whsec_clear"
    assert reseal(engine, KEYRING) == Counts(current=2, sealed=1)
    assert fetch_endpoint(engine).secret == "whsec_clear"
    assert "whsec_clear" not in stored(engine)


def test_what_no_key_opens_is_counted_and_left(
    engine: Engine, made: Endpoint, caplog: pytest.LogCaptureFixture
) -> None:
    lost = Keyring([NEW_KEY]).seal("whsec_lost", "endpoints.secret")
    put_in_clear(engine, lost)
    with caplog.at_level(logging.ERROR):
        assert fetch_endpoint(engine).secret is None
    assert "endpoints.secret opens with no key in TRUNKLINE_SECRET_KEY" in caplog.text
    assert reseal(engine, KEYRING) == Counts(current=2, unopened=1)
    assert lost in stored(engine)


def test_a_result_whose_secret_is_lost_waits_and_takes_no_other_with_it(runtime: Runtime, engine: Engine) -> None:
    owner = make_requester(engine)
    lost = make_endpoint(engine, owner, "http://127.0.0.1:1/", name="lost")
    put_in_clear(engine, Keyring([NEW_KEY]).seal("whsec_lost", "endpoints.secret"))
    make_endpoint(engine, owner, "http://127.0.0.1:1/")
    (request,) = make_requests(engine)
    fetch(engine, request)
    due = {"requester_id": owner.id, "type": str(EventType.REQUEST_HELD), "data": {}, "state": DeliveryState.PENDING}
    for one in read(engine, lambda session: session.scalars(sa.select(Endpoint)).all()):
        row = Delivery(id=new_id(), endpoint_id=one.id, created_at=NOW, due_at=NOW, **due)
        write(engine, lambda session, row=row: session.add(row))  # type: ignore[misc]
    deliver(runtime)
    errors = {row.endpoint_id == lost.id: row.last_error or "" for row in every(engine, Delivery)}
    assert errors[True] == UNSIGNED
    assert errors[False] not in ("", UNSIGNED)
    assert {row.state for row in every(engine, Delivery)} == {DeliveryState.PENDING}


def test_keys_rotate_seals_anew_and_says_what_is_open(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    made = cli.json("endpoints", "create", "--url", "https://example.com/hook")
    make_requests(cli.engine, 2)
    monkeypatch.setenv("TRUNKLINE_SECRET_KEY", f"{NEW_KEY},{SECRET_KEY}")
    assert cli.json("keys", "rotate") == {"current": 0, "sealed": 2, "unopened": 0, "open_requests": 2}
    assert "2 were before" in cli.run("keys", "rotate").stdout
    monkeypatch.setenv("TRUNKLINE_SECRET_KEY", SECRET_KEY)
    refused = cli.run("keys", "rotate", status=1).stderr
    assert "2 secrets open with none of the keys in TRUNKLINE_SECRET_KEY" in refused
    monkeypatch.setenv("TRUNKLINE_SECRET_KEY", NEW_KEY)
    assert made["secret"].startswith("whsec_")
    assert cli.json("endpoints", "secret")["secret"].startswith("whsec_")


def test_doctor_names_secrets_that_are_not_sealed_under_the_first_key(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_requester(cli.engine)
    monkeypatch.setenv("TRUNKLINE_SECRET_KEY", f"{NEW_KEY},{SECRET_KEY}")
    assert "trunkline keys rotate" in _doctor(cli)
    monkeypatch.setenv("TRUNKLINE_SECRET_KEY", NEW_KEY)
    assert "1 open with no key in TRUNKLINE_SECRET_KEY" in _doctor(cli)


def _doctor(cli: Cli) -> str:
    return str([one for one in cli.json("doctor", status=3)["checks"] if one["what"] == "secrets"])


def test_a_dump_of_the_database_holds_no_secret_that_can_be_used(api: Api, engine: Engine, tmp_path: Path) -> None:
    created = api.post("/v1/endpoints", json={"url": "https://example.com/hook"}).json
    assert created is not None
    first = created["secret"]
    rotated = api.post(f"/v1/endpoints/{created['id']}/rotate").json
    assert rotated is not None
    owner = make_requester(engine)
    _, key = write(engine, lambda session: create_key(session, owner, "crm", [Scope.READ], NOW))
    (request,) = make_requests(engine, owner=owner, custom_id="dealer-17", notify_url="https://example.com/once")
    token = api.token(of=request)
    assert api.post(f"/callbacks/avanser/{token}", key=None, json={"status": "accepted"}).status_code == 200
    dump = dumped(engine)
    assert "dealer-17" in dump
    own = read(engine, lambda session: session.get_one(Requester, owner.id)).secret
    for secret in (first, rotated["secret"], own, key, api.key, token):
        assert secret
        assert secret.removeprefix("whsec_").removeprefix("tk_") not in dump
