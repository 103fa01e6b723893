"""The order machine against a broker that anything may happen at, and a small model of both.

The broker knows what is: whether it holds the order, what filled, whether it ended. What it
tells comes late, twice, out of order, or never, and the engine restarts whenever it likes.
Whatever comes, the machine must not send twice, must not lose a fill, and must rebuild from
its records; and once everything was told it must show what is.
"""

from collections import deque
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from engine.domain.messages import (
    CancelAtBroker,
    ExecutionSeen,
    ModifyAtBroker,
    OrderAnswered,
    OrderEffect,
    OrderMessage,
    OrderParked,
    OrderProvenAbsent,
    OrderRowSeen,
    PlaceAtBroker,
    RecordCommitted,
    ReleaseTurn,
    ReplyAtBroker,
    ReportAnomaly,
    RequestTurn,
    ResolveOrder,
    Step,
    TimerFired,
    TurnRefused,
    WriteRecord,
)
from engine.domain.order import Order
from engine.domain.order.image import image_of
from engine.domain.values import (
    LIVE,
    TERMINAL,
    BrokerOrderId,
    BrokerStatus,
    Evidence,
    OrderState,
    Outcome,
    OutcomeKind,
    Pending,
    Reason,
    Resolution,
    Source,
    Terms,
)
from tests.domain.order.samples import (
    ACK,
    BROKER_ID,
    CANCEL,
    INTENT,
    NOT_SENT,
    ORDER_ID,
    REFUSED,
    TIMEOUT,
    TURN,
    answered,
    ask,
    filled,
    modify,
    seen,
    terms,
)

SECOND: Final = BrokerOrderId("7")
PROOF: Final = Evidence(
    elapsed_ms=65_000, healthy_ms=64_000, horizon_ms=60_000, list_reads=3, trade_reads=2
)
IMPOSSIBLE: Final = frozenset(
    {"impossible_transition", "unexpected_message", "unexpected_commit", "identity_mismatch"}
)
"""What a broker that keeps to its own rules never makes the machine say."""

UNFILLED: Final = frozenset(
    {OrderState.REJECTED, OrderState.NOT_PLACED, OrderState.EXPIRED, OrderState.DENIED}
)
SENT: Final = (PlaceAtBroker, ReplyAtBroker, ModifyAtBroker)


@dataclass
class Held:
    """An order at the broker. `fills` has the revisions of each fill, oldest first."""

    broker_id: BrokerOrderId
    terms: Terms
    status: BrokerStatus = BrokerStatus.SUBMITTED
    fills: dict[int, list[int]] = field(default_factory=dict)
    counted: int = 0
    rows: list[OrderRowSeen] = field(default_factory=list)

    @property
    def quantity(self) -> int:
        """What has filled, corrections and all."""
        return sum(revisions[-1] for revisions in self.fills.values())

    @property
    def at_work(self) -> bool:
        """True until it ended."""
        return self.status is BrokerStatus.SUBMITTED

    def row(self, source: Source, read: int) -> OrderRowSeen:
        """What a list says of it now."""
        told = seen(
            self.status,
            source,
            read=read,
            broker_id=self.broker_id,
            filled=self.counted,
            shows=self.terms,
        )
        self.rows.append(told)
        return told

    def fill(self, number: int, quantity: int) -> None:
        """Execute a part; the last one ends it."""
        self.fills[number] = [quantity]
        self.counted += quantity
        if self.counted >= self.terms.quantity:
            self.status = BrokerStatus.FILLED


class Broker(RuleBasedStateMachine):
    """One order of ours, and all that may become of it."""

    def __init__(self) -> None:
        super().__init__()
        self.order = Order()
        self.now_ns = 1_000
        self.records: list[WriteRecord] = []
        self.waiting: deque[str] = deque()
        self.requests: deque[PlaceAtBroker | ReplyAtBroker | ModifyAtBroker] = deque()
        self.cancels: deque[CancelAtBroker] = deque()
        self.late: deque[OrderAnswered] = deque()
        self.held: Held | None = None
        self.second: Held | None = None
        self.told: dict[str, Decimal] = {}
        self.declared = Decimal(0)
        self.asked = terms(10)
        self.reads = 0
        self.placed = 0
        self.turns = 0
        self.numbers = 0
        self._tell(INTENT)

    @initialize(far=st.sampled_from(("new", "sent", "taken", "lost", "unheard", "works")))
    def begin(self, far: str) -> None:
        """Start anywhere: most of what is interesting comes after the order was sent."""
        if far == "new":
            return
        self.answer_turn(granted=True)
        self.commit()
        if far != "sent":
            takes = far != "lost"
            self.answer(takes=takes, how="told" if far in {"taken", "works"} else "late")
        if far == "works":
            self.tell_rows(Source.POLL, twice=False)

    # --- the shell -----------------------------------------------------------------------

    def _tell(self, message: OrderMessage) -> None:
        self.now_ns += 1
        self._perform(self.order.handle(message, self.now_ns))

    def _perform(self, effects: tuple[OrderEffect, ...]) -> None:
        for effect in effects:
            match effect:
                case WriteRecord():
                    self.records.append(effect)
                    if effect.confirm:
                        self.waiting.append(type(effect.record).__name__)
                case PlaceAtBroker() | ReplyAtBroker() | ModifyAtBroker():
                    self.placed += isinstance(effect, PlaceAtBroker)
                    self.requests.append(effect)
                    if isinstance(effect, ModifyAtBroker):
                        assert self.order.change is not None
                        self.asked = self.order.change.wanted
                case CancelAtBroker():
                    self.cancels.append(effect)
                case RequestTurn():
                    self.turns += 1
                case ReleaseTurn():
                    self.turns -= 1
                case ReportAnomaly():
                    assert effect.kind not in IMPOSSIBLE, effect
                case _:
                    pass

    @precondition(lambda self: self.waiting)
    @rule()
    def commit(self) -> None:
        self._tell(RecordCommitted(order_id=ORDER_ID, record=self.waiting.popleft()))

    @precondition(lambda self: self.order.waits_for_turn)
    @rule(granted=st.sampled_from((True, True, True, False)))
    def answer_turn(self, *, granted: bool) -> None:
        reason = Reason(code="SESSION_NOT_READY", message="down")
        self._tell(TURN if granted else TurnRefused(order_id=ORDER_ID, reason=reason))

    @rule(name=st.sampled_from(("turn", "cancel", "modify", "park", "second")))
    def fire(self, name: str) -> None:
        self._tell(TimerFired(name=name))

    @precondition(lambda self: self.order.attempts)
    @rule(failed=st.booleans())
    def restart(self, *, failed: bool) -> None:
        """The process dies; what it asked the broker was taken or not, and no answer comes."""
        copy = Order()
        for written in self.records:
            copy.replay(written.record, written.view.updated_at_ns)
        assert image_of(copy) == image_of(self.order)
        self.order = copy
        self.waiting.clear()
        self.requests.clear()
        self.cancels.clear()
        self.late.clear()
        self.turns = 0
        self.now_ns += 1
        self._perform(copy.resume(self.now_ns, failed="boom" if failed else None))

    # --- what a client does --------------------------------------------------------------

    @rule()
    def ask_cancel(self) -> None:
        self._tell(CANCEL)

    @precondition(lambda self: self.order.state in LIVE and self.order.change is None)
    @rule(quantity=st.sampled_from((5, 10, 20)))
    def ask_change(self, quantity: int) -> None:
        self._tell(modify(terms(quantity, "101")))

    @precondition(lambda self: self.order.state is OrderState.IN_DOUBT)
    @rule()
    def park(self) -> None:
        reason = Reason(code="NO_PROOF", message="nothing was found")
        self._tell(OrderParked(order_id=ORDER_ID, reason=reason))

    @precondition(lambda self: self.order.is_provable)
    @rule()
    def prove_absent(self) -> None:
        """The session says that the order is not there; now and then it is wrong."""
        self._tell(OrderProvenAbsent(order_id=ORDER_ID, evidence=PROOF))

    @precondition(lambda self: self.order.state in {OrderState.IN_DOUBT, OrderState.PARKED})
    @rule(resolution=st.sampled_from(Resolution), quantity=st.sampled_from((None, 4)))
    def resolve(self, resolution: Resolution, quantity: int | None) -> None:
        """A person says what became of the order, and may be as wrong."""
        self._tell(
            ResolveOrder(
                order_id=ORDER_ID,
                resolution=resolution,
                reason="looked it up",
                by="ops",
                broker_order_id=None if resolution is Resolution.NOT_PLACED else BROKER_ID,
                quantity=None if quantity is None else Decimal(quantity),
            )
        )

    # --- what the broker answers ---------------------------------------------------------

    @precondition(lambda self: self.requests)
    @rule(takes=st.booleans(), how=st.sampled_from(("told", "told", "late", "lost")))
    def answer(self, *, takes: bool, how: str) -> None:
        request = self.requests.popleft()
        outcome, step = self._decide(request, takes=takes)
        if how == "told":
            self._tell(answered(outcome, step))
            return
        self._tell(answered(TIMEOUT, step))
        if how == "late":
            self.late.append(replace(answered(outcome, step), late=True))

    def _decide(
        self, request: PlaceAtBroker | ReplyAtBroker | ModifyAtBroker, *, takes: bool
    ) -> tuple[Outcome, Step]:
        match request:
            case PlaceAtBroker():
                return self._place(takes=takes), Step.PLACE
            case ReplyAtBroker(confirmed=confirmed):
                return self._place(takes=takes and confirmed), Step.REPLY
            case ModifyAtBroker():
                # Not `order.change`: the order may have ended while its change was on the wire.
                return self._change(self.asked, takes=takes), Step.MODIFY

    def _place(self, *, takes: bool) -> Outcome:
        if self.held is not None:
            return ACK  # The answer to the reply of a change.
        if not takes:
            return REFUSED
        self.held = Held(broker_id=BROKER_ID, terms=terms(10))
        return ACK

    def _change(self, wanted: Terms, *, takes: bool) -> Outcome:
        held = self.second if self.order.broker_order_id == SECOND else self.held
        if held is None:
            return REFUSED  # A person said that it lives; it does not.
        if not (takes and held.at_work) or wanted.quantity <= held.counted:
            return REFUSED
        held.terms = wanted
        return replace(ACK, broker_order_id=held.broker_id, status="Submitted")

    @precondition(lambda self: self.requests and isinstance(self.requests[0], PlaceAtBroker))
    @rule(kind=st.sampled_from(("o163", "o354")))
    def ask_back(self, kind: str) -> None:
        self.requests.popleft()
        self._tell(answered(ask(kind)))

    @precondition(lambda self: self.requests and isinstance(self.requests[0], PlaceAtBroker))
    @rule()
    def send_nothing(self) -> None:
        self.requests.popleft()
        self._tell(answered(NOT_SENT))

    @precondition(lambda self: self.late)
    @rule()
    def answer_late(self) -> None:
        self._tell(self.late.popleft())

    @precondition(lambda self: self.cancels)
    @rule(how=st.sampled_from(("done", "asked", "refused", "lost")))
    def answer_cancel(self, how: str) -> None:
        cancel = self.cancels.popleft()
        for held in (self.held, self.second):
            if held is not None and held.broker_id == cancel.broker_order_id and held.at_work:
                held.status = BrokerStatus.CANCELLED if how == "done" else held.status
        outcomes = {"refused": REFUSED, "lost": TIMEOUT}
        told = outcomes.get(how, Outcome(kind=OutcomeKind.ACK))
        self._tell(answered(told, Step.CANCEL))

    # --- what happens at the broker ------------------------------------------------------

    def _orders(self) -> list[Held]:
        return [held for held in (self.held, self.second) if held is not None]

    @precondition(lambda self: any(held.at_work for held in self._orders()))
    @rule(quantity=st.integers(1, 20), which=st.integers(0, 1))
    def execute(self, quantity: int, which: int) -> None:
        working = [held for held in self._orders() if held.at_work]
        held = working[which % len(working)]
        self.numbers += 1
        held.fill(self.numbers, min(quantity, int(held.terms.quantity) - held.counted))

    @precondition(lambda self: any(held.fills for held in self._orders()))
    @rule(quantity=st.integers(0, 4), data=st.data())
    def correct(self, quantity: int, data: st.DataObject) -> None:
        """The broker takes a fill back, or a part of it; what was filled by it is over."""
        held = data.draw(st.sampled_from([held for held in self._orders() if held.fills]))
        revisions = held.fills[data.draw(st.sampled_from(sorted(held.fills)))]
        revisions.append(min(quantity, revisions[-1]))
        if held.status is BrokerStatus.FILLED and held.quantity < held.terms.quantity:
            held.status, held.counted = BrokerStatus.CANCELLED, held.quantity

    @precondition(lambda self: any(held.at_work for held in self._orders()))
    @rule(which=st.integers(0, 1))
    def end(self, which: int) -> None:
        working = [held for held in self._orders() if held.at_work]
        working[which % len(working)].status = BrokerStatus.CANCELLED

    @precondition(lambda self: self.held is not None and self.second is None)
    @rule()
    def duplicate(self) -> None:
        """A modify while the broker was upset left two orders behind."""
        assert self.held is not None
        self.second = Held(broker_id=SECOND, terms=self.held.terms)

    # --- what the broker tells -----------------------------------------------------------

    @precondition(lambda self: self.held is not None)
    @rule(source=st.sampled_from((Source.STREAM, Source.POLL)), twice=st.booleans())
    def tell_rows(self, source: Source, *, twice: bool) -> None:
        self.reads += 1
        read = 0 if source is Source.STREAM else self.reads
        for held in self._orders():
            told = held.row(source, read)
            self._tell(told)
            if twice:
                self._once_more(told)

    @precondition(lambda self: any(held.rows for held in self._orders()))
    @rule(data=st.data())
    def tell_an_old_row(self, data: st.DataObject) -> None:
        rows = [told for held in self._orders() for told in held.rows]
        self._tell(replace(data.draw(st.sampled_from(rows)), source=Source.STREAM, read=0))

    @precondition(lambda self: any(held.fills for held in self._orders()))
    @rule(data=st.data(), twice=st.booleans())
    def tell_a_fill(self, data: st.DataObject, *, twice: bool) -> None:
        held = data.draw(st.sampled_from([held for held in self._orders() if held.fills]))
        number = data.draw(st.sampled_from(sorted(held.fills)))
        revision = data.draw(st.integers(1, len(held.fills[number])))
        told = self._fill(held, number, revision)
        self._tell(told)
        if twice:
            self._once_more(told)

    def _fill(self, held: Held, number: int, revision: int) -> ExecutionSeen:
        quantity = held.fills[number][revision - 1]
        told = filled(number, quantity, revision=revision, broker_id=held.broker_id)
        self.told[told.execution.execution_id] = told.execution.quantity
        return told

    def _once_more(self, told: OrderRowSeen | ExecutionSeen) -> None:
        """Applying any news twice is applying it once."""
        before = replace(image_of(self.order), updated_at_ns=0)
        self._tell(told)
        assert replace(image_of(self.order), updated_at_ns=0) == before

    # --- what must hold ------------------------------------------------------------------

    @invariant()
    def sent_once_and_never_before_the_attempt(self) -> None:
        assert self.placed <= 1
        assert self.turns in {0, 1}

    @invariant()
    def every_fill_counts_once_at_its_newest_revision(self) -> None:
        newest: dict[str, tuple[str, Decimal]] = {}
        for execution_id, quantity in self.told.items():
            root = execution_id.rpartition(".")[0]
            newest[root] = max(newest.get(root, ("", Decimal(0))), (execution_id, quantity))
        booked = sum((quantity for _, quantity in newest.values()), Decimal(0))
        declared = sum(
            (
                fill.quantity
                for fill in self.order.fills.current()
                if fill.execution_id.startswith("declared-")
            ),
            Decimal(0),
        )
        assert self.order.view().filled_quantity == booked + declared
        assert not (declared and booked), "a person's word stands until the broker shows a fill"

    @invariant()
    def an_end_leaves_nothing_open(self) -> None:
        view = self.order.view()
        if view.state in TERMINAL:
            assert (view.pending, view.wanted) == (Pending.NONE, None)
            assert self.order.is_looked_for is self.order.needs_lookup

    @invariant()
    def what_has_filled_was_neither_refused_nor_absent(self) -> None:
        if self.told:
            assert self.order.state not in UNFILLED

    @invariant()
    def what_a_second_order_may_fill_is_reserved(self) -> None:
        second, view = self.second, self.order.view()
        if second is None or SECOND not in view.other_broker_order_ids or not second.at_work:
            return
        told = sum(
            (
                fill.quantity
                for fill in self.order.fills.current()
                if fill.broker_order_id == SECOND
            ),
            Decimal(0),
        )
        most = max(view.quantity, Decimal(0) if view.wanted is None else view.wanted.quantity)
        if view.state in TERMINAL:
            most = min(most, view.filled_quantity)
        assert most + view.quantity_extra - view.filled_quantity >= second.terms.quantity - told

    def teardown(self) -> None:
        """Once everything was told, the machine shows what is."""
        for held in self._orders():
            for number, revisions in held.fills.items():
                for revision in range(1, len(revisions) + 1):
                    self._tell(self._fill(held, number, revision))
        for _ in range(3):
            if self.held is not None:
                self.tell_rows(Source.POLL, twice=False)
        restored = Order()
        for written in self.records:
            restored.replay(written.record, written.view.updated_at_ns)
        assert image_of(restored) == image_of(self.order)
        if self.held is None:
            assert self.order.state not in LIVE or self.order.is_unseen
            return
        view = self.order.view()
        assert view.filled_quantity == sum(held.quantity for held in self._orders())
        ours = self.second if view.broker_order_id == SECOND else self.held
        assert ours is not None
        if ours.at_work:
            assert view.state in LIVE
        else:
            assert view.state in TERMINAL
        at_work = [held for held in self._orders() if held is not ours and held.at_work]
        left = sum(int(held.terms.quantity) - held.quantity for held in at_work)
        assert view.quantity_extra >= left or view.broker_order_id not in {BROKER_ID, SECOND}


TestBroker = Broker.TestCase
TestBroker.settings = settings(max_examples=50, stateful_step_count=40, deadline=None)
