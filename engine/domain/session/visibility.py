"""How far the broker's lists are behind what is known from elsewhere.

The list of orders is a cache. It has been seen frozen, late by minutes, and empty while
orders worked. What the stream and the answers to requests tell of an order must show up in
it; so each change that they tell dates the list, and a list that lacks one is of before it.

Rule 1: only a change that cannot be undone dates a list: a new order, more of it filled,
its end. That an order stands as it stood tells nothing, as a frozen list shows it, too.

Rule 2: what is heard first of somebody's order is no change: it may have been so for days.
An order of ours is dated by when we made it. What the list showed before it was told is its
own, and dates nothing. A list that lacks any of it, though it was told, is behind.

Rule 3: the lag counted is the largest of this login, and grows with everything that a list
lacked although it was told before the list was asked for. It never shrinks.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, TypeAlias, TypeVar

from engine.domain.messages import OrdersRead, RowsStreamed, TradesRead
from engine.domain.session.absence import is_whole
from engine.domain.session.effects import ObserveVisibility, View
from engine.domain.values import (
    LIVE,
    AccountId,
    BrokerOrderId,
    BrokerStatus,
    OrderRow,
    execution_root,
)
from engine.domain.views import OrderView

OrderKey: TypeAlias = tuple[AccountId, BrokerOrderId]

KNOWN_MAX: Final = 20_000
"""So many orders and executions of a login are remembered; the oldest are forgotten first."""

UNSHOWN_MAX: Final = 32
"""So many changes of an order wait for a list to show them."""

ENDED: Final = frozenset({BrokerStatus.FILLED, BrokerStatus.CANCELLED})
"""Statuses that nothing follows."""

_MS: Final = 1_000_000

Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an order has come, in what cannot be undone."""

    filled_quantity: Decimal = Decimal(0)
    ended: bool = False

    def reaches(self, told: "Progress") -> bool:
        """Say whether an order that is shown so is as far as it was told to be, or further."""
        if self.filled_quantity != told.filled_quantity:
            return self.filled_quantity > told.filled_quantity
        return self.ended or not told.ended

    def joined(self, news: "Progress") -> "Progress":
        """Return the furthest of both."""
        return Progress(
            filled_quantity=max(self.filled_quantity, news.filled_quantity),
            ended=self.ended or news.ended,
        )


@dataclass(slots=True, kw_only=True)
class _Change:
    """A change that somebody else than the list told; `missed` once a list lacked it.

    `since_wall_ns` is a time that it came after, None where nobody knows one.
    """

    progress: Progress
    at_ns: int
    since_wall_ns: int | None
    acknowledges: bool = False
    missed: bool = False


@dataclass(slots=True, kw_only=True)
class _Order:
    """What is known of one order at the broker.

    `first` is that it is there at all, where no list had it before. `unshown` are the
    changes that no list has shown yet, the oldest first, and `shown` is the newest that one
    has. `in_last` says that the last list showed that one, too, and `behind` that it lacked
    something that was told before it was asked for.
    """

    progress: Progress
    since_wall_ns: int
    first: _Change | None = None
    unshown: deque[_Change] = field(default_factory=deque)
    shown: _Change | None = None
    in_last: bool = False
    behind: bool = False


@dataclass(slots=True, kw_only=True)
class _Fill:
    """An execution that the stream told, and the trades have yet to show."""

    at_ns: int
    missed: bool = False


class Visibility:
    """Compares lists with what was told. Times are monotonic, but those named wall."""

    def __init__(self) -> None:
        self._orders: dict[OrderKey, _Order] = {}
        self._fills: dict[str, _Fill] = {}
        self._traded: dict[str, None] = {}
        self._lag_ms_max = 0
        self._has_list = False

    def begin_login(self) -> None:
        """What was known is of another login, and so of another list."""
        self._orders.clear()
        self._fills.clear()
        self._traded.clear()
        self._lag_ms_max = 0
        self._has_list = False

    # --- what is told ------------------------------------------------------------------

    def tell(self, message: RowsStreamed, now_ns: int, wall_ns: int) -> None:
        """The stream told of these."""
        for row in message.rows:
            key, progress = (row.account, row.broker_order_id), _progress_of(row)
            order = self._orders.get(key)
            if order is None:
                # One that is over already may be of long before.
                self._meet(key, progress, now_ns, wall_ns, awaited=not progress.ended)
            elif not order.progress.reaches(progress):
                order.progress = order.progress.joined(progress)
                change = _Change(progress=order.progress, at_ns=now_ns, since_wall_ns=wall_ns)
                if len(order.unshown) >= UNSHOWN_MAX:
                    order.unshown.pop()  # The oldest ones date the lists.
                order.unshown.append(change)
        for execution_id in message.executions:
            root = execution_root(execution_id)
            if root not in self._traded and root not in self._fills:
                _remember(self._fills, root, _Fill(at_ns=now_ns))

    def answer(self, view: OrderView, now_ns: int, wall_ns: int) -> None:
        """An order of ours has changed; if it works now, the broker has acknowledged it."""
        if view.broker_order_id is None or view.state not in LIVE:
            return
        key = (view.account, view.broker_order_id)
        order = self._orders.get(key)
        if order is None:
            order = self._meet(key, Progress(), now_ns, wall_ns, awaited=True)
        change = order.first
        if change is not None and change.since_wall_ns is None:
            change.since_wall_ns = view.created_at_ns
            change.acknowledges = order.shown is None

    def _meet(
        self, key: OrderKey, progress: Progress, now_ns: int, wall_ns: int, *, awaited: bool
    ) -> _Order:
        """Get to know an order; where a whole list did not have it, the next ones must."""
        order = _Order(progress=progress, since_wall_ns=wall_ns)
        _remember(self._orders, key, order)
        if awaited and self._has_list:
            order.first = _Change(progress=progress, at_ns=now_ns, since_wall_ns=None)
            order.unshown.append(order.first)
        return order

    # --- what is shown -----------------------------------------------------------------

    def read_orders(
        self, message: OrdersRead, asked_ns: int, now_ns: int, wall_ns: int
    ) -> Iterator[ObserveVisibility]:
        """Take a warm list that was asked for at `asked_ns`."""
        shown = {(row.account, row.broker_order_id): _progress_of(row) for row in message.rows}
        for key, order in self._orders.items():
            if message.account in (None, key[0]):
                yield from self._compare(order, shown.get(key), asked_ns, now_ns)
        for key, progress in shown.items():
            known = self._orders.get(key)
            if known is None:
                _remember(self._orders, key, _Order(progress=progress, since_wall_ns=wall_ns))
            else:
                known.progress = known.progress.joined(progress)
        if is_whole(message):
            self._has_list = True

    def _compare(
        self, order: _Order, listed: Progress | None, asked_ns: int, now_ns: int
    ) -> Iterator[ObserveVisibility]:
        while order.unshown and listed is not None:
            change = order.unshown[0]
            if not listed.reaches(change.progress):
                break
            order.shown = order.unshown.popleft()
            lag_ms = (now_ns - change.at_ns) // _MS
            if change.missed:
                self._lag_ms_max = max(self._lag_ms_max, lag_ms)
            if change.acknowledges:
                yield ObserveVisibility(view=View.ORDERS, after_ms=lag_ms)
        # A list that goes back behind what it showed is no later for it, but it is behind.
        order.in_last = order.shown is not None and (
            listed is not None and listed.reaches(order.shown.progress)
        )
        order.behind = order.shown is not None and not order.in_last
        for change in order.unshown:
            if change.at_ns < asked_ns:
                change.missed = order.behind = True
                self._lag_ms_max = max(self._lag_ms_max, (now_ns - change.at_ns) // _MS)

    def read_trades(
        self, message: TradesRead, asked_ns: int, now_ns: int
    ) -> Iterator[ObserveVisibility]:
        """Take a list of executions that was asked for at `asked_ns`."""
        for execution in message.executions:
            root = execution_root(execution.execution_id)
            _remember(self._traded, root, None)
            fill = self._fills.pop(root, None)
            if fill is not None:
                lag_ms = (now_ns - fill.at_ns) // _MS
                if fill.missed:
                    self._lag_ms_max = max(self._lag_ms_max, lag_ms)
                yield ObserveVisibility(view=View.TRADES, after_ms=lag_ms)
        for fill in self._fills.values():
            if fill.at_ns < asked_ns:
                fill.missed = True
                self._lag_ms_max = max(self._lag_ms_max, (now_ns - fill.at_ns) // _MS)

    # --- what it means -----------------------------------------------------------------

    @property
    def lag_ms_max(self) -> int:
        """How far a list was behind at most in this login; 0 when none was caught behind."""
        return self._lag_ms_max

    def canaries(self, account: AccountId, since_wall_ns: int) -> tuple[BrokerOrderId, ...]:
        """Return the account's orders that changed after that time, as the last list shows."""
        return tuple(
            broker_order_id
            for (owner, broker_order_id), order in self._orders.items()
            if owner == account
            and order.in_last
            and order.shown is not None
            and order.shown.since_wall_ns is not None
            and order.shown.since_wall_ns > since_wall_ns
        )

    def is_list_behind(self, account: AccountId) -> bool:
        """Say whether the last list lacked something that was told of the account before."""
        return any(owner == account and order.behind for (owner, _), order in self._orders.items())

    @property
    def are_trades_behind(self) -> bool:
        """True when the last trades lacked an execution that was told before."""
        return any(fill.missed for fill in self._fills.values())

    def known_since(self, account: AccountId, broker_order_id: BrokerOrderId) -> int | None:
        """Return when an order was first heard of in this login, wall time; None if never."""
        order = self._orders.get((account, broker_order_id))
        return None if order is None else order.since_wall_ns


def _progress_of(row: OrderRow) -> Progress:
    return Progress(filled_quantity=row.filled_quantity or Decimal(0), ended=row.status in ENDED)


def _remember(known: dict[Key, Value], key: Key, value: Value) -> None:
    """Put it in, and let the oldest go where there are too many."""
    known[key] = value
    if len(known) > KNOWN_MAX:
        del known[next(iter(known))]
