"""Settings, from the environment, a `.env` file and files of secrets: read once at the start, all faults named
together."""

from __future__ import annotations

import enum
import os
import secrets
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import parse_qsl, urlencode, urlsplit

import platformdirs
from pydantic import AfterValidator, BeforeValidator, Field, FilePath, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from models import spending
from models.requester import DEFAULT_REQUESTER, Scope
from models.sealed import Keyring
from worker import redis_client, secret_files
from worker.embedded import EmbeddedBroker
from worker.upstream_settings import (
    UPSTREAMS,
    BaseUrl,
    Network,
    PositiveSeconds,
    Seconds,
    UpstreamSettings,
    networks,
)

DATABASE_SCHEMES = ("postgresql+psycopg", "sqlite")
BROKER_SCHEMES = ("redis", "rediss", "sentinel", "amqp", "amqps", "redis+socket")
REDIS_SCHEMES = ("redis", "rediss", "unix", "sentinel")

SENTINELS_FORM = "sentinel://:PASSWORD@HOST:26379/0;sentinel://:PASSWORD@HOST2:26379/0"

RUNNING = "running.env"
"""In the home folder while `trunkline up` runs there: what it set for its processes, so that a command in another
terminal (`submit`, `endpoints create`) sees the same upstreams and addresses."""

SHORTEST_SECRET = 32
"""Characters: 32 of base64 or hex are at least 128 bits, the least that a callback token may rest on."""

STANDARD_WEBHOOKS_SCHEDULE = (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
"""Seconds between tries of one result, over about three days (Standard Webhooks, "Deliverability and reliability")."""


class LogFormat(enum.StrEnum):
    """How a line of the log is written."""

    JSON = "json"
    CONSOLE = "console"


class LogLevel(enum.StrEnum):
    """The least grave lines that are written, in the words of Python's `logging`."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"
    CRITICAL = "CRITICAL"


class SettingsError(Exception):
    """One or more settings are missing or wrong. The message names each, a line for one."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


def _one_of(*schemes: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if urlsplit(value).scheme not in schemes:
            raise ValueError(f"must begin with one of {', '.join(f'{scheme}://' for scheme in schemes)}")
        if value.startswith(redis_client.SENTINEL) and not all(map(_is_sentinel, value.split(";"))):
            raise ValueError(f"must be {SENTINELS_FORM}, and no query")
        return value

    return check


def _is_sentinel(url: str) -> bool:
    parts = urlsplit(url.strip())
    is_database = (parts.path.strip("/") or "0").isdecimal()
    return parts.scheme == "sentinel" and bool(parts.hostname) and is_database and not parts.query


def _keys_of(secret: SecretStr) -> list[str]:
    return [part.strip() for part in secret.get_secret_value().split(",") if part.strip()]


def _long_keys(secret: SecretStr) -> SecretStr:
    keys = _keys_of(secret)
    if not keys or any(len(key) < SHORTEST_SECRET for key in keys):
        raise ValueError(f"each key needs at least {SHORTEST_SECRET} characters")
    return secret


def _proxy(secret: SecretStr) -> SecretStr:
    parts = urlsplit(secret.get_secret_value())
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError("must be a URL such as http://proxy:3128")
    return secret


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


def _seconds_list(value: Any) -> Any:
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


def _names(value: Any) -> Any:
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def _default_home() -> Path:
    return Path(platformdirs.user_data_dir("trunkline"))


class _Environment(BaseSettings):
    """The variables that belong to no upstream, as they stand in the environment."""

    model_config = SettingsConfigDict(env_prefix="TRUNKLINE_", extra="ignore", env_ignore_empty=True)

    home: Path = Field(default_factory=_default_home)
    database_url: Annotated[str, AfterValidator(_one_of(*DATABASE_SCHEMES))] | None = Field(default=None, repr=False)
    broker_url: Annotated[str, AfterValidator(_one_of(*BROKER_SCHEMES))] | None = Field(default=None, repr=False)
    redis_url: Annotated[str, AfterValidator(_one_of(*REDIS_SCHEMES))] | None = Field(default=None, repr=False)
    sentinel_master: str = Field(default="mymaster", min_length=1)  # the name by which the Sentinels know it
    sentinel_password: SecretStr | None = None  # of the Sentinels themselves
    broker_ca: FilePath | None = None  # PEM
    broker_cert: FilePath | None = None  # PEM, ours
    broker_key: FilePath | None = None
    public_url: BaseUrl = "http://127.0.0.1:8080"
    secret_key: Annotated[SecretStr, AfterValidator(_long_keys)] | None = None
    max_attempts: int = Field(default=20, ge=1)
    backoff_base: PositiveSeconds = 2
    backoff_cap: PositiveSeconds = 600
    delivery_backoff: Annotated[list[Seconds], NoDecode, BeforeValidator(_seconds_list), Field(min_length=1)] = list(
        STANDARD_WEBHOOKS_SCHEDULE
    )
    delivery_timeout: PositiveSeconds = 15
    stock_interval: PositiveSeconds = 60
    max_numbers_per_day: int | None = Field(default=None, ge=0)
    default_deadline: PositiveSeconds = 7 * 86400
    release_delay: Seconds = 3600
    reconcile_interval: Seconds = 86400
    pause_after_failover: bool = True  # until a person has compared the books
    calls_kept_for: int = Field(default=365, ge=0)
    history_kept_for: int = Field(default=0, ge=0)  # days, for `trunkline prune`; 0: it must be told
    callers_shown_to: Scope = Scope.READ
    queue_requesters: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_names)] = (DEFAULT_REQUESTER,)
    rate_limit: Annotated[int, Field(ge=0)] = 60_000  # requests a minute that one key may make; 0: any number
    access_log: bool = False
    log_format: LogFormat | None = None  # for people on a terminal, else JSON
    log_level: Annotated[LogLevel, BeforeValidator(_upper)] = LogLevel.INFO
    task_events: bool = False  # whether workers tell Celery's monitors, such as Flower, of each task
    allow_private_destinations: bool = False
    egress_proxy: Annotated[SecretStr, AfterValidator(_proxy)] | None = None
    trusted_proxies: int = Field(default=0, ge=0, le=10)
    console: bool = True  # whether the receiver serves it too; `trunkline console` does in any case
    console_user_header: str | None = None  # such as X-Forwarded-User: who a proxy says has signed in there
    console_user_from: Annotated[tuple[Network, ...], NoDecode, BeforeValidator(networks)] = ()  # those proxies
    callbacks_open_for: float = Field(default=7, gt=0, le=3650)  # days


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings, checked, with what is derived from them. `repr` shows no secret."""

    environment: _Environment
    upstreams: Mapping[str, UpstreamSettings]
    database_url: str = field(repr=False)  # each of these may hold a password
    broker_url: str = field(repr=False)
    redis_url: str | None = field(repr=False)
    secret_keys: tuple[SecretStr, ...]

    @property
    def home(self) -> Path:
        return self.environment.home

    @property
    def public_url(self) -> str:
        return self.environment.public_url

    @property
    def keyring(self) -> Keyring:
        """What seals and opens the secrets in the database."""
        return Keyring([key.get_secret_value() for key in self.secret_keys])

    @property
    def amqp_tls(self) -> dict[str, Any] | None:
        """How the broker's certificate is proved and ours is shown, in py-amqp's words; None where there is no TLS.

        `server_hostname` None has kombu put the host there, without which its name would not be compared.
        """
        if not self.broker_url.startswith("amqps://"):
            return None
        files = {"ca_certs": self.environment.broker_ca, "certfile": self.environment.broker_cert}
        files |= {"keyfile": self.environment.broker_key}
        given = {name: str(path) for name, path in files.items() if path is not None}
        return {"cert_reqs": ssl.CERT_REQUIRED, "server_hostname": None} | given

    @property
    def broker_as_redis(self) -> str | None:
        """The broker for `worker.redis_client.connect`; None where it is no Redis or Valkey."""
        url = _redis_of(self.broker_url)
        return None if url is None else _for_client(url, self.environment)

    @property
    def sentinel_options(self) -> dict[str, Any]:
        """What kombu is told beside a broker of `sentinel://`, in its words."""
        secret = self.environment.sentinel_password
        password = None if secret is None else secret.get_secret_value()
        how = {"sentinel_kwargs": redis_client.sentinel_options(password)}
        return {"master_name": self.environment.sentinel_master} | how

    @property
    def egress_proxy(self) -> str | None:
        """The URL of the proxy that results go through; it may hold a password."""
        secret = self.environment.egress_proxy
        return None if secret is None else secret.get_secret_value()

    @property
    def is_embedded_broker(self) -> bool:
        return self.environment.broker_url is None

    @property
    def ceilings(self) -> Mapping[str, int]:
        """The spending limits, by subject (`models.spending`); empty where none is set."""
        found = {spending.EVERYWHERE: self.environment.max_numbers_per_day}
        for name, one in self.upstreams.items():
            found[spending.of_upstream(name)] = one.max_numbers_per_day
            found |= {spending.of_class(name, which): limit for which, limit in one.class_limits.items()}
        return {subject: limit for subject, limit in found.items() if limit is not None}

    def missing_for(self, upstream: str) -> list[str]:
        """The variables that must be set before anything can be ordered there; empty when all are."""
        return self.upstreams[upstream].missing()


def load() -> Settings:
    """Read and check everything. Makes the home folder and, for the embedded default, its secret key.

    Raises SettingsError, which names every fault.
    """
    faults: list[str] = []
    files = _files()
    environment = _read(_Environment, files, faults)
    upstreams = {name: _read(kind, files, faults) for name, kind in UPSTREAMS.items()}
    for name, upstream in upstreams.items():
        if upstream is not None and upstream.is_half_set():
            faults += [f"{variable}: not set, but other credentials of {name} are" for variable in upstream.missing()]
    if environment is None:
        raise SettingsError(faults)
    if environment.broker_key is not None and environment.broker_cert is None:
        faults.append("TRUNKLINE_BROKER_CERT: not set, but TRUNKLINE_BROKER_KEY is")
    if environment.console_user_header is not None and not environment.console_user_from:
        faults.append(
            "TRUNKLINE_CONSOLE_USER_FROM: not set, but TRUNKLINE_CONSOLE_USER_HEADER is; anybody could send that header"
        )
    keys = _secret_keys(environment, faults)
    if faults:
        raise SettingsError(faults)
    broker = EmbeddedBroker(environment.home / "broker")
    broker_url = environment.broker_url or broker.broker_url
    redis_url = environment.redis_url or _redis_of(broker_url)
    return Settings(
        environment=environment,
        upstreams={name: upstream for name, upstream in upstreams.items() if upstream is not None},
        database_url=environment.database_url or f"sqlite:///{environment.home.absolute() / 'trunkline.db'}",
        broker_url=_with_tls(broker_url, environment),
        redis_url=None if redis_url is None else _for_client(redis_url, environment),
        secret_keys=keys,
    )


S = TypeVar("S", bound=BaseSettings)


class _Home(BaseSettings):
    model_config = SettingsConfigDict(env_prefix="TRUNKLINE_", env_file=".env", extra="ignore", env_ignore_empty=True)

    home: Path = Field(default_factory=_default_home)


def _files() -> tuple[Path, ...]:
    """The files to read, the stronger one last; the environment is stronger than both."""
    return (_Home().home / RUNNING, Path(".env"))


def _read(kind: type[S], files: tuple[Path, ...], faults: list[str]) -> S | None:
    prefix = kind.model_config.get("env_prefix", "")
    in_files = secret_files.read(kind, secret_files.sources(files), faults)
    try:
        return kind(_env_file=files, **in_files)
    except ValidationError as error:
        for one in error.errors(include_url=False, include_input=False):
            path = "".join(str(part) for part in one["loc"][:1])
            variable = f"{prefix}{path.upper()}{secret_files.SUFFIX if path in in_files else ''}"
            faults.append(f"{variable}: {one['msg'].removeprefix('Value error, ')}")
        return None


def _secret_keys(environment: _Environment, faults: list[str]) -> tuple[SecretStr, ...]:
    if environment.secret_key is None:
        if environment.database_url is not None and environment.database_url.startswith("postgresql"):
            faults.append(
                "TRUNKLINE_SECRET_KEY: not set; with PostgreSQL every process needs the same one"
                " (make one: python3 -c 'import secrets; print(secrets.token_urlsafe(32))')"
            )
            return ()
        try:
            return (_key_in(environment.home),)
        except OSError as error:
            faults.append(
                f"TRUNKLINE_HOME: {environment.home} cannot be used: {(error.strerror or str(error)).lower()}"
            )
            return ()
    return tuple(SecretStr(key) for key in _keys_of(environment.secret_key))


def _key_in(home: Path) -> SecretStr:
    """The home folder's own key, made at the first start. Readable by its owner alone from its first moment."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = home / "secret.key"
    fresh = home / f"secret.key.{os.getpid()}"
    if not path.exists():
        descriptor = os.open(fresh, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(secrets.token_urlsafe(32))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(fresh, path)  # fails where another process was quicker: then its key counts
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return SecretStr(path.read_text().strip())


def _with_tls(url: str, environment: _Environment) -> str:
    """A `rediss://` URL with how its certificate is proved and ours is shown. What the URL says itself counts.

    In the URL, since both who read it, kombu and redis-py, know these words there. Proved it is in any case.
    """
    parts = urlsplit(url)
    if parts.scheme != "rediss":
        return url
    files = {"ssl_ca_certs": environment.broker_ca, "ssl_certfile": environment.broker_cert}
    files |= {"ssl_keyfile": environment.broker_key}
    given = {name: str(path) for name, path in files.items() if path is not None}
    query = {"ssl_cert_reqs": "required", "ssl_check_hostname": "true"} | given | dict(parse_qsl(parts.query))
    return parts._replace(query=urlencode(query)).geturl()


def _redis_of(broker_url: str) -> str | None:
    """Where limits live when nothing else is said: in the broker, where that is a Redis that redis-py can reach."""
    if broker_url.startswith("redis+socket://"):
        return "unix://" + broker_url.removeprefix("redis+socket://")
    return broker_url if urlsplit(broker_url).scheme in REDIS_SCHEMES else None


def _for_client(url: str, environment: _Environment) -> str:
    """As `worker.redis_client.connect` takes it."""
    if not url.startswith(redis_client.SENTINEL):
        return _with_tls(url, environment)
    secret = environment.sentinel_password
    return redis_client.at_sentinels(
        url, environment.sentinel_master, None if secret is None else secret.get_secret_value()
    )
