"""The order machine: what it sends, when, and what it refuses to believe."""

import itertools
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.domain.messages import (
    AttemptStarted,
    DenyOrder,
    ExecutionSeen,
    ForgetOrder,
    LearnAlias,
    ModifyAtBroker,
    ModifyOrder,
    OrderExpired,
    OrderMessage,
    OrderRowSeen,
    PlaceAtBroker,
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
    SubmitOrder,
    TimerFired,
    TurnRefused,
    WriteRecord,
)
from engine.domain.order import TRANSITIONS, Order
from engine.domain.order.conversation import ROUNDS_MAX, TURN_WAIT_MS_MAX
from engine.domain.order.merge import INACTIVE_NS
from engine.domain.values import (
    TERMINAL,
    AccountId,
    BrokerOrderId,
    BrokerStatus,
    Confidence,
    ConId,
    MessageId,
    OrderState,
    Outcome,
    OutcomeKind,
    Pending,
    Question,
    QuestionId,
    Reason,
    Side,
    Source,
)
from tests.domain.order.samples import (
    ACCOUNT,
    ACK,
    ATTEMPT,
    BODY,
    BROKER_ID,
    CANCEL,
    CANCEL_AT_BROKER,
    INTENT,
    LOOKUP,
    LOOKUP_UNSEEN,
    NOT_SENT,
    ORDER_ID,
    REFUSED,
    RELEASE,
    SESSION,
    TICKET,
    TIMEOUT,
    TURN,
    Played,
    answered,
    ask,
    fill,
    filled,
    modify,
    row,
    seen,
    terms,
)

LEARN = LearnAlias(order_id=ORDER_ID, account=ACCOUNT, broker_order_id=BROKER_ID)
PLACE = PlaceAtBroker(
    order_id=ORDER_ID, session=SESSION, account=ACCOUNT, body=BODY, send_by_ns=99, session_epoch=1
)


def without_records(effects: tuple[object, ...]) -> list[object]:
    return [effect for effect in effects if not isinstance(effect, WriteRecord)]


def test_an_intent_is_written_before_anything_else_happens() -> None:
    """The turn is asked for at once, so that the attempt can become durable together with it."""
    played = Played()

    effects = played.tell(INTENT)

    assert effects == (
        WriteRecord(record=INTENT, view=played.order.view(), confirm=False),
        StartTimer(name="turn", delay_ms=TURN_WAIT_MS_MAX),
        RequestTurn(order_id=ORDER_ID, session=SESSION),
    )
    assert played.order.state is OrderState.SUBMITTING


def test_a_durable_intent_neither_asks_for_a_turn_again_nor_sends_anything() -> None:
    played = Played()
    played.tell(INTENT)

    assert played.commit(SubmitOrder) == ()


def test_an_attempt_is_written_behind_an_intent_that_is_not_durable_yet() -> None:
    played = Played()
    played.tell(INTENT)

    granted = played.tell(TURN)
    intent_durable = played.commit(SubmitOrder)
    attempt_durable = played.commit(AttemptStarted)

    attempt = AttemptStarted(order_id=ORDER_ID, number=1, session_epoch=TURN.session_epoch)
    assert [one.record for one in granted if isinstance(one, WriteRecord)] == [attempt]
    assert (intent_durable, attempt_durable) == ((), (PLACE,))


@pytest.mark.parametrize("granted", [False, True], ids=["waits", "has it"])
def test_a_refused_intent_gives_its_turn_back_and_nothing_of_it_is_sent(*, granted: bool) -> None:
    played = Played()
    played.tell(INTENT)
    if granted:
        played.tell(TURN)

    reason = Reason(code="JOURNAL_BACKLOG", message="too much waits")
    failed = RecordFailed(order_id=ORDER_ID, record="SubmitOrder", reason=reason)
    effects = played.tell(failed)

    assert effects[1:] == (
        StopTimer(name="turn"),
        RELEASE,
        ForgetOrder(order_id=ORDER_ID, account=ACCOUNT),
    )
    assert (played.tell(TURN), played.commit(AttemptStarted)) == ((), ())


def test_a_turn_writes_the_attempt_and_only_its_commit_sends() -> None:
    played = Played()
    played.tell(INTENT)
    played.commit(SubmitOrder)

    granted = played.tell(TURN)
    committed = played.commit(AttemptStarted)

    assert granted == (
        StopTimer(name="turn"),
        WriteRecord(record=ATTEMPT, view=played.order.view(), confirm=True),
    )
    assert committed == (PLACE,)


def test_a_second_turn_never_sends_a_second_time() -> None:
    played = Played().send()

    effects = played.tell(TURN)

    assert effects == (RELEASE,)


def test_an_acknowledgement_names_the_order_and_frees_the_lane() -> None:
    played = Played().send()

    effects = played.tell(answered(ACK))

    assert without_records(effects) == [LEARN, RELEASE]
    assert played.order.state is OrderState.ACCEPTED
    assert played.order.view().broker_order_id == BROKER_ID


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("Inactive", OrderState.PENDING_NEW),
        ("PendingSubmit", OrderState.PENDING_NEW),
        ("PreSubmitted", OrderState.ACCEPTED),
        ("Submitted", OrderState.WORKING),
        ("Filled", OrderState.WORKING),  # until its executions come
        ("SomethingNew", OrderState.PENDING_NEW),
    ],
)
def test_the_status_of_the_acknowledgement_is_the_state(status: str, state: OrderState) -> None:
    played = Played().send()

    outcome = Outcome(kind=OutcomeKind.ACK, broker_order_id=BROKER_ID, status=status)
    played.tell(answered(outcome))

    assert played.order.state is state


def test_silence_makes_the_order_unknown_and_sends_nothing_again() -> None:
    played = Played().send()

    effects = played.tell(answered(TIMEOUT))

    lookup = LOOKUP_UNSEEN
    assert without_records(effects) == [lookup, RELEASE]
    assert played.order.state is OrderState.IN_DOUBT
    assert played.order.view().confidence is Confidence.UNCONFIRMED


def test_a_doubtful_order_that_is_seen_is_believed() -> None:
    played = Played().send()
    played.tell(answered(TIMEOUT))

    effects = played.tell(seen(BrokerStatus.SUBMITTED, Source.LOOKUP))

    stop = StopLookup(order_id=ORDER_ID, session=SESSION)
    assert without_records(effects) == [LEARN, stop]
    assert played.order.state is OrderState.WORKING


def test_a_doubtful_order_that_stays_unseen_goes_to_a_person() -> None:
    played = Played().send()
    played.tell(answered(TIMEOUT))

    played.tell(TimerFired(name="park"))

    assert played.order.state is OrderState.PARKED
    assert played.order.view().reason is not None
    assert not any(isinstance(effect, PlaceAtBroker) for effect in played.effects[-2:])


def test_a_parked_order_can_still_be_found() -> None:
    played = Played().send()
    played.tell(answered(TIMEOUT))
    played.tell(TimerFired(name="park"))

    played.tell(filled(1, 10))

    assert played.order.state is OrderState.FILLED


def test_a_refusal_is_terminal_with_its_reason() -> None:
    played = Played().send()

    effects = played.tell(answered(REFUSED))

    assert without_records(effects) == [
        StopTimer(name="turn"),
        RELEASE,
        StopTimer(name="cancel"),
    ]
    assert played.order.state is OrderState.REJECTED
    assert played.order.view().reason == REFUSED.reason


def test_what_was_not_sent_expires() -> None:
    played = Played().send()

    played.tell(answered(NOT_SENT))

    assert played.order.state is OrderState.EXPIRED
    assert played.order.view().reason == NOT_SENT.reason


def test_no_turn_in_time_ends_the_order_unsent() -> None:
    played = Played()
    played.tell(INTENT)
    played.commit(SubmitOrder)

    effects = played.tell(TimerFired(name="turn"))

    assert RELEASE in effects
    assert played.order.state is OrderState.EXPIRED
    assert played.tell(TURN) == (RELEASE,)


def test_a_refused_turn_ends_the_order_unsent() -> None:
    played = Played()
    played.tell(INTENT)
    played.commit(SubmitOrder)
    reason = Reason(code="SESSION_NOT_READY", message="down")

    played.tell(TurnRefused(order_id=ORDER_ID, reason=reason))

    assert played.order.state is OrderState.EXPIRED
    assert played.order.view().reason == reason


def test_an_attempt_that_could_not_be_written_is_not_sent() -> None:
    played = Played()
    played.tell(INTENT)
    played.commit(SubmitOrder)
    played.tell(TURN)
    reason = Reason(code="JOURNAL_UNAVAILABLE", message="disk full")

    effects = played.tell(RecordFailed(order_id=ORDER_ID, record="AttemptStarted", reason=reason))

    assert effects[0] == RELEASE
    assert not any(isinstance(effect, PlaceAtBroker) for effect in played.effects)


# --- questions ---------------------------------------------------------------------------


def test_a_listed_question_is_accepted_after_the_decision_is_durable() -> None:
    played = Played().send()

    asked = played.tell(answered(ask("o163")))
    replied = played.commit(ReplyDecided)

    assert not any(isinstance(effect, ReplyAtBroker) for effect in asked)
    assert played.order.state is OrderState.AWAITING_REPLY
    assert [type(effect.record) for effect in asked if isinstance(effect, WriteRecord)] == [
        type(answered(ask())),
        ReplyDecided,
    ]
    assert [effect.confirmed for effect in replied if isinstance(effect, ReplyAtBroker)] == [True]


@pytest.mark.parametrize(
    ("kinds", "named"),
    [(("o354",), "o354"), (("o163", "o354"), "o163, o354"), ((), "without an id")],
)
def test_a_question_that_is_not_listed_is_declined(kinds: tuple[str, ...], named: str) -> None:
    played = Played().send()
    played.tell(answered(ask(*kinds)))

    replied = played.commit(ReplyDecided)
    played.tell(answered(REFUSED, Step.REPLY))

    assert [effect.confirmed for effect in replied if isinstance(effect, ReplyAtBroker)] == [False]
    assert played.order.state is OrderState.REJECTED
    assert played.order.view().reason == Reason(
        code="QUESTION_DECLINED",
        message=f"the broker's question {named} (Are you sure?) about the order was declined;"
        " see broker_messages",
    )


def test_questions_without_end_are_declined_in_the_end() -> None:
    played = Played().send()
    played.tell(answered(ask("o163")))

    answers = []
    for _ in range(ROUNDS_MAX + 1):
        (reply,) = played.commit(ReplyDecided)
        assert isinstance(reply, ReplyAtBroker)
        answers.append(reply.confirmed)
        played.tell(answered(ask("o163"), Step.REPLY))

    assert answers == [True] * ROUNDS_MAX + [False]


def test_a_reply_without_an_answer_leaves_doubt() -> None:
    played = Played().send()
    played.tell(answered(ask("o163")))
    played.commit(ReplyDecided)

    played.tell(answered(TIMEOUT, Step.REPLY))

    assert played.order.state is OrderState.IN_DOUBT


def test_a_cancel_while_a_question_is_open_declines_it() -> None:
    played = Played().send()
    played.tell(answered(ask("o163")))
    played.tell(CANCEL)

    replied = played.commit(ReplyDecided)
    unconfirmed = Reason(code="NOT_CONFIRMED", message="Order not confirmed")
    played.tell(answered(replace(REFUSED, reason=unconfirmed), Step.REPLY))

    assert [effect.confirmed for effect in replied if isinstance(effect, ReplyAtBroker)] == [False]
    assert played.order.state is OrderState.CANCELLED


# --- fills -------------------------------------------------------------------------------


def test_fills_are_summed_and_priced_by_quantity() -> None:
    played = Played().work()

    played.tell(filled(1, 4, price="100"))
    played.tell(filled(2, 6, price="101"))

    view = played.order.view()
    assert (view.state, view.filled_quantity, view.average_price, view.remaining_quantity) == (
        OrderState.FILLED,
        Decimal(10),
        Decimal("100.6"),
        Decimal(0),
    )


def test_a_fill_that_comes_twice_counts_once_and_writes_once() -> None:
    played = Played().work()
    played.tell(filled(1, 4))

    again = played.tell(filled(1, 4))

    assert again == ()
    assert played.order.view().filled_quantity == Decimal(4)


def test_a_commission_is_news_once() -> None:
    played = Played().work()
    played.tell(filled(1, 4))

    with_fee = played.tell(filled(1, 4, fee="1.0"))
    again = played.tell(filled(1, 4, fee="1.0"))

    assert len(with_fee) == 1
    assert again == ()
    assert played.order.view().filled_quantity == Decimal(4)


def test_a_correction_replaces_its_fill_and_reopens_the_order() -> None:
    played = Played().work()
    played.tell(filled(1, 10))

    played.tell(filled(1, 4, revision=2))

    assert played.order.state is OrderState.PARTIALLY_FILLED
    assert played.order.view().filled_quantity == Decimal(4)


def test_a_filled_status_waits_for_its_executions_and_looks_for_them() -> None:
    played = Played().work()

    effects = played.tell(seen(BrokerStatus.FILLED, filled=10))

    before = played.order.state
    played.tell(filled(1, 10))

    assert LOOKUP in effects
    assert (before, played.order.state) == (OrderState.ACCEPTED, OrderState.FILLED)


def test_a_cancel_status_waits_for_the_fills_that_it_counts() -> None:
    played = Played().work()

    played.tell(seen(BrokerStatus.CANCELLED, filled=4))
    before = played.order.state
    played.tell(filled(1, 4))

    assert before is OrderState.ACCEPTED
    view = played.order.view()
    assert (view.state, view.filled_quantity) == (OrderState.CANCELLED, Decimal(4))


def test_a_late_fill_of_a_cancelled_order_is_booked_loudly() -> None:
    played = Played().work()
    played.tell(seen(BrokerStatus.CANCELLED))

    effects = played.tell(filled(1, 4))

    assert [effect.kind for effect in effects if isinstance(effect, ReportAnomaly)] == ["late_fill"]
    view = played.order.view()
    assert (view.state, view.filled_quantity) == (OrderState.CANCELLED, Decimal(4))


def test_more_than_was_asked_for_is_booked_loudly() -> None:
    played = Played().work()

    effects = played.tell(filled(1, 12))

    assert [effect.kind for effect in effects if isinstance(effect, ReportAnomaly)] == ["overfill"]
    assert played.order.state is OrderState.FILLED
    assert played.order.view().filled_quantity == Decimal(12)


# --- rows --------------------------------------------------------------------------------


def test_rows_may_overtake_the_acknowledgement() -> None:
    played = Played().send()

    played.tell(seen(BrokerStatus.SUBMITTED))
    played.tell(answered(ACK))

    assert played.order.state in {OrderState.WORKING, OrderState.ACCEPTED}
    assert played.order.view().broker_order_id == BROKER_ID


def test_inactive_on_the_stream_only_proves_that_the_order_is_known() -> None:
    played = Played().send()

    played.tell(seen(BrokerStatus.INACTIVE))

    assert played.order.state is OrderState.PENDING_NEW


def test_inactive_in_a_poll_right_after_the_answer_is_the_first_word_too() -> None:
    played = Played().work()
    first = played.order.state

    early = played.tell(seen(BrokerStatus.INACTIVE, Source.POLL))
    played.now_ns += INACTIVE_NS - 3
    not_yet = played.tell(seen(BrokerStatus.INACTIVE, Source.POLL))
    known = played.order.state
    played.tell(seen(BrokerStatus.INACTIVE, Source.POLL))

    assert (early, not_yet) == ((), ())
    assert (first, known) == (OrderState.ACCEPTED, OrderState.ACCEPTED)
    assert played.order.state is OrderState.SUSPENDED
    assert played.replayed().view() == played.order.view()


def test_inactive_over_rest_suspends_and_can_be_revived() -> None:
    played = Played().work()
    played.now_ns += INACTIVE_NS

    played.tell(seen(BrokerStatus.INACTIVE, Source.POLL))
    suspended = played.order.state
    played.tell(seen(BrokerStatus.SUBMITTED))

    assert suspended is OrderState.SUSPENDED
    assert played.order.state is OrderState.WORKING


def test_a_cancel_by_the_system_is_a_rejection_with_its_reason() -> None:
    played = Played().work()

    played.tell(seen(BrokerStatus.CANCELLED, reason="Rejected by exchange"))

    view = played.order.view()
    assert view.state is OrderState.REJECTED
    assert view.reason == Reason(code="BROKER_CANCELLED", message="Rejected by exchange")


def test_a_row_of_something_else_is_not_believed() -> None:
    played = Played().work()
    other = replace(row(BrokerStatus.CANCELLED), conid=ConId(1))
    wrong = OrderRowSeen(order_id=ORDER_ID, row=other, source=Source.STREAM)

    effects = played.tell(wrong)

    assert [effect.kind for effect in effects if isinstance(effect, ReportAnomaly)] == [
        "identity_mismatch"
    ]
    assert played.order.state is OrderState.ACCEPTED


def test_an_order_held_for_expired_that_shows_up_live_is_adopted_loudly() -> None:
    played = Played().send()
    played.tell(answered(NOT_SENT))

    effects = played.tell(seen(BrokerStatus.SUBMITTED, Source.POLL))

    assert [effect.kind for effect in effects if isinstance(effect, ReportAnomaly)] == [
        "resurrected"
    ]
    assert played.order.state is OrderState.WORKING


def test_a_refused_order_that_shows_as_inactive_stays_refused() -> None:
    played = Played().send()
    played.tell(answered(REFUSED))

    effects = played.tell(seen(BrokerStatus.INACTIVE, Source.POLL))

    assert not any(isinstance(effect, ReportAnomaly) for effect in effects)
    assert played.order.state is OrderState.REJECTED


def test_a_late_row_does_not_revive_what_is_over() -> None:
    played = Played().work()
    played.tell(seen(BrokerStatus.CANCELLED))

    effects = played.tell(seen(BrokerStatus.SUBMITTED))

    assert effects == ()
    assert played.order.state is OrderState.CANCELLED


# --- what the review of the first version found -------------------------------------------


@pytest.mark.parametrize(("end", "first"), [(NOT_SENT, None), (REFUSED, BrokerStatus.INACTIVE)])
def test_an_ended_order_is_adopted_also_when_a_poorer_row_comes_first(
    end: Outcome, first: BrokerStatus | None
) -> None:
    played = Played().send()
    played.tell(answered(end))
    played.tell(seen(first))

    effects = played.tell(seen(BrokerStatus.SUBMITTED))

    assert [effect.kind for effect in effects if isinstance(effect, ReportAnomaly)] == [
        "resurrected"
    ]
    assert played.order.state is OrderState.WORKING


@pytest.mark.parametrize(
    "change", [{"account": AccountId("DU9")}, {"conid": ConId(1)}, {"side": Side.SELL}]
)
def test_an_execution_of_something_else_fills_nothing(change: dict[str, object]) -> None:
    played = Played().work()
    foreign = replace(fill(1, 10), **change)  # type: ignore[arg-type] # fields of Execution

    effects = played.tell(ExecutionSeen(order_id=ORDER_ID, execution=foreign, source=Source.STREAM))

    assert [effect.kind for effect in effects if isinstance(effect, ReportAnomaly)] == [
        "identity_mismatch"
    ]
    assert played.order.view().filled_quantity == 0


def test_a_question_after_a_decline_frees_the_lane_in_doubt() -> None:
    played = Played().send()
    played.tell(answered(ask("o354")))
    played.commit(ReplyDecided)

    effects = played.tell(answered(ask("o354"), Step.REPLY))

    assert RELEASE in effects
    assert played.order.state is OrderState.IN_DOUBT


def test_a_request_on_the_wire_keeps_the_lane_until_its_answer() -> None:
    played = Played().send()

    filled_first = played.tell(filled(1, 10))
    answer = played.tell(answered(ACK))

    assert RELEASE not in filled_first
    assert RELEASE in answer


def test_no_reply_is_sent_for_an_order_that_is_over() -> None:
    played = Played().send()
    played.tell(answered(ask("o163")))
    played.tell(seen(BrokerStatus.CANCELLED))

    effects = played.commit(ReplyDecided)

    assert not any(isinstance(effect, ReplyAtBroker) for effect in effects)


def test_executions_that_stay_missing_are_reported_and_looked_for_again() -> None:
    played = Played().work()
    played.tell(seen(BrokerStatus.FILLED, filled=10))

    effects = played.tell(TimerFired(name="park"))

    assert [type(effect) for effect in effects] == [ReportAnomaly, RequestLookup]


def test_an_order_whose_intent_is_not_durable_does_not_exist() -> None:
    played = Played()
    played.tell(INTENT)
    reason = Reason(code="JOURNAL_BACKLOG", message="10,000 records wait")

    effects = played.tell(RecordFailed(order_id=ORDER_ID, record="SubmitOrder", reason=reason))

    assert ForgetOrder(order_id=ORDER_ID, account=ACCOUNT) in effects
    assert played.tell(CANCEL) == ()
    assert played.tell(TURN) == ()


def test_a_price_without_end_is_no_reason_to_die() -> None:
    played = Played().work()

    played.tell(filled(1, 5, price="1e27"))

    assert played.order.view().average_price == Decimal("1e27")


# --- denied, restarted -------------------------------------------------------------------


def test_a_denied_order_is_written_and_over() -> None:
    played = Played()
    reason = Reason(code="QTY_EXCEEDS_MAX", message="too much")
    denied = DenyOrder(order_id=ORDER_ID, ticket=TICKET, reason=reason, request_sha256="f" * 64)

    effects = played.tell(denied)

    assert effects[0] == WriteRecord(record=denied, view=played.order.view(), confirm=False)
    assert played.order.state is OrderState.DENIED
    assert played.order.view().coid is None


def test_an_intent_without_an_attempt_expires_at_a_restart() -> None:
    played = Played()
    played.tell(INTENT)
    restarted = played.replayed()

    effects = restarted.resume(5_000)

    assert isinstance(effects[0], WriteRecord)
    assert isinstance(effects[0].record, OrderExpired)
    assert restarted.state is OrderState.EXPIRED


@pytest.mark.parametrize("question", [False, True])
def test_an_attempt_without_an_outcome_is_in_doubt_at_a_restart(*, question: bool) -> None:
    played = Played().send()
    if question:
        played.tell(answered(ask("o163")))
    restarted = played.replayed()

    effects = restarted.resume(5_000)

    assert restarted.state is OrderState.IN_DOUBT
    assert LOOKUP_UNSEEN in effects
    assert not any(isinstance(effect, PlaceAtBroker | ReplyAtBroker) for effect in effects)


def test_a_working_order_is_only_found_again_at_a_restart() -> None:
    restarted = Played().work().replayed()

    assert restarted.resume(5_000) == (LEARN,)


def test_a_pending_cancel_is_sent_again_after_a_restart() -> None:
    played = Played().work()
    played.tell(CANCEL)
    restarted = played.replayed()

    effects = restarted.resume(5_000)

    assert CANCEL_AT_BROKER in effects


# --- properties --------------------------------------------------------------------------

GROWN, DEARER = terms(20), terms(10, "101")
PROMPT = PromptRaised(
    order_id=ORDER_ID,
    question=Question(
        question_id=QuestionId("p-1"), message_ids=(MessageId("o163"),), texts=("Sure?",)
    ),
)

NEWS: tuple[OrderMessage, ...] = (
    answered(ACK),
    seen(BrokerStatus.PRE_SUBMITTED),
    seen(BrokerStatus.SUBMITTED),
    filled(1, 4),
    filled(2, 6),
    seen(BrokerStatus.FILLED, filled=10),
)


def test_news_in_any_order_ends_the_same() -> None:
    ends = set()
    for order_of_news in itertools.permutations(NEWS):
        played = Played().send()
        for news in order_of_news:
            played.tell(news)
        view = played.order.view()
        ends.add((view.state, view.filled_quantity, view.average_price, view.broker_order_id))

    assert ends == {(OrderState.FILLED, Decimal(10), Decimal(100), BROKER_ID)}


ANYTHING = st.sampled_from(
    (
        *NEWS,
        CANCEL,
        TURN,
        answered(TIMEOUT),
        answered(REFUSED),
        answered(NOT_SENT),
        answered(ask("o163")),
        answered(ask("o354")),
        answered(TIMEOUT, Step.REPLY),
        answered(REFUSED, Step.REPLY),
        answered(ACK, Step.CANCEL),
        answered(REFUSED, Step.CANCEL),
        seen(BrokerStatus.INACTIVE),
        seen(BrokerStatus.INACTIVE, Source.POLL),
        seen(BrokerStatus.PENDING_CANCEL),
        seen(BrokerStatus.CANCELLED),
        seen(BrokerStatus.CANCELLED, reason="refused"),
        seen(BrokerStatus.CANCELLED, filled=4),
        seen(None),
        seen(None, broker_id=BrokerOrderId("7")),
        filled(1, 10, revision=2),
        filled(3, 6),
        modify(GROWN),
        modify(DEARER),
        seen(None, Source.POLL, shows=GROWN),
        seen(BrokerStatus.SUBMITTED, Source.LOOKUP, shows=GROWN),
        seen(BrokerStatus.SUBMITTED, Source.POLL, shows=terms(10)),
        seen(BrokerStatus.FILLED, filled=20),
        answered(ACK, Step.MODIFY),
        answered(ACK, Step.REPLY),
        answered(TIMEOUT, Step.MODIFY),
        answered(REFUSED, Step.MODIFY),
        answered(NOT_SENT, Step.MODIFY),
        answered(ask("o163"), Step.MODIFY),
        PROMPT,
        TurnRefused(order_id=ORDER_ID, reason=Reason(code="TRADING_HALTED", message="halted")),
        TimerFired(name="modify"),
        TimerFired(name="turn"),
        TimerFired(name="cancel"),
        TimerFired(name="park"),
    )
)


def turns_wanted(played: Played) -> int:
    return sum(isinstance(effect, RequestTurn) for effect in played.effects)


def turns_given(played: Played) -> int:
    """Count the turns that were given back; the answers to late grants are none of them."""
    return sum(isinstance(effect, ReleaseTurn) for effect in played.effects) - played.late_grants


@given(st.lists(ANYTHING, max_size=40))
def test_whatever_comes_the_records_rebuild_the_order(messages: list[OrderMessage]) -> None:
    played = Played()
    played.tell(INTENT)
    played.commit(SubmitOrder)

    for message in messages:
        before = played.order.state
        told = len(played.effects)
        played.tell(message)
        for effect in played.effects[told:]:
            if isinstance(effect, WriteRecord) and effect.confirm:
                played.commit(type(effect.record))

        after = played.order.state
        assert after is before or after in TRANSITIONS[before]
        assert played.order.view() == played.replayed().view()

    view = played.order.view()
    places = [effect for effect in played.effects if isinstance(effect, PlaceAtBroker)]
    modifies = [effect for effect in played.effects if isinstance(effect, ModifyAtBroker)]
    written = [effect.record for effect in played.effects if isinstance(effect, WriteRecord)]
    assert len(places) <= 1, "an order is sent at most once"
    assert len(modifies) <= sum(isinstance(record, ModifyOrder) for record in written)
    assert len([record for record in written if record == PROMPT]) <= 1
    assert turns_given(played) <= turns_wanted(played)
    if not played.order.waits_for_turn and not played.order.has_turn:
        assert turns_given(played) == turns_wanted(played)
    assert view.filled_quantity == sum(
        (execution.quantity for execution in played.order.fills.current()), Decimal(0)
    )
    assert (view.wanted is None) or view.pending in {Pending.REPLACE, Pending.CANCEL}
    if view.state in TERMINAL:
        assert (view.pending, view.wanted) == (Pending.NONE, None)


def test_an_order_without_a_record_has_no_state() -> None:
    order = Order()

    assert not order.state_known
    with pytest.raises(AssertionError, match="without its first record"):
        _ = order.state
