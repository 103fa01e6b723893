"""The truth behind the simulated gateway: orders, executions, accounts.

Rule 1: time is an argument and so are prices (through the market); the venue
knows no socket and no clock. What happened is handed out by `take_news`.

Rule 2: every state an order passes through is news of its own, with a copy of
the order as it was then; nobody downstream can see a later state too early.

Rule 3: an order that ended never changes again. The market never closes, so a
DAY order ends by a fill or a cancel only; auctions are held at fixed intervals.
"""

import random
from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Any, Final, assert_never

from engine.sim.accounts import Account, Valuation, commission_for, margin_for
from engine.sim.agenda import Agenda, Step
from engine.sim.catalogue import is_option, option
from engine.sim.instruments import Instrument
from engine.sim.market import Market, Quote
from engine.sim.matching import (
    Waits,
    auction_price,
    follow,
    pieces,
    sized,
    start_trailing,
    touch,
    trade_price,
    triggers,
    waits_for,
    within,
)
from engine.sim.orders import (
    ChangeRequest,
    CommissionKnown,
    Execution,
    News,
    Order,
    OrderChanged,
    OrderStatus,
    Prompted,
    Submission,
    Traded,
)
from engine.sim.tickets import Refusal, Ticket

STEP_MS: Final = 4
"""Between one state of a new order and the next."""

COID_MEMORY_MS: Final = 24 * 3600 * 1000
WORKING_PER_SIDE_MAX: Final = 15
UNANSWERED: Final = "The question about this order was not answered in time."


class Venue:
    """Accepts, matches and cancels orders against a market.

    `submissions`, `change_requests` and `cancel_requests` tell what reached the venue, for tests
    that must prove that nothing was sent twice. `commission_delay_ms` may be
    changed while it runs.
    """

    def __init__(
        self,
        *,
        market: Market,
        accounts: Iterable[str],
        seed: int | str,
        fill_delay_ms: tuple[int, int],
        cancel_delay_ms: int,
        commission_delay_ms: int,
        auction_interval_ms: int = 60_000,
    ) -> None:
        self.market = market
        self.accounts = {name: Account(account_id=name) for name in accounts}
        self.orders: dict[int, Order] = {}
        self.executions: list[Execution] = []
        self.submissions: list[Submission] = []
        self.change_requests: list[ChangeRequest] = []
        self.cancel_requests: list[int] = []
        self.commissions_known: set[str] = set()
        self.commission_delay_ms = commission_delay_ms
        self._fill_delay_ms = fill_delay_ms
        self._cancel_delay_ms = cancel_delay_ms
        self._auction_interval_ms = auction_interval_ms
        self._rng = random.Random(f"venue:{seed}")
        self.next_order_id = self._rng.randint(1_000_000_000, 1_400_000_000)
        self.next_execution = self._rng.randint(0x10000000, 0x6FFFFFFF)
        self.agenda = Agenda()
        self.coids: dict[str, tuple[int, int]] = {}
        self.prompts: dict[int, Prompted] = {}
        self.changes = 0
        self._news: list[News] = []
        self._working: dict[int, Order] = {}
        self._filling: set[int] = set()
        self._looked_at: dict[int, Quote] = {}

    # What is asked of the venue.

    def orders_with_coid(self, coid: str) -> tuple[Order, ...]:
        """Every order that carries this client order id."""
        return tuple(order for order in self.orders.values() if order.ticket.coid == coid)

    def submissions_with_coid(self, coid: str) -> tuple[Submission, ...]:
        """Every order POST that carried this client order id."""
        return tuple(row for row in self.submissions if row.coid == coid)

    def instrument(self, conid: int) -> Instrument:
        """The contract behind a conid of this venue, also of an option that is over."""
        if conid not in self.market.instruments and is_option(conid):
            self.market.list_option(option(conid))
        return self.market.instruments[conid]

    def mark(self, conid: int) -> Decimal:
        """The price positions are valued at: the last trade, else the prior close."""
        quote = self.market.quote(conid)
        return quote.prior_close if quote.last is None else quote.last

    def valuation(self, account: str) -> Valuation:
        """One account at current prices."""
        return self.accounts[account].valuation(self.mark, self.instrument, self.market.rate)

    def refusal(
        self, ticket: Ticket, now_ms: int, *, replaces: int | None = None
    ) -> Refusal | None:
        """Why this ticket would not be accepted now, or None.

        `replaces` is the order a modify would change; its own client order id
        and its own place among the working orders do not count against it.
        """
        if ticket.coid is not None and self._registered(ticket.coid, now_ms, replaces):
            text = (
                f"Order couldn't be submitted: Local order ID={ticket.coid} is already registered."
            )
            return Refusal(text=text)
        same_side = [
            order
            for order in self._working.values()
            if order.order_id != replaces
            and order.ticket.account == ticket.account
            and order.ticket.conid == ticket.conid
            and order.ticket.side == ticket.side
        ]
        if len(same_side) >= WORKING_PER_SIDE_MAX:
            return Refusal(
                text=f"Order rejected: at most {WORKING_PER_SIDE_MAX} working orders per side of "
                f"one contract in one account, there are {len(same_side)}."
            )
        return self._margin_refusal(ticket)

    def sized(self, ticket: Ticket) -> Ticket | Refusal:
        """The ticket with the quantity that its cash quantity buys at its price."""
        return sized(ticket, self.instrument(ticket.conid), self._touch(ticket))

    def place_external(self, ticket: Ticket, now_ms: int) -> Order:
        """Take an order of another client of the same account: it has no client order id."""
        order = self.accept(replace(ticket, coid=None), now_ms)
        order.is_external = True
        return order

    def accept(self, ticket: Ticket, now_ms: int, *, rejected_because: str | None = None) -> Order:
        """Take the order; it exists from now on and its id is registered.

        With `rejected_because` it is created, never transmitted, and stays Inactive.
        """
        quote = self.market.quote(ticket.conid)
        order = Order(
            order_id=self.next_order_id,
            ticket=ticket,
            accepted_at_ms=now_ms,
            updated_at_ms=now_ms,
            rejected=rejected_because is not None,
            reason=rejected_because,
            volume_seen=quote.volume,
        )
        self.next_order_id += 1
        start_trailing(order, quote, self.instrument(ticket.conid))
        self.orders[order.order_id] = order
        if ticket.coid is not None:
            self.coids[ticket.coid] = (now_ms, order.order_id)
        self._tell(order, now_ms)
        if not order.rejected:
            self._working[order.order_id] = order
            self._plan(Step.PRE_SUBMIT, order.order_id, now_ms + STEP_MS)
        return order

    def modify(self, order_id: int, ticket: Ticket, now_ms: int) -> Refusal | None:
        """Give a working order new terms; None when it took them."""
        order = self._working.get(order_id)
        if order is None:
            return Refusal(text=f"OrderID {order_id} doesn't exist", status=400)
        if order.status is OrderStatus.PENDING_CANCEL:
            return Refusal(text="Order is being cancelled and cannot be modified.")
        old = order.ticket
        if (ticket.account, ticket.conid, ticket.side) != (old.account, old.conid, old.side):
            return Refusal(text="A modify may not change account, contract or side.")
        if ticket.quantity <= order.filled_quantity:
            return Refusal(
                text=f"The order size {ticket.quantity} must be above the filled quantity "
                f"{order.filled_quantity}."
            )
        order.ticket = replace(ticket, coid=old.coid)
        order.pieces = ()
        self._looked_at.pop(order_id, None)
        if ticket.order_type != old.order_type or not order.triggered:
            quote = self.market.quote(ticket.conid)
            start_trailing(order, quote, self.instrument(ticket.conid))
            order.volume_seen = quote.volume
            self._arm(order, now_ms)
        self._tell(order, now_ms)
        return None

    def cancel(self, order_id: int, now_ms: int) -> Refusal | None:
        """Ask for a cancel; None means it was taken, not that the order is cancelled."""
        self.cancel_requests.append(order_id)
        order = self.orders.get(order_id)
        if order is not None and order.rejected:
            return Refusal(text="Order is inactive", status=400)
        if order is None or not order.working:
            return Refusal(text=f"OrderID {order_id} doesn't exist", status=400)
        if order.status is not OrderStatus.PENDING_CANCEL:
            order.status = OrderStatus.PENDING_CANCEL
            if self._cancel_delay_ms:
                self._tell(order, now_ms)
            self._plan(Step.CANCEL, order_id, now_ms + self._cancel_delay_ms)
            self._run_due(now_ms)
        return None

    def cancel_by_system(self, order_id: int, reason: str, now_ms: int) -> None:
        """End an order the way an exchange rejects one: Cancelled, with a reason."""
        order = self.orders[order_id]
        order.reason = reason
        self._end(order, OrderStatus.CANCELLED, now_ms)

    def prompt(self, order_id: int, now_ms: int, *, wait_ms: int) -> bool:
        """Ask about a working order; False when there is none. No answer cancels it."""
        if order_id not in self._working:
            return False
        # The id comes from the order, so that asking takes nothing from the random numbers.
        asked = Prompted(
            order_id=order_id, request_id=str(order_id % 100_000), until_ms=now_ms + wait_ms
        )
        self.prompts[order_id] = asked
        self._news.append(asked)
        self._plan(Step.PROMPT_END, order_id, asked.until_ms)
        return True

    def answer_prompt(self, order_id: int, request_id: str) -> bool:
        """Let an order go on after its question; False when none of this id is open."""
        asked = self.prompts.get(order_id)
        if asked is None or asked.request_id != request_id:
            return False
        del self.prompts[order_id]
        self.changes += 1
        return True

    def advance(self, now_ms: int) -> None:
        """Do all that is due and look for orders the market has reached."""
        self._run_due(now_ms)
        for order in tuple(self._working.values()):
            quote = self.market.quote(order.ticket.conid)
            # Nothing new can come of a quote that was looked at before.
            if self._looked_at.get(order.order_id) is not quote:
                self._looked_at[order.order_id] = quote
                self._look_at_market(order, now_ms)

    def go_on(self, due: Iterable[tuple[Step, int, int]]) -> None:
        """Work on with orders that were put in from outside, and with what was planned."""
        for step, target, due_ms in due:
            self._plan(step, target, due_ms)
            if step is Step.FILL:
                self._filling.add(target)
        self._working = {row.order_id: row for row in self.orders.values() if row.working}

    def take_news(self) -> tuple[News, ...]:
        """All that happened since the last call, in order."""
        news, self._news = tuple(self._news), []
        return news

    # How it goes on.

    def _registered(self, coid: str, now_ms: int, replaces: int | None) -> bool:
        known = self.coids.get(coid)
        return known is not None and known[1] != replaces and now_ms - known[0] < COID_MEMORY_MS

    def _margin_refusal(self, ticket: Ticket) -> Refusal | None:
        account = self.accounts[ticket.account]
        position = account.positions.get(ticket.conid)
        held = position.quantity if position else Decimal(0)
        signed = ticket.quantity if ticket.is_buy else -ticket.quantity
        opened = abs(held + signed) - abs(held)
        if opened <= 0:
            return None
        price = ticket.limit_price or ticket.stop_price or self._touch(ticket)
        instrument = self.instrument(ticket.conid)
        needed = margin_for(instrument, opened, price) * self.market.rate(instrument.currency)
        available = self.valuation(ticket.account).available_funds
        if needed <= available:
            return None
        return Refusal(
            text="YOUR ORDER IS NOT ACCEPTED. THE INITIAL MARGIN OF THE NEW POSITION "
            f"[{needed:.2f} USD] EXCEEDS THE AVAILABLE FUNDS [{available:.2f} USD]"
        )

    def _plan(self, step: Step, target: int, due_ms: int) -> None:
        self.agenda.plan(step, target, due_ms)
        self.changes += 1

    def _run_due(self, now_ms: int) -> None:
        for step, target, due_ms in self.agenda.take(now_ms):
            self._run(step, target, due_ms)

    def _run(self, step: Step, target: int, now_ms: int) -> None:
        match step:
            case Step.PRE_SUBMIT:
                self._move(self.orders[target], OrderStatus.PRE_SUBMITTED, now_ms)
                self._plan(Step.SUBMIT, target, now_ms + STEP_MS)
            case Step.SUBMIT:
                self._submit(self.orders[target], now_ms)
            case Step.FILL:
                self._fill_piece(self.orders[target], now_ms)
            case Step.CANCEL:
                if self.orders[target].working:
                    self._end(self.orders[target], OrderStatus.CANCELLED, now_ms)
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
        if not order.working or order.status is OrderStatus.INACTIVE:
            return
        waits = waits_for(order.ticket)
        order.triggered = waits is Waits.NOTHING
        if order.status is not OrderStatus.PENDING_CANCEL:
            order.status = OrderStatus.SUBMITTED if order.triggered else OrderStatus.PRE_SUBMITTED
        if waits is Waits.AN_AUCTION:
            interval_ms = self._auction_interval_ms
            self._plan(Step.AUCTION, order.order_id, (now_ms // interval_ms + 1) * interval_ms)

    def _look_at_market(self, order: Order, now_ms: int) -> None:
        """Trigger what the market reached; plan fills for what is marketable."""
        if not order.working or order.status is OrderStatus.INACTIVE:
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
            self._plan_piece(order, now_ms, self._rng.randint(*self._fill_delay_ms))

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

    def _touch(self, ticket: Ticket) -> Decimal:
        return touch(ticket, self.market.quote(ticket.conid))

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
        self._plan(Step.COMMISSION, len(self.executions) - 1, now_ms + self.commission_delay_ms)

    def _end(self, order: Order, status: OrderStatus, now_ms: int) -> None:
        order.status = status
        self._working.pop(order.order_id, None)
        self._looked_at.pop(order.order_id, None)
        self._filling.discard(order.order_id)
        self._tell(order, now_ms)

    def _tell(self, order: Order, now_ms: int) -> None:
        order.updated_at_ms = now_ms
        self.changes += 1
        self._news.append(OrderChanged(order=replace(order)))

    def record(self, *, account: str, body: Any, coid: str | None, now_ms: int) -> None:
        """Note that an order POST reached the venue."""
        row = Submission(account=account, body=body, coid=coid, at_ms=now_ms)
        self.changes += 1
        self.submissions.append(row)
