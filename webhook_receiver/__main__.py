"""`python -m webhook_receiver`: the receiver as a process. `trunkline receiver` and `console` become this."""

from __future__ import annotations

import sys

import click
from sqlalchemy.exc import OperationalError

from models.migrations import SchemaOutOfDate
from webhook_receiver import Serves
from webhook_receiver.server import serve
from worker.app import WrongOrder
from worker.settings import SettingsError, load

BAD_USAGE = 2
NOT_REACHED = 3


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), default=8080, show_default=True)
@click.option("--processes", type=click.IntRange(1, 64), help="Default: one for SQLite, else one a core, at most 4.")
@click.option("--console", "is_console", is_flag=True, help="Serve the console alone.")
def main(host: str, port: int, processes: int | None, *, is_console: bool) -> None:
    """Serve the API, the callbacks and the documentation."""
    try:
        serve(load(), host, port, processes, Serves.CONSOLE if is_console else Serves.ALL)
    except (SettingsError, WrongOrder, SchemaOutOfDate) as error:
        click.echo(str(error), err=True)
        sys.exit(BAD_USAGE)
    except OperationalError:
        click.echo("the database of TRUNKLINE_DATABASE_URL does not answer", err=True)
        sys.exit(NOT_REACHED)


if __name__ == "__main__":
    main()
