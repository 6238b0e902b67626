"""Programs that check files: from the development lock, or from Debian's packages."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.services.server import ServiceMissing

MISSING = {
    "amtool": "on Debian: apt-get install prometheus-alertmanager",
    "check-jsonschema": "make lint installs it",
    "hadolint": "make lint installs it, on Linux with x86-64",
    "kubectl": "on Debian: apt-get install kubernetes-client",
    "systemd-analyze": "on Debian: apt-get install systemd",
}


def tool(name: str) -> str:
    """Where it is. Raises ServiceMissing."""
    found = shutil.which(name, path=f"{Path(sys.executable).parent}:{os.environ['PATH']}:/usr/sbin")
    if found is None:
        raise ServiceMissing(f"{name} is not here; {MISSING.get(name, 'install it')}")
    return found


def run(name: str, *words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Raises ServiceMissing."""
    whole: Mapping[str, str] = os.environ | environment
    return subprocess.run([tool(name), *words], env=whole, capture_output=True, text=True, timeout=120, check=False)
