"""What clients ask about orders: submit, modify, cancel, wait.

Rule 1: only what is durable is answered. A submit returns once its intent or its refusal
is in the journal, a modify once the change is.

Rule 2: what a client says of a contract is settled here, before risk is asked. A ticket
that cannot be settled goes on with the reason, and risk refuses it for that.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final

from engine.actors.journal_health import JournalHealth
from engine.actors.markets import Markets
from engine.actors.order import OrderActor
from engine.actors.shell import Clock
from engine.actors.supervisor import Supervisor
from engine.actors.switchboard import SessionLines, Switchboard
from engine.actors.tickets import Settled, Tickets, leader_coid, placed
from engine.actors.views import shown
from engine.domain.messages import (
    CancelOrder,
    ChangeAnswer,
    FollowerRequest,
    ModifyOrder,
    RequestAnswer,
    RequestChange,
    RequestOrder,
    RequestVerdict,
)
from engine.domain.order import Order
from engine.domain.ports import (
    AmbiguousSymbol,
    ChangeRefused,
    EngineDraining,
    NotModifiable,
    OrderEncoder,
    SubmitRequest,
    SubmitResult,
    Submitted,
    TermsChange,
    UnknownOrder,
)
from engine.domain.risk import Code
from engine.domain.values import (
    LIVE,
    TERMINAL,
    WAITING,
    AccountId,
    Coid,
    Instrument,
    OrderId,
    OrderState,
    OrderType,
    Pending,
    Quote,
    Reason,
    Terms,
    Ticket,
    make_coid,
    make_order_id,
)
from engine.domain.views import OrderView

ASKED_S_MAX: Final = 5.0
"""A cancel or a modify gets this long to become durable."""

UNWRITTEN_S_MAX: Final = 0.25
"""A cancel gets this long to reach the gateway when nothing becomes durable any more."""

DURABLE_S_MAX: Final = 10.0

CANCEL_NOT_JOURNALED: Final = "CANCEL_NOT_JOURNALED"
"""The code of a cancel that was sent from memory; after a restart nobody knows of it."""

_NOT_NOW: Final = frozenset({Code.NOT_MODIFIABLE.value, Code.REPLACE_PENDING.value})
"""Codes of risk that say nothing against the terms: the order moved, or is being changed."""

AskRisk = Callable[[AccountId, RequestOrder | RequestChange], Awaitable[object]]


class OrderRequests:
    """Turns what clients ask into what the actors are told, and waits until it is durable."""

    def __init__(
        self,
        *,
        supervisor: Supervisor,
        switchboard: Switchboard,
        markets: Markets,
        encoder: OrderEncoder,
        clock: Clock,
        shard: str,
        ask_risk: AskRisk,
        health: JournalHealth,
    ) -> None:
        self.draining = False
        self._health = health
        self._supervisor = supervisor
        self._board = switchboard
        self._markets = markets
        self._encoder = encoder
        self._clock = clock
        self._shard = shard
        self._ask_risk = ask_risk
        self._tickets = Tickets(encoder=encoder, clock=clock)
        self._changing: set[OrderId] = set()

    def order(self, order_id: OrderId) -> OrderView:
        """One order. Raises `UnknownOrder`."""
        self._board.views.refresh()  # Its event may have been told a moment before it is shown.
        view = self._board.views.get(order_id)
        if view is None:
            raise UnknownOrder(order_id)
        return shown(view, ready=self.is_ready(view.account))

    def is_ready(self, account: AccountId) -> bool:
        """True when the account's session may send orders."""
        session = self._board.session_of.get(account)
        return session is not None and self._supervisor.sessions[session].session.ready

    def _refuse_if_draining(self) -> None:
        if self.draining:
            msg = "the engine is stopping and takes no new orders"
            raise EngineDraining(msg)

    def _refuse_new(self) -> None:
        self._refuse_if_draining()
        self._health.refuse_new()

    def _refuse_change(self) -> None:
        self._refuse_if_draining()
        self._health.refuse_all()

    # --- submits -----------------------------------------------------------------------------

    async def submit(self, request: SubmitRequest) -> SubmitResult:
        """Check, journal and send; return once the verdict is durable.

        A repeat makes nothing new, so it is answered whenever its order is durable.
        """
        is_repeat = self._is_repeat(request.ticket)
        if not is_repeat:
            self._refuse_new()
        settled = await self._settle(request)
        if isinstance(settled, AmbiguousSymbol):
            return settled
        wanted = settled.instrument if settled.obstacle is None else None
        quote = await self._quote_for(settled.ticket.account, wanted)
        if not is_repeat:
            self._refuse_new()  # It may have closed while the broker was asked.
        answer, made = await self._ask_for_order(request, settled, quote)
        order = await self._durable(answer, answer.order_id)
        others = made[1:] if answer.order_id == made[0] else self._members(answer.order_id)
        followers = [await self._durable(answer, order_id) for order_id in others]
        return Submitted(answer=answer, order=order, followers=tuple(followers))

    async def _durable(self, answer: RequestAnswer, order_id: OrderId) -> OrderView:
        """Return an order of a request once its first record is durable."""
        views = self._board.views
        view = await views.wait_for(
            order_id,
            lambda durable: durable is not None or views.is_forgotten(order_id),
            timeout_s=DURABLE_S_MAX,
        )
        if view is None:
            if answer.verdict is RequestVerdict.APPROVED:
                # Its client hears that nothing was sent: see that nothing will be.
                cancel = CancelOrder(order_id=answer.order_id, cause="not durable in time")
                self._board.tell_order(answer.order_id, cancel)
            text = f"order {order_id} could not be made durable; nothing was sent"
            raise self._health.error(text)
        return self.order(order_id)

    async def _settle(self, request: SubmitRequest) -> Settled | AmbiguousSymbol:
        """Find the contract, and what stands in the way of orders for it."""
        ticket = request.ticket
        if self._is_repeat(ticket) or not self.is_ready(ticket.account):
            # Of a repeat the order is what counts, whatever became of the contract. Why an
            # account is not ready, risk says; asking the broker would only take time.
            return Settled(ticket=ticket, followers=request.followers)
        return await self._tickets.settle(request, self._lines_of(ticket.account).instruments)

    def _is_repeat(self, ticket: Ticket) -> bool:
        actor = self._supervisor.risks.get(ticket.account)
        return actor is not None and actor.risk.knows(ticket.client_order_id)

    async def _ask_for_order(
        self, request: SubmitRequest, settled: Settled, quote: Quote | None
    ) -> tuple[RequestAnswer, Sequence[OrderId]]:
        """Ask risk; return its answer, and the ids that were meant for the orders."""
        tickets = (settled.ticket, *settled.followers)
        ids = [self._next_ids() for _ in tickets]
        order_ids = [order_id for order_id, _ in ids]
        tickets = placed(request.group, tickets, order_ids)
        (order_id, coid), *others = ids
        message = RequestOrder(
            ticket=tickets[0],
            order_id=order_id,
            coid=coid,
            request_sha256=request.request_sha256,
            instrument=settled.instrument,
            quote=quote,
            now_ns=self._clock.monotonic_ns(),
            obstacle=settled.obstacle,
            followers=tuple(
                FollowerRequest(ticket=ticket, order_id=order_id, coid=coid)
                for ticket, (order_id, coid) in zip(tickets[1:], others, strict=True)
            ),
        )
        answer = await self._ask_risk(settled.ticket.account, message)
        assert isinstance(answer, RequestAnswer)
        return answer, order_ids

    def _next_ids(self) -> tuple[OrderId, Coid]:
        epoch, number = self._board.journal.epoch, self._board.next_number()
        return make_order_id(epoch, number), make_coid(self._shard, epoch, number)

    def _members(self, leader: OrderId) -> Sequence[OrderId]:
        """Return the other orders of the request that made a durable order."""
        view = self._board.views.get(leader)
        if view is None or view.group is None:
            return ()
        if view.state is not OrderState.DENIED:
            return [one.order_id for one in self._machine(leader).followers]
        # What was denied keeps no list of the others; that it was a group, each of them knows.
        denied = (
            (other.group.index, other.order_id)
            for other in self._board.views
            if other.group is not None and other.group.leader == leader and not other.group.leads
        )
        return [order_id for _, order_id in sorted(denied)]

    def _lines_of(self, account: AccountId) -> SessionLines:
        return self._board.sessions[self._board.session_of[account]]

    async def _quote_for(self, account: AccountId, instrument: Instrument | None) -> Quote | None:
        if instrument is None:
            return None
        return await self._markets.quote_for(self._board.session_of[account], instrument.conid)

    # --- modifies ----------------------------------------------------------------------------

    async def modify(self, order_id: OrderId, change: TermsChange, *, by: str) -> OrderView:
        """Ask for new terms; return once the change is durable.

        What the order is or is becoming already is answered with the order as it is, so a
        client may repeat a modify whose answer it did not get.
        """
        self._refuse_change()
        view = self.order(order_id)
        terms = _wanted(view, change)
        if view.state in LIVE and terms == (view.wanted or _in_force(view)):
            return view
        if order_id in self._changing:
            msg = f"another change of order {order_id} is being asked for"
            raise NotModifiable(msg)
        self._changing.add(order_id)
        try:
            return await self._modify(view, change, by=by)
        finally:
            self._changing.discard(order_id)

    async def _modify(self, view: OrderView, change: TermsChange, *, by: str) -> OrderView:
        _refuse_unless_modifiable(view)
        order = self._machine(view.order_id)
        if order.unsaid:
            msg = f"order {view.order_id} was adopted, and a change must repeat all of it: "
            raise NotModifiable(msg + "; ".join(order.unsaid))
        refusal = self._encoder.refusal(order.ticket) or _unsaid_trail(view, change)
        if refusal is not None:
            raise ChangeRefused(refusal)
        instrument = await self._instrument_of(view)
        quote = await self._quote_for(view.account, instrument)
        self._refuse_change()
        view = self.order(view.order_id)  # It may have moved while the broker was asked.
        _refuse_unless_modifiable(view)
        terms = _wanted(view, change)  # Now, not before: what it does not name may have moved, too.
        if terms == _in_force(view):
            return view
        # Before risk reserves: what cannot be written must not stay reserved.
        body = self._changed_body(order, terms)
        message = RequestChange(
            view=view,
            ticket=order.ticket,
            terms=terms,
            by=by,
            instrument=instrument,
            quote=quote,
            now_ns=self._clock.monotonic_ns(),
        )
        answer = await self._ask_risk(view.account, message)
        assert isinstance(answer, ChangeAnswer)
        if answer.change is None:
            assert answer.refused is not None, "a refusal says why"
            if answer.refused.code in _NOT_NOW:
                raise NotModifiable(answer.refused.message)
            raise ChangeRefused(answer.refused)
        modify = ModifyOrder(order_id=view.order_id, change=answer.change, body=body)
        self._board.tell_order(view.order_id, modify)
        return await self._durably_changed(view, terms)

    def _changed_body(self, order: Order, terms: Terms) -> bytes:
        """Write the changed ticket; an order that was adopted has no id of ours."""
        group = order.ticket.group
        leader = None if group is None else self._board.views.get(group.leader)
        return self._encoder.encode_change(
            order.ticket,
            order.coid or Coid(order.order_id),
            terms,
            leader=leader_coid(None if leader is None else leader.coid, order.ticket),
        )

    def _machine(self, order_id: OrderId) -> Order:
        ref = self._board.order_ref(order_id) or self._board.wake(order_id)
        assert isinstance(ref.actor, OrderActor)
        return ref.actor.order

    async def _instrument_of(self, view: OrderView) -> Instrument | None:
        if not self.is_ready(view.account):
            return None  # As for submits: risk says why.
        found = await self._lines_of(view.account).instruments.by_conid(view.conid)
        if isinstance(found, Reason):
            raise ChangeRefused(found)
        return found

    async def _durably_changed(self, before: OrderView, terms: Terms) -> OrderView:
        def applies(now: OrderView) -> bool:
            return terms in {now.wanted, _in_force(now)}

        def dropped(now: OrderView) -> bool:
            # Begun and given up in one commit: only its reason, a new one, tells of it.
            return now.wanted is None and now.reason not in {None, before.reason}

        def over(now: OrderView | None) -> bool:
            return now is not None and (
                applies(now)
                or dropped(now)
                or now.state in TERMINAL
                or now.pending is Pending.CANCEL
            )

        order_id = before.order_id
        now = await self._board.views.wait_for(order_id, over, timeout_s=ASKED_S_MAX)
        assert now is not None
        if not over(now):
            self._health.refuse_all()
        elif not applies(now):
            _refuse_unless_modifiable(now)  # A fill or a cancel was faster.
            if now.reason is not None and dropped(now):
                raise NotModifiable(now.reason.message)
        return self.order(order_id)

    # --- cancels and waits -------------------------------------------------------------------

    async def cancel(self, order_id: OrderId, *, by: str) -> OrderView:
        """Ask for the order's cancel and return it, durable.

        While nothing can be written, the cancel goes out all the same. Then the order shows
        what was asked for, with a reason that says that no record of it exists.
        """
        view = self.order(order_id)
        if view.state in TERMINAL:
            return view
        self._board.tell_order(order_id, CancelOrder(order_id=order_id, cause=by))

        def asked(now: OrderView | None) -> bool:
            return now is not None and (now.pending is Pending.CANCEL or now.state in TERMINAL)

        timeout_s = ASKED_S_MAX if self._health.failed is None else UNWRITTEN_S_MAX
        after = await self._board.views.wait_for(order_id, asked, timeout_s=timeout_s)
        if self._health.failed is not None and not asked(after):
            return self._cancelled_unwritten(order_id, self._health.failed)
        return self.order(order_id)

    def _cancelled_unwritten(self, order_id: OrderId, why: Reason) -> OrderView:
        """Show a cancel that is known to nobody but the order's machine and the broker."""
        order = self._machine(order_id)
        if order.state in TERMINAL and order.attempts == 0 and order.broker_order_id is None:
            done = "the order was never sent and will not be"
        elif order.state in TERMINAL:  # The broker was faster than this answer.
            done = f"the order is {order.state} at the broker"
        elif order.broker_order_id is None:
            done = "the cancel is sent as soon as the broker shows the order"
        else:
            done = "the cancel was sent"
        text = f"{done}, but it could not be written to the journal: {why.message}"
        reason = Reason(code=CANCEL_NOT_JOURNALED, message=text)
        return replace(self.order(order_id), pending=Pending.CANCEL, reason=reason)

    async def wait(self, order_id: OrderId, *, terminal: bool, timeout_ms: int) -> OrderView:
        """Return the order once it is acknowledged (or terminal), or as it is at the timeout."""

        def done(view: OrderView | None) -> bool:
            if view is None:
                return False
            return view.state in TERMINAL if terminal else view.state not in WAITING

        await self._board.views.wait_for(order_id, done, timeout_s=timeout_ms / 1_000)
        return self.order(order_id)

    async def wait_settled(self, order_id: OrderId, *, timeout_ms: int) -> OrderView:
        """Return the order once no change is pending, or as it is at the timeout."""

        def done(view: OrderView | None) -> bool:
            return view is not None and (view.wanted is None or view.state in TERMINAL)

        await self._board.views.wait_for(order_id, done, timeout_s=timeout_ms / 1_000)
        return self.order(order_id)


def _in_force(view: OrderView) -> Terms:
    return Terms(quantity=view.quantity, limit_price=view.limit_price, stop_price=view.stop_price)


def _wanted(view: OrderView, change: TermsChange) -> Terms:
    """Return all of the terms that the order is to have; what is not named stays."""
    return Terms(
        quantity=view.quantity if change.quantity is None else change.quantity,
        limit_price=view.limit_price if change.limit_price is None else change.limit_price,
        stop_price=view.stop_price if change.stop_price is None else change.stop_price,
    )


def _unsaid_trail(view: OrderView, change: TermsChange) -> Reason | None:
    """Refuse a change that would put a trailing stop back to where it began.

    A modify repeats all of the ticket, and the broker has moved the stop (and the limit
    behind it) since; so where they are to be now, the client must say.
    """
    names = {OrderType.TRAIL: ("stop_price",), OrderType.TRAILLMT: ("stop_price", "limit_price")}
    unsaid = [name for name in names.get(view.type, ()) if getattr(change, name) is None]
    if not unsaid:
        return None
    names_unsaid = " and ".join(unsaid)
    text = (
        f"{names_unsaid} of order {view.order_id} must be named in every change: the order is a "
        f"{view.type}, so the market has moved what it began with; add where it is to be now, or "
        "cancel the order and submit another"
    )
    return Reason(code=Code.TRAILING_INVALID, message=text)


def _refuse_unless_modifiable(view: OrderView) -> None:
    if view.state not in LIVE:
        live = ", ".join(sorted(LIVE))
        msg = f"order {view.order_id} is {view.state}; it can be changed in {live}"
        raise NotModifiable(msg)
    if view.pending is not Pending.NONE:
        msg = f"a {view.pending} of order {view.order_id} is pending; wait until it is settled"
        raise NotModifiable(msg)
