"""Prompts about orders that the broker holds: who answers, how often, and when not."""

import pytest

from engine.domain.messages import (
    ModifyOrder,
    PromptRaised,
    RecordFailed,
    ReplyAtBroker,
    ReplyDecided,
    ReportAnomaly,
    Step,
    WriteRecord,
)
from engine.domain.order.conversation import ROUNDS_MAX
from engine.domain.order.image import image_of
from engine.domain.values import (
    OrderState,
    Outcome,
    OutcomeKind,
    Pending,
    QuestionId,
    Reason,
)
from tests.domain.order.samples import (
    ACK,
    CANCEL,
    LOOKUP,
    NOT_SENT,
    ORDER_ID,
    REFUSED,
    RELEASE,
    SESSION,
    TIMEOUT,
    Played,
    anomalies,
    answered,
    ask,
    filled,
    kinds,
    modify,
    prompt,
    settlement,
    terms,
)

OLD, NEW = terms(10), terms(20, "101")
MODIFY = modify(NEW)


# --- prompts ---------------------------------------------------------------------------------


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


def test_under_a_halt_no_question_gets_a_yes() -> None:
    played = Played().work().change(NEW)
    played.order.halted = True
    played.tell(answered(ask("o163"), Step.MODIFY))

    (reply,) = played.commit(ReplyDecided)
    effects = played.tell(answered(REFUSED, Step.REPLY))

    assert isinstance(reply, ReplyAtBroker)
    assert not reply.confirmed
    settled = settlement(effects)
    assert settled is not None
    assert settled.reason is not None
    assert settled.reason.code == "QUESTION_DECLINED"
    assert played.order.view().pending is Pending.NONE
    assert played.order.state is OrderState.ACCEPTED
    played.tell(prompt("p-1"))
    (no,) = played.commit(ReplyDecided)
    assert isinstance(no, ReplyAtBroker)
    assert not no.confirmed


def test_a_halt_that_comes_while_a_yes_is_written_makes_it_a_no() -> None:
    played = Played().work().change(NEW)
    played.tell(answered(ask("o163"), Step.MODIFY))
    played.order.halted = True

    (reply,) = played.commit(ReplyDecided)

    assert isinstance(reply, ReplyAtBroker)
    assert not reply.confirmed


@pytest.mark.parametrize("cut", ["raised", "replied"])
def test_a_prompt_that_a_restart_cut_off_is_not_mixed_up_with_a_later_change(cut: str) -> None:
    played = Played().work()
    played.tell(prompt("p-1"))
    if cut == "replied":
        played.commit(ReplyDecided)
    else:
        played.records.pop()
    played.order = played.replayed()
    played.order.resume(5_000)
    played.change(NEW)
    wire = played.replayed()
    wire.resume(6_000, failed="boom", on_wire=True)
    played.tell(answered(ask("o163"), Step.MODIFY))
    played.commit(ReplyDecided)
    played.tell(answered(TIMEOUT, Step.REPLY))

    replayed = played.replayed()

    assert wire.has_turn
    assert RELEASE in wire.handle(answered(ACK, Step.MODIFY), 7_000)
    assert replayed.view() == played.order.view()
    assert replayed.rounds == played.order.rounds == 1


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


def test_a_prompt_that_a_restart_cut_off_stays_in_the_records_and_blocks_nothing() -> None:
    played = Played().work()
    played.tell(prompt("p-1"))
    restarted = Played(played.replayed())

    restarted.order.resume(5_000)

    assert image_of(restarted.order) == image_of(played.replayed())
    assert kinds(restarted.tell(MODIFY)) == [ModifyOrder]
    assert kinds(restarted.tell(prompt("p-2"))) == [PromptRaised, ReplyDecided]
