"""The API held against its own document by schemathesis: all its checks, and no 5xx."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine

from models.requester import Scope
from tests.integration.test_receiver_process import HOST, serving
from tests.receiver import make_key
from tests.sandbox import ACCOUNT, PASSWORD, USERNAME, SandboxServer

pytestmark = pytest.mark.timeout(3_600)

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")


@pytest.fixture
def database_url(sqlite_url: str) -> str:
    """One kind of database will do: what is tried here is the document."""
    return sqlite_url


def test_every_route_does_what_the_document_says(
    request: pytest.FixtureRequest, engine: Engine, tmp_path: Path, sandbox: SandboxServer
) -> None:
    """3 examples a route and phase, 100 with `--chaos=full`. Stock is that of the simulated AVANSER."""
    is_full = request.config.getoption("--chaos") == "full"
    avanser = {"URL": sandbox.avanser_url, "USERNAME": USERNAME, "PASSWORD": PASSWORD, "ACCOUNT_ID": ACCOUNT}
    settings = {f"TRUNKLINE_AVANSER_{name}": value for name, value in avanser.items()}
    key = make_key(engine, *Scope)
    url = engine.url.render_as_string(hide_password=False)
    with serving(url, tmp_path, **settings) as server:
        done = subprocess.run(
            [
                Path(sys.executable).with_name("schemathesis"),
                f"--config-file={CONFIGURATION}",
                "run",
                f"http://{HOST}:{server.port}/openapi.json",
                f"--header=Authorization: Bearer {key}",
                "--checks=all",
                f"--max-examples={100 if is_full else 3}",
                f"--seed={request.config.getoption('--chaos-seed')}",
                "--continue-on-failure",
                "--no-color",
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
