"""How long a connection to PostgreSQL waits for a host that says nothing."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event

from models.base import make_engine


class AskedError(Exception):
    pass


def asked(url: str) -> dict[str, Any]:
    """What the driver is told for a connection."""
    engine, seen = make_engine(url), []

    def connect(_dialect: Any, _record: Any, _args: Any, parameters: dict[str, Any]) -> None:
        seen.append(dict(parameters))
        raise AskedError

    event.listen(engine, "do_connect", connect)
    with pytest.raises(AskedError):
        engine.connect()
    (parameters,) = seen
    return dict(parameters)


@pytest.mark.parametrize(
    ("hosts", "seconds"),
    [("db/x", 10), ("/x?host=a:5432&host=b:5433", 3), ("/x?host=a,b", 3), ("/x?host=/run/postgresql", 10)],
)
def test_of_several_hosts_none_may_keep_a_connection_waiting_for_long(hosts: str, seconds: int) -> None:
    parameters = asked(f"postgresql+psycopg://me@{hosts}")
    assert parameters["connect_timeout"] == seconds
    assert parameters["tcp_user_timeout"] == 30_000


def test_what_the_url_says_counts() -> None:
    parameters = asked("postgresql+psycopg://me@db/x?connect_timeout=1&keepalives_idle=5")
    assert {name: int(parameters[name]) for name in ("connect_timeout", "keepalives_idle", "keepalives_count")} == {
        "connect_timeout": 1,
        "keepalives_idle": 5,
        "keepalives_count": 3,
    }
