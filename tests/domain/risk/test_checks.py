"""Each check of the catalogue, at its edges."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from engine.domain.risk import CHECKS, Check, Code, Exposure, Inputs, Verdict, check_order
from engine.domain.risk import checks as c
from engine.domain.values import ConId, Increment, Reason, Side, TradingState
from tests.domain.risk.samples import (
    BUY,
    INPUTS,
    INSTRUMENT,
    MARKET_BUY,
    MARKET_SELL,
    QUOTE,
    SELL,
    holding,
    limits,
)

REDUCING = replace(INPUTS, ticket=SELL, exposure=holding(100))
MARKET = replace(INPUTS, ticket=MARKET_BUY)


def code(verdict: Verdict) -> str | None:
    return verdict.reason.code if verdict.reason else None


def message(verdict: Verdict) -> str:
    assert verdict.reason is not None
    return verdict.reason.message


def test_a_plain_order_passes_every_check_once_in_order() -> None:
    verdicts = check_order(INPUTS)

    assert [verdict.check for verdict in verdicts] == [
        Check.TRADING_STATE,
        Check.SESSION,
        Check.INSTRUMENT,
        Check.ORDER_TYPE,
        Check.TIME_IN_FORCE,
        Check.PRICE,
        Check.QUANTITY,
        Check.ORDER_QUANTITY,
        Check.MARKET_ORDER,
        Check.ORDER_NOTIONAL,
        Check.POSITION,
        Check.WORKING_ORDERS,
    ]
    assert all(verdict.passed for verdict in verdicts)


def test_the_first_refusal_ends_the_checks() -> None:
    inputs = replace(INPUTS, session_ready=False, ticket=replace(BUY, quantity=Decimal("NaN")))

    verdicts = check_order(inputs)

    assert [verdict.check for verdict in verdicts] == [Check.TRADING_STATE, Check.SESSION]
    assert not verdicts[-1].passed


def test_each_check_is_listed_and_no_other() -> None:
    assert len(CHECKS) == len(set(Check) - {Check.GROUP}), "a group's is in requests.py"


@pytest.mark.parametrize("state", [TradingState.HALT, TradingState.CANCEL_ONLY])
@pytest.mark.parametrize("inputs", [INPUTS, REDUCING])
def test_r02_halt_and_cancel_only_refuse_every_order(inputs: Inputs, state: TradingState) -> None:
    halted = replace(inputs, trading_state=state, trading_source="firm halted by ops: drill")

    verdict = c.check_trading_state(halted)

    assert verdict.reason == Reason(
        code="TRADING_HALTED",
        message=f"account=DU1234567 trading_state={state}"
        " needs trading state normal (firm halted by ops: drill)",
    )


def test_r02_reduce_only_lets_reducing_orders_pass() -> None:
    increasing = replace(INPUTS, trading_state=TradingState.REDUCE_ONLY)
    unknown = replace(increasing, exposure=Exposure(position=None))
    reducing = replace(REDUCING, trading_state=TradingState.REDUCE_ONLY)

    assert c.check_trading_state(reducing).passed
    assert message(c.check_trading_state(increasing)) == (
        "account=DU1234567 trading_state=reduce_only position=0"
        " needs a reducing order or trading state normal (trading_state, built-in)"
    )
    assert "position=unknown" in message(c.check_trading_state(unknown))


def test_r03_an_unready_session_says_why() -> None:
    reason = Reason(code="LOGIN_REQUIRED", message="open the login page")

    verdict = c.check_session(replace(INPUTS, session_ready=False, session_reason=reason))
    bare = c.check_session(replace(INPUTS, session_ready=False))

    assert verdict.reason == Reason(
        code="SESSION_NOT_READY",
        message="account=DU1234567 needs a ready session (LOGIN_REQUIRED: open the login page)",
    )
    assert message(bare) == "account=DU1234567 needs a ready session"


@pytest.mark.parametrize(
    "instrument",
    [
        None,
        replace(INSTRUMENT, increments=()),
        replace(INSTRUMENT, increments=(Increment(lower_edge=Decimal(0), increment=Decimal(0)),)),
        replace(INSTRUMENT, size_increment=Decimal(0)),
        replace(INSTRUMENT, multiplier=Decimal(-1)),
        replace(INSTRUMENT, multiplier=Decimal("NaN")),
    ],
)
def test_r05_a_contract_without_rules_can_only_be_reduced(instrument: Any) -> None:
    increasing = replace(INPUTS, instrument=instrument)
    reducing = replace(REDUCING, instrument=instrument)

    assert code(c.check_instrument(increasing)) == Code.INSTRUMENT_UNKNOWN
    assert code(check_order(increasing)[-1]) == Code.INSTRUMENT_UNKNOWN
    assert c.check_instrument(reducing).passed
    assert check_order(reducing)[-1].passed


def test_r05_an_unknown_contract_is_named_as_its_client_named_it() -> None:
    by_conid = replace(INPUTS, instrument=None)
    by_symbol = replace(by_conid, ticket=replace(BUY, conid=ConId(0), symbol="XYZ"))

    assert message(c.check_instrument(by_conid)) == (
        "account=DU1234567 conid=265598 needs a contract with trading rules"
    )
    assert message(c.check_instrument(by_symbol)) == (
        "account=DU1234567 symbol='XYZ' needs a symbol that names one contract"
    )
    assert message(c.check_order_notional(by_symbol)) == message(c.check_instrument(by_symbol))


@pytest.mark.parametrize("inputs", [INPUTS, REDUCING])
def test_r05_what_may_not_be_traded_is_refused(inputs: Inputs) -> None:
    def refusal(**changes: Any) -> str:
        return message(
            c.check_instrument(replace(inputs, instrument=replace(INSTRUMENT, **changes)))
        )

    assert refusal(tradable=False) == (
        "account=DU1234567 conid=265598 needs a contract that is traded"
    )
    assert refusal(sec_type="OPT") == (
        "account=DU1234567 sec_type=OPT needs one of STK (instruments.allow_sec_types, built-in)"
    )


def test_r05_an_empty_list_of_types_allows_none() -> None:
    inputs = replace(INPUTS, limits=limits({"instruments.allow_sec_types": frozenset()}))

    verdict = c.check_instrument(inputs)

    assert message(verdict).endswith("needs one of none (instruments.allow_sec_types, risk.yaml:1)")


def test_r08_the_limit_itself_passes_and_one_more_does_not() -> None:
    at_limit = replace(INPUTS, limits=limits({"order.max_qty.STK": 10}))
    above = replace(at_limit, ticket=replace(BUY, quantity=Decimal(11)))

    assert c.check_order_quantity(at_limit).utilisation == 1
    verdict = c.check_order_quantity(above)
    assert verdict.utilisation == Decimal("1.1")
    assert verdict.reason == Reason(
        code="QTY_EXCEEDS_MAX",
        message="account=DU1234567 quantity=11 units"
        " limit=10 units (order.max_qty.STK, risk.yaml:1) sec_type=STK",
    )


def test_r08_a_type_that_nobody_lists_has_the_built_in_limit() -> None:
    future = replace(INSTRUMENT, sec_type="FUT")

    verdict = c.check_order_quantity(replace(INPUTS, instrument=future))

    assert "limit=1 units (order.max_qty.other, built-in)" in message(verdict)


def test_r08_is_skipped_for_a_reducing_order_of_an_unknown_contract() -> None:
    assert c.check_order_quantity(replace(REDUCING, instrument=None)) == Verdict(
        check=Check.ORDER_QUANTITY
    )


def test_r09_a_buy_is_priced_at_the_worse_of_limit_and_ask() -> None:
    passive = replace(BUY, limit_price=Decimal(90))
    aggressive = replace(BUY, limit_price=Decimal(110))

    assert c.check_order_notional(replace(INPUTS, ticket=passive)).value == Decimal("1000.2")
    assert c.check_order_notional(replace(INPUTS, ticket=aggressive)).value == 1100


def test_r09_a_sell_is_priced_at_the_higher_of_limit_and_bid() -> None:
    low = replace(SELL, limit_price=Decimal(90))
    high = replace(SELL, limit_price=Decimal(110))

    assert c.check_order_notional(replace(INPUTS, ticket=low)).value == Decimal("999.8")
    assert c.check_order_notional(replace(INPUTS, ticket=high)).value == 1100


@pytest.mark.parametrize(("ticket", "value"), [(MARKET_BUY, "1000.2"), (MARKET_SELL, "999.8")])
def test_r09_a_market_order_is_priced_at_the_touch(ticket: Any, value: str) -> None:
    assert c.check_order_notional(replace(INPUTS, ticket=ticket)).value == Decimal(value)


@pytest.mark.parametrize("ticket", [BUY, MARKET_BUY])
def test_r09_refuses_above_the_limit_and_shows_its_inputs(ticket: Any) -> None:
    inputs = replace(INPUTS, ticket=ticket, limits=limits({"order.max_notional.abs": 1_000}))

    verdict = c.check_order_notional(inputs)

    assert verdict.reason == Reason(
        code="NOTIONAL_EXCEEDS_MAX",
        message="account=DU1234567 notional=1000.2 USD"
        " limit=1000 USD (order.max_notional.abs, risk.yaml:1)"
        " quantity=10 price=100.02 multiplier=1 quote_age_ms=0",
    )


def test_r09_holds_for_reducing_orders_too() -> None:
    inputs = replace(REDUCING, limits=limits({"order.max_notional.abs": 999}))

    assert code(c.check_order_notional(inputs)) == Code.NOTIONAL_EXCEEDS_MAX


def test_r09_counts_the_multiplier() -> None:
    option = replace(INSTRUMENT, multiplier=Decimal(100))

    verdict = c.check_order_notional(replace(INPUTS, instrument=option))

    assert verdict.value == Decimal(100_020)
    assert code(verdict) == Code.NOTIONAL_EXCEEDS_MAX


def test_r09_another_currency_cannot_be_increased() -> None:
    euro = replace(INSTRUMENT, currency="EUR")

    assert message(c.check_order_notional(replace(INPUTS, instrument=euro))) == (
        "account=DU1234567 currency=EUR needs a contract in USD (units.notional_ccy)"
    )
    assert check_order(replace(REDUCING, instrument=euro))[-1].passed


STALE = {"quote_age_ms": 3_001}
NO_QUOTE: dict[str, Any] = {"quote": None, "quote_age_ms": None}


@pytest.mark.parametrize("ticket", [BUY, SELL, MARKET_BUY, MARKET_SELL])
@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (NO_QUOTE, Code.NO_REFERENCE_PRICE),
        (STALE, Code.STALE_PRICE),
        ({"quote": replace(QUOTE, bid=None, ask=None)}, Code.NO_REFERENCE_PRICE),
        ({"quote": replace(QUOTE, bid=Decimal(-1), ask=Decimal(-1))}, Code.NO_REFERENCE_PRICE),
        ({"quote": replace(QUOTE, availability="DPB")}, Code.NO_REFERENCE_PRICE),
    ],
)
def test_without_a_live_price_nothing_is_increased(
    ticket: Any, changes: dict[str, Any], expected: Code
) -> None:
    flat = replace(INPUTS, ticket=ticket, **changes)
    held = 100 if ticket.side is Side.SELL else -100
    reducing = replace(flat, exposure=holding(held))

    assert code(check_order(flat)[-1]) == expected
    assert check_order(reducing)[-1].passed


def test_a_reducing_limit_order_without_a_quote_is_priced_at_its_limit() -> None:
    inputs = replace(REDUCING, quote=None, quote_age_ms=None)

    assert c.check_order_notional(inputs).value == 1000
    assert c.check_order_notional(replace(inputs, ticket=MARKET_SELL)).value is None


def test_a_price_is_fresh_up_to_its_age_limit() -> None:
    at_limit = replace(INPUTS, quote_age_ms=3_000)
    above = replace(INPUTS, quote_age_ms=3_001)

    assert c.check_order_notional(at_limit).passed
    assert message(c.check_order_notional(above)) == (
        "account=DU1234567 quote_age_ms=3001"
        " needs a quote of at most 3000 ms (price.max_age_ms, built-in)"
    )


def test_r13_names_the_side_that_nobody_quotes() -> None:
    no_bid = replace(MARKET, quote=replace(QUOTE, bid=Decimal(-1)))

    verdict = c.check_market_order(no_bid)

    assert message(verdict) == ("account=DU1234567 bid=-1 needs bid above 0")


def test_r13_a_spread_up_to_the_limit_passes() -> None:
    at_limit = replace(MARKET, quote=replace(QUOTE, bid=Decimal("99.9"), ask=Decimal("100.1")))
    above = replace(MARKET, quote=replace(QUOTE, bid=Decimal(99), ask=Decimal(101)))

    assert c.check_market_order(at_limit).utilisation == 1
    assert message(c.check_market_order(above)) == (
        "account=DU1234567 spread=200 bps"
        " limit=20 bps (order.market.max_spread_bps, built-in)"
        " bid=99 ask=101 quote_age_ms=0"
    )


def test_r13_a_spread_is_compared_exactly_and_shown_in_tenths_never_as_allowed() -> None:
    wide = replace(MARKET, quote=replace(QUOTE, bid=Decimal("99.97"), ask=Decimal(101)))
    hardly = replace(MARKET, quote=replace(QUOTE, bid=Decimal("99.9"), ask=Decimal("100.1001")))

    assert message(c.check_market_order(wide)).startswith("account=DU1234567 spread=102.6 bps ")
    assert message(c.check_market_order(hardly)).startswith(
        "account=DU1234567 spread=20.1 bps limit=20 bps"
    )


def test_r13_a_locked_market_passes_and_a_crossed_one_does_not() -> None:
    locked = replace(MARKET, quote=replace(QUOTE, bid=QUOTE.ask))
    crossed = replace(MARKET, quote=replace(QUOTE, bid=Decimal(101)))

    assert c.check_market_order(locked).value == 0
    assert code(c.check_market_order(crossed)) == Code.NO_REFERENCE_PRICE


@pytest.mark.parametrize("ticket", [MARKET_SELL, MARKET_BUY])
def test_r13_a_halted_contract_takes_no_market_order_however_old_the_quote(ticket: Any) -> None:
    halted = replace(QUOTE, halted=True)
    inputs = replace(REDUCING, ticket=ticket, quote=halted, quote_age_ms=60_000)

    assert code(c.check_market_order(inputs)) == Code.MARKET_HALTED


def test_r13_wide_spreads_stop_reducing_market_orders_too() -> None:
    wide = replace(QUOTE, bid=Decimal(90))

    inputs = replace(REDUCING, ticket=MARKET_SELL, quote=wide)

    assert code(c.check_market_order(inputs)) == Code.SPREAD_TOO_WIDE


def test_r13_does_not_look_at_limit_orders() -> None:
    wide = replace(INPUTS, quote=replace(QUOTE, bid=Decimal(1), halted=True))

    assert c.check_market_order(wide) == Verdict(check=Check.MARKET_ORDER)
