"""One order at one account, from its intent to its proven end.

Rule 1: every way from one state to another is in `TRANSITIONS`.

Rule 2: only the messages of `OrderRecord` change the order, and each that does is written
to the journal. So the order is what its records make of it, live or replayed.

Rule 3: nothing is sent before the record that announces it is durable.

Rule 4: an answer that proves nothing makes the order IN_DOUBT, or its change. Silence, an
error of the server or a missing row is never a rejection, and nothing is sent a second time.

Rule 5: fills come from executions. A status never makes one.
"""

from dataclasses import replace
from typing import Final, assert_never

from engine.domain.messages import (
    AdoptOrder,
    AttemptStarted,
    CancelOrder,
    DenyOrder,
    ExecutionSeen,
    ForgetOrder,
    GroupSent,
    IncarnationSeen,
    ModifyOrder,
    ModifySettled,
    OrderAnswered,
    OrderDoubted,
    OrderEffect,
    OrderExpired,
    OrderMessage,
    OrderParked,
    OrderProvenAbsent,
    OrderRecord,
    OrderRowSeen,
    OrderUnprotected,
    PromptRaised,
    RecordCommitted,
    RecordFailed,
    ReplyDecided,
    ResolveOrder,
    StartTimer,
    Step,
    SubmitOrder,
    TimerFired,
    TurnGranted,
    TurnRefused,
)
from engine.domain.order.change import MODIFY_NOT_APPLIED, Shown, shown_by
from engine.domain.order.recorder import NO_ROWS, Rows
from engine.domain.order.search import OrderSearch
from engine.domain.values import (
    LIVE,
    TERMINAL,
    OrderRow,
    OrderState,
    Pending,
    Reason,
    Source,
)

OLD_TERMS_MS: Final = 60_000
"""Polls that show the old terms for so long mean that a doubtful change was not taken.

Where the new terms were in force before, they have to be shown for so long as well.
"""

_ROWS_MIN: Final = 2

_NOT_OURS: Final = frozenset({"identity_mismatch", "exit_unmatched"})
"""Kinds of anomalies of news that is not of this order."""


class Order(OrderSearch):
    """Decides what happens next. `handle` returns what must be done, in order."""

    __slots__ = ()

    def handle(self, message: OrderMessage, at_ns: int) -> tuple[OrderEffect, ...]:
        """Take one message; `at_ns` is wall time, for the journal and the views only."""
        if self._void:
            return ()  # Its first record was refused: nothing may follow in the journal.
        effects = self._handle(message, at_ns)
        waited = self._take_next_prompt(at_ns)
        return (*effects, *waited) if waited else effects

    def _handle(self, message: OrderMessage, at_ns: int) -> tuple[OrderEffect, ...]:
        match message:
            case SubmitOrder() | DenyOrder() | AdoptOrder() | CancelOrder() | ModifyOrder():
                return self._command(message, at_ns)
            case TurnGranted():
                return self._granted(message, at_ns)
            case TurnRefused(reason=reason):
                return self._give_up_turn(reason, at_ns)
            case GroupSent():
                return self._group_sent(message, at_ns)
            case RecordCommitted(record=record):
                return self._continue_after(record, at_ns)
            case RecordFailed():
                return self._stop_after(message, at_ns)
            case OrderAnswered():
                return self._answer(message, at_ns)
            case PromptRaised():
                return self._prompted(message, at_ns)
            case OrderRowSeen() | ExecutionSeen():
                return self._news(message, at_ns)
            case OrderProvenAbsent() | OrderParked() | ResolveOrder():
                return self._conclude(message, at_ns)
            case TimerFired(name=name):
                return self._timer(name, at_ns)
            case (
                AttemptStarted()
                | ReplyDecided()
                | ModifySettled()
                | OrderExpired()
                | OrderDoubted()
                | IncarnationSeen()
                | OrderUnprotected()
            ):
                # Our own records; a shell never tells them.
                return (self._anomaly("unexpected_message", type(message).__name__),)
            case _:
                assert_never(message)

    def _command(
        self,
        message: SubmitOrder | DenyOrder | AdoptOrder | CancelOrder | ModifyOrder,
        at_ns: int,
    ) -> tuple[OrderEffect, ...]:
        match message:
            case SubmitOrder():
                return self._submit(message, at_ns)
            case AdoptOrder():
                return self._record(message, at_ns, confirm=True)
            case DenyOrder():
                return self._record(message, at_ns)
            case CancelOrder():
                return self._cancel(message, at_ns)
            case ModifyOrder():
                return self._modify(message, at_ns)
            case _:
                assert_never(message)

    def _answer(self, message: OrderAnswered, at_ns: int) -> tuple[OrderEffect, ...]:
        if message.late:
            return self._answered_late(message, at_ns)
        if message.step is Step.CANCEL and self.duplicates_open:
            return self._duplicate_cancel_answered(message, at_ns)
        return self._answered(message, at_ns)

    def replay(self, record: OrderRecord, at_ns: int) -> None:
        """Apply a record of the journal; nothing is done again."""
        self.apply(record, at_ns)
        self._cancel_durable = self.cancel_wanted

    def resume(
        self, at_ns: int, *, failed: str | None = None, on_wire: bool = False
    ) -> tuple[OrderEffect, ...]:
        """Say what a rebuilt order needs, after a restart or after its actor failed.

        An intent without an attempt was never sent and ends; an attempt without an
        outcome, or with a question open, may be live: the old session's questions are
        void, and its silence proves nothing. A change that is not settled may have been
        taken or not.

        `failed` says why the actor before died; the order is unconfirmed then until the
        broker shows it. With `on_wire`, the answer to a request of that actor comes here.
        """
        self._in_flight = on_wire
        if not on_wire or self.change is not None:
            self._cut_prompt_off()  # A change is never under way beside a prompt.
        if on_wire and self._open_prompt is None:
            # The turn of the actor before; it was used, so its times do not matter.
            self._turn = TurnGranted(order_id=self.order_id, session_epoch=0, send_by_ns=0)
            self._turn_wanted = True
        why = failed or "the engine restarted"
        if self.follows and self.state is OrderState.SUBMITTING:
            return self._remind(at_ns, why)  # Whatever was tried of it, its leader tells it.
        if self.state in TERMINAL:
            return (
                *self._aliases(),
                *self._cancel_duplicates(),
                *self._follow_lookup(),
                *self._remind(at_ns, why),
            )
        self._unseen = failed is not None
        if self.state is OrderState.SUBMITTING and self.attempts == 0:
            reason = Reason(code="EXPIRED_UNSENT", message=f"{why} before sending")
            return (*self._expire(reason, at_ns), *self._remind(at_ns, why))
        change_open = self.change is not None and not self.change.doubtful
        if change_open or self.state in {OrderState.SUBMITTING, OrderState.AWAITING_REPLY}:
            reason = Reason(code="RESTARTED", message=f"{why} before the outcome was known")
            doubted = OrderDoubted(order_id=self.order_id, reason=reason)
            effects = self._record(doubted, at_ns)
        else:
            effects = self._declare(at_ns)
        return (
            *effects,
            *self._aliases(),
            *self._send_cancel(),
            *self._cancel_unwanted(at_ns),
            *self._cancel_duplicates(),
            *self._follow_lookup(),
            *self._remind(at_ns, why),
        )

    # --- the journal -------------------------------------------------------------------

    def _continue_after(self, record: str, at_ns: int) -> tuple[OrderEffect, ...]:
        if record == SubmitOrder.__name__:
            return self._submit_durable()
        if record == ModifyOrder.__name__:
            return self._want_turn()
        if record == AttemptStarted.__name__:
            return self._place(at_ns)
        if record == ReplyDecided.__name__:
            return self._reply()
        if record in {CancelOrder.__name__, AdoptOrder.__name__}:
            self._cancel_durable = True
            return self._send_cancel()
        if record == IncarnationSeen.__name__:
            return self._cancel_duplicates()
        return (self._anomaly("unexpected_commit", record),)

    def _stop_after(self, failed: RecordFailed, at_ns: int) -> tuple[OrderEffect, ...]:
        anomaly = self._anomaly("record_failed", failed.reason.message)
        if failed.record in {CancelOrder.__name__, IncarnationSeen.__name__}:
            # A cancel by id can be repeated, so it is safe without its record.
            return (anomaly, *self._continue_after(failed.record, at_ns))
        if failed.record in {SubmitOrder.__name__, DenyOrder.__name__, AdoptOrder.__name__}:
            self._void = True
            forget = ForgetOrder(order_id=self.order_id, account=self.ticket.account)
            return (anomaly, *self._submit_failed(), forget, *self._intent_failed())
        if failed.record == ModifyOrder.__name__ and self._is_change_unsent():
            settled = self._settle_change(at_ns, applied=False, reason=failed.reason)
            return (*settled, anomaly)
        if failed.record == ReplyDecided.__name__ and self._open_prompt is not None:
            self._cut_prompt_off()  # It stays unanswered; the order is as it was.
            self.reply = None
            return (anomaly,)
        if failed.record == ReplyDecided.__name__ and self.change is not None:
            doubted = OrderDoubted(order_id=self.order_id, reason=failed.reason)
            return (*self._record(doubted, at_ns), *self._release_turn(), anomaly)
        return (*self._release_turn(), anomaly)

    # --- news --------------------------------------------------------------------------

    def _news(self, message: OrderRowSeen | ExecutionSeen, at_ns: int) -> tuple[OrderEffect, ...]:
        """Write down what is new; report what cannot be ours; pass over the rest."""
        back = self._retract(at_ns) if self._contradicts(message) else ()
        if isinstance(message, OrderRowSeen):
            changed, odd = self.judge_row(message.row, message.source, at_ns)
        else:
            wrong = self.mismatch_of(message.execution)
            odd = () if wrong is None else (("identity_mismatch", wrong),)
            changed = wrong is None and self.fills.is_news(message.execution)
        if changed or (self._unseen and not odd):
            self._unseen = False
            effects = self._record(message, at_ns)
        else:
            effects = tuple(self._anomaly(kind, detail) for kind, detail in odd)
        if any(kind in _NOT_OURS for kind, _ in odd):
            return (*back, *effects)
        if changed or isinstance(message, OrderRowSeen):
            self._hear_of_other(message)  # Lists of trades tell a fill for days.
        return (*back, *effects, *self._weigh(message, at_ns), *self._compare_reads(message, at_ns))

    def _compare_reads(
        self, message: OrderRowSeen | ExecutionSeen, at_ns: int
    ) -> tuple[OrderEffect, ...]:
        if not isinstance(message, OrderRowSeen):
            return ()
        self._note_read(message)
        return self._compare(message.row, message.read, at_ns) if message.read else ()

    def _weigh(self, message: OrderRowSeen | ExecutionSeen, at_ns: int) -> tuple[OrderEffect, ...]:
        """See whether the news settles a change, or a search."""
        if self.state in TERMINAL:
            return ()
        if isinstance(message, OrderRowSeen) and self._is_of_other(message.row.broker_order_id):
            return ()  # A second order says nothing of the first one's terms.
        if isinstance(message, ExecutionSeen):
            if self._is_change_proven() and not self._is_change_unsent():
                return self._settle_change(at_ns, applied=True, reason=None)
            return ()
        if self.change is not None:
            return self._weigh_change(message.row, message.source, at_ns)
        if self.lapsed is not None and self._shown(message.row) is Shown.NEW:
            settled = ModifySettled(
                order_id=self.order_id, applied=True, terms=self.lapsed, reason=None
            )
            late = self._anomaly("modified_late", "the broker shows terms held for not applied")
            return (*self._record(settled, at_ns), late)
        if self.needs_lookup or message.source is Source.STREAM or message.row.status is None:
            return ()
        return self._stop_looking()  # It was looked for to be seen, and now it is.

    def _shown(self, row: OrderRow) -> Shown:
        new = self.lapsed if self.change is None else self.change.wanted
        assert new is not None
        return shown_by(row, self.ticket.type, old=self.terms, new=new)

    def _weigh_change(self, row: OrderRow, source: Source, at_ns: int) -> tuple[OrderEffect, ...]:
        assert self.change is not None
        if not self.change.doubtful:
            return ()  # Its answer comes; a row may be older than the change.
        shown = self._shown(row)
        if shown is Shown.NEW and not self.change.goes_back:
            return self._settle_change(at_ns, applied=True, reason=None)
        if shown is Shown.NOTHING or source is Source.STREAM:
            return ()
        if shown is not self._rows.shown:
            self._rows = Rows(shown=shown, count=1)
            return (StartTimer(name="modify", delay_ms=OLD_TERMS_MS),)
        if not self._rows.ripe:
            self._rows = replace(self._rows, count=self._rows.count + 1)
            return ()
        if shown is Shown.NEW:
            return self._settle_change(at_ns, applied=True, reason=None)
        text = f"the broker's rows showed the old terms for {OLD_TERMS_MS // 1_000} s"
        reason = Reason(code=MODIFY_NOT_APPLIED, message=text)
        return self._settle_change(at_ns, applied=False, reason=reason)

    # --- time --------------------------------------------------------------------------

    def _timer(self, name: str, at_ns: int) -> tuple[OrderEffect, ...]:
        if name == "turn":
            reason = Reason(
                code="TURN_TIMEOUT",
                message=f"no turn to send within {self.turn_wait_ms} ms; nothing was sent",
            )
            return self._give_up_turn(reason, at_ns)
        if name == "cancel" and self.pending is Pending.CANCEL:
            return self._send_cancel()
        if name == "modify" and self.change is not None:
            self._ripen_rows()
            return ()
        if name == "second":
            return self._cancel_duplicates()
        if name == "unseen":
            self._unseen = self._unseen or self.state in LIVE
            return ()
        if name == "park":
            return self._park(self._parked_without_proof(), at_ns)
        return self._due(name, at_ns)

    def _ripen_rows(self) -> None:
        """Let the next row decide, if it says the same: time alone proves nothing."""
        enough = self._rows.count >= _ROWS_MIN
        # One row of a minute ago is no proof; the next one starts over.
        self._rows = replace(self._rows, ripe=True) if enough else NO_ROWS
