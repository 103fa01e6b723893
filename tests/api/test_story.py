"""What a person reads of the journal's records, as the journal really writes them."""

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.api.answers import EventBody
from engine.api.story import _TELLERS, told, words
from engine.domain.messages import (
    JOURNALED,
    AccountReconciled,
    AdoptOrder,
    AttemptStarted,
    CancelOrder,
    DenyOrder,
    EngineStarted,
    ExecutionSeen,
    ExternalOrderSeen,
    HaltScope,
    IncarnationSeen,
    JournalMessage,
    LimitsLoaded,
    LoginGuarded,
    ModifyOrder,
    ModifySettled,
    NoticeSeen,
    OrderAnswered,
    OrderDoubted,
    OrderExpired,
    OrderParked,
    OrderProvenAbsent,
    OrderRowSeen,
    OrderUnprotected,
    PromptRaised,
    ReplyDecided,
    ResolveOrder,
    ResumeScope,
    Step,
    SubmitOrder,
)
from engine.domain.values import (
    AccountId,
    Algo,
    ApprovedChange,
    ApprovedTicket,
    BrokerOrderId,
    BrokerStatus,
    ClientOrderId,
    Coid,
    ConId,
    Evidence,
    Execution,
    ExecutionId,
    GroupKind,
    GroupPlace,
    MessageId,
    OrderId,
    OrderRow,
    OrderType,
    Outcome,
    OutcomeKind,
    PositionBreak,
    Question,
    QuestionId,
    QuestionPolicy,
    Reason,
    Reconciliation,
    Resolution,
    Scope,
    ScopeKind,
    SessionName,
    Side,
    Source,
    Terms,
    Ticket,
    TimeInForce,
    TradingState,
    TrailingType,
    UnprotectedPolicy,
)
from engine.journal import codec
from tests.journal.test_codec import values

ORDER_ID = OrderId("1-1")
SESSION = SessionName("main")
ACCOUNT = AccountId("DU1234567")
TICKET = Ticket(
    account=ACCOUNT,
    client_order_id=ClientOrderId("mine-1"),
    conid=ConId(265598),
    symbol="AAPL",
    side=Side.BUY,
    type=OrderType.LMT,
    quantity=Decimal(10),
    limit_price=Decimal("189.30"),
    tif=TimeInForce.GTD,
    good_till_ms=1_797_627_600_000,
    algo=Algo(name="Adaptive"),
    group=GroupPlace(kind=GroupKind.BRACKET, leader=ORDER_ID, index=0, size=2),
)
APPROVED = ApprovedTicket(
    ticket=TICKET,
    order_id=ORDER_ID,
    coid=Coid("EXab-1-1-ZZ"),
    session=SESSION,
    questions=QuestionPolicy(answers={}),
    policy_hash="c0ffee",
    request_sha256="0" * 64,
)
TERMS = Terms(quantity=Decimal(5), limit_price=Decimal("189.4"), stop_price=None)
QUESTION = Question(
    question_id=QuestionId("99-a"), message_ids=(MessageId("o163"),), texts=("Are you sure?",)
)
ROW = OrderRow(
    account=ACCOUNT,
    broker_order_id=BrokerOrderId("77"),
    status=BrokerStatus.SUBMITTED,
    filled_quantity=Decimal(4),
    total_quantity=Decimal(10),
)
PRICED = replace(
    ROW,
    filled_quantity=None,
    average_price=Decimal("189.40"),
    limit_price=Decimal("189.50"),
    stop_price=Decimal(188),
    status=None,
    unknown_status="Frozen",
    reason="held",
)
FOREIGN = replace(ROW, side=Side.SELL, symbol="MSFT", order_type="LMT")
EVIDENCE = Evidence(
    elapsed_ms=200_500, healthy_ms=180_000, horizon_ms=60_000, list_reads=3, trade_reads=2
)
LACKING = Evidence(
    elapsed_ms=200_500,
    healthy_ms=180_000,
    horizon_ms=60_000,
    list_reads=0,
    trade_reads=2,
    missing=("3 fresh lists", "a canary"),
)
NO_PROOF = Reason(code="NO_PROOF", message="nobody knows")


def execution(quantity: str, commission: Decimal | None) -> Execution:
    return Execution(
        execution_id=ExecutionId("0000e1.01"),
        account=ACCOUNT,
        broker_order_id=BrokerOrderId("77"),
        coid=None,
        conid=ConId(265598),
        side=Side.BUY,
        quantity=Decimal(quantity),
        price=Decimal("189.25"),
        commission=commission,
        at_ms=1_750_000_005_000,
    )


def answer(kind: OutcomeKind, *, late: bool = False, **outcome: Any) -> OrderAnswered:
    return OrderAnswered(
        order_id=ORDER_ID, step=Step.PLACE, outcome=Outcome(kind=kind, **outcome), late=late
    )


STORY: list[tuple[JournalMessage, str]] = [
    (
        SubmitOrder(approved=APPROVED, body=b"{}", followers=(APPROVED,)),
        (
            "INTENT: BUY 10 AAPL LMT, at 189.30, GTD, until 2026-12-18T21:00:00.000000Z, kept by "
            "the engine, by the algorithm Adaptive, order 1 of 2 of a group (bracket), key "
            "mine-1, sent as EXab-1-1-ZZ, in session main, with 1 other orders of its group"
        ),
    ),
    (
        SubmitOrder(
            approved=replace(
                APPROVED,
                ticket=replace(
                    TICKET,
                    tif=TimeInForce.GTC,
                    good_till_ms=None,
                    algo=None,
                    group=GroupPlace(kind=GroupKind.BRACKET, leader=ORDER_ID, index=1, size=2),
                ),
            ),
            body=b"",
        ),
        (
            "INTENT: BUY 10 AAPL LMT, at 189.30, GTC, order 2 of 2 of a group (bracket), key "
            "mine-1, sent under its entry, in session main"
        ),
    ),
    (
        SubmitOrder(
            approved=replace(
                APPROVED,
                ticket=replace(
                    TICKET,
                    type=OrderType.TRAIL,
                    limit_price=None,
                    stop_price=Decimal(188),
                    trailing_type=TrailingType.PERCENT,
                    trailing_amount=Decimal(2),
                    cap_price=Decimal(200),
                    tif=TimeInForce.DAY,
                    good_till_ms=None,
                    algo=None,
                    group=None,
                ),
            ),
            body=b"",
        ),
        (
            "INTENT: BUY 10 AAPL TRAIL, stop 188, trailing by 2%, at worst 200, DAY, key mine-1, "
            "sent as EXab-1-1-ZZ, in session main"
        ),
    ),
    (
        DenyOrder(
            order_id=ORDER_ID,
            ticket=Ticket(
                account=ACCOUNT,
                client_order_id=ClientOrderId("mine-1"),
                conid=ConId(8314),
                symbol="",
                side=Side.SELL,
                type=OrderType.STP,
                quantity=Decimal(0),
                cash_quantity=Decimal(500),
                limit_price=None,
                stop_price=Decimal(9),
                tif=TimeInForce.DAY,
            ),
            reason=Reason(code="MAX_QTY", message="too many"),
            request_sha256="0" * 64,
        ),
        "DENIED: SELL 500 in money of conid 8314 STP, stop 9, DAY, key mine-1; MAX_QTY: too many",
    ),
    (
        AttemptStarted(order_id=ORDER_ID, number=1, session_epoch=4),
        "ATTEMPT: attempt 1 to send it, in login 4; from here on it may be at the broker",
    ),
    (
        answer(
            OutcomeKind.ACK,
            broker_order_id=BrokerOrderId("77"),
            status="PreSubmitted",
            http_status=200,
        ),
        (
            "OUTCOME: the answer to the order: the broker has it, as its order 77, PreSubmitted, "
            "HTTP 200"
        ),
    ),
    (
        answer(OutcomeKind.REFUSED, late=True, reason=Reason(code="NOT_CONFIRMED", message="no")),
        (
            "OUTCOME: the answer to the order came late, as evidence only: the broker refused it, "
            "NOT_CONFIRMED: no"
        ),
    ),
    (
        OrderAnswered(
            order_id=ORDER_ID,
            step=Step.CANCEL,
            outcome=Outcome(
                kind=OutcomeKind.ACK,
                broker_order_id=BrokerOrderId("77"),
                status="Request was submitted",
                http_status=200,
            ),
        ),
        (
            "OUTCOME: the answer to the cancel: the broker has heard it, for its order 77, "
            "Request was submitted, HTTP 200"
        ),
    ),
    (
        answer(OutcomeKind.IN_DOUBT, reason=Reason(code="TIMEOUT", message="no answer")),
        "OUTCOME: the answer to the order: what became of it is not known, TIMEOUT: no answer",
    ),
    (
        answer(OutcomeKind.QUESTION, question=QUESTION),
        "QUESTION: the broker asks in answer to the order (o163): Are you sure?",
    ),
    (
        ReplyDecided(order_id=ORDER_ID, question_id=QuestionId("99-a"), confirmed=False, round=2),
        "REPLY: the policy answers no to question 99-a, in round 2 of its questions",
    ),
    (
        PromptRaised(order_id=ORDER_ID, question=QUESTION),
        "PROMPT: the broker asks over the stream (o163): Are you sure?",
    ),
    (
        OrderRowSeen(order_id=ORDER_ID, row=ROW, source=Source.POLL),
        "ROW: the broker shows it (poll), Submitted, filled 4 of 10, as its order 77",
    ),
    (
        OrderRowSeen(order_id=ORDER_ID, row=PRICED, source=Source.STREAM),
        (
            "ROW: the broker shows it (stream), Frozen, quantity 10, at 189.40 on average, limit "
            "price 189.50, stop price 188, as its order 77, held"
        ),
    ),
    (
        ExecutionSeen(
            order_id=ORDER_ID, execution=execution("4", Decimal("1.00")), source=Source.STREAM
        ),
        (
            "EXECUTION: execution 0000e1.01 (stream), BUY 4 at 189.25, commission 1.00, traded at "
            "2025-06-15T15:06:45.000000Z"
        ),
    ),
    (
        ExecutionSeen(order_id=ORDER_ID, execution=execution("0", None), source=Source.POLL),
        (
            "EXECUTION: execution 0000e1.01 (poll), taken back, traded at "
            "2025-06-15T15:06:45.000000Z"
        ),
    ),
    (
        CancelOrder(order_id=ORDER_ID, cause="api:token"),
        "CANCEL: its cancel is wanted: api:token",
    ),
    (
        ModifyOrder(
            order_id=ORDER_ID,
            change=ApprovedChange(
                order_id=ORDER_ID, terms=TERMS, policy_hash="c0ffee", by="api:token"
            ),
            body=b"{}",
        ),
        "MODIFY: new terms wanted: quantity 5, limit price 189.4, by api:token",
    ),
    (
        ModifySettled(order_id=ORDER_ID, applied=True, terms=TERMS, reason=None),
        "MODIFIED: the new terms are in force: quantity 5, limit price 189.4",
    ),
    (
        ModifySettled(
            order_id=ORDER_ID,
            applied=False,
            terms=TERMS,
            reason=Reason(code="NOT_MODIFIABLE", message="too late"),
        ),
        (
            "MODIFIED: the old terms stay in force: quantity 5, limit price 189.4; "
            "NOT_MODIFIABLE: too late"
        ),
    ),
    (
        OrderExpired(order_id=ORDER_ID, reason=Reason(code="UNSENT", message="never sent")),
        "EXPIRED: ended unsent: UNSENT: never sent",
    ),
    (
        OrderDoubted(order_id=ORDER_ID, reason=Reason(code="RESTART", message="no outcome")),
        "IN_DOUBT: nobody knows whether the broker took it: RESTART: no outcome",
    ),
    (
        OrderParked(order_id=ORDER_ID, reason=NO_PROOF),
        "PARKED: waits for a person: NO_PROOF: nobody knows",
    ),
    (
        OrderParked(order_id=ORDER_ID, reason=NO_PROOF, evidence=LACKING),
        (
            "PARKED: waits for a person: NO_PROOF: nobody knows; 0 lists and 2 trade reads without "
            "it, 200 s after it was sent, still missing: 3 fresh lists; a canary"
        ),
    ),
    (
        OrderParked(
            order_id=ORDER_ID,
            reason=Reason(code="NO_PROOF", message="no proof: 3 fresh lists; a canary"),
            evidence=LACKING,
        ),
        (
            "PARKED: waits for a person: NO_PROOF: no proof: 3 fresh lists; a canary; 0 lists and "
            "2 trade reads without it, 200 s after it was sent"
        ),
    ),
    (
        OrderProvenAbsent(order_id=ORDER_ID, evidence=EVIDENCE),
        (
            "ABSENT: proven never to have been placed; 3 lists and 2 trade reads without it, 200 s "
            "after it was sent"
        ),
    ),
    (
        ResolveOrder(
            order_id=ORDER_ID,
            resolution=Resolution.FILLED,
            reason="on the statement",
            by="api:token",
            approved_by="J Doe",
            broker_order_id=BrokerOrderId("77"),
            quantity=Decimal(4),
            price=Decimal("189.1"),
        ),
        (
            "RESOLVED: api:token declares it filled, approved by J Doe, the broker's order 77, "
            "quantity 4, price 189.1, because: on the statement"
        ),
    ),
    (
        AdoptOrder(
            order_id=ORDER_ID, session=SESSION, row=FOREIGN, by="api:token: ours", cancel=True
        ),
        (
            "ADOPTED: an order at the broker is ours from here on, in session main, api:token: "
            "ours, to be cancelled; SELL MSFT LMT, Submitted, filled 4 of 10, the broker's order "
            "77"
        ),
    ),
    (
        IncarnationSeen(order_id=ORDER_ID, row=ROW, duplicate=True),
        (
            "INCARNATION: the broker has a second order under its id; that one is cancelled: "
            "Submitted, filled 4 of 10, the broker's order 77"
        ),
    ),
    (
        IncarnationSeen(order_id=ORDER_ID, row=ROW, duplicate=False),
        (
            "INCARNATION: the broker has renumbered it: Submitted, filled 4 of 10, the broker's "
            "order 77"
        ),
    ),
    (
        IncarnationSeen(order_id=ORDER_ID, row=ROW, duplicate=False, gone=True),
        (
            "INCARNATION: the broker has no second order under its id any more: Submitted, filled "
            "4 of 10, the broker's order 77"
        ),
    ),
    (
        OrderUnprotected(
            order_id=ORDER_ID,
            missing=(OrderId("1-2"), OrderId("1-3")),
            policy=UnprotectedPolicy.CANCEL_ENTRY,
        ),
        "UNPROTECTED: the broker does not show its exits 1-2, 1-3; what follows: cancel_entry",
    ),
    (
        HaltScope(
            scope=Scope(kind=ScopeKind.FIRM), level=TradingState.HALT, reason="drill", by="ops"
        ),
        "HALT: firm is at halt, by ops: drill",
    ),
    (
        ResumeScope(scope=Scope(kind=ScopeKind.GROUP, key="desk"), reason="over", by="ops"),
        "RESUME: group:desk is resumed, by ops: over",
    ),
    (
        LoginGuarded(session=SESSION, failures=3, taken_over=True, latched=True, reason="wrong"),
        (
            "LOGIN: session main has 3 failed logins in a row, was taken over, nothing more is "
            "tried: wrong"
        ),
    ),
    (
        NoticeSeen(session=SESSION, kind="bulletin", notice_id="9", text="closed"),
        "NOTICE: the broker's bulletin 9, in session main: closed",
    ),
    (
        ExternalOrderSeen(session=SESSION, row=replace(FOREIGN, symbol=None, conid=ConId(8314))),
        (
            "EXTERNAL: an order that is not ours, in session main: SELL conid 8314 LMT, Submitted, "
            "filled 4 of 10, the broker's order 77"
        ),
    ),
    (
        EngineStarted(version="1.0", mode="live"),
        "START: the engine 1.0 started in live mode",
    ),
    (
        LimitsLoaded(version=3, policy_hash="x", approved_by=("cio", "risk"), changes=("a", "b")),
        "LIMITS: limits of version 3 are in force, approved by cio, risk: a; b",
    ),
    (
        AccountReconciled(
            account=ACCOUNT,
            session=SESSION,
            epoch=4,
            result=Reconciliation.BREAKS,
            orders=2,
            executions=3,
            positions=((ConId(8314), Decimal(5)),),
            breaks=(
                PositionBreak(
                    conid=ConId(265598), symbol="AAPL", expected=Decimal(10), found=Decimal(7)
                ),
            ),
        ),
        (
            "RECONCILED: compared with the broker, in login 4 of main: breaks, 2 orders, 3 "
            "executions, 1 positions; AAPL should be 10, the broker has 7"
        ),
    ),
]


def event(type_: str, body: Any) -> EventBody:
    return EventBody(
        seq=1,
        at="2025-11-22T12:00:00.000000Z",
        type=type_,
        account=ACCOUNT,
        order_id=ORDER_ID,
        body=body,
    )


@pytest.mark.parametrize(("message", "sentence"), STORY)
def test_a_record_is_told_in_a_sentence(message: JournalMessage, sentence: str) -> None:
    body = json.loads(codec.encode(message))

    assert told(event(codec.record_type(message), body)) == sentence


def test_every_type_of_a_record_has_its_sentence() -> None:
    assert set(_TELLERS) == set(codec.RECORD_TYPES)
    assert {codec.record_type(message) for message, _ in STORY} == set(codec.RECORD_TYPES)


@given(st.one_of(*(values(kind) for kind in JOURNALED)))
def test_no_record_is_without_words(message: JournalMessage) -> None:
    assert words(codec.record_type(message), json.loads(codec.encode(message)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["ticket", "approved", "outcome", "reason", "row", "evidence", "missing",
                 "good_till_ms", "group", "index", "size", "elapsed_ms", "execution", "quantity",
                 "scope", "breaks", "positions"]
            ),
            inner,
        )
    ),
    max_leaves=10,
)  # fmt: skip


@given(
    type_=st.sampled_from([*_TELLERS, "LATER"]),
    body=st.dictionaries(
        st.sampled_from(
            ["approved", "outcome", "evidence", "row", "scope", "breaks", "changes", "x"]
        ),
        JSON,
    ),
)
def test_a_record_that_nobody_understands_is_still_told(type_: str, body: Any) -> None:
    assert told(event(type_, body)).startswith(type_)
