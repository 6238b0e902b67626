"""`trunkline up`: everything, in the foreground."""

from __future__ import annotations

import click

from worker.cli.run import command
from worker.cli.stack import Address, AlreadyRunning, Stack, home_lock
from worker.settings import RUNNING, load
from worker.supervisor import Interrupted, StartFailed


@command("up")
@click.option("--sandbox", is_flag=True, help="with simulated upstreams: nothing is bought")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), default=8080, show_default=True)
@click.option("--workers", type=click.IntRange(1, 32), default=1, show_default=True, help="worker processes")
def up(*, sandbox: bool, host: str, port: int, workers: int) -> None:
    """Run everything on this machine until Ctrl-C.

    Uses an embedded database and broker in TRUNKLINE_HOME, or those that TRUNKLINE_DATABASE_URL and
    TRUNKLINE_BROKER_URL name.

    \b
    Examples:
      trunkline up
      trunkline up --sandbox --port 8081 --workers 2
    """
    try:
        home = load().home
        with home_lock(home):
            (home / RUNNING).unlink(missing_ok=True)  # of one that was killed
            _run(Stack(Address(host, port), workers, sandbox=sandbox, say=click.echo))
    except (AlreadyRunning, StartFailed) as error:
        raise click.ClickException(str(error)) from None
    except Interrupted:
        return


def _run(stack: Stack) -> None:
    stack.supervisor.stop_on_signals()
    try:
        stack.start()
        click.echo(f"ready {stack.address.url}")
        for warning in stack.warnings():
            click.echo(warning, err=True)
        stack.supervisor.watch()
    finally:
        click.echo("stopping")
        stack.stop()
        click.echo("stopped; what was under way goes on at the next start")
