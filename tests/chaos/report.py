"""The table of the matrix: verdicts as they come, one JSON line each, and a page made of them.

    python -m tests.chaos.report verdicts.jsonl
    python -m tests.chaos.report --availability verdicts.jsonl

Of a fault that was tried again the last verdict counts.

`make chaos` and `make availability` do both, and write `deploy/proof.md` and `deploy/availability.md`.
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


AVAILABILITY = """# What a requester sees when something is killed or cut off

Made by `make availability`: two zones with one of everything (nginx, receiver, worker, relay, PostgreSQL, Redis with
a Sentinel) and a third Sentinel elsewhere, each on a host with an address of its own, all of them network namespaces
of one machine. *Killed* is SIGKILL; *cut off* is a dead port of the switch: packets vanish, no connection is closed,
and nobody is told. A requester meanwhile sends five orders a second to the one public address; where none is taken
within 3 s, it sends the same again with the same `Idempotency-Key`. Ran on {machine}.

- **next result**: seconds from the fault until a request that was made *after* it was completed, while what was hurt
  was still away. Only then it was brought back, and had to go on.
- **longest wait**: seconds from the first try of a request until it was taken.
- **bought twice, lost**: by the telco's ledger and the requester's log, over all of the time.

{table}
What stands beside it, and what a cluster manager did two seconds after the fault (the times of yours come on top):

- nginx: the public address moved to the other one, as keepalived does.
- PostgreSQL: a synchronous standby (`synchronous_standby_names`), so that what was accepted is there after its
  promotion; the old primary is fenced off before (here: killed), as Patroni's watchdog does, and comes back as a
  standby. Until it is back a commit is the promoted one's alone. `TRUNKLINE_DATABASE_URL` names both,
  `?host=A:5432&host=B:5432&target_session_attrs=read-write`, and `TRUNKLINE_PAUSE_AFTER_FAILOVER` is `false`. With an
  asynchronous one some orders are forgotten: see below.
- Redis: Sentinels promote the replica by themselves, here after a second of silence (`down-after-milliseconds`).
- A worker, relay or receiver: nothing. The other one goes on; what the lost one held is looked up when its lease is
  over.

Who is cut off closes no connection, so it takes longer until everybody has left it: connections to PostgreSQL are
given up after 30 s (`tcp_user_timeout` and keepalives; shorter ones may stand in the URL), those to Redis after some
10 s, and nginx tries a receiver for 2 s (`proxy_connect_timeout`). Who waits for an answer of ours should wait for a
few seconds alone, and send again with the same key.

## When the database is lost

A standby takes over, or a backup is restored to a moment in the past, while orders are under way. *Findings* is how
many numbers of ours the database no longer knew; ordering was paused by itself, and `trunkline reconcile --adopt`
brought the books level before it went on (README, "Backup and restore"). I1 to I7 are as in [proof.md](proof.md); I4
is measured and no promise here: of a result that was delivered and then forgotten a second one comes, with another
id.

{restored}"""

SEEN = ("first_try", "other_try", "not_taken", "longest_wait", "next_after")
"""What `tests.chaos.test_available` notes beside a verdict."""


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


def availability(rows: Iterable[Mapping[str, Any]]) -> str:
    """Markdown, a line for each verdict of two zones."""
    head = (
        "what",
        "requests",
        "taken at once",
        "later",
        "never",
        "longest wait",
        "next result",
        "bought twice",
        "lost",
    )
    lines = [_line(head), _line(["---"] * len(head))]
    for row in rows:
        first, other, never, wait, after = (row["more"][name] for name in SEEN)
        lost = max(row["violations"][name] for name in ("I1", "I4"))
        counts = (row["requests"], first, other, never)
        cells = [
            *(f"{count:,}" for count in counts),
            f"{wait} s",
            f"{after} s",
            str(row["violations"]["I2"]),
            str(lost),
        ]
        lines.append(_line([row["name"], *cells]))
    return "\n".join(lines) + "\n"


def main() -> None:
    *options, path = sys.argv[1:]
    verdicts = [json.loads(line) for line in Path(path).read_text().splitlines()]
    machine = f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"
    if options == ["--availability"]:
        last = {row["name"]: row for row in verdicts}.values()
        seen = [row for row in last if set(SEEN) <= set(row["more"])]
        restored = [row for row in last if row not in seen]
        tables = {"table": availability(seen), "restored": table(restored)}
        sys.stdout.write(AVAILABILITY.format(machine=machine, **tables))
        return
    rows = sorted({row["name"]: row for row in verdicts}.values(), key=lambda row: row["test"])
    invariants = "\n".join(f"- **{name}** {promise}" for name, promise in INVARIANTS.items())
    sys.stdout.write(PAGE.format(machine=machine, invariants=invariants, table=table(rows)))


if __name__ == "__main__":
    main()
