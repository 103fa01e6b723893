from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.values import Increment, OrderType, TifRule, TimeInForce
from engine.gateway.wire.lenient import BadAnswer
from engine.gateway.wire.rules import TradingRules, trading_rules

RULES: dict[str, Any] = {"increment": Decimal("0.01")}
T, F = OrderType, TimeInForce
WORDS = [
    "limit", "midprice", "market", "stop", "stop_limit", "mit", "lit", "trailing_stop",
    "trailing_stop_limit", "relative", "marketonclose", "limitonclose",
]  # fmt: skip


def rules_with(**changes: object) -> TradingRules:
    return trading_rules({**RULES, **changes})


def test_rules_that_name_nothing_allow_nothing() -> None:
    assert rules_with() == TradingRules(
        increments=(Increment(lower_edge=Decimal(0), increment=Decimal("0.01")),),
        size_increment=Decimal(1),
        order_types=(),
        outside_rth_types=(),
        fraction_types=(),
        cash_types=(),
        cash_increment=None,
        cash_currency=None,
        tifs=(),
        error="",
        unknown=(),
    )


def test_every_type_has_its_word() -> None:
    found = rules_with(orderTypes=WORDS, orderTypesOutside=["limit", "Relative"])

    assert set(found.order_types) == set(OrderType)
    assert found.outside_rth_types == (T.LMT, T.REL)


def test_an_unknown_word_allows_nothing_and_is_named_once() -> None:
    found = rules_with(
        orderTypes=["limit", "pegged", 5],
        tifTypes=["IOC/PEGGED,o", "DAY/pegged,LIMIT", "FOK/a", 7],
        fraqTypes=["auction"],
    )

    assert found.order_types == (T.LMT,)
    assert found.tifs == (
        TifRule(tif=F.IOC, order_types=(), outside_rth=True),
        TifRule(tif=F.DAY, order_types=(T.LMT,)),
    )
    assert found.unknown == ("pegged", "auction", "FOK", "")


@pytest.mark.parametrize(
    ("written", "rule"),
    [
        ("IOC/MARKET,LIMIT,a", TifRule(tif=F.IOC, order_types=(T.MKT, T.LMT))),
        ("GTC/o,a", TifRule(tif=F.GTC, outside_rth=True)),
        ("OPG/LIMIT,MARKET,a", TifRule(tif=F.OPG, order_types=(T.MKT, T.LMT))),
        ("DAY", TifRule(tif=F.DAY)),
        ("PAX/", TifRule(tif=F.PAX)),
        ("OVT/ LIMIT ,o", TifRule(tif=F.OVT, order_types=(T.LMT,), outside_rth=True)),
        (
            "OND/LIMITONCLOSE,MARKETONCLOSE,MIDPRICE,RELATIVE",
            TifRule(tif=F.OND, order_types=(T.MIDPRICE, T.MOC, T.LOC, T.REL)),
        ),
        ("gtd/a", TifRule(tif=F.GTD)),
    ],
)
def test_a_time_in_force_goes_with_the_types_it_names_or_with_all(
    written: str, rule: TifRule
) -> None:
    assert rules_with(tifTypes=[written]).tifs == (rule,)


@pytest.mark.parametrize("value", [None, "DAY/o,a", {}, 5])
def test_a_list_that_is_none_allows_nothing(value: object) -> None:
    found = rules_with(tifTypes=value, orderTypes=value, cqtTypes=value)

    assert (found.tifs, found.order_types, found.cash_types) == ((), (), ())


@pytest.mark.parametrize(
    ("changes", "step", "types"),
    [
        # The arrows of an order form are no step; a fraction is one.
        ({"sizeIncrement": 100}, "1", ()),
        ({"sizeIncrement": 1, "fraqTypes": []}, "1", ()),
        ({"sizeIncrement": 100, "fraqTypes": ["limit"], "fraqInt": 4}, "0.0001", (T.LMT,)),
        ({"sizeIncrement": 100, "fraqTypes": ["limit"], "fraqInt": 0}, "1", ()),
        ({"sizeIncrement": 100, "fraqTypes": ["limit"], "fraqInt": None}, "1", ()),
        ({"sizeIncrement": 100, "fraqTypes": ["limit"], "fraqInt": "x"}, "1", ()),
        ({"sizeIncrement": 100, "fraqTypes": ["limit"], "fraqInt": 9}, "1", ()),
        ({"sizeIncrement": 100, "fraqTypes": [], "fraqInt": 4}, "1", ()),
        # Where the contract itself is counted in fractions, every type may have one.
        ({"sizeIncrement": "0.0001", "orderTypes": ["limit"]}, "0.0001", (T.LMT,)),
        (
            {"sizeIncrement": "1e-8", "orderTypes": ["limit"], "fraqTypes": ["market"]},
            "1e-8",
            (T.MKT,),
        ),
    ],
)
def test_a_quantity_has_a_step_and_the_types_that_may_be_fractions(
    changes: dict[str, object], step: str, types: tuple[OrderType, ...]
) -> None:
    found = rules_with(**changes)

    assert (found.size_increment, found.fraction_types) == (Decimal(step), types)


@pytest.mark.parametrize(
    ("written", "step"),
    [(500, "0.01"), (None, "0.01"), ("0.00000001", "0.00000001"), (1, "0.01")],
)
def test_an_amount_of_money_goes_in_cents_where_the_rules_allow_one(
    written: object, step: str
) -> None:
    found = rules_with(cqtTypes=["market"], cashQtyIncr=written, cashCcy="USD")

    assert (found.cash_types, found.cash_increment, found.cash_currency) == (
        (T.MKT,),
        Decimal(step),
        "USD",
    )


@pytest.mark.parametrize(
    ("written", "types"),
    [(None, (T.MKT,)), ("", (T.MKT,)), (1, (T.MKT,)), ("1.0", (T.MKT,)), (100, ()), ("x", ())],
)
def test_prices_in_pence_are_for_no_amount_of_pounds(
    written: object, types: tuple[OrderType, ...]
) -> None:
    found = rules_with(cqtTypes=["market"], priceMagnifier=written, cashCcy="GBP")

    assert found.cash_types == types
    assert (found.cash_increment is None) == (not types)


def test_price_steps_are_sorted_by_where_they_begin() -> None:
    found = rules_with(
        incrementRules=[
            {"lowerEdge": 3, "increment": "0.05"},
            {"lowerEdge": 0, "increment": "0.01"},
        ]
    )

    assert found.increments == (
        Increment(lower_edge=Decimal(0), increment=Decimal("0.01")),
        Increment(lower_edge=Decimal(3), increment=Decimal("0.05")),
    )


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"incrementRules": [{"lowerEdge": 0, "increment": 0}]}, "increment is 0,"),
        ({"increment": "1e-9"}, r"increment is 1E-9, at least 0\.00000001"),
        ({"increment": "NaN"}, "increment is 'NaN', expected a number"),
        ({"increment": "0.01", "sizeIncrement": 0}, "sizeIncrement is 0, at least"),
        ({"increment": "0.01", "sizeIncrement": "1e-18"}, "sizeIncrement is 1E-18, at"),
        ({"increment": "0.01", "sizeIncrement": -1}, "sizeIncrement is -1, at least"),
        ({"increment": "0.01", "cqtTypes": ["limit"], "cashQtyIncr": -5}, "cashQtyIncr is -5, at"),
        ({}, "increment missing"),
    ],
)
def test_rules_that_nothing_could_be_checked_against_are_an_error(
    rules: dict[str, object], words: str
) -> None:
    with pytest.raises(BadAnswer, match=words):
        trading_rules(rules)


ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.decimals(allow_nan=False, places=2)
    | st.sampled_from(["", "limit", "IOC/LIMIT,a", "DAY/o", "x/y/z", "1e-8"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["lowerEdge", "increment"]), inner)
    ),
    max_leaves=5,
)
NAMES = [
    "orderTypes", "orderTypesOutside", "fraqTypes", "fraqInt", "cqtTypes", "cashQtyIncr", "cashCcy",
    "tifTypes", "sizeIncrement", "incrementRules", "increment", "error",
]  # fmt: skip


@given(st.dictionaries(st.sampled_from(NAMES), ODD))
def test_whatever_the_rules_are_they_are_read_or_are_an_error(changes: dict[str, object]) -> None:
    with suppress(BadAnswer):
        found = rules_with(**changes)

        assert found.increments
        assert 0 < found.size_increment <= 1
        assert (found.cash_increment is not None) == bool(found.cash_types)
