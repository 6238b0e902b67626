"""What every peer's processes are told."""

from __future__ import annotations

from pydantic_settings import BaseSettings, SettingsConfigDict


class PeerSettings(BaseSettings):
    """From the environment, as `Peer.environment` sets it."""

    model_config = SettingsConfigDict(env_prefix="peer_")

    database_url: str
    redis_url: str
    avanser_url: str
    avanser_username: str
    avanser_password: str
    public_url: str
    secret: str
    deliver_to: str
    deliver_secret: str
    timeout: float = 3.0  # seconds, of one call to the upstream
