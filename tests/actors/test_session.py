import pytest
from structlog.testing import capture_logs

from engine import metrics
from engine.domain.messages import (
    AuthStatus,
    CallGateway,
    Failure,
    FailureKind,
    RequestTurn,
    SessionCall,
    TimerFired,
    TurnRefused,
)
from engine.domain.order import Order
from engine.domain.values import OrderId, Reason, SessionState
from tests.actors.house import ACCOUNT, MAIN, OTHER, House, coid, ready_house
from tests.fakes import quiet, run, skip

DOWN = Failure(kind=FailureKind.UNREACHABLE, message="connection refused")


def test_a_session_gets_ready_in_the_one_order_there_is() -> None:
    async def scene() -> None:
        with capture_logs() as logs:
            house = await ready_house()

        assert house.line.session.calls == [
            SessionCall.AUTH_STATUS,
            SessionCall.ACCOUNTS,
            SessionCall.PORTFOLIO_ACCOUNTS,
            SessionCall.SUPPRESS,
            SessionCall.ORDERS,
            SessionCall.TRADES,
            SessionCall.ORDERS,
            SessionCall.TRADES,
            SessionCall.POSITIONS,
            SessionCall.FUNDS,
        ]
        assert [(line["event"], line["state"]) for line in logs] == [
            ("session_changed", SessionState.WARMING),
            ("session_changed", SessionState.RECONCILING),
            ("session_changed", SessionState.READY),
        ]
        assert metrics.SESSION_EPOCH.labels(MAIN)._value.get() == 1
        shown = {
            state: metrics.SESSION_STATE.labels(MAIN, state)._value.get() for state in SessionState
        }
        assert [state for state, value in shown.items() if value] == [SessionState.READY]

    run(scene())


def test_every_account_of_a_login_gets_its_risk() -> None:
    async def scene() -> None:
        house = House()
        house.add(accounts=(ACCOUNT, OTHER), listed=False)
        before = house.bridge.accounts()

        await house.start()

        assert before == ()
        assert [(view.account, view.ready) for view in house.bridge.accounts()] == [
            (ACCOUNT, True),
            (OTHER, True),
        ]

    run(scene())


def test_a_gateway_that_is_down_is_said_and_tried_again() -> None:
    async def scene() -> None:
        house = House()
        line = house.add()
        line.session.failures[SessionCall.AUTH_STATUS] = DOWN
        with capture_logs() as logs:
            await house.start()
        (down,) = house.bridge.sessions()
        account = house.bridge.account(ACCOUNT)

        line.session.failures.clear()
        await skip(3)

        assert (down.state, down.reason) == (
            SessionState.DOWN,
            Reason(code="GATEWAY_DOWN", message="connection refused"),
        )
        assert account.reason == down.reason
        assert [
            (line["call"], line["kind"], line["failure"])
            for line in logs
            if line["event"] == "gateway_call_failed"
        ] == [("auth_status", "unreachable", "connection refused")]
        assert house.bridge.sessions()[0].state is SessionState.READY

    run(scene())


def test_failed_tickles_are_counted() -> None:
    async def scene() -> None:
        house = await ready_house()
        counter = metrics.TICKLE_FAILURES.labels(MAIN)
        before = counter._value.get()
        house.line.session.failures[SessionCall.TICKLE] = DOWN

        await skip(61)
        degraded = house.bridge.sessions()[0].state
        house.line.session.failures.clear()
        await skip(10)

        assert counter._value.get() == before + 1
        assert degraded is SessionState.DEGRADED
        assert house.bridge.sessions()[0].state is SessionState.READY

    run(scene())


def test_a_lost_brokerage_session_closes_the_stream_and_is_opened_again() -> None:
    async def scene() -> None:
        house = await ready_house()
        house.line.session.status = AuthStatus(
            authenticated=False, connected=True, competing=False, established=False
        )
        await skip(61)
        (lost,) = house.bridge.sessions()

        house.line.session.status = AuthStatus(
            authenticated=True, connected=True, competing=False, established=None
        )
        await skip(40)

        assert (lost.state, lost.socket_connected) == (SessionState.BROKERAGE_INIT, False)
        (again,) = house.bridge.sessions()
        assert (again.state, again.epoch, again.socket_connected) == (SessionState.READY, 2, True)

    run(scene())


def test_an_order_that_asks_a_closed_session_for_its_turn_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scene() -> None:
        house = House()
        house.add().session.held = {SessionCall.AUTH_STATUS}
        await house.start()
        heard: list[object] = []
        listening = house.spawner._spawn(OrderId("1-1"), coid(1), Order()).actor
        monkeypatch.setattr(listening, "on_receive", heard.append)

        house.board.tell_session(MAIN, RequestTurn(order_id=OrderId("1-1"), session=MAIN))
        await quiet()

        assert heard == [
            TurnRefused(
                order_id=OrderId("1-1"),
                reason=Reason(
                    code="SESSION_NOT_READY",
                    message="session main is DOWN: the engine has just started",
                ),
            )
        ]

    run(scene())


def test_what_a_session_did_not_expect_is_reported() -> None:
    async def scene() -> None:
        house = await ready_house()
        counter = metrics.ANOMALIES.labels("session", "unknown_timer")
        before = counter._value.get()

        house.board.tell_session(MAIN, TimerFired(name="tea"))
        await quiet()

        assert counter._value.get() == before + 1

    run(scene())


def test_an_answer_that_comes_late_moves_nothing_on() -> None:
    async def scene() -> None:
        house = await ready_house()
        gateway = house.line.session
        gateway.held = {SessionCall.POSITIONS}
        await skip(31)  # Positions are asked for and not answered.
        house.line.feed.close("a cable was pulled")
        gateway.held = {SessionCall.ORDERS}
        await skip(3)
        reconciling = house.bridge.sessions()[0].state
        asked = len(gateway.calls)
        late = CallGateway(call=SessionCall.POSITIONS, account=ACCOUNT)

        house.board.tell_session(MAIN, gateway._answer(late))
        await quiet()

        assert reconciling is SessionState.RECONCILING
        assert len(gateway.calls) == asked, "the orders are not read yet"

    run(scene())
