"""The inventory: what requests leave behind when they complete, in the same transaction."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from models import number
from models.base import new_id, read, write
from models.migrations import downgrade, upgrade
from models.number import EARLY, Number, held_at, merged
from models.request import Kind
from models.state import State
from models.transition import Move, transition
from tests.factory import NOW, SPEC, fetch, make_requester
from tests.holding import PERTH, SYDNEY, ask, complete, done
from tests.working import every, together

LATER = NOW + timedelta(days=1)


def numbers(engine: Engine) -> list[Number]:
    return every(engine, Number)


def test_a_number_that_was_bought_is_held_as_it_was_asked_for(engine: Engine) -> None:
    id_ = ask(engine, custom_id="dealer-17", custom_group="vic")
    assert numbers(engine) == []
    complete(engine, id_, upstream_reference="ref-1", pool="PRIVATE")
    (held,) = numbers(engine)
    assert (held.number, held.upstream, held.request_id) == (SYDNEY, "avanser", id_)
    assert (held.custom_id, held.custom_group, held.configuration) == ("dealer-17", "vic", SPEC)
    assert (held.upstream_reference, held.pool) == ("ref-1", "PRIVATE")
    assert (held.held_since, held.changed_at, held.released_at) == (NOW, NOW, None)


@pytest.mark.parametrize("end", [State.FAILED, State.CANCELLED, State.HELD])
def test_what_did_not_complete_is_not_held(engine: Engine, end: State) -> None:
    id_ = ask(engine)
    write(engine, lambda session: transition(session, [Move(id_, end, "test", changes={"number": SYDNEY})], NOW))
    assert numbers(engine) == []


def test_an_update_changes_what_it_names_and_leaves_the_rest(engine: Engine) -> None:
    bought = done(engine, custom_id="dealer-17", custom_group="vic")
    change = {"name": "service #2", "service": {"answer_point": "61132307", "call_whisper": "Trunkline"}}
    done(engine, Kind.UPDATE, spec=change, at=LATER)
    (held,) = numbers(engine)
    assert held.configuration == SPEC | {
        "name": "service #2",
        "service": {
            "type": "transfer",
            "answer_point": "61132307",
            "record_call": True,
            "call_whisper": "Trunkline",
        },
    }
    assert (held.request_id, held.custom_id, held.custom_group) == (bought, "dealer-17", "vic")
    assert (held.held_since, held.changed_at) == (NOW, LATER)


def test_an_update_renames_a_number_where_it_says_so(engine: Engine) -> None:
    done(engine, custom_id="dealer-17", custom_group="vic")
    done(engine, Kind.UPDATE, custom_id="dealer-18")
    (held,) = numbers(engine)
    assert (held.custom_id, held.custom_group) == ("dealer-18", "vic")


def test_a_number_that_was_given_up_stays_as_it_was_and_names_the_release(engine: Engine) -> None:
    done(engine, custom_id="dealer-17")
    released = done(engine, Kind.RELEASE, at=LATER)
    (row,) = numbers(engine)
    assert (row.released_at, row.released_by, row.custom_id) == (LATER, released, "dealer-17")
    assert row.configuration == SPEC
    assert read(engine, lambda session: number.held(session, [("avanser", SYDNEY)])) == {}


def test_a_number_that_comes_back_is_another_row(engine: Engine) -> None:
    first = done(engine)
    done(engine, Kind.RELEASE)
    second = done(engine, requester="other", at=LATER)
    old, new = numbers(engine)
    assert (old.request_id, old.released_at) == (first, NOW)
    assert (new.request_id, new.released_at, new.held_since) == (second, None, LATER)
    assert new.requester_id == make_requester(engine, "other").id


def test_a_number_may_be_given_up_and_bought_again_in_one_set(engine: Engine) -> None:
    done(engine)
    release, bought = ask(engine, Kind.RELEASE), ask(engine)
    complete(engine, release, bought)
    assert [(row.released_by, row.request_id == bought) for row in numbers(engine)] == [(release, False), (None, True)]


def test_a_number_that_is_sold_to_us_anew_was_given_up_behind_our_back(engine: Engine) -> None:
    done(engine)
    bought = done(engine, at=LATER)
    old, new = numbers(engine)
    assert (old.released_at, old.released_by) == (LATER, None)
    assert (new.request_id, new.released_at) == (bought, None)


def test_a_number_older_than_trunkline_is_known_from_its_first_update_on(engine: Engine) -> None:
    id_ = done(engine, Kind.UPDATE, spec={"name": "service #2"}, custom_id="dealer-17")
    (held,) = numbers(engine)
    assert (held.number, held.request_id, held.custom_id) == (SYDNEY, id_, "dealer-17")
    assert held.configuration == {"name": "service #2"}


def test_giving_up_a_number_older_than_trunkline_leaves_no_row(engine: Engine) -> None:
    done(engine, Kind.RELEASE)
    assert numbers(engine) == []


def test_the_same_number_at_two_upstreams_is_two_numbers(engine: Engine) -> None:
    done(engine)
    done(engine, upstream="telmetrics")
    done(engine, Kind.RELEASE, upstream="telmetrics")
    assert [(row.upstream, row.released_at is None) for row in numbers(engine)] == [
        ("avanser", True),
        ("telmetrics", False),
    ]


@pytest.mark.parametrize("kind", [Kind.UPDATE, Kind.RELEASE])
def test_an_answer_that_names_the_number_of_another_requester_changes_nothing_of_theirs(
    engine: Engine, kind: Kind
) -> None:
    done(engine, requester="other")
    id_ = ask(engine, kind, number=PERTH, spec={"name": "mine"})
    complete(engine, id_)
    theirs = next(row for row in numbers(engine) if row.number == SYDNEY)
    assert (theirs.released_at, theirs.configuration) == (None, SPEC)


@pytest.mark.parametrize("kind", [Kind.UPDATE, Kind.RELEASE])
def test_an_answer_that_names_another_number_is_not_taken_out_on_that_one(engine: Engine, kind: Kind) -> None:
    done(engine)
    complete(engine, ask(engine), number=PERTH)
    id_ = ask(engine, kind, number=SYDNEY, spec={"name": "changed"})
    complete(engine, id_, number=PERTH)
    theirs = next(row for row in numbers(engine) if row.number == PERTH)
    assert (theirs.released_at, theirs.configuration) == (None, SPEC)
    row = fetch(engine, id_)
    assert (row.number, row.contradicted_at is None) == (SYDNEY, False)


def test_a_set_of_several_numbers_is_kept_whole(engine: Engine) -> None:
    ids = [ask(engine) for _ in range(20)]
    moves = [
        Move(id_, State.COMPLETED, "worker", changes={"number": f"+6128074{place:04}"}) for place, id_ in enumerate(ids)
    ]
    write(engine, lambda session: transition(session, moves, NOW))
    assert {(row.request_id, row.number) for row in numbers(engine)} == {
        (id_, f"+6128074{place:04}") for place, id_ in enumerate(ids)
    }


def test_what_fails_later_in_the_transaction_leaves_no_number(engine: Engine) -> None:
    id_ = ask(engine)

    def work(session: Session) -> None:
        transition(session, [Move(id_, State.COMPLETED, "worker", changes={"number": SYDNEY})], NOW)
        raise KeyError

    with pytest.raises(KeyError):
        write(engine, work)
    assert numbers(engine) == []


@pytest.mark.parametrize(
    ("before", "change", "after"),
    [
        ({"a": 1}, {}, {"a": 1}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"c": 3}}, {"a": {"b": 1, "c": 3}}),
        ({"a": {"b": 1}}, {"a": None}, {"a": None}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": 1}, {"a": {"b": 2}}, {"a": {"b": 2}}),
    ],
)
def test_a_change_goes_into_objects_and_replaces_all_else(
    before: dict[str, Any], change: dict[str, Any], after: dict[str, Any]
) -> None:
    original = dict(before)
    assert merged(before, change) == after
    assert before == original


# Who held it when


HOURS = {
    # One requester had it from noon to six, the other has it from ten at night on.
    "long before anybody": (NOW - EARLY - timedelta(seconds=1), None),
    "shortly before the first": (NOW - EARLY, "first"),
    "when it came": (NOW, "first"),
    "while the first had it": (NOW + timedelta(hours=5), "first"),
    "when the first gave it up": (NOW + timedelta(hours=6), None),
    "between the two": (NOW + timedelta(hours=8), None),
    "shortly before the second": (NOW + timedelta(hours=10) - EARLY, "second"),
    "while the second has it": (NOW + timedelta(days=365), "second"),
}


@pytest.mark.parametrize(("moment", "holder"), HOURS.values(), ids=HOURS)
def test_who_held_a_number_is_known_for_every_moment(engine: Engine, moment: datetime, holder: str | None) -> None:
    held = {
        done(engine): "first",
        done(engine, Kind.RELEASE, at=NOW + timedelta(hours=6)): "gone",
        done(engine, requester="other", at=NOW + timedelta(hours=10)): "second",
    }
    asked = [("avanser", SYDNEY, moment), ("telmetrics", SYDNEY, moment), ("avanser", PERTH, moment)]
    found = read(engine, lambda session: held_at(session, asked))
    assert {key[:2]: held[row.request_id] for key, row in found.items()} == (
        {} if holder is None else {("avanser", SYDNEY): holder}
    )


# What was bought before there was an inventory


def test_the_migration_makes_the_inventory_from_the_requests_that_there_are(engine: Engine, database_url: str) -> None:
    kept = done(engine, custom_id="kept")
    gone = ask(engine, custom_id="gone")
    complete(engine, gone, number=PERTH)
    release = ask(engine, Kind.RELEASE, number=PERTH)
    complete(engine, release, number=PERTH, at=LATER)
    ask(engine, custom_id="still open")
    engine.dispose()
    downgrade(database_url, "0001")
    upgrade(database_url)
    found = {row.custom_id: (row.request_id, row.number, row.released_at, row.released_by) for row in numbers(engine)}
    assert found == {"kept": (kept, SYDNEY, None, None), "gone": (gone, PERTH, LATER, release)}
    assert all(row.configuration == SPEC for row in numbers(engine))


def test_a_number_is_shown_ready_for_json(engine: Engine) -> None:
    id_ = done(engine)
    (held,) = numbers(engine)
    shown = number.view(held)
    assert (shown["number"], shown["request"], shown["held_since"]) == (SYDNEY, str(id_), "2026-11-21T12:00:00Z")
    assert (shown["released_at"], shown["released_by"]) == (None, None)
    held.released_by = new_id()
    assert number.view(held)["released_by"] == str(held.released_by)


def test_a_new_number_stays_the_one_that_was_acknowledged_whatever_a_later_answer_names(engine: Engine) -> None:
    done(engine, requester="other")
    id_ = ask(engine)
    accepted = {"number": PERTH, "accepted_at": NOW}
    write(engine, lambda session: transition(session, [Move(id_, State.ACCEPTED, "worker", changes=accepted)], NOW))
    complete(engine, id_, number=SYDNEY)
    row = fetch(engine, id_)
    assert (row.state, row.number, row.contradicted_at is None) == (State.COMPLETED, PERTH, False)
    assert [number.number for number in numbers(engine) if number.released_at is None] == [SYDNEY, PERTH]


def test_an_update_that_ends_after_the_release_does_not_bring_the_number_back(engine: Engine) -> None:
    done(engine)
    late = ask(engine, Kind.UPDATE, spec={"name": "late"})
    done(engine, Kind.RELEASE, at=LATER)
    complete(engine, late, at=LATER + timedelta(seconds=1))
    assert [row.released_at for row in numbers(engine)] == [LATER]


def test_two_that_complete_with_one_number_at_the_same_moment_both_land(postgresql: Engine) -> None:
    ids = [ask(postgresql) for _ in range(8)]
    together(*(lambda id_=id_: complete(postgresql, id_) for id_ in ids))
    assert len([row for row in numbers(postgresql) if row.released_at is None]) == 1
    assert len(numbers(postgresql)) == 8
