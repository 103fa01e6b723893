"""Values that the tests of risk start from; each test changes only what it is about."""

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Final

from engine.domain.messages import (
    HaltScope,
    PositionFilled,
    PositionsRead,
    ReconcileAccount,
    RequestOrder,
    RequestVerdict,
    SessionChanged,
)
from engine.domain.risk import (
    AccountRisk,
    Exposure,
    Inputs,
    Level,
    Limits,
    RiskPolicy,
    Setting,
    StartDenied,
)
from engine.domain.risk.limits import LimitValue
from engine.domain.risk.order_types import LIMITED, STOPPED, TRAILING
from engine.domain.values import (
    ClientOrderId,
    Coid,
    Confidence,
    ConId,
    Execution,
    ExecutionId,
    Increment,
    Instrument,
    OrderId,
    OrderState,
    OrderType,
    Pending,
    Position,
    Quote,
    Scope,
    ScopeKind,
    SessionName,
    SessionState,
    Side,
    Ticket,
    TifRule,
    TimeInForce,
    TradingState,
    TrailingType,
)
from engine.domain.views import OrderView
from tests.samples import LIMIT_BUY

ACCOUNT: Final = LIMIT_BUY.account
SESSION: Final = SessionName("paper")
CONID: Final = LIMIT_BUY.conid
NOW_NS: Final = 1_000_000_000_000
MS: Final = 1_000_000
SECOND: Final = 1_000_000_000

READY: Final = SessionChanged(
    session=SESSION, state=SessionState.READY, ready=True, epoch=1, reason=None
)
RECONCILED: Final = ReconcileAccount(account=ACCOUNT, epoch=1, step="", done=True)
FIRM: Final = Scope(kind=ScopeKind.FIRM)
MINE: Final = Scope(kind=ScopeKind.ACCOUNT, key=ACCOUNT)

INSTRUMENT: Final = Instrument(
    conid=CONID,
    symbol="AAPL",
    sec_type="STK",
    currency="USD",
    exchange="NASDAQ",
    name="APPLE INC",
    multiplier=Decimal(1),
    increments=(
        Increment(lower_edge=Decimal(0), increment=Decimal("0.0001")),
        Increment(lower_edge=Decimal(1), increment=Decimal("0.01")),
    ),
    size_increment=Decimal(1),
    order_types=(OrderType.MKT, OrderType.LMT),
    tradable=True,
)

ANYTHING: Final = replace(
    INSTRUMENT,
    size_increment=Decimal("0.0001"),
    order_types=tuple(OrderType),
    tifs=tuple(TifRule(tif=tif, outside_rth=True) for tif in TimeInForce),
    outside_rth_types=tuple(OrderType),
    fraction_types=tuple(OrderType),
    cash_types=(OrderType.MKT, OrderType.LMT),
    cash_increment=Decimal("0.01"),
    cash_currency="USD",
)
"""A contract whose rules allow all that there is."""

QUOTE: Final = Quote(
    conid=CONID,
    bid=Decimal("99.98"),
    ask=Decimal("100.02"),
    last=Decimal(100),
    bid_size=Decimal(500),
    ask_size=Decimal(500),
    last_size=Decimal(100),
    volume=Decimal(1_000_000),
    prior_close=Decimal(99),
    halted=False,
    availability="RpB",
    received_ns=NOW_NS,
)

BUY: Final = replace(LIMIT_BUY, client_order_id=ClientOrderId("first"))
SELL: Final = replace(BUY, side=Side.SELL)
CASH_BUY: Final = replace(
    BUY,
    type=OrderType.MKT,
    limit_price=None,
    quantity=Decimal(0),
    cash_quantity=Decimal(1_000),
)
TYPED: Final = {
    kind: replace(
        BUY,
        type=kind,
        limit_price=Decimal(100) if kind in LIMITED else None,
        stop_price=Decimal(100) if kind in STOPPED else None,
        trailing_type=TrailingType.AMOUNT if kind in TRAILING else None,
        trailing_amount=Decimal(2) if kind in TRAILING else None,
    )
    for kind in OrderType
}
"""A buy of each type, with the prices that it needs."""
MARKET_BUY: Final = replace(BUY, type=OrderType.MKT, limit_price=None)
MARKET_SELL: Final = replace(MARKET_BUY, side=Side.SELL)


def setting(value: LimitValue | int, source: str = "risk.yaml:1") -> Setting:
    if isinstance(value, int):
        value = Decimal(value)
    return Setting(value=value, source=source)


def settings(values: Mapping[str, LimitValue | int]) -> dict[str, Setting]:
    """Give each value the line that it would have in a file, from 1."""
    return {
        name: setting(value, f"risk.yaml:{line}")
        for line, (name, value) in enumerate(values.items(), start=1)
    }


ROOMY: Final = settings(
    {
        "order.max_qty.STK": 1_000,
        "order.max_notional.abs": 50_000,
        "position.max_qty": 2_000,
        "position.max_notional.abs": 150_000,
        "working.max_total": 20,
        "working.max_per_conid_side": 5,
    }
)


def limits(values: Mapping[str, LimitValue | int] | None = None) -> Limits:
    """Make roomy limits, of which `values` replace some; those come from line 1 and on."""
    policy = RiskPolicy(version=1, defaults={**ROOMY, **settings(values or {})})
    return policy.limits_for(ACCOUNT)


def grouped_limits(*groups: str) -> Limits:
    policy = RiskPolicy(
        version=1,
        defaults=ROOMY,
        groups={group: Level() for group in groups},
        accounts={ACCOUNT: Level(groups=groups)},
    )
    return policy.limits_for(ACCOUNT)


INPUTS: Final = Inputs(
    ticket=BUY,
    instrument=INSTRUMENT,
    quote=QUOTE,
    quote_age_ms=0,
    limits=limits(),
    exposure=Exposure(position=Decimal(0)),
    session_ready=True,
    session_reason=None,
    trading_state=TradingState.NORMAL,
    trading_source="trading_state, built-in",
)


def holding(quantity: int | str) -> Exposure:
    return Exposure(position=Decimal(quantity))


def request(number: int, ticket: Ticket = BUY, *, sha: str = "digest") -> RequestOrder:
    """Make the `number`-th order; its key, id and coid are its own."""
    return RequestOrder(
        ticket=replace(ticket, client_order_id=ClientOrderId(f"key-{number}")),
        order_id=OrderId(f"order-{number}"),
        coid=Coid(f"coid-{number}"),
        request_sha256=sha,
        instrument=INSTRUMENT,
        quote=QUOTE,
        now_ns=NOW_NS,
    )


def view(
    number: int,
    ticket: Ticket = BUY,
    *,
    seq: int,
    state: OrderState = OrderState.WORKING,
    filled: int | Decimal = 0,
) -> OrderView:
    """Make the view of what `request(number, ticket)` started."""
    return OrderView(
        order_id=OrderId(f"order-{number}"),
        client_order_id=ClientOrderId(f"key-{number}"),
        account=ticket.account,
        conid=ticket.conid,
        symbol=ticket.symbol,
        side=ticket.side,
        type=ticket.type,
        quantity=ticket.quantity,
        filled_quantity=Decimal(filled),
        average_price=None,
        limit_price=ticket.limit_price,
        tif=ticket.tif,
        strategy=ticket.strategy,
        state=state,
        pending=Pending.NONE,
        confidence=Confidence.CONFIRMED,
        reason=None,
        coid=None if state is OrderState.DENIED else Coid(f"coid-{number}"),
        broker_order_id=None,
        created_at_ns=0,
        updated_at_ns=seq,
        seq=seq,
        request_sha256="digest",
    )


def execution(
    name: str, quantity: int | Decimal, *, number: int | None = None, side: Side = Side.BUY
) -> Execution:
    """Make a fill, of order `number` if there is one."""
    return Execution(
        execution_id=ExecutionId(name),
        account=ACCOUNT,
        broker_order_id=None,
        coid=None if number is None else Coid(f"coid-{number}"),
        conid=CONID,
        side=side,
        quantity=Decimal(quantity),
        price=Decimal(100),
        commission=None,
        at_ms=0,
    )


def position(quantity: int, conid: ConId = CONID) -> Position:
    return Position(
        account=ACCOUNT,
        conid=conid,
        symbol="AAPL",
        quantity=Decimal(quantity),
        average_price=Decimal(90),
        market_price=Decimal(100),
        market_value=Decimal(100 * quantity),
        unrealized_pnl=Decimal(10 * quantity),
        currency="USD",
    )


def read(*positions: Position, second: int = 0) -> PositionsRead:
    return PositionsRead(
        account=ACCOUNT,
        positions=positions,
        started_ns=NOW_NS + second * SECOND,
        ended_ns=NOW_NS + second * SECOND + 1,
    )


def told(execution_: Execution, *, second: int, seen: int | None = None) -> PositionFilled:
    """Tell of a fill, which was seen as it happened unless `seen` says when."""
    return PositionFilled(
        execution=execution_,
        now_ns=NOW_NS + second * SECOND,
        seen_ns=NOW_NS + (second if seen is None else seen) * SECOND,
    )


def filled(
    name: str,
    quantity: int,
    *,
    number: int | None = None,
    second: int,
    seen: int | None = None,
    side: Side = Side.BUY,
) -> PositionFilled:
    return told(execution(name, quantity, number=number, side=side), second=second, seen=seen)


def ready_risk(*positions: Position, within: Limits | None = None) -> AccountRisk:
    risk = AccountRisk(ACCOUNT, SESSION, within or limits())
    risk.handle(READY)
    risk.handle(read(*positions))
    risk.handle(RECONCILED)
    return risk


def halt(scope: Scope, level: TradingState = TradingState.HALT) -> HaltScope:
    return HaltScope(scope=scope, level=level, reason="drill", by="ops")


def refusal(risk: AccountRisk, message: RequestOrder) -> str | None:
    """Return the reason code that the request is denied with, None when it is approved."""
    answer, effects = risk.request(message)
    denials = [effect.denied for effect in effects if isinstance(effect, StartDenied)]
    assert (answer.verdict is RequestVerdict.DENIED) == bool(denials)
    return denials[0].reason.code if denials else None
