"""The clients of the vendors, a package each, and what they have in common."""

from __future__ import annotations

from worker.settings import Settings, SettingsError
from worker.upstream_settings import AvanserSettings, MessageMediaSettings, TelmetricsSettings
from worker.upstreams.avanser import AvanserClient, AvanserDialect
from worker.upstreams.base import Dialect, Upstream
from worker.upstreams.messagemedia import MessageMediaClient, MessageMediaDialect
from worker.upstreams.telmetrics import TelmetricsClient, TelmetricsDialect

DIALECTS: dict[str, Dialect] = {
    "avanser": AvanserDialect(),
    "messagemedia": MessageMediaDialect(),
    "telmetrics": TelmetricsDialect(),
}
"""By upstream: what needs no connection."""


def make_client(name: str, settings: Settings) -> Upstream:
    """The client of an upstream. It connects at its first call, and belongs to the event loop of that call.

    Raises SettingsError, which names what is not set, and KeyError for an upstream that there is none of.
    """
    found = settings.upstreams[name]
    if missing := found.missing():
        raise SettingsError([f"{variable}: not set, and {name} cannot be asked without it" for variable in missing])
    match found:
        case AvanserSettings():
            return AvanserClient(found)
        case MessageMediaSettings():
            return MessageMediaClient(found)
        case TelmetricsSettings():
            return TelmetricsClient(found)
    raise KeyError(name)
