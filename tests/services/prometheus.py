"""A Prometheus for tests, of Debian's package, and its `promtool`."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx

from tests.services.server import Program, Server, ServiceMissing, own_folder, running


@contextlib.contextmanager
def prometheus(configuration: str, files: dict[str, str]) -> Iterator[Server]:
    """A Prometheus with this `prometheus.yml`, and `files` beside it. Raises ServiceMissing where there is none."""
    binary = _found("prometheus")
    with own_folder() as folder:
        for name, text in {"prometheus.yml": configuration, **files}.items():
            (folder / name).write_text(text)

        def command(port: int) -> list[str]:
            address = f"127.0.0.1:{port}"
            return [
                binary, "--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address={address}",
            ]  # fmt: skip

        def url(port: int) -> str:
            return f"http://127.0.0.1:{port}"

        with running(Server, Program(command, url, lambda port: _answers(url(port)), folder)) as server:
            yield server


def promtool() -> str:
    """Its path. Raises ServiceMissing."""
    return _found("promtool")


def _found(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise ServiceMissing(f"no {name}: install Debian's prometheus")
    return str(Path(path))


def _answers(url: str) -> bool:
    with contextlib.suppress(httpx.HTTPError):
        return httpx.get(f"{url}/-/ready", timeout=2).status_code == 200
    return False
