"""An order that is searched for: late answers, proofs of absence, a person's word, doubles.

Rule 1: evidence wins over everything that was concluded without it, whoever concluded it.

Rule 2: what nobody sees is not there only when the session proved it. Else a person has it,
and the search goes on.

Rule 3: of two orders under one id the one that shows what was asked for last is kept. The
other is cancelled until the broker has ended it, and what it fills counts.
"""

from decimal import Decimal
from typing import Final, assert_never

from engine.domain.messages import (
    CancelOrder,
    ExecutionSeen,
    IncarnationSeen,
    OrderAnswered,
    OrderEffect,
    OrderParked,
    OrderProvenAbsent,
    OrderRecord,
    OrderRowSeen,
    ResolveOrder,
    StartTimer,
)
from engine.domain.order.conversation import OrderConversation
from engine.domain.order.incarnations import Incarnation, Kind, Sightings, is_at_work
from engine.domain.order.merge import DECLARED, NOTHING, is_declared
from engine.domain.order.recorder import CANCEL_RETRY_MS
from engine.domain.values import (
    LIVE,
    TERMINAL,
    BrokerOrderId,
    BrokerStatus,
    Execution,
    ExecutionId,
    OrderRow,
    OrderState,
    Reason,
    Resolution,
    SightingPolicy,
    Source,
)

NO_PROOF: Final = "NO_PROOF"
"""The code of an order that was neither found nor proven absent."""

Effects = tuple[OrderEffect, ...]


class OrderSearch(OrderConversation):
    """An order that nobody is sure of."""

    __slots__ = ()

    def _record(self, record: OrderRecord, at_ns: int, *, confirm: bool = False) -> Effects:
        """Write the record, and act on what it makes sure."""
        effects = super()._record(record, at_ns, confirm=confirm)
        more = self._cancel_unwanted(at_ns)
        return (*effects, *more) if more else effects

    # --- answers that came too late --------------------------------------------------------

    def _answered_late(self, message: OrderAnswered, at_ns: int) -> Effects:
        """Write a late answer down; the turn that it came in was given back long ago."""
        return self._record(message, at_ns)

    # --- proof and parking -----------------------------------------------------------------

    def _conclude(
        self, message: OrderProvenAbsent | OrderParked | ResolveOrder, at_ns: int
    ) -> Effects:
        match message:
            case OrderProvenAbsent():
                return self._prove_absent(message, at_ns)
            case OrderParked():
                return self._park(message, at_ns)
            case ResolveOrder():
                return self._resolve(message, at_ns)
            case _:
                assert_never(message)

    def _prove_absent(self, message: OrderProvenAbsent, at_ns: int) -> Effects:
        """End an order that the broker provably does not have."""
        if self.state is OrderState.NOT_PLACED:
            return ()
        if not self.is_provable:
            return (self._anomaly("absence_contradicted", f"{self.state}"),)
        if message.evidence.missing:
            lacking = "; ".join(message.evidence.missing)
            return (self._anomaly("absence_unproven", lacking),)
        return self._record(message, at_ns)

    def _park(self, message: OrderParked, at_ns: int) -> Effects:
        """Give an order to a person that was looked for in vain; it is looked for on."""
        if self.state is OrderState.IN_DOUBT:
            return self._record(message, at_ns)
        if self.state is OrderState.PARKED:
            return ()  # A person has it.
        self._looking = False
        gone = self._give_up_unshown(at_ns) if message.evidence is not None else ()
        if not self.needs_lookup:
            return gone  # The session has given up a search that nothing hangs on.
        # The broker counts fills, or has terms, that it does not show; nobody may forget.
        return (*gone, self._anomaly(self._unproven, f"{self.state}"), *self._look())

    @property
    def _unproven(self) -> str:
        """What the broker does not show, as the kind of an anomaly."""
        if self.change is not None:
            return "modify_unproven"
        if self.is_closing:
            return "executions_missing"
        return "order_unseen" if self.is_unseen else "second_order_unproven"

    def _parked_without_proof(self) -> OrderParked:
        reason = Reason(
            code=NO_PROOF,
            message="the broker neither showed the order nor proved its absence; "
            "a person must look",
        )
        return OrderParked(order_id=self.order_id, reason=reason)

    # --- a person's word -------------------------------------------------------------------

    def _resolve(self, message: ResolveOrder, at_ns: int) -> Effects:
        """Take a person's word for what became of an order that is in doubt."""
        price = message.price or self.ticket.limit_price
        obstacle = None
        if not self.is_resolvable:
            obstacle = f"{self.state}: only an order in doubt is resolved"
        elif (denied := self.denies(message.resolution, message.broker_order_id)) is not None:
            obstacle = denied
        elif message.resolution is Resolution.LIVE and message.broker_order_id is None:
            obstacle = "live, without the broker's id of the order"
        elif message.resolution is Resolution.FILLED and price is None:
            obstacle = "filled, without a price"
        if obstacle is not None:
            return (self._anomaly("unresolvable", obstacle),)
        self._unseen = False  # What the broker does not show, a person has told.
        return (*self._record(message, at_ns), *self._declare(at_ns))

    def denies(self, resolution: Resolution, named: BrokerOrderId | None) -> str | None:
        """Say how what the broker has shown contradicts a declaration, None when it does not."""
        ours = self.broker_order_id
        if self.resolution is not None or ours is None:
            return None  # Whatever id there is, a person named it, who may be mistaken.
        if named is not None and named not in {ours, *self.other_ids}:
            return f"the broker calls the order {ours}, not {named}"
        if not self.is_missing:
            seen = resolution is Resolution.NOT_PLACED
            return f"the broker has shown the order, as {ours}" if seen else None
        if resolution is Resolution.LIVE:
            return f"it is {self.state} already"
        if resolution is Resolution.FILLED and self.fills:
            return f"executions of {self.fills.quantity} are known; not_placed ends the rest"
        return None

    def _declare(self, at_ns: int) -> Effects:
        """Book what a person says has filled, unless it is booked, or the truth is."""
        said = self.resolution
        wanted = said is not None and said.resolution is Resolution.FILLED
        if not wanted or self.state in TERMINAL or self.fills:
            return ()
        assert said is not None
        price = said.price or self.ticket.limit_price
        assert price is not None, "checked before it was written"
        return self._record_declared(said.quantity or self._quantity_most, price, 1, at_ns)

    def _retract(self, at_ns: int) -> Effects:
        """Take the declared fill back: the broker shows what was."""
        declared = next(fill for fill in self.fills.current() if is_declared(fill))
        return self._record_declared(NOTHING, declared.price, 2, at_ns)

    def _record_declared(
        self, quantity: Decimal, price: Decimal, revision: int, at_ns: int
    ) -> Effects:
        execution = Execution(
            execution_id=ExecutionId(f"{DECLARED}{self.order_id}.{revision:02d}"),
            account=self.ticket.account,
            broker_order_id=self.broker_order_id,
            coid=self.coid,
            conid=self.ticket.conid,
            side=self.ticket.side,
            quantity=quantity,
            price=price,
            commission=None,
            at_ms=at_ns // 1_000_000,
        )
        seen = ExecutionSeen(order_id=self.order_id, execution=execution, source=Source.LOOKUP)
        return self._record(seen, at_ns)

    def _contradicts(self, message: OrderRowSeen | ExecutionSeen) -> bool:
        """Say whether the news disproves the fill that a person declared."""
        if not self.fills.declared:
            return False
        if isinstance(message, ExecutionSeen):
            return True
        row = message.row
        if self._is_of_other(row.broker_order_id):
            return False
        if row.status is BrokerStatus.CANCELLED:
            return (row.filled_quantity or NOTHING) < self.fills.quantity
        return is_at_work(row)

    # --- second orders ---------------------------------------------------------------------

    def _compare(self, row: OrderRow, read: int, at_ns: int) -> Effects:
        """See whether the reads of the list prove a second order, or a new id of ours."""
        is_other = self._is_of_other(row.broker_order_id)
        if self._sightings is None and not is_other and not self._others:
            self._own_read = (row, read)  # Rows come in any order; the other may be the next.
            return ()
        sightings = self._sighted()
        if is_other:
            sightings.see_other(row, read)
        else:
            sightings.see_ours(row, read, (one.broker_order_id for one in self.doubles))
        effects: list[OrderEffect] = []
        for other in self._others:
            if other.kind is Kind.SUSPECTED or (other.kind is Kind.FORMER and not other.over):
                effects.extend(self._judge(other.broker_order_id, sightings, at_ns))
            if self._sightings is not sightings:
                return tuple(effects)  # Something is proven; what else there is, the next reads.
        for other in self.doubles:
            hangs = not other.over or self.is_counted_as_ours(other)
            if hangs and sightings.is_gone(other.broker_order_id):
                effects.extend(self._give_up(other, at_ns))
        return tuple(effects)

    def _sighted(self) -> Sightings:
        """What the reads have shown since something was proven last."""
        if self._sightings is None:
            self._sightings = Sightings()
            if self._own_read is not None:
                self._sightings.see_ours(*self._own_read)
        return self._sightings

    def _hear_of_other(self, message: OrderRowSeen | ExecutionSeen) -> None:
        """Remember that something was told of a second order, in whatever way."""
        told = message.row if isinstance(message, OrderRowSeen) else message.execution
        if told.broker_order_id is not None and self._is_of_other(told.broker_order_id):
            self._sighted().hear_of(told.broker_order_id)

    def _give_up_unshown(self, at_ns: int) -> Effects:
        """Give up second orders of an ended order that a whole search has not shown.

        The list of a new login lacks ended orders, so ours is not there to compare with.
        """
        if not self.others_open:
            return ()
        heard_of = self._sighted().take_heard_of()
        if self.state not in TERMINAL:
            return ()
        effects: list[OrderEffect] = []
        for other in self.others_open:
            if other.broker_order_id not in heard_of:
                effects.extend(self._give_up(other, at_ns))
        return tuple(effects)

    def _give_up(self, other: Incarnation, at_ns: int) -> Effects:
        """Reserve no more for a second order that is at the broker no more."""
        gone = IncarnationSeen(order_id=self.order_id, row=other.row, duplicate=False, gone=True)
        lacked = f"the broker's lists show {other.broker_order_id} no more"
        return (*self._record(gone, at_ns), self._anomaly("second_order_gone", lacked))

    def _judge(self, other: BrokerOrderId, sightings: Sightings, at_ns: int) -> Effects:
        row, ours = sightings.row_of(other), sightings.ours_beside(other)
        if row is None:
            return ()  # The stream shows single rows: that proves nothing.
        if self.state in TERMINAL and is_at_work(row):
            return self._double(row, at_ns)
        if self.state in TERMINAL and not self.has_shown_all_of(row):
            return ()  # What it filled beyond what is known stays reserved.
        if ours is not None:
            keeps_other = self.is_wanted_shown_by(row) and not self.is_wanted_shown_by(ours)
            return self._double(ours if keeps_other else row, at_ns)
        if not sightings.is_alone(other):
            return ()
        renumbered = IncarnationSeen(order_id=self.order_id, row=row, duplicate=False)
        self._forget_sightings()
        before = self.broker_order_id
        effects = self._record(renumbered, at_ns)
        anomaly = self._anomaly("renumbered", f"the broker calls {before} {other} now")
        return (*effects, anomaly, *self._send_cancel())

    def _double(self, row: OrderRow, at_ns: int) -> Effects:
        """Write a second order down, to cancel it once that is durable."""
        self._forget_sightings()
        before = self.broker_order_id
        seen = IncarnationSeen(order_id=self.order_id, row=row, duplicate=True)
        effects = self._record(seen, at_ns, confirm=True)
        kept = self.broker_order_id
        anomaly = self._anomaly("duplicate", f"{row.broker_order_id} beside {kept}, which stays")
        # A cancel that is wanted has gone to the one of before, and may have been refused.
        return (*effects, anomaly, *(self._send_cancel() if kept != before else ()))

    def _forget_sightings(self) -> None:
        self._own_read = None
        self._sightings = None if self._sightings is None else self._sightings.begun_anew()

    def _cancel_duplicates(self) -> Effects:
        """Ask for the end of every proven second order, again until the broker shows it."""
        duplicates = self.duplicates_open
        if not duplicates:
            return ()
        delay_ms = CANCEL_RETRY_MS[min(self._second_tries, len(CANCEL_RETRY_MS) - 1)]
        self._second_tries += 1
        return (
            *(self._cancel_at_broker(one.broker_order_id) for one in duplicates),
            StartTimer(name="second", delay_ms=delay_ms),
        )

    def _duplicate_cancel_answered(self, message: OrderAnswered, at_ns: int) -> Effects:
        """Write the answer to a cancel down that may be the second order's, and look."""
        effects = self._record(message, at_ns)
        return (*effects, *self._look()) if self.state not in TERMINAL else effects

    # --- orders that nobody wants any more -------------------------------------------------

    def _cancel_unwanted(self, at_ns: int) -> Effects:
        """Cancel what came to light too late, and what a second order has filled already."""
        if self.cancel_wanted or self.state not in LIVE:
            return ()
        cause = None
        if self.late_sighted and self.policy.late_sighting is SightingPolicy.CANCEL:
            cause = "it was held for not placed, and showed up late"
        elif self.doubles and self.fills.quantity >= self._quantity_most > self._filled:
            cause = "a second order of the broker under its id has filled the quantity"
        if cause is None:
            return ()
        cancel = CancelOrder(order_id=self.order_id, cause=cause)
        return self._record(cancel, at_ns, confirm=True)
