"""AVANSER's Telco API as its page shows it, contradictions included.

Inferred, for the page does not say or says it in prose alone (edited in `avanser_bodies`, `avanser_lists` and
`events` when the truth is learnt):

| what | as simulated |
| --- | --- |
| refusal | the envelope, `response` = `{code, message}`, HTTP status = code; by HTTP 200 where the script says so |
| codes | 400 body or query, 401 credentials, 404 no stock, service or path, 409 number taken meanwhile |
| no match in stock | an empty map |
| stock filters | besides country and szu: `type`, `region` or `location`, `number`, `prefix`, `pool`, `latitude` with |
|  | `longitude`, `limit` (500; at most 1,000) |
| search types | `location`, `coordinates` (`latitude`, `longitude`), `prefix`, `type`, each may have `type`; |
|  | `szu`, which the page calls "Australia only", is refused with 400 elsewhere |
| a number just taken | `search_type` `number` with a number that we stock and somebody holds: 409, not its neighbour |
| service types | `voicemail` and `prompt` need nothing more; a `transfer` needs its `answer_point`, or 400 |
| missed calls | `service.missed_call` = `{emails: [...], sms: [...]}`, of mail addresses and phone numbers, or 400 |
| greetings | `service.call_greeting`, `.call_whisper`, `.voicemail_greeting`, each a text |
| SMSForward-URI | `smsforward_uri` beside `call_uri`; the page's "mobile only" is a 400 for any other number |
| unknown fields | kept and shown: the product may know more than its page |
| requests | `GET /requests`, a map keyed by request_id; custom fields of an update are empty, as in its callback |
| services | `GET /services`, a map keyed by number, filters as for requests; shown from the acknowledgement on |
| release | `DELETE /services/{number}?callback_uri=…`, acknowledged and called back as an update; then 404 |
| failure | a callback with status `failed` and a message; the number is not held |
"""

import json
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime

from aiohttp import web
from pydantic import ValidationError

from worker.sandbox.avanser.account import NAME, Account, NotPossible, Origin, new_id
from worker.sandbox.avanser.bodies import Change, Order, complaint
from worker.sandbox.avanser.events import AEST
from worker.sandbox.avanser.lists import filters, look_up_subject, request_row, service_row, stock_wish
from worker.sandbox.avanser.stock import OutOfStock, Taken, digits
from worker.sandbox.faults import Strikes, Subject
from worker.sandbox.ledger import Entry, Record
from worker.sandbox.script import Fault, Operation
from worker.sandbox.wire import perform
from worker.sandbox.world import World

# The sample token of AVANSER's page, decoded.
USERNAME, PASSWORD = "tapi_access", "o7ahoWPITFz4Jxf"
ACCOUNT = "7xxx"
OTHER_ACCOUNT = "8xxx"  # one that the same user reaches and that is not ours


@dataclass(frozen=True, slots=True)
class Login:
    username: str = USERNAME
    password: str = PASSWORD
    account: str = ACCOUNT

    @property
    def header(self) -> str:
        return "Basic " + b64encode(f"{self.username}:{self.password}".encode()).decode()


@dataclass(slots=True)
class Call:
    """One HTTP call and the envelope that it is answered in; its id becomes the request_id of an order."""

    request: web.Request
    account: str
    refusals_as_200: bool
    id: str
    started: float = field(default_factory=time.monotonic)  # seconds
    arrived_at: float = field(default_factory=time.time)  # seconds since the epoch

    @property
    def origin(self) -> Origin:
        return Origin(self.id, self.account, self.arrived_at)

    def answer(self, response: Record, status: int = 200) -> web.Response:
        envelope = {
            "@transaction": {
                "id": self.id,
                "account-id": self.account,
                "request": {
                    "api-version": "v1",
                    "method": self.request.method,
                    "path": self.request.raw_path.removeprefix(f"/{NAME}"),
                    "time": datetime.now(AEST).isoformat(timespec="seconds"),
                    "ms": f"{time.monotonic() - self.started:.3f}",
                },
            },
            "response": response,
        }
        return web.Response(status=status, body=json.dumps(envelope).encode(), content_type="application/json")

    def acknowledge(self, entry: Entry) -> web.Response:
        return self.answer(
            {
                "request_id": entry.request_id,
                "message": "Success",
                "code": 200,
                "service_number": entry.number,
            }
        )

    def refuse(self, status: int, message: str, *, as_200: bool | None = None) -> web.Response:
        hidden = self.refusals_as_200 if as_200 is None else as_200
        return self.answer({"code": status, "message": message}, 200 if hidden else status)


Handler = Callable[[Call], Awaitable[web.StreamResponse]]
Work = Callable[[Strikes], Awaitable[web.Response]]


class Avanser:
    """The simulated vendor: one login to one account, and to one by mistake."""

    name = NAME

    def __init__(self, world: World, login: Login) -> None:
        self._world, self._login = world, login
        self._authorization = login.header
        self._account = Account(world, login.account)
        self.restore = self._account.restore
        self.follow = self._account.follow
        self.reset = self._account.reset
        self.call = self._account.call
        self.message = self._account.message

    def routes(self) -> list[web.RouteDef]:
        base = f"/{NAME}/v1"
        return [
            web.post(f"{base}/requests", self._guarded(self._provision)),
            web.get(f"{base}/requests", self._guarded(self._list_requests), allow_head=False),
            web.get(f"{base}/numbers", self._guarded(self._search), allow_head=False),
            web.get(f"{base}/services", self._guarded(self._list_services), allow_head=False),
            web.post(f"{base}/services/{{number}}", self._guarded(self._update)),
            web.delete(f"{base}/services/{{number}}", self._guarded(self._release)),
            web.route("*", f"/{NAME}/{{rest:.*}}", self._guarded(self._unknown_path)),
        ]

    def _guarded(self, handler: Handler) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def run(request: web.Request) -> web.StreamResponse:
            world = self._world
            call = Call(request, self._login.account, world.script.refusals_as_200, new_id())
            if request.headers.get("Authorization") != self._authorization:
                return call.refuse(401, "Unauthorized", as_200=False)
            return await world.attend(NAME, request, lambda _: handler(call))

        return run

    async def _perform(self, call: Call, subject: Subject, work: Work) -> web.StreamResponse:
        """Does the work of one call, and whatever the script has go wrong with it."""
        strikes = self._world.faults.strike(subject)
        if Fault.WRONG_ACCOUNT in strikes.marks:
            call.account = OTHER_ACCOUNT

        run = self._world.run

        async def act() -> web.Response:
            return await work(strikes) if run == self._world.run else call.refuse(503, "The sandbox was reset")

        return await perform(call.request, strikes.answer, act, call.refuse)

    async def _provision(self, call: Call) -> web.StreamResponse:
        try:
            order = Order.model_validate_json(await call.request.read())
        except ValidationError as error:
            return call.refuse(400, complaint(error))
        number = digits(order.service_number.number)
        subject = Subject(NAME, Operation.PROVISION, order.custom_id, order.custom_group, number, order.name)

        async def work(strikes: Strikes) -> web.Response:
            try:
                return call.acknowledge(await self._account.provision(order, call.origin, strikes))
            except OutOfStock:
                return call.refuse(404, "No number available for the given criteria")
            except Taken:
                return call.refuse(409, f"Number {number} is no longer available")
            except NotPossible as reason:
                return call.refuse(400, f"Invalid request: {reason}")

        return await self._perform(call, subject, work)

    async def _update(self, call: Call) -> web.StreamResponse:
        try:
            change = Change.model_validate_json(await call.request.read())
        except ValidationError as error:
            return call.refuse(400, complaint(error))
        number = call.request.match_info["number"]

        async def work(strikes: Strikes) -> web.Response:
            if number not in self._account.services:
                return call.refuse(404, f"Service {number} not found")
            try:
                return call.acknowledge(await self._account.update(number, change, call.origin, strikes))
            except NotPossible as reason:
                return call.refuse(400, f"Invalid request: {reason}")

        return await self._perform(call, self._of_service(Operation.UPDATE, number), work)

    async def _release(self, call: Call) -> web.StreamResponse:
        number = call.request.match_info["number"]
        callback_uri = call.request.query.get("callback_uri", "")

        async def work(strikes: Strikes) -> web.Response:
            if number not in self._account.services:
                return call.refuse(404, f"Service {number} not found")
            entry = await self._account.release(number, callback_uri, call.origin, strikes)
            return call.acknowledge(entry)

        return await self._perform(call, self._of_service(Operation.RELEASE, number), work)

    def _of_service(self, operation: Operation, number: str) -> Subject:
        service = self._account.services.get(number)
        if service is None:
            return Subject(NAME, operation, number=number)
        return Subject(NAME, operation, service.custom_id, service.custom_group, number, service.name)

    async def _search(self, call: Call) -> web.StreamResponse:
        try:
            wish, limit = stock_wish(call.request)
        except (KeyError, ValueError):
            return call.refuse(400, "Invalid request: limit, number, prefix, latitude and longitude are numbers")

        async def work(_: Strikes) -> web.Response:
            return call.answer(self._account.stock.search(wish, limit))

        return await self._perform(call, Subject(NAME, Operation.SEARCH, number=wish.number), work)

    async def _list_requests(self, call: Call) -> web.StreamResponse:
        async def work(_: Strikes) -> web.Response:
            now = time.time()
            found = self._world.ledger.find(NAME, {**filters(call.request, "status"), "account": call.account})
            return call.answer({entry.request_id: request_row(entry) for entry in found if entry.shown_at <= now})

        return await self._perform(call, look_up_subject(call.request), work)

    async def _list_services(self, call: Call) -> web.StreamResponse:
        async def work(_: Strikes) -> web.Response:
            now, wanted = time.time(), {**filters(call.request), "account": call.account}
            rows = {
                number: service_row(service)
                for number, service in self._account.services.items()
                if service.shown_at <= now and all(getattr(service, name) == value for name, value in wanted.items())
            }
            return call.answer(rows)

        return await self._perform(call, look_up_subject(call.request), work)

    async def _unknown_path(self, call: Call) -> web.StreamResponse:
        return call.refuse(404, "Not found")
