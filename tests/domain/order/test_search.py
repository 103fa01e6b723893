"""Orders in doubt: late answers, proofs, parking, a person's word, and what contradicts it."""

from dataclasses import replace
from decimal import Decimal

import pytest

from engine.domain.messages import (
    CancelAtBroker,
    CancelOrder,
    ExecutionSeen,
    LearnAlias,
    OrderAnswered,
    OrderEffect,
    OrderMessage,
    OrderParked,
    OrderProvenAbsent,
    ReleaseTurn,
    ReplyAtBroker,
    RequestLookup,
    RequestTurn,
    ResolveOrder,
    Step,
    StopLookup,
    TimerFired,
    WriteRecord,
)
from engine.domain.order import Order
from engine.domain.values import (
    TERMINAL,
    BrokerOrderId,
    BrokerStatus,
    Confidence,
    Evidence,
    OrderPolicy,
    OrderState,
    OrderType,
    Pending,
    Reason,
    Resolution,
    SightingPolicy,
    Source,
)
from tests.domain.order.samples import (
    ACCOUNT,
    ACK,
    BROKER_ID,
    CANCEL,
    CANCEL_AT_BROKER,
    INTENT,
    LOOKUP,
    LOOKUP_UNSEEN,
    ORDER_ID,
    REFUSED,
    SESSION,
    TICKET,
    TIMEOUT,
    Played,
    anomalies,
    answered,
    approve,
    ask,
    filled,
    in_doubt,
    kinds,
    seen,
    terms,
)

PROOF = Evidence(
    elapsed_ms=65_000, healthy_ms=64_000, horizon_ms=60_000, list_reads=3, trade_reads=2
)
LACKING = replace(PROOF, missing=("no order of the account changed after it was sent",))
ABSENT = OrderProvenAbsent(order_id=ORDER_ID, evidence=PROOF)
NO_PROOF = Reason(code="NO_PROOF", message="a person must look")
PARKED = OrderParked(order_id=ORDER_ID, reason=NO_PROOF, evidence=LACKING)
STOP = StopLookup(order_id=ORDER_ID, session=SESSION)
LEARN = LearnAlias(order_id=ORDER_ID, account=ACCOUNT, broker_order_id=BROKER_ID)
WORKING = seen(BrokerStatus.SUBMITTED, Source.POLL, read=9)


def doubted() -> Played:
    played = Played().send()
    played.tell(answered(TIMEOUT))
    return played


def parked() -> Played:
    played = doubted()
    played.tell(PARKED)
    return played


def absent(late_sighting: SightingPolicy = SightingPolicy.CANCEL) -> Played:
    played = doubted()
    played.order.policy = OrderPolicy(late_sighting=late_sighting)
    played.tell(ABSENT)
    return played


def resolve(resolution: Resolution, **more: object) -> ResolveOrder:
    said = ResolveOrder(
        order_id=ORDER_ID, resolution=resolution, reason="phoned the desk", by="ops"
    )
    return replace(said, **more)  # type: ignore[arg-type] # the fields of ResolveOrder


LIVE = resolve(Resolution.LIVE, broker_order_id=BROKER_ID)
GONE = resolve(Resolution.NOT_PLACED)
DONE = resolve(Resolution.FILLED, broker_order_id=BROKER_ID)


def late(message: OrderAnswered) -> OrderAnswered:
    return replace(message, late=True)


def records(effects: tuple[OrderEffect, ...]) -> list[object]:
    return [effect.record for effect in effects if isinstance(effect, WriteRecord)]


def fill_id(record: object) -> str:
    assert isinstance(record, ExecutionSeen)
    return record.execution.execution_id


def fills_of(order: Order) -> list[tuple[str, Decimal]]:
    return [(one.execution_id, one.quantity) for one in order.fills.all()]


# --- the search --------------------------------------------------------------------------------


def test_the_search_says_all_that_there_is_to_look_for() -> None:
    effects = doubted().effects

    assert [effect for effect in effects if isinstance(effect, RequestLookup)] == [LOOKUP_UNSEEN]


def test_an_order_that_was_seen_a_little_is_found() -> None:
    played = doubted()
    odd = seen(None)
    odd = replace(odd, row=replace(odd.row, unknown_status="Odd"))

    effects = played.tell(odd)

    assert (played.order.state, played.order.broker_order_id) == (OrderState.PENDING_NEW, BROKER_ID)
    assert STOP in effects
    assert anomalies(played.tell(ABSENT)) == ["absence_contradicted"]
    assert anomalies(played.tell(GONE)) == ["unresolvable"]
    assert played.order.state is OrderState.PENDING_NEW


def test_the_search_of_a_change_proves_no_absence() -> None:
    played = in_doubt(terms(20, "101"))

    assert played.order.lookup.provable is False
    assert anomalies(played.tell(ABSENT)) == ["absence_contradicted"]


# --- proof of absence --------------------------------------------------------------------------


@pytest.mark.parametrize("before", [(), (PARKED,)], ids=["in doubt", "parked"])
def test_a_proof_of_absence_ends_the_order_and_the_search(
    before: tuple[OrderMessage, ...],
) -> None:
    played = doubted()
    for message in before:
        played.tell(message)

    effects = played.tell(ABSENT)

    view = played.order.view()
    assert (view.state, view.evidence, view.confidence) == (
        OrderState.NOT_PLACED,
        PROOF,
        Confidence.CONFIRMED,
    )
    assert view.reason is not None
    assert view.reason.code == "PROVEN_ABSENT"
    assert STOP in effects
    assert records(effects) == [ABSENT]


def test_a_proof_that_lacks_something_is_none() -> None:
    played = doubted()

    effects = played.tell(replace(ABSENT, evidence=LACKING))

    assert anomalies(effects) == ["absence_unproven"]
    assert played.order.state is OrderState.IN_DOUBT


def test_a_proof_that_is_told_twice_is_one() -> None:
    played = absent()

    assert played.tell(ABSENT) == ()


@pytest.mark.parametrize(
    ("news", "state", "quantity"),
    [
        (WORKING, OrderState.WORKING, 0),
        (seen(None), OrderState.PENDING_NEW, 0),
        (seen(BrokerStatus.INACTIVE), OrderState.PENDING_NEW, 0),
        (filled(1, 4), OrderState.PARTIALLY_FILLED, 4),
        (filled(1, 10), OrderState.FILLED, 10),
        (late(answered(ACK)), OrderState.ACCEPTED, 0),
        (seen(BrokerStatus.CANCELLED), OrderState.CANCELLED, 0),
    ],
    ids=["works", "bare row", "inactive", "fills", "filled", "late answer", "was cancelled"],
)
def test_an_absent_order_that_shows_up_is_taken_back_loudly(
    news: OrderMessage, state: OrderState, quantity: int
) -> None:
    played = absent(SightingPolicy.KEEP)

    effects = played.tell(news)

    view = played.order.view()
    assert (view.state, view.filled_quantity) == (state, Decimal(quantity))
    assert "late_sighting" in anomalies(effects)
    assert not any(isinstance(effect, CancelAtBroker) for effect in effects)
    assert not any(isinstance(record, CancelOrder) for record in records(effects))


def test_what_shows_up_late_is_cancelled_where_the_policy_says_so() -> None:
    played = absent()

    sighted = played.tell(WORKING)
    sent = played.commit(CancelOrder)

    cancel = records(sighted)[-1]
    assert isinstance(cancel, CancelOrder)
    assert cancel.cause == "it was held for not placed, and showed up late"
    assert played.order.pending is Pending.CANCEL
    assert CANCEL_AT_BROKER in sent


def test_a_crash_between_the_sighting_and_its_cancel_forgets_no_cancel() -> None:
    played = absent()
    played.tell(WORKING)
    restarted = Order()
    for written in played.records:
        if not isinstance(written.record, CancelOrder):
            restarted.replay(written.record, written.view.updated_at_ns)

    effects = restarted.resume(9_000)

    assert any(isinstance(record, CancelOrder) for record in records(effects))


def test_a_cancel_that_was_wanted_in_doubt_fires_at_a_late_sighting() -> None:
    played = doubted()
    played.tell(CANCEL)
    played.commit(CancelOrder)
    played.tell(ABSENT)

    effects = played.tell(WORKING)

    assert effects.count(CANCEL_AT_BROKER) == 1
    assert played.order.pending is Pending.CANCEL


# --- parking -----------------------------------------------------------------------------------


def test_what_nobody_finds_is_parked_with_its_evidence_and_looked_for_on() -> None:
    played = doubted()

    effects = played.tell(PARKED)

    view = played.order.view()
    assert (view.state, view.evidence, view.reason) == (OrderState.PARKED, LACKING, NO_PROOF)
    assert kinds(effects) == [OrderParked]
    assert played.order.is_looked_for


def test_a_parked_order_is_parked_once() -> None:
    assert parked().tell(PARKED) == ()


def test_a_parked_order_that_shows_up_is_found() -> None:
    played = parked()

    effects = played.tell(WORKING)

    assert played.order.state is OrderState.WORKING
    assert effects[1:] == (LEARN, STOP)


def test_a_parked_order_is_looked_for_again_after_a_restart() -> None:
    assert LOOKUP_UNSEEN in parked().replayed().resume(9_000)


# --- answers that came too late ----------------------------------------------------------------


@pytest.mark.parametrize("step", [Step.PLACE, Step.REPLY])
@pytest.mark.parametrize("before", [doubted, parked])
def test_a_late_acknowledgement_finds_the_order(step: Step, before: object) -> None:
    played = doubted() if before is doubted else parked()

    effects = played.tell(late(answered(ACK, step)))

    assert played.order.state is OrderState.ACCEPTED
    assert LEARN in effects
    assert STOP in effects


@pytest.mark.parametrize("before", [doubted, parked])
def test_a_late_refusal_ends_what_nobody_has_seen(before: object) -> None:
    played = doubted() if before is doubted else parked()

    effects = played.tell(late(answered(REFUSED)))

    assert played.order.state is OrderState.REJECTED
    assert played.order.reason == REFUSED.reason
    assert STOP in effects


def test_a_late_refusal_of_an_order_that_was_seen_changes_nothing() -> None:
    played = doubted()
    played.tell(WORKING)

    played.tell(late(answered(REFUSED)))

    assert played.order.state is OrderState.WORKING


def test_a_late_question_is_written_down_and_nothing_is_sent() -> None:
    played = doubted()

    effects = played.tell(late(answered(ask("o163"))))

    assert kinds(effects) == [OrderAnswered]
    assert played.order.state is OrderState.IN_DOUBT
    assert not any(
        isinstance(effect, ReplyAtBroker | RequestTurn) for effect in played.effects[-1:]
    )


@pytest.mark.parametrize("outcome", [ACK, REFUSED, TIMEOUT, ask("o163")])
@pytest.mark.parametrize("step", list(Step))
def test_a_late_answer_neither_takes_nor_frees_a_turn(step: Step, outcome: object) -> None:
    played = in_doubt(terms(20, "101"))
    turn = (played.order.has_turn, played.order.waits_for_turn)

    effects = played.tell(late(answered(outcome, step)))  # type: ignore[arg-type] # an Outcome

    assert (played.order.has_turn, played.order.waits_for_turn) == turn
    assert not any(isinstance(effect, RequestTurn | ReleaseTurn) for effect in effects)


@pytest.mark.parametrize("outcome", [ACK, REFUSED])
def test_a_late_answer_to_some_modify_does_not_settle_another(outcome: object) -> None:
    played = in_doubt(terms(20, "101"))

    played.tell(late(answered(outcome, Step.MODIFY)))  # type: ignore[arg-type] # an Outcome

    assert played.order.change is not None
    assert played.order.change.doubtful


# --- a person's word ---------------------------------------------------------------------------


@pytest.mark.parametrize("before", [doubted, parked])
def test_a_person_says_that_it_was_never_placed(before: object) -> None:
    played = doubted() if before is doubted else parked()

    effects = played.tell(replace(GONE, approved_by="boss"))

    view = played.order.view()
    assert view.state is OrderState.NOT_PLACED
    assert view.reason == Reason(
        code="RESOLVED", message="resolved by ops, approved by boss: phoned the desk"
    )
    assert STOP in effects


def test_a_person_says_that_it_is_live_until_the_broker_shows_it() -> None:
    played = parked()

    declared = played.tell(LIVE)
    unsure = played.order.view()
    shown = played.tell(WORKING)

    assert LEARN in declared
    assert (unsure.state, unsure.confidence) == (OrderState.PENDING_NEW, Confidence.UNCONFIRMED)
    assert played.order.state is OrderState.WORKING
    assert played.order.view().confidence is Confidence.CONFIRMED
    assert STOP in shown


def test_a_person_who_named_the_wrong_order_may_say_so_again() -> None:
    played = parked()
    played.tell(replace(LIVE, broker_order_id=BrokerOrderId("7")))

    played.tell(LIVE)

    assert played.order.broker_order_id == BROKER_ID
    assert not anomalies(tuple(played.effects))


def test_a_declared_order_that_nobody_sees_is_reported_and_looked_for_on() -> None:
    played = parked()
    played.tell(LIVE)

    effects = played.tell(PARKED)

    assert anomalies(effects) == ["order_unseen"]
    assert LOOKUP in effects


def test_a_cancel_that_was_wanted_in_doubt_fires_at_what_a_person_names() -> None:
    played = parked()
    played.tell(CANCEL)
    played.commit(CancelOrder)

    effects = played.tell(LIVE)

    assert CANCEL_AT_BROKER in effects


@pytest.mark.parametrize(
    ("said", "state", "quantity", "price"),
    [
        (DONE, OrderState.FILLED, "10", "100"),
        (replace(DONE, broker_order_id=None), OrderState.FILLED, "10", "100"),
        (replace(DONE, price=Decimal("99.5")), OrderState.FILLED, "10", "99.5"),
        (replace(DONE, quantity=Decimal(4)), OrderState.CANCELLED, "4", "100"),
    ],
    ids=["all", "without an id", "at a price", "a part"],
)
def test_a_person_says_what_filled(
    said: ResolveOrder, state: OrderState, quantity: str, price: str
) -> None:
    played = parked()

    effects = played.tell(said)

    view = played.order.view()
    assert kinds(effects)[0] is ResolveOrder
    assert (view.state, view.filled_quantity, view.average_price) == (
        state,
        Decimal(quantity),
        Decimal(price),
    )
    assert view.reason is not None
    assert view.reason.code == "RESOLVED"
    assert fills_of(played.order) == [("declared-1-1.01", Decimal(quantity))]


def test_a_crash_between_the_word_and_its_fill_books_the_fill_at_the_restart() -> None:
    played = parked()
    played.tell(DONE)
    restarted = Order()
    for written in played.records[:-1]:
        restarted.replay(written.record, written.view.updated_at_ns)
    before = restarted.state

    restarted.resume(9_000)

    assert (before, restarted.state) == (OrderState.PARKED, OrderState.FILLED)
    assert fills_of(restarted) == [("declared-1-1.01", Decimal(10))]


def test_a_fill_that_is_shown_replaces_the_one_that_was_declared() -> None:
    played = parked()
    played.tell(DONE)

    first = played.tell(filled(1, 4))
    part = played.order.view()
    played.tell(filled(2, 6))

    assert [fill_id(record) for record in records(first)] == [
        "declared-1-1.02",
        "0000dc8f.00000001.01.01",
    ]
    assert (part.state, part.filled_quantity) == (OrderState.PARTIALLY_FILLED, Decimal(4))
    assert played.order.state is OrderState.FILLED
    assert fills_of(played.order)[-2:] == [
        ("declared-1-1.01", Decimal(10)),
        ("declared-1-1.02", Decimal(0)),
    ]
    assert played.order.view().filled_quantity == Decimal(10)


def test_a_row_at_work_takes_a_declared_fill_back() -> None:
    played = parked()
    played.tell(DONE)

    effects = played.tell(WORKING)

    view = played.order.view()
    assert (view.state, view.filled_quantity) == (OrderState.WORKING, Decimal(0))
    assert any(isinstance(record, ExecutionSeen) for record in records(effects))


@pytest.mark.parametrize("quantity", [None, Decimal(4)])
def test_a_row_that_counts_less_takes_a_declared_fill_back(quantity: Decimal | None) -> None:
    played = parked()
    played.tell(replace(DONE, quantity=quantity))

    played.tell(seen(BrokerStatus.CANCELLED, Source.POLL, filled=0))

    view = played.order.view()
    assert (view.state, view.filled_quantity) == (OrderState.CANCELLED, Decimal(0))


def test_a_row_that_agrees_leaves_the_declared_fill_until_the_executions_come() -> None:
    played = parked()
    played.tell(DONE)

    played.tell(seen(BrokerStatus.FILLED, Source.POLL, filled=10))

    assert played.order.view().filled_quantity == Decimal(10)
    assert played.order.state is OrderState.FILLED


@pytest.mark.parametrize(
    "said",
    [
        replace(LIVE, broker_order_id=None),
        DONE,
    ],
    ids=["live without an id", "filled without a price"],
)
def test_a_word_that_says_too_little_is_not_taken(said: ResolveOrder) -> None:
    market = replace(TICKET, type=OrderType.MKT, limit_price=None)
    played = Played().send(replace(INTENT, approved=approve(ticket=market)))
    played.tell(answered(TIMEOUT))

    effects = played.tell(said)

    assert kinds(effects) != [ResolveOrder]
    assert anomalies(effects) == ["unresolvable"]
    assert played.order.state is OrderState.IN_DOUBT


@pytest.mark.parametrize("said", [LIVE, GONE, DONE])
def test_only_an_order_in_doubt_is_resolved(said: ResolveOrder) -> None:
    played = Played().work()

    effects = played.tell(said)

    assert anomalies(effects) == ["unresolvable"]
    assert played.order.state is OrderState.ACCEPTED
    assert not played.order.is_resolvable


@pytest.mark.parametrize(
    ("said", "news", "state"),
    [
        (GONE, WORKING, OrderState.WORKING),
        (GONE, filled(1, 3), OrderState.PARTIALLY_FILLED),
        (LIVE, filled(1, 10), OrderState.FILLED),
        (LIVE, seen(BrokerStatus.CANCELLED), OrderState.CANCELLED),
        (DONE, WORKING, OrderState.WORKING),
        (DONE, filled(1, 3), OrderState.PARTIALLY_FILLED),
    ],
)
def test_evidence_wins_over_a_persons_word(
    said: ResolveOrder, news: OrderMessage, state: OrderState
) -> None:
    played = parked()
    played.order.policy = OrderPolicy(late_sighting=SightingPolicy.KEEP)
    played.tell(said)

    played.tell(news)

    assert played.order.state is state
    assert played.replayed().view() == played.order.view()
    assert state in TERMINAL or played.order.view().quantity == Decimal(10)


def test_the_park_timer_of_a_session_without_evidence_still_parks() -> None:
    played = doubted()

    played.tell(TimerFired(name="park"))

    assert played.order.state is OrderState.PARKED
    assert played.order.reason is not None
    assert played.order.reason.code == "NO_PROOF"


def test_an_order_that_no_list_shows_is_unconfirmed_until_it_is_shown() -> None:
    played = Played().work()

    silent = played.tell(TimerFired(name="unseen"))
    unsure = played.order.view().confidence
    played.tell(seen(BrokerStatus.PRE_SUBMITTED, Source.POLL, read=4))

    assert silent == ()
    assert unsure is Confidence.UNCONFIRMED
    assert played.order.view().confidence is Confidence.CONFIRMED


def test_an_order_that_has_ended_need_not_be_shown() -> None:
    played = Played().work()
    played.tell(filled(1, 10))

    played.tell(TimerFired(name="unseen"))

    assert played.order.view().confidence is Confidence.CONFIRMED


# --- what the broker shows and a person says otherwise -----------------------------------------


def test_a_row_without_a_status_that_comes_before_the_silence_is_a_sight_as_well() -> None:
    played = Played().send()
    played.tell(seen(None))

    played.tell(answered(TIMEOUT))

    view = played.order.view()
    assert (view.state, view.broker_order_id) == (OrderState.PENDING_NEW, BROKER_ID)
    assert played.replayed().view() == view


@pytest.mark.parametrize("number", [1, 2])
def test_a_fill_takes_back_the_end_that_a_person_declared(number: int) -> None:
    played = doubted()
    played.tell(replace(DONE, quantity=Decimal(3)))

    effects = played.tell(filled(1, number))

    view = played.order.view()
    assert (view.state, view.filled_quantity) == (OrderState.PARTIALLY_FILLED, Decimal(number))
    assert "resurrected" in anomalies(effects)
    assert played.replayed().view() == view


def missing() -> Played:
    """An acknowledged order that the broker's lists lack."""
    played = Played().work()
    played.tell(TimerFired(name="unseen"))
    return played


def test_a_person_says_that_an_order_which_was_there_is_there_no_more() -> None:
    played = missing()

    played.tell(GONE)

    view = played.order.view()
    assert (view.state, view.filled_quantity) == (OrderState.CANCELLED, Decimal(0))
    assert played.replayed().view() == view


def test_a_person_says_that_an_order_which_was_there_has_filled() -> None:
    played = missing()

    played.tell(DONE)

    view = played.order.view()
    assert (view.state, view.filled_quantity) == (OrderState.FILLED, Decimal(10))
    assert played.replayed().view() == view


@pytest.mark.parametrize("news", [WORKING, filled(1, 3)])
def test_a_missing_order_that_shows_after_all_is_back(news: OrderMessage) -> None:
    played = missing()
    played.tell(GONE)

    effects = played.tell(news)

    assert played.order.state in {OrderState.WORKING, OrderState.PARTIALLY_FILLED}
    assert "resurrected" in anomalies(effects)


@pytest.mark.parametrize(
    ("said", "before"),
    [
        (LIVE, ()),
        (replace(DONE, broker_order_id=BrokerOrderId("99")), ()),
        (DONE, (filled(1, 3), TimerFired(name="unseen"))),
    ],
    ids=["it is live already", "another number", "fills are known"],
)
def test_a_word_about_a_missing_order_must_fit_what_is_known(
    said: ResolveOrder, before: tuple[OrderMessage, ...]
) -> None:
    played = missing()
    for message in before:
        played.tell(message)

    assert anomalies(played.tell(said)) == ["unresolvable"]


def test_an_order_that_is_shown_is_not_for_people_any_more() -> None:
    played = missing()
    played.tell(WORKING)

    assert anomalies(played.tell(GONE)) == ["unresolvable"]
