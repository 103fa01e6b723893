"""Who gets what: finds the actor of an order, an account or a session, and tells it.

Rule 1: an order is found by our id, by its cOID, or by the broker's id once that was
learned. News of an order that nobody knows is kept for a while, because an order's first
rows can overtake the answer that names it.

Rule 2: what is shown is durable. `publish` is called after the commit.

Rule 3: what others ordered is touched only where the account's policy says so, and never
while it could be an order of ours whose name is still on its way.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine import log, metrics
from engine.actors.addresses import Addresses
from engine.actors.adoptions import Adoptions
from engine.actors.families import Families
from engine.actors.mailbox import LoopRef
from engine.actors.notices import Notices
from engine.actors.owners import Owners
from engine.actors.shell import Clock, post
from engine.actors.strangers import Stranger, Strangers
from engine.actors.views import Views
from engine.domain.history import RestingOrder
from engine.domain.messages import (
    AdoptOrder,
    DeliverNews,
    ExecutionSeen,
    ExternalOrderSeen,
    ExternalWorking,
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
    ReplaceExit,
    StartFollowers,
    TurnGranted,
    TurnRefused,
    WriteRecord,
)
from engine.domain.order import Order
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
    UNKNOWN,
    AccountId,
    BrokerOrderId,
    Coid,
    Execution,
    OrderId,
    OrderPolicy,
    OrderRow,
    Reason,
    Scope,
    ScopeKind,
    SessionName,
    Source,
    TradingState,
    is_our_coid,
    make_order_id,
)
from engine.domain.views import ExternalOrderView, OrderView

_LOG = log.get("actors/switchboard")


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

    def __init__(
        self,
        *,
        journal: Journal,
        views: Views,
        shard: str,
        clock: Clock,
        policy_of: Callable[[AccountId], OrderPolicy] = lambda _account: OrderPolicy(),
    ) -> None:
        self.journal = journal
        self.views = views
        self.policy_of = policy_of
        self.sessions: dict[SessionName, SessionLines] = {}
        self.risks: dict[AccountId, LoopRef] = {}
        self.session_of: dict[AccountId, SessionName] = {}
        self.refuse_turn: Callable[[LoopRef], Reason | None] = lambda _order: None
        self.halt: Callable[[HaltScope], None] = lambda _halt: None
        self.knows_fill: Callable[[OrderId, Execution], bool] = lambda *_: False
        self.start_followers: Callable[[StartFollowers], None] = lambda _start: None
        self.start_adopted: Callable[[AdoptOrder], None] = lambda _adopt: None
        self.exits_of: Callable[[Order], tuple[OrderView, ...]] = self._followers_of
        self.replace_exit: Callable[[ReplaceExit], None] = lambda _replace: None
        self._shard = shard
        self._clock = clock
        self._sequence = 0
        self._addresses = Addresses()
        self._families = Families(views.get)
        self._nameless: dict[AccountId, set[OrderId]] = {}
        self._unprotected: dict[AccountId, set[OrderId]] = {}
        self._suspects: set[Coid] = set()
        self._notices = Notices(clock=clock, write=self._write_notice)
        self._strangers = Strangers(
            clock=clock,
            on_external=self._write_external,
            on_working=self._tell_working,
            is_sending=lambda account: bool(self._nameless.get(account)),
        )
        self._owners = Owners(
            addresses=self._addresses,
            families=self._families,
            strangers=self._strangers,
            view_of=views.get,
        )
        self._adoptions = Adoptions(
            addresses=self._addresses,
            families=self._families,
            strangers=self._strangers,
            shard=shard,
            new_id=self._new_order_id,
            start=self._start_adopted,
            doubtful=self._doubtful,
        )
        self._adopting: dict[OrderId, tuple[AccountId, BrokerOrderId, Stranger]] = {}

    def _followers_of(self, order: Order) -> tuple[OrderView, ...]:
        views = (self.views.get(approved.order_id) for approved in order.followers)
        return tuple(view for view in views if view is not None)

    def next_number(self) -> int:
        """Count the orders of this start of the journal, for their ids."""
        self._sequence += 1
        return self._sequence

    @property
    def wake(self) -> Callable[[OrderId], LoopRef]:
        """What starts the actor of an order at rest again."""
        return self._addresses.wake

    @wake.setter
    def wake(self, wake: Callable[[OrderId], LoopRef]) -> None:
        self._addresses.wake = wake

    def connect_order(self, order_id: OrderId, coid: Coid | None, ref: LoopRef) -> None:
        """Let the order be found from now on."""
        self._addresses.connect(order_id, coid, ref)

    def rest(self, order: RestingOrder) -> None:
        """Let an order be found from now on that has no actor until it is wanted."""
        self._addresses.rest(order)

    def order_ref(self, order_id: OrderId) -> LoopRef | None:
        """Return the order's address, None when it rests or there is no such order."""
        return self._addresses.ref(order_id)

    def order_of(self, account: AccountId, broker_order_id: BrokerOrderId) -> OrderId | None:
        """Return which order the broker calls so, None when it is none of ours."""
        return self._addresses.of_broker_id(account, broker_order_id)

    def order_refs(self) -> Iterable[LoopRef]:
        """Return the addresses of all orders that do not rest."""
        return self._addresses.refs()

    def session_for(self, account: AccountId, approved: SessionName) -> SessionName:
        """Return the session of an order; its account may have moved since it was approved."""
        return self.session_of.get(account, approved)

    def order_gateway(self, session: SessionName) -> OrderGateway | None:
        """Return what sends the session's orders, None when it is configured no more."""
        lines = self.sessions.get(session)
        return None if lines is None else lines.orders

    def tell_order(self, order_id: OrderId, message: Any) -> None:
        """Tell an order, woken if it rests; one that is gone makes it a dead letter."""
        ref = self._addresses.reach(order_id)
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
        self.announce(view)

    def announce(
        self,
        view: OrderView,
        *,
        fills: Sequence[Execution] = (),
        shown: OrderView | None = None,
    ) -> None:
        """Show an order's durable state and tell risk and session of it, its fills first.

        `shown` is what others see of it, where that is not the same.
        """
        if fills:
            told = tuple(self.as_fill(execution) for execution in fills)
            self.tell_risk(view.account, PositionsFilled(fills=told))
        self.show(view if shown is None else shown)
        self.tell_risk(view.account, OrderChanged(view=view))
        session = self.session_of.get(view.account)
        if session is not None:
            self.tell_session(session, OrderChanged(view=view))

    def show(self, view: OrderView) -> None:
        """Show an order from now on, and expect its broker's id if nobody has told it yet."""
        nameless = view.broker_order_id is None and view.state in UNKNOWN
        _keep(self._nameless.setdefault(view.account, set()), view.order_id, kept=nameless)
        unprotected = self._unprotected.setdefault(view.account, set())
        if bool(view.unprotected) is not (view.order_id in unprotected):
            _keep(unprotected, view.order_id, kept=bool(view.unprotected))
            gauge = metrics.UNPROTECTED.labels(metrics.account_label(view.account))
            gauge.set(len(unprotected))
        self._families.take(view)
        self._adopting.pop(view.order_id, None)
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
        ref = self._addresses.ref(granted.order_id)
        refusal = None if ref is None else self.refuse_turn(ref)
        if refusal is None:
            self.tell_order(granted.order_id, granted)
        else:
            refused = TurnRefused(order_id=granted.order_id, reason=refusal)
            self.tell_order(granted.order_id, refused)

    def forget_order(self, forget: ForgetOrder) -> None:
        """There is no such order: its first record never became durable."""
        self._addresses.forget(forget.order_id)
        adopting = self._adopting.pop(forget.order_id, None)
        if adopting is not None:
            self._strangers.put_back(*adopting)
        self._nameless.get(forget.account, set()).discard(forget.order_id)
        self.views.forget(forget.order_id)
        self.tell_risk(forget.account, OrderForgotten(order_id=forget.order_id))

    # --- news of orders ------------------------------------------------------------------

    def learn_alias(self, learned: LearnAlias) -> None:
        """Let the broker's id mean the order, and hand over what came before we knew."""
        account, broker_order_id = learned.account, learned.broker_order_id
        self._addresses.learn(account, broker_order_id, learned.order_id)
        durable = self.views.get(learned.order_id) is not None
        stranger = self._strangers.claim(account, broker_order_id, durable=durable)
        if stranger is not None and not durable:
            self._adopting[learned.order_id] = (account, broker_order_id, stranger)
        if stranger is not None:
            if stranger.row is not None:
                row = stranger.row
                seen = OrderRowSeen(order_id=learned.order_id, row=row, source=Source.STREAM)
                self.tell_order(learned.order_id, seen)
            for execution in stranger.executions.values():
                seen_fill = ExecutionSeen(
                    order_id=learned.order_id, execution=execution, source=Source.STREAM
                )
                self.tell_order(learned.order_id, seen_fill)
        # Now that an entry is known by its id, those that name it may be its exits.
        for row in self._strangers.rows_naming(account, broker_order_id):
            self._tell_row(row, Source.STREAM, read=0)

    def deliver(self, session: SessionName, news: DeliverNews) -> None:
        """Hand rows and executions to their orders, in order."""
        self.views.refresh()  # What is just being sent may be what they are about.
        # An exit of ours that a whole list lacks may be in it under another number.
        listed = {row.broker_order_id for row in news.rows} if news.read else None
        for row in news.rows:
            if self._tell_row(row, news.source, read=news.read, listed=listed):
                continue
            if self._strangers.meet(session, row, news.source):
                self._suspect(row.account, row.coid)
        strange_fills: dict[AccountId, list[PositionFilled]] = {}
        for execution in news.executions:
            order_id = self._owners.of_fill(execution)
            if order_id is not None and self.knows_fill(order_id, execution):
                continue  # It rests, and that is no reason to wake it.
            if order_id is not None:
                fill = ExecutionSeen(order_id=order_id, execution=execution, source=news.source)
                self.tell_order(order_id, fill)
            else:
                self._strangers.meet_fill(session, execution)
                self._suspect(execution.account, execution.coid)
                fills = strange_fills.setdefault(execution.account, [])
                fills.append(self.as_fill(execution))
        # One message an account: a day of others' trades must not fill a mailbox.
        for account, fills in strange_fills.items():
            self.tell_risk(account, PositionsFilled(fills=tuple(fills)))
        self._strangers.settle()
        self._adoptions.go_on()

    def _tell_row(
        self,
        row: OrderRow,
        source: Source,
        *,
        read: int,
        listed: Collection[BrokerOrderId] | None = None,
    ) -> bool:
        """Hand a row to its order; False when it is none of ours."""
        order_id = self._owners.of_row(row, listed)
        if order_id is None:
            return False
        seen = OrderRowSeen(order_id=order_id, row=row, source=source, read=read)
        self.tell_order(order_id, seen)
        return True

    def _suspect(self, account: AccountId, coid: Coid | None) -> None:
        """Stop an account whose broker knows an order of ours that the journal does not.

        Then the journal is not the one that the order was sent from, and what else it
        lacks nobody can say.
        """
        if coid is None or coid in self._suspects or self._addresses.of_coid(coid) is not None:
            return
        if not is_our_coid(coid, self._shard):
            return
        self._suspects.add(coid)
        reason = (
            f"the broker has order {coid} of this engine, the journal does not: is this an "
            "older or a new journal? A new one needs another shard. Check, then resume the account"
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

    def stranger(self, account: AccountId, broker_order_id: BrokerOrderId) -> OrderRow | None:
        """Return what the broker shows of an order that is not known here, None if nothing."""
        found = self._strangers.find(account, broker_order_id)
        return None if found is None else found[1]

    def working_externals(self, account: AccountId) -> tuple[ExternalWorking, ...]:
        """Return what the account's risk was told of others' orders that may still fill."""
        return self._strangers.working(account)

    def fills_of_strangers(self, account: AccountId) -> tuple[PositionFilled, ...]:
        """Return the account's executions of orders that nobody here knows."""
        return tuple(self.as_fill(one) for one in self._strangers.executions(account))

    def remember_externals(self, written: Iterable[ExternalOrderSeen]) -> None:
        """Take what the journal has of others' orders, so as not to write it again."""
        self._strangers.remember(seen.row for seen in written)

    def adopt(
        self, account: AccountId, broker_order_id: BrokerOrderId, *, cancel: bool, by: str
    ) -> OrderId | Reason:
        """Make somebody else's order one of ours; return its id, or why that cannot be done."""
        return self._adoptions.adopt(account, broker_order_id, cancel=cancel, by=by)

    def write_notice(self, notice: NoticeSeen) -> None:
        """Write down what the broker told people, and count it."""
        self._notices.take(notice)

    def deliver_prompt(self, session: SessionName, prompt: PromptStreamed) -> None:
        """Ask the order that the prompt is about; one of somebody else's is left alone."""
        accounts = (account for account, name in self.session_of.items() if name == session)
        found = {
            order_id
            for account in accounts
            if (order_id := self._addresses.of_broker_id(account, prompt.broker_order_id))
            is not None
        }
        if len(found) == 1:
            (order_id,) = found
            metrics.NOTICES.labels(session, "prompt").inc()
            self.tell_order(order_id, PromptRaised(order_id=order_id, question=prompt.question))
            return
        self._notices.take_prompt(session, prompt)

    def _write_external(self, session: SessionName, row: OrderRow) -> None:
        status = row.status or row.unknown_status
        _LOG.info(
            "external_order_seen",
            session=session,
            account=row.account,
            broker_order_id=row.broker_order_id,
            status=status,
        )
        self._append(session, row.account, ExternalOrderSeen(session=session, row=row))

    def _tell_working(self, working: ExternalWorking) -> None:
        """Tell the account's risk, then do what its policy says; nobody's accounts have none."""
        account = working.row.account
        self.tell_risk(account, working)
        if not working.over and account in self.session_of:
            self._adoptions.follow(self.policy_of(account).external, working.row)

    def _start_adopted(self, adopt: AdoptOrder) -> None:
        self.start_adopted(adopt)

    def _doubtful(self, account: AccountId) -> Iterable[OrderView]:
        views = map(self.views.get, self._nameless.get(account, ()))
        return (view for view in views if view is not None)

    def _new_order_id(self) -> OrderId:
        return make_order_id(self.journal.epoch, self.next_number())

    def _write_notice(self, notice: NoticeSeen) -> None:
        self._append(notice.session, None, notice)

    def _append(
        self,
        session: SessionName,
        account: AccountId | None,
        message: NoticeSeen | ExternalOrderSeen,
    ) -> None:
        entry = Entry(
            at_ns=self._clock.wall_ns(),
            account=account,
            order_id=None,
            message=message,
            session=session,
        )
        self.journal.append(entry, _observed)


def _keep(ids: set[OrderId], order_id: OrderId, *, kept: bool) -> None:
    """Have an id in a set, or not."""
    if kept:
        ids.add(order_id)
    else:
        ids.discard(order_id)


def _observed(result: Committed | NotCommitted) -> None:
    """Nothing is decided by what others do, so it is enough to say that it was not written."""
    if isinstance(result, NotCommitted):
        _LOG.error("observation_not_written", reason=result.reason.message)
