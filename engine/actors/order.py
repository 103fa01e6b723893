"""The actor of one order: does what its machine says, in the order that it says it."""

from dataclasses import replace
from decimal import Decimal
from functools import partial
from typing import Final, TypeAlias, assert_never

from engine import log, metrics
from engine.actors.mailbox import Dispatcher
from engine.actors.shell import Clock, Shell
from engine.actors.switchboard import Switchboard
from engine.domain.messages import (
    AdoptOrder,
    AttemptStarted,
    CancelAtBroker,
    DenyOrder,
    ExecutionSeen,
    ForgetOrder,
    IncarnationSeen,
    LearnAlias,
    ModifyAtBroker,
    ModifyOrder,
    ModifySettled,
    OrderAnswered,
    OrderEffect,
    OrderMessage,
    OrderProvenAbsent,
    OrderRecord,
    PlaceAtBroker,
    PromptRaised,
    RecordCommitted,
    RecordFailed,
    ReleaseTurn,
    ReplaceExit,
    ReplyAtBroker,
    ReplyDecided,
    ReportAnomaly,
    RequestLookup,
    RequestTurn,
    ResolveOrder,
    StartFollowers,
    StartTimer,
    Step,
    StopLookup,
    StopTimer,
    SubmitOrder,
    TellFollower,
    TimerFired,
    WriteRecord,
)
from engine.domain.order import MODIFY_NOT_APPLIED, Order
from engine.domain.order.merge import is_declared
from engine.domain.ports import Committed, Entry, NotCommitted
from engine.domain.risk import AccountRisk
from engine.domain.session import Session
from engine.domain.values import (
    DOUBTFUL,
    LIVE,
    WAITING,
    Confidence,
    OrderState,
    Outcome,
    OutcomeKind,
    Reason,
    SessionName,
)
from engine.domain.views import OrderView

_LOG = log.get("actors/order")

_STEPS: Final = {
    PlaceAtBroker: Step.PLACE,
    ReplyAtBroker: Step.REPLY,
    CancelAtBroker: Step.CANCEL,
    ModifyAtBroker: Step.MODIFY,
}

_SUBMITTING: Final = frozenset({Step.PLACE, Step.REPLY})

_ASKED: Final = (OrderAnswered, PromptRaised, RecordCommitted)
"""What may lead to a yes: a question, a prompt, and the decision once it is durable."""

_UNSENT: Final = (SubmitOrder, AttemptStarted)
"""What becomes durable right before an order is sent; nobody may hold that up."""

_PAGED: Final = frozenset({"duplicate", "late_sighting", "unprotected"})
"""Kinds of anomalies that somebody must hear of at once."""

_Sent: TypeAlias = PlaceAtBroker | ReplyAtBroker | CancelAtBroker | ModifyAtBroker


class OrderActor(Shell):
    """One order, from its intent on."""

    __slots__ = ("_attempting", "_change_sent", "_started_ns", "_switchboard", "order")

    def __init__(
        self,
        *,
        dispatcher: Dispatcher,
        name: str,
        clock: Clock,
        switchboard: Switchboard,
        order: Order,
    ) -> None:
        super().__init__(dispatcher=dispatcher, name=name, clock=clock)
        self.order = order
        self._switchboard = switchboard
        self._started_ns = clock.monotonic_ns()
        self._attempting = False
        self._change_sent = False
        if order.state_known:
            self.order.policy = switchboard.policy_of(order.ticket.account)

    def on_receive(self, message: OrderMessage) -> None:
        """Let the machine decide, then do it."""
        if isinstance(message, _ASKED):
            self.order.halted = self._is_halted()
        elif isinstance(message, SubmitOrder):
            self.order.policy = self._switchboard.policy_of(message.approved.ticket.account)
        elif isinstance(message, AdoptOrder):
            self.order.policy = self._switchboard.policy_of(message.row.account)
        elif isinstance(message, TimerFired) and message.name == "exits":
            self.order.exits = self._switchboard.exits_of(self.order)
        for effect in self.order.handle(message, self.clock.wall_ns()):
            self.perform(effect)
        if isinstance(message, TimerFired) and message.name == "unseen":
            self._show_unsure()

    def _show_unsure(self) -> None:
        """Show that the broker's lists lack the order; that is no record, and changes nothing."""
        view = self._switchboard.views.get(self.order.order_id)
        if view is not None and view.state in LIVE:
            self._switchboard.show(replace(view, confidence=Confidence.UNCONFIRMED))

    def resume(self, *, failed: str | None = None, on_wire: bool = False) -> None:
        """Do what a rebuilt order needs; `failed` and `on_wire` are as in `Order.resume`."""
        effects = self.order.resume(self.clock.wall_ns(), failed=failed, on_wire=on_wire)
        for effect in effects:
            self.perform(effect)

    def perform(self, effect: OrderEffect) -> None:
        """Do one thing that the order asked for."""
        board = self._switchboard
        match effect:
            case WriteRecord():
                self._write(effect)
            case RequestTurn() | ReleaseTurn() | RequestLookup() | StopLookup():
                board.tell_session(self._session(effect.session), effect)
            case PlaceAtBroker() | ReplyAtBroker() | CancelAtBroker() | ModifyAtBroker():
                self._send(effect)
            case LearnAlias():
                board.learn_alias(effect)
            case ForgetOrder():
                board.forget_order(effect)
            case StartFollowers():
                board.start_followers(effect)
            case TellFollower(message=message):
                board.tell_order(message.order_id, message)
            case ReplaceExit():
                board.replace_exit(effect)
            case StartTimer():
                self.start_timer(effect)
            case StopTimer():
                self.stop_timer(effect)
            case ReportAnomaly():
                self._report(effect)
            case _:
                assert_never(effect)

    def _report(self, effect: ReportAnomaly) -> None:
        self.report(effect)
        account = metrics.account_label(self.order.ticket.account)
        if effect.kind == "late_fill":
            metrics.LATE_FILLS.labels(account).inc()
        elif effect.kind == "late_sighting":
            metrics.LATE_SIGHTINGS.labels(account).inc()
        if effect.kind in _PAGED:
            _LOG.error("order_needs_attention", kind=effect.kind, detail=effect.detail)

    def _is_halted(self) -> bool:
        """Say whether a halt is in force, or may be: then nothing is confirmed."""
        if not self.order.state_known:
            return False
        ticket = self.order.ticket
        ref = self._switchboard.risks.get(ticket.account)
        if ref is None:
            return False
        if ref.paused or ref.stopped:
            return True  # A halt may wait in its mail.
        risk = getattr(ref.actor, "risk", None)
        return isinstance(risk, AccountRisk) and risk.sending_refusal(ticket) is not None

    @property
    def _sender(self) -> SessionName | None:
        """The session that the order is of now; a denied one is of none."""
        sent_by = self.order.sent_by
        return None if sent_by is None else self._session(sent_by)

    def _session(self, approved: SessionName) -> SessionName:
        return self._switchboard.session_for(self.order.ticket.account, approved)

    def _send(self, effect: _Sent) -> None:
        session = self._session(effect.session)
        gateway = self._switchboard.order_gateway(session)
        if gateway is None:
            text = f"session {session} is configured no more; nothing was sent"
            self._leave_unsent(effect, Reason(code="SESSION_UNKNOWN", message=text))
            return
        if self._is_turn_over(effect, session):
            # While the attempt was written: who knows what the account is like by now.
            text = f"session {session} was not ready any more, or in another login, at the send"
            self._leave_unsent(effect, Reason(code="LOGIN_LOST", message=text))
            return
        match effect:
            case PlaceAtBroker():
                self._phase("turn")
                gateway.place(effect, self._answer)
            case ReplyAtBroker():
                gateway.reply(effect, self._answer)
            case CancelAtBroker():
                gateway.cancel(effect, self._answer)
            case ModifyAtBroker():
                self._change_sent = True
                gateway.modify(effect, self._answer)
            case _:
                assert_never(effect)

    def _is_turn_over(self, effect: _Sent, session: SessionName) -> bool:
        """Say whether the login that a turn was given in is over, or not ready any more."""
        if not isinstance(effect, PlaceAtBroker | ModifyAtBroker):
            return False
        ref = self._switchboard.sessions[session].session_ref
        now = None if ref is None else getattr(ref.actor, "session", None)
        lasts = isinstance(now, Session) and now.ready and now.epoch == effect.session_epoch
        return not lasts

    def _leave_unsent(self, effect: _Sent, reason: Reason) -> None:
        outcome = Outcome(kind=OutcomeKind.NOT_SENT, reason=reason)
        step = _STEPS[type(effect)]
        self._answer(OrderAnswered(order_id=effect.order_id, step=step, outcome=outcome))

    def _answer(self, message: OrderAnswered) -> None:
        self._switchboard.tell_order(message.order_id, message)

    def _write(self, effect: WriteRecord) -> None:
        self._attempting = self._attempting or isinstance(effect.record, AttemptStarted)
        entry = Entry(
            at_ns=effect.view.updated_at_ns,
            account=effect.view.account,
            order_id=effect.view.order_id,
            message=effect.record,
            session=self._sender,
        )
        self._switchboard.journal.append(
            entry, lambda result: self.guarded(self._written, effect, result)
        )

    def _written(self, effect: WriteRecord, result: Committed | NotCommitted) -> None:
        order_id, record = effect.view.order_id, type(effect.record).__name__
        match result:
            case Committed(seq=seq):
                if effect.confirm:  # First: an order that waits to be sent is in a hurry.
                    message = RecordCommitted(order_id=order_id, record=record)
                    self._switchboard.tell_order(order_id, message)
                afterwards = self.ref.dispatcher.afterwards
                if isinstance(effect.record, SubmitOrder):
                    self._phase("intent")
                if self._attempting and isinstance(effect.record, _UNSENT):
                    afterwards.leave(partial(self.guarded, self._show_unsent, effect, seq))
                    return
                afterwards.flush()
                self._publish(effect, seq)
            case NotCommitted(reason=reason):
                failed = RecordFailed(order_id=order_id, record=record, reason=reason)
                self._switchboard.tell_order(order_id, failed)
            case _:
                assert_never(result)

    def _show_unsent(self, effect: WriteRecord, seq: int) -> None:
        """Publish what was durable before the order's bytes left; they had to go first."""
        shown = self._switchboard.views.get(effect.view.order_id)
        if shown is None or shown.seq < seq:  # Else a rebuilt order has shown more meanwhile.
            self._publish(effect, seq)

    def _publish(self, effect: WriteRecord, seq: int) -> None:
        before = self._switchboard.views.get(effect.view.order_id)
        self._observe(effect, before)
        self._switchboard.publish(effect, seq)
        # A line takes longer than all of this, and whoever waits for the order reads none.
        self.ref.dispatcher.afterwards.leave(partial(_log_change, effect.view, before))

    def _observe(self, effect: WriteRecord, before: OrderView | None) -> None:
        """Count what has become durable; `before` is what was, None at first."""
        answered = effect.view.state not in WAITING and _is_new(before)
        if before is not None and before.state in DOUBTFUL:
            self._observe_doubt(effect, before)
        match effect.record:
            case DenyOrder(reason=reason):
                metrics.REJECTS.labels("risk", reason.code).inc()
            case ReplyDecided(confirmed=confirmed):
                question = self.order.prompt or self.order.question
                for kind in question.message_ids if question else ():
                    metrics.QUESTIONS.labels(kind, "accept" if confirmed else "decline").inc()
            case ModifyOrder():
                self._change_sent = False
            case ModifySettled():
                metrics.MODIFIES.labels(self._result_of(effect.record)).inc()
            case IncarnationSeen(duplicate=True):
                metrics.DUPLICATES.labels(metrics.account_label(effect.view.account)).inc()
            case OrderAnswered(late=True):
                return  # The gateway has counted it, where it came in.
            case OrderAnswered(step=step) if step in _SUBMITTING and answered:
                self._phase("ack")
                if effect.view.state is OrderState.REJECTED and effect.view.reason:
                    metrics.REJECTS.labels("broker", effect.view.reason.code).inc()
            case ExecutionSeen() if _filled(before) != effect.view.filled_quantity:
                # A commission comes in a record of its own; it is not another fill.
                metrics.FILLS.labels(metrics.account_label(effect.view.account)).inc()
            case _:
                return

    def _observe_doubt(self, written: WriteRecord, before: OrderView) -> None:
        """Count how an order stopped being in doubt, and how long after it was sent."""
        if written.view.state is before.state:
            return
        how = "found"
        if written.view.state is OrderState.PARKED:
            how = "parked"
        elif isinstance(written.record, OrderProvenAbsent):
            how = "absent"
        elif isinstance(written.record, ResolveOrder) or _books_declared(written.record):
            how = "resolved"
        metrics.DOUBTS_ENDED.labels(how).inc()
        if self.order.sent_at_ns:
            elapsed_s = (written.view.updated_at_ns - self.order.sent_at_ns) / 1e9
            metrics.IN_DOUBT_SECONDS.labels(how).observe(max(elapsed_s, 0.0))

    def _result_of(self, settled: ModifySettled) -> str:
        """Say what became of a modify, in the words of the metric."""
        if settled.applied:
            return "applied"
        if settled.reason is not None and settled.reason.code == MODIFY_NOT_APPLIED:
            return "not_applied"
        return "refused" if self._change_sent else "not_sent"

    def _phase(self, phase: str) -> None:
        now_ns = self.clock.monotonic_ns()
        metrics.SUBMIT_SECONDS.labels(phase).observe((now_ns - self._started_ns) / 1e9)
        self._started_ns = now_ns


def _log_change(view: OrderView, before: OrderView | None) -> None:
    """Say what became durable, once for each change that a person would see."""
    if before is not None and _news(view) == _news(before):
        return
    _LOG.info(
        "order_changed",
        order_id=view.order_id,
        coid=view.coid,
        broker_order_id=view.broker_order_id,
        account=view.account,
        state=view.state,
        pending=view.pending,
        quantity=str(view.quantity),
        filled_quantity=str(view.filled_quantity),
        reason=None if view.reason is None else view.reason.code,
    )


def _books_declared(record: OrderRecord) -> bool:
    """Say whether a record books the fill that a person declared."""
    return isinstance(record, ExecutionSeen) and is_declared(record.execution)


def _is_new(before: OrderView | None) -> bool:
    """Say whether the broker was not known to hold the order before."""
    return before is None or before.state not in LIVE


def _filled(before: OrderView | None) -> Decimal:
    return Decimal(0) if before is None else before.filled_quantity


def _news(view: OrderView) -> tuple[object, ...]:
    """Return what a person would call a change of an order."""
    terms = (view.quantity, view.limit_price, view.stop_price)
    return (view.state, view.pending, view.filled_quantity, terms)
