"""`trunkline export`: results as a file."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import BinaryIO

import click

from models.base import read
from worker.cli.database import database, requester_named
from worker.cli.references import the_batch
from worker.cli.run import Refusal, command, settings, wants_json
from worker.results import as_csv, as_ndjson


@command("export", answers=True)
@click.argument("batch", required=False)
@click.option("--format", "form", type=click.Choice(["csv", "ndjson"]), help="csv where nothing says otherwise")
@click.option(
    "--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="a file, instead of standard output"
)
@click.option("--requester", help="of this one only")
def export(*, batch: str | None, form: str | None, output: Path | None, requester: str | None) -> None:
    """Write the requests of a BATCH (id or name) in the order of its rows, or without one all, oldest first.

    `--json` is the same as `--format ndjson`. In CSV a cell that a spreadsheet would calculate has an apostrophe
    before it; phone numbers (+61…) stay as they are.
    """
    by_name = "ndjson" if output is not None and output.suffix in (".ndjson", ".jsonl") else "csv"
    write = as_ndjson if (form or ("ndjson" if wants_json() else by_name)) == "ndjson" else as_csv
    with database(settings()) as engine:
        batch_id = None if batch is None else read(engine, lambda session: the_batch(session, batch)).id
        owner = None if requester is None else requester_named(engine, requester).id
        with _opened(output) as file:
            file.writelines(write(engine, batch_id, owner))


def _opened(output: Path | None) -> AbstractContextManager[BinaryIO]:
    if output is None:
        return nullcontext(sys.stdout.buffer)
    try:
        return output.open("wb")
    except OSError as error:
        raise Refusal(f"{output}: {error.strerror}") from None
