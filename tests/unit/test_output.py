"""What is written for people."""

import pytest

from worker.cli.output import plain, records


def test_names_from_outside_cannot_drive_a_terminal_or_turn_its_text_around() -> None:
    assert plain("a\x1b[31mb\x07c\u202ed\x9be") == "a\ufffd[31mb\ufffdc\ufffdd\ufffde"


def test_words_of_any_language_stay_as_they_are() -> None:
    assert plain("Café Zürich, 東京 ☎\n\tnext") == "Café Zürich, 東京 ☎\n\tnext"


ID = "01a2018b-24aa-765b-b118-cca72b45a14d"
ROW = (ID, "held", None, "Whether it was ordered, no evidence settles.")
COLUMNS = ("id", "state", "number", "detail")


@pytest.mark.parametrize("width", [20, 40, 60, 100])
def test_an_id_stays_whole_on_a_terminal_of_any_width(width: int) -> None:
    lines = list(records(COLUMNS, [ROW, ROW], width))
    assert sum(ID in line.split() for line in lines) == 2
    assert all(len(line) <= max(width, len(ID) + 2, 30) for line in lines)
    assert " ".join(" ".join(lines).split()).count("Whether it was ordered, no evidence settles.") == 2


def test_on_a_narrow_terminal_a_row_is_a_line_for_each_cell_that_holds_something() -> None:
    assert list(records(COLUMNS, [ROW], 60)) == [
        f"id      {ID}",
        "state   held",
        "detail  Whether it was ordered, no evidence settles.",
    ]
    assert list(records(COLUMNS, [ROW], 40))[:2] == ["id", f"  {ID}"]
