"""Whatever figures a client, the broker or the market sends: a check answers, it never fails."""

from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.risk import Check, Code, Exposure, check_order
from engine.domain.risk.exposure import Doubt
from engine.domain.risk.limits import FINEST, LARGEST
from engine.domain.values import (
    Increment,
    Instrument,
    OrderType,
    Quote,
    Side,
    Ticket,
    TradingState,
)
from tests.domain.risk.samples import (
    BUY,
    INPUTS,
    INSTRUMENT,
    MARKET_BUY,
    QUOTE,
    limits,
    ready_risk,
    refusal,
    request,
)

EXTREMES = [
    "0", "-0", "-1", "NaN", "-NaN", "sNaN", "Infinity", "-Infinity",
    "1E-18", "1E-20", "9E-21", "1E-999999", "1E-999999999999", "1E+15", "1000000000000001",
    "1E+28", "1E+999999", "1E+999999999999", "9.999999999999999999999999999999999999999999",
    "99999999999999.00000001", "0.123456789012345678901234567890123456789",
]  # fmt: skip
FIGURES = st.one_of(
    st.sampled_from(EXTREMES).map(Decimal),
    st.decimals(),
    st.decimals(min_value=0, max_value=1_000, places=2),
    st.sampled_from(["1", "0.01", "100", "1E-8"]).map(Decimal),
)
INSTRUMENTS = st.builds(
    lambda steps, lot, multiplier: replace(
        INSTRUMENT,
        increments=tuple(Increment(lower_edge=edge, increment=step) for edge, step in steps),
        size_increment=lot,
        multiplier=multiplier,
    ),
    st.lists(st.tuples(FIGURES, FIGURES), max_size=3),
    FIGURES,
    FIGURES,
)
QUOTES = st.builds(lambda bid, ask: replace(QUOTE, bid=bid, ask=ask), FIGURES, FIGURES)
TICKETS = st.builds(
    lambda side, kind, quantity, price: replace(
        BUY, side=side, type=kind, quantity=quantity, limit_price=price
    ),
    st.sampled_from(Side),
    st.sampled_from(OrderType),
    FIGURES,
    st.none() | FIGURES,
)
EXPOSURES = st.builds(
    lambda position, below: Exposure(position=position, doubt=Doubt(below=below)),
    st.none() | st.integers(-1_000, 1_000).map(Decimal),
    st.integers(0, 10).map(Decimal),
)
WIDE = limits(
    {
        "order.max_qty.STK": LARGEST,
        "order.max_notional.abs": LARGEST,
        "position.max_qty": LARGEST,
        "position.max_notional.abs": LARGEST,
    }
)


@given(
    instrument=st.none() | INSTRUMENTS | st.just(INSTRUMENT),
    quote=st.none() | QUOTES | st.just(QUOTE),
    ticket=TICKETS,
    exposure=EXPOSURES,
    state=st.sampled_from([TradingState.NORMAL, TradingState.REDUCE_ONLY]),
)
def test_no_figure_makes_a_check_fail(
    instrument: Instrument | None,
    quote: Quote | None,
    ticket: Ticket,
    exposure: Exposure,
    state: TradingState,
) -> None:
    inputs = replace(
        INPUTS,
        instrument=instrument,
        quote=quote,
        ticket=ticket,
        exposure=exposure,
        trading_state=state,
        limits=WIDE,
    )

    verdicts = check_order(inputs)

    assert all(verdict.passed for verdict in verdicts[:-1])
    for verdict in verdicts:
        assert verdict.utilisation is None or verdict.utilisation.is_finite()
        assert verdict.reason is None or len(verdict.reason.message) < 1_000


@given(
    steps=st.integers(1, 10**25),
    lot=st.sampled_from(["1E-20", "3E-19", "1E-18", "1E-8", "0.25", "1", "7"]).map(Decimal),
    rest=st.sampled_from([Fraction(0), Fraction(1, 2), Fraction(1, 10**12)]),
)
def test_a_quantity_is_whole_lots_exactly(steps: int, lot: Decimal, rest: Fraction) -> None:
    exact = (steps + rest) * Fraction(lot)
    quantity = Decimal(f"{exact.numerator * 10**40 // exact.denominator}E-40")
    instrument = replace(INSTRUMENT, size_increment=lot, fraction_types=(BUY.type,))
    ticket = replace(BUY, quantity=quantity)

    verdicts = check_order(replace(INPUTS, instrument=instrument, ticket=ticket, limits=WIDE))

    codes = {verdict.reason.code for verdict in verdicts if verdict.reason}
    if quantity > LARGEST:
        assert codes == {Code.QTY_EXCEEDS_MAX}
    else:
        unfit = {Code.QTY_INVALID_LOT, Code.FRACTION_UNSUPPORTED}
        assert bool(unfit & codes) is (Fraction(quantity) % Fraction(lot) != 0)


def test_a_lot_of_eighteen_places_stops_nobody() -> None:
    fine = replace(INSTRUMENT, size_increment=Decimal("1E-18"))
    risk = ready_risk(within=WIDE)
    message = request(1, replace(BUY, quantity=Decimal(10) ** 11))

    assert refusal(risk, replace(message, instrument=fine)) is None


@pytest.mark.parametrize(
    ("field", "value", "known"),
    [
        ("size_increment", FINEST, True),
        ("size_increment", FINEST / 10, False),
        ("multiplier", LARGEST, True),
        ("multiplier", LARGEST * 10, False),
    ],
)
def test_steps_that_nobody_can_calculate_with_are_no_rules(
    field: str, value: Any, *, known: bool
) -> None:
    instrument = replace(INSTRUMENT, **{field: value})

    verdicts = check_order(replace(INPUTS, instrument=instrument))

    assert (Check.PRICE in [verdict.check for verdict in verdicts]) is known


@pytest.mark.parametrize("price", ["1E-9", "1000000000000001", "1E+999999999999"])
def test_a_quote_that_no_market_has_is_no_reference(price: str) -> None:
    quote = replace(QUOTE, ask=Decimal(price))
    inputs = replace(INPUTS, ticket=MARKET_BUY, quote=quote)

    reason = check_order(inputs)[-1].reason

    assert reason is not None
    assert reason.code == Code.NO_REFERENCE_PRICE
    assert reason.message.endswith("needs ask of 0.00000001 to 1000000000000000")
