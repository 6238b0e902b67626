"""Telmetrics behind its interface: the organization's stock, numbers and names, and what becomes of an order."""

import json
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from worker.sandbox.faults import Strikes
from worker.sandbox.ledger import Entry, Record
from worker.sandbox.script import Fault, Operation, Script
from worker.sandbox.telmetrics.bodies import Change, Order
from worker.sandbox.telmetrics.events import ORGANIZATION, Events, webhook
from worker.sandbox.telmetrics.stock import Stock, TelmetricsScript
from worker.sandbox.world import NotThere, World

NAME = "telmetrics"

# The ids of the examples on Telmetrics' page.
_FIRST_NUMBER, _FIRST_ROUTE = 8660466, 30474073
_FIELDS = (
    "id",
    "name",
    "group_id",
    "status",
    "phone_number",
    "created_datetime",
    "sms_routes",
    "features",
    "call_routes",
)
_DONE = "completed"


@dataclass(slots=True)
class Number:
    """A number in service, as the API shows it."""

    sent_name: str  # as it was ordered; it may have come back with a number behind it
    shown: Record
    current: bytes = b""  # its row of a list; empty: released
    earlier: bytes = b""  # what lists show as long as they lag behind
    lags_until: float = 0.0  # seconds since the epoch

    @property
    def phone_number(self) -> str:
        number: str = self.shown["phone_number"]
        return number

    def row(self, at: float) -> bytes:
        return self.earlier if at < self.lags_until else self.current

    def become(self, shown: Record | None, lags_until: float) -> None:
        self.earlier, self.lags_until = self.current, lags_until
        self.current = json.dumps(shown).encode() if shown is not None else b""
        self.shown = shown or self.shown


class Names:
    """Names in use: one that is comes back with a number behind it, counted from 2."""

    def __init__(self) -> None:
        self._used: set[str] = set()
        self._next: defaultdict[str, int] = defaultdict(lambda: 2)

    def give(self, wanted: str, script: TelmetricsScript) -> str:
        before = script.names_taken.get(wanted, 0)
        given = wanted
        if wanted in self._used or before or script.rename == "always":
            suffix = max(self._next[wanted], before + 1)
            while f"{wanted} {suffix}" in self._used:
                suffix += 1
            self._next[wanted] = suffix + 1
            given = f"{wanted} {suffix}"
        self._used.add(given)
        return given

    def add(self, name: str) -> None:
        self._used.add(name)

    def free(self, name: str) -> None:
        self._used.discard(name)


class Account:
    """What Telmetrics keeps; every method that takes an order enters it in the ledger before it returns."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._events = Events()
        self.reset(world.script)

    def reset(self, script: Script) -> None:
        self._numbers: dict[int, Number] = {}  # released ones too: a list that lags still shows them
        self._by_group: defaultdict[int, list[Number]] = defaultdict(list)
        self._by_phone: dict[str, Number] = {}
        self._names = Names()
        self._next_id = _FIRST_NUMBER
        self._stock, self._stocked = Stock(script.telmetrics), script.telmetrics

    def follow(self, script: Script) -> None:
        """Restocks as the script says, less what was bought already."""
        if script.telmetrics.stock != self._stocked.stock:
            bought = self._world.ledger.find(NAME, {"kind": Operation.PROVISION})
            self._stock = Stock(script.telmetrics, (entry.number for entry in bought))
        self._stocked = script.telmetrics

    def find(self, number_id: int) -> Number | None:
        """A number in service; reading one by its id never lags."""
        number = self._numbers.get(number_id)
        return number if number is not None and number.current else None

    def rows(self, group_id: int | None = None) -> list[bytes]:
        """What lists show at this moment, oldest first."""
        at = time.time()
        numbers: Iterable[Number] = self._numbers.values() if group_id is None else self._by_group.get(group_id, ())
        return [row for number in numbers if (row := number.row(at))]

    def provision(self, order: Order, group_id: int, strikes: Strikes) -> Number:
        """Takes a number and files the order. Raises OutOfStock."""
        wanted = order.phone_number_request
        phone_number = self._stock.take(wanted.areas(), wanted.number_match_filter)
        name = self._names.give(order.name, self._stocked)
        number = Number(order.name, _shown(self._next_id, group_id, name, phone_number, order))
        self._file(Operation.PROVISION, number, number.shown, strikes)
        return number

    def update(self, number: Number, change: Change, strikes: Strikes) -> None:
        shown = _changed(number.shown, change)
        if change.name is not None and change.name != number.shown["name"]:
            self._names.free(number.shown["name"])
            shown["name"] = self._names.give(change.name, self._stocked)
        self._file(Operation.UPDATE, number, shown, strikes)

    def release(self, number: Number, strikes: Strikes) -> None:
        """Ends the service; the number rests and is not handed out again."""
        self._file(Operation.RELEASE, number, None, strikes)

    def restore(self, entry: Entry, details: Record) -> None:
        """Takes up an order of an earlier run."""
        number = self._numbers.get(int(entry.request_id))
        if number is None:
            number = Number(entry.key, details["shown"])
            self._stock.mark_taken(entry.number)
        else:
            self._names.free(number.shown["name"])
        self._take_effect(number, details["shown"], entry.shown_at)
        if number.current:
            self._names.add(number.shown["name"])

    async def call(self, phone_number: str, details: dict[str, Any]) -> Record:
        """Reports calls, several in one webhook where `details` says {"calls": [{…}, {…}]}. Raises NotThere."""
        number = self._in_service(phone_number)
        now = datetime.now(UTC)
        notifications = [self._events.call(number.shown, each, now) for each in details.pop("calls", [details])]
        address = self._world.ledger.portals[NAME].calls
        return await self._tell(address, "calls", "CallDetails", notifications, now)

    async def message(self, phone_number: str, details: dict[str, Any]) -> Record:
        """As `call`, with {"messages": […]}; to the number's own `inbound_webhook_url` where it has one."""
        number = self._in_service(phone_number)
        now = datetime.now(UTC)
        notifications = [self._events.message(number.shown, each, now) for each in details.pop("messages", [details])]
        own = number.shown.get("sms_routes", {}).get("route", {}).get("inbound_webhook_url", "")
        address = own or self._world.ledger.portals[NAME].messages
        return await self._tell(address, "messages", "SmsDetails", notifications, now)

    async def _tell(
        self, address: str, what: str, collection: str, notifications: list[Record], now: datetime
    ) -> Record:
        if not address:
            raise NotThere(f"no address for {what} is set up in the portal of {NAME}")
        body = webhook(collection, notifications, now)
        status = await self._world.outbound.insist(address, body, self._world.script.callback)
        return {"uri": address, "parameters": body(1), "status": status}

    def _in_service(self, phone_number: str) -> Number:
        number = self._by_phone.get(phone_number)
        if number is None:
            raise NotThere(f"no number {phone_number}")
        return number

    def _file(self, kind: Operation, number: Number, shown: Record | None, strikes: Strikes) -> None:
        now = time.time()
        lag = strikes.marks.get(Fault.LIST_LAGS)
        after = shown or number.shown
        entry = Entry(
            seq=self._world.ledger.next_seq(),
            at=now,
            upstream=NAME,
            kind=kind.value,
            account=ORGANIZATION,
            request_id=str(after["id"]),
            custom_group=str(after["group_id"]),
            number=number.phone_number,
            answer_point=after["call_routes"]["route"]["termination_number"],
            name=after["name"],
            shown_at=now + lag.seconds if lag else now,
            status=_DONE,
            completed_at=now,
            key=number.sent_name,
        )
        self._world.ledger.file(entry, {"shown": shown})
        self._take_effect(number, shown, entry.shown_at)

    def _take_effect(self, number: Number, shown: Record | None, shown_at: float) -> None:
        number.become(shown, shown_at)
        if shown is None:
            self._names.free(number.shown["name"])
            self._by_phone.pop(number.phone_number, None)
        elif shown["id"] not in self._numbers:
            self._numbers[shown["id"]] = number
            self._by_group[shown["group_id"]].append(number)
            self._by_phone[number.phone_number] = number
            self._next_id = shown["id"] + 1


def _shown(number_id: int, group_id: int, name: str, phone_number: str, order: Order) -> Record:
    """The answer to an order, its fields in the page's order."""
    route_id = number_id - _FIRST_NUMBER + _FIRST_ROUTE
    routes = order.call_routes.model_dump(exclude_unset=True)
    sms_routes = order.sms_routes.model_dump(exclude_unset=True) if order.sms_routes else None
    if sms_routes is None and order.phone_number_request.match_type == "tollfree":
        sms_routes = {"route_type": "None"}
    return {
        "id": number_id,
        "name": name,
        "group_id": group_id,
        "status": "Active",
        "phone_number": phone_number,
        "created_datetime": f"{datetime.now(UTC):%Y-%m-%d}T00:00:00Z",
        **({"sms_routes": sms_routes} if sms_routes else {}),
        **({"features": order.features} if order.features else {}),
        "call_routes": {**routes, "route": {"id": route_id, **routes["route"]}},
    }


def _changed(shown: Record, change: Change) -> Record:
    """`shown` with what the change says; what it leaves out stays, at every depth."""
    said = change.model_dump(exclude_unset=True, include={"call_routes", "sms_routes", "features"}, exclude_none=True)
    merged = _merged(shown, said)
    merged["call_routes"]["route"]["id"] = shown["call_routes"]["route"]["id"]
    return {field: merged[field] for field in _FIELDS if field in merged}


def _merged(old: Record, new: Record) -> Record:
    both = {name: _merged(old[name], new[name]) for name in new if _is_map(old.get(name)) and _is_map(new[name])}
    return {**old, **new, **both}


def _is_map(value: object) -> bool:
    return isinstance(value, dict)
