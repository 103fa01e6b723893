"""The gateway client against the simulated gateway, which shares no code with it."""

import asyncio
from dataclasses import replace
from decimal import Decimal

import pytest

from engine.domain.messages import (
    AccountsRead,
    AuthStatusRead,
    CallDone,
    CallFailed,
    FailureKind,
    FeedMessage,
    FundsRead,
    HeartbeatSeen,
    NewsStreamed,
    NoticeSeen,
    OrdersRead,
    PositionsRead,
    PromptStreamed,
    SendTopic,
    SessionCall,
    SessionMessage,
    SocketClosed,
    SocketOpened,
    SystemSucceeded,
    Topic,
    TradesRead,
)
from engine.domain.values import (
    AccountId,
    BrokerOrderId,
    BrokerStatus,
    ConId,
    Outcome,
    OutcomeKind,
    Ticket,
)
from engine.gateway.client import Answer, Lane, Pacing, Request
from engine.gateway.feed import WebSocketFeed
from engine.sim import act
from tests.gateway.desk import AAPL, ACCOUNT, BUY, FAR_BELOW, Desk, at_a_desk, code
from tests.gateway.raw_gateway import until

C = SessionCall


def test_a_session_warms_up_in_order() -> None:
    async def work(one: Desk) -> list[SessionMessage]:
        before = await one.call(C.ORDERS)
        await one.call(C.OPEN_BROKERAGE)
        unprimed = await one.call(C.ORDERS)
        return [
            before,
            unprimed,
            await one.call(C.AUTH_STATUS),
            await one.call(C.ACCOUNTS),
            await one.call(C.PORTFOLIO_ACCOUNTS),
            await one.call(C.SUPPRESS, message_ids=("o163", "o354")),
            await one.call(C.ORDERS, force=True),
            await one.call(C.ORDERS),
            await one.call(C.TRADES),
            await one.call(C.TRADES),
            await one.call(C.POSITIONS, account=ACCOUNT),
            await one.call(C.FUNDS, account=ACCOUNT),
            await one.call(C.TICKLE),
        ]

    told = at_a_desk(work)

    before, unprimed, status, accounts, done, suppressed, forced, orders, *rest = told
    assert isinstance(before, CallFailed)
    assert before.failure.kind is FailureKind.NO_BRIDGE
    assert isinstance(unprimed, CallFailed)
    assert unprimed.failure.kind is FailureKind.NOT_PRIMED
    assert isinstance(status, AuthStatusRead)
    assert status.status.ready
    assert accounts == AccountsRead(accounts=(ACCOUNT, AccountId("DU2222222")), paper=True)
    assert (done, suppressed) == (
        CallDone(call=C.PORTFOLIO_ACCOUNTS),
        CallDone(call=C.SUPPRESS),
    )
    assert forced == OrdersRead(rows=(), snapshot=False, forced=True)
    assert orders == OrdersRead(rows=(), snapshot=True, forced=False)
    assert rest[:2] == [TradesRead(executions=())] * 2
    positions, funds, tickle = rest[2:]
    assert isinstance(positions, PositionsRead)
    assert positions.positions == ()
    assert isinstance(funds, FundsRead)
    assert (funds.funds.currency, funds.funds.net_liquidation is not None) == ("USD", True)
    assert isinstance(tickle, AuthStatusRead)
    assert tickle.status.ready


def test_nobody_logged_in_is_unauthorized() -> None:
    async def work(one: Desk) -> SessionMessage:
        return await one.call(C.AUTH_STATUS)

    told = at_a_desk(work, logged_in=False)

    assert isinstance(told, CallFailed)
    assert told.failure.kind is FailureKind.UNAUTHORIZED


def test_an_order_with_a_question_is_confirmed_and_filled() -> None:
    async def work(one: Desk) -> None:
        await one.warm_up()
        asked = await one.place(BUY, "EXab-1-1-ZZ")
        assert (asked.kind, asked.question and asked.question.message_ids) == (
            OutcomeKind.QUESTION,
            ("o10151",),
        )
        acknowledged = await one.reply(asked, confirmed=True)
        assert acknowledged.kind is OutcomeKind.ACK

        filled = False
        while not filled:
            orders = await one.call(C.ORDERS)
            assert isinstance(orders, OrdersRead)
            filled = any(
                (row.coid, row.status, row.filled_quantity)
                == ("EXab-1-1-ZZ", BrokerStatus.FILLED, Decimal(10))
                for row in orders.rows
                if row.broker_order_id == acknowledged.broker_order_id
            )
        await one.call(C.TRADES)
        trades = await one.call(C.TRADES)
        assert isinstance(trades, TradesRead)
        assert sum(execution.quantity for execution in trades.executions) == 10
        assert {execution.coid for execution in trades.executions} == {"EXab-1-1-ZZ"}

    at_a_desk(work, questions={"MKT": ("o10151",)})


def test_a_declined_question_refuses_the_order() -> None:
    async def work(one: Desk) -> Outcome:
        await one.warm_up()
        asked = await one.place(BUY, "EXab-1-1-ZZ")
        return await one.reply(asked, confirmed=False)

    outcome = at_a_desk(work, questions={"MKT": ("o10151",)})

    assert (outcome.kind, code(outcome)) == (OutcomeKind.REFUSED, "NOT_CONFIRMED")


def test_a_question_that_another_order_displaced_is_doubtful() -> None:
    async def work(one: Desk) -> Outcome:
        await one.warm_up()
        first = await one.place(BUY, "EXab-1-1-ZZ")
        await one.place(BUY, "EXab-1-2-ZZ")
        return await one.reply(first, confirmed=True)

    outcome = at_a_desk(work, questions={"MKT": ("o10151",)})

    assert (outcome.kind, code(outcome)) == (OutcomeKind.IN_DOUBT, "SERVER_ERROR")


def test_a_working_order_is_cancelled_and_a_dead_one_is_unknown() -> None:
    async def work(one: Desk) -> None:
        await one.warm_up()
        working = await one.place(FAR_BELOW, "EXab-1-1-ZZ")
        assert working.broker_order_id is not None

        receipt = await one.cancel(working.broker_order_id)

        assert (receipt.kind, receipt.broker_order_id) == (
            OutcomeKind.ACK,
            working.broker_order_id,
        )
        unknown = await one.cancel("12345")
        assert (unknown.kind, code(unknown)) == (OutcomeKind.REFUSED, "ORDER_UNKNOWN")

    at_a_desk(work)


def test_the_same_coid_again_is_known_to_exist() -> None:
    async def work(one: Desk) -> Outcome:
        await one.warm_up()
        await one.place(FAR_BELOW, "EXab-1-1-ZZ")
        return await one.place(FAR_BELOW, "EXab-1-1-ZZ")

    outcome = at_a_desk(work)

    assert (outcome.kind, code(outcome)) == (OutcomeKind.IN_DOUBT, "ALREADY_REGISTERED")


@pytest.mark.parametrize(
    ("ticket", "reason"),
    [
        (replace(FAR_BELOW, limit_price=Decimal("1.001")), "PRICE_INCREMENT"),
        (replace(FAR_BELOW, account=AccountId("DU9999999")), "ACCOUNT_INVALID"),
        (replace(FAR_BELOW, conid=ConId(1)), "INSTRUMENT_INVALID"),
        (replace(FAR_BELOW, quantity=Decimal("0.5")), "FRACTION_REFUSED"),
        (replace(FAR_BELOW, quantity=Decimal(100_000_000)), None),
    ],
)
def test_a_refusal_in_known_words_is_a_refusal(ticket: Ticket, reason: str | None) -> None:
    async def work(one: Desk) -> Outcome:
        await one.warm_up()
        return await one.place(ticket, "EXab-1-1-ZZ")

    outcome = at_a_desk(work)

    if reason is None:
        assert (outcome.kind, code(outcome)) == (OutcomeKind.IN_DOUBT, "UNKNOWN_ERROR")
    else:
        assert (outcome.kind, code(outcome)) == (OutcomeKind.REFUSED, reason)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ("status_503_with_accept", OutcomeKind.IN_DOUBT),
        ("status_503_without_accept", OutcomeKind.IN_DOUBT),
        ("next_order_429", OutcomeKind.NOT_SENT),
    ],
)
def test_a_fault_of_the_gateway_is_classified(fault: str, kind: OutcomeKind) -> None:
    async def work(one: Desk) -> tuple[Outcome, int]:
        await one.warm_up()
        setattr(one.sim.faults, fault, 1)
        return await one.place(FAR_BELOW, "EXab-1-1-ZZ"), one.sim.faults.struck[fault]

    outcome, struck = at_a_desk(work)

    assert (outcome.kind, struck) == (kind, 1)


@pytest.mark.parametrize("bytes_let_through", [0, 5, 100])
def test_an_answer_that_is_cut_leaves_doubt(bytes_let_through: int) -> None:
    async def work(one: Desk) -> Outcome:
        await one.warm_up()
        one.sim.faults.drop_response_bytes = bytes_let_through
        return await one.place(FAR_BELOW, "EXab-1-1-ZZ")

    outcome = at_a_desk(work)

    assert (outcome.kind, code(outcome)) == (OutcomeKind.IN_DOUBT, "DISCONNECTED")


def test_the_stream_brings_quotes_bars_orders_fills_and_results() -> None:
    async def work(one: Desk) -> list[FeedMessage]:
        await one.warm_up()
        told: list[FeedMessage] = []
        feed = WebSocketFeed(one.client, intervals_ms=(100, 1_000))
        feed.connect(told.append)
        await until(lambda: any(isinstance(item, SystemSucceeded) for item in told))
        for topic in (Topic.ORDERS, Topic.TRADES, Topic.RESULTS, Topic.KEEP_ALIVE):
            feed.send(SendTopic(topic=topic))
        feed.send(SendTopic(topic=Topic.QUOTES, conid=AAPL))
        await until(lambda: quoted(feed))
        acknowledged = await one.place(BUY, "EXab-1-1-ZZ")
        assert acknowledged.kind is OutcomeKind.ACK
        await until(lambda: is_filled(told, acknowledged.broker_order_id))
        await until(lambda: len(feed.bars(AAPL, 100, 10)) >= 2)
        await until(lambda: any(isinstance(item, HeartbeatSeen) for item in told))
        older, newer = feed.bars(AAPL, 100, 2)
        assert older.start_ms < newer.start_ms
        assert newer.low <= newer.open <= newer.high
        assert (feed.heartbeat_age_ms() or 0) < 5_000
        await feed.close_all()
        return told

    told = at_a_desk(work)

    assert told[0] == SocketOpened()
    assert told[-1] == SocketClosed(reason="the engine is stopping")
    assert SystemSucceeded(paper=True) in told
    news = [item for item in told if isinstance(item, NewsStreamed)]
    executions = [execution for item in news for execution in item.executions]
    by_id = {execution.execution_id: execution for execution in executions}
    assert sum(execution.quantity for execution in by_id.values()) == 10
    assert any(execution.commission is None for execution in executions)
    assert any(execution.commission is not None for execution in executions)
    assert {result.account for item in news for result in item.results} <= {
        ACCOUNT,
        AccountId("DU2222222"),
    }


def quoted(feed: WebSocketFeed) -> bool:
    quote = feed.quote(AAPL)
    return quote is not None and quote.bid is not None and quote.ask is not None


def is_filled(told: list[FeedMessage], broker_order_id: BrokerOrderId | None) -> bool:
    """Whether the stream said so, and brought the commission as well."""
    news = [item for item in told if isinstance(item, NewsStreamed)]
    return any(
        row.status is BrokerStatus.FILLED and row.broker_order_id == broker_order_id
        for item in news
        for row in item.rows
    ) and any(execution.commission for item in news for execution in item.executions)


@pytest.mark.parametrize("fault", ["split_frames", "duplicate_sor"])
def test_a_stream_with_faults_still_tells_the_fill(fault: str) -> None:
    async def work(one: Desk) -> None:
        await one.warm_up()
        setattr(one.sim.faults, fault, True)
        told: list[FeedMessage] = []
        feed = WebSocketFeed(one.client)
        feed.connect(told.append)
        await until(lambda: any(isinstance(item, SystemSucceeded) for item in told))
        for topic in (Topic.ORDERS, Topic.TRADES):
            feed.send(SendTopic(topic=topic))
        feed.send(SendTopic(topic=Topic.QUOTES, conid=AAPL))
        await until(lambda: quoted(feed))
        acknowledged = await one.place(BUY, "EXab-1-1-ZZ")
        await until(lambda: is_filled(told, acknowledged.broker_order_id))
        await feed.close_all()

    at_a_desk(work)


@pytest.mark.parametrize("confirmed", [True, False])
def test_a_prompt_on_the_stream_is_answered_in_the_words_of_its_options(confirmed: bool) -> None:  # noqa: FBT001 - a table's value
    async def work(one: Desk) -> None:
        await one.warm_up()
        told: list[FeedMessage] = []
        feed = WebSocketFeed(one.client)
        feed.connect(told.append)
        await until(lambda: any(isinstance(item, SystemSucceeded) for item in told))
        placed = await one.place(FAR_BELOW, "EXab-1-1-ZZ")
        assert placed.broker_order_id is not None
        act(one.sim, "notice", {"text": "for people"})
        act(one.sim, "bulletin", {"text": "for all"})
        act(one.sim, "prompt", {"order": int(placed.broker_order_id)})
        await until(lambda: any(isinstance(item, PromptStreamed) for item in told))

        [prompt] = [item for item in told if isinstance(item, PromptStreamed)]
        answered = await one.reply(
            Outcome(kind=OutcomeKind.QUESTION, question=prompt.question), confirmed=confirmed
        )

        assert prompt.broker_order_id == placed.broker_order_id
        assert (answered.kind, code(answered)) == (OutcomeKind.IN_DOUBT, "PROMPT_ANSWERED")
        assert one.sim.venue.prompts == {}
        notices = {(item.kind, item.text) for item in told if isinstance(item, NoticeSeen)}
        assert {("notice", "for people"), ("bulletin", "for all")} <= notices
        await feed.close_all()

    at_a_desk(work)


def test_asking_for_the_order_topic_anew_brings_what_was_missed() -> None:
    async def work(one: Desk) -> None:
        await one.warm_up()
        told: list[FeedMessage] = []
        feed = WebSocketFeed(one.client)
        feed.connect(told.append)
        await until(lambda: any(isinstance(item, SystemSucceeded) for item in told))
        acknowledged = await one.place(BUY, "EXab-1-1-ZZ")
        while (await one.row(acknowledged.broker_order_id or "")).status is not BrokerStatus.FILLED:
            pass

        for topic in (Topic.STOP_ORDERS, Topic.STOP_TRADES, Topic.ORDERS, Topic.TRADES):
            feed.send(SendTopic(topic=topic))

        await until(
            lambda: any(isinstance(item, NewsStreamed) and item.executions for item in told)
        )
        await feed.close_all()

    at_a_desk(work)


def test_a_stream_that_the_gateway_closes_is_told_as_closed() -> None:
    async def work(one: Desk) -> list[FeedMessage]:
        await one.warm_up()
        told: list[FeedMessage] = []
        feed = WebSocketFeed(one.client)
        feed.connect(told.append)
        await until(lambda: any(isinstance(item, SystemSucceeded) for item in told))
        one.sim.faults.close_websockets()
        await until(lambda: isinstance(told[-1], SocketClosed))
        return told

    assert at_a_desk(work)[-1] == SocketClosed(reason="the gateway closed with 1000")


def test_at_its_own_pace_the_gateway_never_says_429() -> None:
    async def work(one: Desk) -> set[int]:
        await one.warm_up()
        request = Request(
            method="GET", path="/iserver/accounts", endpoint="/iserver/accounts", lane=Lane.DATA
        )
        results = await asyncio.gather(*(one.client.request(request) for _ in range(20)))
        return {result.status for result in results if isinstance(result, Answer)}

    assert at_a_desk(work, pacing=Pacing(), enforce_pacing=True) == {200}
