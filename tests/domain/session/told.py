"""A session that is told things, and how its effects are read."""

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from engine.domain.messages import (
    AccountsRead,
    AnnounceSession,
    AuthStatus,
    AuthStatusRead,
    CallDone,
    CallFailed,
    CallGateway,
    DeliverToRisk,
    Failure,
    FailureKind,
    FundsRead,
    GrantTurn,
    LoginGuarded,
    OpenStream,
    OrdersRead,
    PositionsRead,
    ProfitRead,
    ReconcileAccount,
    ReleaseTurn,
    RequestTurn,
    SessionCall,
    SessionMessage,
    StartSession,
    StreamReady,
    TimerFired,
    TradesRead,
    WriteGuard,
)
from engine.domain.session import Session, SessionSettings
from engine.domain.session.effects import Effect
from engine.domain.values import (
    AccountId,
    Funds,
    Mode,
    OrderId,
    SessionName,
    SessionState,
)

NOON_NS = 1_795_348_800_000_000_000
"""2026-11-22T12:00:00Z, a Sunday."""

NAME = SessionName("main")
ACCOUNT = AccountId("DU1234567")
SETTINGS = SessionSettings(
    name=NAME, mode=Mode.PAPER, accounts=(ACCOUNT,), compete_once=False, suppress=("o163",)
)
UP = AuthStatus(authenticated=True, connected=True, competing=False, established=True)
OPENING = replace(UP, established=False)
CLOSED = AuthStatus(authenticated=False, connected=True, competing=False, established=None)
STOLEN = replace(UP, competing=True)
ONE = OrderId("1-1")
TWO = OrderId("1-2")


def read(status: AuthStatus, call: SessionCall = SessionCall.AUTH_STATUS) -> AuthStatusRead:
    return AuthStatusRead(call=call, status=status)


def failed(call: SessionCall, kind: FailureKind) -> CallFailed:
    return CallFailed(call=call, failure=Failure(kind=kind, message=f"{kind}"))


POSITIONS = PositionsRead(account=ACCOUNT, positions=(), started_ns=1, ended_ns=2)
FUNDS = FundsRead(
    funds=Funds(
        account=ACCOUNT,
        currency="USD",
        net_liquidation=Decimal(1),
        available_funds=None,
        excess_liquidity=None,
    ),
    now_ns=2,
)
PROFIT = ProfitRead(results=())
LIST = OrdersRead(rows=(), snapshot=True, forced=False)
TRADES = TradesRead(executions=())
WARM_UP: tuple[SessionMessage, ...] = (
    StartSession(),
    read(UP),
    AccountsRead(accounts=(ACCOUNT,), paper=True),
    CallDone(call=SessionCall.PORTFOLIO_ACCOUNTS),
    CallDone(call=SessionCall.SUPPRESS),
    OrdersRead(rows=(), snapshot=False, forced=True),
    TradesRead(executions=()),
    StreamReady(),
    POSITIONS,
    LIST,
    TRADES,
    FUNDS,
)


class Told:
    """A session with a clock that is moved by hand."""

    def __init__(
        self, settings: SessionSettings = SETTINGS, *, wall_ns: int = NOON_NS, **started: Any
    ) -> None:
        self.session = Session(settings)
        self.now_ns = 0
        self.began_ns = wall_ns
        self.started = StartSession(**started)
        self.guarded: LoginGuarded | None = None

    @property
    def wall_ns(self) -> int:
        return self.began_ns + self.now_ns

    def wait(self, milliseconds: int) -> "Told":
        self.now_ns += milliseconds * 1_000_000
        return self

    def tell(self, *messages: SessionMessage) -> tuple[Effect, ...]:
        effects: tuple[Effect, ...] = ()
        for message in messages:
            effects = (*effects, *self.session.handle(message, self.now_ns, self.wall_ns))
        for effect in effects:
            if isinstance(effect, WriteGuard):
                self.guarded = effect.guard
        return effects

    def ready_again(self) -> "Told":
        """Walk the whole way once more, from a login that works."""
        self.tell(*WARM_UP[1:])
        assert self.session.tier is SessionState.READY
        return self

    def ready(self) -> "Told":
        self.tell(self.started, *WARM_UP[1:])
        assert self.session.tier is SessionState.READY
        return self


def calls(effects: Sequence[Effect]) -> list[SessionCall | type[OpenStream]]:
    return [
        effect.call if isinstance(effect, CallGateway) else OpenStream
        for effect in effects
        if isinstance(effect, CallGateway | OpenStream)
    ]


def states(effects: Sequence[Effect]) -> list[SessionState]:
    return [effect.changed.state for effect in effects if isinstance(effect, AnnounceSession)]


def steps(effects: Sequence[Effect]) -> list[str]:
    """Return the steps of recovery that risk is told of, `done` at the end."""
    told = (effect.message for effect in effects if isinstance(effect, DeliverToRisk))
    return [
        "done" if message.done else message.step
        for message in told
        if isinstance(message, ReconcileAccount)
    ]


def ask_turn(order_id: OrderId) -> RequestTurn:
    return RequestTurn(order_id=order_id, session=NAME)


def end_turn(order_id: OrderId) -> ReleaseTurn:
    return ReleaseTurn(order_id=order_id, session=NAME)


def granted(effects: Sequence[Effect]) -> list[OrderId]:
    return [effect.granted.order_id for effect in effects if isinstance(effect, GrantTurn)]


def poll(told: Told) -> tuple[Effect, ...]:
    return told.tell(
        TimerFired(name="poll"),
        LIST,
        TRADES,
    )
