"""Orders and executions in the broker's own rows.

Rule: the broker's type quirks are kept: `orderId` is a number here and a text
in acknowledgements, prices are texts, sizes are floats, order status is almost
all texts. Floats appear on the wire only; nothing is computed with them.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from engine.sim.instruments import Instrument
from engine.sim.orders import ENDED, Execution, Order, OrderStatus

_WORDS: Final[Mapping[str, tuple[str, str, str]]] = {
    # wire order type: (orderType, origOrderType, order_type of order/status)
    "MKT": ("Market", "MARKET", "MARKET"),
    "LMT": ("Limit", "LIMIT", "LIMIT"),
    "STP": ("Stop", "STOP", "STOP"),
    "STOP_LIMIT": ("Stop Limit", "STOP_LIMIT", "STOP_LIMIT"),
    "TRAIL": ("Trailing Stop", "TRAILING_STOP", "TRAILING_STOP"),
    "TRAILLMT": ("Trailing Stop Limit", "TRAILING_STOP_LIMIT", "TRAILING_STOP_LIMIT"),
    "MIDPRICE": ("MidPrice", "MIDPRICE", "MIDPRICE"),
    "MOC": ("Market on Close", "MARKETONCLOSE", "MARKETONCLOSE"),
    "LOC": ("Limit on Close", "LIMITONCLOSE", "LIMITONCLOSE"),
    "MIT": ("Market if Touched", "MIT", "MIT"),
    "LIT": ("Limit if Touched", "LIT", "LIT"),
    "REL": ("Relative", "RELATIVE", "RELATIVE"),
}
# Their one price, which is in `price`, is a stop or a trigger and no limit.
_PRICE_IS_STOP: Final = frozenset({"STP", "TRAIL", "MIT"})
_COLOURS: Final[Mapping[OrderStatus, tuple[str, str]]] = {
    OrderStatus.INACTIVE: ("#000000", "#AFAFAF"),
    OrderStatus.PENDING_SUBMIT: ("#000000", "#3399CC"),
    OrderStatus.PRE_SUBMITTED: ("#FFFFFF", "#0000CC"),
    OrderStatus.SUBMITTED: ("#000000", "#00F000"),
    OrderStatus.PENDING_CANCEL: ("#000000", "#FF9900"),
    OrderStatus.FILLED: ("#FFFFFF", "#000000"),
    OrderStatus.CANCELLED: ("#FFFFFF", "#AA0000"),
}
_SPARSE: Final = ("acct", "conidex", "conid", "account", "orderId", "isEventTrading")
FILTER_NAMES: Final[Mapping[str, str]] = {
    "inactive": "Inactive",
    "pending_submit": "PendingSubmit",
    "pre_submitted": "PreSubmitted",
    "submitted": "Submitted",
    "filled": "Filled",
    "pending_cancel": "PendingCancel",
    "pre_cancelled": "PreCancelled",
    "cancelled": "Cancelled",
    "warn_state": "WarnState",
}


def plain(value: Decimal) -> str:
    """A number without exponent or trailing zeros."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def amount(value: Decimal, digits: int = 2) -> str:
    """A number with thousands separators, as previews and summaries show it."""
    text = f"{value:,.{digits}f}"
    return text.removesuffix("." + "0" * digits) if digits else text


def short_time(at_ms: int) -> str:
    """`YYMMDDhhmmss` in UTC."""
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%y%m%d%H%M%S")


def long_time(at_ms: int) -> str:
    """`YYYYMMDD-hh:mm:ss` in UTC."""
    return datetime.fromtimestamp(at_ms // 1000, UTC).strftime("%Y%m%d-%H:%M:%S")


def order_row(order: Order, instrument: Instrument) -> dict[str, Any]:
    """The full row of the orders list, also the first row `sor` sends."""
    ticket = order.ticket
    shown_type, original_type, _ = _WORDS[ticket.order_type]
    background, foreground = _COLOURS[order.status]
    unsent = order.status is OrderStatus.INACTIVE and not order.rejected
    row: dict[str, Any] = {
        "acct": ticket.account,
        "conidex": str(ticket.conid),
        "conid": ticket.conid,
        "account": ticket.account,
        "orderId": order.order_id,
        "cashCcy": instrument.currency,
        "sizeAndFills": _size_and_fills(order),
        "orderDesc": _description(order, instrument, with_symbol=True),
        "description1": instrument.local_symbol
        if instrument.sec_type == "CASH"
        else instrument.symbol,
        "ticker": instrument.symbol,
        "secType": instrument.sec_type,
        "listingExchange": instrument.exchange,
        "remainingQuantity": float(order.remaining_quantity),
        "filledQuantity": float(order.filled_quantity),
        "totalSize": float(ticket.quantity),
        "companyName": instrument.name,
        "status": order.status.value,
        "order_ccp_status": "Pending Submit" if unsent else order.status.value,
        "origOrderType": original_type,
        "supportsTaxOpt": "1",
        "lastExecutionTime": short_time(order.updated_at_ms),
        "lastExecutionTime_r": order.updated_at_ms // 1000 * 1000,
        "orderType": shown_type,
        "bgColor": background,
        "fgColor": foreground,
        "isEventTrading": "0",
        "price": _shown_price(order, instrument),
        "timeInForce": ticket.tif,
        "side": ticket.side,
    }
    row |= _more_terms(order, instrument)
    if ticket.coid is not None:
        row["order_ref"] = ticket.coid
    if ticket.outside_rth:
        row["outsideRTH"] = True
    if order.parent_id is not None:
        row["parentId"] = order.parent_id
    if order.oca_group is not None:
        row["ocaGroupId"] = order.oca_group
    if order.filled_quantity:
        row["avgPrice"] = _average(order, instrument)
    if order.reason is not None and order.status is OrderStatus.CANCELLED:
        row["order_cancellation_by_system_reason"] = order.reason
    return row


def _more_terms(order: Order, instrument: Instrument) -> dict[str, Any]:
    """What only some orders have: second prices, trails, an amount of money, a contract's terms."""
    ticket, terms = order.ticket, instrument.terms
    row: dict[str, Any] = {}
    stop = _stop(order)
    if stop is not None:
        row["stop_price"] = instrument.price_text(stop)
        if ticket.order_type not in _PRICE_IS_STOP:
            row["auxPrice"] = instrument.price_text(stop)
    if ticket.trailing_amount is not None:
        row["trailingType"] = ticket.trailing_type
        row["trailingAmt"] = plain(ticket.trailing_amount)
    if ticket.cash_quantity is not None:
        row["totalCashSize"] = float(ticket.cash_quantity)
    if terms is not None:
        row["description2"] = terms
    return row


def row_delta(before: Mapping[str, Any] | None, after: dict[str, Any]) -> dict[str, Any]:
    """What `sor` sends: the first row whole, later ones with the changes only."""
    if before is None:
        return after
    changed = {key: value for key, value in after.items() if before.get(key) != value}
    return {"acct": after["acct"], "orderId": after["orderId"], **changed}


def sparse_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row of ids only that the broker sends now and then."""
    return {key: row[key] for key in _SPARSE}


def execution_row(
    execution: Execution, instrument: Instrument, *, submitter: str, with_commission: bool
) -> dict[str, Any]:
    """One row of `str` and of the trades list."""
    ticket = execution.ticket
    word = "Bot" if ticket.is_buy else "Sold"
    price, size = instrument.price_text(execution.price), plain(execution.quantity)
    row: dict[str, Any] = {
        "execution_id": execution.execution_id,
        "symbol": instrument.symbol,
        "supports_tax_opt": "1",
        "side": "B" if ticket.is_buy else "S",
        "order_description": f"{word} {size} @ {price} on {instrument.exchange}",
        "trade_time": long_time(execution.at_ms),
        "trade_time_r": execution.at_ms,
        "size": float(execution.quantity),
        "price": price,
        "submitter": submitter,
        "exchange": instrument.exchange,
        "net_amount": float(execution.price * execution.quantity * instrument.multiplier),
        "account": ticket.account,
        "accountCode": ticket.account,
        "account_allocation_name": ticket.account,
        "company_name": instrument.name,
        "contract_description_1": instrument.symbol,
        "sec_type": instrument.sec_type,
        "listing_exchange": instrument.exchange,
        "conid": ticket.conid,
        "conidEx": str(ticket.conid),
        "position": plain(execution.position_after),
        "clearing_id": "IB",
        "clearing_name": "IB",
        "liquidation_trade": "0",
        "is_event_trading": "0",
        "order_id": execution.order_id,
    }
    if ticket.coid is not None:
        row["order_ref"] = ticket.coid
    if with_commission:
        row["commission"] = plain(execution.commission)
    return row


def status_row(order: Order, instrument: Instrument, *, request_id: int) -> dict[str, Any]:
    """The answer of order/status: snake_case and almost all texts."""
    ticket, ended = order.ticket, order.status in ENDED
    background, foreground = _COLOURS[order.status]
    row: dict[str, Any] = {
        "sub_type": None,
        "request_id": str(request_id),
        "server_id": "19553",
        "order_id": order.order_id,
        "conidex": str(ticket.conid),
        "conid": ticket.conid,
        "symbol": instrument.symbol,
        "side": "B" if ticket.is_buy else "S",
        "contract_description_1": instrument.symbol,
        "listing_exchange": instrument.exchange,
        "option_acct": "c",
        "company_name": instrument.name,
        "size": str(float(order.remaining_quantity)),
        "total_size": str(float(ticket.quantity)),
        "currency": instrument.currency,
        "account": ticket.account,
        "order_type": _WORDS[ticket.order_type][2],
        "limit_price": _price_or_blank(_limit(order), instrument),
        "stop_price": _price_or_blank(_stop(order), instrument),
        "cum_fill": str(float(order.filled_quantity)),
        "order_status": order.status.value,
        "order_ccp_status": "2" if order.status is OrderStatus.FILLED else "0",
        "order_status_description": f"Order {order.status.value}",
        "tif": ticket.tif,
        "fg_color": foreground,
        "bg_color": background,
        "order_not_editable": ended,
        "editable_fields": "\u001e",
        "cannot_cancel_order": ended or order.rejected,
        "deactivate_order": False,
        "sec_type": instrument.sec_type,
        "order_description": _description(order, instrument, with_symbol=False),
        "order_description_with_contract": _description(order, instrument, with_symbol=True),
        "clearing_id": "IB",
        "clearing_name": "IB",
        "alert_active": 1,
        "child_order_type": "0",
        "order_clearing_account": ticket.account,
        "size_and_fills": _size_and_fills(order),
        "average_price": _average(order, instrument) if order.filled_quantity else "",
        "order_time": short_time(order.accepted_at_ms),
    }
    if ticket.trailing_amount is not None:
        row["trailing_amount"] = plain(ticket.trailing_amount)
        row["trailing_amount_unit"] = ticket.trailing_type
    if ticket.cash_quantity is not None:
        row["cash_quantity"] = plain(ticket.cash_quantity)
    if ticket.outside_rth:
        row["outside_rth"] = True
    if order.oca_group is not None:
        row["oca_group_id"] = order.oca_group
    if ticket.coid is not None:
        row["order_ref"] = ticket.coid
    return row


def acknowledgement(order: Order) -> dict[str, Any]:
    """The row that answers an accepted order; `order_id` is a text here."""
    row: dict[str, Any] = {
        "order_id": str(order.order_id),
        "order_status": order.status.value if order.rejected else _acknowledged_status(order),
        "encrypt_message": "1",
    }
    if order.ticket.coid is not None:
        row["local_order_id"] = order.ticket.coid
    if order.parent_id is not None:
        row["parent_order_id"] = str(order.parent_id)
    return row


def failed_row(text: str) -> dict[str, Any]:
    """The row of an order of a request that was refused while others were taken."""
    return {"order_id": "-1", "order_status": "Failed", "text": text, "warning_message": ""}


def _acknowledged_status(order: Order) -> str:
    """An order just taken reads PreSubmitted, although its first row says Inactive."""
    if order.status is OrderStatus.INACTIVE:
        return OrderStatus.PRE_SUBMITTED.value
    return order.status.value


def _average(order: Order, instrument: Instrument) -> str:
    return plain(round(order.average_price, instrument.price_digits + 2))


def _size_and_fills(order: Order) -> str:
    if order.status is OrderStatus.FILLED:
        return plain(order.ticket.quantity)
    return f"{plain(order.filled_quantity)}/{plain(order.remaining_quantity)}"


def _limit(order: Order) -> Decimal | None:
    return order.ticket.limit_price if order.limit_price is None else order.limit_price


def _stop(order: Order) -> Decimal | None:
    return order.ticket.stop_price if order.stop_price is None else order.stop_price


def _shown_price(order: Order, instrument: Instrument) -> str:
    is_stop = order.ticket.order_type in _PRICE_IS_STOP
    return _price_or_blank(_stop(order) if is_stop else _limit(order), instrument)


def _price_or_blank(price: Decimal | None, instrument: Instrument) -> str:
    return "" if price is None else instrument.price_text(price)


def _description(order: Order, instrument: Instrument, *, with_symbol: bool) -> str:
    ticket = order.ticket
    verbs = ("Bought", "Sold") if order.status is OrderStatus.FILLED else ("Buy", "Sell")
    words = [verbs[0] if ticket.is_buy else verbs[1], plain(ticket.quantity)]
    if with_symbol:
        words.append(instrument.symbol)
        words.extend([instrument.terms] if instrument.terms else [])
    words.append(_WORDS[ticket.order_type][0])
    price = _shown_price(order, instrument)
    if price:
        words.append(price)
    tif = "Day" if ticket.tif == "DAY" else ticket.tif
    return f"{' '.join(words)}, {tif}"
