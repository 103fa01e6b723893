"""A simulator, and everything of ours that talks to it, in one loop."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final, TypeVar

from engine.domain.messages import (
    CallFailed,
    CallGateway,
    CancelAtBroker,
    ModifyAtBroker,
    OrderAnswered,
    OrdersRead,
    PlaceAtBroker,
    ReplyAtBroker,
    SessionCall,
    SessionMessage,
)
from engine.domain.values import (
    AccountId,
    BrokerOrderId,
    ClientOrderId,
    Coid,
    ConId,
    OrderId,
    OrderRow,
    OrderType,
    Outcome,
    Side,
    Terms,
    Ticket,
    TimeInForce,
)
from engine.gateway.client import GatewayClient, Pacing, TlsPolicy
from engine.gateway.order import HttpOrderGateway
from engine.gateway.session import HttpSessionGateway
from engine.gateway.wire import Operator, TicketEncoder
from engine.sim import SimConfig, SimGateway
from tests.gateway.raw_gateway import QUICK, SESSION, until_many

UNHURRIED: Final = replace(QUICK, requests_per_s=10_000, limits={})
ACCOUNT: Final = AccountId("DU1111111")
AAPL: Final = ConId(265598)
T = TypeVar("T")
FAST: Final[dict[str, Any]] = {
    "established_delay_ms": 0,
    "quote_interval_ms": (5, 15),
    "smd_conflation_ms": 10,
    "fill_delay_ms": (2, 10),
    "cancel_delay_ms": 15,
    "commission_delay_ms": 5,
    "heartbeat_ms": 50,
    "enforce_pacing": False,
    "questions": {},
}
BUY = Ticket(
    account=ACCOUNT,
    client_order_id=ClientOrderId("mine-1"),
    conid=AAPL,
    symbol="AAPL",
    side=Side.BUY,
    type=OrderType.MKT,
    quantity=Decimal(10),
    limit_price=None,
    tif=TimeInForce.DAY,
)
FAR_BELOW = replace(BUY, type=OrderType.LMT, limit_price=Decimal("1.00"))


@dataclass
class Desk:
    """A simulator and everything of ours that talks to it."""

    sim: SimGateway
    client: GatewayClient
    operator: Operator | None = None

    def __post_init__(self) -> None:
        self.orders = HttpOrderGateway(self.client, operator=self.operator)

    @property
    def encoder(self) -> TicketEncoder:
        return TicketEncoder(operator=self.operator)

    async def call(self, call: SessionCall, **arguments: Any) -> SessionMessage:
        told: list[SessionMessage] = []
        HttpSessionGateway(self.client).call(CallGateway(call=call, **arguments), told.append)
        await until_many(told, 1)
        return told[0]

    async def warm_up(self) -> None:
        for call in (
            SessionCall.OPEN_BROKERAGE,
            SessionCall.AUTH_STATUS,
            SessionCall.ACCOUNTS,
            SessionCall.PORTFOLIO_ACCOUNTS,
        ):
            assert not isinstance(await self.call(call), CallFailed)

    async def place(self, ticket: Ticket, coid: str) -> Outcome:
        return await self.send(self.encoder.encode(ticket, Coid(coid)), coid)

    async def place_group(self, orders: Sequence[tuple[Ticket, Coid]]) -> Outcome:
        """Place a group; it is asked about under the id of its first order."""
        return await self.send(self.encoder.encode_group(orders), orders[0][1])

    async def send(self, body: bytes, coid: str) -> Outcome:
        effect = PlaceAtBroker(
            order_id=OrderId(coid),
            session=SESSION,
            account=ACCOUNT,
            body=body,
            send_by_ns=self.client.clock() + 5_000_000_000,
            session_epoch=1,
        )
        return await self._answer(lambda tell: self.orders.place(effect, tell))

    async def reply(self, outcome: Outcome, *, confirmed: bool, coid: str = "1") -> Outcome:
        assert outcome.question is not None
        effect = ReplyAtBroker(
            order_id=OrderId(coid),
            session=SESSION,
            question_id=outcome.question.question_id,
            confirmed=confirmed,
        )
        return await self._answer(lambda tell: self.orders.reply(effect, tell))

    async def modify(
        self, ticket: Ticket, broker_order_id: str, terms: Terms, *, leader: Coid | None = None
    ) -> Outcome:
        effect = ModifyAtBroker(
            order_id=OrderId("1"),
            session=SESSION,
            account=ticket.account,
            broker_order_id=BrokerOrderId(broker_order_id),
            body=self.encoder.encode_change(ticket, Coid("EXab-1-1-ZZ"), terms, leader=leader),
            send_by_ns=self.client.clock() + 5_000_000_000,
            session_epoch=1,
        )
        return await self._answer(lambda tell: self.orders.modify(effect, tell))

    async def row(self, broker_order_id: str) -> OrderRow:
        """The order as the list shows it; the first read of a session shows nothing."""
        while True:
            orders = await self.call(SessionCall.ORDERS)
            assert isinstance(orders, OrdersRead)
            for row in orders.rows:
                if row.broker_order_id == broker_order_id:
                    return row

    async def cancel(self, broker_order_id: str, *, sec_type: str = "STK") -> Outcome:
        effect = CancelAtBroker(
            order_id=OrderId("1"),
            session=SESSION,
            account=ACCOUNT,
            broker_order_id=BrokerOrderId(broker_order_id),
            sec_type=sec_type,
        )
        return await self._answer(lambda tell: self.orders.cancel(effect, tell))

    async def _answer(self, send: Callable[[Callable[[OrderAnswered], None]], None]) -> Outcome:
        told: list[OrderAnswered] = []
        send(told.append)
        await until_many(told, 1)
        return told[0].outcome


@asynccontextmanager
async def desk(
    pacing: Pacing = UNHURRIED, operator: Operator | None = None, **config: Any
) -> AsyncIterator[Desk]:
    async with SimGateway(SimConfig(**{**FAST, **config})) as sim:
        client = GatewayClient(
            session=SESSION,
            url=sim.url,
            tls=TlsPolicy(verify="ca", ca_file=sim.ca_file),
            pacing=pacing,
        )
        await client.start()
        try:
            yield Desk(sim, client, operator)
        finally:
            await client.close()


def at_a_desk(work: Callable[[Desk], Awaitable[T]], **config: Any) -> T:
    async def run() -> T:
        async with desk(**config) as one:
            return await work(one)

    return asyncio.run(run())


def code(outcome: Outcome) -> str | None:
    return outcome.reason.code if outcome.reason is not None else None
