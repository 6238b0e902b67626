"""Telmetrics' API, version 3, as its pages show it: orders are done when they are answered.

Inferred, for the pages do not say (one edit here, in `account` and in `events` when the truth
is learnt):

| what | as simulated |
| --- | --- |
| refusal | `{"message": …}` |
| codes | 400 body or query (the message names the field), 401 token or subscription key, 404 path or number id, |
|  | 409 no number matches, or a city that maps to no local calling area |
| groups | any positive whole number is one |
| a name in use | comes back with ` 2`, ` 3`, … behind it, in whichever group; of an update too |
| a filter | that is not local to the number or city asked for: no number matches |
| created_datetime | the day, at midnight: so it is in the page's three examples |
| update | 200 with the whole number; maps are merged at every depth, what cannot be changed is passed over |
| release | 200 with the number and `status` `Deleted`; then 404 |
| answers | `sms_routes` for toll-free numbers and where they were sent; `features` before `call_routes` |
| a page size | above 10,000 is cut down to it |
| a call | from `CallerNumber` on, the fields of a notification; `TelmetricsStudyID` is the number's id |
| a message | to the portal's address, or the number's own `inbound_webhook_url`; its text is in `Message` |
| webhooks | repeated until a 2xx, as the script's `callback` says, `Attempt` counting up under the same `Id` |

Faults of other vendors' kind (`wrong_account` and all `callback_…`) do nothing here: no answer names an account.
"""

import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace

from aiohttp import web
from pydantic import ValidationError

from worker.sandbox.faults import Strikes, Subject
from worker.sandbox.ledger import Record
from worker.sandbox.script import Fault, Operation
from worker.sandbox.telmetrics.account import NAME, Account, Number
from worker.sandbox.telmetrics.bodies import Change, Order, complaint
from worker.sandbox.telmetrics.stock import OutOfStock
from worker.sandbox.wire import Refusals
from worker.sandbox.world import World

BASE = f"/{NAME}/v3/api"
TOKEN = "sandbox-organization-token"  # noqa: S105 -- opens nothing but this simulation

_LARGEST_PAGE = 10_000
_NO_MATCH = "No number matches the request"
_REFUSALS: Refusals = {Fault.OUT_OF_STOCK: (409, _NO_MATCH)}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Answer = Callable[[Number, Strikes], web.Response]


@dataclass(frozen=True, slots=True)
class Access:
    token: str = TOKEN
    subscription_key: str = ""  # of version 5; empty: none is asked for

    def admits(self, headers: Mapping[str, str]) -> bool:
        if headers.get("x-organization-token") != self.token:
            return False
        return not self.subscription_key or headers.get("subscription-key") == self.subscription_key


class Telmetrics:
    """The simulated vendor: one organization and the token that opens it."""

    name = NAME

    def __init__(self, world: World, access: Access) -> None:
        self._world, self._access = world, access
        self._account = Account(world)
        self.restore = self._account.restore
        self.follow = self._account.follow
        self.reset = self._account.reset
        self.call = self._account.call
        self.message = self._account.message

    def routes(self) -> list[web.RouteDef]:
        # The page prints the path of a group's numbers in three ways; public clients write `Groups` with a capital.
        group, number, end = r"{group_id:[1-9]\d*}", r"{number_id:[1-9]\d*}", "{end:/?}"
        of_group = f"{BASE}/{{groups:[Gg]roups}}/{group}/numbers{end}"
        table: tuple[tuple[str, str, Handler], ...] = (
            ("POST", of_group, self._provision),
            ("POST", f"{BASE}/{group}/numbers{end}", self._provision),
            ("POST", f"{BASE}/{group}{end}", self._provision),
            ("GET", of_group, self._list_group),
            ("GET", f"{BASE}/numbers{end}", self._list),
            ("GET", f"{BASE}/numbers/{number}{end}", self._read),
            ("PUT", f"{BASE}/numbers/{number}{end}", self._update),
            ("DELETE", f"{BASE}/numbers/{number}{end}", self._release),
            ("*", f"/{NAME}/{{rest:.*}}", self._unknown_path),
        )
        return [web.route(method, path, self._guarded(handler)) for method, path, handler in table]

    def _guarded(self, handler: Handler) -> Handler:
        async def run(request: web.Request) -> web.StreamResponse:
            if not self._access.admits(request.headers):
                return refuse(401, "Unauthorized")
            return await self._world.attend(NAME, request, handler)

        return run

    async def _provision(self, request: web.Request) -> web.StreamResponse:
        try:
            order = Order.model_validate_json(await request.read())
        except ValidationError as error:
            return refuse(400, complaint(error))
        group = request.match_info["group_id"]

        def work(strikes: Strikes) -> web.Response:
            try:
                return _answer(self._account.provision(order, int(group), strikes).shown)
            except OutOfStock:
                return refuse(409, _NO_MATCH)

        subject = Subject(NAME, Operation.PROVISION, custom_group=group, name=order.name)
        return await self._world.perform(request, subject, work, refuse, _REFUSALS)

    async def _update(self, request: web.Request) -> web.StreamResponse:
        try:
            change = Change.model_validate_json(await request.read())
        except ValidationError as error:
            return refuse(400, complaint(error))

        def answer(number: Number, strikes: Strikes) -> web.Response:
            self._account.update(number, change, strikes)
            return _answer(number.shown)

        return await self._about_number(request, Operation.UPDATE, answer)

    async def _release(self, request: web.Request) -> web.StreamResponse:
        def answer(number: Number, strikes: Strikes) -> web.Response:
            self._account.release(number, strikes)
            return _answer({**number.shown, "status": "Deleted"})

        return await self._about_number(request, Operation.RELEASE, answer)

    async def _read(self, request: web.Request) -> web.StreamResponse:
        return await self._about_number(request, Operation.LOOK_UP, lambda number, _: _answer(number.shown))

    async def _about_number(self, request: web.Request, operation: Operation, answer: Answer) -> web.StreamResponse:
        number_id = int(request.match_info["number_id"])
        number = self._account.find(number_id)
        subject = Subject(NAME, operation)
        if number is not None:
            shown = number.shown
            subject = replace(
                subject, custom_group=str(shown["group_id"]), number=shown["phone_number"], name=shown["name"]
            )

        def work(strikes: Strikes) -> web.Response:
            found = self._account.find(number_id)  # again: it may have gone while the answer was held back
            return answer(found, strikes) if found is not None else refuse(404, f"Number {number_id} not found")

        return await self._world.perform(request, subject, work, refuse, _REFUSALS)

    async def _list_group(self, request: web.Request) -> web.StreamResponse:
        group = request.match_info["group_id"]

        def work(_: Strikes) -> web.Response:
            return _json(b"[" + b", ".join(self._account.rows(int(group))) + b"]")

        subject = Subject(NAME, Operation.LOOK_UP, custom_group=group)
        return await self._world.perform(request, subject, work, refuse, _REFUSALS)

    async def _list(self, request: web.Request) -> web.StreamResponse:
        query = {name.lower(): value for name, value in request.query.items()}  # clients differ in its case
        size, page = query.get("pagesize", str(_LARGEST_PAGE)), query.get("pagenumber", "1")
        for name, value in (("pagesize", size), ("pagenumber", page)):
            if not re.fullmatch(r"[1-9]\d{0,8}", value):
                return refuse(400, f"Invalid request: {name}: should be a positive whole number")

        def work(_: Strikes) -> web.Response:
            return _page(self._account.rows(), int(page), min(int(size), _LARGEST_PAGE))

        return await self._world.perform(request, Subject(NAME, Operation.LOOK_UP), work, refuse, _REFUSALS)

    async def _unknown_path(self, _: web.Request) -> web.StreamResponse:
        return refuse(404, "Not found")


def refuse(status: int, message: str, *, as_200: bool | None = None) -> web.Response:  # noqa: ARG001 -- AVANSER's
    return _answer({"message": message}, status)


def _page(rows: list[bytes], page: int, size: int) -> web.Response:
    shown = rows[(page - 1) * size : page * size]
    paging = json.dumps({"pageNumber": page, "pageSize": size, "total": len(rows)}).encode()
    return _json(b'{"results": [' + b", ".join(shown) + b'], "paging": ' + paging + b"}")


def _answer(content: Record, status: int = 200) -> web.Response:
    return _json(json.dumps(content).encode(), status)


def _json(body: bytes, status: int = 200) -> web.Response:
    return web.Response(status=status, body=body, content_type="application/json")
