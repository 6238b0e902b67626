"""`trunkline replay`: send the results of a request again that did not arrive."""

from __future__ import annotations

from typing import Any

import click
import sqlalchemy as sa
from sqlalchemy.orm import Session

from models.base import write
from models.clock import time_of
from models.delivery import Delivery, DeliveryState, replay, view
from worker.cli.database import database
from worker.cli.output import say, say_json
from worker.cli.references import the_request
from worker.cli.run import command, settings, wants_json


@command("replay", answers=True)
@click.argument("ref")
@click.option("--all", "also_arrived", is_flag=True, help="also what arrived")
def replay_(*, ref: str, also_arrived: bool) -> None:
    """Send the results of a request again that were given up, under the same webhook-id.

    \b
    Example: trunkline replay dealer-17
    """

    def work(session: Session) -> list[dict[str, Any]]:
        wanted = sa.select(Delivery).where(Delivery.request_id == the_request(session, ref).id)
        if not also_arrived:
            wanted = wanted.where(Delivery.state == DeliveryState.FAILED)
        rows = session.scalars(wanted.order_by(Delivery.id).with_for_update()).all()
        for row in rows:
            replay(row, time_of(session))
        session.flush()
        return [view(row) for row in rows]

    with database(settings()) as engine:
        again = write(engine, work)  # no hint: the relay finds them within a second
    if wants_json():
        say_json({"data": again})
    else:
        say("Nothing was given up." if not again else f"Sent again: {', '.join(one['type'] for one in again)}.")
