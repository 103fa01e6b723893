"""Order rows and executions, which lists and the stream write alike.

Rule 1: a row speaks only of what it mentions. What is absent or blank is None, and never
overwrites what is known.

Rule 2: one row that cannot be read is left out and reported; the others still count.

Rule 3: what tells an order's terms (type, prices, time in force) never costs a row: a
term that cannot be read is None. The quantities must be readable, as fills are counted.

Rule 4: a row with a number that nothing real has is not read: no size is zero, no total
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
    OrderType,
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
from engine.gateway.wire.ticket import CAPPED, LIMITED, STOPPED, STOPPED_BESIDE

T = TypeVar("T")
V = TypeVar("V")

_SIDES: Final = {
    **dict.fromkeys(("B", "BUY", "BOT"), Side.BUY),
    **dict.fromkeys(("S", "SELL", "SLD"), Side.SELL),
}
_STATUSES: Final = {status.value.lower(): status for status in BrokerStatus}
_ORDER_TYPES: Final = {
    **{kind.value.replace("_", ""): kind for kind in OrderType},
    "MARKET": OrderType.MKT,
    "LIMIT": OrderType.LMT,
    "STOP": OrderType.STP,
    "STPLMT": OrderType.STOP_LIMIT,
    "STPLIMIT": OrderType.STOP_LIMIT,
    "TRAILINGSTOP": OrderType.TRAIL,
    "TRAILINGSTOPLIMIT": OrderType.TRAILLMT,
    "TRAILLIMIT": OrderType.TRAILLMT,
    "MARKETONCLOSE": OrderType.MOC,
    "LIMITONCLOSE": OrderType.LOC,
    "MARKETIFTOUCHED": OrderType.MIT,
    "LIMITIFTOUCHED": OrderType.LIT,
    "RELATIVE": OrderType.REL,
}
"""Order types as rows write them, without what parts their words: `Stop Limit`, `STOP_LIMIT`."""
_NOT_WORDS: Final = re.compile(r"[^A-Z]+")
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
    """Return one row of the orders list, of the stream's `sor` or of an order's status.

    The first two write `orderId` and `totalSize`, the last `order_id` and `total_size`.
    Raises `BadAnswer` when it does not say whose order it is, or a quantity in it cannot
    be read or is negative. A conid that is not above zero names no contract.
    """
    status = text(row, "status") or text(row, "order_status")
    known = _STATUSES.get(status.replace(" ", "").lower()) if status else None
    conid = whole(row, "conid")
    kind = _order_type(row)
    limit_price, stop_price = _prices(row, kind)
    parent = _link(row, "parentId", "parent_id", "parent_order_id")
    return OrderRow(
        account=AccountId(need_identifier(row, "account", "acct")),
        broker_order_id=BrokerOrderId(need_identifier(row, "orderId", "order_id")),
        coid=_coid(row),
        conid=ConId(conid) if conid is not None and conid > 0 else None,
        side=_SIDES.get((text(row, "side") or "").upper()),
        total_quantity=_total(row, "totalSize", "total_size"),
        filled_quantity=_total(row, "filledQuantity", "cum_fill"),
        average_price=_loosely(row, "avgPrice", "average_price"),
        status=known,
        unknown_status=sentence(status) if status and known is None else None,
        reason=sentence(row.get("order_cancellation_by_system_reason")) or None,
        symbol=_words(row, "ticker", "symbol"),
        order_type=kind,
        limit_price=limit_price,
        stop_price=stop_price,
        tif=_words(row, "timeInForce", "tif"),
        parent_id=None if parent is None else BrokerOrderId(parent),
        oca_group=_link(row, "ocaGroupId", "oca_group_id"),
    )


def execution(row: Row) -> Execution:
    """Return one row of the trades list or of the stream's `str`.

    A size of 0 is a later revision's: the exchange has busted the trade. Raises `BadAnswer`
    when anything but the commission and the references is missing, or the size is negative.
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
        quantity=_size(row),
        price=need_number(row, "price"),
        commission=loose_number(row, "commission"),
        at_ms=_trade_time_ms(row),
    )


def _size(row: Row) -> Decimal:
    return Decimal(0) if number(row, "size") == 0 else need_positive(row, "size")


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


def _order_type(row: Row) -> str | None:
    """Return the order's type in the engine's spelling, else in the broker's own words.

    `origOrderType` is what was asked for; `orderType` may be what became of it, such as the
    limit order that a stop-limit turned into.
    """
    shown = None
    for key in ("origOrderType", "orderType", "order_type"):
        written = _words(row, key)
        if written is None:
            continue
        kind = _ORDER_TYPES.get(_NOT_WORDS.sub("", written.upper()))
        if kind is not None:
            return kind.value
        shown = shown or written
    return shown


def _prices(row: Row, kind: str | None) -> tuple[Decimal | None, Decimal | None]:
    """Return the limit and the stop price of a row.

    What `price` is depends on the type, so without one that is known it says nothing; an
    order's status has a name for each instead.
    """
    limit, stop = loose_number(row, "limit_price"), loose_number(row, "stop_price")
    price, beside = loose_number(row, "price"), _loosely(row, "auxPrice", "aux_price")
    if kind in STOPPED:
        return None, _first(stop, price, beside, limit)
    if kind in STOPPED_BESIDE:
        return _first(limit, price), _first(stop, beside)
    if kind in LIMITED:
        return _first(limit, price), None
    if kind in CAPPED or kind == OrderType.MKT:
        return None, None
    return limit, stop


def _first(*values: Decimal | None) -> Decimal | None:
    return next((value for value in values if value is not None), None)


def _loosely(row: Row, *keys: str) -> Decimal | None:
    return _first(*(loose_number(row, key) for key in keys))


def _total(row: Row, *keys: str) -> Decimal | None:
    return _first(*(not_negative(row, key) for key in keys))


def _words(row: Row, *keys: str) -> str | None:
    """Return the first of these members that is a text with words in it."""
    found = (row.get(key) for key in keys)
    return next((words for value in found if (words := sentence(value))), None)


def _coid(row: Row) -> Coid | None:
    coid = identifier(row, "order_ref")
    return Coid(coid) if coid else None


def _link(row: Row, *keys: str) -> str | None:
    """Return the id of what an order hangs together with; None where it stands alone."""
    try:
        found = identifier(row, *keys)
    except BadAnswer:
        return None
    return None if found == "0" else found


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
