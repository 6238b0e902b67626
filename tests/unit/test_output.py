"""What is written for people."""

from worker.cli.output import plain


def test_names_from_outside_cannot_drive_a_terminal_or_turn_its_text_around() -> None:
    assert plain("a\x1b[31mb\x07c\u202ed\x9be") == "a\ufffd[31mb\ufffdc\ufffdd\ufffde"


def test_words_of_any_language_stay_as_they_are() -> None:
    assert plain("Café Zürich, 東京 ☎\n\tnext") == "Café Zürich, 東京 ☎\n\tnext"
