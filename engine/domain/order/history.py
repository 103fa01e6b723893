"""What an order's records make of it: state, fills, and nothing that is not journaled.

Rule 1: `apply` is the only way to change. Applied in the journal's order, the same
records give the same order, whenever and however often.

Rule 2: new terms are in force once their change is settled, and not before. Meanwhile the
order counts as filled only when the larger quantity has filled, or the broker says so.

Rule 3: an answer that came too late is evidence of the order and of nothing else.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import assert_never

from engine.domain.messages import (
    AdoptOrder,
    AttemptStarted,
    CancelOrder,
    DenyOrder,
    ExecutionSeen,
    IncarnationSeen,
    ModifyOrder,
    ModifySettled,
    OrderAnswered,
    OrderDoubted,
    OrderExpired,
    OrderParked,
    OrderProvenAbsent,
    OrderRecord,
    OrderRowSeen,
    OrderUnprotected,
    PromptRaised,
    ReplyDecided,
    ResolveOrder,
    Step,
    SubmitOrder,
)
from engine.domain.order.adoption import ticket_of, unsaid_terms
from engine.domain.order.change import (
    MODIFY_IN_DOUBT,
    MODIFY_NOT_APPLIED,
    ORDER_FAILED,
    Change,
    goes_back,
    terms_of,
)
from engine.domain.order.evidence import Anomaly, OrderEvidence, said_by
from engine.domain.order.facts import OrderFacts
from engine.domain.order.incarnations import Incarnation, Kind
from engine.domain.order.merge import INACTIVE_NS, NOTHING
from engine.domain.values import (
    LIVE,
    TERMINAL,
    UNKNOWN,
    WAITING,
    BrokerStatus,
    OrderRow,
    OrderState,
    Outcome,
    OutcomeKind,
    Reason,
    Resolution,
    Source,
)

PROVEN_ABSENT = "PROVEN_ABSENT"
"""The code of an order that the broker provably does not have."""

_Verdict = OrderExpired | OrderDoubted | OrderParked | OrderProvenAbsent | ResolveOrder


class OrderHistory(OrderEvidence):
    """The state of one order. Its attributes are for reading."""

    __slots__ = ("_told_nothing",)

    def __init__(self) -> None:
        super().__init__()
        self._told_nothing: tuple[int, bool, OrderRow] | None = None

    def judge_row(
        self, row: OrderRow, source: Source, at_ns: int
    ) -> tuple[bool, tuple[Anomaly, ...]]:
        """Say whether the row would change anything, and what is odd about it."""
        late = self._is_late(source, at_ns)
        key = (self._updated_at_ns, late, row)
        if self._told_nothing == key:
            return False, ()  # Lists say the same for hours.
        trial = self._copy()
        anomalies = tuple(trial._apply_row(row, late=late))  # noqa: SLF001 - our own copy
        changed = trial._facts() != self._facts()  # noqa: SLF001 - our own copy
        self._told_nothing = None if changed or anomalies else key
        return changed, anomalies

    def apply(self, record: OrderRecord, at_ns: int) -> tuple[Anomaly, ...]:
        """Take over what the record says; return what was odd about it."""
        anomalies = tuple(self._apply(record, at_ns))
        if self._created_at_ns == 0:
            self._created_at_ns, self._terms = at_ns, terms_of(self.ticket)
        self._updated_at_ns = at_ns
        return anomalies

    def _is_late(self, source: Source, at_ns: int) -> bool:
        """Say whether nothing new was heard for a while before what was read over REST."""
        soon = 0 <= at_ns - self._updated_at_ns < INACTIVE_NS
        return source is not Source.STREAM and not soon

    def _apply(self, record: OrderRecord, at_ns: int) -> Iterator[Anomaly]:
        match record:
            case SubmitOrder() | DenyOrder() | AdoptOrder():
                yield from self._begin(record)
            case CancelOrder(cause=cause):
                yield from self._apply_cancel(cause)
            case ModifyOrder():
                self._begin_change(record)
            case ModifySettled():
                yield from self._end_change(record)
            case AttemptStarted(number=number, session_epoch=epoch):
                self.attempts, self.sent_at_ns, self.sent_epoch = number, at_ns, epoch
            case OrderAnswered(late=True):
                yield from self._apply_late_answer(record.step, record.outcome)
            case OrderAnswered(step=step, outcome=outcome):
                yield from self._apply_answer(step, outcome)
            case PromptRaised() | ReplyDecided():
                self._apply_question(record)
            case OrderRowSeen(row=row, source=source):
                yield from self._apply_row(row, late=self._is_late(source, at_ns))
            case ExecutionSeen(execution=execution):
                yield from self._apply_execution(execution)
            case IncarnationSeen():
                yield from self._apply_incarnation(record)
            case OrderUnprotected(missing=missing):
                self.unprotected = missing
                self.was_unprotected = self.was_unprotected or bool(missing)
            case (
                OrderExpired()
                | OrderDoubted()
                | OrderParked()
                | OrderProvenAbsent()
                | ResolveOrder()
            ):
                yield from self._apply_verdict(record)
            case _:
                assert_never(record)

    # --- beginnings and verdicts -----------------------------------------------------------

    def _begin(self, record: SubmitOrder | DenyOrder | AdoptOrder) -> Iterator[Anomaly]:
        match record:
            case SubmitOrder(approved=approved):
                self._order_id, self._ticket = approved.order_id, approved.ticket
                self._approved, self._session = approved, approved.session
                self._request_sha256 = approved.request_sha256
                self.body, self.followers = record.body, record.followers
                yield from self._move(OrderState.SUBMITTING, None)
            case DenyOrder():
                self._order_id, self._ticket = record.order_id, record.ticket
                self._request_sha256 = record.request_sha256
                yield from self._move(OrderState.DENIED, record.reason)
            case AdoptOrder(row=row):
                self._order_id, self._session = record.order_id, record.session
                self._ticket = ticket_of(row)
                self.adopted, self.unsaid = True, unsaid_terms(row)
                self._unshown = row.filled_quantity or NOTHING
                self.cancel_wanted = self._cancel_open = self._cancelling = record.cancel
                yield from self._move(OrderState.PENDING_NEW, None)
                yield from self._apply_row(row, late=True)
            case _:
                assert_never(record)

    def _apply_verdict(self, record: _Verdict) -> Iterator[Anomaly]:
        match record:
            case OrderExpired(reason=reason):
                yield from self._end_unseen(OrderState.EXPIRED, reason)
            case OrderDoubted(reason=reason) if self.change is not None:
                self._doubt_change(reason)
            case OrderDoubted(reason=reason):
                yield from self._doubt(reason)
            case OrderParked(reason=reason, evidence=evidence):
                self.evidence = evidence
                yield from self._move(OrderState.PARKED, reason)
            case OrderProvenAbsent(evidence=evidence):
                self.evidence = evidence
                text = (
                    f"the broker has no such order: {evidence.list_reads} lists and "
                    f"{evidence.trade_reads} lists of trades that were surely fresh, over "
                    f"{evidence.elapsed_ms // 1_000} s, do not show it"
                )
                reason = Reason(code=PROVEN_ABSENT, message=text)
                yield from self._end_unseen(OrderState.NOT_PLACED, reason)
            case ResolveOrder():
                yield from self._apply_resolution(record)
            case _:
                assert_never(record)

    def _doubt(self, reason: Reason | None) -> Iterator[Anomaly]:
        """Be in doubt, but where a row has shown our id: then the order is found."""
        group = self.ticket.group
        # A row of an exit carries no id of ours; one that says little proves little.
        named = group is None or not group.is_exit
        if named and self.broker_order_id is not None and self.state in UNKNOWN:
            yield from self._move(OrderState.PENDING_NEW, None)
        else:
            yield from self._move(OrderState.IN_DOUBT, reason)

    def _apply_resolution(self, record: ResolveOrder) -> Iterator[Anomaly]:
        self.resolution = record
        self.broker_order_id = record.broker_order_id or self.broker_order_id
        reason = said_by(record.by, record.approved_by, record.reason)
        match record.resolution:
            case Resolution.NOT_PLACED if self.state in LIVE:
                # The broker had it, and nobody sees what became of it there.
                yield from self._end_unseen(OrderState.CANCELLED, reason)
            case Resolution.NOT_PLACED:
                yield from self._end_unseen(OrderState.NOT_PLACED, reason)
            case Resolution.LIVE:
                yield from self._move(OrderState.PENDING_NEW, reason)
            case Resolution.FILLED:
                self.reason = reason  # Its declared fill is a record of its own, and ends it.
            case _:
                assert_never(record.resolution)

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

    # --- cancels and changes ---------------------------------------------------------------

    def _apply_cancel(self, cause: str) -> Iterator[Anomaly]:
        self.cancel_wanted = True
        group = self.ticket.group
        # Whether anything of a follower is sent, its leader decides.
        own_attempt = group is None or group.leads
        if self.state is OrderState.SUBMITTING and self.attempts == 0 and own_attempt:
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
            self._adopt_terms(record.terms)
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

    # --- answers -----------------------------------------------------------------------------

    def _apply_late_answer(self, step: Step, outcome: Outcome) -> Iterator[Anomaly]:
        """Take what an answer that nobody waits for any more proves of a submit.

        Of two changes nobody can say which one a late answer is about, and a question that
        came late is void: neither changes the order.
        """
        if step not in {Step.PLACE, Step.REPLY}:
            return
        if outcome.kind is OutcomeKind.ACK and outcome.broker_order_id is not None:
            yield from self._apply_ack(outcome)
        elif outcome.kind is OutcomeKind.REFUSED and self.state in UNKNOWN:
            yield from self._end_unseen(*self._end_refused(outcome))

    def _apply_answer(self, step: Step, outcome: Outcome) -> Iterator[Anomaly]:
        if step is Step.CANCEL:
            # While a second order is being cancelled, too, nobody can say whose answer it is.
            if outcome.kind is OutcomeKind.REFUSED and not self.duplicates_open:
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
                if self.state in WAITING:
                    yield from self._move(OrderState.AWAITING_REPLY, None)
            case OutcomeKind.REFUSED:
                if self.state in UNKNOWN:
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
                if self.state in WAITING:
                    yield from self._doubt(outcome.reason)
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
                if other is not None and self._other(other) is None:
                    row = OrderRow(account=self.ticket.account, broker_order_id=other)
                    self._keep_other(Incarnation(row=row, kind=Kind.SUSPECTED))
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

    def _apply_ack(self, outcome: Outcome) -> Iterator[Anomaly]:
        assert outcome.broker_order_id is not None
        status = outcome.status if outcome.status in set(BrokerStatus) else None
        row = OrderRow(
            account=self.ticket.account,
            broker_order_id=outcome.broker_order_id,
            status=None if status is None else BrokerStatus(status),
        )
        yield from self._apply_row(row, late=False)
        if self.state in UNKNOWN:
            yield from self._move(OrderState.PENDING_NEW, None)

    def _copy(self) -> "OrderHistory":
        copy = OrderHistory()
        for name in OrderFacts.__slots__:
            setattr(copy, name, getattr(self, name))
        return copy
