"""The console's results: found by what they are narrowed to, told with every try, sent again."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from models import delivery_attempt, delivery_list
from models.act import Act
from models.base import read, write
from models.delivery import Delivery, DeliveryState, Notice, file
from models.delivery_attempt import Attempt
from models.delivery_list import Filters, list_deliveries
from models.user import Role
from tests.factory import NOW, make_endpoint, make_requester
from tests.integration.console import Browser, browser, make_user
from tests.receiver import Api

__all__ = ["browser"]

HOSTILE = "<script>alert(1)</script>"


def make_results(api: Api, owner: str = "default", *types: str, endpoint: str = "crm") -> list[UUID]:
    """A result of each type, for one endpoint of this requester, in order."""
    requester = make_requester(api.engine, owner)
    place = make_endpoint(api.engine, requester, "https://crm.example/results", name=endpoint)
    notices = [Notice(one, requester.id, {"id": "x"}, endpoint_id=place.id) for one in types or ("request.completed",)]
    return write(api.engine, lambda session: file(session, notices, NOW))


def settle(api: Api, ids: list[UUID], state: DeliveryState) -> None:
    changed = sa.update(Delivery).where(Delivery.id.in_(ids)).values(state=state, due_at=None)
    write(api.engine, lambda session: session.execute(changed))


def shown(browser: Browser, path: str) -> list[str]:
    """The ids of the results on a page, as its links have them."""
    said = browser.get(path).get_data(as_text=True)
    return [part.partition('"')[0] for part in said.split('href="/console/deliveries/')[1:]]


def test_results_of_all_requesters_are_listed_newest_first_and_narrowed(api: Api, browser: Browser) -> None:
    ours = make_results(api, "default", "request.completed", "request.failed")
    theirs = make_results(api, "crm-inc", "request.held", endpoint="<b>")
    settle(api, ours[:1], DeliveryState.DELIVERED)
    settle(api, theirs, DeliveryState.FAILED)
    first, second, third = map(str, [*ours, *theirs])
    place = read(api.engine, lambda session: session.get_one(Delivery, ours[0]).endpoint_id)
    assert shown(browser, "/deliveries") == [third, second, first]
    assert shown(browser, "/deliveries?state=failed") == [third]
    assert shown(browser, "/deliveries?state=delivered") == [first]
    assert shown(browser, "/deliveries?state=pending&requester=default") == [second]
    assert shown(browser, "/deliveries?requester=crm-inc&type=request.held") == [third]
    assert shown(browser, f"/deliveries?endpoint={place}") == [second, first]
    assert shown(browser, f"/deliveries?endpoint={place}&state=failed") == []
    assert shown(browser, "/deliveries?type=request.failed&state=") == [second]
    said = browser.get("/deliveries?state=asleep&requester=nobody").get_data(as_text=True)
    assert "state: &#39;asleep&#39;" in said
    assert "none named &#39;nobody&#39;" in said


@pytest.mark.parametrize("narrowed", ["", "state=pending", "type=request.completed", "endpoint={endpoint}"])
def test_pages_leave_nothing_out_and_show_nothing_twice(api: Api, browser: Browser, narrowed: str) -> None:
    ids = [*make_results(api, "default", *["request.completed"] * 60)]
    ids += make_results(api, "other", *["request.completed"] * 60)
    if "{endpoint}" in narrowed:
        ids = ids[:60]
    place = read(api.engine, lambda session: session.get_one(Delivery, ids[0]).endpoint_id)
    seen: list[str] = []
    path = f"/deliveries?{narrowed.format(endpoint=place)}"
    cursor = ""
    while True:
        seen += shown(browser, f"{path}{cursor}")
        said = str(browser.last and browser.last.get_data(as_text=True))
        after = said.partition('rel="next" href="')[2].partition("cursor=")[2].partition('"')[0]
        if not after:
            break
        cursor = f"&cursor={after}"
    assert seen == [str(id_) for id_ in sorted(ids, reverse=True)]


def test_a_page_looks_through_so_many_and_the_next_goes_on_there(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery_list, "LOOKED_THROUGH", 10)
    for owner in ("one", "two"):
        make_results(api, owner, "request.held", *["request.completed"] * 25)
    for filters in (Filters(type="request.held"), Filters(DeliveryState.PENDING, type="request.held")):
        found, before, pages = [], None, 0
        while pages == 0 or before is not None:
            rows, before = read(
                api.engine,
                lambda session, filters=filters, before=before: list_deliveries(session, filters, 3, before),  # type: ignore[misc]
            )
            found += [row.type for row in rows]
            pages += 1
        assert found == ["request.held"] * 2
        assert pages > 2


def test_one_result_is_told_with_every_try(api: Api, browser: Browser) -> None:
    (id_,) = make_results(api)

    def work(session: Session) -> None:
        tries = [
            Attempt(id_, NOW, 503, 212, "answered 503", f"{HOSTILE} again later"),
            Attempt(id_, NOW + timedelta(minutes=5), None, 15_000, "no answer within 15 s", None),
        ]
        delivery_attempt.append(session, tries)

    write(api.engine, work)
    said = browser.get(f"/deliveries/{id_}").get_data(as_text=True)
    assert said.index("answered 503") < said.index("no answer within 15 s")
    assert "15,000&nbsp;ms" in said
    assert HOSTILE not in said
    assert "&lt;script&gt;" in said
    assert browser.get("/deliveries/01a2059d-f346-75e6-a294-7a6dcbc09932").status_code == 404


def test_who_called_is_not_told_beside_a_result(api: Api, browser: Browser) -> None:
    owner = make_requester(api.engine)
    place = make_endpoint(api.engine, owner, "https://crm.example/results")
    told = [Notice("call.finished", owner.id, {"caller": "+61491570156"}, endpoint_id=place.id)]
    (id_,) = write(api.engine, lambda session: file(session, told, NOW))
    assert "+61491570156" not in browser.get(f"/deliveries/{id_}").get_data(as_text=True)


def test_a_result_is_sent_again_by_one_click(api: Api, browser: Browser) -> None:
    (id_,) = make_results(api)
    settle(api, [id_], DeliveryState.FAILED)
    browser.get(f"/deliveries/{id_}")
    assert browser.post(f"/deliveries/{id_}/replay", token="forged").status_code == 400
    assert browser.post(f"/deliveries/{id_}/replay").location == f"/console/deliveries/{id_}"
    row = read(api.engine, lambda session: session.get_one(Delivery, id_))
    assert row.state is DeliveryState.PENDING
    assert row.due_at is not None
    acts = read(api.engine, lambda session: list(session.scalars(sa.select(Act).where(Act.act == "delivery.replay"))))
    assert [(one.actor, one.subject) for one in acts] == [("user:ann", str(id_))]


def test_a_viewer_sends_nothing_again(api: Api) -> None:
    (id_,) = make_results(api)
    make_user(api.engine, "vic", Role.VIEWER)
    visitor = Browser(api.app.test_client())
    visitor.sign_in("vic")
    assert f"/deliveries/{id_}/replay" not in visitor.get(f"/deliveries/{id_}").get_data(as_text=True)
    assert visitor.post(f"/deliveries/{id_}/replay").status_code == 403


def test_an_empty_list_says_what_it_would_hold(browser: Browser) -> None:
    assert "No result fits." in browser.get("/deliveries").get_data(as_text=True)
