"""What `/metrics` says of the work: counted in the transaction that does it, whichever process did."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from models import heartbeat, tally
from models.base import make_engine, read, utc_now, write
from models.state import Reason
from models.tally import Observation, What
from tests.factory import KEYRING, make_endpoint, make_requester, make_requests
from tests.receiver import receiver, settings_for
from tests.working import NAME, ScriptedUpstream, together, working
from worker import workflow
from worker.loop import Loop
from worker.relay import HEARTBEAT
from worker.upstreams.base import Accepted, Completed, OutcomeUnknown, Rejected, Stopped


def figures(monkeypatch: pytest.MonkeyPatch, engine: Engine, home: Path) -> dict[str, float]:
    """By name and labels, as `/metrics` has them."""
    url = engine.url.render_as_string(hide_password=False)
    with receiver(settings_for(monkeypatch, url, str(home)), engine) as api:
        lines = api.get("/metrics").text.splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}


def see(took: float, answer: str = "accepted", what: What = What.CALL, who: str = NAME) -> Observation:
    return Observation(what, who, "submit" if what is What.CALL else "", answer, timedelta(seconds=took))


def test_what_many_transactions_count_at_once_adds_up(engine: Engine) -> None:
    def count() -> None:
        for _ in range(10):
            write(engine, lambda session: tally.add(session, [see(0.3), see(0.3), see(0.3, "rejected")]))

    together(*[count] * 4)

    found = {one.answer: (one.n, round(one.seconds, 3)) for one in read(engine, lambda s: tally.sums(s, What.CALL))}
    assert found == {"accepted": (80, 24.0), "rejected": (40, 12.0)}


def test_what_is_rolled_back_is_not_counted(engine: Engine) -> None:
    def fail(session: Session) -> None:
        tally.add(session, [see(0.3)])
        raise KeyError

    with pytest.raises(KeyError):
        write(engine, fail)

    assert read(engine, lambda session: tally.sums(session, What.CALL)) == []


def test_calls_are_counted_by_what_came_of_them_and_timed(
    monkeypatch: pytest.MonkeyPatch, engine: Engine, tmp_path: Path, loop: Loop
) -> None:
    client = ScriptedUpstream()
    with working(monkeypatch, engine, str(tmp_path), loop, client) as runtime:
        for said, count in (
            (Completed("+61280740801"), 1), (Accepted(), 1), (Rejected(Reason.OUT_OF_STOCK), 2),
            (OutcomeUnknown("silence"), 1), (Stopped("paused"), 1),
        ):  # fmt: skip
            client.on_submit = said
            make_requests(engine, count)
            workflow.advance(runtime, NAME)

    found = figures(monkeypatch, engine, tmp_path)

    def calls(answer: str) -> float:
        return found[f'trunkline_upstream_calls_total{{answer="{answer}",call="submit",upstream="{NAME}"}}']

    expected = {"completed": 1, "accepted": 1, "out_of_stock": 2, "outcome_unknown": 1, "over_limit": 0}
    assert {answer: calls(answer) for answer in expected} == expected
    assert found[f'trunkline_upstream_call_seconds_count{{call="submit",upstream="{NAME}"}}'] == 5
    assert found[f'trunkline_unknown{{upstream="{NAME}"}}'] == 1
    assert found[f'trunkline_out_of_stock{{upstream="{NAME}"}}'] == 2


def test_times_stand_in_every_bucket_that_holds_them(
    monkeypatch: pytest.MonkeyPatch, engine: Engine, tmp_path: Path
) -> None:
    write(engine, lambda session: tally.add(session, [see(0.05), see(0.3), see(90)]))

    found = figures(monkeypatch, engine, tmp_path)

    def below(bound: str) -> float:
        labels = f'call="submit",le="{bound}",upstream="{NAME}"'
        return found[f"trunkline_upstream_call_seconds_bucket{{{labels}}}"]

    assert [below(bound) for bound in ("0.05", "0.25", "0.5", "60.0", "+Inf")] == [1, 1, 2, 2, 3]
    assert found[f'trunkline_upstream_call_seconds_sum{{call="submit",upstream="{NAME}"}}'] == pytest.approx(90.35)


def test_tries_stand_under_their_endpoints_name_and_one_off_hosts_under_one(
    monkeypatch: pytest.MonkeyPatch, engine: Engine, tmp_path: Path
) -> None:
    endpoint_id = str(make_endpoint(engine, make_requester(engine), "https://crm.test/").id)
    seen = [see(0.1, "5xx", What.TRY, endpoint_id), see(0.1, "2xx", What.TRY, tally.ONE_OFF)]
    write(engine, lambda session: tally.add(session, seen))

    found = figures(monkeypatch, engine, tmp_path)

    assert found['trunkline_delivery_tries_total{answer="5xx",endpoint="crm",requester="default"}'] == 1
    assert found['trunkline_delivery_tries_total{answer="2xx",endpoint="crm",requester="default"}'] == 0
    assert found['trunkline_delivery_tries_total{answer="2xx",endpoint="one-off",requester=""}'] == 1


def test_the_age_of_the_last_heartbeat_is_endless_before_the_first(
    monkeypatch: pytest.MonkeyPatch, engine: Engine, tmp_path: Path
) -> None:
    assert figures(monkeypatch, engine, tmp_path)["trunkline_heartbeat_age_seconds"] == float("inf")
    write(engine, lambda session: heartbeat.beat(session, HEARTBEAT, utc_now() - timedelta(seconds=40)))
    assert 39 < figures(monkeypatch, engine, tmp_path)["trunkline_heartbeat_age_seconds"] < 60


def test_a_database_that_takes_nothing_is_seen_though_it_can_be_read(
    monkeypatch: pytest.MonkeyPatch, postgresql_url: str, tmp_path: Path
) -> None:
    engine = make_engine(postgresql_url, keyring=KEYRING)
    with receiver(settings_for(monkeypatch, postgresql_url, str(tmp_path)), engine) as api:
        before = api.get("/metrics").text
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text(f"ALTER DATABASE {engine.url.database} SET default_transaction_read_only = on"))
        api.app.extensions["trunkline"].engine.dispose()
        after = api.get("/metrics").text
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(sa.text(f"ALTER DATABASE {engine.url.database} RESET default_transaction_read_only"))
    engine.dispose()

    assert "trunkline_database_writable 1.0" in before
    assert "trunkline_database_writable 0.0" in after
    assert "trunkline_heartbeat_age_seconds" in after
