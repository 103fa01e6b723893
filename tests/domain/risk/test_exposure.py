"""What orders reserve, and which of them only reduce."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.risk.exposure import Doubt, Exposure, Reservation
from engine.domain.risk.groups import measure
from engine.domain.values import ConId, OrderId, Side
from tests.domain.risk.samples import CONID

DOUBT = Doubt(below=Decimal(20), above=Decimal(10))


def reservation(
    number: int = 1,
    *,
    conid: ConId = CONID,
    side: Side = Side.BUY,
    quantity: int = 100,
    filled: int = 0,
    held: int = 0,
    before: int = 0,
    terminal: bool = False,
) -> Reservation:
    return Reservation(
        order_id=OrderId(str(number)),
        conid=conid,
        symbol="AAPL",
        side=side,
        quantity=Decimal(quantity),
        filled_quantity=Decimal(filled),
        told_quantity=Decimal(held),
        before_quantity=Decimal(before),
        terminal=terminal,
        seq=1,
    )


@pytest.mark.parametrize(
    ("filled", "held", "terminal", "expected"),
    [
        (0, 0, False, 100),
        (40, 40, False, 60),
        (40, 0, False, 100),
        (0, 40, False, 60),
        (120, 0, False, 120),
        (120, 120, False, 0),
        (0, 0, True, 0),
        (40, 40, True, 0),
        (40, 0, True, 40),
        (0, 40, True, 0),
    ],
)
def test_a_fill_is_reserved_until_it_is_held(
    filled: int, held: int, expected: int, *, terminal: bool
) -> None:
    order = reservation(filled=filled, held=held, terminal=terminal)

    assert order.open_quantity == expected


@pytest.mark.parametrize(
    ("filled", "before", "told", "expected"),
    [(60, 60, 0, 40), (60, 60, 20, 40), (80, 60, 20, 20), (80, 60, 0, 40), (50, 60, 50, 50)],
)
def test_what_filled_before_is_held_but_never_more_than_has_filled(
    filled: int, before: int, told: int, expected: int
) -> None:
    order = reservation(filled=filled, before=before, held=told)

    assert order.open_quantity == expected


def test_only_the_same_contract_counts_but_every_order_does() -> None:
    orders = [
        reservation(1, quantity=10),
        reservation(2, quantity=20, side=Side.SELL),
        reservation(3, quantity=40, conid=ConId(8314)),
        reservation(4, quantity=80, filled=80, terminal=True),
    ]

    assert measure(CONID, Decimal(7), orders, doubt=DOUBT) == Exposure(
        position=Decimal(7),
        doubt=DOUBT,
        working_buy=Decimal(90),
        working_sell=Decimal(20),
        orders_total=3,
        orders_buy=1,
        orders_sell=1,
    )


@pytest.mark.parametrize(
    ("position", "side", "quantity", "working", "expected"),
    [
        (100, Side.SELL, 100, 0, True),
        (100, Side.SELL, 101, 0, False),
        (100, Side.SELL, 60, 40, True),
        (100, Side.SELL, 61, 40, False),
        (100, Side.BUY, 1, 0, False),
        (-100, Side.BUY, 100, 0, True),
        (-100, Side.BUY, 101, 0, False),
        (-100, Side.SELL, 1, 0, False),
        (0, Side.BUY, 1, 0, False),
        (0, Side.SELL, 1, 0, False),
        (None, Side.SELL, 1, 0, False),
        (100, Side.SELL, 0, 0, False),
        (100, Side.SELL, -1, 0, False),
        (100, Side.SELL, "NaN", 0, False),
        (100, Side.SELL, "Infinity", 0, False),
        (100, Side.SELL, "1E+999999999", 0, False),
        ("-1E+20", Side.BUY, "1E+16", 0, False),
    ],
)
def test_reducing_means_no_further_than_flat(
    position: int | str | None, side: Side, quantity: int | str, working: int, *, expected: bool
) -> None:
    exposure = Exposure(
        position=None if position is None else Decimal(position),
        working_buy=Decimal(working if side is Side.BUY else 0),
        working_sell=Decimal(working if side is Side.SELL else 0),
    )

    assert exposure.is_reducing(side, Decimal(quantity)) is expected


@pytest.mark.parametrize(
    ("position", "side", "quantity", "expected"),
    [
        (100, Side.SELL, 80, True),
        (100, Side.SELL, 81, False),
        (-100, Side.BUY, 90, True),
        (-100, Side.BUY, 91, False),
        (15, Side.SELL, 1, False),
        (None, Side.SELL, 1, False),
    ],
)
def test_reducing_means_so_wherever_in_doubt_the_position_is(
    position: int | None, side: Side, quantity: int, *, expected: bool
) -> None:
    exposure = Exposure(position=None if position is None else Decimal(position), doubt=DOUBT)

    assert exposure.is_reducing(side, Decimal(quantity)) is expected


def test_each_side_counts_from_the_worse_end() -> None:
    exposure = Exposure(position=Decimal(100), doubt=DOUBT)

    assert exposure.lowest == 80
    assert exposure.highest == 110
    assert exposure.worst(Side.BUY, Decimal(5)) == 115
    assert exposure.worst(Side.SELL, Decimal(5)) == -75


@given(st.integers(-50, 50), st.integers(0, 50), st.sampled_from(Side), st.integers(1, 100))
def test_reducing_is_what_the_catalogue_says(
    position: int, working: int, side: Side, quantity: int
) -> None:
    both = Exposure(
        position=Decimal(position), working_buy=Decimal(working), working_sell=Decimal(working)
    )

    opposite = position < 0 if side is Side.BUY else position > 0

    assert both.is_reducing(side, Decimal(quantity)) == (
        opposite and quantity + working <= abs(position)
    )
