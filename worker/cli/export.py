"""`trunkline export`: results as a file; and what is kept of a caller."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, BinaryIO
from uuid import UUID

import click
from sqlalchemy.engine import Engine
from sqlalchemy.orm import Session

from models import act, personal
from models.base import read
from models.base import write as write_down
from models.clock import time_of
from worker.cli.actor import actor
from worker.cli.completing import batches
from worker.cli.database import database, requester_named
from worker.cli.references import caller_forms, masked_caller, the_batch
from worker.cli.run import Refusal, command, settings, wants_json
from worker.results import as_csv, as_ndjson


@command("export", answers=True)
@click.argument("batch", required=False, shell_complete=batches)
@click.option("--format", "form", type=click.Choice(["csv", "ndjson"]), help="csv where nothing says otherwise")
@click.option(
    "--output", "-o", type=click.Path(dir_okay=False, path_type=Path), help="a file, instead of standard output"
)
@click.option("--requester", help="of this one only")
@click.option("--caller", help="instead: all calls and messages from this number, in any format, as NDJSON")
def export(
    *, batch: str | None, form: str | None, output: Path | None, requester: str | None, caller: str | None
) -> None:
    """Write the requests of a BATCH (id or name) in the order of its rows, or without one all, oldest first.

    `--json` is the same as `--format ndjson`. In CSV a cell that a spreadsheet would calculate has an apostrophe
    before it; phone numbers (+61…) stay as they are.

    \b
    Examples:
      trunkline export dealers.csv -o results.csv
      trunkline export --format ndjson
    """
    if caller is not None and (batch is not None or form == "csv"):
        raise Refusal("--caller: what came from a number is of no batch, and is written as NDJSON alone")
    by_name = "ndjson" if output is not None and output.suffix in (".ndjson", ".jsonl") else "csv"
    write = as_ndjson if (form or ("ndjson" if wants_json() else by_name)) == "ndjson" else as_csv
    with database(settings()) as engine:
        batch_id = None if batch is None else read(engine, lambda session: the_batch(session, batch)).id
        owner = None if requester is None else requester_named(engine, requester).id
        with _opened(output) as file:
            if caller is None:
                file.writelines(write(engine, batch_id, owner))
            else:
                file.writelines(_from(engine, caller_forms(caller), owner))


def _from(engine: Engine, people: Sequence[str], owner: UUID | None) -> list[bytes]:
    def work(session: Session) -> list[dict[str, Any]]:
        found = list(personal.about(session, people, owner))
        told = {"rows": len(found)}
        act.record(session, actor(), "caller.export", masked_caller(people), time_of(session), data=told)
        return found

    rows = write_down(engine, work)
    return [json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in rows]


def _opened(output: Path | None) -> AbstractContextManager[BinaryIO]:
    if output is None:
        return nullcontext(sys.stdout.buffer)
    try:
        return output.open("wb")
    except OSError as error:
        raise Refusal(f"{output}: {error.strerror}") from None
