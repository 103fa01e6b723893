"""The checks of the ticket itself, against what its contract's rules allow.

Rule 1: what the rules do not allow is refused, never silently turned into something else.
Where they name no time in force at all, only DAY is taken.

Rule 2: a contract whose rules are not known can only be reduced; then what is checked is
what makes sense without them.
"""

from collections.abc import Iterator
from decimal import Decimal

from engine.domain.risk.exposure import ZERO
from engine.domain.risk.inputs import Inputs
from engine.domain.risk.limits import LARGEST, format_number
from engine.domain.risk.order_types import (
    LIMITED,
    MAYBE_CAPPED,
    MAYBE_STOPPED,
    STOPPED,
    TRAILING,
)
from engine.domain.risk.pricing import PERCENT, SMALLEST, Missing, has_rules
from engine.domain.risk.verdict import Check, Code, Verdict
from engine.domain.values import (
    Increment,
    Instrument,
    Side,
    TifRule,
    TimeInForce,
    TrailingType,
)


def check_order_type(inputs: Inputs) -> Verdict:
    """R16: the contract takes this type of order, and outside its hours if it is to."""
    check, ticket, instrument = Check.ORDER_TYPE, inputs.ticket, inputs.instrument
    if instrument is None or not has_rules(instrument):
        return Verdict(check=check)
    if ticket.type not in instrument.order_types:
        needs = f"one of {_listed(instrument.order_types)}"
        code = Code.ORDER_TYPE_UNSUPPORTED
        return inputs.refuse(check, code, needs=needs, order_type=ticket.type)
    if ticket.cash_quantity is not None:
        return _check_cash_type(inputs, instrument)
    return Verdict(check=check)


def _check_cash_type(inputs: Inputs, instrument: Instrument) -> Verdict:
    """Check whether the contract takes an amount of money with this side and type."""
    check, ticket, code = Check.ORDER_TYPE, inputs.ticket, Code.CASH_QUANTITY_UNSUPPORTED
    types = () if instrument.cash_increment is None else instrument.cash_types
    if not types:
        needs = "a quantity: the contract takes no cash_quantity"
        return inputs.refuse(check, code, needs=needs, order_type=ticket.type)
    if ticket.type not in types:
        needs = f"a quantity, or with a cash_quantity one of {_listed(types)}"
        return inputs.refuse(check, code, needs=needs, order_type=ticket.type)
    if ticket.side is Side.SELL:
        needs = "a quantity: the broker takes a cash_quantity only to buy"
        return inputs.refuse(check, code, needs=needs, side=ticket.side)
    if instrument.cash_currency not in {None, instrument.currency}:
        needs = f"a contract that is priced in {instrument.cash_currency}"
        return inputs.refuse(check, code, needs=needs, currency=instrument.currency)
    return Verdict(check=check)


def check_time_in_force(inputs: Inputs) -> Verdict:
    """R15: the contract takes this time in force with this type, and at these hours."""
    check, ticket, instrument = Check.TIME_IN_FORCE, inputs.ticket, inputs.instrument
    code, shown = Code.TIF_UNSUPPORTED, {"tif": ticket.tif, "order_type": ticket.type}
    if (ticket.tif is TimeInForce.GTD) is (ticket.good_till_ms is None):
        needs = "a time until which it is good with GTD, and with nothing else"
        return inputs.refuse(check, code, needs=needs, tif=ticket.tif)
    if instrument is None or not has_rules(instrument):
        return Verdict(check=check)
    # The broker's tickets have no field for the date of GTD: it is sent as GTC, and the
    # engine cancels it in time.
    sent = TimeInForce.GTC if ticket.tif is TimeInForce.GTD else ticket.tif
    rule = next((rule for rule in _tifs(instrument) if rule.tif is sent), None)
    if rule is None:
        # GTD may be among them, but what takes no GTC takes none of ours.
        takes = (rule.tif for rule in _tifs(instrument) if rule.tif is not TimeInForce.GTD)
        needs = f"one of {_listed(takes)}"
        return inputs.refuse(check, code, needs=needs, **shown)
    if rule.order_types is not None and ticket.type not in rule.order_types:
        needs = f"with {ticket.tif} one of {_listed(rule.order_types)}"
        return inputs.refuse(check, code, needs=needs, **shown)
    if ticket.outside_rth and not (
        rule.outside_rth and ticket.type in instrument.outside_rth_types
    ):
        types = instrument.outside_rth_types if rule.outside_rth else ()
        needs = f"outside_rth false, or with {ticket.tif} one of {_listed(types)}"
        code = Code.OUTSIDE_RTH_UNSUPPORTED
        return inputs.refuse(check, code, needs=needs, **shown)
    return Verdict(check=check)


def check_price(inputs: Inputs) -> Verdict:
    """R06: the prices of the type are there, no other is, and all are positive and on a tick."""
    check, kind = Check.PRICE, inputs.ticket.type
    for name, price, used, needed in _prices(inputs):
        if not used:
            if price is not None:
                needs = f"no {name} in a {kind} order"
                return inputs.refuse(check, Code.PRICE_UNEXPECTED, needs=needs, **{name: price})
        elif price is None and not needed:
            continue
        elif price is None or not price.is_finite() or price <= ZERO:
            code, needs = Code.PRICE_NOT_POSITIVE, "a price above 0"
            return inputs.refuse(check, code, needs=needs, **{name: price})
        elif needs := _price_needs(price, inputs.instrument):
            return inputs.refuse(check, Code.PRICE_INVALID_TICK, needs=needs, **{name: price})
    return _check_trail(inputs)


def check_quantity(inputs: Inputs) -> Verdict:
    """R07: the quantity is positive and made of what the contract trades in."""
    if inputs.ticket.cash_quantity is not None:
        return _check_cash(inputs, inputs.ticket.cash_quantity)
    check, quantity, instrument = Check.QUANTITY, inputs.ticket.quantity, inputs.instrument
    if not quantity.is_finite() or quantity <= ZERO:
        needs = "a quantity above 0 units"
        return inputs.refuse(check, Code.QTY_BELOW_MIN, needs=needs, quantity=quantity)
    former = inputs.former
    if former is not None and quantity <= former.filled_quantity:
        needs = f"more than the {format_number(former.filled_quantity)} units that have filled"
        return inputs.refuse(check, Code.QTY_BELOW_FILLED, needs=needs, quantity=quantity)
    if quantity > LARGEST:
        needs = f"at most {LARGEST:f} units"
        return inputs.refuse(check, Code.QTY_EXCEEDS_MAX, needs=needs, quantity=quantity)
    lot = SMALLEST
    if instrument is not None and has_rules(instrument):
        lot = instrument.size_increment
        types = instrument.fraction_types if lot % 1 else ()
        if quantity % 1 and inputs.ticket.type not in types:
            needs = f"whole units, or one of {_listed(types)}" if types else "whole units"
            return inputs.refuse(check, Code.FRACTION_UNSUPPORTED, needs=needs, quantity=quantity)
    if not _is_multiple(quantity, lot):
        needs = f"a multiple of {lot:f} units"
        return inputs.refuse(check, Code.QTY_INVALID_LOT, needs=needs, quantity=quantity)
    return Verdict(check=check)


def _check_cash(inputs: Inputs, cash: Decimal) -> Verdict:
    check, instrument, quantity = Check.QUANTITY, inputs.instrument, inputs.ticket.quantity
    if quantity != ZERO:
        needs = "either a quantity or a cash_quantity"
        code = Code.CASH_QUANTITY_UNSUPPORTED
        return inputs.refuse(check, code, needs=needs, quantity=quantity, cash_quantity=cash)
    if not cash.is_finite() or cash <= ZERO:
        needs = "a cash_quantity above 0"
        return inputs.refuse(check, Code.QTY_BELOW_MIN, needs=needs, cash_quantity=cash)
    units = inputs.units
    if isinstance(units, Missing):
        return inputs.unpriced(check, units)
    if cash > LARGEST or units > LARGEST:
        needs = f"at most {LARGEST:f} units"
        return inputs.refuse(check, Code.QTY_EXCEEDS_MAX, needs=needs, cash_quantity=cash)
    step = SMALLEST if instrument is None else instrument.cash_increment or SMALLEST
    if not _is_multiple(cash, step):
        needs = f"a multiple of {format_number(step)}"
        return inputs.refuse(check, Code.QTY_INVALID_LOT, needs=needs, cash_quantity=cash)
    if inputs.former is not None and units > inputs.former.units_max:
        # The reservation of a cash quantity is fixed when it is approved.
        needs = f"terms that fill at most {format_number(inputs.former.units_max)} units"
        code = Code.CASH_QUANTITY_UNSUPPORTED
        return inputs.refuse(
            check, code, needs=f"{needs}; cancel it, and place it anew", units=units
        )
    return Verdict(check=check)


def _check_trail(inputs: Inputs) -> Verdict:
    """Check how far a trailing stop follows: within a tick, or less than all of the price."""
    check, ticket = Check.PRICE, inputs.ticket
    amount, kind = ticket.trailing_amount, ticket.trailing_type
    if ticket.type not in TRAILING:
        if amount is None and kind is None:
            return Verdict(check=check)
        needs = f"no trailing_amount and no trailing_type in a {ticket.type} order"
        figures = {"trailing_amount": amount, "trailing_type": kind}
        return inputs.refuse(check, Code.PRICE_UNEXPECTED, needs=needs, **figures)
    if kind is None or amount is None or not amount.is_finite() or amount <= ZERO:
        needs = "a trailing_amount above 0 and a trailing_type"
        figures = {"trailing_amount": amount, "trailing_type": kind}
        return inputs.refuse(check, Code.TRAILING_INVALID, needs=needs, **figures)
    if kind is TrailingType.PERCENT:
        needs = "" if amount < PERCENT and _is_multiple(amount, SMALLEST) else "below 100 %"
    else:
        needs = _distance_needs(amount, inputs.instrument)
    if needs:
        figures = {"trailing_amount": amount, "trailing_type": kind}
        return inputs.refuse(check, Code.TRAILING_INVALID, needs=needs, **figures)
    return Verdict(check=check)


def _prices(inputs: Inputs) -> Iterator[tuple[str, Decimal | None, bool, bool]]:
    """Yield each price of the ticket: its name, itself, does the type use it, must it."""
    ticket, kind = inputs.ticket, inputs.ticket.type
    limited, stopped = kind in LIMITED, kind in STOPPED
    yield "limit_price", ticket.limit_price, limited, limited
    yield "stop_price", ticket.stop_price, stopped or kind in MAYBE_STOPPED, stopped
    yield "cap_price", ticket.cap_price, kind in MAYBE_CAPPED, False


def _tifs(instrument: Instrument) -> tuple[TifRule, ...]:
    return instrument.tifs or (TifRule(tif=TimeInForce.DAY),)


def _listed(values: Iterator[str] | tuple[str, ...]) -> str:
    return ", ".join(values) or "none"


def _is_multiple(value: Decimal, step: Decimal) -> bool:
    """Return whether a value up to `LARGEST` is made of whole steps of `FINEST` or more."""
    return value >= step and value % step == ZERO


def _price_needs(price: Decimal, instrument: Instrument | None) -> str:
    """Return what is wrong with a positive price, empty when nothing is."""
    if price > LARGEST:
        return f"at most {LARGEST:f}"
    tick = Increment(lower_edge=ZERO, increment=SMALLEST)
    if instrument is not None and has_rules(instrument):
        below = [step for step in instrument.increments if step.lower_edge <= price]
        if not below:
            return f"at least {format_number(instrument.increments[0].lower_edge)}"
        tick = below[-1]
    if not _is_multiple(price, tick.increment):
        edge = format_number(tick.lower_edge)
        return f"a multiple of {tick.increment:f} from {edge} upwards"
    return ""


def _distance_needs(amount: Decimal, instrument: Instrument | None) -> str:
    """Return what is wrong with a distance, empty when nothing is.

    It moves the price over its whole ladder, so the finest step of it is asked for.
    """
    if amount > LARGEST:
        return f"at most {LARGEST:f}"
    step = SMALLEST
    if instrument is not None and has_rules(instrument):
        step = min(rule.increment for rule in instrument.increments)
    return "" if _is_multiple(amount, step) else f"a multiple of {step:f}"
