"""How news of an order becomes one truth, in whatever order it comes.

Rule 1: an execution counts once. Its id without the last segment names the fill, the
last segment its revision (`….01.01`, corrected as `….01.02`).

Rule 2: quantities that the broker reports only grow.

Rule 3: a row that says less than we know changes nothing.
"""

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Final

from engine.domain.values import (
    LIVE,
    TERMINAL,
    BrokerStatus,
    Execution,
    OrderRow,
    OrderState,
    execution_root,
)

NOTHING: Final = Decimal(0)

_QUANTIZED_BELOW: Final = 18


class Fills:
    """The executions of one order, each counted once."""

    __slots__ = ("_by_root",)

    def __init__(self) -> None:
        self._by_root: dict[str, Execution] | None = None  # Most orders rest without a fill.

    def is_news(self, execution: Execution) -> bool:
        """True when `add` would change something."""
        known = (self._by_root or {}).get(execution_root(execution.execution_id))
        if known is None:
            return True
        if execution.execution_id == known.execution_id:
            return execution.commission is not None and known.commission is None
        return execution.execution_id > known.execution_id

    def add(self, execution: Execution) -> None:
        """Count a new fill, put a correction in its place, or take over a commission."""
        root = execution_root(execution.execution_id)
        if self._by_root is None:
            self._by_root = {}
        known = self._by_root.get(root)
        if known is not None and execution.execution_id == known.execution_id:
            execution = replace(known, commission=execution.commission)
        self._by_root[root] = execution

    @property
    def quantity(self) -> Decimal:
        """The sum of all fills."""
        return sum((fill.quantity for fill in self._fills()), NOTHING)

    @property
    def average_price(self) -> Decimal | None:
        """The price of all fills, weighted by quantity; None without a fill."""
        quantity = self.quantity
        if quantity == 0:
            return None
        value = sum((fill.quantity * fill.price for fill in self._fills()), NOTHING)
        price = value / quantity
        exact = price.adjusted() >= _QUANTIZED_BELOW  # So large a price has no such digits.
        return (price if exact else price.quantize(Decimal("1e-8"))).normalize()

    def all(self) -> tuple[Execution, ...]:
        """Return the executions in order of their ids, whatever order they came in."""
        return tuple(fill for _, fill in sorted((self._by_root or {}).items()))

    def _fills(self) -> Iterable[Execution]:
        return () if self._by_root is None else self._by_root.values()


_STATE_OF_STATUS: Final = {
    BrokerStatus.PENDING_SUBMIT: OrderState.PENDING_NEW,
    BrokerStatus.PRE_SUBMITTED: OrderState.ACCEPTED,
    BrokerStatus.SUBMITTED: OrderState.WORKING,
    # A cancel that is under way proves that the order is there, and can still fill.
    BrokerStatus.PENDING_CANCEL: OrderState.WORKING,
    BrokerStatus.PRE_CANCELLED: OrderState.WORKING,
    BrokerStatus.WARN_STATE: OrderState.ACCEPTED,
}

_RANK: Final = {OrderState.PENDING_NEW: 0, OrderState.ACCEPTED: 1, OrderState.WORKING: 2}

_UNKNOWN: Final = frozenset(
    {OrderState.SUBMITTING, OrderState.AWAITING_REPLY, OrderState.IN_DOUBT, OrderState.PARKED}
)


INACTIVE_NS: Final = 5_000_000_000
"""So long after the last news of an order, `Inactive` is no first word about it any more."""


def next_state_of_row(
    state: OrderState, row: OrderRow, *, filled: bool, late: bool
) -> OrderState | None:
    """Return the live state that a row's status means, None when it changes none.

    Terminal statuses are not decided here: they wait for their executions. `filled` is
    True once a part of the order has filled. `late` is True for a row that was read over
    REST when there had been no news of the order for `INACTIVE_NS`.

    `Inactive` is the first word about many orders, and also the last about some that the
    broker holds back or refused. So it only proves that the order is known, on the stream
    and in a poll that came soon; where it still stands late, it means SUSPENDED.
    """
    if row.status is None or state in TERMINAL:
        return None
    if row.status is BrokerStatus.INACTIVE:
        if state in _UNKNOWN:
            return OrderState.PENDING_NEW
        return OrderState.SUSPENDED if late and state in LIVE else None
    target = _STATE_OF_STATUS.get(row.status)
    if target is None:
        return None
    if filled:
        return OrderState.PARTIALLY_FILLED
    if state in _RANK and target is OrderState.PENDING_NEW:
        return None  # Rows come late; what is accepted is not pending again.
    return target


def closing_state(row: OrderRow, *, cancel_wanted: bool, filled: bool) -> OrderState | None:
    """Return the terminal state that a row announces, None when it announces none.

    The broker reports what a destination refused as `Cancelled` with a reason of the
    system; after a fill or a cancel of ours it is a cancel all the same. An order whose
    time in force is over ends as `Cancelled`, too, and no row says that this was why. So
    it is CANCELLED here: EXPIRED is only what is known never to have been sent.
    """
    if row.status is BrokerStatus.FILLED:
        return OrderState.FILLED
    if row.status is BrokerStatus.CANCELLED:
        refused = row.reason is not None and not cancel_wanted and not filled
        return OrderState.REJECTED if refused else OrderState.CANCELLED
    return None
