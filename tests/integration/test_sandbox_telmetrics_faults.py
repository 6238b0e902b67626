"""Every scripted fault of the simulated Telmetrics, as it shows on the wire, in its lists and in the ledger."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.sandbox import SandboxServer, eventually

NUMBERS = "/groups/7/numbers"


@pytest.fixture
def telmetrics(sandbox: SandboxServer) -> Iterator[httpx.Client]:
    with sandbox.telmetrics(timeout=5) as client:
        yield client


def order(name: str = "A") -> dict[str, Any]:
    wanted = {"match_type": "localtonumber", "local_to_number": "4165551234"}
    routes = {"route_type": "Basic", "route": {"termination_number": "4165551234"}}
    return {"name": name, "phone_number_request": wanted, "call_routes": routes}


def play(sandbox: SandboxServer, fault: str, **rule: Any) -> None:
    sandbox.script(faults=[{"fault": fault, "upstream": "telmetrics", **rule}])


@pytest.mark.parametrize(
    ("fault", "rule", "status", "message"),
    [
        ("refused", {}, 422, "Request refused"),
        ("refused", {"status": 400, "message": "Not so"}, 400, "Not so"),
        ("rate_limited", {"retry_after": 7}, 429, "Too many requests"),
        ("wrong_credentials", {}, 401, "Unauthorized"),
        ("out_of_stock", {}, 409, "No number matches the request"),
        ("taken_meanwhile", {}, 409, "Number is no longer available"),
    ],
)
def test_a_refusal_says_why_and_buys_nothing(
    sandbox: SandboxServer, telmetrics: httpx.Client, fault: str, rule: dict[str, Any], status: int, message: str
) -> None:
    play(sandbox, fault, **rule)
    answer = telmetrics.post(NUMBERS, json=order())
    assert (answer.status_code, answer.json()) == (status, {"message": message})
    assert answer.headers.get("Retry-After") == ("7" if fault == "rate_limited" else None)
    assert sandbox.summary()["orders"] == 0


@pytest.mark.parametrize(("fault", "orders"), [("before", 0), ("after", 1)])
def test_an_error_a_reset_and_a_time_out_may_or_may_not_have_bought(
    sandbox: SandboxServer, telmetrics: httpx.Client, fault: str, orders: int
) -> None:
    play(sandbox, f"error_{fault}_effect")
    answer = telmetrics.post(NUMBERS, json=order("error"))
    assert answer.status_code == (502 if orders else 503)
    assert answer.headers["Content-Type"].startswith("text/html")
    play(sandbox, f"reset_{fault}_effect")
    with pytest.raises(httpx.ReadError):
        telmetrics.post(NUMBERS, json=order("reset"))
    play(sandbox, f"timeout_{fault}_effect", seconds=0.6)
    with sandbox.telmetrics(timeout=0.2) as hasty, pytest.raises(httpx.ReadTimeout):
        hasty.post(NUMBERS, json=order("time-out"))
    eventually(lambda: sandbox.summary()["traffic"]["in_flight"] == 0)
    assert sandbox.summary()["orders"] == 3 * orders


def test_an_order_may_land_only_after_the_clients_time_out(sandbox: SandboxServer) -> None:
    play(sandbox, "timeout_then_effect", seconds=0.6)
    with sandbox.telmetrics(timeout=0.2) as hasty, pytest.raises(httpx.ReadTimeout):
        hasty.post(NUMBERS, json=order())
    assert sandbox.summary()["orders"] == 0
    eventually(lambda: sandbox.summary()["orders"] == 1)


def test_an_order_that_is_held_over_a_reset_is_dropped(sandbox: SandboxServer) -> None:
    play(sandbox, "timeout_then_effect", seconds=0.5)
    with sandbox.telmetrics(timeout=0.1) as hasty, pytest.raises(httpx.ReadTimeout):
        hasty.post(NUMBERS, json=order())
    sandbox.reset()
    eventually(lambda: sandbox.summary()["traffic"]["in_flight"] == 0)
    assert sandbox.summary()["orders"] == 0


def test_an_answer_may_be_cut_short_or_trickle(sandbox: SandboxServer, telmetrics: httpx.Client) -> None:
    play(sandbox, "unreadable_after_effect")
    cut = telmetrics.post(NUMBERS, json=order("cut"))
    assert cut.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        cut.json()
    play(sandbox, "slow_body", seconds=0.3)
    started = time.monotonic()
    assert telmetrics.post(NUMBERS, json=order("slow")).json()["name"] == "slow"
    assert time.monotonic() - started > 0.25
    assert sandbox.summary()["orders"] == 2


def test_a_fault_strikes_only_the_name_group_number_or_operation_it_is_for(
    sandbox: SandboxServer, telmetrics: httpx.Client
) -> None:
    number = telmetrics.post(NUMBERS, json=order("B")).json()
    path = f"/numbers/{number['id']}"
    asks: dict[str, Callable[[], httpx.Response]] = {
        "order": lambda: telmetrics.post(NUMBERS, json=order("A")),
        "order elsewhere": lambda: telmetrics.post("/groups/8/numbers", json=order("B")),
        "update": lambda: telmetrics.put(path, json={"features": {}}),
        "read": lambda: telmetrics.get(path),
        "list": lambda: telmetrics.get("/numbers"),
        "list of the group": lambda: telmetrics.get(NUMBERS),
    }

    def struck(**rule: Any) -> set[str]:
        play(sandbox, "refused", **rule)
        return {name for name, ask in asks.items() if ask().status_code == 422}

    look_ups = {"read", "list", "list of the group"}
    assert struck() == {"order", "order elsewhere", "update"}
    assert struck(match={"name": "A*"}) == {"order"}
    assert struck(match={"custom_group": "7"}) == {"order", "update"}
    assert struck(on=["look_up", "update"]) == look_ups | {"update"}
    assert struck(on=["look_up"], match={"custom_group": "7"}) == {"read", "list of the group"}
    assert struck(on=["look_up", "update"], match={"number": number["phone_number"]}) == {"read", "update"}


def test_a_fault_strikes_each_order_as_often_as_it_says(sandbox: SandboxServer, telmetrics: httpx.Client) -> None:
    play(sandbox, "error_before_effect", times_per_order=1)
    statuses = [telmetrics.post(NUMBERS, json=order(name)).status_code for name in ("A", "B", "A", "B")]
    assert statuses == [503, 503, 200, 200]


def test_lists_lag_behind_orders_updates_and_releases_but_reads_do_not(
    sandbox: SandboxServer, telmetrics: httpx.Client
) -> None:
    def both_list(*names: str) -> bool:
        lists = telmetrics.get("/numbers").json()["results"], telmetrics.get(NUMBERS).json()
        return all([number["name"] for number in listed] == list(names) for listed in lists)

    play(sandbox, "list_lags", seconds=1.5)
    path = f"/numbers/{telmetrics.post(NUMBERS, json=order('A')).json()['id']}"
    assert telmetrics.get(path).json()["name"] == "A"
    assert both_list()
    eventually(lambda: both_list("A"))
    telmetrics.put(path, json={"name": "B"})
    assert telmetrics.get(path).json()["name"] == "B"
    assert both_list("A")
    eventually(lambda: both_list("B"))
    telmetrics.delete(path)
    assert telmetrics.get(path).status_code == 404
    assert both_list("B")
    eventually(both_list)


def test_a_killed_sandbox_remembers_its_numbers_names_and_portal(tmp_path: Path) -> None:
    with SandboxServer(ledger=tmp_path / "ledger.jsonl") as sandbox:
        sandbox.portal("telmetrics", calls="http://127.0.0.1:1/calls")
        with sandbox.telmetrics() as telmetrics:
            ids = [telmetrics.post(NUMBERS, json=order(name)).json()["id"] for name in ("A", "A", "B")]
            telmetrics.put(f"/numbers/{ids[0]}", json={"name": "C", "features": {"stop_call": {"enabled": True}}})
            telmetrics.delete(f"/numbers/{ids[2]}")
            before = telmetrics.get(NUMBERS).json()
        books, entries = sandbox.summary(), sandbox.ledger()
        sandbox.kill()
        sandbox.start()
        again = sandbox.summary()
        assert {**again, "traffic": None} == {**books, "traffic": None}
        assert sandbox.ledger() == entries
        with sandbox.telmetrics() as telmetrics:
            assert [number["name"] for number in before] == ["C", "A 2"]
            assert telmetrics.get(NUMBERS).json() == before
            assert telmetrics.get(f"/numbers/{ids[2]}").status_code == 404
            more = [telmetrics.post(NUMBERS, json=order(name)).json() for name in ("C", "A", "B")]
        assert [number["id"] for number in more] == [ids[2] + 1, ids[2] + 2, ids[2] + 3]
        assert [number["name"] for number in more] == ["C 2", "A", "B"], "of those before, C and A 2 are in use"
        assert len({entry["number"] for entry in sandbox.ledger(kind="provision")}) == 6
        assert sandbox.call(before[0]["phone_number"], upstream="telmetrics")["uri"] == "http://127.0.0.1:1/calls"
