"""What a session's stream tells, held against what the polls show."""

from collections.abc import Iterable
from typing import TypeAlias

from engine.domain.messages import ReportAnomaly, RowsStreamed
from engine.domain.session.watch import TopicWatch
from engine.domain.values import AccountId, BrokerOrderId, Execution, ExecutionId, OrderRow

_OrderKey: TypeAlias = tuple[AccountId, BrokerOrderId]


class Streams:
    """The topics of orders (`sor`) and of trades (`str`)."""

    def __init__(self) -> None:
        self.was_refreshed = False
        """True from when a mute topic was asked for again until it tells something."""
        self._orders: TopicWatch[_OrderKey] = TopicWatch()
        self._trades: TopicWatch[ExecutionId] = TopicWatch()

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
        self._orders.tell(((row.account, row.broker_order_id) for row in told.rows), now_ns)
        self._trades.tell(told.executions, now_ns)
        if not self.doubtful:
            self.was_refreshed = False

    def poll_orders(self, rows: Iterable[OrderRow], now_ns: int) -> ReportAnomaly | None:
        """Take a warm read of all orders; return what to report of a mute topic."""
        polled = {
            (row.account, row.broker_order_id): (
                row.status,
                row.unknown_status,
                row.filled_quantity,
            )
            for row in rows
        }
        return _report("sor", self._orders.poll(polled, now_ns))

    def poll_trades(self, executions: Iterable[Execution], now_ns: int) -> ReportAnomaly | None:
        """Take a read of all executions; return what to report of a mute topic."""
        polled = dict.fromkeys(one.execution_id for one in executions)
        return _report("str", self._trades.poll(polled, now_ns))


def _report(topic: str, untold: int) -> ReportAnomaly | None:
    if not untold:
        return None
    detail = f"polls showed {untold} changes that the topic {topic} did not tell"
    return ReportAnomaly(machine="session", kind=f"{topic}_silent", detail=detail)
