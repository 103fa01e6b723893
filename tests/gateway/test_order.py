import asyncio
import hashlib
import json
from dataclasses import replace
from decimal import Decimal

import pytest
from structlog.testing import capture_logs

from engine import metrics
from engine.domain.messages import (
    CancelAtBroker,
    ModifyAtBroker,
    OrderAnswered,
    PlaceAtBroker,
    ReplyAtBroker,
    Step,
)
from engine.domain.values import (
    AccountId,
    BrokerOrderId,
    ClientOrderId,
    Coid,
    ConId,
    GroupKind,
    GroupPlace,
    OrderId,
    OrderType,
    Outcome,
    OutcomeKind,
    QuestionId,
    Reason,
    Side,
    Terms,
    Ticket,
    TimeInForce,
)
from engine.gateway.client import Answer, GatewayClient, NoAnswer, Request
from engine.gateway.order import HttpOrderGateway
from engine.gateway.wire import Operator, TicketEncoder
from tests.gateway.raw_gateway import (
    QUICK,
    SESSION,
    Certificate,
    RawGateway,
    Script,
    Seen,
    Stream,
    always,
    client_of,
    http,
    raw_gateway,
    until,
    until_many,
)

ACCOUNT = AccountId("DU1234567")
ORDER_ID = OrderId("1-1")
COID = Coid("EXab-1-1-ZZ")
TICKET = Ticket(
    account=ACCOUNT,
    client_order_id=ClientOrderId("mine-1"),
    conid=ConId(265598),
    symbol="AAPL",
    side=Side.BUY,
    type=OrderType.LMT,
    quantity=Decimal(1),
    limit_price=Decimal("189.10"),
    tif=TimeInForce.DAY,
)
BODY = TicketEncoder().encode(TICKET, COID)
CHANGED = TicketEncoder().encode_change(
    TICKET, COID, Terms(quantity=Decimal(2), limit_price=Decimal("189.20"), stop_price=None)
)
PLACE = PlaceAtBroker(
    order_id=ORDER_ID,
    session=SESSION,
    account=ACCOUNT,
    body=BODY,
    send_by_ns=10**30,
    session_epoch=1,
)
REPLY = ReplyAtBroker(
    order_id=ORDER_ID, session=SESSION, question_id=QuestionId("99-a"), confirmed=True
)
CANCEL = CancelAtBroker(
    order_id=ORDER_ID, session=SESSION, account=ACCOUNT, broker_order_id=BrokerOrderId("77")
)
MODIFY = ModifyAtBroker(
    order_id=ORDER_ID,
    session=SESSION,
    account=ACCOUNT,
    broker_order_id=BrokerOrderId("77"),
    body=CHANGED,
    send_by_ns=10**30,
    session_epoch=1,
)
ACK = [{"order_id": "77", "local_order_id": COID, "order_status": "PreSubmitted"}]
RECEIPT = {"msg": "Request was submitted", "order_id": 77, "conid": 265598, "account": ACCOUNT}

Effect = PlaceAtBroker | ReplyAtBroker | CancelAtBroker | ModifyAtBroker
EVERY = pytest.mark.parametrize(
    "effect", [PLACE, REPLY, CANCEL, MODIFY], ids=["place", "reply", "cancel", "modify"]
)


def perform(
    client: GatewayClient,
    effect: Effect,
    told: list[OrderAnswered],
    *,
    operator: Operator | None = None,
    forgotten: list[ConId] | None = None,
) -> None:
    orders = HttpOrderGateway(
        client,
        operator=operator,
        forget_rules=(forgotten if forgotten is not None else []).append,
    )
    match effect:
        case PlaceAtBroker():
            orders.place(effect, told.append)
        case ReplyAtBroker():
            orders.reply(effect, told.append)
        case CancelAtBroker():
            orders.cancel(effect, told.append)
        case ModifyAtBroker():
            orders.modify(effect, told.append)


def ask(
    certificate: Certificate,
    script: Script,
    effect: Effect,
    *,
    operator: Operator | None = None,
    forgotten: list[ConId] | None = None,
) -> tuple[list[OrderAnswered], RawGateway]:
    """Everything that was told of this effect, and the gateway that saw it."""

    async def run() -> tuple[list[OrderAnswered], RawGateway]:
        told: list[OrderAnswered] = []
        async with raw_gateway(certificate, script) as gateway:
            async with client_of(gateway.url, certificate) as client:
                perform(client, effect, told, operator=operator, forgotten=forgotten)
                await until(lambda: bool(told))
            return told, gateway

    return asyncio.run(run())


def test_an_order_is_sent_byte_for_byte_and_acknowledged(certificate: Certificate) -> None:
    answer = json.dumps(ACK).encode()

    told, gateway = ask(certificate, always(http(200, answer)), PLACE)

    outcome = Outcome(
        kind=OutcomeKind.ACK,
        broker_order_id=BrokerOrderId("77"),
        status="PreSubmitted",
        http_status=200,
        body_sha256=hashlib.sha256(answer).hexdigest(),
    )
    assert told == [OrderAnswered(order_id=ORDER_ID, step=Step.PLACE, outcome=outcome)]
    [seen] = gateway.seen
    assert (seen.method, seen.target) == ("POST", "/v1/api/iserver/account/DU1234567/orders")
    assert seen.body == BODY


def test_a_question_is_answered_at_its_address(certificate: Certificate) -> None:
    told, gateway = ask(certificate, always(http(200, ACK)), REPLY)

    assert [(answered.step, answered.outcome.kind) for answered in told] == [
        (Step.REPLY, OutcomeKind.ACK)
    ]
    [seen] = gateway.seen
    assert (seen.method, seen.target) == ("POST", "/v1/api/iserver/reply/99-a")
    assert seen.body == b'{"confirmed":true}'


def test_a_cancel_is_asked_for_in_the_orders_account(certificate: Certificate) -> None:
    told, gateway = ask(certificate, always(http(200, RECEIPT)), CANCEL)

    assert [(answered.step, answered.outcome.kind) for answered in told] == [
        (Step.CANCEL, OutcomeKind.ACK)
    ]
    [seen] = gateway.seen
    assert (seen.method, seen.target) == ("DELETE", "/v1/api/iserver/account/DU1234567/order/77")
    assert seen.body == b""


@EVERY
def test_a_connection_that_breaks_after_the_request_leaves_doubt_and_no_second_request(
    certificate: Certificate, effect: Effect
) -> None:
    told, gateway = ask(certificate, always(None), effect)

    assert [answered.outcome for answered in told] == [
        Outcome(
            kind=OutcomeKind.IN_DOUBT,
            reason=Reason(code="DISCONNECTED", message="the connection was lost before the answer"),
        )
    ]
    assert len(gateway.seen) == 1


@EVERY
def test_a_gateway_that_is_down_is_not_sent(certificate: Certificate, effect: Effect) -> None:
    async def run() -> list[OrderAnswered]:
        told: list[OrderAnswered] = []
        async with raw_gateway(certificate, always(None)) as gateway:
            url = gateway.url
        async with client_of(url, certificate) as client:
            perform(client, effect, told)
            await until(lambda: bool(told))
        return told

    [answered] = asyncio.run(run())

    assert answered.outcome.kind is OutcomeKind.NOT_SENT
    assert answered.outcome.reason is not None
    assert answered.outcome.reason.code == "GATEWAY_UNREACHABLE"


def test_an_order_whose_moment_passed_is_not_sent(certificate: Certificate) -> None:
    told, gateway = ask(certificate, always(http(200, ACK)), replace(PLACE, send_by_ns=1))

    assert [answered.outcome.kind for answered in told] == [OutcomeKind.NOT_SENT]
    assert gateway.seen == []


@EVERY
@pytest.mark.parametrize(
    ("place_answer", "kind"),
    [(ACK, OutcomeKind.ACK), ({"error": "No trading permissions."}, OutcomeKind.REFUSED)],
)
def test_an_answer_after_the_deadline_is_told_once_more_as_late(
    certificate: Certificate,
    effect: Effect,
    place_answer: object,
    kind: OutcomeKind,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = RECEIPT if effect is CANCEL else place_answer
    expected = OutcomeKind.ACK if effect is CANCEL else kind
    request = GatewayClient.request

    async def hurried(client: GatewayClient, asked: Request) -> Answer | NoAnswer:
        return await request(client, replace(asked, deadline_ms=30))

    monkeypatch.setattr(GatewayClient, "request", hurried)
    counter = metrics.LATE_ANSWERS.labels(SESSION, expected.value)
    before = counter._value.get()

    async def run() -> tuple[list[OrderAnswered], int]:
        told: list[OrderAnswered] = []

        async def script(_seen: Seen, _stream: Stream) -> bytes:
            await until_many(told, 1)
            return http(200, answer)

        async with (
            raw_gateway(certificate, script) as gateway,
            client_of(gateway.url, certificate) as client,
        ):
            perform(client, effect, told)
            await until_many(told, 2)
            return told, len(gateway.seen)

    with capture_logs() as logs:
        told, requests = asyncio.run(run())

    [given_up, late] = told
    assert (given_up.late, given_up.outcome) == (
        False,
        Outcome(
            kind=OutcomeKind.IN_DOUBT,
            reason=Reason(code="TIMEOUT", message="no answer within 30 ms"),
        ),
    )
    assert (late.late, late.order_id, late.step) == (True, ORDER_ID, given_up.step)
    assert (late.outcome.kind, late.outcome.http_status) == (expected, 200)
    assert requests == 1
    assert counter._value.get() == before + 1
    assert [entry["event"] for entry in logs] == ["order_answered_late"]


def test_a_modify_is_sent_byte_for_byte_to_the_orders_own_address(
    certificate: Certificate,
) -> None:
    told, gateway = ask(certificate, always(http(200, ACK)), MODIFY)

    assert [(answered.step, answered.outcome.kind) for answered in told] == [
        (Step.MODIFY, OutcomeKind.ACK)
    ]
    [seen] = gateway.seen
    assert (seen.method, seen.target) == ("POST", "/v1/api/iserver/account/DU1234567/order/77")
    assert seen.body == CHANGED


def test_a_modify_whose_moment_passed_is_not_sent(certificate: Certificate) -> None:
    told, gateway = ask(certificate, always(http(200, ACK)), replace(MODIFY, send_by_ns=1))

    assert [answered.outcome.kind for answered in told] == [OutcomeKind.NOT_SENT]
    assert gateway.seen == []


PROMPT_OF_ANOTHER = {
    "orderId": 78, "reqId": "1", "text": "Sure?", "options": ["Yes", "No"], "prompt": True,
}  # fmt: skip


@pytest.mark.parametrize(
    "answer", [[{"order_id": "78", "order_status": "Submitted"}], PROMPT_OF_ANOTHER]
)
def test_a_modify_that_is_answered_for_another_order_may_have_made_a_second_one(
    certificate: Certificate, answer: object
) -> None:
    told, _ = ask(certificate, always(http(200, answer)), MODIFY)

    [answered] = told
    assert answered.outcome == Outcome(
        kind=OutcomeKind.IN_DOUBT,
        reason=Reason(
            code="MODIFY_OTHER_ORDER", message="the answer is about order 78, asked was 77"
        ),
        http_status=200,
        body_sha256=hashlib.sha256(json.dumps(answer).encode()).hexdigest(),
    )


def test_a_modify_that_the_broker_asks_about_has_its_question(certificate: Certificate) -> None:
    question = [{"id": "99-b", "message": ["Sure?"], "messageIds": ["o10138"]}]

    told, _ = ask(certificate, always(http(200, question)), MODIFY)

    [answered] = told
    assert (answered.step, answered.outcome.kind) == (Step.MODIFY, OutcomeKind.QUESTION)


@pytest.mark.parametrize(
    ("sec_type", "operator", "query"),
    [
        ("STK", Operator(ext_operator="J DOE", manual=True), ""),
        ("FUT", None, ""),
        (
            "FUT",
            Operator(ext_operator="J DOE", manual=False),
            "?manualIndicator=false&extOperator=J%20DOE",
        ),
        (
            "FOP",
            Operator(ext_operator="JDOE", manual=True),
            "?manualIndicator=true&extOperator=JDOE",
        ),
    ],
)
def test_a_cancel_of_a_future_says_who_enters_it(
    certificate: Certificate, sec_type: str, operator: Operator | None, query: str
) -> None:
    effect = replace(CANCEL, sec_type=sec_type)

    _, gateway = ask(certificate, always(http(200, RECEIPT)), effect, operator=operator)

    [seen] = gateway.seen
    assert seen.target == f"/v1/api/iserver/account/DU1234567/order/77{query}"


@pytest.mark.parametrize("effect", [PLACE, MODIFY], ids=["place", "modify"])
@pytest.mark.parametrize(
    ("answer", "forgets"),
    [
        ({"error": "The price does not conform to the minimum price variation."}, [265598]),
        ({"error": "Invalid time in force: OPG"}, [265598]),
        ({"error": "Something new"}, []),
        ({"error": "No trading permissions."}, []),
        (ACK, []),
    ],
)
def test_a_refusal_about_the_rules_makes_them_forgotten(
    certificate: Certificate, effect: Effect, answer: object, forgets: list[int]
) -> None:
    forgotten: list[ConId] = []

    ask(certificate, always(http(200, answer)), effect, forgotten=forgotten)

    assert forgotten == forgets


def test_an_answer_about_another_order_proves_nothing(certificate: Certificate) -> None:
    other = [{**ACK[0], "local_order_id": "EXab-9-9-ZZ"}]

    placed, _ = ask(certificate, always(http(200, other)), PLACE)
    cancelled, _ = ask(certificate, always(http(200, {**RECEIPT, "order_id": 78})), CANCEL)

    for told, message in (
        (placed, "the answer is about EXab-9-9-ZZ, asked was EXab-1-1-ZZ"),
        (cancelled, "the answer is about 78, asked was 77"),
    ):
        [answered] = told
        assert answered.outcome.kind is OutcomeKind.IN_DOUBT
        assert answered.outcome.reason == Reason(code="ANSWER_MISMATCH", message=message)
        assert answered.outcome.body_sha256


def test_an_answer_of_more_than_256_kib_proves_nothing(certificate: Certificate) -> None:
    told, _ = ask(certificate, always(http(200, b" " * (256 * 1024 + 1))), PLACE)

    [answered] = told
    assert answered.outcome.kind is OutcomeKind.IN_DOUBT
    assert answered.outcome.reason == Reason(
        code="BAD_ANSWER", message="answer of over 262144 bytes, the limit"
    )


def test_an_acknowledgement_cut_after_any_byte_leaves_doubt_and_one_request(
    certificate: Certificate,
) -> None:
    whole = http(200, ACK)
    cuts = iter(range(len(whole) + 1))

    async def script(_seen: Seen, stream: Stream) -> None:
        _, writer = stream
        writer.write(whole[: next(cuts)])
        await writer.drain()

    async def run() -> tuple[list[OrderAnswered], int]:
        told: list[OrderAnswered] = []
        unhurried = replace(QUICK, requests_per_s=10_000)
        async with (
            raw_gateway(certificate, script) as gateway,
            client_of(gateway.url, certificate, pacing=unhurried) as client,
        ):
            for count in range(1, len(whole) + 2):
                perform(client, PLACE, told)
                await until_many(told, count)
            return told, len(gateway.seen)

    told, requests = asyncio.run(run())

    kinds = [answered.outcome.kind for answered in told]
    assert kinds == [OutcomeKind.IN_DOUBT] * len(whole) + [OutcomeKind.ACK]
    assert requests == len(whole) + 1


def test_a_prompt_is_answered_as_a_notification_and_then_looked_up(
    certificate: Certificate,
) -> None:
    prompt = {
        "orderId": 77,
        "reqId": "22170",
        "text": "Sure?",
        "options": ["Yes", "No"],
        "messageId": "p12",
        "prompt": True,
    }
    asked, _ = ask(certificate, always(http(200, prompt)), PLACE)
    question = asked[0].outcome.question
    assert question is not None
    effect = replace(REPLY, question_id=question.question_id, confirmed=False)

    told, gateway = ask(certificate, always(http(200, b'"Success"')), effect)

    [answered] = told
    assert (answered.outcome.kind, answered.outcome.broker_order_id) == (OutcomeKind.IN_DOUBT, "77")
    assert answered.outcome.reason is not None
    assert answered.outcome.reason.code == "PROMPT_ANSWERED"
    assert gateway.seen[0].target == "/v1/api/iserver/notification"
    assert json.loads(gateway.seen[0].body) == {"orderId": 77, "reqId": "22170", "text": "No"}


def test_a_prompt_without_the_wanted_option_is_left_alone(certificate: Certificate) -> None:
    effect = replace(REPLY, question_id=QuestionId("notification:77:22170::No"), confirmed=True)

    told, gateway = ask(certificate, always(http(200, b'"Success"')), effect)

    assert [answered.outcome.reason and answered.outcome.reason.code for answered in told] == [
        "PROMPT_UNSUPPORTED"
    ]
    assert gateway.seen == []


BRACKET_BODY = TicketEncoder().encode_group(
    [
        (
            replace(
                TICKET,
                side=side,
                group=GroupPlace(kind=GroupKind.BRACKET, leader=ORDER_ID, index=index, size=2),
            ),
            coid,
        )
        for index, (side, coid) in enumerate(((Side.BUY, COID), (Side.SELL, Coid("EXab-1-2-ZZ"))))
    ]
)
ASKED_TWICE = [
    {"id": "99-a", "message": ["Sure?"], "messageIds": ["o163"]},
    {"id": "99-b", "message": ["Really?"], "messageIds": ["o382"]},
]
ENTRY_ROW = {"order_id": "77", "local_order_id": COID, "order_status": "Submitted"}
EXIT_ROW = {"order_id": "78", "order_status": "PreSubmitted"}


def converse(
    certificate: Certificate, answers: list[bytes | None], *, confirmed: bool = True
) -> tuple[list[OrderAnswered], list[tuple[str, bytes]]]:
    """Place a bracket, answer its question, and return what was told and asked."""
    script = iter(answers)

    async def answer(_seen: Seen, _stream: Stream) -> bytes | None:
        return next(script)

    async def run() -> tuple[list[OrderAnswered], list[tuple[str, bytes]]]:
        told: list[OrderAnswered] = []
        async with (
            raw_gateway(certificate, answer) as gateway,
            client_of(gateway.url, certificate) as client,
        ):
            orders = HttpOrderGateway(client)
            orders.place(replace(PLACE, body=BRACKET_BODY), told.append)
            await until_many(told, 1)
            question = told[0].outcome.question
            assert question is not None
            orders.reply(
                replace(REPLY, question_id=question.question_id, confirmed=confirmed), told.append
            )
            await until_many(told, 2)
            return told, [(seen.target, seen.body) for seen in gateway.seen]

    return asyncio.run(run())


def test_the_answer_to_a_reply_is_read_as_that_of_the_group_it_was_asked_about(
    certificate: Certificate,
) -> None:
    told, _ = converse(certificate, [http(200, ASKED_TWICE[:1]), http(200, [EXIT_ROW, ENTRY_ROW])])

    outcome = told[1].outcome
    assert (told[1].step, outcome.kind, outcome.broker_order_id) == (
        Step.REPLY, OutcomeKind.ACK, "77",
    )  # fmt: skip
    assert [row.broker_order_id for row in outcome.rows] == ["78", "77"]


def test_a_group_that_is_asked_about_order_by_order_is_answered_so(
    certificate: Certificate,
) -> None:
    told, asked = converse(
        certificate,
        [http(200, ASKED_TWICE), http(200, [ENTRY_ROW]), http(200, [EXIT_ROW])],
    )

    outcome = told[1].outcome
    assert (outcome.kind, outcome.broker_order_id) == (OutcomeKind.ACK, "77")
    assert [row.broker_order_id for row in outcome.rows] == ["77", "78"]
    assert outcome.http_status == 200
    assert [target for target, _ in asked[1:]] == [
        "/v1/api/iserver/reply/99-a",
        "/v1/api/iserver/reply/99-b",
    ]


def test_a_group_that_is_asked_about_order_by_order_is_declined_so(
    certificate: Certificate,
) -> None:
    no = http(200, {"error": "Order not confirmed "})

    told, asked = converse(certificate, [http(200, ASKED_TWICE), no, no], confirmed=False)

    assert told[1].outcome.kind is OutcomeKind.REFUSED
    assert [body for _, body in asked[1:]] == [b'{"confirmed":false}'] * 2


@pytest.mark.parametrize("first", [None, http(503, {"error": "Service Unavailable"})])
def test_after_a_doubtful_answer_no_more_questions_of_a_group_are_answered(
    certificate: Certificate, first: bytes | None
) -> None:
    told, asked = converse(certificate, [http(200, ASKED_TWICE), first])

    assert told[1].outcome.kind is OutcomeKind.IN_DOUBT
    assert len(asked) == 2


def test_a_second_answer_that_breaks_off_leaves_doubt_with_the_rows_of_the_first(
    certificate: Certificate,
) -> None:
    told, _ = converse(certificate, [http(200, ASKED_TWICE), http(200, [ENTRY_ROW]), None])

    outcome = told[1].outcome
    assert outcome.kind is OutcomeKind.IN_DOUBT
    assert [row.broker_order_id for row in outcome.rows] == ["77"]


def test_a_failure_of_our_own_leaves_doubt(certificate: Certificate) -> None:
    broken = replace(REPLY, question_id=QuestionId("notification:"))

    with capture_logs() as logs:
        told, _ = ask(certificate, always(http(200, ACK)), broken)

    assert [answered.outcome.reason and answered.outcome.reason.code for answered in told] == [
        "INTERNAL_ERROR"
    ]
    assert [entry["event"] for entry in logs] == ["gateway_call_failed"]
