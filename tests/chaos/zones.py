"""Two zones that have one of everything, and a third with a Sentinel: hosts of their own, which are killed and cut off.

What a cluster manager does beside them (keepalived, Patroni) is done here by hand, `NOTICED` after the fault: the
public address goes to the other zone's nginx; the old primary is fenced off, the standby promoted.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from models.migrations import upgrade
from tests import services
from tests.chaos.cluster import Cluster, environment_of
from tests.chaos.member import Member
from tests.sandbox import SandboxServer, eventually
from tests.services import nginx
from tests.services.hosts import NETWORK, Host, network

ZONES = ("a", "b")

KINDS = ("nginx", "receiver", "worker", "relay", "redis", "postgres")

PUBLIC = f"{NETWORK}.10"
"""Where upstreams and requesters come: it is that of one nginx or of the other."""

NGINX_PORT, RECEIVER_PORT = 8000, 8080

NOTICED = 2.0
"""Seconds that a cluster manager takes to be sure. Theirs are longer by default; ours adds to them, and is what is
measured here."""


@dataclass(eq=False)
class Zones:
    hosts: dict[str, Host]
    cluster: Cluster
    fronts: dict[str, services.Server]
    databases: dict[str, services.Postgres]
    redis: services.Watched
    primary: str = "a"
    """The zone whose PostgreSQL is written to."""

    @property
    def front(self) -> str:
        """The zone whose nginx has the public address."""
        return next(zone for zone in ZONES if PUBLIC in self.hosts[f"{zone}-nginx"].more)

    @property
    def master(self) -> str:
        """The zone whose Redis is written to."""
        return next(zone for zone in ZONES if self.redis.master().address == self.hosts[f"{zone}-redis"].address)

    def members(self, zone: str) -> dict[str, Member]:
        cluster, number = self.cluster, ZONES.index(zone)
        kinds = {"receiver": cluster.receivers, "worker": cluster.workers, "relay": cluster.relays}
        return {kind: members[number] for kind, members in kinds.items()}

    def main_zone(self, kind: str) -> str:
        """Where it hurts: whose database, Redis or public address is the one that is used."""
        if kind == "zone":
            return self.primary
        return {"nginx": self.front, "redis": self.master, "postgres": self.primary}.get(kind, "a")

    def cut_off(self, zone: str, kinds: Sequence[str]) -> None:
        for kind in kinds:
            self.hosts[f"{zone}-{kind}"].cut_off()

    def kill(self, zone: str, kinds: Sequence[str]) -> None:
        for kind in kinds:
            self._server(zone, kind).kill()

    def manage(self, zone: str, kinds: Sequence[str]) -> None:
        """What whoever watches them does about these, which are away."""
        time.sleep(NOTICED)
        other = self.other(zone)
        if "nginx" in kinds and self.front == zone:
            self.hosts[f"{other}-nginx"].take(PUBLIC)
        if "postgres" in kinds:
            self.databases[zone].kill()  # it must not come back and be written to
            if self.primary == zone:
                self.databases[other].promote()
            self.databases[other].wait_for_standby(False)
            self.primary = other
            self.cluster.database_url = self._database_url

    def gather(self, zone: str) -> None:
        """The public address is this zone's, too."""
        if self.front != zone:
            self.hosts[f"{zone}-nginx"].take(PUBLIC)

    def bring_back(self, zone: str, kinds: Sequence[str]) -> None:
        for kind in kinds:
            self.hosts[f"{zone}-{kind}"].join()
        if "postgres" in kinds:
            self.databases[zone].follow(self.databases[self.primary])
            self.databases[self.primary].wait_for_standby()
        for kind in set(kinds) - {"postgres"}:
            server = self._server(zone, kind)
            if isinstance(server, Member) or server.process.poll() is not None:
                server.start()
        eventually(self.redis.is_whole, within=90)
        members = self.members(zone).values()
        eventually(lambda: all(one.is_ready for one in members if one is not self.members(zone)["receiver"]), within=60)
        eventually(self.cluster.is_ready, within=60)

    @staticmethod
    def other(zone: str) -> str:
        return ZONES[1 - ZONES.index(zone)]

    @property
    def _database_url(self) -> str:
        return self.databases[self.primary].database_url("zones")

    def _server(self, zone: str, kind: str) -> services.Server | Member:
        if kind == "redis":
            address = self.hosts[f"{zone}-redis"].address
            return next(server for server in self.redis.servers if server.address == address)
        servers: dict[str, services.Server] = {"nginx": self.fronts[zone], "postgres": self.databases[zone]}
        return servers[kind] if kind in servers else self.members(zone)[kind]


@contextmanager
def running(folder: Path) -> Iterator[Zones]:
    """All of it, at work. Raises ServiceMissing, also where one is not root."""
    numbers = [(f"{zone}-{kind}", 10 * (ZONES.index(zone) + 2) + KINDS.index(kind)) for zone in ZONES for kind in KINDS]
    with ExitStack() as stack:
        hosts = stack.enter_context(network([*numbers, ("c-redis", 40)]))
        hosts["a-nginx"].take(PUBLIC)
        first = stack.enter_context(services.postgres(place=hosts["a-postgres"]))
        second = stack.enter_context(first.standby(hosts["b-postgres"]))
        first.wait_for_standby()
        redis = stack.enter_context(services.watched_redis([hosts[f"{zone}-redis"] for zone in (*ZONES, "c")]))
        receivers = [f"{hosts[f'{zone}-receiver'].address}:{RECEIVER_PORT}" for zone in ZONES]
        fronts = {
            zone: stack.enter_context(nginx.before(receivers, NGINX_PORT, hosts[f"{zone}-nginx"])) for zone in ZONES
        }
        sandbox = stack.enter_context(SandboxServer("--host", f"{NETWORK}.1"))
        first.execute("CREATE DATABASE zones")
        upgrade(first.database_url("zones"))
        databases = {"a": first, "b": second}
        cluster = _cluster(folder, sandbox, databases, redis)
        for zone in ZONES:
            _add(cluster, hosts, zone)
        cluster.set_up()
        stack.callback(cluster.stop)
        cluster.heal()
        yield Zones(hosts, cluster, fronts, databases, redis)


def _cluster(
    folder: Path, sandbox: SandboxServer, databases: dict[str, services.Postgres], redis: services.Watched
) -> Cluster:
    (folder / "logs").mkdir(parents=True)
    url = f"http://{PUBLIC}:{NGINX_PORT}"
    user = databases["a"].url.partition("://")[2].partition("@")[0]
    where = "&".join(f"host={server.address}:{server.port}" for server in databases.values())
    environment = environment_of(folder / "home", sandbox, url) | {
        "TRUNKLINE_DATABASE_URL": f"postgresql+psycopg://{user}@/zones?{where}&target_session_attrs=read-write",
        "TRUNKLINE_BROKER_URL": redis.url,
        "TRUNKLINE_PAUSE_AFTER_FAILOVER": "false",  # the standby has all that was committed
        "TRUNKLINE_TRUSTED_PROXIES": "1",
        **redis.settings,
    }
    return Cluster(folder, databases["a"].database_url("zones"), sandbox, environment, url)


def _add(cluster: Cluster, hosts: dict[str, Host], zone: str) -> None:
    def member(kind: str, *words: str) -> Member:
        return cluster.add(f"{kind}-{zone}", kind, *words, wrapped_in=hosts[f"{zone}-{kind}"].prefix())

    address = hosts[f"{zone}-receiver"].address
    cluster.receivers.append(member("receiver", "--host", address, "--port", str(RECEIVER_PORT)))
    cluster.workers.append(member("worker", "--concurrency", "2"))
    cluster.relays.append(member("relay"))
