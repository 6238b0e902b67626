"""nginx with the example of `deploy` before a receiver."""

from __future__ import annotations

import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.sandbox import eventually
from tests.services.server import Place, Program, Server, ServiceMissing, own_folder, running

HOST = "127.0.0.1"

EXAMPLE = Path(__file__).resolve().parents[2] / "deploy" / "nginx.conf"

TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def program() -> str:
    """Raises ServiceMissing."""
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if found is None:
        raise ServiceMissing("nginx is not here; on Debian: apt-get install nginx-light")
    return found


@contextmanager
def before(receivers: Sequence[str], port: int, place: Place) -> Iterator[Server]:
    """The example before these receivers, each ADDRESS:PORT, at this port of a host of the tests' own."""
    nginx = program()
    with own_folder() as folder:
        folder.chmod(0o755)
        (folder / "trunkline-receivers.conf").write_text("".join(f"server {one};\n" for one in receivers))
        example = _example(port, None).replace(f"{HOST}:{port}", f"0.0.0.0:{port}")
        (folder / "nginx.conf").write_text(_whole(example.replace("/var/log/nginx", str(folder)), folder))
        command = [nginx, "-p", str(folder), "-c", str(folder / "nginx.conf")]
        url = f"http://{place.address}:{port}"
        listens = Program(
            lambda _: command, lambda _: url, lambda _: _listens(port, place.address), folder, place=place
        )
        with running(Server, listens) as server:
            yield server


@contextmanager
def in_front(port: int, folder: Path, certificate: tuple[Path, Path] | None = None) -> Iterator[int]:
    """The example before the receiver on this port, with TLS where there is a certificate with its key; yields the port
    that it listens on. Raises ServiceMissing."""
    nginx, own = program(), _free_port()
    folder.chmod(0o755)  # nginx's worker is another user than root
    conf = folder / "nginx.conf"
    (folder / "trunkline-receivers.conf").write_text(f"server {HOST}:{port};\n")
    conf.write_text(_whole(_example(own, certificate).replace("/var/log/nginx", str(folder)), folder))
    subprocess.run([nginx, "-t", "-q", "-p", str(folder), "-c", str(conf)], check=True)
    process = subprocess.Popen([nginx, "-p", str(folder), "-c", str(conf)])
    try:
        eventually(lambda: _listens(own), 10)
        yield own
    finally:
        process.terminate()
        process.wait(10)


def _listens(port: int, address: str = HOST) -> bool:
    try:
        socket.create_connection((address, port), timeout=1).close()
    except OSError:
        return False
    return True


def _example(own: int, certificate: tuple[Path, Path] | None) -> str:
    text = EXAMPLE.read_text()
    if certificate is not None:
        text = text.replace("/etc/ssl/trunkline.crt", str(certificate[0]))
        text = text.replace("/etc/ssl/trunkline.key", str(certificate[1]))
        return text.replace("listen 443 ssl;", f"listen {HOST}:{own} ssl;")
    lines = text.replace("listen 443 ssl;", f"listen {HOST}:{own};").splitlines()
    return "\n".join(line for line in lines if "ssl_certificate" not in line)


def _whole(example: str, folder: Path) -> str:
    """What belongs around it, as Debian's own file has it."""
    places = "".join(f"{one}_temp_path {folder}/{one};" for one in TEMPORARY)
    return (
        f"daemon off; pid {folder}/pid; error_log {folder}/error.log; worker_processes 1; worker_rlimit_nofile 8192;"
        f" events {{ worker_connections 4096; }}\nhttp {{ {places}\n{example}\n}}\n"
    )


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
