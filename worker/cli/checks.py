"""The checks of `trunkline doctor`: each looks at one thing and says what is wrong and what to do."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

import redis
from kombu.exceptions import OperationalError as BrokerAway
from redis.backoff import NoBackoff
from redis.retry import Retry
from sqlalchemy import inspect
from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError

from models import outage, partitioning
from models import upstream as switches
from models.base import make_engine, read, rfc3339, utc_now, write
from models.heartbeat import beat
from models.migrations import SchemaOutOfDate, require_current
from models.resealing import survey
from worker import redis_client
from worker.app import app, configure
from worker.cli.database import shown_url
from worker.cli.liveness import why_idle
from worker.cli.run import BAD_INPUT, UNREACHABLE
from worker.embedded import BrokerMissing, EmbeddedBroker
from worker.settings import Settings
from worker.upstreams import DIALECTS, make_client
from worker.upstreams.base import Misconfigured, Unavailable, WrongAccount

PATIENCE = timedelta(seconds=10)
"""How long an upstream may take to answer the one question it is asked."""

ROOM = partitioning.AHEAD / 2
"""Of partitions ahead. The relay makes twice as many."""

QUICK = 3
"""Seconds that the broker may take."""

OK, NOTE, FAULT = "ok", "note", "fault"


@dataclass(frozen=True, slots=True)
class Check:
    """What was looked at, how it is, and what to do about it. `status` is the exit status that a fault calls for."""

    what: str
    state: str
    detail: str
    remedy: str | None = None
    status: int = 0


def _fault(what: str, detail: str, remedy: str, status: int = BAD_INPUT) -> Check:
    return Check(what, FAULT, detail, remedy, status)


def check_all(settings: Settings, *, ask_upstreams: bool) -> Iterator[Check]:
    yield Check("settings", OK, "read, none is wrong")
    yield _secret_key(settings)
    engine = make_engine(settings.database_url, keyring=settings.keyring)
    try:
        database = _database(engine, settings)
        yield database
        yield broker(settings)
        yield from _limits(settings)
        yield _public_url(settings)
        for name in sorted(DIALECTS):
            yield _upstream(name, settings, ask=ask_upstreams)
        if database.state == OK:
            yield _secrets(engine, settings)
            yield from check_partitions(engine)
            yield from _pauses(engine)
            yield from _endpoints(engine)
            yield _worker(engine, settings)
    finally:
        engine.dispose()


def _secret_key(settings: Settings) -> Check:
    if settings.environment.secret_key is not None:
        return Check("secret key", OK, f"{len(settings.secret_keys)} from TRUNKLINE_SECRET_KEY")
    path = settings.home / "secret.key"
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & 0o077:
        return _fault("secret key", f"{path} can be read by others (mode {mode:04o})", f"chmod 600 {path}")
    return Check("secret key", OK, f"in {path}")


def _secrets(engine: Engine, settings: Settings) -> Check:
    counts = survey(engine, settings.keyring)
    if counts.unopened:
        detail = f"{counts.unopened} open with no key in TRUNKLINE_SECRET_KEY: what they sign is not sent"
        return _fault("secrets", detail, "add the key that they had, or rotate them (trunkline endpoints rotate)")
    if counts.sealed:
        detail = f"{counts.sealed} are not sealed under the first key of TRUNKLINE_SECRET_KEY"
        return Check("secrets", NOTE, detail, "trunkline keys rotate")
    return Check("secrets", OK, f"{counts.current} in the database, all sealed under the first key")


def _database(engine: Engine, settings: Settings) -> Check:
    url = shown_url(settings)
    try:
        require_current(engine)
    except SchemaOutOfDate as error:
        if settings.environment.database_url is None and not inspect(engine).get_table_names():
            return Check("database", NOTE, f"{url} is new", "the first command makes its tables")
        return _fault("database", f"{url}: {error}", "trunkline migrate")
    except DBAPIError as error:
        reason = str(error.orig).strip().partition("\n")[0]
        remedy = "start it, or mend TRUNKLINE_DATABASE_URL"
        return _fault("database", f"{url} does not answer: {reason}", remedy, UNREACHABLE)
    try:
        write(engine, lambda session: beat(session, "doctor", utc_now()))
    except DBAPIError as error:
        reason = str(error.orig).strip().partition("\n")[0]
        remedy = "give its disk room, or see who made it read-only; what it cannot take now is sent again"
        return _fault("database", f"{url} takes nothing: {reason}", remedy, UNREACHABLE)
    return Check("database", OK, f"{url}, its schema is current, and it takes what is written")


def check_partitions(engine: Engine) -> Iterator[Check]:
    """That divided tables have room for the month to come; nothing where none is divided."""
    for table in partitioning.TABLES:
        found = read(engine, lambda session, table=table: partitioning.of(session, table))  # type: ignore[misc]
        if not found:
            continue
        what, end = f"partitions of {table}", found[-1].upper
        if end is not None and end < utc_now() + ROOM:
            remedy = "see that a relay runs, or run `trunkline partition`"
            yield _fault(what, f"none from {rfc3339(end)} on: then nothing more can be written", remedy)
        else:
            yield Check(what, OK, f"{len(found)}, until {rfc3339(end) if end is not None else 'the end of time'}")


def broker(settings: Settings) -> Check:
    if settings.is_embedded_broker:
        return _embedded_broker(settings)
    as_redis = settings.broker_as_redis
    if as_redis is not None:
        return _redis("broker", as_redis)
    scheme = urlsplit(settings.broker_url).scheme
    configure(settings)
    try:
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, interval_start=0, interval_step=0, timeout=QUICK)
    except (BrokerAway, OSError) as error:
        return _fault("broker", f"{scheme}: {error}", "start it, or mend TRUNKLINE_BROKER_URL", UNREACHABLE)
    return Check("broker", OK, f"{scheme}: answers")


def _embedded_broker(settings: Settings) -> Check:
    broker = EmbeddedBroker(settings.home / "broker")
    if broker.is_ready():
        return _redis("broker", broker.redis_url)
    try:
        broker.command()
    except (BrokerMissing, PermissionError) as error:
        return _fault("broker", str(error), "set TRUNKLINE_BROKER_URL")
    return Check("broker", NOTE, "embedded, not running", "`trunkline up` starts it")


def _redis(what: str, url: str) -> Check:
    host = _hosts(url)
    patience = {"socket_timeout": QUICK, "socket_connect_timeout": QUICK}
    with redis_client.connect(url, retry=Retry(NoBackoff(), 0), **patience) as client:
        try:
            client.ping()
        except redis.RedisError as error:
            remedy = "start it, or mend its URL in the settings"
            return _fault(what, f"Redis at {host} does not answer: {error}", remedy, UNREACHABLE)
        try:
            policy = client.config_get("maxmemory-policy").get("maxmemory-policy")
        except redis.RedisError:
            return Check(what, NOTE, f"Redis at {host} answers", "make sure that maxmemory-policy is noeviction")
    if policy != "noeviction":
        detail = f"Redis at {host} may drop queues: maxmemory-policy is {policy}"
        return _fault(what, detail, "CONFIG SET maxmemory-policy noeviction, and in its configuration")
    return Check(what, OK, f"Redis at {host} answers, and drops nothing (noeviction)")


def _hosts(url: str) -> str:
    if not url.startswith(redis_client.SENTINEL):
        return urlsplit(url).hostname or urlsplit(url).path
    urls, _, _ = url.partition("?")
    return "the Sentinels at " + ", ".join(urlsplit(one.strip()).hostname or "" for one in urls.split(";"))


def _limits(settings: Settings) -> Iterator[Check]:
    """Where limits are shared, where that is not the broker."""
    if settings.redis_url is None:
        yield Check("limits", NOTE, "hold in each process alone", "set TRUNKLINE_REDIS_URL to share them")
    elif settings.environment.redis_url is not None:
        yield _redis("limits", settings.redis_url)


def _public_url(settings: Settings) -> Check:
    used = [name for name in sorted(DIALECTS) if not settings.missing_for(name) and not _is_here(_url(settings, name))]
    if _is_here(settings.public_url) and used:
        detail = f"{settings.public_url} cannot be reached by {', '.join(used)}: no callback will come"
        return _fault("public URL", detail, "set TRUNKLINE_PUBLIC_URL to where the receiver is reached from outside")
    if used and not settings.public_url.startswith("https://"):
        return Check("public URL", NOTE, f"{settings.public_url} is not https", "tokens in it can be read on the way")
    return Check("public URL", OK, settings.public_url)


def _is_here(url: str) -> bool:
    """Whether this address is only of this machine, as the sandbox's is."""
    return urlsplit(url).hostname in {"127.0.0.1", "::1", "localhost"}


def _url(settings: Settings, name: str) -> str:
    return str(settings.upstreams[name].model_dump(include={"url"})["url"])


def _upstream(name: str, settings: Settings, *, ask: bool) -> Check:
    missing = settings.missing_for(name)
    if missing:
        detail, remedy = f"not set: {', '.join(missing)}", "set them to order there"
        is_any_set = any(not settings.missing_for(other) for other in DIALECTS)
        return Check(name, NOTE, detail, remedy) if is_any_set else _fault(name, detail, remedy)
    if not ask:
        return Check(name, OK, "its credentials are set; it was not asked")
    try:
        asyncio.run(_ask(name, settings))
    except Misconfigured as error:
        return _fault(name, str(error), f"mend the credentials (TRUNKLINE_{name.upper()}_…)")
    except WrongAccount as error:
        return _fault(name, str(error), "mend the account: nothing may be bought on another one")
    except Unavailable as error:
        return _fault(name, str(error), "see whether it is down, and what its URL is", UNREACHABLE)
    return Check(name, OK, "answers, for our account")


async def _ask(name: str, settings: Settings) -> None:
    client = make_client(name, settings)
    try:
        await client.check_access(PATIENCE)
    finally:
        await client.close()


def _pauses(engine: Engine) -> Iterator[Check]:
    for pause in read(engine, switches.pauses):
        is_all = pause.upstream == switches.ALL
        name, which, be = ("upstreams", "--all", "all are") if is_all else (pause.upstream, pause.upstream, "is")
        detail = f"{be} paused since {pause.paused_at:%Y-%m-%d %H:%M} UTC ({pause.reason}): {pause.detail}"
        yield Check(name, NOTE, detail, f"trunkline upstream resume {which}")


def _endpoints(engine: Engine) -> Iterator[Check]:
    for row in read(engine, outage.of_endpoints):
        if row.is_open:
            detail = (
                f"{row.endpoint_id} is {row.health()}: nothing but failures since {row.began_at:%Y-%m-%d %H:%M} UTC"
            )
            remedy = "tell its owner; what waits goes out by itself when it answers"
            yield Check("endpoint", NOTE, f"{detail}, the last: {row.error}", remedy)


def _worker(engine: Engine, settings: Settings) -> Check:
    idle = why_idle(engine, settings)
    if idle is not None:
        return Check("worker", NOTE, idle)
    return Check("worker", OK, "broker, relay and worker were heard of within the last seconds")
