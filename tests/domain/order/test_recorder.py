"""What goes on around an order's records: turns, lookups, and what a failure leaves behind."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from engine.domain.messages import (
    AttemptStarted,
    CancelAtBroker,
    CancelOrder,
    OrderRowSeen,
    Step,
    StopLookup,
    SubmitOrder,
    WriteRecord,
)
from engine.domain.order import Order
from engine.domain.values import BrokerStatus, Confidence, ConId, OrderState, Source
from tests.domain.order.samples import (
    ACK,
    BODY,
    CANCEL,
    INTENT,
    LOOKUP_UNSEEN,
    ORDER_ID,
    REFUSED,
    RELEASE,
    SESSION,
    TICKET,
    TIMEOUT,
    TURN,
    Played,
    answered,
    approve,
    ask,
    polled,
    row,
)


def turn(order: Order) -> tuple[bool, bool]:
    return order.waits_for_turn, order.has_turn


def test_a_turn_is_wanted_had_and_given_back() -> None:
    played = Played()
    found = []

    steps: tuple[Callable[[], object], ...] = (
        lambda: played.tell(INTENT),
        lambda: played.commit(SubmitOrder),
        lambda: played.tell(TURN),
        lambda: played.commit(AttemptStarted),
        lambda: played.tell(answered(ACK)),
    )
    for step in steps:
        step()
        found.append(turn(played.order))

    assert found == [(True, False), (True, False), (False, True), (False, True), (False, False)]


def test_a_doubtful_order_is_looked_for_until_it_is_seen() -> None:
    played = Played().send()
    played.tell(answered(TIMEOUT))
    before = played.order.is_looked_for

    played.tell(polled(BrokerStatus.SUBMITTED))

    assert (before, played.order.is_looked_for) == (True, False)


def test_an_order_that_a_refused_cancel_made_us_look_for_is_found_by_any_status() -> None:
    played = Played().work()
    played.tell(CANCEL)
    played.commit(CancelOrder)
    played.tell(answered(REFUSED, Step.CANCEL))

    streamed = played.tell(polled(BrokerStatus.PRE_SUBMITTED, Source.STREAM))
    listed = played.tell(polled(BrokerStatus.PRE_SUBMITTED))

    assert streamed == ()
    assert listed == (StopLookup(order_id=ORDER_ID, session=SESSION),)


def test_a_cancel_names_the_kind_of_contract() -> None:
    approved = approve(ticket=replace(TICKET, sec_type="FUT"))
    played = Played().work(SubmitOrder(approved=approved, body=BODY))
    played.tell(CANCEL)

    effects = played.commit(CancelOrder)

    assert [effect.sec_type for effect in effects if isinstance(effect, CancelAtBroker)] == ["FUT"]


def test_an_order_whose_actor_failed_is_unconfirmed_until_the_broker_shows_it() -> None:
    order = Played().work().replayed()
    order.resume(5_000, failed="ValueError in OrderActor")
    before = order.view().confidence

    same_again = order.handle(polled(BrokerStatus.PRE_SUBMITTED), 6_000)
    repeated = order.handle(polled(BrokerStatus.PRE_SUBMITTED), 7_000)

    assert before is Confidence.UNCONFIRMED
    (written,) = same_again
    assert isinstance(written, WriteRecord)
    assert written.view.confidence is Confidence.CONFIRMED
    assert repeated == ()


def test_a_row_of_something_else_confirms_nothing() -> None:
    order = Played().work().replayed()
    order.resume(5_000, failed="boom")
    other = replace(row(BrokerStatus.PRE_SUBMITTED), conid=ConId(1))

    order.handle(OrderRowSeen(order_id=ORDER_ID, row=other, source=Source.POLL), 6_000)

    assert order.view().confidence is Confidence.UNCONFIRMED


@pytest.mark.parametrize("question", [False, True])
def test_the_answer_to_a_failed_actors_submit_ends_its_turn(*, question: bool) -> None:
    order = Played().send().replayed()
    effects = order.resume(5_000, failed="boom", on_wire=True)
    before = turn(order)

    if question:
        order.handle(answered(ask("o163")), 6_000)
        assert turn(order) == (False, True)
    acked = order.handle(answered(ACK), 7_000)

    assert LOOKUP_UNSEEN in effects
    assert before == (False, True)
    assert RELEASE in acked
    assert order.state is OrderState.ACCEPTED
    assert order.view().confidence is Confidence.CONFIRMED


def test_a_failure_is_the_reason_of_the_doubt() -> None:
    order = Played().send().replayed()

    order.resume(5_000, failed="ValueError in OrderActor")

    reason = order.view().reason
    assert reason is not None
    assert reason.message == "ValueError in OrderActor before the outcome was known"
