"""The clients of the vendors, one file each, and what they have in common."""

from __future__ import annotations

from worker.settings import Settings, SettingsError
from worker.upstreams.avanser import AvanserClient, AvanserDialect
from worker.upstreams.base import Dialect, Upstream

DIALECTS: dict[str, Dialect] = {"avanser": AvanserDialect()}
"""By upstream: what needs no connection."""


def make_client(name: str, settings: Settings) -> Upstream:
    """The client of an upstream. It connects at its first call, and belongs to the event loop of that call.

    Raises SettingsError, which names what is not set, and KeyError for an upstream that there is none of.
    """
    client = {"avanser": AvanserClient}[name]
    if missing := settings.missing_for(name):
        raise SettingsError([f"{variable}: not set, and {name} cannot be asked without it" for variable in missing])
    return client(settings.avanser)
