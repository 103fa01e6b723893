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
    AttemptStarted,
    CancelOrder,
    DenyOrder,
    ExecutionSeen,
    ForgetOrder,
    ModifyOrder,
    ModifySettled,
    OrderAnswered,
    OrderDoubted,
    OrderEffect,
    OrderExpired,
    OrderMessage,
    OrderParked,
    OrderRecord,
    OrderRowSeen,
    PromptRaised,
    RecordCommitted,
    RecordFailed,
    ReplyDecided,
    StartTimer,
    SubmitOrder,
    TimerFired,
    TurnGranted,
    TurnRefused,
)
from engine.domain.order.change import MODIFY_NOT_APPLIED, Shown, shown_by
from engine.domain.order.conversation import OrderConversation
from engine.domain.order.recorder import NO_ROWS, Rows
from engine.domain.values import (
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


class Order(OrderConversation):
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
            case SubmitOrder() | DenyOrder():
                return self._record(message, at_ns, confirm=isinstance(message, SubmitOrder))
            case CancelOrder():
                return self._cancel(message, at_ns)
            case ModifyOrder():
                return self._modify(message, at_ns)
            case PromptRaised():
                return self._prompted(message, at_ns)
            case TurnGranted():
                return self._granted(message, at_ns)
            case TurnRefused(reason=reason):
                return self._give_up_turn(reason, at_ns)
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
                AttemptStarted()
                | ReplyDecided()
                | ModifySettled()
                | OrderExpired()
                | OrderDoubted()
                | OrderParked()
            ):
                # Our own records; a shell never tells them.
                return (self._anomaly("unexpected_message", type(message).__name__),)
            case _:
                assert_never(message)

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
            self.prompt = None  # Cut off; a change is never under way beside a prompt.
        if on_wire and self.prompt is None:
            # The turn of the actor before; it was used, so its times do not matter.
            self._turn = TurnGranted(order_id=self.order_id, session_epoch=0, send_by_ns=0)
            self._turn_wanted = True
        if self.state in TERMINAL:
            return self._aliases(known_before=False)
        self._unseen = failed is not None
        why = failed or "the engine restarted"
        if self.state is OrderState.SUBMITTING and self.attempts == 0:
            reason = Reason(code="EXPIRED_UNSENT", message=f"{why} before sending")
            return self._expire(reason, at_ns)
        change_open = self.change is not None and not self.change.doubtful
        if change_open or self.state in {OrderState.SUBMITTING, OrderState.AWAITING_REPLY}:
            reason = Reason(code="RESTARTED", message=f"{why} before the outcome was known")
            doubted = OrderDoubted(order_id=self.order_id, reason=reason)
            return (*self._record(doubted, at_ns), *self._aliases(known_before=False))
        return (*self._aliases(known_before=False), *self._follow_lookup())

    # --- commands ----------------------------------------------------------------------

    def _cancel(self, message: CancelOrder, at_ns: int) -> tuple[OrderEffect, ...]:
        if self.state in TERMINAL or self._cancel_open:
            return ()  # Nothing to cancel, or under way already: the retries are ours.
        unsent = self.state is OrderState.SUBMITTING and self.attempts == 0
        effects = self._record(message, at_ns, confirm=not unsent)
        if not self._is_change_unsent():
            return effects
        reason = Reason(code="CANCELLED_BEFORE_SENT", message="cancelled before it was changed")
        return (*effects, *self._settle_change(at_ns, applied=False, reason=reason))

    # --- the journal -------------------------------------------------------------------

    def _continue_after(self, record: str, at_ns: int) -> tuple[OrderEffect, ...]:
        if record in {SubmitOrder.__name__, ModifyOrder.__name__}:
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
        if failed.record == ModifyOrder.__name__ and self._is_change_unsent():
            settled = self._settle_change(at_ns, applied=False, reason=failed.reason)
            return (*settled, anomaly)
        if failed.record == ReplyDecided.__name__ and self.prompt is not None:
            self.prompt = self.reply = None  # It stays unanswered; the order is as it was.
            return (anomaly,)
        if failed.record == ReplyDecided.__name__ and self.change is not None:
            doubted = OrderDoubted(order_id=self.order_id, reason=failed.reason)
            return (*self._record(doubted, at_ns), *self._release_turn(), anomaly)
        return (*self._release_turn(), anomaly)

    # --- news --------------------------------------------------------------------------

    def _news(self, message: OrderRowSeen | ExecutionSeen, at_ns: int) -> tuple[OrderEffect, ...]:
        """Write down what is new; report what cannot be ours; pass over the rest."""
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
        if any(kind == "identity_mismatch" for kind, _ in odd):
            return effects
        more = self._weigh(message, at_ns)
        return (*effects, *more) if more else effects

    def _weigh(self, message: OrderRowSeen | ExecutionSeen, at_ns: int) -> tuple[OrderEffect, ...]:
        """See whether the news settles a change, or a search."""
        if self.state in TERMINAL:
            return ()
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
        if name == "park" and self.state is OrderState.IN_DOUBT:
            reason = Reason(
                code="NO_PROOF",
                message="the broker neither showed the order nor proved its absence; "
                "a person must look",
            )
            return self._record(OrderParked(order_id=self.order_id, reason=reason), at_ns)
        if name == "park" and self.needs_lookup:
            # The broker counts fills, or has terms, that it does not show; nobody may forget.
            self._looking = False
            kind = "executions_missing" if self.change is None else "modify_unproven"
            return (self._anomaly(kind, f"{self.state}"), *self._look())
        if name == "park":
            self._looking = False  # The session has given up a search that nothing hangs on.
        return ()

    def _ripen_rows(self) -> None:
        """Let the next row decide, if it says the same: time alone proves nothing."""
        enough = self._rows.count >= _ROWS_MIN
        # One row of a minute ago is no proof; the next one starts over.
        self._rows = replace(self._rows, ripe=True) if enough else NO_ROWS
