"""Telmetrics, version 3 and version 5."""

from worker.upstreams.telmetrics.client import TelmetricsClient, TelmetricsDialect

__all__ = ["TelmetricsClient", "TelmetricsDialect"]
