"""No order of requests, fills, news and reads passes a limit; a small broker is the judge."""

import random
from dataclasses import dataclass, replace
from decimal import Decimal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from engine.domain.messages import OrderChanged, PositionFilled, PositionsRead, RequestVerdict
from engine.domain.risk import AccountRisk, RiskMessage
from engine.domain.risk.holdings import SETTLE_NS
from engine.domain.values import OrderState, OrderType, Side, Ticket
from tests.domain.risk.samples import (
    ACCOUNT,
    BUY,
    CONID,
    NOW_NS,
    QUOTE,
    READY,
    SECOND,
    SESSION,
    execution,
    limits,
    position,
    request,
    view,
)

MOST = 5
MOST_ORDERS = 4
DOUBTFUL = [
    OrderState.SUBMITTING,
    OrderState.AWAITING_REPLY,
    OrderState.IN_DOUBT,
    OrderState.PARKED,
    OrderState.PENDING_NEW,
    OrderState.WORKING,
    OrderState.SUSPENDED,
]


@dataclass
class BrokerOrder:
    """An order as it truly is at the broker."""

    number: int
    ticket: Ticket
    filled: int = 0
    live: bool = True

    @property
    def leaves(self) -> int:
        return int(self.ticket.quantity) - self.filled if self.live else 0


class Account(RuleBasedStateMachine):
    """Plays one account at a broker whose news comes late, twice and in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.orders: list[BrokerOrder] = []
        self.fills = 0
        self.seq = 0
        self.now_ns = NOW_NS
        self.pending: list[PositionFilled | OrderChanged] = []
        self.handled: list[RiskMessage] = []
        self.true_position = 0
        self.settled_position = 0
        self.last_fill_ns = 0
        self.risk = AccountRisk(
            ACCOUNT,
            SESSION,
            limits(
                {
                    "position.max_qty": MOST,
                    "position.max_notional.abs": 10**9,
                    "working.max_total": MOST_ORDERS,
                }
            ),
        )

    @initialize(held=st.integers(-MOST, MOST))
    def log_in(self, held: int) -> None:
        self.true_position = self.settled_position = held
        self.tell(READY)
        self.read(lagging=False)

    def tell(self, message: RiskMessage) -> None:
        self.risk.handle(message)
        self.handled.append(message)

    def read(self, *, lagging: bool) -> None:
        if self.now_ns - self.last_fill_ns > SETTLE_NS:
            self.settled_position = self.true_position
        held = self.settled_position if lagging else self.true_position
        self.tell(
            PositionsRead(
                account=ACCOUNT,
                positions=(position(held),) if held else (),
                started_ns=self.now_ns,
                ended_ns=self.now_ns + 1,
            )
        )
        self.now_ns += SECOND

    @rule(
        side=st.sampled_from(Side),
        quantity=st.integers(1, 2 * MOST),
        kind=st.sampled_from(OrderType),
        quoted=st.sampled_from([True, True, True, False]),
    )
    def request(self, side: Side, quantity: int, kind: OrderType, *, quoted: bool) -> None:
        number = len(self.orders) + 1
        price = None if kind is OrderType.MKT else BUY.limit_price
        ticket = replace(BUY, side=side, quantity=Decimal(quantity), type=kind, limit_price=price)
        message = replace(request(number, ticket), quote=QUOTE if quoted else None)

        answer, _ = self.risk.request(message)
        repeated, effects = self.risk.request(message)

        assert repeated.verdict is RequestVerdict.REPEATED
        assert effects == ()
        approved = answer.verdict is RequestVerdict.APPROVED
        self.orders.append(BrokerOrder(number=number, ticket=ticket, live=approved))

    def news(self, order: BrokerOrder, state: OrderState) -> OrderChanged:
        self.seq += 1
        return OrderChanged(
            view=view(order.number, order.ticket, seq=self.seq, state=state, filled=order.filled)
        )

    @precondition(lambda self: any(order.leaves for order in self.orders))
    @rule(choice=st.randoms(use_true_random=False), whole=st.booleans())
    def fill(self, choice: random.Random, *, whole: bool) -> None:
        order = choice.choice([order for order in self.orders if order.leaves])
        quantity = order.leaves if whole else 1
        self.fills += 1
        order.filled += quantity
        buys = order.ticket.side is Side.BUY
        self.true_position += quantity if buys else -quantity
        state = OrderState.PARTIALLY_FILLED if order.leaves else OrderState.FILLED
        told = execution(
            f"fill-{self.fills}", quantity, number=order.number, side=order.ticket.side
        )
        self.pending.append(PositionFilled(execution=told, now_ns=self.now_ns))
        self.pending.append(self.news(order, state))

    @precondition(lambda self: any(order.leaves for order in self.orders))
    @rule(choice=st.randoms(use_true_random=False))
    def cancel(self, choice: random.Random) -> None:
        order = choice.choice([order for order in self.orders if order.leaves])
        order.live = False
        self.pending.append(self.news(order, OrderState.CANCELLED))

    @precondition(lambda self: any(order.leaves for order in self.orders))
    @rule(choice=st.randoms(use_true_random=False), state=st.sampled_from(DOUBTFUL))
    def move(self, choice: random.Random, state: OrderState) -> None:
        order = choice.choice([order for order in self.orders if order.leaves])
        self.pending.append(self.news(order, state))

    @precondition(lambda self: self.pending)
    @rule(choice=st.randoms(use_true_random=False))
    def deliver(self, choice: random.Random) -> None:
        message = choice.choice(self.pending)
        self.pending.remove(message)
        if isinstance(message, PositionFilled):
            message = replace(message, now_ns=self.now_ns)
            self.last_fill_ns = self.now_ns
        self.tell(message)

    @precondition(lambda self: not self.pending)
    @rule(lagging=st.booleans())
    def read_soon(self, *, lagging: bool) -> None:
        self.read(lagging=lagging)

    @precondition(lambda self: not self.pending)
    @rule()
    def settle(self) -> None:
        self.now_ns += 10 * SECOND
        self.read(lagging=True)

    @rule(choice=st.randoms(use_true_random=False))
    def repeat(self, choice: random.Random) -> None:
        before = self.risk.exposure(CONID), self.risk.position_views(0)

        effects = self.risk.handle(choice.choice(self.handled))

        assert (self.risk.exposure(CONID), self.risk.position_views(0)) == before
        assert all(effect for effect in effects)

    @invariant()
    def what_is_held_and_what_may_fill_is_within_the_limit(self) -> None:
        longs = sum(order.leaves for order in self.orders if order.ticket.side is Side.BUY)
        shorts = sum(order.leaves for order in self.orders if order.ticket.side is Side.SELL)

        assert self.true_position + longs <= MOST
        assert shorts - self.true_position <= MOST

    @invariant()
    def all_figures_are_true_once_all_is_told(self) -> None:
        if not self.pending:
            exposure = self.risk.exposure(CONID)
            assert exposure.position in (None, self.true_position)
            assert exposure.orders_total == sum(1 for order in self.orders if order.leaves)
            assert exposure.working_buy + exposure.working_sell == sum(
                order.leaves for order in self.orders
            )


TestAccount = Account.TestCase
TestAccount.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)
