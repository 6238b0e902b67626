"""Hosts on one machine: network namespaces with an address each, joined by a bridge, that can be cut off from it."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.services.server import ServiceMissing

NETWORK = f"198.18.{os.getpid() % 256}"
"""Of the addresses that are kept for tests of networks (RFC 2544); another one for each run."""

OURS = 1
"""Where on the network the tests themselves are, with the simulated telco and the requester."""


@dataclass(eq=False)
class Host:
    """One of them. Its processes go on while it is cut off: nothing reaches it or comes from it, and nobody is told."""

    name: str
    number: int
    network: Network
    more: list[str] = field(default_factory=list)
    """Addresses that it has beside its own."""

    @property
    def address(self) -> str:
        return f"{NETWORK}.{self.number}"

    def prefix(self, owner: pwd.struct_passwd | None = None) -> list[str]:
        """What runs a command there, as this user; only root may."""
        as_user = [f"--setuid={owner.pw_uid}", f"--setgid={owner.pw_gid}"] if owner else []
        return ["nsenter", f"--net=/run/netns/{self.name}", *as_user, "--"]

    def cut_off(self) -> None:
        self.network.ip("link", "set", self.port, "down")

    def join(self) -> None:
        self.network.ip("link", "set", self.port, "up")

    def take(self, address: str) -> None:
        """Answer to this address too, in place of whoever did."""
        for other in self.network.hosts:
            if address in other.more:
                other.more.remove(address)
                self.network.ip("-n", other.name, "address", "delete", f"{address}/24", "dev", "eth0")
        self.more.append(address)
        self.network.ip("-n", self.name, "address", "add", f"{address}/24", "dev", "eth0")
        self.network.introduce(address, self)

    @property
    def port(self) -> str:
        """Its end at the bridge."""
        return f"{self.network.bridge}p{self.number}"

    @property
    def hardware(self) -> str:
        return f"02:00:00:00:00:{self.number:02x}"


class Network:
    def __init__(self) -> None:
        self.bridge = f"tl{os.getpid()}"
        self.hosts: list[Host] = []
        found = shutil.which("ip") or shutil.which("ip", path="/usr/sbin:/sbin")
        if found is None:
            raise ServiceMissing("no command ip: install Debian's iproute2")
        if os.geteuid() != 0:
            raise ServiceMissing("network namespaces are root's")
        self._ip = found

    def ip(self, *words: str) -> None:
        """Raises RuntimeError with what `ip` says."""
        done = subprocess.run([self._ip, *words], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"ip {' '.join(words)}: {done.stderr}")

    def add(self, name: str, number: int) -> Host:
        host = Host(f"{self.bridge}-{name}", number, self)
        self.ip("netns", "add", host.name)
        self.hosts.append(host)
        self.ip("link", "add", host.port, "type", "veth", "peer", "name", "eth0", "netns", host.name)
        self.ip("link", "set", host.port, "master", self.bridge, "up")
        inside = ("-n", host.name)
        self.ip(*inside, "link", "set", "eth0", "address", host.hardware)
        self.ip(*inside, "address", "add", f"{host.address}/24", "dev", "eth0")
        for link in ("lo", "eth0"):
            self.ip(*inside, "link", "set", link, "up")
        return host

    def introduce_all(self) -> None:
        """Everybody knows everybody, so that who is cut off is silent, and not "unreachable", as in a large network."""
        for host in self.hosts:
            self.introduce(host.address, host)
        ours = (f"{NETWORK}.{OURS}", "lladdr", "02:00:00:00:00:01", "dev", "eth0", "nud", "permanent")
        for host in self.hosts:
            self.ip("-n", host.name, "neighbour", "replace", *ours)

    def introduce(self, address: str, host: Host) -> None:
        how = ("neighbour", "replace", address, "lladdr", host.hardware, "nud", "permanent", "dev")
        self.ip(*how, self.bridge)
        for other in self.hosts:
            if other is not host:
                self.ip("-n", other.name, *how, "eth0")


@contextlib.contextmanager
def network(names: Sequence[tuple[str, int]]) -> Iterator[dict[str, Host]]:
    """Hosts with these names and numbers, 2 to 254, by name. All of it is gone afterwards. Raises ServiceMissing."""
    whole = Network()
    whole.ip("link", "add", whole.bridge, "address", "02:00:00:00:00:01", "type", "bridge")
    try:
        whole.ip("address", "add", f"{NETWORK}.{OURS}/24", "dev", whole.bridge)
        whole.ip("link", "set", whole.bridge, "up")
        found = {name: whole.add(name, number) for name, number in names}
        whole.introduce_all()
        yield found
    finally:
        for host in whole.hosts:
            whole.ip("netns", "delete", host.name)
        whole.ip("link", "delete", whole.bridge)
