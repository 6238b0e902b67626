"""Drills: an incident is staged, its alert fires on our real figures, and the runbook's two commands, word for word,
end it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests import services
from tests.chaos.cluster import Cluster, running
from tests.chaos.disk import Disk, small_disk
from tests.chaos.member import ROOT
from tests.conftest import or_skip
from tests.runbook import ALERTS, sections
from tests.sandbox import SandboxServer, eventually

pytestmark = pytest.mark.timeout(600)

MEGABYTES = 256

UPSTREAM = "avanser"

SOON = 60.0
"""Seconds that an alert, and its end, may take here."""

BREATH = 0.25
"""Seconds between two looks: all that is staged here shares the machine with whoever looks."""

SCRAPED = """
global: {scrape_interval: 1s, evaluation_interval: 1s}
rule_files: [alerts.yml]
scrape_configs:
  - job_name: trunkline
    authorization: {credentials: KEY}
    static_configs: [{targets: [TARGET]}]
"""

SYSTEMCTL = """#!/bin/sh
echo "$@" >> "$ASKED_OF_SYSTEMD"
"""

TRUNKLINE = """#!/bin/sh
cd {root} && exec {python} -m worker.cli "$@"
"""


def shortened(rules: str) -> str:
    """The same rules, with less patience: what looks back or waits for minutes does so for seconds."""
    rules = re.sub(r"for: \w+$", "for: 2s", rules, flags=re.MULTILINE)
    return re.sub(r"\[\d+[mh]\]", "[15s]", rules)


@dataclass
class Scene:
    """What runs, and what a person on call has at hand: the alerts, the runbook, a shell."""

    cluster: Cluster
    database: services.Postgres
    redis: services.Server
    disk: Disk
    prometheus: str
    folder: Path

    def firing(self, name: str) -> dict[str, str] | None:
        """The labels of this alert where it fires."""
        time.sleep(BREATH)
        found = httpx.get(f"{self.prometheus}/api/v1/alerts", timeout=10).json()["data"]["alerts"]
        labels = [one["labels"] for one in found if one["labels"]["alertname"] == name and one["state"] == "firing"]
        return dict(labels[0]) if labels else None

    def fires(self, name: str) -> dict[str, str]:
        labels: dict[str, str] | None = eventually(lambda: self.firing(name), within=SOON)
        assert labels is not None, name
        return labels

    def ends(self, name: str) -> None:
        assert eventually(lambda: self.firing(name) is None, within=SOON), name

    def look(self, name: str, labels: Mapping[str, str]) -> str:
        """What the runbook's first command shows. It may exit with a status that says that something is wrong."""
        done = self._shell(sections()[name].look, labels)
        assert done.returncode in (0, 1, 2, 3), done.stderr
        return done.stdout + done.stderr

    def act(self, name: str, labels: Mapping[str, str]) -> None:
        done = self._shell(sections()[name].act, labels)
        assert done.returncode == 0, (done.stdout, done.stderr)
        for order in self._orders():
            self._obey(order)

    def _shell(self, command: str, labels: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        named = {label.upper(): value for label, value in labels.items()}
        own = {
            "PATH": f"{self.folder}:{os.environ['PATH']}",
            "ASKED_OF_SYSTEMD": str(self.folder / "asked"),
            "BALLAST": str(self.disk.folder / "ballast"),
            "PGDATA": str(self.disk.folder),
        }
        return subprocess.run(
            ["/bin/sh", "-c", command],
            env=self.cluster.environment | named | own,
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip

    def _orders(self) -> list[str]:
        asked = self.folder / "asked"
        orders = asked.read_text().splitlines() if asked.exists() else []
        asked.unlink(missing_ok=True)
        return orders

    def _obey(self, order: str) -> None:
        """In systemd's place. A server that has ended is started."""
        server = {"restart postgresql": self.database, "restart redis-server": self.redis}[order]
        server.restart()

    def submit(self, count: int) -> None:
        """So many new requests. What is refused is not among them."""
        for number in range(count):
            self.ask(f"drill-{time.monotonic_ns()}-{number}")

    def ask(self, custom_id: str) -> int:
        spec = {
            "name": custom_id,
            "service_number": {"country": "AU", "search_type": "szu", "szu": "sydney"},
            "service": {"type": "transfer", "answer_point": "61401603859"},
        }
        order = {"upstream": UPSTREAM, "kind": "provision", "custom_id": custom_id, "endpoint": "crm", "spec": spec}
        answer = self.cluster.api.post("/v1/requests", json=order, headers={"Idempotency-Key": custom_id})
        return answer.status_code

    def figures(self) -> dict[str, float]:
        """By name and labels, as Prometheus gets them; nothing while they cannot be had."""
        time.sleep(BREATH)
        try:
            lines = self.cluster.api.get("/metrics").raise_for_status().text.splitlines()
        except httpx.HTTPError:
            return {}
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}

    def open(self) -> dict[str, float]:
        """How many requests have not completed, by labels."""
        found = {name: n for name, n in self.figures().items() if name.startswith("trunkline_requests{")}
        if not found:
            return {"unknown": 1}
        return {name: n for name, n in found.items() if n and 'state="completed"' not in name}

    def all_complete(self) -> None:
        assert eventually(lambda: self.open() == {}, within=SOON), self.open()

    def given_up(self) -> float:
        """Results that nothing sends again by itself."""
        return self.figures().get('trunkline_troubles{what="failed_deliveries"}', -1)

    def upstream(self, *faults: Mapping[str, Any]) -> None:
        """From now on it has these faults, on everything that it is asked."""
        on = ["provision", "update", "release", "search", "look_up"]
        self.cluster.sandbox.script(faults=[{"on": on, **fault} for fault in faults])


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, chaos_sandbox: SandboxServer) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("drills")
    for name, text in (("systemctl", SYSTEMCTL), ("trunkline", TRUNKLINE.format(root=ROOT, python=sys.executable))):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    quick: dict[str, Any] = {
        "TRUNKLINE_DELIVERY_BACKOFF": "1,1",
        "TRUNKLINE_STOCK_INTERVAL": "3600",
        "TRUNKLINE_BACKOFF_CAP": "2",
        "TRUNKLINE_MAX_ATTEMPTS": "50",
    }
    with (
        or_skip(),
        small_disk(MEGABYTES) as disk,
        services.postgres(disk.folder) as database,
        services.redis_server() as redis,
        running(folder / "cluster", chaos_sandbox, database.url, redis.url, **quick) as cluster,
    ):
        cluster.reset_sandbox({})
        key = cluster.run("keys", "create", "--name", "prometheus", "--scopes", "read")["key"]
        configuration = SCRAPED.replace("KEY", key).replace("TARGET", cluster.url.removeprefix("http://"))
        with services.prometheus(configuration, {"alerts.yml": shortened(ALERTS.read_text())}) as prometheus:
            yield Scene(cluster, database, redis, disk, prometheus.url, folder)


def test_an_upstream_is_down(scene: Scene) -> None:
    scene.upstream({"fault": "error_before_effect", "status": 503})
    scene.submit(12)

    labels = scene.fires("TrunklineUpstreamFailing")
    assert labels["upstream"] == UPSTREAM
    assert UPSTREAM in scene.look("TrunklineUpstreamFailing", labels)
    scene.act("TrunklineUpstreamFailing", labels)

    labels = scene.fires("TrunklineUpstreamPaused")
    scene.upstream()
    assert "see the alert" in scene.look("TrunklineUpstreamPaused", labels)
    scene.act("TrunklineUpstreamPaused", labels)

    scene.all_complete()
    scene.ends("TrunklineUpstreamFailing")
    scene.ends("TrunklineUpstreamPaused")


def test_the_upstream_refuses_our_credentials(scene: Scene) -> None:
    scene.upstream({"fault": "wrong_credentials"})
    scene.submit(3)

    labels = scene.fires("TrunklineUpstreamPaused")
    assert "credentials" in scene.look("TrunklineUpstreamPaused", labels)
    scene.upstream()  # somebody has mended them
    scene.act("TrunklineUpstreamPaused", labels)

    scene.all_complete()
    scene.ends("TrunklineUpstreamPaused")


def test_a_requester_is_down(scene: Scene) -> None:
    secret = scene.cluster._secret
    scene.cluster.requester.set_up(secret, fail={"status": 503})
    scene.submit(4)

    labels = scene.fires("TrunklineEndpointDown")
    assert labels["endpoint"] == "crm"
    assert "crm" in scene.look("TrunklineEndpointDown", labels)
    assert eventually(lambda: scene.given_up() == 4, within=SOON)
    scene.cluster.requester.set_up(secret)  # its owner has mended it
    scene.act("TrunklineEndpointDown", labels)

    assert eventually(lambda: scene.given_up() == 0, within=SOON)
    scene.ends("TrunklineEndpointDown")
    assert scene.figures()["trunkline_deliveries_pending"] == 0


def test_the_broker_is_gone(scene: Scene) -> None:
    scene.redis.kill()
    scene.submit(3)

    labels = scene.fires("TrunklineWorkersSilent")
    assert "Redis" in scene.look("TrunklineWorkersSilent", labels)
    scene.act("TrunklineWorkersSilent", labels)

    scene.all_complete()
    scene.ends("TrunklineWorkersSilent")


def test_numbers_are_out_of_stock(scene: Scene) -> None:
    scene.upstream({"fault": "out_of_stock"})
    scene.submit(25)

    labels = scene.fires("TrunklineOutOfStock")
    assert scene.look("TrunklineOutOfStock", labels).count("out_of_stock") >= 25
    scene.upstream()
    scene.act("TrunklineOutOfStock", labels)

    scene.all_complete()
    scene.ends("TrunklineOutOfStock")


def test_the_disk_of_the_database_is_full(scene: Scene) -> None:
    scene.disk.fill()

    def refused() -> dict[str, str] | None:
        for number in range(20):
            scene.ask(f"full-{time.monotonic_ns()}-{number}")
        return scene.firing("TrunklineDatabaseRefusesWrites")

    labels = eventually(refused, within=2 * SOON)
    assert labels is not None
    assert "100%" in scene.look("TrunklineDatabaseRefusesWrites", labels)
    scene.act("TrunklineDatabaseRefusesWrites", labels)

    eventually(scene.cluster.is_ready, within=SOON)
    assert scene.ask("after the disk") in (200, 202)
    scene.all_complete()
    scene.ends("TrunklineDatabaseRefusesWrites")
