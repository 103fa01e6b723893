from dataclasses import replace
from types import MappingProxyType

import pytest

from engine.domain.history import History, LiveOrder
from engine.domain.order.image import image_of
from engine.domain.values import QuestionPolicy
from engine.journal import JournalUnsupported
from engine.journal.snapshot_body import FRAME_ORDERS, PACKING, read_slices, slices_of
from tests.domain.order.samples import approve
from tests.domain.test_history import (
    GUARD,
    HALT,
    RECONCILED,
    apply,
    expired,
    external,
    intent,
    later,
    recorded,
)


def sample() -> History:
    """Some of everything: orders that rest and orders that do not, and all the rest."""
    orders = [intent(number) for number in range(1, 2 * FRAME_ORDERS + 2)]
    ended = [expired(number) for number in range(1, FRAME_ORDERS)]
    history = apply(History(PACKING), recorded(*orders, *ended))
    first = len(orders) + len(ended) + 1
    apply(history, later(HALT, GUARD, RECONCILED, external(7), expired(1000), first=first))
    history.rest()
    return history


def read(body: bytes) -> History:
    *_, whole = read_slices(body)
    return whole


def test_a_history_comes_back_as_it_was() -> None:
    history = sample()

    parts = list(slices_of(history))
    again = read(b"".join(parts))

    assert again.digest() == history.digest()
    assert (again.seq, again.at_ns, again.skipped) == (history.seq, history.at_ns, 1)
    assert list(again.orders) == list(history.orders)
    assert len(parts) == 1 + 3, "all but the orders, and three slices of orders"
    assert len(list(read_slices(b"".join(parts)))) == 4


def test_orders_that_must_act_are_awake_once_they_are_woken() -> None:
    history = sample()
    again = read(b"".join(slices_of(history)))
    asleep = list(again.live())

    again.wake()

    assert asleep == []
    assert [type(one) for one in again.orders.values()] == [
        type(one) for one in history.orders.values()
    ]
    assert again.digest() == history.digest()


def test_a_snapshot_of_a_snapshot_is_the_same_bytes() -> None:
    body = b"".join(slices_of(sample()))

    assert b"".join(slices_of(read(body))) == body


def test_an_order_at_rest_is_a_fraction_of_its_size() -> None:
    history = apply(History(), recorded(intent(123456)))
    ((order, _),) = history.live()
    image = image_of(order)

    packed = PACKING.pack(image)

    assert PACKING.unpack(packed) == image
    assert len(packed) < 250


def test_a_read_only_mapping_is_kept_like_any_other() -> None:
    approved = replace(
        approve(QuestionPolicy(answers={})), questions=QuestionPolicy(answers=MappingProxyType({}))
    )
    history = apply(History(), recorded(replace(intent(), approved=approved)))
    (found,) = history.orders.values()
    assert isinstance(found, LiveOrder)

    again = PACKING.unpack(PACKING.pack(image_of(found.order)))

    assert again == image_of(found.order)


BODY = b"".join(slices_of(apply(History(PACKING), recorded(intent(), intent(2)))))


@pytest.mark.parametrize("length", range(0, len(BODY), 7))
def test_a_part_of_it_is_no_history(length: int) -> None:
    with pytest.raises(JournalUnsupported, match="a snapshot that cannot be read"):
        read(BODY[:length])


def test_bytes_that_are_no_order_are_refused() -> None:
    with pytest.raises(JournalUnsupported, match="an order that cannot be read"):
        PACKING.unpack(b"no order")
