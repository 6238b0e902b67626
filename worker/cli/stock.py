"""`trunkline stock`: what an upstream could sell now."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

import click

from worker import inquiry
from worker.cli.asking import asking
from worker.cli.output import say_json, say_table, warn
from worker.cli.run import Refusal, command, settings, wants_json
from worker.upstreams import DIALECTS

ANSWER_WITHIN = timedelta(seconds=30)

COLUMNS = ("number", "type", "country", "region", "pool", "classification", "capabilities")


@command("stock", answers=True)
@click.argument("upstream", type=click.Choice(sorted(DIALECTS)))
@click.argument("query", nargs=-1, metavar="[NAME=VALUE]...")
def stock(*, upstream: str, query: tuple[str, ...]) -> None:
    """List the numbers that UPSTREAM could sell now, asked of it now.

    What is asked for is the upstream's own; telmetrics has no stock that could be searched.

    \b
    Examples:
      trunkline stock avanser country=AU szu=sydney
      trunkline stock messagemedia country=AU service_types=SMS matching=42
    """
    asked = _parameters(query)
    with asking(upstream):
        rows = inquiry.stock(upstream, settings(), asked, ANSWER_WITHIN)
    shown = [inquiry.view(row) for row in rows]
    if wants_json():
        say_json({"data": shown, "next_cursor": None})
        return
    say_table(COLUMNS, [[" ".join(one[c]) if c == "capabilities" else one[c] for c in COLUMNS] for one in shown])
    if not shown:
        warn("There is no such number in stock now.")


def _parameters(words: Iterable[str]) -> dict[str, str]:
    parameters: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not name or not equals:
            raise Refusal(f"{word!r}: write it as NAME=VALUE, such as country=AU")
        if name in parameters:
            raise Refusal(f"{name}: given more than once")
        parameters[name] = value
    return parameters
