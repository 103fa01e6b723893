"""What clients ask about orders: submit, modify, cancel, wait.

Rule 1: only what is durable is answered. A submit returns once its intent or its refusal
is in the journal, a modify once the change is.

Rule 2: what a client says of a contract is settled here, before risk is asked. A ticket
that cannot be settled goes on with the reason, and risk refuses it for that.
"""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from engine.actors.markets import Markets
from engine.actors.order import OrderActor
from engine.actors.shell import Clock
from engine.actors.supervisor import Supervisor
from engine.actors.switchboard import SessionLines, Switchboard
from engine.actors.views import shown
from engine.domain.messages import (
    CancelOrder,
    ChangeAnswer,
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
    JournalUnavailable,
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
    AccountId,
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

DURABLE_S_MAX: Final = 10.0

WAITING: Final = frozenset({OrderState.SUBMITTING, OrderState.AWAITING_REPLY})
"""States in which an order waits for its turn or for the broker's answer."""

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
    ) -> None:
        self.draining = False
        self.journal_failed: Reason | None = None
        self._supervisor = supervisor
        self._board = switchboard
        self._markets = markets
        self._encoder = encoder
        self._clock = clock
        self._shard = shard
        self._ask_risk = ask_risk
        self._sequence = 0
        self._changing: set[OrderId] = set()

    def order(self, order_id: OrderId) -> OrderView:
        """One order. Raises `UnknownOrder`."""
        view = self._board.views.get(order_id)
        if view is None:
            raise UnknownOrder(order_id)
        return shown(view, ready=self.is_ready(view.account))

    def is_ready(self, account: AccountId) -> bool:
        """True when the account's session may send orders."""
        session = self._board.session_of.get(account)
        return session is not None and self._supervisor.sessions[session].session.ready

    def _refuse_if_closed(self) -> None:
        if self.draining:
            msg = "the engine is stopping and takes no new orders"
            raise EngineDraining(msg)
        self._refuse_if_unwritable()

    def _refuse_if_unwritable(self) -> None:
        if self.journal_failed is not None:
            raise JournalUnavailable(self.journal_failed.message)

    # --- submits -----------------------------------------------------------------------------

    async def submit(self, request: SubmitRequest) -> SubmitResult:
        """Check, journal and send; return once the verdict is durable.

        A repeat makes nothing new, so it is answered whenever its order is durable.
        """
        is_repeat = self._is_repeat(request.ticket)
        if not is_repeat:
            self._refuse_if_closed()
        found = await self._resolve(request)
        if isinstance(found, AmbiguousSymbol):
            return found
        ticket, instrument, obstacle = found
        wanted = instrument if obstacle is None else None
        quote = await self._quote_for(ticket.account, wanted)
        if not is_repeat:
            self._refuse_if_closed()  # It may have closed while the broker was asked.
        answer = await self._ask_for_order(request, ticket, instrument, quote, obstacle)
        views = self._board.views
        view = await views.wait_for(
            answer.order_id,
            lambda durable: durable is not None or views.is_forgotten(answer.order_id),
            timeout_s=DURABLE_S_MAX,
        )
        if view is None:
            if answer.verdict is RequestVerdict.APPROVED:
                # Its client hears that nothing was sent: see that nothing will be.
                cancel = CancelOrder(order_id=answer.order_id, cause="not durable in time")
                self._board.tell_order(answer.order_id, cancel)
            text = f"order {answer.order_id} could not be made durable; nothing was sent"
            raise JournalUnavailable(text)
        return Submitted(answer=answer, order=self.order(answer.order_id))

    async def _resolve(
        self, request: SubmitRequest
    ) -> tuple[Ticket, Instrument | None, Reason | None] | AmbiguousSymbol:
        """Find the contract, and what stands in the way of an order for it."""
        ticket = request.ticket
        if self._is_repeat(ticket):
            return ticket, None, None  # A repeat: whatever became of the contract, the order is.
        if not self.is_ready(ticket.account):
            return ticket, None, None  # Risk says why; asking the broker would only take time.
        instruments = self._lines_of(ticket.account).instruments
        found: Instrument | AmbiguousSymbol | Reason
        if request.query is None:
            found = await instruments.by_conid(ticket.conid)
        else:
            found = await instruments.find(request.query)
        match found:
            case AmbiguousSymbol():
                return found
            case Reason():
                return ticket, None, found
            case instrument:
                resolved = replace(
                    ticket,
                    conid=instrument.conid,
                    symbol=instrument.symbol,
                    sec_type=instrument.sec_type,
                )
                return resolved, instrument, self._encoder.refusal(resolved)

    def _is_repeat(self, ticket: Ticket) -> bool:
        actor = self._supervisor.risks.get(ticket.account)
        return actor is not None and actor.risk.knows(ticket.client_order_id)

    async def _ask_for_order(
        self,
        request: SubmitRequest,
        ticket: Ticket,
        instrument: Instrument | None,
        quote: Quote | None,
        obstacle: Reason | None,
    ) -> RequestAnswer:
        self._sequence += 1
        epoch = self._board.journal.epoch
        message = RequestOrder(
            ticket=ticket,
            order_id=make_order_id(epoch, self._sequence),
            coid=make_coid(self._shard, epoch, self._sequence),
            request_sha256=request.request_sha256,
            instrument=instrument,
            quote=quote,
            now_ns=self._clock.monotonic_ns(),
            obstacle=obstacle,
        )
        answer = await self._ask_risk(ticket.account, message)
        assert isinstance(answer, RequestAnswer)
        return answer

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
        self._refuse_if_closed()
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
        refusal = self._encoder.refusal(order.ticket) or _unsaid_trail(view, change)
        if refusal is not None:
            raise ChangeRefused(refusal)
        instrument = await self._instrument_of(view)
        quote = await self._quote_for(view.account, instrument)
        self._refuse_if_closed()
        view = self.order(view.order_id)  # It may have moved while the broker was asked.
        _refuse_unless_modifiable(view)
        terms = _wanted(view, change)  # Now, not before: what it does not name may have moved, too.
        if terms == _in_force(view):
            return view
        # Before risk reserves: what cannot be written must not stay reserved.
        assert order.coid is not None, "an order at the broker has its id there"
        body = self._encoder.encode_change(order.ticket, order.coid, terms)
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

    def _machine(self, order_id: OrderId) -> Order:
        ref = self._board.order_ref(order_id)
        assert ref is not None, "every durable order has an actor"
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
            self._refuse_if_unwritable()
        elif not applies(now):
            _refuse_unless_modifiable(now)  # A fill or a cancel was faster.
            if now.reason is not None and dropped(now):
                raise NotModifiable(now.reason.message)
        return self.order(order_id)

    # --- cancels and waits -------------------------------------------------------------------

    async def cancel(self, order_id: OrderId, *, by: str) -> OrderView:
        """Ask for the order's cancel and return it, durable."""
        view = self.order(order_id)
        if view.state in TERMINAL:
            return view
        self._board.tell_order(order_id, CancelOrder(order_id=order_id, cause=by))

        def asked(now: OrderView | None) -> bool:
            return now is not None and (now.pending is Pending.CANCEL or now.state in TERMINAL)

        after = await self._board.views.wait_for(order_id, asked, timeout_s=ASKED_S_MAX)
        if not asked(after):
            # The cancel itself is still tried from memory; only its record is missing.
            self._refuse_if_unwritable()
        return self.order(order_id)

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
