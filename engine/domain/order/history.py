"""What an order's records make of it: state, fills, and nothing that is not journaled.

Rule 1: `apply` is the only way to change. Applied in the journal's order, the same
records give the same order, whenever and however often.

Rule 2: a terminal state that the broker announces waits until every execution that it
counts has been seen. Until then the rest stays reserved.

Rule 3: new terms are in force once their change is settled, and not before. Meanwhile the
order counts as filled only when the larger quantity has filled, or the broker says so.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import assert_never

from engine.domain.messages import (
    AttemptStarted,
    CancelOrder,
    DenyOrder,
    ExecutionSeen,
    ModifyOrder,
    ModifySettled,
    OrderAnswered,
    OrderDoubted,
    OrderExpired,
    OrderParked,
    OrderRecord,
    OrderRowSeen,
    PromptRaised,
    ReplyDecided,
    Step,
    SubmitOrder,
)
from engine.domain.order.change import (
    EARLIER_MAX,
    MODIFY_IN_DOUBT,
    MODIFY_NOT_APPLIED,
    ORDER_FAILED,
    Change,
    goes_back,
)
from engine.domain.order.facts import OrderFacts
from engine.domain.order.merge import INACTIVE_NS, NOTHING, closing_state, next_state_of_row
from engine.domain.order.transitions import TRANSITIONS
from engine.domain.values import (
    LIVE,
    TERMINAL,
    ApprovedTicket,
    BrokerStatus,
    Execution,
    OrderRow,
    OrderState,
    Outcome,
    OutcomeKind,
    Reason,
    Source,
    Terms,
)

_UNKNOWN = frozenset(
    {OrderState.SUBMITTING, OrderState.AWAITING_REPLY, OrderState.IN_DOUBT, OrderState.PARKED}
)

Anomaly = tuple[str, str]


class OrderHistory(OrderFacts):
    """The state of one order. Its attributes are for reading."""

    __slots__ = ()

    def judge_row(
        self, row: OrderRow, source: Source, at_ns: int
    ) -> tuple[bool, tuple[Anomaly, ...]]:
        """Say whether the row would change anything, and what is odd about it."""
        trial, late = self._copy(), self._is_late(source, at_ns)
        anomalies = tuple(trial._apply_row(row, late=late))  # noqa: SLF001 - our own copy
        return trial._facts() != self._facts(), anomalies  # noqa: SLF001 - our own copy

    def apply(self, record: OrderRecord, at_ns: int) -> tuple[Anomaly, ...]:
        """Take over what the record says; return what was odd about it."""
        anomalies = tuple(self._apply(record, at_ns))
        if self._created_at_ns == 0:
            self._created_at_ns = at_ns
        self._updated_at_ns = at_ns
        return anomalies

    def _is_late(self, source: Source, at_ns: int) -> bool:
        """Say whether nothing new was heard for a while before what was read over REST."""
        soon = 0 <= at_ns - self._updated_at_ns < INACTIVE_NS
        return source is not Source.STREAM and not soon

    def _apply(self, record: OrderRecord, at_ns: int) -> Iterator[Anomaly]:
        match record:
            case SubmitOrder(approved=approved, body=body):
                yield from self._begin(approved, body)
            case DenyOrder():
                self._order_id, self._ticket = record.order_id, record.ticket
                self._request_sha256 = record.request_sha256
                yield from self._move(OrderState.DENIED, record.reason)
            case CancelOrder(cause=cause):
                yield from self._apply_cancel(cause)
            case ModifyOrder():
                self._begin_change(record)
            case ModifySettled():
                yield from self._end_change(record)
            case AttemptStarted(number=number):
                self.attempts = number
            case OrderAnswered(step=step, outcome=outcome):
                yield from self._apply_answer(step, outcome)
            case PromptRaised() | ReplyDecided():
                self._apply_question(record)
            case OrderRowSeen(row=row, source=source):
                yield from self._apply_row(row, late=self._is_late(source, at_ns))
            case ExecutionSeen(execution=execution):
                yield from self._apply_execution(execution)
            case OrderExpired() | OrderDoubted() | OrderParked():
                yield from self._apply_verdict(record)
            case _:
                assert_never(record)

    def _apply_question(self, record: PromptRaised | ReplyDecided) -> None:
        match record:
            case PromptRaised(question=question):
                self.prompt = question
                self._prompts = (*self._prompts, question.question_id)
            case ReplyDecided(question_id=question_id, round=number):
                if self.prompt is not None and self.prompt.question_id != question_id:
                    self.prompt = None  # A restart cut that conversation off.
                self.reply = record
                if not record.confirmed and self.prompt is None:
                    self.declined = self.question
                self.rounds = self.rounds if self.prompt else number
            case _:
                assert_never(record)

    def _apply_verdict(
        self, record: OrderExpired | OrderDoubted | OrderParked
    ) -> Iterator[Anomaly]:
        match record:
            case OrderExpired(reason=reason):
                yield from self._end_unseen(OrderState.EXPIRED, reason)
            case OrderDoubted(reason=reason) if self.change is not None:
                self._doubt_change(reason)
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
            self._cancelling = self._cancel_open = True

    def _begin_change(self, record: ModifyOrder) -> None:
        if self.state in LIVE and self.change is None:
            wanted = record.change.terms
            back = goes_back(self._earlier, old=self.terms, new=wanted)
            self.change = Change(wanted=wanted, body=record.body, goes_back=back)
            self.rounds, self.reply, self.question, self._lapsed = 0, None, None, None

    def _end_change(self, record: ModifySettled) -> Iterator[Anomaly]:
        change, self.change = self.change, None
        if self.state in TERMINAL:
            return
        self.reply = self.question = None
        self.reason = record.reason
        self._lapsed = None
        if change is not None and not record.applied and self._may_come_late(change, record):
            self._lapsed = change.wanted
        if record.applied:
            self._adopt(record.terms)
        if self._is_filled():
            yield from self._finish(OrderState.FILLED, None)
        yield from self._settle()

    def _may_come_late(self, change: Change, record: ModifySettled) -> bool:
        """Say whether a row with terms that were not applied is to be believed later on.

        Of terms that were in force before, any late row could be; then they are believed
        only where more is reserved for them.
        """
        if record.reason is None or record.reason.code != MODIFY_NOT_APPLIED:
            return False
        return not change.goes_back or change.wanted.quantity > self.terms.quantity

    def _adopt(self, terms: Terms) -> None:
        """Let these terms be in force from now on."""
        if terms != self.terms:
            self._earlier = (*self._earlier, self.terms)[-EARLIER_MAX:]
        self._terms = terms

    def _doubt_change(self, why: Reason | None) -> None:
        if self.change is None:
            return
        self.change = replace(self.change, doubtful=True)
        cause = "it was not answered" if why is None else f"{why.code}: {why.message}"
        text = (
            f"nobody knows whether the change was taken ({cause}); it is looked for, the larger"
            " quantity stays reserved, and the order can be cancelled meanwhile"
        )
        self.reason = Reason(code=MODIFY_IN_DOUBT, message=text)

    def _apply_answer(self, step: Step, outcome: Outcome) -> Iterator[Anomaly]:
        if step is Step.CANCEL:
            if outcome.kind is OutcomeKind.REFUSED:
                self._cancelling = self._cancel_open = False
            return
        if step is Step.REPLY and self.prompt is not None:
            # The order was at the broker before, and no answer to a prompt changes that.
            self.prompt = self.reply = None
            return
        self.question = outcome.question
        if step is Step.PLACE:
            self.body = b""  # It was sent, and is never sent again; the journal has it.
        if step is Step.MODIFY or (step is Step.REPLY and self.change is not None):
            yield from self._apply_change_answer(step, outcome)
        else:
            yield from self._apply_submit_answer(step, outcome)

    def _apply_submit_answer(self, step: Step, outcome: Outcome) -> Iterator[Anomaly]:
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

    def _apply_change_answer(self, step: Step, outcome: Outcome) -> Iterator[Anomaly]:
        """Take what the answer to a modify, or to its question, proves of the order.

        What became of the change is a record of its own, `ModifySettled`.
        """
        match outcome.kind:
            case OutcomeKind.ACK if outcome.broker_order_id in {None, self.broker_order_id}:
                if outcome.broker_order_id is not None:
                    yield from self._apply_ack(outcome)
            case OutcomeKind.ACK:
                # Two incarnations of one order may be live now.
                self._doubt_change(outcome.reason)
                other, ours = outcome.broker_order_id, self.broker_order_id
                yield ("modify_other_order", f"the answer names {other}, ours is {ours}")
            case OutcomeKind.IN_DOUBT:
                self._doubt_change(outcome.reason)
            case OutcomeKind.NOT_SENT if step is not Step.MODIFY:
                self._doubt_change(
                    outcome.reason
                )  # As with a new order: the question is left behind.
            case OutcomeKind.REFUSED if self._is_unclear(step, outcome):
                self._doubt_change(outcome.reason)
            case OutcomeKind.QUESTION | OutcomeKind.REFUSED | OutcomeKind.NOT_SENT:
                pass
            case _:
                assert_never(outcome.kind)

    def _is_unclear(self, step: Step, outcome: Outcome) -> bool:
        """Say whether a yes to a question about a change was answered with a failed order.

        It does not say which failed: the order as it was, or as it should have become.
        """
        failed = outcome.reason is not None and outcome.reason.code == ORDER_FAILED
        return step is Step.REPLY and failed and self.reply is not None and self.reply.confirmed

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
            return OrderState.REJECTED, self.question_declined("the order")
        return OrderState.REJECTED, outcome.reason

    def _end_unseen(self, state: OrderState, reason: Reason | None) -> Iterator[Anomaly]:
        """End an order that the broker never showed; that it shows one later is evidence."""
        yield from self._move(state, reason)
        self._ended_unseen = self.state is state

    def _apply_ack(self, outcome: Outcome) -> Iterator[Anomaly]:
        assert outcome.broker_order_id is not None
        status = outcome.status if outcome.status in set(BrokerStatus) else None
        row = OrderRow(
            account=self.ticket.account,
            broker_order_id=outcome.broker_order_id,
            status=None if status is None else BrokerStatus(status),
        )
        yield from self._apply_row(row, late=False)
        if self.state in _UNKNOWN:
            yield from self._move(OrderState.PENDING_NEW, None)

    def _apply_row(self, row: OrderRow, *, late: bool) -> Iterator[Anomaly]:
        conid = row.conid if row.conid is not None and row.conid > 0 else None
        mismatch = self._mismatch(row.account, conid, row.side, row.broker_order_id)
        if mismatch is not None:
            yield ("identity_mismatch", mismatch)
            return
        if row.unknown_status is not None:
            yield ("unknown_status", row.unknown_status)
        resurrected = self._is_resurrected_by(row)
        self.broker_order_id = self.broker_order_id or row.broker_order_id
        self._broker_filled = max(self._broker_filled, row.filled_quantity or NOTHING)
        filled = self.fills.quantity > 0
        if row.status in {BrokerStatus.PENDING_CANCEL, BrokerStatus.PRE_CANCELLED}:
            self._cancelling = self.state not in TERMINAL
        elif row.status in {BrokerStatus.SUBMITTED, BrokerStatus.PRE_SUBMITTED}:
            self._cancelling = self._cancel_open  # A cancel of somebody else came to nothing.
        if resurrected:
            self._cancelling = self._cancel_open = self.cancel_wanted
            yield ("resurrected", f"{self.state} order is {row.status} at the broker")
            yield from self._move(OrderState.PENDING_NEW, None)
        closing = closing_state(row, cancel_wanted=self.cancel_wanted, filled=filled)
        if closing is not None and self.state not in TERMINAL:
            reason = None
            if row.reason is not None:
                reason = Reason(code="BROKER_CANCELLED", message=row.reason)
            counted = bool(row.filled_quantity) or (self._closing or (None, None, False))[2]
            self._closing = (closing, reason, counted)
            if self.state in _UNKNOWN:
                yield from self._move(OrderState.WORKING, None)
        target = next_state_of_row(self.state, row, filled=filled, late=late)
        if target is not None and self._closing is None and target is not self.state:
            yield from self._move(target, None)
        yield from self._settle()

    def _is_resurrected_by(self, row: OrderRow) -> bool:
        """Say whether the row shows an order that we held for never placed.

        What the broker refused, or asked about in vain, may well show as inactive or
        cancelled; what we never sent may not show at all.
        """
        if not self._ended_unseen or row.status is None:
            return False
        over = {BrokerStatus.INACTIVE, BrokerStatus.CANCELLED}
        return self.state is OrderState.EXPIRED or row.status not in over

    def _apply_execution(self, execution: Execution) -> Iterator[Anomaly]:
        mismatch = self.mismatch_of(execution)
        if mismatch is not None:
            yield ("identity_mismatch", mismatch)
            return
        before = self.fills.quantity
        self.fills.add(execution)
        self.broker_order_id = self.broker_order_id or execution.broker_order_id
        filled, most = self.fills.quantity, self._quantity_most
        if filled > most:
            yield ("overfill", f"filled {filled} of {most}")
        if self._is_filled():
            yield from self._finish(OrderState.FILLED, None)
        elif self.state is not OrderState.CANCELLED and (
            self.state is not OrderState.FILLED or filled < before
        ):
            # A fill also reopens what we held for refused: it was at the broker after all.
            # A correction reopens what is filled no more; a commission never does.
            yield from self._move(OrderState.PARTIALLY_FILLED, None)
        yield from self._settle()

    def _settle(self) -> Iterator[Anomaly]:
        if self._closing is None or self.state in TERMINAL:
            return
        state, reason, counted = self._closing
        filled = self.fills.quantity
        if state is OrderState.FILLED:
            # What was wanted may never have been in force; what the broker counts has filled.
            if self._is_filled() or (counted and filled >= self._broker_filled):
                yield from self._finish(OrderState.FILLED, None)
        elif filled >= self._broker_filled:
            if state is OrderState.REJECTED and filled > 0:
                state = OrderState.CANCELLED
            yield from self._finish(state, reason)

    def _finish(self, state: OrderState, reason: Reason | None) -> Iterator[Anomaly]:
        self._closing = None
        if self.change is not None:
            # The fills may show that the change was taken, whoever was to tell us so.
            filled, wanted = self.fills.quantity, self.change.wanted
            in_full = state is OrderState.FILLED and filled == wanted.quantity
            if in_full or self._is_change_proven():
                self._adopt(wanted)
        yield from self._move(state, reason)

    def _move(self, state: OrderState, reason: Reason | None) -> Iterator[Anomaly]:
        if state is self._state and state is not OrderState.AWAITING_REPLY:
            return
        if state not in TRANSITIONS[self._state]:
            yield ("impossible_transition", f"{self._state} to {state}")
            return
        self._state = state
        self._ended_unseen = False
        doubted = self.change is not None and self.change.doubtful and state not in TERMINAL
        if reason is not None or not doubted:
            self.reason = reason
        if state in TERMINAL:
            self._closing = self.change = self.prompt = None
            self._cancelling = self._cancel_open = False

    def _copy(self) -> "OrderHistory":
        copy = OrderHistory()
        for name in OrderFacts.__slots__:
            setattr(copy, name, getattr(self, name))
        return copy
