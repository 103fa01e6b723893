"""Orders, answers and rows for tests: a buy of 10 at 100."""

from decimal import Decimal

from engine.domain.messages import (
    AttemptStarted,
    OrderAnswered,
    OrderEffect,
    OrderMessage,
    RecordCommitted,
    Step,
    SubmitOrder,
    TurnGranted,
    WriteRecord,
)
from engine.domain.order import Order
from engine.domain.values import (
    AccountId,
    Answer,
    ApprovedTicket,
    BrokerOrderId,
    BrokerStatus,
    ClientOrderId,
    Coid,
    ConId,
    Execution,
    ExecutionId,
    MessageId,
    OrderId,
    OrderRow,
    OrderType,
    Outcome,
    OutcomeKind,
    Question,
    QuestionId,
    QuestionPolicy,
    Reason,
    SessionName,
    Side,
    Ticket,
    TimeInForce,
)

ACCOUNT = AccountId("DU1234567")
ORDER_ID = OrderId("1-1")
COID = Coid("EX0001-1-1-AB")
SESSION = SessionName("main")
BROKER_ID = BrokerOrderId("245323648")
CONID = ConId(265598)
BODY = b'{"orders":[{}]}'
TICKET = Ticket(
    account=ACCOUNT,
    client_order_id=ClientOrderId("mine-1"),
    conid=CONID,
    symbol="AAPL",
    side=Side.BUY,
    type=OrderType.LMT,
    quantity=Decimal(10),
    limit_price=Decimal(100),
    tif=TimeInForce.DAY,
)
POLICY = QuestionPolicy(answers={MessageId("o163"): Answer.ACCEPT})


def approve(policy: QuestionPolicy = POLICY) -> ApprovedTicket:
    return ApprovedTicket(
        ticket=TICKET,
        order_id=ORDER_ID,
        coid=COID,
        session=SESSION,
        questions=policy,
        policy_hash="0" * 12,
        request_sha256="f" * 64,
    )


INTENT = SubmitOrder(approved=approve(), body=BODY)
TURN = TurnGranted(order_id=ORDER_ID, session_epoch=1, send_by_ns=99)
ATTEMPT = AttemptStarted(order_id=ORDER_ID, number=1, session_epoch=1)
ACK = Outcome(kind=OutcomeKind.ACK, broker_order_id=BROKER_ID, status="PreSubmitted")
TIMEOUT = Outcome(
    kind=OutcomeKind.IN_DOUBT, reason=Reason(code="TIMEOUT", message="no answer in 12,000 ms")
)
REFUSED = Outcome(kind=OutcomeKind.REFUSED, reason=Reason(code="BAD_PRICE", message="bad price"))
NOT_SENT = Outcome(kind=OutcomeKind.NOT_SENT, reason=Reason(code="DOWN", message="refused"))


def ask(*kinds: str) -> Outcome:
    return Outcome(
        kind=OutcomeKind.QUESTION,
        question=Question(
            question_id=QuestionId("q-1"),
            message_ids=tuple(map(MessageId, kinds)),
            texts=("Are you sure?",),
        ),
    )


def answered(outcome: Outcome, step: Step = Step.PLACE) -> OrderAnswered:
    return OrderAnswered(order_id=ORDER_ID, step=step, outcome=outcome)


def row(
    status: BrokerStatus | None = None,
    *,
    filled: int | None = None,
    reason: str | None = None,
    broker_id: BrokerOrderId = BROKER_ID,
) -> OrderRow:
    return OrderRow(
        account=ACCOUNT,
        broker_order_id=broker_id,
        coid=COID,
        conid=CONID,
        side=Side.BUY,
        filled_quantity=None if filled is None else Decimal(filled),
        status=status,
        reason=reason,
    )


def fill(
    number: int, quantity: int, price: str = "100", *, revision: int = 1, fee: str | None = None
) -> Execution:
    return Execution(
        execution_id=ExecutionId(f"0000dc8f.{number:08x}.01.{revision:02d}"),
        account=ACCOUNT,
        broker_order_id=BROKER_ID,
        coid=COID,
        conid=CONID,
        side=Side.BUY,
        quantity=Decimal(quantity),
        price=Decimal(price),
        commission=None if fee is None else Decimal(fee),
        at_ms=1_788_875_891_000,
    )


class Played:
    """An order with everything that its shell would do, done at once and remembered."""

    def __init__(self, order: Order | None = None) -> None:
        self.order = order or Order()
        self.records: list[WriteRecord] = []
        self.effects: list[OrderEffect] = []
        self.now_ns = 1_000

    def tell(self, message: OrderMessage) -> tuple[OrderEffect, ...]:
        self.now_ns += 1
        effects = self.order.handle(message, self.now_ns)
        self.records.extend(effect for effect in effects if isinstance(effect, WriteRecord))
        self.effects.extend(effects)
        return effects

    def commit(self, record: type) -> tuple[OrderEffect, ...]:
        return self.tell(RecordCommitted(order_id=ORDER_ID, record=record.__name__))

    def send(self) -> "Played":
        """Bring the order to the wire."""
        self.tell(INTENT)
        self.commit(SubmitOrder)
        self.tell(TURN)
        self.commit(AttemptStarted)
        return self

    def work(self) -> "Played":
        """Bring the order to the broker's book."""
        self.send()
        self.tell(answered(ACK))
        return self

    def replayed(self) -> Order:
        """Return another order that was made from the records of this one."""
        copy = Order()
        for written in self.records:
            copy.replay(written.record, written.view.updated_at_ns)
        return copy
