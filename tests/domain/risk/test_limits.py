"""Values, their strictness, and how they are written."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.risk.limits import (
    BUILT_IN_SETTINGS,
    RANGES,
    LimitValue,
    Setting,
    family,
    format_number,
    is_looser,
    limits_view,
    lookup,
    stricter,
)
from engine.domain.values import Answer, MessageId, QuestionPolicy, TradingState
from engine.domain.views import LimitsView, LimitView
from tests.domain.risk.samples import ACCOUNT, limits, setting

VALUES = st.one_of(
    st.tuples(*[st.integers(1, 10).map(Decimal)] * 3),
    st.tuples(*[st.sampled_from(TradingState)] * 3),
    st.tuples(*[st.sampled_from(Answer)] * 3),
    st.tuples(*[st.frozensets(st.sampled_from("ABC"))] * 3),
)


def test_trading_states_grow_stricter() -> None:
    assert sorted(TradingState, key=lambda state: state.strictness) == [
        TradingState.NORMAL,
        TradingState.REDUCE_ONLY,
        TradingState.CANCEL_ONLY,
        TradingState.HALT,
    ]
    assert is_looser(TradingState.NORMAL, TradingState.HALT)
    assert not is_looser(TradingState.HALT, TradingState.NORMAL)


@pytest.mark.parametrize(
    ("new", "old"),
    [
        (Decimal(2), Decimal(1)),
        (TradingState.REDUCE_ONLY, TradingState.CANCEL_ONLY),
        (Answer.ACCEPT, Answer.DECLINE),
        (frozenset({"STK", "OPT"}), frozenset({"STK"})),
    ],
)
def test_the_looser_value_is_known(new: LimitValue, old: LimitValue) -> None:
    assert is_looser(new, old)
    assert not is_looser(old, new)
    assert not is_looser(new, new)


def test_another_currency_is_looser_both_ways() -> None:
    assert is_looser("USD", "EUR")
    assert is_looser("EUR", "USD")
    assert not is_looser("EUR", "EUR")


def test_values_of_different_limits_cannot_be_compared() -> None:
    with pytest.raises(AssertionError, match="not values of the same limit"):
        is_looser(Decimal(1), frozenset())


@given(VALUES)
def test_the_stricter_of_two_is_looser_than_neither(
    values: tuple[LimitValue, LimitValue, LimitValue],
) -> None:
    one, two, three = (Setting(value=value, source="here") for value in values)

    both = stricter(one, two)

    assert not is_looser(both.value, one.value)
    assert not is_looser(both.value, two.value)
    assert stricter(one, one) == one
    assert stricter(two, one).value == both.value
    assert stricter(both, three).value == stricter(one, stricter(two, three)).value


def test_two_lists_give_what_both_allow_and_name_both_places() -> None:
    one = setting(frozenset({"STK", "OPT"}), "risk.yaml:1")
    two = setting(frozenset({"STK", "FUT"}), "risk.yaml:2")

    both = stricter(one, two)

    assert both == setting(frozenset({"STK"}), "risk.yaml:1, risk.yaml:2")


def test_what_nobody_lists_has_its_familys_fallback() -> None:
    assert lookup(BUILT_IN_SETTINGS, "order.max_qty.FUT") == setting(1, "built-in")
    assert lookup(BUILT_IN_SETTINGS, "broker_messages.o354") == setting(Answer.DECLINE, "built-in")
    assert lookup(BUILT_IN_SETTINGS, "order.max_qty.STK") == setting(100, "built-in")
    assert lookup({}, "price.max_age_ms") is None
    assert family("order.max_qty.STK") == "order.max_qty"


def test_every_number_has_a_built_in_value_within_its_range() -> None:
    for name, allowed in RANGES.items():
        found = lookup(BUILT_IN_SETTINGS, name) or lookup(BUILT_IN_SETTINGS, f"{name}.other")
        assert found is not None
        assert isinstance(found.value, Decimal)
        assert 0 < found.value <= allowed.maximum


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("40000", "40000"),
        ("4E+4", "40000"),
        ("1.50", "1.5"),
        ("100.00", "100"),
        ("0.00000001", "0.00000001"),
        ("0", "0"),
        ("-0.5", "-0.5"),
        ("NaN", "NaN"),
        ("-Infinity", "-Infinity"),
        ("1E+999999", "1E+999999"),
        ("1E-999999", "1E-999999"),
    ],
)
def test_numbers_are_written_plainly_but_never_without_end(number: str, text: str) -> None:
    assert format_number(Decimal(number)) == text


def test_limits_have_types_units_and_sources() -> None:
    found = limits(
        {
            "units.notional_ccy": "EUR",
            "order.max_qty.FUT": 3,
            "broker_messages.o354": Answer.ACCEPT,
            "trading_state": TradingState.REDUCE_ONLY,
        }
    )

    assert found.notional_currency == "EUR"
    assert found.order_max_notional.unit == "EUR"
    assert found.max_qty("FUT").source == "risk.yaml:2"
    assert found.max_qty("OPT").name == "order.max_qty.other"
    assert found.questions == QuestionPolicy(
        answers={MessageId("o354"): Answer.ACCEPT}, default=Answer.DECLINE
    )
    assert found.trading_state is TradingState.REDUCE_ONLY
    assert found.source("trading_state") == "risk.yaml:4"


def test_the_view_shows_every_value_with_its_source() -> None:
    found = limits(
        {
            "instruments.allow_sec_types": frozenset({"STK", "OPT"}),
            "price.max_age_ms": Decimal("1500.0"),
        }
    )

    view = limits_view(found, "risk.yaml:7: version: found nine")

    assert view == LimitsView(
        account=ACCOUNT,
        groups=(),
        version=1,
        policy_hash=found.policy_hash,
        limits=(
            LimitView(name="broker_messages.default", value="decline", source="built-in"),
            LimitView(name="instruments.allow_sec_types", value="[OPT, STK]", source="risk.yaml:1"),
            LimitView(name="order.market.max_spread_bps", value="20", source="built-in"),
            LimitView(name="order.max_notional.abs", value="50000", source="risk.yaml:2"),
            LimitView(name="order.max_qty.STK", value="1000", source="risk.yaml:1"),
            LimitView(name="order.max_qty.other", value="1", source="built-in"),
            LimitView(name="position.max_notional.abs", value="150000", source="risk.yaml:4"),
            LimitView(name="position.max_qty", value="2000", source="risk.yaml:3"),
            LimitView(name="price.max_age_ms", value="1500", source="risk.yaml:2"),
            LimitView(name="trading_state", value="normal", source="built-in"),
            LimitView(name="units.notional_ccy", value="USD", source="built-in"),
            LimitView(name="working.max_per_conid_side", value="5", source="risk.yaml:6"),
            LimitView(name="working.max_total", value="20", source="risk.yaml:5"),
        ),
        file_error="risk.yaml:7: version: found nine",
    )
