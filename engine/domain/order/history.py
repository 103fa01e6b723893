"""What an order's records make of it: state, fills, and nothing that is not journaled.

Rule 1: `apply` is the only way to change. Applied in the journal's order, the same
records give the same order, whenever and however often.

Rule 2: a terminal state that the broker announces waits until every execution that it
counts has been seen. Until then the rest stays reserved.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import assert_never

from engine.domain.messages import (
    AttemptStarted,
    CancelOrder,
    DenyOrder,
    ExecutionSeen,
    OrderAnswered,
    OrderDoubted,
    OrderExpired,
    OrderParked,
    OrderRecord,
    OrderRowSeen,
    ReplyDecided,
    Step,
    SubmitOrder,
)
from engine.domain.order.merge import Fills, closing_state, next_state_of_row
from engine.domain.order.transitions import TRANSITIONS
from engine.domain.values import (
    TERMINAL,
    AccountId,
    ApprovedTicket,
    BrokerOrderId,
    BrokerStatus,
    Coid,
    Confidence,
    ConId,
    Execution,
    OrderId,
    OrderRow,
    OrderState,
    Outcome,
    OutcomeKind,
    Pending,
    Question,
    Reason,
    Side,
    Source,
    Ticket,
)
from engine.domain.views import OrderView

_UNKNOWN = frozenset(
    {OrderState.SUBMITTING, OrderState.AWAITING_REPLY, OrderState.IN_DOUBT, OrderState.PARKED}
)

Anomaly = tuple[str, str]


class OrderHistory:
    """The state of one order. Its attributes are for reading."""

    __slots__ = (
        "_approved",
        "_broker_filled",
        "_closing",
        "_created_at_ns",
        "_ended_unseen",
        "_order_id",
        "_request_sha256",
        "_state",
        "_ticket",
        "_updated_at_ns",
        "attempts",
        "body",
        "broker_order_id",
        "cancel_wanted",
        "fills",
        "pending",
        "question",
        "reason",
        "reply",
        "rounds",
    )

    def __init__(self) -> None:
        self._state: OrderState | None = None
        self._order_id: OrderId | None = None
        self._ticket: Ticket | None = None
        self._approved: ApprovedTicket | None = None
        self._request_sha256 = ""
        self._created_at_ns = 0
        self._updated_at_ns = 0
        self._closing: tuple[OrderState, Reason | None] | None = None
        self._broker_filled = Decimal(0)
        self._ended_unseen = False
        self.body = b""
        self.attempts = 0
        self.rounds = 0
        self.pending = Pending.NONE
        self.cancel_wanted = False
        self.reason: Reason | None = None
        self.broker_order_id: BrokerOrderId | None = None
        self.question: Question | None = None
        self.reply: ReplyDecided | None = None
        self.fills = Fills()

    @property
    def state(self) -> OrderState:
        """The state; asking before the first record is a mistake."""
        assert self._state is not None, "an order without its first record"
        return self._state

    @property
    def state_known(self) -> bool:
        """False until the first record."""
        return self._state is not None

    @property
    def order_id(self) -> OrderId:
        """Our name of the order."""
        assert self._order_id is not None
        return self._order_id

    @property
    def ticket(self) -> Ticket:
        """What the client asked for."""
        assert self._ticket is not None
        return self._ticket

    @property
    def approved(self) -> ApprovedTicket:
        """What risk let pass; a denied order has none."""
        assert self._approved is not None
        return self._approved

    @property
    def coid(self) -> Coid | None:
        """The id on the wire; None for an order that risk denied."""
        return None if self._approved is None else self._approved.coid

    @property
    def needs_lookup(self) -> bool:
        """True while the broker knows something of this order that we do not."""
        return self.state is OrderState.IN_DOUBT or self._closing is not None

    def judge_row(self, row: OrderRow, source: Source) -> tuple[bool, tuple[Anomaly, ...]]:
        """Say whether the row would change anything, and what is odd about it."""
        trial = self._copy()
        anomalies = tuple(trial._apply_row(row, source))  # noqa: SLF001 - our own copy
        return trial._facts() != self._facts(), anomalies  # noqa: SLF001 - our own copy

    def mismatch_of(self, execution: Execution) -> str | None:
        """Say why an execution cannot be this order's, None when it can."""
        return self._mismatch(execution.account, execution.conid, execution.side)

    def apply(self, record: OrderRecord, at_ns: int) -> tuple[Anomaly, ...]:
        """Take over what the record says; return what was odd about it."""
        anomalies = tuple(self._apply(record))
        if self._created_at_ns == 0:
            self._created_at_ns = at_ns
        self._updated_at_ns = at_ns
        return anomalies

    def _apply(self, record: OrderRecord) -> Iterator[Anomaly]:
        match record:
            case SubmitOrder(approved=approved, body=body):
                yield from self._begin(approved, body)
            case DenyOrder():
                self._order_id, self._ticket = record.order_id, record.ticket
                self._request_sha256 = record.request_sha256
                yield from self._move(OrderState.DENIED, record.reason)
            case CancelOrder(cause=cause):
                yield from self._apply_cancel(cause)
            case AttemptStarted(number=number):
                self.attempts = number
            case OrderAnswered(step=step, outcome=outcome):
                yield from self._apply_answer(step, outcome)
            case ReplyDecided():
                self.rounds, self.reply = record.round, record
            case OrderRowSeen(row=row, source=source):
                yield from self._apply_row(row, source)
            case ExecutionSeen(execution=execution):
                yield from self._apply_execution(execution)
            case OrderExpired(reason=reason):
                yield from self._end_unseen(OrderState.EXPIRED, reason)
            case OrderDoubted(reason=reason):
                yield from self._move(OrderState.IN_DOUBT, reason)
            case OrderParked(reason=reason):
                yield from self._move(OrderState.PARKED, reason)
            case _:
                assert_never(record)

    def _begin(self, approved: ApprovedTicket, body: bytes) -> Iterator[Anomaly]:
        self._order_id, self._ticket, self._approved = (
            approved.order_id,
            approved.ticket,
            approved,
        )
        self._request_sha256 = approved.request_sha256
        self.body = body
        yield from self._move(OrderState.SUBMITTING, None)

    def _apply_cancel(self, cause: str) -> Iterator[Anomaly]:
        self.cancel_wanted = True
        if self.state is OrderState.SUBMITTING and self.attempts == 0:
            reason = Reason(code="CANCELLED_BEFORE_SENT", message=f"cancelled unsent: {cause}")
            yield from self._move(OrderState.CANCELLED, reason)
        elif self.state not in TERMINAL:
            self.pending = Pending.CANCEL

    def _apply_answer(self, step: Step, outcome: Outcome) -> Iterator[Anomaly]:
        if step is Step.CANCEL:
            if outcome.kind is OutcomeKind.REFUSED:
                self.pending = Pending.NONE
            return
        self.question = outcome.question
        match outcome.kind:
            case OutcomeKind.ACK:
                yield from self._apply_ack(outcome)
            case OutcomeKind.QUESTION:
                if self.state in {OrderState.SUBMITTING, OrderState.AWAITING_REPLY}:
                    yield from self._move(OrderState.AWAITING_REPLY, None)
            case OutcomeKind.REFUSED:
                if self.state in _UNKNOWN:
                    yield from self._end_unseen(*self._end_refused(outcome))
                else:
                    yield ("refused_but_seen", f"{outcome.reason}")
            case OutcomeKind.NOT_SENT if step is Step.PLACE:
                if self.state is OrderState.SUBMITTING:
                    ended = OrderState.CANCELLED if self.cancel_wanted else OrderState.EXPIRED
                    yield from self._end_unseen(ended, outcome.reason)
            case OutcomeKind.NOT_SENT | OutcomeKind.IN_DOUBT:
                # A reply that was not sent leaves a question behind that the next order
                # voids; whether the order lives is for the broker to show.
                if self.state in {OrderState.SUBMITTING, OrderState.AWAITING_REPLY}:
                    yield from self._move(OrderState.IN_DOUBT, outcome.reason)
            case _:
                assert_never(outcome.kind)

    def _end_refused(self, outcome: Outcome) -> tuple[OrderState, Reason | None]:
        """Say how a refused order ends: refused by the broker, or never confirmed by us."""
        declined = self.reply is not None and not self.reply.confirmed
        unconfirmed = outcome.reason is not None and outcome.reason.code == "NOT_CONFIRMED"
        if self.cancel_wanted and (declined or unconfirmed):
            return OrderState.CANCELLED, Reason(
                code="CANCELLED_UNCONFIRMED",
                message="cancelled while the broker's question was open; it was declined",
            )
        if declined:
            return OrderState.REJECTED, Reason(
                code="QUESTION_DECLINED",
                message="the policy does not accept the broker's question; see broker_messages",
            )
        return OrderState.REJECTED, outcome.reason

    def _end_unseen(self, state: OrderState, reason: Reason | None) -> Iterator[Anomaly]:
        """End an order that the broker never showed; that it shows one later is evidence."""
        self._ended_unseen = True
        yield from self._move(state, reason)

    def _apply_ack(self, outcome: Outcome) -> Iterator[Anomaly]:
        assert outcome.broker_order_id is not None
        status = outcome.status if outcome.status in set(BrokerStatus) else None
        row = OrderRow(
            account=self.ticket.account,
            broker_order_id=outcome.broker_order_id,
            status=None if status is None else BrokerStatus(status),
        )
        yield from self._apply_row(row, Source.STREAM)
        if self.state in _UNKNOWN:
            yield from self._move(OrderState.PENDING_NEW, None)

    def _apply_row(self, row: OrderRow, source: Source) -> Iterator[Anomaly]:
        conid = row.conid if row.conid is not None and row.conid > 0 else None
        mismatch = self._mismatch(row.account, conid, row.side)
        if mismatch is not None:
            yield ("identity_mismatch", mismatch)
            return
        if row.unknown_status is not None:
            yield ("unknown_status", row.unknown_status)
        resurrected = self._is_resurrected_by(row)
        self.broker_order_id = self.broker_order_id or row.broker_order_id
        self._broker_filled = max(self._broker_filled, row.filled_quantity or Decimal(0))
        filled = self.fills.quantity > 0
        if row.status in {BrokerStatus.PENDING_CANCEL, BrokerStatus.PRE_CANCELLED}:
            self.pending = self.pending if self.state in TERMINAL else Pending.CANCEL
        if resurrected:
            self._ended_unseen = False
            yield ("resurrected", f"{self.state} order is {row.status} at the broker")
            yield from self._move(OrderState.PENDING_NEW, None)
        closing = closing_state(row, cancel_wanted=self.cancel_wanted, filled=filled)
        if closing is not None and self.state not in TERMINAL:
            reason = None
            if row.reason is not None:
                reason = Reason(code="BROKER_CANCELLED", message=row.reason)
            self._closing = (closing, reason)
            if self.state in _UNKNOWN:
                yield from self._move(OrderState.WORKING, None)
        target = next_state_of_row(self.state, row, filled=filled, source=source)
        if target is not None and self._closing is None and target is not self.state:
            yield from self._move(target, None)
        yield from self._settle()

    def _is_resurrected_by(self, row: OrderRow) -> bool:
        """Say whether the row shows an order that we held for never placed.

        What the broker refused may well show as inactive or cancelled; what we never
        sent may not show at all.
        """
        if not self._ended_unseen or row.status is None:
            return False
        over = {BrokerStatus.INACTIVE, BrokerStatus.CANCELLED}
        return self.state is not OrderState.REJECTED or row.status not in over

    def _mismatch(self, account: AccountId, conid: ConId | None, side: Side | None) -> str | None:
        ours = self.ticket
        if account != ours.account:
            return f"account {account}, ours is {ours.account}"
        if conid is not None and conid != ours.conid:
            return f"conid {conid}, ours is {ours.conid}"
        if side is not None and side is not ours.side:
            return f"side {side}, ours is {ours.side}"
        return None

    def _apply_execution(self, execution: Execution) -> Iterator[Anomaly]:
        mismatch = self.mismatch_of(execution)
        if mismatch is not None:
            yield ("identity_mismatch", mismatch)
            return
        self.fills.add(execution)
        self.broker_order_id = self.broker_order_id or execution.broker_order_id
        filled = self.fills.quantity
        if filled > self.ticket.quantity:
            yield ("overfill", f"filled {filled} of {self.ticket.quantity}")
        if filled >= self.ticket.quantity:
            yield from self._finish(OrderState.FILLED, None)
        elif self.state is not OrderState.CANCELLED:
            # A fill also reopens what we held for refused: it was at the broker after all.
            yield from self._move(OrderState.PARTIALLY_FILLED, None)
        yield from self._settle()

    def _settle(self) -> Iterator[Anomaly]:
        if self._closing is None or self.state in TERMINAL:
            return
        state, reason = self._closing
        filled = self.fills.quantity
        if state is OrderState.FILLED:
            if filled >= self.ticket.quantity:
                yield from self._finish(OrderState.FILLED, None)
        elif filled >= self._broker_filled:
            if state is OrderState.REJECTED and filled > 0:
                state = OrderState.CANCELLED
            yield from self._finish(state, reason)

    def _finish(self, state: OrderState, reason: Reason | None) -> Iterator[Anomaly]:
        self._closing = None
        self.pending = Pending.NONE
        yield from self._move(state, reason)

    def _move(self, state: OrderState, reason: Reason | None) -> Iterator[Anomaly]:
        if state is self._state and state is not OrderState.AWAITING_REPLY:
            return
        if state not in TRANSITIONS[self._state]:
            yield ("impossible_transition", f"{self._state} to {state}")
            return
        self._state = state
        self.reason = reason
        if state in TERMINAL:
            self.pending = Pending.NONE
            self._closing = None

    def _facts(self) -> tuple[object, ...]:
        return (
            self._state,
            self.broker_order_id,
            self.pending,
            self._closing,
            self._broker_filled,
            self.reason,
            self._ended_unseen,
        )

    def _copy(self) -> "OrderHistory":
        copy = OrderHistory()
        for name in OrderHistory.__slots__:
            setattr(copy, name, getattr(self, name))
        return copy

    def snapshot(self, seq: int) -> OrderView:
        """Return the order as it is shown."""
        ticket = self.ticket
        doubtful = {OrderState.IN_DOUBT, OrderState.PARKED, OrderState.SUBMITTING}
        return OrderView(
            order_id=self.order_id,
            client_order_id=ticket.client_order_id,
            account=ticket.account,
            conid=ticket.conid,
            symbol=ticket.symbol,
            side=ticket.side,
            type=ticket.type,
            quantity=ticket.quantity,
            filled_quantity=self.fills.quantity,
            average_price=self.fills.average_price,
            limit_price=ticket.limit_price,
            tif=ticket.tif,
            strategy=ticket.strategy,
            state=self.state,
            pending=self.pending,
            confidence=(Confidence.UNCONFIRMED if self.state in doubtful else Confidence.CONFIRMED),
            reason=self.reason,
            coid=self.coid,
            broker_order_id=self.broker_order_id,
            created_at_ns=self._created_at_ns,
            updated_at_ns=self._updated_at_ns,
            seq=seq,
            request_sha256=self._request_sha256,
        )
