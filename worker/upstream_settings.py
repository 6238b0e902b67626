"""What is set for each upstream: its address and credentials, and the limits that hold over all workers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, Any, ClassVar, Literal, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

LEAST_SLACK = timedelta(seconds=2)
"""Between an upstream's time-out and the end of our lease there is time to write the answer down."""


def _base_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be a URL such as https://host/path")
    if parts.query or parts.fragment:
        raise ValueError("must end before any ? or #")
    return value.rstrip("/")


Network = IPv4Network | IPv6Network


def networks(value: Any) -> Any:
    """Addresses and networks, comma-separated, as a tuple."""
    if not isinstance(value, str):
        return value
    try:
        return tuple(ip_network(part.strip()) for part in value.split(",") if part.strip())
    except ValueError as error:
        raise ValueError(f"must be addresses such as 203.0.113.0/24, comma-separated: {error}") from None


BaseUrl = Annotated[str, AfterValidator(_base_url)]
Seconds = Annotated[float, Field(ge=0)]
PositiveSeconds = Annotated[float, Field(gt=0)]


PriceClass = Literal["BRONZE", "SILVER", "GOLD"]
"""MessageMedia's, the cheapest first."""

Limit = Annotated[int, Field(ge=0)]


def _by_class(value: Any) -> Any:
    """`GOLD=0,SILVER=10` as a dictionary."""
    if not isinstance(value, str):
        return value
    found: dict[str, str] = {}
    for part in value.split(","):
        name, equals, limit = (word.strip() for word in part.partition("="))
        if not equals or name not in get_args(PriceClass) or not limit.isdecimal():
            classes = ", ".join(get_args(PriceClass))
            raise ValueError(f"{part.strip()!r} is not CLASS=NUMBER, as GOLD=0,SILVER=10; classes: {classes}")
        if name in found:
            raise ValueError(f"{name} stands there twice")
        found[name] = limit
    return found


class UpstreamSettings(BaseSettings):
    """Limits of one upstream, over all workers. Durations are in seconds in the environment."""

    model_config = SettingsConfigDict(extra="ignore", env_ignore_empty=True)

    max_in_flight: int = Field(default=50, ge=1)
    rate: float = Field(default=50, gt=0)  # orders a second
    timeout: PositiveSeconds = 30
    settling: Seconds = 60
    max_numbers_per_day: int | None = Field(default=None, ge=0)  # bought, in a day of UTC; None: any number
    callback_deadline: PositiveSeconds = 300  # AVANSER takes 7 minutes on average; to look sooner costs one question

    callbacks_from: Annotated[tuple[Network, ...], NoDecode, BeforeValidator(networks)] = ()  # empty: from anywhere
    verify_callbacks: bool = False

    needs: ClassVar[tuple[str, ...]] = ()
    """The credentials without which nothing can be ordered there."""

    @property
    def class_limits(self) -> Mapping[str, int]:
        """The most numbers a day by the vendor's own price class, where it has any."""
        return {}

    def missing(self) -> list[str]:
        """The variables of credentials that are not set."""
        prefix = self.model_config.get("env_prefix", "")
        return [f"{prefix}{name.upper()}" for name in self.needs if getattr(self, name) is None]

    def is_half_set(self) -> bool:
        """Whether some of the credentials are set and some are not: a mistake, where none of them is a choice."""
        return 0 < len(self.missing()) < len(self.needs)

    @property
    def answer_within(self) -> timedelta:
        return timedelta(seconds=self.timeout)

    @property
    def settles_within(self) -> timedelta:
        return timedelta(seconds=self.settling)

    @property
    def called_back_within(self) -> timedelta:
        return timedelta(seconds=self.callback_deadline)

    @property
    def slack(self) -> timedelta:
        return max(LEAST_SLACK, self.answer_within / 2)

    @property
    def lease(self) -> timedelta:
        """How long a claimed request is ours: time-out, settling time, and time to write the answer down."""
        return self.answer_within + self.settles_within + self.slack

    @property
    def call_limit(self) -> timedelta:
        """After this a call has ended, answered or not: a permit of a process that died is free again."""
        return self.answer_within + self.slack

    @property
    def task_limit(self) -> timedelta:
        """When Celery kills a child that hangs: shortly before the lease ends; most that take long are slow."""
        return self.lease - self.slack / 2


class AvanserSettings(UpstreamSettings):
    model_config = SettingsConfigDict(env_prefix="TRUNKLINE_AVANSER_")
    needs = ("username", "password", "account_id")

    url: BaseUrl = "https://tapi.avanser.com/v1"
    username: str | None = None
    password: SecretStr | None = None
    account_id: str | None = None


class TelmetricsSettings(UpstreamSettings):
    model_config = SettingsConfigDict(env_prefix="TRUNKLINE_TELMETRICS_")
    needs = ("token",)

    url: BaseUrl = "https://api.telmetrics.com/v3/api"
    token: SecretStr | None = None
    subscription_key: SecretStr | None = None


class MessageMediaSettings(UpstreamSettings):
    model_config = SettingsConfigDict(env_prefix="TRUNKLINE_MESSAGEMEDIA_")
    needs = ("key", "secret")

    url: BaseUrl = "https://api.messagemedia.com/v1/messaging/numbers/dedicated"
    key: SecretStr | None = None
    secret: SecretStr | None = None
    auth: Literal["basic", "hmac"] = "basic"
    max_per_day_by_class: Annotated[dict[PriceClass, Limit], NoDecode, BeforeValidator(_by_class)] = Field(
        default_factory=dict
    )

    @property
    def class_limits(self) -> Mapping[str, int]:
        return {str(name): limit for name, limit in self.max_per_day_by_class.items()}


UPSTREAMS: dict[str, type[UpstreamSettings]] = {
    "avanser": AvanserSettings,
    "telmetrics": TelmetricsSettings,
    "messagemedia": MessageMediaSettings,
}
