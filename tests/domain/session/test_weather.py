"""Any weather: whatever the gateway answers, and whenever, some things never happen."""

import random
from dataclasses import replace
from decimal import Decimal

import pytest

from engine.domain.messages import (
    AccountsRead,
    AnnounceSession,
    AuthStatusRead,
    AuthStreamed,
    CallDone,
    CallFailed,
    CallGateway,
    CloseStream,
    DeliverToRisk,
    Failure,
    FailureKind,
    FundsRead,
    GrantTurn,
    LedgerRead,
    OpenStream,
    OrderRequestEnded,
    OrdersRead,
    OrderStatusRead,
    PositionsRead,
    ProfitRead,
    ReconcileAccount,
    RefreshStream,
    RefuseTurn,
    ReleaseTurn,
    RequestTurn,
    RetryLogin,
    RowsStreamed,
    SessionCall,
    SessionMessage,
    StartTimer,
    StopTimer,
    StreamLost,
    StreamReady,
    TimerFired,
    TradesRead,
    WriteGuard,
)
from engine.domain.session import Effect, calendar_of
from engine.domain.session.guard import LOGIN_FAILURES_MAX
from engine.domain.values import (
    AccountId,
    BrokerOrderId,
    BrokerStatus,
    OrderId,
    OrderRow,
    Outcome,
    OutcomeKind,
    Reason,
    SessionState,
)
from tests.domain.session.told import (
    ACCOUNT,
    CLOSED,
    FUNDS,
    NAME,
    OPENING,
    SETTINGS,
    STOLEN,
    UP,
    Told,
)

AMERICA = calendar_of("america")
LOGIN_CALLS = {SessionCall.AUTH_STATUS, SessionCall.OPEN_BROKERAGE}
SUNDAY_NIGHT = 1_795_412_400_000_000_000
"""2026-11-23T00:40 in New York: the reset is near."""

CHANGEABLE = (UP, UP, UP, CLOSED, OPENING, STOLEN, replace(CLOSED, connected=False))
FOUL = (CLOSED, CLOSED, CLOSED, CLOSED, CLOSED, STOLEN, UP)
OTHER = AccountId("DU7")
STRANGE = BrokerOrderId("0")
SILENCE = Outcome(
    kind=OutcomeKind.IN_DOUBT, reason=Reason(code="TIMEOUT", message="no answer within 12000 ms")
)
NO_ANSWER = {
    FailureKind.TIMEOUT,
    FailureKind.UNREACHABLE,
    FailureKind.TLS_REFUSED,
    FailureKind.RATE_LIMITED,
}


class World:
    """Everything around one session: timers, calls on the wire, a stream, and orders."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.statuses = chance.choice([CHANGEABLE, CHANGEABLE, FOUL])
        self.told = Told(
            replace(
                SETTINGS,
                accounts=(ACCOUNT, OTHER),
                compete_once=True,
                calendar=AMERICA,
            ),
            wall_ns=SUNDAY_NIGHT,
        )
        self.timers: dict[str, int] = {}
        self.wire: list[CallGateway] = []
        self.stream_wanted = False
        self.in_turn: OrderId | None = None
        self.silent = False
        self.waiting: set[OrderId] = set()
        self.orders = 0
        self.taken = 0
        self.failures = 0
        self.latched = False
        self.state = SessionState.DOWN
        self.done: set[AccountId] = set()
        self.tell(self.told.started)

    def tell(self, message: SessionMessage) -> None:
        for effect in self.told.tell(message):
            self.take(effect)
        session = self.told.session
        assert self.state is session.state, "every change is announced"
        assert session.ready == (session.state is SessionState.READY)
        assert (session.reason is None) == session.ready
        assert sum(call.call in LOGIN_CALLS for call in self.wire) <= 1

    def take(self, effect: Effect) -> None:
        match effect:
            case CallGateway(call=call):
                assert not (self.latched and call in LOGIN_CALLS), "nothing more is tried"
                self.taken += effect.compete
                assert self.taken <= 1, "another login is displaced once"
                self.wire.append(effect)
            case StartTimer(name=name, delay_ms=delay_ms):
                self.timers[name] = self.told.now_ns + delay_ms * 1_000_000
            case StopTimer(name=name):
                self.timers.pop(name, None)
            case OpenStream():
                self.stream_wanted = True
            case CloseStream():
                self.stream_wanted = False
            case RefreshStream():
                assert self.stream_wanted
            case GrantTurn(granted=granted):
                assert self.state is SessionState.READY
                assert self.in_turn is None, "one conversation at a time"
                assert not self.silent, "nothing is sent into silence"
                left_ns = AMERICA.hours(self.told.wall_ns).until_ns - self.told.wall_ns
                assert granted.send_by_ns - self.told.now_ns <= left_ns, "nothing in a window"
                self.waiting.remove(granted.order_id)
                self.in_turn = granted.order_id
            case RefuseTurn(refused=refused):
                self.waiting.discard(refused.order_id)
            case WriteGuard(guard=guard):
                assert guard.failures <= LOGIN_FAILURES_MAX
                assert guard.latched == (guard.failures == LOGIN_FAILURES_MAX)
                self.failures, self.latched = guard.failures, guard.latched
            case DeliverToRisk(message=ReconcileAccount() as message):
                assert message.epoch == self.told.session.epoch
                self.done.discard(message.account)
                if message.done:
                    self.done.add(message.account)
            case AnnounceSession(changed=changed):
                self.state = changed.state
            case _:
                pass

    def step(self) -> None:
        """Let one thing happen."""
        kinds = ["wait", "ask", "stream"]
        kinds += ["answer"] * 6 * bool(self.wire) + ["release"] * bool(self.in_turn)
        match self.chance.choice(kinds):
            case "wait":
                self.wait()
            case "answer":
                index = self.chance.randrange(len(self.wire))
                answer = self.answer(self.wire.pop(index))
                self.silent &= isinstance(answer, CallFailed) and answer.failure.kind in NO_ANSWER
                self.tell(answer)
            case "ask":
                self.orders += 1
                order_id = OrderId(f"1-{self.orders}")
                self.waiting.add(order_id)
                self.tell(RequestTurn(order_id=order_id, session=NAME))
            case "release":
                assert self.in_turn is not None
                done, self.in_turn = self.in_turn, None
                if self.chance.random() < 0.3:
                    self.silent = True
                    self.tell(OrderRequestEnded(outcome=SILENCE))
                self.tell(ReleaseTurn(order_id=done, session=NAME))
            case _:
                self.stream()

    def wait(self) -> None:
        """Let the next timer fire, or a while pass without one."""
        if self.timers and self.chance.random() < 0.5:
            name = min(self.timers, key=self.timers.__getitem__)
            self.told.now_ns = max(self.told.now_ns, self.timers.pop(name))
            self.tell(TimerFired(name=name))
        else:
            self.told.wait(self.chance.choice([1, 400, 30_000]))

    def stream(self) -> None:
        row = OrderRow(
            account=ACCOUNT, broker_order_id=BrokerOrderId("7"), status=BrokerStatus.SUBMITTED
        )
        news: list[SessionMessage] = [RowsStreamed(rows=(row,))]
        if self.stream_wanted:
            lost = AuthStreamed(authenticated=None, competing=True)
            news += [StreamReady(), StreamReady(), StreamLost(reason="cut"), lost]
        self.tell(self.chance.choice(news))

    def answer(self, call: CallGateway) -> SessionMessage:
        if self.chance.random() < 0.1:
            kind = self.chance.choice(list(FailureKind))
            return CallFailed(call=call.call, failure=Failure(kind=kind, message=kind))
        return self.good_answer(call)

    def good_answer(self, call: CallGateway) -> SessionMessage:
        account = call.account or ACCOUNT
        match call.call:
            case SessionCall.AUTH_STATUS | SessionCall.OPEN_BROKERAGE | SessionCall.TICKLE:
                status = self.chance.choice(self.statuses)
                return AuthStatusRead(call=call.call, status=status)
            case SessionCall.ACCOUNTS:
                return AccountsRead(accounts=(ACCOUNT, OTHER), paper=True)
            case SessionCall.ORDERS:
                shown = self.chance.choice([BrokerStatus.SUBMITTED, BrokerStatus.FILLED])
                row = OrderRow(
                    account=ACCOUNT,
                    broker_order_id=BrokerOrderId("7"),
                    status=shown,
                    filled_quantity=Decimal(1),
                )
                return OrdersRead(rows=(row,), snapshot=True, forced=call.force)
            case SessionCall.ORDER_STATUS:
                row = OrderRow(account=account, broker_order_id=call.broker_order_id or STRANGE)
                return OrderStatusRead(row=row)
            case SessionCall.TRADES:
                return TradesRead(executions=())
            case SessionCall.POSITIONS:
                return PositionsRead(account=account, positions=(), started_ns=0, ended_ns=0)
            case SessionCall.FUNDS:
                return FundsRead(funds=replace(FUNDS.funds, account=account), now_ns=0)
            case SessionCall.LEDGER:
                return LedgerRead(account=account, balances=(), now_ns=0)
            case SessionCall.PROFIT:
                return ProfitRead(results=())
            case SessionCall.PORTFOLIO_ACCOUNTS | SessionCall.SUPPRESS:
                return CallDone(call=call.call)

    def clear_up(self) -> None:
        """Let a person help once, and the gateway answer everything well from now on."""
        self.taken = 0
        self.tell(RetryLogin(session=NAME, reason="clear", by="anna"))
        for _ in range(1_000):
            if self.told.session.ready and not self.wire and self.done == {ACCOUNT, OTHER}:
                return
            if self.wire:
                call = self.wire.pop(0)
                self.silent = False
                login = call.call in {*LOGIN_CALLS, SessionCall.TICKLE}
                good = AuthStatusRead(call=call.call, status=UP)
                self.tell(good if login else self.good_answer(call))
            elif self.stream_wanted and self.told.session.tier in {
                SessionState.WARMING,
                SessionState.DEGRADED,
            }:
                self.tell(StreamReady())
            else:
                name = min(self.timers, key=self.timers.__getitem__)
                if self.state is SessionState.MAINTENANCE:
                    name = "calendar"
                self.told.now_ns = max(self.told.now_ns, self.timers.pop(name))
                self.tell(TimerFired(name=name))


@pytest.mark.parametrize("seed", range(300))
def test_no_weather_makes_a_session_do_what_it_must_not(seed: int) -> None:
    world = World(random.Random(seed))
    for _ in range(150):
        world.step()

    world.clear_up()

    session = world.told.session
    assert session.ready, f"{session.state} {session.reason} {world.wire} {world.timers}"
    assert world.done == {ACCOUNT, OTHER}, "every account may trade in the end"
