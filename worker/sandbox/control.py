"""The sandbox's own routes: the script, the ledger, and events made to order."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from worker.sandbox.ledger import Portal, Record, is_field
from worker.sandbox.script import Script
from worker.sandbox.world import NotThere, Vendor, World

_PAGE, _LARGEST_PAGE = 1_000, 10_000
_URI = r"^$|^https?://[^\s/]+"


class _Addresses(BaseModel):
    model_config = ConfigDict(extra="forbid")

    calls: str = Field(default="", pattern=_URI)
    messages: str = Field(default="", pattern=_URI)


class Control:
    """`/_sandbox`: no upstream has anything like it, and no client of one may know it."""

    def __init__(self, world: World, vendors: Mapping[str, Vendor], forget_results: Callable[[], None]) -> None:
        self._world, self._vendors, self._forget_results = world, vendors, forget_results
        self._first_script = world.script

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/_sandbox", self._show_script),
            web.put("/_sandbox", self._replace_script),
            web.post("/_sandbox/reset", self._reset),
            web.put("/_sandbox/portal/{upstream}", self._set_up_portal),
            web.get("/_sandbox/portal/{upstream}", self._show_portal),
            web.post("/_sandbox/calls", self._call),
            web.post("/_sandbox/messages", self._message),
            web.get("/_sandbox/ledger", self._ledger),
            web.get("/_sandbox/ledger/summary", self._summary),
        ]

    async def _show_script(self, _: web.Request) -> web.Response:
        return _json(self._world.script.model_dump(mode="json"))

    async def _replace_script(self, request: web.Request) -> web.Response:
        try:
            script = Script.model_validate_json(await request.read())
        except ValidationError as error:
            return bad_body(error)
        self._world.follow(script)
        for vendor in self._vendors.values():
            vendor.follow(script)
        return await self._show_script(request)

    async def _reset(self, request: web.Request) -> web.Response:
        """Empties everything, and goes back to the first script or to the one in the body."""
        body = await request.read()
        try:
            script = Script.model_validate_json(body) if body.strip() else self._first_script
        except ValidationError as error:
            return bad_body(error)
        self._world.run += 1
        self._world.outbound.forget()
        self._world.ledger.reset()
        self._world.traffic.reset()
        self._world.follow(script)
        for vendor in self._vendors.values():
            vendor.reset(script)
        self._forget_results()
        return await self._show_script(request)

    async def _set_up_portal(self, request: web.Request) -> web.Response:
        """Enters where a vendor reports to, whole: what is left out is reported nowhere."""
        try:
            addresses = _Addresses.model_validate_json(await request.read())
        except ValidationError as error:
            return bad_body(error)
        upstream = request.match_info["upstream"]
        if upstream in self._vendors:
            self._world.ledger.enter_portal(upstream, Portal(addresses.calls, addresses.messages))
        return await self._show_portal(request)

    async def _show_portal(self, request: web.Request) -> web.Response:
        upstream = request.match_info["upstream"]
        if upstream not in self._vendors:
            return _json({"errors": [{"pointer": "", "detail": f"no upstream {upstream}"}]}, status=404)
        return _json(asdict(self._world.ledger.portals[upstream]))

    async def _call(self, request: web.Request) -> web.Response:
        return await self._make(request, "call")

    async def _message(self, request: web.Request) -> web.Response:
        return await self._make(request, "message")

    async def _make(self, request: web.Request, event: str) -> web.Response:
        """Makes an event on a `number`; the body's other fields override its parameters."""
        try:
            details = json.loads(await request.read())
            vendor = self._vendors[details.pop("upstream", "avanser")]
            number = str(details.pop("number"))
        except (ValueError, AttributeError, KeyError):
            return _complaint("", 'expected {"number": …, "upstream": …, and what to say otherwise}')
        try:
            return _json(await (vendor.call if event == "call" else vendor.message)(number, details))
        except NotThere as reason:
            return _json({"errors": [{"pointer": "/number", "detail": str(reason)}]}, status=409)

    async def _ledger(self, request: web.Request) -> web.Response:
        where = dict(request.query)
        try:
            since, limit = int(where.pop("since", 0)), int(where.pop("limit", _PAGE))
        except ValueError:
            return _complaint("", "since and limit are whole numbers")
        unknown = [name for name in where if not is_field(name)]
        if unknown or since < 0 or limit < 1:
            return _complaint("", f"not to be asked for: {', '.join(unknown) or 'that page'}")
        return _json(self._world.ledger.page(since, min(limit, _LARGEST_PAGE), where))

    async def _summary(self, _: web.Request) -> web.Response:
        return _json({**self._world.ledger.summary(), "traffic": self._world.traffic.shown()})


def bad_body(error: ValidationError) -> web.Response:
    """400 with every fault of a body, by JSON pointer."""
    errors = [
        {"pointer": "".join(f"/{step}" for step in each["loc"]), "detail": each["msg"]}
        for each in error.errors(include_url=False, include_context=False, include_input=False)
    ]
    return _json({"errors": errors}, status=400)


def _complaint(pointer: str, detail: str) -> web.Response:
    return _json({"errors": [{"pointer": pointer, "detail": detail}]}, status=400)


def _json(content: Record | dict[str, Any], status: int = 200) -> web.Response:
    return web.Response(status=status, body=json.dumps(content).encode(), content_type="application/json")
