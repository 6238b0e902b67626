"""The audit: whatever a person or a key steers is written down with who did it, and nothing of it is a secret."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from models import call
from models.act import Act
from models.base import new_id, read, utc_now, write
from models.delivery import Delivery, DeliveryState
from models.requester import ApiKey
from models.state import State
from models.transition import Move, transition
from tests.factory import NOW, make_batch, make_endpoint, make_requester, make_requests
from tests.holding import SYDNEY, done
from tests.integration.cli import Cli, cli, csv_file, environment
from tests.receiver import Api
from worker.cli.actor import actor

__all__ = ["cli", "environment"]

CHANGE = {"spec": {"service": {"type": "transfer", "answer_point": "61132307"}}}

CALLER = "0491 570 156"

URL = "https://crm.example/results?token=do-not-tell"


def acts(engine: Engine, *names: str) -> list[Act]:
    """Of these names, the oldest first; without names all."""
    wanted = sa.select(Act).where(sa.true() if not names else Act.act.in_(names)).order_by(Act.id)
    return read(engine, lambda session: list(session.scalars(wanted)))


def keep_a_call(engine: Engine) -> None:
    row = {
        "id": new_id(),
        "upstream": "avanser",
        "upstream_reference": "1",
        "request_id": new_id(),
        "requester_id": make_requester(engine).id,
        "number": SYDNEY,
        "caller": "+61491570156",
        "parameters": {},
        "received_at": NOW,
    }
    write(engine, lambda session: call.keep(session, row))


def hold(engine: Engine) -> str:
    (held,) = make_requests(engine)
    write(engine, lambda session: transition(session, [Move(held, State.HELD, "test", "outcome_unknown")], NOW))
    return str(held)


def give_up_results(engine: Engine) -> str:
    """Those that are there have failed; returns the id of one."""
    failed = sa.update(Delivery).values(state=DeliveryState.FAILED, due_at=None)
    write(engine, lambda session: session.execute(failed))
    return str(read(engine, lambda session: session.scalar(sa.select(Delivery.id).order_by(Delivery.id).limit(1))))


def steer_by_command_line(cli: Cli) -> Iterator[str]:
    """Everything that the command line can do, and the acts that stand for it, in order."""
    yield cli.json("users", "create", "ann")["password"]
    cli.run("users", "role", "ann", "admin")
    made = cli.json("keys", "create", "--name", "portal", "--requester", "crm")
    yield made["key"]
    cli.run("keys", "limit", made["id"], "--numbers-per-day", 5)
    cli.run("keys", "revoke", made["id"])
    cli.run("keys", "rotate")
    yield cli.json("endpoints", "create", "--url", URL, "--name", "crm")["secret"]
    cli.run("endpoints", "update", "crm", "--types", "request.failed")
    yield cli.json("endpoints", "rotate", "crm")["secret"]
    yield cli.json("endpoints", "secret", "--rotate")["secret"]
    cli.run("endpoints", "disable", "crm", "--reason", "it moved")
    cli.run("endpoints", "enable", "crm")
    cli.run("upstream", "pause", "--all", "--note", "the price list is wrong")
    cli.run("upstream", "resume", "--all", "--note", "mended")
    batch = cli.json("submit", csv_file(cli.folder, "a", "b"))["batch"]["id"]
    for word in ("pause", "resume", "cancel"):
        cli.run("batch", word, batch)
    cli.run("batch", "limit", batch, "--max-numbers", 7)
    done(cli.engine)
    cli.run("numbers", "update", SYDNEY, json.dumps(CHANGE))
    released = cli.json("numbers", "release", SYDNEY)["id"]
    cli.run("cancel", released)
    held = hold(cli.engine)
    cli.run("resolve", held, "--failed", "--note", "not in the portal")
    give_up_results(cli.engine)
    cli.run("replay", "--endpoint", "crm", "--since", (utc_now() - timedelta(days=900)).isoformat(), "--yes")
    give_up_results(cli.engine)
    cli.run("replay", held)
    keep_a_call(cli.engine)
    cli.run("export", "--caller", CALLER)
    cli.run("erase", "--caller", CALLER, "--yes")


BY_COMMAND_LINE = [
    "user.create", "user.role", "key.create", "key.limit", "key.revoke", "secret_key.rotate", "endpoint.create",
    "endpoint.change", "endpoint.rotate", "requester.rotate", "endpoint.disable", "endpoint.enable", "upstream.pause",
    "upstream.resume", "batch.pause", "batch.resume", "batch.cancel", "batch.limit", "number.change", "number.release",
    "request.cancel", "request.resolve", "endpoint.replay", "delivery.replay", "caller.export",
    "caller.erase",
]  # fmt: skip


def test_all_that_the_command_line_steers_is_written_down_and_no_secret_with_it(cli: Cli) -> None:
    secrets = [*steer_by_command_line(cli)]
    found = acts(cli.engine)
    assert [row.act for row in found] == BY_COMMAND_LINE
    assert {row.actor for row in found} == {actor()}
    said = json.dumps([[row.subject, row.reason, row.data] for row in found])
    assert [secret for secret in [*secrets, "do-not-tell", "491570156", "0491"] if secret in said] == []
    assert [secret for secret in secrets if len(secret) < 20] == []
    reasons = {row.act: row.reason for row in found if row.reason}
    assert reasons == {
        "endpoint.disable": "it moved",
        "upstream.pause": "the price list is wrong",
        "upstream.resume": "mended",
        "request.resolve": "not in the portal",
    }


def steer_by_api(api: Api) -> None:
    """Everything that a key can do, but to make requests."""

    def post(path: str, body: Any = None, method: str = "POST") -> Any:
        answer = api.call(method, path, json=body)
        assert answer.status_code < 300, answer.text
        return answer.json

    id_ = post("/v1/endpoints", {"url": URL, "name": "crm"})["id"]
    post(f"/v1/endpoints/{id_}", {"types": ["request.failed"]}, "PATCH")
    post(f"/v1/endpoints/{id_}/rotate")
    post(f"/v1/endpoints/{id_}", {"disabled": True}, "PATCH")
    post(f"/v1/endpoints/{id_}", {"disabled": False}, "PATCH")
    post(f"/v1/endpoints/{id_}/test")
    batch = make_batch(api.engine, 2)
    make_requests(api.engine, 2, batch_id=batch)
    for word in ("pause", "resume", "cancel"):
        post(f"/v1/batches/{batch}/{word}")
    done(api.engine)
    post(f"/v1/numbers/{SYDNEY.removeprefix('+')}", CHANGE, "PATCH")
    post(f"/v1/numbers/{SYDNEY.removeprefix('+')}", None, "DELETE")
    post(f"/v1/requests/{hold(api.engine)}/resolve", {"outcome": "failed", "note": "not in the portal"})
    delivery = give_up_results(api.engine)
    post(f"/v1/deliveries/{delivery}/replay")
    post(f"/v1/endpoints/{id_}/replay?since=2020-01-01T00:00:00Z")


BY_API = [
    "endpoint.create", "endpoint.change", "endpoint.rotate", "endpoint.disable", "endpoint.enable", "endpoint.test",
    "batch.pause", "batch.resume", "batch.cancel", "number.change", "number.release", "request.resolve",
    "delivery.replay", "endpoint.replay",
]  # fmt: skip


def test_all_that_a_key_steers_is_written_down(api: Api) -> None:
    steer_by_api(api)
    found = acts(api.engine)
    assert [row.act for row in found] == BY_API
    key_id = read(api.engine, lambda session: session.scalar(sa.select(ApiKey.id)))
    assert {row.actor for row in found} == {f"key {key_id}"}
    assert "do-not-tell" not in json.dumps([row.data for row in found])


def test_what_is_as_it_was_is_not_written_down(api: Api) -> None:
    id_ = make_endpoint(api.engine, make_requester(api.engine), "https://crm.example/").id
    batch = make_batch(api.engine, 1)
    for _ in range(2):
        api.post(f"/v1/batches/{batch}/pause")
        api.call("PATCH", f"/v1/endpoints/{id_}", json={"name": "other"})
    assert [row.act for row in acts(api.engine)] == ["batch.pause", "endpoint.change"]


def test_what_is_refused_is_not_written_down(cli: Cli) -> None:
    held = hold(cli.engine)
    cli.run("resolve", held, "--completed", status=1)
    cli.run("endpoints", "rotate", "nobody", status=2)
    cli.run("keys", "revoke", "01a2059d-f346-75e6-a294-7a6dcbc09932", status=2)
    assert acts(cli.engine) == []


def test_the_list_is_narrowed_and_pages(cli: Cli) -> None:
    for name in ("avanser", "telmetrics"):
        cli.run("upstream", "pause", name, "--note", f"{name} is slow")
    cli.run("upstream", "resume", "avanser")
    cli.json("users", "create", "ann")

    def found(*words: str) -> list[tuple[str, str]]:
        return [(one["act"], one["subject"]) for one in cli.json("audit", *words)["data"]]

    paused = [("upstream.pause", "telmetrics"), ("upstream.pause", "avanser")]
    assert found("--act", "upstream.pause") == paused
    assert found("--act", "upstream") == [("upstream.resume", "avanser"), *paused]
    assert found("--subject", "ann") == [("user.create", "ann")]
    assert found("--actor", "user:ann") == []
    first = cli.json("audit", "--limit", "3")
    assert found("--limit", "3", "--cursor", first["next_cursor"]) == [("upstream.pause", "avanser")]
    assert "telmetrics is slow" in cli.run("audit").stdout
    assert "not a cursor" in cli.run("audit", "--cursor", "x", status=2).stderr


@pytest.mark.parametrize("flag", [[], ["--json"]])
def test_an_empty_audit_is_an_empty_list(cli: Cli, flag: list[str]) -> None:
    assert "upstream." not in cli.run("audit", *flag).stdout
