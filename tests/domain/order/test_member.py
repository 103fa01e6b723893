"""Brackets and one-cancels-all groups: one request, several orders, each with its own end."""

import contextlib
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.messages import (
    AttemptStarted,
    CancelOrder,
    ExecutionSeen,
    GroupSent,
    OrderAnswered,
    OrderMessage,
    OrderParked,
    OrderProvenAbsent,
    ReplaceExit,
    Step,
    SubmitOrder,
    TimerFired,
    WriteRecord,
)
from engine.domain.order import Order
from engine.domain.order.member import EXITS_MS, LEADER_MS_MAX, MEMBER_MS, OVERDUE_MS
from engine.domain.values import (
    AnswerRow,
    BrokerStatus,
    Evidence,
    Execution,
    ExecutionId,
    GroupKind,
    OrderId,
    OrderState,
    Outcome,
    OutcomeKind,
    Pending,
    Reason,
    Side,
    Source,
    Ticket,
    TimeInForce,
    UnprotectedPolicy,
)
from tests.domain.order.company import (
    BODY,
    ENTRY,
    FAILED,
    LEGS,
    PROFIT,
    START_NS,
    STOP,
    Company,
    Stopped,
    acknowledged,
    broker_id,
    coid,
    entry_row,
    exit_row,
    unnamed,
)
from tests.domain.order.samples import ask

S = OrderState

TIMEOUT = Outcome(
    kind=OutcomeKind.IN_DOUBT, reason=Reason(code="TIMEOUT", message="no answer in 12,000 ms")
)
REFUSED = Outcome(kind=OutcomeKind.REFUSED, reason=Reason(code="BAD_PRICE", message="bad price"))
NOT_SENT = Outcome(kind=OutcomeKind.NOT_SENT, reason=Reason(code="DOWN", message="no route"))
NOT_CONFIRMED = Outcome(
    kind=OutcomeKind.REFUSED, reason=Reason(code="NOT_CONFIRMED", message="Order not confirmed")
)
ABSENT = Evidence(
    elapsed_ms=61_000, healthy_ms=61_000, horizon_ms=60_000, list_reads=4, trade_reads=2
)
NO_PROOF = Reason(code="NO_PROOF", message="a person must look")


def filled(order_id: OrderId, quantity: int, *, number: int = 1) -> Execution:
    return Execution(
        execution_id=ExecutionId(f"0000dc8f.{order_id}{number}.01.01"),
        account=LEGS[0].account,
        broker_order_id=broker_id(order_id),
        coid=None,
        conid=LEGS[0].conid,
        side=Side.BUY if order_id == ENTRY else Side.SELL,
        quantity=Decimal(quantity),
        price=Decimal(100),
        commission=None,
        at_ms=START_NS // 1_000_000,
    )


def fill(company: Company, order_id: OrderId, quantity: int, *, number: int = 1) -> None:
    execution = filled(order_id, quantity, number=number)
    company.tell(
        order_id, ExecutionSeen(order_id=order_id, execution=execution, source=Source.STREAM)
    )


def bracket(**choices: object) -> Company:
    return Company(**choices).submit()  # type: ignore[arg-type] # as the tests name them


def working(policy: UnprotectedPolicy = UnprotectedPolicy.ALARM) -> Company:
    """Return a bracket of which the broker has acknowledged the entry and shown both exits."""
    company = bracket(policy=policy).answer(acknowledged())
    company.show(exit_row(PROFIT))
    company.show(exit_row(STOP))
    return company


def read(company: Company, times: int, *, first: int = 1, seconds: int = 30) -> None:
    """Let the list be read, each time with the entry in it."""
    for number in range(first, first + times):
        company.show(entry_row(), read=number)
        company.pass_time(seconds * 1_000)


# --- one request -----------------------------------------------------------------------------


def test_a_group_goes_out_once_and_after_all_of_its_intents_and_its_attempt() -> None:
    company = bracket()

    assert [(order_id, type(record)) for order_id, record, _ in company.durable] == [
        (ENTRY, SubmitOrder),
        (PROFIT, SubmitOrder),
        (STOP, SubmitOrder),
        (ENTRY, AttemptStarted),
        (PROFIT, AttemptStarted),
        (STOP, AttemptStarted),
    ]
    assert [(one.order_id, one.body) for one in company.wire] == [(ENTRY, BODY)]  # type: ignore[union-attr] # a place
    assert company.states == (S.SUBMITTING, S.SUBMITTING, S.SUBMITTING)


def test_a_follower_never_asks_for_a_turn() -> None:
    company = bracket()

    assert not any(company.orders[order_id].waits_for_turn for order_id in (PROFIT, STOP))
    assert company.answer(acknowledged()).released == 1


def test_the_exits_are_found_by_their_rows_after_the_entry_was_acknowledged() -> None:
    company = bracket().answer(acknowledged())
    assert company.states == (S.ACCEPTED, S.SUBMITTING, S.SUBMITTING)

    found = [company.show(exit_row(STOP)), company.show(exit_row(PROFIT))]

    assert found == [STOP, PROFIT]
    assert company.states == (S.ACCEPTED, S.ACCEPTED, S.ACCEPTED)
    assert [company.views[one].broker_order_id for one in (PROFIT, STOP)] == [
        broker_id(PROFIT),
        broker_id(STOP),
    ]
    assert company.sought == set()
    company.pass_time(600_000)
    assert company.states == (S.ACCEPTED, S.ACCEPTED, S.ACCEPTED)


def test_the_members_of_a_group_with_ids_of_their_own_are_told_by_the_answer() -> None:
    rows = [
        AnswerRow(broker_order_id=broker_id(one), coid=coid(one), status="Submitted")
        for one in (STOP, PROFIT)
    ]

    company = bracket(kind=GroupKind.OCA).answer(acknowledged(*rows))

    assert company.states == (S.ACCEPTED, S.WORKING, S.WORKING)
    assert company.views[STOP].broker_order_id == broker_id(STOP)


def test_an_exit_that_neither_the_answer_nor_a_row_shows_is_looked_for_soon() -> None:
    company = bracket().answer(acknowledged())
    company.show(exit_row(STOP))

    company.pass_time(MEMBER_MS)

    assert company.states == (S.ACCEPTED, S.IN_DOUBT, S.ACCEPTED)
    assert company.sought == {PROFIT}
    company.show(exit_row(PROFIT))
    assert company.states == (S.ACCEPTED, S.ACCEPTED, S.ACCEPTED)
    assert company.sought == set()


def test_a_row_may_show_an_exit_before_the_answer_comes() -> None:
    company = bracket()
    company.show(entry_row())
    company.show(exit_row(PROFIT))

    company.answer(acknowledged(unnamed(PROFIT), FAILED))

    assert company.states == (S.ACCEPTED, S.ACCEPTED, S.SUBMITTING)


# --- what may become of the request ------------------------------------------------------------


@pytest.mark.parametrize(
    ("outcome", "state"),
    [(TIMEOUT, S.IN_DOUBT), (REFUSED, S.REJECTED), (NOT_SENT, S.EXPIRED)],
)
def test_what_becomes_of_the_request_becomes_of_all(outcome: Outcome, state: OrderState) -> None:
    company = bracket().answer(outcome)

    assert company.states == (state, state, state)
    assert {view.reason for view in company.views.values()} == {outcome.reason}


def test_after_a_lost_answer_all_are_found_by_their_rows() -> None:
    company = bracket().answer(TIMEOUT)
    assert company.sought == {ENTRY, PROFIT, STOP}

    company.show(entry_row(), read=1)
    company.show(exit_row(PROFIT), read=1)
    company.show(exit_row(STOP), read=1)

    assert company.states == (S.WORKING, S.ACCEPTED, S.ACCEPTED)
    assert company.sought == set()


def test_after_a_lost_answer_an_exit_may_be_found_before_its_entry() -> None:
    company = bracket().answer(TIMEOUT)

    assert company.show(exit_row(STOP), read=1) == STOP
    company.show(entry_row(), read=1)

    assert company.states == (S.WORKING, S.IN_DOUBT, S.ACCEPTED)


def test_without_its_entry_no_exit_is_at_the_broker() -> None:
    company = bracket().answer(TIMEOUT)

    company.tell(ENTRY, OrderProvenAbsent(order_id=ENTRY, evidence=ABSENT))

    assert company.states == (S.NOT_PLACED, S.NOT_PLACED, S.NOT_PLACED)
    assert company.sought == set()


def test_exits_that_are_there_without_their_entry_are_cancelled() -> None:
    company = bracket().answer(TIMEOUT)
    company.show(exit_row(STOP), read=1)
    company.tell(ENTRY, OrderProvenAbsent(order_id=ENTRY, evidence=ABSENT))
    assert company.states == (S.NOT_PLACED, S.NOT_PLACED, S.ACCEPTED)

    company.pass_time(EXITS_MS)

    assert company.cancelled == [broker_id(STOP)]


def test_a_group_that_was_refused_but_shows_up_is_looked_for() -> None:
    company = bracket()
    company.show(entry_row())

    company.answer(REFUSED)
    company.pass_time(MEMBER_MS)

    assert company.states == (S.WORKING, S.IN_DOUBT, S.IN_DOUBT)
    assert company.sought == {PROFIT, STOP}


def test_an_exit_that_the_answer_shows_as_failed_is_rejected() -> None:
    company = bracket(tickets=LEGS[:2]).answer(acknowledged(FAILED))

    assert company.states == (S.ACCEPTED, S.REJECTED)
    assert company.views[PROFIT].reason == Reason(code="ORDER_FAILED", message="no such stop price")


# --- questions -------------------------------------------------------------------------------


def test_a_question_about_a_group_is_answered_once_for_all() -> None:
    company = bracket().answer(ask("o163"))
    assert company.states == (S.AWAITING_REPLY, S.SUBMITTING, S.SUBMITTING)

    company.answer(acknowledged(), Step.REPLY)
    company.show(exit_row(PROFIT))

    assert [type(one).__name__ for one in company.wire] == ["PlaceAtBroker", "ReplyAtBroker"]
    assert company.states == (S.ACCEPTED, S.ACCEPTED, S.SUBMITTING)


def test_a_question_that_is_declined_refuses_all() -> None:
    company = bracket().answer(ask("o999"))

    company.answer(NOT_CONFIRMED, Step.REPLY)

    assert company.states == (S.REJECTED, S.REJECTED, S.REJECTED)
    assert {view.reason.code for view in company.views.values() if view.reason} == {
        "QUESTION_DECLINED"
    }


def test_a_reply_without_an_answer_leaves_all_in_doubt() -> None:
    company = bracket().answer(ask("o163")).answer(NOT_SENT, Step.REPLY)

    assert company.states == (S.IN_DOUBT, S.IN_DOUBT, S.IN_DOUBT)


# --- cancels ---------------------------------------------------------------------------------


@pytest.mark.parametrize("order_id", [ENTRY, PROFIT])
def test_a_cancel_of_any_before_the_group_is_sent_cancels_all(order_id: OrderId) -> None:
    company = Company()
    company.granting = False
    company.submit()

    company.cancel(order_id)

    assert company.states == (S.CANCELLED, S.CANCELLED, S.CANCELLED)
    assert company.placed == 0
    assert company.released == 1


def test_a_cancel_while_the_leaders_intent_is_written_ends_followers_that_begin_later() -> None:
    company = Company()
    leader, *followers = company.approved
    company._begin(ENTRY)
    company._mail.extend(
        [
            (ENTRY, SubmitOrder(approved=leader, body=BODY, followers=tuple(followers))),
            (ENTRY, CancelOrder(order_id=ENTRY, cause="ops")),
        ]
    )

    company.run()

    assert company.states == (S.CANCELLED, S.CANCELLED, S.CANCELLED)
    assert company.placed == 0


def test_a_cancel_while_the_question_is_open_declines_it_for_all() -> None:
    company = bracket().answer(ask("o163"))
    company.cancel(ENTRY)

    company.answer(NOT_CONFIRMED, Step.REPLY)

    assert company.states == (S.CANCELLED, S.CANCELLED, S.CANCELLED)


def test_a_cancel_of_the_entry_is_one_request_and_the_exits_follow_by_their_rows() -> None:
    company = working()

    company.cancel(ENTRY)
    for order_id in (ENTRY, PROFIT, STOP):
        row = entry_row if order_id == ENTRY else None
        company.show(
            row(BrokerStatus.CANCELLED) if row else exit_row(order_id, BrokerStatus.CANCELLED)
        )
    company.pass_time(600_000)

    assert company.cancelled == [broker_id(ENTRY)]
    assert company.states == (S.CANCELLED, S.CANCELLED, S.CANCELLED)
    assert company.anomalies == []


def test_an_exit_that_outlives_its_entry_is_cancelled_as_well() -> None:
    company = working()
    company.cancel(ENTRY)
    company.show(entry_row(BrokerStatus.CANCELLED))
    company.show(exit_row(PROFIT, BrokerStatus.CANCELLED))

    company.pass_time(EXITS_MS)

    assert company.cancelled == [broker_id(ENTRY), broker_id(STOP)]


def test_a_cancel_of_an_exit_that_is_not_found_yet_waits_for_it() -> None:
    company = bracket().answer(acknowledged())

    company.cancel(STOP)
    assert company.views[STOP].pending is Pending.CANCEL
    assert company.cancelled == []
    company.show(exit_row(STOP))

    assert company.cancelled == [broker_id(STOP)]
    assert company.views[ENTRY].pending is Pending.NONE


def test_one_exit_that_fills_ends_the_other_by_the_brokers_hand() -> None:
    company = working()
    fill(company, ENTRY, 10)

    fill(company, PROFIT, 10)
    company.show(exit_row(STOP, BrokerStatus.CANCELLED))
    read(company, 4)

    assert company.states == (S.FILLED, S.FILLED, S.CANCELLED)
    assert company.anomalies == []
    assert company.cancelled == []


# --- an exit is missing ------------------------------------------------------------------------


def missing_stop(policy: UnprotectedPolicy) -> Company:
    """Return a bracket whose stop the broker never shows, while it shows the rest."""
    company = bracket(policy=policy).answer(acknowledged())
    company.show(exit_row(PROFIT))
    return company


def test_a_missing_exit_is_reported_once_when_the_list_has_shown_the_rest_for_a_minute() -> None:
    company = missing_stop(UnprotectedPolicy.ALARM)
    read(company, 2)
    assert company.anomalies == []

    read(company, 3, first=3)

    assert company.anomalies == ["unprotected"]
    assert company.views[ENTRY].unprotected == (STOP,)
    assert company.records(ENTRY)[-1] == "OrderUnprotected"
    assert company.cancelled == []
    assert company.replaced == []


def test_a_minute_in_which_the_list_was_not_read_shows_nothing() -> None:
    company = missing_stop(UnprotectedPolicy.ALARM)
    company.show(entry_row(), read=1)
    company.show(entry_row(), read=1)
    company.show(entry_row(), read=1)

    company.pass_time(600_000)

    assert company.anomalies == []


def test_an_exit_that_the_session_could_not_find_is_missing() -> None:
    company = missing_stop(UnprotectedPolicy.ALARM)
    company.pass_time(MEMBER_MS)

    company.tell(STOP, OrderParked(order_id=STOP, reason=NO_PROOF))
    company.pass_time(EXITS_MS)

    assert company.anomalies == ["unprotected"]
    assert company.states == (S.ACCEPTED, S.ACCEPTED, S.PARKED)


def test_an_exit_that_was_refused_is_missing_at_once() -> None:
    company = bracket(tickets=LEGS[:2]).answer(acknowledged(FAILED))

    company.pass_time(EXITS_MS)

    assert company.anomalies == ["unprotected"]
    assert company.views[ENTRY].unprotected == (PROFIT,)


def test_when_all_are_found_but_as_many_as_were_refused_the_rest_was() -> None:
    company = bracket().answer(acknowledged(FAILED, unnamed(PROFIT)))
    company.pass_time(EXITS_MS)
    assert company.states[1:] == (S.IN_DOUBT, S.IN_DOUBT)  # Either of them may be the one.

    company.show(exit_row(PROFIT))
    company.pass_time(EXITS_MS * 2)

    assert company.states[1:] == (S.ACCEPTED, S.REJECTED)
    assert company.views[STOP].reason == Reason(code="ORDER_FAILED", message="no such stop price")
    assert company.anomalies == ["unprotected"]


def test_an_exit_that_the_broker_refuses_when_its_entry_fills_is_missing() -> None:
    company = working()
    company.pass_time(600_000)
    fill(company, ENTRY, 10)

    refused = replace(exit_row(STOP, BrokerStatus.CANCELLED), reason="no short sales")
    company.show(refused)
    company.pass_time(EXITS_MS)

    assert company.states == (S.FILLED, S.ACCEPTED, S.REJECTED)
    assert company.anomalies == ["unprotected"]


def test_an_exit_that_shows_up_late_protects_its_entry_again() -> None:
    company = missing_stop(UnprotectedPolicy.ALARM)
    read(company, 5)

    company.show(exit_row(STOP), read=6)
    company.pass_time(EXITS_MS)

    assert company.views[ENTRY].unprotected == ()
    assert company.records(ENTRY)[-1] == "OrderUnprotected"
    company.pass_time(600_000)
    assert company.anomalies == ["unprotected"]


def test_an_entry_whose_exit_is_missing_is_cancelled_if_the_policy_says_so() -> None:
    company = missing_stop(UnprotectedPolicy.CANCEL_ENTRY)

    read(company, 5)

    assert company.cancelled[0] == broker_id(ENTRY)
    assert company.views[ENTRY].pending is Pending.CANCEL


def test_an_entry_that_has_filled_cannot_be_cancelled_and_is_reported() -> None:
    company = missing_stop(UnprotectedPolicy.CANCEL_ENTRY)
    fill(company, ENTRY, 10)

    read(company, 5)

    assert company.cancelled == []
    assert company.views[ENTRY].unprotected == (STOP,)


def test_a_missing_exit_is_replaced_once_what_is_left_of_the_exits_is_gone() -> None:
    company = missing_stop(UnprotectedPolicy.REPLACE_EXIT)
    read(company, 5)
    assert company.replaced == []  # Nothing is open yet.
    fill(company, ENTRY, 10)

    company.pass_time(EXITS_MS)
    assert set(company.cancelled) == {broker_id(PROFIT)}
    assert company.replaced == []
    company.show(exit_row(PROFIT, BrokerStatus.CANCELLED))
    company.pass_time(EXITS_MS)

    assert company.replaced == [ReplaceExit(exit_id=STOP, quantity=Decimal(10))]


def test_only_what_is_open_is_replaced() -> None:
    company = missing_stop(UnprotectedPolicy.REPLACE_EXIT)
    fill(company, ENTRY, 10)
    fill(company, PROFIT, 4)
    read(company, 5)

    company.show(exit_row(PROFIT, BrokerStatus.CANCELLED, filled=4))
    company.pass_time(EXITS_MS)

    assert company.replaced[0] == ReplaceExit(exit_id=STOP, quantity=Decimal(6))


def test_an_entry_whose_position_is_closed_needs_no_exit() -> None:
    company = missing_stop(UnprotectedPolicy.REPLACE_EXIT)
    fill(company, ENTRY, 10)
    fill(company, PROFIT, 10)

    read(company, 5)

    assert company.anomalies == []
    assert company.views[ENTRY].unprotected == ()


def test_the_members_of_a_one_cancels_all_group_protect_nothing() -> None:
    company = bracket(kind=GroupKind.OCA).answer(acknowledged())

    read(company, 5)

    assert company.anomalies == []


# --- the journal -----------------------------------------------------------------------------


def test_nothing_of_a_group_whose_leaders_intent_is_not_durable_begins() -> None:
    company = Company()
    company.refuse = (ENTRY, SubmitOrder)

    company.submit()

    assert company.states == (None, None, None)
    assert set(company.orders) == {ENTRY}
    assert company.placed == 0


def test_a_follower_whose_intent_cannot_be_written_stops_the_group() -> None:
    company = Company()
    company.refuse = (PROFIT, SubmitOrder)

    company.submit()

    assert company.placed == 0
    assert company.states == (S.CANCELLED, None, S.CANCELLED)


def test_records_alone_make_each_order_what_it_is() -> None:
    company = missing_stop(UnprotectedPolicy.ALARM)
    fill(company, ENTRY, 4)
    read(company, 5)

    for order_id in (ENTRY, PROFIT, STOP):
        assert company.copy_of(order_id).view() == company.orders[order_id].view()


# --- restarts --------------------------------------------------------------------------------


def flow(stop_after: int | None) -> Company:
    """Submit a bracket, lose nothing, let it work and fill; stop where it is told to."""
    company = Company(stop_after=stop_after)
    try:
        company.submit()
        company.answer(ask("o163"))
        company.answer(acknowledged(), Step.REPLY)
        company.show(exit_row(PROFIT))
        company.show(exit_row(STOP))
        fill(company, ENTRY, 10)
        fill(company, PROFIT, 10)
        company.show(exit_row(STOP, BrokerStatus.CANCELLED))
    except Stopped:
        pass
    return company


ALL = len(flow(None).durable)


@pytest.mark.parametrize("stop_after", range(1, ALL + 1))
def test_a_group_survives_a_stop_after_any_of_its_records(stop_after: int) -> None:
    stopped = flow(stop_after)
    sent = stopped.placed > 0

    again = stopped.restarted()

    attempted = any(isinstance(record, AttemptStarted) for _, record, _ in stopped.durable)
    assert again.placed == 0
    assert None not in again.states
    assert S.SUBMITTING not in again.states
    assert sent <= attempted
    if not attempted:
        assert again.states == (S.EXPIRED, S.EXPIRED, S.EXPIRED)
        return
    assert S.EXPIRED not in again.states
    again.show(entry_row(BrokerStatus.FILLED, filled=10), read=1)
    again.show(exit_row(PROFIT, BrokerStatus.FILLED, filled=10), read=1)
    again.show(exit_row(STOP, BrokerStatus.CANCELLED), read=1)
    fill(again, ENTRY, 10)
    fill(again, PROFIT, 10)
    assert again.states == (S.FILLED, S.FILLED, S.CANCELLED)
    assert again.sought == set()


@pytest.mark.parametrize("stop_after", range(1, ALL + 1))
def test_two_restarts_in_a_row_end_as_one(stop_after: int) -> None:
    once = flow(stop_after).restarted()

    twice = once.restarted()

    assert twice.states == once.states
    assert [view.reason for view in twice.views.values()] == [
        view.reason for view in once.views.values()
    ]


@pytest.mark.parametrize("outcome", [REFUSED, NOT_SENT])
@pytest.mark.parametrize("stop_after", range(6, 10))
def test_a_group_that_came_to_nothing_is_nothing_after_a_restart(
    outcome: Outcome, stop_after: int
) -> None:
    company = Company(stop_after=stop_after)
    with contextlib.suppress(Stopped):
        company.submit().answer(outcome)
    end = {OutcomeKind.REFUSED: S.REJECTED, OutcomeKind.NOT_SENT: S.EXPIRED}[outcome.kind]

    again = company.restarted()

    known = stop_after > 6
    assert again.states == ((end,) * 3 if known else (S.IN_DOUBT,) * 3)


def test_an_absence_is_told_again_after_a_restart() -> None:
    company = bracket().answer(TIMEOUT)
    company.stop_after = len(company.durable) + 1
    with pytest.raises(Stopped):
        company.tell(ENTRY, OrderProvenAbsent(order_id=ENTRY, evidence=ABSENT))

    again = company.restarted()

    assert again.states == (S.NOT_PLACED, S.NOT_PLACED, S.NOT_PLACED)


def test_a_missing_exit_is_missed_again_after_a_restart() -> None:
    company = missing_stop(UnprotectedPolicy.ALARM)
    company.pass_time(MEMBER_MS)

    again = company.restarted()
    read(again, 5)

    assert again.anomalies == ["unprotected"]
    third = again.restarted()
    read(third, 5, first=6)
    assert third.anomalies == []  # It is written down already.
    assert third.views[ENTRY].unprotected == (STOP,)


def test_a_follower_whose_leader_says_nothing_is_looked_for_in_the_end() -> None:
    company = bracket()
    order = company.copy_of(STOP)
    company.orders[STOP] = order
    company._perform(STOP, order.resume(company.now_ns, failed="it failed"))
    company.run()

    company.pass_time(LEADER_MS_MAX)

    assert company.states[2] is S.IN_DOUBT


@pytest.mark.parametrize(
    "message",
    [
        GroupSent(order_id=STOP, session_epoch=7),
        OrderAnswered(order_id=STOP, step=Step.PLACE, outcome=TIMEOUT),
        OrderAnswered(order_id=STOP, step=Step.PLACE, outcome=NOT_SENT),
        OrderAnswered(order_id=STOP, step=Step.PLACE, outcome=REFUSED),
    ],
)
def test_what_a_leader_says_late_changes_nothing_of_what_the_broker_showed(
    message: OrderMessage,
) -> None:
    company = working()
    before = company.views[STOP]

    company.tell(STOP, message)

    assert company.views[STOP] == before


def unheard() -> tuple[Company, Order]:
    """Return a follower that has written its intent and heard nothing since."""
    company = Company()
    company.granting = False
    company.submit()
    return company, company.orders[STOP]


def told(order: Order, message: OrderMessage) -> list[WriteRecord]:
    effects = order.handle(message, START_NS + 1)
    return [effect for effect in effects if isinstance(effect, WriteRecord)]


def test_an_outcome_means_an_attempt_although_nobody_told_of_it() -> None:
    _, order = unheard()

    written = told(order, OrderAnswered(order_id=STOP, step=Step.PLACE, outcome=TIMEOUT))

    assert [type(one.record) for one in written] == [AttemptStarted, OrderAnswered]
    assert (order.state, order.attempts) == (S.IN_DOUBT, 1)


def test_a_followers_cancel_is_kept_until_its_leader_has_spoken() -> None:
    _, order = unheard()

    (written,) = told(order, CancelOrder(order_id=STOP, cause="ops"))

    assert written.confirm
    assert (order.state, order.pending) == (S.SUBMITTING, Pending.CANCEL)


@pytest.mark.parametrize("outcome", [NOT_SENT, REFUSED])
def test_a_part_of_a_row_is_enough_to_know_that_an_exit_is_there(outcome: Outcome) -> None:
    company = bracket()
    company.show(replace(exit_row(STOP), status=None))

    company.answer(outcome)

    assert company.states[2] is S.IN_DOUBT
    assert company.sought == {STOP}
    company.pass_time(EXITS_MS)
    assert company.cancelled == [broker_id(STOP)]


def test_an_exit_of_which_only_a_part_of_a_row_was_seen_is_looked_for() -> None:
    company = bracket()
    company.show(replace(exit_row(STOP), status=None))

    company.answer(acknowledged())
    company.pass_time(MEMBER_MS)

    assert company.sought == {PROFIT, STOP}


# --- good till -------------------------------------------------------------------------------

UNTIL_MS = START_NS // 1_000_000 + 3_600_000
GOOD_TILL = replace(LEGS[0], tif=TimeInForce.GTD, good_till_ms=UNTIL_MS)


def alone(ticket: Ticket = GOOD_TILL) -> Company:
    company = Company((ticket,))
    (approved,) = company.approved
    company.approved = (replace(approved, ticket=ticket),)
    company.submit()
    return company.answer(replace(acknowledged(), rows=()))


def test_an_order_is_cancelled_when_its_time_has_passed_and_not_before() -> None:
    company = alone()
    company.pass_time(3_599_000)
    assert company.cancelled == []

    company.pass_time(1_000)

    assert company.cancelled == [broker_id(ENTRY)]
    _, cancel, _ = company.durable[-1]
    until = datetime.fromtimestamp(UNTIL_MS / 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    assert cancel == CancelOrder(order_id=ENTRY, cause=f"good till {until} has passed")


def test_a_clock_that_went_back_makes_no_order_overdue() -> None:
    company = alone()
    company.pass_time(3_599_000)

    company.tell(ENTRY, TimerFired(name="good_till"))
    early = list(company.cancelled)
    company.pass_time(1_000)

    assert (early, company.cancelled) == ([], [broker_id(ENTRY)])


def test_its_time_is_kept_over_a_restart() -> None:
    company = alone().restarted()

    company.pass_time(3_590_000)
    assert company.cancelled == []
    company.pass_time(10_000)

    assert company.cancelled == [broker_id(ENTRY)]
    assert company.records(ENTRY).count("CancelOrder") == 1


def test_a_time_that_passed_while_nobody_was_here_is_over_at_once() -> None:
    company = alone().restarted(milliseconds=7_200_000)

    company.pass_time(0)

    assert company.cancelled == [broker_id(ENTRY)]
    once_more = company.restarted()
    once_more.pass_time(0)
    assert once_more.records(ENTRY).count("CancelOrder") == 1


def test_a_cancel_that_was_refused_is_asked_again_while_the_order_lives() -> None:
    company = alone()
    company.pass_time(3_600_000)
    company.answer(REFUSED, Step.CANCEL)

    company.pass_time(OVERDUE_MS)

    assert company.records(ENTRY).count("CancelOrder") == 2
    company.show(entry_row(BrokerStatus.CANCELLED))
    company.pass_time(OVERDUE_MS * 10)
    assert company.records(ENTRY).count("CancelOrder") == 2


def test_an_order_that_ended_before_is_not_cancelled() -> None:
    company = alone()
    fill(company, ENTRY, 10)

    company.pass_time(7_200_000)

    assert company.cancelled == []
    assert company.records(ENTRY).count("CancelOrder") == 0


def test_an_order_in_doubt_is_cancelled_when_it_is_seen_after_its_time() -> None:
    company = Company((GOOD_TILL,))
    company.approved = (replace(company.approved[0], ticket=GOOD_TILL),)
    company.submit().answer(TIMEOUT)
    company.pass_time(3_600_000)
    assert company.cancelled == []

    company.show(entry_row(), read=1)

    assert company.cancelled == [broker_id(ENTRY)]


def test_an_order_that_waits_for_its_turn_too_long_is_never_sent() -> None:
    soon = replace(GOOD_TILL, good_till_ms=START_NS // 1_000_000 + 100)
    company = Company((soon,))
    company.approved = (replace(company.approved[0], ticket=soon),)
    company.granting = False
    company.submit()

    company.pass_time(100)

    assert company.states == (S.CANCELLED,)
    assert company.placed == 0


# --- whatever comes, in whatever order -----------------------------------------------------------


def _news(company: Company, number: int) -> None:
    """Let the broker say one of the things that are so in the end."""
    match number:
        case 0:
            company.show(entry_row(BrokerStatus.FILLED, filled=10), read=1)
        case 1:
            company.show(exit_row(PROFIT, BrokerStatus.FILLED, filled=10))
        case 2:
            company.show(exit_row(STOP, BrokerStatus.CANCELLED))
        case 3:
            company.show(exit_row(PROFIT))
        case 4:
            fill(company, ENTRY, 10)
        case 5:
            fill(company, PROFIT, 10)
        case _:
            company.show(entry_row(), read=2)


@given(
    order=st.permutations(range(7)),
    answer_after=st.integers(0, 7),
    outcome=st.sampled_from([acknowledged(), TIMEOUT, acknowledged(FAILED, unnamed(STOP))]),
    restart_after=st.integers(0, 20),
    lost=st.sets(st.integers(0, 6)),
)
def test_news_of_a_bracket_in_any_order_with_some_lost_and_a_restart_ends_the_same(
    order: list[int], answer_after: int, outcome: Outcome, restart_after: int, lost: set[int]
) -> None:
    company = bracket()
    answered = False
    for step, number in enumerate(order):
        if step == answer_after:
            company.answer(outcome)
            answered = True
        if step == restart_after:
            company, answered = company.restarted(), True
        if number not in lost:
            _news(company, number)
        company.pass_time(1_000)
    if not answered:
        company.answer(outcome)
    for number in (0, 1, 2, 4, 5):  # What was lost is read again.
        _news(company, number)
    company.pass_time(120_000)

    assert company.states == (S.FILLED, S.FILLED, S.CANCELLED)
    assert company.placed <= 1
    assert company.sought == set()
    assert company.views[ENTRY].unprotected == ()
    assert [company.views[one].filled_quantity for one in (ENTRY, PROFIT, STOP)] == [10, 10, 0]
    for order_id in (ENTRY, PROFIT, STOP):
        assert company.copy_of(order_id).view() == company.orders[order_id].view()


@given(
    stop_after=st.integers(1, ALL),
    again_after=st.integers(0, 12),
    order=st.permutations(range(7)),
)
def test_a_bracket_that_is_stopped_twice_ends_as_the_broker_says(
    stop_after: int, again_after: int, order: list[int]
) -> None:
    company = flow(stop_after)
    attempted = any(isinstance(record, AttemptStarted) for _, record, _ in company.durable)
    company.stop_after = None
    company = company.restarted()
    for step, number in enumerate(order):
        if step == again_after:
            company = company.restarted()
        if attempted:
            _news(company, number)
    for number in (0, 1, 2, 4, 5) if attempted else ():
        _news(company, number)

    end = (S.FILLED, S.FILLED, S.CANCELLED) if attempted else (S.EXPIRED,) * 3
    assert company.states == end
    assert company.placed == 0
