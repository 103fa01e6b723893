"""The checks that an order must pass before anything of it may leave.

Rule 1: a check is a small pure function from `Inputs` to a `Verdict`; `CHECKS` is their
order. Later checks rely on what earlier ones made sure of, so the first refusal ends it.

Rule 2: a missing or stale input refuses an order that may increase the position. One that
only reduces it passes without that input, bounded by the position.

Rule 3: no figure makes a check fail. What is too large or too fine to calculate with is
refused by comparing, which is always exact; `EXACT` has room for all the others.

Rule 4: reducing orders skip what guards capacity (R20, R25), never what guards against
mistakes (R05 to R16).

Rule 5: of a change, the new terms are checked as if the order were new, with what the old
ones reserve taken out. One that makes nothing larger passes what guards capacity and size.
"""

from collections.abc import Callable
from decimal import ROUND_CEILING, Decimal, localcontext
from typing import Final, TypeAlias

from engine.domain.risk.exposure import ZERO
from engine.domain.risk.inputs import Inputs
from engine.domain.risk.limits import EXACT
from engine.domain.risk.order_types import meets_market_now
from engine.domain.risk.pricing import Missing, has_rules, miss_rules
from engine.domain.risk.ticket_checks import (
    check_order_type,
    check_price,
    check_quantity,
    check_time_in_force,
)
from engine.domain.risk.verdict import Check, Code, Verdict, compare
from engine.domain.values import Side, TradingState

BPS: Final = Decimal(10_000)
_SPREAD_STEP: Final = Decimal("0.1")


def check_trading_state(inputs: Inputs) -> Verdict:
    """R02: the account, its groups, the strategy and the contract may trade."""
    check, state = Check.TRADING_STATE, inputs.trading_state
    if state is TradingState.NORMAL:
        return Verdict(check=check)
    if state is TradingState.REDUCE_ONLY:
        if inputs.reducing or not inputs.growing:
            return Verdict(check=check)
        return inputs.refuse(
            check,
            Code.TRADING_REDUCE_ONLY,
            needs=f"a reducing order or trading state normal ({inputs.trading_source})",
            trading_state=state,
            **inputs.position(),
        )
    needs = f"trading state normal ({inputs.trading_source})"
    return inputs.refuse(check, Code.TRADING_HALTED, needs=needs, trading_state=state)


def check_session(inputs: Inputs) -> Verdict:
    """R03: the account's session is logged in and warm, and the account is reconciled."""
    check = Check.SESSION
    if inputs.session_ready and not inputs.unreconciled:
        return Verdict(check=check)
    if inputs.session_ready:
        needs = f"the account compared with the broker (waits for {inputs.unreconciled})"
        return inputs.refuse(check, Code.ACCOUNT_NOT_RECONCILED, needs=needs)
    reason = inputs.session_reason
    why = f" ({reason.code}: {reason.message})" if reason else ""
    return inputs.refuse(check, Code.SESSION_NOT_READY, needs=f"a ready session{why}")


def check_instrument(inputs: Inputs) -> Verdict:
    """R05: the contract is known and tradable, and it may be traded in this way."""
    check, ticket, instrument = Check.INSTRUMENT, inputs.ticket, inputs.instrument
    if inputs.obstacle is not None:
        return Verdict(check=check, reason=inputs.obstacle)
    if instrument is None or not has_rules(instrument):
        if inputs.harmless:
            return Verdict(check=check)
        return inputs.unpriced(check, miss_rules(ticket))
    if not instrument.tradable:
        needs = "a contract that is traded"
        return inputs.refuse(check, Code.INSTRUMENT_NOT_TRADABLE, needs=needs, conid=ticket.conid)
    allowed = inputs.limits.allow_sec_types
    if instrument.sec_type not in allowed:
        source = inputs.limits.source("instruments.allow_sec_types")
        needs = f"one of {', '.join(sorted(allowed)) or 'none'} (instruments.allow_sec_types,"
        return inputs.refuse(
            check,
            Code.INSTRUMENT_RESTRICTED,
            needs=f"{needs} {source})",
            sec_type=instrument.sec_type,
        )
    return Verdict(check=check)


def check_order_quantity(inputs: Inputs) -> Verdict:
    """R08: the quantity is within the limit of its security type."""
    check, units = Check.ORDER_QUANTITY, inputs.units
    if inputs.instrument is None or inputs.easing:
        return Verdict(check=check)
    if isinstance(units, Missing):
        return inputs.unpriced(check, units)
    return compare(
        check,
        Code.QTY_EXCEEDS_MAX,
        inputs.ticket.account,
        field="quantity",
        value=units,
        limit=inputs.limits.max_qty(inputs.instrument.sec_type),
        sec_type=inputs.instrument.sec_type,
    )


def check_market_order(inputs: Inputs) -> Verdict:
    """R13: what trades at the market's price meets a live market with a narrow spread."""
    check, quote = Check.MARKET_ORDER, inputs.quote
    if not meets_market_now(inputs.ticket) or inputs.easing:
        return Verdict(check=check)
    if quote is not None and quote.halted:
        # Before the age: a halted contract has no news, so its quote is always old.
        needs = "a contract that is not halted"
        return inputs.refuse(check, Code.MARKET_HALTED, needs=needs, conid=inputs.ticket.conid)
    bid, ask = inputs.touch(Side.SELL), inputs.touch(Side.BUY)
    for side in (bid, ask):
        if isinstance(side, Missing):
            return Verdict(check=check) if inputs.harmless else inputs.unpriced(check, side)
    assert isinstance(bid, Decimal)
    assert isinstance(ask, Decimal)
    if bid > ask:
        needs = "a bid below the ask"
        return inputs.refuse(check, Code.NO_REFERENCE_PRICE, needs=needs, bid=bid, ask=ask)
    spread, limit = (ask - bid) * 2 / (ask + bid) * BPS, inputs.limits.market_max_spread_bps
    if spread > limit.value:
        # For people; upwards, so that no refused spread looks allowed.
        spread = spread.quantize(_SPREAD_STEP, rounding=ROUND_CEILING)
    return compare(
        check,
        Code.SPREAD_TOO_WIDE,
        inputs.ticket.account,
        field="spread",
        value=spread,
        limit=limit,
        bid=bid,
        ask=ask,
        quote_age_ms=inputs.quote_age_ms,
    )


def check_order_notional(inputs: Inputs) -> Verdict:
    """R09: what the order may cost is within the limit, whatever its type."""
    check, ticket = Check.ORDER_NOTIONAL, inputs.ticket
    if inputs.easing:
        return Verdict(check=check)
    priced = inputs.price()
    if isinstance(priced, Missing):
        return Verdict(check=check) if inputs.reducing else inputs.unpriced(check, priced)
    cash = ticket.cash_quantity
    return compare(
        check,
        Code.NOTIONAL_EXCEEDS_MAX,
        ticket.account,
        field="notional",
        value=ticket.quantity * priced.multiplier * priced.price if cash is None else cash,
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
    units = inputs.open_units
    if inputs.harmless:
        return Verdict(check=check)
    if isinstance(units, Missing):
        return inputs.unpriced(check, units)
    if exposure.position is None:
        needs = "the broker's holdings of the account, which were not read yet"
        return inputs.refuse(check, Code.POSITION_UNKNOWN, needs=needs, conid=ticket.conid)
    priced = inputs.price()
    if isinstance(priced, Missing):
        return inputs.unpriced(check, priced)
    worst = exposure.worst(ticket.side, units)
    held = max(abs(exposure.lowest), abs(exposure.highest))
    figures = {
        **inputs.position(),
        "working_buy": exposure.working_buy,
        "working_sell": exposure.working_sell,
        "quantity": units,
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
    group = inputs.ticket.group
    is_new_exit = inputs.former is None and group is not None and group.is_exit
    if (inputs.reducing or not inputs.growing) and not is_new_exit:
        # One that grows beyond reducing was perhaps not counted before. An exit reduces
        # what is not held yet; so it takes its place.
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
    check_order_type,
    check_time_in_force,
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
