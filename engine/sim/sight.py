"""What a client sees of orders and executions, and when.

Rule 1: the venue is the truth; this file decides only how late, how stale or how
hidden a client's view of it is.

Rule 2: the list, the stream and the trades are three views. Each may lag behind
the venue on its own, and none of them ever shows what did not happen.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from engine.sim.accounts import Position
from engine.sim.book import Book
from engine.sim.faults import Faults
from engine.sim.orders import Execution, Order

_PAST_STATES: Final = 16
_NUMBERS: Final = frozenset(
    {
        "remainingQuantity",
        "filledQuantity",
        "totalSize",
        "avgPrice",
        "price",
        "size",
        "net_amount",
        "commission",
        "position",
        "mktPrice",
        "mktValue",
        "avgCost",
        "marketPrice",
        "marketValue",
        "realizedPnl",
        "unrealizedPnl",
        "stop_price",
        "auxPrice",
        "trade_time_r",
        "lastExecutionTime_r",
    }
)
"""The fields whose form the broker changes from one build to the next."""

_BLANKED: Final = frozenset(
    {"avgPrice", "price", "avgCost", "mktPrice", "marketPrice", "auxPrice", "stop_price"}
)
_UNRECORDED: Final = frozenset({"auxPrice", "stop_price", "trailingAmt", "trailingType"})
_PARTIAL: Final = frozenset({"acct", "account", "conid", "conidex", "orderId", "status"})


class Sight:
    """One gateway's view of its venue."""

    def __init__(self, book: Book, faults: Faults) -> None:
        self._book = book
        self._faults = faults
        self._past: dict[int, list[Order]] = {}
        self._frozen_at_ms: int | None = None
        self._freeze_until_ms = 0
        self._unlisted: dict[int, int] = {}
        self._untold: dict[int, int] = {}
        self._status_late_ms: dict[int, int] = {}
        self._trades_late_ms: dict[int, int] = {}
        self._stale: dict[str, dict[int, Position]] | None = None

    def new_order(self, order_id: int, now_ms: int) -> None:
        """Draw how a new order will be seen."""
        faults = self._faults
        if faults.takes("hide_from_list"):
            self._unlisted[order_id] = now_ms + faults.span_ms("hide_s")
        if faults.takes("hide_from_stream"):
            self._untold[order_id] = now_ms + faults.span_ms("hide_s")
        if faults.takes("trades_late"):
            self._trades_late_ms[order_id] = faults.span_ms("trades_late_s")
        if faults.takes("status_late"):
            self._status_late_ms[order_id] = faults.span_ms("status_late_s")

    def remember(self, order: Order) -> None:
        """Keep what an order was, for lists that show it late; only the last states are kept."""
        past = self._past.setdefault(order.order_id, [])
        past.append(order)
        del past[:-_PAST_STATES]

    def look(self, now_ms: int) -> None:
        """Note when the list froze, and when positions went stale."""
        if self._faults.holds("frozen_orders_list"):
            if self._frozen_at_ms is None:
                self._faults.struck["frozen_orders_list"] += 1
                self._frozen_at_ms = now_ms
        elif now_ms >= self._freeze_until_ms:
            self._frozen_at_ms = None
        if not self._faults.holds("stale_positions"):
            self._stale = None
        elif self._stale is None:
            self._faults.struck["stale_positions"] += 1
            self._stale = {
                name: {conid: replace(row) for conid, row in account.positions.items()}
                for name, account in self._book.accounts.items()
            }

    def list_read(self, now_ms: int) -> None:
        """Draw whether the list freezes with this read."""
        if self._frozen_at_ms is None and self._faults.takes("freeze_orders_list"):
            self._frozen_at_ms = now_ms
            self._freeze_until_ms = now_ms + self._faults.span_ms("freeze_s")

    def listed(self, now_ms: int) -> list[Order]:
        """The orders as the list shows them, the newest first."""
        as_of_ms = now_ms - self._faults.order_list_lag_ms
        if self._frozen_at_ms is not None:
            as_of_ms = min(as_of_ms, self._frozen_at_ms)
        stale = as_of_ms < now_ms
        found: list[Order] = []
        for order in reversed(self._book.orders.values()):
            if now_ms < self._unlisted.get(order.order_id, 0):
                continue
            late_ms = self._status_late_ms.get(order.order_id, 0)
            if not stale and not late_ms:
                found.append(order)
                continue
            seen = self._state_at(order, min(as_of_ms, now_ms - late_ms))
            if seen is not None:
                found.append(seen)
        return found

    def shown(self, order: Order, now_ms: int) -> Order | None:
        """One order as its status shows it, None while it is not seen yet."""
        late_ms = self._status_late_ms.get(order.order_id, 0)
        return self._state_at(order, now_ms - late_ms) if late_ms else order

    def trades(self, now_ms: int) -> list[Execution]:
        """The executions that are seen by now."""
        late = self._trades_late_ms
        rows = self._book.executions
        if not late:
            return list(rows)
        return [row for row in rows if row.at_ms + late.get(row.order_id, 0) <= now_ms]

    def positions(self, account: str) -> Mapping[int, Position]:
        """The positions of an account as they are read."""
        if self._stale is not None:
            return self._stale.get(account, {})
        return self._book.accounts[account].positions

    def order_delay_ms(self, order_id: int, now_ms: int) -> int:
        """How much later than now the stream tells of an order."""
        hidden_ms = max(0, self._untold.get(order_id, 0) - now_ms)
        return max(hidden_ms, self._status_late_ms.get(order_id, 0))

    def trade_delay_ms(self, order_id: int) -> int:
        """How much later than now the stream tells of an execution."""
        return self._trades_late_ms.get(order_id, 0)

    def bare(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row of an order, which may lack the terms that no recording shows."""
        if not self._faults.holds("bare_rows"):
            return row
        return {key: value for key, value in row.items() if key not in _UNRECORDED}

    def partial(self, row: dict[str, Any]) -> dict[str, Any]:
        """A row of the stream, which may lack most of what changed."""
        if "status" not in row or not self._faults.shows("partial_rows"):
            return row
        return {key: value for key, value in row.items() if key in _PARTIAL}

    def drifted(self, rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """Rows with their numbers in the forms that another build would use."""
        return [self._drifted(row) for row in rows]

    def _drifted(self, row: dict[str, Any]) -> dict[str, Any]:
        faults = self._faults
        if faults.shows("empty_numbers"):
            row = {key: "" if key in _BLANKED else value for key, value in row.items()}
        if faults.shows("texts_as_numbers"):
            row = {key: _number(key, value) for key, value in row.items()}
        if faults.shows("thousands_separators"):
            row = {key: _separated(key, value) for key, value in row.items()}
        if faults.shows("numbers_as_texts"):
            row = {key: _text(key, value) for key, value in row.items()}
        return row

    def _state_at(self, order: Order, as_of_ms: int) -> Order | None:
        past = self._past.get(order.order_id, [order])
        seen = [row for row in past if row.updated_at_ms <= as_of_ms]
        return seen[-1] if seen else None


def _number(key: str, value: Any) -> Any:
    if key not in _NUMBERS or not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        return value


def _text(key: str, value: Any) -> Any:
    if key not in _NUMBERS or isinstance(value, bool | str) or value is None:
        return value
    return str(value)


def _separated(key: str, value: Any) -> Any:
    """From 1,000 on; the times are left alone, which no build ever wrote so."""
    if key not in _NUMBERS or key.endswith("_r") or isinstance(value, bool) or value is None:
        return value
    try:
        number = float(value)
    except ValueError:
        return value
    return value if abs(number) < 1000 else f"{number:,}"  # noqa: PLR2004 - where separators start
