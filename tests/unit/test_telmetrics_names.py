"""Our key in the names of Telmetrics' numbers."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.base import new_id
from worker.upstreams.telmetrics.names import is_called, key_of, named, read_name

ID = UUID("0192f0c4-5b7a-7cde-8123-456789abcdef")
KEY = "tl-agjpbrc3pj6n5ajdivtytk6n54"


def test_a_key_is_short_plain_and_the_same_in_any_case() -> None:
    assert key_of(ID) == KEY
    assert read_name(KEY.upper() + " ABC") == (ID, "ABC")


@given(st.uuids(), st.text(max_size=30))
def test_a_name_with_a_key_is_read_back(request_id: UUID, name: str) -> None:
    key, rest = read_name(named(request_id, name))
    assert (key, rest) == (request_id, name.strip())


@pytest.mark.parametrize("behind", ["", " ABC Company", " ABC Company 4", "  ABC", " 2"])
def test_the_key_is_found_whatever_telmetrics_puts_behind_it(behind: str) -> None:
    assert read_name(KEY + behind) == (ID, behind.strip())


@pytest.mark.parametrize(
    "name",
    [
        "",
        "ABC Company",
        f"ABC {KEY}",
        f"{KEY}x ABC",
        f"{KEY}4",
        KEY[:-1] + " ABC",
        f"{KEY[:-1]}5 ABC",  # two bits that no key of ours sets
        "tl-0123456789abcdefghijklmnop ABC",
        KEY.replace("k", "\u212a") + " ABC",  # the Kelvin sign, which is a k without case
    ],
)
def test_a_name_that_begins_with_no_key_of_ours_stays_whole(name: str) -> None:
    assert read_name(name) == (None, name)


def test_keys_differ_as_ids_do() -> None:
    ids = [new_id() for _ in range(500)]
    assert len({key_of(id_) for id_ in ids}) == 500


@pytest.mark.parametrize(
    ("asked", "shown", "same"),
    [
        ("ABC Company", "ABC Company", True),
        ("ABC Company", "ABC Company 4", True),
        ("ABC Company", " ABC Company 12 ", True),
        ("ABC Company", "ABC Company4", False),
        ("ABC Company", "ABC", False),
        ("ABC Company", "ABC Company Four", False),
        ("A.C", "ABC", False),
        ("ABC 4", "ABC 4", True),
    ],
)
def test_a_name_is_the_one_asked_for_with_or_without_a_number_behind_it(asked: str, shown: str, same: bool) -> None:
    assert is_called(asked, shown) is same
