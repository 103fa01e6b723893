"""Who gets what: finds the actor of an order, an account or a session, and tells it.

Rule 1: an order is found by our id, by its cOID, or by the broker's id once that was
learned. News of an order that nobody knows is kept for a while, because an order's first
rows can overtake the answer that names it.

Rule 2: what is shown is durable. `publish` is called after the commit.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

from engine import log, metrics
from engine.actors.mailbox import LoopRef
from engine.actors.shell import Clock, post
from engine.actors.strangers import Strangers
from engine.actors.views import Views
from engine.domain.messages import (
    DeliverNews,
    ExecutionSeen,
    ExternalOrderSeen,
    ForgetOrder,
    HaltScope,
    LearnAlias,
    NoticeSeen,
    OrderChanged,
    OrderForgotten,
    OrderRowSeen,
    PositionFilled,
    PositionsFilled,
    PromptRaised,
    PromptStreamed,
    TurnGranted,
    TurnRefused,
    WriteRecord,
)
from engine.domain.ports import (
    Committed,
    DataGateway,
    Entry,
    FeedGateway,
    InstrumentGateway,
    Journal,
    NotCommitted,
    OrderGateway,
)
from engine.domain.values import (
    AccountId,
    BrokerOrderId,
    Coid,
    Execution,
    OrderId,
    OrderRow,
    OrderState,
    QuestionId,
    Reason,
    Scope,
    ScopeKind,
    SessionName,
    Source,
    TradingState,
    is_our_coid,
)
from engine.domain.views import ExternalOrderView, OrderView

_LOG = log.get("actors/switchboard")

PROMPTS_MAX: Final = 1_000
"""So many prompts of others are remembered, so as not to note them again."""

NOTICES_MAX: Final = 100
"""So many notices of a session are written down in `NOTICES_NS`; more are only counted."""

NOTICES_NS: Final = 60_000_000_000

_NAMELESS: Final = frozenset(
    {OrderState.SUBMITTING, OrderState.AWAITING_REPLY, OrderState.IN_DOUBT}
)
"""Our orders whose broker id may be learned any moment."""


@dataclass(slots=True, kw_only=True)
class SessionLines:
    """How one session is reached: its two actors and its gateways."""

    orders: OrderGateway
    feed: FeedGateway
    instruments: InstrumentGateway
    data: DataGateway
    session_ref: LoopRef | None = None
    feed_ref: LoopRef | None = None


class Switchboard:
    """The lines between the actors of one engine."""

    def __init__(self, *, journal: Journal, views: Views, shard: str, clock: Clock) -> None:
        self.journal = journal
        self.views = views
        self.sessions: dict[SessionName, SessionLines] = {}
        self.risks: dict[AccountId, LoopRef] = {}
        self.session_of: dict[AccountId, SessionName] = {}
        self.refuse_turn: Callable[[LoopRef], Reason | None] = lambda _order: None
        self.halt: Callable[[HaltScope], None] = lambda _halt: None
        self._shard = shard
        self._clock = clock
        self._orders: dict[OrderId, LoopRef] = {}
        self._by_coid: dict[Coid, OrderId] = {}
        self._by_broker_id: dict[tuple[AccountId, BrokerOrderId], OrderId] = {}
        self._nameless: dict[AccountId, set[OrderId]] = {}
        self._suspects: set[Coid] = set()
        self._noted_prompts: OrderedDict[tuple[SessionName, QuestionId], None] = OrderedDict()
        self._notices: dict[SessionName, tuple[int, int]] = {}
        self._strangers = Strangers(
            clock=clock,
            on_external=self._write_external,
            is_sending=lambda account: bool(self._nameless.get(account)),
        )

    def connect_order(self, order_id: OrderId, coid: Coid | None, ref: LoopRef) -> None:
        """Let the order be found from now on."""
        self._orders[order_id] = ref
        if coid is not None:
            self._by_coid[coid] = order_id

    def order_ref(self, order_id: OrderId) -> LoopRef | None:
        """Return the order's address, None when there is no such order."""
        return self._orders.get(order_id)

    def order_refs(self) -> Iterable[LoopRef]:
        """Return the addresses of all orders."""
        return self._orders.values()

    def session_for(self, account: AccountId, approved: SessionName) -> SessionName:
        """Return the session of an order; its account may have moved since it was approved."""
        return self.session_of.get(account, approved)

    def order_gateway(self, session: SessionName) -> OrderGateway | None:
        """Return what sends the session's orders, None when it is configured no more."""
        lines = self.sessions.get(session)
        return None if lines is None else lines.orders

    def tell_order(self, order_id: OrderId, message: Any) -> None:
        """Tell an order; one that is gone makes it a dead letter."""
        ref = self._orders.get(order_id)
        if ref is not None:
            post(ref, message)

    def tell_session(self, session: SessionName, message: Any) -> None:
        """Tell a session; a rebuilt order may name one that is configured no more."""
        lines = self.sessions.get(session)
        if lines is not None and lines.session_ref is not None:
            post(lines.session_ref, message)

    def tell_feed(self, session: SessionName, message: Any) -> None:
        """Tell a session's feed."""
        ref = self.sessions[session].feed_ref
        if ref is not None:
            post(ref, message)

    def tell_risk(self, account: AccountId, message: Any) -> None:
        """Tell an account's risk; an account of nobody's is none of our business."""
        ref = self.risks.get(account)
        if ref is not None:
            post(ref, message)

    def tell_every_risk(self, message: Any) -> None:
        """Tell the risk of every account."""
        for ref in self.risks.values():
            post(ref, message)

    def publish(self, written: WriteRecord, seq: int) -> None:
        """Show an order's durable state, and tell who keeps count of it."""
        view = replace(written.view, seq=seq)
        if isinstance(written.record, ExecutionSeen):
            # Before the leaves shrink: counted twice for a moment is safe, not at all is not.
            execution = written.record.execution
            self.tell_risk(execution.account, self.as_fill(execution))
        self.show(view)
        self.tell_risk(view.account, OrderChanged(view=view))
        session = self.session_of.get(view.account)
        if session is not None:
            self.tell_session(session, OrderChanged(view=view))

    def show(self, view: OrderView) -> None:
        """Show an order from now on, and expect its broker's id if nobody has told it yet."""
        nameless = self._nameless.setdefault(view.account, set())
        if view.broker_order_id is None and view.state in _NAMELESS:
            nameless.add(view.order_id)
        else:
            nameless.discard(view.order_id)
        self.views.put(view)

    def as_fill(self, execution: Execution) -> PositionFilled:
        """Say of an execution when it happened and when we heard of it, on our clock."""
        age_ns = max(self._clock.wall_ns() - execution.at_ms * 1_000_000, 0)
        seen_ns = self._clock.monotonic_ns()
        return PositionFilled(execution=execution, now_ns=seen_ns - age_ns, seen_ns=seen_ns)

    def grant_turn(self, granted: TurnGranted) -> None:
        """Give an order its turn, unless a halt came while it waited.

        Risk approved it before; what was halted since must not be sent any more.
        """
        ref = self._orders.get(granted.order_id)
        refusal = None if ref is None else self.refuse_turn(ref)
        if refusal is None:
            self.tell_order(granted.order_id, granted)
        else:
            refused = TurnRefused(order_id=granted.order_id, reason=refusal)
            self.tell_order(granted.order_id, refused)

    def forget_order(self, forget: ForgetOrder) -> None:
        """There is no such order: its first record never became durable."""
        self._nameless.get(forget.account, set()).discard(forget.order_id)
        self.views.forget(forget.order_id)
        self.tell_risk(forget.account, OrderForgotten(order_id=forget.order_id))

    # --- news of orders ------------------------------------------------------------------

    def learn_alias(self, learned: LearnAlias) -> None:
        """Let the broker's id mean the order, and hand over what came before we knew."""
        key = (learned.account, learned.broker_order_id)
        self._by_broker_id[key] = learned.order_id
        stranger = self._strangers.claim(*key)
        if stranger is None:
            return
        if stranger.row is not None:
            seen = OrderRowSeen(order_id=learned.order_id, row=stranger.row, source=Source.STREAM)
            self.tell_order(learned.order_id, seen)
        for execution in stranger.executions.values():
            seen_fill = ExecutionSeen(
                order_id=learned.order_id, execution=execution, source=Source.STREAM
            )
            self.tell_order(learned.order_id, seen_fill)

    def deliver(self, session: SessionName, news: DeliverNews) -> None:
        """Hand rows and executions to their orders, in order."""
        for row in news.rows:
            order_id = self._find(row.account, row.broker_order_id, row.coid)
            if order_id is not None:
                seen = OrderRowSeen(order_id=order_id, row=row, source=news.source)
                self.tell_order(order_id, seen)
            elif self._strangers.meet(session, row, news.source) and row.coid is not None:
                self._suspect(row.account, row.coid)
        strange_fills: dict[AccountId, list[PositionFilled]] = {}
        for execution in news.executions:
            order_id = self._find(execution.account, execution.broker_order_id, execution.coid)
            if order_id is not None:
                fill = ExecutionSeen(order_id=order_id, execution=execution, source=news.source)
                self.tell_order(order_id, fill)
            else:
                self._strangers.meet_fill(session, execution)
                fills = strange_fills.setdefault(execution.account, [])
                fills.append(self.as_fill(execution))
        # One message an account: a day of others' trades must not fill a mailbox.
        for account, fills in strange_fills.items():
            self.tell_risk(account, PositionsFilled(fills=tuple(fills)))
        self._strangers.settle()

    def _find(
        self, account: AccountId, broker_id: BrokerOrderId | None, coid: Coid | None
    ) -> OrderId | None:
        if coid is not None and coid in self._by_coid:
            return self._by_coid[coid]
        return None if broker_id is None else self._by_broker_id.get((account, broker_id))

    def _suspect(self, account: AccountId, coid: Coid) -> None:
        """Stop an account whose broker knows an order of ours that the journal does not.

        Then the journal is not the one that the order was sent from, and what else it
        lacks nobody can say.
        """
        if coid in self._suspects or not is_our_coid(coid, self._shard):
            return
        self._suspects.add(coid)
        reason = (
            f"the broker has order {coid} of this engine, the journal does not: is this an "
            "older or a new journal? Check, then resume the account"
        )
        _LOG.error("journal_regression_found", account=account, coid=coid)
        metrics.ANOMALIES.labels("switchboard", "journal_regression").inc()
        scope = Scope(kind=ScopeKind.ACCOUNT, key=account)
        halt = HaltScope(scope=scope, level=TradingState.HALT, reason=reason, by="engine")
        self.halt(halt)

    # --- what is not ours ----------------------------------------------------------------

    def external(self, account: AccountId) -> tuple[ExternalOrderView, ...]:
        """Return the account's orders that this engine did not send, the newest first."""
        return self._strangers.external(account)

    def fills_of_strangers(self, account: AccountId) -> tuple[PositionFilled, ...]:
        """Return the account's executions of orders that nobody here knows."""
        return tuple(self.as_fill(one) for one in self._strangers.executions(account))

    def write_notice(self, notice: NoticeSeen) -> None:
        """Write down what the broker told people, and count it."""
        metrics.NOTICES.labels(notice.session, notice.kind).inc()
        if not self._has_room(notice.session):
            return
        _LOG.info(
            "broker_notice",
            session=notice.session,
            kind=notice.kind,
            notice_id=notice.notice_id,
            text=notice.text,
        )
        self._append(None, notice)

    def _has_room(self, session: SessionName) -> bool:
        """Say whether another notice of the session may be written; it must not flood the rest."""
        now_ns = self._clock.monotonic_ns()
        since_ns, count = self._notices.get(session, (now_ns, 0))
        if now_ns - since_ns >= NOTICES_NS:
            since_ns, count = now_ns, 0
        self._notices[session] = (since_ns, count + 1)
        if count == NOTICES_MAX:
            metrics.ANOMALIES.labels("switchboard", "notice_flood").inc()
            _LOG.warning("notices_left_out", session=session, limit=NOTICES_MAX)
        return count < NOTICES_MAX

    def deliver_prompt(self, session: SessionName, prompt: PromptStreamed) -> None:
        """Ask the order that the prompt is about; one of somebody else's is left alone."""
        accounts = (account for account, name in self.session_of.items() if name == session)
        found = {
            order_id
            for account in accounts
            if (order_id := self._by_broker_id.get((account, prompt.broker_order_id))) is not None
        }
        if len(found) == 1:
            (order_id,) = found
            metrics.NOTICES.labels(session, "prompt").inc()
            self.tell_order(order_id, PromptRaised(order_id=order_id, question=prompt.question))
            return
        # The broker asks again until somebody answers; it is news once.
        key = (session, prompt.question.question_id)
        if key in self._noted_prompts:
            return
        self._noted_prompts[key] = None
        if len(self._noted_prompts) > PROMPTS_MAX:
            self._noted_prompts.popitem(last=False)
        text = f"about order {prompt.broker_order_id}, which is not ours: "
        notice = NoticeSeen(
            session=session,
            kind="prompt",
            notice_id=prompt.question.question_id,
            text=text + " / ".join(prompt.question.texts),
        )
        self.write_notice(notice)

    def _write_external(self, session: SessionName, row: OrderRow) -> None:
        status = row.status or row.unknown_status
        _LOG.info(
            "external_order_seen",
            session=session,
            account=row.account,
            broker_order_id=row.broker_order_id,
            status=status,
        )
        self._append(row.account, ExternalOrderSeen(session=session, row=row))

    def _append(self, account: AccountId | None, message: NoticeSeen | ExternalOrderSeen) -> None:
        entry = Entry(at_ns=self._clock.wall_ns(), account=account, order_id=None, message=message)
        self.journal.append(entry, _observed)


def _observed(result: Committed | NotCommitted) -> None:
    """Nothing is decided by what others do, so it is enough to say that it was not written."""
    if isinstance(result, NotCommitted):
        _LOG.error("observation_not_written", reason=result.reason.message)
