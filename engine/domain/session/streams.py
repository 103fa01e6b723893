"""What a session's stream tells, held against what the polls show."""

from collections.abc import Iterable
from decimal import Decimal
from typing import TypeAlias

from engine.domain.messages import ReportAnomaly, RowsStreamed
from engine.domain.session.watch import TopicWatch
from engine.domain.values import (
    AccountId,
    BrokerOrderId,
    BrokerStatus,
    Execution,
    ExecutionId,
    OrderRow,
)

_OrderKey: TypeAlias = tuple[AccountId, BrokerOrderId]
_OrderState: TypeAlias = tuple[BrokerStatus | None, str | None, Decimal | None]


class Streams:
    """The topics of orders (`sor`) and of trades (`str`)."""

    def __init__(self) -> None:
        self.was_refreshed = False
        """True from when a mute topic was asked for again until it tells something."""
        self._orders: TopicWatch[_OrderKey, _OrderState] = TopicWatch()
        self._trades: TopicWatch[ExecutionId, None] = TopicWatch()

    @property
    def doubtful(self) -> bool:
        """True while a topic may be mute: then the polls are what orders are known by."""
        return self._orders.doubtful or self._trades.doubtful

    def begin(self) -> None:
        """A connection begins."""
        self._orders.begin()
        self._trades.begin()

    def tell(self, told: RowsStreamed, now_ns: int) -> None:
        """The stream brought news."""
        for row in told.rows:
            key = (row.account, row.broker_order_id)
            self._orders.tell({key: _merged(self._orders.known(key), row)}, now_ns)
        self._trades.tell(dict.fromkeys(told.executions), now_ns)
        if not self.doubtful:
            self.was_refreshed = False

    def poll_orders(self, rows: Iterable[OrderRow], now_ns: int) -> ReportAnomaly | None:
        """Take a warm read of all orders; return what to report of a mute topic."""
        polled = {(row.account, row.broker_order_id): _merged(None, row) for row in rows}
        return _report("sor", self._orders.poll(polled, now_ns))

    def poll_trades(self, executions: Iterable[Execution], now_ns: int) -> ReportAnomaly | None:
        """Take a read of all executions; return what to report of a mute topic."""
        polled: dict[ExecutionId, None] = dict.fromkeys(one.execution_id for one in executions)
        return _report("str", self._trades.poll(polled, now_ns))


def _merged(known: _OrderState | None, row: OrderRow) -> _OrderState:
    """Return the state that a row tells; what a part of a row leaves out is as known."""
    status, unknown, filled = known or (None, None, None)
    if row.status is not None or row.unknown_status is not None:
        status, unknown = row.status, row.unknown_status
    return (status, unknown, filled if row.filled_quantity is None else row.filled_quantity)


def _report(topic: str, untold: int) -> ReportAnomaly | None:
    if not untold:
        return None
    detail = f"polls showed {untold} changes that the topic {topic} did not tell"
    return ReportAnomaly(machine="session", kind=f"{topic}_silent", detail=detail)
