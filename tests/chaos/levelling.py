"""Bringing the books level behind a database that has forgotten orders: the commands of the README."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from tests.chaos import mixed
from tests.chaos.cluster import Cluster
from tests.chaos.member import ROOT

SLOWLY = {f"TRUNKLINE_{name.upper()}_RATE": "3" for name in mixed.UPSTREAMS}
"""So slowly that at any moment some are still to be ordered, however late a slow machine looks."""

TO_ADOPT = {"orphan", "landed"}

Finding = dict[str, Any]


def run(cluster: Cluster, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "worker.cli", *words]
    return subprocess.run(
        command, cwd=ROOT, env=cluster.environment, capture_output=True, text=True, timeout=120, check=False
    )


def findings(cluster: Cluster) -> list[Finding]:
    reports = json.loads(run(cluster, "reconcile", "--json").stdout)["data"]
    return [finding for report in reports for finding in report["findings"]]


def adopt(cluster: Cluster) -> bool:
    """Whether nothing is left to adopt."""
    run(cluster, "reconcile", "--adopt", "--all", "--yes", "--note", "restored")
    return not TO_ADOPT & {one["kind"] for one in findings(cluster)}
