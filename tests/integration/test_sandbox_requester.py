"""The sandbox's requester: what it takes, what it refuses, and how it fails on demand."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from standardwebhooks import Webhook

from tests.sandbox import RequesterView, SandboxServer

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
ERROR_ONCE = {"status": 500, "first_n": 1}


@pytest.fixture
def crm(server: SandboxServer) -> RequesterView:
    server.reset()
    crm = server.requester("crm")
    crm.set_up(SECRET)
    return crm


def send(
    crm: RequesterView,
    *,
    webhook_id: str = "msg_1",
    secret: str = SECRET,
    at: datetime | None = None,
    body: bytes | None = None,
    sent: bytes | None = None,
    within: float = 5,
) -> httpx.Response:
    """Sends a result signed with `secret`; `sent` puts another body on the wire than was signed."""
    data = {"id": "r-1", "custom_id": "dealer-17", "state": "completed"}
    text = body or json.dumps({"type": "request.completed", "timestamp": "2026-01-01T00:00:00Z", "data": data}).encode()
    moment = at or datetime.now(UTC)
    headers = {
        "webhook-id": webhook_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": Webhook(secret).sign(webhook_id, moment, text.decode()),
    }
    return httpx.post(crm.url, content=sent or text, headers=headers, timeout=within)


def test_a_signed_result_is_kept_with_what_it_says(crm: RequesterView) -> None:
    assert send(crm).status_code == 204
    assert crm.counts() == {
        "received": 1,
        "verified": 1,
        "bad_signature": 0,
        "accepted": 1,
        "distinct": 1,
        "by_type": {"request.completed": 1},
    }
    (row,) = crm.results()
    first_at = row.pop("first_at")
    assert abs(datetime.now(UTC).timestamp() - first_at) < 5
    assert row == {
        "webhook_id": "msg_1",
        "type": "request.completed",
        "data.id": "r-1",
        "custom_id": "dealer-17",
        "state": "completed",
        "verified": True,
        "attempts": 1,
        "accepted": 1,
    }


@pytest.mark.parametrize(
    "forged",
    [
        {"secret": OTHER},
        {"sent": b"{}"},
        {"at": datetime.now(UTC) - timedelta(hours=1)},
        {"at": datetime.now(UTC) + timedelta(hours=1)},
    ],
    ids=["another secret", "another body", "too old", "too new"],
)
def test_a_result_that_does_not_verify_is_answered_401_and_not_kept(crm: RequesterView, forged: dict[str, Any]) -> None:
    assert send(crm, **forged).status_code == 401
    counts = crm.counts()
    assert (counts["received"], counts["verified"], counts["bad_signature"]) == (1, 0, 1)
    assert crm.results() == []


@pytest.mark.parametrize("signature", ["", "v1", "v1,%%%", "v2,abc", "v1,a,b"])
def test_a_broken_signature_header_is_answered_401(crm: RequesterView, signature: str) -> None:
    headers = {
        "webhook-id": "m",
        "webhook-timestamp": str(int(datetime.now(UTC).timestamp())),
        "webhook-signature": signature,
    }
    assert httpx.post(crm.url, content=b"{}", headers=headers).status_code == 401
    assert httpx.post(crm.url, content=b"\xff\xfe").status_code == 401
    assert crm.counts()["bad_signature"] == 2


def test_during_rotation_either_secret_verifies(crm: RequesterView) -> None:
    crm.set_up(OTHER, SECRET)
    assert send(crm, webhook_id="a").status_code == 204
    assert send(crm, webhook_id="b", secret=OTHER).status_code == 204


def test_without_a_secret_nothing_verifies(server: SandboxServer, crm: RequesterView) -> None:
    assert send(server.requester("nobody")).status_code == 401
    assert crm.counts()["received"] == 0


def test_repeats_count_as_attempts_of_one_result(crm: RequesterView) -> None:
    for webhook_id in ("a", "a", "b"):
        send(crm, webhook_id=webhook_id)
    counts = crm.counts()
    assert (counts["received"], counts["distinct"], counts["accepted"]) == (3, 2, 3)
    assert [(row["webhook_id"], row["attempts"]) for row in crm.results()] == [("a", 2), ("b", 1)]


def test_the_first_attempts_fail_as_asked_and_later_ones_do_not(crm: RequesterView) -> None:
    crm.set_up(SECRET, fail={"status": 500, "first_n": 2})
    assert [send(crm, webhook_id=name).status_code for name in "abab"] == [500, 500, 204, 204]
    assert [(row["attempts"], row["accepted"]) for row in crm.results()] == [(2, 1), (2, 1)]


def test_each_result_fails_by_itself_when_asked(crm: RequesterView) -> None:
    crm.set_up(SECRET, fail={**ERROR_ONCE, "per_result": True})
    assert [send(crm, webhook_id=name).status_code for name in "aabb"] == [500, 204, 500, 204]


def test_gone_redirect_and_retry_after_are_answered(crm: RequesterView) -> None:
    crm.set_up(SECRET, fail={"status": 410})
    assert [send(crm).status_code for _ in range(3)] == [410] * 3
    crm.set_up(SECRET, fail={"status": 302, "location": "http://127.0.0.1:1/"})
    answer = send(crm)
    assert (answer.status_code, answer.headers["Location"]) == (302, "http://127.0.0.1:1/")
    crm.set_up(SECRET, fail={"status": 429, "retry_after": 30})
    assert send(crm).headers["Retry-After"] == "30"


def test_a_requester_may_keep_silent(crm: RequesterView) -> None:
    crm.set_up(SECRET, fail={"hang_seconds": 0.5, "first_n": 1})
    with pytest.raises(httpx.ReadTimeout):
        send(crm, within=0.2)
    assert send(crm).status_code == 204


def test_results_are_read_in_pages(server: SandboxServer, crm: RequesterView) -> None:
    for index in range(5):
        send(crm, webhook_id=f"m{index}")
    path = f"{server.url}/_sandbox/requester/crm/results"
    page = httpx.get(path, params={"since": 2, "limit": 2}).json()
    assert [row["webhook_id"] for row in page["data"]] == ["m2", "m3"]
    assert page["next"] == 4
    assert httpx.get(path, params={"since": 4, "limit": 2}).json()["next"] is None


def test_a_result_that_is_no_object_is_kept_all_the_same(crm: RequesterView) -> None:
    assert send(crm, body=b"[1]").status_code == 204
    assert crm.results()[0]["type"] == ""


@pytest.mark.parametrize("setup", [{"secrets": ["whsec_!"]}, {"secrets": 1}, {"fail": {"status": 200}}, {"x": 1}])
def test_a_wrong_set_up_is_refused(server: SandboxServer, setup: dict[str, Any]) -> None:
    assert httpx.put(f"{server.url}/_sandbox/requester/crm", json=setup).status_code == 400
