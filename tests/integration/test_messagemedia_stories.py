"""The MessageMedia client at the simulated MessageMedia: what is bought, and that it is bought once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

import pytest
from pydantic import SecretStr

from models.base import new_id
from models.request import Kind
from models.state import Reason
from tests import messagemedia_page as page
from tests import picking
from tests.catcher import Catcher
from tests.sandbox import MESSAGEMEDIA_KEY, MESSAGEMEDIA_SECRET, SandboxServer, eventually
from worker.upstream_settings import MessageMediaSettings
from worker.upstreams import DIALECTS
from worker.upstreams.base import (
    BadQuery,
    Candidate,
    Completed,
    Incoming,
    Misconfigured,
    NotFound,
    Order,
    OutcomeUnknown,
    Pick,
    Rejected,
    Unavailable,
)
from worker.upstreams.messagemedia.client import MessageMediaClient

T = TypeVar("T")

LONG, SHORT = timedelta(seconds=10), timedelta(seconds=1)
SEARCH = {"country": "AU", "service_types": ["SMS"]}


class Story:
    """One request over its attempts: what it picked is remembered, as the workflow does."""

    def __init__(self, kind: Kind = Kind.PROVISION, *, pick: Pick = picking.first, **fields: Any) -> None:
        self.picks: list[Candidate] = []
        self._pick = pick
        given: dict[str, Any] = {
            "spec": {"search": SEARCH} if kind is Kind.PROVISION else {},
            "number": None,
            "upstream_reference": None,
            "custom_id": None,
            "custom_group": None,
        }
        self.order = Order(
            request_id=new_id(),
            kind=kind,
            callback_uri="",
            call_uri="",
            sms_uri="",
            pick=self._remember,
            **(given | fields),
        )

    async def _remember(self, candidates: Sequence[Candidate]) -> Candidate | None:
        picked = await self._pick(candidates)
        if picked is not None:
            self.picks.append(picked)
            self.order = replace(self.order, number=picked.number, upstream_reference=picked.reference)
        return picked

    def again(self) -> None:
        """Looked at twice and not found."""
        self.order = replace(self.order, repeated=True)


def with_client(server: SandboxServer, work: Callable[[MessageMediaClient], Awaitable[T]], **settings: Any) -> T:
    """What `work` returns, done with a client of the simulated MessageMedia."""
    given = {"key": SecretStr(MESSAGEMEDIA_KEY), "secret": SecretStr(MESSAGEMEDIA_SECRET)} | settings

    async def run() -> T:
        client = MessageMediaClient(MessageMediaSettings(url=server.messagemedia_url, **given))
        try:
            return await work(client)
        finally:
            await client.close()

    return asyncio.run(run())


def submit(server: SandboxServer, story: Story, deadline: timedelta = LONG, **settings: Any) -> Any:
    return with_client(server, lambda client: client.submit(story.order, deadline), **settings)


def look_up(server: SandboxServer, story: Story, **settings: Any) -> Any:
    return with_client(server, lambda client: client.look_up(story.order, LONG), **settings)


def change_of(bought: Story, kind: Kind, **spec: Any) -> Story:
    assert bought.order.number is not None
    return Story(kind, spec=spec, number=bought.order.number, number_reference=bought.order.upstream_reference)


def faulty(sandbox: SandboxServer, fault: str, **fields: Any) -> None:
    sandbox.script(faults=[{"fault": fault, "upstream": "messagemedia", **fields}])


@pytest.mark.parametrize("auth", ["basic", "hmac"])
@pytest.mark.parametrize("spelling", ["plus", "digits", "integer"])
@pytest.mark.parametrize("guide", [True, False], ids=["guide", "reference"])
def test_a_number_is_bought_labelled_and_given_up(
    sandbox: SandboxServer, auth: str, spelling: str, guide: bool
) -> None:
    script = {"stock": "seed", "spelling": spelling, "update_by_204": not guide, "updates_add": not guide}
    sandbox.reset(messagemedia=script)
    bought = Story(pick=picking.after_others(page.FIRST, page.SECOND, page.NEXT_TOKEN))
    answer = submit(sandbox, bought, auth=auth)
    assert answer == Completed(page.CHOSEN_NUMBER, page.CHOSEN, "A BRONZE number")
    assert look_up(sandbox, bought, auth=auth) == Completed(page.CHOSEN_NUMBER, page.CHOSEN)

    labelled = change_of(bought, Kind.UPDATE, **page.document("label_request.json"))
    assert look_up(sandbox, labelled, auth=auth) == NotFound()
    assert submit(sandbox, labelled, auth=auth) == Completed(page.CHOSEN_NUMBER)
    assert look_up(sandbox, labelled, auth=auth) == Completed(page.CHOSEN_NUMBER)
    (held,) = with_client(sandbox, lambda client: client.owned(LONG), auth=auth)
    assert (held.number, held.reference, held.name) == (page.CHOSEN_NUMBER, page.CHOSEN, "Representative-Fred")
    assert held.order == (None if guide else bought.order.request_id), "metadata is replaced, or added to"

    given_up = change_of(bought, Kind.RELEASE)
    assert look_up(sandbox, given_up, auth=auth) == NotFound()
    assert submit(sandbox, given_up, auth=auth) == Completed(page.CHOSEN_NUMBER)
    assert look_up(sandbox, given_up, auth=auth) == Completed(page.CHOSEN_NUMBER)
    assert [entry["kind"] for entry in sandbox.ledger()] == ["provision", "update", "release"]


@pytest.mark.parametrize(
    ("fault", "orders"),
    [
        ("error_before_effect", 0),
        ("error_after_effect", 1),
        ("reset_before_effect", 0),
        ("reset_after_effect", 1),
        ("unreadable_after_effect", 1),
        ("timeout_before_effect", 0),
        ("timeout_after_effect", 1),
        ("slow_body", 1),
    ],
)
def test_an_order_of_unknown_outcome_is_settled_by_looking_and_bought_once(
    sandbox: SandboxServer, fault: str, orders: int
) -> None:
    faulty(sandbox, fault, seconds=3, times=1)
    story = Story()
    with pytest.raises(OutcomeUnknown):
        submit(sandbox, story, SHORT)
    assert len(sandbox.ledger()) == orders
    (picked,) = story.picks
    done = Completed(picked.number, picked.reference)
    assert look_up(sandbox, story) == (done if orders else NotFound())

    story.again()
    assert submit(sandbox, story) == done, "the same number, which may be ours already"
    assert len(sandbox.ledger()) == 1
    assert len(story.picks) == 1


def test_an_order_that_lands_late_is_still_bought_once(sandbox: SandboxServer) -> None:
    faulty(sandbox, "timeout_then_effect", seconds=4, times=1)
    story = Story()
    with pytest.raises(OutcomeUnknown):
        submit(sandbox, story, SHORT)
    assert look_up(sandbox, story) == NotFound()
    story.again()
    answer = submit(sandbox, story)
    assert isinstance(answer, Completed)
    eventually(sandbox.ledger)
    assert [entry["number"] for entry in sandbox.ledger()] == [str(answer.number).removeprefix("+")]


def test_an_order_that_is_not_shown_yet_is_not_found(sandbox: SandboxServer) -> None:
    faulty(sandbox, "list_lags", seconds=60)
    story = Story()
    assert isinstance(submit(sandbox, story), Completed)
    assert look_up(sandbox, story) == NotFound()


def test_a_change_of_unknown_outcome_is_made_again_and_a_release_only_once(sandbox: SandboxServer) -> None:
    bought = Story()
    submit(sandbox, bought)
    for change in (change_of(bought, Kind.UPDATE, label="Fred"), change_of(bought, Kind.RELEASE)):
        faulty(sandbox, "reset_after_effect", times=1)
        with pytest.raises(OutcomeUnknown):
            submit(sandbox, change)
        assert look_up(sandbox, change) == Completed(bought.order.number)
        change.again()
        assert isinstance(submit(sandbox, change), Completed)
    assert [entry["kind"] for entry in sandbox.ledger()].count("release") == 1


def test_when_another_customer_is_quicker_the_next_number_is_bought(sandbox: SandboxServer) -> None:
    faulty(sandbox, "taken_meanwhile", times=2)
    story = Story(pick=picking.after_others())
    answer = submit(sandbox, story)
    assert isinstance(answer, Completed)
    assert [pick.reference for pick in story.picks][2:] == [answer.reference]
    assert [entry["kind"] for entry in sandbox.ledger()] == ["taken", "taken", "provision"]


def test_when_another_customer_took_the_number_after_our_time_out_another_is_bought(sandbox: SandboxServer) -> None:
    faulty(sandbox, "timeout_before_effect", seconds=3, times=1)
    story = Story(pick=picking.after_others())
    with pytest.raises(OutcomeUnknown):
        submit(sandbox, story, SHORT)
    assert look_up(sandbox, story) == NotFound()
    faulty(sandbox, "taken_meanwhile", times=1)
    story.again()
    answer = submit(sandbox, story)
    assert isinstance(answer, Completed)
    assert answer.reference == story.picks[1].reference != story.picks[0].reference
    assert [entry["kind"] for entry in sandbox.ledger()] == ["taken", "provision"]


def test_many_orders_at_once_buy_a_number_each_and_never_fight_for_one(sandbox: SandboxServer) -> None:
    together = picking.after_others()
    stories = [Story(pick=together) for _ in range(60)]

    async def all_of_them(client: MessageMediaClient) -> list[Any]:
        return await asyncio.gather(*(client.submit(story.order, LONG) for story in stories))

    answers = with_client(sandbox, all_of_them)
    assert all(isinstance(answer, Completed) for answer in answers)
    assert len({answer.number for answer in answers}) == 60
    assert sandbox.summary()["traffic"]["calls"]["messagemedia POST"] == 60


def test_the_cheapest_class_is_bought_and_a_dearer_one_only_when_it_is_allowed(sandbox: SandboxServer) -> None:
    gold, silver = "61499777777", "61499447700"
    sandbox.reset(messagemedia={"stock": [{"first": gold}, {"first": silver}]})
    refused = submit(sandbox, Story())
    assert isinstance(refused, Rejected)
    assert refused.reason == Reason.OUT_OF_STOCK
    assert "1 SILVER, 1 GOLD" in (refused.detail or "")
    allowed = {"search": SEARCH, "max_classification": "GOLD"}
    assert [submit(sandbox, Story(spec=allowed)).number for _ in range(2)] == [f"+{silver}", f"+{gold}"]


def test_every_wish_of_a_search_is_met(sandbox: SandboxServer) -> None:
    blocks = [
        {"first": "61488000100", "count": 200, "capabilities": ["SMS"]},
        {"first": "61488001100", "count": 200, "capabilities": ["SMS", "MMS"]},
        {"first": "61288001100", "count": 200, "capabilities": ["SMS", "MMS"], "type": "LANDLINE"},
        {"first": "6488001100", "count": 200, "capabilities": ["SMS", "MMS"], "country": "NZ"},
    ]
    sandbox.reset(messagemedia={"stock": blocks})
    search = {"country": "AU", "service_types": ["SMS", "MMS"], "types": ["LANDLINE"], "matching": "0011"}
    answer = submit(sandbox, Story(spec={"search": search, "max_classification": "GOLD"}))
    assert answer.number.startswith("+612880011")
    query = DIALECTS["messagemedia"].stock_query({"search": search})
    assert query is not None
    rows = with_client(sandbox, lambda client: client.stock(query, LONG))
    assert rows
    assert all(row.number.startswith("+612880011") for row in rows)


def test_an_empty_stock_is_said_to_be_empty(sandbox: SandboxServer) -> None:
    faulty(sandbox, "out_of_stock", on=["search"])
    answer = submit(sandbox, Story())
    assert answer.reason == Reason.OUT_OF_STOCK
    assert sandbox.ledger() == []


def test_a_refusal_a_limit_and_wrong_credentials_are_told_apart(sandbox: SandboxServer) -> None:
    faulty(sandbox, "refused", status=400)
    assert submit(sandbox, Story()).reason == Reason.UPSTREAM_REJECTED
    faulty(sandbox, "rate_limited", retry_after=3)
    with pytest.raises(Unavailable) as raised:
        submit(sandbox, Story())
    assert (raised.value.reason, raised.value.retry_after) == (Reason.OVER_LIMIT, timedelta(seconds=3))
    for auth in ("basic", "hmac"):
        with pytest.raises(Misconfigured):
            submit(sandbox, Story(), auth=auth, secret=SecretStr("wrong"))
    with pytest.raises(BadQuery, match="token"):
        with_client(sandbox, lambda client: client.stock({"token": "x"}, LONG))
    assert sandbox.ledger() == []


def test_all_the_numbers_that_we_own_are_listed_with_their_orders(sandbox: SandboxServer) -> None:
    together = picking.after_others()
    stories = [Story(pick=together) for _ in range(55)]

    async def buy(client: MessageMediaClient) -> None:
        await asyncio.gather(*(client.submit(story.order, LONG) for story in stories))

    with_client(sandbox, buy)
    owned = with_client(sandbox, lambda client: client.owned(LONG))
    assert {(one.number, one.reference, one.order) for one in owned} == {
        (story.order.number, story.order.upstream_reference, story.order.request_id) for story in stories
    }


def test_a_number_whose_id_we_never_knew_is_given_up_all_the_same(sandbox: SandboxServer) -> None:
    bought = Story()
    submit(sandbox, bought)
    release = Story(Kind.RELEASE, number=bought.order.number)
    assert look_up(sandbox, release) == NotFound()
    assert isinstance(submit(sandbox, release), Completed)
    assert isinstance(look_up(sandbox, release), Completed)
    assert isinstance(submit(sandbox, release), Rejected)
    assert [entry["kind"] for entry in sandbox.ledger()] == ["provision", "release"]


def test_a_message_to_a_number_of_ours_is_read(sandbox: SandboxServer) -> None:
    bought = Story()
    submit(sandbox, bought)
    with Catcher() as catcher:
        sandbox.portal("messagemedia", messages=f"{catcher.url}/sms")
        sandbox.message(str(bought.order.number), upstream="messagemedia", content="Hello Fred")
        caught = eventually(lambda: list(catcher.caught))[0]
    incoming = Incoming(caught.method, "", caught.headers.get("Content-Type"), caught.body)
    (message,) = DIALECTS["messagemedia"].read_messages(incoming)
    assert (message.number, message.sender, message.text) == (bought.order.number, "+61491570156", "Hello Fred")
    assert message.sent_at is not None
