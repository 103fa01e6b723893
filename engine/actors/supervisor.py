"""The root of the engine's actors: starts them, rebuilds them, halts them and stops them.

Rule 1: everything is rebuilt before anything is sent: risk knows every reservation before
a session can get ready.

Rule 2: an actor of ours that raises has a state that nobody can vouch for. It is rebuilt
from what is durable, or given up; see `repairs.py`. Until then nothing is approved or
sent that its state would have had a say in.

Rule 3: stopping an actor cancels nothing that is on the wire. The conversations end first,
or their time does.
"""

import asyncio
import contextlib
import random
from collections.abc import Iterable
from typing import Final

from engine import log
from engine.actors.feed import FeedActor
from engine.actors.mailbox import Dispatcher, LoopRef
from engine.actors.order import OrderActor
from engine.actors.repairs import Repairs
from engine.actors.rest import SWEEP_PAUSE_S, SWEEP_S, Rest
from engine.actors.restarts import Restart
from engine.actors.risk import RiskActor
from engine.actors.roster import Roster, SessionParts
from engine.actors.session import SessionActor
from engine.actors.shell import Clock, post
from engine.actors.spawner import Spawner
from engine.actors.switchboard import Switchboard
from engine.domain.history import History, LiveOrder
from engine.domain.messages import (
    HaltScope,
    OrderChanged,
    ResumeScope,
    StartSession,
    TimerFired,
)
from engine.domain.order import Order
from engine.domain.ports import Committed, Entry, NotCommitted
from engine.domain.risk import LimitsChanged, RiskPolicy
from engine.domain.values import (
    LIVE,
    AccountId,
    OrderId,
    Reason,
    Scope,
    ScopeKind,
    SessionName,
    TradingState,
)

__all__ = ["SessionParts", "Supervisor"]

_LOG = log.get("actors/supervisor")

STOP_S_MAX: Final = 15.0
"""How long a conversation may take to end: the gateway answers within 12 s."""

STOP_GROUP_S_MAX: Final = 5.0
"""How long the actors of one kind may take to handle the mail that is there."""

_LOOK_S: Final = 0.02

RESYNC_MS: Final = 1_000
"""After a full mailbox, the broker is asked again so soon, and not more often."""


class Supervisor:
    """Holds no state of a business: who is there is in the roster, what is so in the actors."""

    def __init__(
        self,
        *,
        dispatcher: Dispatcher,
        clock: Clock,
        switchboard: Switchboard,
        spawner: Spawner,
        policy: RiskPolicy,
        restart: Restart | None = None,
        chance: random.Random | None = None,
    ) -> None:
        self._dispatcher = dispatcher
        self._clock = clock
        self._switchboard = switchboard
        switchboard.views.refresh = dispatcher.afterwards.flush
        self._spawner = spawner
        self._roster = Roster(
            dispatcher=dispatcher,
            clock=clock,
            switchboard=switchboard,
            spawner=spawner,
            policy=policy,
        )
        self._repairs = Repairs(
            self._roster,
            halt=self._halt_account,
            ask_again=self._ask_again,
            restart=restart or Restart(),
            chance=chance or random.Random(),  # noqa: S311 - it spreads restarts, no secret
        )
        self._rest = Rest(self._roster)
        self._rebuilt: list[OrderActor] = []
        self._sweep: asyncio.TimerHandle | None = None
        self._resyncs: dict[SessionName, asyncio.TimerHandle] = {}
        self._stopping = False
        switchboard.refuse_turn = self._refuse_turn
        switchboard.halt = self._engine_halt
        dispatcher.on_failure = self._repairs.actor_failed
        dispatcher.on_full = self._mailbox_full

    # --- who is there ------------------------------------------------------------------------

    @property
    def sessions(self) -> dict[SessionName, SessionActor]:
        """The actors of all sessions, in order of configuration."""
        return self._roster.sessions

    @property
    def feeds(self) -> dict[SessionName, FeedActor]:
        """The actors of all feeds."""
        return self._roster.feeds

    @property
    def risks(self) -> dict[AccountId, RiskActor]:
        """The actors of all accounts' risk."""
        return self._roster.risks

    @property
    def problems(self) -> tuple[Reason, ...]:
        """The actors that failed and are not back, with the reason."""
        return tuple(self._repairs.problems.values())

    @property
    def halts(self) -> dict[Scope, HaltScope]:
        """What is halted."""
        return self._roster.halts

    def add_session(self, parts: SessionParts) -> None:
        """Build a session's actors, and the risk of its configured accounts."""
        self._roster.add_session(parts)
        name = parts.settings.name
        self._roster.lines[name].wire.on_answer = lambda order_id: self._repairs.answered(
            name, order_id
        )

    def add_accounts(self, session: SessionName, accounts: Iterable[AccountId]) -> None:
        """Give every account its risk; one that has it keeps it."""
        self._roster.add_accounts(session, accounts)

    # --- the start -----------------------------------------------------------------------------

    def rebuild(self, history: History) -> None:
        """Bring back orders, reservations and halts; nothing is sent by it."""
        if history.skipped:
            _LOG.error("records_skipped", records=history.skipped)
        roster = self._roster
        roster.packing = history.packing
        roster.halts.update(history.halts)
        roster.journal.guards.update(history.guards)
        roster.journal.kept.reconciled.update(history.reconciled)
        roster.journal.kept.externals.update(history.externals)
        self._switchboard.remember_externals(history.externals.values())
        for account, risk in self.risks.items():
            roster.tell_reconciled(risk, account)
        for found in history.orders.values():
            if isinstance(found, LiveOrder):
                self._bring_back(found.order, found.seq)
            else:
                self._rest.lay(found)
        for halt in roster.halts.values():
            self._switchboard.tell_every_risk(halt)

    def _bring_back(self, order: Order, seq: int) -> None:
        view = order.view(seq)
        if order.sent_by is not None and order.sent_by in self.sessions:
            self.add_accounts(order.sent_by, (view.account,))
        self._switchboard.show(view)
        risk = self.risks.get(view.account)
        if risk is not None:
            self._roster.reserve(risk, order, seq)
        else:
            # A denied order does not name its session, which may show the account later.
            self._roster.unclaimed.setdefault(view.account, []).append(view)
        self._rebuilt.append(self._spawner.rebuild(order))

    def history(self) -> History:
        """Return what is so as a history: its digest is that of a replay of the journal."""
        roster, views = self._roster, self._switchboard.views
        history = History(roster.packing)
        history.halts.update(roster.halts)
        history.guards.update(roster.journal.guards)
        history.reconciled.update(roster.journal.kept.reconciled)
        history.externals.update(roster.journal.kept.externals)
        history.orders.update((order.order_id, order) for order in views.at_rest())
        for ref in self._switchboard.order_refs():
            actor = ref.actor
            if isinstance(actor, OrderActor) and actor.order.state_known:
                view = views.get(actor.order.order_id)
                if view is not None:
                    found = LiveOrder(order=actor.order, seq=view.seq)
                    history.orders[actor.order.order_id] = found
        return history

    def start(self) -> None:
        """Let rebuilt orders say what they need, then let the sessions log in."""
        for actor in self._rebuilt:
            account = actor.order.ticket.account
            session = self._switchboard.session_of.get(account)
            view = self._switchboard.views.get(actor.order.order_id)
            if session is not None and view is not None and view.state in LIVE:
                self._switchboard.tell_session(session, OrderChanged(view=view))
            actor.guarded(actor.resume)
        self._rebuilt.clear()
        guards = self._roster.journal.guards
        for name, session_actor in self.sessions.items():
            self.feeds[name].begin()
            # Not `tell`: there may be more rebuilt orders than a mailbox has room for.
            start = StartSession(guard=guards.get(name), known=self._roster.known(name))
            post(session_actor.begin(), start)
        self._look_for_rest()

    def _look_for_rest(self) -> None:
        more = self._rest.sweep()
        delay_s = SWEEP_PAUSE_S if more else SWEEP_S
        self._sweep = self._dispatcher.loop.call_later(delay_s, self._look_for_rest)

    # --- limits --------------------------------------------------------------------------------

    def apply_policy(self, policy: RiskPolicy) -> None:
        """Put new limits in force for every account."""
        self._roster.policy, self._roster.file_error = policy, None
        self._tell_limits()

    def refuse_policy(self, error: str) -> None:
        """Keep the limits in force, and show why the file on disk is not used."""
        self._roster.file_error = error
        self._tell_limits()

    def _tell_limits(self) -> None:
        for account, actor in self.risks.items():
            limits = self.policy.limits_for(account)
            post(actor.ref, LimitsChanged(limits=limits, file_error=self.file_error))

    @property
    def policy(self) -> RiskPolicy:
        """The limits in force."""
        return self._roster.policy

    @property
    def file_error(self) -> str | None:
        """Why the risk file on disk is not in force; None when it is."""
        return self._roster.file_error

    # --- halts ---------------------------------------------------------------------------------

    def halt(self, halt: HaltScope) -> None:
        """Put a halt in force; the journal has it already."""
        known = self.halts.get(halt.scope)
        if known is None or halt.level.strictness >= known.level.strictness:
            self.halts[halt.scope] = halt
        self._switchboard.tell_every_risk(halt)

    def resume(self, resume: ResumeScope) -> None:
        """Lift a halt; the journal has it already."""
        self.halts.pop(resume.scope, None)
        self._switchboard.tell_every_risk(resume)

    def _halt_account(self, account: AccountId, why: str) -> None:
        scope = Scope(kind=ScopeKind.ACCOUNT, key=account)
        self._engine_halt(HaltScope(scope=scope, level=TradingState.HALT, reason=why, by="engine"))

    def _engine_halt(self, halt: HaltScope) -> None:
        """Put a halt of the engine itself in force, and have it written."""
        self.halt(halt)
        account = AccountId(halt.scope.key) if halt.scope.kind is ScopeKind.ACCOUNT else None
        entry = Entry(at_ns=self._clock.wall_ns(), account=account, order_id=None, message=halt)

        def written(result: Committed | NotCommitted) -> None:
            if isinstance(result, NotCommitted):
                what = f"{halt.scope} is halted until the engine stops: {result.reason.message}"
                _LOG.critical("halt_not_written", what=what)

        self._roster.journal.append(entry, written)

    def _refuse_turn(self, ref: LoopRef) -> Reason | None:
        """Say why an order must not be sent now although risk approved it before."""
        actor = ref.actor
        if self._stopping:
            return Reason(code="ENGINE_STOPPING", message="the engine is stopping")
        if not isinstance(actor, OrderActor) or not actor.order.state_known:
            return None
        ticket = actor.order.ticket
        risk = self.risks.get(ticket.account)
        if risk is not None:
            if risk.ref.paused or risk.ref.stopped:
                # A halt may wait in its mail; what it knew of limits nobody can vouch for.
                text = f"the risk of {ticket.account} failed and is not back"
                return Reason(code="RISK_UNAVAILABLE", message=text)
            refusal = risk.risk.sending_refusal(ticket)
            if refusal is not None:
                return refusal
        if actor.order.sent_by is not None:
            session = self._switchboard.session_for(ticket.account, actor.order.sent_by)
            self._repairs.turns[session] = OrderId(actor.name)
        return None

    # --- what goes wrong -------------------------------------------------------------------------

    def _mailbox_full(self, ref: LoopRef, _message: object) -> None:
        """Ask the broker again soon, because what it told found no room."""
        actor = ref.actor
        session: SessionName | None = None
        match actor:
            case OrderActor() if actor.order.state_known:
                session = self._switchboard.session_of.get(actor.order.ticket.account)
            case FeedActor():
                session = SessionName(actor.name)
            case RiskActor():
                session = self._switchboard.session_of.get(AccountId(actor.name))
            case _:
                pass
        if session is not None:
            self._ask_again(session)

    def _ask_again(self, session: SessionName) -> None:
        """Read soon what the broker told and nobody heard."""
        if session not in self._resyncs:
            self._resyncs[session] = self._dispatcher.loop.call_later(
                RESYNC_MS / 1_000, self._resync, session
            )

    def _resync(self, session: SessionName) -> None:
        del self._resyncs[session]
        self._switchboard.tell_session(session, TimerFired(name="poll"))

    # --- the end -------------------------------------------------------------------------------

    async def stop(self, *, timeout_s: float = STOP_S_MAX) -> None:
        """Give no turns any more, let conversations end, then stop everybody in order.

        Nothing on the wire is cancelled. What is there when the time is over comes back in
        doubt with the next start, and is looked for.
        """
        self._stopping = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._quiet()
        self._repairs.stop()
        if self._sweep is not None:
            self._sweep.cancel()
        for handle in self._resyncs.values():
            handle.cancel()
        for lines in self._roster.lines.values():
            lines.end()
        orders = tuple(self._switchboard.order_refs())
        for refs in (
            orders,
            tuple(actor.ref for actor in self.risks.values()),
            tuple(actor.ref for actor in self.feeds.values()),
            tuple(actor.ref for actor in self.sessions.values()),
        ):
            await self._dispatcher.stop(refs, timeout_s=STOP_GROUP_S_MAX)

    async def _quiet(self) -> None:
        """Return once no conversation is under way, and what came of them is durable."""
        while self._busy():
            while self._busy():  # noqa: ASYNC110 - both ends of it are other people's callbacks
                await asyncio.sleep(_LOOK_S)
            await self._roster.journal.settled()

    def _busy(self) -> bool:
        lines = self._roster.lines.values()
        return self._dispatcher.busy or any(
            line.wire.conversations or line.wire.cancels for line in lines
        )
