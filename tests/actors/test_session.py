import math
from datetime import datetime
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from structlog.testing import capture_logs

from engine import metrics
from engine.domain.messages import (
    AccountReconciled,
    AuthStatus,
    CallGateway,
    Failure,
    FailureKind,
    LoginGuarded,
    NewsStreamed,
    ReconcileAccount,
    RequestTurn,
    RetryLogin,
    SessionCall,
    TimerFired,
    Topic,
    TurnRefused,
    WriteReconciled,
)
from engine.domain.order import Order
from engine.domain.ports import Recorded
from engine.domain.session import Calendar, SessionSettings
from engine.domain.session.calendar import Closing
from engine.domain.session.rounds import ACCOUNT_CALLS
from engine.domain.values import (
    AccountId,
    Coid,
    OrderId,
    OrderRow,
    OrderState,
    Reason,
    Reconciliation,
    SessionName,
    SessionState,
)
from engine.domain.views import OrderView
from tests.actors.house import (
    ACCOUNT,
    BROKER_ID,
    MAIN,
    OTHER,
    TIMEOUT,
    House,
    coid,
    keyed,
    ready_house,
    row,
)
from tests.fakes import READY_STATUS, FakeJournal, quiet, run, skip

HANGS = Failure(kind=FailureKind.TIMEOUT, message="no answer within 3000 ms")
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
            SessionCall.POSITIONS,
            SessionCall.FUNDS,
            SessionCall.ORDERS,
            SessionCall.TRADES,
        ]
        assert [line["state"] for line in logs if line["event"] == "session_changed"] == [
            SessionState.WARMING,
            SessionState.RECONCILING,
            SessionState.READY,
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
        assert SessionCall.TRADES not in gateway.calls[asked:], "the orders are not read yet"
        assert house.bridge.sessions()[0].state is SessionState.RECONCILING

    run(scene())


USUAL = {Topic.KEEP_ALIVE, Topic.QUOTES}
REFUSED = AuthStatus(authenticated=False, connected=True, competing=False, established=False)


def guards(house: House) -> list[LoginGuarded]:
    messages = (one.entry.message for one in house.journal.durable)
    return [message for message in messages if isinstance(message, LoginGuarded)]


async def refused_house(records: tuple[Recorded, ...] = ()) -> House:
    """Start an engine whose broker refuses every login."""
    house = House(journal=FakeJournal(records))
    house.add().session.status = REFUSED
    await house.start()
    return house


def test_refused_logins_are_written_down_and_a_restart_knows_them() -> None:
    async def scene() -> None:
        house = await refused_house()
        await skip(600)
        calls = len(house.line.session.calls)
        again = await refused_house(tuple(house.journal.durable))
        await skip(600)

        assert [guard.failures for guard in guards(house)] == [1, 2, 3, 4, 5]
        assert guards(house)[-1].latched
        assert metrics.SESSION_LOGIN_FAILURES.labels(MAIN)._value.get() == 5
        (view,) = again.bridge.sessions()
        assert (view.state, view.login_failures) == (SessionState.LOCKED_OUT, 5)
        assert again.line.session.calls == [], "nothing is tried before a person says so"
        assert calls == len(house.line.session.calls)

    run(scene())


def test_a_person_lets_a_latched_session_log_in() -> None:
    async def scene() -> None:
        house = await refused_house()
        await skip(600)
        house.line.session.status = READY_STATUS

        house.board.tell_session(MAIN, RetryLogin(session=MAIN, reason="new password", by="anna"))
        await quiet()

        assert house.bridge.sessions()[0].state is SessionState.READY
        assert guards(house)[-1] == LoginGuarded(
            session=MAIN,
            failures=0,
            taken_over=False,
            latched=False,
            reason="anna lets it log in again: new password",
        )

    run(scene())


def test_a_guard_that_cannot_be_written_is_in_force_all_the_same() -> None:
    async def scene() -> None:
        house = House()
        house.add().session.status = REFUSED
        house.journal.fail()
        with capture_logs() as logs:
            await house.start()
            await skip(600)

        assert house.bridge.sessions()[0].state is SessionState.LOCKED_OUT
        lost = [line for line in logs if line["event"] == "login_guard_not_written"]
        assert [line["log_level"] for line in lost] == ["error"] * 5

    run(scene())


def test_a_login_that_nobody_makes_is_overdue_once_and_loudly() -> None:
    async def scene() -> None:
        house = House()
        gateway = house.add().session
        needed = Failure(kind=FailureKind.UNAUTHORIZED, message="HTTP 401")
        gateway.failures[SessionCall.AUTH_STATUS] = needed
        overdue = metrics.SESSION_LOGIN_OVERDUE.labels(MAIN)
        with capture_logs() as logs:
            await house.start()
            before = (overdue._value.get(), deadline())
            await skip(1_800)
            after = overdue._value.get()
            gateway.failures.clear()
            await skip(6)

        due_s = house.clock.wall_ns() / 1e9 - 1_806 + 900
        assert before[0] == 0
        assert abs(before[1] - due_s) < 1
        assert after == 1
        said = [line for line in logs if line["event"] == "login_overdue"]
        assert [(line["log_level"], line["state"]) for line in said] == [
            ("error", SessionState.LOGIN_REQUIRED)
        ]
        assert house.bridge.sessions()[0].state is SessionState.READY
        assert (overdue._value.get(), math.isnan(deadline())) == (0, True)

    run(scene())


def deadline() -> float:
    return float(metrics.SESSION_LOGIN_DEADLINE.labels(MAIN)._value.get())


def test_a_mute_topic_is_counted_and_asked_for_anew() -> None:
    async def scene() -> None:
        house = await ready_house()
        counter = metrics.STREAM_DIVERGENCE.labels(MAIN, "sor")
        before = counter._value.get()
        await skip(70)
        house.line.session.rows = (row(coid=Coid("by hand")),)

        await skip(90)

        assert counter._value.get() == before + 1
        renewed = [sent.topic for sent in house.line.feed.sent if sent.topic not in USUAL]
        assert renewed[-4:] == [
            Topic.STOP_ORDERS,
            Topic.STOP_TRADES,
            Topic.ORDERS,
            Topic.TRADES,
        ]
        assert len(house.bridge.external_orders(ACCOUNT)) == 1

    run(scene())


def test_in_a_window_of_the_calendar_orders_are_refused_and_then_sent_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scene() -> None:
        house = House()
        noon_s = house.clock.wall_ns() // 1_000_000_000
        zone = ZoneInfo("UTC")
        begins = datetime.fromtimestamp(noon_s + 600, tz=zone).timetz().replace(tzinfo=None)
        nap = Closing(name="nap", weekdays=frozenset(range(7)), begins=begins, lasts_ms=60_000)
        calendar = Calendar(zone=zone, closings=(nap,))
        configured = partial(SessionSettings, calendar=calendar)
        monkeypatch.setattr("tests.actors.house.SessionSettings", configured)
        house.add()
        await house.start()

        await skip(485)
        (napping,) = house.bridge.sessions()
        denied = await house.submit()
        await skip(180)
        (awake,) = house.bridge.sessions()

        assert (napping.state, napping.reason and napping.reason.code) == (
            SessionState.MAINTENANCE,
            "NO_SUBMIT_WINDOW",
        )
        assert napping.no_submit_until_ns == (noon_s + 660) * 1_000_000_000
        assert denied.state is OrderState.DENIED
        assert denied.reason is not None
        assert "NO_SUBMIT_WINDOW" in denied.reason.message
        assert (awake.state, awake.no_submit_until_ns) == (SessionState.READY, None)

    run(scene())


def test_a_session_of_many_accounts_reads_them_at_its_pace() -> None:
    async def scene() -> None:
        accounts = tuple(AccountId(f"DU{number:07}") for number in range(50))
        house = await ready_house(accounts=accounts)
        asked = len(house.line.session.calls)

        await skip(60)

        calls = house.line.session.calls[asked:]
        reads = sum(call in ACCOUNT_CALLS for call in calls)
        assert 200 <= reads <= 240, "four a second at most"
        assert SessionCall.TICKLE in calls
        assert SessionCall.ORDERS in calls
        assert all(view.ready for view in house.bridge.accounts())

    run(scene())


def test_a_session_tells_nothing_of_itself_to_the_risk_of_anothers_account() -> None:
    async def scene() -> None:
        house = House()
        house.add(MAIN, (ACCOUNT,))
        other = house.add(SessionName("other"), (ACCOUNT, OTHER), listed=False)
        await house.start()

        other.feed.close("a cable was pulled")
        await quiet()

        risks = house.supervisor.risks
        assert risks[ACCOUNT].risk._session.session == MAIN
        assert risks[ACCOUNT].risk._session.ready
        assert not risks[OTHER].risk._session.ready

    run(scene())


# --- a silent gateway --------------------------------------------------------------------


def test_no_order_follows_another_into_silence() -> None:
    async def scene() -> None:
        house = await ready_house(accounts=(ACCOUNT, OTHER))
        house.line.session.failures = dict.fromkeys(SessionCall, HANGS)
        await house.submit()
        waiting = await house.submit(keyed("mine-2"))

        house.line.orders.answer(TIMEOUT)
        await quiet()
        order = house.bridge.order(waiting.order_id)
        shown = house.supervisor.sessions[MAIN].session.state

        assert len(house.line.orders.placed) == 1
        assert shown is SessionState.DEGRADED
        assert (order.state, order.reason and order.reason.code) == (
            OrderState.EXPIRED,
            "SESSION_NOT_READY",
        )

        house.line.session.failures = {}
        await skip(2)

        assert house.supervisor.sessions[MAIN].session.ready

    run(scene())


def test_one_unanswered_order_costs_no_turn_where_the_gateway_answers() -> None:
    async def scene() -> None:
        house = await ready_house()
        await house.submit()
        await house.submit(keyed("mine-2"))

        house.line.orders.answer(TIMEOUT)
        await quiet()

        assert len(house.line.orders.placed) == 2
        assert house.line.session.calls[-1] is SessionCall.TICKLE
        assert house.supervisor.sessions[MAIN].session.ready

    run(scene())


# --- orders that nobody can find --------------------------------------------------------------


async def doubtful_house() -> tuple[House, OrderView, OrderView]:
    """An engine with an order that works, and one of which no answer came."""
    house = await ready_house()
    working = await house.work()
    house.line.session.rows = (shown(working),)
    house.line.feed.bring(NewsStreamed(rows=house.line.session.rows))
    await skip(30)
    doubtful = await house.submit(keyed("mine-2"))
    house.line.orders.answer(TIMEOUT)
    await quiet()
    return house, working, doubtful


def shown(order: OrderView, filled: int = 0) -> OrderRow:
    """The row of an order that works, as the list and the stream show it."""
    return row(coid=order.coid, filled=filled)


def test_an_order_that_nobody_can_find_is_parked_with_what_was_looked_at() -> None:
    async def scene() -> None:
        house, _, doubtful = await doubtful_house()

        await skip(200)

        parked = house.bridge.order(doubtful.order_id)
        assert (parked.state, parked.reason and parked.reason.code) == (
            OrderState.PARKED,
            "NO_PROOF",
        )
        assert parked.evidence is not None
        assert parked.evidence.healthy_ms >= 180_000
        assert parked.evidence.missing
        assert parked.reason is not None
        assert parked.reason.message.endswith("; ".join(parked.evidence.missing))

    run(scene())


def test_an_order_that_is_proven_absent_is_not_placed() -> None:
    async def scene() -> None:
        house, working, doubtful = await doubtful_house()
        # The other order fills a little, so the lists that show it are of after that.
        await skip(12)
        house.line.feed.bring(NewsStreamed(rows=(shown(working, 1),)))
        house.line.session.rows = (shown(working, 1),)
        with capture_logs() as logs:
            await skip(120)

        absent = house.bridge.order(doubtful.order_id)
        assert absent.state is OrderState.NOT_PLACED
        assert absent.evidence is not None
        assert (absent.evidence.missing, absent.evidence.canaries) == ((), (BROKER_ID,))
        assert [line["order_id"] for line in logs if line["event"] == "order_proven_absent"] == [
            doubtful.order_id
        ]

    run(scene())


def test_the_time_until_the_broker_shows_an_order_is_measured() -> None:
    async def scene() -> None:
        histogram = metrics.VISIBILITY_SECONDS.labels(MAIN, "orders")
        before = histogram._sum.get()
        house = await ready_house()
        order = await house.work()
        await skip(12)
        house.line.session.rows = (shown(order),)
        await skip(12)

        assert 10 <= histogram._sum.get() - before <= 24

    run(scene())


# --- reconciliation ---------------------------------------------------------------------------


RECONCILED = AccountReconciled(
    account=ACCOUNT,
    session=MAIN,
    epoch=7,
    result=Reconciliation.CLEAN,
    orders=0,
    executions=0,
    positions=(),
)


def test_a_reconciliation_is_written_with_its_session() -> None:
    async def scene() -> None:
        house = await ready_house()

        house.supervisor.sessions[MAIN].perform(WriteReconciled(reconciled=RECONCILED))
        await quiet()

        entry = house.journal.durable[-1].entry
        assert (entry.message, entry.account, entry.session) == (RECONCILED, ACCOUNT, MAIN)

    run(scene())


def test_a_reconciliation_that_cannot_be_written_is_said() -> None:
    async def scene() -> None:
        house = await ready_house()
        house.journal.fail()
        with capture_logs() as logs:
            house.supervisor.sessions[MAIN].perform(WriteReconciled(reconciled=RECONCILED))
            await quiet()

        said = [line for line in logs if line["event"] == "reconciliation_not_written"]
        assert [(line["account"], line["log_level"]) for line in said] == [(ACCOUNT, "error")]

    run(scene())


def test_only_the_session_that_trades_an_account_tells_its_risk_how_far_it_was_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scene() -> None:
        house = House()
        house.add(MAIN, (ACCOUNT,))
        house.add(SessionName("other"), (ACCOUNT, OTHER), listed=False)
        heard: list[tuple[AccountId, ReconcileAccount]] = []
        tell = house.board.tell_risk

        def listen(account: AccountId, message: Any) -> None:
            if isinstance(message, ReconcileAccount):
                heard.append((account, message))
            tell(account, message)

        monkeypatch.setattr(house.board, "tell_risk", listen)
        await house.start()

        done = [account for account, message in heard if message.done]
        assert sorted(done) == [ACCOUNT, OTHER]

    run(scene())


def test_with_all_accounts_a_risk_hears_of_the_first_read_as_well(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scene() -> None:
        house = House()
        house.add(accounts=(ACCOUNT,), listed=False)
        known: list[bool] = []
        tell = house.board.tell_risk

        def listen(account: AccountId, message: Any) -> None:
            if isinstance(message, ReconcileAccount):
                known.append(account in house.supervisor.risks)
            tell(account, message)

        monkeypatch.setattr(house.board, "tell_risk", listen)
        await house.start()

        assert known == [True] * 4

    run(scene())
