"""The simulated gateways of one day, on the network in memory, with what they saw noted.

Rule: what is noted here was seen from outside of the engine: bytes as they were written,
requests as they arrived, and what the venue itself did.
"""

import asyncio
import re
from typing import Any, Final

from aiohttp import web

from engine.sim import SimConfig, SimGateway
from engine.sim.orders import CommissionKnown, Corrected, OrderChanged, Prompted, Traded
from engine.sim.venue import Venue
from tests.simulation.history import History
from tests.simulation.host import CONIDS, EXTERNAL_CONID
from tests.simulation.loop import VirtualLoop
from tests.simulation.network import Connection, Line, Network

BUSY_S: Final = 0.05
QUIET_S: Final = 0.5
_REQUEST: Final = re.compile(rb"^(GET|POST|DELETE) /v1/api(/[^ ?]*)\S* HTTP/1\.1\r\n")
_COID: Final = re.compile(rb'"cOID":\s*"([^"]+)"')
_ORDERS: Final = re.compile(r"^/iserver/account/([^/]+)/orders$")


class Gateway:
    """One gateway with its venue."""

    def __init__(
        self,
        *,
        name: str,
        address: str,
        config: SimConfig,
        network: Network,
        history: History,
        wall_ns: int,
    ) -> None:
        self.name = name
        self.wall_ns = wall_ns
        self.address = address
        self.loop: VirtualLoop = network.loop
        self.line: Line = network.line(address)
        self.history = history
        self.sim = SimGateway(config, clock=self._wall_ms)
        self.restarting = False
        self._opened: dict[Connection, int] = {}
        self._watch(self.sim.venue)
        market = self.venue.market
        # What nobody trades need not move: it is most of the market, and of the time.
        market._due = [due for due in market._due if due[1] in (*CONIDS, EXTERNAL_CONID)]

    @property
    def venue(self) -> Venue:
        """The truth."""
        return self.sim.venue

    def _wall_ms(self) -> int:
        return (self.wall_ns + self.loop.time_ns()) // 1_000_000

    async def start(self) -> None:
        """Listen, and let the market move."""
        # The gateway serves every path itself: it needs neither routes nor middlewares.
        self.line.listen(web.Server(self._arrived, access_log=None))
        self.line.on_write = self._written
        self.ticker = asyncio.create_task(self._tick())

    async def _tick(self) -> None:
        """Move the world on: often while something is due at the venue, else now and then."""
        world = self.sim.world
        while True:
            world.advance(self._wall_ms())
            due = self.venue.agenda._due
            wait_s = (due[0][0] - self._wall_ms()) / 1000 if due else QUIET_S
            await asyncio.sleep(min(QUIET_S, max(BUSY_S, wait_s)))

    # --- what people and the weather do -----------------------------------------------------

    def log_in(self) -> None:
        """A person logs in at the gateway's page."""
        self.sim.world.session.log_in(self._wall_ms())

    async def restart(self, seconds: float, *, keeps_login: bool) -> None:
        """The gateway's process ends and comes back; the venue does not notice."""
        self.restarting = True
        self.line.conditions.down = True
        self.line.reset_all()
        await asyncio.sleep(seconds)
        session = self.sim.world.session
        session.reset_brokerage()
        if not keeps_login:
            session.log_out()
        self.line.conditions.down = False
        self.restarting = False

    # --- what is noted ----------------------------------------------------------------------

    def _written(self, connection: Connection, data: bytes) -> None:
        """Note requests as the engine gives their bytes away, and orders by their cOID."""
        head = _REQUEST.match(data)
        if head is not None:
            method, path = head[1].decode(), head[2].decode()
            number = self.history.note("sent", (self.name, method, path))
            if method == "POST" and _ORDERS.match(path):
                self._opened[connection] = number
        first = self._opened.get(connection)
        coids = _COID.findall(data) if first is not None else ()
        if coids:
            del self._opened[connection]
        for coid in coids:
            self.history.note("order sent", (self.name, coid.decode(), first))

    async def _arrived(self, request: Any) -> web.StreamResponse:
        path = request.path.removeprefix("/v1/api")
        brokerage = self.sim.world.session.brokerage
        opened_ms = None if brokerage is None else brokerage.established_at_ms
        self.history.note("arrived", (self.name, request.method, path, opened_ms))
        return await self.sim._serve(request)

    def _watch(self, venue: Venue) -> None:
        """Note what the venue does, at the moment that it does it."""
        note, name = self.history.note, self.name
        record, cancel, take_news = venue.record, venue.cancel, venue.take_news
        incarnate = venue.incarnate

        def recorded(**submission: Any) -> None:
            note("submission", (name, submission["account"], submission["coid"]))
            record(**submission)

        def cancelled(order_id: int, now_ms: int) -> Any:
            note("cancel request", (name, order_id))
            return cancel(order_id, now_ms)

        def incarnated(order_id: int, ticket: Any, now_ms: int) -> Any:
            second = incarnate(order_id, ticket, now_ms)
            note("incarnated", (name, second.ticket.coid, second.ticket.account,
                                second.ticket.conid))  # fmt: skip
            return second

        def taken() -> Any:
            news = take_news()
            for one in news:
                match one:
                    case OrderChanged(order=order):
                        told = (name, order.order_id, order.ticket.coid, order.status.value)
                        quantities = (str(order.filled_quantity), str(order.ticket.quantity))
                        note("venue order", (*told, *quantities))
                    case Traded(execution=execution):
                        told_fill = (name, execution.execution_id, execution.ticket.coid)
                        note("venue fill", (*told_fill, str(execution.quantity)))
                    case Corrected(execution=execution):
                        told_fill = (name, execution.execution_id, execution.ticket.coid)
                        note("venue correction", (*told_fill, str(execution.quantity)))
                    case CommissionKnown() | Prompted():
                        continue
            return news

        watched: Any = venue
        watched.record, watched.cancel, watched.take_news = recorded, cancelled, taken
        watched.incarnate = incarnated
