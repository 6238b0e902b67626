"""The daily run, its report, and who sees it: on both kinds of database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from models.base import new_id, read, utc_now, write
from models.clock import Clock
from models.number import Number
from models.reconciliation import MOST_KEPT, Reconciliation, claim, keep
from models.request import Kind, Request
from models.requester import Scope
from models.state import Reason, State
from models.transition import Move, transition
from tests.factory import NOW, make_requester
from tests.holding import PERTH, SYDNEY, ask, complete, done
from tests.integration.cli import Cli, cli, environment
from tests.receiver import Api
from tests.sandbox import SandboxServer, eventually
from tests.shop import Vendor, credentials
from tests.working import NAME, every, together
from worker.intake import Intake
from worker.reconciling.acts import NotDone, Who, adopt, release
from worker.reconciling.run import REST, begin_due, due, look, reconcile, run_daily
from worker.runtime import Runtime
from worker.settings import load
from worker.upstream_settings import UPSTREAMS
from worker.upstreams.base import OwnedNumber, Unavailable, WrongAccount

__all__ = ["cli", "environment"]

DAY, NO_TIME = timedelta(days=1), timedelta()


class List:
    """What an upstream answers with, and how often it was asked."""

    def __init__(self, *numbers: str, failure: Exception | None = None) -> None:
        self.rows = [OwnedNumber(number, None) for number in numbers]
        self.failure = failure
        self.asked = 0

    def __call__(self) -> Sequence[OwnedNumber]:
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        return self.rows


def last(engine: Engine) -> Reconciliation:
    (row,) = every_report(engine)
    return row


def every_report(engine: Engine) -> list[Reconciliation]:
    return read(engine, lambda session: list(session.scalars(sa.select(Reconciliation))))


def wait(engine: Engine, time: timedelta) -> None:
    """Make the last run so much older."""

    def work(session: Session) -> None:
        for row in session.scalars(sa.select(Reconciliation)):
            row.waits_since -= time
            row.claimed_until = row.claimed_until and row.claimed_until - time
        session.flush()

    write(engine, work)


# Once a day


def test_the_first_run_comes_a_day_after_an_upstream_is_first_seen_and_then_one_each_day(runtime: Runtime) -> None:
    numbers = List(SYDNEY)
    assert due(runtime) == [NAME]
    assert not run_daily(runtime, NAME, numbers)
    assert due(runtime) == []
    wait(runtime.engine, DAY)
    assert due(runtime) == [NAME]
    assert run_daily(runtime, NAME, numbers)
    assert not run_daily(runtime, NAME, numbers)
    assert due(runtime) == []
    assert numbers.asked == 1
    assert last(runtime.engine).counts["orphan"] == 1
    wait(runtime.engine, DAY)
    assert run_daily(runtime, NAME, numbers)


def test_of_two_relays_one_runs_it(runtime: Runtime) -> None:
    run_daily(runtime, NAME, List())
    wait(runtime.engine, DAY)
    slow = List(SYDNEY)

    def ask_slowly() -> Sequence[OwnedNumber]:
        eventually(lambda: last(runtime.engine).fence == 1)
        return slow()

    ran = together(*[lambda: run_daily(runtime, NAME, ask_slowly) for _ in range(4)])
    assert sorted(ran) == [False, False, False, True]
    assert slow.asked == 1


def test_a_run_whose_worker_died_is_run_again_when_its_lease_ends(runtime: Runtime) -> None:
    run_daily(runtime, NAME, List())
    wait(runtime.engine, DAY)
    lease = timedelta(minutes=30)
    taken = write(runtime.engine, lambda session: claim(session, NAME, utc_now(), DAY, lease))
    assert taken == 1
    assert due(runtime) == []
    wait(runtime.engine, lease)
    assert run_daily(runtime, NAME, List())


def test_a_run_that_got_no_list_is_tried_again_after_a_rest(runtime: Runtime) -> None:
    run_daily(runtime, NAME, List())
    wait(runtime.engine, DAY)
    assert run_daily(runtime, NAME, List(SYDNEY, failure=Unavailable("no answer")))
    row = last(runtime.engine)
    assert (row.error, row.started_at, row.findings) == ("no answer", None, [])
    assert due(runtime) == []
    wait(runtime.engine, REST)
    assert run_daily(runtime, NAME, List())
    assert last(runtime.engine).error is None


def test_a_run_on_demand_counts_as_the_days(runtime: Runtime) -> None:
    run_daily(runtime, NAME, List())
    wait(runtime.engine, DAY)
    reconcile(runtime.engine, NAME, List(), NO_TIME, runtime.clock)
    assert due(runtime) == []


def test_nothing_is_run_where_it_is_switched_off_or_the_upstream_is_busy(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_daily(runtime, NAME, List())
    wait(runtime.engine, DAY)
    most = runtime.settings.upstreams[NAME].max_in_flight
    busy = runtime.limits.acquire(NAME, most, most, 1e6, DAY)
    numbers = List()
    assert not run_daily(runtime, NAME, numbers)
    runtime.limits.give_back(busy, busy.count)
    assert numbers.asked == 0
    environment = runtime.settings.environment.model_copy(update={"reconcile_interval": 0})
    runtime.settings = replace(runtime.settings, environment=environment)
    assert due(runtime) == []


def test_a_relays_tick_begins_the_run_in_a_lane_and_asks_the_upstream(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch, sandbox: SandboxServer
) -> None:
    credentials(monkeypatch, sandbox, NAME)
    orphan = Vendor(NAME, sandbox, runtime.uris).buy()
    runtime.settings = load()
    begin_due(runtime)
    assert runtime.lanes.drain(timedelta(seconds=10))
    wait(runtime.engine, DAY)
    begin_due(runtime)
    assert runtime.lanes.drain(timedelta(seconds=30))
    assert [one["number"] for one in last(runtime.engine).findings] == [orphan]


# The report


def test_an_older_report_never_takes_the_place_of_a_newer_one(engine: Engine) -> None:
    def told(at: datetime, count: int) -> None:
        write(engine, lambda session: keep(session, NAME, at, at, {"orphan": count}, []))

    told(NOW, 2)
    told(NOW - DAY, 1)
    assert last(engine).counts == {"orphan": 2}


def test_a_late_word_of_the_upstream_names_the_request_that_ended(runtime: Runtime) -> None:
    """The number carries no key; what contradicted the request's end names it."""
    engine = runtime.engine
    lost = ask(engine, custom_id="dealer-17")
    write(engine, lambda session: transition(session, [Move(lost, State.FAILED, "test")], NOW))
    late = Move(lost, State.COMPLETED, "callback", changes={"number": SYDNEY})
    write(engine, lambda session: transition(session, [late], NOW))
    report = look(engine, NAME, List(SYDNEY), NO_TIME, runtime.clock)
    (found,) = report.findings
    assert (found.kind, found.request_id, found.requester) == ("orphan", lost, "default")
    assert "too late" in found.known


def test_a_number_that_we_gave_up_and_that_is_listed_still_says_so(runtime: Runtime) -> None:
    done(runtime.engine)
    release = done(runtime.engine, Kind.RELEASE)
    (found,) = look(runtime.engine, NAME, List(SYDNEY), NO_TIME, runtime.clock).findings
    assert (found.kind, found.act) == ("orphan", "release")
    assert str(release) in found.known


def test_a_number_that_we_have_just_given_up_may_be_listed_for_a_while(runtime: Runtime) -> None:
    done(runtime.engine)
    done(runtime.engine, Kind.RELEASE, at=utc_now())
    settling = timedelta(minutes=1)
    assert look(runtime.engine, NAME, List(SYDNEY), settling, runtime.clock).findings == []
    assert len(look(runtime.engine, NAME, List(SYDNEY), -settling, runtime.clock).findings) == 1


def test_what_has_become_of_a_number_since_the_report_counts(runtime: Runtime) -> None:
    """A person reads the report; meanwhile the callback comes, or another requester is sold the number."""
    engine, owner = runtime.engine, make_requester(runtime.engine)
    lost = ask(engine)
    held = Move(lost, State.HELD, "test", Reason.OUTCOME_UNKNOWN)
    write(engine, lambda session: transition(session, [held], NOW))
    keyed = [OwnedNumber(SYDNEY, None, order=lost), OwnedNumber(PERTH, None)]
    report = look(engine, NAME, lambda: keyed, NO_TIME, runtime.clock)
    complete(engine, lost)
    done(engine, requester="crm", number=PERTH)
    intake, who = Intake(engine, runtime.settings), Who("cli:test", utc_now())
    for number in (SYDNEY, PERTH):
        extra = report.extras[number]
        with pytest.raises(NotDone, match="we hold it"):
            write(engine, lambda session, extra=extra: adopt(session, NAME, extra, owner.id, who))  # type: ignore[misc]
        with pytest.raises(NotDone, match="we hold it"):
            write(engine, lambda session, extra=extra: release(session, NAME, extra, owner.id, intake, who))  # type: ignore[misc]
    rows = every(engine, Number)
    assert [(row.number, row.released_at) for row in rows] == [(SYDNEY, None), (PERTH, None)]
    assert len(every(engine, Request)) == 2


def test_two_people_adopt_a_number_once(runtime: Runtime) -> None:
    engine, owner = runtime.engine, make_requester(runtime.engine)
    extra = look(engine, NAME, List(SYDNEY), NO_TIME, runtime.clock).extras[SYDNEY]
    who = Who("cli:test", utc_now())

    def work() -> bool:
        try:
            write(engine, lambda session: adopt(session, NAME, extra, owner.id, who))
        except NotDone:
            return False
        return True

    assert sorted(together(*[work] * 4)) == [False, False, False, True]
    assert len(every(engine, Number)) == len(every(engine, Request)) == 1


def test_a_number_that_carries_no_key_may_be_told_by_its_custom_id(runtime: Runtime) -> None:
    lost = ask(runtime.engine, custom_id="dealer-17")
    held = Move(lost, State.HELD, "test", Reason.OUTCOME_UNKNOWN)
    write(runtime.engine, lambda session: transition(session, [held], NOW))
    nameless = [OwnedNumber(SYDNEY, None, custom_id="dealer-17")]
    (found,) = look(runtime.engine, NAME, lambda: nameless, NO_TIME, runtime.clock).findings
    assert (found.kind, found.request_id, "probably" in found.known) == ("landed", lost, True)
    ask(runtime.engine, custom_id="dealer-17", requester="crm")
    (found,) = look(runtime.engine, NAME, lambda: nameless, NO_TIME, runtime.clock).findings
    assert (found.kind, found.request_id) == ("orphan", None)  # of two, nobody can tell which


def test_a_change_of_a_number_older_than_trunkline_is_under_way(runtime: Runtime) -> None:
    ask(runtime.engine, Kind.UPDATE)
    assert look(runtime.engine, NAME, List(SYDNEY), NO_TIME, runtime.clock).findings == []


def test_what_is_kept_has_an_end_and_the_counts_have_none(engine: Engine) -> None:
    findings = [{"kind": "orphan", "number": str(place), "since": "x"} for place in range(MOST_KEPT + 7)]
    counts = {"orphan": len(findings)}
    write(engine, lambda session: keep(session, NAME, NOW, NOW, counts, [*findings, findings[0] | {"kind": "ghost"}]))
    row = last(engine)
    assert (len(row.findings), row.counts) == (MOST_KEPT + 1, counts)


def test_a_large_inventory_is_compared_in_sets(runtime: Runtime) -> None:
    owner, count = make_requester(runtime.engine), 20_000
    numbers = [f"+6128{place:07}" for place in range(count)]

    def fill(session: Session) -> None:
        rows = [
            {
                "id": new_id(),
                "requester_id": owner.id,
                "upstream": NAME,
                "number": number,
                "request_id": new_id(),
                "configuration": {},
                "held_since": NOW,
                "changed_at": NOW,
            }
            for number in numbers[10:]
        ]
        session.execute(sa.insert(Number), rows)

    write(runtime.engine, fill)
    statements = []
    sa.event.listen(runtime.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    report = look(runtime.engine, NAME, List(*numbers[:-20]), NO_TIME, runtime.clock)
    assert (report.counts["orphan"], report.counts["ghost"]) == (10, 20)
    assert len(statements) < 20
    statements.clear()
    strangers = [f"+6138{place:07}" for place in range(5_000)]
    report = look(runtime.engine, NAME, List(*strangers), NO_TIME, runtime.clock)
    assert report.counts["orphan"] == len(strangers)
    assert len(statements) < 40


# Who sees it


def test_the_api_shows_the_last_report_and_to_each_their_own(api: Api) -> None:
    assert api.call("GET", "/v1/reconciliation").json == {"data": [], "next_cursor": None}
    make_requester(api.engine, "crm")
    done(api.engine, requester="crm")
    reconcile(api.engine, NAME, List(PERTH), NO_TIME, Clock())
    (mine,) = api.call("GET", "/v1/reconciliation").get_json()["data"]
    assert [(one["kind"], one["number"]) for one in mine["findings"]] == [("orphan", PERTH)]
    key = api.make_key(Scope.READ, requester="crm")
    (theirs,) = api.call("GET", "/v1/reconciliation", key=key).get_json()["data"]
    assert [(one["kind"], one["number"]) for one in theirs["findings"]] == [("ghost", SYDNEY)]
    assert theirs["counts"] == {"orphan": 0, "landed": 0, "twice": 0, "ghost": 1, "drift": 0}
    submit_only = api.make_key(Scope.SUBMIT)
    assert api.call("GET", "/v1/reconciliation", key=submit_only).status_code == 403


def test_metrics_tell_of_findings_their_age_and_failures(api: Api) -> None:
    done(api.engine)
    reconcile(api.engine, NAME, List(PERTH), NO_TIME, Clock())
    said = api.call("GET", "/metrics").text
    assert 'trunkline_reconciliation_findings{kind="orphan",upstream="avanser"} 1.0' in said
    assert 'trunkline_reconciliation_findings{kind="ghost",upstream="avanser"} 1.0' in said
    assert 'trunkline_reconciliation_findings{kind="drift",upstream="avanser"} 0.0' in said
    assert 'trunkline_reconciliation_failed{upstream="avanser"} 0.0' in said
    with pytest.raises(WrongAccount):
        reconcile(api.engine, NAME, List(failure=WrongAccount("of somebody else")), NO_TIME, Clock())
    said = api.call("GET", "/metrics").text
    assert 'trunkline_reconciliation_failed{upstream="avanser"} 1.0' in said
    assert 'trunkline_reconciliation_findings{kind="orphan",upstream="avanser"} 1.0' in said


# The command


@pytest.fixture
def three(cli: Cli, monkeypatch: pytest.MonkeyPatch, sandbox: SandboxServer) -> Cli:
    """With all upstreams set up, at which nothing was bought."""
    credentials(monkeypatch, sandbox, *UPSTREAMS)
    return cli


def test_all_upstreams_that_are_set_up_are_compared_or_the_one_that_is_named(
    three: Cli, monkeypatch: pytest.MonkeyPatch, sandbox: SandboxServer
) -> None:
    names = [one["upstream"] for one in three.json("reconcile")["data"]]
    assert names == sorted(UPSTREAMS)
    assert [one["upstream"] for one in three.json("reconcile", "--upstream", "telmetrics")["data"]] == ["telmetrics"]
    credentials(monkeypatch, sandbox, "messagemedia")
    assert [one["upstream"] for one in three.json("reconcile")["data"]] == ["messagemedia"]
    assert "TRUNKLINE_TELMETRICS_TOKEN" in three.run("reconcile", "--upstream", "telmetrics", status=2).stderr
    credentials(monkeypatch, sandbox)
    assert "no upstream is set up" in three.run("reconcile", status=2).stderr


def test_an_upstream_that_is_away_hides_nothing_of_the_others(three: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    done(three.engine)
    assert [len(one["findings"]) for one in three.json("reconcile", status=1)["data"]] == [1, 0, 0]
    monkeypatch.setenv("TRUNKLINE_TELMETRICS_URL", "http://127.0.0.1:1/v3/api")
    shown = {one["upstream"]: one for one in three.json("reconcile", status=3)["data"]}
    assert (len(shown["avanser"]["findings"]), shown["avanser"]["error"]) == (1, None)
    assert shown["telmetrics"]["error"]
    said = three.run("reconcile", status=3)
    assert SYDNEY in said.stdout
    assert "telmetrics: not compared" in said.stderr
    monkeypatch.setenv("TRUNKLINE_TELMETRICS_URL", "http://127.0.0.1:1/v3/api")
    monkeypatch.setenv("TRUNKLINE_AVANSER_PASSWORD", "wrong")
    three.run("reconcile", "--upstream", "avanser", status=2)


def test_an_act_goes_on_with_the_upstreams_that_answer(three: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    done(three.engine)
    monkeypatch.setenv("TRUNKLINE_TELMETRICS_URL", "http://127.0.0.1:1/v3/api")
    shown = three.json("reconcile", "--forget", "02 8074 0801", status=3)
    assert [one["done"] for one in shown["data"]] == [True]
    assert list(shown["errors"]) == ["telmetrics"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["+61280740801"], "say what to do"),
        (["--all"], "say what to do"),
        (["--adopt", "--release", "+61280740801"], "one thing at a time"),
        (["--release"], "needs the numbers"),
        (["--forget"], "needs the numbers"),
        (["--apply"], "needs the numbers"),
        (["--release", "--all"], "--adopt alone"),
        (["--adopt", "--all", "+61280740801"], "--adopt alone"),
        (["--adopt", "12"], "not a phone number"),
        (["--adopt", "+61280740801"], "neither in our books"),
    ],
)
def test_what_is_not_clear_is_refused_before_anything_is_done(three: Cli, words: list[str], said: str) -> None:
    assert said in three.run("reconcile", *words, status=2).stderr
    assert every(three.engine, Number) == []


def test_a_number_that_two_upstreams_know_wants_the_upstream_named(three: Cli) -> None:
    done(three.engine)
    done(three.engine, upstream="messagemedia")
    assert "--upstream" in three.run("reconcile", "--forget", SYDNEY, status=2).stderr
    three.run("reconcile", "--upstream", "messagemedia", "--forget", SYDNEY)
    held = {row.upstream for row in every(three.engine, Number) if row.released_at is None}
    assert held == {"avanser"}


def test_the_report_for_people_says_what_to_do_and_explains_itself(three: Cli) -> None:
    request = done(three.engine, custom_id="dealer-17")
    header, line = three.run("reconcile", status=1).stdout.splitlines()
    assert header.split("\t")[0] == "kind"
    assert all(part in line for part in ("ghost", SYDNEY, str(request), "does not list it", "--forget"))
    said = three.run("reconcile", "--help").stdout
    assert all(part in said for part in ("--json", "Examples", "--adopt", "Exit status"))
