"""Asking a person to confirm what spends money or cannot be undone: by typing how many it is about."""

from __future__ import annotations

import sys

import click

from worker.cli.output import warn
from worker.cli.run import Refusal, wants_json
from worker.explain.explanation import Risk

NOTHING_DONE = "nothing was done"


def confirm(count: int, risk: Risk, *, is_sure: bool) -> None:
    """Return where it may be done: it is safe, or the person said --yes, or typed the count. Raises Refusal."""
    if is_sure or risk is Risk.SAFE:
        return
    if wants_json() or not sys.stdin.isatty():
        what = "cannot be undone" if risk is Risk.IRREVERSIBLE else "spends money"
        raise Refusal(f"{NOTHING_DONE}: it {what}. Look with --dry-run, then say --yes")
    typed = click.prompt(f"Type {count} to go on", default="", show_default=False, err=True)
    if typed.strip().replace(",", "") != str(count):
        raise Refusal(f"{NOTHING_DONE}: {typed.strip() or 'nothing'!r} was typed, and not {count}")
    warn("")
