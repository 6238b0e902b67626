"""MessageMedia's dedicated numbers."""

from worker.upstreams.messagemedia.client import MessageMediaClient, MessageMediaDialect

__all__ = ["MessageMediaClient", "MessageMediaDialect"]
