"""`trunkline doctor`: whether everything is as it must be, and what to do where it is not."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click

from worker.cli.checks import FAULT, Check, check_all
from worker.cli.output import say_json, say_table
from worker.cli.run import BAD_INPUT, command, settings, wants_json
from worker.settings import SettingsError


@command("doctor", answers=True)
@click.option("--offline", is_flag=True, help="ask no upstream")
def doctor(*, offline: bool) -> None:
    """Check settings, database, broker, credentials and accounts.

    Exit status: 3 where something does not answer, 2 for any other fault, 0 for none.

    \b
    Examples:
      trunkline doctor
      trunkline doctor --offline
    """
    try:
        checks = list(check_all(settings(), ask_upstreams=not offline))
    except SettingsError as error:
        checks = [Check("settings", FAULT, fault, "mend the environment or .env", BAD_INPUT) for fault in error.faults]
    if wants_json():
        say_json({"ok": not _status(checks), "checks": [_view(check) for check in checks]})
    else:
        rows = [(check.what, check.state, check.detail, check.remedy) for check in checks]
        say_table(("what", "state", "detail", "what to do"), rows, folding=2)
    sys.exit(_status(checks))


def _status(checks: list[Check]) -> int:
    return max((check.status for check in checks), default=0)


def _view(check: Check) -> dict[str, object]:
    return {name: value for name, value in asdict(check).items() if name != "status"}
