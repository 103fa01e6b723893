"""What clients get about orders: ours, the refused ones, and those of others.

Rule: as in `answers.py`; decimals are strings of plain digits, what never came is null.
"""

from typing import Self

from engine.api.answers import DecimalText, ErrorBody, ReasonBody, Shown, TimeText, time_text
from engine.domain.values import (
    Confidence,
    OrderState,
    OrderType,
    Pending,
    Side,
    Terms,
    TimeInForce,
    TrailingType,
)
from engine.domain.views import ExternalOrderView, OrderView


class TermsBody(Shown):
    """All of the terms that a modify can change. `quantity` is null for an amount of money."""

    quantity: DecimalText | None
    limit_price: DecimalText | None
    stop_price: DecimalText | None

    @classmethod
    def of(cls, terms: Terms | None) -> Self | None:
        """Return the terms, None when there are none."""
        if terms is None:
            return None
        return cls(
            quantity=terms.quantity or None,
            limit_price=terms.limit_price,
            stop_price=terms.stop_price,
        )


class OrderBody(Shown):
    """An order as it durably is; `seq` is the event that made it so.

    `quantity` and `remaining_quantity` are null where `cash_quantity` says for how much
    money. The terms are those in force; while `pending` is replace, `wanted` has the new.
    """

    order_id: str
    client_order_id: str
    account: str
    conid: int
    symbol: str
    side: Side
    type: OrderType
    quantity: DecimalText | None
    filled_quantity: DecimalText
    remaining_quantity: DecimalText | None
    average_price: DecimalText | None
    limit_price: DecimalText | None
    stop_price: DecimalText | None
    tif: TimeInForce
    strategy: str | None
    state: OrderState
    pending: Pending
    confidence: Confidence
    reason: ReasonBody | None
    broker_order_id: str | None
    created_at: TimeText
    updated_at: TimeText
    seq: int
    sec_type: str
    cash_quantity: DecimalText | None
    trailing_type: TrailingType | None
    trailing_amount: DecimalText | None
    cap_price: DecimalText | None
    outside_rth: bool
    wanted: TermsBody | None

    @classmethod
    def of(cls, view: OrderView) -> Self:
        """Return the body of an order."""
        counts_units = view.cash_quantity is None
        return cls(
            order_id=view.order_id,
            client_order_id=view.client_order_id,
            account=view.account,
            conid=view.conid,
            symbol=view.symbol,
            side=view.side,
            type=view.type,
            quantity=view.quantity if counts_units else None,
            filled_quantity=view.filled_quantity,
            remaining_quantity=view.remaining_quantity if counts_units else None,
            average_price=view.average_price,
            limit_price=view.limit_price,
            stop_price=view.stop_price,
            tif=view.tif,
            strategy=view.strategy,
            state=view.state,
            pending=view.pending,
            confidence=view.confidence,
            reason=ReasonBody.of(view.reason),
            broker_order_id=view.broker_order_id,
            created_at=time_text(view.created_at_ns),
            updated_at=time_text(view.updated_at_ns),
            seq=view.seq,
            sec_type=view.sec_type,
            cash_quantity=view.cash_quantity,
            trailing_type=view.trailing_type,
            trailing_amount=view.trailing_amount,
            cap_price=view.cap_price,
            outside_rth=view.outside_rth,
            wanted=TermsBody.of(view.wanted),
        )


class DeniedAnswer(Shown):
    """An order that the engine refused; it was never sent and never will be."""

    order: OrderBody
    error: ErrorBody


class RefusedChangeAnswer(Shown):
    """New terms that the engine refused; the order stays as it is."""

    order: OrderBody
    error: ErrorBody


class OrdersAnswer(Shown):
    """Orders, newest first. `truncated` says that more pass the filter."""

    orders: tuple[OrderBody, ...]
    truncated: bool


class ExternalOrderBody(Shown):
    """An order at the broker that this engine did not send, in the broker's own words.

    A null is what the broker never told. Nothing here is checked or touched by the engine.
    """

    session: str
    broker_order_id: str
    order_ref: str | None
    conid: int | None
    symbol: str | None
    side: Side | None
    type: str | None
    quantity: DecimalText | None
    filled_quantity: DecimalText | None
    average_price: DecimalText | None
    limit_price: DecimalText | None
    stop_price: DecimalText | None
    tif: str | None
    status: str | None
    seen_at: TimeText

    @classmethod
    def of(cls, view: ExternalOrderView) -> Self:
        """Return the body of somebody else's order."""
        row = view.row
        return cls(
            session=view.session,
            broker_order_id=row.broker_order_id,
            order_ref=row.coid,
            conid=row.conid,
            symbol=row.symbol,
            side=row.side,
            type=row.order_type,
            quantity=row.total_quantity,
            filled_quantity=row.filled_quantity,
            average_price=row.average_price,
            limit_price=row.limit_price,
            stop_price=row.stop_price,
            tif=row.tif,
            status=row.status or row.unknown_status,
            seen_at=time_text(view.seen_at_ns),
        )


class ExternalOrdersAnswer(Shown):
    """Orders of an account that this engine did not send."""

    account: str
    orders: tuple[ExternalOrderBody, ...]
