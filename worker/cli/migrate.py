"""`trunkline migrate`: bring the database's schema up to date."""

from __future__ import annotations

import sys

import click

from models.migrations import current, head, upgrade
from worker.cli.database import shown_url
from worker.cli.output import say, say_json
from worker.cli.run import FAILURES, command, settings, wants_json


@command("migrate", answers=True)
@click.option("--check", is_flag=True, help="change nothing; exit status 1 where the schema is not current")
def migrate(*, check: bool) -> None:
    """Bring the database's schema to what this release needs. Harmless when it is there already.

    \b
    Example: trunkline migrate
    """
    configured = settings()
    if configured.database_url.startswith("sqlite"):
        configured.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    before = current(configured.database_url)
    if not check:
        upgrade(configured.database_url)
    now = current(configured.database_url)
    if wants_json():
        say_json({"before": before, "now": now, "needed": head(), "is_current": now == head()})
    else:
        found = now or "empty"
        say(f"{shown_url(configured)} is at {found}" + (", as needed." if now == head() else f"; needed is {head()}."))
    if now != head():
        sys.exit(FAILURES)
