"""The control port: faults and actions for running gateways, over plain HTTP.

Rule 1: it listens on 127.0.0.1 and nowhere else, and a page in a browser cannot
use it: a request that names an origin is refused.

Rule 2: it is no part of the simulated gateway; no fault ever strikes it.
"""

import json
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from typing import Any, Final

from aiohttp import web

from engine.sim.actions import ACTIONS, act, check
from engine.sim.answers import encode
from engine.sim.arguments import ActionError
from engine.sim.faults import FAULTS, PRESETS, Fault, Faults, FaultsFileError
from engine.sim.gateway import SimGateway

HOST: Final = "127.0.0.1"
_Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class ControlPort:
    """Serves `/faults`, `/presets`, `/actions/NAME` and `/venue` for one or more gateways.

    `?session=USERNAME` chooses one of them; without it, a request is for all, and an action
    is done wherever it can be. With `check=true` what is asked for is checked, and not done.
    """

    def __init__(self, gateways: Sequence[SimGateway], *, port: int = 0) -> None:
        self._gateways = tuple(gateways)
        self._port = port
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def start(self) -> None:
        """Listen; afterwards `url` says where.

        Raises:
            OSError: The port is taken.
        """
        app = web.Application(middlewares=[_refuse_pages])
        app.router.add_get("/faults", self._read)
        app.router.add_patch("/faults", self._change)
        app.router.add_delete("/faults", self._clear)
        app.router.add_get("/faults/known", self._list_faults)
        app.router.add_get("/presets", self._list_presets)
        app.router.add_post("/presets/{name}", self._set_preset)
        app.router.add_get("/actions", self._list_actions)
        app.router.add_post("/actions/{name}", self._act)
        app.router.add_get("/venue", self._tell_venue)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        try:
            await self._runner.setup()
            await web.TCPSite(self._runner, HOST, self._port).start()
        except OSError:
            await self.stop()
            raise
        self.url = f"http://{HOST}:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _read(self, request: web.Request) -> web.Response:
        return _json({row.config.username: _shown(row) for row in self._chosen(request)})

    async def _change(self, request: web.Request) -> web.Response:
        values, chosen = await _object(request), self._chosen(request)
        try:
            Faults().change(values)
            for gateway in () if _only_checks(request) else chosen:
                gateway.faults.change(values)
        except FaultsFileError as error:
            return _json({"error": str(error)}, 400)
        return await self._read(request)

    async def _clear(self, request: web.Request) -> web.Response:
        for gateway in () if _only_checks(request) else self._chosen(request):
            gateway.faults.clear()
        return await self._read(request)

    async def _list_faults(self, _: web.Request) -> web.Response:
        return _json({name: _described(fault) for name, fault in FAULTS.items()})

    async def _list_presets(self, _: web.Request) -> web.Response:
        return _json(PRESETS)

    async def _set_preset(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in PRESETS:
            message = f"{name} is no preset; known are {', '.join(sorted(PRESETS))}"
            return _json({"error": message}, 400)
        for gateway in () if _only_checks(request) else self._chosen(request):
            gateway.faults.change(PRESETS[name])
        return await self._read(request)

    async def _list_actions(self, _: web.Request) -> web.Response:
        return _json({name: list(allowed) for name, (_, allowed) in ACTIONS.items()})

    async def _act(self, request: web.Request) -> web.Response:
        arguments, name = await _object(request), request.match_info["name"]
        done: dict[str, Any] = {}
        refused: dict[str, Any] = {}
        for gateway in self._chosen(request):
            username = gateway.config.username
            try:
                if _only_checks(request):
                    check(gateway, name, arguments)
                    done[username] = {}
                else:
                    done[username] = act(gateway, name, arguments)
            except ActionError as error:
                refused[username] = {"error": str(error)}
        return _json(done | refused) if done else _json(next(iter(refused.values())), 400)

    async def _tell_venue(self, request: web.Request) -> web.Response:
        return _json({row.config.username: _truth(row) for row in self._chosen(request)})

    def _chosen(self, request: web.Request) -> tuple[SimGateway, ...]:
        name = request.query.get("session")
        if name is None:
            return self._gateways
        chosen = tuple(row for row in self._gateways if row.config.username == name)
        if not chosen:
            known = ", ".join(row.config.username for row in self._gateways)
            text = encode({"error": f"session is {name}, known are {known}"}).decode()
            raise web.HTTPNotFound(text=text, content_type="application/json")
        return chosen


@web.middleware
async def _refuse_pages(request: web.Request, handler: _Handler) -> web.StreamResponse:
    if "Origin" in request.headers:
        return _json({"error": "a page in a browser may not use this port"}, 403)
    return await handler(request)


def _only_checks(request: web.Request) -> bool:
    return request.query.get("check") == "true"


def _json(body: Any, status: int = 200) -> web.Response:
    return web.Response(body=encode(body), status=status, content_type="application/json")


async def _object(request: web.Request) -> dict[str, Any]:
    """The JSON object of a request; an empty body is an empty one."""
    payload = await request.read()
    try:
        values = json.loads(payload) if payload else {}
    except ValueError:
        values = None
    if not isinstance(values, dict):
        text = encode({"error": "the body must be a JSON object"}).decode()
        raise web.HTTPBadRequest(text=text, content_type="application/json")
    return values


def _described(fault: Fault) -> dict[str, Any]:
    return {
        "kind": fault.kind.value,
        "subject": fault.subject,
        "what": fault.what,
        "real": fault.real,
        "allowed": fault.allowed,
    }


def _shown(gateway: SimGateway) -> dict[str, Any]:
    return {"values": gateway.faults.values(), "struck": dict(gateway.faults.struck)}


def _truth(gateway: SimGateway) -> dict[str, Any]:
    """What reached the venue and what became of it, to compare a client's view with."""
    venue = gateway.venue
    return {
        "orders": [
            {
                "order_id": row.order_id,
                "account": row.ticket.account,
                "conid": row.ticket.conid,
                "coid": row.ticket.coid,
                "side": row.ticket.side,
                "order_type": row.ticket.order_type,
                "tif": row.ticket.tif,
                "status": row.status.value,
                "limit_price": _text(row.ticket.limit_price),
                "stop_price": _text(row.ticket.stop_price),
                "total_quantity": str(row.ticket.quantity),
                "filled_quantity": str(row.filled_quantity),
                "is_external": row.is_external,
                "parent_id": row.parent_id,
                "oca_group": row.oca_group,
            }
            for row in venue.orders.values()
        ],
        "executions": [
            {"execution_id": row.execution_id, "order_id": row.order_id, "size": str(row.quantity)}
            for row in venue.executions
        ],
        "submissions": [
            {"account": row.account, "coid": row.coid, "at_ms": row.at_ms}
            for row in venue.submissions
        ],
        "modifies": [
            {"order_id": row.order_id, "account": row.account, "at_ms": row.at_ms}
            for row in venue.change_requests
        ],
        "cancel_requests": venue.cancel_requests,
        "positions": {
            name: {str(conid): str(held.quantity) for conid, held in account.positions.items()}
            for name, account in venue.accounts.items()
        },
    }


def _text(price: Decimal | None) -> str | None:
    return None if price is None else str(price)
