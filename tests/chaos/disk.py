"""A small file system of its own, to be filled to the last byte."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.services import ServiceMissing

PIECE = 64 * 1024  # bytes


@dataclass(frozen=True)
class Disk:
    """Whoever may write to `folder` shares its space."""

    folder: Path

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"

    def fill(self) -> None:
        """From now on nobody gets another byte."""
        with self._ballast.open("ab", buffering=0) as file:
            for piece in (PIECE, 1):
                try:
                    while True:
                        file.write(bytes(piece))
                except OSError:  # no space left
                    pass

    def free(self) -> None:
        self._ballast.unlink(missing_ok=True)


@contextmanager
def small_disk(megabytes: int) -> Iterator[Disk]:
    """A tmpfs. Raises ServiceMissing where we may not mount one: that takes root, also in a container of CI."""
    at = Path(tempfile.mkdtemp(prefix="trunkline-"))  # not in pytest's, which is closed to the user PostgreSQL runs as
    at.chmod(0o755)
    options = f"size={megabytes}m,mode=755"
    mount = ["mount", "-t", "tmpfs", "-o", options, "trunkline-tests", str(at)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode:
        at.rmdir()
        raise ServiceMissing("no small file system to fill: mounting a tmpfs needs root (CAP_SYS_ADMIN)")
    try:
        yield Disk(at)
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=True)  # noqa: S607 -- as root we are given the PATH
        at.rmdir()
