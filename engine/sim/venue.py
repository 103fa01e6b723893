"""The truth behind the simulated gateway: what may be asked of it, and done to it.

Rule 1: the venue knows no socket and no clock. An order that ended never changes
again, unless the venue itself corrects what traded.

Rule 2: a bracket or a group comes as one batch. Each of its orders is an order
of its own from then on: the venue does not promise all or nothing.
"""

from collections.abc import Collection, Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Final

from engine.sim.agenda import Step
from engine.sim.floor import Floor
from engine.sim.matching import start_trailing
from engine.sim.orders import Corrected, Execution, Order, OrderStatus, Prompted
from engine.sim.tickets import Batch, Refusal, Ticket

BUSTED: Final = "Trade busted by the exchange"


class Venue(Floor):
    """Accepts, matches and cancels orders against a market."""

    def place_external(self, ticket: Ticket, now_ms: int) -> Order:
        """Take an order of another client of the same account: it has no client order id."""
        order = self.accept(replace(ticket, coid=None), now_ms)
        order.is_external = True
        return order

    def accept(self, ticket: Ticket, now_ms: int, *, rejected_because: str | None = None) -> Order:
        """Take the order; it exists from now on and its id is registered.

        With `rejected_because` it is created, never transmitted, and stays Inactive.
        """
        return self._take(ticket, now_ms, rejected_because)

    def accept_all(
        self,
        batch: Batch,
        now_ms: int,
        *,
        rejected_because: str | None = None,
        without: Collection[int] = (),
    ) -> tuple[Order, ...]:
        """Take the orders of a request but those whose index is in `without`."""
        parent_id, group = None, None
        if len(batch.tickets) > 1:
            # The group of a bracket's exits has the number of its entry, others a word with it.
            group = f"{'' if batch.is_bracket else 'oco-'}{self.next_order_id}"
        taken: list[Order] = []
        for index, ticket in enumerate(batch.tickets):
            if index in without:
                continue
            own_group = None if batch.is_bracket and index == 0 else group
            taken.append(self._take(ticket, now_ms, rejected_because, parent_id, own_group))
            if batch.is_bracket and index == 0:
                parent_id = taken[0].order_id
        return tuple(taken)

    def incarnate(self, order_id: int, ticket: Ticket, now_ms: int) -> Order:
        """Make a second order under the client order id of a first one, which stays."""
        old = self.orders[order_id]
        order = self._new(replace(ticket, coid=old.ticket.coid), now_ms)
        self._put(order, now_ms)
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
        order.ticket = replace(
            ticket, coid=old.coid, parent_coid=old.parent_coid, single_group=old.single_group
        )
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
            if self.pace.cancel_delay_ms:
                self._tell(order, now_ms)
            self._plan(Step.CANCEL, order_id, now_ms + self.pace.cancel_delay_ms)
            self._run_due(now_ms)
        return None

    def cancel_now(self, order_id: int, now_ms: int) -> None:
        """Let a cancel that was asked for take effect at once."""
        if self.orders[order_id].working:
            self._end(self.orders[order_id], OrderStatus.CANCELLED, now_ms)

    def answer_cancels(self, now_ms: int) -> tuple[int, ...]:
        """Let the cancels that nobody answered take effect, and return their orders."""
        waiting = [self.orders[order_id] for order_id in sorted(self.unanswered)]
        self.unanswered.clear()
        ended = tuple(row for row in waiting if row.status is OrderStatus.PENDING_CANCEL)
        for order in ended:
            self._end(order, OrderStatus.CANCELLED, now_ms)
        return tuple(row.order_id for row in ended)

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

    # What the venue corrects afterwards.

    def execution_index(self, base: str) -> int:
        """The place of an execution among `executions`, by its id without the revision.

        Raises:
            KeyError: There is no such execution.
        """
        for index, row in enumerate(self.executions):
            if row.execution_id.rpartition(".")[0] == base:
                return index
        raise KeyError(base)

    def correct(self, index: int, now_ms: int, *, quantity: Decimal, price: Decimal) -> Execution:
        """Revise an execution, by its place among `executions`; a quantity of 0 busts it.

        The last part of its id counts the revisions. Cash, position and the order
        follow; what is missing of a Filled order afterwards does not work again.
        """
        old = self.executions[index]
        order, account = self.orders[old.order_id], self.accounts[old.ticket.account]
        instrument = self.instrument(old.ticket.conid)
        sign = 1 if old.ticket.is_buy else -1
        for size, at in ((-sign * old.quantity, old.price), (sign * quantity, price)):
            if size:
                account.trade(instrument, signed_quantity=size, price=at, commission=Decimal(0))
        base, _, revision = old.execution_id.rpartition(".")
        new = replace(
            old,
            execution_id=f"{base}.{int(revision) + 1:02d}",
            quantity=quantity,
            price=price,
            position_after=account.positions[old.ticket.conid].quantity,
        )
        self.executions[index] = new
        if old.execution_id in self.commissions_known:
            self.commissions_known.add(new.execution_id)
        self._news.append(Corrected(execution=new))
        self._recount(order, now_ms)
        return new

    def _recount(self, order: Order, now_ms: int) -> None:
        """Let an order's quantities follow its executions."""
        rows = [row for row in self.executions if row.order_id == order.order_id]
        filled = sum((row.quantity for row in rows), Decimal(0))
        value = sum((row.quantity * row.price for row in rows), Decimal(0))
        order.filled_quantity = filled
        order.average_price = value / filled if filled else Decimal(0)
        if order.status is OrderStatus.FILLED and filled < order.ticket.quantity:
            order.status, order.reason = OrderStatus.CANCELLED, BUSTED
        elif order.working and order.pieces:
            # What was still to be filled is more now; it is cut into pieces anew.
            order.pieces = ()
        self._tell(order, now_ms)

    def move_position(self, account: str, conid: int, quantity: Decimal) -> Decimal:
        """Change a position without an order or a trade, as a transfer does; returns what it is."""
        self.changes += 1
        holder = self.accounts[account]
        holder.trade(
            self.instrument(conid),
            signed_quantity=quantity,
            price=self.mark(conid),
            commission=Decimal(0),
        )
        return holder.positions[conid].quantity

    def renumber(self, order_id: int, now_ms: int) -> int:
        """Give an order another id, as it may have after a restart of the broker's server."""
        order = self.orders.pop(order_id)
        new_id, self.next_order_id = self.next_order_id, self.next_order_id + 1
        order.order_id = new_id
        self.orders[new_id] = order
        for coid, (at_ms, known) in self.coids.items():
            if known == order_id:
                self.coids[coid] = (at_ms, new_id)
        for part in self.exits_of(order_id):
            part.parent_id = new_id
        if order_id in self._exits:
            self._exits[new_id] = self._exits.pop(order_id)
        if order.parent_id is not None:
            siblings = self._exits[order.parent_id]
            siblings[siblings.index(order_id)] = new_id
        for index, row in enumerate(self.executions):
            if row.order_id == order_id:
                self.executions[index] = replace(row, order_id=new_id)
        for numbers in (self._filling, self.unanswered, self.fills_after_cancel):
            if order_id in numbers:
                numbers.discard(order_id)
                numbers.add(new_id)
        if self._working.pop(order_id, None) is not None:
            self._working[new_id] = order
        asked = self.prompts.pop(order_id, None)
        if asked is not None:
            self.prompts[new_id] = replace(asked, order_id=new_id)
        self._looked_at.pop(order_id, None)
        self.agenda.rename(order_id, new_id)
        self._tell(order, now_ms)
        return new_id

    def unused_order_id(self) -> int:
        """An order id that no order will have."""
        self.next_order_id += 1
        self.changes += 1
        return self.next_order_id - 1

    def forget_coids(self) -> None:
        """Forget which client order ids were used; the same one is taken again then."""
        self.coids.clear()
        self.changes += 1

    # A venue that goes on.

    def go_on(self, due: Iterable[tuple[Step, int, int]]) -> None:
        """Work on with orders that were put in from outside, and with what was planned."""
        for step, target, due_ms in due:
            self._plan(step, target, due_ms)
            if step is Step.FILL:
                self._filling.add(target)
        self._working = {row.order_id: row for row in self.orders.values() if row.working}
        for order in self.orders.values():
            if order.parent_id is not None:
                self._exits.setdefault(order.parent_id, []).append(order.order_id)

    def _take(
        self,
        ticket: Ticket,
        now_ms: int,
        rejected_because: str | None = None,
        parent_id: int | None = None,
        oca_group: str | None = None,
    ) -> Order:
        order = self._new(ticket, now_ms)
        order.rejected, order.reason = rejected_because is not None, rejected_because
        order.parent_id, order.oca_group = parent_id, oca_group
        if ticket.coid is not None:
            self.coids[ticket.coid] = (now_ms, order.order_id)
        self._put(order, now_ms)
        return order

    def _new(self, ticket: Ticket, now_ms: int) -> Order:
        quote = self.market.quote(ticket.conid)
        order = Order(
            order_id=self.next_order_id,
            ticket=ticket,
            accepted_at_ms=now_ms,
            updated_at_ms=now_ms,
            volume_seen=quote.volume,
        )
        self.next_order_id += 1
        start_trailing(order, quote, self.instrument(ticket.conid))
        return order
