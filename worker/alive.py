"""The sign that a worker or relay makes progress: a file that it touches as often as its loop turns.

What it tests is the process itself, and nothing else: whether its loop turns. A worker's loop takes messages, and ends
children that hang, so while it turns no task is stuck for longer than its time limit. Neither the database nor the
broker being away makes a process not alive: to restart all workers mends neither, and adds the load of their starts. A
loop that waits for a broker that is away stands still, so a file that is old counts against a process only while the
broker answers. (`trunkline doctor` and the alert TrunklineWorkersSilent judge the whole way, from relay to worker.)

Only the standard library: `trunkline alive` runs every half minute in every container.
"""

from __future__ import annotations

import json
import os
import socket
import ssl
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

EVERY = timedelta(seconds=10)
"""How often a loop that turns touches its file."""

SILENT_AFTER = timedelta(seconds=120)
"""Longer than a loop waits for anything that ends well: 20 s for an answer of Redis, up to 30 s between two tries to
reach the broker, and a busy machine."""

PATIENCE = 2.0
"""Seconds that the broker may take to say a first byte."""

DEFAULT_PORTS = {"redis": 6379, "rediss": 6379, "sentinel": 26379, "amqp": 5672, "amqps": 5671}

AMQP_GREETING = b"AMQP\x00\x00\x09\x01"
"""RabbitMQ answers it with its own first frame (AMQP 0-9-1, 2.2.4)."""

REDIS_GREETING = b"PING\r\n"
"""Redis answers also those who have not signed in, with an error."""


@dataclass(frozen=True, slots=True)
class Sign:
    """The file of one process."""

    path: Path

    def begin(self, broker_url: str) -> None:
        """Write where the broker is, without user and password, and that the process lives. Raises OSError."""
        fresh = self.path.with_name(f"{self.path.name}.{os.getpid()}")
        fresh.write_text(json.dumps({"pid": os.getpid(), "brokers": _addresses(broker_url)}))
        fresh.replace(self.path)

    def show(self) -> None:
        """The loop turns. A file that is gone stays so: that process is then not alive, and is begun anew."""
        with suppress(OSError):
            os.utime(self.path)


def why_not(path: Path, silent_after: timedelta = SILENT_AFTER) -> str | None:
    """Why the process of this file is not alive; None where it is."""
    try:
        age = timedelta(seconds=time.time() - path.stat().st_mtime)
        brokers: list[str] = json.loads(path.read_text())["brokers"]
    except FileNotFoundError:
        return f"{path} is not there: no process was started with --alive-file {path}, or it ends"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"{path} cannot be read: {error}"
    if age <= silent_after or not any(_answers(broker) for broker in brokers):
        return None
    return f"the process has not turned for {age.total_seconds():.0f} s, though the broker answers"


def _addresses(broker_url: str) -> Sequence[str]:
    """`scheme://host:port` of each, or `redis+socket:///path`: several are separated by semicolons."""
    return [_address(one.strip()) for one in broker_url.split(";") if one.strip()]


def _address(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme == "redis+socket":
        return f"{parts.scheme}://{parts.path}"
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}:{parts.port or DEFAULT_PORTS[parts.scheme]}"


def _answers(address: str) -> bool:
    """Whether somebody there says a first byte. What is sent holds no secret, so it need not be the right one."""
    scheme = urlsplit(address).scheme
    greeting = AMQP_GREETING if scheme.startswith("amqp") else REDIS_GREETING
    try:
        with closing(_connect(address)) as connection:
            connection.sendall(greeting)
            return bool(connection.recv(1))
    except ssl.SSLError:
        return True  # one that wants our certificate answers, too
    except OSError:
        return False


def _connect(address: str) -> socket.socket:
    parts = urlsplit(address)
    if parts.scheme == "redis+socket":
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(PATIENCE)
        connection.connect(unquote(parts.path))
        return connection
    plain = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=PATIENCE)
    if parts.scheme not in ("rediss", "amqps"):
        return plain
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context.wrap_socket(plain, server_hostname=parts.hostname)
