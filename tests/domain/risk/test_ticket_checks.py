"""The ticket's own checks, at their edges: type, time in force, prices, quantity."""

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from engine.domain.risk import Code, Former, Inputs, Verdict, check_order
from engine.domain.risk.ticket_checks import (
    check_order_type,
    check_price,
    check_quantity,
    check_time_in_force,
)
from engine.domain.values import (
    Increment,
    OrderType,
    Reason,
    Side,
    Terms,
    Ticket,
    TifRule,
    TimeInForce,
    TrailingType,
)
from tests.domain.risk.samples import (
    ANYTHING,
    BUY,
    CASH_BUY,
    INPUTS,
    INSTRUMENT,
    MARKET_BUY,
    QUOTE,
    SELL,
    TYPED,
    holding,
)

OPEN = replace(INPUTS, instrument=ANYTHING)
REDUCING = replace(OPEN, ticket=SELL, exposure=holding(100))


def code(verdict: Verdict) -> str | None:
    return verdict.reason.code if verdict.reason else None


def message(verdict: Verdict) -> str:
    assert verdict.reason is not None
    return verdict.reason.message


def with_ticket(ticket: Ticket, inputs: Inputs = OPEN) -> Inputs:
    return replace(inputs, ticket=ticket)


# --- R16 and R15: types and times in force -------------------------------------------------


@pytest.mark.parametrize("ticket", TYPED.values(), ids=TYPED)
def test_every_type_passes_every_check_where_the_contract_takes_it(ticket: Ticket) -> None:
    assert [verdict.reason for verdict in check_order(with_ticket(ticket)) if verdict.reason] == []


@pytest.mark.parametrize("ticket", TYPED.values(), ids=TYPED)
def test_r16_a_type_that_the_rules_do_not_name_is_refused(ticket: Ticket) -> None:
    others = tuple(kind for kind in OrderType if kind is not ticket.type)
    inputs = replace(with_ticket(ticket), instrument=replace(ANYTHING, order_types=others))

    assert code(check_order(inputs)[-1]) == Code.ORDER_TYPE_UNSUPPORTED


def test_r16_says_what_the_contract_takes() -> None:
    inputs = replace(OPEN, instrument=replace(ANYTHING, order_types=(OrderType.MKT,)))
    none = replace(OPEN, instrument=replace(ANYTHING, order_types=()))

    assert message(check_order_type(inputs)) == "account=DU1234567 order_type=LMT needs one of MKT"
    assert message(check_order_type(none)).endswith("needs one of none")


def test_r16_a_cash_quantity_goes_only_with_the_types_of_the_rules() -> None:
    limit_only = replace(ANYTHING, cash_types=(OrderType.LMT,))
    euros = replace(ANYTHING, cash_currency="EUR")
    never = replace(ANYTHING, cash_increment=None)

    def refusal(instrument: Any) -> str:
        return message(check_order_type(replace(with_ticket(CASH_BUY), instrument=instrument)))

    assert refusal(limit_only) == (
        "account=DU1234567 order_type=MKT needs a quantity, or with a cash_quantity one of LMT"
    )
    for instrument in (never, replace(ANYTHING, cash_types=())):
        assert refusal(instrument) == (
            "account=DU1234567 order_type=MKT needs a quantity: the contract takes no cash_quantity"
        )
    assert refusal(euros) == "account=DU1234567 currency=USD needs a contract that is priced in EUR"
    assert check_order_type(with_ticket(CASH_BUY)).passed


def test_r16_an_amount_of_money_is_only_bought_for() -> None:
    sold = replace(CASH_BUY, side=Side.SELL)

    assert check_order_type(with_ticket(sold)).reason == Reason(
        code="CASH_QUANTITY_UNSUPPORTED",
        message="account=DU1234567 side=SELL"
        " needs a quantity: the broker takes a cash_quantity only to buy",
    )


@pytest.mark.parametrize("tif", [tif for tif in TimeInForce if tif is not TimeInForce.GTD])
def test_r15_a_time_in_force_of_the_rules_passes(tif: TimeInForce) -> None:
    assert check_time_in_force(with_ticket(replace(BUY, tif=tif))).passed


GTD = replace(BUY, tif=TimeInForce.GTD, good_till_ms=1_800_000_000_000)


def test_r15_gtd_passes_where_the_rules_allow_gtc() -> None:
    day_only = replace(ANYTHING, tifs=(TifRule(tif=TimeInForce.DAY), TifRule(tif=TimeInForce.GTD)))

    passed = check_time_in_force(with_ticket(GTD))
    refused = check_time_in_force(replace(with_ticket(GTD), instrument=day_only))

    assert passed.passed
    assert refused.reason == Reason(
        code="TIF_UNSUPPORTED",
        message="account=DU1234567 tif=GTD order_type=LMT needs one of DAY",
    )


@pytest.mark.parametrize(
    "ticket", [replace(GTD, good_till_ms=None), replace(GTD, tif=TimeInForce.GTC)]
)
def test_r15_a_time_goes_with_gtd_and_with_nothing_else(ticket: Ticket) -> None:
    verdict = check_time_in_force(with_ticket(ticket))

    assert verdict.reason == Reason(
        code="TIF_UNSUPPORTED",
        message=f"account=DU1234567 tif={ticket.tif} needs a time until which it is good"
        " with GTD, and with nothing else",
    )


def test_r15_a_time_in_force_that_the_rules_do_not_name_is_refused() -> None:
    rules = tuple(TifRule(tif=TimeInForce(name)) for name in ("DAY", "GTD", "IOC"))
    inputs = replace(
        with_ticket(replace(BUY, tif=TimeInForce.GTC)), instrument=replace(ANYTHING, tifs=rules)
    )

    assert check_time_in_force(inputs).reason == Reason(
        code="TIF_UNSUPPORTED",
        message="account=DU1234567 tif=GTC order_type=LMT needs one of DAY, IOC",
    )


def test_r15_a_time_in_force_may_go_with_some_types_only() -> None:
    rule = TifRule(tif=TimeInForce.OPG, order_types=(OrderType.MKT,))
    instrument = replace(ANYTHING, tifs=(rule,))
    limit = replace(BUY, tif=TimeInForce.OPG)
    market = replace(MARKET_BUY, tif=TimeInForce.OPG)

    assert check_time_in_force(replace(with_ticket(market), instrument=instrument)).passed
    assert message(check_time_in_force(replace(with_ticket(limit), instrument=instrument))) == (
        "account=DU1234567 tif=OPG order_type=LMT needs with OPG one of MKT"
    )


def test_r15_rules_without_times_in_force_take_day_only() -> None:
    bare = replace(OPEN, instrument=INSTRUMENT)

    assert check_time_in_force(bare).passed
    assert code(check_time_in_force(replace(bare, ticket=replace(BUY, tif=TimeInForce.GTC)))) == (
        Code.TIF_UNSUPPORTED
    )


@pytest.mark.parametrize(
    "change",
    [
        {"outside_rth_types": ()},
        {"outside_rth_types": (OrderType.MKT,)},
        {"tifs": (TifRule(tif=TimeInForce.DAY, outside_rth=False),)},
        {"tifs": ()},
    ],
)
def test_r15_outside_the_regular_hours_only_where_the_rules_say_so(change: Any) -> None:
    outside = with_ticket(replace(BUY, outside_rth=True))
    refused = replace(outside, instrument=replace(ANYTHING, **change))

    assert check_time_in_force(outside).passed
    assert code(check_time_in_force(refused)) == Code.OUTSIDE_RTH_UNSUPPORTED


def test_without_rules_a_reducing_order_is_not_asked_for_its_type() -> None:
    unknown = replace(REDUCING, instrument=None)

    assert check_order_type(unknown).passed
    assert check_time_in_force(unknown).passed


# --- R06: prices -----------------------------------------------------------------------------

PRICES = {
    "limit_price": (
        OrderType.LMT,
        OrderType.STOP_LIMIT,
        OrderType.TRAILLMT,
        OrderType.LOC,
        OrderType.LIT,
    ),
    "stop_price": (
        OrderType.STP,
        OrderType.STOP_LIMIT,
        OrderType.TRAIL,
        OrderType.TRAILLMT,
        OrderType.MIT,
        OrderType.LIT,
    ),
    "cap_price": (OrderType.MIDPRICE, OrderType.REL),
}
NEEDLESS = {
    OrderType.TRAIL: {"stop_price"},
    OrderType.MIDPRICE: {"cap_price"},
    OrderType.REL: {"cap_price"},
}


@pytest.mark.parametrize("name", PRICES)
@pytest.mark.parametrize("ticket", TYPED.values(), ids=TYPED)
def test_r06_each_type_has_its_own_prices_and_no_other(ticket: Ticket, name: str) -> None:
    used = ticket.type in PRICES[name]
    with_price = with_ticket(replace(ticket, **{name: Decimal(100)}))  # type: ignore[arg-type] # a price's name
    off_tick = with_ticket(replace(ticket, **{name: Decimal("100.001")}))  # type: ignore[arg-type] # as above
    negative = with_ticket(replace(ticket, **{name: Decimal(-1)}))  # type: ignore[arg-type] # as above
    without = with_ticket(replace(ticket, **{name: None}))  # type: ignore[arg-type] # as above

    assert code(check_price(with_price)) == (None if used else Code.PRICE_UNEXPECTED)
    assert code(check_price(off_tick)) == (
        Code.PRICE_INVALID_TICK if used else Code.PRICE_UNEXPECTED
    )
    assert code(check_price(negative)) == (
        Code.PRICE_NOT_POSITIVE if used else Code.PRICE_UNEXPECTED
    )
    may_lack = not used or name in NEEDLESS.get(ticket.type, set())
    assert check_price(without).passed is may_lack


@pytest.mark.parametrize(
    ("kind", "amount", "expected"),
    [
        (TrailingType.AMOUNT, "0.5", None),
        (TrailingType.AMOUNT, "0.0001", None),
        (TrailingType.AMOUNT, "0.00005", Code.TRAILING_INVALID),
        (TrailingType.AMOUNT, "0", Code.TRAILING_INVALID),
        (TrailingType.AMOUNT, "NaN", Code.TRAILING_INVALID),
        (TrailingType.AMOUNT, "1E+16", Code.TRAILING_INVALID),
        (TrailingType.PERCENT, "2.5", None),
        (TrailingType.PERCENT, "99.99", None),
        (TrailingType.PERCENT, "100", Code.TRAILING_INVALID),
        (TrailingType.PERCENT, "-1", Code.TRAILING_INVALID),
        (None, "1", Code.TRAILING_INVALID),
    ],
)
def test_r06_a_trail_keeps_a_distance_that_makes_sense(
    kind: TrailingType | None, amount: str, expected: Code | None
) -> None:
    ticket = replace(TYPED[OrderType.TRAIL], trailing_type=kind, trailing_amount=Decimal(amount))

    assert code(check_price(with_ticket(ticket))) == expected
    assert not check_price(with_ticket(replace(ticket, trailing_amount=None))).passed


def test_r06_only_trails_have_a_distance() -> None:
    ticket = replace(BUY, trailing_amount=Decimal(1))

    assert message(check_price(with_ticket(ticket))) == (
        "account=DU1234567 trailing_amount=1 trailing_type=None"
        " needs no trailing_amount and no trailing_type in a LMT order"
    )


@pytest.mark.parametrize(
    ("price", "expected"),
    [
        ("100", None),
        ("100.01", None),
        ("100.00000000000", None),
        ("0.9999", None),
        ("1", None),
        ("100.001", Code.PRICE_INVALID_TICK),
        ("1.0001", Code.PRICE_INVALID_TICK),
        ("0.99995", Code.PRICE_INVALID_TICK),
        ("100.0000000000000000000000000000000000000001", Code.PRICE_INVALID_TICK),
        ("1E+15", None),
        ("1E+16", Code.PRICE_INVALID_TICK),
        ("1E+999999", Code.PRICE_INVALID_TICK),
        ("0", Code.PRICE_NOT_POSITIVE),
        ("-0.01", Code.PRICE_NOT_POSITIVE),
        ("NaN", Code.PRICE_NOT_POSITIVE),
        ("sNaN", Code.PRICE_NOT_POSITIVE),
        ("Infinity", Code.PRICE_NOT_POSITIVE),
    ],
)
def test_r06_a_limit_price_is_positive_and_on_its_tick(price: str, expected: Code | None) -> None:
    inputs = replace(INPUTS, ticket=replace(BUY, limit_price=Decimal(price)))

    assert code(check_price(inputs)) == expected


def test_r06_names_the_price_and_the_tick() -> None:
    verdict = check_price(replace(INPUTS, ticket=replace(BUY, limit_price=Decimal("100.005"))))

    assert message(verdict) == (
        "account=DU1234567 limit_price=100.005 needs a multiple of 0.01 from 1 upwards"
    )


def test_r06_a_price_below_the_first_step_is_refused() -> None:
    steps = (Increment(lower_edge=Decimal(5), increment=Decimal("0.01")),)
    inputs = replace(
        INPUTS,
        ticket=replace(BUY, limit_price=Decimal(4)),
        instrument=replace(INSTRUMENT, increments=steps),
    )

    assert message(check_price(inputs)).endswith("limit_price=4 needs at least 5")


def test_r06_without_rules_eight_decimal_places_are_allowed() -> None:
    fine = replace(BUY, limit_price=Decimal("1.00000001"))
    finer = replace(BUY, limit_price=Decimal("1.000000001"))

    assert check_price(replace(INPUTS, instrument=None, ticket=fine)).passed
    assert not check_price(replace(INPUTS, instrument=None, ticket=finer)).passed


def test_r06_a_price_belongs_to_limit_orders_only() -> None:
    missing = replace(INPUTS, ticket=replace(BUY, limit_price=None))
    needless = replace(INPUTS, ticket=replace(MARKET_BUY, limit_price=Decimal(100)))

    assert check_price(replace(INPUTS, ticket=MARKET_BUY)).passed
    assert message(check_price(missing)) == (
        "account=DU1234567 limit_price=None needs a price above 0"
    )
    assert message(check_price(needless)) == (
        "account=DU1234567 limit_price=100 needs no limit_price in a MKT order"
    )


@pytest.mark.parametrize(
    ("quantity", "expected"),
    [
        ("1", None),
        ("10.00", None),
        ("1.5", Code.FRACTION_UNSUPPORTED),
        ("0", Code.QTY_BELOW_MIN),
        ("-5", Code.QTY_BELOW_MIN),
        ("NaN", Code.QTY_BELOW_MIN),
        ("-Infinity", Code.QTY_BELOW_MIN),
        ("1E+15", None),
        ("1000000000000001", Code.QTY_EXCEEDS_MAX),
        ("1E+999999", Code.QTY_EXCEEDS_MAX),
    ],
)
def test_r07_a_quantity_is_positive_and_whole_lots(quantity: str, expected: Code | None) -> None:
    inputs = replace(INPUTS, ticket=replace(BUY, quantity=Decimal(quantity)))

    assert code(check_quantity(inputs)) == expected
    assert (code(check_order(inputs)[-1]) is None) == (quantity in {"1", "10.00"})


def test_r07_fractions_pass_where_the_contract_has_them() -> None:
    instrument = replace(
        INSTRUMENT, size_increment=Decimal("0.0001"), fraction_types=(OrderType.LMT,)
    )
    inputs = replace(INPUTS, instrument=instrument, ticket=replace(BUY, quantity=Decimal("0.5")))
    other_type = replace(inputs, instrument=replace(instrument, fraction_types=(OrderType.MKT,)))

    assert check_quantity(inputs).passed
    assert check_quantity(replace(other_type, ticket=BUY)).passed
    assert check_quantity(other_type).reason == Reason(
        code="FRACTION_UNSUPPORTED",
        message="account=DU1234567 quantity=0.5 needs whole units, or one of MKT",
    )
    assert check_quantity(replace(inputs, instrument=INSTRUMENT)).reason == Reason(
        code="FRACTION_UNSUPPORTED", message="account=DU1234567 quantity=0.5 needs whole units"
    )


@pytest.mark.parametrize(
    ("lot", "quantity", "expected"),
    [
        ("1", "1.5", "quantity=1.5 needs whole units"),
        ("100", "150", "quantity=150 needs a multiple of 100 units"),
        ("0.5", "0.7", "quantity=0.7 needs a multiple of 0.5 units"),
    ],
)
def test_r07_a_fraction_is_one_thing_and_an_odd_lot_another(
    lot: str, quantity: str, expected: str
) -> None:
    instrument = replace(ANYTHING, size_increment=Decimal(lot))
    ticket = replace(BUY, quantity=Decimal(quantity))

    verdict = check_quantity(replace(with_ticket(ticket), instrument=instrument))

    assert message(verdict) == f"account=DU1234567 {expected}"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, None),
        ({"cash_quantity": Decimal("100.01")}, None),
        ({"cash_quantity": Decimal("100.001")}, Code.QTY_INVALID_LOT),
        ({"cash_quantity": Decimal(0)}, Code.QTY_BELOW_MIN),
        ({"cash_quantity": Decimal("NaN")}, Code.QTY_BELOW_MIN),
        ({"cash_quantity": Decimal("-1E+999999")}, Code.QTY_BELOW_MIN),
        ({"cash_quantity": Decimal("1E+16")}, Code.QTY_EXCEEDS_MAX),
        ({"quantity": Decimal(1)}, Code.CASH_QUANTITY_UNSUPPORTED),
    ],
)
def test_r07_a_cash_quantity_is_a_positive_amount_and_no_quantity(
    changes: dict[str, Decimal], expected: Code | None
) -> None:
    ticket = replace(CASH_BUY, **changes)  # type: ignore[arg-type] # amounts only

    assert code(check_quantity(with_ticket(ticket))) == expected


def test_r07_a_cash_quantity_without_a_bid_cannot_be_counted() -> None:
    unquoted = replace(with_ticket(CASH_BUY), quote=replace(QUOTE, bid=None))

    assert code(check_quantity(unquoted)) == Code.NO_REFERENCE_PRICE


def changed(ticket: Ticket, *, filled: int = 0, units_max: int = 0) -> Inputs:
    """Return what is looked at when `BUY`, or an amount, gets the terms of `ticket`."""
    former = Former(
        terms=Terms(quantity=Decimal(10), limit_price=Decimal(100), stop_price=None),
        filled_quantity=Decimal(filled),
        held_quantity=Decimal(filled),
        units_max=Decimal(units_max),
    )
    return replace(with_ticket(ticket), former=former)


@pytest.mark.parametrize(("quantity", "expected"), [(4, Code.QTY_BELOW_FILLED), (5, None)])
def test_r07_a_changed_quantity_is_more_than_what_has_filled(
    quantity: int, expected: Code | None
) -> None:
    inputs = changed(replace(BUY, quantity=Decimal(quantity)), filled=4)

    assert code(check_quantity(inputs)) == expected


def test_r07_a_changed_amount_may_not_fill_more_than_was_approved() -> None:
    roomy = changed(CASH_BUY, units_max=11)
    narrow = changed(CASH_BUY, units_max=10)

    assert check_quantity(roomy).passed
    assert message(check_quantity(narrow)) == (
        "account=DU1234567 units=10.1031"
        " needs terms that fill at most 10 units; cancel it, and place it anew"
    )
