"""What happens after an actor failed: it is rebuilt, or given up.

Rule 1: the address stays, and with it the mail. While nobody is there, the mail waits;
whoever asked hears of it. The message that the actor failed with is dropped: it would
fail the next one, too. Only a cancel is told again, because nobody else repeats it.

Rule 2: an order is rebuilt from its records. What may be on the wire is in doubt and is
looked for; it is never sent again. Its turn ends when its conversation does.

Rule 3: a risk never counts less than there is. It is rebuilt once every order that it
let pass is in the journal, and knows no position before the broker was asked again.

Rule 4: an actor that keeps failing is given up. Then its accounts are halted, durably, and
a person is called: the log line `actor_given_up` is the page.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from typing import Any, Final, TypeAlias

from engine import log, metrics
from engine.actors.feed import FeedActor
from engine.actors.mailbox import LoopActor, LoopRef
from engine.actors.order import OrderActor
from engine.actors.restarts import Restart, Restarts
from engine.actors.risk import RiskActor
from engine.actors.roster import Roster
from engine.actors.session import SessionActor
from engine.actors.shell import TOLD_AGAIN
from engine.domain.history import LiveOrder, replay
from engine.domain.messages import (
    AccountsRead,
    AuthStatusRead,
    CallDone,
    CallFailed,
    CancelOrder,
    CloseStream,
    DenyOrder,
    ForgetOrder,
    HeartbeatSeen,
    ModifyOrder,
    OpenStream,
    OrderAnswered,
    PositionsRead,
    ReadAccount,
    RecordCommitted,
    RecordFailed,
    ReleaseTurn,
    RequestOrder,
    SocketClosed,
    SocketOpened,
    StartSession,
    Step,
    StreamLost,
    SubmitOrder,
    SystemSucceeded,
    TimerFired,
    TurnGranted,
    TurnRefused,
)
from engine.domain.order import Order
from engine.domain.session.settings import LOGIN_STATES
from engine.domain.values import (
    LIVE,
    TERMINAL,
    AccountId,
    Confidence,
    OrderId,
    Reason,
    SessionName,
)
from engine.domain.views import OrderView

_LOG = log.get("actors/repairs")

_UNWRITTEN_S: Final = 0.01
"""How long to wait until an order that was let pass has its first record under way."""

_WITH_THE_ORDER: Final = (RecordCommitted, RecordFailed, TimerFired)
"""What an order asked for ends with it: its successor must not send because of it."""

_OF_A_LOGIN: Final = (AuthStatusRead, AccountsRead, CallDone, CallFailed, TimerFired)
"""What a session asked for itself says nothing to the next; what it read is news for all."""

_OF_A_SOCKET: Final = (SocketOpened, SystemSucceeded, HeartbeatSeen, SocketClosed, TimerFired)
"""What a socket tells of itself; its news of orders are news whoever hears them."""

_Work: TypeAlias = Callable[[], Coroutine[Any, Any, None]]


class Repairs:
    """Hears of every failure, and sees to it."""

    def __init__(
        self,
        roster: Roster,
        *,
        halt: Callable[[AccountId, str], None],
        ask_again: Callable[[SessionName], None],
        restart: Restart,
        chance: random.Random,
    ) -> None:
        self.problems: dict[str, Reason] = {}
        self.turns: dict[SessionName, OrderId] = {}
        """The order that each session gave its last turn to."""
        self._roster = roster
        self._board = roster.switchboard
        self._dispatcher = roster.dispatcher
        self._halt = halt
        self._ask_again = ask_again
        self._restarts = Restarts(restart, chance)
        self._waits: dict[str, asyncio.TimerHandle] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._stopped = False

    def stop(self) -> None:
        """Rebuild nobody any more."""
        for wait in self._waits.values():
            wait.cancel()
        for task in self._tasks.values():
            task.cancel()
        self._waits.clear()
        self._tasks.clear()
        self._stopped = True

    def actor_failed(self, ref: LoopRef, message: object, error: BaseException) -> None:
        """Take a failure of an actor; `message` is what it failed with, None outside a turn."""
        what = f"{ref}: {type(error).__name__}: {error}"
        reason = self.problems[str(ref)] = Reason(code="ACTOR_FAILED", message=what)
        actor = ref.actor
        actor.abandon()
        match actor:
            case OrderActor():
                work = self._of_order(ref, message, what)
            case RiskActor():
                work = self._of_risk(ref, message)
            case SessionActor():
                work = self._of_session(ref, reason)
            case FeedActor():
                work = self._of_feed(ref, actor, reason)
            case _:
                return  # Of no kind that is known here: it stays a problem.
        self._wait(ref, work, reason)

    def _wait(self, ref: LoopRef, work: _Work, reason: Reason) -> None:
        name = str(ref)
        if self._stopped:
            self._dispatcher.end(ref)
            return
        wait_s = self._restarts.next_wait_s(name, self._dispatcher.loop.time())
        if wait_s is None:
            self._give_up(ref, reason)
            return
        if not ref.paused:
            self._dispatcher.pause(ref)
        _LOG.warning("actor_rebuild_due", actor=name, wait_ms=round(wait_s * 1_000))
        self._waits[name] = self._dispatcher.loop.call_later(wait_s, self._start, ref, work, reason)

    def _start(self, ref: LoopRef, work: _Work, reason: Reason) -> None:
        self._waits.pop(str(ref), None)
        task = self._dispatcher.loop.create_task(self._rebuild(ref, work, reason))
        self._tasks[str(ref)] = task

    async def _rebuild(self, ref: LoopRef, work: _Work, reason: Reason) -> None:
        name = str(ref)
        try:
            await work()
        except Exception as error:  # noqa: BLE001 - whatever it was, try again later
            _LOG.error("actor_rebuild_failed", actor=name, exc_info=error)
            what = f"{name} could not be rebuilt: {type(error).__name__}: {error}"
            reason = self.problems[name] = replace(reason, message=what)
            if ref.paused:
                self._wait(ref, work, reason)
        finally:
            if self._tasks.get(name) is asyncio.current_task():
                del self._tasks[name]

    def _rebuilt(self, ref: LoopRef) -> None:
        self.problems.pop(str(ref), None)
        metrics.ACTOR_RESTARTS.labels(ref.actor_class.__name__).inc()
        _LOG.info("actor_rebuilt", actor=str(ref))

    # --- orders ------------------------------------------------------------------------------

    def _of_order(self, ref: LoopRef, message: object, what: str) -> _Work:
        again = (message,) if isinstance(message, CancelOrder) else ()

        async def work() -> None:
            order_id = OrderId(ref.actor.name)
            records = await self._roster.journal.records(order_id=order_id)
            if not ref.paused:
                return
            found = replay(records).orders.get(order_id)
            if not isinstance(found, LiveOrder):
                self._forget(ref, message)
                return
            self._rebuild_order(ref, found.order, found.seq, again=again, what=what)
            session = self._board.session_of.get(found.order.ticket.account)
            if type(message) in TOLD_AGAIN and session is not None:
                self._ask_again(session)

        return work

    def _rebuild_order(
        self, ref: LoopRef, order: Order, seq: int, *, again: tuple[object, ...], what: str
    ) -> None:
        view = order.view(seq)
        self._show(order, view)
        session = self._session_of(order)
        actor = self._roster.spawner.make(view.order_id, order)
        # An answer that waits may be a question: until it is handled, it is no one's turn.
        on_wire = self._is_on_wire(view.order_id, session) or any(
            isinstance(message, OrderAnswered) and message.step is not Step.CANCEL
            for message in self._dispatcher.waiting(ref)
        )
        self._dispatcher.replace(ref, actor, *again, outlived=_ends_with_the_order)
        actor.begin()
        self._rebuilt(ref)
        actor.guarded(lambda: actor.resume(failed=what, on_wire=on_wire))
        if session is not None and (not on_wire or order.prompt is not None):
            # The answer to a prompt is sent without a turn, so it ends none.
            release = ReleaseTurn(order_id=view.order_id, session=session)
            self._board.tell_session(session, release)

    def _show(self, order: Order, view: OrderView) -> None:
        """Tell everybody what is durable: the actor may have failed before it did so."""
        self._board.announce(view, fills=order.fills.all(), shown=_unsure(view))

    def _forget(self, ref: LoopRef, message: object) -> None:
        """End an order without any record: nothing was sent, and there is no such order."""
        actor = ref.actor
        assert isinstance(actor, OrderActor)
        order_id, account = OrderId(actor.name), None
        if actor.order.state_known:
            account = actor.order.ticket.account
        elif isinstance(message, SubmitOrder):
            account = message.approved.ticket.account
        elif isinstance(message, DenyOrder):
            account = message.ticket.account
        self._dispatcher.end(ref)
        self.problems.pop(str(ref), None)
        if account is None:
            self._board.views.forget(order_id)
        else:
            self._board.forget_order(ForgetOrder(order_id=order_id, account=account))

    def _session_of(self, order: Order) -> SessionName | None:
        """Return the session that an order is sent by; a denied one is by none."""
        if order.sent_by is None:
            return None
        return self._board.session_for(order.ticket.account, order.sent_by)

    def _is_on_wire(self, order_id: OrderId, session: SessionName | None) -> bool:
        lines = None if session is None else self._roster.lines.get(session)
        return lines is not None and order_id in lines.wire.conversations

    def answered(self, session: SessionName, order_id: OrderId) -> None:
        """End the turn of an order that was given up, now that its conversation is over."""
        ref = self._board.order_ref(order_id)
        if ref is not None and ref.stopped:
            self._board.tell_session(session, ReleaseTurn(order_id=order_id, session=session))

    # --- risk ----------------------------------------------------------------------------------

    def _of_risk(self, ref: LoopRef, message: object) -> _Work:
        account = AccountId(ref.actor.name)
        if isinstance(message, RequestOrder):
            # Its client hears of an error, so what was started for him must end unsent.
            cancel = CancelOrder(order_id=message.order_id, cause="its approval failed")
            self._board.tell_order(message.order_id, cancel)

        async def work() -> None:
            while self._is_unwritten():  # noqa: ASYNC110 - a turn tells nobody
                await asyncio.sleep(_UNWRITTEN_S)
            records = await self._roster.journal.records(account=account)
            if not ref.paused:
                return
            session = self._board.session_of[account]
            actor = self._roster.make_risk(account, session)
            awake = tuple(
                (order, seq)
                for order, seq in replay(records).live()
                if self._board.views.resting(order.order_id) is None
            )
            self._roster.inform(actor, awake)
            self._roster.risks[account] = actor
            self._dispatcher.replace(
                ref, actor, outlived=lambda message: isinstance(message, PositionsRead)
            )
            actor.begin()
            self._rebuilt(ref)
            self._board.tell_session(session, ReadAccount(account=account))

        return work

    def _is_unwritten(self) -> bool:
        """Return whether something that a risk let pass is not on its way to the journal."""
        if self._dispatcher.is_waiting(SubmitOrder, DenyOrder, ModifyOrder):
            return True
        return any(
            isinstance(message, ModifyOrder)
            for ref in self._board.order_refs()
            if ref.paused
            for message in self._dispatcher.waiting(ref)
        )

    # --- sessions ------------------------------------------------------------------------------

    def _of_session(self, ref: LoopRef, reason: Reason) -> _Work:
        name = SessionName(ref.actor.name)
        self._close(name, reason)

        async def work() -> None:
            if not ref.paused:
                return
            before = self._roster.sessions[name].session
            actor = self._roster.make_session(name)
            actor.session.accounts = self._roster.accounts_of(name)
            actor.session.epoch = before.epoch  # It must not go back if the start fails, too.
            start = StartSession(
                epoch=before.epoch,
                in_turn=self._in_turn(name),
                working=tuple(
                    view.order_id
                    for view in self._board.views
                    if view.state in LIVE and self._board.session_of.get(view.account) == name
                ),
                looking=tuple(
                    order.lookup for order in self._orders_of(name) if order.is_looked_for
                ),
                guard=self._roster.journal.guards.get(name),
                known=self._roster.known(name),
            )
            self._roster.sessions[name] = actor
            self._dispatcher.replace(
                ref, actor, start, outlived=lambda message: isinstance(message, _OF_A_LOGIN)
            )
            actor.begin()
            self._rebuilt(ref)
            # What the stream is subscribed to may have ended with a brokerage session whose
            # end nobody saw; the new session opens it once it is warm.
            self._board.tell_feed(name, CloseStream())
            self._refuse_waiting(name, reason)

        return work

    def _close(self, name: SessionName, reason: Reason) -> None:
        """Show a session as down; who failed may fail at this, too."""
        actor = self._roster.sessions[name]
        try:
            actor.close(reason)
        except Exception as error:  # noqa: BLE001 - its state is not to be trusted
            _LOG.error("session_not_closed", session=name, exc_info=error)

    def _orders_of(self, name: SessionName) -> Iterator[Order]:
        for ref in self._board.order_refs():
            actor = ref.actor
            if ref.stopped or not isinstance(actor, OrderActor) or not actor.order.state_known:
                continue
            if self._session_of(actor.order) == name:
                yield actor.order

    def _in_turn(self, name: SessionName) -> OrderId | None:
        """Return the order that holds the lane: its request is out, or it may send one."""
        # What else is on the wire are answers to prompts: they are sent without a turn.
        last = self.turns.get(name)
        ref = None if last is None else self._board.order_ref(last)
        if last is None or ref is None:
            return None
        if ref.stopped:
            return last if self._is_on_wire(last, name) else None
        actor = ref.actor
        assert isinstance(actor, OrderActor)
        waiting = self._dispatcher.waiting(ref)
        granted = any(isinstance(message, TurnGranted) for message in waiting)
        return last if granted or ref.paused or actor.order.has_turn else None

    def _refuse_waiting(self, name: SessionName, reason: Reason) -> None:
        """Tell the orders that waited for a turn that the lane forgot about them."""
        text = f"the session's actor was rebuilt while the order waited: {reason.message}"
        refusal = Reason(code="SESSION_RESTARTED", message=text)
        in_turn = self._in_turn(name)
        for order in tuple(self._orders_of(name)):
            if order.waits_for_turn and order.order_id != in_turn:
                refused = TurnRefused(order_id=order.order_id, reason=refusal)
                self._board.tell_order(order.order_id, refused)

    # --- feeds ---------------------------------------------------------------------------------

    def _of_feed(self, ref: LoopRef, actor: FeedActor, reason: Reason) -> _Work:
        name = SessionName(actor.name)
        self._hang_up(actor, reason)

        async def work() -> None:
            if not ref.paused:
                return
            feed = self._roster.make_feed(name, actor.feed.subscriptions)
            wanted = self._roster.sessions[name].session.tier not in LOGIN_STATES
            first = (OpenStream(),) if wanted else ()
            self._roster.feeds[name] = feed
            self._dispatcher.replace(
                ref, feed, *first, outlived=lambda message: isinstance(message, _OF_A_SOCKET)
            )
            feed.begin()
            self._rebuilt(ref)

        return work

    def _hang_up(self, actor: FeedActor, reason: Reason) -> None:
        """Close a WebSocket that nobody listens to, and tell the session that it is gone."""
        name = SessionName(actor.name)
        actor.feed.connected = False  # What is shown of it until there is another.
        lines = self._roster.lines[name]
        if lines.feed is not None:
            lines.feed.cut()
        try:
            lines.parts.feed_gateway.close("the feed's actor failed")
        except Exception as error:  # noqa: BLE001 - it may be why the actor failed
            _LOG.error("stream_not_closed", session=name, exc_info=error)
        metrics.WS_CONNECTED.labels(name).set(0)
        self._board.tell_session(name, StreamLost(reason=reason.message))

    # --- the end of patience -------------------------------------------------------------------

    def _give_up(self, ref: LoopRef, reason: Reason) -> None:
        name, actor_class = str(ref), ref.actor_class.__name__
        given_up = self.problems[name] = replace(reason, code="ACTOR_GIVEN_UP")
        metrics.ACTOR_ESCALATIONS.labels(actor_class).inc()
        _LOG.error("actor_given_up", actor=name, reason=given_up.message)
        actor = ref.actor
        self._dispatcher.end(ref)
        for account in self._accounts_of(actor):
            self._halt(account, f"{name} keeps failing and was given up: {reason.message}")
        match actor:
            case OrderActor():
                self._leave_order(actor)
            case SessionActor() | FeedActor():
                self._leave_session(SessionName(actor.name), given_up)
            case _:
                self._leave_risk(ref, AccountId(actor.name))

    def _accounts_of(self, actor: LoopActor) -> tuple[AccountId, ...]:
        match actor:
            case OrderActor():
                return (actor.order.ticket.account,) if actor.order.state_known else ()
            case RiskActor():
                return (AccountId(actor.name),)
            case _:
                return self._roster.accounts_of(SessionName(actor.name))

    def _leave_order(self, actor: OrderActor) -> None:
        view = self._board.views.get(OrderId(actor.name))
        if view is not None:
            self._board.show(_unsure(view))
        session = self._session_of(actor.order) if actor.order.state_known else None
        if session is not None and not self._is_on_wire(OrderId(actor.name), session):
            release = ReleaseTurn(order_id=OrderId(actor.name), session=session)
            self._board.tell_session(session, release)

    def _leave_risk(self, ref: LoopRef, account: AccountId) -> None:
        """Show the account as it is now: halted, its positions unknown. Nothing is let pass."""
        session = self._board.session_of[account]
        shown = self._roster.make_risk(account, session)
        shown.ref = ref
        self._roster.risks[account] = shown
        shown.guarded(self._roster.inform, shown)

    def _leave_session(self, name: SessionName, reason: Reason) -> None:
        """Without its feed a session sees nothing; so neither of the two goes on alone."""
        self._close(name, reason)
        actor = self._roster.sessions[name]
        actor.abandon()
        self._dispatcher.end(actor.ref)
        self._refuse_waiting(name, reason)


def _unsure(view: OrderView) -> OrderView:
    """Show an order whose actor failed: what it is may not be what the broker has."""
    if view.state in TERMINAL:
        return view
    return replace(view, confidence=Confidence.UNCONFIRMED)


def _ends_with_the_order(message: object) -> bool:
    return isinstance(message, _WITH_THE_ORDER)
