"""AVANSER behind its interface: the account's stock and services, and what becomes of an order."""

import asyncio
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any

from worker.sandbox.avanser.blocks import StockScript
from worker.sandbox.avanser.bodies import NO_ANSWER_POINT, Change, Order
from worker.sandbox.avanser.events import COMPLETED, Calls, Service, completion
from worker.sandbox.avanser.stock import Stock
from worker.sandbox.faults import CallbackPlan, Strikes
from worker.sandbox.ledger import Entry, Record
from worker.sandbox.script import Fault, Operation, Script
from worker.sandbox.world import NotThere, World

NAME = "avanser"
_SUBMITTED = "Request submitted"

Body = Order | Change | None  # None: a release


class NotPossible(Exception):
    """What is asked for does not go with the number or with how it is configured; the argument says why."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The call that an order comes by."""

    request_id: str
    account: str
    arrived_at: float  # seconds since the epoch


class Account:
    """What AVANSER keeps; every method that takes an order enters it in the ledger before it returns."""

    def __init__(self, world: World, account_id: str) -> None:
        self._world = world
        self._id = account_id
        self._calls = Calls()
        self.reset(world.script)

    def reset(self, script: Script) -> None:
        self.services: dict[str, Service] = {}
        self.stock = Stock(script.avanser)
        self._stocked: StockScript = script.avanser

    def follow(self, script: Script) -> None:
        """Restocks as the script says, less what was bought already."""
        if script.avanser == self._stocked:
            return
        self.stock, self._stocked = Stock(script.avanser), script.avanser
        for entry in self._world.ledger.find(NAME, {"kind": Operation.PROVISION}):
            self.stock.mark_taken(entry.number)

    async def provision(self, order: Order, origin: Origin, strikes: Strikes) -> Entry:
        """Takes a number and files the order. Raises OutOfStock, Taken, and NotPossible."""
        wish = order.service_number.wish()
        if order.smsforward_uri:
            _must_be_mobile(self.stock.choose(wish)[1])
        number = self.stock.take(wish)
        entry = self._entry(Operation.PROVISION, number, origin, order.callback_uri, strikes)
        entry.custom_id, entry.custom_group, entry.name = order.custom_id, order.custom_group, order.name
        entry.answer_point = order.service.answer_point
        self._install(entry, order)
        return await self._submit(entry, order, strikes)

    async def update(self, number: str, change: Change, origin: Origin, strikes: Strikes) -> Entry:
        """Files a change of a service; it is made when the order completes.

        Its custom_id and custom_group stay empty: so they are in the callback that AVANSER's page shows. Raises
        NotPossible.
        """
        service = self.services[number]
        _must_suit(service, change)
        entry = self._entry(Operation.UPDATE, number, origin, change.callback_uri, strikes)
        entry.answer_point = change.service.answer_point or ""
        entry.name = service.name
        return await self._submit(entry, change, strikes)

    async def release(self, number: str, callback_uri: str, origin: Origin, strikes: Strikes) -> Entry:
        """Files the end of a service; the number rests and is not handed out again."""
        entry = self._entry(Operation.RELEASE, number, origin, callback_uri, strikes)
        entry.name = self.services[number].name
        return await self._submit(entry, None, strikes)

    def restore(self, entry: Entry, details: Record) -> None:
        """Takes up an order of an earlier run: what is done stays done, what is pending completes."""
        body = _read(entry, details)
        if isinstance(body, Order):
            self.stock.mark_taken(entry.number)
            self._install(entry, body)
        if entry.status != "pending":
            self._take_effect(entry, body)
        plan = CallbackPlan(**details["plan"])
        if entry.status == "pending" or (plan.times and not entry.callbacks_acknowledged):
            self._world.outbound.launch(self._finish(entry, body, plan))

    async def call(self, number: str, details: dict[str, Any]) -> Record:
        service = self._service(number)
        if not service.call_uri:
            raise NotThere(f"{number} has no call_uri")
        return await self._tell(service.call_uri, self._calls.report(service, self._id, *_told(details)), details)

    async def message(self, number: str, details: dict[str, Any]) -> Record:
        service = self._service(number)
        if service.type != "MOBILE":
            raise NotThere(f"{number} is not a mobile number: only those forward messages")
        if not service.smsforward_uri:
            raise NotThere(f"{number} has no smsforward_uri")
        return await self._tell(service.smsforward_uri, self._calls.message(service, *_told(details)), details)

    async def _tell(self, uri: str, parameters: dict[str, str], details: Mapping[str, Any]) -> Record:
        raw_plus = bool(details.get("raw_plus"))
        status = await self._world.outbound.send("GET", uri, parameters, raw_plus=raw_plus)
        return {"uri": uri, "parameters": parameters, "status": status}

    def _service(self, number: str) -> Service:
        if number not in self.services:
            raise NotThere(f"no service {number}")
        return self.services[number]

    def _entry(
        self,
        kind: Operation,
        number: str,
        origin: Origin,
        callback_uri: str,
        strikes: Strikes,
    ) -> Entry:
        now = time.time()
        lag = strikes.marks.get(Fault.LIST_LAGS)
        return Entry(
            seq=self._world.ledger.next_seq(),
            at=now,
            upstream=NAME,
            kind=kind.value,
            account=origin.account,
            request_id=origin.request_id,
            custom_id="",
            custom_group="",
            callback_uri=callback_uri,
            number=number,
            answer_point="",
            name="",
            arrived_at=origin.arrived_at,
            shown_at=now + lag.seconds if lag else now,
            message=_SUBMITTED,
        )

    async def _submit(self, entry: Entry, body: Body, strikes: Strikes) -> Entry:
        """Files the order and lets it run; a callback that comes early is through before this returns."""
        plan = self._world.faults.plan_callback(strikes, entry.custom_id or str(entry.seq))
        written = body.model_dump(exclude_unset=True) if body is not None else {}
        self._world.ledger.file(entry, {"body": written, "plan": asdict(plan)})
        if plan.early:
            await self._finish(entry, body, plan)
        else:
            self._world.outbound.launch(self._finish(entry, body, plan))
        return entry

    async def _finish(self, entry: Entry, body: Body, plan: CallbackPlan) -> None:
        ledger = self._world.ledger
        if entry.status == "pending":
            if not plan.early:
                await asyncio.sleep(plan.delay)
            status = "failed" if plan.failed else "completed"
            ledger.settle(entry, status, plan.failed or COMPLETED, time.time())
            self._take_effect(entry, body)
        if not entry.callback_uri:
            return
        await asyncio.sleep(plan.late)
        for _ in range(plan.times):
            fields = completion(entry, plan)
            await self._world.outbound.report(ledger, entry, plan.method, fields, self._world.script.callback)

    def _install(self, entry: Entry, order: Order) -> None:
        self.services[entry.number] = Service(
            number=entry.number,
            type=self.stock.class_of(entry.number),
            name=order.name,
            custom_id=order.custom_id,
            custom_group=order.custom_group,
            service=order.service.model_dump(exclude_unset=True),
            call_uri=order.call_uri,
            callback_uri=order.callback_uri,
            smsforward_uri=order.smsforward_uri,
            account=entry.account,
            shown_at=entry.shown_at,
        )

    def _take_effect(self, entry: Entry, body: Body) -> None:
        """What completion does to the services: a failed purchase and a completed release leave none behind."""
        if entry.kind == (Operation.PROVISION if entry.status == "failed" else Operation.RELEASE):
            self.services.pop(entry.number, None)
        elif isinstance(body, Change) and entry.status == "completed" and entry.number in self.services:
            _change(self.services[entry.number], body)


def _must_suit(service: Service, change: Change) -> None:
    """Raises NotPossible."""
    if change.smsforward_uri:
        _must_be_mobile(service.type)
    if change.service.type == "transfer" and not (change.service.answer_point or service.service.get("answer_point")):
        raise NotPossible(NO_ANSWER_POINT)


def _must_be_mobile(number_class: str) -> None:
    if number_class != "MOBILE":
        raise NotPossible(f"smsforward_uri works with MOBILE numbers only, not with {number_class}")


def _change(service: Service, change: Change) -> None:
    service.service.update(change.service.model_dump(exclude_unset=True))
    for name in ("name", "custom_id", "custom_group", "call_uri", "smsforward_uri"):
        value = getattr(change, name)
        if value is not None:
            setattr(service, name, value)
    service.callback_uri = change.callback_uri or service.callback_uri


def _read(entry: Entry, details: Record) -> Body:
    match entry.kind:
        case Operation.PROVISION:
            return Order.model_validate(details["body"])
        case Operation.UPDATE:
            return Change.model_validate(details["body"])
    return None


def _told(details: Mapping[str, Any]) -> tuple[dict[str, Any], datetime]:
    """What a report is to say otherwise than usual, and the time it is made."""
    return {name: value for name, value in details.items() if name != "raw_plus"}, datetime.now(UTC)


def new_id() -> str:
    """40 hexadecimal digits, as AVANSER's ids."""
    return token_hex(20)
