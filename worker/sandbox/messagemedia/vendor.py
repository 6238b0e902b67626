"""MessageMedia's Numbers API as its guide and reference show it.

Inferred, for the pages do not say (one edit here, in `questions` or in `account` when the
truth is learnt):

| what | as simulated |
| --- | --- |
| a number that is not to be had | 409: held by somebody, us included, or `available_after` is in the future |
| somebody else's assignment | 404, as though there were none |
| order of a search | that of the stock; the token is the id of the number that the next page starts with |
| order of assignments | oldest first; the token is as for a search; `sort_by` is ignored, `sort_direction` is not |
| page_size | up to 1,000, echoed as asked for; less than 1 is refused with 400, as are an unknown token, type, |
|  | classification or capability, and a `matching` that is not digits |
| matching | digits anywhere in the international number |
| service_types | a number has all of them |
| label | a filter for the very label |
| classification | by the last six digits |
| an update | replaces the label or all metadata, where it says one; with `updates_add`, adds to the metadata |
|  | ("edit or add"); answered 200 with the assignment (guide) or, with `update_by_204`, as in the reference |
| metadata | comes back with its keys in order |
| a body | may be left out of an assignment (guide) though the reference requires it; null is no string: 400 |
| a release | the number rests six months, is not found by a search, and has its `available_after` at their end |
| clock | an HMAC's Date may be 5 minutes off |

A number whose block in the script says that it is available only later is found by a search all the same: the
reference warns of it. The fault `out_of_stock` empties a search (`"on": ["search"]`); `taken_meanwhile` gives the
number to another customer, for good. For a fault's `match`, custom_id is the label and the metadata as JSON with
sorted keys, and name is the label.
"""

import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime

from aiohttp import web

from worker.sandbox.faults import Strikes, Subject
from worker.sandbox.ledger import Record
from worker.sandbox.messagemedia.access import Access, Call
from worker.sandbox.messagemedia.account import NAME, Account, Conflict, NotFound
from worker.sandbox.messagemedia.numbers import Spelling, number_of
from worker.sandbox.messagemedia.questions import BadRequest, Labels, read_labels, read_listing, read_search
from worker.sandbox.script import Fault, Operation
from worker.sandbox.wire import Refusals
from worker.sandbox.world import Instead, Work, World

BASE = f"/{NAME}/v1/messaging/numbers/dedicated"

_UNAUTHORIZED = "Invalid authentication credentials"
_NOT_FOUND = "Resource not found."
_CONFLICT = "The number is not available for assignment."
_REFUSALS: Refusals = {
    Fault.WRONG_CREDENTIALS: (401, _UNAUTHORIZED),
    Fault.OUT_OF_STOCK: (404, _NOT_FOUND),
}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_NO = (BadRequest, NotFound, Conflict)


class MessageMedia:
    """The simulated vendor."""

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
        either = "{slash:/?}"  # the reference has a slash behind the first path and none behind the others
        assignment = f"{BASE}/{{number_id}}/assignment{either}"
        return [
            web.get(BASE + either, self._guarded(self._search), allow_head=False),
            web.get(f"{BASE}/assignments{either}", self._guarded(self._list), allow_head=False),
            web.get(f"{BASE}/{{number_id}}{either}", self._guarded(self._show_number), allow_head=False),
            web.get(assignment, self._guarded(self._show_assignment), allow_head=False),
            web.post(assignment, self._guarded(self._assign)),
            web.patch(assignment, self._guarded(self._update)),
            web.delete(assignment, self._guarded(self._release)),
            web.route("*", f"/{NAME}/{{rest:.*}}", self._guarded(self._unknown_path)),
        ]

    def _guarded(self, handler: Handler) -> Handler:
        async def attend(request: web.Request) -> web.StreamResponse:
            try:
                return await handler(request)
            except _NO as no:
                return _say(no)

        async def run(request: web.Request) -> web.StreamResponse:
            try:
                body = await request.read()
            except ConnectionResetError:  # the client died with its question half said
                return web.Response(status=499)
            if not self._access.admits(
                Call(request.method, request.raw_path, request.headers, body), datetime.now(UTC)
            ):
                return _refuse(401, _UNAUTHORIZED)
            return await self._world.attend(NAME, request, attend)

        return run

    async def _perform(
        self, request: web.Request, subject: Subject, work: Work, instead: Instead | None = None
    ) -> web.StreamResponse:
        def answer(strikes: Strikes) -> web.Response:
            try:
                return work(strikes)
            except _NO as no:
                return _say(no)

        return await self._world.perform(request, subject, answer, _refuse, _REFUSALS, instead)

    async def _search(self, request: web.Request) -> web.StreamResponse:
        search = read_search(request.query)

        def work(_: Strikes) -> web.Response:
            numbers, following = self._account.search(search)
            rows = [number.row(self._spelling) for number in numbers]
            return _page(rows, search.page_size, following.id if following else None)

        subject = Subject(NAME, Operation.SEARCH, number=search.wish.matching)
        nothing = {Fault.OUT_OF_STOCK: lambda: _page([], search.page_size, None)}
        return await self._perform(request, subject, work, nothing)

    async def _list(self, request: web.Request) -> web.StreamResponse:
        listing = read_listing(request.query)

        def work(_: Strikes) -> web.Response:
            found, following = self._account.list(listing)
            rows = [{"assignment": each.row(), "number": each.number.row(self._spelling)} for each in found]
            return _page(rows, listing.page_size, following.number.id if following else None)

        subject = Subject(NAME, Operation.LOOK_UP, number=str(listing.number or ""), name=listing.label)
        return await self._perform(request, subject, work)

    async def _show_number(self, request: web.Request) -> web.StreamResponse:
        def work(_: Strikes) -> web.Response:
            return _json(self._account.number(_id(request)).row(self._spelling))

        return await self._perform(request, self._subject(Operation.LOOK_UP, request), work)

    async def _show_assignment(self, request: web.Request) -> web.StreamResponse:
        def work(_: Strikes) -> web.Response:
            return _json(self._account.assignment(_id(request)).row())

        return await self._perform(request, self._subject(Operation.LOOK_UP, request), work)

    async def _assign(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        labels = read_labels(body) if body.strip() else Labels()

        def work(strikes: Strikes) -> web.Response:
            return _json(self._account.assign(_id(request), labels, strikes).row(), 201)

        def lose() -> web.Response:
            self._account.lose(_id(request))
            raise Conflict

        subject = _subject(Operation.PROVISION, _id(request), labels)
        return await self._perform(request, subject, work, {Fault.TAKEN_MEANWHILE: lose})

    async def _update(self, request: web.Request) -> web.StreamResponse:
        labels = read_labels(await request.read())

        def work(strikes: Strikes) -> web.Response:
            row = self._account.update(_id(request), labels, strikes).row()
            return _nothing() if self._world.script.messagemedia.update_by_204 else _json(row)

        return await self._perform(request, self._subject(Operation.UPDATE, request), work)

    async def _release(self, request: web.Request) -> web.StreamResponse:
        def work(strikes: Strikes) -> web.Response:
            self._account.release(_id(request), strikes)
            return _nothing()

        return await self._perform(request, self._subject(Operation.RELEASE, request), work)

    async def _unknown_path(self, _: web.Request) -> web.StreamResponse:
        return _refuse(404, _NOT_FOUND)

    @property
    def _spelling(self) -> Spelling:
        return self._world.script.messagemedia.spelling

    def _subject(self, operation: Operation, request: web.Request) -> Subject:
        """A call on one number, by what that number carries."""
        labels = Labels()
        with suppress(NotFound):
            labels = self._account.owned(_id(request)).labels
        return _subject(operation, _id(request), labels)


def _subject(operation: Operation, number_id: str, labels: Labels) -> Subject:
    number = str(number_of(number_id) or "")
    return Subject(NAME, operation, custom_id=labels.key, number=number, name=labels.label or "")


def _id(request: web.Request) -> str:
    return request.match_info["number_id"]


def _say(no: BadRequest | NotFound | Conflict) -> web.Response:
    match no:
        case BadRequest():
            message = "Request failed to parse correctly. Please ensure input is valid and try again."
            return _json({"message": message, "details": no.details}, 400)
        case NotFound():
            return _refuse(404, _NOT_FOUND)
        case Conflict():
            return _refuse(409, _CONFLICT)


def _refuse(status: int, message: str, *, as_200: bool | None = None) -> web.Response:  # noqa: ARG001 -- AVANSER's
    return _json({"message": message}, status)


def _page(rows: Sequence[Record], page_size: int, next_token: str | None) -> web.Response:
    pagination: Record = {"page_size": page_size}
    if next_token:
        pagination["next_token"] = next_token
    return _json({"data": rows, "pagination": pagination})


def _json(content: Record, status: int = 200) -> web.Response:
    return web.Response(
        status=status, body=json.dumps(content).encode(), content_type="application/json", charset="UTF-8"
    )


def _nothing() -> web.Response:
    return web.Response(status=204)
