"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version

PACKAGES = ("celery", "sqlalchemy", "psycopg", "httpx", "aiohttp", "granian", "dbos", "procrastinate", "taskiq")


def machine() -> str:
    """One line."""
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return (
        f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}; {packages}."
        " PostgreSQL with synchronous_commit=on, Redis, the telcos and the requester on the same cores."
    )
