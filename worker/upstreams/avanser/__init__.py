"""AVANSER's Telco API."""

from worker.upstreams.avanser.client import AvanserClient, AvanserDialect

__all__ = ["AvanserClient", "AvanserDialect"]
