"""One contract, three clients: every answer and every failure, through real HTTP against the simulated upstreams.

An upstream that is added takes its place in `SUBJECTS` and passes the same tests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from pydantic import SecretStr

from models.base import new_id
from models.request import Kind
from models.state import Reason
from tests import picking
from tests.sandbox import (
    ACCOUNT,
    MESSAGEMEDIA_KEY,
    MESSAGEMEDIA_SECRET,
    PASSWORD,
    TELMETRICS_TOKEN,
    USERNAME,
    SandboxServer,
    eventually,
)
from worker.signing import Tokens, Uris
from worker.upstream_settings import AvanserSettings, MessageMediaSettings, TelmetricsSettings
from worker.upstreams import DIALECTS
from worker.upstreams.avanser.client import AvanserClient
from worker.upstreams.base import (
    Accepted,
    Answer,
    BadQuery,
    Completed,
    Misconfigured,
    NotFound,
    Order,
    OutcomeUnknown,
    Rejected,
    Unavailable,
    Upstream,
)
from worker.upstreams.messagemedia.client import MessageMediaClient
from worker.upstreams.telmetrics.client import TelmetricsClient

T = TypeVar("T")

LONG, SHORT = timedelta(seconds=10), timedelta(seconds=1)
SLOW = 2.5
"""Seconds that the upstream takes where it is to be too slow: well above SHORT."""

URIS = Uris("http://127.0.0.1:9", Tokens([SecretStr("k" * 43)]))


@dataclass(frozen=True)
class Subject:
    """One upstream, as far as the suite must know it."""

    name: str
    client: Callable[[SandboxServer], Upstream]
    spec: Mapping[str, Any]
    change: Mapping[str, Any]
    empty_stock: Mapping[str, Any]  # the script under which nothing fits the spec


def _avanser(server: SandboxServer) -> Upstream:
    login = {"username": USERNAME, "password": SecretStr(PASSWORD), "account_id": ACCOUNT}
    return AvanserClient(AvanserSettings(url=server.avanser_url, **login))  # type: ignore[arg-type]


def _telmetrics(server: SandboxServer) -> Upstream:
    return TelmetricsClient(TelmetricsSettings(url=server.telmetrics_url, token=SecretStr(TELMETRICS_TOKEN)))


def _messagemedia(server: SandboxServer) -> Upstream:
    keys = {"key": SecretStr(MESSAGEMEDIA_KEY), "secret": SecretStr(MESSAGEMEDIA_SECRET)}
    return MessageMediaClient(MessageMediaSettings(url=server.messagemedia_url, **keys))  # type: ignore[arg-type]


SUBJECTS = (
    Subject(
        "avanser",
        _avanser,
        spec={
            "name": "service #1",
            "service_number": {"country": "AU", "search_type": "szu", "szu": "sydney"},
            "service": {"type": "transfer", "answer_point": "61401603859"},
        },
        change={"service": {"answer_point": "61132307"}},
        empty_stock={"avanser": {"stock": []}},
    ),
    Subject(
        "telmetrics",
        _telmetrics,
        spec={
            "group_id": 11623282,
            "name": "ABC Company",
            "phone_number_request": {"match_type": "localtocity", "city": "atlanta", "state": "ga"},
            "call_routes": {"route_type": "Basic", "route": {"termination_number": "4043993433"}},
        },
        change={"call_routes": {"route_type": "Basic", "route": {"termination_number": "4165551234"}}},
        empty_stock={"telmetrics": {"stock": []}},
    ),
    Subject(
        "messagemedia",
        _messagemedia,
        spec={
            "search": {"country": "AU", "service_types": ["SMS"]},
            "label": "Representative-Fred",
            "metadata": {"State": "Vic"},
        },
        change={"label": "HouseElf-Fred", "metadata": {"State": "Vic", "Region": "SE"}},
        empty_stock={"messagemedia": {"stock": []}},
    ),
)


@pytest.fixture(params=SUBJECTS, ids=lambda subject: subject.name)
def subject(request: pytest.FixtureRequest) -> Subject:
    found: Subject = request.param
    return found


@dataclass
class Bench:
    """One subject at the sandbox, asked one question at a time."""

    subject: Subject
    server: SandboxServer

    def order(self, kind: Kind = Kind.PROVISION, **fields: Any) -> Order:
        id_ = new_id()
        specs = {Kind.PROVISION: self.subject.spec, Kind.UPDATE: self.subject.change, Kind.RELEASE: {}}
        name = self.subject.name
        given: dict[str, Any] = {
            "spec": specs[kind],
            "number": None,
            "upstream_reference": None,
            "custom_id": "dealer-17",  # of every order alike: it need not be unique
            "custom_group": None,
            "pick": picking.first,
        } | fields
        return Order(
            request_id=id_,
            kind=kind,
            callback_uri=URIS.callback(name, id_),
            call_uri=URIS.call(name, id_),
            sms_uri=URIS.sms(name, id_),
            **given,
        )

    def go_wrong(self, fault: str, on: str = "provision", **more: Any) -> None:
        """From now on this strikes each such call; no callback is sent, so that answers are all there is."""
        self.server.script(
            callback={"delay": 600}, faults=[{"fault": fault, "upstream": self.subject.name, "on": [on], **more}]
        )

    def mend(self) -> None:
        self.server.script(callback={"delay": 600})

    def submit(self, order: Order, within: timedelta = LONG) -> Answer:
        return self._ask(lambda client: client.submit(order, within))

    def look_up(self, order: Order, within: timedelta = LONG) -> Answer:
        return self._ask(lambda client: client.look_up(order, within))

    def _ask(self, question: Callable[[Upstream], Awaitable[T]]) -> T:
        async def story() -> T:
            client = self.subject.client(self.server)
            try:
                return await question(client)
            finally:
                await client.close()

        return asyncio.run(story())

    def ledger(self, kind: Kind = Kind.PROVISION) -> list[dict[str, Any]]:
        return self.server.ledger(upstream=self.subject.name, kind=kind.value)

    def e164(self, entry: Mapping[str, Any]) -> str:
        """The number of a ledger entry, which stands there as the vendor writes it."""
        digits = str(entry["number"]).lstrip("+")
        return f"+1{digits}" if self.subject.name == "telmetrics" else f"+{digits}"

    def remembering(self, order: Order) -> tuple[Order, list[Order]]:
        """The order, with a `pick` that remembers what was picked: the last of the list is the order as a look-up
        gets it."""
        known = [order]

        async def pick(candidates: Any) -> Any:
            picked = await order.pick(candidates)
            if picked is not None:
                known.append(replace(order, number=picked.number, upstream_reference=picked.reference))
            return picked

        return replace(order, pick=pick), known

    def bought(self) -> Order:
        """A number that is ours, and the order for it."""
        order = self.order()
        answer = self.submit(order)
        assert isinstance(answer, Accepted | Completed)
        return replace(order, number=answer.number, upstream_reference=answer.reference)

    def about(self, kind: Kind) -> Order:
        """An order for a change of a number that we hold."""
        mine = self.bought()
        return self.order(kind, number=mine.number, number_reference=mine.upstream_reference)


@pytest.fixture
def bench(subject: Subject, sandbox: SandboxServer) -> Bench:
    sandbox.script(callback={"delay": 600})
    return Bench(subject, sandbox)


# Each answer.


def test_an_order_is_answered_with_its_number_and_stands_in_the_ledger_once(bench: Bench) -> None:
    answer = bench.submit(bench.order())
    assert isinstance(answer, Accepted | Completed)
    (entry,) = bench.ledger()
    assert answer.number == bench.e164(entry)
    assert answer.reference


@pytest.mark.parametrize("kind", [Kind.UPDATE, Kind.RELEASE])
def test_a_number_can_be_changed_and_given_up(bench: Bench, kind: Kind) -> None:
    order = bench.about(kind)
    answer = bench.submit(order)
    assert isinstance(answer, Accepted | Completed)
    (entry,) = bench.ledger(kind)
    assert bench.e164(entry) == order.number


@pytest.mark.parametrize("kind", [Kind.UPDATE, Kind.RELEASE])
def test_a_number_whose_own_id_we_do_not_know_is_found_by_the_number(bench: Bench, kind: Kind) -> None:
    order = replace(bench.about(kind), number_reference=None)
    assert isinstance(bench.submit(order), Accepted | Completed)
    assert len(bench.ledger(kind)) == 1


@pytest.mark.parametrize("kind", [Kind.UPDATE, Kind.RELEASE])
def test_a_number_that_is_not_ours_is_refused_and_nothing_is_done(bench: Bench, kind: Kind) -> None:
    number = "+12025550123" if bench.subject.name == "telmetrics" else "+61280749999"
    answer = bench.submit(bench.order(kind, number=number))
    assert isinstance(answer, Rejected)
    assert answer.detail
    assert bench.ledger(kind) == []


def test_a_refusal_is_a_value_that_says_why(bench: Bench) -> None:
    bench.go_wrong("refused", message="Not with us")
    answer = bench.submit(bench.order())
    assert isinstance(answer, Rejected)
    assert answer.reason == Reason.UPSTREAM_REJECTED
    assert "Not with us" in str(answer.detail)
    assert bench.ledger() == []


def test_empty_stock_is_told_from_other_refusals(bench: Bench) -> None:
    bench.server.script(**bench.subject.empty_stock)
    answer = bench.submit(bench.order())
    assert isinstance(answer, Rejected)
    assert answer.reason == Reason.OUT_OF_STOCK
    assert bench.ledger() == []


def test_a_number_taken_meanwhile_costs_at_most_another_try(bench: Bench) -> None:
    bench.go_wrong("taken_meanwhile", times=1)
    order = bench.order()
    try:
        answer = bench.submit(order)
    except Unavailable:
        answer = bench.submit(order)
    if isinstance(answer, Rejected) and answer.reason == Reason.OUT_OF_STOCK:
        answer = bench.submit(order)
    assert isinstance(answer, Accepted | Completed)
    assert len(bench.ledger()) == 1


# Nothing was done: asking again is safe.


@pytest.mark.parametrize("as_date", [False, True], ids=["seconds", "date"])
@pytest.mark.parametrize("kind", list(Kind))
def test_429_says_how_long_to_wait_and_nothing_was_done(bench: Bench, kind: Kind, as_date: bool) -> None:
    order = bench.order() if kind is Kind.PROVISION else bench.about(kind)
    before = len(bench.ledger(kind))
    bench.go_wrong("rate_limited", on=kind.value, retry_after=30, retry_after_as_date=as_date)
    with pytest.raises(Unavailable) as raised:
        bench.submit(order)
    assert raised.value.reason is Reason.OVER_LIMIT
    assert raised.value.retry_after is not None
    assert timedelta(seconds=25) <= raised.value.retry_after <= timedelta(seconds=30)
    assert len(bench.ledger(kind)) == before


def test_wrong_credentials_are_a_fault_of_configuration(bench: Bench) -> None:
    bench.go_wrong("wrong_credentials")
    with pytest.raises(Misconfigured):
        bench.submit(bench.order())
    assert bench.ledger() == []


def test_an_upstream_that_cannot_be_reached_was_sent_nothing(bench: Bench) -> None:
    order = bench.order()
    with SandboxServer() as gone:
        away = Bench(bench.subject, gone)
        gone.stop()
        with pytest.raises(Unavailable):
            away.submit(order)


# Nobody knows: looked up, with and without effect.

AFTER = ["error_after_effect", "unreadable_after_effect", "reset_after_effect", "timeout_after_effect", "slow_body"]
BEFORE = ["error_before_effect", "reset_before_effect", "timeout_before_effect"]


@pytest.mark.parametrize("fault", AFTER)
def test_an_order_that_landed_without_an_answer_is_found_by_our_own_key(bench: Bench, fault: str) -> None:
    bench.go_wrong(fault, seconds=SLOW)
    order, known = bench.remembering(bench.order())
    with pytest.raises(OutcomeUnknown):
        bench.submit(order, SHORT)
    bench.mend()
    others = [bench.bought() for _ in range(3)]
    found = bench.look_up(known[-1])
    assert isinstance(found, Accepted | Completed)
    first = bench.ledger()[0]
    assert found.number == bench.e164(first)
    assert found.reference
    assert found.number not in {other.number for other in others}


@pytest.mark.parametrize("fault", BEFORE)
def test_an_order_that_did_not_land_is_not_found_and_can_be_made_again(bench: Bench, fault: str) -> None:
    bench.go_wrong(fault, seconds=SLOW)
    order, known = bench.remembering(bench.order())
    with pytest.raises(OutcomeUnknown):
        bench.submit(order, SHORT)
    bench.mend()
    bench.bought()
    assert bench.look_up(known[-1]) == NotFound()
    again = bench.submit(replace(known[-1], repeated=True))
    assert isinstance(again, Accepted | Completed)
    assert len(bench.ledger()) == 2, "the other one, and this"


@pytest.mark.parametrize("fault", AFTER)
@pytest.mark.parametrize("kind", [Kind.UPDATE, Kind.RELEASE])
def test_a_change_that_landed_without_an_answer_is_seen(bench: Bench, kind: Kind, fault: str) -> None:
    order = bench.about(kind)
    bench.go_wrong(fault, on=kind.value, seconds=SLOW)
    with pytest.raises(OutcomeUnknown):
        bench.submit(order, SHORT)
    bench.mend()
    assert isinstance(bench.look_up(order), Accepted | Completed)


@pytest.mark.parametrize("fault", BEFORE)
@pytest.mark.parametrize("kind", [Kind.UPDATE, Kind.RELEASE])
def test_a_change_that_did_not_land_is_not_seen_and_can_be_made_again(bench: Bench, kind: Kind, fault: str) -> None:
    order = bench.about(kind)
    bench.go_wrong(fault, on=kind.value, seconds=SLOW)
    with pytest.raises(OutcomeUnknown):
        bench.submit(order, SHORT)
    bench.mend()
    assert bench.look_up(order) == NotFound()
    assert isinstance(bench.submit(replace(order, repeated=True)), Accepted | Completed)
    assert len(bench.ledger(kind)) == 1


def test_a_list_that_lags_shows_the_order_later(bench: Bench) -> None:
    faults = [
        {"fault": fault, "upstream": bench.subject.name, "on": ["provision"], "seconds": 1.5}
        for fault in ("reset_after_effect", "list_lags")
    ]
    bench.server.script(callback={"delay": 600}, faults=faults)
    order, known = bench.remembering(bench.order())
    with pytest.raises(OutcomeUnknown):
        bench.submit(order)
    bench.mend()
    assert bench.look_up(known[-1]) == NotFound()
    eventually(lambda: isinstance(bench.look_up(known[-1]), Accepted | Completed))


@pytest.mark.parametrize("fault", ["error_before_effect", "reset_before_effect", "timeout_before_effect"])
def test_a_look_up_that_fails_is_no_evidence_of_absence(bench: Bench, fault: str) -> None:
    order = bench.bought()
    bench.go_wrong(fault, on="look_up", seconds=SLOW)
    with pytest.raises(Unavailable):
        bench.look_up(order, SHORT)
    bench.mend()
    assert isinstance(bench.look_up(order), Accepted | Completed)


# What else an upstream is asked.


def test_the_upstreams_own_list_shows_what_we_bought_and_whose_order_it_was(bench: Bench) -> None:
    orders = [bench.bought() for _ in range(3)]
    listed = bench._ask(lambda client: client.owned(LONG))
    assert {one.number: one.order for one in listed} == {order.number: order.request_id for order in orders}


def test_stock_is_told_or_it_is_said_that_it_cannot_be_asked(bench: Bench) -> None:
    query = DIALECTS[bench.subject.name].stock_query(bench.subject.spec)
    if bench.subject.name == "telmetrics":  # sells by search alone
        with pytest.raises(BadQuery, match="no stock"):
            bench._ask(lambda client: client.stock(query or {}, LONG))
        return
    assert query is not None
    rows = bench._ask(lambda client: client.stock(query, LONG))
    assert rows
    assert all(row.number.startswith("+") for row in rows)
    assert bench.bought().number in {row.number for row in rows}


@pytest.mark.parametrize("kind", list(Kind))
def test_a_good_spec_is_found_good_and_an_unknown_field_is_named(subject: Subject, kind: Kind) -> None:
    specs = {Kind.PROVISION: subject.spec, Kind.UPDATE: subject.change, Kind.RELEASE: {}}
    dialect = DIALECTS[subject.name]
    assert dialect.check(kind, specs[kind]) == []
    (fault,) = dialect.check(kind, {**specs[kind], "no_such_field": 1})
    assert fault.pointer == "/spec/no_such_field"
    assert fault.detail
