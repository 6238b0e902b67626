"""The sandbox's ledger: complete, pageable, and still there after a kill."""

import json
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.catcher import Catcher
from tests.sandbox import SandboxServer, eventually

TOKEN = "A_token-of_one-request0"


@pytest.fixture
def sandbox(server: SandboxServer) -> SandboxServer:
    server.reset(callback={"delay": 0, "jitter": 0})
    return server


def order(**fields: Any) -> dict[str, Any]:
    number = {"country": "AU", "search_type": "szu", "szu": "sydney"}
    service = {"type": "transfer", "answer_point": "61401603859"}
    return {"name": "s", "service_number": number, "service": service, **fields}


def test_an_order_is_entered_with_all_that_tells_it_from_others(sandbox: SandboxServer) -> None:
    with Catcher() as catcher, sandbox.avanser() as avanser:
        uri = f"{catcher.url}/callbacks/avanser/{TOKEN}"
        body = order(custom_id="a", custom_group="g", callback_uri=uri)
        answer = avanser.post("/requests", json=body).json()["response"]
        eventually(lambda: sandbox.summary()["callbacks"]["acknowledged"] == 1)
    (entry,) = sandbox.ledger()
    assert entry["arrived_at"] <= entry["at"] <= entry["completed_at"]
    timeless = {name: value for name, value in entry.items() if not name.endswith(("_at", "at"))}
    assert timeless == {
        "seq": 1,
        "upstream": "avanser",
        "kind": "provision",
        "account": "7xxx",
        "request_id": answer["request_id"],
        "custom_id": "a",
        "custom_group": "g",
        "callback_uri": uri,
        "number": answer["service_number"],
        "answer_point": "61401603859",
        "name": "s",
        "status": "completed",
        "message": "Request completed successfully",
        "callbacks_sent": 1,
        "callbacks_acknowledged": 1,
        "key": TOKEN,
    }


def test_an_order_is_known_to_have_arrived_before_the_upstream_took_its_time(sandbox: SandboxServer) -> None:
    sandbox.script(latency_ms={"min": 200, "max": 200})
    began = time.time()
    with sandbox.avanser() as avanser:
        avanser.post("/requests", json=order())
    (entry,) = sandbox.ledger()
    assert began <= entry["arrived_at"] <= entry["at"] - 0.2


def test_two_orders_under_one_token_are_bought_twice(sandbox: SandboxServer) -> None:
    with sandbox.avanser() as avanser:
        for custom_id, token in (("a", TOKEN), ("b", TOKEN), ("a", TOKEN + "x")):
            avanser.post("/requests", json=order(custom_id=custom_id, callback_uri=f"http://127.0.0.1:1/{token}"))
    books = sandbox.summary()
    assert (books["orders"], books["numbers_taken"], books["keys"], books["bought_twice"]) == (3, 3, 2, 1)
    assert books["by_key"] == {TOKEN: 2}
    assert books["by_custom_id"] == {"a": 2}


def test_orders_to_one_page_of_ones_own_are_told_apart_by_custom_id(sandbox: SandboxServer) -> None:
    with sandbox.avanser() as avanser:
        for custom_id in ("a", "b", "b"):
            avanser.post("/requests", json=order(custom_id=custom_id, callback_uri="http://127.0.0.1:1/debug.php?x=1"))
    assert sandbox.summary()["by_key"] == {"b": 2}


def test_updates_and_releases_are_effects_but_no_purchases(sandbox: SandboxServer) -> None:
    with sandbox.avanser() as avanser:
        uri = {"callback_uri": f"http://127.0.0.1:1/{TOKEN}"}
        number = avanser.post("/requests", json=order(**uri)).json()["response"]["service_number"]
        avanser.post(f"/services/{number}", json={"service": {"answer_point": "61132307"}, **uri})
        avanser.delete(f"/services/{number}", params=uri)
    books = sandbox.summary()
    assert (books["orders"], books["updates"], books["releases"], books["bought_twice"]) == (1, 1, 1, 0)
    assert [entry["kind"] for entry in sandbox.ledger(number=number)] == ["provision", "update", "release"]


def test_the_ledger_is_read_in_pages_and_by_field(sandbox: SandboxServer) -> None:
    with sandbox.avanser() as avanser:
        for index in range(7):
            avanser.post("/requests", json=order(custom_id=f"c{index % 2}", callback_uri=""))
    pages: list[list[int]] = []
    since: int | None = 0
    while since is not None:
        page = httpx.get(f"{sandbox.url}/_sandbox/ledger", params={"since": since, "limit": 3}).json()
        pages.append([entry["seq"] for entry in page["data"]])
        since = page["next"]
    assert pages == [[1, 2, 3], [4, 5, 6], [7]]
    assert [entry["seq"] for entry in sandbox.ledger(custom_id="c1")] == [2, 4, 6]
    assert [entry["seq"] for entry in sandbox.ledger(key="c1")] == [2, 4, 6]
    assert httpx.get(f"{sandbox.url}/_sandbox/ledger?colour=red").status_code == 400


def test_a_killed_sandbox_remembers_its_orders_and_sends_what_is_still_owed(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    with Catcher(503, 204) as catcher, SandboxServer(ledger=path, script={"callback": {"delay": 0.2}}) as sandbox:
        with sandbox.avanser() as avanser:
            first = avanser.post("/requests", json=order(custom_id="a", callback_uri=f"{catcher.url}/a"))
            number = first.json()["response"]["service_number"]
        sandbox.kill()
        with path.open("ab") as ledger:
            ledger.write(b'{"seq": 2, "cut sho')
        sandbox.start()
        (entry,) = sandbox.ledger()
        assert (entry["number"], entry["custom_id"], entry["status"]) == (number, "a", "pending")
        eventually(lambda: sandbox.summary()["callbacks"] == {"sent": 2, "acknowledged": 1})
        assert sandbox.summary()["completed"] == 1
        with sandbox.avanser() as avanser:
            assert list(avanser.get("/services").json()["response"]) == [number]
            second = avanser.post("/requests", json=order(custom_id="b")).json()["response"]
            assert second["service_number"] != number
        sandbox.kill()
        sandbox.start()
        assert [entry["custom_id"] for entry in sandbox.ledger()] == ["a", "b"]
        assert len(catcher.caught) == 2, "an acknowledged callback is not sent again"


def test_an_update_and_a_release_survive_a_kill(tmp_path: Path) -> None:
    script = {"callback": {"delay": 0, "jitter": 0}}
    with SandboxServer(ledger=tmp_path / "ledger.jsonl", script=script) as sandbox:
        with sandbox.avanser() as avanser:
            numbers = [avanser.post("/requests", json=order()).json()["response"]["service_number"] for _ in "ab"]
            avanser.post(f"/services/{numbers[0]}", json={"service": {"answer_point": "61132307"}})
            avanser.delete(f"/services/{numbers[1]}")
        eventually(lambda: sandbox.summary()["completed"] == 4)
        before = sandbox.summary()
        sandbox.kill()
        sandbox.start()
        with sandbox.avanser() as avanser:
            services = avanser.get("/services").json()["response"]
        assert {number: row["service"]["answer_point"] for number, row in services.items()} == {numbers[0]: "61132307"}
        assert {**sandbox.summary(), "traffic": None} == {**before, "traffic": None}


def test_a_reset_forgets_orders_stock_and_script(sandbox: SandboxServer) -> None:
    with sandbox.avanser() as avanser:
        first = avanser.post("/requests", json=order()).json()["response"]["service_number"]
        sandbox.script(faults=[{"fault": "refused"}])
        sandbox.reset()
        assert sandbox.summary()["orders"] == 0
        assert avanser.get("/services").json()["response"] == {}
        assert avanser.post("/requests", json=order()).json()["response"]["service_number"] == first


def test_a_reset_empties_the_file(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    with SandboxServer(ledger=path) as sandbox, sandbox.avanser() as avanser:
        avanser.post("/requests", json=order())
        assert json.loads(path.read_text().splitlines()[0])["kind"] == "provision"
        sandbox.reset()
        assert path.read_text() == ""


def test_new_stock_does_not_hand_out_what_was_bought(sandbox: SandboxServer) -> None:
    with sandbox.avanser() as avanser:
        assert avanser.post("/requests", json=order()).json()["response"]["service_number"] == "61280740801"
        sandbox.script(avanser={"stock": [{"first": "61280740801", "count": 2}]})
        assert avanser.post("/requests", json=order()).json()["response"]["service_number"] == "61280740802"
        assert avanser.post("/requests", json=order()).status_code == 404


def test_sigterm_ends_the_sandbox_at_once_even_while_it_holds_an_answer() -> None:
    script = {"faults": [{"fault": "timeout_before_effect", "seconds": 60}]}
    with SandboxServer(script=script) as sandbox:
        with sandbox.avanser(timeout=0.2) as avanser, pytest.raises(httpx.ReadTimeout):
            avanser.post("/requests", json=order())
        assert sandbox.stop() == 0
