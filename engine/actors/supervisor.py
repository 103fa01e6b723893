"""Starts the actors, rebuilds the orders from the journal, and hears when one fails.

Rule 1: everything is rebuilt before anything is sent: risk knows every reservation before
a session can get ready.

Rule 2: an actor of ours that raises has a state that nobody can vouch for. So its account
is halted, or its session is not ready any more, and a person looks: nothing is restarted
blindly over orders that may be live.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from engine import log
from engine.actors.feed import FeedActor
from engine.actors.mailbox import Dispatcher, LoopRef
from engine.actors.order import OrderActor
from engine.actors.risk import RiskActor
from engine.actors.session import SessionActor
from engine.actors.shell import Clock, post
from engine.actors.spawner import Spawner
from engine.actors.switchboard import SessionLines, Switchboard
from engine.domain.messages import (
    DenyOrder,
    EngineStarted,
    HaltScope,
    LimitsLoaded,
    OrderChanged,
    PositionsFilled,
    ReleaseTurn,
    ResumeScope,
    StartSession,
    SubmitOrder,
)
from engine.domain.order import Order
from engine.domain.ports import (
    FeedGateway,
    InstrumentGateway,
    OrderGateway,
    Recorded,
    SessionGateway,
)
from engine.domain.risk import AccountRisk, LimitsChanged, RiskPolicy
from engine.domain.session import SessionSettings
from engine.domain.values import (
    LIVE,
    AccountId,
    ConId,
    OrderId,
    Reason,
    Scope,
    ScopeKind,
    SessionName,
    TradingState,
)
from engine.domain.views import OrderView

_LOG = log.get("actors/supervisor")


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionParts:
    """One session with everything it needs to reach its gateway."""

    settings: SessionSettings
    session_gateway: SessionGateway
    order_gateway: OrderGateway
    feed_gateway: FeedGateway
    instrument_gateway: InstrumentGateway
    conids: tuple[ConId, ...]


class Supervisor:
    """The root of the engine's actors."""

    def __init__(
        self,
        *,
        dispatcher: Dispatcher,
        clock: Clock,
        switchboard: Switchboard,
        spawner: Spawner,
        policy: RiskPolicy,
    ) -> None:
        self.problems: list[Reason] = []
        self.halts: dict[Scope, HaltScope] = {}
        self.sessions: dict[SessionName, SessionActor] = {}
        self.feeds: dict[SessionName, FeedActor] = {}
        self.risks: dict[AccountId, RiskActor] = {}
        self._dispatcher = dispatcher
        self._clock = clock
        self._switchboard = switchboard
        self._spawner = spawner
        self._policy = policy
        self._file_error: str | None = None
        self._rebuilt: list[OrderActor] = []
        self._unclaimed: dict[AccountId, list[OrderView]] = {}
        switchboard.refuse_turn = self._halted
        dispatcher.on_failure = self._actor_failed

    def add_session(self, parts: SessionParts) -> None:
        """Build a session's actors, and the risk of its configured accounts."""
        name = parts.settings.name
        session = SessionActor(
            dispatcher=self._dispatcher,
            clock=self._clock,
            switchboard=self._switchboard,
            settings=parts.settings,
            gateway=parts.session_gateway,
            on_accounts=self.add_accounts,
        )
        feed = FeedActor(
            dispatcher=self._dispatcher,
            clock=self._clock,
            switchboard=self._switchboard,
            session=name,
            gateway=parts.feed_gateway,
            conids=parts.conids,
        )
        self.sessions[name], self.feeds[name] = session, feed
        self._switchboard.sessions[name] = SessionLines(
            orders=parts.order_gateway,
            feed=parts.feed_gateway,
            instruments=parts.instrument_gateway,
            session_ref=session.ref,
            feed_ref=feed.ref,
        )
        self.add_accounts(name, parts.settings.accounts or ())

    def add_accounts(self, session: SessionName, accounts: Iterable[AccountId]) -> None:
        """Give every account its risk; one that has it keeps it."""
        for account in accounts:
            if account in self.risks:
                continue
            limits = self._policy.limits_for(account)
            risk = AccountRisk(account, session, limits, file_error=self._file_error)
            actor = RiskActor(
                dispatcher=self._dispatcher,
                clock=self._clock,
                risk=risk,
                spawner=self._spawner,
            )
            self.risks[account] = actor
            self._switchboard.session_of[account] = session
            self._switchboard.risks[account] = actor.begin()
            for view in self._unclaimed.pop(account, ()):
                actor.on_receive(OrderChanged(view=view))
            for halt in self.halts.values():
                actor.ref.tell(halt)

    def replay(self, records: Sequence[Recorded]) -> None:
        """Rebuild orders, reservations and halts; nothing is sent by it."""
        orders: dict[OrderId, Order] = {}
        last_seq: dict[OrderId, int] = {}
        for recorded in records:
            entry = recorded.entry
            match entry.message:
                case HaltScope():
                    self._latch(entry.message)
                case ResumeScope(scope=scope):
                    self.halts.pop(scope, None)
                case EngineStarted() | LimitsLoaded():
                    continue
                case message:
                    assert entry.order_id is not None
                    order = orders.setdefault(entry.order_id, Order())
                    if not order.state_known and not isinstance(message, SubmitOrder | DenyOrder):
                        # Without its first record there is no order that this could be of.
                        _LOG.error("record_skipped", seq=recorded.seq, order_id=entry.order_id)
                        continue
                    order.replay(message, entry.at_ns)
                    last_seq[entry.order_id] = recorded.seq
        for order_id, order in orders.items():
            if order.state_known:
                self._bring_back(order, last_seq[order_id])
        for halt in self.halts.values():
            self._switchboard.tell_every_risk(halt)

    def _bring_back(self, order: Order, seq: int) -> None:
        view = order.view(seq)
        if order.coid is not None and order.approved.session in self.sessions:
            self.add_accounts(order.approved.session, (view.account,))
        self._switchboard.views.put(view)
        risk = self.risks.get(view.account)
        if risk is not None:
            # Handled at once: a journal may hold more orders than a mailbox. Fills first, so
            # that a correction of one is known for what it is.
            fills = tuple(self._switchboard.as_fill(fill) for fill in order.fills.all())
            risk.on_receive(PositionsFilled(fills=fills))
            risk.on_receive(OrderChanged(view=view))
        else:
            # A denied order does not name its session, which may show the account later.
            self._unclaimed.setdefault(view.account, []).append(view)
        self._rebuilt.append(self._spawner.rebuild(order))

    def start(self) -> None:
        """Let rebuilt orders say what they need, then let the sessions log in."""
        for actor in self._rebuilt:
            account = actor.order.ticket.account
            session = self._switchboard.session_of.get(account)
            view = self._switchboard.views.get(actor.order.order_id)
            if session is not None and view is not None and view.state in LIVE:
                self._switchboard.tell_session(session, OrderChanged(view=view))
            actor.resume()
        self._rebuilt.clear()
        for name, session_actor in self.sessions.items():
            self.feeds[name].begin()
            session_actor.begin().tell(StartSession())

    def apply_policy(self, policy: RiskPolicy) -> None:
        """Put new limits in force for every account."""
        self._policy, self._file_error = policy, None
        for account, actor in self.risks.items():
            changed = LimitsChanged(limits=policy.limits_for(account), file_error=None)
            post(actor.ref, changed)

    def refuse_policy(self, error: str) -> None:
        """Keep the limits in force, and show why the file on disk is not used."""
        self._file_error = error
        for account, actor in self.risks.items():
            limits = self._policy.limits_for(account)
            post(actor.ref, LimitsChanged(limits=limits, file_error=error))

    @property
    def policy(self) -> RiskPolicy:
        """The limits in force."""
        return self._policy

    @property
    def file_error(self) -> str | None:
        """Why the risk file on disk is not in force; None when it is."""
        return self._file_error

    def halt(self, halt: HaltScope) -> None:
        """Put a halt in force; the journal has it already."""
        self._latch(halt)
        self._switchboard.tell_every_risk(halt)

    def _halted(self, ref: LoopRef) -> Reason | None:
        """Say why an order must not be sent now although risk approved it before."""
        actor = ref.actor
        if not isinstance(actor, OrderActor) or not actor.order.state_known:
            return None
        risk = self.risks.get(actor.order.ticket.account)
        return None if risk is None else risk.risk.sending_refusal(actor.order.ticket)

    def _latch(self, halt: HaltScope) -> None:
        known = self.halts.get(halt.scope)
        if known is None or halt.level.strictness >= known.level.strictness:
            self.halts[halt.scope] = halt

    def resume(self, resume: ResumeScope) -> None:
        """Lift a halt; the journal has it already."""
        self.halts.pop(resume.scope, None)
        self._switchboard.tell_every_risk(resume)

    def _actor_failed(self, ref: LoopRef, error: BaseException) -> None:
        what = f"{ref}: {type(error).__name__}: {error}"
        reason = Reason(code="ACTOR_FAILED", message=what)
        self.problems.append(reason)
        actor = ref.actor
        match actor:
            case OrderActor():
                self._quarantine(actor)
            case RiskActor():
                pass  # Without its risk, no order of the account can be approved.
            case SessionActor() | FeedActor():
                self.sessions[SessionName(actor.name)].close(reason)
            case _:
                pass

    def _quarantine(self, actor: OrderActor) -> None:
        """Halt the account of an order whose state nobody can vouch for."""
        if not actor.order.state_known:
            return
        account = actor.order.ticket.account
        if actor.order.coid is not None:
            session = self._switchboard.session_for(account, actor.order.approved.session)
            release = ReleaseTurn(order_id=actor.order.order_id, session=session)
            self._switchboard.tell_session(session, release)
        scope = Scope(kind=ScopeKind.ACCOUNT, key=account)
        reason = f"the actor of order {actor.name} failed; restart the engine to rebuild it"
        halt = HaltScope(scope=scope, level=TradingState.HALT, reason=reason, by="engine")
        self._switchboard.tell_risk(account, halt)
