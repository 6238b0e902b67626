"""The command itself: what it says, shows and returns."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from models.state import State
from worker.cli.demo.books import Books
from worker.cli.demo.dealers import STORY, bad_customers
from worker.cli.demo.run import USER, Course, Demo, demo_home
from worker.cli.run import command, wants_json
from worker.cli.stack import free_port
from worker.supervisor import Interrupted, StartFailed

KILL_AT = 0.3
"""Share of the requests that have ended when the worker is killed: early enough that much is under way."""


INTERRUPTED = 130
"""The exit status of what SIGINT ended, as shells have it."""


@command("demo", answers=True)
@click.option("--count", type=click.IntRange(10, 100_000), default=500, show_default=True, help="dealers in the file")
@click.option("--workers", type=click.IntRange(1, 8), default=2, show_default=True, help="worker processes")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="of the receiver; 0 takes a free one")
@click.option("--keep", is_flag=True, help="go on running afterwards, to look around; Ctrl-C ends it")
def demo(*, count: int, workers: int, port: int, keep: bool) -> None:
    """Order numbers for a file of dealers from a simulated AVANSER, kill a worker on the way, and check the books.

    Everything runs on this machine in a temporary folder: database, broker, relay, workers, receiver, the upstream
    and the requester. The exit status is 0 when the books balance and 1 when they do not.

    \b
    Example: trunkline demo
    """
    console = Console(stderr=wants_json(), highlight=False, soft_wrap=True)
    with demo_home(keep=keep) as home:
        run = Demo(home, port or free_port(), workers, lambda line: console.print(line, style="dim"))
        run.stack.supervisor.stop_on_signals()
        try:
            balanced = _play(run, console, count)
            if keep and not run.stack.supervisor.is_stopping:
                _stay(run, console)
        except StartFailed as error:
            raise click.ClickException(str(error)) from None
        except Interrupted:
            console.print("interrupted, so there is no verdict")
            sys.exit(INTERRUPTED)
        finally:
            run.stack.stop()
    sys.exit(0 if balanced else 1)


def _play(run: Demo, console: Console, count: int) -> bool:
    console.print(f"[bold]Trunkline demo[/bold]: {count} dealers want a number. The weather: {STORY}.")
    run.start()
    console.print(f"each one's story: {run.stack.address.url}/console (sign in as {USER} with {run.password})")
    without_stock, barred = bad_customers(count)
    path = run.submit(count)
    console.print(f"took {path.name}: {count} rows, {without_stock} of them where there is no number, {barred} barred")
    last = _show(run.watch(KILL_AT), console)
    if run.stack.supervisor.is_stopping:
        raise Interrupted
    books = run.books()
    results_file = run.export(Path.cwd() / "trunkline-demo-results.csv")
    faults = books.faults()
    if wants_json():
        click.echo(json.dumps(_as_json(books, last, results_file, faults), indent=2))
    else:
        console.print(_table(books, last, results_file))
        console.print(_verdict(faults))
    return not faults


def _show(courses: Iterable[Course], console: Console) -> Course:
    """Draw the progress on a terminal, else say it in a line every few seconds. Returns where it ended."""
    last: Course | None = None
    with Progress(
        SpinnerColumn(),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[line]}"),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task("", total=None, line="")
        said = 0
        for last in courses:
            progress.update(task, total=last.total, completed=last.ended, line=_line(last))
            if not console.is_terminal and int(last.elapsed.total_seconds()) >= said:
                console.print(f"{last.ended}/{last.total}  {_line(last)}")
                said = int(last.elapsed.total_seconds()) + 3
    assert last is not None
    return last


def _line(course: Course) -> str:
    states = "  ".join(f"{state} {count}" for state, count in course.counts.items() if count)
    return f"{states}  results {course.results}  {_rate(course):.0f}/s"


def _rate(course: Course) -> float:
    return course.ended / max(course.elapsed.total_seconds(), 0.001)


def _table(books: Books, course: Course, results_file: Path) -> Table:
    table = Table(show_header=False, box=None, padding=(0, 2))
    for name, value in _rows(books, course, results_file):
        table.add_row(name, value)
    return table


def _rows(books: Books, course: Course, results_file: Path) -> list[tuple[str, str]]:
    states = ", ".join(f"{count} {state}" for state, count in books.counts.items() if count)
    return [
        ("our database", states),
        ("the upstream's ledger", f"{books.numbers_bought} numbers bought"),
        ("the requester", f"{len(books.results)} results, every signature verified"),
        ("bought twice", str(books.bought_twice)),
        ("lost", str(books.lost)),
        ("speed", f"{_rate(course):.0f} requests/s, {course.elapsed.total_seconds():.0f} s in all"),
        ("results", str(results_file)),
    ]


def _verdict(faults: list[str]) -> str:
    if not faults:
        return "[bold green]The books balance.[/bold green]"
    return "[bold red]The books do not balance:[/bold red] " + "; ".join(faults)


def _as_json(books: Books, course: Course, results_file: Path, faults: list[str]) -> dict[str, Any]:
    return {
        "balanced": not faults,
        "faults": faults,
        "counts": {state.value: books.counts[state] for state in State},
        "numbers_bought": books.numbers_bought,
        "bought_twice": books.bought_twice,
        "lost": books.lost,
        "results_verified": len(books.results),
        "bad_signatures": books.bad_signatures,
        "seconds": round(course.elapsed.total_seconds(), 1),
        "requests_per_second": round(_rate(course), 1),
        "results_file": str(results_file),
    }


def _stay(run: Demo, console: Console) -> None:
    url = run.stack.address.url
    console.print(f"still running: {url}/docs (API; the key below is its password), {url}/v1/requests?limit=5")
    console.print(f"  curl -H 'Authorization: Bearer {run.api_key}' '{url}/v1/requests?limit=5'")
    console.print(f"  TRUNKLINE_HOME={run.home} trunkline list")
    console.print("Ctrl-C ends it")
    run.stack.supervisor.watch()
