"""A RabbitMQ for tests."""

import base64
import contextlib
import hashlib
import json
import os
import pwd
import secrets
import shutil
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import kombu

from tests.services.server import (
    Program,
    Server,
    ServiceMissing,
    free_port,
    give,
    own_folder,
    running,
    spawn,
    unprivileged,
)

MISSING = "no RabbitMQ: install Debian's rabbitmq-server"

_DEBIAN = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""Not the one on Debian's PATH: that is a wrapper which switches to Debian's user and Debian's folders."""

_DATA = "mnesia"
_DEFINITIONS = "definitions.json"


@contextlib.contextmanager
def rabbitmq(definitions: Mapping[str, Any] | None = None) -> Iterator[Server]:
    """A RabbitMQ of this machine, with nothing in it. It keeps durable queues and messages over `kill` and `restart`.

    Or with these definitions: then it has their one user, to whom it gives a password, and its URL is of their one
    virtual host. It takes about eight seconds to start. Raises ServiceMissing where there is none.
    """
    binary, port_mapper = _binary(), shutil.which("epmd")
    if binary is None or port_mapper is None:
        raise ServiceMissing(MISSING)
    with own_folder() as folder:
        owner = unprivileged("rabbitmq")
        password = secrets.token_hex(16)
        names = free_port()
        environment = _environment(folder, names)
        _configure(folder, owner)
        host = "/"
        if definitions is not None:
            host = _keep(definitions, password, folder)

        def command(port: int) -> list[str]:
            (folder / "rabbitmq.conf").write_text(_configuration(port, password, folder))
            return [str(binary)]

        def url(port: int) -> str:
            return f"amqp://trunkline:{password}@127.0.0.1:{port}/{host}"

        program = Program(
            command, url, lambda port: _answers(url(port)), folder, data=[_DATA], environment=environment, owner=owner
        )
        with _port_mapper(port_mapper, names, folder, owner), running(Server, program) as server:
            yield server


@contextlib.contextmanager
def _port_mapper(binary: str, port: int, folder: Path, owner: pwd.struct_passwd | None) -> Iterator[None]:
    """Erlang's, in front and on a port of its own: else the server would start one that outlives it."""
    process = spawn([binary, "-address", "127.0.0.1", "-port", str(port)], folder / "epmd.log", owner)
    try:
        for _ in range(500):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                break
            time.sleep(0.01)
        yield
    finally:
        process.kill()
        process.wait()


def _configure(folder: Path, owner: pwd.struct_passwd | None) -> None:
    (folder / "enabled_plugins").write_text("[].\n")
    (folder / "environment").touch()
    (folder / "rabbitmq.conf").touch()
    give([folder, folder / "enabled_plugins"], owner)


def _configuration(port: int, password: str, folder: Path) -> str:
    listens = f"listeners.tcp.local = 127.0.0.1:{port}\n"
    definitions = folder / _DEFINITIONS
    if definitions.exists():
        return f"{listens}load_definitions = {definitions}\n"
    return f"{listens}default_user = trunkline\ndefault_pass = {password}\n"


def _keep(definitions: Mapping[str, Any], password: str, folder: Path) -> str:
    """Write them for the start, the user's password set; returns the virtual host."""
    ((user,), (host,)) = definitions["users"], definitions["vhosts"]
    salt = secrets.token_bytes(4)  # as RabbitMQ's "Computing a Password Hash" has it
    digest = hashlib.sha256(salt + password.encode()).digest()
    user = user | {"password_hash": base64.b64encode(salt + digest).decode()}
    (folder / _DEFINITIONS).write_text(json.dumps(dict(definitions) | {"users": [user]}))
    (folder / _DEFINITIONS).chmod(0o644)
    name: str = host["name"]
    return name


def _environment(folder: Path, names: int) -> Mapping[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("RABBITMQ_", "ERL_"))}
    return inherited | {
        "HOME": str(folder),  # of Erlang's cookie
        "RUNNING_UNDER_SYSTEMD": "true",  # the script becomes the server, so that signals reach that
        "ERL_EPMD_PORT": str(names),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": "trunkline@localhost",
        "RABBITMQ_DIST_PORT": str(free_port()),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
        "RABBITMQ_CONF_ENV_FILE": str(folder / "environment"),
        "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
        "RABBITMQ_MNESIA_BASE": str(folder / _DATA),
        "RABBITMQ_LOG_BASE": str(folder),
        "RABBITMQ_LOGS": "-",
    }


def _answers(url: str) -> bool:
    with kombu.Connection(url, connect_timeout=2) as connection:
        try:
            connection.transport.establish_connection().close()
        except connection.connection_errors:
            return False
    return True


def _binary() -> Path | None:
    if _DEBIAN.exists():
        return _DEBIAN
    on_path = shutil.which("rabbitmq-server")
    return Path(on_path) if on_path else None
