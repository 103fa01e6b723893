"""A group of orders with all that their shells, the journal and the broker's lane would do."""

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Final

from engine.domain.messages import (
    CancelAtBroker,
    CancelOrder,
    ForgetOrder,
    LearnAlias,
    ModifyAtBroker,
    OrderAnswered,
    OrderEffect,
    OrderMessage,
    OrderRecord,
    OrderRowSeen,
    PlaceAtBroker,
    RecordCommitted,
    RecordFailed,
    ReleaseTurn,
    ReplaceExit,
    ReplyAtBroker,
    ReportAnomaly,
    RequestLookup,
    RequestTurn,
    StartFollowers,
    StartTimer,
    Step,
    StopLookup,
    StopTimer,
    SubmitOrder,
    TellFollower,
    TimerFired,
    TurnGranted,
    WriteRecord,
)
from engine.domain.order import Order
from engine.domain.order.group import entry_named_by, exit_of
from engine.domain.values import (
    AnswerRow,
    ApprovedTicket,
    BrokerOrderId,
    BrokerStatus,
    ClientOrderId,
    Coid,
    GroupKind,
    GroupPlace,
    OrderId,
    OrderPolicy,
    OrderRow,
    OrderState,
    OrderType,
    Outcome,
    OutcomeKind,
    Reason,
    Side,
    Source,
    Ticket,
    UnprotectedPolicy,
)
from engine.domain.views import OrderView
from tests.domain.order.samples import ACCOUNT, CONID, POLICY, SESSION
from tests.samples import LIMIT_BUY

ENTRY: Final = OrderId("1-1")
PROFIT: Final = OrderId("1-2")
STOP: Final = OrderId("1-3")
IDS: Final = (ENTRY, PROFIT, STOP)
BODY: Final = b'{"orders":[{},{},{}]}'

_MS: Final = 1_000_000
START_NS: Final = 1_763_812_800_000 * _MS

LEGS: Final = (
    LIMIT_BUY,
    replace(
        LIMIT_BUY,
        client_order_id=ClientOrderId("mine-1:1"),
        side=Side.SELL,
        limit_price=Decimal(110),
    ),
    replace(
        LIMIT_BUY,
        client_order_id=ClientOrderId("mine-1:2"),
        side=Side.SELL,
        type=OrderType.STP,
        limit_price=None,
        stop_price=Decimal(90),
    ),
)
"""A buy of 10 at 100, with an exit at 110 and another at 90."""


def coid(order_id: OrderId) -> Coid:
    return Coid(f"EX0001-{order_id}-AB")


def broker_id(order_id: OrderId) -> BrokerOrderId:
    return BrokerOrderId(f"90{order_id[-1]}")


def approve(tickets: Sequence[Ticket], kind: GroupKind) -> tuple[ApprovedTicket, ...]:
    return tuple(
        ApprovedTicket(
            ticket=replace(
                ticket,
                group=GroupPlace(kind=kind, leader=ENTRY, index=index, size=len(tickets)),
            ),
            order_id=IDS[index],
            coid=coid(IDS[index]),
            session=SESSION,
            questions=POLICY,
            policy_hash="0" * 12,
            request_sha256="f" * 64,
        )
        for index, ticket in enumerate(tickets)
    )


def acknowledged(*rows: AnswerRow) -> Outcome:
    """Return the broker's answer that names the leader; without rows, it names nobody else."""
    leader = AnswerRow(broker_order_id=broker_id(ENTRY), coid=coid(ENTRY), status="PreSubmitted")
    others = rows or (unnamed(PROFIT), unnamed(STOP))
    return Outcome(
        kind=OutcomeKind.ACK,
        broker_order_id=broker_id(ENTRY),
        status="PreSubmitted",
        rows=(*others, leader),
    )


def unnamed(order_id: OrderId) -> AnswerRow:
    """Return the row of an exit: it names its entry and not itself."""
    return AnswerRow(
        broker_order_id=broker_id(order_id), parent_id=broker_id(ENTRY), status="PreSubmitted"
    )


FAILED: Final = AnswerRow(broker_order_id=None, status="Failed", text="no such stop price")


class Stopped(Exception):  # noqa: N818 - it is what happened, no error
    """The process is gone."""


class Company:
    """The orders of one group. Everything is done at once, and in order.

    With `stop_after`, the process is gone when so many records are durable.
    """

    def __init__(
        self,
        tickets: Sequence[Ticket] = LEGS,
        kind: GroupKind = GroupKind.BRACKET,
        *,
        policy: UnprotectedPolicy = UnprotectedPolicy.ALARM,
        stop_after: int | None = None,
    ) -> None:
        self.approved = approve(tickets, kind)
        self.policy = OrderPolicy(unprotected=policy)
        self.now_ns = START_NS
        self.epoch = 1
        self.stop_after = stop_after
        self.refuse: tuple[OrderId, type] | None = None
        self.orders: dict[OrderId, Order] = {}
        self.durable: list[tuple[OrderId, OrderRecord, int]] = []
        self.views: dict[OrderId, OrderView] = {}
        self.wire: list[PlaceAtBroker | ReplyAtBroker | CancelAtBroker | ModifyAtBroker] = []
        self.anomalies: list[str] = []
        self.replaced: list[ReplaceExit] = []
        self.replacements: tuple[OrderView, ...] = ()
        """What there is in place of exits."""
        self.sought: set[OrderId] = set()
        self.released = 0
        self._aliases: dict[BrokerOrderId, OrderId] = {}
        self._mail: deque[tuple[OrderId, OrderMessage]] = deque()
        self._writes: deque[tuple[OrderId, WriteRecord]] = deque()
        self._timers: dict[tuple[OrderId, str], int] = {}
        self.granting = True

    # --- what the test does ----------------------------------------------------------------

    def submit(self) -> "Company":
        """Let risk start the group, and let it go as far as it goes."""
        leader, *followers = self.approved
        self._begin(leader.order_id)
        intent = SubmitOrder(approved=leader, body=BODY, followers=tuple(followers))
        self.tell(ENTRY, intent)
        return self

    def answer(self, outcome: Outcome, step: Step = Step.PLACE) -> "Company":
        self.tell(ENTRY, OrderAnswered(order_id=ENTRY, step=step, outcome=outcome))
        return self

    def cancel(self, order_id: OrderId) -> None:
        self.tell(order_id, CancelOrder(order_id=order_id, cause="ops"))

    def show(self, row: OrderRow, *, read: int = 0) -> OrderId | None:
        """Show a row; return whose it is found to be, as the switchboard would."""
        found = None
        if row.coid is not None:
            found = next((one.order_id for one in self.approved if one.coid == row.coid), None)
        found = found or self._aliases.get(row.broker_order_id)
        if found is None:
            named = entry_named_by(row)
            leader = None if named is None else self._aliases.get(named)
            exits = [self.views[one.order_id] for one in self.approved[1:]]
            found = exit_of(row, exits, None if leader is None else named)
        if found is not None:
            source = Source.POLL if read else Source.STREAM
            self.tell(found, OrderRowSeen(order_id=found, row=row, source=source, read=read))
        return found

    def pass_time(self, milliseconds: int) -> None:
        """Let time pass; timers fire in their order."""
        until_ns = self.now_ns + milliseconds * _MS
        while due := min(
            (item for item in self._timers.items() if item[1] <= until_ns),
            key=lambda item: item[1],
            default=None,
        ):
            (order_id, name), due_ns = due
            del self._timers[order_id, name]
            self.now_ns = max(self.now_ns, due_ns)
            if name == "exits":
                found = (self.views.get(one.order_id) for one in self.orders[order_id].followers)
                own = tuple(view for view in found if view is not None)
                self.orders[order_id].exits = own + self.replacements
            self.tell(order_id, TimerFired(name=name))
        self.now_ns = until_ns

    def tell(self, order_id: OrderId, message: OrderMessage) -> None:
        self._mail.append((order_id, message))
        self.run()

    def run(self) -> None:
        """Handle all mail and make all records durable."""
        while self._mail or self._writes:
            while self._mail:
                order_id, message = self._mail.popleft()
                if order_id in self.orders:
                    self._handle(order_id, message)
            if self._writes:
                self._commit(*self._writes.popleft())

    def restarted(self, *, milliseconds: int = 1_000) -> "Company":
        """Return the company as the next process makes it of what was durable."""
        again = Company()
        again.approved, again.policy = self.approved, self.policy
        again.now_ns, again.epoch = self.now_ns + milliseconds * _MS, self.epoch + 1
        again.durable = list(self.durable)
        for order_id, record, at_ns in self.durable:
            if order_id not in again.orders:
                again._begin(order_id)
            again.orders[order_id].replay(record, at_ns)
        again.views = {order_id: order.view() for order_id, order in again.orders.items()}
        for order_id, order in tuple(again.orders.items()):
            again._perform(order_id, order.resume(again.now_ns))
        again.run()
        return again

    # --- what the test sees ------------------------------------------------------------------

    @property
    def states(self) -> tuple[OrderState | None, ...]:
        """The durable states of the members, in order; None for one without a record."""
        views = (self.views.get(one.order_id) for one in self.approved)
        return tuple(None if view is None else view.state for view in views)

    @property
    def placed(self) -> int:
        return sum(isinstance(one, PlaceAtBroker) for one in self.wire)

    @property
    def cancelled(self) -> list[BrokerOrderId]:
        return [one.broker_order_id for one in self.wire if isinstance(one, CancelAtBroker)]

    def timers(self, order_id: OrderId) -> set[str]:
        """Return the names of the timers that run for an order."""
        return {name for owner, name in self._timers if owner == order_id}

    def records(self, order_id: OrderId) -> list[str]:
        return [type(record).__name__ for owner, record, _ in self.durable if owner == order_id]

    def copy_of(self, order_id: OrderId) -> Order:
        """Return the order as its records alone make it."""
        copy = Order()
        for owner, record, at_ns in self.durable:
            if owner == order_id:
                copy.replay(record, at_ns)
        return copy

    # --- what the shells do --------------------------------------------------------------------

    def _begin(self, order_id: OrderId) -> None:
        self.orders[order_id] = Order()
        self.orders[order_id].policy = self.policy

    def _handle(self, order_id: OrderId, message: OrderMessage) -> None:
        self.now_ns += 1_000
        self._perform(order_id, self.orders[order_id].handle(message, self.now_ns))

    def _perform(self, order_id: OrderId, effects: Sequence[OrderEffect]) -> None:
        for effect in effects:
            self._do(order_id, effect)

    def _do(self, order_id: OrderId, effect: OrderEffect) -> None:
        match effect:
            case WriteRecord():
                self._writes.append((order_id, effect))
            case StartFollowers(followers=followers):
                self._start(followers)
            case TellFollower(message=message):
                self._mail.append((message.order_id, message))
            case RequestTurn() if self.granting:
                turn = TurnGranted(order_id=order_id, session_epoch=self.epoch, send_by_ns=99)
                self._mail.append((order_id, turn))
            case PlaceAtBroker() | ReplyAtBroker() | CancelAtBroker() | ModifyAtBroker():
                self.wire.append(effect)
            case StartTimer(name=name, delay_ms=delay_ms):
                self._timers[order_id, name] = self.now_ns + delay_ms * _MS
            case StopTimer(name=name):
                self._timers.pop((order_id, name), None)
            case _:
                self._note(order_id, effect)

    def _note(self, order_id: OrderId, effect: OrderEffect) -> None:
        match effect:
            case LearnAlias(broker_order_id=broker_order_id):
                self._aliases[broker_order_id] = order_id
            case RequestLookup():
                self.sought.add(order_id)
            case StopLookup():
                self.sought.discard(order_id)
            case ReportAnomaly(kind=kind):
                self.anomalies.append(kind)
            case ReplaceExit():
                self.replaced.append(effect)
            case ReleaseTurn():
                self.released += 1
            case _:
                assert isinstance(effect, RequestTurn | ForgetOrder), effect

    def _start(self, followers: Sequence[ApprovedTicket]) -> None:
        for approved in followers:
            if approved.order_id not in self.orders:
                self._begin(approved.order_id)
                self._handle(approved.order_id, SubmitOrder(approved=approved, body=b""))

    def _commit(self, order_id: OrderId, written: WriteRecord) -> None:
        name = type(written.record).__name__
        if (order_id, type(written.record)) == self.refuse:
            reason = Reason(code="JOURNAL_UNAVAILABLE", message="the disk is gone")
            self._mail.append(
                (order_id, RecordFailed(order_id=order_id, record=name, reason=reason))
            )
            return
        if self.stop_after is not None and len(self.durable) >= self.stop_after:
            raise Stopped
        self.durable.append((order_id, written.record, written.view.updated_at_ns))
        self.views[order_id] = written.view
        if written.confirm:
            self._mail.append((order_id, RecordCommitted(order_id=order_id, record=name)))


def entry_row(status: BrokerStatus = BrokerStatus.SUBMITTED, *, filled: int = 0) -> OrderRow:
    return _row(ENTRY, status, filled)


def exit_row(
    order_id: OrderId,
    status: BrokerStatus = BrokerStatus.PRE_SUBMITTED,
    *,
    filled: int = 0,
    tickets: Sequence[Ticket] = LEGS,
) -> OrderRow:
    ticket = tickets[IDS.index(order_id)]
    return replace(
        _row(order_id, status, filled),
        coid=None,
        side=ticket.side,
        order_type=ticket.type.value,
        limit_price=ticket.limit_price,
        stop_price=ticket.stop_price,
        parent_id=broker_id(ENTRY),
        oca_group=broker_id(ENTRY),
    )


def _row(order_id: OrderId, status: BrokerStatus, filled: int) -> OrderRow:
    return OrderRow(
        account=ACCOUNT,
        broker_order_id=broker_id(order_id),
        coid=coid(order_id),
        conid=CONID,
        side=Side.BUY,
        order_type="LMT",
        total_quantity=Decimal(10),
        filled_quantity=Decimal(filled),
        limit_price=Decimal(100),
        tif="DAY",
        status=status,
    )
