"""Modifies in doubt, and fills while one is open: what ends it, and what proves nothing."""

from dataclasses import replace
from decimal import Decimal

import pytest

from engine.domain.messages import (
    CancelOrder,
    ModifyOrder,
    ModifySettled,
    StartTimer,
    Step,
    StopLookup,
    StopTimer,
    SubmitOrder,
    TimerFired,
    WriteRecord,
)
from engine.domain.order import MODIFY_NOT_APPLIED
from engine.domain.order.machine import OLD_TERMS_MS
from engine.domain.values import (
    BrokerOrderId,
    BrokerStatus,
    Confidence,
    OrderState,
    OrderType,
    Pending,
    Source,
    TrailingType,
)
from tests.domain.order.samples import (
    ACK,
    BROKER_ID,
    CANCEL,
    LOOKUP,
    ORDER_ID,
    REFUSED,
    RELEASE,
    SESSION,
    TICKET,
    TIMEOUT,
    TURN,
    Played,
    anomalies,
    answered,
    approve,
    filled,
    in_doubt,
    modify,
    polled,
    settlement,
    shown,
    terms,
)

OLD, NEW = terms(10), terms(20, "101")
MODIFY = modify(NEW)


OLD_SHOWN = (Decimal(10), Decimal(100), Pending.NONE, None)
NEW_SHOWN = (Decimal(20), Decimal(101), Pending.NONE, None)
WAITING = (Decimal(10), Decimal(100), Pending.REPLACE, NEW)
APPLIED = ModifySettled(order_id=ORDER_ID, applied=True, terms=NEW, reason=None)


# --- doubt, and what ends it ---------------------------------------------------------------


def test_silence_leaves_the_change_open_and_sends_nothing_again() -> None:
    played = Played().work().change(NEW)

    effects = played.tell(answered(TIMEOUT, Step.MODIFY))

    assert [effect for effect in effects if not isinstance(effect, WriteRecord)] == [
        LOOKUP,
        RELEASE,
    ]
    assert shown(played.order) == WAITING
    assert played.order.state is OrderState.ACCEPTED
    assert played.order.view().confidence is Confidence.UNCONFIRMED
    assert played.tell(TURN) == (RELEASE,)


@pytest.mark.parametrize("source", list(Source))
def test_a_row_with_the_new_terms_settles_the_change(source: Source) -> None:
    played = in_doubt(NEW)

    effects = played.tell(polled(source=source, shows=NEW))

    assert settlement(effects) == APPLIED
    assert StopLookup(order_id=ORDER_ID, session=SESSION) in effects
    assert shown(played.order) == NEW_SHOWN
    assert played.order.view().confidence is Confidence.CONFIRMED


def test_the_old_terms_prove_something_only_after_a_minute_of_polls() -> None:
    played = in_doubt(NEW)

    first = played.tell(polled(shows=OLD))
    before = played.tell(polled(shows=OLD))
    over = played.tell(TimerFired(name="modify"))
    after = played.tell(polled(shows=OLD))

    assert StartTimer(name="modify", delay_ms=OLD_TERMS_MS) in first
    assert before == over == ()
    settled = settlement(after)
    assert settled is not None
    assert settled.reason is not None
    assert (settled.applied, settled.terms, settled.reason.code) == (
        False,
        OLD,
        MODIFY_NOT_APPLIED,
    )
    assert shown(played.order) == OLD_SHOWN


def test_one_row_of_a_minute_ago_proves_nothing() -> None:
    played = in_doubt(NEW)
    played.tell(polled(shows=OLD))

    effects = played.tell(TimerFired(name="modify"))
    again = played.tell(polled(shows=OLD))

    assert effects == ()
    assert again == (StartTimer(name="modify", delay_ms=OLD_TERMS_MS),)


def test_old_terms_on_the_stream_prove_nothing() -> None:
    played = in_doubt(NEW)

    effects = played.tell(polled(source=Source.STREAM, shows=OLD))

    assert not any(isinstance(effect, StartTimer) for effect in effects)


def test_new_terms_end_the_wait_for_old_ones() -> None:
    played = in_doubt(NEW)
    played.tell(polled(shows=OLD))

    effects = played.tell(polled(shows=NEW))

    assert StopTimer(name="modify") in effects
    assert played.tell(TimerFired(name="modify")) == ()


def test_terms_that_came_into_force_after_all_are_adopted_loudly() -> None:
    played = in_doubt(NEW)
    for message in (
        polled(shows=OLD),
        polled(shows=OLD),
        TimerFired(name="modify"),
        polled(shows=OLD),
    ):
        played.tell(message)

    effects = played.tell(polled(shows=NEW))

    assert anomalies(effects) == ["modified_late"]
    assert settlement(effects) == APPLIED
    assert shown(played.order) == NEW_SHOWN
    assert shown(played.replayed()) == NEW_SHOWN


def test_a_row_of_other_terms_proves_nothing() -> None:
    played = in_doubt(NEW)
    played.tell(polled(shows=terms(15, "100.5")))

    assert shown(played.order) == WAITING


def test_more_fills_than_the_old_quantity_prove_the_new_one() -> None:
    played = in_doubt(NEW)

    effects = played.tell(filled(1, 12))

    assert settlement(effects) == APPLIED
    assert played.order.state is OrderState.PARTIALLY_FILLED
    assert anomalies(effects) == []


def test_an_answer_about_another_order_leaves_doubt_loudly() -> None:
    played = Played().work().change(NEW)
    other = replace(ACK, broker_order_id=BrokerOrderId("7"))

    effects = played.tell(answered(other, Step.MODIFY))

    assert anomalies(effects) == ["modify_other_order"]
    assert LOOKUP in effects
    assert RELEASE in effects
    assert shown(played.order) == WAITING
    assert played.order.view().broker_order_id == BROKER_ID


def test_a_change_that_stays_unproven_is_reported_and_looked_for_again() -> None:
    played = in_doubt(NEW)

    effects = played.tell(TimerFired(name="park"))

    assert anomalies(effects) == ["modify_unproven"]
    assert LOOKUP in effects
    assert played.order.state is OrderState.ACCEPTED


@pytest.mark.parametrize("source", list(Source))
def test_a_row_of_earlier_terms_is_no_proof_of_a_change_back_to_them(source: Source) -> None:
    played = Played().work().change(NEW)
    played.tell(answered(ACK, Step.MODIFY))
    played.change(OLD)
    during = played.tell(polled(source=source, shows=OLD))
    played.tell(answered(TIMEOUT, Step.MODIFY))

    after = played.tell(polled(source=source, shows=OLD))

    assert settlement(during) is None
    assert settlement(after) is None
    assert played.order.view().quantity == NEW.quantity
    assert played.order.view().wanted == OLD


def test_a_change_back_that_the_broker_refuses_after_a_late_row_is_not_applied() -> None:
    played = Played().work().change(NEW)
    played.tell(answered(ACK, Step.MODIFY))
    played.change(OLD)
    played.tell(polled(source=Source.STREAM, shows=OLD))

    played.tell(answered(REFUSED, Step.MODIFY))

    assert shown(played.order) == NEW_SHOWN


def test_a_change_back_is_applied_after_a_minute_of_polls() -> None:
    played = Played().work().change(NEW)
    played.tell(answered(ACK, Step.MODIFY))
    played.change(OLD)
    played.tell(answered(TIMEOUT, Step.MODIFY))
    played.tell(polled(shows=OLD))
    played.tell(polled(shows=OLD))
    over = played.tell(TimerFired(name="modify"))

    effects = played.tell(polled(shows=OLD))

    assert over == ()
    assert settlement(effects) == ModifySettled(
        order_id=ORDER_ID, applied=True, terms=OLD, reason=None
    )
    assert shown(played.order) == shown(played.replayed()) == OLD_SHOWN


def test_rows_that_change_their_mind_start_the_minute_over() -> None:
    played = Played().work().change(NEW)
    played.tell(answered(ACK, Step.MODIFY))
    played.change(OLD)
    played.tell(answered(TIMEOUT, Step.MODIFY))
    for told in (OLD, OLD):
        played.tell(polled(shows=told))
    played.tell(TimerFired(name="modify"))

    effects = played.tell(polled(shows=NEW))

    assert effects == (StartTimer(name="modify", delay_ms=OLD_TERMS_MS),)
    assert played.order.view().wanted == OLD


def test_a_silent_broker_proves_nothing_however_long() -> None:
    played = in_doubt(NEW)
    played.tell(polled(shows=OLD))
    played.tell(polled(shows=OLD))

    effects = played.tell(TimerFired(name="modify"))

    assert effects == ()
    assert shown(played.order) == WAITING


def test_a_doubtful_change_says_that_it_can_be_cancelled_and_can_be() -> None:
    played = in_doubt(NEW)
    reason = played.order.view().reason
    played.tell(CANCEL)

    effects = played.commit(CancelOrder)

    assert reason is not None
    assert reason.code == "MODIFY_IN_DOUBT"
    assert "cancel" in reason.message
    assert any(type(effect).__name__ == "CancelAtBroker" for effect in effects)
    assert played.replayed().view().reason == reason


def test_a_doubtful_change_says_so_whatever_the_state_becomes() -> None:
    played = in_doubt(NEW)

    played.tell(polled(BrokerStatus.SUBMITTED))

    view = played.order.view()
    assert view.state is OrderState.WORKING
    assert view.reason is not None
    assert view.reason.code == "MODIFY_IN_DOUBT"
    played.tell(polled(BrokerStatus.CANCELLED))
    assert played.order.view().reason is None


def test_a_moving_stop_is_journaled_at_no_tick() -> None:
    trail = replace(
        TICKET,
        type=OrderType.TRAIL,
        limit_price=None,
        stop_price=Decimal(90),
        trailing_type=TrailingType.AMOUNT,
        trailing_amount=Decimal(10),
    )
    played = Played().work(SubmitOrder(approved=approve(ticket=trail), body=b"{}"))
    played.change(terms(10, None, "91"))
    played.tell(answered(TIMEOUT, Step.MODIFY))
    played.tell(polled(shows=terms(10, None, "90")))
    before = len(played.records)

    for tick in range(50):
        played.tell(polled(shows=terms(10, None, str(90 + tick))))
        played.tell(polled(source=Source.STREAM, shows=terms(10, None, str(90 + tick))))

    assert len(played.records) == before
    assert played.order.view().pending is Pending.REPLACE


def test_more_fills_than_asked_prove_no_smaller_quantity() -> None:
    played = Played().work().change(terms(5))
    played.tell(answered(TIMEOUT, Step.MODIFY))

    played.tell(filled(1, 12))

    view = played.order.view()
    assert (view.state, view.quantity, view.filled_quantity) == (
        OrderState.FILLED,
        Decimal(10),
        Decimal(12),
    )


def test_fills_prove_nothing_of_a_change_that_was_not_sent() -> None:
    played = Played().work()
    played.tell(MODIFY)

    effects = played.tell(filled(1, 12))

    assert settlement(effects) is None
    assert played.order.view().wanted == NEW


def test_an_order_that_the_broker_has_ended_is_not_changed() -> None:
    played = Played().work()
    played.tell(polled(BrokerStatus.FILLED, filled=10))

    effects = played.tell(MODIFY)

    settled = settlement(effects)
    assert settled is not None
    assert settled.reason is not None
    assert settled.reason.code == "NOT_MODIFIABLE"
    assert played.commit(ModifyOrder) == ()


# --- fills while a modify is open ------------------------------------------------------------


def test_the_old_quantity_is_not_the_end_while_more_may_be_in_force() -> None:
    played = Played().work().change(NEW)

    played.tell(filled(1, 10))
    before = played.order.state
    played.tell(answered(REFUSED, Step.MODIFY))

    assert before is OrderState.PARTIALLY_FILLED
    assert played.order.state is OrderState.FILLED


def test_the_brokers_filled_ends_the_order_with_the_old_quantity() -> None:
    played = in_doubt(NEW)
    played.tell(filled(1, 10))

    played.tell(polled(BrokerStatus.FILLED, filled=10))

    view = played.order.view()
    assert (view.state, view.quantity, view.pending) == (
        OrderState.FILLED,
        Decimal(10),
        Pending.NONE,
    )


def test_a_smaller_quantity_that_is_confirmed_after_its_fills_ends_the_order() -> None:
    played = Played().work().change(terms(5))
    played.tell(filled(1, 5))
    before = played.order.state

    played.tell(answered(ACK, Step.MODIFY))

    view = played.order.view()
    assert before is OrderState.PARTIALLY_FILLED
    assert (view.state, view.quantity, view.remaining_quantity) == (
        OrderState.FILLED,
        Decimal(5),
        Decimal(0),
    )


def test_an_end_ends_the_change_and_its_answer_the_turn() -> None:
    played = Played().work().change(NEW)

    ended = played.tell(polled(BrokerStatus.CANCELLED, Source.STREAM))
    answer = played.tell(answered(REFUSED, Step.MODIFY))

    assert RELEASE not in ended
    assert RELEASE in answer
    assert settlement(answer) is None
    assert played.order.view().pending is Pending.NONE
