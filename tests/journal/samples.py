"""Entries for the journal's tests."""

import asyncio
from decimal import Decimal

from engine.domain.messages import (
    AttemptStarted,
    EngineStarted,
    JournalMessage,
    OrderAnswered,
    Step,
    SubmitOrder,
)
from engine.domain.ports import Committed, Entry, Journal, NotCommitted
from engine.domain.values import (
    AccountId,
    Answer,
    ApprovedTicket,
    BrokerOrderId,
    ClientOrderId,
    ConId,
    MessageId,
    OrderId,
    OrderType,
    Outcome,
    OutcomeKind,
    Question,
    QuestionId,
    QuestionPolicy,
    SessionName,
    Side,
    Ticket,
    TimeInForce,
    make_coid,
    make_order_id,
)

ACCOUNT = AccountId("DU1111111")


def submit(number: int, *, body: bytes = b'{"orders":[]}') -> SubmitOrder:
    return SubmitOrder(
        approved=ApprovedTicket(
            ticket=Ticket(
                account=ACCOUNT,
                client_order_id=ClientOrderId(f"mine-{number}"),
                conid=ConId(265598),
                symbol="AAPL",
                side=Side.BUY,
                type=OrderType.LMT,
                quantity=Decimal(100),
                limit_price=Decimal("189.50"),
                tif=TimeInForce.DAY,
            ),
            order_id=make_order_id(1, number),
            coid=make_coid("0001", 1, number),
            session=SessionName("main"),
            questions=QuestionPolicy(answers={MessageId("o354"): Answer.ACCEPT}),
            policy_hash="ab12",
            request_sha256="cd34",
        ),
        body=body,
    )


def attempt(number: int) -> AttemptStarted:
    return AttemptStarted(order_id=make_order_id(1, number), number=1, session_epoch=1)


def acknowledged(number: int) -> OrderAnswered:
    return OrderAnswered(
        order_id=make_order_id(1, number),
        step=Step.PLACE,
        outcome=Outcome(
            kind=OutcomeKind.ACK, broker_order_id=BrokerOrderId("7"), status="PreSubmitted"
        ),
    )


def questioned(number: int) -> OrderAnswered:
    question = Question(
        question_id=QuestionId("q-1"), message_ids=(MessageId("o354"),), texts=("Sure?",)
    )
    return OrderAnswered(
        order_id=make_order_id(1, number),
        step=Step.PLACE,
        outcome=Outcome(kind=OutcomeKind.QUESTION, question=question, http_status=200),
    )


def entry(message: JournalMessage, *, at_ns: int = 1_750_000_000_000_000_000) -> Entry:
    match message:
        case SubmitOrder(approved=approved):
            return Entry(at_ns=at_ns, account=ACCOUNT, order_id=approved.order_id, message=message)
        case EngineStarted():
            return Entry(at_ns=at_ns, account=None, order_id=None, message=message)
        case _:
            order_id: OrderId | None = getattr(message, "order_id", None)
            return Entry(at_ns=at_ns, account=ACCOUNT, order_id=order_id, message=message)


async def append(journal: Journal, *entries: Entry) -> list[Committed | NotCommitted]:
    """Append, wait until the last one is answered, and return the answers as they came."""
    answers: list[Committed | NotCommitted] = []
    answered = asyncio.Event()

    def done(answer: Committed | NotCommitted) -> None:
        answers.append(answer)
        if len(answers) == len(entries):
            answered.set()

    for one in entries:
        journal.append(one, done)
    await answered.wait()
    return answers
