"""What a venue has: orders, executions, accounts, and what it says to a new ticket.

Rule: time is an argument and so are prices (through the market). What happened
is handed out by `take_news`, each state an order passes through as news of its
own, with a copy of the order as it was then.
"""

import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, Final

from engine.sim.accounts import Account, Valuation, margin_for
from engine.sim.agenda import Agenda, Step
from engine.sim.catalogue import is_option, option
from engine.sim.instruments import Instrument
from engine.sim.market import Market, Quote
from engine.sim.matching import sized, touch
from engine.sim.orders import (
    ChangeRequest,
    Execution,
    News,
    Order,
    OrderChanged,
    Prompted,
    Submission,
)
from engine.sim.tickets import Refusal, Ticket

COID_MEMORY_MS: Final = 24 * 3600 * 1000
WORKING_PER_SIDE_MAX: Final = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How fast a venue is; `day_ends_at_s` is the second of the day, in UTC, that ends it."""

    fill_delay_ms: tuple[int, int]
    cancel_delay_ms: int
    auction_interval_ms: int = 60_000
    day_ends_at_s: int | None = None


class Book:
    """Orders, executions and accounts, and the news of them.

    `submissions`, `change_requests` and `cancel_requests` tell what reached the venue, for tests
    that must prove that nothing was sent twice. `commission_delay_ms` is asked
    for every execution. `unanswered` are the orders whose cancel has no effect
    before the day's end; those in `fills_after_cancel` trade in spite of one.
    """

    def __init__(
        self,
        *,
        market: Market,
        accounts: Iterable[str],
        seed: int | str,
        pace: Pace,
        commission_delay_ms: Callable[[], int],
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
        self.pace = pace
        self._rng = random.Random(f"venue:{seed}")
        self.next_order_id = self._rng.randint(1_000_000_000, 1_400_000_000)
        self.next_execution = self._rng.randint(0x10000000, 0x6FFFFFFF)
        self.agenda = Agenda()
        self.coids: dict[str, tuple[int, int]] = {}
        self.prompts: dict[int, Prompted] = {}
        self.unanswered: set[int] = set()
        self.fills_after_cancel: set[int] = set()
        self.changes = 0
        self._news: list[News] = []
        self._working: dict[int, Order] = {}
        self._filling: set[int] = set()
        self._looked_at: dict[int, Quote] = {}
        self._exits: dict[int, list[int]] = {}

    def orders_with_coid(self, coid: str) -> tuple[Order, ...]:
        """Every order that carries this client order id."""
        return tuple(order for order in self.orders.values() if order.ticket.coid == coid)

    def submissions_with_coid(self, coid: str) -> tuple[Submission, ...]:
        """Every order POST that carried this client order id."""
        return tuple(row for row in self.submissions if coid in (row.coid, *row.coids))

    def exits_of(self, order_id: int) -> tuple[Order, ...]:
        """The exits of a bracket, by the id of its entry."""
        return tuple(self.orders[number] for number in self._exits.get(order_id, ()))

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
        # An exit closes what its entry opens.
        return None if ticket.parent_coid is not None else self._margin_refusal(ticket)

    def sized(self, ticket: Ticket) -> Ticket | Refusal:
        """The ticket with the quantity that its cash quantity buys at its price."""
        return sized(ticket, self.instrument(ticket.conid), self._touch(ticket))

    def take_news(self) -> tuple[News, ...]:
        """All that happened since the last call, in order."""
        news, self._news = tuple(self._news), []
        return news

    def record(
        self,
        *,
        account: str,
        body: Any,
        coid: str | None,
        now_ms: int,
        coids: tuple[str, ...] = (),
    ) -> None:
        """Note that an order POST reached the venue."""
        row = Submission(account=account, body=body, coid=coid, at_ms=now_ms, coids=coids)
        self.changes += 1
        self.submissions.append(row)

    # For the layers above.

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

    def _touch(self, ticket: Ticket) -> Decimal:
        return touch(ticket, self.market.quote(ticket.conid))

    def _plan(self, step: Step, target: int, due_ms: int) -> None:
        self.agenda.plan(step, target, due_ms)
        self.changes += 1

    def _tell(self, order: Order, now_ms: int) -> None:
        order.updated_at_ms = now_ms
        self.changes += 1
        self._news.append(OrderChanged(order=replace(order)))
