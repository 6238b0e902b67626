"""Hints: the first at once, those that keep coming together, and no queue behind another's breath."""

from __future__ import annotations

import time
from datetime import timedelta

import pytest

from tests.sandbox import eventually
from worker import hints
from worker.app import DELIVERIES, INBOX, UPSTREAM_QUEUES
from worker.hints import BREATH, LONGEST_BREATH, _Sender

UPSTREAM = next(iter(UPSTREAM_QUEUES.values()))

SOON = timedelta(seconds=10)

SHOWER = 0.8
"""Seconds of hints that keep coming."""


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What went to the broker, in order."""
    gone: list[tuple[str, int]] = []
    monkeypatch.setattr(hints, "_send", lambda queue, count: gone.append((queue, count)))
    return gone


def shower(sent: list[tuple[str, int]], queue: str) -> _Sender:
    """Its sender. Begun anew where the machine made a pause, after which a sender rightly begins anew as well."""
    for _ in range(10):
        sent.clear()
        sender, before, longest = _Sender(), time.monotonic(), 0.0
        ends_at = before + SHOWER
        while (now := time.monotonic()) < ends_at:
            before, longest = now, max(longest, now - before)
            sender.want(queue, 1)
            time.sleep(0.001)
        if longest < BREATH.total_seconds():
            return sender
        assert sender.flush(SOON)
    pytest.fail("the machine has no second to itself")


def test_a_hint_that_comes_when_all_is_quiet_is_sent_at_once(sent: list[tuple[str, int]]) -> None:
    took = []
    for count in range(1, 6):
        began = time.monotonic()
        _Sender().want(INBOX, 1)
        eventually(lambda count=count: len(sent) >= count)  # type: ignore[misc]
        took.append(time.monotonic() - began)
    assert min(took) < BREATH.total_seconds()
    assert sent == [(INBOX, 1)] * 5


@pytest.mark.parametrize("queue", [INBOX, DELIVERIES])
def test_hints_that_keep_coming_are_gathered_for_longer_and_longer(queue: str, sent: list[tuple[str, int]]) -> None:
    shower(sent, queue)
    assert 2 <= len(sent) <= 2 + SHOWER / LONGEST_BREATH.total_seconds() + 2


def test_orders_are_not_kept_for_longer_than_a_breath(sent: list[tuple[str, int]]) -> None:
    shower(sent, UPSTREAM)
    assert len(sent) > SHOWER / LONGEST_BREATH.total_seconds()


def test_no_queue_waits_for_the_breath_of_another(sent: list[tuple[str, int]]) -> None:
    sender = shower(sent, INBOX)
    sender.want(INBOX, 1)
    before = len(sent)
    sender.want(UPSTREAM, 3)
    eventually(lambda: (UPSTREAM, 3) in sent)
    assert sent[before] == (UPSTREAM, 3)


def test_after_a_pause_a_hint_is_sent_at_once_again(sent: list[tuple[str, int]]) -> None:
    sender = shower(sent, INBOX)
    assert sender.flush(SOON)
    eventually(lambda: sender._breaths[INBOX].until + LONGEST_BREATH.total_seconds() < time.monotonic())
    sender.want(INBOX, 1)
    assert sender.flush(SOON)
    assert sender._breaths[INBOX].length == BREATH


def test_the_most_that_was_wanted_meanwhile_is_sent(sent: list[tuple[str, int]]) -> None:
    sender = _Sender()
    for count in (1, 2, 3, 1):
        sender.want(UPSTREAM, count)
    assert sender.flush(SOON)
    assert max(count for _, count in sent) == 3
