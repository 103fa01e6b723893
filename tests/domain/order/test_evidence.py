"""What the broker shows of an order makes the same of it in whatever order it comes."""

import itertools
import random
from collections.abc import Iterable, Sequence
from dataclasses import replace
from decimal import Decimal

import pytest

from engine.domain.messages import ExecutionSeen, OrderMessage, OrderProvenAbsent
from engine.domain.order import Order
from engine.domain.order.image import OrderImage, image_of, order_of
from engine.domain.order.merge import INACTIVE_NS
from engine.domain.values import BrokerOrderId, BrokerStatus, Evidence, OrderState, Source
from tests.domain.order.samples import (
    ACK,
    ORDER_ID,
    TIMEOUT,
    Played,
    anomalies,
    answered,
    filled,
    seen,
    terms,
)

SECOND = BrokerOrderId("7")
LATE_ACK = replace(answered(ACK), late=True)
FILLED_ROW = seen(BrokerStatus.FILLED, filled=10)
PROOF = Evidence(
    elapsed_ms=65_000, healthy_ms=64_000, horizon_ms=60_000, list_reads=3, trade_reads=2
)
WORKING_ROW = seen(BrokerStatus.SUBMITTED, filled=0)
BUST = filled(2, 0, revision=2)

CORRECTED: tuple[OrderMessage, ...] = (
    LATE_ACK,
    WORKING_ROW,
    filled(1, 6),
    filled(1, 5, revision=2),
    filled(2, 4),
    BUST,
    FILLED_ROW,
)
CHARGED: tuple[OrderMessage, ...] = (
    answered(ACK),
    WORKING_ROW,
    filled(1, 6),
    filled(2, 4),
    filled(2, 4, fee="1.05"),
    FILLED_ROW,
)
CANCELLED_PARTLY = (
    LATE_ACK,
    seen(BrokerStatus.PRE_SUBMITTED),
    filled(1, 6),
    filled(1, 4, revision=2),
    seen(BrokerStatus.CANCELLED, Source.POLL, filled=6),
    seen(BrokerStatus.CANCELLED, Source.POLL, filled=6),
)
PARTLY = (
    LATE_ACK,
    WORKING_ROW,
    seen(BrokerStatus.SUBMITTED, Source.POLL, filled=6),
    filled(1, 6),
    filled(1, 5, revision=2),
    filled(1, 5, revision=2, fee="0.35"),
    WORKING_ROW,
)
REFUSED_PARTLY = (
    LATE_ACK,
    WORKING_ROW,
    filled(1, 2),
    seen(BrokerStatus.CANCELLED, filled=2, reason="not enough margin for the rest"),
    seen(BrokerStatus.CANCELLED, filled=2, reason="not enough margin for the rest"),
    filled(1, 2, fee="1"),
)
BUSTED = (LATE_ACK, WORKING_ROW, filled(1, 10), filled(1, 0, revision=2), filled(2, 3), WORKING_ROW)
BUSTED_UNSEEN: tuple[OrderMessage, ...] = (
    LATE_ACK,
    WORKING_ROW,
    seen(BrokerStatus.FILLED, filled=10),
    filled(1, 0, revision=2),
    filled(2, 7),
    seen(BrokerStatus.CANCELLED, Source.POLL, filled=7, reason="the other fill was busted"),
)

DOUBLED: tuple[OrderMessage, ...] = (
    LATE_ACK,
    WORKING_ROW,
    filled(1, 6),
    seen(BrokerStatus.SUBMITTED, broker_id=SECOND, filled=0, shows=terms(10)),
    seen(BrokerStatus.CANCELLED, broker_id=SECOND, filled=3),
    filled(2, 3, broker_id=SECOND),
)


SETS = [
    pytest.param(CORRECTED, id="corrected"),
    pytest.param(PARTLY, id="partly"),
    pytest.param(CHARGED, id="charged"),
    pytest.param(CANCELLED_PARTLY, id="cancelled"),
    pytest.param(BUSTED, id="busted"),
    pytest.param(BUSTED_UNSEEN, id="busted before it was seen"),
    pytest.param(REFUSED_PARTLY, id="refused"),
    pytest.param(DOUBLED, id="doubled"),
]


def in_doubt() -> Played:
    played = Played().send()
    played.tell(answered(TIMEOUT))
    return played


DOUBT = tuple(in_doubt().records)


def image_after(news: Iterable[OrderMessage]) -> OrderImage:
    """Tell an order in doubt all of it, at one time: only the order of it can differ."""
    order = Order()
    for written in DOUBT:
        order.replay(written.record, written.view.updated_at_ns)
    for message in news:
        order.handle(message, 5_000)
    return image_of(order)


def images_of(orders: Iterable[Iterable[OrderMessage]]) -> list[OrderImage]:
    """Return the different ends."""
    return list({repr(image): image for image in map(image_after, orders)}.values())


def quantity_of(image: OrderImage) -> Decimal:
    return order_of(image).view().filled_quantity


def sampled(news: Sequence[OrderMessage], count: int) -> list[tuple[OrderMessage, ...]]:
    """Return so many permutations, always the same."""
    chance = random.Random(4)
    return [tuple(chance.sample(news, len(news))) for _ in range(count)]


def test_seven_updates_in_any_order_make_one_order() -> None:
    images = images_of(itertools.permutations(CORRECTED))

    assert [(one.state, quantity_of(one)) for one in images] == [
        (OrderState.PARTIALLY_FILLED, Decimal(5))
    ]


def test_seven_updates_of_a_partly_filled_order_make_one_order() -> None:
    images = images_of(sampled(PARTLY, 500))

    assert [(one.state, quantity_of(one)) for one in images] == [
        (OrderState.PARTIALLY_FILLED, Decimal(5))
    ]


@pytest.mark.parametrize(
    ("news", "state", "quantity"),
    [
        pytest.param(CHARGED, OrderState.FILLED, 10, id="filled and charged"),
        pytest.param(CANCELLED_PARTLY, OrderState.CANCELLED, 4, id="cancelled, corrected"),
        pytest.param(BUSTED, OrderState.PARTIALLY_FILLED, 3, id="filled and busted"),
        pytest.param(REFUSED_PARTLY, OrderState.CANCELLED, 2, id="refused after a fill"),
    ],
)
def test_six_updates_in_any_order_make_one_order(
    news: tuple[OrderMessage, ...], state: OrderState, quantity: int
) -> None:
    images = images_of(itertools.permutations(news))

    assert [(one.state, quantity_of(one)) for one in images] == [(state, Decimal(quantity))]


def test_a_second_order_counts_the_same_whenever_it_is_told_of() -> None:
    acknowledged, rest = DOUBLED[0], DOUBLED[1:]

    images = images_of((acknowledged, *order) for order in itertools.permutations(rest))

    (image,) = images
    view = order_of(image).view()
    assert (view.state, view.filled_quantity, view.other_broker_order_ids) == (
        OrderState.PARTIALLY_FILLED,
        Decimal(9),
        (SECOND,),
    )
    assert view.quantity_extra == Decimal(3)


@pytest.mark.parametrize("news", SETS)
def test_updates_that_are_repeated_are_heard_once(news: tuple[OrderMessage, ...]) -> None:
    once = images_of(sampled(news, 20))

    again = images_of(
        (*order, *order) if index % 2 else (m for message in order for m in (message, message))
        for index, order in enumerate(sampled(news, 20))
    )

    assert again == once


@pytest.mark.parametrize("missing", range(len(CHARGED)))
def test_an_update_that_never_comes_makes_no_difference_once_all_fills_are_there(
    missing: int,
) -> None:
    news = tuple(message for index, message in enumerate(CHARGED) if index != missing)
    # What filled twice is in two updates; the others say nothing that the rest does not prove.
    fills = {one.execution.execution_id for one in news if isinstance(one, ExecutionSeen)}

    states = {one.state for one in images_of(itertools.permutations(news))}

    assert states == ({OrderState.FILLED} if len(fills) == 2 else {OrderState.PARTIALLY_FILLED})


def test_what_the_records_say_is_what_the_order_is() -> None:
    for order in sampled(CORRECTED, 50):
        played = in_doubt()
        for message in order:
            played.tell(message)
        assert image_of(played.replayed()) == image_of(played.order)


# --- corrections of what was over ----------------------------------------------------------------


def told(*news: OrderMessage) -> tuple[OrderState, Decimal]:
    """Return the end of a working order that hears this, in this order."""
    played = Played().work()
    for message in news:
        played.tell(message)
    assert image_of(played.replayed()) == image_of(played.order)
    view = played.order.view()
    return view.state, view.filled_quantity


def test_a_correction_reopens_what_only_fills_had_filled() -> None:
    assert told(filled(1, 10), filled(1, 4, revision=2)) == (
        OrderState.PARTIALLY_FILLED,
        Decimal(4),
    )


def test_a_bust_of_the_only_fill_leaves_an_order_that_may_work_on() -> None:
    assert told(filled(1, 10), filled(1, 0, revision=2)) == (
        OrderState.PARTIALLY_FILLED,
        Decimal(0),
    )


def test_rows_of_an_order_whose_only_fill_was_busted_say_nothing_impossible() -> None:
    played = Played().work()

    for message in (filled(1, 10), filled(1, 0, revision=2), WORKING_ROW):
        assert "impossible_transition" not in anomalies(played.tell(message))


def test_a_correction_takes_back_that_the_order_is_filled_and_it_is_looked_for() -> None:
    played = Played().work()

    for message in (filled(1, 10), FILLED_ROW, filled(1, 4, revision=2)):
        played.tell(message)

    assert played.order.state is OrderState.PARTIALLY_FILLED
    assert played.order.is_looked_for


@pytest.mark.parametrize(
    "news",
    list(
        itertools.permutations(
            (
                filled(1, 10),
                FILLED_ROW,
                filled(1, 0, revision=2),
                seen(BrokerStatus.CANCELLED, filled=0),
            )
        )
    ),
)
def test_a_bust_and_the_cancel_that_it_came_with_end_the_order_cancelled(
    news: tuple[OrderMessage, ...],
) -> None:
    assert told(*news) == (OrderState.CANCELLED, Decimal(0))


def test_a_correction_shows_that_a_cancel_had_ended_the_order() -> None:
    cancelled = seen(BrokerStatus.CANCELLED, filled=10)

    assert told(filled(1, 10), cancelled, filled(1, 9, revision=2)) == (
        OrderState.CANCELLED,
        Decimal(9),
    )


def test_a_busted_fill_was_counted_and_keeps_no_end_waiting() -> None:
    cancelled = seen(BrokerStatus.CANCELLED, filled=4)

    assert told(filled(1, 4), filled(1, 0, revision=2), cancelled) == (
        OrderState.CANCELLED,
        Decimal(0),
    )


def test_a_fill_that_was_corrected_before_it_was_seen_keeps_no_end_waiting() -> None:
    cancelled = seen(BrokerStatus.CANCELLED, filled=7)
    bust = filled(1, 0, revision=2)

    assert told(FILLED_ROW, bust, cancelled) == (OrderState.PARTIALLY_FILLED, Decimal(0))
    assert told(FILLED_ROW, bust, cancelled, filled(2, 7)) == (OrderState.CANCELLED, Decimal(7))


def test_an_end_waits_for_the_executions_that_the_broker_counts() -> None:
    cancelled = seen(BrokerStatus.CANCELLED, filled=4)

    assert told(cancelled) == (OrderState.ACCEPTED, Decimal(0))
    assert told(cancelled, filled(1, 3)) == (OrderState.PARTIALLY_FILLED, Decimal(3))
    assert told(cancelled, filled(1, 3), filled(2, 1)) == (OrderState.CANCELLED, Decimal(4))


def test_a_fill_of_a_second_order_does_not_fill_the_first() -> None:
    assert told(filled(1, 10, broker_id=SECOND)) == (OrderState.PARTIALLY_FILLED, Decimal(10))


def test_a_row_of_the_past_cannot_bring_back_what_a_reason_ended() -> None:
    rejected = seen(BrokerStatus.CANCELLED, reason="no margin")

    assert told(rejected, WORKING_ROW) == (OrderState.REJECTED, Decimal(0))


def test_a_session_that_shows_an_absent_order_held_back_finds_it_suspended() -> None:
    played = in_doubt()
    played.tell(OrderProvenAbsent(order_id=ORDER_ID, evidence=PROOF))
    played.now_ns += INACTIVE_NS

    played.tell(seen(BrokerStatus.INACTIVE, Source.POLL))

    assert played.order.state is OrderState.SUSPENDED
