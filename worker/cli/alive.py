"""`trunkline alive`: whether the worker or relay of this container or unit makes progress."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from worker.alive import why_not

NOT_ALIVE = 1


# Without what `worker.cli.run` brings along, which is all of Celery: this runs every half minute in every container.
@click.command("alive")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def alive(file: Path) -> None:
    """Say whether the process that was started with `--alive-file FILE` makes progress: for probes.

    It does not where its loop has not turned for two minutes although the broker answers. Neither the broker nor the
    database being away makes it so: to begin anew would not mend that. It reads no settings.

    Exit status: 0 alive, 1 not.

    \b
    Arguments:
      FILE  the same as there

    \b
    Example: trunkline alive /tmp/worker.alive
    """
    if (reason := why_not(file)) is not None:
        click.echo(reason, err=True)
        sys.exit(NOT_ALIVE)
    click.echo("alive")
