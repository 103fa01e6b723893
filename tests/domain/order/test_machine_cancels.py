"""Cancels, and orders that come back: what is sent, repeated, and believed."""

from dataclasses import replace

import pytest

from engine.domain.messages import (
    AttemptStarted,
    CancelAtBroker,
    CancelOrder,
    OrderRowSeen,
    PlaceAtBroker,
    ReplyDecided,
    ReportAnomaly,
    StartTimer,
    Step,
    SubmitOrder,
    TimerFired,
    WriteRecord,
)
from engine.domain.order.recorder import CANCEL_RETRY_MS
from engine.domain.values import (
    BrokerOrderId,
    BrokerStatus,
    OrderState,
    Outcome,
    OutcomeKind,
    Pending,
    Source,
)
from tests.domain.order.samples import (
    BROKER_ID,
    CANCEL,
    CANCEL_AT_BROKER,
    INTENT,
    LOOKUP,
    ORDER_ID,
    REFUSED,
    RELEASE,
    TIMEOUT,
    TURN,
    Played,
    anomalies,
    answered,
    ask,
    filled,
    row,
    seen,
)

# --- cancels -----------------------------------------------------------------------------


def test_a_cancel_is_durable_before_it_is_sent_and_is_repeated() -> None:
    played = Played().work()

    asked = played.tell(CANCEL)
    sent = played.commit(CancelOrder)
    again = played.tell(TimerFired(name="cancel"))

    assert [type(effect) for effect in asked] == [WriteRecord]
    assert played.order.view().pending is Pending.CANCEL
    assert sent == (CANCEL_AT_BROKER, StartTimer(name="cancel", delay_ms=CANCEL_RETRY_MS[0]))
    assert again == (CANCEL_AT_BROKER, StartTimer(name="cancel", delay_ms=CANCEL_RETRY_MS[1]))


def test_a_cancel_of_an_unsent_order_ends_it_here() -> None:
    played = Played()
    played.tell(INTENT)
    played.commit(SubmitOrder)

    effects = played.tell(CANCEL)

    assert RELEASE in effects
    assert played.order.state is OrderState.CANCELLED
    assert not any(isinstance(effect, CancelAtBroker) for effect in effects)


def test_a_cancel_of_a_doubtful_order_fires_once_it_is_seen() -> None:
    played = Played().send()
    played.tell(answered(TIMEOUT))
    played.tell(CANCEL)
    before = played.commit(CancelOrder)

    effects = played.tell(seen(BrokerStatus.SUBMITTED, Source.LOOKUP))

    assert before == ()
    assert CANCEL_AT_BROKER in effects


def test_a_second_cancel_changes_nothing() -> None:
    played = Played().work()
    played.tell(CANCEL)

    assert played.tell(CANCEL) == ()


def test_a_receipt_is_not_a_cancel() -> None:
    played = Played().work()
    played.tell(CANCEL)
    played.commit(CancelOrder)

    played.tell(answered(Outcome(kind=OutcomeKind.ACK, broker_order_id=BROKER_ID), Step.CANCEL))

    assert played.order.state is OrderState.ACCEPTED
    assert played.order.view().pending is Pending.CANCEL


def test_a_refused_cancel_proves_nothing_and_makes_us_look() -> None:
    played = Played().work()
    played.tell(CANCEL)
    played.commit(CancelOrder)

    effects = played.tell(answered(REFUSED, Step.CANCEL))

    assert LOOKUP in effects
    assert played.order.state is OrderState.ACCEPTED
    assert played.order.view().pending is Pending.NONE


def test_a_refused_cancel_can_be_asked_for_again_whatever_a_late_row_says() -> None:
    played = Played().work()
    played.tell(CANCEL)
    played.commit(CancelOrder)
    played.tell(answered(REFUSED, Step.CANCEL))
    played.tell(seen(BrokerStatus.PENDING_CANCEL))

    again = played.tell(CANCEL)
    sent = played.commit(CancelOrder)

    assert [type(effect) for effect in again] == [WriteRecord]
    assert CANCEL_AT_BROKER in sent


@pytest.mark.parametrize("ours", [False, True])
def test_a_cancel_that_the_broker_began_and_gave_up_is_pending_no_more(*, ours: bool) -> None:
    played = Played().work()
    if ours:
        played.tell(CANCEL)
        played.commit(CancelOrder)
        played.tell(answered(REFUSED, Step.CANCEL))
    played.tell(seen(BrokerStatus.PENDING_CANCEL))
    during = played.order.view().pending

    played.tell(seen(BrokerStatus.SUBMITTED))

    assert during is Pending.CANCEL
    assert played.order.view().pending is Pending.NONE


def test_a_late_row_of_a_working_order_does_not_end_our_cancel() -> None:
    played = Played().work()
    played.tell(CANCEL)
    played.tell(seen(BrokerStatus.PENDING_CANCEL))

    played.tell(seen(BrokerStatus.SUBMITTED))

    assert played.order.view().pending is Pending.CANCEL


def test_a_cancel_that_was_refused_is_not_sent_again_by_a_restart() -> None:
    played = Played().work()
    played.tell(CANCEL)
    played.commit(CancelOrder)
    played.tell(answered(REFUSED, Step.CANCEL))

    effects = played.replayed().resume(5_000)

    assert CANCEL_AT_BROKER not in effects


def test_a_cancelled_order_that_was_held_for_unsent_is_cancelled_once_it_shows_up() -> None:
    played = Played()
    played.tell(INTENT)
    played.commit(SubmitOrder)
    played.tell(TURN)
    played.tell(CANCEL)
    played.commit(CancelOrder)
    played.commit(AttemptStarted)
    restarted = played.replayed()
    restarted.resume(5_000)

    live = restarted.handle(seen(BrokerStatus.SUBMITTED), 6_000)

    assert CANCEL_AT_BROKER in live
    assert restarted.view().pending is Pending.CANCEL


def test_a_cancelled_question_that_shows_as_inactive_stays_cancelled() -> None:
    played = Played().send()
    played.tell(CANCEL)
    played.commit(CancelOrder)
    played.tell(answered(ask("o163")))
    played.commit(ReplyDecided)
    played.tell(answered(REFUSED, Step.REPLY))

    effects = played.tell(seen(BrokerStatus.INACTIVE, Source.POLL))

    assert not any(isinstance(effect, ReportAnomaly) for effect in effects)
    assert played.order.state is OrderState.CANCELLED


def test_what_was_adopted_and_ended_at_the_broker_is_not_revived_by_a_late_row() -> None:
    played = Played().send()
    played.tell(answered(REFUSED))
    played.tell(filled(1, 6))
    played.tell(seen(BrokerStatus.CANCELLED))

    effects = played.tell(seen(BrokerStatus.PRE_SUBMITTED, Source.STREAM))

    assert effects == ()
    assert played.order.state is OrderState.CANCELLED


def test_a_second_order_at_the_broker_under_our_id_does_not_speak_for_the_first() -> None:
    played = Played().work()
    other = replace(row(BrokerStatus.CANCELLED), broker_order_id=BrokerOrderId("7"))

    effects = played.tell(OrderRowSeen(order_id=ORDER_ID, row=other, source=Source.POLL))

    assert anomalies(effects) == ["second_order"]
    assert played.order.state is OrderState.ACCEPTED


def test_a_cancel_that_loses_the_race_ends_filled() -> None:
    played = Played().work()
    played.tell(CANCEL)
    played.commit(CancelOrder)

    played.tell(filled(1, 10))

    view = played.order.view()
    assert (view.state, view.pending) == (OrderState.FILLED, Pending.NONE)


def test_a_cancel_while_the_attempt_is_written_is_never_sent() -> None:
    played = Played()
    played.tell(INTENT)
    played.commit(SubmitOrder)
    played.tell(TURN)
    played.tell(CANCEL)

    effects = played.commit(AttemptStarted)

    assert RELEASE in effects
    assert not any(isinstance(effect, PlaceAtBroker) for effect in played.effects)
    assert played.order.state is OrderState.CANCELLED
