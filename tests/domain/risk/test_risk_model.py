"""The risk of one account against a small model of what is true at the broker.

Groups, orders of others, frozen positions, assignments, new logins and restarts; the news
of it comes late, twice and in any order. `test_account_properties.py` has the clocks, the
corrections and the changes.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from engine.domain.messages import (
    ExternalWorking,
    OrderChanged,
    PositionFilled,
    PositionsFilled,
    PositionsRead,
    ReconcileAccount,
    RequestOrder,
    RequestVerdict,
    ResumeScope,
    WriteReconciled,
)
from engine.domain.risk import AccountRisk, LastReconciled, RiskEffect, RiskMessage, StartOrder
from engine.domain.risk.moves import SETTLE_NS, SKEW_NS
from engine.domain.risk.reconcile import LATE_NS
from engine.domain.values import (
    BrokerOrderId,
    GroupKind,
    OrderId,
    OrderRow,
    OrderState,
    Reconciliation,
    Side,
    Ticket,
)
from engine.domain.views import OrderView
from tests.domain.risk.samples import (
    ACCOUNT,
    ANYTHING,
    BUY,
    CONID,
    MINE,
    NOW_NS,
    QUOTE,
    READY,
    RECONCILED,
    SECOND,
    SESSION,
    execution,
    limits,
    position,
    request,
    told,
    view,
)
from tests.domain.risk.test_requests import group

MOST = 8
ODD = ["nothing", "nothing", "theirs", "frozen", "assigned", "assigned", "absent"]
"""What is odd about a run; several at once would leave nothing else to see."""
WITHIN = limits(
    {
        "position.max_qty": MOST,
        "position.max_notional.abs": 10**9,
        "order.max_notional.abs": 10**9,
        "working.max_total": 12,
        "working.max_per_conid_side": 12,
    }
)
DOUBTFUL = [OrderState.IN_DOUBT, OrderState.PARKED, OrderState.WORKING, OrderState.SUBMITTING]
_FAR = {Side.BUY: Side.SELL, Side.SELL: Side.BUY}


@dataclass
class Ours:
    """One of our orders as it truly is; `fills` are its executions by name."""

    number: int
    ticket: Ticket
    fills: dict[str, int] = field(default_factory=dict)
    live: bool = True
    absent: bool = False
    """True while everybody believes the wrong proof that there is no such order."""
    absent_seq: int = 0

    @property
    def order_id(self) -> OrderId:
        return OrderId(f"order-{self.number}")

    @property
    def filled(self) -> int:
        return sum(self.fills.values())

    @property
    def left(self) -> int:
        return int(self.ticket.quantity) - self.filled if self.live else 0

    @property
    def leader(self) -> OrderId:
        return self.order_id if self.ticket.group is None else self.ticket.group.leader

    @property
    def is_exit(self) -> bool:
        return self.ticket.group is not None and self.ticket.group.is_exit


@dataclass
class Theirs:
    """An order of somebody else."""

    number: int
    side: Side
    quantity: int
    filled: int = 0
    live: bool = True

    @property
    def left(self) -> int:
        return self.quantity - self.filled if self.live else 0

    @property
    def row(self) -> OrderRow:
        return OrderRow(
            account=ACCOUNT,
            broker_order_id=BrokerOrderId(f"their-{self.number}"),
            conid=CONID,
            side=self.side,
            total_quantity=Decimal(self.quantity),
            filled_quantity=Decimal(self.filled),
        )


def signed(side: Side, quantity: int) -> int:
    return quantity if side is Side.BUY else -quantity


class Model(RuleBasedStateMachine):
    """A broker, and the news of it on its way to the account's risk."""

    def __init__(self) -> None:
        super().__init__()
        self.now_ns = NOW_NS
        self.ours: list[Ours] = []
        self.theirs: list[Theirs] = []
        self.first_held = 0
        self.changes: list[tuple[int, int]] = []
        self.unread_since: int | None = None
        self.forced = False
        self.seq = 0
        self.epoch = 1
        self.pending: list[Callable[[], RiskMessage]] = []
        self.handled: list[RiskMessage] = []
        self.record: tuple[LastReconciled, int] | None = None
        self.odd = "nothing"
        self.risk = AccountRisk(ACCOUNT, SESSION, WITHIN)

    # --- what is true ----------------------------------------------------------------------

    @property
    def held(self) -> int:
        return self.first_held + sum(quantity for _, quantity in self.changes)

    def members(self, leader: OrderId) -> list[Ours]:
        return [order for order in self.ours if order.leader == leader]

    def can_fill(self, order: Ours) -> int:
        """Return what the broker may fill of it now."""
        if not order.is_exit:
            return order.left
        members = self.members(order.leader)
        entry = next(one for one in members if not one.is_exit)
        closed = sum(one.filled for one in members if one.is_exit)
        return max(min(order.left, entry.filled - closed), 0)

    def may_fill(self, side: Side) -> int:
        """Return what may fill on a side at most; one of those that exclude each other."""
        theirs = sum(order.left for order in self.theirs if order.side is side)
        ours = 0
        for leader in {order.leader for order in self.ours}:
            members = [one for one in self.members(leader) if one.ticket.side is side]
            ours += max((self.can_fill(one) for one in members), default=0)
        return theirs + ours

    @property
    def worst_long(self) -> int:
        return self.held + self.may_fill(Side.BUY)

    @property
    def worst_short(self) -> int:
        return self.may_fill(Side.SELL) - self.held

    # --- how it is told --------------------------------------------------------------------

    def tell(self, message: RiskMessage) -> tuple[RiskEffect, ...]:
        effects = self.risk.handle(message)
        self.handled.append(message)
        for effect in effects:
            assert not isinstance(effect, StartOrder)
            if isinstance(effect, WriteReconciled):
                last = LastReconciled(reconciled=effect.reconciled, at_ns=self.now_ns)
                self.record = (last, self.now_ns)
        return effects

    def tell_later(self, make: Callable[[], RiskMessage]) -> None:
        self.pending.append(make)

    def announce(self, order: Ours, state: OrderState) -> None:
        self.seq += 1
        shown = self.shown(order, state)

        def make() -> OrderChanged:
            if shown.seq > order.absent_seq:
                order.absent = False
            return OrderChanged(view=shown)

        self.tell_later(make)

    def shown(self, order: Ours, state: OrderState) -> OrderView:
        plain = view(order.number, order.ticket, seq=self.seq, state=state, filled=order.filled)
        return replace(plain, group=order.ticket.group)

    def end(self, order: Ours, state: OrderState) -> None:
        order.live = False
        self.announce(order, state)

    # --- the rules -------------------------------------------------------------------------

    @initialize(held=st.integers(-3, 3), odd=st.sampled_from(ODD))
    def log_in(self, held: int, odd: str) -> None:
        self.first_held, self.odd = held, odd
        self.tell(READY)
        self.tell(self.answer())
        self.tell(RECONCILED)

    def quoted(self, message: RequestOrder) -> RequestOrder:
        quote = replace(QUOTE, received_ns=self.now_ns)
        return replace(message, quote=quote, now_ns=self.now_ns, instrument=ANYTHING)

    def send(self, message: RequestOrder) -> None:
        before = self.risk.exposure(CONID)
        pending = self.risk.reconciliation is Reconciliation.PENDING
        breaks = self.risk.reconciliation is Reconciliation.BREAKS

        answer, effects = self.risk.request(message)
        repeated, nothing = self.risk.request(message)

        assert repeated.verdict is RequestVerdict.REPEATED
        assert nothing == ()
        tickets = (message.ticket, *(one.ticket for one in message.followers))
        started = [effect for effect in effects if isinstance(effect, StartOrder)]
        if answer.verdict is not RequestVerdict.APPROVED:
            assert not started
            assert self.risk.exposure(CONID) == before, "a refusal reserved something"
            self.seq += 1
            for number, ticket in enumerate(tickets, start=len(self.ours) + 1):
                self.ours.append(Ours(number=number, ticket=ticket, live=False))
            return
        assert not pending, "nothing is sent before the account was compared"
        (start,) = started
        assert len(start.followers) == len(message.followers)
        after, ticket = self.risk.exposure(CONID), message.ticket
        reducing = before.is_reducing(ticket.side, ticket.quantity)
        assert reducing or after.worst(ticket.side, Decimal(0)) <= MOST
        assert reducing or not breaks, "a break let an increasing order pass"
        assert after.orders_total == before.orders_total + len(tickets)
        for number, one in enumerate(tickets, start=len(self.ours) + 1):
            self.ours.append(Ours(number=number, ticket=one))

    @rule(side=st.sampled_from(Side), quantity=st.sampled_from([1, 2, 3, MOST, MOST + 1]))
    def submit(self, side: Side, quantity: int) -> None:
        number = len(self.ours) + 1
        ticket = replace(BUY, side=side, quantity=Decimal(quantity))
        self.send(self.quoted(request(number, ticket)))

    @rule(
        kind=st.sampled_from(GroupKind),
        side=st.sampled_from(Side),
        quantity=st.integers(1, 4),
        others=st.lists(st.integers(1, 4), min_size=1, max_size=2),
        far=st.booleans(),
    )
    def submit_group(
        self, kind: GroupKind, side: Side, quantity: int, others: list[int], *, far: bool
    ) -> None:
        leader = replace(BUY, side=side, quantity=Decimal(quantity))
        other = _FAR[side] if far or kind is GroupKind.BRACKET else side
        if kind is GroupKind.BRACKET and not far:
            others = [min(one, quantity) for one in others]
        rest = [replace(leader, side=other, quantity=Decimal(one)) for one in others]
        self.send(self.quoted(group(kind, leader, *rest, number=len(self.ours) + 1)))

    @precondition(lambda self: any(map(self.can_fill, self.ours)))
    @rule(choice=st.randoms(use_true_random=False), whole=st.booleans())
    def fill(self, choice: random.Random, *, whole: bool) -> None:
        order = choice.choice([one for one in self.ours if self.can_fill(one)])
        quantity = self.can_fill(order) if whole else 1
        name = f"fill-{order.number}-{len(order.fills)}"
        order.fills[name] = quantity
        self.changes.append((self.now_ns, signed(order.ticket.side, quantity)))
        self.tell_fill(order, name, self.now_ns)
        over = not order.left
        order.live = not over
        self.announce(order, OrderState.FILLED if over else OrderState.PARTIALLY_FILLED)
        self.cancel_siblings(order)

    @precondition(lambda self: any(map(self.can_fill, self.ours)))
    @rule(choice=st.randoms(use_true_random=False))
    def fill_and_tell(self, choice: random.Random) -> None:
        """Fill some, and let some of the news arrive; most of a day is like this."""
        self.fill(choice, whole=choice.random() < 1 / 2)
        while self.pending and choice.random() < 3 / 4:
            self.deliver(choice)

    def tell_fill(self, order: Ours, name: str, at_ns: int) -> None:
        made = execution(
            f"{name}.01", order.fills[name], number=order.number, side=order.ticket.side
        )
        self.tell_later(lambda: replace(told(made, second=0), now_ns=at_ns, seen_ns=self.now_ns))

    def cancel_siblings(self, order: Ours) -> None:
        """Do what the broker does with those that exclude each other."""
        kind = None if order.ticket.group is None else order.ticket.group.kind
        for other in self.members(order.leader):
            excluded = kind is GroupKind.OCA or (order.is_exit and other.is_exit)
            if other is not order and excluded and other.live:
                self.end(other, OrderState.CANCELLED)

    @precondition(lambda self: any(order.live for order in self.ours))
    @rule(choice=st.randoms(use_true_random=False))
    def cancel(self, choice: random.Random) -> None:
        order = choice.choice([one for one in self.ours if one.live])
        self.end(order, OrderState.CANCELLED)
        kind = None if order.ticket.group is None else order.ticket.group.kind
        if kind is GroupKind.BRACKET and not order.is_exit and not order.filled:
            for other in self.members(order.leader):
                if other.live:
                    self.end(other, OrderState.CANCELLED)

    @precondition(lambda self: any(order.live for order in self.ours))
    @rule(choice=st.randoms(use_true_random=False), state=st.sampled_from(DOUBTFUL))
    def doubt(self, choice: random.Random, state: OrderState) -> None:
        """Say something of an order that proves nothing."""
        known = [one for one in self.ours if one.live and not one.absent]
        if known:
            self.announce(choice.choice(known), state)

    @precondition(lambda self: any(one.live and not one.fills for one in self.ours))
    @rule(choice=st.randoms(use_true_random=False))
    def prove_absent(self, choice: random.Random) -> None:
        """Prove an order absent; a proof that was wrong is evidence of the worst kind."""
        alone = [one for one in self.ours if one.live and not one.fills and not one.ticket.group]
        if not alone:
            return
        order, wrongly = choice.choice(alone), self.odd == "absent"
        self.announce(order, OrderState.NOT_PLACED)
        order.live = wrongly
        if wrongly:
            order.absent, order.absent_seq, self.forced = True, self.seq, True

    @precondition(lambda self: any(one.absent for one in self.ours))
    @rule()
    def resurrect(self) -> None:
        order = next(one for one in self.ours if one.absent)
        self.announce(order, OrderState.WORKING if order.live else OrderState.CANCELLED)

    @precondition(lambda self: self.odd == "theirs")
    @rule(side=st.sampled_from(Side), quantity=st.integers(1, 4))
    def place_theirs(self, side: Side, quantity: int) -> None:
        self.forced = True
        order = Theirs(number=len(self.theirs) + 1, side=side, quantity=quantity)
        self.theirs.append(order)
        self.tell(ExternalWorking(row=order.row, over=False))

    @precondition(lambda self: any(order.left for order in self.theirs))
    @rule(choice=st.randoms(use_true_random=False), fills=st.booleans())
    def move_theirs(self, choice: random.Random, *, fills: bool) -> None:
        """Fill one of theirs by one, or cancel it; row and execution come on their own."""
        order = choice.choice([one for one in self.theirs if one.left])
        if fills:
            order.filled += 1
            self.changes.append((self.now_ns, signed(order.side, 1)))
            made = replace(
                execution(f"theirs-{order.number}-{order.filled}.01", 1, side=order.side),
                broker_order_id=order.row.broker_order_id,
            )
            at_ns = self.now_ns
            self.tell_later(
                lambda: replace(told(made, second=0), now_ns=at_ns, seen_ns=self.now_ns)
            )
        order.live = fills and order.filled < order.quantity
        self.tell_later(lambda: ExternalWorking(row=order.row, over=not order.live))

    @precondition(lambda self: self.odd == "assigned")
    @rule(quantity=st.sampled_from([-2, -1, 1, 2]))
    def assign(self, quantity: int) -> None:
        """Move the position without any order or execution."""
        self.forced = True
        self.changes.append((self.now_ns, quantity))
        self.unread_since = self.now_ns

    def answer(self, choice: random.Random | None = None, *, frozen_ns: int = 0) -> PositionsRead:
        """Answer with what has settled, and with some of what has not."""
        until_ns = self.now_ns - frozen_ns
        held = self.first_held + sum(
            quantity
            for at_ns, quantity in self.changes
            if at_ns < until_ns - SETTLE_NS
            or (not frozen_ns and choice is not None and choice.random() < 1 / 2)
        )
        answer = PositionsRead(
            account=ACCOUNT,
            positions=(position(held),) if held else (),
            started_ns=self.now_ns,
            ended_ns=self.now_ns + 1,
        )
        since = self.unread_since
        if since is not None and since < until_ns - SETTLE_NS:
            self.unread_since = None
        self.now_ns += SECOND // 10
        return answer

    @rule(choice=st.randoms(use_true_random=False))
    def read(self, choice: random.Random) -> None:
        """Read the positions; a frozen cache serves those of a minute ago."""
        frozen = self.odd == "frozen" and choice.random() < 1 / 2
        answer = self.answer(choice, frozen_ns=60 * SECOND * frozen)
        before = self.counts()
        self.tell(answer)
        assert self.counts() == before, "a read invented or took back a fill"

    def counts(self) -> list[tuple[OrderId, Decimal, Decimal]]:
        found = []
        for order in self.ours:
            kept = self.risk.reservation(order.order_id)
            if kept is not None:
                found.append((kept.order_id, kept.filled_quantity, kept.told_quantity))
        return found

    @rule(seconds=st.sampled_from([0.01, 1, 6, 20, 65]))
    def wait(self, seconds: float) -> None:
        self.now_ns += int(seconds * SECOND)

    @precondition(lambda self: self.pending)
    @rule(choice=st.randoms(use_true_random=False))
    def deliver(self, choice: random.Random) -> None:
        make = choice.choice(self.pending)
        self.pending.remove(make)
        self.tell(make())

    @rule(choice=st.randoms(use_true_random=False))
    def repeat(self, choice: random.Random) -> None:
        """Tell again what was told before: executions, news of orders, answers."""
        message = choice.choice(self.handled)
        if isinstance(message, ExternalWorking | ReconcileAccount | ResumeScope):
            return  # They say how things are, not what happened; the newest counts.
        before = self.risk.exposure(CONID), self.counts()
        self.risk.handle(message)
        assert (self.risk.exposure(CONID), self.counts()) == before

    @rule(choice=st.randoms(use_true_random=False))
    def log_in_again(self, choice: random.Random) -> None:
        self.epoch += 1
        self.tell(replace(READY, epoch=self.epoch))
        step = replace(RECONCILED, epoch=self.epoch, step="positions", done=False)
        self.tell(step)
        self.tell(self.answer(choice))
        self.tell(replace(step, step="", done=True))

    @precondition(lambda self: self.record is not None)
    @rule(choice=st.randoms(use_true_random=False))
    def restart(self, choice: random.Random) -> None:
        """Begin anew from what is durable: the record, every order and its executions."""
        assert self.record is not None
        last, written_ns = self.record
        self.deliver_all()
        self.now_ns += 40 * SECOND
        self.epoch += 1
        self.risk = AccountRisk(ACCOUNT, SESSION, WITHIN)
        self.tell(replace(last, at_ns=written_ns))
        earlier = [one for one in self.handled if isinstance(one, OrderChanged)]
        filled = (one for one in self.handled if isinstance(one, PositionFilled))
        fills = tuple(replace(one, seen_ns=self.now_ns) for one in filled)
        self.risk.handle(PositionsFilled(fills=fills))
        for message in sorted(earlier, key=lambda one: one.view.seq):
            self.risk.handle(message)
        for order in self.ours:
            if self.risk.reservation(order.order_id) is None and order.live:
                self.announce(order, OrderState.SUBMITTING)
        for theirs in self.theirs:
            if theirs.live:
                self.tell(ExternalWorking(row=theirs.row, over=False))
        self.deliver_all()
        self.tell(replace(READY, epoch=self.epoch))
        self.tell(self.answer(choice))
        self.tell(replace(RECONCILED, epoch=self.epoch))

    def deliver_all(self) -> None:
        while self.pending:
            self.tell(self.pending.pop(0)())

    @precondition(lambda self: self.odd != "frozen")
    @rule(choice=st.randoms(use_true_random=False))
    def accept(self, choice: random.Random) -> None:
        """Look at all of it, then take the broker's word, as a careful person does."""
        self.settle(choice)
        self.tell(ResumeScope(scope=MINE, reason="checked", by="ops"))
        assert self.risk.reconciliation is Reconciliation.CLEAN
        exposure = self.risk.exposure(CONID)
        assert exposure.position == exposure.lowest == exposure.highest == self.held

    @rule(choice=st.randoms(use_true_random=False))
    def settle(self, choice: random.Random) -> None:
        """Let all news arrive and the broker answer twice, as far apart as a break needs."""
        self.deliver_all()
        for _ in range(2):
            self.now_ns += SETTLE_NS + 2 * SKEW_NS + LATE_NS
            self.tell(self.answer(choice))
        exposure = self.risk.exposure(CONID)
        assert exposure.position == self.held
        assert exposure.lowest <= self.held <= exposure.highest
        if self.odd != "assigned":
            assert self.risk.reconciliation is Reconciliation.CLEAN
            assert exposure.lowest == exposure.highest

    # --- what must hold --------------------------------------------------------------------

    @invariant()
    def no_order_of_ours_passes_a_limit(self) -> None:
        if not self.forced:
            assert self.worst_long <= MOST
            assert self.worst_short <= MOST

    @invariant()
    def risk_never_counts_less_than_is_held_and_may_fill(self) -> None:
        if self.unread_since is not None or any(order.absent for order in self.ours):
            return  # Nobody has told it.
        if self.risk.reconciliation is Reconciliation.PENDING:
            return  # Nothing is sent on what it counts.
        exposure = self.risk.exposure(CONID)
        assert exposure.worst(Side.BUY, Decimal(0)) >= self.worst_long
        assert exposure.worst(Side.SELL, Decimal(0)) >= self.worst_short

    @invariant()
    def only_proof_releases_an_order(self) -> None:
        for order in self.ours:
            if order.left and not order.absent:
                kept = self.risk.reservation(order.order_id)
                assert kept is not None
                assert kept.open_quantity >= order.left

    @invariant()
    def a_group_is_there_whole_or_not_at_all(self) -> None:
        for leader in {order.leader for order in self.ours}:
            there = {
                self.risk.reservation(one.order_id) is not None for one in self.members(leader)
            }
            assert len(there) == 1

    @invariant()
    def all_orders_are_counted_once_all_is_told(self) -> None:
        if not self.pending:
            ours = sum(1 for order in self.ours if order.live and not order.absent)
            theirs = sum(1 for order in self.theirs if order.live)
            assert self.risk.exposure(CONID).orders_total == ours + theirs


TestModel = Model.TestCase
TestModel.settings = settings(max_examples=120, stateful_step_count=45, deadline=None)
