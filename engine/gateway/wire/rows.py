"""Order rows and executions, which lists and the stream write alike.

Rule 1: a row speaks only of what it mentions. What is absent or blank is None, and never
overwrites what is known.

Rule 2: one row that cannot be read is left out and reported; the others still count.

Rule 3: a row with a number that nothing real has is not read: no size is zero, no total
negative, no time beyond the calendar. What passes here can be computed with.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final, Generic, TypeVar

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
    identifier,
    loose_number,
    need_conid,
    need_identifier,
    need_number,
    need_positive,
    need_text,
    not_negative,
    number,
    sentence,
    text,
    whole,
)

T = TypeVar("T")
V = TypeVar("V")

_SIDES: Final = {
    **dict.fromkeys(("B", "BUY", "BOT"), Side.BUY),
    **dict.fromkeys(("S", "SELL", "SLD"), Side.SELL),
}
_STATUSES: Final = {status.value.lower(): status for status in BrokerStatus}
_TRADE_TIME: Final = re.compile(r"[0-9]{8}-[0-9]{2}:[0-9]{2}:[0-9]{2}")
_TIME_MS_MAX: Final = 253_402_300_799_999
"""The end of the year 9999, where calendars end."""
_OWN: Final = ("", "Core")
"""What follows the account in the name of its own row of results."""


@dataclass(frozen=True, slots=True)
class Readable(Generic[T]):
    """What could be read, in its order, and of each other row why it could not."""

    rows: tuple[T, ...]
    unread: tuple[str, ...]


def readable(values: Iterable[V], read: Callable[[V], T]) -> Readable[T]:
    """Read each of these rows with `read`; one that raises `BadAnswer` stops nothing."""
    rows: list[T] = []
    unread: list[str] = []
    for value in values:
        try:
            rows.append(read(value))
        except BadAnswer as error:
            unread.append(str(error))
    return Readable(tuple(rows), tuple(unread))


def order_row(row: Row) -> OrderRow:
    """Return one row of the orders list or of the stream's `sor`.

    Raises `BadAnswer` when it does not say whose order it is, or a quantity in it cannot
    be read or is negative. A conid that is not above zero names no contract.
    """
    status = text(row, "status")
    known = _STATUSES.get(status.replace(" ", "").lower()) if status else None
    conid = whole(row, "conid")
    return OrderRow(
        account=AccountId(need_identifier(row, "account", "acct")),
        broker_order_id=BrokerOrderId(need_identifier(row, "orderId")),
        coid=_coid(row),
        conid=ConId(conid) if conid is not None and conid > 0 else None,
        side=_SIDES.get((text(row, "side") or "").upper()),
        total_quantity=not_negative(row, "totalSize"),
        filled_quantity=not_negative(row, "filledQuantity"),
        average_price=loose_number(row, "avgPrice"),
        status=known,
        unknown_status=sentence(status) if status and known is None else None,
        reason=sentence(row.get("order_cancellation_by_system_reason")) or None,
    )


def execution(row: Row) -> Execution:
    """Return one row of the trades list or of the stream's `str`.

    Raises `BadAnswer` when anything but the commission and the references is missing, or
    the size is not above zero.
    """
    side = _SIDES.get(need_text(row, "side").upper())
    if side is None:
        message = f"side is {sentence(row['side'])[:40]!r}, expected B, BUY, BOT, S, SELL or SLD"
        raise BadAnswer(message)
    order_id = identifier(row, "order_id")
    return Execution(
        execution_id=ExecutionId(need_identifier(row, "execution_id")),
        account=AccountId(need_identifier(row, "account", "accountCode")),
        broker_order_id=BrokerOrderId(order_id) if order_id else None,
        coid=_coid(row),
        conid=ConId(need_conid(row, "conid")),
        side=side,
        quantity=need_positive(row, "size"),
        price=need_number(row, "price"),
        commission=loose_number(row, "commission"),
        at_ms=_trade_time_ms(row),
    )


def results(args: object) -> Readable[ProfitAndLoss]:
    """Return the running results in a `spl`: one an account, its `.Core` row.

    Rows of an adviser's models are left out: they are parts of the account's own.
    Raises `BadAnswer` when `args` has no rows.
    """
    named = ((*name.partition("."), row) for name, row in as_row(args, "spl args").items())
    own = ((account, row) for account, _, part, row in named if part in _OWN)
    return readable(own, _result)


def _result(item: tuple[str, object]) -> ProfitAndLoss:
    account, row = item[0], as_row(item[1], "the result")
    return ProfitAndLoss(
        account=AccountId(need_identifier({"account": account}, "account")),
        daily=number(row, "dpl"),
        unrealized=number(row, "upl"),
        net_liquidation=number(row, "nl"),
    )


def _coid(row: Row) -> Coid | None:
    coid = identifier(row, "order_ref")
    return Coid(coid) if coid else None


def _trade_time_ms(row: Row) -> int:
    """Return the time of a trade: epoch milliseconds, else the UTC text beside them."""
    at_ms = whole(row, "trade_time_r")
    if at_ms is not None:
        return _in_calendar(at_ms, "trade_time_r")
    words = need_text(row, "trade_time")
    if not _TRADE_TIME.fullmatch(words):
        message = f"trade_time is {words[:40]!r}, expected YYYYMMDD-hh:mm:ss"
        raise BadAnswer(message)
    try:
        at = datetime.strptime(words, "%Y%m%d-%H:%M:%S").replace(tzinfo=UTC)
    except ValueError as error:
        message = f"trade_time is {words!r}, not a time"
        raise BadAnswer(message) from error
    return _in_calendar(int(Decimal(at.timestamp()) * 1000), "trade_time")


def _in_calendar(at_ms: int, key: str) -> int:
    if not 0 < at_ms <= _TIME_MS_MAX:
        message = f"{key} is {at_ms} ms from 1970, expected 1 to {_TIME_MS_MAX}"
        raise BadAnswer(message)
    return at_ms
