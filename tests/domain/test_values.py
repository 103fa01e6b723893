import dataclasses
import inspect

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain import values
from engine.domain.values import (
    LIVE,
    TERMINAL,
    OrderState,
    Scope,
    ScopeKind,
    TradingState,
    base32,
    is_our_coid,
    make_coid,
    make_order_id,
)

NUMBERS = st.integers(min_value=0, max_value=2**40)
SHARDS = st.text("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=4, max_size=4)
CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0"), (31, "Z"), (32, "10"), (1_000, "Z8"), (2**40, "100000000")]
)
def test_numbers_are_written_in_base_32(number: int, text: str) -> None:
    assert base32(number) == text


def test_no_negative_number_is_written() -> None:
    with pytest.raises(AssertionError):
        base32(-1)


@given(NUMBERS)
def test_what_is_written_in_base_32_can_be_read_back(number: int) -> None:
    read = 0
    for digit in base32(number):
        read = read * 32 + CROCKFORD.index(digit)

    assert read == number


def test_an_order_is_named_by_its_epoch_and_its_number() -> None:
    assert make_order_id(3, 33) == "3-11"


def test_a_coid_has_tag_shard_epoch_number_and_check() -> None:
    assert make_coid("0001", 1, 1) == "EX0001-1-1-F0"


@given(SHARDS, NUMBERS, NUMBERS)
def test_a_coid_is_short_plain_and_known_as_ours(shard: str, epoch: int, number: int) -> None:
    coid = make_coid(shard, epoch, number)

    assert len(coid) <= 32
    assert coid.isascii()
    assert is_our_coid(coid, shard)


@given(SHARDS, SHARDS, NUMBERS, NUMBERS)
def test_a_coid_of_another_shard_is_not_ours(
    shard: str, other: str, epoch: int, number: int
) -> None:
    assert is_our_coid(make_coid(shard, epoch, number), other) is (shard == other)


@given(SHARDS, st.tuples(NUMBERS, NUMBERS), st.tuples(NUMBERS, NUMBERS))
def test_no_two_orders_share_a_coid(shard: str, one: tuple[int, int], two: tuple[int, int]) -> None:
    assert (make_coid(shard, *one) == make_coid(shard, *two)) is (one == two)


@given(NUMBERS, NUMBERS, st.integers(min_value=0, max_value=30), st.sampled_from(CROCKFORD))
def test_a_mistyped_coid_is_not_ours(
    epoch: int, number: int, position: int, character: str
) -> None:
    coid = make_coid("0001", epoch, number)
    position %= len(coid)
    mistyped = coid[:position] + character + coid[position + 1 :]

    assert is_our_coid(mistyped, "0001") is (mistyped == coid)


@pytest.mark.parametrize("text", ["", "-", "EX0001", "EX0001-1-1", "by hand", "EX0001-1-1-F0 "])
def test_other_texts_are_not_ours(text: str) -> None:
    assert not is_our_coid(text, "0001")


def test_no_state_is_both_live_and_terminal() -> None:
    neither = set(OrderState) - TERMINAL - LIVE

    assert set() == TERMINAL & LIVE
    assert neither == {
        OrderState.SUBMITTING,
        OrderState.AWAITING_REPLY,
        OrderState.IN_DOUBT,
        OrderState.PARKED,
    }


def test_trading_states_are_ordered_by_strictness() -> None:
    assert [state.strictness for state in TradingState] == [0, 1, 2, 3]
    assert TradingState.NORMAL.strictness == 0
    assert TradingState.HALT.strictness == 3


def test_a_scope_is_written_as_the_command_line_reads_it() -> None:
    assert str(Scope(kind=ScopeKind.FIRM)) == "firm"
    assert str(Scope(kind=ScopeKind.ACCOUNT, key="DU1234567")) == "account:DU1234567"


def _declared() -> list[type]:
    found = [
        item
        for _, item in inspect.getmembers(values, inspect.isclass)
        if dataclasses.is_dataclass(item) and item.__module__.startswith(values.__name__)
    ]
    assert found
    return found


@pytest.mark.parametrize("value", _declared(), ids=lambda value: value.__name__)
def test_a_value_never_changes_and_holds_no_float(value: type) -> None:
    assert value.__dataclass_params__.frozen  # type: ignore[attr-defined] # it is a dataclass
    assert "__slots__" in vars(value)
    assert [field.name for field in dataclasses.fields(value) if "float" in str(field.type)] == []
    assert all(field.kw_only for field in dataclasses.fields(value))
