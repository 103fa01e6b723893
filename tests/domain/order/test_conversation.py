"""Modifies and prompts: what is sent, what settles them, and what nobody believes."""

import itertools
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import pytest

from engine.domain.messages import (
    AttemptStarted,
    CancelOrder,
    ExecutionSeen,
    ModifyAtBroker,
    ModifyOrder,
    ModifySettled,
    OrderDoubted,
    OrderMessage,
    OrderRowSeen,
    PlaceAtBroker,
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
from engine.domain.order.conversation import (
    MARKET_WAIT_MS_MAX,
    ROUNDS_MAX,
    TURN_WAIT_MS_MAX,
)
from engine.domain.values import (
    BrokerOrderId,
    BrokerStatus,
    Confidence,
    OrderState,
    OrderType,
    Outcome,
    Pending,
    Reason,
    Source,
    Terms,
    Ticket,
)
from tests.domain.order.samples import (
    ACCOUNT,
    ACK,
    BODY,
    BROKER_ID,
    CANCEL,
    CHANGE_BODY,
    INTENT,
    LOOKUP,
    NOT_SENT,
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
    ask,
    fill,
    filled,
    in_doubt,
    kinds,
    modify,
    polled,
    prompt,
    seen,
    settlement,
    shown,
    terms,
)

OLD, NEW = terms(10), terms(20, "101")
MODIFY = modify(NEW)
SENT = ModifyAtBroker(
    order_id=ORDER_ID,
    session=SESSION,
    account=ACCOUNT,
    broker_order_id=BROKER_ID,
    body=CHANGE_BODY,
    send_by_ns=99,
    session_epoch=1,
)


OLD_SHOWN = (Decimal(10), Decimal(100), Pending.NONE, None)
NEW_SHOWN = (Decimal(20), Decimal(101), Pending.NONE, None)
WAITING = (Decimal(10), Decimal(100), Pending.REPLACE, NEW)
APPLIED = ModifySettled(order_id=ORDER_ID, applied=True, terms=NEW, reason=None)


# --- how long a turn is waited for ---------------------------------------------------------


@pytest.mark.parametrize(
    ("ticket", "wait_ms"),
    [
        (TICKET, TURN_WAIT_MS_MAX),
        (replace(TICKET, type=OrderType.MKT, limit_price=None), MARKET_WAIT_MS_MAX),
        (replace(TICKET, type=OrderType.REL, limit_price=None), MARKET_WAIT_MS_MAX),
        (
            replace(TICKET, type=OrderType.REL, limit_price=None, cap_price=Decimal(101)),
            TURN_WAIT_MS_MAX,
        ),
    ],
)
def test_an_order_without_a_price_of_its_own_waits_shortly(ticket: Ticket, wait_ms: int) -> None:
    played = Played()

    waits = played.tell(SubmitOrder(approved=approve(ticket=ticket), body=BODY))
    played.commit(SubmitOrder)
    played.tell(TimerFired(name="turn"))

    reason = played.order.view().reason
    assert StartTimer(name="turn", delay_ms=wait_ms) in waits
    assert played.order.state is OrderState.EXPIRED
    assert reason is not None
    assert reason.message == f"no turn to send within {wait_ms} ms; nothing was sent"


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
    played.tell(polled(status, Source.LOOKUP, filled=10))

    assert before is OrderState.ACCEPTED
    assert played.order.state is OrderState.FILLED


def test_an_order_that_was_looked_for_after_a_refusal_is_found_by_a_row() -> None:
    played = Played().work().change(NEW)
    played.tell(answered(REFUSED, Step.MODIFY))

    found = played.tell(polled(BrokerStatus.PRE_SUBMITTED, Source.LOOKUP))

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
            played.send().tell(polled(BrokerStatus.SUBMITTED))
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
    assert settled.reason == Reason(
        code="QUESTION_DECLINED",
        message="the broker's question o10138 (Are you sure?) about the change was declined;"
        " see broker_messages",
    )
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


def test_a_question_about_a_change_that_the_fills_have_settled_is_not_answered() -> None:
    played = Played().work().change(NEW)
    played.tell(filled(1, 12))

    effects = played.tell(answered(ask("o163"), Step.MODIFY))

    assert RELEASE in effects
    assert ReplyDecided not in kinds(effects)


def test_a_decision_about_a_change_that_is_over_is_not_sent() -> None:
    played = Played().work().change(NEW)
    played.tell(answered(ask("o163"), Step.MODIFY))

    settled = played.tell(filled(1, 12))

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


def test_a_yes_that_is_answered_with_a_failed_order_leaves_doubt() -> None:
    played = Played().work().change(NEW)
    played.tell(answered(ask("o163"), Step.MODIFY))
    played.commit(ReplyDecided)
    failed = replace(REFUSED, reason=Reason(code="ORDER_FAILED", message="Failed"))

    effects = played.tell(answered(failed, Step.REPLY))

    assert LOOKUP in effects
    assert RELEASE in effects
    assert shown(played.order) == WAITING
    assert played.order.view().confidence is Confidence.UNCONFIRMED


def test_a_reply_about_a_modify_that_cannot_be_written_leaves_doubt() -> None:
    played = Played().work().change(NEW)
    played.tell(answered(ask("o163"), Step.MODIFY))
    reason = Reason(code="JOURNAL_BACKLOG", message="10,000 records wait")

    effects = played.tell(RecordFailed(order_id=ORDER_ID, record="ReplyDecided", reason=reason))

    assert kinds(effects) == [OrderDoubted, RequestLookup, ReleaseTurn, ReportAnomaly]


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
    played.tell(polled(BrokerStatus.CANCELLED))

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
    played = in_doubt(NEW)
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


OTHER = replace(ACK, broker_order_id=BrokerOrderId("7"))
FAILED = replace(REFUSED, reason=Reason(code="ORDER_FAILED", message="Failed"))
ANSWERS = [ACK, OTHER, ask("o163"), ask("o999"), REFUSED, FAILED, NOT_SENT, TIMEOUT]
MEANWHILE: tuple[OrderMessage | None, ...] = (
    None,
    CANCEL,
    filled(1, 12),
    filled(1, 20),
    polled(BrokerStatus.CANCELLED, Source.STREAM),
    polled(shows=NEW),
    prompt("p-1"),
    TimerFired(name="turn"),
    TimerFired(name="park"),
)


def talk(played: Played, meanwhile: OrderMessage | None, after: int, *replies: Outcome) -> None:
    """Play a modify's conversation to its last answer; something else comes in between."""
    played.change(NEW)
    step = Step.MODIFY
    for number, outcome in enumerate(replies):
        if number == after and meanwhile is not None:
            played.tell(meanwhile)
            played.commit(CancelOrder)
        if not played.order.has_turn:
            return
        played.tell(answered(outcome, step))
        if outcome.question is None:
            return
        played.commit(ReplyDecided)
        step = Step.REPLY


@pytest.mark.parametrize("meanwhile", MEANWHILE, ids=str)
@pytest.mark.parametrize("after", [0, 1])
def test_no_answer_keeps_the_lane_or_leaves_a_change_that_nobody_looks_for(
    meanwhile: OrderMessage | None, after: int
) -> None:
    for first, second in itertools.product(ANSWERS, ANSWERS):
        played = Played().work()

        talk(played, meanwhile, after, first, second, TIMEOUT)

        order = played.order
        assert not order.has_turn, (first, second)
        assert order.change is None or (order.change.doubtful and order.is_looked_for)
        assert played.replayed().view() == order.view()


@pytest.mark.parametrize("answer", ANSWERS, ids=str)
@pytest.mark.parametrize("asked", [False, True])
def test_an_actor_that_fails_while_it_talks_gives_the_lane_back_with_the_answer(
    answer: Outcome, *, asked: bool
) -> None:
    played = Played().work().change(NEW)
    if asked:
        played.tell(answered(ask("o163"), Step.MODIFY))
        played.commit(ReplyDecided)
    played.order = played.replayed()
    played.order.resume(5_000, failed="boom", on_wire=True)
    had = played.order.has_turn

    played.tell(answered(answer, Step.REPLY if asked else Step.MODIFY))
    if answer.question is not None:
        played.commit(ReplyDecided)
        played.tell(answered(TIMEOUT, Step.REPLY))

    assert had
    assert not played.order.has_turn
    assert played.order.change is None or played.order.is_looked_for


# --- whatever the order of the news ----------------------------------------------------------

GROWN: tuple[OrderMessage, ...] = (
    answered(ACK, Step.MODIFY),
    polled(BrokerStatus.SUBMITTED, Source.STREAM, shows=NEW),
    filled(1, 4),
    filled(2, 16),
    polled(BrokerStatus.FILLED, Source.STREAM, filled=20),
)
SHRUNK: tuple[OrderMessage, ...] = (
    answered(ACK, Step.MODIFY),
    polled(BrokerStatus.SUBMITTED, shows=terms(5)),
    filled(1, 4),
    filled(2, 1),
    polled(BrokerStatus.FILLED, filled=5),
)
KEPT: tuple[OrderMessage, ...] = (
    answered(REFUSED, Step.MODIFY),
    polled(BrokerStatus.SUBMITTED, shows=OLD),
    filled(1, 4),
    filled(2, 6),
    polled(BrokerStatus.FILLED, filled=10),
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


# --- shown before it was sent ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "state"),
    [
        (seen(BrokerStatus.CANCELLED), OrderState.CANCELLED),
        (seen(BrokerStatus.SUBMITTED), OrderState.WORKING),
        (seen(None), OrderState.PENDING_NEW),
    ],
    ids=["ended", "at work", "somehow"],
)
def test_what_the_broker_shows_while_the_attempt_is_written_is_not_sent(
    row: OrderRowSeen, state: OrderState
) -> None:
    played = Played()
    played.tell(INTENT)
    played.commit(SubmitOrder)
    played.tell(TURN)
    played.tell(row)

    effects = played.commit(AttemptStarted)

    assert not [effect for effect in effects if isinstance(effect, PlaceAtBroker)]
    assert played.effects.count(RELEASE) == 1
    assert anomalies(effects) == ["shown_unsent"]
    assert played.order.state is state
