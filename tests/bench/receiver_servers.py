"""How many callbacks a second each production server takes: the real route, a real PostgreSQL, loopback.

    python -m tests.bench.receiver_servers [--seconds 8] [--connections 32] [--processes 1]

gunicorn and waitress are no dependencies of Trunkline; one that is not installed is left out.
"""

import argparse
import importlib.util
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.request import urlopen

import sqlalchemy as sa

from models.base import make_engine, read
from models.inbox import Received
from models.migrations import upgrade
from tests import services
from tests.bench.callbacks import callback_paths
from tests.bench.load import load

PORT = 18_765
START_DEADLINE = 15.0  # seconds


def commands(processes: int, threads: int) -> dict[str, list[str]]:
    here = [sys.executable, "-m"]
    factory = "webhook_receiver.server:application"
    return {
        "granian": [
            *here, "granian", "--interface", "wsgi", "--factory", "--host", "127.0.0.1", "--port", str(PORT),
            "--workers", str(processes), "--blocking-threads", str(threads), "--backlog", "2048",
            "--http", "1", "--no-ws", "--log-level", "error", factory,
        ],
        "gunicorn": [
            *here, "gunicorn", "--worker-class", "gthread", "--workers", str(processes), "--threads", str(threads),
            "--bind", f"127.0.0.1:{PORT}", "--keep-alive", "30", "--log-level", "error", f"{factory}()",
        ],
        "waitress": [
            *here, "waitress", f"--listen=127.0.0.1:{PORT}", f"--threads={threads}", "--call", factory,
        ],
    }  # fmt: skip


@contextmanager
def serving(command: Sequence[str], environment: dict[str, str], log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, start_new_session=True)
    try:
        give_up_at = time.monotonic() + START_DEADLINE
        while not answers():
            if time.monotonic() > give_up_at or process.poll() is not None:
                raise RuntimeError(f"it does not start:\n{log.read_text()[-2000:]}")
            time.sleep(0.1)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def answers() -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{PORT}/healthz", timeout=1):
            return True
    except OSError:
        return False


def measure(name: str, command: Sequence[str], server: services.Postgres, arguments: argparse.Namespace) -> str:
    server.execute(f"CREATE DATABASE bench_{name}")
    url = server.database_url(f"bench_{name}")
    upgrade(url)
    secret = secrets.token_urlsafe(32)
    with TemporaryDirectory() as home:
        (paths := Path(home) / "paths").write_text("\n".join(callback_paths(secret)))
        environment = {name: value for name, value in os.environ.items() if not name.startswith("TRUNKLINE_")}
        environment |= {"TRUNKLINE_HOME": home, "TRUNKLINE_DATABASE_URL": url, "TRUNKLINE_SECRET_KEY": secret}
        environment |= {"TRUNKLINE_BROKER_URL": "redis://127.0.0.1:1/0"}
        with serving(command, environment, Path(home) / "log"):
            done = load(PORT, paths, connections=arguments.connections, seconds=arguments.seconds)
    engine = make_engine(url)
    kept = read(engine, lambda session: session.scalar(sa.select(sa.func.count()).select_from(Received)))
    engine.dispose()
    return (
        f"{name:<10} {done.rate:7.0f}/s   median {done.middle * 1000:5.1f} ms   p99 {done.late * 1000:6.1f} ms"
        f"   not 200: {done.wrong}   answered and kept in all: {done.total} and {kept}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("servers", nargs="*")
    arguments = parser.parse_args()
    with services.postgres() as server:
        for name, command in commands(arguments.processes, arguments.threads).items():
            if arguments.servers and name not in arguments.servers:
                continue
            if importlib.util.find_spec(name) is None:
                sys.stdout.write(f"{name:<10} is not installed\n")
                continue
            sys.stdout.write(measure(name, command, server, arguments) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
