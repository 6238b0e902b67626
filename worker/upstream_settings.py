"""What is set for each upstream: its address and credentials, and the limits that hold over all workers."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

LEAST_SLACK = timedelta(seconds=2)
"""Between an upstream's time-out and the end of our lease there is time to write the answer down."""


def _base_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("must be a URL such as https://host/path")
    if parts.query or parts.fragment:
        raise ValueError("must end before any ? or #")
    return value.rstrip("/")


BaseUrl = Annotated[str, AfterValidator(_base_url)]
Seconds = Annotated[float, Field(ge=0)]
PositiveSeconds = Annotated[float, Field(gt=0)]


class UpstreamSettings(BaseSettings):
    """Limits of one upstream, over all workers. Durations are in seconds in the environment."""

    model_config = SettingsConfigDict(extra="ignore", env_ignore_empty=True)

    max_in_flight: int = Field(default=50, ge=1)
    rate: float = Field(default=50, gt=0)  # orders a second
    timeout: PositiveSeconds = 30
    settling: Seconds = 60
    callback_deadline: PositiveSeconds = 300  # AVANSER takes 7 minutes on average; to look sooner costs one question

    needs: ClassVar[tuple[str, ...]] = ()
    """The credentials without which nothing can be ordered there."""

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


UPSTREAMS: dict[str, type[UpstreamSettings]] = {
    "avanser": AvanserSettings,
    "telmetrics": TelmetricsSettings,
    "messagemedia": MessageMediaSettings,
}
