"""Second orders of the broker under one id of ours, and how they are told from renumbering.

Rule 1: a second order is reserved from its first sight on, and its fills are the order's.

Rule 2: nothing is cancelled, and no id is given up, before complete reads of the list
proved it: one that shows both orders at work, or two in a row that show the new one alone.
The stream shows single rows, so it proves neither.

Rule 3: a second order that no list shows any more is reserved until lists have lacked it for
long. It is a second order again once a row shows it at work, or it fills.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import StrEnum
from typing import Final

from engine.domain.values import BrokerOrderId, BrokerStatus, OrderRow

READS_ALONE_MIN: Final = 2
"""So many complete reads that show only the new order mean that ours was renumbered."""

READS_GONE_MIN: Final = 12
"""So many complete reads that show ours and lack the other mean that it is there no more.

The broker's list is read every five seconds at most, so that is a minute.
"""

_AT_WORK: Final = frozenset(
    {
        BrokerStatus.PENDING_SUBMIT,
        BrokerStatus.PRE_SUBMITTED,
        BrokerStatus.SUBMITTED,
        BrokerStatus.PENDING_CANCEL,
        BrokerStatus.PRE_CANCELLED,
        BrokerStatus.WARN_STATE,
    }
)
_OVER: Final = frozenset({BrokerStatus.FILLED, BrokerStatus.CANCELLED})


class Kind(StrEnum):
    """What another order of the broker is to ours."""

    SUSPECTED = "suspected"
    DUPLICATE = "duplicate"
    FORMER = "former"
    GONE = "gone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Incarnation:
    """Another order of the broker under our id; `row` is all that rows said of it."""

    row: OrderRow
    kind: Kind

    @property
    def broker_order_id(self) -> BrokerOrderId:
        """The broker's id of it."""
        return self.row.broker_order_id

    @property
    def over(self) -> bool:
        """True once the broker has ended it, or lists lacked it for long."""
        return self.kind is Kind.GONE or self.row.status in _OVER

    def may_fill(self, filled: Decimal, most: Decimal) -> Decimal:
        """Return what of it may still be told as filled; `filled` is what was.

        `most` is the quantity where no row has said one. Of one that is over, only the
        executions that the broker counts and has not shown are missing.
        """
        if self.kind in {Kind.FORMER, Kind.GONE}:
            return Decimal(0)
        total = self.row.total_quantity or most
        if self.over:
            counted = total if self.row.status is BrokerStatus.FILLED else Decimal(0)
            total = self.row.filled_quantity or counted
        return max(total - filled, Decimal(0))


def merged(known: OrderRow | None, news: OrderRow) -> OrderRow:
    """Put what a row says over what was known; it never counts less, and never reopens."""
    if known is None:
        return news
    told = {
        name: value for name in OrderRow.__slots__ if (value := getattr(news, name)) is not None
    }
    row = replace(known, **told)
    counts = [one.filled_quantity for one in (known, news) if one.filled_quantity is not None]
    return replace(
        row,
        filled_quantity=max(counts, default=None),
        status=known.status if known.status in _OVER else row.status,
    )


def is_at_work(row: OrderRow) -> bool:
    """Say whether the row shows an order that may fill at any moment."""
    return row.status in _AT_WORK


@dataclass(slots=True)
class _Reads:
    """The newest read of the list that showed an order, and its row there."""

    row: OrderRow
    read: int
    alone: int = 0


@dataclass(slots=True)
class Sightings:
    """What reads of the list showed of an order and of others under its id.

    It is not journaled: after a restart the reads show it again.
    """

    _ours: tuple[OrderRow, int] | None = None
    _others: dict[BrokerOrderId, _Reads] = field(default_factory=dict)
    _lacked: Counter[BrokerOrderId] = field(default_factory=Counter)
    _heard_of: set[BrokerOrderId] = field(default_factory=set)

    def see_ours(self, row: OrderRow, read: int, others: Iterable[BrokerOrderId] = ()) -> None:
        """A read of the list showed our order; it should show `others` as well."""
        if not self._ours_in(read):
            self._lacked.update(others)
        self._ours = (row, read)
        for other in self._others.values():
            other.alone = 0

    def hear_of(self, other: BrokerOrderId) -> None:
        """Anything told of another order: it is, or was a moment ago."""
        self._heard_of.add(other)
        self._lacked.pop(other, None)

    def is_gone(self, other: BrokerOrderId) -> bool:
        """Say whether so many reads in a row showed ours and lacked it that it is no more."""
        return self._lacked[other] >= READS_GONE_MIN

    def take_heard_of(self) -> frozenset[BrokerOrderId]:
        """Return the others of which anything was told since this was asked last."""
        heard, self._heard_of = self._heard_of, set()
        return frozenset(heard)

    def begun_anew(self) -> "Sightings":
        """Return what is left once something was proven: only what was heard of."""
        return Sightings(_heard_of=self._heard_of)

    def see_other(self, row: OrderRow, read: int) -> None:
        """A read of the list showed another order under our id."""
        self.hear_of(row.broker_order_id)
        known = self._others.get(row.broker_order_id)
        if known is None:
            self._others[row.broker_order_id] = _Reads(row=row, read=read)
            return
        if known.read != read:
            # The rows of a read come in any order; now the one before is surely complete.
            known.alone = 0 if self._ours_in(known.read) else known.alone + 1
        known.row, known.read = row, read

    def ours_beside(self, other: BrokerOrderId) -> OrderRow | None:
        """Return our row in a read that showed both at work, None without such a read."""
        reads = self._others.get(other)
        if reads is None or self._ours is None or not self._ours_in(reads.read):
            return None
        row, _ = self._ours
        return row if is_at_work(row) and is_at_work(reads.row) else None

    def row_of(self, other: BrokerOrderId) -> OrderRow | None:
        """Return the newest row of a read that showed the other order."""
        reads = self._others.get(other)
        return None if reads is None else reads.row

    def is_alone(self, other: BrokerOrderId) -> bool:
        """Say whether enough complete reads in a row showed it and not ours."""
        reads = self._others.get(other)
        return reads is not None and reads.alone >= READS_ALONE_MIN

    def _ours_in(self, read: int) -> bool:
        return self._ours is not None and self._ours[1] == read
