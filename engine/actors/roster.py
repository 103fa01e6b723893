"""The actors of sessions and accounts by their names, and how each is made.

Rule: an actor is made from what is here and from the journal, never from the instance
that it follows. What that one knew nobody can vouch for any more.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from engine.actors.feed import FeedActor
from engine.actors.mailbox import Dispatcher, LoopRef
from engine.actors.risk import RiskActor
from engine.actors.session import SessionActor
from engine.actors.settling_journal import SettlingJournal
from engine.actors.shell import Clock, post
from engine.actors.spawner import Spawner
from engine.actors.switchboard import SessionLines, Switchboard
from engine.actors.wire import FeedLine, OrderWire, SessionLine
from engine.domain.history import REST_NS, Packing
from engine.domain.messages import (
    HaltScope,
    OrderChanged,
    OrderRequestEnded,
    PositionsFilled,
    SessionChanged,
)
from engine.domain.order import Order
from engine.domain.ports import (
    DataGateway,
    FeedGateway,
    InstrumentGateway,
    OrderGateway,
    SessionGateway,
)
from engine.domain.risk import AccountRisk, LastReconciled, RiskPolicy
from engine.domain.session import SessionSettings
from engine.domain.values import LIVE, AccountId, ConId, Scope, SessionName
from engine.domain.views import OrderView


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionParts:
    """One session with everything it needs to reach its gateway."""

    settings: SessionSettings
    session_gateway: SessionGateway
    order_gateway: OrderGateway
    feed_gateway: FeedGateway
    instrument_gateway: InstrumentGateway
    data_gateway: DataGateway
    conids: tuple[ConId, ...]


@dataclass(slots=True, kw_only=True)
class Lines:
    """What is between one session's actors and its gateways."""

    parts: SessionParts
    wire: OrderWire
    session: SessionLine | None = None
    feed: FeedLine | None = None

    def end(self) -> None:
        """Let nothing come from the gateway any more but the answers that orders wait for."""
        self.wire.on_outcome = lambda _outcome: None
        for line in (self.session, self.feed):
            if line is not None:
                line.end()


class Roster:
    """Who there is."""

    def __init__(
        self,
        *,
        dispatcher: Dispatcher,
        clock: Clock,
        switchboard: Switchboard,
        spawner: Spawner,
        policy: RiskPolicy,
    ) -> None:
        self.dispatcher = dispatcher
        self.clock = clock
        self.switchboard = switchboard
        self.spawner = spawner
        # All that actors write goes through it, so that it can be read back while they run.
        self.journal = switchboard.journal = SettlingJournal(switchboard.journal)
        self.policy = policy
        self.file_error: str | None = None
        self.halts: dict[Scope, HaltScope] = {}
        self.sessions: dict[SessionName, SessionActor] = {}
        self.feeds: dict[SessionName, FeedActor] = {}
        self.risks: dict[AccountId, RiskActor] = {}
        self.lines: dict[SessionName, Lines] = {}
        self.unclaimed: dict[AccountId, list[OrderView]] = {}
        self.packing: Packing | None = None
        """How orders rest; None where none ever does."""

    def accounts_of(self, session: SessionName) -> tuple[AccountId, ...]:
        """Return the accounts of a session, in order of configuration."""
        session_of = self.switchboard.session_of
        return tuple(account for account, name in session_of.items() if name == session)

    def add_session(self, parts: SessionParts) -> None:
        """Make a session's actors, and the risk of its configured accounts."""
        name = parts.settings.name
        wire = OrderWire(parts.order_gateway)
        wire.on_outcome = lambda outcome: self.switchboard.tell_session(
            name, OrderRequestEnded(outcome=outcome)
        )
        self.lines[name] = Lines(parts=parts, wire=wire)
        session = self.sessions[name] = self.make_session(name)
        feed = self.feeds[name] = self.make_feed(name, parts.conids)
        self.switchboard.sessions[name] = SessionLines(
            orders=wire,
            feed=parts.feed_gateway,
            instruments=parts.instrument_gateway,
            data=parts.data_gateway,
            session_ref=session.ref,
            feed_ref=feed.ref,
        )
        self.add_accounts(name, parts.settings.accounts or ())

    def make_session(self, name: SessionName) -> SessionActor:
        """Make the actor of a session, with a line of its own to the gateway."""
        lines = self.lines[name]
        if lines.session is not None:
            lines.session.cut()
        lines.session = SessionLine(lines.parts.session_gateway, self._drop_session_answer(name))
        return SessionActor(
            dispatcher=self.dispatcher,
            clock=self.clock,
            switchboard=self.switchboard,
            settings=lines.parts.settings,
            gateway=lines.session,
            on_accounts=self.add_accounts,
        )

    def make_feed(self, name: SessionName, conids: Iterable[ConId]) -> FeedActor:
        """Make the actor of a session's feed, with a WebSocket of its own."""
        lines = self.lines[name]
        if lines.feed is not None:
            lines.feed.cut()
        lines.feed = FeedLine(lines.parts.feed_gateway, self._drop_feed_news(name))
        return FeedActor(
            dispatcher=self.dispatcher,
            clock=self.clock,
            switchboard=self.switchboard,
            session=name,
            gateway=lines.feed,
            conids=conids,
        )

    def make_risk(self, account: AccountId, session: SessionName) -> RiskActor:
        """Make the actor of an account's risk, with the limits that are in force."""
        limits = self.policy.limits_for(account)
        risk = AccountRisk(
            account,
            session,
            limits,
            file_error=self.file_error,
            ended_key=lambda key: self.switchboard.views.ended_key(account, key),
        )
        return RiskActor(
            dispatcher=self.dispatcher,
            clock=self.clock,
            risk=risk,
            spawner=self.spawner,
            switchboard=self.switchboard,
        )

    def add_accounts(self, session: SessionName, accounts: Iterable[AccountId]) -> None:
        """Give every account its risk; one that has it keeps it."""
        for account in accounts:
            if account in self.risks:
                continue
            actor = self.risks[account] = self.make_risk(account, session)
            self.switchboard.session_of[account] = session
            self.switchboard.risks[account] = actor.begin()
            self.tell_reconciled(actor, account)
            for view in self.unclaimed.pop(account, ()):
                actor.on_receive(OrderChanged(view=view))
            for halt in self.halts.values():
                post(actor.ref, halt)

    def tell_reconciled(self, actor: RiskActor, account: AccountId) -> None:
        """Tell a risk that knows no position how its account last compared with the broker."""
        found = self.journal.kept.reconciled.get(account)
        if found is not None:
            age_ns = self.clock.wall_ns() - found.at_ns
            at_ns = self.clock.monotonic_ns() - age_ns
            actor.on_receive(LastReconciled(reconciled=found.record, at_ns=at_ns))

    def known(self, session: SessionName) -> tuple[OrderView, ...]:
        """Return the orders of a session that the broker showed lately, ended ones too."""
        since_ns, session_of = self.clock.wall_ns() - REST_NS, self.switchboard.session_of
        return tuple(
            view
            for view in self.switchboard.views
            if view.broker_order_id is not None
            and session_of.get(view.account) == session
            and (view.state in LIVE or view.updated_at_ns >= since_ns)
        )

    def inform(self, actor: RiskActor, orders: Iterable[tuple[Order, int]] = ()) -> None:
        """Tell a new risk what is so: its session, its orders, what others do, every halt."""
        account, board = actor.risk.account, self.switchboard
        session = self.sessions[board.session_of[account]].session
        changed = SessionChanged(
            session=board.session_of[account],
            state=session.state,
            ready=session.ready,
            epoch=session.epoch,
            reason=session.reason,
        )
        actor.on_receive(changed)
        self.tell_reconciled(actor, account)
        actor.on_receive(PositionsFilled(fills=board.fills_of_strangers(account)))
        for order, seq in orders:
            self.reserve(actor, order, seq)
        for working in board.working_externals(account):
            actor.on_receive(working)
        progress = session.reconciliation(account)
        if progress is not None:
            actor.on_receive(progress)
        for halt in self.halts.values():
            actor.on_receive(halt)

    def reserve(self, actor: RiskActor, order: Order, seq: int) -> None:
        """Let a risk know an order of the journal, and what it filled."""
        # Handled at once: a journal may hold more orders than a mailbox. Fills first, so
        # that a correction of one is known for what it is.
        fills = tuple(self.switchboard.as_fill(fill) for fill in order.fills.all())
        actor.on_receive(PositionsFilled(fills=fills))
        actor.on_receive(OrderChanged(view=order.view(seq)))

    def _drop_session_answer(self, name: SessionName) -> Callable[[Any], None]:
        return lambda message: self._drop(self.sessions[name].ref, message)

    def _drop_feed_news(self, name: SessionName) -> Callable[[Any], None]:
        return lambda message: self._drop(self.feeds[name].ref, message)

    def _drop(self, ref: LoopRef, message: object) -> None:
        self.dispatcher.dead_letter(ref, message, "predecessor")
