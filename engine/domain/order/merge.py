"""How news of an order becomes one truth, in whatever order it comes.

Rule 1: an execution counts once. Its id without the last segment names the fill, the
last segment its revision (`….01.01`, corrected as `….01.02`).

Rule 2: quantities that the broker reports only grow.

Rule 3: a row that says less than we know changes nothing.

Rule 4: an execution that was corrected was still counted once. So what the broker counts is
compared with the largest revisions, and what the order filled is the sum of the newest.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Final

from engine.domain.values import (
    LIVE,
    TERMINAL,
    UNKNOWN,
    BrokerOrderId,
    BrokerStatus,
    Execution,
    ExecutionId,
    OrderRow,
    OrderState,
    execution_root,
    is_first_revision,
)

NOTHING: Final = Decimal(0)

DECLARED: Final = "declared-"
"""What the ids of fills begin with that only a person's word stands for."""

_QUANTIZED_BELOW: Final = 18


class Fills:
    """The executions of one order, each counted once, at its newest revision.

    Older revisions are kept: that the broker counted one once is a fact, too. What is asked
    at every news is counted along, not summed up again.
    """

    __slots__ = ("_by_root", "_counted", "_value", "declared", "quantity", "shown")

    def __init__(self) -> None:
        # By fill, then by revision. Most orders rest without a fill.
        self._by_root: dict[str, dict[ExecutionId, Execution]] | None = None
        self._counted = NOTHING
        self._value = NOTHING
        self.quantity = NOTHING
        """The sum of all fills."""
        self.declared = NOTHING
        """What of it only a person's word stands for."""
        self.shown = False
        """True once the broker showed an execution, corrected since or not."""

    def is_news(self, execution: Execution) -> bool:
        """True when `add` would change something."""
        revisions = (self._by_root or {}).get(execution_root(execution.execution_id), {})
        known = revisions.get(execution.execution_id)
        if known is None:
            return True
        return execution.commission not in {None, known.commission}

    def add(self, execution: Execution) -> None:
        """Count a new fill, put a correction in its place, or take over a commission.

        A correction to the quantity 0 is a bust: the fill never was.
        """
        if self._by_root is None:
            self._by_root = {}
        revisions = self._by_root.setdefault(execution_root(execution.execution_id), {})
        known = revisions.get(execution.execution_id)
        if known is not None:
            if execution.commission is not None:
                charged = replace(known, commission=execution.commission)
                revisions[execution.execution_id] = charged
            return
        before, most = _newest(revisions), _most(revisions)
        revisions[execution.execution_id] = execution
        after = _newest(revisions)
        assert after is not None
        if before is None:
            self.quantity += after.quantity
            self._value += after.quantity * after.price
        else:
            # Summed up anew, so that no digit of what was corrected stays behind.
            newest = tuple(self.current())
            self.quantity = sum((fill.quantity for fill in newest), NOTHING)
            self._value = sum((fill.quantity * fill.price for fill in newest), NOTHING)
        if is_declared(execution):
            self.declared = after.quantity
        else:
            self.shown = True
            self._counted += _most(revisions) - most

    @property
    def average_price(self) -> Decimal | None:
        """The price of all fills, weighted by quantity; None without a fill."""
        if self.quantity == 0:
            return None
        price = self._value / self.quantity
        exact = price.adjusted() >= _QUANTIZED_BELOW  # So large a price has no such digits.
        return (price if exact else price.quantize(Decimal("1e-8"))).normalize()

    def all(self) -> tuple[Execution, ...]:
        """Return every revision of every fill, in one order whatever order they came in."""
        return tuple(
            fill
            for _, revisions in sorted((self._by_root or {}).items())
            for fill in sorted(revisions.values(), key=_revision)
        )

    def current(self) -> Iterator[Execution]:
        """The newest revision of each fill."""
        for revisions in (self._by_root or {}).values():
            yield max(revisions.values(), key=_revision)

    @property
    def began_corrected(self) -> bool:
        """True when only the correction of some fill was seen, and not the fill."""
        return any(
            all(not is_first_revision(one) for one in revisions)
            for revisions in (self._by_root or {}).values()
        )

    def counted(self, others: Collection[BrokerOrderId] = ()) -> Decimal:
        """The sum of what the broker ever showed, corrected or not, but for `others`.

        It only grows, whatever order the revisions come in.
        """
        if not others:
            return self._counted
        beside = (
            _most(revisions)
            for revisions in (self._by_root or {}).values()
            if any(fill.broker_order_id in others for fill in revisions.values())
        )
        return self._counted - sum(beside, NOTHING)

    def counted_until(self, at_ms: int) -> Decimal:
        """The sum of what the broker ever showed of fills up to a time of its own."""
        return sum(
            (
                _most(revisions)
                for revisions in (self._by_root or {}).values()
                if any(not is_declared(one) and one.at_ms <= at_ms for one in revisions.values())
            ),
            NOTHING,
        )

    def of(self, broker_order_id: BrokerOrderId) -> Decimal:
        """The sum of the fills of one of the broker's orders."""
        return sum(
            (fill.quantity for fill in self.current() if fill.broker_order_id == broker_order_id),
            NOTHING,
        )

    def __bool__(self) -> bool:
        return bool(self._by_root)


def _newest(revisions: Mapping[ExecutionId, Execution]) -> Execution | None:
    return max(revisions.values(), key=_revision, default=None)


def _most(revisions: Mapping[ExecutionId, Execution]) -> Decimal:
    return max((fill.quantity for fill in revisions.values()), default=NOTHING)


def is_declared(execution: Execution) -> bool:
    """Say whether a person declared the fill, and the broker has not shown it."""
    return execution.execution_id.startswith(DECLARED)


def _revision(execution: Execution) -> tuple[int, ExecutionId]:
    """Order the revisions of one fill: `….9` comes before `….10`."""
    return len(execution.execution_id), execution.execution_id


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
        if state in UNKNOWN:
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


def closing_state(row: OrderRow, *, cancel_wanted: bool) -> OrderState | None:
    """Return the terminal state that a row announces, None when it announces none.

    The broker reports what a destination refused as `Cancelled` with a reason of the
    system; after a cancel of ours it is a cancel all the same, and so it is, whoever knows
    that, after a fill. An order whose time in force is over ends as `Cancelled`, too, and
    no row says that this was why. So it is CANCELLED here: EXPIRED is only what is known
    never to have been sent.
    """
    if row.status is BrokerStatus.FILLED:
        return OrderState.FILLED
    if row.status is BrokerStatus.CANCELLED:
        refused = row.reason is not None and not cancel_wanted
        return OrderState.REJECTED if refused else OrderState.CANCELLED
    return None
