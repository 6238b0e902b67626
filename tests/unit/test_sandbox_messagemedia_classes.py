"""The classes that the simulated MessageMedia prices its numbers by."""

import pytest

from tests import messagemedia_page as page
from worker.sandbox.messagemedia.classes import classify

# The examples of the vendor's table, in its order, and what falls short of them.
GOLD = ["999999", "234567", "765432", "123123", "444666", "454545"]
SILVER = [
    *("999991", "199999"),
    *("245678", "456782", "287654"),
    *("004008", "400800", "444789", "345777", "468864"),
    *("447700", "232425", "090807"),
]
BRONZE = [
    "999912",
    "112999",
    "234571",
    "246802",
    "123124",
    "404808",
    "444124",
    "454546",
    "447801",
    "232526",
    "102030",
    "891023",
]
TABLE = {"GOLD": GOLD, "SILVER": SILVER, "BRONZE": BRONZE}


@pytest.mark.parametrize(("wanted", "six"), [(wanted, six) for wanted, all_six in TABLE.items() for six in all_six])
def test_a_number_is_classed_as_in_the_vendors_table(wanted: str, six: str) -> None:
    assert classify(f"61437{six}") == wanted


@pytest.mark.parametrize("row", page.document("search.json")["data"], ids=lambda row: row["phone_number"])
def test_the_guides_numbers_are_of_the_class_that_it_shows(row: dict[str, str]) -> None:
    assert classify(row["phone_number"].removeprefix("+")) == row["classification"]


def test_what_comes_before_the_last_six_digits_is_not_looked_at() -> None:
    assert classify("666666135246") == "BRONZE"


def test_a_number_of_less_than_six_digits_is_bronze() -> None:
    assert classify("11111") == "BRONZE"
