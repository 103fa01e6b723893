"""No order of requests, changes, fills, news and reads passes a limit.

A small broker is the judge.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from engine.domain.messages import (
    OrderChanged,
    PositionFilled,
    PositionsFilled,
    PositionsRead,
    RequestChange,
    RequestVerdict,
)
from engine.domain.risk import AccountRisk, RiskMessage
from engine.domain.risk.moves import SETTLE_NS, SKEW_NS
from engine.domain.values import OrderState, OrderType, Pending, Side, Terms, Ticket
from engine.domain.views import OrderView
from tests.domain.risk.samples import (
    ACCOUNT,
    ANYTHING,
    CONID,
    NOW_NS,
    QUOTE,
    READY,
    RECONCILED,
    SECOND,
    SESSION,
    TYPED,
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
class BrokerFill:
    """An execution as the broker has it now; `at_ns` is its time by the broker's clock."""

    name: str
    order: "BrokerOrder"
    quantity: int
    at_ns: int
    revision: int = 1
    told: bool = False


@dataclass
class BrokerOrder:
    """An order as it truly is at the broker.

    `known` is its ticket as the engine knows it. `wanted` is the quantity of a change that
    the engine waits for; `applied` is True once the broker has taken it. `lost` is that of
    one that was approved and never reached the order.
    """

    number: int
    ticket: Ticket
    known: Ticket
    fills: list[BrokerFill] = field(default_factory=list)
    live: bool = True
    wanted: int | None = None
    applied: bool = False
    lost: int = 0

    @property
    def sign(self) -> int:
        return 1 if self.ticket.side is Side.BUY else -1

    @property
    def filled(self) -> int:
        return sum(fill.quantity for fill in self.fills)

    @property
    def leaves(self) -> int:
        return int(self.ticket.quantity) - self.filled if self.live else 0

    @property
    def leaves_most(self) -> int:
        """What may still fill if the broker takes the change, or does not."""
        most = max(int(self.ticket.quantity), self.wanted or 0)
        return max(most - self.filled, 0) if self.live else 0

    @property
    def reserved(self) -> int:
        """What must be reserved once all is told."""
        most = max(int(self.known.quantity), self.wanted or 0, self.lost)
        return most - self.filled if self.leaves else 0

    def take(self, quantity: int) -> bool:
        """Take new terms, as the broker does: never fewer than what has filled."""
        if quantity <= self.filled:
            return False
        self.ticket = replace(self.ticket, quantity=Decimal(quantity))
        return True

    @property
    def terms(self) -> Terms:
        ticket = self.known
        return Terms(
            quantity=ticket.quantity, limit_price=ticket.limit_price, stop_price=ticket.stop_price
        )


@dataclass
class News:
    """What is on its way to us: made when it arrives, because only then its time is known."""

    make: Callable[[], RiskMessage]


class Account(RuleBasedStateMachine):
    """Plays one account at a broker whose news comes late, twice and in any order.

    Its clock is wrong by up to `SKEW_NS`, and of what happened within `SETTLE_NS` its
    positions have whatever they like.
    """

    def __init__(self) -> None:
        super().__init__()
        self.orders: list[BrokerOrder] = []
        self.fills: list[BrokerFill] = []
        self.changes: list[tuple[int, int]] = []
        self.held_at_first = 0
        self.seq = 0
        self.now_ns = NOW_NS
        self.skew_ns = 0
        self.pending: list[News] = []
        self.handled: list[RiskMessage] = []
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

    @property
    def true_position(self) -> int:
        return self.held_at_first + sum(quantity for _, quantity in self.changes)

    @property
    def longs(self) -> int:
        return sum(order.leaves_most for order in self.orders if order.sign > 0)

    @property
    def shorts(self) -> int:
        return sum(order.leaves_most for order in self.orders if order.sign < 0)

    @initialize(
        held=st.integers(-MOST, MOST),
        skew_ns=st.sampled_from([0, -SKEW_NS, -7 * SECOND, 7 * SECOND, SKEW_NS]),
    )
    def log_in(self, held: int, skew_ns: int) -> None:
        self.held_at_first, self.skew_ns = held, skew_ns
        self.tell(READY)
        self.read(random.Random(0))
        self.tell(RECONCILED)

    def tell(self, message: RiskMessage) -> None:
        self.risk.handle(message)
        self.handled.append(message)

    def deliver_all(self) -> None:
        while self.pending:
            self.tell(self.pending.pop(0).make())

    def read(self, choice: random.Random, *, late: bool = False) -> None:
        """Answer with all that has settled, and with some of what has not."""
        started_ns = self.now_ns
        held = self.held_at_first + sum(
            quantity
            for at_ns, quantity in self.changes
            if at_ns < started_ns - SETTLE_NS or choice.random() < 1 / 2
        )
        answer = PositionsRead(
            account=ACCOUNT,
            positions=(position(held),) if held else (),
            started_ns=started_ns,
            ended_ns=started_ns + 1,
        )
        self.now_ns += SECOND // 10
        if late:
            self.pending.append(News(lambda: answer))
        else:
            self.tell(answer)

    @rule(
        side=st.sampled_from(Side),
        quantity=st.integers(1, 2 * MOST),
        kind=st.sampled_from(OrderType),
        quoted=st.sampled_from([True, True, True, False]),
    )
    def request(self, side: Side, quantity: int, kind: OrderType, *, quoted: bool) -> None:
        number = len(self.orders) + 1
        ticket = replace(TYPED[kind], side=side, quantity=Decimal(quantity))
        quote = QUOTE if quoted else None
        message = replace(request(number, ticket), quote=quote, instrument=ANYTHING)

        answer, _ = self.risk.request(message)
        repeated, effects = self.risk.request(message)

        assert repeated.verdict is RequestVerdict.REPEATED
        assert effects == ()
        approved = answer.verdict is RequestVerdict.APPROVED
        self.orders.append(BrokerOrder(number=number, ticket=ticket, known=ticket, live=approved))

    def shown(self, order: BrokerOrder, state: OrderState) -> OrderView:
        wanted = None
        if order.wanted is not None and order.live:
            wanted = replace(order.terms, quantity=Decimal(order.wanted))
        plain = view(order.number, order.known, seq=self.seq, state=state, filled=order.filled)
        pending = Pending.NONE if wanted is None else Pending.REPLACE
        return replace(plain, wanted=wanted, pending=pending)

    def announce(self, order: BrokerOrder, state: OrderState) -> None:
        self.seq += 1
        news = OrderChanged(view=self.shown(order, state))
        self.pending.append(News(lambda: news))

    @precondition(lambda self: any(order.leaves for order in self.orders))
    @rule(
        choice=st.randoms(use_true_random=False),
        quantity=st.integers(1, 2 * MOST),
        lost=st.sampled_from([False, False, False, True]),
    )
    def change(self, choice: random.Random, quantity: int, *, lost: bool) -> None:
        """Ask for another quantity; what is approved may never reach the order."""
        order = choice.choice([order for order in self.orders if order.leaves])
        new = replace(order.terms, quantity=Decimal(quantity))
        message = RequestChange(
            view=self.shown(order, OrderState.WORKING),
            ticket=order.known,
            terms=new,
            by="ops",
            instrument=ANYTHING,
            quote=QUOTE,
            now_ns=self.now_ns,
        )
        message = replace(message, quote=replace(QUOTE, received_ns=self.now_ns))

        answer, _ = self.risk.change(message)

        assert (answer.change is None) is (answer.refused is not None)
        if answer.change is None:
            return
        assert order.wanted is None, "a second change was approved before the first was over"
        assert answer.change.terms == new
        if lost:
            order.lost = max(order.lost, quantity)
        else:
            order.wanted, order.applied = quantity, False
            self.announce(order, OrderState.WORKING)

    @precondition(lambda self: any(order.wanted and order.live for order in self.orders))
    @rule(choice=st.randoms(use_true_random=False))
    def apply_change(self, choice: random.Random) -> None:
        """Let the broker take a change before anybody hears of it."""
        changing = [order for order in self.orders if order.wanted and order.live]
        order = choice.choice(changing)
        assert order.wanted is not None
        order.applied = order.take(order.wanted)

    @precondition(lambda self: any(order.wanted and order.live for order in self.orders))
    @rule(choice=st.randoms(use_true_random=False), applied=st.booleans())
    def settle_change(self, choice: random.Random, *, applied: bool) -> None:
        """Say what became of a change, after the broker has decided."""
        changing = [order for order in self.orders if order.wanted and order.live]
        order = choice.choice(changing)
        assert order.wanted is not None
        if applied and not order.applied:
            order.take(order.wanted)
        order.wanted, order.applied, order.lost = None, False, 0
        order.known = order.ticket
        self.announce(order, OrderState.WORKING)

    def execute(self, fill: BrokerFill, grown: int) -> None:
        """Let the position follow the fill, and send the news of it on its way."""
        order, at_ns = fill.order, fill.at_ns
        self.changes.append((self.now_ns, grown * order.sign))
        made = execution(
            f"{fill.name}.{fill.revision:02}",
            fill.quantity,
            number=order.number,
            side=order.ticket.side,
        )

        def make() -> PositionFilled:
            fill.told = True
            happened_ns = min(at_ns, self.now_ns)
            return PositionFilled(execution=made, now_ns=happened_ns, seen_ns=self.now_ns)

        self.pending.append(News(make))
        filled = order.live and not order.leaves
        if filled:
            order.wanted, order.lost = None, 0  # An end ends a change, too.
            order.known = order.ticket
        self.announce(order, OrderState.FILLED if filled else OrderState.PARTIALLY_FILLED)

    @precondition(lambda self: any(order.leaves for order in self.orders))
    @rule(choice=st.randoms(use_true_random=False), whole=st.booleans(), overtaken=st.booleans())
    def fill(self, choice: random.Random, *, whole: bool, overtaken: bool) -> None:
        """Fill some of an order; a read may overtake the news of it."""
        order = choice.choice([order for order in self.orders if order.leaves])
        fill = BrokerFill(
            name=f"fill-{len(self.fills) + 1}",
            order=order,
            quantity=order.leaves if whole else 1,
            at_ns=self.now_ns + self.skew_ns,
        )
        self.fills.append(fill)
        order.fills.append(fill)
        self.execute(fill, fill.quantity)
        if overtaken:
            self.read(choice)

    def can_correct(self, fill: BrokerFill, grown: int) -> bool:
        """Tell whether the correction alone passes no limit: that would not be our doing."""
        order = fill.order
        position_ = self.true_position + grown * order.sign
        if not (fill.told and order.live and order.leaves - grown >= 0 and fill.quantity + grown):
            return False
        if order.wanted is not None or order.lost:
            return False  # Enough is going on.
        longs = self.longs - (grown if order.sign > 0 else 0)
        shorts = self.shorts - (grown if order.sign < 0 else 0)
        return position_ + longs <= MOST and shorts - position_ <= MOST

    @precondition(lambda self: any(fill.told for fill in self.fills))
    @rule(
        choice=st.randoms(use_true_random=False),
        grown=st.sampled_from([-1, 0, 1]),
        dated_back=st.booleans(),
    )
    def correct(self, choice: random.Random, grown: int, *, dated_back: bool) -> None:
        """Correct a fill, and tell at once what nobody could have reserved."""
        fill = choice.choice([fill for fill in self.fills if fill.told])
        if not self.can_correct(fill, grown):
            return
        fill.quantity += grown
        fill.revision += 1
        if not dated_back:
            fill.at_ns = self.now_ns + self.skew_ns
        self.execute(fill, grown)
        if grown:
            self.tell(self.pending.pop(-2).make())

    @precondition(lambda self: any(order.leaves for order in self.orders))
    @rule(choice=st.randoms(use_true_random=False))
    def cancel(self, choice: random.Random) -> None:
        order = choice.choice([order for order in self.orders if order.leaves])
        order.live = False
        self.announce(order, OrderState.CANCELLED)

    @precondition(lambda self: any(order.leaves for order in self.orders))
    @rule(choice=st.randoms(use_true_random=False), state=st.sampled_from(DOUBTFUL))
    def move(self, choice: random.Random, state: OrderState) -> None:
        order = choice.choice([order for order in self.orders if order.leaves])
        self.announce(order, state)

    @precondition(lambda self: self.pending)
    @rule(choice=st.randoms(use_true_random=False))
    def deliver(self, choice: random.Random) -> None:
        news = choice.choice(self.pending)
        self.pending.remove(news)
        self.tell(news.make())

    @rule(seconds=st.sampled_from([0.01, 1, 4, 6, 11, 40]))
    def wait(self, seconds: float) -> None:
        self.now_ns += int(seconds * SECOND)

    @rule(choice=st.randoms(use_true_random=False), late=st.booleans())
    def read_any_time(self, choice: random.Random, *, late: bool) -> None:
        self.read(choice, late=late)

    @rule(choice=st.randoms(use_true_random=False))
    def settle(self, choice: random.Random) -> None:
        """Let all news arrive and all reads be clean: then nothing is in doubt any more."""
        self.deliver_all()
        self.now_ns += SETTLE_NS + 2 * SKEW_NS + 1
        self.read(choice)

        exposure = self.risk.exposure(CONID)
        assert exposure.position == exposure.lowest == exposure.highest == self.true_position

    @rule(choice=st.randoms(use_true_random=False))
    def repeat(self, choice: random.Random) -> None:
        before = self.risk.exposure(CONID), self.risk.position_views(0)
        message = choice.choice(self.handled)
        if isinstance(message, PositionFilled):
            # Replayed by the stream: the same executions, seen now.
            message = PositionsFilled(fills=(replace(message, seen_ns=self.now_ns),) * 2)

        effects = self.risk.handle(message)

        assert (self.risk.exposure(CONID), self.risk.position_views(0)) == before
        assert all(effect for effect in effects)

    @invariant()
    def what_is_held_and_what_may_fill_is_within_the_limit(self) -> None:
        assert self.true_position + self.longs <= MOST
        assert self.shorts - self.true_position <= MOST

    @invariant()
    def risk_never_counts_less_than_what_is_held_and_may_fill(self) -> None:
        if self.risk.positions_known:
            exposure = self.risk.exposure(CONID)
            nothing = Decimal(0)
            assert exposure.worst(Side.BUY, nothing) >= self.true_position + self.longs
            assert exposure.worst(Side.SELL, nothing) >= self.shorts - self.true_position

    @invariant()
    def all_figures_are_true_once_all_is_told(self) -> None:
        if not self.pending and self.risk.positions_known:
            exposure = self.risk.exposure(CONID)
            assert exposure.lowest <= self.true_position <= exposure.highest
            assert exposure.orders_total == sum(1 for order in self.orders if order.leaves)
            assert exposure.working_buy + exposure.working_sell == sum(
                order.reserved for order in self.orders
            )


TestAccount = Account.TestCase
TestAccount.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
