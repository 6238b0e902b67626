"""Who sits at the keyboard: the name that history gets."""

from __future__ import annotations

import getpass


def actor() -> str:
    """`cli:alice`; `cli` alone where the machine knows no name for its user."""
    try:
        return f"cli:{getpass.getuser()}"
    except (KeyError, OSError):
        return "cli"
