"""Modifies and prompts: what is sent, what settles them, and what nobody believes."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest

from engine.domain.messages import (
    CancelOrder,
    ExecutionSeen,
    ModifyAtBroker,
    ModifyOrder,
    ModifySettled,
    OrderDoubted,
    OrderEffect,
    OrderMessage,
    OrderRowSeen,
    PromptRaised,
    RecordFailed,
    ReleaseTurn,
    ReplyAtBroker,
    ReplyDecided,
    ReportAnomaly,
    RequestLookup,
    RequestTurn,
    StartTimer,
    Step,
    StopLookup,
    StopTimer,
    TimerFired,
    TurnRefused,
    WriteRecord,
)
from engine.domain.order import MODIFY_NOT_APPLIED, Order
from engine.domain.order.conversation import ROUNDS_MAX, TURN_WAIT_MS_MAX
from engine.domain.order.machine import OLD_TERMS_MS
from engine.domain.values import (
    BrokerOrderId,
    BrokerStatus,
    Confidence,
    OrderState,
    Outcome,
    OutcomeKind,
    Pending,
    Question,
    QuestionId,
    Reason,
    Source,
    Terms,
)
from tests.domain.order.samples import (
    ACCOUNT,
    ACK,
    BROKER_ID,
    CHANGE_BODY,
    NOT_SENT,
    ORDER_ID,
    REFUSED,
    SESSION,
    TIMEOUT,
    TURN,
    Played,
    answered,
    ask,
    fill,
    modify,
    row,
    terms,
)

OLD, NEW = terms(10), terms(20, "101")
MODIFY = modify(NEW)
CANCEL = CancelOrder(order_id=ORDER_ID, cause="the client")
RELEASE = ReleaseTurn(order_id=ORDER_ID, session=SESSION)
LOOKUP = RequestLookup(order_id=ORDER_ID, session=SESSION)
SENT = ModifyAtBroker(
    order_id=ORDER_ID,
    session=SESSION,
    account=ACCOUNT,
    broker_order_id=BROKER_ID,
    body=CHANGE_BODY,
    send_by_ns=99,
)


def seen(
    status: BrokerStatus | None = BrokerStatus.SUBMITTED,
    source: Source = Source.POLL,
    *,
    shows: Terms | None = None,
    filled: int | None = None,
) -> OrderRowSeen:
    told = row(status, filled=filled, shows=shows)
    return OrderRowSeen(order_id=ORDER_ID, row=told, source=source)


def filled(number: int, quantity: int) -> ExecutionSeen:
    return ExecutionSeen(order_id=ORDER_ID, execution=fill(number, quantity), source=Source.STREAM)


def kinds(effects: tuple[OrderEffect, ...]) -> list[type]:
    return [
        type(effect.record) if isinstance(effect, WriteRecord) else type(effect)
        for effect in effects
    ]


def settlement(effects: tuple[OrderEffect, ...]) -> ModifySettled | None:
    found = [
        effect.record
        for effect in effects
        if isinstance(effect, WriteRecord) and isinstance(effect.record, ModifySettled)
    ]
    return found[0] if found else None


def anomalies(effects: tuple[OrderEffect, ...]) -> list[str]:
    return [effect.kind for effect in effects if isinstance(effect, ReportAnomaly)]


def shown(order: Order) -> tuple[Decimal, Decimal | None, Pending, Terms | None]:
    view = order.view()
    return view.quantity, view.limit_price, view.pending, view.wanted


OLD_SHOWN = (Decimal(10), Decimal(100), Pending.NONE, None)
NEW_SHOWN = (Decimal(20), Decimal(101), Pending.NONE, None)
WAITING = (Decimal(10), Decimal(100), Pending.REPLACE, NEW)
APPLIED = ModifySettled(order_id=ORDER_ID, applied=True, terms=NEW, reason=None)


# --- a modify that goes well -------------------------------------------------------------


def test_a_modify_is_durable_and_has_a_turn_before_it_is_sent() -> None:
    played = Played().work()

    asked = played.tell(MODIFY)
    durable = played.commit(ModifyOrder)
    granted = played.tell(TURN)

    assert asked == (WriteRecord(record=MODIFY, view=asked[0].view, confirm=True),)  # type: ignore[union-attr] # it is a record
    assert shown(played.order) == WAITING
    assert durable == (
        StartTimer(name="turn", delay_ms=TURN_WAIT_MS_MAX),
        RequestTurn(order_id=ORDER_ID, session=SESSION),
    )
    assert granted == (StopTimer(name="turn"), SENT)


def test_the_old_terms_hold_until_the_broker_confirms_the_new_ones() -> None:
    played = Played().work().change(NEW)
    before = shown(played.order)

    effects = played.tell(answered(ACK, Step.MODIFY))

    assert settlement(effects) == APPLIED
    assert RELEASE in effects
    assert (before, shown(played.order)) == (WAITING, NEW_SHOWN)
    assert played.order.state is OrderState.ACCEPTED


def test_a_second_turn_sends_no_second_modify() -> None:
    played = Played().work().change(NEW)

    assert played.tell(TURN) == (RELEASE,)


def test_a_settled_order_can_be_changed_again() -> None:
    played = Played().work().change(NEW)
    played.tell(answered(ACK, Step.MODIFY))

    played.change(terms(15))
    played.tell(answered(ACK, Step.MODIFY))

    assert shown(played.order) == (Decimal(15), Decimal(100), Pending.NONE, None)
    assert sum(isinstance(effect, ModifyAtBroker) for effect in played.effects) == 2


# --- a modify that is not taken ------------------------------------------------------------


@pytest.mark.parametrize("outcome", [REFUSED, NOT_SENT])
def test_a_modify_that_was_refused_or_not_sent_leaves_the_old_terms(outcome: Outcome) -> None:
    played = Played().work().change(NEW)

    effects = played.tell(answered(outcome, Step.MODIFY))

    assert settlement(effects) == ModifySettled(
        order_id=ORDER_ID, applied=False, terms=OLD, reason=outcome.reason
    )
    assert RELEASE in effects
    assert (LOOKUP in effects) is (outcome is REFUSED)
    assert shown(played.order) == OLD_SHOWN
    assert played.order.view().reason == outcome.reason


@pytest.mark.parametrize("status", [BrokerStatus.FILLED, BrokerStatus.CANCELLED])
def test_a_refusal_for_an_order_that_is_over_is_no_end_but_the_row_is(status: BrokerStatus) -> None:
    played = Played().work().change(NEW)
    played.tell(answered(REFUSED, Step.MODIFY))
    before = played.order.state

    played.tell(filled(1, 10))
    played.tell(seen(status, Source.LOOKUP, filled=10))

    assert before is OrderState.ACCEPTED
    assert played.order.state is OrderState.FILLED


def test_an_order_that_was_looked_for_after_a_refusal_is_found_by_a_row() -> None:
    played = Played().work().change(NEW)
    played.tell(answered(REFUSED, Step.MODIFY))

    found = played.tell(seen(BrokerStatus.PRE_SUBMITTED, Source.LOOKUP))

    assert found == (StopLookup(order_id=ORDER_ID, session=SESSION),)


@pytest.mark.parametrize(
    "end",
    [
        TurnRefused(order_id=ORDER_ID, reason=Reason(code="TRADING_HALTED", message="halted")),
        TimerFired(name="turn"),
    ],
)
def test_a_modify_that_gets_no_turn_is_given_up_unsent(end: OrderMessage) -> None:
    played = Played().work()
    played.tell(MODIFY)
    played.commit(ModifyOrder)

    effects = played.tell(end)
    late = played.tell(TURN)

    settled = settlement(effects)
    assert settled is not None
    assert settled.reason is not None
    assert settled.reason.code in {"TRADING_HALTED", "TURN_TIMEOUT"}
    assert RELEASE in effects
    assert late == (RELEASE,)
    assert shown(played.order) == OLD_SHOWN


def test_a_modify_that_cannot_be_written_is_not_sent() -> None:
    played = Played().work()
    played.tell(MODIFY)
    reason = Reason(code="JOURNAL_BACKLOG", message="10,000 records wait")

    effects = played.tell(RecordFailed(order_id=ORDER_ID, record="ModifyOrder", reason=reason))

    assert settlement(effects) == ModifySettled(
        order_id=ORDER_ID, applied=False, terms=OLD, reason=reason
    )
    assert not any(isinstance(effect, RequestTurn) for effect in effects)
    assert shown(played.order) == OLD_SHOWN


@pytest.mark.parametrize("before", ["cancelled", "submitting", "unnamed", "prompted"])
def test_an_order_that_cannot_be_changed_now_says_so_in_two_records(before: str) -> None:
    played = Played()
    match before:
        case "cancelled":
            played.work().tell(CANCEL)
        case "submitting":
            played.send().tell(seen(BrokerStatus.SUBMITTED))
        case "unnamed":
            played.send()
            execution = replace(fill(1, 4), broker_order_id=None)
            played.tell(ExecutionSeen(order_id=ORDER_ID, execution=execution, source=Source.STREAM))
            played.tell(answered(TIMEOUT))
        case _:
            played.work().tell(prompt("p-1"))

    effects = played.tell(MODIFY)

    records = [effect for effect in effects if isinstance(effect, WriteRecord)]
    assert [type(written.record) for written in records] == [ModifyOrder, ModifySettled]
    assert [written.view.wanted for written in records] == [NEW, None]
    settled = settlement(effects)
    assert settled is not None
    assert settled.reason is not None
    assert settled.reason.code == "NOT_MODIFIABLE"
    assert played.commit(ModifyOrder) == ()


def test_a_modify_of_an_order_that_is_over_changes_nothing() -> None:
    played = Played().work()
    played.tell(filled(1, 10))

    assert played.tell(MODIFY) == ()


def test_a_second_modify_while_one_is_open_is_not_taken() -> None:
    played = Played().work().change(NEW)

    effects = played.tell(modify(terms(30)))

    assert anomalies(effects) == ["unexpected_modify"]
    assert shown(played.order) == WAITING


# --- questions about a modify --------------------------------------------------------------


def test_a_question_about_a_modify_is_answered_by_the_policy() -> None:
    played = Played().work().change(NEW)

    asked = played.tell(answered(ask("o163"), Step.MODIFY))
    replied = played.commit(ReplyDecided)
    taken = played.tell(answered(ACK, Step.REPLY))

    assert RELEASE not in asked
    assert played.order.state is OrderState.ACCEPTED
    assert [effect.confirmed for effect in replied if isinstance(effect, ReplyAtBroker)] == [True]
    assert settlement(taken) == APPLIED
    assert RELEASE in taken
    assert shown(played.order) == NEW_SHOWN


def test_a_question_about_a_modify_that_is_not_listed_is_declined_and_the_order_stays() -> None:
    played = Played().work().change(NEW)
    played.tell(answered(ask("o10138"), Step.MODIFY))

    replied = played.commit(ReplyDecided)
    effects = played.tell(answered(REFUSED, Step.REPLY))

    assert [effect.confirmed for effect in replied if isinstance(effect, ReplyAtBroker)] == [False]
    settled = settlement(effects)
    assert settled is not None
    assert settled.reason is not None
    assert settled.reason.code == "QUESTION_DECLINED"
    assert shown(played.order) == OLD_SHOWN
    assert played.order.state is OrderState.ACCEPTED


def test_the_questions_of_a_modify_are_counted_from_one_again() -> None:
    played = Played().send()
    played.tell(answered(ask("o163")))
    played.commit(ReplyDecided)
    played.tell(answered(ACK, Step.REPLY))
    played.change(NEW)

    played.tell(answered(ask("o163"), Step.MODIFY))
    answers = []
    for _ in range(ROUNDS_MAX + 1):
        (reply,) = played.commit(ReplyDecided)
        assert isinstance(reply, ReplyAtBroker)
        answers.append(reply.confirmed)
        played.tell(answered(ask("o163"), Step.REPLY))

    assert answers == [True] * ROUNDS_MAX + [False]
    assert played.order.view().confidence is Confidence.UNCONFIRMED
    assert played.order.view().wanted == NEW


def test_a_question_about_a_change_that_the_rows_have_settled_is_not_answered() -> None:
    played = Played().work().change(NEW)
    played.tell(seen(shows=NEW, source=Source.STREAM))

    effects = played.tell(answered(ask("o163"), Step.MODIFY))

    assert RELEASE in effects
    assert ReplyDecided not in kinds(effects)


def test_a_decision_about_a_change_that_is_over_is_not_sent() -> None:
    played = Played().work().change(NEW)
    played.tell(answered(ask("o163"), Step.MODIFY))

    settled = played.tell(seen(shows=NEW, source=Source.STREAM))

    assert RELEASE in settled
    assert played.commit(ReplyDecided) == ()


@pytest.mark.parametrize("outcome", [TIMEOUT, NOT_SENT])
def test_a_reply_about_a_modify_without_an_answer_leaves_doubt(outcome: Outcome) -> None:
    played = Played().work().change(NEW)
    played.tell(answered(ask("o163"), Step.MODIFY))
    played.commit(ReplyDecided)

    effects = played.tell(answered(outcome, Step.REPLY))

    assert LOOKUP in effects
    assert RELEASE in effects
    assert shown(played.order) == WAITING


def test_a_reply_about_a_modify_that_cannot_be_written_leaves_doubt() -> None:
    played = Played().work().change(NEW)
    played.tell(answered(ask("o163"), Step.MODIFY))
    reason = Reason(code="JOURNAL_BACKLOG", message="10,000 records wait")

    effects = played.tell(RecordFailed(order_id=ORDER_ID, record="ReplyDecided", reason=reason))

    assert kinds(effects) == [OrderDoubted, RequestLookup, ReleaseTurn, ReportAnomaly]


# --- doubt, and what ends it ---------------------------------------------------------------


def in_doubt() -> Played:
    played = Played().work().change(NEW)
    played.tell(answered(TIMEOUT, Step.MODIFY))
    return played


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
    played = in_doubt()

    effects = played.tell(seen(source=source, shows=NEW))

    assert settlement(effects) == APPLIED
    assert StopLookup(order_id=ORDER_ID, session=SESSION) in effects
    assert shown(played.order) == NEW_SHOWN
    assert played.order.view().confidence is Confidence.CONFIRMED


def test_the_old_terms_prove_something_only_after_a_minute_of_polls() -> None:
    played = in_doubt()

    first = played.tell(seen(shows=OLD))
    before = played.tell(seen(shows=OLD))
    after = played.tell(TimerFired(name="modify"))

    assert StartTimer(name="modify", delay_ms=OLD_TERMS_MS) in first
    assert before == ()
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
    played = in_doubt()
    played.tell(seen(shows=OLD))

    effects = played.tell(TimerFired(name="modify"))
    again = played.tell(seen(shows=OLD))

    assert effects == ()
    assert again == (StartTimer(name="modify", delay_ms=OLD_TERMS_MS),)


def test_old_terms_on_the_stream_prove_nothing() -> None:
    played = in_doubt()

    effects = played.tell(seen(source=Source.STREAM, shows=OLD))

    assert not any(isinstance(effect, StartTimer) for effect in effects)


def test_new_terms_end_the_wait_for_old_ones() -> None:
    played = in_doubt()
    played.tell(seen(shows=OLD))

    effects = played.tell(seen(shows=NEW))

    assert StopTimer(name="modify") in effects
    assert played.tell(TimerFired(name="modify")) == ()


def test_terms_that_came_into_force_after_all_are_adopted_loudly() -> None:
    played = in_doubt()
    for message in (seen(shows=OLD), seen(shows=OLD), TimerFired(name="modify")):
        played.tell(message)

    effects = played.tell(seen(shows=NEW))

    assert anomalies(effects) == ["modified_late"]
    assert settlement(effects) == APPLIED
    assert shown(played.order) == NEW_SHOWN
    assert shown(played.replayed()) == NEW_SHOWN


def test_a_row_of_other_terms_proves_nothing() -> None:
    played = in_doubt()
    played.tell(seen(shows=terms(15, "100.5")))

    assert shown(played.order) == WAITING


def test_more_fills_than_the_old_quantity_prove_the_new_one() -> None:
    played = in_doubt()

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
    played = in_doubt()

    effects = played.tell(TimerFired(name="park"))

    assert anomalies(effects) == ["modify_unproven"]
    assert LOOKUP in effects
    assert played.order.state is OrderState.ACCEPTED


# --- fills while a modify is open ------------------------------------------------------------


def test_the_old_quantity_is_not_the_end_while_more_may_be_in_force() -> None:
    played = Played().work().change(NEW)

    played.tell(filled(1, 10))
    before = played.order.state
    played.tell(answered(REFUSED, Step.MODIFY))

    assert before is OrderState.PARTIALLY_FILLED
    assert played.order.state is OrderState.FILLED


def test_the_brokers_filled_ends_the_order_with_the_old_quantity() -> None:
    played = in_doubt()
    played.tell(filled(1, 10))

    played.tell(seen(BrokerStatus.FILLED, filled=10))

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

    ended = played.tell(seen(BrokerStatus.CANCELLED, Source.STREAM))
    answer = played.tell(answered(REFUSED, Step.MODIFY))

    assert RELEASE not in ended
    assert RELEASE in answer
    assert settlement(answer) is None
    assert played.order.view().pending is Pending.NONE


# --- a cancel overtakes ----------------------------------------------------------------------


def test_a_cancel_before_the_modify_was_sent_gives_it_up() -> None:
    played = Played().work()
    played.tell(MODIFY)
    played.commit(ModifyOrder)

    effects = played.tell(CANCEL)

    settled = settlement(effects)
    assert settled is not None
    assert settled.reason is not None
    assert settled.reason.code == "CANCELLED_BEFORE_SENT"
    assert RELEASE in effects
    assert played.order.view().pending is Pending.CANCEL
    assert played.tell(TURN) == (RELEASE,)


def test_a_cancel_overtakes_a_modify_on_the_wire() -> None:
    played = Played().work().change(NEW)

    played.tell(CANCEL)
    sent = played.commit(CancelOrder)
    during = played.order.view()
    played.tell(answered(ACK, Step.MODIFY))
    after = played.order.view()
    played.tell(seen(BrokerStatus.CANCELLED))

    assert any(type(effect).__name__ == "CancelAtBroker" for effect in sent)
    assert (during.pending, during.wanted) == (Pending.CANCEL, NEW)
    assert (after.pending, after.wanted, after.quantity) == (Pending.CANCEL, None, Decimal(20))
    assert played.order.state is OrderState.CANCELLED


def test_a_cancel_declines_the_question_of_a_modify() -> None:
    played = Played().work().change(NEW)
    played.tell(CANCEL)
    played.tell(answered(ask("o163"), Step.MODIFY))

    (reply,) = played.commit(ReplyDecided)

    assert isinstance(reply, ReplyAtBroker)
    assert not reply.confirmed


def test_a_refused_cancel_shows_the_modify_again() -> None:
    played = in_doubt()
    played.tell(CANCEL)
    played.commit(CancelOrder)

    played.tell(answered(REFUSED, Step.CANCEL))

    assert shown(played.order) == WAITING


# --- restarts --------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["written", "durable", "sent", "asked", "replied", "in_doubt"])
def test_a_restart_in_any_step_of_a_modify_looks_and_sends_nothing(step: str) -> None:
    played = Played().work()
    steps: tuple[tuple[str, Callable[[], object]], ...] = (
        ("written", lambda: played.tell(MODIFY)),
        ("durable", lambda: played.commit(ModifyOrder)),
        ("sent", lambda: played.tell(TURN)),
        ("asked", lambda: played.tell(answered(ask("o163"), Step.MODIFY))),
        ("replied", lambda: played.commit(ReplyDecided)),
        ("in_doubt", lambda: played.tell(answered(TIMEOUT, Step.REPLY))),
    )
    for name, message in steps:
        message()
        if name == step:
            break

    restarted = played.replayed()
    effects = restarted.resume(5_000)

    sent = {"ModifyAtBroker", "ReplyAtBroker", "PlaceAtBroker", "RequestTurn"}
    assert LOOKUP in effects
    assert not sent & {type(effect).__name__ for effect in effects}
    assert shown(restarted) == WAITING
    assert restarted.view().confidence is Confidence.UNCONFIRMED
    assert restarted.handle(TURN, 6_000) == (RELEASE,)


def test_a_settled_change_is_in_force_after_a_restart() -> None:
    played = Played().work().change(NEW)
    played.tell(answered(ACK, Step.MODIFY))

    restarted = played.replayed()

    assert not any(isinstance(effect, RequestLookup) for effect in restarted.resume(5_000))
    assert shown(restarted) == NEW_SHOWN


def test_the_answer_to_the_modify_of_a_failed_actor_settles_it_and_ends_the_turn() -> None:
    restarted = Played().work().change(NEW).replayed()
    restarted.resume(5_000, failed="boom", on_wire=True)
    had_turn = restarted.has_turn

    effects = restarted.handle(answered(ACK, Step.MODIFY), 6_000)

    assert had_turn
    assert settlement(effects) == APPLIED
    assert RELEASE in effects
    assert restarted.view().confidence is Confidence.CONFIRMED


# --- prompts ---------------------------------------------------------------------------------


def prompt(name: str, kind: str = "o163") -> PromptRaised:
    asked = ask(kind).question
    assert asked is not None
    question: Question = replace(asked, question_id=QuestionId(name))
    return PromptRaised(order_id=ORDER_ID, question=question)


@pytest.mark.parametrize(("kind", "confirmed"), [("o163", True), ("p12", False)])
def test_a_prompt_is_answered_by_the_policy_after_two_records(
    kind: str, *, confirmed: bool
) -> None:
    played = Played().work()

    raised = played.tell(prompt("p-1", kind))
    replied = played.commit(ReplyDecided)
    answer = played.tell(answered(Outcome(kind=OutcomeKind.ACK), Step.REPLY))

    assert kinds(raised) == [PromptRaised, ReplyDecided]
    assert replied == (
        ReplyAtBroker(
            order_id=ORDER_ID,
            session=SESSION,
            question_id=QuestionId("p-1"),
            confirmed=confirmed,
        ),
    )
    assert [type(effect) for effect in answer] == [WriteRecord]
    assert played.order.state is OrderState.ACCEPTED


def test_a_prompt_that_comes_again_is_answered_once() -> None:
    played = Played().work()
    played.tell(prompt("p-1"))
    played.commit(ReplyDecided)
    during = played.tell(prompt("p-1"))
    played.tell(answered(Outcome(kind=OutcomeKind.ACK), Step.REPLY))

    assert (during, played.tell(prompt("p-1"))) == ((), ())
    restarted = played.replayed()
    restarted.resume(5_000)
    assert restarted.handle(prompt("p-1"), 6_000) == ()


def test_a_second_prompt_waits_for_the_answer_to_the_first() -> None:
    played = Played().work()
    played.tell(prompt("p-1"))

    during = played.tell(prompt("p-2"))
    third = played.tell(prompt("p-3"))
    played.commit(ReplyDecided)
    after = played.tell(answered(Outcome(kind=OutcomeKind.ACK), Step.REPLY))

    assert during == ()
    assert anomalies(third) == ["prompt_dropped"]
    assert kinds(after)[1:] == [PromptRaised, ReplyDecided]


@pytest.mark.parametrize("outcome", [TIMEOUT, REFUSED, NOT_SENT])
def test_a_prompt_whose_answer_did_not_arrive_changes_nothing_and_makes_us_look(
    outcome: Outcome,
) -> None:
    played = Played().work()
    played.tell(prompt("p-1"))
    played.commit(ReplyDecided)

    effects = played.tell(answered(outcome, Step.REPLY))

    assert anomalies(effects) == ["prompt_unanswered"]
    assert LOOKUP in effects
    assert played.order.state is OrderState.ACCEPTED


def test_a_prompt_waits_until_the_conversation_is_over() -> None:
    played = Played().work().change(NEW)

    during = played.tell(prompt("p-1"))
    after = played.tell(answered(ACK, Step.MODIFY))

    assert during == ()
    assert kinds(after)[-2:] == [PromptRaised, ReplyDecided]


def test_a_prompt_about_an_order_that_is_being_cancelled_is_declined() -> None:
    played = Played().work()
    played.tell(CANCEL)
    played.tell(prompt("p-1"))

    (reply,) = played.commit(ReplyDecided)

    assert isinstance(reply, ReplyAtBroker)
    assert not reply.confirmed


def test_a_prompt_about_an_order_that_is_over_is_left_alone() -> None:
    played = Played().work()
    played.tell(filled(1, 10))

    assert played.tell(prompt("p-1")) == ()


def test_prompts_without_end_are_declined_in_the_end() -> None:
    played = Played().work()
    answers = []
    for number in range(ROUNDS_MAX + 1):
        played.tell(prompt(f"p-{number}"))
        (reply,) = played.commit(ReplyDecided)
        assert isinstance(reply, ReplyAtBroker)
        answers.append(reply.confirmed)
        played.tell(answered(Outcome(kind=OutcomeKind.ACK), Step.REPLY))

    assert answers == [True] * ROUNDS_MAX + [False]


def test_a_prompt_whose_decision_cannot_be_written_is_not_answered() -> None:
    played = Played().work()
    played.tell(prompt("p-1"))
    reason = Reason(code="JOURNAL_BACKLOG", message="10,000 records wait")

    effects = played.tell(RecordFailed(order_id=ORDER_ID, record="ReplyDecided", reason=reason))

    assert [type(effect) for effect in effects] == [ReportAnomaly]
    assert kinds(played.tell(prompt("p-2"))) == [PromptRaised, ReplyDecided]


# --- whatever the order of the news ----------------------------------------------------------

GROWN: tuple[OrderMessage, ...] = (
    answered(ACK, Step.MODIFY),
    seen(BrokerStatus.SUBMITTED, Source.STREAM, shows=NEW),
    filled(1, 4),
    filled(2, 16),
    seen(BrokerStatus.FILLED, Source.STREAM, filled=20),
)
SHRUNK: tuple[OrderMessage, ...] = (
    answered(ACK, Step.MODIFY),
    seen(BrokerStatus.SUBMITTED, shows=terms(5)),
    filled(1, 4),
    filled(2, 1),
    seen(BrokerStatus.FILLED, filled=5),
)
KEPT: tuple[OrderMessage, ...] = (
    answered(REFUSED, Step.MODIFY),
    seen(BrokerStatus.SUBMITTED, shows=OLD),
    filled(1, 4),
    filled(2, 6),
    seen(BrokerStatus.FILLED, filled=10),
)


def ends(new: Terms, news: tuple[OrderMessage, ...]) -> set[tuple[object, ...]]:
    """Play the news in every order, each of it twice, and return how that ended."""
    found: set[tuple[object, ...]] = set()
    for order_of_news in itertools.permutations(news):
        played = Played().work().change(new)
        for message in order_of_news:
            played.tell(message)
            played.tell(message)
        view = played.order.view()
        assert view == played.replayed().view()
        found.add((view.state, view.filled_quantity, view.quantity, view.pending, view.wanted))
    return found


NEWS = {"grown": (NEW, GROWN, 20), "shrunk": (terms(5), SHRUNK, 5), "kept": (NEW, KEPT, 10)}


@pytest.mark.parametrize("name", NEWS)
@pytest.mark.parametrize("lost", [(), (0,), (1,), (0, 1), (1, 4)])
def test_news_of_a_modify_in_any_order_with_some_lost_ends_the_same(
    name: str, lost: tuple[int, ...]
) -> None:
    new, news, quantity = NEWS[name]
    told = tuple(message for number, message in enumerate(news) if number not in lost)

    end = (OrderState.FILLED, Decimal(quantity), Decimal(quantity), Pending.NONE, None)
    assert ends(new, told) == {end}


@pytest.mark.parametrize("name", NEWS)
@pytest.mark.parametrize("lost", [(), (1,)])
def test_so_it_does_when_the_answer_proves_nothing(name: str, lost: tuple[int, ...]) -> None:
    new, (_, *rest), quantity = NEWS[name]
    news = (answered(TIMEOUT, Step.MODIFY), *rest)
    told = tuple(message for number, message in enumerate(news) if number not in lost)

    end = (OrderState.FILLED, Decimal(quantity), Decimal(quantity), Pending.NONE, None)
    assert ends(new, told) == {end}
