"""`trunkline reconcile`: our books against what each upstream says is ours, and what to do where they differ."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import click
from sqlalchemy.engine import Engine

from models.base import rfc3339
from models.clock import Clock, make_clock
from models.reconciliation import FindingKind
from models.requester import DEFAULT_REQUESTER
from worker.cli.actor import actor
from worker.cli.amending import Done, Here, do
from worker.cli.database import database
from worker.cli.liveness import hint
from worker.cli.output import say, say_json, say_table, warn
from worker.cli.run import BAD_INPUT, FAILURES, UNREACHABLE, Refusal, command, settings, wants_json
from worker.reconciling.acts import Who
from worker.reconciling.compare import Report
from worker.reconciling.finding import Act
from worker.reconciling.run import asking, reconcile
from worker.settings import Settings
from worker.upstreams import DIALECTS
from worker.upstreams.base import Misconfigured, Unavailable, WrongAccount
from worker.upstreams.e164 import NotANumber, to_e164

MOST_SHOWN = 200
"""Findings of one upstream in the report for people."""

COLUMNS = ("kind", "upstream", "number", "since", "what is known", "what to do", "command")


@dataclass(frozen=True, slots=True)
class Looked:
    """What came of comparing with one upstream: a report, or why there is none."""

    name: str
    report: Report | None
    since: Sequence[str] = ()
    error: str | None = None
    status: int = 0


@command("reconcile", answers=True)
@click.argument("numbers", metavar="[NUMBER]...", nargs=-1)
@click.option("--upstream", type=click.Choice(sorted(DIALECTS)), help="compare with this one only")
@click.option("--adopt", is_flag=True, help="hold these numbers, which are paid for and held by nobody")
@click.option("--release", "release_", is_flag=True, help="give up these numbers, which are held by nobody")
@click.option("--forget", "forget_", is_flag=True, help="hold these numbers no longer, which the upstream has not got")
@click.option("--apply", "apply_", is_flag=True, help="ask once more for these numbers' configuration, as in our books")
@click.option("--all", "every", is_flag=True, help="with --adopt: all that the report says to adopt")
@click.option("--requester", default=DEFAULT_REQUESTER, show_default=True, help="for whom, where nothing tells")
@click.option("--note", help="why, for the history")
@click.option("--yes", is_flag=True, help="do not ask first")
def reconcile_(
    *,
    numbers: tuple[str, ...],
    upstream: str | None,
    adopt: bool,
    release_: bool,
    forget_: bool,
    apply_: bool,
    every: bool,
    requester: str,
    note: str | None,
    yes: bool,
) -> None:
    """Compare our books with what each upstream says is ours, both ways.

    Nothing is changed without an option that says so, and then only the NUMBERs that are named. A release is sent after
    TRUNKLINE_RELEASE_DELAY and can be cancelled until then; after that it cannot be undone.

    \b
    Exit status: 0 all agree (or all was done), 1 there are findings (or some could not be done),
    2 an upstream refused us, 3 an upstream could not be reached; the others are reported all the same.

    \b
    Examples: trunkline reconcile --json
              trunkline reconcile --adopt +61280740801 --requester crm
              trunkline reconcile --release +61280740802 --note "bought twice" --yes
    """
    given = ((Act.ADOPT, adopt), (Act.RELEASE, release_), (Act.FORGET, forget_), (Act.APPLY, apply_))
    act = _the_act([one for one, is_given in given if is_given], numbers, every=every)
    configured = settings()
    with database(configured) as engine:
        clock = make_clock(engine)
        looks = [_look(configured, engine, name, clock) for name in _scope(configured, upstream)]
        if act is None or (not numbers and not every):
            _show(looks, act)
            sys.exit(_status_of(looks))
        here = Here(configured, engine, Who(actor(), clock.now(), note), requester)
        chosen = _chosen(looks, act, numbers)
        _confirm(act, chosen, is_sure=yes or (act is not Act.RELEASE and not every))
        done = [do(here, act, report, of) for report, of in chosen]
    hint(configured, sorted({one.upstream for one in done if one.is_done}))
    _tell(looks, done)
    failed = 0 if done and all(one.is_done for one in done) else FAILURES
    sys.exit(max([failed, *(look.status for look in looks if look.error is not None)]))


def _the_act(given: Sequence[Act], numbers: Sequence[str], *, every: bool) -> Act | None:
    """Raises Refusal for what does not go together."""
    if len(given) > 1:
        raise Refusal(f"one thing at a time: --{given[0]} or --{given[1]}")
    act = given[0] if given else None
    if act is None and (numbers or every):
        raise Refusal("say what to do with the numbers: --adopt, --release, --forget or --apply")
    if every and (act is not Act.ADOPT or numbers):
        raise Refusal("--all goes with --adopt alone, and without numbers; name the numbers instead")
    if act not in (None, Act.ADOPT) and not numbers:
        raise Refusal(f"--{act} needs the numbers: trunkline reconcile --{act} NUMBER...")
    return act


def _scope(configured: Settings, upstream: str | None) -> list[str]:
    names = [upstream] if upstream else sorted(name for name in DIALECTS if not configured.missing_for(name))
    if not names:
        raise Refusal("no upstream is set up: see trunkline upstream status")
    return names


def _look(configured: Settings, engine: Engine, name: str, clock: Clock) -> Looked:
    settling: timedelta = configured.upstreams[name].settles_within
    try:
        report, since = reconcile(engine, name, asking(name, configured), settling, clock)
    except (Misconfigured, WrongAccount) as error:
        return Looked(name, None, error=str(error), status=BAD_INPUT)
    except Unavailable as error:
        return Looked(name, None, error=str(error), status=UNREACHABLE)
    return Looked(name, report, since, status=FAILURES if report.findings else 0)


def _status_of(looks: Sequence[Looked]) -> int:
    """The gravest: an upstream that was not reached may hide anything."""
    return max(look.status for look in looks)


def _show(looks: Sequence[Looked], act: Act | None) -> None:
    if wants_json():
        say_json({"data": [_view(look) for look in looks]})
        return
    rows = [
        (one.kind, look.name, one.number, since[:19].replace("T", " "), one.known, one.todo, one.command)
        for look in looks
        if look.report is not None
        for one, since in list(zip(look.report.findings, look.since, strict=True))[:MOST_SHOWN]
    ]
    if rows:
        say_table(COLUMNS, rows, folding=3)
    for look in looks:
        warn(_summary(look))
    if act is Act.ADOPT:
        warn(
            "Nothing was changed: name the numbers to adopt, or say --all --yes for all that the report says to adopt."
        )


def _summary(look: Looked) -> str:
    if look.report is None:
        return f"{look.name}: not compared: {look.error}"
    counts = look.report.counts
    sizes = f"{counts['ours']:,} numbers in our books, {counts['theirs']:,} there"
    if not look.report.findings:
        return f"{look.name}: {sizes}: they agree."
    found = ", ".join(f"{counts[kind]:,} {kind}" for kind in FindingKind if counts[kind])
    more = len(look.report.findings) - MOST_SHOWN
    rest = f" {more:,} more are in --json." if more > 0 else ""
    is_strange = counts["ours"] and not counts["theirs"]
    strange = " It lists none of our numbers: is it the right account?" if is_strange else ""
    return f"{look.name}: {sizes}: {found}.{rest}{strange}"


def _view(look: Looked) -> dict[str, Any]:
    report = look.report
    return {
        "upstream": look.name,
        "started_at": rfc3339(report.listed.started_at) if report is not None else None,
        "finished_at": rfc3339(report.listed.finished_at) if report is not None else None,
        "counts": report.counts if report is not None else {},
        "findings": [one.view(since) for one, since in zip(report.findings if report else (), look.since, strict=True)],
        "error": look.error,
    }


def _chosen(looks: Sequence[Looked], act: Act, numbers: Sequence[str]) -> list[tuple[Report, str]]:
    """Which number at which upstream. Raises Refusal where one cannot be told, before anything is done."""
    compared = [look.report for look in looks if look.report is not None]
    if not numbers:
        return [
            (report, one.number)
            for report in compared
            for one in report.findings
            if one.act is act and one.kind is not FindingKind.TWICE
        ]
    if not compared:
        return []
    return [_place_of(compared, text) for text in dict.fromkeys(numbers)]


def _place_of(compared: Sequence[Report], text: str) -> tuple[Report, str]:
    found: list[tuple[Report, str]] = []
    fault = ""
    for report in compared:
        try:
            of = to_e164(text, DIALECTS[report.upstream].home)
        except NotANumber as error:
            fault = str(error)
            continue
        if of in report.listed.numbers or of in report.books.held:
            found.append((report, of))
    if len(found) > 1:
        names = " and ".join(report.upstream for report, _ in found)
        raise Refusal(f"{text} is known at {names}: say which with --upstream")
    if not found:
        asked = ", ".join(report.upstream for report in compared)
        raise Refusal(fault or f"{text} is neither in our books nor in the list of {asked}")
    return found[0]


def _confirm(act: Act, chosen: Sequence[tuple[Report, str]], *, is_sure: bool) -> None:
    if is_sure or not chosen:
        return
    lines = "\n".join(f"  {of} at {report.upstream}" for report, of in chosen)
    if wants_json() or not sys.stdin.isatty():
        raise Refusal(f"add --yes to {act} these; nothing was changed:\n{lines}")
    warn(lines)
    click.confirm(f"{act.capitalize()} {len(chosen)}?", abort=True, err=True)


def _tell(looks: Sequence[Looked], done: Sequence[Done]) -> None:
    if wants_json():
        rows = [
            {
                "number": one.number,
                "upstream": one.upstream,
                "done": one.is_done,
                "request": None if one.request_id is None else str(one.request_id),
                "detail": one.detail,
            }
            for one in done
        ]
        say_json({"data": rows, "errors": {look.name: look.error for look in looks if look.error is not None}})
        return
    for one in done:
        (say if one.is_done else warn)(f"{one.number}: {'' if one.is_done else 'not done: '}{one.detail}.")
    for look in looks:
        if look.error is not None:
            warn(_summary(look))
    if not done:
        warn("Nothing was changed.")
