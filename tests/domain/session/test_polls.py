"""A topic that goes mute is noticed by polls, healed, and done without meanwhile."""

from decimal import Decimal

from engine.domain.messages import (
    CloseStream,
    DeliverNews,
    FailureKind,
    OpenStream,
    OrdersRead,
    RefreshStream,
    ReportAnomaly,
    RowsStreamed,
    SessionCall,
    StartTimer,
    StreamLost,
    StreamReady,
    TimerFired,
    TradesRead,
)
from engine.domain.session import Effect
from engine.domain.values import (
    BrokerOrderId,
    BrokerStatus,
    ConId,
    Execution,
    ExecutionId,
    OrderRow,
    SessionState,
    Side,
)
from tests.domain.session.told import ACCOUNT, FUNDS, POSITIONS, UP, Told, calls, failed, read


def row(status: BrokerStatus, filled: int = 0, name: str = "7") -> OrderRow:
    return OrderRow(
        account=ACCOUNT,
        broker_order_id=BrokerOrderId(name),
        status=status,
        filled_quantity=Decimal(filled),
    )


def execution(name: str) -> Execution:
    return Execution(
        execution_id=ExecutionId(name),
        account=ACCOUNT,
        broker_order_id=BrokerOrderId("7"),
        coid=None,
        conid=ConId(1),
        side=Side.BUY,
        quantity=Decimal(1),
        price=Decimal(1),
        commission=None,
        at_ms=0,
    )


WORKS = row(BrokerStatus.SUBMITTED)
FILLED = row(BrokerStatus.FILLED, 10)
SOR_SILENT = ReportAnomaly(
    machine="session",
    kind="sor_silent",
    detail="polls showed 1 changes that the topic sor did not tell",
)


def poll(
    told: Told, *rows: OrderRow, after_ms: int, executions: tuple[Execution, ...] = ()
) -> tuple[Effect, ...]:
    return told.wait(after_ms).tell(
        TimerFired(name="poll"),
        OrdersRead(rows=rows, snapshot=True, forced=False),
        TradesRead(executions=executions),
    )


def mute() -> Told:
    """A session that has seen an order fill in two polls, and heard nothing."""
    told = Told().ready()
    poll(told, WORKS, after_ms=60_000)
    poll(told, FILLED, after_ms=10_000)
    poll(told, FILLED, after_ms=15_000)
    return told


def kinds(effects: tuple[Effect, ...]) -> list[object]:
    """Return what a session did about its stream."""
    stream = (ReportAnomaly, RefreshStream, CloseStream, OpenStream)
    return [effect for effect in effects if isinstance(effect, stream)]


def test_a_change_that_the_stream_did_not_tell_makes_polls_come_faster() -> None:
    told = Told().ready()
    poll(told, WORKS, after_ms=60_000)

    told.tell(RowsStreamed(rows=(WORKS,)))
    idle = poll(told, WORKS, after_ms=60_000)
    suspect = poll(told, FILLED, after_ms=60_000)

    assert idle[-1] == StartTimer(name="poll", delay_ms=60_000)
    assert suspect[-1] == StartTimer(name="poll", delay_ms=5_000)
    told_of = [effect.rows for effect in suspect if isinstance(effect, DeliverNews)]
    assert told_of == [(FILLED,), ()], "the poll is the truth"


def test_a_mute_topic_is_reported_and_asked_for_anew() -> None:
    told = mute()

    effects = poll(told, FILLED, after_ms=5_000)

    assert kinds(effects) == [SOR_SILENT, RefreshStream()]
    assert told.session.ready
    assert effects[-1] == StartTimer(name="poll", delay_ms=5_000), "until it is proven"


def test_a_stream_that_tells_something_is_proven() -> None:
    told = mute()
    poll(told, FILLED, after_ms=5_000)

    told.tell(RowsStreamed(rows=(FILLED,)))
    effects = poll(told, FILLED, after_ms=5_000)

    assert effects[-1] == StartTimer(name="poll", delay_ms=60_000)


def test_a_stream_that_stays_mute_is_connected_anew() -> None:
    told = mute()
    poll(told, FILLED, after_ms=5_000)
    other = row(BrokerStatus.SUBMITTED, name="8")

    poll(told, FILLED, other, after_ms=5_000)
    poll(told, FILLED, other, after_ms=15_000)
    effects = poll(told, FILLED, other, after_ms=5_000)
    back = told.tell(StreamReady())

    assert kinds(effects) == [SOR_SILENT, CloseStream(), OpenStream()]
    assert told.session.state is SessionState.RECONCILING
    assert calls(back) == [SessionCall.ORDERS, SessionCall.POSITIONS]


def test_a_streams_news_after_the_poll_is_in_time() -> None:
    told = Told().ready()
    poll(told, WORKS, after_ms=60_000)
    poll(told, FILLED, after_ms=10_000)

    told.wait(14_000).tell(RowsStreamed(rows=(FILLED,)))
    effects = (*poll(told, FILLED, after_ms=5_000), *poll(told, FILLED, after_ms=5_000))

    assert kinds(effects) == []


def test_a_stream_that_is_ahead_of_the_polls_is_not_mute() -> None:
    told = Told().ready()
    poll(told, WORKS, after_ms=60_000)

    told.tell(RowsStreamed(rows=(FILLED,)))
    effects = tuple(
        effect
        for rows in (WORKS, FILLED, FILLED, FILLED, FILLED)
        for effect in poll(told, rows, after_ms=10_000)
    )

    assert kinds(effects) == []


def test_what_happened_before_a_connection_is_no_proof_against_it() -> None:
    told = Told().ready()
    reconciled = OrdersRead(rows=(FILLED,), snapshot=True, forced=False)
    done = TradesRead(executions=(execution("1"),))
    told.tell(failed(SessionCall.TICKLE, FailureKind.TIMEOUT), read(UP, SessionCall.TICKLE))
    told.tell(reconciled, done, POSITIONS, FUNDS)

    effects = tuple(
        effect
        for _ in range(5)
        for effect in poll(told, FILLED, after_ms=10_000, executions=(execution("1"),))
    )

    assert kinds(effects) == []


def test_a_mute_topic_of_trades_is_noticed_too() -> None:
    told = Told().ready()
    traded = (execution("1"), execution("2"))
    told.tell(RowsStreamed(rows=(), executions=(ExecutionId("2"),)))

    effects = tuple(
        effect
        for after_ms in (5_000, 15_000, 5_000)
        for effect in poll(told, after_ms=after_ms, executions=traded)
    )

    detail = "polls showed 1 changes that the topic str did not tell"
    assert kinds(effects) == [
        ReportAnomaly(machine="session", kind="str_silent", detail=detail),
        RefreshStream(),
    ]


def test_a_list_that_is_cold_or_not_whole_proves_nothing() -> None:
    told = Told().ready()
    poll(told, WORKS, after_ms=60_000)

    effects: tuple[Effect, ...] = ()
    for _ in range(5):
        told.wait(10_000).tell(TimerFired(name="poll"))
        unread = OrdersRead(rows=(FILLED,), snapshot=True, forced=False, complete=False)
        effects = (*effects, *told.tell(unread, TradesRead(executions=())))

    assert kinds(effects) == []


def test_polls_that_are_refused_for_their_pace_wait_and_are_made_again() -> None:
    told = Told().ready()
    told.tell(TimerFired(name="poll"))

    slowed = told.tell(failed(SessionCall.ORDERS, FailureKind.RATE_LIMITED))
    again = told.wait(30_000).tell(TimerFired(name="poll"))
    twice = told.tell(failed(SessionCall.ORDERS, FailureKind.RATE_LIMITED))

    assert StartTimer(name="poll", delay_ms=30_000) in slowed
    assert calls(again) == [SessionCall.ORDERS]
    assert StartTimer(name="poll", delay_ms=30_000) in twice
    assert told.session.state is SessionState.DEGRADED
    assert told.session.reason is not None
    assert told.session.reason.code == "RATE_LIMITED"


def test_while_the_stream_is_away_polls_are_held_against_nothing() -> None:
    told = mute()
    told.tell(StreamLost(reason="cut"))

    assert kinds(poll(told, WORKS, after_ms=5_000)) == []


def test_while_the_stream_is_away_polls_come_more_often() -> None:
    told = Told().ready()

    lost = told.tell(StreamLost(reason="cut"))

    assert StartTimer(name="poll", delay_ms=5_000) in lost


def test_only_a_list_that_has_all_orders_is_numbered() -> None:
    told = Told().ready()
    cut = tuple(row(BrokerStatus.SUBMITTED, name=str(number)) for number in range(1_000))

    effects = [
        *poll(told, *cut[1:], after_ms=60_000),
        *poll(told, *cut, after_ms=60_000),
        *poll(told, *cut[1:], after_ms=60_000),
    ]

    lists = [effect for effect in effects if isinstance(effect, DeliverNews) and effect.rows]
    first = lists[0].read
    assert first > 0
    assert [one.read for one in lists] == [first, 0, first + 1]
