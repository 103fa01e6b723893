"""One order at one account, from its intent to its proven end.

Rule 1: every way from one state to another is in `TRANSITIONS`.

Rule 2: only the messages of `OrderRecord` change the order, and each that does is written
to the journal. So the order is what its records make of it, live or replayed.

Rule 3: nothing is sent before the record that announces it is durable.

Rule 4: an answer that proves nothing makes the order IN_DOUBT. Silence, an error of the
server or a missing row is never a rejection, and nothing is sent a second time.

Rule 5: fills come from executions. A status never makes one.
"""

from typing import Final, assert_never

from engine.domain.messages import (
    AttemptStarted,
    CancelAtBroker,
    CancelOrder,
    DenyOrder,
    ExecutionSeen,
    ForgetOrder,
    LearnAlias,
    OrderAnswered,
    OrderDoubted,
    OrderEffect,
    OrderExpired,
    OrderMessage,
    OrderParked,
    OrderRecord,
    OrderRowSeen,
    PlaceAtBroker,
    RecordCommitted,
    RecordFailed,
    ReleaseTurn,
    ReplyAtBroker,
    ReplyDecided,
    ReportAnomaly,
    RequestLookup,
    RequestTurn,
    StartTimer,
    Step,
    StopLookup,
    StopTimer,
    SubmitOrder,
    TimerFired,
    TurnGranted,
    TurnRefused,
    WriteRecord,
)
from engine.domain.order.history import OrderHistory
from engine.domain.values import (
    TERMINAL,
    Answer,
    OrderState,
    Outcome,
    OutcomeKind,
    Pending,
    Question,
    Reason,
)
from engine.domain.views import OrderView

TURN_WAIT_MS_MAX: Final = 30_000
"""An order that got no turn for so long is stale: it ends unsent."""

ROUNDS_MAX: Final = 10
"""More questions about one order than this are declined."""

CANCEL_RETRY_MS: Final = (5_000, 15_000, 45_000, 300_000)
"""Waits between repeated cancels; a cancel by id is idempotent at the broker."""


class Order(OrderHistory):
    """Decides what happens next. `handle` returns what must be done, in order."""

    __slots__ = (
        "_cancel_durable",
        "_cancel_tries",
        "_in_flight",
        "_looking",
        "_turn",
        "_turn_wanted",
        "_void",
    )

    def __init__(self) -> None:
        super().__init__()
        self._turn: TurnGranted | None = None
        self._turn_wanted = False
        self._looking = False
        self._cancel_durable = False
        self._cancel_tries = 0
        self._in_flight = False
        self._void = False

    def handle(self, message: OrderMessage, at_ns: int) -> tuple[OrderEffect, ...]:
        """Take one message; `at_ns` is wall time, for the journal and the views only."""
        if self._void:
            return ()  # Its first record was refused: nothing may follow in the journal.
        match message:
            case SubmitOrder() | DenyOrder():
                return self._record(message, at_ns, confirm=isinstance(message, SubmitOrder))
            case CancelOrder():
                return self._cancel(message, at_ns)
            case TurnGranted():
                return self._start_attempt(message, at_ns)
            case TurnRefused(reason=reason):
                return self._expire(reason, at_ns)
            case RecordCommitted(record=record):
                return self._continue_after(record, at_ns)
            case RecordFailed():
                return self._stop_after(message, at_ns)
            case OrderAnswered():
                return self._answered(message, at_ns)
            case OrderRowSeen() | ExecutionSeen():
                return self._news(message, at_ns)
            case TimerFired(name=name):
                return self._timer(name, at_ns)
            case (
                AttemptStarted() | ReplyDecided() | OrderExpired() | OrderDoubted() | OrderParked()
            ):
                # Our own records; a shell never tells them.
                return (self._anomaly("unexpected_message", type(message).__name__),)
            case _:
                assert_never(message)

    def _news(self, message: OrderRowSeen | ExecutionSeen, at_ns: int) -> tuple[OrderEffect, ...]:
        """Write down what is new; report what cannot be ours; pass over the rest."""
        if isinstance(message, OrderRowSeen):
            changed, odd = self.judge_row(message.row, message.source)
        else:
            wrong = self.mismatch_of(message.execution)
            odd = () if wrong is None else (("identity_mismatch", wrong),)
            changed = wrong is None and self.fills.is_news(message.execution)
        if changed:
            return self._record(message, at_ns)
        return tuple(self._anomaly(kind, detail) for kind, detail in odd)

    def replay(self, record: OrderRecord, at_ns: int) -> None:
        """Apply a record of the journal; nothing is done again."""
        self.apply(record, at_ns)
        self._cancel_durable = self.cancel_wanted

    def resume(self, at_ns: int) -> tuple[OrderEffect, ...]:
        """Say what a rebuilt order needs after a restart.

        An intent without an attempt was never sent and ends; an attempt without an
        outcome, or with a question open, may be live: the old session's questions are
        void, and its silence proves nothing.
        """
        if self.state in TERMINAL:
            return self._aliases(known_before=False)
        if self.state is OrderState.SUBMITTING and self.attempts == 0:
            reason = Reason(code="EXPIRED_UNSENT", message="the engine restarted before sending")
            return self._expire(reason, at_ns)
        if self.state in {OrderState.SUBMITTING, OrderState.AWAITING_REPLY}:
            reason = Reason(
                code="RESTARTED", message="the engine restarted before the outcome was known"
            )
            doubted = OrderDoubted(order_id=self.order_id, reason=reason)
            return (*self._record(doubted, at_ns), *self._aliases(known_before=False))
        effects = self._aliases(known_before=False)
        return (*effects, *self._follow_lookup())

    # --- commands ----------------------------------------------------------------------

    def _cancel(self, message: CancelOrder, at_ns: int) -> tuple[OrderEffect, ...]:
        if self.state in TERMINAL or (self.cancel_wanted and self.pending is Pending.CANCEL):
            return ()  # Nothing to cancel, or under way already: the retries are ours.
        unsent = self.state is OrderState.SUBMITTING and self.attempts == 0
        return self._record(message, at_ns, confirm=not unsent)

    # --- the conversation with the broker ------------------------------------------------

    def _continue_after(self, record: str, at_ns: int) -> tuple[OrderEffect, ...]:
        if record == SubmitOrder.__name__:
            return self._want_turn()
        if record == AttemptStarted.__name__:
            return self._place(at_ns)
        if record == ReplyDecided.__name__:
            return self._reply()
        if record == CancelOrder.__name__:
            self._cancel_durable = True
            return self._send_cancel()
        return (self._anomaly("unexpected_commit", record),)

    def _stop_after(self, failed: RecordFailed, at_ns: int) -> tuple[OrderEffect, ...]:
        anomaly = self._anomaly("record_failed", failed.reason.message)
        if failed.record == CancelOrder.__name__:
            # A cancel by id can be repeated, so it is safe without its record.
            return (anomaly, *self._continue_after(failed.record, at_ns))
        if failed.record in {SubmitOrder.__name__, DenyOrder.__name__}:
            self._void = True
            forget = ForgetOrder(order_id=self.order_id, account=self.ticket.account)
            return (anomaly, forget)
        return (*self._release_turn(), anomaly)

    def _want_turn(self) -> tuple[OrderEffect, ...]:
        if self.state is not OrderState.SUBMITTING:
            return ()  # Cancelled while the intent was being written.
        self._turn_wanted = True
        return (
            StartTimer(name="turn", delay_ms=TURN_WAIT_MS_MAX),
            RequestTurn(order_id=self.order_id, session=self.approved.session),
        )

    def _start_attempt(self, turn: TurnGranted, at_ns: int) -> tuple[OrderEffect, ...]:
        if self.state is not OrderState.SUBMITTING or self.attempts > 0:
            # It ended while it waited, or it was sent before: never twice.
            return (ReleaseTurn(order_id=self.order_id, session=self.approved.session),)
        self._turn = turn
        attempt = AttemptStarted(order_id=self.order_id, number=1, session_epoch=turn.session_epoch)
        return (StopTimer(name="turn"), *self._record(attempt, at_ns, confirm=True))

    def _place(self, at_ns: int) -> tuple[OrderEffect, ...]:
        assert self._turn is not None
        if self.cancel_wanted:
            # The cancel came while the attempt was being written: not a byte has left.
            reason = Reason(code="CANCELLED_BEFORE_SENT", message="cancelled before it was sent")
            unsent = Outcome(kind=OutcomeKind.NOT_SENT, reason=reason)
            answer = OrderAnswered(order_id=self.order_id, step=Step.PLACE, outcome=unsent)
            return self._answered(answer, at_ns)
        self._in_flight = True
        return (
            PlaceAtBroker(
                order_id=self.order_id,
                session=self.approved.session,
                account=self.ticket.account,
                body=self.body,
                send_by_ns=self._turn.send_by_ns,
            ),
        )

    def _answered(self, message: OrderAnswered, at_ns: int) -> tuple[OrderEffect, ...]:
        if message.step is not Step.CANCEL:
            self._in_flight = False
        effects = list(self._record(message, at_ns))
        if message.step is Step.CANCEL:
            if message.outcome.kind is OutcomeKind.REFUSED and self.state not in TERMINAL:
                # "Does not exist" and "inactive" are not proof of anything: look.
                effects.append(StopTimer(name="cancel"))
                effects.extend(self._look())
            return tuple(effects)
        if message.outcome.kind is OutcomeKind.QUESTION and self.question is not None:
            if self.reply is not None and not self.reply.confirmed:
                return (*effects, *self._doubt_endless_questions(at_ns))
            decided = self._decide(self.question)
            return (*effects, *self._record(decided, at_ns, confirm=True))
        return (*effects, *self._release_turn())

    def _doubt_endless_questions(self, at_ns: int) -> tuple[OrderEffect, ...]:
        """Give the lane back when even a no is answered with another question."""
        reason = Reason(
            code="QUESTION_AFTER_DECLINE",
            message="the broker asked again after its question was declined",
        )
        doubted = OrderDoubted(order_id=self.order_id, reason=reason)
        return (*self._record(doubted, at_ns), *self._release_turn())

    def _decide(self, question: Question) -> ReplyDecided:
        policy = self.approved.questions
        answers = [policy.answers.get(kind, policy.default) for kind in question.message_ids]
        confirmed = (
            bool(answers)
            and all(answer is Answer.ACCEPT for answer in answers)
            and self.rounds < ROUNDS_MAX
            and not self.cancel_wanted
        )
        return ReplyDecided(
            order_id=self.order_id,
            question_id=question.question_id,
            confirmed=confirmed,
            round=self.rounds + 1,
        )

    def _reply(self) -> tuple[OrderEffect, ...]:
        assert self.reply is not None
        if self.state in TERMINAL:
            return self._release_turn()  # It ended while the decision was being written.
        self._in_flight = True
        return (
            ReplyAtBroker(
                order_id=self.order_id,
                session=self.approved.session,
                question_id=self.reply.question_id,
                # A cancel that came meanwhile turns a yes into a no; never the reverse.
                confirmed=self.reply.confirmed and not self.cancel_wanted,
            ),
        )

    def _send_cancel(self) -> tuple[OrderEffect, ...]:
        if not self._cancel_durable or self.broker_order_id is None or self.state in TERMINAL:
            return ()
        delay_ms = CANCEL_RETRY_MS[min(self._cancel_tries, len(CANCEL_RETRY_MS) - 1)]
        self._cancel_tries += 1
        return (
            CancelAtBroker(
                order_id=self.order_id,
                session=self.approved.session,
                account=self.ticket.account,
                broker_order_id=self.broker_order_id,
            ),
            StartTimer(name="cancel", delay_ms=delay_ms),
        )

    # --- time --------------------------------------------------------------------------

    def _timer(self, name: str, at_ns: int) -> tuple[OrderEffect, ...]:
        if name == "turn" and self.state is OrderState.SUBMITTING and self.attempts == 0:
            reason = Reason(
                code="TURN_TIMEOUT",
                message=f"no turn to send within {TURN_WAIT_MS_MAX} ms; the order was not sent",
            )
            return self._expire(reason, at_ns)
        if name == "cancel" and self.pending is Pending.CANCEL:
            return self._send_cancel()
        if name == "park" and self.state is OrderState.IN_DOUBT:
            reason = Reason(
                code="NO_PROOF",
                message="the broker neither showed the order nor proved its absence; "
                "a person must look",
            )
            return self._record(OrderParked(order_id=self.order_id, reason=reason), at_ns)
        if name == "park" and self.needs_lookup:
            # The broker counts fills that it does not show; nobody may forget about it.
            self._looking = False
            return (self._anomaly("executions_missing", f"{self.state}"), *self._look())
        return ()

    def _expire(self, reason: Reason, at_ns: int) -> tuple[OrderEffect, ...]:
        if self.state is not OrderState.SUBMITTING or self.attempts > 0:
            return ()
        return self._record(OrderExpired(order_id=self.order_id, reason=reason), at_ns)

    # --- what follows from a record ------------------------------------------------------

    def _record(
        self, record: OrderRecord, at_ns: int, *, confirm: bool = False
    ) -> tuple[OrderEffect, ...]:
        """Apply the record, have it written, and do what its consequences ask for."""
        was_terminal = self.state in TERMINAL if self.state_known else False
        had_alias = self.broker_order_id is not None
        filled = self.fills.quantity

        anomalies = self.apply(record, at_ns)

        effects: list[OrderEffect] = [
            WriteRecord(record=record, view=self.view(), confirm=confirm),
            *(self._anomaly(kind, detail) for kind, detail in anomalies),
            *self._aliases(known_before=had_alias),
        ]
        if was_terminal and self.fills.quantity > filled:
            effects.append(self._anomaly("late_fill", f"filled {self.fills.quantity}"))
        if self.state in TERMINAL and not was_terminal:
            if self._turn_wanted:
                effects.append(StopTimer(name="turn"))
                if not self._in_flight:
                    # A request on the wire keeps the lane: its answer ends the turn.
                    effects.extend(self._release_turn())
            effects.append(StopTimer(name="cancel"))
        effects.extend(self._follow_lookup())
        return tuple(effects)

    def _aliases(self, *, known_before: bool) -> tuple[OrderEffect, ...]:
        if known_before or self.broker_order_id is None:
            return ()
        learned = LearnAlias(
            order_id=self.order_id,
            account=self.ticket.account,
            broker_order_id=self.broker_order_id,
        )
        # A cancel that waited for the order to be seen fires now.
        return (learned, *self._send_cancel())

    def _follow_lookup(self) -> tuple[OrderEffect, ...]:
        if self.needs_lookup:
            return self._look()
        if not self._looking:
            return ()
        self._looking = False
        return (StopLookup(order_id=self.order_id, session=self.approved.session),)

    def _look(self) -> tuple[OrderEffect, ...]:
        if self._looking:
            return ()
        self._looking = True
        return (RequestLookup(order_id=self.order_id, session=self.approved.session),)

    def _release_turn(self) -> tuple[OrderEffect, ...]:
        if not self._turn_wanted:
            return ()
        self._turn_wanted = False
        self._turn = None
        return (ReleaseTurn(order_id=self.order_id, session=self.approved.session),)

    def _anomaly(self, kind: str, detail: str) -> ReportAnomaly:
        return ReportAnomaly(machine="order", kind=kind, detail=f"{self.order_id}: {detail}")

    def view(self, seq: int = 0) -> OrderView:
        """Return the order as it is shown; `seq` is filled in once it is durable."""
        return self.snapshot(seq)
