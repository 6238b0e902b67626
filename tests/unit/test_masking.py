"""What others write is kept without secrets and telephone numbers in it."""

import pytest

from worker.masking import beginning, masked

TOKEN = "AZSx9-kQd1eJ7c_Rr0pW2mTuVb3yXhN5oLgKfIaZqYwEsC8D4Hj"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_…"),
        ("your key tk_Zm9vYmFyYmF6cXV4 is old", "your key tk_… is old"),
        ("Authorization: Bearer abc.def-ghi", "Authorization: … …"),
        ('{"api_key": "hunter22", "ok": true}', '{"api_key": "…", "ok": true}'),
        ("a=1&token=hunter22&b=2", "a=1&token=…&b=2"),
        (f"https://trunkline.test/callbacks/avanser/{TOKEN}", "https://trunkline.test/callbacks/avanser/…"),
        ("call +61 401 603 859 now", "call …859 now"),
        ("caller=61401603859", "caller=…859"),
        ("(02) 8074-0801", "…801"),
        ("+61401603859,+61401603860", "…859,…860"),
        ("0193a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b is known", "0193a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b is known"),
        ("at 2026-11-22T21:35:00.123456Z", "at 2026-11-22T21:35:00.123456Z"),
        ("HTTP 500 in 1234 ms", "HTTP 500 in 1234 ms"),
        ("<h1>Internal Server Error</h1>", "<h1>Internal Server Error</h1>"),
    ],
)  # fmt: skip
def test_secrets_and_numbers_are_masked_and_the_rest_can_be_read(text: str, shown: str) -> None:
    assert masked(text) == shown


def test_a_secret_that_is_cut_in_two_does_not_show_its_half() -> None:
    shown = beginning(b"refused: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", 18)
    assert shown == "refused: …"


def test_any_bytes_can_be_kept() -> None:
    assert beginning(b"\xff\x00ok", 100) == "\N{REPLACEMENT CHARACTER}\N{REPLACEMENT CHARACTER}ok"
    assert beginning(b"  ", 100) is None
    assert len(beginning(b"ab " * 1_000, 1024) or "") <= 1_024
