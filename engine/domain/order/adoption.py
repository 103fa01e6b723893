"""How somebody else's order becomes a ticket of ours.

Only what the broker's row says is taken over. An order whose contract, side, quantity or
type is not known cannot be adopted: nobody could say what it may still do.
"""

from typing import Final

from engine.domain.values import (
    ClientOrderId,
    OrderRow,
    OrderType,
    Reason,
    Ticket,
    TimeInForce,
)

UNADOPTABLE: Final = "UNADOPTABLE"
"""The code of an order that cannot be adopted."""

_PRICES: Final = {
    OrderType.LMT: ("limit_price",),
    OrderType.STP: ("stop_price",),
    OrderType.STOP_LIMIT: ("limit_price", "stop_price"),
    OrderType.LOC: ("limit_price",),
    OrderType.MIT: ("stop_price",),
    OrderType.LIT: ("limit_price", "stop_price"),
}
_NO_PRICE: Final = frozenset({OrderType.MKT, OrderType.MOC})


def obstacle_of(row: OrderRow) -> Reason | None:
    """Say why the order of this row cannot be adopted, None when it can."""
    lacking = [
        name
        for name, value in (
            ("contract", row.conid),
            ("side", row.side),
            ("quantity", row.total_quantity),
            ("type", row.order_type),
        )
        if not value
    ]
    if lacking:
        text = f"the broker does not say the {' nor the '.join(lacking)} of the order"
    elif _type_of(row) is None:
        text = f"the order's type is {row.order_type}, which is none of {', '.join(OrderType)}"
    else:
        return None
    return Reason(code=UNADOPTABLE, message=f"order {row.broker_order_id}: {text}")


def ticket_of(row: OrderRow) -> Ticket:
    """Return the row's order as a ticket; `obstacle_of` has said that there is one."""
    kind = _type_of(row)
    assert row.conid is not None
    assert row.side is not None
    assert row.total_quantity is not None
    assert kind is not None
    return Ticket(
        account=row.account,
        client_order_id=ClientOrderId(f"adopted-{row.broker_order_id}"),
        conid=row.conid,
        symbol=row.symbol or "",
        side=row.side,
        type=kind,
        quantity=row.total_quantity,
        limit_price=row.limit_price,
        tif=_tif_of(row) or TimeInForce.DAY,
        stop_price=row.stop_price,
    )


def unsaid_terms(row: OrderRow) -> tuple[str, ...]:
    """Return what a change of the order would have to repeat and the row does not say.

    A modify at the broker is the whole ticket; what is left out of it would be changed.
    """
    kind = _type_of(row)
    if kind in _NO_PRICE:
        prices: tuple[str, ...] = ()
    elif kind in _PRICES:
        prices = _PRICES[kind]
    else:
        return ("trailing amount, cap price or offset",)
    unsaid = [name.replace("_", " ") for name in prices if getattr(row, name) is None]
    if _tif_of(row) is None:
        unsaid.append("time in force")
    return tuple(unsaid)


def _type_of(row: OrderRow) -> OrderType | None:
    return OrderType(row.order_type) if row.order_type in set(OrderType) else None


def _tif_of(row: OrderRow) -> TimeInForce | None:
    return TimeInForce(row.tif) if row.tif in set(TimeInForce) else None
