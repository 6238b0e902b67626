"""The table of the matrix: verdicts as they come, one JSON line each, and a page made of them.

    python -m tests.chaos.report verdicts.jsonl

Of a fault that was tried again the last verdict counts.

`make chaos` does both, and writes `deploy/proof.md`.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.chaos.judge import INVARIANTS, Verdict

PAGE = """# What was done to it, and what came of it

Made by `make chaos`, which takes some hours on two cores: real processes (workers, relay, receiver, PostgreSQL,
Redis or RabbitMQ), real signals, simulated telcos and a simulated requester. Ran on {machine}.

Not our database judges but the telcos' own ledger of orders and the requester's log of what reached it. Each column
is how many requests broke one promise:

{invariants}

*Held* is the share that waits for a person, with a reason. *Drain* is how long after the end of the fault a request
ended that was open then; *goes on after* is when the first thing happened after it. Where nothing was seen in n
requests the rate is, with 95 % confidence, *below* 3/n. Lines in italics are a plain Celery and Flask program
([its code](../tests/bench/peers/plain/app.py)) under the same kills.

{table}"""


def record(path: Path, test: str, verdict: Verdict) -> None:
    """Append a verdict that this test (its node id) came to; several processes may do so at once."""
    with path.open("a") as file:
        file.write(json.dumps({"test": test} | verdict.as_dict()) + "\n")


def table(rows: Iterable[Mapping[str, Any]]) -> str:
    """Markdown, a line for each verdict."""
    head = (
        "fault",
        "requests",
        "faults",
        *INVARIANTS,
        "held",
        "drain p50 / p99",
        "goes on after",
        "below",
        "seed",
        "beside",
    )
    lines = [_line(head), _line(["---"] * len(head))]
    lines += [_line(_cells(row)) for row in rows]
    return "\n".join(lines) + "\n"


def _cells(row: Mapping[str, Any]) -> Sequence[str]:
    requests = row["requests"]
    drain = "-" if row["drain_p50"] is None else f"{row['drain_p50']:.1f} / {row['drain_p99']:.1f} s"
    return (
        row["name"],
        f"{requests:,}",
        f"{row['faults']:,}",
        *(str(row["violations"][name]) for name in INVARIANTS),
        f"{row['held'] / requests:.1%}" if requests else "-",
        drain,
        f"{row['goes_on_after']:.1f} s",
        _bound(requests),
        str(row["seed"]),
        ", ".join(f"{name.replace('_', ' ')}: {value}" for name, value in row["more"].items()),
    )


def _bound(requests: int) -> str:
    """Where nothing was seen in n requests, the rate is below 3/n with 95 % confidence (the rule of three)."""
    return f"{3 / requests:.2%}" if requests else "-"


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main() -> None:
    verdicts = [json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines()]
    rows = sorted({row["name"]: row for row in verdicts}.values(), key=lambda row: row["test"])
    machine = f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    invariants = "\n".join(f"- **{name}** {promise}" for name, promise in INVARIANTS.items())
    sys.stdout.write(PAGE.format(machine=machine, invariants=invariants, table=table(rows)))


if __name__ == "__main__":
    main()
