"""Every scripted fault of the simulated MessageMedia, as it shows on the wire and in the ledger."""

import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tests import messagemedia_page as page
from tests.sandbox import SandboxServer, eventually

PATH = f"/{page.CHOSEN}/assignment"
LABELS = {"label": "dealer-17", "metadata": {"order": "17"}}


@pytest.fixture
def messagemedia(sandbox: SandboxServer) -> Iterator[httpx.Client]:
    with sandbox.messagemedia(timeout=5) as client:
        yield client


def play(sandbox: SandboxServer, fault: str, **rule: Any) -> None:
    sandbox.script(faults=[{"fault": fault, "upstream": "messagemedia", **rule}])


@pytest.mark.parametrize(
    ("fault", "rule", "status", "message"),
    [
        ("refused", {}, 422, "Request refused"),
        ("refused", {"status": 403, "message": "Not enabled", "as_200": True}, 403, "Not enabled"),
        ("wrong_credentials", {}, 401, "Invalid authentication credentials"),
        ("out_of_stock", {}, 404, "Resource not found."),
        ("taken_meanwhile", {}, 409, "The number is not available for assignment."),
    ],
)
def test_a_refusal_is_by_the_status_and_buys_nothing(
    sandbox: SandboxServer, messagemedia: httpx.Client, fault: str, rule: dict[str, Any], status: int, message: str
) -> None:
    play(sandbox, fault, **rule)
    answer = messagemedia.post(PATH, json=LABELS)
    assert (answer.status_code, answer.json()) == (status, {"message": message})
    books = sandbox.summary()
    assert (books["orders"], books["numbers_taken"], books["completed"], books["pending"]) == (0, 0, 0, 0)


def test_a_number_that_was_taken_meanwhile_is_somebody_elses_for_good(
    sandbox: SandboxServer, messagemedia: httpx.Client
) -> None:
    play(sandbox, "taken_meanwhile", times=1)
    assert messagemedia.post(PATH, json=LABELS).status_code == 409
    assert messagemedia.get(PATH).status_code == 404
    assert messagemedia.post(PATH, json=LABELS).status_code == 409
    assert page.CHOSEN not in [row["id"] for row in messagemedia.get("/").json()["data"]]
    assert messagemedia.get("/assignments").json()["data"] == []
    assert messagemedia.get(f"/{page.CHOSEN}").status_code == 200
    assert [(entry["kind"], entry["account"]) for entry in sandbox.ledger()] == [("taken", "somebody-else")]
    assert messagemedia.post(f"/{page.FIRST}/assignment", json=LABELS).status_code == 201


def test_nobody_else_takes_a_number_that_is_ours_or_that_there_is_not(
    sandbox: SandboxServer, messagemedia: httpx.Client
) -> None:
    made = messagemedia.post(PATH, json=LABELS).json()
    play(sandbox, "taken_meanwhile")
    assert messagemedia.post(PATH, json=LABELS).status_code == 409
    assert messagemedia.get(PATH).json() == made
    assert messagemedia.post("/b9ee3fe8-2c20-47b1-96e9-c5d12d7ed985/assignment").status_code == 404
    assert [entry["kind"] for entry in sandbox.ledger()] == ["provision"]


def test_an_order_loses_one_number_where_the_rule_says_once_an_order(
    sandbox: SandboxServer, messagemedia: httpx.Client
) -> None:
    play(sandbox, "taken_meanwhile", times_per_order=1)
    statuses = [messagemedia.post(f"/{each}/assignment", json=LABELS).status_code for each in (page.FIRST, page.SECOND)]
    assert statuses == [409, 201]


def test_a_search_may_find_nothing(sandbox: SandboxServer, messagemedia: httpx.Client) -> None:
    play(sandbox, "out_of_stock", on=["search"])
    assert messagemedia.get("/?page_size=3").json() == {"data": [], "pagination": {"page_size": 3}}


def test_a_rate_limit_says_when_to_come_back(sandbox: SandboxServer, messagemedia: httpx.Client) -> None:
    play(sandbox, "rate_limited", retry_after=7)
    answer = messagemedia.post(PATH, json=LABELS)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "7")
    assert sandbox.summary()["orders"] == 0


@pytest.mark.parametrize(("when", "status", "orders"), [("before", 503, 0), ("after", 502, 1)])
def test_a_server_error_may_or_may_not_have_bought(
    sandbox: SandboxServer, messagemedia: httpx.Client, when: str, status: int, orders: int
) -> None:
    play(sandbox, f"error_{when}_effect", times=1)
    answer = messagemedia.post(PATH, json=LABELS)
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "text/html; charset=utf-8")
    assert sandbox.summary()["orders"] == orders


@pytest.mark.parametrize(("when", "orders"), [("before", 0), ("after", 1)])
def test_a_reset_connection_may_or_may_not_have_bought(
    sandbox: SandboxServer, messagemedia: httpx.Client, when: str, orders: int
) -> None:
    play(sandbox, f"reset_{when}_effect")
    with pytest.raises(httpx.ReadError):
        messagemedia.post(PATH, json=LABELS)
    assert sandbox.summary()["orders"] == orders


@pytest.mark.parametrize(
    ("fault", "at_once", "then"),
    [("timeout_before_effect", 0, 0), ("timeout_after_effect", 1, 1), ("timeout_then_effect", 0, 1)],
)
def test_a_time_out_may_or_may_not_have_bought_and_may_buy_later(
    sandbox: SandboxServer, fault: str, at_once: int, then: int
) -> None:
    play(sandbox, fault, seconds=0.6)
    with sandbox.messagemedia(timeout=0.2) as hasty, pytest.raises(httpx.ReadTimeout):
        hasty.post(PATH, json=LABELS)
    assert sandbox.summary()["orders"] == at_once
    eventually(lambda: sandbox.summary()["traffic"]["in_flight"] == 0)
    assert sandbox.summary()["orders"] == then


def test_an_order_that_is_held_over_a_reset_is_dropped(sandbox: SandboxServer) -> None:
    play(sandbox, "timeout_then_effect", seconds=0.5)
    with sandbox.messagemedia(timeout=0.1) as hasty, pytest.raises(httpx.ReadTimeout):
        hasty.post(PATH, json=LABELS)
    sandbox.reset()
    eventually(lambda: sandbox.summary()["traffic"]["in_flight"] == 0)
    assert sandbox.summary()["orders"] == 0


def test_an_unreadable_answer_has_bought(sandbox: SandboxServer, messagemedia: httpx.Client) -> None:
    play(sandbox, "unreadable_after_effect")
    answer = messagemedia.post(PATH, json=LABELS)
    with pytest.raises(json.JSONDecodeError):
        answer.json()
    assert sandbox.summary()["orders"] == 1


def test_a_slow_body_arrives_whole(sandbox: SandboxServer, messagemedia: httpx.Client) -> None:
    play(sandbox, "slow_body", seconds=0.5)
    started = time.monotonic()
    answer = messagemedia.post(PATH, json=LABELS)
    assert time.monotonic() - started >= 0.5
    assert (answer.status_code, answer.json()["label"]) == (201, "dealer-17")


def test_an_answer_without_a_body_is_slow_too(sandbox: SandboxServer, messagemedia: httpx.Client) -> None:
    messagemedia.post(PATH, json=LABELS)
    play(sandbox, "slow_body", seconds=0.3, on=["release"])
    started = time.monotonic()
    assert messagemedia.delete(PATH).status_code == 204
    assert time.monotonic() - started >= 0.3


def test_reads_that_lag_show_every_step_later_while_the_number_is_gone_at_once(
    sandbox: SandboxServer, messagemedia: httpx.Client
) -> None:
    def read() -> tuple[int, str | None, list[str]]:
        """Status and label of the one, labels of the list; both are of one moment, or read again."""
        one, rows = messagemedia.get(PATH), messagemedia.get("/assignments").json()["data"]
        return one.status_code, one.json().get("label"), [row["assignment"]["label"] for row in rows]

    play(sandbox, "list_lags", seconds=1.5)
    messagemedia.post(PATH, json=LABELS)
    assert read() == (404, None, [])
    assert messagemedia.get("/assignments?label=dealer-17").json()["data"] == []
    assert messagemedia.post(PATH, json=LABELS).status_code == 409
    eventually(lambda: read() == (200, "dealer-17", ["dealer-17"]))
    messagemedia.patch(PATH, json={"label": "dealer-18"})
    assert read() == (200, "dealer-17", ["dealer-17"])
    eventually(lambda: read() == (200, "dealer-18", ["dealer-18"]))
    messagemedia.delete(PATH)
    assert read() == (200, "dealer-18", ["dealer-18"])
    eventually(lambda: read() == (404, None, []))


def test_each_kind_of_call_is_struck_only_when_it_is_named(sandbox: SandboxServer, messagemedia: httpx.Client) -> None:
    calls: dict[str, list[Callable[[], httpx.Response]]] = {
        "search": [lambda: messagemedia.get("/")],
        "look_up": [
            lambda: messagemedia.get("/assignments"),
            lambda: messagemedia.get(f"/{page.CHOSEN}"),
            lambda: messagemedia.get(PATH),
        ],
        "update": [lambda: messagemedia.patch(PATH, json={"label": "x"})],
        "provision": [lambda: messagemedia.post(f"/{page.FIRST}/assignment")],
        "release": [lambda: messagemedia.delete(PATH)],
    }
    messagemedia.post(PATH, json=LABELS)
    for struck, its_calls in calls.items():
        play(sandbox, "error_before_effect", on=[struck])
        assert {call().status_code for call in its_calls} == {503}
        others = [call for name in ("search", "look_up") if name != struck for call in calls[name]]
        assert {call().status_code for call in others} == {200}
    assert [entry["kind"] for entry in sandbox.ledger()] == ["provision"]


@pytest.mark.parametrize(
    "match", [{"name": "dealer-*"}, {"custom_id": '*"order": "17"*'}, {"number": "61438851616"}], ids=str
)
def test_a_rule_matches_by_label_metadata_and_number(
    sandbox: SandboxServer, messagemedia: httpx.Client, match: dict[str, str]
) -> None:
    play(sandbox, "refused", match=match, on=["provision", "update", "look_up", "release"])
    assert messagemedia.post(f"/{page.FIRST}/assignment", json={"label": "x"}).status_code == 201
    assert messagemedia.get(f"/{page.FIRST}/assignment").status_code == 200
    assert messagemedia.post(PATH, json=LABELS).status_code == 422
    sandbox.script()
    messagemedia.post(PATH, json=LABELS)
    play(sandbox, "refused", match=match, on=["update", "look_up", "release"])
    answers = [messagemedia.get(PATH), messagemedia.patch(PATH, json={}), messagemedia.delete(PATH)]
    assert {answer.status_code for answer in answers} == {422}


def test_another_vendors_faults_do_not_strike(sandbox: SandboxServer, messagemedia: httpx.Client) -> None:
    sandbox.script(faults=[{"fault": "refused", "upstream": "avanser"}])
    assert messagemedia.post(PATH, json=LABELS).status_code == 201


def test_latency_keeps_every_call_waiting(sandbox: SandboxServer, messagemedia: httpx.Client) -> None:
    sandbox.script(latency_ms={"min": 150, "max": 200})
    started = time.monotonic()
    messagemedia.get("/?page_size=1")
    assert 0.15 <= time.monotonic() - started < 5
