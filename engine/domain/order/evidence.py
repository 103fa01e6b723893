"""What the broker's rows and executions make of an order, in whatever order they come.

Rule 1: a terminal state that the broker announces waits until every execution that it
counts has been seen. Until then the rest stays reserved. A correction that takes a fill
back takes FILLED back; a cancel that was announced ends the order all the same.

Rule 2: an order counts as filled only when the larger of two quantities has filled, or the
broker says so. What its second orders filled is counted, and does not fill the first one.

Rule 3: what we held for never placed is taken back by any evidence, and a cancel that was
wanted is wanted again.
"""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from typing import Final

from engine.domain.messages import IncarnationSeen
from engine.domain.order.change import EARLIER_MAX, Shown, shown_by
from engine.domain.order.facts import OrderFacts
from engine.domain.order.incarnations import Incarnation, Kind, is_at_work, merged
from engine.domain.order.merge import NOTHING, closing_state, is_declared, next_state_of_row
from engine.domain.order.transitions import TRANSITIONS
from engine.domain.values import (
    DOUBTFUL,
    LIVE,
    TERMINAL,
    UNKNOWN,
    BrokerOrderId,
    BrokerStatus,
    Execution,
    OrderRow,
    OrderState,
    Reason,
    Resolution,
    Terms,
)

_NEVER_SHOWN: Final = frozenset({OrderState.EXPIRED, OrderState.NOT_PLACED})
"""Ends that any row disproves, however the broker ended the order."""

_ENDS: Final = frozenset({BrokerStatus.FILLED, BrokerStatus.CANCELLED})

_CLOSINGS: Final = (OrderState.FILLED, OrderState.CANCELLED, OrderState.REJECTED)
"""The ends that rows announce; where they announce several, the last of these counts."""

Anomaly = tuple[str, str]


class OrderEvidence(OrderFacts):
    """An order that takes over what the broker shows."""

    __slots__ = ()

    # --- rows ----------------------------------------------------------------------------

    def _apply_row(self, row: OrderRow, *, late: bool) -> Iterator[Anomaly]:
        conid = row.conid if row.conid is not None and row.conid > 0 else None
        mismatch = self._mismatch(row.account, conid, row.side)
        if mismatch is not None:
            yield ("identity_mismatch", mismatch)
            return
        if row.unknown_status is not None:
            yield ("unknown_status", row.unknown_status)
        if self._is_of_other(row.broker_order_id):
            yield from self._apply_other(row)
            return
        self.broker_order_id = row.broker_order_id
        self._broker_filled = max(self._broker_filled, row.filled_quantity or NOTHING)
        if self.resolution is not None and self.resolution.resolution is Resolution.LIVE:
            self.resolution = None  # It is seen: nobody has to be believed any more.
        if self._is_resurrected_by(row):
            yield from self._resurrect(f"is {row.status or row.unknown_status} at the broker")
            yield from self._move(OrderState.PENDING_NEW, None)
        if row.status in {BrokerStatus.PENDING_CANCEL, BrokerStatus.PRE_CANCELLED}:
            self._cancelling = self.state not in TERMINAL
        elif row.status in {BrokerStatus.SUBMITTED, BrokerStatus.PRE_SUBMITTED}:
            self._cancelling = self._cancel_open  # A cancel of somebody else came to nothing.
        self._note_closing(row)
        if self.is_closing and self.state in UNKNOWN:
            yield from self._move(OrderState.WORKING, None)
        filled = self.fills.shown
        target = next_state_of_row(self.state, row, filled=filled, late=late)
        if target is not None and not self.is_closing and target is not self.state:
            yield from self._move(target, None)
        if self.state in DOUBTFUL and row.coid is not None and row.coid == self.coid:
            # Whatever its status is, the broker has what carries our id.
            yield from self._move(OrderState.PENDING_NEW, None)
        yield from self._settle()

    def _is_resurrected_by(self, row: OrderRow) -> bool:
        """Say whether the row shows an order that we held for never placed.

        What the broker refused, or asked about in vain, may well show as inactive or
        cancelled; what we never sent, or proved absent, may not show at all.
        """
        if not self._ended_unseen:
            return False
        if self.state is OrderState.NOT_PLACED:
            return True
        if row.status is None:
            return False
        if self.state is OrderState.FILLED:
            return row.status is not BrokerStatus.FILLED  # Only a person said that it filled.
        over = {BrokerStatus.INACTIVE, BrokerStatus.CANCELLED}
        return self.state in _NEVER_SHOWN or row.status not in over

    def _resurrect(self, how: str) -> Iterator[Anomaly]:
        """Tell that an order is back, and want its cancel again if it was wanted."""
        if self.state is OrderState.NOT_PLACED:
            self.late_sighted = True
            yield ("late_sighting", f"{self.state} order {how}")
        else:
            yield ("resurrected", f"{self.state} order {how}")

    def _note_closing(self, row: OrderRow) -> None:
        """Remember the end that a row announces.

        That it was cancelled speaks louder than that it was filled, which the executions
        show, and a bust may take back; a reason speaks louder still.
        """
        if row.status not in _ENDS:
            return
        state = closing_state(row, cancel_wanted=self.cancel_wanted)
        if state is None or self.state in {OrderState.DENIED, OrderState.NOT_PLACED}:
            return
        reason, counted = None, bool(row.filled_quantity)
        if row.reason is not None:
            reason = Reason(code="BROKER_CANCELLED", message=row.reason)
        if self._closing is not None:
            known, why, before = self._closing
            state = max(known, state, key=_CLOSINGS.index)
            reason, counted = why or reason, counted or before
        self._closing = (state, reason, counted)
        if row.status is BrokerStatus.CANCELLED and row.filled_quantity is not None:
            counts = {*self._closing_counts, row.filled_quantity}
            self._closing_counts = tuple(sorted(counts))

    # --- executions ----------------------------------------------------------------------

    def _apply_execution(self, execution: Execution) -> Iterator[Anomaly]:
        mismatch = self.mismatch_of(execution)
        if mismatch is not None:
            yield ("identity_mismatch", mismatch)
            return
        self.fills.add(execution)
        declared = is_declared(execution)
        if not declared:
            self.broker_order_id = self.broker_order_id or execution.broker_order_id
            yield from self._meet_other(execution)
        filled, most = self.fills.quantity, self._quantity_most
        if filled > most:
            yield ("overfill", f"filled {filled} of {most}")
        if declared:
            yield from self._apply_declared()
        elif self._ended_unseen or self.state not in {OrderState.FILLED, OrderState.CANCELLED}:
            # A fill also reopens what we held for refused, or a person for cancelled: it was
            # at the broker after all, and may be at work there.
            if self._ended_unseen:
                yield from self._resurrect("filled")
            yield from self._move(OrderState.PARTIALLY_FILLED, None)
        yield from self._settle()

    def _apply_declared(self) -> Iterator[Anomaly]:
        """Take over what a person says has filled, or take it back."""
        said = self.resolution
        if said is None or not self.fills.declared:
            return
        reason = said_by(said.by, said.approved_by, said.reason)
        in_full = self._is_filled() or said.quantity is None
        if self.state in UNKNOWN | LIVE:
            end = OrderState.FILLED if in_full else OrderState.CANCELLED
            yield from self._end_unseen(end, reason)

    # --- second orders -------------------------------------------------------------------

    def _apply_other(self, row: OrderRow) -> Iterator[Anomaly]:
        if row.parent_id is not None and not self._is_of_other(row.parent_id):
            yield ("exit_unmatched", f"order {row.broker_order_id} is an exit of ours, of which?")
            return
        known = self._other(row.broker_order_id)
        kind = Kind.SUSPECTED if known is None else known.kind
        if kind is Kind.GONE and is_at_work(row):
            kind = Kind.SUSPECTED  # It was not shown for long, and was there.
        if kind is Kind.SUSPECTED and (known is None or known.kind is Kind.GONE):
            ours = self.broker_order_id
            yield ("second_order", f"the broker shows {row.broker_order_id}, ours is {ours}")
        whole = merged(None if known is None else known.row, row)
        self._keep_other(Incarnation(row=whole, kind=kind))

    def _meet_other(self, execution: Execution) -> Iterator[Anomaly]:
        """Take that another order of the broker filled, before a row showed it."""
        other = execution.broker_order_id
        if other is None or not self._is_of_other(other):
            return
        known = self._other(other)
        if known is not None and known.kind is not Kind.GONE:
            return
        yield ("second_order", f"order {other} filled, ours is {self.broker_order_id}")
        row = OrderRow(account=execution.account, broker_order_id=other)
        if known is not None:
            row = known.row
        self._keep_other(Incarnation(row=row, kind=Kind.SUSPECTED))

    def _apply_incarnation(self, record: IncarnationSeen) -> Iterator[Anomaly]:
        row, ours = record.row, self.broker_order_id
        known = self._other(row.broker_order_id)
        if record.gone:
            if known is not None:
                kind = Kind.FORMER if self.is_counted_as_ours(known) else Kind.GONE
                self._keep_other(replace(known, kind=kind))
                yield from self._settle()
        elif not record.duplicate:
            self._become(row, Kind.FORMER)
            if row.status in _ENDS:
                yield from self._apply_row(row, late=False)
        elif row.broker_order_id == ours:
            kept = self._intended()
            if kept is not None:
                self._become(kept.row, Kind.DUPLICATE, ours=row)
        else:
            whole = merged(None if known is None else known.row, row)
            self._keep_other(Incarnation(row=whole, kind=Kind.DUPLICATE))

    def _become(self, row: OrderRow, kind: Kind, ours: OrderRow | None = None) -> None:
        """Go on as another order of the broker; ours of before is kept as `kind`."""
        assert self.broker_order_id is not None
        before = ours or OrderRow(account=self.ticket.account, broker_order_id=self.broker_order_id)
        counted = self._broker_filled if kind is Kind.FORMER else NOTHING
        self._others = tuple(
            one for one in self._others if one.broker_order_id != row.broker_order_id
        )
        self.broker_order_id = row.broker_order_id
        self._broker_filled = max(counted, row.filled_quantity or NOTHING)
        self._keep_other(Incarnation(row=before, kind=kind))
        if self.cancel_wanted and self.state not in TERMINAL:
            # A refusal was about an id that is no order's any more.
            self._cancelling = self._cancel_open = True

    def _intended(self) -> Incarnation | None:
        """Return the second order that shows the terms that were asked for last."""
        return next(
            (
                one
                for one in self._others
                if one.kind is Kind.SUSPECTED and self.is_wanted_shown_by(one.row)
            ),
            None,
        )

    def is_counted_as_ours(self, other: Incarnation) -> bool:
        """Say whether the broker counts its fills as ours, so that it is a number of before.

        Then what ours is counted to have filled is exactly what both have.
        """
        beside = self.fills.of(other.broker_order_id)
        suspected = other.kind is Kind.SUSPECTED and beside > 0 and self.is_closing
        return suspected and self._filled + beside + self._still_unshown == self._broker_filled

    def has_shown_all_of(self, row: OrderRow) -> bool:
        """Say whether executions show all that a row of an ended order counts as filled."""
        counted = row.filled_quantity
        if counted is None and row.status is BrokerStatus.FILLED:
            counted = row.total_quantity or self._quantity_most
        return row.status in _ENDS and self.fills.counted() >= (counted or NOTHING)

    def is_wanted_shown_by(self, row: OrderRow) -> bool:
        """Say whether the row shows the terms of the change under way, and not the old ones."""
        if self.change is None:
            return False
        shown = shown_by(row, self.ticket.type, old=self.terms, new=self.change.wanted)
        return shown is Shown.NEW

    def _other(self, broker_order_id: BrokerOrderId) -> Incarnation | None:
        return next((one for one in self._others if one.broker_order_id == broker_order_id), None)

    def _keep_other(self, other: Incarnation) -> None:
        rest = (one for one in self._others if one.broker_order_id != other.broker_order_id)
        self._others = tuple(sorted((*rest, other), key=lambda one: one.broker_order_id))

    # --- states --------------------------------------------------------------------------

    def _settle(self) -> Iterator[Anomaly]:
        """Be what the evidence makes of the order, all of it together."""
        if self._closing is None and not self.fills:
            return
        reopened = self.state in {OrderState.FILLED, OrderState.CANCELLED}
        if self.state in TERMINAL and not reopened:
            return
        if self._is_filled():
            if self.state is not OrderState.FILLED:
                yield from self._finish(OrderState.FILLED, None)
            return
        ended = self._ended()
        if self.state is OrderState.CANCELLED:
            return
        if ended is not None:
            yield from self._finish(*ended)
        elif self.state is OrderState.FILLED and not self.fills.declared:
            # A correction took back what filled it; a commission never does.
            back = OrderState.PARTIALLY_FILLED if self.fills.shown else OrderState.PENDING_NEW
            yield from self._move(back, None)

    def _ended(self) -> tuple[OrderState, Reason | None] | None:
        """Return the end that the broker announced, once all that it counts was seen."""
        if self._closing is None:
            return None
        state, reason, counted = self._closing
        others = tuple(one.broker_order_id for one in self.doubles)
        unshown = self._still_unshown
        complete = self.fills.counted(others) + unshown >= self._broker_filled or (
            # Of what was corrected before it was seen nobody knows how much it was.
            self.fills.began_corrected and self._filled + unshown in self._closing_counts
        )
        if state is OrderState.FILLED:
            # What was wanted may never have been in force; what the broker counts has filled.
            filled = self._filled + unshown >= self._broker_filled
            return (state, None) if counted and filled else None
        if not complete:
            return None
        if state is OrderState.REJECTED and self.fills.shown:
            state = OrderState.CANCELLED
        return state, reason

    @property
    def _still_unshown(self) -> Decimal:
        """What filled before it was adopted, and no execution has shown since."""
        if not self._unshown:
            return NOTHING
        shown = self.fills.counted_until(self._created_at_ns // 1_000_000)
        return max(self._unshown - shown, NOTHING)

    def _finish(self, state: OrderState, reason: Reason | None) -> Iterator[Anomaly]:
        if self.change is not None:
            # The fills may show that the change was taken, whoever was to tell us so.
            filled, wanted = self._filled, self.change.wanted
            in_full = state is OrderState.FILLED and filled == wanted.quantity
            if in_full or self._is_change_proven():
                self._adopt_terms(wanted)
        yield from self._move(state, reason)

    def _adopt_terms(self, terms: Terms) -> None:
        """Let these terms be in force from now on."""
        if terms != self.terms:
            self._earlier = (*self._earlier, self.terms)[-EARLIER_MAX:]
        self._terms = terms

    def _end_unseen(self, state: OrderState, reason: Reason | None) -> Iterator[Anomaly]:
        """End an order that the broker never showed; that it shows one later is evidence."""
        yield from self._move(state, reason)
        self._ended_unseen = self.state is state

    def _move(self, state: OrderState, reason: Reason | None) -> Iterator[Anomaly]:
        before = self._state
        if state is before and state is not OrderState.AWAITING_REPLY:
            return
        if state not in TRANSITIONS[before]:
            yield ("impossible_transition", f"{before} to {state}")
            return
        self._state = state
        self._ended_unseen = False
        doubted = self.change is not None and self.change.doubtful and state not in TERMINAL
        if reason is not None or not doubted:
            self.reason = reason
        if state in TERMINAL:
            self.change = self.prompt = None
            self._cancelling = self._cancel_open = False
        elif before in TERMINAL and state in LIVE:
            self._cancelling = self._cancel_open = self.cancel_wanted


def said_by(by: str, approved_by: str | None, reason: str) -> Reason:
    """Say whose word it is that an order ended so."""
    second = "" if approved_by is None else f", approved by {approved_by}"
    return Reason(code="RESOLVED", message=f"resolved by {by}{second}: {reason}")
