"""Flower beside it: teams that have it see our workers and their tasks, no secret, and can do no harm."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.chaos.member import Member
from tests.sandbox import eventually
from tests.worker_process import a_worker
from worker.app import RELAY, app

PASSWORD, SECRET = "canary-password-of-the-upstream", "canary-secret-key-that-is-long-enough"

ACTS = (
    "worker/shutdown/{worker}", "worker/pool/restart/{worker}", "worker/pool/grow/{worker}?n=1",
    "worker/pool/shrink/{worker}?n=1", "worker/queue/cancel-consumer/{worker}?queue=trunkline.relay",
    "task/revoke/{task}", "task/rate-limit/trunkline.relay?workername={worker}&ratelimit=1",
)  # fmt: skip


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch, sqlite_url: str, redis_url: str, tmp_path: Path) -> Iterator[Member]:
    """One that tells of its tasks."""
    secret = {"TRUNKLINE_AVANSER_PASSWORD": PASSWORD, "TRUNKLINE_SECRET_KEY": SECRET}
    with a_worker(monkeypatch, sqlite_url, redis_url, tmp_path, TRUNKLINE_TASK_EVENTS="true", **secret) as running:
        yield running


@pytest.fixture
def flower(worker: Member, redis_url: str, tmp_path: Path) -> Iterator[httpx.Client]:
    """Started as the README says."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    options = ["--read-only", "--address=127.0.0.1", f"--port={port}", "--basic-auth=team:canary-password-of-flower"]
    with (tmp_path / "flower.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "celery", f"--broker={redis_url}", "flower", *options],
            cwd=tmp_path, stdout=log, stderr=log,
        )  # fmt: skip
    auth = ("team", "canary-password-of-flower")
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", auth=auth, timeout=20) as client:
        try:
            eventually(lambda: _workers(client), within=60)
            yield client
        finally:
            process.terminate()
            process.wait(20)


def _workers(flower: httpx.Client) -> dict[str, Any]:
    try:
        answer = flower.get("/api/workers", params={"refresh": "true"})
    except httpx.TransportError:
        return {}
    found: dict[str, Any] = answer.json() if answer.status_code == 200 else {}
    return found


def test_flower_shows_workers_and_tasks_and_no_secret_and_refuses_every_act(
    worker: Member, flower: httpx.Client
) -> None:
    app.send_task("trunkline.relay", queue=RELAY)
    tasks = eventually(lambda: flower.get("/api/tasks").json(), within=30)
    (name,) = _workers(flower)
    task = next(iter(tasks))
    assert tasks[task]["name"] == "trunkline.relay"
    pages = [flower.get(path) for path in ("/", "/tasks", f"/worker/{name}", f"/task/{task}", "/broker")]
    assert [page.status_code for page in pages] == [200] * len(pages)
    said = "\n".join([json.dumps(tasks), json.dumps(_workers(flower)), *(page.text for page in pages)])
    assert [secret for secret in (PASSWORD, SECRET) if secret in said] == []
    answers = {act: flower.post(f"/api/{act.format(worker=name, task=task)}").status_code for act in ACTS}
    assert answers == dict.fromkeys(ACTS, 403)
    assert worker.is_alive


def test_flower_asks_who_is_there(flower: httpx.Client) -> None:
    assert httpx.get(f"{flower.base_url}/api/workers", timeout=20).status_code == 401
