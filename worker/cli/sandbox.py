"""`trunkline sandbox`: the upstreams, simulated."""

from __future__ import annotations

from pathlib import Path

import click

from worker.cli.run import command
from worker.sandbox.app import serve


@command("sandbox")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=8090, show_default=True, help="0 takes a free one")
@click.option("--seed", type=int, default=1, show_default=True, help="of everything that is left to chance")
@click.option("--ledger", type=click.Path(dir_okay=False, path_type=Path), help="a file that keeps its books")
def sandbox(*, host: str, port: int, seed: int, ledger: Path | None) -> None:
    """Serve simulated upstreams until Ctrl-C: nothing is bought there.

    \b
    Example: trunkline sandbox
    """
    serve(host, port, seed=seed, ledger_path=ledger)
