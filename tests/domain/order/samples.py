"""Orders, answers and rows for tests: a buy of 10 at 100."""

from dataclasses import replace
from decimal import Decimal

from engine.domain.messages import (
    AttemptStarted,
    CancelAtBroker,
    CancelOrder,
    ExecutionSeen,
    ModifyOrder,
    ModifySettled,
    OrderAnswered,
    OrderEffect,
    OrderMessage,
    OrderRowSeen,
    PromptRaised,
    RecordCommitted,
    ReleaseTurn,
    ReportAnomaly,
    RequestLookup,
    Step,
    SubmitOrder,
    TurnGranted,
    WriteRecord,
)
from engine.domain.order import Order
from engine.domain.values import (
    Answer,
    ApprovedChange,
    ApprovedTicket,
    BrokerOrderId,
    BrokerStatus,
    Coid,
    Execution,
    ExecutionId,
    MessageId,
    OrderId,
    OrderRow,
    Outcome,
    OutcomeKind,
    Pending,
    Question,
    QuestionId,
    QuestionPolicy,
    Reason,
    SessionName,
    Side,
    Source,
    Terms,
    Ticket,
)
from tests.samples import LIMIT_BUY

ACCOUNT = LIMIT_BUY.account
ORDER_ID = OrderId("1-1")
COID = Coid("EX0001-1-1-AB")
SESSION = SessionName("main")
BROKER_ID = BrokerOrderId("245323648")
CONID = LIMIT_BUY.conid
BODY = b'{"orders":[{}]}'
CHANGE_BODY = b'{"quantity":20}'
TICKET = LIMIT_BUY
POLICY = QuestionPolicy(answers={MessageId("o163"): Answer.ACCEPT})


def approve(
    policy: QuestionPolicy = POLICY, ticket: Ticket = TICKET, quantity_max: str = "0"
) -> ApprovedTicket:
    return ApprovedTicket(
        ticket=ticket,
        order_id=ORDER_ID,
        coid=COID,
        session=SESSION,
        questions=policy,
        policy_hash="0" * 12,
        request_sha256="f" * 64,
        quantity_max=Decimal(quantity_max),
    )


INTENT = SubmitOrder(approved=approve(), body=BODY)
TURN = TurnGranted(order_id=ORDER_ID, session_epoch=1, send_by_ns=99)
ATTEMPT = AttemptStarted(order_id=ORDER_ID, number=1, session_epoch=1)
ACK = Outcome(kind=OutcomeKind.ACK, broker_order_id=BROKER_ID, status="PreSubmitted")
TIMEOUT = Outcome(
    kind=OutcomeKind.IN_DOUBT, reason=Reason(code="TIMEOUT", message="no answer in 12,000 ms")
)
REFUSED = Outcome(kind=OutcomeKind.REFUSED, reason=Reason(code="BAD_PRICE", message="bad price"))
CANCEL = CancelOrder(order_id=ORDER_ID, cause="the client")
RELEASE = ReleaseTurn(order_id=ORDER_ID, session=SESSION)
CANCEL_AT_BROKER = CancelAtBroker(
    order_id=ORDER_ID, session=SESSION, account=ACCOUNT, broker_order_id=BROKER_ID
)
SENT_AT_NS = 1_003
"""When `Played.send` writes the attempt."""
LOOKUP = RequestLookup(
    order_id=ORDER_ID,
    session=SESSION,
    account=ACCOUNT,
    coid=COID,
    conid=CONID,
    side=TICKET.side,
    sent_at_ns=SENT_AT_NS,
    session_epoch=1,
)
"""The search for an order that the broker has shown."""
LOOKUP_UNSEEN = replace(LOOKUP, provable=True)
"""The search for an order that nobody has seen."""
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
    shows: Terms | None = None,
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
        total_quantity=None if shows is None else shows.quantity,
        limit_price=None if shows is None else shows.limit_price,
        stop_price=None if shows is None else shows.stop_price,
    )


def fill(
    number: int,
    quantity: int,
    price: str = "100",
    *,
    revision: int = 1,
    fee: str | None = None,
    broker_id: BrokerOrderId | None = BROKER_ID,
) -> Execution:
    return Execution(
        execution_id=ExecutionId(f"0000dc8f.{number:08x}.01.{revision:02d}"),
        account=ACCOUNT,
        broker_order_id=broker_id,
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
        self.late_grants = 0

    def tell(self, message: OrderMessage) -> tuple[OrderEffect, ...]:
        self.now_ns += 1
        waits = self.order.waits_for_turn
        effects = self.order.handle(message, self.now_ns)
        self.records.extend(effect for effect in effects if isinstance(effect, WriteRecord))
        self.effects.extend(effects)
        if isinstance(message, TurnGranted) and not waits:
            self.late_grants += any(isinstance(effect, ReleaseTurn) for effect in effects)
        return effects

    def commit(self, record: type) -> tuple[OrderEffect, ...]:
        return self.tell(RecordCommitted(order_id=ORDER_ID, record=record.__name__))

    def send(self, intent: SubmitOrder = INTENT) -> "Played":
        """Bring the order to the wire."""
        self.tell(intent)
        self.commit(SubmitOrder)
        self.tell(TURN)
        self.commit(AttemptStarted)
        return self

    def work(self, intent: SubmitOrder = INTENT) -> "Played":
        """Bring the order to the broker's book."""
        self.send(intent)
        self.tell(answered(ACK))
        return self

    def change(self, new: Terms) -> "Played":
        """Bring new terms to the wire."""
        self.tell(modify(new))
        self.commit(ModifyOrder)
        self.tell(TURN)
        return self

    def replayed(self) -> Order:
        """Return another order that was made from the records of this one."""
        copy = Order()
        for written in self.records:
            copy.replay(written.record, written.view.updated_at_ns)
        return copy


def terms(quantity: int, limit: str | None = "100", stop: str | None = None) -> Terms:
    return Terms(
        quantity=Decimal(quantity),
        limit_price=None if limit is None else Decimal(limit),
        stop_price=None if stop is None else Decimal(stop),
    )


def modify(new: Terms) -> ModifyOrder:
    change = ApprovedChange(order_id=ORDER_ID, terms=new, policy_hash="0" * 12, by="ops")
    return ModifyOrder(order_id=ORDER_ID, change=change, body=CHANGE_BODY)


def seen(
    status: BrokerStatus | None = None,
    source: Source = Source.STREAM,
    *,
    read: int = 0,
    **more: object,
) -> OrderRowSeen:
    told = row(status, **more)  # type: ignore[arg-type] # the fields of row()
    return OrderRowSeen(order_id=ORDER_ID, row=told, source=source, read=read)


def polled(
    status: BrokerStatus | None = BrokerStatus.SUBMITTED,
    source: Source = Source.POLL,
    **more: object,
) -> OrderRowSeen:
    return seen(status, source, **more)  # type: ignore[arg-type] # the fields of row()


def filled(number: int, quantity: int, **more: object) -> ExecutionSeen:
    execution = fill(number, quantity, **more)  # type: ignore[arg-type] # the fields of fill()
    return ExecutionSeen(order_id=ORDER_ID, execution=execution, source=Source.STREAM)


def prompt(name: str, kind: str = "o163") -> PromptRaised:
    asked = ask(kind).question
    assert asked is not None
    question = replace(asked, question_id=QuestionId(name))
    return PromptRaised(order_id=ORDER_ID, question=question)


def in_doubt(new: Terms) -> Played:
    """An order whose change was not answered."""
    played = Played().work().change(new)
    played.tell(answered(TIMEOUT, Step.MODIFY))
    return played


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
