"""The client for backends against the receiver's own process, over connections that break and answers that are lost."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread, Timer
from types import UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints
from uuid import UUID, uuid4

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from models.base import make_engine, read, utc_now, write
from models.request import Request
from models.requester import Requester, Scope
from models.state import State
from models.transition import Move, transition
from tests.catcher import Catcher
from tests.chaos.proxy import Direction, Proxy
from tests.factory import KEYRING
from tests.integration.test_receiver_process import ROOT, serving
from tests.receiver import BODY, csv_file, make_key, row
from tests.sandbox import eventually
from worker.client import (
    AsyncClient,
    Client,
    Forged,
    Invalid,
    KeyReused,
    NotAllowed,
    NotFound,
    NotNow,
    Refused,
    StillOpen,
    Unanswered,
    shapes,
    verify_webhook,
)
from worker.client.asking import Patience
from worker.signing import sign

Forgery = Callable[[Mapping[str, str], bytes], tuple[dict[str, str], bytes]]

SECRET, OLD_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_" + "B" * 32


class Backend:
    """A receiver process, a proxy before it, and the database behind it."""

    def __init__(self, engine: Engine, port: int, proxy: Proxy) -> None:
        self.engine, self.port, self.proxy = engine, port, proxy
        self.new_requester()

    def client(self, *, direct: bool = False, key: str = "", **seconds: float) -> Client:
        return Client(self.url(direct=direct), key or self.key, **seconds)

    def url(self, *, direct: bool = False) -> str:
        return f"http://127.0.0.1:{self.port if direct else self.proxy.port}"

    def new_requester(self) -> None:
        """With nothing of its own yet, so that no test sees what another made."""
        self._requester = uuid4().hex
        self.key = make_key(self.engine, *Scope, requester=self._requester)

    def requests(self) -> list[Request]:
        its = sa.select(Request).join(Requester).where(Requester.name == self._requester).order_by(Request.id)
        return read(self.engine, lambda session: list(session.scalars(its)))

    def move(self, id_: str, state: State, **fields: Any) -> None:
        move = Move(UUID(id_), state, "test", **fields)
        write(self.engine, lambda session: transition(session, [move], utc_now()))


@pytest.fixture(scope="module")
def backends(tmp_path_factory: pytest.TempPathFactory, _sqlite_template: Path) -> Iterator[Backend]:
    """One process for all tests here."""
    folder = tmp_path_factory.mktemp("client")
    url = f"sqlite:///{folder / 'trunkline.sqlite'}"
    (folder / "trunkline.sqlite").write_bytes(_sqlite_template.read_bytes())
    engine = make_engine(url, keyring=KEYRING)
    with serving(url, folder) as server, Proxy(server.port) as proxy:
        yield Backend(engine, server.port, proxy)
    engine.dispose()


@pytest.fixture
def backend(backends: Backend) -> Iterator[Backend]:
    """For a requester of the test's own."""
    backends.new_requester()
    yield backends
    backends.proxy.release(Direction.TO_CLIENT)


def body(custom_id: str = "dealer-17") -> dict[str, Any]:
    return BODY | {"custom_id": custom_id}


def test_a_request_is_asked_for_found_and_listed(backend: Backend) -> None:
    with backend.client() as client:
        made = [client.submit(body(f"dealer-{n}")) for n in range(5)]
        assert client.get(made[0]["id"]) == made[0]
        listed = [one["custom_id"] for one in client.list(limit=2, state="queued")]
        assert listed == [f"dealer-{n}" for n in reversed(range(5))]
        assert [one["id"] for one in client.list(q="dealer-3")] == [made[3]["id"]]
        assert list(client.numbers()) == []


def test_a_key_of_ones_own_makes_asking_twice_harmless(backend: Backend) -> None:
    with backend.client() as client:
        assert client.submit(body(), idempotency_key="k") == client.submit(body(), idempotency_key="k")
        with pytest.raises(KeyReused) as caught:
            client.submit(body("dealer-18"), idempotency_key="k")
    assert (caught.value.code, len(backend.requests())) == ("idempotency_key_reused", 1)


def test_without_a_key_two_calls_are_two_requests(backend: Backend) -> None:
    with backend.client() as client:
        assert client.submit(body())["id"] != client.submit(body())["id"]


def test_an_answer_that_never_comes_orders_nothing_twice(backend: Backend) -> None:
    """The first tries take effect and time out; when answers pass again, the same request is found."""
    backend.proxy.hold(Direction.TO_CLIENT)
    tries = Timer(2.0, backend.proxy.release, [Direction.TO_CLIENT])
    tries.start()
    with backend.client(timeout=0.5) as client:
        request = client.submit(body())
    tries.join()
    assert [str(one.id) for one in backend.requests()] == [request["id"]]


def test_a_connection_that_is_dropped_after_the_effect_orders_nothing_twice(backend: Backend) -> None:
    backend.proxy.hold(Direction.TO_CLIENT)

    def drop() -> None:
        eventually(backend.requests)
        backend.proxy.cut()
        backend.proxy.release(Direction.TO_CLIENT)

    dropper = Thread(target=drop)
    dropper.start()
    with backend.client() as client:
        request = client.submit(body())
    dropper.join()
    assert [str(one.id) for one in backend.requests()] == [request["id"]]


def test_what_is_not_answered_can_be_asked_again_with_the_key_that_the_error_names(backend: Backend) -> None:
    backend.proxy.hold(Direction.TO_CLIENT)
    with backend.client(timeout=0.3, deadline=1.0) as client:
        with pytest.raises(Unanswered) as caught:
            client.submit(body())
        backend.proxy.release(Direction.TO_CLIENT)
        client.submit(body(), idempotency_key=caught.value.idempotency_key)
    assert len(backend.requests()) == 1


def test_a_receiver_that_is_away_for_a_moment_is_waited_for(backend: Backend) -> None:
    backend.proxy.refuse()
    back = Timer(1.0, backend.proxy.accept)
    back.start()
    with backend.client() as client:
        client.submit(body())
        client.cancel(client.submit(body())["id"])
    back.join()
    assert [one.state for one in backend.requests()] == [State.QUEUED, State.CANCELLED]


def test_a_batch_whose_answer_was_lost_is_found_not_taken_again(backend: Backend, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes(csv_file([row(f"dealer-{n}") for n in range(20)]))
    seen: list[tuple[int, int]] = []
    backend.proxy.hold(Direction.TO_CLIENT)
    release = Timer(2.5, backend.proxy.release, [Direction.TO_CLIENT])
    release.start()
    with backend.client() as client:
        client._batch_patience = Patience(1.0, 60.0)
        taken = client.submit_batch(tmp_path / "rows.csv", name="dealers", on_progress=lambda *at: seen.append(at))
        again = client.submit_batch(str(tmp_path / "rows.csv"))
        found = client.batch(taken["id"])
        members = list(client.list(batch=taken["id"], limit=7))
    release.join()
    assert (taken["total"], again["id"], found["total"], len(members)) == (20, taken["id"], 20, 20)
    assert (again["taken"], again["already_taken"], len(backend.requests())) == (0, 20, 20)
    assert seen[-1][0] == seen[-1][1] == (tmp_path / "rows.csv").stat().st_size


def test_bad_rows_are_named_by_line(backend: Backend) -> None:
    with backend.client() as client:
        with pytest.raises(Invalid) as caught:
            client.submit_batch([body("a"), body("b") | {"upstream": "acme"}])
        partial = client.submit_batch([body("a"), body("b") | {"upstream": "acme"}], partial=True)
    assert caught.value.code == "bad_rows"
    assert [(one["line"], one["field"]) for one in caught.value.errors] == [(2, "upstream")]
    assert "line 2 /upstream" in str(caught.value)
    assert (partial["taken"], partial["bad"], partial["errors"][0]["line"]) == (1, 1, 2)


def test_a_file_of_no_known_kind_is_refused_before_it_is_sent(backend: Backend, tmp_path: Path) -> None:
    with backend.client() as client, pytest.raises(ValueError, match=r"rows\.xlsx must end in one of \.csv"):
        client.submit_batch(tmp_path / "rows.xlsx")


def test_a_request_is_waited_for_until_it_is_settled(backend: Backend) -> None:
    with backend.client() as client:
        made = client.submit(body())
        with pytest.raises(StillOpen) as caught:
            client.wait(made["id"], timeout=0)
        assert caught.value.last["state"] == "queued"
        done = Timer(0.5, backend.move, [made["id"], State.COMPLETED], {"changes": {"number": "+61280740801"}})
        done.start()
        assert client.wait(made["id"], timeout=30)["number"] == "+61280740801"
        done.join()
        assert client.number("+61280740801")["request"] == made["id"]
        assert [one["number"] for one in client.numbers(released="any")] == ["+61280740801"]


def test_a_request_is_steered_and_a_no_is_said(backend: Backend) -> None:
    with backend.client() as client:
        made = client.submit(body())
        assert client.retry(made["id"])["state"] == "queued"
        with pytest.raises(NotNow):
            client.resolve(made["id"], "failed")
        backend.move(made["id"], State.HELD)
        assert client.resolve(made["id"], "failed", note="asked the vendor")["state"] == "failed"
        with pytest.raises(NotNow):
            client.cancel(made["id"])
        batch = client.submit_batch([body("x")])
        client.cancel(next(iter(client.list(batch=batch["id"])))["id"])
        with pytest.raises(StillOpen):
            client.wait_batch(batch["id"], timeout=0)


@pytest.mark.parametrize(
    ("act", "kind", "code"),
    [
        (lambda client: client.get(str(uuid4())), NotFound, "not_found"),
        (lambda client: client.submit({"upstream": "avanser", "colour": 1}), Invalid, "invalid"),
        (lambda client: list(client.list(state="nowhere")), Invalid, "invalid"),
    ],
)
def test_a_refusal_carries_the_code_and_the_places(
    backend: Backend, act: Callable[[Client], object], kind: type[Refused], code: str
) -> None:
    with backend.client() as client, pytest.raises(kind) as caught:
        act(client)
    assert caught.value.code == code
    assert bool(caught.value.errors) == (kind is Invalid)


def test_a_key_without_the_scope_is_not_allowed(backend: Backend) -> None:
    with backend.client(key=make_key(backend.engine, Scope.READ)) as client, pytest.raises(NotAllowed):
        client.submit(body())
    with backend.client(key="tk_wrong") as client, pytest.raises(NotAllowed):
        client.submit(body())


def test_the_pause_that_is_asked_for_is_kept() -> None:
    with Catcher(429, 503, 502, 504, 429) as catcher, Client(catcher.url, "tk_x", deadline=8) as client:
        catcher.headers = {"Retry-After": "1"}
        with pytest.raises(Unanswered, match="429"):
            client.submit(body())
    keys = {caught.headers["Idempotency-Key"] for caught in catcher.caught}
    assert (len(catcher.caught), len(keys)) == (8, 1)


def test_what_may_have_been_done_is_not_steered_twice() -> None:
    with Catcher(503) as catcher, Client(catcher.url, "tk_x") as client, pytest.raises(Unanswered, match="503"):
        client.cancel("1")
    assert len(catcher.caught) == 1
    with Catcher(503) as catcher, Client(catcher.url, "tk_x") as client, pytest.raises(Unanswered, match="503"):
        client.submit_batch([body()], again=True)
    assert len(catcher.caught) == 1


def test_a_fault_of_the_receiver_leaves_open_what_was_done() -> None:
    with (
        Catcher(500) as catcher,
        Client(catcher.url, "tk_x") as client,
        pytest.raises(Unanswered, match="500") as caught,
    ):
        client.submit(body(), idempotency_key="k")
    assert (len(catcher.caught), caught.value.idempotency_key) == (1, "k")


def test_an_answer_of_somebody_else_is_told_as_that() -> None:
    with Catcher(200) as catcher, Client(catcher.url, "tk_x") as client:
        catcher.body = b"<html>Welcome"
        with pytest.raises(Refused, match="Check base_url"):
            client.get("1")


def test_on_an_event_loop_all_is_the_same(backend: Backend) -> None:
    async def story() -> None:
        async with AsyncClient(backend.url(), backend.key) as client:
            many = await asyncio.gather(*(client.submit(body(f"d-{n}"), idempotency_key=f"{n}") for n in range(10)))
            assert sorted([one["id"] async for one in client.list(limit=3)]) == sorted(one["id"] for one in many)
            taken = await client.submit_batch([body("b-1"), body("b-2")])
            assert (await client.batch(taken["id"]))["total"] == 2
            assert (await client.cancel(many[0]["id"]))["state"] == "cancelled"
            assert (await client.wait(many[0]["id"]))["state"] == "cancelled"
            with pytest.raises(NotFound):
                await client.number("+61299999999")

    asyncio.run(story())
    assert len(backend.requests()) == 12


def test_both_clients_have_the_same_calls() -> None:
    calls = {name for name in vars(Client) if not name.startswith("_")} - {"close"}
    assert calls == {name for name in vars(AsyncClient) if not name.startswith("_")} - {"aclose"}
    for name in calls:
        assert getattr(Client, name).__kwdefaults__ == getattr(AsyncClient, name).__kwdefaults__
        assert getattr(Client, name).__doc__ == getattr(AsyncClient, name).__doc__


@pytest.mark.parametrize("secrets", [SECRET, [OLD_SECRET, SECRET], [SECRET]])
def test_a_webhook_is_proved_by_any_of_the_secrets(secrets: str | list[str]) -> None:
    raw, headers = sign("msg_1", {"type": "endpoint.test", "data": {"name": "Zoë"}}, [SECRET], datetime.now(UTC))
    assert (
        verify_webhook(secrets, {name.title(): value for name, value in headers.items()}, raw)["data"]["name"] == "Zoë"
    )


@pytest.mark.parametrize(
    "change",
    [
        lambda headers, raw: (headers, raw + b" "),
        lambda headers, raw: (headers | {"webhook-timestamp": "1"}, raw),
        lambda headers, raw: (headers | {"webhook-id": "msg_2"}, raw),
        lambda headers, raw: (headers | {"webhook-signature": "v1,é"}, raw),
        lambda headers, raw: (headers | {"webhook-signature": "nonsense"}, raw),
        lambda headers, raw: (headers, b"\xff"),
        lambda headers, raw: ({}, raw),
    ],
)
def test_a_forged_webhook_is_refused(
    change: Callable[[Mapping[str, str], bytes], tuple[dict[str, str], bytes]],
) -> None:
    raw, headers = sign("msg_1", {"type": "endpoint.test", "data": {}}, [SECRET], datetime.now(UTC))
    assert verify_webhook(SECRET, headers, raw)
    with pytest.raises(Forged):
        verify_webhook(SECRET, *change(headers, raw))


@pytest.mark.parametrize("secrets", ["", "whsec_", "not Base64 é", []])
def test_a_secret_that_is_none_is_told(secrets: str | list[str]) -> None:
    with pytest.raises(ValueError, match="secrets: "):
        verify_webhook(secrets, {}, b"{}")


def test_what_cannot_work_is_refused_when_it_is_made() -> None:
    with pytest.raises(ValueError, match=r"^base_url: "):
        Client("trunkline.example", "tk_x")
    with pytest.raises(ValueError, match=r"^api_key: "):
        Client("https://trunkline.example", "tk_x\n")
    with pytest.raises(ValueError, match=r"^deadline: "):
        Client("https://trunkline.example", "tk_x", deadline=0)
    with Client("http://127.0.0.1:1", "tk_x") as client, pytest.raises(ValueError, match="names nothing"):
        client.get("")


def test_it_is_imported_with_httpx_and_standardwebhooks_alone() -> None:
    """In a fresh interpreter: whatever else of ours or of the product's libraries came along would show."""
    program = "import json, sys, worker.client; print(json.dumps(sorted(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(json.loads(run.stdout))
    heavy = {"flask", "celery", "kombu", "sqlalchemy", "pydantic", "redis", "aiohttp", "models", "webhook_receiver"}
    assert not loaded & heavy
    ours = {name for name in loaded if name.startswith("worker.")}
    assert {name for name in ours if not name.startswith("worker.client")} == set()


def test_the_example_in_the_readme_runs(backend: Backend, tmp_path: Path) -> None:
    """Twice, as after a crash: the second run finds what the first asked for."""
    (tmp_path / "backend.py").write_text(readme_block())
    (tmp_path / "dealers.csv").write_bytes(csv_file([row("dealer-18"), row("dealer-19")]))
    words = [sys.executable, "backend.py"]
    variables = {"TRUNKLINE_URL": backend.url(), "KEY": backend.key, "PYTHONPATH": str(ROOT)}

    def complete() -> None:
        first, *_ = eventually(backend.requests, within=30)
        backend.move(str(first.id), State.COMPLETED, changes={"number": "+61280740801"})

    completing = Thread(target=complete)
    completing.start()
    said = [
        subprocess.run(words, cwd=tmp_path, env=variables, capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    completing.join()
    assert said[0].splitlines()[0] == "completed +61280740801"
    assert said[0] == said[1]
    assert [one.custom_id for one in backend.requests()] == ["dealer-17", "dealer-18", "dealer-19"]


def readme_block() -> str:
    section = (ROOT / "README.md").read_text().partition("\n## Integrating a backend\n")[2].partition("\n## ")[0]
    (found,) = re.findall(r"^```python\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
    return str(found)


SHAPES = ("Request", "Batch", "BatchTaken", "Number", "RowFault")

JSON_TYPES = {"string": str, "integer": int, "object": dict, "array": list, "null": type(None)}


@pytest.fixture(scope="module")
def document(backends: Backend) -> dict[str, Any]:
    bearer = {"Authorization": f"Bearer {backends.key}"}
    answer = httpx.get(f"{backends.url(direct=True)}/openapi.json", headers=bearer)
    found: dict[str, Any] = answer.json()["components"]["schemas"]
    return found


@pytest.mark.parametrize("name", SHAPES)
def test_the_shapes_are_those_of_the_document(document: dict[str, Any], name: str) -> None:
    schema = document.get(f"{name}Shape") or document[name]
    hints = get_type_hints(getattr(shapes, name))
    assert set(hints) == set(schema["properties"]) == set(schema["required"])
    for field, hint in hints.items():
        assert _python_types(hint) == _document_types(document, schema["properties"][field]), field


def _python_types(hint: Any) -> set[Any]:
    if get_origin(hint) is Literal:
        return set(get_args(hint))
    if get_origin(hint) in (Union, UnionType):
        return set[Any]().union(*(_python_types(one) for one in get_args(hint)))
    return {get_origin(hint) or hint}


def _document_types(document: dict[str, Any], schema: dict[str, Any]) -> set[Any]:
    """An enum's are its words, as a Literal's are."""
    if "$ref" in schema:
        schema = document[schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        return set[Any]().union(*(_document_types(document, one) for one in schema["anyOf"]))
    return set(schema["enum"]) if "enum" in schema else {JSON_TYPES[schema["type"]]}
