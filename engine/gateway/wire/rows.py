"""Order rows and executions, which lists and the stream write alike.

Rule: a row speaks only of what it mentions. What is absent or blank is None, and never
overwrites what is known.
"""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from engine.domain.values import (
    AccountId,
    BrokerOrderId,
    BrokerStatus,
    Coid,
    ConId,
    Execution,
    ExecutionId,
    OrderRow,
    ProfitAndLoss,
    Side,
)
from engine.gateway.wire.lenient import (
    BadAnswer,
    Row,
    as_row,
    loose_number,
    need_number,
    need_text,
    need_whole,
    number,
    sentence,
    text,
    whole,
)

_SIDES: Final = {"B": Side.BUY, "BUY": Side.BUY, "S": Side.SELL, "SELL": Side.SELL}
_STATUSES: Final = {status.value.lower(): status for status in BrokerStatus}
_TRADE_TIME: Final = re.compile(r"[0-9]{8}-[0-9]{2}:[0-9]{2}:[0-9]{2}")
_CORE: Final = ".Core"


def order_row(row: Row) -> OrderRow:
    """Return one row of the orders list or of the stream's `sor`.

    Raises `BadAnswer` when it does not say whose order it is, or a quantity in it cannot
    be read.
    """
    status = text(row, "status")
    known = _STATUSES.get(status.replace(" ", "").lower()) if status else None
    conid = whole(row, "conid")
    return OrderRow(
        account=AccountId(need_text(row, "account", "acct")),
        broker_order_id=BrokerOrderId(need_text(row, "orderId")),
        coid=_coid(row),
        conid=ConId(conid) if conid is not None else None,
        side=_SIDES.get((text(row, "side") or "").upper()),
        total_quantity=number(row, "totalSize"),
        filled_quantity=number(row, "filledQuantity"),
        average_price=loose_number(row, "avgPrice"),
        status=known,
        unknown_status=status if status and known is None else None,
        reason=sentence(row.get("order_cancellation_by_system_reason")) or None,
    )


def execution(row: Row) -> Execution:
    """Return one row of the trades list or of the stream's `str`.

    Raises `BadAnswer` when anything but the commission and the references is missing.
    """
    side = _SIDES.get(need_text(row, "side").upper())
    if side is None:
        message = f"side is {str(row['side'])[:40]!r}, expected B or S"
        raise BadAnswer(message)
    order_id = text(row, "order_id")
    return Execution(
        execution_id=ExecutionId(need_text(row, "execution_id")),
        account=AccountId(need_text(row, "account", "accountCode")),
        broker_order_id=BrokerOrderId(order_id) if order_id else None,
        coid=_coid(row),
        conid=ConId(need_whole(row, "conid")),
        side=side,
        quantity=need_number(row, "size"),
        price=need_number(row, "price"),
        commission=loose_number(row, "commission"),
        at_ms=_trade_time_ms(row),
    )


def results(args: object) -> tuple[ProfitAndLoss, ...]:
    """Return the running results in a `spl`: one an account, its `.Core` row.

    Rows of an adviser's models are left out: they are parts of the account's own.
    """
    found = []
    for key, value in as_row(args, "spl args").items():
        account, dot, _ = key.partition(".")
        if dot and not key.endswith(_CORE):
            continue
        row = as_row(value, "spl row")
        found.append(
            ProfitAndLoss(
                account=AccountId(account),
                daily=number(row, "dpl"),
                unrealized=number(row, "upl"),
                net_liquidation=number(row, "nl"),
            )
        )
    return tuple(found)


def _coid(row: Row) -> Coid | None:
    coid = text(row, "order_ref")
    return Coid(coid) if coid else None


def _trade_time_ms(row: Row) -> int:
    """Return the time of a trade: epoch milliseconds, else the UTC text beside them."""
    at_ms = whole(row, "trade_time_r")
    if at_ms is not None:
        return at_ms
    words = need_text(row, "trade_time")
    if not _TRADE_TIME.fullmatch(words):
        message = f"trade_time is {words[:40]!r}, expected YYYYMMDD-hh:mm:ss"
        raise BadAnswer(message)
    try:
        at = datetime.strptime(words, "%Y%m%d-%H:%M:%S").replace(tzinfo=UTC)
    except ValueError as error:
        message = f"trade_time is {words!r}, not a time"
        raise BadAnswer(message) from error
    return int(Decimal(at.timestamp()) * 1000)
