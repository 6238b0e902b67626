"""Reconciliation with each upstream, over real HTTP: what somebody did past Trunkline is found and can be mended."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from models.act import Act
from models.base import make_engine, new_id, read, utc_now, write
from models.delivery import Delivery
from models.number import Number
from models.reconciliation import FindingKind, Reconciliation, reports
from models.request import Kind, Request
from models.state import Reason, State
from models.transition import Move, transition
from tests.factory import KEYRING, fetch, make_endpoint, make_requester
from tests.integration.cli import Cli
from tests.integration.test_conformance import SUBJECTS, Subject
from tests.integration.test_conformance_workflow import ask, carry_on
from tests.sandbox import SandboxServer, eventually
from tests.shop import Vendor, credentials
from tests.working import every, history, working
from worker.loop import Loop
from worker.runtime import Runtime
from worker.settings import load
from worker.workflow import advance

HOUR = timedelta(hours=1)


@dataclass
class Desk:
    """Trunkline and one upstream, which we can also reach past it."""

    runtime: Runtime
    cli: Cli
    vendor: Vendor
    subject: Subject

    @property
    def engine(self) -> Engine:
        return self.runtime.engine

    def buy(self) -> Request:
        """A number that was bought through Trunkline."""
        row = carry_on(self.runtime, self.subject, ask(self.engine, self.subject))
        assert row.state is State.COMPLETED, row.detail
        return row

    def stuck(self, state: State, **changes: Any) -> UUID:
        """A request whose order went out, and of which nothing more was heard."""
        id_ = ask(self.engine, self.subject, custom_id="dealer-17")
        reason = Reason.OUTCOME_UNKNOWN if state is not State.ACCEPTED else None
        unknown = {"unknown_since": utc_now() - HOUR, "attempts": 1} if reason else {"accepted_at": utc_now()}
        move = Move(id_, state, "test", reason, changes=unknown | changes)
        write(self.engine, lambda session: transition(session, [move], utc_now()))
        return id_

    def reconcile(self, *words: object, status: int = 0) -> Any:
        return self.cli.json("reconcile", *words, status=status)

    def report(self, status: int = 1) -> dict[str, Any]:
        (one,) = self.reconcile(status=status)["data"]
        assert one["upstream"] == self.subject.name
        return dict(one)

    def finding(self) -> dict[str, Any]:
        (one,) = self.report()["findings"]
        return dict(one)

    def counts(self) -> dict[str, int]:
        """Of findings by kind, none of nought."""
        counts = self.report()["counts"]
        return {kind: counts[kind] for kind in FindingKind if counts[kind]}

    def acts(self) -> list[tuple[str, str, str | None]]:
        """The audit: what was done to which number, and why."""
        return [(row.act, row.subject, row.reason) for row in every(self.engine, Act)]

    def held(self) -> dict[str, Number]:
        return {row.number: row for row in every(self.engine, Number) if row.released_at is None}


@pytest.fixture(params=SUBJECTS, ids=lambda subject: subject.name)
def subject(request: pytest.FixtureRequest) -> Subject:
    found: Subject = request.param
    return found


@pytest.fixture
def engine(sqlite_url: str) -> Iterator[Engine]:
    """One kind of database will do: what is tried here is the upstream's side."""
    engine = make_engine(sqlite_url, keyring=KEYRING)
    yield engine
    engine.dispose()


@pytest.fixture
def desk(
    monkeypatch: pytest.MonkeyPatch,
    engine: Engine,
    tmp_path: Path,
    loop: Loop,
    subject: Subject,
    server: SandboxServer,
) -> Iterator[Desk]:
    server.reset(callback={"delay": 0, "attempts": 1})
    monkeypatch.chdir(tmp_path)
    prefix = f"TRUNKLINE_{subject.name.upper()}"
    limits = {f"{prefix}_RATE": "1000", f"{prefix}_SETTLING": "0", "TRUNKLINE_RELEASE_DELAY": "0"}
    client = subject.client(server)
    with working(monkeypatch, engine, str(tmp_path), loop, client, **limits) as runtime:
        credentials(monkeypatch, server, subject.name)
        runtime.settings = load()
        yield Desk(runtime, Cli(tmp_path, engine), Vendor(subject.name, server, runtime.uris), subject)
        loop.run(client.close())


# What is found


def test_books_that_agree_are_clean(desk: Desk) -> None:
    desk.buy()
    report = desk.report(status=0)
    assert report["findings"] == []
    assert (report["counts"]["ours"], report["counts"]["theirs"]) == (1, 1)
    assert "they agree" in desk.cli.run("reconcile").stderr


def test_a_number_that_was_bought_past_us_is_an_orphan_until_somebody_adopts_it(desk: Desk) -> None:
    desk.buy()
    number = desk.vendor.buy()
    found = desk.finding()
    assert (found["kind"], found["number"], found["request"], found["requester"]) == ("orphan", number, None, None)
    assert found["command"] == f"trunkline reconcile --upstream {desk.subject.name} --adopt {number}"
    again = desk.finding()
    assert again["since"] == found["since"]  # told of once before
    assert desk.report()["started_at"] > found["since"]


def test_a_number_that_was_given_up_past_us_is_a_ghost(desk: Desk) -> None:
    bought = desk.buy()
    assert bought.number is not None
    desk.vendor.give_up(bought.number)
    eventually(lambda: not desk.vendor.lists(str(bought.number)))
    found = desk.finding()
    assert (found["kind"], found["number"], found["request"]) == ("ghost", bought.number, str(bought.id))
    assert "--forget" in found["command"]


def test_a_number_that_was_changed_past_us_has_drifted(desk: Desk) -> None:
    bought = desk.buy()
    assert desk.report(status=0)["findings"] == []
    desk.vendor.change(str(bought.number))
    found = eventually(lambda: desk.reconcile(status=1)["data"][0]["findings"])[0]
    assert (found["kind"], found["number"]) == ("drift", bought.number)
    (difference,) = found["differences"]
    pointer = {
        "avanser": "/spec/service/answer_point",
        "telmetrics": "/spec/call_routes/route/termination_number",
        "messagemedia": "/spec/label",
    }
    assert difference["pointer"] == pointer[desk.subject.name]
    assert difference["asked"] in json.dumps(desk.subject.spec)
    assert difference["shown"] not in json.dumps(desk.subject.spec)


def test_what_we_changed_ourselves_is_no_drift(desk: Desk) -> None:
    bought = desk.buy()
    change = ask(desk.engine, desk.subject, Kind.UPDATE, number=bought.number)
    assert carry_on(desk.runtime, desk.subject, change).state is State.COMPLETED
    assert desk.report(status=0)["findings"] == []


# What lags, and what is under way, is no finding


def test_a_number_that_has_just_become_ours_and_one_that_has_just_gone_may_lag(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, given_up = desk.buy(), desk.buy()
    for row in (gone, given_up):
        desk.vendor.give_up(str(row.number))
    kept = desk.buy()
    write(desk.engine, lambda session: session.execute(sa.update(Number).where(Number.number == kept.number)
          .values(released_at=utc_now())))  # fmt: skip
    monkeypatch.setenv(f"TRUNKLINE_{desk.subject.name.upper()}_SETTLING", "60")
    assert desk.report(status=0)["findings"] == []
    monkeypatch.setenv(f"TRUNKLINE_{desk.subject.name.upper()}_SETTLING", "0")
    kinds = eventually(lambda: _three(desk))
    assert kinds == {"ghost": 2, "orphan": 1}


def _three(desk: Desk) -> dict[str, int] | None:
    found = desk.counts()
    return found if sum(found.values()) == 3 else None


def test_an_order_that_is_under_way_is_no_orphan(desk: Desk) -> None:
    accepted = desk.stuck(State.ACCEPTED)
    desk.vendor.buy(accepted)
    just_sent = desk.stuck(State.SUBMITTING, unknown_since=utc_now() + HOUR)
    desk.vendor.buy(just_sent)
    assert desk.report(status=0)["findings"] == []


def test_a_release_that_is_under_way_leaves_no_ghost(desk: Desk) -> None:
    bought = desk.buy()
    release = ask(desk.engine, desk.subject, Kind.RELEASE, number=bought.number)
    write(desk.engine, lambda session: transition(session, [Move(release, State.SUBMITTING, "test")], utc_now()))
    desk.vendor.give_up(str(bought.number))
    eventually(lambda: not desk.vendor.lists(str(bought.number)))
    assert desk.report(status=0)["findings"] == []
    held = Move(release, State.HELD, "test", Reason.OUTCOME_UNKNOWN)
    write(desk.engine, lambda session: transition(session, [held], utc_now()))
    assert desk.finding()["command"] == f"trunkline resolve {release} --outcome completed"


@pytest.mark.parametrize("fault", ["reset_before_effect", "error_before_effect", "unreadable_after_effect"])
def test_a_list_that_breaks_off_finds_nothing_and_the_last_report_stands(desk: Desk, fault: str) -> None:
    desk.buy()
    orphan = desk.vendor.buy()
    before = desk.report()
    strike = {"fault": fault, "upstream": desk.subject.name, "on": ["look_up"]}
    desk.vendor.sandbox.script(faults=[strike])
    failed = desk.report(status=3)
    assert (failed["findings"], failed["counts"]) == ([], {})
    assert failed["error"]
    assert desk.subject.name in desk.cli.run("reconcile", status=3).stderr
    (row,) = every_report(desk)
    assert [one["number"] for one in row.findings] == [orphan] == [one["number"] for one in before["findings"]]
    assert row.error is not None
    desk.vendor.sandbox.script()
    desk.report()
    (row,) = every_report(desk)
    assert (row.error, row.failed_at) == (None, None)


def every_report(desk: Desk) -> list[Reconciliation]:
    return read(desk.engine, reports)


# Lost orders


@pytest.mark.parametrize("state", [State.HELD, State.SUBMITTING])
def test_an_order_that_did_land_is_found_by_its_key_and_completes_its_request(desk: Desk, state: State) -> None:
    lost = desk.stuck(state, due_at=None) if state is State.HELD else desk.stuck(state)
    number = desk.vendor.buy(lost, custom_id="dealer-17")
    found = desk.finding()
    assert (found["kind"], found["number"], found["request"]) == ("landed", number, str(lost))
    assert (found["requester"], "carries its key" in found["known"]) == ("default", True)
    (done,) = desk.reconcile("--adopt", number, "--note", "seen at the portal")["data"]
    assert (done["done"], done["request"]) == (True, str(lost))
    row = fetch(desk.engine, lost)
    assert (row.state, row.reason, row.number) == (State.COMPLETED, Reason.BY_PERSON, number)
    assert "seen at the portal" in str(row.detail)
    assert history(desk.engine, lost)[-1]["actor"].startswith("cli")
    assert desk.acts() == [("number.adopt", number, "seen at the portal")]
    (held,) = desk.held().values()
    assert (held.number, held.request_id, held.configuration) == (number, lost, desk.subject.spec)
    assert desk.counts() == {"drift": 1}  # it was not ordered in the words of the request
    assert len(desk.vendor.sandbox.ledger(upstream=desk.subject.name, kind="provision")) == 1


def test_a_result_goes_to_whoever_asked_for_the_number(desk: Desk) -> None:
    owner = make_requester(desk.engine)
    make_endpoint(desk.engine, owner, "https://crm.test/hook")
    number = desk.vendor.buy(desk.stuck(State.HELD))
    desk.reconcile("--adopt", number)
    told = [row for row in every(desk.engine, Delivery) if row.type == "request.completed"]
    assert [row.data["number"] for row in told] == [number]


def test_an_order_that_is_about_to_be_made_again_is_found(desk: Desk) -> None:
    lost = desk.stuck(State.SUBMITTING)
    again = Move(lost, State.QUEUED, "test", None, due_at=utc_now() + HOUR, changes={"repeated": True})
    write(desk.engine, lambda session: transition(session, [again], utc_now()))
    number = desk.vendor.buy(lost)
    assert "ordered again" in desk.finding()["known"]
    desk.reconcile("--adopt", number)
    assert fetch(desk.engine, lost).state is State.COMPLETED
    advance(desk.runtime, desk.subject.name)
    assert len(desk.vendor.sandbox.ledger(upstream=desk.subject.name, kind="provision")) == 1


@pytest.mark.parametrize("end", [State.FAILED, State.CANCELLED])
def test_a_number_of_a_request_that_was_given_up_names_it_and_is_its_requesters(desk: Desk, end: State) -> None:
    lost = desk.stuck(State.HELD)
    write(desk.engine, lambda session: transition(session, [Move(lost, end, "test")], utc_now()))
    number = desk.vendor.buy(lost)
    found = desk.finding()
    assert (found["kind"], found["request"], found["requester"]) == ("orphan", str(lost), "default")
    assert end in found["known"]
    (done,) = desk.reconcile("--adopt", number, "--requester", "default")["data"]
    assert fetch(desk.engine, lost).state is end
    assert history(desk.engine, lost)[-1]["reason"] == "adopted"
    assert str(desk.held()[number].request_id) == done["request"]
    assert desk.report(status=0)["findings"] == []


def test_a_request_that_bought_twice_is_said_to_have(desk: Desk) -> None:
    bought = desk.buy()
    second = desk.vendor.buy(bought.id)
    found = desk.finding()
    assert (found["kind"], found["number"], found["others"]) == ("twice", second, [bought.number])
    assert "Bought twice" in found["known"]
    assert "--release" in found["command"]
    (done,) = desk.reconcile("--release", second, "--yes")["data"]
    assert carry_on(desk.runtime, desk.subject, UUID(done["request"])).state is State.COMPLETED
    eventually(lambda: not desk.vendor.lists(second))
    assert desk.vendor.lists(str(bought.number))
    assert fetch(desk.engine, bought.id).number == bought.number
    assert list(desk.held()) == [bought.number]


def test_of_two_numbers_of_an_open_request_one_completes_it_and_the_other_is_given_up(desk: Desk) -> None:
    lost = desk.stuck(State.HELD)
    first, second = desk.vendor.buy(lost), desk.vendor.buy(lost)
    found = desk.report()["findings"]
    assert {(one["kind"], one["number"], *one["others"]) for one in found} == {
        ("twice", first, second),
        ("twice", second, first),
    }
    desk.cli.run("reconcile", "--adopt", "--all", "--yes", status=1)  # which of the two is for a person to say
    assert desk.held() == {}
    desk.reconcile("--adopt", first)
    assert fetch(desk.engine, lost).number == first
    assert desk.counts() == {"twice": 1, "drift": 1}
    assert desk.report()["findings"][0]["others"] == [first]
    desk.reconcile("--release", second, "--yes")
    assert fetch(desk.engine, lost).number == first


# Acts


def test_an_orphan_is_adopted_for_whoever_is_named(desk: Desk) -> None:
    make_requester(desk.engine, "crm")
    number = desk.vendor.buy()
    (done,) = desk.reconcile("--adopt", number, "--requester", "crm", "--note", "older than Trunkline")["data"]
    held = desk.held()[number]
    assert held.requester_id == make_requester(desk.engine, "crm").id
    row = fetch(desk.engine, UUID(done["request"]))
    assert (row.kind, row.state, row.number) == (Kind.UPDATE, State.COMPLETED, number)
    assert "older than Trunkline" in str(row.detail)
    assert desk.report(status=0)["findings"] == []
    (again,) = desk.reconcile("--adopt", number, status=1)["data"]
    assert (again["done"], "hold it" in again["detail"]) == (False, True)


def test_a_number_of_a_request_that_was_lost_with_the_database_becomes_that_request_again(desk: Desk) -> None:
    lost = new_id()
    number = desk.vendor.buy(lost, custom_id="dealer-17")
    assert str(lost) in desk.finding()["known"]
    (done,) = desk.reconcile("--adopt", number)["data"]
    assert done["request"] == str(lost)
    row = fetch(desk.engine, lost)
    assert (row.kind, row.state, row.number) == (Kind.PROVISION, State.COMPLETED, number)
    assert desk.report(status=0)["findings"] == []
    told = {line["type"]: line for line in history(desk.engine, lost)}
    assert told["state"]["to"] == "completed"


@pytest.mark.parametrize("subject", [one for one in SUBJECTS if one.name == "avanser"], ids=["avanser"])
def test_who_sends_a_file_again_that_was_lost_with_the_database_buys_nothing_of_it_twice(
    desk: Desk, tmp_path: Path
) -> None:
    lost = new_id()
    number = desk.vendor.buy(lost, custom_id="dealer-17")
    desk.reconcile("--adopt", number)
    columns = "spec.service_number.country,spec.service_number.search_type,spec.service_number.szu"
    service = "spec.service.type,spec.service.answer_point"
    dealers = tmp_path / "dealers.csv"
    rows = [f"avanser,dealer-{n},Dealer,AU,szu,sydney,transfer,61401603859" for n in (17, 18)]
    dealers.write_text("\n".join([f"upstream,custom_id,spec.name,{columns},{service}", *rows]) + "\n")
    desk.cli.run("submit", str(dealers))
    asked = [row for row in every(desk.engine, Request) if row.custom_id in ("dealer-17", "dealer-18")]
    assert sorted((str(row.custom_id), row.state.value) for row in asked) == [
        ("dealer-17", "completed"),
        ("dealer-18", "queued"),
    ]


def test_an_adopted_number_can_be_changed_and_given_up_like_any_other(desk: Desk) -> None:
    number = desk.vendor.buy()
    desk.reconcile("--adopt", number)
    for kind in (Kind.UPDATE, Kind.RELEASE):
        row = carry_on(desk.runtime, desk.subject, ask(desk.engine, desk.subject, kind, number=number))
        assert row.state is State.COMPLETED, row.detail
    eventually(lambda: not desk.vendor.lists(number))


def test_an_orphan_is_given_up_by_a_release_that_is_seen_until_it_is_gone(desk: Desk) -> None:
    kept, number, other = desk.buy(), desk.vendor.buy(), desk.vendor.buy()
    assert "--yes" in desk.cli.run("reconcile", "--release", number, status=2).stderr
    assert every(desk.engine, Request)[-1].id == kept.id
    (done,) = desk.reconcile("--release", number, "--yes")["data"]
    release = fetch(desk.engine, UUID(done["request"]))
    assert (release.kind, release.number, release.state) == (Kind.RELEASE, number, State.QUEUED)
    assert {one["number"] for one in desk.report()["findings"]} == {other}
    (again,) = desk.reconcile("--release", number, "--yes", status=1)["data"]
    assert not again["done"]
    assert desk.acts() == [("number.release", number, None)]
    assert carry_on(desk.runtime, desk.subject, release.id).state is State.COMPLETED
    eventually(lambda: not desk.vendor.lists(number))
    assert all(desk.vendor.lists(str(one)) for one in (kept.number, other))
    assert {entry["number"].lstrip("+") for entry in desk.vendor.sandbox.ledger(kind="release")} <= {
        number.lstrip("+"),
        number.removeprefix("+1"),
    }


def test_a_number_that_somebody_holds_or_waits_for_is_not_released(desk: Desk) -> None:
    bought, lost = desk.buy(), desk.stuck(State.HELD)
    waited_for = desk.vendor.buy(lost)
    done = desk.reconcile("--release", bought.number, waited_for, "--yes", status=1)["data"]
    assert [one["done"] for one in done] == [False, False]
    assert str(lost) in done[1]["detail"]
    assert list(desk.held()) == [bought.number]
    assert desk.vendor.sandbox.ledger(kind="release") == []


def test_a_ghost_is_forgotten_and_its_history_says_by_whom(desk: Desk) -> None:
    gone, kept = desk.buy(), desk.buy()
    (refused,) = desk.reconcile("--forget", gone.number, status=1)["data"]
    assert "lists it" in refused["detail"]
    desk.vendor.give_up(str(gone.number))
    eventually(lambda: not desk.vendor.lists(str(gone.number)))
    (done,) = desk.reconcile("--forget", gone.number, "--note", "ported away")["data"]
    assert done["request"] == str(gone.id)
    assert list(desk.held()) == [kept.number]
    assert desk.acts() == [("number.forget", gone.number, "ported away")]
    last = history(desk.engine, gone.id)[-1]
    assert (last["reason"], "ported away" in last["detail"]) == ("forgotten", True)
    assert desk.report(status=0)["findings"] == []


def test_what_was_asked_for_is_asked_for_once_more(desk: Desk) -> None:
    bought = desk.buy()
    desk.vendor.change(str(bought.number))
    eventually(lambda: desk.reconcile(status=1)["data"][0]["findings"])
    (done,) = desk.reconcile("--apply", bought.number)["data"]
    assert desk.acts() == [("number.change", bought.number, None)]
    update = carry_on(desk.runtime, desk.subject, UUID(done["request"]))
    assert (update.kind, update.state) == (Kind.UPDATE, State.COMPLETED)
    eventually(lambda: not desk.report(status=0)["findings"])


def test_all_that_the_report_says_to_adopt_is_adopted_when_it_is_said_twice(desk: Desk) -> None:
    orphan, lost = desk.vendor.buy(), desk.stuck(State.HELD)
    landed = desk.vendor.buy(lost)
    preview = desk.cli.run("reconcile", "--adopt", status=1)
    assert all(number in preview.stdout for number in (orphan, landed))
    assert "Nothing was changed" in preview.stderr
    assert "--yes" in desk.cli.run("reconcile", "--adopt", "--all", status=2).stderr
    assert desk.held() == {}
    desk.cli.run("reconcile", "--adopt", "--all", "--yes")
    assert set(desk.held()) == {orphan, landed}
    assert fetch(desk.engine, lost).state is State.COMPLETED
