"""A client of the Redis or Valkey in which limits live, also where Sentinels say which server that is."""

from __future__ import annotations

import socket
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import Sentinel

SENTINEL = "sentinel://"
SENTINEL_PORT = 26379

SENTINEL_PATIENCE = 1.0
"""Seconds that one Sentinel may take before the next is asked: they are few and near, and while one is cut off each new
connection asks it first."""

KEPT_ALIVE = {
    getattr(socket, name): value
    for name, value in {
        "TCP_KEEPIDLE": 15,  # seconds
        "TCP_KEEPINTVL": 5,  # seconds
        "TCP_KEEPCNT": 3,
        "TCP_USER_TIMEOUT": 30_000,  # milliseconds
    }.items()
    if hasattr(socket, name)
}
"""A server that was cut off without a farewell is given up after half a minute, as with PostgreSQL (`models.base`), and
not after the two hours of the operating system. What this one lacks is left out."""


def at_sentinels(url: str, master: str, password: str | None) -> str:
    """One string for `connect`: these Sentinels, the name of the master that they watch, and their own password."""
    return f"{url}?{urlencode({'master': master} | ({'password': password} if password else {}))}"


def sentinel_options(password: str | None) -> dict[str, Any]:
    """How Sentinels are talked to, in redis-py's words."""
    patience = {"socket_timeout": SENTINEL_PATIENCE, "socket_connect_timeout": SENTINEL_PATIENCE}
    once = {"retry": Retry(NoBackoff(), 0)}  # redis-py would ask the same one four times
    return patience | once | ({"password": password} if password else {})


def connect(url: str, **options: Any) -> redis.Redis:
    """A client; `options` are those of `redis.Redis`. Nothing is sent yet.

    `url` is `redis://`, `rediss://`, `unix://`, or what `at_sentinels` made: then each new connection goes to whom the
    Sentinels name at that moment. User, password and number of the database are those of the first URL.
    """
    if not url.startswith(SENTINEL):
        return redis.Redis.from_url(url, **options)
    urls, _, query = url.partition("?")
    asked = dict(parse_qsl(query))
    parts = [urlsplit(one.strip()) for one in urls.split(";")]
    sentinels = [(one.hostname or "", one.port or SENTINEL_PORT) for one in parts]
    first = parts[0]
    named = {"username": first.username, "password": first.password}
    credentials = {name: unquote(value) for name, value in named.items() if value}
    sentinel: Any = Sentinel  # redis-py leaves it without types
    manager = sentinel(sentinels, sentinel_kwargs=sentinel_options(asked.get("password")))
    found: redis.Redis = manager.master_for(
        asked["master"], db=int(first.path.strip("/") or 0), **credentials, **options
    )
    return found
