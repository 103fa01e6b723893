"""Second orders under one id of ours: what proves them, and what becomes of each."""

import itertools
from dataclasses import replace
from decimal import Decimal

import pytest

from engine.domain.messages import (
    CancelAtBroker,
    CancelOrder,
    IncarnationSeen,
    LearnAlias,
    OrderEffect,
    OrderParked,
    OrderRowSeen,
    RecordFailed,
    StartTimer,
    Step,
    TimerFired,
    WriteRecord,
)
from engine.domain.order.incarnations import (
    READS_GONE_MIN,
    Incarnation,
    Kind,
    Sightings,
    merged,
)
from engine.domain.order.recorder import CANCEL_RETRY_MS
from engine.domain.values import (
    BrokerOrderId,
    BrokerStatus,
    Evidence,
    OrderRow,
    OrderState,
    Pending,
    Reason,
    Side,
    Source,
    Terms,
)
from tests.domain.order.samples import (
    ACCOUNT,
    ACK,
    BROKER_ID,
    CANCEL,
    CANCEL_AT_BROKER,
    LOOKUP,
    ORDER_ID,
    REFUSED,
    Played,
    anomalies,
    answered,
    filled,
    in_doubt,
    row,
    seen,
    terms,
)

SECOND = BrokerOrderId("7")
THIRD = BrokerOrderId("8")
OLD, NEW = terms(10), terms(20, "101")
CANCEL_SECOND = replace(CANCEL_AT_BROKER, broker_order_id=SECOND)
LEARN_SECOND = LearnAlias(order_id=ORDER_ID, account=ACCOUNT, broker_order_id=SECOND)


def ours(read: int, status: BrokerStatus = BrokerStatus.SUBMITTED, **more: object) -> OrderRowSeen:
    return seen(status, Source.POLL, read=read, **more)


def second(
    read: int, status: BrokerStatus = BrokerStatus.SUBMITTED, **more: object
) -> OrderRowSeen:
    return seen(status, Source.POLL, read=read, broker_id=SECOND, **more)


def duplicated(shows: Terms | None = OLD) -> Played:
    """An order of which one list has shown two at work."""
    played = Played().work()
    played.tell(second(1, shows=shows))
    played.tell(ours(1))
    return played


def incarnations(effects: tuple[OrderEffect, ...]) -> list[tuple[BrokerOrderId, bool]]:
    return [
        (effect.record.row.broker_order_id, effect.record.duplicate)
        for effect in effects
        if isinstance(effect, WriteRecord) and isinstance(effect.record, IncarnationSeen)
    ]


def cancels(effects: tuple[OrderEffect, ...]) -> list[BrokerOrderId]:
    return [one.broker_order_id for one in effects if isinstance(one, CancelAtBroker)]


def at(
    status: BrokerStatus | None = None,
    *,
    total: int | None = None,
    done: int | None = None,
    broker_id: BrokerOrderId = SECOND,
) -> OrderRow:
    return OrderRow(
        account=ACCOUNT,
        broker_order_id=broker_id,
        status=status,
        total_quantity=None if total is None else Decimal(total),
        filled_quantity=None if done is None else Decimal(done),
    )


# --- what may fill -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shown", "done", "left"),
    [
        (at(BrokerStatus.SUBMITTED, total=10), 0, 10),
        (at(BrokerStatus.SUBMITTED, total=10), 4, 6),
        (at(BrokerStatus.SUBMITTED), 4, 16),
        (at(BrokerStatus.CANCELLED, total=10, done=4), 4, 0),
        (at(BrokerStatus.CANCELLED, total=10, done=4), 1, 3),
        (at(BrokerStatus.CANCELLED, total=10), 0, 0),
        (at(BrokerStatus.FILLED, total=10), 4, 6),
        (at(BrokerStatus.INACTIVE, total=10), 0, 10),
    ],
)
def test_what_a_second_order_may_still_fill(shown: OrderRow, done: int, left: int) -> None:
    one = Incarnation(row=shown, kind=Kind.SUSPECTED)

    assert one.may_fill(Decimal(done), Decimal(20)) == Decimal(left)


def test_the_number_that_an_order_had_before_fills_nothing_of_its_own() -> None:
    one = Incarnation(row=at(BrokerStatus.SUBMITTED, total=10), kind=Kind.FORMER)

    assert one.may_fill(Decimal(0), Decimal(10)) == 0


def test_rows_of_one_order_add_up_in_any_order() -> None:
    rows = (
        at(BrokerStatus.SUBMITTED, total=10, done=0),
        at(None, done=4),
        at(BrokerStatus.CANCELLED, done=6),
    )

    whole = set()
    for first, *rest in itertools.permutations(rows):
        known = merged(None, first)
        for news in rest:
            known = merged(known, news)
        whole.add(known)

    assert whole == {at(BrokerStatus.CANCELLED, total=10, done=6)}


# --- what reads prove --------------------------------------------------------------------------


def test_one_read_with_both_at_work_shows_them_beside_each_other() -> None:
    sightings, mine = Sightings(), at(BrokerStatus.SUBMITTED, broker_id=BROKER_ID)

    sightings.see_other(at(BrokerStatus.SUBMITTED), 1)
    sightings.see_ours(mine, 1)

    assert sightings.ours_beside(SECOND) == mine


@pytest.mark.parametrize(
    ("mine", "other", "read"),
    [
        (BrokerStatus.SUBMITTED, BrokerStatus.SUBMITTED, 2),
        (BrokerStatus.CANCELLED, BrokerStatus.SUBMITTED, 1),
        (BrokerStatus.SUBMITTED, BrokerStatus.FILLED, 1),
    ],
    ids=["two reads", "ours ended", "the other ended"],
)
def test_anything_less_does_not(mine: BrokerStatus, other: BrokerStatus, read: int) -> None:
    sightings = Sightings()

    sightings.see_other(at(other), 1)
    sightings.see_ours(at(mine, broker_id=BROKER_ID), read)

    assert sightings.ours_beside(SECOND) is None


def test_only_complete_reads_in_a_row_show_that_one_is_alone() -> None:
    sightings, told = Sightings(), list[bool]()

    for read in (1, 2, 3):
        sightings.see_other(at(BrokerStatus.SUBMITTED), read)
        told.append(sightings.is_alone(SECOND))
    sightings.see_ours(at(BrokerStatus.SUBMITTED, broker_id=BROKER_ID), 3)

    # The third read proves that the first two were complete; then ours comes after all.
    assert (told, sightings.is_alone(SECOND)) == ([False, False, True], False)


# --- a second order ----------------------------------------------------------------------------


def test_a_second_order_on_the_stream_is_reserved_and_looked_for_and_left_alone() -> None:
    played = Played().work()

    effects = played.tell(seen(BrokerStatus.SUBMITTED, broker_id=SECOND, shows=OLD))

    view = played.order.view()
    assert (view.quantity_extra, view.other_broker_order_ids, view.broker_order_id) == (
        Decimal(10),
        (SECOND,),
        BROKER_ID,
    )
    assert anomalies(effects) == ["second_order"]
    assert LEARN_SECOND in effects
    assert LOOKUP in effects
    assert not cancels(effects)


def test_a_list_that_shows_both_at_work_proves_a_duplicate_that_is_cancelled_once_durable() -> None:
    played = Played().work()
    played.tell(ours(1))

    proven = played.tell(second(1, shows=OLD))
    sent = played.commit(IncarnationSeen)

    assert incarnations(proven) == [(SECOND, True)]
    assert anomalies(proven) == ["second_order", "duplicate"]
    assert sent == (CANCEL_SECOND, StartTimer(name="second", delay_ms=CANCEL_RETRY_MS[0]))
    assert played.order.state is OrderState.WORKING
    assert played.order.view().pending is Pending.NONE


def test_the_order_of_rows_in_a_list_makes_no_difference() -> None:
    played = Played().work()

    played.tell(second(1, shows=OLD))
    proven = played.tell(ours(1))

    assert incarnations(proven) == [(SECOND, True)]


def test_the_cancel_of_a_duplicate_is_repeated_until_the_broker_ended_it() -> None:
    played = duplicated()
    played.commit(IncarnationSeen)

    again = played.tell(TimerFired(name="second"))
    played.tell(second(2, BrokerStatus.CANCELLED, filled=0))
    over = played.tell(TimerFired(name="second"))

    assert again == (CANCEL_SECOND, StartTimer(name="second", delay_ms=CANCEL_RETRY_MS[1]))
    assert over == ()
    assert played.order.view().quantity_extra == 0


def test_a_restart_goes_on_cancelling_a_duplicate() -> None:
    effects = duplicated().replayed().resume(9_000)

    assert CANCEL_SECOND in effects
    assert LEARN_SECOND in effects


def test_a_duplicate_is_cancelled_even_when_the_journal_cannot_keep_it() -> None:
    played = duplicated()

    effects = played.tell(
        RecordFailed(
            order_id=ORDER_ID,
            record=IncarnationSeen.__name__,
            reason=Reason(code="JOURNAL_FULL", message="disk full"),
        )
    )

    assert CANCEL_SECOND in effects


def test_a_refused_cancel_of_somebody_of_two_takes_no_cancel_back() -> None:
    played = duplicated()
    played.tell(CANCEL)
    played.commit(CancelOrder)

    played.tell(answered(REFUSED, Step.CANCEL))

    assert played.order.pending is Pending.CANCEL
    assert played.order.is_looked_for


def test_a_cancel_that_a_client_wants_goes_to_both() -> None:
    played = Played().work()
    played.tell(seen(BrokerStatus.SUBMITTED, broker_id=SECOND, shows=OLD))
    played.tell(CANCEL)

    assert cancels(played.commit(CancelOrder)) == [BROKER_ID, SECOND]


def test_what_either_fills_counts_and_never_more_than_all_is_reserved() -> None:
    played = duplicated()

    played.tell(filled(1, 6))
    played.tell(filled(2, 3, broker_id=SECOND))

    view = played.order.view()
    assert (view.state, view.filled_quantity) == (OrderState.PARTIALLY_FILLED, Decimal(9))
    # 4 of ours and 7 of the other may still fill.
    assert view.quantity + view.quantity_extra - view.filled_quantity == Decimal(11)


def test_the_rest_of_ours_is_cancelled_once_both_together_filled_all() -> None:
    played = duplicated()
    played.tell(filled(1, 6))

    effects = played.tell(filled(2, 4, broker_id=SECOND))
    sent = played.commit(CancelOrder)

    view = played.order.view()
    assert (view.state, view.pending, view.filled_quantity) == (
        OrderState.PARTIALLY_FILLED,
        Pending.CANCEL,
        Decimal(10),
    )
    assert [type(one.record) for one in effects if isinstance(one, WriteRecord)][-1] is CancelOrder
    assert BROKER_ID in cancels(sent)


def test_the_end_of_ours_leaves_what_the_other_may_fill_reserved() -> None:
    played = duplicated()
    played.tell(filled(2, 3, broker_id=SECOND))

    played.tell(filled(1, 10))

    view = played.order.view()
    assert (view.state, view.filled_quantity) == (OrderState.FILLED, Decimal(13))
    assert view.quantity + view.quantity_extra - view.filled_quantity == Decimal(7)


def test_a_second_order_that_works_on_after_ours_has_ended_is_cancelled() -> None:
    played = Played().work()
    played.tell(CANCEL)
    played.commit(CancelOrder)
    played.tell(ours(1, BrokerStatus.CANCELLED, filled=0))

    effects = played.tell(second(2, shows=OLD))

    assert incarnations(effects) == [(SECOND, True)]
    assert played.order.state is OrderState.CANCELLED
    assert played.commit(IncarnationSeen)[0] == CANCEL_SECOND


def test_an_end_of_the_second_order_is_not_ours() -> None:
    played = duplicated()

    played.tell(second(2, BrokerStatus.CANCELLED))

    assert played.order.state is OrderState.WORKING


def test_the_account_of_a_row_is_checked_before_it_is_a_second_order() -> None:
    played = Played().work()
    strange = replace(row(BrokerStatus.SUBMITTED, broker_id=SECOND), side=Side.SELL)

    effects = played.tell(OrderRowSeen(order_id=ORDER_ID, row=strange, source=Source.POLL, read=1))

    assert anomalies(effects) == ["identity_mismatch"]
    assert played.order.view().other_broker_order_ids == ()


def test_an_exit_that_carries_the_id_of_its_entry_is_no_second_order() -> None:
    played = Played().work()
    child = replace(row(BrokerStatus.SUBMITTED, broker_id=SECOND), parent_id=BROKER_ID)

    effects = played.tell(OrderRowSeen(order_id=ORDER_ID, row=child, source=Source.POLL, read=1))

    assert anomalies(effects) == ["exit_unmatched"]
    assert played.order.view().other_broker_order_ids == ()


# --- after a doubtful change -------------------------------------------------------------------


@pytest.mark.parametrize("new_first", [False, True])
def test_after_a_doubtful_change_the_one_with_the_wanted_terms_is_kept(*, new_first: bool) -> None:
    played = in_doubt(NEW)
    told = [ours(1, shows=OLD), second(1, shows=NEW)]

    effects = [played.tell(message) for message in (reversed(told) if new_first else told)][-1]
    sent = played.commit(IncarnationSeen)
    played.tell(second(2, shows=NEW))

    assert incarnations(effects) == [(BROKER_ID, True)]
    assert cancels(sent) == [BROKER_ID]
    view = played.order.view()
    assert (view.broker_order_id, view.other_broker_order_ids) == (SECOND, (BROKER_ID,))
    assert (view.quantity, view.limit_price, view.wanted) == (Decimal(20), Decimal(101), None)


def test_after_a_doubtful_change_that_ours_shows_the_other_is_cancelled() -> None:
    played = in_doubt(NEW)
    played.tell(second(1, shows=OLD))

    effects = played.tell(ours(1, shows=NEW))

    assert incarnations(effects) == [(SECOND, True)]
    assert played.order.broker_order_id == BROKER_ID


def test_an_answer_to_a_change_that_names_another_order_reserves_that_one() -> None:
    played = Played().work().change(NEW)

    played.tell(answered(replace(ACK, broker_order_id=SECOND), Step.MODIFY))

    view = played.order.view()
    assert (view.broker_order_id, view.other_broker_order_ids) == (BROKER_ID, (SECOND,))
    assert view.quantity_extra == Decimal(20)
    assert LEARN_SECOND in played.effects


# --- renumbering -------------------------------------------------------------------------------


def renumbered() -> Played:
    played = Played().work()
    for read in (1, 2, 3):
        played.tell(second(read, shows=OLD))
    return played


def test_an_order_that_lists_show_under_another_number_only_has_a_new_one() -> None:
    played = renumbered()

    view = played.order.view()
    assert (view.broker_order_id, view.other_broker_order_ids) == (SECOND, (BROKER_ID,))
    assert view.quantity_extra == 0
    assert "renumbered" in anomalies(tuple(played.effects))
    assert not cancels(tuple(played.effects))
    assert played.order.needs_lookup is False


def test_a_renumbered_order_goes_on_as_it_was() -> None:
    played = renumbered()

    played.tell(filled(1, 4))  # Under its old number, and the rest under the new one.
    played.tell(filled(2, 6, broker_id=SECOND))

    assert played.order.state is OrderState.FILLED
    assert played.replayed().view() == played.order.view()


def test_a_read_with_ours_in_it_starts_over() -> None:
    played = Played().work()
    played.tell(second(1))
    played.tell(second(2))

    played.tell(ours(3, BrokerStatus.INACTIVE))
    played.tell(second(3))
    played.tell(second(4))

    assert played.order.broker_order_id == BROKER_ID


def test_a_cancel_under_way_goes_to_the_new_number() -> None:
    played = Played().work()
    played.tell(CANCEL)
    played.commit(CancelOrder)

    effects = [played.tell(second(read)) for read in (1, 2, 3)][-1]

    assert SECOND in cancels(effects)


def test_a_former_number_at_work_beside_the_new_one_is_a_duplicate() -> None:
    played = renumbered()
    played.tell(second(8))

    effects = played.tell(ours(8))

    assert incarnations(effects) == [(BROKER_ID, True)]
    assert played.order.broker_order_id == SECOND


@pytest.mark.parametrize(
    ("end", "done", "state"),
    [
        (BrokerStatus.FILLED, 10, OrderState.FILLED),
        (BrokerStatus.CANCELLED, 0, OrderState.CANCELLED),
    ],
)
def test_an_order_that_ended_under_its_new_number_has_ended(
    end: BrokerStatus, done: int, state: OrderState
) -> None:
    played = Played().work()
    if done:
        played.tell(filled(1, done, broker_id=SECOND))

    for read in (5, 6, 7):
        played.tell(second(read, end, filled=done))

    view = played.order.view()
    assert (view.state, view.broker_order_id, view.quantity_extra) == (state, SECOND, Decimal(0))
    assert played.replayed().view() == view


def test_a_cancel_that_was_refused_under_the_old_number_goes_to_the_new_one() -> None:
    played = Played().work()
    played.tell(CANCEL)
    played.commit(CancelOrder)
    played.tell(answered(REFUSED, Step.CANCEL))

    effects = [played.tell(second(read)) for read in (5, 6, 7)][-1]

    assert cancels(effects) == [SECOND]
    assert played.order.pending is Pending.CANCEL
    assert played.replayed().pending is Pending.CANCEL


def test_a_refused_cancel_goes_to_the_one_that_is_kept_after_a_doubtful_change() -> None:
    played = in_doubt(NEW)
    played.tell(CANCEL)
    played.commit(CancelOrder)
    played.tell(answered(REFUSED, Step.CANCEL))
    played.tell(ours(1, shows=OLD))

    effects = played.tell(second(1, shows=NEW))

    assert SECOND in cancels(effects)


def test_three_orders_in_one_list_leave_one() -> None:
    played = Played().work()

    for read in (7, 8):
        for broker_id in (SECOND, THIRD, BROKER_ID):
            played.tell(seen(BrokerStatus.SUBMITTED, Source.POLL, read=read, broker_id=broker_id))

    assert incarnations(tuple(played.effects)) == [(SECOND, True), (THIRD, True)]
    assert played.order.broker_order_id == BROKER_ID


# --- second orders that are there no more --------------------------------------------------------

PARKED = OrderParked(
    order_id=ORDER_ID,
    reason=Reason(code="NO_PROOF", message="not found"),
    evidence=Evidence(
        elapsed_ms=200_000, healthy_ms=180_000, horizon_ms=60_000, list_reads=0, trade_reads=0
    ),
)


def gone(played: Played) -> list[BrokerOrderId]:
    return [
        written.record.row.broker_order_id
        for written in played.records
        if isinstance(written.record, IncarnationSeen) and written.record.gone
    ]


def test_a_duplicate_that_the_lists_lack_for_long_is_reserved_no_more() -> None:
    played = duplicated()
    played.tell(filled(1, 3, broker_id=SECOND))
    extra = list[Decimal]()

    for read in range(2, 2 + READS_GONE_MIN):
        played.tell(ours(read))
        extra.append(played.order.view().quantity_extra)

    # What it filled stays counted, and fills nothing of ours.
    assert extra == [Decimal(10)] * (READS_GONE_MIN - 1) + [Decimal(3)]
    assert gone(played) == [SECOND]
    assert played.tell(TimerFired(name="second")) == ()
    assert (played.order.needs_lookup, played.order.state) == (False, OrderState.PARTIALLY_FILLED)
    assert played.replayed().view() == played.order.view()


def test_a_second_order_that_only_filled_is_reserved_until_lists_lacked_it_for_long() -> None:
    played = Played().work()
    played.tell(filled(1, 4, broker_id=SECOND))

    for read in range(1, 1 + READS_GONE_MIN):
        played.tell(ours(read))
    played.tell(filled(2, 10))

    view = played.order.view()
    assert (view.state, view.filled_quantity, view.quantity_extra) == (
        OrderState.FILLED,
        Decimal(14),
        Decimal(0),
    )
    assert not played.order.needs_lookup


@pytest.mark.parametrize(
    "news",
    [
        second(0),
        second(9),
        seen(BrokerStatus.SUBMITTED, broker_id=SECOND),
        filled(7, 1, broker_id=SECOND),
    ],
    ids=["a scoped list", "a list", "the stream", "a fill"],
)
def test_anything_told_of_a_second_order_begins_the_count_anew(news: OrderRowSeen) -> None:
    played = Played().work()
    played.tell(filled(1, 4, broker_id=SECOND))
    for read in range(10, 9 + READS_GONE_MIN):
        played.tell(ours(read))

    played.tell(news)
    played.tell(ours(100))

    assert gone(played) == []


def test_the_rows_of_one_read_count_once() -> None:
    played = Played().work()
    played.tell(filled(1, 4, broker_id=SECOND))

    for _ in range(2 * READS_GONE_MIN):
        played.tell(ours(5))

    assert gone(played) == []


@pytest.mark.parametrize(
    "news",
    [second(0, shows=OLD), filled(7, 1, broker_id=SECOND)],
    ids=["at work", "filled"],
)
def test_a_second_order_that_comes_back_is_reserved_again(news: OrderRowSeen) -> None:
    played = duplicated()
    for read in range(2, 2 + READS_GONE_MIN):
        played.tell(ours(read))

    effects = played.tell(news)

    assert anomalies(effects) == ["second_order"]
    assert played.order.view().quantity_extra == Decimal(10)
    assert played.order.needs_lookup


def test_an_ended_order_gives_up_a_second_one_that_a_whole_search_did_not_show() -> None:
    played = duplicated()
    played.tell(filled(1, 10))

    # The first search began before anything was told of it.
    first, second_ = played.tell(PARKED), played.tell(PARKED)

    assert anomalies(first) == ["second_order_unproven"]
    assert anomalies(second_) == ["second_order_gone"]
    view = played.order.view()
    assert (view.state, view.quantity_extra) == (OrderState.FILLED, Decimal(0))
    assert not played.order.is_looked_for


def test_a_search_without_evidence_gives_nothing_up() -> None:
    played = duplicated()
    played.tell(filled(1, 10))

    for _ in range(3):
        played.tell(replace(PARKED, evidence=None))

    assert gone(played) == []


def test_an_order_at_work_gives_a_second_one_up_by_its_own_reads_only() -> None:
    played = duplicated()

    for _ in range(3):
        played.tell(PARKED)

    assert gone(played) == []


def test_a_fill_that_is_told_again_is_no_news_of_a_second_order() -> None:
    played = Played().work()

    for read in range(1, 1 + READS_GONE_MIN):
        played.tell(filled(1, 4, broker_id=SECOND))
        played.tell(ours(read))

    assert gone(played) == [SECOND]


# --- renumbered, and heard of in an odd order -----------------------------------------------------


def test_a_filled_order_whose_end_is_shown_under_another_number_was_renumbered() -> None:
    played = Played().work()
    played.tell(filled(1, 10))

    for read in (1, 2, 3):
        played.tell(second(read, BrokerStatus.FILLED, filled=10))

    view = played.order.view()
    assert (view.state, view.broker_order_id, view.quantity_extra) == (
        OrderState.FILLED,
        SECOND,
        Decimal(0),
    )
    assert played.replayed().view() == view


def test_a_cancelled_order_keeps_reserved_what_another_one_filled_and_nobody_showed() -> None:
    played = Played().work()
    played.tell(ours(1, BrokerStatus.CANCELLED, filled=0))

    for read in (2, 3, 4, 5):
        played.tell(second(read, BrokerStatus.FILLED, filled=10, shows=OLD))

    assert played.order.broker_order_id == BROKER_ID
    assert played.order.view().quantity_extra == Decimal(10)


def test_fills_under_a_former_number_are_ours_where_the_broker_counts_them_so() -> None:
    played = Played().work()
    played.tell(filled(1, 6, broker_id=SECOND))  # The number of before, heard of afterwards.
    played.tell(filled(2, 4))

    for read in range(1, 1 + READS_GONE_MIN):
        played.tell(ours(read, BrokerStatus.FILLED, filled=10))

    view = played.order.view()
    assert (view.state, view.filled_quantity, view.quantity_extra) == (
        OrderState.FILLED,
        Decimal(10),
        Decimal(0),
    )
    assert not played.order.needs_lookup
    assert played.replayed().view() == view
