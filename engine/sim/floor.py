"""How orders live at a venue: they wait, trade, cancel each other and end.

Rule 1: the market never closes, so an order for the day ends by a fill, by a
cancel, or at the end of the venue's day; auctions are held at fixed intervals.

Rule 2: an exit of a bracket works once its entry has filled and ends with an
entry that ended otherwise. Of the orders in one group, the first that trades
cancels all others.
"""

from decimal import Decimal
from typing import Final, assert_never

from engine.sim.accounts import commission_for
from engine.sim.agenda import Step
from engine.sim.book import Book
from engine.sim.matching import (
    Waits,
    auction_price,
    follow,
    pieces,
    start_trailing,
    trade_price,
    triggers,
    waits_for,
    within,
)
from engine.sim.orders import CommissionKnown, Execution, Order, OrderStatus, Traded

STEP_MS: Final = 4
"""Between one state of a new order and the next."""

UNANSWERED: Final = "The question about this order was not answered in time."
_DAY_MS: Final = 24 * 3600 * 1000
_FOR_THE_DAY: Final = frozenset({"DAY", "OPG", "OVT", "OND"})


class Floor(Book):
    """Moves orders on."""

    _day_ends_ms: int | None = None

    def cancel_by_system(self, order_id: int, reason: str, now_ms: int) -> None:
        """End an order the way an exchange rejects one: Cancelled, with a reason."""
        order = self.orders[order_id]
        order.reason = reason
        self._end(order, OrderStatus.CANCELLED, now_ms)

    def advance(self, now_ms: int) -> None:
        """Do all that is due and look for orders the market has reached."""
        self._run_due(now_ms)
        for order in tuple(self._working.values()):
            quote = self.market.quote(order.ticket.conid)
            # Nothing new can come of a quote that was looked at before.
            if self._looked_at.get(order.order_id) is not quote:
                self._looked_at[order.order_id] = quote
                self._look_at_market(order, now_ms)
        self._look_at_clock(now_ms)

    def end_day(self, now_ms: int) -> tuple[int, ...]:
        """End the venue's day, and return the orders that ended with it."""
        over = [
            order
            for order in self._working.values()
            if order.ticket.tif in _FOR_THE_DAY or order.order_id in self.unanswered
        ]
        ended: list[int] = []
        for order in over:
            # The end of an entry may have ended its exits already.
            if order.working:
                self._end(order, OrderStatus.CANCELLED, now_ms)
                ended.append(order.order_id)
        return tuple(ended)

    # How it goes on.

    def _look_at_clock(self, now_ms: int) -> None:
        at_s = self.pace.day_ends_at_s
        if at_s is None:
            return
        if self._day_ends_ms is None or now_ms >= self._day_ends_ms:
            if self._day_ends_ms is not None:
                self.end_day(now_ms)
            today_ms = now_ms // _DAY_MS * _DAY_MS + at_s * 1000
            self._day_ends_ms = today_ms if now_ms < today_ms else today_ms + _DAY_MS

    def _run_due(self, now_ms: int) -> None:
        for step, target, due_ms in self.agenda.take(now_ms):
            self._run(step, target, due_ms)

    def _run(self, step: Step, target: int, now_ms: int) -> None:
        match step:
            case Step.PRE_SUBMIT:
                self._move(self.orders[target], OrderStatus.PRE_SUBMITTED, now_ms)
                if not self._is_held(self.orders[target]):
                    self._plan(Step.SUBMIT, target, now_ms + STEP_MS)
            case Step.SUBMIT:
                self._submit(self.orders[target], now_ms)
            case Step.FILL:
                self._fill_piece(self.orders[target], now_ms)
            case Step.CANCEL:
                if self.orders[target].working:
                    self._end_cancelled(self.orders[target], now_ms)
            case Step.COMMISSION:
                execution = self.executions[target]
                self.commissions_known.add(execution.execution_id)
                self.changes += 1
                self._news.append(CommissionKnown(execution=execution))
            case Step.AUCTION:
                self._hold_auction(self.orders[target], now_ms)
            case Step.PROMPT_END:
                self._end_prompt(target, now_ms)
            case _:
                assert_never(step)

    def _is_held(self, order: Order) -> bool:
        """True for an exit whose entry has not filled."""
        if order.parent_id is None:
            return False
        return self.orders[order.parent_id].status is not OrderStatus.FILLED

    def _move(self, order: Order, status: OrderStatus, now_ms: int) -> None:
        """To the next state, unless the order is being cancelled or has ended."""
        if order.working and order.status is not OrderStatus.PENDING_CANCEL:
            order.status = status
            self._tell(order, now_ms)

    def _submit(self, order: Order, now_ms: int) -> None:
        # The market may have been faster than the order.
        if not order.triggered:
            self._arm(order, now_ms)
            self._tell_if_submitted(order, now_ms)
        self._look_at_market(order, now_ms)
        immediate = order.ticket.tif == "IOC" and order.triggered
        if immediate and order.working and order.order_id not in self._filling:
            self._end(order, OrderStatus.CANCELLED, now_ms)

    def _tell_if_submitted(self, order: Order, now_ms: int) -> None:
        if order.working and order.status is OrderStatus.SUBMITTED:
            self._tell(order, now_ms)

    def _arm(self, order: Order, now_ms: int) -> None:
        """Let an order work, or wait for its price or its auction, by its terms as they are."""
        if not order.working or order.status is OrderStatus.INACTIVE or self._is_held(order):
            return
        waits = waits_for(order.ticket)
        order.triggered = waits is Waits.NOTHING
        if order.status is not OrderStatus.PENDING_CANCEL:
            order.status = OrderStatus.SUBMITTED if order.triggered else OrderStatus.PRE_SUBMITTED
        if waits is Waits.AN_AUCTION:
            interval_ms = self.pace.auction_interval_ms
            self._plan(Step.AUCTION, order.order_id, (now_ms // interval_ms + 1) * interval_ms)

    def _look_at_market(self, order: Order, now_ms: int) -> None:
        """Trigger what the market reached; plan fills for what is marketable."""
        if not order.working or order.status is OrderStatus.INACTIVE or self._is_held(order):
            return
        ticket = order.ticket
        if not order.triggered and waits_for(ticket) is Waits.A_PRICE:
            quote = self.market.quote(ticket.conid)
            follow(order, quote, self.instrument(ticket.conid))
            if triggers(order, quote):
                order.triggered = True
                self._move(order, OrderStatus.SUBMITTED, now_ms)
        if (
            order.triggered
            and order.order_id not in self._filling
            and self._price(order) is not None
        ):
            self._filling.add(order.order_id)
            self._plan_piece(order, now_ms, self._rng.randint(*self.pace.fill_delay_ms))

    def _hold_auction(self, order: Order, now_ms: int) -> None:
        """Trade all of an order in the auction, or cancel what the price passed over."""
        ticket = order.ticket
        if not order.working or waits_for(ticket) is not Waits.AN_AUCTION:
            return
        price = auction_price(self.market.quote(ticket.conid), self.instrument(ticket.conid))
        if not within(price, ticket.limit_price, is_buy=ticket.is_buy):
            self._end(order, OrderStatus.CANCELLED, now_ms)
            return
        order.triggered = True
        self._move(order, OrderStatus.SUBMITTED, now_ms)
        self._trade(order, order.remaining_quantity, price, now_ms)
        self._end(order, OrderStatus.FILLED, now_ms)

    def _end_prompt(self, order_id: int, now_ms: int) -> None:
        asked = self.prompts.get(order_id)
        if asked is None or asked.until_ms > now_ms:
            return
        del self.prompts[order_id]
        if order_id in self._working:
            self.cancel_by_system(order_id, UNANSWERED, now_ms)

    def _plan_piece(self, order: Order, now_ms: int, total_ms: int) -> None:
        """Plan all pieces of what remains, spread over `total_ms`."""
        unit = self.instrument(order.ticket.conid).size_increment
        order.pieces = pieces(order.remaining_quantity, unit, self._rng)
        count = len(order.pieces)
        for index in range(count):
            self._plan(Step.FILL, order.order_id, now_ms + total_ms * (index + 1) // count)

    def _price(self, order: Order) -> Decimal | None:
        conid = order.ticket.conid
        return trade_price(order, self.market.quote(conid), self.instrument(conid))

    def _fill_piece(self, order: Order, now_ms: int) -> None:
        """Trade one planned piece; what the market left behind rests again."""
        if not order.working or order.order_id not in self._filling:
            return
        price = self._price(order)
        if not order.pieces or price is None:
            self._filling.discard(order.order_id)
            self._looked_at.pop(order.order_id, None)
            order.pieces = ()
            if order.ticket.tif == "IOC":
                self._end(order, OrderStatus.CANCELLED, now_ms)
            return
        quantity, *rest = order.pieces
        order.pieces = tuple(rest)
        self._trade(order, quantity, price, now_ms)
        if not rest:
            self._filling.discard(order.order_id)
            self._looked_at.pop(order.order_id, None)
        if order.remaining_quantity == 0:
            self._end(order, OrderStatus.FILLED, now_ms)
        else:
            self._tell(order, now_ms)

    def _trade(self, order: Order, quantity: Decimal, price: Decimal, now_ms: int) -> None:
        ticket = order.ticket
        instrument, account = self.instrument(ticket.conid), self.accounts[ticket.account]
        commission = commission_for(instrument, order.filled_quantity, quantity)
        signed = quantity if ticket.is_buy else -quantity
        account.trade(instrument, signed_quantity=signed, price=price, commission=commission)
        filled = order.filled_quantity + quantity
        order.average_price = (
            order.average_price * order.filled_quantity + price * quantity
        ) / filled
        order.filled_quantity = filled
        execution = Execution(
            execution_id=f"{order.order_id & 0xFFFF:08x}.{self.next_execution:08x}.01.01",
            order_id=order.order_id,
            ticket=ticket,
            quantity=quantity,
            price=price,
            commission=commission,
            at_ms=now_ms,
            position_after=account.positions[ticket.conid].quantity,
        )
        self.next_execution += 1
        order.volume_seen = self.market.quote(ticket.conid).volume
        self.executions.append(execution)
        self._news.append(Traded(execution=execution))
        self._plan(Step.COMMISSION, len(self.executions) - 1, now_ms + self.commission_delay_ms())
        self._cancel_siblings(order, now_ms)

    def _cancel_siblings(self, traded: Order, now_ms: int) -> None:
        """Cancel all others of the group of an order that traded."""
        if traded.oca_group is None:
            return
        for order in tuple(self._working.values()):
            if order.oca_group == traded.oca_group and order is not traded:
                self._end(order, OrderStatus.CANCELLED, now_ms)

    def _end_cancelled(self, order: Order, now_ms: int) -> None:
        """Let a cancel take effect, unless the order trades in spite of it."""
        if order.order_id in self.unanswered:
            return
        if order.order_id in self.fills_after_cancel and not self._is_held(order):
            self.fills_after_cancel.discard(order.order_id)
            price = self._price(order) or order.ticket.limit_price or self._touch(order.ticket)
            self._trade(order, order.remaining_quantity, price, now_ms)
            self._end(order, OrderStatus.FILLED, now_ms)
            return
        self._end(order, OrderStatus.CANCELLED, now_ms)

    def _end(self, order: Order, status: OrderStatus, now_ms: int) -> None:
        order.status = status
        self._working.pop(order.order_id, None)
        self._looked_at.pop(order.order_id, None)
        self._filling.discard(order.order_id)
        self.unanswered.discard(order.order_id)
        self._tell(order, now_ms)
        for part in self.exits_of(order.order_id):
            if part.working:
                self._follow_entry(part, order, now_ms)

    def _follow_entry(self, part: Order, entry: Order, now_ms: int) -> None:
        """Let an exit work once its entry filled, or end with it."""
        if entry.status is not OrderStatus.FILLED:
            self._end(part, OrderStatus.CANCELLED, now_ms)
            return
        quote = self.market.quote(part.ticket.conid)
        start_trailing(part, quote, self.instrument(part.ticket.conid))
        part.volume_seen = quote.volume
        if part.status is not OrderStatus.INACTIVE:
            self._plan(Step.SUBMIT, part.order_id, now_ms + STEP_MS)

    def _put(self, order: Order, now_ms: int) -> None:
        """Take a new order in: it is told, and goes its way unless it was rejected."""
        self.orders[order.order_id] = order
        if order.parent_id is not None:
            self._exits.setdefault(order.parent_id, []).append(order.order_id)
        self._tell(order, now_ms)
        if not order.rejected:
            self._working[order.order_id] = order
            self._plan(Step.PRE_SUBMIT, order.order_id, now_ms + STEP_MS)
