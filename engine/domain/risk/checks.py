"""The checks that an order must pass before anything of it may leave.

Rule 1: a check is a small pure function from `Inputs` to a `Verdict`; `CHECKS` is their
order. Later checks rely on what earlier ones made sure of, so the first refusal ends it.

Rule 2: a missing or stale input refuses an order that may increase the position. One that
only reduces it passes without that input, bounded by the position.

Rule 3: no figure makes a check fail. What is too large or too fine to calculate with is
refused by comparing, which is always exact; `EXACT` has room for all the others.

Rule 4: reducing orders skip what guards capacity (R20, R25), never what guards against
mistakes (R05 to R13).
"""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Final, TypeAlias

from engine.domain.risk.exposure import NO_DOUBT, ZERO, Exposure
from engine.domain.risk.limits import EXACT, LARGEST, Limits, format_number
from engine.domain.risk.pricing import (
    SMALLEST,
    Missing,
    Priced,
    has_rules,
    miss_rules,
    price_order,
    read_touch,
)
from engine.domain.risk.verdict import Check, Code, Verdict, compare, refuse
from engine.domain.values import (
    Increment,
    Instrument,
    OrderType,
    Quote,
    Reason,
    Side,
    Ticket,
    TradingState,
)

BPS: Final = Decimal(10_000)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """Everything that the checks of one order look at.

    `quote_age_ms` is None without a quote. `trading_state` is the strictest of all that
    apply to the order, `trading_source` who or what says so.
    """

    ticket: Ticket
    instrument: Instrument | None
    quote: Quote | None
    quote_age_ms: int | None
    limits: Limits
    exposure: Exposure
    session_ready: bool
    session_reason: Reason | None
    trading_state: TradingState
    trading_source: str

    @property
    def reducing(self) -> bool:
        """True when the order can only bring the position nearer to flat."""
        return self.exposure.is_reducing(self.ticket.side, self.ticket.quantity)


def check_trading_state(inputs: Inputs) -> Verdict:
    """R02: the account, its groups, the strategy and the contract may trade."""
    check, state = Check.TRADING_STATE, inputs.trading_state
    if state is TradingState.NORMAL:
        return Verdict(check=check)
    if state is TradingState.REDUCE_ONLY:
        if inputs.reducing:
            return Verdict(check=check)
        return _refuse(
            inputs,
            check,
            Code.TRADING_REDUCE_ONLY,
            needs=f"a reducing order or trading state normal ({inputs.trading_source})",
            trading_state=state,
            **_position(inputs),
        )
    needs = f"trading state normal ({inputs.trading_source})"
    return _refuse(inputs, check, Code.TRADING_HALTED, needs=needs, trading_state=state)


def check_session(inputs: Inputs) -> Verdict:
    """R03: the account's session is logged in, warmed up and reconciled."""
    check = Check.SESSION
    if inputs.session_ready:
        return Verdict(check=check)
    reason = inputs.session_reason
    why = f" ({reason.code}: {reason.message})" if reason else ""
    return _refuse(inputs, check, Code.SESSION_NOT_READY, needs=f"a ready session{why}")


def check_instrument(inputs: Inputs) -> Verdict:
    """R05: the contract is known and tradable, and it may be traded in this way."""
    check, ticket, instrument = Check.INSTRUMENT, inputs.ticket, inputs.instrument
    if instrument is None or not has_rules(instrument):
        if inputs.reducing:
            return Verdict(check=check)
        return _unpriced(inputs, check, miss_rules(ticket))
    if not instrument.tradable:
        needs = "a contract that is traded"
        return _refuse(inputs, check, Code.INSTRUMENT_NOT_TRADABLE, needs=needs, conid=ticket.conid)
    allowed = inputs.limits.allow_sec_types
    if instrument.sec_type not in allowed:
        source = inputs.limits.source("instruments.allow_sec_types")
        needs = f"one of {', '.join(sorted(allowed)) or 'none'} (instruments.allow_sec_types,"
        return _refuse(
            inputs,
            check,
            Code.INSTRUMENT_RESTRICTED,
            needs=f"{needs} {source})",
            sec_type=instrument.sec_type,
        )
    if ticket.type not in instrument.order_types:
        needs = f"one of {', '.join(instrument.order_types) or 'none'}"
        return _refuse(
            inputs, check, Code.ORDER_TYPE_UNSUPPORTED, needs=needs, order_type=ticket.type
        )
    return Verdict(check=check)


def check_price(inputs: Inputs) -> Verdict:
    """R06: a limit price is there exactly when it should be, positive and on a tick."""
    check, price = Check.PRICE, inputs.ticket.limit_price
    if inputs.ticket.type is OrderType.MKT:
        if price is None:
            return Verdict(check=check)
        needs = "no price in a market order"
        return _refuse(inputs, check, Code.PRICE_UNEXPECTED, needs=needs, limit_price=price)
    if price is None or not price.is_finite() or price <= ZERO:
        code, needs = Code.PRICE_NOT_POSITIVE, "a price above 0"
        return _refuse(inputs, check, code, needs=needs, limit_price=price)
    needs = _price_needs(price, inputs.instrument)
    if needs:
        return _refuse(inputs, check, Code.PRICE_INVALID_TICK, needs=needs, limit_price=price)
    return Verdict(check=check)


def check_quantity(inputs: Inputs) -> Verdict:
    """R07: the quantity is positive and a multiple of what the contract trades in."""
    check, quantity, instrument = Check.QUANTITY, inputs.ticket.quantity, inputs.instrument
    if not quantity.is_finite() or quantity <= ZERO:
        needs = "a quantity above 0 units"
        return _refuse(inputs, check, Code.QTY_BELOW_MIN, needs=needs, quantity=quantity)
    if quantity > LARGEST:
        needs = f"at most {LARGEST:f} units"
        return _refuse(inputs, check, Code.QTY_EXCEEDS_MAX, needs=needs, quantity=quantity)
    lot = SMALLEST
    if instrument is not None and has_rules(instrument):
        lot = instrument.size_increment
    if not _is_multiple(quantity, lot):
        needs = f"a multiple of {lot:f} units"
        return _refuse(inputs, check, Code.QTY_INVALID_LOT, needs=needs, quantity=quantity)
    return Verdict(check=check)


def check_order_quantity(inputs: Inputs) -> Verdict:
    """R08: the quantity is within the limit of its security type."""
    if inputs.instrument is None:
        return Verdict(check=Check.ORDER_QUANTITY)
    return compare(
        Check.ORDER_QUANTITY,
        Code.QTY_EXCEEDS_MAX,
        inputs.ticket.account,
        field="quantity",
        value=inputs.ticket.quantity,
        limit=inputs.limits.max_qty(inputs.instrument.sec_type),
        sec_type=inputs.instrument.sec_type,
    )


def check_market_order(inputs: Inputs) -> Verdict:
    """R13: a market order meets a live market with a narrow spread."""
    check, quote = Check.MARKET_ORDER, inputs.quote
    if inputs.ticket.type is not OrderType.MKT:
        return Verdict(check=check)
    if quote is not None and quote.halted:
        # Before the age: a halted contract has no news, so its quote is always old.
        needs = "a contract that is not halted"
        return _refuse(inputs, check, Code.MARKET_HALTED, needs=needs, conid=inputs.ticket.conid)
    bid, ask = _touch(inputs, Side.SELL), _touch(inputs, Side.BUY)
    for side in (bid, ask):
        if isinstance(side, Missing):
            return Verdict(check=check) if inputs.reducing else _unpriced(inputs, check, side)
    assert isinstance(bid, Decimal)
    assert isinstance(ask, Decimal)
    if bid > ask:
        needs = "a bid below the ask"
        return _refuse(inputs, check, Code.NO_REFERENCE_PRICE, needs=needs, bid=bid, ask=ask)
    return compare(
        check,
        Code.SPREAD_TOO_WIDE,
        inputs.ticket.account,
        field="spread",
        value=(ask - bid) * 2 / (ask + bid) * BPS,
        limit=inputs.limits.market_max_spread_bps,
        bid=bid,
        ask=ask,
        quote_age_ms=inputs.quote_age_ms,
    )


def check_order_notional(inputs: Inputs) -> Verdict:
    """R09: what the order may cost is within the limit, for market orders, too."""
    check, ticket = Check.ORDER_NOTIONAL, inputs.ticket
    priced = _price(inputs)
    if isinstance(priced, Missing):
        return Verdict(check=check) if inputs.reducing else _unpriced(inputs, check, priced)
    return compare(
        check,
        Code.NOTIONAL_EXCEEDS_MAX,
        ticket.account,
        field="notional",
        value=ticket.quantity * priced.multiplier * priced.price,
        limit=inputs.limits.order_max_notional,
        quantity=ticket.quantity,
        price=priced.price,
        multiplier=priced.multiplier,
        quote_age_ms=inputs.quote_age_ms,
    )


def check_position(inputs: Inputs) -> Verdict:
    """R20: in the worst case the position stays within its limits.

    A position that is past a limit already may only be reduced.
    """
    check, ticket, exposure, limits = (
        Check.POSITION,
        inputs.ticket,
        inputs.exposure,
        inputs.limits,
    )
    if inputs.reducing:
        return Verdict(check=check)
    if exposure.position is None:
        needs = "the broker's holdings of the account, which were not read yet"
        return _refuse(inputs, check, Code.POSITION_UNKNOWN, needs=needs, conid=ticket.conid)
    priced = _price(inputs)
    if isinstance(priced, Missing):
        return _unpriced(inputs, check, priced)
    worst = exposure.worst(ticket.side, ticket.quantity)
    held = max(abs(exposure.lowest), abs(exposure.highest))
    figures = {
        **_position(inputs),
        "working_buy": exposure.working_buy,
        "working_sell": exposure.working_sell,
        "quantity": ticket.quantity,
    }
    direction = "long" if ticket.side is Side.BUY else "short"
    code, account = Code.POSITION_LIMIT, ticket.account
    in_units = compare(
        check,
        code,
        account,
        field=f"worst_{direction}",
        value=max(worst, held),
        limit=limits.position_max_qty,
        **figures,
    )
    in_money = compare(
        check,
        code,
        account,
        field=f"worst_{direction}_notional",
        value=max(worst * priced.price, held * priced.touch) * priced.multiplier,
        limit=limits.position_max_notional,
        **figures,
        price=priced.price,
        multiplier=priced.multiplier,
        quote_age_ms=inputs.quote_age_ms,
    )
    return max(in_units, in_money, key=lambda verdict: verdict.utilisation or ZERO)


def check_working_orders(inputs: Inputs) -> Verdict:
    """R25: the account, and this side of the contract, have room for one more order."""
    check, limits, exposure = Check.WORKING_ORDERS, inputs.limits, inputs.exposure
    if inputs.reducing:
        return Verdict(check=check)
    side = inputs.ticket.side
    code, account = Code.MAX_OPEN_ORDERS, inputs.ticket.account
    total = compare(
        check,
        code,
        account,
        field="working_orders",
        value=Decimal(exposure.orders_total + 1),
        limit=limits.working_max_total,
    )
    of_side = compare(
        check,
        code,
        account,
        field="working_orders",
        value=Decimal((exposure.orders_buy if side is Side.BUY else exposure.orders_sell) + 1),
        limit=limits.working_max_per_conid_side,
        conid=inputs.ticket.conid,
        side=side,
    )
    return max(total, of_side, key=lambda verdict: verdict.utilisation or ZERO)


RiskCheck: TypeAlias = Callable[[Inputs], Verdict]

CHECKS: Final[tuple[RiskCheck, ...]] = (
    check_trading_state,
    check_session,
    check_instrument,
    check_price,
    check_quantity,
    check_order_quantity,
    check_market_order,
    check_order_notional,
    check_position,
    check_working_orders,
)


def check_order(inputs: Inputs) -> tuple[Verdict, ...]:
    """Return the verdicts up to the first refusal, which then is the last of them."""
    verdicts: list[Verdict] = []
    with localcontext(EXACT):
        for check in CHECKS:
            verdicts.append(check(inputs))
            if not verdicts[-1].passed:
                break
    return tuple(verdicts)


def _refuse(inputs: Inputs, check: Check, code: Code, *, needs: str, **figures: object) -> Verdict:
    return refuse(check, code, inputs.ticket.account, needs=needs, **figures)


def _unpriced(inputs: Inputs, check: Check, missing: Missing) -> Verdict:
    return _refuse(inputs, check, missing.code, needs=missing.needs, **missing.figures)


def _touch(inputs: Inputs, side: Side) -> Decimal | Missing:
    return read_touch(inputs.quote, inputs.quote_age_ms, side, inputs.limits.price_max_age_ms)


def _price(inputs: Inputs) -> Priced | Missing:
    return price_order(
        inputs.ticket,
        inputs.instrument,
        _touch(inputs, inputs.ticket.side),
        currency=inputs.limits.notional_currency,
        reducing=inputs.reducing,
    )


def _position(inputs: Inputs) -> dict[str, object]:
    exposure = inputs.exposure
    if exposure.position is None:
        return {"position": "unknown"}
    found: dict[str, object] = {"position": exposure.position}
    if exposure.doubt != NO_DOUBT:
        found |= {"position_lowest": exposure.lowest, "position_highest": exposure.highest}
    return found


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
