"""Orders and their account's risk together: no change, fill, loss or restart passes a limit.

The order machine is the real one, and so is risk; only the broker is small. It decides when
it takes a change, tells of it or not, and fills whatever is in force there.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from engine.domain.messages import (
    CancelAtBroker,
    CancelOrder,
    ExecutionSeen,
    ModifyAtBroker,
    ModifyOrder,
    OrderAnswered,
    OrderChanged,
    OrderMessage,
    OrderRecord,
    OrderRowSeen,
    PlaceAtBroker,
    PositionFilled,
    PositionsRead,
    RecordCommitted,
    RequestChange,
    RequestTurn,
    Step,
    SubmitOrder,
    TimerFired,
    TurnGranted,
    TurnRefused,
    WriteRecord,
)
from engine.domain.order import Order
from engine.domain.risk import AccountRisk, RiskMessage, StartOrder
from engine.domain.values import (
    TERMINAL,
    BrokerOrderId,
    BrokerStatus,
    Execution,
    ExecutionId,
    OrderRow,
    Outcome,
    OutcomeKind,
    Pending,
    Reason,
    Source,
)
from engine.domain.views import OrderView
from tests.domain.risk.samples import (
    ACCOUNT,
    ANYTHING,
    BUY,
    CONID,
    NOW_NS,
    QUOTE,
    READY,
    SECOND,
    SESSION,
    limits,
    position,
    request,
)

MOST = 20
LIMITS = limits({"position.max_qty": MOST, "position.max_notional.abs": 10**9})
TIMEOUT = Outcome(
    kind=OutcomeKind.IN_DOUBT, reason=Reason(code="TIMEOUT", message="no answer in 12,000 ms")
)
REFUSED = Outcome(kind=OutcomeKind.REFUSED, reason=Reason(code="NO", message="no"))


MOSTLY = st.sampled_from([True, True, True, False])
SELDOM = st.sampled_from([False, False, False, True])


@dataclass
class Held:
    """An order as the broker has it: what is in force there, and what it was asked for."""

    broker_id: BrokerOrderId
    quantity: int
    filled: int = 0
    live: bool = True
    asked: int | None = None
    answer_due: bool = False
    fills: int = 0

    @property
    def leaves(self) -> int:
        return max(self.quantity - self.filled, 0) if self.live else 0

    def decide(self, *, take: bool) -> None:
        """Take the change that was asked for, or not; then that is over."""
        if take and self.asked is not None and self.live and self.asked > self.filled:
            self.quantity = self.asked
        self.asked = None


class Line:
    """One order, its records, and the broker's side of it."""

    def __init__(
        self, number: int, told: Callable[[RiskMessage], None], now_ns: Callable[[], int]
    ) -> None:
        self.number = number
        self.order = Order()
        self.records: list[tuple[OrderRecord, int]] = []
        self.view: OrderView | None = None
        self.held: Held | None = None
        self.wants_turn = False
        self.told = told
        self.now_ns = now_ns

    def tell(self, message: OrderMessage, seq: Callable[[], int]) -> None:
        """Do all that the shell would do, with a journal that is durable at once."""
        for effect in self.order.handle(message, seq()):
            self.perform(effect, seq)

    def perform(self, effect: object, seq: Callable[[], int]) -> None:
        match effect:
            case WriteRecord():
                number = seq()
                self.records.append((effect.record, effect.view.updated_at_ns))
                if isinstance(effect.record, ExecutionSeen):
                    at_ns = self.now_ns()
                    execution = effect.record.execution
                    self.told(PositionFilled(execution=execution, now_ns=at_ns, seen_ns=at_ns))
                self.view = replace(effect.view, seq=number)
                self.told(OrderChanged(view=self.view))
                if effect.confirm:
                    name = type(effect.record).__name__
                    self.tell(RecordCommitted(order_id=self.order.order_id, record=name), seq)
            case RequestTurn():
                self.wants_turn = True
            case PlaceAtBroker():
                broker_id = BrokerOrderId(f"{1_000 + self.number}")
                quantity = int(self.order.ticket.quantity)
                self.held = Held(broker_id=broker_id, quantity=quantity)
            case ModifyAtBroker():
                assert self.held is not None
                wanted = self.order.change
                assert wanted is not None
                self.held.asked, self.held.answer_due = int(wanted.wanted.quantity), True
            case CancelAtBroker():
                assert self.held is not None, "nothing was sent that could be cancelled"
            case _:
                pass


class Account(RuleBasedStateMachine):
    """Plays two orders of one account; each rule is one thing that happens somewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.risk = AccountRisk(ACCOUNT, SESSION, LIMITS)
        self.mail: list[RiskMessage] = []
        self.lines: list[Line] = []
        self.clock = 0
        self.seq_now = 0
        self.log_in()

    def log_in(self) -> None:
        self.clock += 1_000
        held = sum(line.held.filled for line in self.lines if line.held)
        self.risk.handle(READY)
        self.risk.handle(
            PositionsRead(
                account=ACCOUNT,
                positions=(position(held),) if held else (),
                started_ns=NOW_NS + self.clock * SECOND,
                ended_ns=NOW_NS + self.clock * SECOND + 1,
            )
        )

    def now_ns(self) -> int:
        """Return a time that is well after the last read of the positions."""
        return NOW_NS + (self.clock + 500) * SECOND

    def next_seq(self) -> int:
        self.seq_now += 1
        return self.seq_now

    def tell(self, line: Line, message: OrderMessage) -> None:
        line.tell(message, self.next_seq)

    def pick(self, number: int) -> Line:
        return self.lines[number % len(self.lines)]

    def turn(self, line: Line) -> None:
        line.wants_turn = False
        granted = TurnGranted(order_id=line.order.order_id, session_epoch=1, send_by_ns=0)
        self.tell(line, granted)

    @initialize(first=st.integers(2, 12), second=st.integers(2, 8))
    def submit_two(self, first: int, second: int) -> None:
        self.submit(first)
        self.submit(second)

    @precondition(lambda self: len(self.lines) < 4)
    @rule(quantity=st.integers(1, 12))
    def submit(self, quantity: int) -> None:
        number = len(self.lines) + 1
        ticket = replace(BUY, quantity=Decimal(quantity))
        _, effects = self.risk.request(replace(request(number, ticket), instrument=ANYTHING))
        for effect in effects:
            if isinstance(effect, StartOrder):
                line = Line(number, self.mail.append, self.now_ns)
                self.lines.append(line)
                self.tell(line, SubmitOrder(approved=effect.approved, body=b"new"))
                self.turn(line)
                assert line.held is not None
                acked = Outcome(
                    kind=OutcomeKind.ACK,
                    broker_order_id=line.held.broker_id,
                    status="Submitted",
                )
                self.answer(line, Step.PLACE, acked)

    def answer(self, line: Line, step: Step, outcome: Outcome) -> None:
        self.tell(line, OrderAnswered(order_id=line.order.order_id, step=step, outcome=outcome))

    @precondition(lambda self: self.lines)
    @rule(which=st.integers(0, 9), quantity=st.integers(1, 22), sent=MOSTLY)
    def change(self, which: int, quantity: int, *, sent: bool) -> None:
        line = self.pick(which)
        view = line.view
        assert view is not None
        if view.state in TERMINAL or view.pending is not Pending.NONE:
            return
        terms = replace(line.order.terms, quantity=Decimal(quantity))
        answer, _ = self.risk.change(
            RequestChange(
                view=view,
                ticket=line.order.ticket,
                terms=terms,
                by="ops",
                instrument=ANYTHING,
                quote=QUOTE,
                now_ns=NOW_NS,
            )
        )
        if answer.change is not None:
            modify = ModifyOrder(order_id=view.order_id, change=answer.change, body=b"changed")
            self.tell(line, modify)
            if sent and line.wants_turn:
                self.turn(line)

    @precondition(lambda self: any(line.wants_turn for line in self.lines))
    @rule(granted=MOSTLY)
    def grant(self, *, granted: bool) -> None:
        line = next(line for line in self.lines if line.wants_turn)
        if granted:
            self.turn(line)
        else:
            line.wants_turn = False
            reason = Reason(code="TRADING_HALTED", message="halted")
            self.tell(line, TurnRefused(order_id=line.order.order_id, reason=reason))

    @precondition(lambda self: any(line.held and line.held.asked for line in self.lines))
    @rule(take=st.booleans())
    def decide(self, *, take: bool) -> None:
        """The broker takes a change or does not, and nobody hears of it yet."""
        held = next(line.held for line in self.lines if line.held and line.held.asked)
        held.decide(take=take)

    @precondition(lambda self: any(line.held and line.held.answer_due for line in self.lines))
    @rule(lost=st.booleans())
    def answer_change(self, *, lost: bool) -> None:
        line = next(line for line in self.lines if line.held and line.held.answer_due)
        held = line.held
        assert held is not None
        if lost:
            outcome = TIMEOUT
        else:
            before, asked = held.quantity, held.asked
            held.decide(take=True)
            taken = held.live and (asked is None or held.quantity == asked)
            if asked is None:
                wanted = line.order.change
                taken = wanted is not None and held.quantity == int(wanted.wanted.quantity)
                taken = (taken and held.quantity != before) or taken
            acked = Outcome(
                kind=OutcomeKind.ACK, broker_order_id=held.broker_id, status="Submitted"
            )
            outcome = acked if taken else REFUSED
        held.answer_due = False
        self.answer(line, Step.MODIFY, outcome)

    @precondition(lambda self: any(line.held and line.held.leaves for line in self.lines))
    @rule(which=st.integers(0, 9), whole=SELDOM, heard=st.booleans())
    def fill(self, which: int, *, whole: bool, heard: bool) -> None:
        able = [line for line in self.lines if line.held and line.held.leaves]
        line = able[which % len(able)]
        held = line.held
        assert held is not None
        size = held.leaves if whole else 1
        held.filled += size
        held.fills += 1
        if not held.leaves:
            held.live = False
        execution = Execution(
            execution_id=ExecutionId(f"{line.number}.{held.fills}.01"),
            account=ACCOUNT,
            broker_order_id=held.broker_id,
            coid=line.order.coid,
            conid=CONID,
            side=BUY.side,
            quantity=Decimal(size),
            price=Decimal(100),
            commission=None,
            at_ms=0,
        )
        seen = ExecutionSeen(
            order_id=line.order.order_id, execution=execution, source=Source.STREAM
        )
        self.tell(line, seen)
        if heard:
            self.show(line, Source.STREAM, whole=True)

    @precondition(lambda self: any(line.held and line.held.leaves for line in self.lines))
    @rule(which=st.integers(0, 9), ours=st.booleans(), really=SELDOM)
    def cancel(self, which: int, *, ours: bool, really: bool) -> None:
        if not really:
            return
        able = [line for line in self.lines if line.held and line.held.leaves]
        line = able[which % len(able)]
        assert line.held is not None
        if ours:
            self.tell(line, CancelOrder(order_id=line.order.order_id, cause="ops"))
        else:
            line.held.live, line.held.asked = False, None

    @precondition(lambda self: self.lines)
    @rule(which=st.integers(0, 9), source=st.sampled_from(Source), whole=st.booleans())
    def row(self, which: int, source: Source, *, whole: bool) -> None:
        self.show(self.pick(which), source, whole=whole)

    def show(self, line: Line, source: Source, *, whole: bool) -> None:
        held = line.held
        assert held is not None
        status = BrokerStatus.SUBMITTED
        if not held.live:
            done = held.filled == held.quantity
            status = BrokerStatus.FILLED if done else BrokerStatus.CANCELLED
        told = OrderRow(
            account=ACCOUNT,
            broker_order_id=held.broker_id,
            status=status,
            filled_quantity=Decimal(held.filled),
            total_quantity=Decimal(held.quantity) if whole else None,
        )
        self.tell(line, OrderRowSeen(order_id=line.order.order_id, row=told, source=source))

    @precondition(lambda self: self.lines)
    @rule(which=st.integers(0, 9))
    def a_minute_passes(self, which: int) -> None:
        """The broker has decided by then: that is what the minute is for."""
        line = self.pick(which)
        assert line.held is not None
        if line.held.asked is None and not line.held.answer_due:
            self.show(line, Source.POLL, whole=True)
            self.show(line, Source.LOOKUP, whole=True)
            self.tell(line, TimerFired(name="modify"))

    @rule(count=st.integers(1, 5))
    def deliver(self, count: int) -> None:
        for _ in range(min(count, len(self.mail))):
            self.risk.handle(self.mail.pop(0))

    @rule(really=SELDOM)
    def restart(self, *, really: bool) -> None:
        """Forget everything that is not in the journal."""
        if not really:
            return
        self.mail.clear()
        self.risk = AccountRisk(ACCOUNT, SESSION, LIMITS)
        for line in self.lines:
            assert line.view is not None
            self.risk.handle(OrderChanged(view=line.view))
            rebuilt = Order()
            for record, at_ns in line.records:
                rebuilt.replay(record, at_ns)
            assert replace(rebuilt.view(), seq=line.view.seq) == line.view
            line.order, line.wants_turn = rebuilt, False
            if line.held is not None:
                line.held.answer_due = False
        self.log_in()
        for line in self.lines:
            for effect in line.order.resume(self.next_seq()):
                line.perform(effect, self.next_seq)

    @invariant()
    def what_is_held_and_what_may_fill_is_within_the_limit(self) -> None:
        held = [line.held for line in self.lines if line.held]
        worst = sum(one.filled + max(one.leaves, self.may_fill(one)) for one in held)
        assert worst <= MOST

    @staticmethod
    def may_fill(held: Held) -> int:
        return (held.asked or 0) - held.filled if held.live else 0

    @invariant()
    def risk_never_counts_less_than_the_broker_may_fill(self) -> None:
        held = [line.held for line in self.lines if line.held]
        worst = sum(one.filled + max(one.leaves, self.may_fill(one)) for one in held)
        exposure = self.risk.exposure(CONID)
        assert exposure.worst(BUY.side, Decimal(0)) >= worst

    def teardown(self) -> None:
        """Once all is told, nothing is open that should not be, and all figures are true."""
        for line in self.lines:
            assert line.held is not None
            line.held.decide(take=False)
            if line.held.answer_due:
                self.answer(line, Step.MODIFY, TIMEOUT)
            if line.wants_turn:
                reason = Reason(code="SESSION_NOT_READY", message="down")
                self.tell(line, TurnRefused(order_id=line.order.order_id, reason=reason))
            for _ in range(2):
                self.show(line, Source.LOOKUP, whole=True)
            self.tell(line, TimerFired(name="modify"))
            self.show(line, Source.LOOKUP, whole=True)
        while self.mail:
            self.risk.handle(self.mail.pop(0))

        for line in self.lines:
            assert line.held is not None
            view = line.order.view()
            assert view.wanted is None, view
            assert (view.state not in TERMINAL) is line.held.live, view
            assert view.filled_quantity == line.held.filled
            if line.held.live:
                assert view.quantity == line.held.quantity
        exposure = self.risk.exposure(CONID)
        assert exposure.working_buy == sum(line.held.leaves for line in self.lines if line.held)


TestAccount = Account.TestCase
TestAccount.settings = settings(max_examples=120, stateful_step_count=40, deadline=None)
