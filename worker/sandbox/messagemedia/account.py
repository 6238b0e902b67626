"""MessageMedia behind its interface: the pool of numbers, those that are the account's, and what an order does."""

import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from worker.sandbox.faults import Strikes
from worker.sandbox.ledger import Entry, Record
from worker.sandbox.messagemedia.assignments import Assignment, Assignments
from worker.sandbox.messagemedia.numbers import Number, number_of, timestamp
from worker.sandbox.messagemedia.questions import Labels, Listing, Search, bad_token
from worker.sandbox.messagemedia.stock import Stock
from worker.sandbox.script import Fault, Operation, Script
from worker.sandbox.world import NotThere, World

NAME = "messagemedia"
ACCOUNT = "DeveloperPortal7000"  # of the webhook's example
SOMEBODY_ELSE = "somebody-else"
TAKEN = "taken"  # how the ledger calls it when another customer takes a number: no order of ours, but an effect

# The assignment in the guide; its number got no other before.
_SEED_ASSIGNMENTS = {"073fb6bd-f054-4644-aada-8fb204145d77": "b06387c0-f4d9-4333-8657-c819bede79c3"}


class NotFound(Exception):
    """There is no such number, or it is not the account's."""


class Conflict(Exception):
    """The number is held by somebody, or is available only later."""


class Account:
    """What MessageMedia keeps; every method that changes something enters it in the ledger before it returns."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.reset(world.script)

    def reset(self, script: Script) -> None:
        self._stock, self._stocked = Stock(script.messagemedia), script.messagemedia
        self._assignments = Assignments()

    def follow(self, script: Script) -> None:
        if script.messagemedia != self._stocked:
            self._stock.restock(script.messagemedia)
            self._stocked = script.messagemedia

    def search(self, search: Search) -> tuple[list[Number], Number | None]:
        """A page of the numbers that are free, and the one that the next page starts with. Raises BadRequest."""
        try:
            return self._stock.page(search.wish, search.start, search.page_size)
        except KeyError:
            raise bad_token() from None

    def list(self, listing: Listing) -> tuple[list[Assignment], Assignment | None]:
        """A page of the account's assignments, and the one that the next page starts with. Raises BadRequest."""
        return self._assignments.page(listing)

    def number(self, number_id: str) -> Number:
        """Free or not. Raises NotFound."""
        number = _read(number_id)
        held = self._assignments.held(number)
        found = held.number if held else self._stock.number(number)
        if found is None:
            raise NotFound
        return found

    def assignment(self, number_id: str) -> Assignment:
        """As reads show it at this moment. Raises NotFound."""
        shown = self._assignments.shown(_read(number_id))
        if shown is None:
            raise NotFound
        return shown

    def owned(self, number_id: str) -> Assignment:
        """As it really is. Raises NotFound."""
        held = self._assignments.held(_read(number_id))
        if held is None:
            raise NotFound
        return held

    def assign(self, number_id: str, labels: Labels, strikes: Strikes) -> Assignment:
        """Raises NotFound, Conflict."""
        found = self.number(number_id)
        number = int(found.digits)
        if not self._stock.is_free(number):
            raise Conflict
        of_the_guide = None if number in self._assignments else _SEED_ASSIGNMENTS.get(found.id)
        assignment = Assignment(of_the_guide or str(uuid4()), found, labels)
        self._file(Operation.PROVISION, assignment, strikes)
        return assignment

    def update(self, number_id: str, labels: Labels, strikes: Strikes) -> Assignment:
        """Changes the label, the metadata or both; what is not said stays. Raises NotFound."""
        before = self.owned(number_id)
        adds = self._world.script.messagemedia.updates_add
        after = replace(before, labels=before.labels.changed(labels, adds=adds))
        self._file(Operation.UPDATE, after, strikes)
        return after

    def release(self, number_id: str, strikes: Strikes) -> None:
        """Raises NotFound."""
        self._file(Operation.RELEASE, self.owned(number_id), strikes)

    def lose(self, number_id: str) -> None:
        """Another customer takes the number, if it is still to be had. Raises NotFound."""
        found = self.number(number_id)
        if self._stock.is_free(int(found.digits)):
            self._file(TAKEN, Assignment(str(uuid4()), found, Labels()), Strikes())

    def restore(self, entry: Entry, details: Record) -> None:
        """Takes up what happened in an earlier run of the sandbox."""
        number = {**details["number"], "capabilities": tuple(details["number"]["capabilities"])}
        labels = Labels(details["label"], details["metadata"])
        self._take_effect(entry, Assignment(entry.request_id, Number(**number), labels), details["rests_until"])

    async def call(self, number: str, details: Mapping[str, Any]) -> Record:
        raise NotThere(f"{number} takes messages: MessageMedia reports no calls")

    async def message(self, number: str, details: Mapping[str, Any]) -> Record:
        """Sends an inbound SMS to the portal's address, once: a webhook has no retries unless it is set up so.

        The fields are those of the webhooks' page, whose template a customer may change.
        """
        digits = "".join(character for character in number if character.isdigit())
        if not digits or not self._assignments.held(int(digits)):
            raise NotThere(f"{number} is not assigned")
        uri = self._world.ledger.portals[NAME].messages
        if not uri:
            raise NotThere("the portal has no address for messages")
        usual = {
            "account_id": ACCOUNT,
            "reply_id": str(uuid4()),
            "destination_number": f"+{digits}",
            "source_number": "+61491570156",
            "date_received": timestamp(datetime.now(UTC)),
            "message_id": str(uuid4()),
            "content": "Hello back",
            "metadata": {},
        }
        said = usual | dict(details)
        return {"uri": uri, "parameters": said, "status": await self._world.outbound.send("POST", uri, said)}

    def _file(self, kind: str, assignment: Assignment, strikes: Strikes) -> None:
        """Enters what is done, and does it."""
        now, lag = time.time(), strikes.marks.get(Fault.LIST_LAGS)
        entry = Entry(
            seq=self._world.ledger.next_seq(),
            at=now,
            upstream=NAME,
            kind=kind,
            account=SOMEBODY_ELSE if kind == TAKEN else ACCOUNT,
            request_id=assignment.id,
            custom_id="",
            custom_group="",
            callback_uri="",
            number=assignment.number.digits,
            answer_point="",
            name=assignment.labels.label or "",
            shown_at=now + lag.seconds if lag else now,
            status=TAKEN if kind == TAKEN else "completed",
            completed_at=now,
            key=assignment.labels.key or assignment.id,
        )
        rests_until = now + self._world.script.messagemedia.quarantine
        labels = {"label": assignment.labels.label, "metadata": assignment.labels.metadata}
        details = {"number": asdict(assignment.number), **labels, "rests_until": rests_until}
        self._world.ledger.file(entry, details)
        self._take_effect(entry, assignment, rests_until)

    def _take_effect(self, entry: Entry, assignment: Assignment, rests_until: float) -> None:
        number = int(entry.number)
        if entry.kind == Operation.RELEASE:
            self._assignments.drop(number, entry.shown_at)
            self._stock.rest(number, rests_until)
            return
        self._stock.take(number)
        if entry.kind != TAKEN:
            self._assignments.keep(assignment, entry.shown_at)


def _read(number_id: str) -> int:
    """Raises NotFound."""
    number = number_of(number_id)
    if number is None:
        raise NotFound
    return number
