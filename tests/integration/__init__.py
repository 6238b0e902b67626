"""Tests against real databases and brokers."""
