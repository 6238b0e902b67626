"""The search of every test's log finds what it is there to find, and takes nothing else for it."""

from __future__ import annotations

import logging
from pathlib import Path
from uuid import UUID

import pytest
from pydantic import SecretStr

from models.inbox import Purpose
from tests.canaries import CALLERS, Watch, leaks, leaks_in
from tests.factory import SECRET_KEY
from worker.signing import Tokens

PASSWORD = "canary-password-of-an-upstream"
TOKEN = Tokens([SecretStr(SECRET_KEY)]).make("avanser", Purpose.CALL, UUID(int=7))

PLANTED = [
    "whsec_c2VjcmV0LXNlY3JldA==",
    "tk_0123456789abcdefghijklmnop",
    f"/calls/avanser/{TOKEN}",
    TOKEN,
    "Authorization: Basic dXNlcjpwYXNz",
    "redis://:hunter2hunter2@127.0.0.1:1/0",
    PASSWORD,
    *(f"+61{digits}" for digits in CALLERS),
]


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    monkeypatch.setenv("TRUNKLINE_AVANSER_PASSWORD", PASSWORD)
    return Watch()


@pytest.mark.parametrize("planted", PLANTED)
def test_what_nobody_may_read_is_found_wherever_it_stands_in_a_line(watch: Watch, planted: str) -> None:
    log = logging.Logger("a.library")  # noqa: LOG001 -- known to nobody: what is planted here stays here
    log.addHandler(watch)
    log.warning("nothing at all")
    assert watch.leaks == []
    log.warning("said %s", planted)
    try:
        raise ValueError(planted)
    except ValueError:
        log.exception("failed")
    assert len(watch.leaks) >= 2
    assert all("failed" in one or "said" in one for one in watch.leaks)


@pytest.mark.parametrize("planted", PLANTED)
def test_it_is_found_in_the_log_of_a_process_that_was_started(watch: Watch, tmp_path: Path, planted: str) -> None:
    folder = tmp_path / "home" / "logs"
    folder.mkdir(parents=True)
    log = folder / "worker.log"
    log.write_text("all is well\n")
    assert leaks_in(tmp_path) == []
    log.write_text(f"all is well\nGET {planted}\n")
    assert len(leaks_in(tmp_path)) == 1
    log.unlink()  # or this test itself would fail


@pytest.mark.parametrize(
    "said",
    [
        f"request {UUID(int=7)} of batch 01a20610-c03c-734e-9030-04f14373ec91",
        "POST /calls/<upstream>/<token> 404 0.3 ms upstream=avanser",
        "redis://:**@127.0.0.1:6379/0",
        "transport: redis://localhost:6379//",
        "0af7651916cd43dd8448eb211c80319c",
    ],
)
def test_what_a_line_may_hold_is_not_taken_for_a_secret(watch: Watch, said: str) -> None:
    assert leaks(said) == []
